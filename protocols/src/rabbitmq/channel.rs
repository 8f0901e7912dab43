//! What is known of a channel: which queue a consumer has its messages from, and which messages wait to be confirmed.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::content::Content;
use crate::{Attribute, Key, Response, Sink, Status};

/// Consumers of a channel whose queues are remembered, with names of at most 255 bytes.
const MAX_CONSUMERS: usize = 64;
/// Consumers and single messages that were asked for and did not come.
const MAX_WAITING: usize = 64;
/// Messages that wait to be confirmed, of a connection; more are taken as sent.
const MAX_UNCONFIRMED: usize = 4000;

type Name = Box<[u8]>;

/// The state of a channel.
#[derive(Debug, Default)]
pub(super) struct Channel {
    /// All of it was seen, so that answers come in the order of what was asked.
    is_whole: bool,
    /// By their tags.
    consumers: VecDeque<(Name, Name)>,
    /// Queues of consumers whose tags the broker chooses.
    consumes: VecDeque<Name>,
    gets: VecDeque<Name>,
    last_declared: Name,
    /// Messages are confirmed.
    is_confirming: bool,
    /// The number of the next one, if none was lost.
    next: Option<u64>,
    unconfirmed: VecDeque<Unconfirmed>,
}

#[derive(Debug)]
struct Unconfirmed {
    number: u64,
    ended_ns: u64,
    /// Where it went, if it may come back.
    place: Option<u64>,
    /// Why it came back.
    returned: Option<Name>,
    /// Confirmations may have been lost.
    is_doubtful: bool,
}

/// How messages were confirmed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Confirmation {
    pub(super) number: u64,
    /// All up to that number.
    pub(super) is_multiple: bool,
    pub(super) is_taken: bool,
}

impl Channel {
    /// One that was just opened.
    pub(super) fn opened() -> Self {
        Self { is_whole: true, ..Self::default() }
    }

    /// Something of a side was lost.
    pub(super) fn lost(&mut self, is_client: bool) {
        self.is_whole = false;
        self.consumes.clear();
        self.gets.clear();
        if is_client {
            self.next = None;
        } else {
            for one in &mut self.unconfirmed {
                one.is_doubtful = true;
            }
        }
    }

    /// From now on, messages are confirmed.
    pub(super) fn confirms(&mut self) {
        self.is_confirming = true;
        self.next = self.is_whole.then_some(1);
    }

    /// A queue was declared.
    pub(super) fn declared(&mut self, queue: &[u8]) {
        self.last_declared = queue.into();
    }

    /// A consumer is asked for.
    pub(super) fn consumes(&mut self, queue: &[u8], tag: &[u8]) {
        let queue: Name = self.queue(queue).into();
        if !tag.is_empty() {
            self.add_consumer(tag, queue);
        }
        // Without a tag an answer comes, which has one.
        else if self.is_whole && self.consumes.len() < MAX_WAITING {
            self.consumes.push_back(queue);
        }
    }

    /// The consumer has this tag.
    pub(super) fn consumes_as(&mut self, tag: &[u8]) {
        if self.queue_of(tag).is_none()
            && let Some(queue) = self.consumes.pop_front()
        {
            self.add_consumer(tag, queue);
        }
    }

    fn add_consumer(&mut self, tag: &[u8], queue: Name) {
        self.consumers.retain(|(known, _)| **known != *tag);
        if self.consumers.len() >= MAX_CONSUMERS {
            self.consumers.pop_front();
        }
        if !queue.is_empty() {
            self.consumers.push_back((tag.into(), queue));
        }
    }

    /// The queue of a consumer.
    pub(super) fn queue_of(&self, tag: &[u8]) -> Option<&[u8]> {
        self.consumers.iter().find(|(known, _)| **known == *tag).map(|(_, queue)| &**queue)
    }

    /// A message is asked for.
    pub(super) fn gets(&mut self, queue: &[u8]) {
        if self.is_whole && self.gets.len() < MAX_WAITING {
            self.gets.push_back(self.queue(queue).into());
        }
    }

    /// The queue of the message that came, or did not.
    pub(super) fn got(&mut self) -> Option<Name> {
        self.gets.pop_front().filter(|queue| !queue.is_empty())
    }

    /// No name means the last one that was declared.
    fn queue<'name>(&'name self, name: &'name [u8]) -> &'name [u8] {
        if name.is_empty() { &self.last_declared } else { name }
    }

    /// A message was sent. Its key when it will be confirmed, or the status that it has at once.
    pub(super) fn published(
        &mut self,
        channel: u16,
        content: &Content,
        ended_ns: u64,
        sink: &dyn Sink,
    ) -> Result<Key, Status> {
        if !self.is_confirming {
            return Err(Status::OK);
        }
        let Some(number) = self.next else { return Err(Status::UNKNOWN) };
        self.next = Some(number + 1);
        if sink.in_flight() >= MAX_UNCONFIRMED {
            return Err(Status::UNKNOWN);
        }
        let exchange = content.exchange.as_deref().filter(|_| content.is_mandatory);
        let place = exchange.map(|exchange| place(exchange, &content.routing_key));
        self.unconfirmed.push_back(Unconfirmed {
            number,
            ended_ns,
            place,
            returned: None,
            is_doubtful: false,
        });
        Ok(key(channel, number))
    }

    /// A message came back: the first of those that were sent there.
    pub(super) fn returned(&mut self, exchange: &[u8], routing_key: &[u8], why: &[u8]) {
        let place = Some(place(exchange, routing_key));
        let found = self.unconfirmed.iter_mut().find(|one| one.place == place && one.returned.is_none());
        if let Some(one) = found
            && !one.is_doubtful
        {
            one.returned = Some(why.into());
        }
    }

    /// The broker has messages, or has not.
    pub(super) fn confirmed(&mut self, channel: u16, confirmation: Confirmation, sink: &mut dyn Sink) {
        let Confirmation { number, is_multiple, is_taken } = confirmation;
        self.is_confirming = true;
        let mut answer = |one: &Unconfirmed| {
            let status = match (one.is_doubtful && is_multiple, &one.returned, is_taken) {
                (true, ..) => Status::UNKNOWN,
                (false, Some(_), _) | (false, _, false) => Status::FAILED,
                (false, None, true) => Status::OK,
            };
            let why = one.returned.as_deref().unwrap_or(b"nack");
            one.end(channel, status, why, sink);
        };
        if is_multiple {
            while let Some(one) = self.unconfirmed.pop_front_if(|one| number == 0 || one.number <= number) {
                answer(&one);
            }
        } else if let Ok(place) = self.unconfirmed.binary_search_by_key(&number, |one| one.number)
            && let Some(one) = self.unconfirmed.remove(place)
        {
            answer(&one);
        }
    }

    /// The channel ends: what waits will not be confirmed.
    pub(super) fn closed(&mut self, channel: u16, status: Status, why: &[u8], sink: &mut dyn Sink) {
        for one in self.unconfirmed.drain(..) {
            let why = one.returned.as_deref().unwrap_or(why);
            let status = if one.returned.is_some() { Status::FAILED } else { status };
            one.end(channel, status, why, sink);
        }
        self.is_confirming = false;
        self.next = None;
        self.is_whole = false;
    }

    /// Memory that it holds beyond its own size, bytes.
    pub(super) fn memory_bytes(&self) -> usize {
        let names = self.consumers.iter().map(|(tag, queue)| tag.len() + queue.len() + 32).sum::<usize>();
        let waiting = self.consumes.iter().chain(&self.gets).map(|queue| queue.len() + 16).sum::<usize>();
        names + waiting + self.unconfirmed.capacity() * size_of::<Unconfirmed>()
    }
}

impl Unconfirmed {
    fn end(&self, channel: u16, status: Status, why: &[u8], sink: &mut dyn Sink) {
        let attributes = [Attribute::text("error.type", why)];
        sink.response(&Response {
            attributes: if status.is_error { &attributes } else { &[] },
            // It was sent when its last byte was.
            ..Response::new(key(channel, self.number), self.ended_ns, self.ended_ns, status)
        });
    }
}

fn key(channel: u16, number: u64) -> Key {
    Key::Id((u64::from(channel) << 48) | (number & 0xffff_ffff_ffff))
}

fn place(exchange: &[u8], routing_key: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    (exchange, routing_key).hash(&mut hasher);
    hasher.finish()
}
