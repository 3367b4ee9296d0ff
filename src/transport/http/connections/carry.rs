//! One connection, from its first request to its end.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustix::net::sockopt;
#[cfg(target_os = "linux")]
use socket2::SockRef;
use taskferry_process::Budget;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tower::Service as _;

use crate::transport::http::connections::census::Counted;
use crate::transport::http::connections::pace::Pace;
use crate::transport::http::connections::paced::Paced;
use crate::transport::http::connections::{Served, secured};

/// A client that acknowledges nothing for so long counts as gone, though it never closed its connection.
const SILENT_PEER: Duration = Duration::from_secs(60);
/// So much of what was written may wait in the system before more is written, bytes: it takes up to 4 MiB else for a client
/// that does not read.
#[cfg(target_os = "linux")]
const UNSENT: u32 = 128 << 10;
/// The largest head of a request, bytes.
pub(super) const LARGEST_HEAD: usize = 64 << 10;
/// A connection that was idle has so long to end in good order.
const GOOD_ORDER: Duration = Duration::from_secs(1);

/// Where a request comes from. Found among its extensions.
#[derive(Debug)]
pub(in crate::transport::http) struct Connected {
    /// The address at the other end of its connection.
    pub(in crate::transport::http) address: IpAddr,
    pace: Arc<Pace>,
}

impl Connected {
    /// Notes from which memory the answer is taken that its client reads.
    pub(in crate::transport::http) fn draws_on(&self, memory: Budget) {
        self.pace.draws_on(memory);
    }
}

impl Clone for Connected {
    fn clone(&self) -> Self {
        self.pace.request_goes_on();
        Self {
            address: self.address,
            pace: Arc::clone(&self.pace),
        }
    }
}

/// The connection counts as idle once nobody holds the request any more.
impl Drop for Connected {
    fn drop(&mut self) {
        self.pace.request_ends();
    }
}

/// Small writes must not wait for the acknowledgement of the last one: an event is worth a packet. And a client that vanished
/// must be noticed, whether it is waited for or written to.
pub(super) fn prepare(connection: &TcpStream) {
    let prepared = connection.set_nodelay(true).and_then(|()| {
        sockopt::set_socket_keepalive(connection, true)?;
        sockopt::set_tcp_keepidle(connection, SILENT_PEER / 2)?;
        sockopt::set_tcp_keepintvl(connection, SILENT_PEER / 5)?;
        // Only Linux also bounds how long what was written may stay unacknowledged, and how much may be unsent.
        #[cfg(target_os = "linux")]
        {
            sockopt::set_tcp_user_timeout(connection, millis(SILENT_PEER))?;
            SockRef::from(connection).set_tcp_notsent_lowat(UNSENT)?;
        }
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

/// Carries a connection to its end.
pub(super) async fn carry(
    connection: TcpStream,
    from: SocketAddr,
    counted: Counted,
    served: Served,
    stop: CancellationToken,
) {
    let pace = Arc::clone(&counted.pace);
    let charge = served.memory.charge();
    let (address, paced) = (from.ip(), |connection| {
        Paced::new(connection, Arc::clone(&pace), charge)
    });
    let Some(certificates) = served.certificates else {
        return talk(
            paced(connection),
            (address, pace.clone()),
            served.router,
            stop,
        )
        .await;
    };
    let Some(connection) = secured::begins(connection, &pace, &stop).await else {
        return;
    };
    let secured = secured::secure(paced(connection), &certificates, &pace, &stop);
    if let Some(secured) = Box::pin(secured).await {
        Box::pin(talk(secured, (address, pace.clone()), served.router, stop)).await;
    }
}

/// Serves the requests that come over a connection.
async fn talk(
    connection: impl AsyncRead + AsyncWrite + Unpin,
    (address, pace): (IpAddr, Arc<Pace>),
    router: Router,
    stop: CancellationToken,
) {
    let handle = |mut request: Request<Incoming>| {
        pace.request_begins();
        request.extensions_mut().insert(Connected {
            address,
            pace: Arc::clone(&pace),
        });
        router.clone().call(request)
    };
    let mut serving = std::pin::pin!(
        http1::Builder::new()
            .max_buf_size(LARGEST_HEAD)
            .header_read_timeout(None)
            .serve_connection(TokioIo::new(connection), service_fn(handle))
    );
    let mut is_stopping = false;
    let ended = loop {
        tokio::select! {
            ended = serving.as_mut() => break ended,
            () = stop.cancelled(), if !is_stopping => {
                is_stopping = true;
                serving.as_mut().graceful_shutdown();
            }
            at_once = pace.ending() => {
                if at_once {
                    return;
                }
                serving.as_mut().graceful_shutdown();
                match tokio::time::timeout(GOOD_ORDER, serving.as_mut()).await {
                    Ok(ended) => break ended,
                    // A request came in just before the shutdown: it is served, and hyper closes then.
                    Err(_still_open) if pace.is_serving() => {}
                    Err(_still_open) => return,
                }
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended");
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap());
        let (client, accepted) = tokio::join!(client, listener.accept());
        (client.unwrap(), accepted.unwrap().0)
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
        #[cfg(target_os = "linux")]
        assert_eq!(
            SockRef::from(&connection).tcp_notsent_lowat().unwrap(),
            UNSENT
        );
    }
}
