//! Connections that there is no room for. They are told so, and closed: a client that is only cut off tries again at once.

use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use crate::mcp::{Answer, RefusalKind, RpcError};
use crate::transport::http::connections::census::Full;
use crate::transport::http::connections::last_words;
use crate::transport::http::status::status;

/// So many are told at once; others are cut off.
const TOLD_AT_ONCE: usize = 64;

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
        connection: TcpStream,
        why: Full,
    ) -> Option<impl Future<Output = ()> + Send + use<>> {
        let permit = Arc::clone(&self.0).try_acquire_owned().ok()?;
        Some(async move {
            let _held = permit;
            last_words::say(connection, &response(why)).await;
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
