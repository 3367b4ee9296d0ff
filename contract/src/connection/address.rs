//! Where Redis is: an address that always leads to the primary, or sentinels that know where the primary is.

use crate::connection::info::Info;
use crate::error::Error;

use std::collections::HashMap;
use std::time::Duration;

use futures_util::future::join_all;
use redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use redis::{AsyncConnectionConfig, ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _};

use super::{CONNECT, handshake, no_answer, unused};

/// About how long it takes to notice a peer that vanished without closing its connection.
const SILENT_PEER: Duration = Duration::from_secs(10);
/// How long the sentinels may take to name the primary, all asked at once.
const SENTINELS_ANSWER: Duration = Duration::from_millis(500);
/// How long a server may take to report its role. A frozen one is skipped after that.
const DESCRIBES: Duration = Duration::from_secs(1);
/// The port of a sentinel that is named without one.
const SENTINEL_PORT: u16 = 26_379;
/// The scheme of an address that names sentinels.
const SENTINEL_SCHEME: &str = "redis+sentinel://";
/// The same, if they and the primary speak TLS.
const SENTINEL_TLS_SCHEME: &str = "rediss+sentinel://";

/// What an address looks like.
const RULE: &str = "must look like redis://[user:password@]host:port/db, unix:///path, or redis+sentinel://[user:password@]host:port,host:port/primary/db; with TLS, rediss:// or rediss+sentinel://";

/// How the primary is found.
#[derive(Clone)]
pub(crate) enum Address {
    /// It is always there.
    Fixed(ConnectionInfo),
    /// Sentinels know where it is now.
    Sentinels {
        /// Each of them.
        sentinels: Vec<ConnectionInfo>,
        /// The name that they have for it.
        primary: String,
        /// How to log in and which database to use. Its host and port mean nothing.
        used: ConnectionInfo,
    },
}

/// A server as it describes itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Described {
    /// The server's run id: random, and another after each start.
    pub(super) run_id: String,
    /// Whether it takes writes.
    pub(super) is_primary: bool,
}

impl Address {
    /// Reads an address.
    ///
    /// # Errors
    ///
    /// What it should look like, or which part of it would not be used: no part is ignored in silence.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        unused::refuse(text)?;
        let read = if let Some(rest) = text.strip_prefix(SENTINEL_SCHEME) {
            Self::parse_sentinels(rest, "redis")
        } else if let Some(rest) = text.strip_prefix(SENTINEL_TLS_SCHEME) {
            Self::parse_sentinels(rest, "rediss")
        } else {
            Self::parse_fixed(text)
        };
        read.ok_or_else(|| RULE.to_owned())
    }

    /// How the primary is used, wherever it is.
    pub(super) fn used(&self) -> &ConnectionInfo {
        let (Self::Fixed(info) | Self::Sentinels { used: info, .. }) = self;
        info
    }

    /// Whether a password stands in it.
    pub(super) fn has_password(&self) -> bool {
        let password = self.used().redis_settings().password();
        password.is_some_and(|password| !password.is_empty())
    }

    /// Whether Redis, and the sentinels, are spoken to with TLS.
    pub(super) fn uses_tls(&self) -> bool {
        matches!(self.used().addr(), ConnectionAddr::TcpTls { .. })
    }

    fn parse_fixed(text: &str) -> Option<Self> {
        redis::parse_redis_url(text)?;
        let info = text.into_connection_info().ok()?;
        Some(Self::Fixed(info.set_tcp_settings(tcp())))
    }

    /// `[user:password@]host:port,host:port/primary[/db]`, where each is reached by `scheme`.
    fn parse_sentinels(text: &str, scheme: &str) -> Option<Self> {
        let (credentials, rest) = match text.rsplit_once('@') {
            Some((credentials, rest)) => (format!("{credentials}@"), rest),
            None => (String::new(), text),
        };
        let mut parts = rest.split('/');
        let (hosts, primary) = (parts.next()?, parts.next()?);
        let db = parts.next().unwrap_or("0");
        if primary.is_empty() || parts.next().is_some() {
            return None;
        }
        let used = format!("{scheme}://{credentials}primary/{db}");
        let sentinel = |host: &str| {
            let port = host.rsplit_once(':').map_or("", |(_, port)| port);
            let has_port = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
            let url = if has_port {
                format!("{scheme}://{host}/0")
            } else {
                format!("{scheme}://{host}:{SENTINEL_PORT}/0")
            };
            let info = url.into_connection_info().ok()?;
            Some(info.set_tcp_settings(tcp()))
        };
        Some(Self::Sentinels {
            sentinels: hosts.split(',').map(sentinel).collect::<Option<_>>()?,
            primary: primary.to_owned(),
            used: used.into_connection_info().ok()?.set_tcp_settings(tcp()),
        })
    }

    /// Where the primary is now.
    pub(super) async fn find(&self) -> Result<ConnectionInfo, Error> {
        let (sentinels, primary, used) = match self {
            Self::Fixed(info) => return Ok(info.clone()),
            Self::Sentinels {
                sentinels,
                primary,
                used,
            } => (sentinels, primary, used),
        };
        let mut votes: HashMap<(String, u16), usize> = HashMap::new();
        let mut faults = Vec::new();
        for answer in join_all(sentinels.iter().map(|sentinel| ask(sentinel, primary))).await {
            match answer {
                Ok(place) => *votes.entry(place).or_default() += 1,
                Err(fault) => faults.push(fault),
            }
        }
        let mut places: Vec<((String, u16), usize)> = votes.into_iter().collect();
        places.sort_by_key(|(_, votes)| std::cmp::Reverse(*votes));
        // A sentinel that was cut off names the primary of before: what most of them say is tried first.
        for (place, _) in places {
            let info = at(used, place);
            match describe(&info).await {
                Ok(server) if server.is_primary => return Ok(info),
                Ok(_replica) => faults.push(format!("{} is a replica", info.addr())),
                // It names the address itself.
                Err(error @ Error::Unreachable { .. }) => faults.push(error.to_string()),
                Err(error) => faults.push(format!("{}: {error}", info.addr())),
            }
        }
        Err(Error::Connection {
            during: "finding the primary",
            reason: format!("no sentinel leads to {primary:?} ({})", faults.join("; ")),
        })
    }
}

/// A server at another place, which is used in the same way.
fn at(used: &ConnectionInfo, (host, port): (String, u16)) -> ConnectionInfo {
    let place = match used.addr() {
        // Its certificate must be for what the sentinels call it.
        ConnectionAddr::TcpTls { tls_params, .. } => ConnectionAddr::TcpTls {
            host,
            port,
            insecure: false,
            tls_params: tls_params.clone(),
        },
        _ => ConnectionAddr::Tcp(host, port),
    };
    used.clone().set_addr(place)
}

/// Where one sentinel says that the primary is.
async fn ask(sentinel: &ConnectionInfo, primary: &str) -> Result<(String, u16), String> {
    let fault = |text: String| format!("sentinel {}: {text}", sentinel.addr());
    let answer = async {
        let mut connection = handshake::log_in(sentinel, &patience()).await?;
        let mut command = redis::cmd("SENTINEL");
        command.arg("GET-MASTER-ADDR-BY-NAME").arg(primary);
        let place = command.query_async::<Option<(String, u16)>>(&mut connection);
        place.await.map_err(Error::redis("SENTINEL"))
    };
    match tokio::time::timeout(SENTINELS_ANSWER, answer).await {
        Ok(Ok(Some(place))) => Ok(place),
        Ok(Ok(None)) => Err(fault("it does not know that name".to_owned())),
        Ok(Err(error)) => Err(fault(error.cause())),
        Err(_elapsed) => Err(fault(format!("no answer within {SENTINELS_ANSWER:?}"))),
    }
}

/// Asks a server over a connection of its own what it is.
pub(super) async fn describe(info: &ConnectionInfo) -> Result<Described, Error> {
    let reply = async {
        let mut connection = handshake::log_in(info, &patience()).await?;
        let mut info = redis::cmd("INFO");
        info.arg("server").arg("replication");
        let text = info.query_async::<String>(&mut connection).await;
        text.map_err(Error::redis("INFO"))
    };
    match tokio::time::timeout(DESCRIBES, reply).await {
        Ok(text) => text.map(|text| Described::read(&text)),
        Err(_elapsed) => Err(no_answer("INFO", DESCRIBES)),
    }
}

impl Described {
    pub(super) fn read(info: &str) -> Self {
        let info = Info::parse(info);
        Self {
            run_id: info.text("run_id").unwrap_or_default().to_owned(),
            is_primary: info.text("role") == Some("master"),
        }
    }
}

fn patience() -> AsyncConnectionConfig {
    AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT))
        .set_response_timeout(Some(CONNECT))
}

fn tcp() -> TcpSettings {
    let keepalive = TcpKeepalive::new()
        .with_time(SILENT_PEER / 2)
        .with_interval(SILENT_PEER / 5);
    TcpSettings::default()
        .set_nodelay(true)
        .set_keepalive(keepalive)
        .set_user_timeout(SILENT_PEER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentinels_are_read_with_the_primarys_name_database_and_credentials() {
        let text = "redis+sentinel://user:p%40ss@10.0.0.1:5000,sentinel-b,[::1]:7/main/3";
        let Ok(Address::Sentinels {
            sentinels,
            primary,
            used,
        }) = Address::parse(text)
        else {
            panic!("{text} is an address");
        };
        let places: Vec<String> = sentinels.iter().map(|s| s.addr().to_string()).collect();
        assert_eq!(places, ["10.0.0.1:5000", "sentinel-b:26379", "::1:7"]);
        assert!(
            sentinels
                .iter()
                .all(|s| s.redis_settings().password().is_none())
        );
        assert_eq!(primary, "main");
        let used = used.redis_settings();
        assert_eq!(
            (used.username(), used.password()),
            (Some("user"), Some("p@ss"))
        );
        assert_eq!(used.db(), 3);
    }

    #[test]
    fn a_primary_that_sentinels_name_is_spoken_to_as_they_are() {
        for (text, tls) in [
            ("redis+sentinel://a:1/main", false),
            ("rediss+sentinel://a:1/main", true),
        ] {
            let Ok(Address::Sentinels {
                sentinels, used, ..
            }) = Address::parse(text)
            else {
                panic!("{text} is an address");
            };
            let found = at(&used, ("10.0.0.7".to_owned(), 7));
            assert_eq!(found.addr().to_string(), "10.0.0.7:7");
            for info in [&found, &sentinels[0]] {
                let speaks = matches!(
                    info.addr(),
                    ConnectionAddr::TcpTls {
                        insecure: false,
                        ..
                    }
                );
                assert_eq!(speaks, tls, "{text}");
            }
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "http://localhost",
            "redis+sentinel://",
            "redis+sentinel://a:1",
            "redis+sentinel://a:1/",
            "redis+sentinel:///main",
            "redis+sentinel://a:1,/main",
            "redis+sentinel://a:1/main/x",
            "redis+sentinel://a:1/main/0/more",
        ] {
            assert!(Address::parse(text).is_err(), "{text}");
        }
        for text in [
            "redis://a:1/2",
            "unix:///run/redis.sock",
            "redis+sentinel://a/main",
            "rediss://a:1/2",
            "rediss+sentinel://a/main",
        ] {
            assert!(Address::parse(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn what_an_address_says_is_used() {
        for (text, db, user, password) in [
            (
                "unix:///s?db=3&user=me&pass=p%40ss",
                3,
                Some("me"),
                Some("p@ss"),
            ),
            ("redis+unix:///s?pass=a@b", 0, None, Some("a@b")),
            ("redis://me:p%3F%23%40@a:1/2", 2, Some("me"), Some("p?#@")),
            ("redis://me@a:1", 0, Some("me"), None),
            ("unix:///s?user=me", 0, Some("me"), None),
            ("rediss://me:p@a:1/2", 2, Some("me"), Some("p")),
            ("redis://:secret@a:1/?", 0, None, Some("secret")),
            ("redis://a:1/4", 4, None, None),
        ] {
            let Ok(Address::Fixed(info)) = Address::parse(text) else {
                panic!("{text} is an address");
            };
            let used = info.redis_settings();
            let found = (used.db(), used.username(), used.password());
            assert_eq!(found, (db, user, password), "{text}");
        }
    }

    #[test]
    fn what_an_address_says_and_nobody_uses_is_refused_by_name() {
        for (text, named) in [
            ("redis://a:1/0?db=3", "?db="),
            ("redis://a:1?password=secret", "?password="),
            ("redis://a:1/0?user=secret", "?user="),
            ("redis://a:1/0?protocol=resp3", "?protocol="),
            ("redis://a:1/0?timeout=secret", "?timeout="),
            ("redis://a:1/0?&db=3", "?db="),
            ("valkey://a:1?db=3", "?db="),
            ("redis+sentinel://a:1/main/0?db=3", "?db="),
            ("redis://me:pass?secret@a:1/0", "%3F"),
            ("redis://a:1/0#secret", "#"),
            ("redis://:pass#secret@a:1/0", "%23"),
            ("unix:///run/redis.sock?password=secret", "?password="),
            ("unix:///run/redis.sock?db=1&db=2", "?db= twice"),
            ("unix:///run/redis.sock#secret", "#"),
            ("unix://me:secret@/run/redis.sock", "unix:///path"),
            ("unix://run/redis.sock", "unix:///path"),
            ("valkey+unix:///s?timeout=secret", "?timeout="),
            ("rediss://a:1/0#insecure", "#"),
        ] {
            let Err(refused) = Address::parse(text) else {
                panic!("{text} is taken");
            };
            assert!(refused.contains(named), "{text}: {refused}");
            assert!(!refused.contains("secret"), "{text}: {refused}");
        }
    }
}
