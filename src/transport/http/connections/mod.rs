//! Connections: how they are accepted, how long a client may be silent on one, and how they end.

mod carry;
mod census;
mod last_words;
mod pace;
mod paced;
mod secured;
mod turned_away;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use taskferry_process::Budget;
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::transport::http::certificates::Certificates;
use crate::transport::http::peers::TrustedProxies;
pub(super) use carry::Connected;
use carry::{carry, prepare};
use census::Census;
use pace::Patience;
use turned_away::TurnAway;

/// How many connections may wait to be accepted; the system may allow fewer (`net.core.somaxconn`).
const BACKLOG: u32 = 4096;
/// Between two tries to accept while the machine has no room for a connection.
const ACCEPT_AGAIN: Duration = Duration::from_secs(1);
/// How often it is looked whether clients go on with what they began.
const SWEEP: Duration = Duration::from_secs(1);

/// How many connections there may be.
#[derive(Debug, Clone)]
pub(crate) struct ConnectionLimits {
    /// In all.
    pub(crate) most: usize,
    /// Of one peer.
    pub(crate) most_of_peer: usize,
    /// Proxies that are trusted: their connections count as nobody's, so that `most_of_peer` does not bound them.
    pub(crate) trusted: TrustedProxies,
}

/// What is served, and to whom. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Served {
    pub(super) router: Router,
    /// The memory for requests that come in.
    pub(super) memory: Budget,
    /// The memory for answers on their way, and for events.
    pub(super) answers: [Budget; 2],
    pub(super) limits: ConnectionLimits,
    /// What TLS is spoken with, if it is.
    pub(super) certificates: Option<Certificates>,
}

/// Listens at an address. Up to [`BACKLOG`] connections wait to be accepted. The SYN of one more is dropped, and its client
/// sends it again after a second.
///
/// # Errors
///
/// If the system does not let it.
pub(crate) fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    // The connections of a process that just ended would keep the address for a minute.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Serves connections until `stop`, then lets their requests end. Dropping the future ends the connections that
/// are still open.
pub(crate) async fn serve(listener: TcpListener, served: Served, stop: &CancellationToken) {
    serve_with(listener, served, stop, &Patience::default()).await;
}

async fn serve_with(
    listener: TcpListener,
    served: Served,
    stop: &CancellationToken,
    patience: &Patience,
) {
    let limits = &served.limits;
    let census = Census::new(limits.most, limits.most_of_peer, limits.trusted.clone());
    let (census, turn_away) = (Arc::new(census), TurnAway::default());
    let mut open = JoinSet::new();
    let mut sweeps = tokio::time::interval(SWEEP.min(patience.head / 4));
    sweeps.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            Some(_ended) = open.join_next() => continue,
            _ = sweeps.tick() => {
                let is_short = served.answers.iter().any(Budget::is_short);
                census.sweep(patience, is_short);
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((connection, from)) => match census.enter(from.ip()) {
                Ok(counted) => {
                    prepare(&connection);
                    let carried = carry(connection, from, counted, served.clone(), stop.clone());
                    open.spawn(carried);
                }
                Err(why) => {
                    tracing::debug!(peer = %from, ?why, "a connection is turned away");
                    // Who speaks TLS would have to be answered so: that is more work than turning away should be.
                    let speaks_plain = served.certificates.is_none();
                    if let Some(told) = speaks_plain
                        .then(|| turn_away.tell(connection, why))
                        .flatten()
                    {
                        open.spawn(told);
                    }
                }
            },
            Err(error) if is_of_one_client(&error) => {}
            Err(error) => {
                tracing::error!(%error, "no connection can be accepted; trying again");
                tokio::select! {
                    () = stop.cancelled() => break,
                    () = tokio::time::sleep(ACCEPT_AGAIN) => {}
                }
            }
        }
    }
    drop(listener);
    while open.join_next().await.is_some() {}
}

/// Whether a failed accept says nothing about the next.
fn is_of_one_client(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    )
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    use super::carry::LARGEST_HEAD;
    use super::*;
    use crate::transport::http::certificates::CertificateFiles;

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";

    /// Serves `here` to as many as there may be, of whom one peer may be all.
    fn served(most: usize) -> Served {
        Served {
            router: Router::new().route("/", get(|| async { "here" })),
            memory: Budget::new(64 << 10),
            answers: [Budget::new(0), Budget::new(0)],
            limits: ConnectionLimits {
                most,
                most_of_peer: most,
                trusted: TrustedProxies::default(),
            },
            certificates: None,
        }
    }

    const SHORT: Patience = Patience {
        head: Duration::from_millis(100),
        idle: Duration::from_millis(300),
        reader: Duration::from_millis(200),
        short_reader: Duration::from_millis(200),
        short_rate: 1000,
        least_rate: 16 << 10,
    };

    /// Serves, and hands its address to a client.
    async fn with_server<T>(served: Served, client: impl AsyncFnOnce(SocketAddr) -> T) -> T {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let client = async {
            let outcome = client(address).await;
            stop.cancel();
            outcome
        };
        tokio::join!(serve_with(listener, served, &stop, &SHORT), client).1
    }

    async fn answer(client: &mut TcpStream) -> String {
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn a_connection_without_a_request_is_closed() {
        with_server(served(9), async |address| {
            for sent in [&b""[..], b"GET / HT", REQUEST] {
                let mut client = TcpStream::connect(address).await.unwrap();
                let begun = Instant::now();
                client.write_all(sent).await.unwrap();
                let answer = answer(&mut client).await;
                assert_eq!(answer.ends_with("here"), sent == REQUEST, "{answer}");
                let least = if sent == REQUEST {
                    SHORT.idle
                } else {
                    SHORT.head
                };
                assert!(begun.elapsed() >= least, "{:?}", begun.elapsed());
            }
        })
        .await;
    }

    #[tokio::test]
    async fn a_handshake_is_not_waited_for_longer_than_a_head() {
        let authority = taskferry_testing::Authority::default();
        let own = authority.issue(&["localhost"]);
        let files = CertificateFiles {
            cert: own.cert,
            key: own.key,
            client_ca: None,
        };
        let served = Served {
            certificates: Some(Certificates::read(files).unwrap()),
            ..served(9)
        };
        with_server(served, async |address| {
            for sent in [&b""[..], &[22], &[22, 3, 1, 1, 0, 1]] {
                let mut client = TcpStream::connect(address).await.unwrap();
                let begun = Instant::now();
                client.write_all(sent).await.unwrap();
                assert_eq!(answer(&mut client).await, "");
                assert!(begun.elapsed() >= SHORT.head, "{:?}", begun.elapsed());
            }
            let mut client = TcpStream::connect(address).await.unwrap();
            client.write_all(REQUEST).await.unwrap();
            let answer = answer(&mut client).await;
            assert!(answer.contains("https://"), "{answer}");
        })
        .await;
    }

    #[tokio::test]
    async fn a_head_in_small_pieces_does_not_hold_a_connection() {
        with_server(served(9), async |address| {
            let mut client = TcpStream::connect(address).await.unwrap();
            client.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
            let begun = Instant::now();
            while client.write_all(b"x: y\r\n").await.is_ok() {
                assert!(begun.elapsed() < Duration::from_secs(20), "it is held");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
    }

    #[tokio::test]
    async fn a_head_of_more_than_64_kib_is_refused() {
        with_server(served(9), async |address| {
            let mut client = TcpStream::connect(address).await.unwrap();
            let large = format!("GET / HTTP/1.1\r\nx: {}\r\n", "y".repeat(LARGEST_HEAD));
            let (mut read, mut write) = client.split();
            let mut answer = vec![0; 64];
            let (_sent, taken) =
                tokio::join!(write.write_all(large.as_bytes()), read.read(&mut answer));
            let answer = String::from_utf8_lossy(&answer[..taken.unwrap_or(0)]).into_owned();
            assert!(
                answer.starts_with("HTTP/1.1 431") || answer.is_empty(),
                "{answer}"
            );
        })
        .await;
    }

    /// The rest of the memory for requests is enough for the second.
    #[tokio::test]
    async fn large_heads_take_no_more_memory_than_there_is_for_them() {
        let served = Served {
            memory: Budget::new(16 << 10),
            answers: [Budget::new(0), Budget::new(0)],
            ..served(9)
        };
        with_server(served, async |address| {
            let mut first = TcpStream::connect(address).await.unwrap();
            let large = format!(
                "GET / HTTP/1.1\r\nhost: localhost\r\nx: {}",
                "y".repeat(40 << 10)
            );
            let _sent = first.write_all(large.as_bytes()).await;
            assert_eq!(answer(&mut first).await, "", "it is closed");
            let mut second = TcpStream::connect(address).await.unwrap();
            let small = "GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
            second.write_all(small.as_bytes()).await.unwrap();
            assert!(answer(&mut second).await.ends_with("here"));
        })
        .await;
    }

    #[tokio::test]
    async fn a_client_that_does_not_read_is_cut_off() {
        let large = axum::body::Bytes::from(vec![b'x'; 32 << 20]);
        let router = Router::new().route("/", get(move || async move { large }));
        let served = Served {
            router,
            ..served(9)
        };
        with_server(served, async |address| {
            let mut client = TcpStream::connect(address).await.unwrap();
            client.write_all(REQUEST).await.unwrap();
            tokio::time::sleep(SHORT.reader * 5).await;
            let mut came = Vec::new();
            let _cut = client.read_to_end(&mut came).await;
            assert!(came.len() < 32 << 20, "{}", came.len());
        })
        .await;
    }

    #[tokio::test]
    async fn who_is_turned_away_learns_why() {
        with_server(served(1), async |address| {
            let _first = TcpStream::connect(address).await.unwrap();
            let mut second = TcpStream::connect(address).await.unwrap();
            second.write_all(REQUEST).await.unwrap();
            let answer = answer(&mut second).await;
            assert!(answer.starts_with("HTTP/1.1 429 Too Many"), "{answer}");
            assert!(answer.contains("retry-after: 1\r\n"), "{answer}");
            assert!(answer.contains("trusted_proxies"), "{answer}");
        })
        .await;
    }

    #[tokio::test]
    async fn a_stop_ends_idle_connections_and_is_waited_for() {
        let mut client = with_server(served(9), async |address| {
            let mut client = TcpStream::connect(address).await.unwrap();
            client.write_all(REQUEST).await.unwrap();
            let mut answer = [0; 15];
            client.read_exact(&mut answer).await.unwrap();
            assert_eq!(&answer, b"HTTP/1.1 200 OK");
            client
        })
        .await;
        client.read_to_end(&mut Vec::new()).await.unwrap();
    }
}
