//! Round-trip times to the peers of outbound connections: an echo request from the namespace of those who connect.
//!
//! In: peers with a process in their namespace. Out: an `RttProbe` row a peer and round. All requests of a round are
//! sent at once and waited for together, so a round takes no longer than one that is not answered.

mod echo;
mod socket;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use aftertrace_schemas::column::{Ip, Timestamp};
use aftertrace_schemas::tables::{Loss, RttProbe};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use self::echo::{Family, Kind, Round};
use self::socket::{EchoSocket, Queue};
use super::clock::{Clock, SystemClock};
use super::source::{Rows, Source, Subjects, Unavailable, Upstream};
use super::{Roots, netns};
use crate::capabilities::{CapabilitySet, NAMESPACES};

/// An answer may take so long.
const PATIENCE: Duration = Duration::from_millis(300);
/// Requests of a round at most; with more peers, they take turns.
pub const MOST_REQUESTS: usize = 256;
/// Rounds are this far apart at least.
const LEAST_INTERVAL: Duration = Duration::from_secs(1);
/// A frame that was sent comes back with its headers.
const PACKET_BYTES: usize = 512;

type Peer = (u32, IpAddr);

/// Asks peers for echoes.
#[derive(Debug)]
pub struct PingSource {
    roots: Roots,
    identifier: u16,
    /// The last peer that was asked: the next round goes on after it.
    last: Option<Peer>,
    /// Peers that answered when they were last asked.
    answered: BTreeSet<Peer>,
}

/// A request that is under way.
struct Request {
    peer: Peer,
    sent_ns: i64,
    stamped: bool,
    rtt_ns: Option<u64>,
}

impl PingSource {
    /// Goes into the namespaces of processes of `roots`.
    pub fn new(roots: Roots) -> Self {
        // As ping(8) does; another sender with the same one does no harm, since messages have a token, too.
        let identifier = u16::try_from(std::process::id() & 0xffff).unwrap_or_default();
        Self { roots, identifier, last: None, answered: BTreeSet::new() }
    }

    /// The peers whose turn it is, and how many are left for later rounds.
    fn turn(&mut self, upstreams: &BTreeSet<Upstream>) -> (Vec<Upstream>, usize) {
        let mut all: Vec<Upstream> =
            upstreams.iter().filter(|upstream| can_answer(upstream.ip)).copied().collect();
        all.dedup_by_key(|upstream| peer(upstream));
        let count = all.len();
        let first = all.partition_point(|upstream| Some(peer(upstream)) <= self.last);
        all.rotate_left(if first < count { first } else { 0 });
        all.truncate(MOST_REQUESTS);
        self.last = all.last().map(peer).filter(|_| count > MOST_REQUESTS);
        let left_out = count - all.len();
        (all, left_out)
    }

    /// A socket of each family that is needed, in each namespace.
    fn open(
        &self,
        turn: &[Upstream],
        subjects: &Subjects,
    ) -> (BTreeMap<(u32, Family), EchoSocket>, Option<io::Error>) {
        let mut wanted: BTreeMap<u32, (BTreeSet<u32>, BTreeSet<Family>)> = BTreeMap::new();
        for upstream in turn {
            let (pids, families) = wanted.entry(upstream.network_namespace).or_default();
            pids.insert(upstream.pid);
            families.insert(family(upstream.ip));
        }
        // Whoever connected may be gone; another one in its namespace is as good.
        for process in &subjects.processes {
            if let Some((pids, _)) =
                process.network_namespace.and_then(|namespace| wanted.get_mut(&namespace))
            {
                pids.insert(process.pid);
            }
        }
        let mut sockets = BTreeMap::new();
        let mut failure = None;
        for (namespace, (pids, families)) in wanted {
            let Some(file) = pids.iter().find_map(|pid| netns::of_process(&self.roots, *pid, namespace))
            else {
                continue;
            };
            let opened = netns::within(file, move || {
                Ok(families.into_iter().map(EchoSocket::open).collect::<Vec<_>>())
            });
            match opened {
                Ok(opened) => {
                    for socket in opened {
                        match socket {
                            Ok(socket) => {
                                sockets.insert((namespace, socket.family), socket);
                            }
                            Err(error) => failure = Some(error),
                        }
                    }
                }
                Err(error) => failure = Some(error),
            }
        }
        (sockets, failure)
    }
}

impl Source for PingSource {
    fn name(&self) -> &'static str {
        "ping"
    }

    fn interval(&self, base: Duration) -> Duration {
        base.max(LEAST_INTERVAL)
    }

    fn capabilities(&self) -> CapabilitySet {
        NAMESPACES | CapabilitySet::NET_RAW
    }

    fn measure(&mut self, subjects: &Subjects, rows: &mut Rows) -> Result<(), Unavailable> {
        let began_ns = SystemClock.realtime_ns();
        let (turn, left_out) = self.turn(&subjects.upstreams);
        let known: BTreeSet<Peer> = subjects.upstreams.iter().map(peer).collect();
        self.answered.retain(|peer| known.contains(peer));
        let (sockets, failure) = self.open(&turn, subjects);
        let round = Round { identifier: self.identifier, token: SystemClock.boot_ns() };
        let mut requests = Vec::new();
        for (upstream, sequence) in turn.iter().zip(0_u16..) {
            let peer = peer(upstream);
            let family = family(upstream.ip);
            match sockets.get(&(upstream.network_namespace, family)) {
                Some(socket) => {
                    // A peer to which there is no way does not answer: that is what its row says.
                    let sent_ns = SystemClock.realtime_ns();
                    let _ = socket.send(upstream.ip, &round.request(family, sequence));
                    requests.push(Some(Request { peer, sent_ns, stamped: false, rtt_ns: None }));
                }
                None => {
                    if self.answered.remove(&peer) {
                        rows.push(row(peer, None));
                    }
                    requests.push(None);
                }
            }
        }
        collect(round, &sockets.into_values().collect::<Vec<_>>(), &mut requests);
        for request in requests.iter().flatten() {
            if request.rtt_ns.is_some() {
                self.answered.insert(request.peer);
            } else {
                self.answered.remove(&request.peer);
            }
            rows.push(row(request.peer, request.rtt_ns));
        }
        if left_out > 0 {
            rows.push(Loss {
                source: "source/ping".to_owned(),
                cause: "rate_limit".to_owned(),
                subject: None,
                lost: left_out as u64,
                from: Timestamp(began_ns),
                to: Timestamp(SystemClock.realtime_ns()),
            });
        }
        match failure {
            Some(error) => Err(Unavailable::failed(format!(
                "no ICMP socket in a network namespace: {error} (it takes CAP_NET_RAW and CAP_SYS_ADMIN)"
            ))),
            None => Ok(()),
        }
    }
}

/// Takes answers until all are here or it has been long enough.
fn collect(round: Round, sockets: &[EchoSocket], requests: &mut [Option<Request>]) {
    let until = Instant::now() + PATIENCE;
    while requests.iter().flatten().any(|request| request.rtt_ns.is_none()) {
        let left = until.saturating_duration_since(Instant::now());
        let mut waiting: Vec<PollFd<'_>> =
            sockets.iter().map(|socket| PollFd::new(socket, PollFlags::IN)).collect();
        let timeout = Timespec::try_from(left).ok();
        match poll(&mut waiting, timeout.as_ref()) {
            Err(rustix::io::Errno::INTR) => continue,
            Ok(1..) if !left.is_zero() => {}
            _ => break,
        }
        let ready: Vec<usize> =
            waiting.iter().enumerate().filter(|(_, fd)| !fd.revents().is_empty()).map(|(at, _)| at).collect();
        for socket in ready.into_iter().filter_map(|at| sockets.get(at)) {
            // When a request left is told before its answer can be used.
            take(round, socket, Queue::Sent, requests);
            take(round, socket, Queue::Arrived, requests);
        }
    }
}

fn take(round: Round, socket: &EchoSocket, queue: Queue, requests: &mut [Option<Request>]) {
    let mut buffer = [0; PACKET_BYTES];
    while let Ok(Some(packet)) = socket.receive(queue, &mut buffer) {
        let kind = if queue == Queue::Sent { Kind::Request } else { Kind::Reply };
        let bytes = buffer.get(..packet.length).unwrap_or_default();
        let Some(request) = round
            .sequence(socket.family, kind, bytes)
            .and_then(|sequence| requests.get_mut(usize::from(sequence))?.as_mut())
        else {
            continue;
        };
        match queue {
            // A packet that goes through several devices, or whose address has to be found first, is stamped where
            // it is first sent.
            Queue::Sent if !request.stamped => {
                if let Some(stamped_ns) = packet.stamped_ns {
                    request.sent_ns = stamped_ns;
                    request.stamped = true;
                }
            }
            Queue::Arrived if request.rtt_ns.is_none() && packet.from.to_canonical() == request.peer.1 => {
                let arrived_ns = packet.stamped_ns.unwrap_or_else(|| SystemClock.realtime_ns());
                request.rtt_ns = u64::try_from(arrived_ns - request.sent_ns).ok();
            }
            _ => {}
        }
    }
}

fn row((network_namespace, ip): Peer, rtt_ns: Option<u64>) -> RttProbe {
    RttProbe { network_namespace, remote_ip: Ip::from(ip), rtt_ns }
}

fn peer(upstream: &Upstream) -> Peer {
    (upstream.network_namespace, upstream.ip)
}

fn family(ip: IpAddr) -> Family {
    if ip.is_ipv4() { Family::V4 } else { Family::V6 }
}

/// Whether there is a point in asking: not the own host, and not an address that needs an interface to be complete.
fn can_answer(ip: IpAddr) -> bool {
    let link_local = match ip {
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_broadcast(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    !(ip.is_loopback() || ip.is_multicast() || ip.is_unspecified() || link_local)
}

#[cfg(test)]
mod tests;
