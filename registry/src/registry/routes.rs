//! Where outbound connections go: which of them are shown by destination, and what is behind address translation.

use aftertrace_schemas::UnixNanos;
use aftertrace_schemas::tables::NatMapping;

use super::Registry;
use crate::endpoint::{Endpoint, Route, is_in_tracked_network, is_tracked};

impl Registry {
    /// The route of a connection that opens or failed; `None` when it is not to be shown.
    pub(super) fn route(
        &mut self,
        time: UnixNanos,
        connection_id: u64,
        destination: Endpoint,
        network_namespace: Option<u32>,
    ) -> Option<Route> {
        let actual = self.translations.take(connection_id).unwrap_or(destination);
        if !is_tracked(&self.config, destination, network_namespace, self.node.network_namespace()) {
            return None;
        }
        if !is_in_tracked_network(&self.config, destination) && !self.translations.leads_inside(destination) {
            if !is_in_tracked_network(&self.config, actual) {
                return None;
            }
            // A public address of the own network: connects to it that fail have no translation that would tell so.
            self.translations.learn(destination, &self.config.limits, &mut self.drops, time);
        }
        Some(Route { destination, actual })
    }

    /// A translation: of a connection that is about to open, or late, of one that is open.
    pub(super) fn nat_mapping(&mut self, time: UnixNanos, row: &NatMapping) {
        let actual = Endpoint::new(row.actual_ip, row.actual_port);
        let (limits, drops) = (&self.config.limits, &mut self.drops);
        let Some((container, route, _)) = self.sockets.outbound(row.connection_id) else {
            self.translations.tell(row.connection_id, actual, limits, drops, time);
            return;
        };
        let to = Route { actual, ..*route };
        if to != *route
            && let Some(container) = self.containers.get_mut(container)
            && container.destinations.reroute(*route, to, time, limits, drops)
        {
            *route = to;
            if let Some(spans) = &mut self.spans {
                spans.ends.rerouted(row.connection_id, actual);
            }
        }
    }
}
