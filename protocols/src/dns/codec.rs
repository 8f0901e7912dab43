//! Reads messages off datagrams and streams.

use std::borrow::Cow;
use std::collections::VecDeque;

use super::message::{self, Asked, HEADER_BYTES, Message};
use crate::{
    Attribute, Codec, Key, PerSide, Progress, Question, Request, Response, Side, Sink, Status, Stream,
    Transport,
};

/// Of a message in a stream, looked at.
const HEAD_BYTES: usize = 16 * 1024;
/// Questions that are remembered for answers which do not repeat them.
const MAX_RECENT: usize = 64;

/// The state of a conversation.
#[derive(Debug)]
pub(super) struct DnsCodec {
    is_datagrams: bool,
    /// Read, but not to its last byte.
    open: PerSide<Option<Open>>,
    recent: VecDeque<(u16, Asked)>,
    /// The zone transfer that goes on: its further messages answer nothing.
    transfer: Option<u16>,
}

#[derive(Debug)]
struct Open {
    message: Message,
    first_ns: u64,
}

impl DnsCodec {
    pub(super) fn new(transport: Transport) -> Self {
        Self {
            is_datagrams: transport == Transport::StreamAndDatagrams,
            open: PerSide { client: None, server: None },
            recent: VecDeque::new(),
            transfer: None,
        }
    }

    fn read_datagram(&mut self, stream: &mut Stream, sink: &mut dyn Sink) -> Progress {
        let bytes = stream.bytes();
        let hole = usize::try_from(stream.hole()).unwrap_or(usize::MAX);
        let size = bytes.len().saturating_add(hole);
        if size == 0 {
            return Progress::Wait;
        }
        let Some(message) = message::parse(bytes, size) else {
            return if bytes.len() < HEADER_BYTES.min(size) { Progress::Lost } else { Progress::Foreign };
        };
        let first_ns = stream.time_ns();
        stream.skip(size as u64);
        self.tell(Open { message, first_ns }, stream.last_ns(), sink)
    }

    fn read_stream(&mut self, side: Side, stream: &mut Stream, sink: &mut dyn Sink) -> Progress {
        loop {
            if stream.lacks() > 0 {
                return Progress::Wait;
            }
            if let Some(open) = self.open.of(side).take()
                && self.tell(open, stream.last_ns(), sink) == Progress::Lost
            {
                return Progress::Lost;
            }
            let Some((length, rest)) = stream.bytes().split_first_chunk() else { return Progress::Wait };
            let length = usize::from(u16::from_be_bytes(*length));
            if length < HEADER_BYTES {
                return Progress::Foreign;
            }
            let wanted = length.min(HEAD_BYTES);
            if rest.len() < wanted && !stream.is_cut() {
                return Progress::Wait;
            }
            let there = rest.get(..wanted.min(rest.len())).unwrap_or_default();
            if there.len() < HEADER_BYTES {
                return Progress::Lost;
            }
            let message = message::parse(there, length)
                .filter(|message| message.is_whole || message.is_cut)
                .filter(|message| message.is_response == (side == Side::Server));
            let Some(message) = message else { return Progress::Foreign };
            let first_ns = stream.time_ns();
            stream.skip(2 + length as u64);
            *self.open.of(side) = Some(Open { message, first_ns });
        }
    }

    fn tell(&mut self, open: Open, last_ns: u64, sink: &mut dyn Sink) -> Progress {
        if open.message.is_response {
            self.answered(&open, last_ns, sink);
            Progress::Wait
        } else {
            self.asked(open, sink)
        }
    }

    fn asked(&mut self, open: Open, sink: &mut dyn Sink) -> Progress {
        let Open { message, first_ns } = open;
        let Some(asked) = message.question else {
            // Without a question there is a session's housekeeping (RFC 8490), or it was cut off.
            return if message.is_cut { Progress::Lost } else { Progress::Wait };
        };
        let key = key(message.id, &asked);
        if self.is_datagrams && sink.pending(key).is_some() {
            // Asked again since the answer is late: who asks waits since the first time.
            return Progress::Wait;
        }
        let attributes = [Attribute::text("dns.question.name", asked.name.as_bytes())];
        let kind = kind(asked.kind);
        let request = Request {
            name: match message.opcode {
                0 => kind.strip_prefix("Type").unwrap_or(&kind).as_bytes(),
                2 => b"STATUS",
                4 => b"NOTIFY",
                5 => b"UPDATE",
                _ => b"",
            },
            attributes: if sink.wants_details() { &attributes } else { &[] },
            ..Request::new(key, first_ns)
        };
        sink.request(&request);
        if self.recent.len() == MAX_RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back((message.id, asked));
        Progress::Wait
    }

    fn answered(&mut self, open: &Open, last_ns: u64, sink: &mut dyn Sink) {
        let message = &open.message;
        let Some(asked) = self.question_of(message, sink) else {
            // Announcements of mDNS answer nobody.
            if message.answers.is_empty() {
                let key = Key::Id(u64::from(message.id) << 48);
                sink.response(&Response::new(key, open.first_ns, last_ns, status(message.code)));
            }
            return;
        };
        let key = key(message.id, &asked);
        if self.transfer == Some(message.id) && sink.pending(key).is_none() {
            return;
        }
        self.transfer = matches!(asked.kind, 251 | 252).then_some(message.id);
        let kind = kind(asked.kind);
        let mut answers = String::new();
        if sink.wants_details() {
            for address in &message.addresses {
                let comma = if answers.is_empty() { "" } else { "," };
                answers.push_str(&format!("{comma}{address}"));
            }
        }
        let attributes = [Attribute::text("dns.answers", answers.as_bytes())];
        sink.response(&Response {
            attributes: if answers.is_empty() { &[] } else { &attributes },
            question: Some(Question { kind: &kind, name: &asked.name, addresses: &message.addresses }),
            ..Response::new(key, open.first_ns, last_ns, status(message.code))
        });
    }

    /// What an answer answers. Of one that does not repeat the question, as those to what a server could not read, or
    /// those of mDNS: what was asked last with its identifier and, if it has records, with one of their names.
    fn question_of(&self, message: &Message, sink: &dyn Sink) -> Option<Asked> {
        if let Some(asked) = &message.question {
            return Some(asked.clone());
        }
        let mut candidates = self.recent.iter().filter(|(id, asked)| {
            *id == message.id
                && sink.pending(key(*id, asked)).is_some()
                && (message.answers.is_empty() || message.answers.iter().any(|one| one.hash == asked.hash))
        });
        let first = candidates.next();
        // Two that wait and cannot be told apart: neither.
        first
            .filter(|_| candidates.next().is_none() || !message.answers.is_empty())
            .map(|(_, asked)| asked.clone())
    }
}

impl Codec for DnsCodec {
    fn read(&mut self, side: Side, stream: &mut Stream, sink: &mut dyn Sink) -> Progress {
        if self.is_datagrams {
            self.read_datagram(stream, sink)
        } else {
            self.read_stream(side, stream, sink)
        }
    }

    fn lost(&mut self, side: Side) {
        *self.open.of(side) = None;
    }

    fn memory_bytes(&self) -> usize {
        let names: usize = self.recent.iter().map(|(_, asked)| asked.name.len()).sum();
        self.recent.capacity() * size_of::<(u16, Asked)>() + names
    }
}

/// Identifiers come again soon; with the question they do not.
fn key(id: u16, asked: &Asked) -> Key {
    Key::Id(u64::from(id) << 48 | asked.hash >> 16)
}

fn status(code: u16) -> Status {
    let (label, is_error) = match code {
        0 => ("ok", false),
        1 => ("format_error", true),
        2 => ("servfail", true),
        // An answer like others: resolvers try names with each suffix of their search list.
        3 => ("nxdomain", false),
        4 => ("not_implemented", true),
        5 => ("refused", true),
        _ => (other_label(code), true),
    };
    Status { label, is_error }
}

fn other_label(code: u16) -> &'static str {
    const LABELS: [&str; 18] = [
        "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16", "17", "18", "19", "20", "21", "22",
        "23",
    ];
    LABELS.get(usize::from(code).wrapping_sub(6)).copied().unwrap_or("other")
}

/// As Go's `dnsmessage` names it.
fn kind(kind: u16) -> Cow<'static, str> {
    Cow::Borrowed(match kind {
        1 => "TypeA",
        2 => "TypeNS",
        5 => "TypeCNAME",
        6 => "TypeSOA",
        11 => "TypeWKS",
        12 => "TypePTR",
        13 => "TypeHINFO",
        14 => "TypeMINFO",
        15 => "TypeMX",
        16 => "TypeTXT",
        28 => "TypeAAAA",
        33 => "TypeSRV",
        41 => "TypeOPT",
        64 => "TypeSVCB",
        65 => "TypeHTTPS",
        252 => "TypeAXFR",
        255 => "TypeALL",
        _ => return Cow::Owned(format!("Type{kind}")),
    })
}
