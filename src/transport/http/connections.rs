//! Connections: how they are accepted, how long a client may be silent on one, and how they end.

use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustix::net::sockopt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// A client that acknowledges nothing for so long counts as gone, though it never closed its connection.
const SILENT_PEER: Duration = Duration::from_secs(60);
/// How long a connection may wait for the headers of a request, its first or its next. A balancer must be the first to close
/// an idle connection, or it sends a request into one that closes: nginx does after a minute, Google's after ten.
const HEADERS_WITHIN: Duration = Duration::from_secs(11 * 60);
/// Between two tries to accept while the machine has no room for a connection.
const ACCEPT_AGAIN: Duration = Duration::from_secs(1);

/// Serves connections until `stop`, then lets their requests end. Whoever waits no longer drops this, and with it them.
pub(crate) async fn serve(listener: TcpListener, router: Router, stop: &CancellationToken) {
    let mut open = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            Some(_ended) = open.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((connection, _)) => {
                prepare(&connection);
                let carried = carry(connection, router.clone(), HEADERS_WITHIN, stop.clone());
                open.spawn(carried);
            }
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

/// Small writes must not wait for the acknowledgement of the last one: an event is worth a packet. And a client that vanished
/// must be noticed, whether it is waited for or written to.
fn prepare(connection: &TcpStream) {
    let prepared = connection.set_nodelay(true).and_then(|()| {
        sockopt::set_socket_keepalive(connection, true)?;
        sockopt::set_tcp_keepidle(connection, SILENT_PEER / 2)?;
        sockopt::set_tcp_keepintvl(connection, SILENT_PEER / 5)?;
        // Only Linux also bounds how long what was written may stay unacknowledged.
        #[cfg(target_os = "linux")]
        sockopt::set_tcp_user_timeout(connection, millis(SILENT_PEER))?;
        Ok(())
    });
    if let Err(error) = prepared {
        tracing::debug!(%error, "a connection could not be set up");
    }
}

#[cfg(target_os = "linux")]
fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

async fn carry(
    connection: TcpStream,
    router: Router,
    headers_within: Duration,
    stop: CancellationToken,
) {
    let mut serving = std::pin::pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(headers_within)
            .serve_connection(TokioIo::new(connection), TowerToHyperService::new(router))
    );
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = stop.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended");
    }
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
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap());
        let (client, accepted) = tokio::join!(client, listener.accept());
        (client.unwrap(), accepted.unwrap().0)
    }

    fn router() -> Router {
        Router::new().route("/", get(|| async { "here" }))
    }

    #[tokio::test]
    async fn a_client_that_vanished_is_noticed() {
        let (_client, connection) = pair().await;
        prepare(&connection);
        assert!(connection.nodelay().unwrap());
        assert!(sockopt::socket_keepalive(&connection).unwrap());
        assert_eq!(sockopt::tcp_keepidle(&connection).unwrap(), SILENT_PEER / 2);
        #[cfg(target_os = "linux")]
        assert_eq!(
            sockopt::tcp_user_timeout(&connection).unwrap(),
            millis(SILENT_PEER)
        );
    }

    #[tokio::test]
    async fn a_connection_without_a_request_is_closed() {
        for sent in [&b""[..], b"GET / HT", REQUEST] {
            let (mut client, connection) = pair().await;
            let stop = CancellationToken::new();
            let carried = carry(connection, router(), Duration::from_millis(50), stop);
            client.write_all(sent).await.unwrap();
            let mut answer = String::new();
            let (read, ()) = tokio::join!(client.read_to_string(&mut answer), carried);
            read.unwrap();
            assert_eq!(answer.ends_with("here"), sent == REQUEST, "{answer}");
        }
    }

    #[tokio::test]
    async fn a_stop_ends_idle_connections_and_is_waited_for() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let client = async {
            let mut client = TcpStream::connect(address).await.unwrap();
            client.write_all(REQUEST).await.unwrap();
            let mut answer = [0; 15];
            client.read_exact(&mut answer).await.unwrap();
            assert_eq!(&answer, b"HTTP/1.1 200 OK");
            stop.cancel();
            client.read_to_end(&mut Vec::new()).await.unwrap();
        };
        tokio::join!(serve(listener, router(), &stop), client);
    }
}
