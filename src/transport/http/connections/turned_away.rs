//! Connections that there is no room for. They are told so, and closed: a client that is only cut off tries again at once.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use crate::mcp::{Answer, RefusalKind, RpcError};
use crate::transport::http::connections::census::Full;
use crate::transport::http::status::status;

/// So many are told at once; others are cut off.
const TOLD_AT_ONCE: usize = 64;
/// How long a client may take to send its request: a connection that is closed before that is reset, and its client may never
/// read why.
const HEARD_OUT: Duration = Duration::from_secs(1);

/// Turns connections away.
#[derive(Debug, Clone)]
pub(super) struct TurnAway(Arc<Semaphore>);

impl Default for TurnAway {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(TOLD_AT_ONCE)))
    }
}

impl TurnAway {
    /// Tells a client why it is turned away, and closes its connection. Nothing is left to do if too many are told already.
    pub(super) fn tell(
        &self,
        mut connection: TcpStream,
        why: Full,
    ) -> Option<impl Future<Output = ()> + Send + use<>> {
        let permit = Arc::clone(&self.0).try_acquire_owned().ok()?;
        Some(async move {
            let _held = permit;
            let told = async {
                let mut unheard = [0; 4096];
                // An answer that comes before the request is no answer to some clients.
                let _request = connection.read(&mut unheard).await?;
                connection.write_all(response(why).as_bytes()).await?;
                connection.shutdown().await?;
                while connection.read(&mut unheard).await? > 0 {}
                Ok::<(), std::io::Error>(())
            };
            // Whether it was heard is the client's matter.
            let _outcome = tokio::time::timeout(HEARD_OUT, told).await;
        })
    }
}

fn response(why: Full) -> String {
    let (kind, text) = match why {
        Full::Process(most) => (
            RefusalKind::Unavailable,
            format!(
                "this server has as many connections as it may ({most}), its setting max_connections; try again in a moment"
            ),
        ),
        Full::Peer(most) => (
            RefusalKind::TooMany,
            format!(
                "your address has as many connections as one may have here ({most}): the server's settings peer_share and max_connections. If it is the address of a proxy, name it in trusted_proxies"
            ),
        ),
    };
    let status = status(Some(kind));
    let answer = Answer::error(kind, None, &RpcError::internal(text));
    let body = String::from(&answer.body);
    format!(
        "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-type: application/json\r\nretry-after: 1\r\ncontent-length: {}\r\n\r\n{}",
        body.len(),
        body
    )
}
