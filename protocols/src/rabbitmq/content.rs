//! A message on its way: a method, its properties, its body.

use super::frame::{FRAME_BYTES, Properties};
use crate::{Attribute, Begun, Method};

/// A trace context that is longer is none.
const MAX_TRACEPARENT_BYTES: usize = 128;

/// What a message does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Publish,
    Deliver,
    Get,
    /// It could not be delivered: it was seen before.
    Return,
}

/// A message of which not all was read.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) kind: Kind,
    pub(super) begun: Begun,
    /// None when it was not kept.
    pub(super) exchange: Option<Box<[u8]>>,
    pub(super) routing_key: Box<[u8]>,
    /// Where a message from the broker was taken from.
    pub(super) queue: Option<Box<[u8]>>,
    /// Whether the sender wants to know when nobody takes it.
    pub(super) is_mandatory: bool,
    /// Of the body, once the properties were read: all of it, and what is to come.
    pub(super) body: Option<(u64, u64)>,
    pub(super) traceparent: Box<[u8]>,
}

impl Content {
    /// One of which the method was read.
    pub(super) fn new(kind: Kind, begun: Begun, exchange: Option<&[u8]>, routing_key: &[u8]) -> Self {
        Self {
            kind,
            begun,
            exchange: exchange.map(Into::into),
            routing_key: routing_key.into(),
            queue: None,
            is_mandatory: false,
            body: None,
            traceparent: Box::default(),
        }
    }

    /// Adds the properties. Whether the message ends with them.
    pub(super) fn add_properties(&mut self, properties: &Properties<'_>) -> bool {
        self.body = Some((properties.body_bytes, properties.body_bytes));
        if let Some(traceparent) = properties.traceparent.filter(|text| text.len() <= MAX_TRACEPARENT_BYTES) {
            self.traceparent = traceparent.into();
        }
        properties.body_bytes == 0
    }

    /// Adds a part of the body. Whether it was the last one; none when it cannot be a part of this message.
    pub(super) fn add_body(&mut self, bytes: u64) -> Option<bool> {
        let (_, left) = self.body.as_mut()?;
        *left = left.checked_sub(bytes)?;
        Some(*left == 0)
    }

    /// Bytes that the rest of the body takes in frames that are as long as the one before.
    pub(super) fn rest_in_frames(&self, frame_bytes: u64) -> u64 {
        let left = self.body.map_or(0, |(_, left)| left);
        let frames = left.div_ceil(frame_bytes.max(1));
        left.saturating_add(frames.saturating_mul(FRAME_BYTES))
    }

    /// What metrics tell apart.
    pub(super) fn method(&self) -> Method {
        match self.kind {
            Kind::Publish => Method::Produce,
            Kind::Deliver | Kind::Get | Kind::Return => Method::Consume,
        }
    }

    fn operation(&self) -> &'static str {
        match self.kind {
            Kind::Publish => "publish",
            Kind::Deliver => "deliver",
            Kind::Get => "get",
            Kind::Return => "return",
        }
    }

    /// Its span's name. Names that brokers make up are left out: there may be any number of them.
    pub(super) fn name(&self) -> Vec<u8> {
        let mut name = self.operation().as_bytes().to_vec();
        let place: &[u8] = match (self.kind, &self.queue) {
            (Kind::Publish, _) => match &self.exchange {
                Some(exchange) if exchange.is_empty() => b"amq.default",
                Some(exchange) => exchange,
                None => b"",
            },
            (_, Some(queue)) if !queue.starts_with(b"amq.") => queue,
            _ => b"",
        };
        if !place.is_empty() {
            name.push(b' ');
            name.extend_from_slice(place);
        }
        name
    }

    /// What spans say of it.
    pub(super) fn attributes(&self) -> Vec<Attribute<'_>> {
        // The exchange without a name delivers to the queue that the routing key names.
        let sent_to = match &self.exchange {
            Some(exchange) if exchange.is_empty() => Some(&self.routing_key),
            exchange => exchange.as_ref(),
        };
        let destination = self.queue.as_ref().or(sent_to).filter(|name| !name.is_empty());
        let kind: &[u8] = if self.kind == Kind::Publish { b"send" } else { b"receive" };
        let mut attributes = vec![
            Attribute::text("messaging.operation.name", self.operation().as_bytes()),
            Attribute::text("messaging.operation.type", kind),
        ];
        if let Some(destination) = destination {
            attributes.push(Attribute::text("messaging.destination.name", destination));
        }
        if !self.routing_key.is_empty() {
            let key = "messaging.rabbitmq.destination.routing_key";
            attributes.push(Attribute::text(key, &self.routing_key));
        }
        if let Some((bytes, _)) = self.body {
            let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
            attributes.push(Attribute::integer("messaging.message.body.size", bytes));
        }
        if !self.traceparent.is_empty() {
            attributes.push(Attribute::text("traceparent", &self.traceparent));
        }
        attributes
    }
}
