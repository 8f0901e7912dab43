//! Queries that wait for their end.

use std::collections::VecDeque;

use crate::{Attribute, Key, Request, Response, Sink, Status};

/// Clients ask one thing at a time; more that wait are a flaw of theirs, or were answered unseen.
const MAX_OUTSTANDING: usize = 64;
/// What nobody has asked for is answered under this key.
const NOBODY: Key = Key::Id(u64::MAX);

/// Those of one connection.
#[derive(Debug, Default)]
pub(super) struct Queries {
    outstanding: VecDeque<Outstanding>,
    asked: u64,
    /// When a client that was not answered yet said hello.
    hello_ns: Option<u64>,
    /// The code of an exception that is being read.
    failing: Option<i32>,
}

#[derive(Debug)]
struct Outstanding {
    number: u64,
    begun_ns: u64,
    first_ns: Option<u64>,
    last_ns: u64,
    /// Bytes were lost that may have ended it.
    is_doubtful: bool,
}

impl Queries {
    /// The client said hello.
    pub(super) fn greets(&mut self, time_ns: u64) {
        self.hello_ns = Some(time_ns);
    }

    /// It was let in, or it is not known whether it was.
    pub(super) fn is_in(&mut self) {
        self.hello_ns = None;
    }

    /// The key of the next query.
    pub(super) fn next_key(&self) -> Key {
        Key::Id(self.asked)
    }

    /// Adds a query. When the answers before it `may_be_unseen`, those before it are over: the client has its answer,
    /// or it would not ask again.
    pub(super) fn ask(&mut self, begun_ns: u64, may_be_unseen: bool, sink: &mut dyn Sink) {
        let is_doubtful = self.outstanding.front().is_some_and(|front| front.is_doubtful);
        if may_be_unseen || is_doubtful || self.outstanding.len() >= MAX_OUTSTANDING {
            self.give_up(0, begun_ns, sink);
        }
        self.outstanding.push_back(Outstanding {
            number: self.asked,
            begun_ns,
            first_ns: None,
            last_ns: begun_ns,
            is_doubtful: false,
        });
        self.asked += 1;
        self.hello_ns = None;
    }

    /// Bytes of an answer are next.
    pub(super) fn begins(&mut self, time_ns: u64) {
        if let Some(front) = self.outstanding.front_mut().filter(|front| front.begun_ns <= time_ns) {
            front.first_ns.get_or_insert(time_ns);
        }
    }

    /// Bytes of an answer were read.
    pub(super) fn goes_on(&mut self, time_ns: u64) {
        if let Some(front) = self.outstanding.front_mut() {
            front.last_ns = time_ns;
        }
    }

    /// An exception begins; it ends the answer.
    pub(super) fn fails(&mut self, code: i32) {
        self.failing = Some(code);
    }

    /// Whether an exception was begun.
    pub(super) fn is_failing(&self) -> bool {
        self.failing.is_some()
    }

    /// Calls of the server were lost, and any ends with them.
    pub(super) fn doubt(&mut self, time_ns: u64, sink: &mut dyn Sink) {
        self.failing = None;
        self.give_up(1, time_ns, sink);
        if let Some(last) = self.outstanding.front_mut() {
            last.is_doubtful = true;
        }
    }

    /// What is outstanding before the last so many may have been answered, or not.
    pub(super) fn give_up(&mut self, but: usize, time_ns: u64, sink: &mut dyn Sink) {
        while self.outstanding.len() > but {
            let Some(gone) = self.outstanding.pop_front() else { return };
            let last_ns = if gone.first_ns.is_some() { gone.last_ns } else { time_ns };
            sink.skipped(Key::Id(gone.number), Status::UNKNOWN, last_ns);
        }
    }

    /// The answer to the oldest query has come to its end.
    pub(super) fn ended(&mut self, last_ns: u64, sink: &mut dyn Sink) {
        let code = self.failing.take();
        let number = code.map(|code| code.to_string()).unwrap_or_default();
        let attributes = [Attribute::text("db.response.status_code", number.as_bytes())];
        let attributes = if code.is_some() { &attributes[..] } else { &[] };
        let status = if code.is_some() { Status::FAILED } else { Status::OK };
        // What was kept waiting for bytes that tell more may be older than the query.
        let is_answer = self.outstanding.front().is_some_and(|front| front.begun_ns <= last_ns);
        let Some(front) = self.outstanding.pop_front_if(|_| is_answer) else {
            match self.hello_ns.take().filter(|_| code.is_some()) {
                // Nobody is let in like this.
                Some(begun_ns) => {
                    let request = Request { name: b"hello", attributes, ..Request::new(NOBODY, begun_ns) };
                    sink.one_way(&request, status, last_ns);
                }
                None => sink.response(&Response::new(NOBODY, last_ns, last_ns, status)),
            }
            return;
        };
        let key = Key::Id(front.number);
        if front.is_doubtful {
            sink.skipped(key, Status::UNKNOWN, last_ns);
            return;
        }
        let first_ns = front.first_ns.unwrap_or(last_ns);
        sink.response(&Response { attributes, ..Response::new(key, first_ns, last_ns, status) });
    }

    /// Memory that it holds beyond its own size, bytes.
    pub(super) fn memory_bytes(&self) -> usize {
        self.outstanding.capacity() * size_of::<Outstanding>()
    }
}
