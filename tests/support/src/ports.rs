//! Ports to listen on.

use std::net::{Ipv4Addr, TcpListener};

/// Below the range from which the kernel takes the ports of outgoing connections: a client that keeps calling a port
/// there while its server is down may otherwise be given that very port, and end up talking to itself.
const RANGE: std::ops::Range<u16> = 12_000..32_000;

/// A port of 127.0.0.1 on which nobody listens. Somebody may before the caller does; then it asks for another.
///
/// # Panics
///
/// If a thousand guesses are all taken.
#[must_use]
pub fn free_port() -> u16 {
    (0..1_000)
        .map(|_| rand::random_range(RANGE))
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .unwrap_or_else(|| panic!("no free port among {RANGE:?}"))
}
