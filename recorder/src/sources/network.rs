//! Network interfaces of the host: /proc/1/net/dev, /sys/class/net and the routing socket in, `NetworkStats` rows out.

use std::net::IpAddr;

use aftertrace_schemas::tables::NetworkStats;

use super::file::{FileReader, first_line};
use super::namespaces::is_reportable;
use super::rtnetlink::{AddressesByIndex, RouteSocket};
use super::source::{Rows, Source, Subjects, Unavailable};
use super::text::{fields, lines, number, number_u32};
use super::{Roots, read_namespace};
use crate::capabilities::CapabilitySet;

const FILE_LIMIT_BYTES: u64 = 4 << 20;

/// Reads interfaces.
#[derive(Debug)]
pub struct NetworkSource {
    roots: Roots,
    routes: Option<RouteSocket>,
    reason: Option<String>,
    reader: FileReader,
}

impl NetworkSource {
    /// Reads the interfaces of the host: those of process 1's network namespace.
    pub fn new(roots: Roots) -> Self {
        let host = roots.proc_file("1/ns/net");
        let own = roots.proc_file("self/ns/net");
        let opened = match (read_namespace(&host), read_namespace(&own)) {
            (Some(host_inode), Some(own_inode)) if host_inode != own_inode => RouteSocket::open_in(&host),
            _ => RouteSocket::open(),
        };
        let (routes, reason) = match opened {
            Ok(socket) => (Some(socket), None),
            Err(error) => (None, Some(format!("addresses of interfaces: {error}"))),
        };
        Self { roots, routes, reason, reader: FileReader::default() }
    }

    /// Why addresses are missing, when they are.
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// A row an interface; empty when the file is unreadable.
    pub fn read(&mut self) -> Vec<NetworkStats> {
        let addresses = self.routes.as_mut().map(RouteSocket::addresses).transpose();
        let addresses = match addresses {
            Ok(addresses) => addresses.unwrap_or_default(),
            Err(error) => {
                self.reason = Some(format!("addresses of interfaces: {error}"));
                AddressesByIndex::new()
            }
        };
        self.read_with(&addresses)
    }

    fn read_with(&mut self, addresses: &AddressesByIndex) -> Vec<NetworkStats> {
        let of_host = self.roots.proc_file("1/net/dev");
        let path = if of_host.exists() { of_host } else { self.roots.proc_file("net/dev") };
        let mut rows: Vec<NetworkStats> =
            lines(self.reader.read(&path, FILE_LIMIT_BYTES).unwrap_or_default())
                .filter_map(parse_line)
                .collect();
        for row in &mut rows {
            let directory = self.roots.sys.join("class/net").join(&row.interface);
            row.up = first_line(&directory.join("operstate")).is_some_and(|state| state == "up");
            let index = first_line(&directory.join("ifindex")).and_then(|text| number_u32(text.as_bytes()));
            row.addresses = index
                .and_then(|index| addresses.get(&index))
                .into_iter()
                .flatten()
                .filter(|address| is_reportable(address))
                .map(IpAddr::to_string)
                .collect();
        }
        rows
    }
}

impl Source for NetworkSource {
    fn name(&self) -> &'static str {
        "network"
    }

    fn capabilities(&self) -> CapabilitySet {
        self.roots.way_to_host()
    }

    fn measure(&mut self, _: &Subjects, rows: &mut Rows) -> Result<(), Unavailable> {
        self.read().into_iter().for_each(|row| rows.push(row));
        match self.reason.take() {
            Some(reason) => Err(Unavailable::failed(reason)),
            None => Ok(()),
        }
    }
}

/// `NAME: BYTES PACKETS ERRORS DROPPED FIFO FRAME COMPRESSED MULTICAST BYTES PACKETS ...`
fn parse_line(line: &[u8]) -> Option<NetworkStats> {
    // Aliases have a colon in their names; there is always one after the name.
    let colon = line.iter().rposition(|byte| *byte == b':')?;
    let (name, values) = (line.get(..colon)?, line.get(colon + 1..)?);
    let name = std::str::from_utf8(name).ok()?.trim();
    if !is_physical(name) {
        return None;
    }
    let mut all = fields(values).map(number);
    let received_bytes = all.next()??;
    let received_packets = all.next()??;
    let transmitted_bytes = all.nth(6)??;
    let transmitted_packets = all.next()??;
    Some(NetworkStats {
        interface: name.to_owned(),
        up: false,
        addresses: Vec::new(),
        received_bytes,
        transmitted_bytes,
        received_packets,
        transmitted_packets,
    })
}

/// en*, ethN, emN, bondN, pNpN, brN, vmbrN: what carries the host's traffic to the outside. VLANs (`eth0.7`) are
/// left out: their bytes are in those of the interface.
fn is_physical(name: &str) -> bool {
    let digits = |rest: &str| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit());
    let numbered = ["eth", "em", "bond", "br", "vmbr"];
    if numbered.iter().any(|prefix| name.strip_prefix(prefix).is_some_and(digits)) {
        return true;
    }
    if let Some(rest) = name.strip_prefix("en") {
        return !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_alphanumeric());
    }
    name.strip_prefix('p')
        .and_then(|rest| rest.split_once('p'))
        .is_some_and(|(slot, port)| digits(slot) && digits(port))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;

    const DEV: &str = "\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo: 489548077 8800413    0    0    0     0          0         0 489548077 8800413    0    0    0     0       0          0
  eth0: 572260734   18017    1    2    3     4          5         6   851733   10821    0    0    0     0       0          0
  br0:9 8 7 6 5 4 3 2 11 12 0 0 0 0 0 0
";

    #[test]
    fn an_interface_becomes_a_row_with_state_and_addresses() {
        let host = tempfile::tempdir().unwrap();
        let roots = Roots::below(host.path());
        fs::create_dir_all(roots.proc_file("1/net")).unwrap();
        fs::create_dir_all(roots.sys.join("class/net/eth0")).unwrap();
        fs::write(roots.proc_file("1/net/dev"), DEV).unwrap();
        fs::write(roots.sys.join("class/net/eth0/operstate"), "up\n").unwrap();
        fs::write(roots.sys.join("class/net/eth0/ifindex"), "4\n").unwrap();
        let ips = ["192.0.2.2", "fe80::1", "fd00::2"].map(|ip| ip.parse().unwrap());
        let addresses = AddressesByIndex::from([(1, Vec::new()), (4, ips.to_vec())]);
        let rows = NetworkSource::new(roots).read_with(&addresses);
        assert_eq!(rows.len(), 2);
        assert_eq!(
            rows[0],
            NetworkStats {
                interface: "eth0".to_owned(),
                up: true,
                addresses: vec!["192.0.2.2".to_owned(), "fd00::2".to_owned()],
                received_bytes: 572_260_734,
                transmitted_bytes: 851_733,
                received_packets: 18_017,
                transmitted_packets: 10_821,
            }
        );
        assert_eq!((rows[1].interface.as_str(), rows[1].up, rows[1].transmitted_bytes), ("br0", false, 11));
    }

    #[test]
    fn interfaces_to_the_outside_are_told_from_the_rest() {
        for name in [
            "eth0",
            "eno1",
            "ens33",
            "enp3s0f1np1",
            "enx001122334455",
            "em1",
            "bond0",
            "p1p2",
            "br0",
            "vmbr10",
        ] {
            assert!(is_physical(name), "{name}");
        }
        for name in [
            "lo", "docker0", "veth1a", "br-1234", "eth0.7", "enp3s0.7", "eth", "en", "p1", "ppp0", "tun0",
            "wg0", "",
        ] {
            assert!(!is_physical(name), "{name}");
        }
    }

    #[test]
    fn this_machine_can_be_read() {
        let mut source = NetworkSource::new(Roots::default());
        let rows = source.read();
        assert_eq!(source.reason(), None);
        assert!(rows.iter().all(|row| is_physical(&row.interface)));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), text in "\\PC{0,30}") {
            let _ = (parse_line(&bytes), is_physical(&text));
        }
    }
}
