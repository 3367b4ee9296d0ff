//! Who is connected: at most so many, of whom one peer is at most a share, and nobody for ever.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use taskferry_process::{Share, Shares};

use crate::transport::http::connections::pace::{Overdue, Pace, Patience};
use crate::transport::http::peers::{Peer, TrustedProxies};

/// When there is no more room, a connection that has been idle for so long makes some.
const IDLE_LONG_ENOUGH: Duration = Duration::from_secs(1);
/// Such connections are looked for no more often than this: all are looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Why a connection is turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    /// There are as many as there may be.
    Process(usize),
    /// Its peer has as many as one may have.
    Peer(usize),
}

/// All connections.
#[derive(Debug)]
pub(super) struct Census {
    most: usize,
    most_of_peer: usize,
    trusted: TrustedProxies,
    /// What each peer has open.
    peers: Shares<Peer>,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    last: u64,
    connections: HashMap<u64, (Arc<Pace>, Option<Peer>)>,
    /// Idle connections that may be closed, the first one at the end.
    to_close: Vec<u64>,
    looked: Option<Instant>,
}

impl Census {
    pub(super) fn new(most: usize, most_of_peer: usize, trusted: TrustedProxies) -> Self {
        Self {
            most,
            most_of_peer,
            trusted,
            peers: Shares::default(),
            open: Mutex::default(),
        }
    }

    /// Counts a connection, if there is room for it. The clients of a trusted proxy share its connections, which count as
    /// nobody's.
    pub(super) fn enter(self: &Arc<Self>, address: IpAddr) -> Result<Counted, Full> {
        let peer = (!self.trusted.trusts(address)).then(|| Peer::from(address));
        let full = Full::Peer(self.most_of_peer);
        let take = |peer| self.peers.take(peer, self.most_of_peer).ok_or(full);
        let share = peer.map(take).transpose()?;
        let mut open = self.open();
        if open.connections.len() >= self.most && !open.make_room(&self.peers) {
            return Err(Full::Process(self.most));
        }
        open.last += 1;
        let number = open.last;
        let pace = Arc::new(Pace::begun());
        open.connections.insert(number, (Arc::clone(&pace), peer));
        drop(open);
        Ok(Counted {
            pace,
            number,
            _share: share,
            census: Arc::clone(self),
        })
    }

    /// Ends the connections whose clients do not go on.
    pub(super) fn sweep(&self, patience: &Patience, is_short: bool) {
        for (pace, _) in self.open().connections.values() {
            if let Some(why) = pace.overdue(patience, is_short) {
                pace.end(why);
            }
        }
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    /// Has one idle connection closed: of the peer with most connections, the one that has been idle longest. It is gone a
    /// moment later.
    fn make_room(&mut self, peers: &Shares<Peer>) -> bool {
        loop {
            while let Some(number) = self.to_close.pop() {
                let pace = self.connections.get(&number).map(|(pace, _)| pace);
                if let Some(pace) = pace.filter(|pace| idle_for(pace).is_some()) {
                    pace.end(Overdue::Idle);
                    return true;
                }
            }
            if self
                .looked
                .is_some_and(|looked| looked.elapsed() < LOOK_AGAIN)
            {
                return false;
            }
            self.looked = Some(Instant::now());
            self.to_close = self.idle(peers);
            if self.to_close.is_empty() {
                return false;
            }
        }
    }

    fn idle(&self, peers: &Shares<Peer>) -> Vec<u64> {
        let idle = self
            .connections
            .iter()
            .filter_map(|(number, (pace, peer))| {
                let quiet = idle_for(pace)?;
                let of_peer = peer.map_or(0, |peer| peers.of(&peer));
                Some((of_peer, quiet, Reverse(*number)))
            });
        let mut idle: Vec<(usize, Duration, Reverse<u64>)> = idle.collect();
        idle.sort_unstable();
        idle.into_iter().map(|(_, _, number)| number.0).collect()
    }
}

/// How long a connection has been idle, if that is long enough.
fn idle_for(pace: &Pace) -> Option<Duration> {
    pace.quiet_for().filter(|quiet| *quiet >= IDLE_LONG_ENOUGH)
}

/// A connection that is counted until this is dropped.
#[derive(Debug)]
pub(super) struct Counted {
    pub(super) pace: Arc<Pace>,
    number: u64,
    _share: Option<Share<Peer>>,
    census: Arc<Census>,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.census.open().connections.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn census(most: usize, of_peer: usize, trusted: &str) -> Arc<Census> {
        let trusted = TrustedProxies::parse(trusted).unwrap();
        Arc::new(Census::new(most, of_peer, trusted))
    }

    /// How a connection is to end, if it is: true if at once.
    async fn ending(counted: &Counted) -> Option<bool> {
        let ending = tokio::time::timeout(Duration::from_millis(20), counted.pace.ending());
        ending.await.ok()
    }

    fn at(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn one_peer_takes_at_most_its_share() {
        let census = census(10, 2, "");
        let first = census.enter(at(1)).unwrap();
        let _second = census.enter(at(1)).unwrap();
        assert_eq!(census.enter(at(1)).unwrap_err(), Full::Peer(2));
        let _other = census.enter(at(2)).unwrap();
        drop(first);
        let _third = census.enter(at(1)).unwrap();
        assert_eq!(census.enter(at(1)).unwrap_err(), Full::Peer(2));
    }

    #[test]
    fn the_connections_of_a_trusted_proxy_are_nobodys() {
        let census = census(3, 1, "192.0.2.9");
        let _held: Vec<Counted> = (0..3).map(|_| census.enter(at(9)).unwrap()).collect();
        assert_eq!(census.enter(at(1)).unwrap_err(), Full::Process(3));
    }

    #[tokio::test]
    async fn the_peer_with_most_connections_makes_room() {
        let census = census(3, 3, "");
        let few = census.enter(at(1)).unwrap();
        let many = [census.enter(at(2)).unwrap(), census.enter(at(2)).unwrap()];
        tokio::time::sleep(IDLE_LONG_ENOUGH + Duration::from_millis(10)).await;
        let _new = census.enter(at(3)).unwrap();
        assert_eq!(ending(&many[0]).await, Some(false), "in good order");
        assert_eq!(ending(&few).await, None);
    }

    #[tokio::test]
    async fn those_idle_longest_make_room_for_a_new_one() {
        let census = census(2, 2, "");
        let idle = census.enter(at(1)).unwrap();
        let busy = census.enter(at(1)).unwrap();
        busy.pace.request_begins();
        assert_eq!(
            census.enter(at(2)).unwrap_err(),
            Full::Process(2),
            "too soon"
        );
        tokio::time::sleep(IDLE_LONG_ENOUGH + Duration::from_millis(10)).await;
        let _new = census.enter(at(2)).unwrap();
        assert_eq!(ending(&idle).await, Some(false), "in good order");
        assert_eq!(ending(&busy).await, None);
    }

    #[tokio::test]
    async fn a_sweep_cuts_those_that_do_not_go_on() {
        let census = census(2, 2, "");
        let (slow, served) = (census.enter(at(1)).unwrap(), census.enter(at(1)).unwrap());
        served.pace.request_begins();
        tokio::time::sleep(Duration::from_millis(20)).await;
        census.sweep(
            &Patience {
                head: Duration::from_millis(10),
                ..Patience::default()
            },
            false,
        );
        assert_eq!(ending(&slow).await, Some(true), "at once");
        assert_eq!(ending(&served).await, None);
    }
}
