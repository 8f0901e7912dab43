//! Pairs requests with responses, in order or by their identifiers, and counts what it cannot pair.

use std::collections::VecDeque;
use std::net::IpAddr;

use crate::Begun;
use crate::codec::{Attribute, Key, Method, Question, Request, Response, Status, Value};

/// Requests of one connection that may wait at a time.
const MAX_IN_FLIGHT: usize = 4096;
/// Turns of a connection, from all answered to the next request, after which pairing in order is trusted again.
const TURNS_TO_TRUST: u32 = 3;

/// A value that is kept.
#[derive(Debug, Clone, PartialEq)]
pub enum OwnedValue {
    /// Text.
    Text(Box<str>),
    /// A number.
    Integer(i64),
}

/// What spans say of an exchange.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Details {
    /// Name of the span.
    pub name: Box<str>,
    /// Attributes, of the request and then of the response.
    pub attributes: Vec<(&'static str, OwnedValue)>,
}

impl Details {
    fn of(request: &Request<'_>) -> Box<Self> {
        let mut details = Self { name: String::from_utf8_lossy(request.name).into(), attributes: Vec::new() };
        details.extend(request.attributes);
        Box::new(details)
    }

    /// Memory that it holds, bytes.
    pub fn memory_bytes(&self) -> usize {
        let of_values = self.attributes.iter().map(|(_, value)| match value {
            OwnedValue::Text(text) => text.len(),
            OwnedValue::Integer(_) => 0,
        });
        size_of::<Self>()
            + self.name.len()
            + self.attributes.capacity() * size_of::<(&'static str, OwnedValue)>()
            + of_values.sum::<usize>()
    }

    fn extend(&mut self, attributes: &[Attribute<'_>]) {
        let owned = attributes.iter().map(|attribute| {
            let value = match attribute.value {
                Value::Text(text) => OwnedValue::Text(String::from_utf8_lossy(text).into()),
                Value::Integer(number) => OwnedValue::Integer(number),
            };
            (attribute.key, value)
        });
        self.attributes.extend(owned);
    }
}

/// What was asked of a name service, and the addresses in the answer.
#[derive(Debug, Clone, PartialEq)]
pub struct OwnedQuestion {
    /// Kind of record, as `TypeA`.
    pub kind: Box<str>,
    /// Name that was asked for.
    pub name: Box<str>,
    /// Addresses in the answer.
    pub addresses: Box<[IpAddr]>,
}

impl From<&Question<'_>> for OwnedQuestion {
    fn from(question: &Question<'_>) -> Self {
        Self { kind: question.kind.into(), name: question.name.into(), addresses: question.addresses.into() }
    }
}

/// How it came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Ending {
    /// It was answered, or nobody was to answer.
    Answered,
    /// The connection ended first.
    Closed,
    /// No response came in all the time that is waited for one.
    TimedOut,
}

/// A request and what became of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Exchange {
    /// What it does.
    pub method: Method,
    /// How it ended.
    pub ending: Ending,
    /// What the response says; [`Status::UNKNOWN`] without one.
    pub status: Status,
    /// Which request of the conversation it is, as far as they were seen, from 0.
    pub number: u64,
    /// When the first byte of the request moved.
    pub begun_ns: u64,
    /// Place of that byte in the client's stream: the same at both ends of a connection that is known from its
    /// beginning. None when another exchange began there too, and of what the server begins.
    pub position: Option<u64>,
    /// When the first byte of the response moved.
    pub first_ns: u64,
    /// When the last byte of the response moved.
    pub ended_ns: u64,
    /// For spans; none when nobody wants them.
    pub details: Option<Box<Details>>,
    /// What was asked of a name service.
    pub question: Option<Box<OwnedQuestion>>,
}

impl Exchange {
    /// From the first byte of the request to the last of the response, nanoseconds.
    pub fn duration_ns(&self) -> u64 {
        self.ended_ns.saturating_sub(self.begun_ns)
    }
}

/// Why requests or responses stayed alone, and how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Unpaired {
    /// Requests whose response was lost or cannot be told, since bytes were lost.
    pub requests_gap: u64,
    /// Responses without a request: it was lost, or is older than the recording.
    pub responses: u64,
    /// Requests beyond what may wait at a time.
    pub requests_limit: u64,
    /// Requests that nobody answered before their identifier was used again.
    pub requests_replaced: u64,
}

impl Unpaired {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.requests_gap + self.responses + self.requests_limit + self.requests_replaced
    }
}

struct Pending {
    key: Key,
    tag: u64,
    method: Method,
    number: u64,
    begun_ns: u64,
    position: Option<u64>,
    details: Option<Box<Details>>,
}

/// The requests of a connection that wait, and what came out.
pub(crate) struct Pairing {
    pending: VecDeque<Pending>,
    done: Vec<Exchange>,
    unpaired: Unpaired,
    wants_details: bool,
    /// Requests that were told of.
    count: u64,
    /// Where the latest request began.
    last_position: Option<u64>,
    /// After a gap: turns that are still to come before the order of responses is trusted.
    distrust: u32,
    /// Meanwhile: when the requests began that were seen and are not answered, if nothing else was in flight.
    outstanding: VecDeque<u64>,
}

impl Pairing {
    pub(crate) fn new(wants_details: bool) -> Self {
        Self {
            pending: VecDeque::new(),
            done: Vec::new(),
            unpaired: Unpaired::default(),
            wants_details,
            count: 0,
            last_position: None,
            distrust: 0,
            outstanding: VecDeque::new(),
        }
    }

    /// Takes what is complete.
    pub(crate) fn drain(&mut self) -> std::vec::Drain<'_, Exchange> {
        self.done.drain(..)
    }

    pub(crate) fn unpaired(&self) -> Unpaired {
        self.unpaired
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        let details = self.pending.iter().filter_map(|pending| pending.details.as_ref());
        let of_details: usize = details.map(|details| details.memory_bytes()).sum();
        self.pending.capacity() * size_of::<Pending>()
            + self.outstanding.capacity() * size_of::<u64>()
            + self.done.capacity() * size_of::<Exchange>()
            + of_details
    }

    /// Bytes were lost: which response belongs to what is not known for what waits in order or in slots.
    pub(crate) fn lost(&mut self) {
        let before = self.pending.len();
        self.pending.retain(|pending| matches!(pending.key, Key::Id(_)));
        let gone = before - self.pending.len();
        self.unpaired.requests_gap += gone as u64;
        // Of those some may be answered yet.
        self.distrust = TURNS_TO_TRUST;
        self.outstanding.clear();
    }

    /// Ends all that waits: the connection is over.
    pub(crate) fn close(&mut self, time_ns: u64) {
        while let Some(pending) = self.pending.pop_front() {
            self.done.push(pending.ended(Ending::Closed, time_ns));
        }
    }

    /// Ends what began before `time_ns` and is not answered.
    pub(crate) fn expire(&mut self, before_ns: u64, now_ns: u64) {
        let (over, waits): (VecDeque<_>, VecDeque<_>) =
            std::mem::take(&mut self.pending).into_iter().partition(|pending| pending.begun_ns < before_ns);
        self.pending = waits;
        if over.iter().any(|pending| pending.key == Key::Order) {
            // Its response would be taken for that of the next one.
            self.distrust = TURNS_TO_TRUST;
            self.outstanding.clear();
        }
        self.done.extend(over.into_iter().map(|pending| pending.ended(Ending::TimedOut, now_ns)));
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.pending.is_empty()
    }

    /// When the oldest request that waits began.
    pub(crate) fn oldest_ns(&self) -> Option<u64> {
        self.pending.iter().map(|pending| pending.begun_ns).min()
    }

    /// Whether a request in order is to be left alone, since responses to lost ones may be under way.
    fn distrusts_request(&mut self, begun_ns: u64) -> bool {
        if self.distrust == 0 {
            return false;
        }
        if self.outstanding.is_empty() {
            self.distrust -= 1;
            if self.distrust == 0 {
                return false;
            }
        }
        if self.outstanding.len() < MAX_IN_FLIGHT {
            self.outstanding.push_back(begun_ns);
        }
        self.unpaired.requests_gap += 1;
        true
    }

    /// What names a request: its number, and the place where it begins, if none before it began there or further on.
    fn place(&mut self, begun: Begun) -> (u64, Option<u64>) {
        let number = self.count;
        self.count += 1;
        let place = begun.position.filter(|place| self.last_position.is_none_or(|last| *place > last));
        self.last_position = place.or(self.last_position);
        (number, place)
    }

    fn take(&mut self, key: Key) -> Option<Pending> {
        match key {
            Key::Order => match self.pending.front() {
                Some(first) if first.key == Key::Order => self.pending.pop_front(),
                _ => {
                    let place = self.pending.iter().position(|pending| pending.key == Key::Order)?;
                    self.pending.remove(place)
                }
            },
            Key::Id(_) | Key::Slot(_) => {
                let place = self.pending.iter().position(|pending| pending.key == key)?;
                self.pending.remove(place)
            }
        }
    }

    fn find(&self, key: Key) -> Option<&Pending> {
        self.pending.iter().find(|pending| pending.key == key)
    }
}

impl Pending {
    fn ended(self, ending: Ending, time_ns: u64) -> Exchange {
        Exchange {
            method: self.method,
            ending,
            status: Status::UNKNOWN,
            number: self.number,
            begun_ns: self.begun_ns,
            position: self.position,
            first_ns: time_ns,
            ended_ns: time_ns,
            details: self.details,
            question: None,
        }
    }
}

impl crate::Sink for Pairing {
    fn request(&mut self, request: &Request<'_>) {
        if request.key == Key::Order && self.distrusts_request(request.begun.time_ns) {
            return;
        }
        if let Key::Id(_) | Key::Slot(_) = request.key
            && self.take(request.key).is_some()
        {
            self.unpaired.requests_replaced += 1;
        }
        if self.pending.len() >= MAX_IN_FLIGHT {
            self.unpaired.requests_limit += 1;
            if request.key == Key::Order {
                self.lost();
                self.outstanding.push_back(request.begun.time_ns);
            }
            return;
        }
        let (number, position) = self.place(request.begun);
        self.pending.push_back(Pending {
            key: request.key,
            tag: request.tag,
            method: request.method,
            number,
            begun_ns: request.begun.time_ns,
            position,
            details: self.wants_details.then(|| Details::of(request)),
        });
    }

    fn one_way(&mut self, request: &Request<'_>, status: Status, last_ns: u64) {
        let (number, position) = self.place(request.begun);
        self.done.push(Exchange {
            method: request.method,
            ending: Ending::Answered,
            status,
            number,
            begun_ns: request.begun.time_ns,
            position,
            first_ns: last_ns,
            ended_ns: last_ns,
            details: self.wants_details.then(|| Details::of(request)),
            question: None,
        });
    }

    fn response(&mut self, response: &Response<'_>) {
        if response.key == Key::Order && self.distrust > 0 {
            // One more than was asked for, or one that began before what it would answer, belongs to a lost request.
            // The turns begin anew.
            if self.outstanding.front().is_some_and(|begun_ns| *begun_ns <= response.first_ns) {
                self.outstanding.pop_front();
            } else {
                self.distrust = TURNS_TO_TRUST;
                self.unpaired.responses += 1;
            }
            return;
        }
        let Some(mut pending) = self.take(response.key) else {
            self.unpaired.responses += 1;
            return;
        };
        if let Some(details) = &mut pending.details {
            details.extend(response.attributes);
        }
        self.done.push(Exchange {
            method: pending.method,
            ending: Ending::Answered,
            status: response.status,
            number: pending.number,
            begun_ns: pending.begun_ns,
            position: pending.position,
            first_ns: response.first_ns,
            ended_ns: response.last_ns,
            details: pending.details,
            question: response.question.as_ref().map(|question| Box::new(question.into())),
        });
    }

    fn pending(&self, key: Key) -> Option<u64> {
        self.find(key).map(|pending| pending.tag)
    }

    fn in_flight(&self) -> usize {
        self.pending.len()
    }

    fn skipped(&mut self, key: Key, status: Status, last_ns: u64) {
        if let Some(pending) = self.take(key) {
            self.done.push(Exchange {
                status,
                ending: Ending::Answered,
                ..pending.ended(Ending::Answered, last_ns)
            });
        }
    }

    fn annotate(&mut self, key: Key, attributes: &[Attribute<'_>]) {
        let found = self.pending.iter_mut().find(|pending| pending.key == key);
        if let Some(details) = found.and_then(|pending| pending.details.as_mut()) {
            details.extend(attributes);
        }
    }

    fn wants_details(&self) -> bool {
        self.wants_details
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Sink;

    fn ask(pairing: &mut Pairing, key: Key, begun_ns: u64) {
        pairing.request(&Request::new(key, begun_ns));
    }

    fn answer(pairing: &mut Pairing, key: Key, last_ns: u64) {
        pairing.response(&Response::new(key, last_ns, last_ns, Status::OK));
    }

    fn times(pairing: &mut Pairing) -> Vec<(u64, u64)> {
        pairing.drain().map(|exchange| (exchange.begun_ns, exchange.ended_ns)).collect()
    }

    #[test]
    fn responses_in_order_answer_the_oldest_request() {
        let mut pairing = Pairing::new(false);
        for begun_ns in 1..=3 {
            ask(&mut pairing, Key::Order, begun_ns);
        }
        for last_ns in 11..=13 {
            answer(&mut pairing, Key::Order, last_ns);
        }
        assert_eq!(times(&mut pairing), [(1, 11), (2, 12), (3, 13)]);
        assert_eq!(pairing.unpaired().total(), 0);
    }

    #[test]
    fn responses_with_identifiers_come_in_any_order() {
        let mut pairing = Pairing::new(false);
        ask(&mut pairing, Key::Id(7), 1);
        ask(&mut pairing, Key::Id(8), 2);
        answer(&mut pairing, Key::Id(8), 3);
        answer(&mut pairing, Key::Id(9), 4);
        answer(&mut pairing, Key::Id(7), 5);
        assert_eq!(times(&mut pairing), [(2, 3), (1, 5)]);
        assert_eq!(pairing.unpaired().responses, 1);
    }

    #[test]
    fn what_waits_in_a_slot_is_given_up_after_a_gap() {
        let mut pairing = Pairing::new(false);
        ask(&mut pairing, Key::Slot(7), 1);
        ask(&mut pairing, Key::Id(7), 2);
        pairing.lost();
        answer(&mut pairing, Key::Slot(7), 3);
        ask(&mut pairing, Key::Slot(7), 4);
        answer(&mut pairing, Key::Slot(7), 5);
        answer(&mut pairing, Key::Id(7), 6);
        assert_eq!(times(&mut pairing), [(4, 5), (2, 6)]);
        assert_eq!(pairing.unpaired(), Unpaired { requests_gap: 1, responses: 1, ..Unpaired::default() });
    }

    #[test]
    fn after_a_gap_the_late_response_to_a_lost_request_is_not_given_to_the_next_one() {
        let mut pairing = Pairing::new(false);
        ask(&mut pairing, Key::Order, 1);
        pairing.lost();
        // The answer to the first one; then one question at a time.
        answer(&mut pairing, Key::Order, 2);
        for begun_ns in [10, 20, 30, 40] {
            ask(&mut pairing, Key::Order, begun_ns);
            answer(&mut pairing, Key::Order, begun_ns + 1);
        }
        assert_eq!(times(&mut pairing), [(30, 31), (40, 41)]);
        assert_eq!(pairing.unpaired(), Unpaired { requests_gap: 3, responses: 1, ..Unpaired::default() });
    }

    #[test]
    fn what_waits_when_the_connection_ends_is_told_of() {
        let mut pairing = Pairing::new(false);
        ask(&mut pairing, Key::Order, 1);
        pairing.close(9);
        let ended: Vec<Exchange> = pairing.drain().collect();
        assert_eq!(ended.first().map(|one| (one.ending, one.duration_ns())), Some((Ending::Closed, 8)));
    }

    #[test]
    fn a_flood_of_unanswered_requests_is_counted_and_bounded() {
        let mut pairing = Pairing::new(false);
        for begun_ns in 0..10_000 {
            ask(&mut pairing, Key::Id(begun_ns), begun_ns);
        }
        assert_eq!((pairing.in_flight(), pairing.unpaired().requests_limit), (4096, 5904));
    }
}
