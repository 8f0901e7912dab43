//! Cilium's connection tracking: its programs translate addresses before the kernel's tracking sees a packet, and
//! keep what they chose in maps that are pinned in the BPF file system.
//!
//! In: a connection. Out: the server that was chosen for it. Layouts: `bpf/lib/common.h` of Cilium 1.10 to 1.17
//! (`ipv4_ct_tuple`, `ipv6_ct_tuple`, `ct_entry`, `lb4_backend`, `lb6_backend`).

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use aya::Pod;
use aya::maps::{HashMap, Map, MapData, MapError};

use super::conntrack::{TCP, Tuple};
use crate::capabilities::{CapabilitySet, rehearse};
use crate::sources::Roots;

/// Where the agent pins its maps, below /sys.
const PINS: &str = "fs/bpf/tc/globals";
const CONNECTIONS_V4: &str = "cilium_ct4_global";
const CONNECTIONS_V6: &str = "cilium_ct6_global";
/// Newest first: an upgrade leaves the old one behind.
const BACKENDS_V4: [&str; 2] = ["cilium_lb4_backends_v3", "cilium_lb4_backends_v2"];
const BACKENDS_V6: [&str; 2] = ["cilium_lb6_backends_v3", "cilium_lb6_backends_v2"];
/// `TUPLE_F_SERVICE`: the entry is that of a packet to a service.
const TO_SERVICE: u8 = 4;
/// `struct ct_entry`; an entry to a service has its backend's number in the second word.
const ENTRY_BYTES: usize = 56;
const BACKEND_ID: std::ops::Range<usize> = 8..16;

/// A map, by its key; values are bytes, whose number differs from version to version.
type Lookup<K> = Box<dyn Fn(&K) -> Result<Option<Vec<u8>>, MapError> + Send>;

/// The maps of one address family.
struct Family<K> {
    connections: Lookup<K>,
    backends: Lookup<u32>,
}

impl<K> Family<K> {
    /// Address (so many bytes) and port of the backend that was chosen.
    fn backend<const ADDRESS: usize>(&self, key: &K) -> Result<Option<([u8; ADDRESS], u16)>, MapError> {
        let Some(entry) = (self.connections)(key)? else { return Ok(None) };
        let id = entry.get(BACKEND_ID).and_then(|bytes| bytes.try_into().ok()).map(u64::from_ne_bytes);
        let Some(id) = id.and_then(|id| u32::try_from(id).ok()).filter(|id| *id != 0) else {
            return Ok(None);
        };
        let Some(backend) = (self.backends)(&id)? else { return Ok(None) };
        Ok(address_and_port(&backend))
    }
}

/// What it takes to open a pinned map: nothing since Linux 5.19; before, where BPF is not for everyone, CAP_BPF.
pub(super) fn capabilities() -> CapabilitySet {
    // That this is no pin is found out after the question of rights.
    let is_refused = || match MapData::from_pin("/") {
        Err(MapError::SyscallError(error)) => error.io_error.raw_os_error() == Some(libc::EPERM),
        _ => false,
    };
    match rehearse(CapabilitySet::empty(), is_refused) {
        Some(false) => CapabilitySet::empty(),
        _ => CapabilitySet::BPF,
    }
}

/// Both kinds of backend begin with these.
fn address_and_port<const ADDRESS: usize>(backend: &[u8]) -> Option<([u8; ADDRESS], u16)> {
    let (address, rest) = backend.split_first_chunk()?;
    let port = rest.first_chunk()?;
    Some((*address, u16::from_be_bytes(*port)))
}

/// The maps of a host, while they are the ones that are pinned.
#[derive(Default)]
pub(super) struct Cilium {
    v4: Option<Family<[u8; 14]>>,
    v6: Option<Family<[u8; 38]>>,
    /// Inodes of the pins: an agent that starts again may pin others.
    seen: Vec<Option<u64>>,
}

impl Cilium {
    /// Opens the maps, unless those that are pinned are open. Says whether there are any.
    pub(super) fn look(&mut self, roots: &Roots) -> io::Result<bool> {
        let pins = roots.sys.join(PINS);
        let seen = [CONNECTIONS_V4, CONNECTIONS_V6]
            .iter()
            .chain(&BACKENDS_V4)
            .chain(&BACKENDS_V6)
            .map(|name| std::fs::metadata(pins.join(name)).ok().map(|metadata| metadata.ino()))
            .collect();
        if seen != self.seen {
            *self = Self::default();
            self.v4 = family(&pins, CONNECTIONS_V4, BACKENDS_V4, backends::<8, 12>)?;
            self.v6 = family(&pins, CONNECTIONS_V6, BACKENDS_V6, backends::<20, 24>)?;
            // Only now: what could not be opened is tried again.
            self.seen = seen;
        }
        Ok(self.is_present())
    }

    pub(super) fn is_present(&self) -> bool {
        self.v4.is_some() || self.v6.is_some()
    }

    /// The connection as it is behind Cilium's services; `None` when it was to none.
    pub(super) fn translated(&self, tuple: Tuple) -> io::Result<Option<Tuple>> {
        let chosen = match (tuple.source.ip().to_canonical(), tuple.destination.ip().to_canonical()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => self.v4.as_ref().map(|maps| {
                let key = key(&destination.octets(), &source.octets(), tuple);
                Ok(maps.backend::<4>(&key)?.map(|(address, port)| SocketAddr::new(address.into(), port)))
            }),
            (IpAddr::V6(source), IpAddr::V6(destination)) => self.v6.as_ref().map(|maps| {
                let key = key(&destination.octets(), &source.octets(), tuple);
                Ok(maps.backend::<16>(&key)?.map(|(address, port)| SocketAddr::new(address.into(), port)))
            }),
            _ => None,
        };
        let chosen: Option<Result<_, MapError>> = chosen;
        let chosen =
            chosen.transpose().map_err(|error| io::Error::other(format!("Cilium's maps: {error}")))?;
        Ok(chosen.flatten().map(|destination| Tuple { source: tuple.source, destination }))
    }
}

/// `struct ipv4_ct_tuple` or `ipv6_ct_tuple` of the first packet of a connection to a service.
fn key<const BYTES: usize>(destination: &[u8], source: &[u8], tuple: Tuple) -> [u8; BYTES] {
    let ports = [tuple.source.port().to_be_bytes(), tuple.destination.port().to_be_bytes()];
    let bytes = [destination, source, ports.as_flattened(), &[TCP, TO_SERVICE]].concat();
    let mut key = [0; BYTES];
    key.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
    key
}

/// The maps of a family, when all are there.
fn family<K: Pod + Send + 'static>(
    pins: &Path,
    connections: &str,
    backends: [&str; 2],
    open_backends: fn(&Path) -> io::Result<Lookup<u32>>,
) -> io::Result<Option<Family<K>>> {
    let connections = pins.join(connections);
    let newest: Option<PathBuf> = backends.iter().map(|name| pins.join(name)).find(|path| path.exists());
    let (true, Some(backends)) = (connections.exists(), newest) else { return Ok(None) };
    Ok(Some(Family {
        connections: table::<K, ENTRY_BYTES>(open(&connections)?)
            .map_err(|error| named(&connections, &error))?,
        backends: open_backends(&backends)?,
    }))
}

/// A map of backends, whose values have one of two sizes.
fn backends<const V2: usize, const V3: usize>(path: &Path) -> io::Result<Lookup<u32>> {
    let newer = table::<u32, V3>(open(path)?);
    match newer {
        Err(MapError::InvalidValueSize { .. }) => table::<u32, V2>(open(path)?),
        other => other,
    }
    .map_err(|error| named(path, &error))
}

fn open(path: &Path) -> io::Result<Map> {
    let opened = MapData::from_pin(path).and_then(Map::from_map_data);
    opened.map_err(|error| named(path, &error))
}

fn table<K: Pod + Send + 'static, const VALUE: usize>(map: Map) -> Result<Lookup<K>, MapError> {
    let map: HashMap<MapData, K, [u8; VALUE]> = HashMap::try_from(map)?;
    Ok(Box::new(move |key| match map.get(key, 0) {
        Ok(value) => Ok(Some(value.to_vec())),
        Err(MapError::KeyNotFound) => Ok(None),
        Err(error) => Err(error),
    }))
}

fn named(path: &Path, error: &MapError) -> io::Error {
    io::Error::other(format!("{}: {error}", path.display()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_key_has_the_service_first_and_the_clients_port_before_the_services() {
        let tuple = Tuple {
            source: "10.0.1.2:40000".parse().unwrap(),
            destination: "10.96.0.1:443".parse().unwrap(),
        };
        let key: [u8; 14] = key(&[10, 96, 0, 1], &[10, 0, 1, 2], tuple);
        assert_eq!(key, [10, 96, 0, 1, 10, 0, 1, 2, 0x9c, 0x40, 0x01, 0xbb, 6, 4]);
    }

    #[test]
    fn where_cilium_is_not_there_is_nothing_to_open() {
        let root = tempfile::tempdir().unwrap();
        assert!(!Cilium::default().look(&Roots::below(root.path())).unwrap());
    }

    proptest! {
        #[test]
        fn no_backend_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = address_and_port::<4>(&bytes);
            let _ = address_and_port::<16>(&bytes);
        }
    }
}
