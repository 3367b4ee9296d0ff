//! Ports to listen on.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::sync::{Mutex, PoisonError};

/// Below the range from which the kernel takes the ports of outgoing connections: a client that keeps calling a port
/// there while its server is down may otherwise be given that very port, and end up talking to itself.
const RANGE: std::ops::Range<u16> = 12_000..32_000;

/// What keeps a port for this process: a UDP socket of the same number, which nothing else here uses and which goes with
/// the process, however that ends. So a server may be started on its port later, or again, and no test beside it is
/// given the same one.
static KEPT: Mutex<Vec<UdpSocket>> = Mutex::new(Vec::new());

/// A port of 127.0.0.1 on which nobody listens, and which no other caller is given while this process lives.
///
/// # Panics
///
/// If a thousand guesses are all taken.
#[must_use]
pub fn free_port() -> u16 {
    (0..1_000)
        .map(|_| rand::random_range(RANGE))
        .find(|port| keep(*port))
        .unwrap_or_else(|| panic!("no free port among {RANGE:?}"))
}

/// Whether the port was free, and is now the caller's.
fn keep(port: u16) -> bool {
    let Ok(kept) = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)) else {
        return false;
    };
    let is_free = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    if is_free {
        let mut all = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(kept);
    }
    is_free
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_given_once() {
        let port = free_port();
        assert!(!keep(port));
    }

    #[test]
    fn a_port_that_somebody_listens_on_is_not_given() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        assert!(!keep(listener.local_addr().unwrap().port()));
    }
}
