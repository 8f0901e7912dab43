//! Observations of TCP sockets: the hot path. No text is made and nothing is copied here but small keys.

use aftertrace_schemas::UnixNanos;
use aftertrace_schemas::tables::{SocketKind, SocketSnapshot, TcpEvent, TcpEventKind};

use super::Registry;
use crate::containers::{ContainerIndex, ListenKey};
use crate::endpoint::{Endpoint, Route};
use crate::losses::Dropped;
use crate::processes::ProcessKey;
use crate::sockets::{Counters, Purpose, Socket};
use crate::spans::Opened;

impl Registry {
    pub(super) fn tcp_event(&mut self, time: UnixNanos, row: &TcpEvent) {
        match row.kind {
            TcpEventKind::Connect => self.connected(time, row),
            TcpEventKind::ConnectError => self.connect_failed(time, row),
            TcpEventKind::Accept => self.accepted(time, row),
            TcpEventKind::ListenOpen => self.listen_opened(time, row),
            TcpEventKind::Statistics => self.statistics(time, row),
            TcpEventKind::Retransmit => self.retransmitted(time, row.connection_id),
            TcpEventKind::Close | TcpEventKind::ListenClose => {
                // What is not known here is inbound, not tracked, or not in a container: no container shows it.
                self.statistics(time, row);
                self.closed(time, row.connection_id);
            }
            TcpEventKind::Other => {}
        }
    }

    pub(super) fn socket_snapshot(&mut self, time: UnixNanos, row: &SocketSnapshot) {
        if self.sockets.contains(row.connection_id) {
            return;
        }
        let key = ProcessKey { pid: row.pid, start_ns: row.process_start_ns };
        let Some((container, _)) = self.owner(time, Some(key)) else {
            return;
        };
        if row.kind == SocketKind::Inbound {
            self.inbound(time, row.connection_id, container, Some(row.local_port), false);
            if let (Some(ip), Some(port)) = (row.remote_ip, row.remote_port) {
                self.opened_before(row, Endpoint::new(ip, port), None);
            }
            return;
        }
        let namespace = Some(row.network_namespace);
        if row.kind == SocketKind::Listen {
            let endpoint = Endpoint::new(row.local_ip, row.local_port);
            self.listens(
                time,
                row.connection_id,
                container,
                ListenKey { endpoint, network_namespace: namespace },
            );
            return;
        }
        let (Some(ip), Some(port)) = (row.remote_ip, row.remote_port) else {
            return;
        };
        let Some(route) = self.route(time, row.connection_id, Endpoint::new(ip, port), namespace) else {
            return;
        };
        // It was established before; what it has sent so far is not of this recording.
        let counters = Counters {
            bytes_sent: row.bytes_sent,
            bytes_received: row.bytes_received,
            retransmits: row.retransmits,
        };
        let has_room = self.has_room(time);
        let (limits, drops) = (&self.config.limits, &mut self.drops);
        let known = self
            .containers
            .get_mut(container)
            .and_then(|container| container.destinations.entry(route, time, limits, drops));
        if let Some(known) = known.filter(|_| has_room) {
            known.opened(time);
            known.network_namespace = namespace;
            let purpose = Purpose::Outbound { route, counters };
            self.sockets.insert(row.connection_id, Socket { container, is_from_start: false, purpose });
            self.opened_before(row, Endpoint::new(ip, port), Some(route));
        }
    }

    /// The container of the process, and its network namespace; `None` when it is in no container.
    pub(super) fn owner(
        &mut self,
        time: UnixNanos,
        key: Option<ProcessKey>,
    ) -> Option<(ContainerIndex, Option<u32>)> {
        match key.and_then(|key| self.processes.get(key)) {
            Some(process) => process.container.map(|container| (container, process.network_namespace)),
            None => {
                self.drops.count(Dropped::UnknownProcess, time);
                None
            }
        }
    }

    fn key_of(&self, row: &TcpEvent) -> Option<ProcessKey> {
        let pid = row.pid?;
        match row.process_start_ns {
            Some(start_ns) => Some(ProcessKey { pid, start_ns }),
            None => self.processes.key(pid),
        }
    }

    /// Container, route and network namespace of an outbound connection that is to be shown.
    fn outbound(&mut self, time: UnixNanos, row: &TcpEvent) -> Option<(ContainerIndex, Route, Option<u32>)> {
        let destination = Endpoint::new(row.remote_ip?, row.remote_port?);
        let (container, of_process) = self.owner(time, self.key_of(row))?;
        let namespace = row.network_namespace.or(of_process);
        let route = self.route(time, row.connection_id, destination, namespace)?;
        Some((container, route, namespace))
    }

    fn has_room(&mut self, time: UnixNanos) -> bool {
        let has_room = self.sockets.has_room(&self.config.limits);
        if !has_room {
            self.drops.count(Dropped::Sockets, time);
        }
        has_room
    }

    fn connected(&mut self, time: UnixNanos, row: &TcpEvent) {
        if self.sockets.contains(row.connection_id) {
            return;
        }
        let Some((container, route, namespace)) = self.outbound(time, row) else {
            return;
        };
        let has_room = self.has_room(time);
        let (limits, drops) = (&self.config.limits, &mut self.drops);
        let known = self
            .containers
            .get_mut(container)
            .and_then(|container| container.destinations.entry(route, time, limits, drops));
        if let Some(known) = known {
            known.connected(time, row.handshake_ns.unwrap_or(0), has_room);
            known.network_namespace = namespace;
            known.measured(row.smoothed_rtt_us);
            if has_room {
                let purpose = Purpose::Outbound { route, counters: Counters::default() };
                self.sockets.insert(row.connection_id, Socket { container, is_from_start: true, purpose });
                self.opened(time, row, Some((container, route)));
            }
        }
    }

    /// Its series have no label for what was reached: there is one a destination.
    fn connect_failed(&mut self, time: UnixNanos, row: &TcpEvent) {
        let Some((container, route, namespace)) = self.outbound(time, row) else {
            return;
        };
        let (limits, drops) = (&self.config.limits, &mut self.drops);
        let known = self.containers.get_mut(container).and_then(|container| {
            container.destinations.entry(Route::direct(route.destination), time, limits, drops)
        });
        if let Some(known) = known {
            known.connect_failed(time, row.errno);
            known.network_namespace = namespace;
        }
    }

    fn accepted(&mut self, time: UnixNanos, row: &TcpEvent) {
        let Some((index, _)) = self.owner(time, self.key_of(row)) else { return };
        let Some(container) = self.containers.get_mut(index) else { return };
        container.accepts += 1;
        self.inbound(time, row.connection_id, index, row.local_port, true);
        self.opened(time, row, None);
    }

    /// What spans need to know of a connection that opened; `route` is where a dialled one went.
    fn opened(&mut self, time: UnixNanos, row: &TcpEvent, dialled: Option<(ContainerIndex, Route)>) {
        let Some(spans) = &mut self.spans else { return };
        let (Some(local_ip), Some(local_port)) = (row.local_ip, row.local_port) else { return };
        let (Some(remote_ip), Some(remote_port)) = (row.remote_ip, row.remote_port) else { return };
        if !self.sockets.contains(row.connection_id) {
            return;
        }
        let opened = Opened {
            connection_id: row.connection_id,
            local: Endpoint::new(local_ip, local_port),
            peer: Endpoint::new(remote_ip, remote_port),
            network_namespace: row.network_namespace,
            time: Some(time),
        };
        match dialled {
            // Whose spans nobody sees is nobody's parent.
            Some((container, route)) if self.containers.get(container).is_some_and(|one| one.is_admitted) => {
                spans.ends.dialled(&opened, route.actual);
            }
            Some(_) => {}
            None => spans.ends.accepted(&opened),
        }
    }

    /// As above, of a connection that is older than the recording.
    fn opened_before(&mut self, row: &SocketSnapshot, peer: Endpoint, route: Option<Route>) {
        let Some(spans) = &mut self.spans else { return };
        let opened = Opened {
            connection_id: row.connection_id,
            local: Endpoint::new(row.local_ip, row.local_port),
            peer,
            network_namespace: Some(row.network_namespace),
            time: None,
        };
        match route {
            Some(route) => spans.ends.dialled(&opened, route.actual),
            None if self.sockets.contains(row.connection_id) => spans.ends.accepted(&opened),
            None => {}
        }
    }

    /// An inbound connection: no metric shows it by itself, but what is said on it.
    fn inbound(
        &mut self,
        time: UnixNanos,
        connection_id: u64,
        container: ContainerIndex,
        port: Option<u16>,
        is_from_start: bool,
    ) {
        if let Some(port) = port
            && self.has_room(time)
        {
            let purpose = Purpose::Inbound { port };
            self.sockets.insert(connection_id, Socket { container, is_from_start, purpose });
        }
    }

    fn listen_opened(&mut self, time: UnixNanos, row: &TcpEvent) {
        if self.sockets.contains(row.connection_id) {
            return;
        }
        if let (Some(ip), Some(port)) = (row.local_ip, row.local_port)
            && let Some((container, of_process)) = self.owner(time, self.key_of(row))
        {
            let network_namespace = row.network_namespace.or(of_process);
            let key = ListenKey { endpoint: Endpoint::new(ip, port), network_namespace };
            self.listens(time, row.connection_id, container, key);
        }
    }

    fn listens(&mut self, time: UnixNanos, connection_id: u64, container: ContainerIndex, key: ListenKey) {
        if !self.has_room(time) {
            return;
        }
        let (limits, drops) = (&self.config.limits, &mut self.drops);
        let known = self.containers.get_mut(container);
        if known.is_some_and(|container| container.listens.open(key, time, limits, drops)) {
            let purpose = Purpose::Listen(key);
            self.sockets.insert(connection_id, Socket { container, is_from_start: true, purpose });
        }
    }

    /// The kernel's totals of a connection: what they grew by goes to its destination.
    fn statistics(&mut self, time: UnixNanos, row: &TcpEvent) {
        if let Some((container, route, counters)) = self.sockets.outbound(row.connection_id) {
            let growth = counters.grow(row.bytes_sent, row.bytes_received, row.retransmits);
            let container = self.containers.get_mut(container);
            if let Some(known) = container.and_then(|container| container.destinations.get_mut(*route)) {
                known.measured(row.smoothed_rtt_us);
                known.grew(time, growth);
            }
        }
    }

    /// Counted at once; the kernel's total, when it comes, adds only what events did not tell.
    fn retransmitted(&mut self, time: UnixNanos, connection_id: u64) {
        if let Some((container, route, counters)) = self.sockets.outbound(connection_id) {
            let growth = counters.grow(None, None, counters.retransmits.checked_add(1));
            let container = self.containers.get_mut(container);
            if let Some(known) = container.and_then(|container| container.destinations.get_mut(*route)) {
                known.grew(time, growth);
            }
        }
    }

    fn closed(&mut self, time: UnixNanos, connection_id: u64) {
        self.conversation_closed(connection_id, time);
        if let Some(spans) = &mut self.spans {
            spans.ends.closed(connection_id, time);
        }
        let Some(socket) = self.sockets.remove(connection_id) else {
            return;
        };
        let Some(container) = self.containers.get_mut(socket.container) else {
            return;
        };
        match socket.purpose {
            Purpose::Listen(key) => container.listens.close(key, time),
            Purpose::Inbound { .. } => {}
            Purpose::Outbound { route, .. } => {
                if let Some(known) = container.destinations.get_mut(route) {
                    known.closed(time);
                }
            }
        }
    }
}
