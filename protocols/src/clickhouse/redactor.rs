//! Blanks passwords in hellos, and tokens and secrets of clusters in queries.

use super::client;
use super::wire::{Stop, Wire};
use crate::stream::Pushed;
use crate::{Chunk, PerSide, Redactor, Secrets, Side, Stream, blank};

/// A packet that goes on for longer than this has no secret any more.
const MAX_HEAD_BYTES: usize = 32 * 1024;

/// Of a server's hello, looked at.
const MAX_GREETING_BYTES: usize = 160;

/// What is known of a connection.
#[derive(Debug, Default)]
pub(super) struct ClickhouseRedactor {
    /// What the client has said and may go on with a secret: the calls from a hello or query on.
    stream: Stream,
    secrets: Secrets,
    revisions: PerSide<Option<u64>>,
    /// The beginning of what the server says.
    greeting: Vec<u8>,
    /// What follows a hello is next.
    expects_addendum: bool,
    /// The last call went on where nothing was kept.
    is_blind: bool,
}

impl Redactor for ClickhouseRedactor {
    fn redact(&mut self, side: Side, position: u64, size: u64, bytes: &mut [u8]) -> usize {
        if side == Side::Server {
            self.read_server(position, bytes);
            return 0;
        }
        // Queries and hellos are at the beginning of a call, since a client sends them at once.
        let waits = !self.stream.bytes().is_empty();
        let is_broken = self.stream.push(&Chunk { position, size, bytes, time_ns: 0 }) == Pushed::Broken;
        if std::mem::take(&mut self.is_blind) || (is_broken && waits) {
            // What went before may have told of a secret here.
            self.stream.discard();
            return blank(bytes);
        }
        match self.read() {
            Err(_) if self.stream.bytes().len() <= MAX_HEAD_BYTES && !self.stream.is_cut() => {}
            read => {
                self.is_blind =
                    read.is_err() && self.stream.is_cut() && self.stream.hole() < MAX_HEAD_BYTES as u64;
                self.stream.discard();
            }
        }
        self.secrets.apply(position, size, bytes)
    }
}

impl ClickhouseRedactor {
    /// Reads the revision in the server's hello, the first that it says.
    fn read_server(&mut self, position: u64, bytes: &[u8]) {
        if self.revisions.server.is_some() || position != self.greeting.len() as u64 {
            return;
        }
        let free = MAX_GREETING_BYTES - self.greeting.len();
        self.greeting.extend(bytes.iter().take(free));
        let mut wire = Wire::new(&self.greeting);
        if wire.u8() == Ok(0) {
            self.revisions.server = client::version(&mut wire).ok();
        }
    }

    /// Notes the secrets in what is there. An error when more of it is to come.
    fn read(&mut self) -> Result<(), Stop> {
        if self.expects_addendum
            && let Some((client, server)) = self.revisions.client.zip(self.revisions.server)
        {
            let mut wire = Wire::new(self.stream.bytes());
            let read = client::addendum(&mut wire, client.min(server));
            if read == Err(Stop::More) {
                return Err(Stop::More);
            }
            let taken = if read.is_ok() { wire.taken() as u64 } else { 0 };
            self.expects_addendum = false;
            self.stream.skip(taken);
        }
        let here = self.stream.position();
        let bytes = self.stream.bytes();
        let secrets = &mut self.secrets;
        let mut secret = |begin: usize, length: usize| {
            let begin = here + begin as u64;
            secrets.add(begin, begin + length as u64);
        };
        let mut wire = Wire::new(bytes);
        let read = match wire.u8() {
            Ok(0) if here == 0 => client::hello(&mut wire, &mut secret).map(|hello| {
                self.revisions.client = Some(hello.revision);
                self.expects_addendum = hello.revision >= client::ADDENDUM;
            }),
            Ok(1) => {
                let known = self.revisions.client.zip(self.revisions.server);
                let revision = match known {
                    Some((client, server)) => Ok(client.min(server)),
                    None => client::query_of_unknown_revision(bytes).map(|(_, revision, _)| revision),
                };
                match revision {
                    Ok(revision) => client::query(&mut wire, revision, &mut secret).map(|_| ()),
                    Err(stop) => {
                        client::secrets_of_unknown_revision(bytes, &mut secret);
                        Err(stop)
                    }
                }
            }
            Ok(_) => Err(Stop::Bad),
            Err(stop) => Err(stop),
        };
        // Where there is none, nothing more is waited for.
        if read == Err(Stop::More) { read } else { Ok(()) }
    }
}
