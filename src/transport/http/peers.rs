//! Who is at the other end, as far as addresses tell.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use axum::http::{HeaderMap, HeaderName};
use ipnet::IpNet;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// One peer: an IPv4 address, or the /64 network of an IPv6 address, since whoever has one address there has all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Peer(IpAddr);

impl Peer {
    /// The address, or the first of the network.
    pub(super) fn address(self) -> IpAddr {
        self.0
    }
}

impl From<IpAddr> for Peer {
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(address) => {
                let network = u128::from(address) & !u128::from(u64::MAX);
                IpAddr::V6(Ipv6Addr::from(network))
            }
            v4 @ IpAddr::V4(_) => v4,
        })
    }
}

/// The proxies whose word is taken for who their clients are.
#[derive(Debug, Clone, Default)]
pub(crate) struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    /// Reads addresses and networks (`10.0.0.0/8`), separated by commas.
    ///
    /// # Errors
    ///
    /// What they should look like.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let parts = text
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty());
        let read = |part: &str| {
            let address = part.parse::<IpAddr>().map(IpNet::from);
            address.or_else(|_| part.parse::<IpNet>())
        };
        let networks: Result<Vec<IpNet>, _> = parts.map(read).collect();
        networks.map(Self).map_err(|_not_an_address| {
            "must be addresses or networks, comma-separated, as in 10.0.0.0/8, 192.0.2.7".to_owned()
        })
    }

    pub(super) fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// Who sent a request that came from `connected`: that address, or, if it is a trusted proxy, the rightmost one in
    /// `X-Forwarded-For` that is not. What stands further left was written by nobody who is trusted.
    pub(super) fn client(&self, connected: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = connected;
        if !self.trusts(client) {
            return client;
        }
        let lines = headers
            .get_all(FORWARDED_FOR)
            .iter()
            .map(|line| line.to_str().unwrap_or(""));
        let stations: Vec<&str> = lines.flat_map(|line| line.split(',')).collect();
        for station in stations.into_iter().rev() {
            let Some(address) = address(station.trim()) else {
                break;
            };
            client = address;
            if !self.trusts(client) {
                break;
            }
        }
        client
    }
}

/// An address, as proxies write it: some add the port.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.parse().ok();
    let with_port = || text.parse::<SocketAddr>().ok().map(|place| place.ip());
    let in_brackets = || {
        let inner = text.strip_prefix('[')?.strip_suffix(']')?;
        inner.parse().ok()
    };
    bare.or_else(with_port).or_else(in_brackets)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(connected: &str, lines: &[&str]) -> String {
        let proxies = TrustedProxies::parse("10.0.0.0/8, 192.0.2.7,2001:db8::/32").unwrap();
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(FORWARDED_FOR, line.parse().unwrap());
        }
        let client = proxies.client(connected.parse().unwrap(), &headers);
        client.to_string()
    }

    #[test]
    fn only_a_trusted_proxy_says_who_its_client_is() {
        assert_eq!(client("203.0.113.9", &["198.51.100.1"]), "203.0.113.9");
        assert_eq!(client("10.1.2.3", &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(client("::ffff:10.1.2.3", &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(client("10.1.2.3", &[]), "10.1.2.3");
    }

    #[test]
    fn what_stands_left_of_a_client_is_its_own_invention() {
        let lines = ["1.1.1.1, 198.51.100.1", "192.0.2.7 , 10.9.9.9"];
        assert_eq!(client("10.1.2.3", &lines), "198.51.100.1");
        assert_eq!(
            client("10.1.2.3", &["198.51.100.1, nonsense"]),
            "10.1.2.3",
            "what cannot be read ends the way back"
        );
        assert_eq!(client("10.1.2.3", &["10.0.0.1, 10.0.0.2"]), "10.0.0.1");
    }

    #[test]
    fn ports_and_brackets_are_read() {
        assert_eq!(client("10.1.2.3", &["198.51.100.1:443"]), "198.51.100.1");
        assert_eq!(client("2001:db8::1", &["[2001:470::5]:443"]), "2001:470::5");
        assert_eq!(client("2001:db8::1", &["[2001:470::5]"]), "2001:470::5");
    }

    #[test]
    fn a_network_of_one_holder_is_one_peer() {
        let peer = |text: &str| Peer::from(text.parse::<IpAddr>().unwrap());
        assert_eq!(peer("2001:db8::1"), peer("2001:db8::ffff:1"));
        assert_ne!(peer("2001:db8::1"), peer("2001:db8:0:1::1"));
        assert_eq!(peer("::ffff:192.0.2.1"), peer("192.0.2.1"));
        assert_ne!(peer("192.0.2.1"), peer("192.0.2.2"));
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in ["proxy.example", "10.0.0.0/33", "10.0.0"] {
            let rule = TrustedProxies::parse(text).unwrap_err();
            assert!(rule.contains("10.0.0.0/8"), "{rule}");
        }
        assert!(TrustedProxies::parse("").unwrap().0.is_empty());
    }
}
