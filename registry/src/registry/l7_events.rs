//! Observations of what applications say.

use std::collections::BTreeSet;
use std::net::IpAddr;

use aftertrace_protocols::Side;
use aftertrace_schemas::UnixNanos;
use aftertrace_schemas::tables::{Datagram, SocketData};

use super::Registry;
use crate::containers::Container;
use crate::endpoint::Route;
use crate::l7::{self, Had, Place};
use crate::metrics::{Collector, definitions};
use crate::processes::ProcessKey;
use crate::spans::Told;

impl Registry {
    pub(super) fn socket_data(&mut self, time: UnixNanos, row: &SocketData) {
        if !self.talks.knows(row.connection_id) {
            // Of a connection that is not shown nothing is counted.
            let Some(connection) = self.sockets.connection(row.connection_id) else { return };
            let (limits, drops) = (&self.config.limits, &mut self.drops);
            if !self.talks.begin(row.connection_id, connection, time, limits, drops) {
                return;
            }
        }
        self.talks.data(time, row);
        self.count_exchanges(time);
    }

    pub(super) fn datagram(&mut self, time: UnixNanos, row: &Datagram) {
        let key = ProcessKey { pid: row.pid, start_ns: row.process_start_ns };
        let Some((container, _)) = self.owner(time, Some(key)) else { return };
        self.talks.datagram(time, row, container, &self.config.limits, &mut self.drops);
        self.count_exchanges(time);
    }

    /// The end of a connection, while it is still known where it went.
    pub(super) fn conversation_closed(&mut self, connection_id: u64, time: UnixNanos) {
        self.talks.closed(connection_id, time);
        self.count_exchanges(time);
    }

    /// Gives the exchanges that are complete to their containers.
    pub(super) fn count_exchanges(&mut self, time: UnixNanos) {
        while let Some(had) = self.talks.next_exchange() {
            let socket = had.connection_id().and_then(|id| self.sockets.outbound(id));
            let route = socket.map(|(_, route, _)| *route);
            self.count_exchange(&had, route, time);
            self.tell(had, route);
        }
    }

    fn count_exchange(&mut self, had: &Had, route: Option<Route>, time: UnixNanos) {
        let Had { container, own_side, protocol, ref exchange, .. } = *had;
        let (config, drops) = (&self.config, &mut self.drops);
        if let Some(question) = &exchange.question {
            self.talks.learn(&question.name, &question.addresses, time, &config.limits, drops);
        }
        let Some(container) = self.containers.get_mut(container) else { return };
        match (own_side, route) {
            (Side::Server, _) => container.requests.received(protocol, exchange, time, config),
            (Side::Client, _) if protocol.name == "dns" => {
                let domain = exchange.question.as_ref().map(|question| l7::domain(&question.name));
                container.requests.asked(exchange, &domain.unwrap_or_default(), time, (config, drops));
            }
            (Side::Client, Some(route)) => {
                container.requests.sent(protocol, route, exchange, time, (config, drops));
            }
            (Side::Client, None) => {}
        }
    }

    /// Makes a span of an exchange, if they are asked for.
    fn tell(&mut self, had: Had, route: Option<Route>) {
        let Some(spans) = &mut self.spans else { return };
        let Some(container) = self.containers.get(had.container).filter(|one| one.is_admitted) else {
            return;
        };
        let Had { place, own_side, tls, protocol, exchange, .. } = had;
        let end = match place {
            Place::Connection(id) => spans.ends.get(id).copied(),
            Place::Datagrams(pair) => Some(pair.end()),
        };
        let Some(end) = end else { return };
        let server_name = route.and_then(|route| {
            let dialled = self.talks.name_of(route.destination.ip());
            dialled.or_else(|| self.talks.name_of(route.actual.ip()))
        });
        spans.add(Told {
            protocol,
            own_side,
            tls,
            is_datagrams: matches!(place, Place::Datagrams(_)),
            exchange,
            container,
            node: &self.node,
            end: &end,
            server_name,
        });
    }

    /// The names of addresses that containers connect to.
    pub(super) fn collect_names<'a>(
        &self,
        containers: impl Iterator<Item = &'a Container>,
        collector: &mut Collector,
    ) {
        let mut addresses: BTreeSet<IpAddr> = BTreeSet::new();
        for container in containers {
            for (route, _) in container.destinations.iter() {
                addresses.extend([route.destination.ip(), route.actual.ip()]);
            }
        }
        collector.begin_placed();
        for address in addresses {
            if let Some(name) = self.talks.name_of(address) {
                let labels = [("ip", address.to_string().into()), ("fqdn", name.clone())];
                collector.add(&definitions::IP_TO_FQDN, labels, 1.0);
            }
        }
        collector.end_container();
    }
}
