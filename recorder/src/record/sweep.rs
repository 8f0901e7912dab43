//! The periodic sweep: counters of open connections, and what it tells of events that were lost.

use std::collections::BTreeSet;

use aftertrace_schemas::tables::{SocketKind, SocketSnapshot, TcpEvent, TcpEventKind};

use super::observe::tcp_event;
use crate::live_state::LiveState;

/// What a sweep of the kernel's sockets found, all at one moment.
#[derive(Debug, Default)]
pub(super) struct Sweep {
    /// When it began, boot time.
    pub(super) began_ns: u64,
    /// Every socket that the kernel still follows.
    pub(super) alive: BTreeSet<u64>,
}

impl Sweep {
    /// Ends of sockets that were there before the sweep, and that the kernel no longer has: their events were lost.
    /// To be asked when every event from before the sweep was applied. `began_unix_ns` is `began_ns` as row time.
    pub(super) fn lost_ends(&self, live: &LiveState, began_unix_ns: i64) -> Vec<TcpEvent> {
        live.sockets()
            .filter(|socket| !self.alive.contains(&socket.connection_id))
            .filter(|socket| socket.opened.is_none_or(|opened| opened.0 < began_unix_ns))
            .map(inferred_end)
            .collect()
    }
}

/// Whether a row of counters says what is known already.
pub(super) fn is_old_news(row: &TcpEvent, live: &LiveState) -> bool {
    row.kind == TcpEventKind::Statistics
        && live.socket(row.connection_id).is_some_and(|socket| {
            row.bytes_sent == Some(socket.bytes_sent)
                && row.bytes_received == Some(socket.bytes_received)
                && row.retransmits == Some(socket.retransmits)
        })
}

fn inferred_end(socket: &SocketSnapshot) -> TcpEvent {
    let kind =
        if socket.kind == SocketKind::Listen { TcpEventKind::ListenClose } else { TcpEventKind::Close };
    let event = tcp_event(kind, socket.connection_id, socket.pid, socket.process_start_ns);
    TcpEvent { inferred: true, ..event }
}
