//! What may be chosen about the registry. The defaults are those of coroot-node-agent but where a field says otherwise.

use std::ops::RangeInclusive;
use std::str::FromStr;

use regex::Regex;

use serde::{Deserialize, Serialize};

use crate::{Network, SpanConfig};

/// What may be chosen about the registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Containers younger than this have no metrics, nanoseconds. The default is 0: in a trace also the short-lived count.
    pub min_container_age_ns: i64,
    /// Containers whose id none of these matches have no metrics and no findings; when there is none, all have.
    pub container_allowlist: Vec<Pattern>,
    /// Containers whose id one of these matches have no metrics and no findings, whatever the other list says.
    pub container_denylist: Vec<Pattern>,
    /// Leaves out systemd's own services and those of a plain installation ([`crate::container_id::is_system_service`]).
    pub skip_systemd_system_services: bool,
    /// Connections to these ports are not tracked: they are mostly answers of protocols with a second connection.
    pub ephemeral_ports: Vec<RangeInclusive<u16>>,
    /// Ports that are tracked although they are ephemeral.
    pub tracked_ports: Vec<u16>,
    /// Connections to public addresses are tracked in these networks only; those to private ones always. The default is
    /// all of IPv4 and IPv6.
    pub tracked_networks: Vec<Network>,
    /// Upper bounds of the buckets that durations of requests are counted in, nanoseconds, growing.
    pub histogram_bounds_ns: Vec<u64>,
    /// Domain names of one container that DNS requests are counted by; the rest is `~other`.
    pub max_fqdns_per_container: usize,
    /// Spans; none are made without this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spans: Option<SpanConfig>,
    /// Bounds of memory.
    pub limits: Limits,
    /// Bounds of what a scrape gives.
    pub series: SeriesLimits,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            min_container_age_ns: 0,
            container_allowlist: Vec::new(),
            container_denylist: Vec::new(),
            skip_systemd_system_services: true,
            ephemeral_ports: vec![32_768..=60_999],
            tracked_ports: vec![50_051],
            tracked_networks: vec![Network::ALL_V4, Network::ALL_V6],
            // The default buckets of Prometheus' client for Go, which coroot-node-agent uses.
            histogram_bounds_ns: [5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000]
                .map(|milliseconds| milliseconds * 1_000_000)
                .into(),
            max_fqdns_per_container: 50,
            spans: None,
            limits: Limits::default(),
            series: SeriesLimits::default(),
        }
    }
}

impl Config {
    /// Whether a container with this id is to be shown.
    pub(crate) fn admits(&self, id: &str) -> bool {
        let is_matched = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.is_match(id));
        let is_allowed = self.container_allowlist.is_empty() || is_matched(&self.container_allowlist);
        is_allowed && !is_matched(&self.container_denylist)
    }
}

/// A regular expression, found anywhere in a text unless it has anchors.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Pattern(Regex);

impl Pattern {
    /// Whether it is found in `text`.
    pub fn is_match(&self, text: &str) -> bool {
        self.0.is_match(text)
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.0.as_str().to_owned()
    }
}

impl TryFrom<String> for Pattern {
    type Error = regex::Error;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for Pattern {}

impl FromStr for Pattern {
    type Err = regex::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Regex::new(text).map(Self)
    }
}

/// Bounds of what a scrape gives. Series beyond one are summed up as `~other` and counted in
/// `aftertrace_series_dropped_total`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SeriesLimits {
    /// Series of one metric.
    pub per_family: usize,
    /// Series of one metric of one container.
    pub per_container: usize,
}

impl Default for SeriesLimits {
    fn default() -> Self {
        Self { per_family: 10_000, per_container: 500 }
    }
}

/// Bounds of memory. What goes beyond one is counted in `aftertrace_registry_dropped_total` and is a finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Containers, the dead ones included that are still shown.
    pub containers: usize,
    /// Paths of control groups, and metadata of containers.
    pub cgroups: usize,
    /// Processes that are alive.
    pub processes: usize,
    /// Processes remembered after their end, for events that come late.
    pub dead_processes: usize,
    /// Connections and listening sockets that are open.
    pub sockets: usize,
    /// Connections whose data is looked at, and as many pairs of ends of datagrams.
    pub conversations: usize,
    /// What these hold in all, bytes: beyond it the state of some is forgotten.
    pub conversation_bytes: usize,
    /// Destinations of one container.
    pub destinations: usize,
    /// Hosts with a round-trip time, translations that wait for their connection, and public addresses that lead to
    /// the own network, each.
    pub peers: usize,
    /// Addresses that one container listens on.
    pub listens: usize,
    /// Mounts that one container writes to, and disks that one control group uses, each.
    pub disks: usize,
    /// Places that one container logs to: standard output, the journal, files.
    pub log_sources: usize,
    /// Patterns of messages of one level from one such place.
    pub log_patterns: usize,
    /// Different findings of one container, and of all containers that are gone.
    pub findings: usize,
    /// Network namespaces, network interfaces, disks, and sources of losses, each.
    pub host_objects: usize,
    /// Bytes of a label's value; the rest is cut off.
    pub label_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            containers: 10_000,
            cgroups: 50_000,
            processes: 500_000,
            dead_processes: 50_000,
            sockets: 1_000_000,
            conversations: 200_000,
            conversation_bytes: 256 << 20,
            destinations: 10_000,
            peers: 100_000,
            listens: 5_000,
            disks: 1_000,
            log_sources: 64,
            log_patterns: 256,
            findings: 1_000,
            host_objects: 10_000,
            label_bytes: 4_096,
        }
    }
}
