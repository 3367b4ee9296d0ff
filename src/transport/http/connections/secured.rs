//! TLS on a connection: the handshake, which takes no longer than a head, and what is said to those who speak none.

use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use crate::transport::http::certificates::Certificates;
use crate::transport::http::connections::last_words;
use crate::transport::http::connections::pace::Pace;
use crate::transport::http::connections::paced::Paced;

/// What TLS may keep of an answer that its client does not read, bytes; more is kept back before it.
const UNREAD: usize = 16 << 10;
/// What a connection that speaks TLS begins with: a record of a handshake.
const HANDSHAKE: u8 = 22;

/// What is said to a client that speaks HTTP.
const SPEAK_TLS: &str = "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: 43\r\n\r\nthis port speaks TLS: ask it with https://\n";

/// A connection that speaks TLS.
pub(super) type Secured = TlsStream<Paced<TcpStream>>;

/// Whether a client begins to speak TLS, so that it is worth while to answer it so. `None` after a client that did not, or was
/// silent for too long.
pub(super) async fn begins(
    connection: TcpStream,
    pace: &Pace,
    stop: &CancellationToken,
) -> Option<TcpStream> {
    let mut first = [0];
    let peeked = tokio::select! {
        peeked = connection.peek(&mut first) => peeked,
        () = stop.cancelled() => return None,
        _at_once = pace.ending() => return None,
    };
    match (peeked, first) {
        (Ok(1), [HANDSHAKE]) => Some(connection),
        (Ok(1), [other]) if other.is_ascii_alphabetic() => {
            last_words::say(connection, SPEAK_TLS).await;
            None
        }
        _ => None,
    }
}

/// Lets a client and the endpoint agree on how they speak. `None` if they do not, or not in time.
pub(super) async fn secure(
    connection: Paced<TcpStream>,
    certificates: &Certificates,
    pace: &Pace,
    stop: &CancellationToken,
) -> Option<Box<Secured>> {
    let acceptor = certificates.acceptor();
    let agreed = acceptor.accept_with(connection, |session| {
        session.set_buffer_limit(Some(UNREAD));
    });
    let agreed = tokio::select! {
        agreed = agreed => agreed,
        () = stop.cancelled() => return None,
        _at_once = pace.ending() => return None,
    };
    match agreed {
        Ok(secured) => Some(Box::new(secured)),
        Err(error) => {
            tracing::debug!(%error, "a client and the endpoint did not agree on TLS");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_that_is_said_is_that_of_the_text() {
        let (head, text) = SPEAK_TLS.split_once("\r\n\r\n").unwrap();
        let length = format!("content-length: {}", text.len());
        assert!(head.ends_with(&length), "{length}");
    }
}
