//! Addresses of network namespaces: /proc/PID/net/{fib_trie,if_inet6} in, `NetworkNamespace` rows out.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use aftertrace_schemas::tables::NetworkNamespace;

use super::file::FileReader;
use super::source::{Rows, Source, Subjects, Unavailable};
use super::text::{fields, lines};
use super::{Roots, read_namespace};
use crate::capabilities::{CapabilitySet, OTHERS_PROCESSES};

/// Addresses that a row holds at most: a node with IPVS services has thousands.
pub const ADDRESSES_LIMIT: usize = 1024;

const FILE_LIMIT_BYTES: u64 = 16 << 20;

/// Reads network namespaces.
#[derive(Debug)]
pub struct NamespaceSource {
    roots: Roots,
    reader: FileReader,
}

impl NamespaceSource {
    /// Reads namespaces through the processes of `roots`.
    pub fn new(roots: Roots) -> Self {
        Self { roots, reader: FileReader::default() }
    }

    /// The addresses of `network_namespace`, read through a process that is in it. `None` when the process is
    /// gone or is in another namespace by now.
    pub fn read(&mut self, network_namespace: u32, pid: u32) -> Option<NetworkNamespace> {
        let link = self.roots.proc_file(&format!("{pid}/ns/net"));
        if read_namespace(&link) != Some(network_namespace) {
            return None;
        }
        let mut addresses = BTreeSet::new();
        let v4 =
            self.reader.read(&self.roots.proc_file(&format!("{pid}/net/fib_trie")), FILE_LIMIT_BYTES).ok()?;
        addresses.extend(parse_fib_trie(v4).map(IpAddr::V4));
        // Absent when IPv6 is switched off.
        let v6 = self.reader.read(&self.roots.proc_file(&format!("{pid}/net/if_inet6")), FILE_LIMIT_BYTES);
        addresses.extend(parse_if_inet6(v6.unwrap_or_default()).map(IpAddr::V6));
        // The process may have changed its namespace, or gone, between the files.
        if read_namespace(&link) != Some(network_namespace) {
            return None;
        }
        let addresses = addresses.into_iter().filter(is_reportable).take(ADDRESSES_LIMIT);
        Some(NetworkNamespace {
            network_namespace,
            addresses: addresses.map(|address| address.to_string()).collect(),
        })
    }
}

impl Source for NamespaceSource {
    fn name(&self) -> &'static str {
        "namespaces"
    }

    fn capabilities(&self) -> CapabilitySet {
        OTHERS_PROCESSES
    }

    /// Rows of those whose addresses changed.
    fn measure(&mut self, subjects: &Subjects, rows: &mut Rows) -> Result<(), Unavailable> {
        for (known, pid) in &subjects.namespaces {
            if let Some(row) = self.read(known.network_namespace, *pid)
                && row != *known
            {
                rows.push(row);
            }
        }
        Ok(())
    }
}

/// Neither link-local nor multicast.
pub(crate) fn is_reportable(address: &IpAddr) -> bool {
    let link_local = match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    !(link_local || address.is_multicast() || address.is_unspecified())
}

/// An own address is a leaf `|-- ADDRESS` with a line `/32 host LOCAL`.
fn parse_fib_trie(text: &[u8]) -> impl Iterator<Item = Ipv4Addr> {
    let mut leaf = None;
    lines(text).filter_map(move |line| {
        let mut all = fields(line);
        match (all.next(), all.next(), all.next()) {
            (Some(b"|--"), Some(address), _) => {
                leaf = std::str::from_utf8(address).ok().and_then(|address| address.parse().ok());
                None
            }
            (Some(b"/32"), Some(b"host"), Some(b"LOCAL")) => leaf,
            _ => None,
        }
    })
}

/// `ADDRESS(32 hex digits) INDEX PREFIX SCOPE FLAGS NAME`
fn parse_if_inet6(text: &[u8]) -> impl Iterator<Item = Ipv6Addr> {
    lines(text).filter_map(|line| {
        let digits = fields(line).next().filter(|digits| digits.len() == 32)?;
        let bits = u128::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        Some(Ipv6Addr::from_bits(bits))
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use proptest::prelude::*;

    use super::*;

    const FIB_TRIE: &str = "\
Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     +-- 127.0.0.0/8 2 0 2
        |-- 127.0.0.0
           /8 host LOCAL
        |-- 127.0.0.1
           /32 host LOCAL
        |-- 127.255.255.255
           /32 link BROADCAST
Local:
     |-- 10.1.2.3
        /32 host LOCAL
     |-- 169.254.0.7
        /32 host LOCAL
     |-- 10.1.2.3
        /32 host LOCAL
";
    const IF_INET6: &str = "\
00000000000000000000000000000001 01 80 10 80       lo
fe8000000000000000fc00fffe000001 04 40 20 80     eth0
fd000000000000000000000000000002 04 40 00 82     eth0
";

    #[test]
    fn a_namespace_is_read_through_a_process_in_it() {
        let host = tempfile::tempdir().unwrap();
        let roots = Roots::below(host.path());
        fs::create_dir_all(roots.proc_file("9/net")).unwrap();
        fs::create_dir_all(roots.proc_file("9/ns")).unwrap();
        symlink("net:[4026532181]", roots.proc_file("9/ns/net")).unwrap();
        fs::write(roots.proc_file("9/net/fib_trie"), FIB_TRIE).unwrap();
        fs::write(roots.proc_file("9/net/if_inet6"), IF_INET6).unwrap();
        let mut source = NamespaceSource::new(roots);
        let row = source.read(4026532181, 9).unwrap();
        assert_eq!(row.network_namespace, 4026532181);
        assert_eq!(row.addresses, ["10.1.2.3", "127.0.0.1", "::1", "fd00::2"]);
        assert_eq!(source.read(4026532999, 9), None);
        assert_eq!(source.read(4026532181, 10), None);
    }

    #[test]
    fn this_process_has_the_loopback_address() {
        let inode = read_namespace(std::path::Path::new("/proc/self/ns/net")).unwrap();
        let row = NamespaceSource::new(Roots::default()).read(inode, std::process::id()).unwrap();
        assert!(row.addresses.contains(&"127.0.0.1".to_owned()), "{row:?}");
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parsers_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = (parse_fib_trie(&bytes).count(), parse_if_inet6(&bytes).count());
        }
    }
}
