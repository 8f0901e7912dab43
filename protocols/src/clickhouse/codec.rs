//! Follows the packets of both sides. It holds a few queries and, of a block that is being read, a list of what is to
//! come; no bytes.

use super::blocks::{self, Block};
use super::client::{self, ADDENDUM, NEWEST_REVISION, PARAMETERS};
use super::queries::Queries;
use super::server;
use super::wire::{Stop, Wire};
use crate::statement::{Dialect, Named};
use crate::{Codec, PerSide, Progress, Request, Side, Sink, Stream};

/// Of a statement, kept.
const MAX_STATEMENT_BYTES: usize = 1024;
/// A packet whose end is not seen in so many bytes is none.
const MAX_HEAD_BYTES: usize = 32 * 1024;
/// Of the name of a database, kept.
const MAX_DATABASE_BYTES: usize = 64;

/// The state of a connection.
#[derive(Debug, Default)]
pub(super) struct ClickhouseCodec {
    places: PerSide<Place>,
    revisions: PerSide<Option<u64>>,
    /// As queries show it, where hellos were not seen.
    shown_revision: Option<u64>,
    database: Vec<u8>,
    queries: Queries,
    /// Something was read that nothing else looks like.
    is_certain: bool,
}

/// Where in the packets of one side it is.
#[derive(Debug, Default)]
struct Place {
    state: State,
    /// Place in the stream behind the last call.
    end: u64,
    /// Bytes that the last call moved.
    call_bytes: u64,
    /// Bytes that the one before it moved.
    call_before_bytes: u64,
    /// The stream was broken since the last call.
    is_broken: bool,
}

#[derive(Debug, Default)]
enum State {
    /// A call may begin with a packet.
    #[default]
    Searching,
    /// A packet comes next.
    Packet,
    /// A packet or what follows a hello.
    Addendum,
    /// What follows a statement.
    Parameters,
    Block(Block),
    /// The stack trace of an exception.
    Trace,
    /// Whether an exception has a cause.
    Cause,
    /// The cause of an exception.
    Exception,
    /// Packets are wrapped in chunks.
    Opaque,
}

impl Codec for ClickhouseCodec {
    fn read(&mut self, side: Side, stream: &mut Stream, sink: &mut dyn Sink) -> Progress {
        self.begin_call(side, stream, sink);
        let progress = self.read_packets(side, stream, sink);
        if side == Side::Server {
            self.queries.goes_on(stream.last_ns());
        }
        progress
    }

    fn lost(&mut self, side: Side) {
        let place = self.places.of(side);
        place.is_broken = true;
        if !matches!(place.state, State::Opaque) {
            place.state = State::Searching;
        }
    }

    fn memory_bytes(&self) -> usize {
        let of_block = |place: &Place| match &place.state {
            State::Block(block) => block.memory_bytes(),
            _ => 0,
        };
        of_block(&self.places.client)
            + of_block(&self.places.server)
            + self.queries.memory_bytes()
            + self.database.capacity()
    }
}

impl ClickhouseCodec {
    fn begin_call(&mut self, side: Side, stream: &Stream, sink: &mut dyn Sink) {
        let place = self.places.of(side);
        let here = stream.position();
        let end = match stream.lacks() {
            0 => here + stream.bytes().len() as u64 + stream.hole(),
            lacks => here - lacks,
        };
        // A place in a hole breaks a stream of which nothing is lost.
        let is_lost = std::mem::take(&mut place.is_broken) && here != place.end;
        place.call_before_bytes = place.call_bytes;
        place.call_bytes = end.saturating_sub(place.end);
        place.end = end;
        if is_lost {
            self.queries.is_in();
        }
        if is_lost && side == Side::Server {
            self.queries.doubt(stream.time_ns(), sink);
        }
    }

    fn read_packets(&mut self, side: Side, stream: &mut Stream, sink: &mut dyn Sink) -> Progress {
        loop {
            if stream.lacks() > 0 {
                return Progress::Wait;
            }
            if stream.bytes().is_empty() && stream.hole() == 0 {
                return Progress::Wait;
            }
            if side == Side::Server {
                self.queries.begins(stream.time_ns());
            }
            let read = match side {
                Side::Client => self.step_of_client(stream, sink),
                Side::Server => self.step_of_server(stream, sink),
            };
            match read {
                Ok(()) => {}
                Err(Stop::More) if stream.lacks() > 0 => return Progress::Wait,
                Err(Stop::More) if !stream.is_cut() && stream.bytes().len() < MAX_HEAD_BYTES => {
                    return Progress::Wait;
                }
                Err(_) if !self.is_certain => return Progress::Foreign,
                Err(_) => return self.pass(side, stream, sink),
            }
        }
    }

    /// Leaves out what there is of a call that cannot be read on. The next one may begin with a packet.
    fn pass(&mut self, side: Side, stream: &mut Stream, sink: &mut dyn Sink) -> Progress {
        stream.skip(stream.bytes().len() as u64 + stream.hole());
        let place = self.places.of(side);
        if !matches!(place.state, State::Opaque) {
            place.state = State::Searching;
        }
        if side == Side::Server {
            if self.queries.is_failing() {
                self.queries.ended(stream.last_ns(), sink);
            }
            self.queries.give_up(1, stream.last_ns(), sink);
        }
        Progress::Wait
    }

    /// What both sides know; guessed where it was not seen.
    fn revision(&self) -> Option<u64> {
        match (self.revisions.client, self.revisions.server) {
            (Some(client), Some(server)) => Some(client.min(server)),
            _ => self.shown_revision,
        }
    }

    fn step_of_client(&mut self, stream: &mut Stream, sink: &mut dyn Sink) -> Result<(), Stop> {
        let revision = self.revision().unwrap_or(NEWEST_REVISION);
        let place = &mut self.places.client;
        let mut wire = Wire::new(stream.bytes());
        let next = match &mut place.state {
            State::Opaque => return Err(Stop::Bad),
            State::Block(block) => {
                block.read(stream, revision)?;
                place.state = State::Packet;
                return Ok(());
            }
            State::Parameters => {
                client::parameters(&mut wire)?;
                State::Packet
            }
            State::Addendum if self.revisions.server.is_some() => {
                match client::addendum(&mut wire, revision) {
                    Ok(true) => State::Opaque,
                    Ok(false) => State::Packet,
                    Err(Stop::More) => return Err(Stop::More),
                    Err(Stop::Bad) => {
                        wire = Wire::new(stream.bytes());
                        State::Packet
                    }
                }
            }
            state => {
                let is_searching = matches!(state, State::Searching);
                let is_addendum = matches!(state, State::Addendum);
                match wire.u8()? {
                    0 if stream.position() == 0 => return self.hello_of_client(stream),
                    1 => return self.query(stream, sink),
                    2 | 7 => {
                        wire.text(256)?;
                        if is_searching {
                            check_block(wire)?;
                        }
                        self.is_certain = true;
                        State::Block(Block::new())
                    }
                    _ if is_searching => return Err(Stop::Bad),
                    3 | 4 => State::Packet,
                    8 => {
                        let parts = wire.number_to(1 << 20)?;
                        let taken = wire.taken() as u64;
                        stream.skip(taken + parts * 16);
                        place.state = State::Packet;
                        return Ok(());
                    }
                    11 if is_addendum => State::Addendum,
                    12 if is_addendum => {
                        wire.bytes(64 * 1024)?;
                        State::Addendum
                    }
                    _ => return Err(Stop::Bad),
                }
            }
        };
        let taken = wire.taken();
        self.places.client.state = next;
        stream.skip(taken as u64);
        Ok(())
    }

    fn hello_of_client(&mut self, stream: &mut Stream) -> Result<(), Stop> {
        let mut wire = Wire::new(stream.bytes());
        wire.u8()?;
        let hello = client::hello(&mut wire, &mut |_, _| {})?;
        self.database = hello.database.iter().copied().take(MAX_DATABASE_BYTES).collect();
        self.revisions.client = Some(hello.revision);
        self.places.client.state = if hello.revision >= ADDENDUM { State::Addendum } else { State::Packet };
        self.is_certain = true;
        self.queries.greets(stream.time_ns());
        let taken = wire.taken() as u64;
        stream.skip(taken);
        Ok(())
    }

    fn query(&mut self, stream: &mut Stream, sink: &mut dyn Sink) -> Result<(), Stop> {
        let bytes = stream.bytes();
        let mut wire = Wire::new(bytes);
        wire.u8()?;
        let known = self.revision();
        let read = match known {
            Some(revision) => client::query(&mut wire, revision, &mut |_, _| {})
                .map(|query| (query, revision, wire.taken())),
            None => Err(Stop::Bad),
        };
        let (query, revision, taken) = match read {
            Err(Stop::Bad) => client::query_of_unknown_revision(bytes)?,
            read => read?,
        };
        let statement = query.statement;
        let wanted = usize::try_from(statement.length).unwrap_or(usize::MAX).min(MAX_STATEMENT_BYTES);
        if statement.head.len() < wanted && !stream.is_cut() {
            return Err(Stop::More);
        }
        let begun = stream.begun();
        let text = statement.head.get(..wanted).unwrap_or(statement.head);
        let named =
            if sink.wants_details() { Named::of(Dialect::ClickHouse, text) } else { Named::default() };
        let attributes =
            if sink.wants_details() { named.attributes(text, &self.database) } else { Vec::new() };
        let may_be_unseen = matches!(self.places.server.state, State::Searching);
        let key = self.queries.next_key();
        self.queries.ask(begun.time_ns, may_be_unseen, sink);
        sink.request(&Request {
            name: named.name("query"),
            attributes: &attributes,
            ..Request::new(key, begun)
        });
        self.is_certain = true;
        self.shown_revision = Some(revision);
        self.places.client.state = if revision >= PARAMETERS { State::Parameters } else { State::Packet };
        let before = (taken - statement.head.len()) as u64;
        stream.skip(before + statement.length);
        Ok(())
    }

    fn step_of_server(&mut self, stream: &mut Stream, sink: &mut dyn Sink) -> Result<(), Stop> {
        let revision = self.revision().unwrap_or(NEWEST_REVISION);
        let place = &mut self.places.server;
        let mut wire = Wire::new(stream.bytes());
        let mut content = 0;
        let next = match &mut place.state {
            State::Opaque => return Err(Stop::Bad),
            State::Block(block) => {
                block.read(stream, revision)?;
                place.state = State::Packet;
                return Ok(());
            }
            State::Trace => {
                content = wire.number_to(1 << 30)?;
                State::Cause
            }
            State::Cause => match wire.u8()? {
                0 => {
                    stream.skip(1);
                    self.places.server.state = State::Packet;
                    self.queries.ended(stream.last_ns(), sink);
                    return Ok(());
                }
                1 => State::Exception,
                _ => return Err(Stop::Bad),
            },
            State::Exception => {
                server::exception(&mut wire)?;
                content = wire.number_to(1 << 30)?;
                State::Trace
            }
            state => {
                let is_searching = matches!(state, State::Searching);
                match wire.u8()? {
                    0 if stream.position() == 0 => {
                        let theirs = server::hello(&mut wire)?;
                        self.revisions.server = Some(theirs);
                        self.queries.is_in();
                        self.is_certain = true;
                        let revision = self.revision().ok_or(Stop::Bad)?;
                        server::hello_rest(&mut wire, revision)?;
                        State::Packet
                    }
                    1 | 7 | 8 | 10 | 14 => {
                        wire.text(256)?;
                        if is_searching {
                            check_block(wire)?;
                        }
                        self.is_certain = true;
                        State::Block(Block::new())
                    }
                    2 => {
                        let code = server::exception(&mut wire)?;
                        content = wire.number_to(1 << 30)?;
                        self.queries.fails(code);
                        self.is_certain = true;
                        State::Trace
                    }
                    // By itself a byte says this only where calls are not all of one byte.
                    5 if is_searching => {
                        let is_alone = wire.rest().is_empty() && stream.hole() == 0;
                        if !is_alone || place.call_bytes != 1 || place.call_before_bytes == 1 {
                            return Err(Stop::Bad);
                        }
                        State::Searching
                    }
                    5 => State::Packet,
                    3 => {
                        server::progress(&mut wire, revision)?;
                        if is_searching { State::Searching } else { State::Packet }
                    }
                    6 => {
                        server::profile(&mut wire, revision)?;
                        if is_searching { State::Searching } else { State::Packet }
                    }
                    _ if is_searching => return Err(Stop::Bad),
                    4 | 13 => State::Packet,
                    11 => {
                        wire.text(256)?;
                        if blocks::is_frame(wire.rest()) == Some(true) {
                            State::Block(Block::new())
                        } else {
                            content = wire.number_to(1 << 30)?;
                            State::Packet
                        }
                    }
                    12 => {
                        content = wire.number_to(1 << 20)? * 16;
                        State::Packet
                    }
                    17 | 18 => {
                        wire.text(4096)?;
                        State::Packet
                    }
                    _ => return Err(Stop::Bad),
                }
            }
        };
        let is_end = stream.bytes().first() == Some(&5) && wire.taken() == 1;
        let taken = wire.taken() as u64;
        let is_packet = matches!(self.places.server.state, State::Searching | State::Packet);
        self.places.server.state = next;
        stream.skip(taken + content);
        if is_end && is_packet {
            self.queries.ended(stream.last_ns(), sink);
        }
        Ok(())
    }
}

/// Whether a block begins, when it is not known that one must.
fn check_block(mut wire: Wire<'_>) -> Result<(), Stop> {
    if blocks::is_frame(wire.rest()) == Some(true) {
        return Ok(());
    }
    match blocks::beginning(&mut wire)? {
        (0, _) => Ok(()),
        _ => blocks::column(&mut wire).map(|_| ()),
    }
}
