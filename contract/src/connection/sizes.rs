//! The largest piece that a server accepts. A server that gets a larger one closes the connection, which breaks every other
//! call on it and looks like a broken wire. So a large piece is first tried on a connection of its own.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::{Arg, AsyncConnectionConfig, Cmd, ConnectionInfo, Value};

use super::{CONNECT, handshake, within};
use crate::error::Error;

/// Every server accepts a piece of this size: `proto-max-bulk-len` cannot be less.
const ALWAYS_TAKEN: usize = 1 << 20;
/// After this time a refused size is tried again: the limit may have been raised.
const REMEMBERED: Duration = Duration::from_secs(5);
/// How many connections must close on a piece before the piece counts as too large.
const TRIES: usize = 2;

/// What is known of a server's limit.
#[derive(Debug)]
pub(super) struct Sizes {
    /// The largest piece that it accepted, bytes.
    taken: AtomicUsize,
    /// The last piece that it refused, bytes, and when.
    refused: Mutex<Option<(Instant, usize)>>,
    /// Locked while one size is tried.
    trying: tokio::sync::Mutex<()>,
}

impl Default for Sizes {
    fn default() -> Self {
        Self {
            taken: AtomicUsize::new(ALWAYS_TAKEN),
            refused: Mutex::default(),
            trying: tokio::sync::Mutex::default(),
        }
    }
}

impl Sizes {
    /// Whether the server has accepted a piece of this size before, or every server does.
    pub(super) fn are_known_to_take(&self, bytes: usize) -> bool {
        bytes <= self.taken.load(Ordering::Relaxed)
    }

    /// Checks that the server accepts a piece of `bytes`.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`] if it does not; others if that cannot be found out.
    pub(super) async fn check_size(
        &self,
        during: &'static str,
        bytes: usize,
        server: &ConnectionInfo,
        patience: Duration,
    ) -> Result<(), Error> {
        let _trying = self.trying.lock().await;
        if self.are_known_to_take(bytes) {
            return Ok(());
        }
        if self.was_refused(bytes) {
            return Err(Error::TooLarge { during, bytes });
        }
        if takes(server, bytes, patience).await? {
            self.taken.fetch_max(bytes, Ordering::Relaxed);
            return Ok(());
        }
        *self.refused() = Some((Instant::now(), bytes));
        Err(Error::TooLarge { during, bytes })
    }

    /// Whether as much, or less, was refused a moment ago.
    fn was_refused(&self, bytes: usize) -> bool {
        let least = self.refused();
        least.is_some_and(|(at, least)| bytes >= least && at.elapsed() < REMEMBERED)
    }

    fn refused(&self) -> MutexGuard<'_, Option<(Instant, usize)>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tries on new connections whether a server accepts a piece of `bytes`.
async fn takes(server: &ConnectionInfo, bytes: usize, patience: Duration) -> Result<bool, Error> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT))
        .set_response_timeout(None);
    let mut large = redis::cmd("EXISTS");
    large.arg(vec![b'x'; bytes]);
    let mut small = redis::cmd("EXISTS");
    small.arg("x");
    for _ in 0..TRIES {
        let mut connection = handshake::connect(server, &config).await?;
        // A server that refuses says so, and hangs up; its words may be lost with the connection.
        let answered = answers(&mut connection, &large, patience).await?;
        if answered && answers(&mut connection, &small, patience).await? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether the server answers a command, if only by refusing it, rather than hang up.
async fn answers(
    connection: &mut MultiplexedConnection,
    command: &Cmd,
    patience: Duration,
) -> Result<bool, Error> {
    let reply = command.query_async::<Value>(connection);
    match within("a large piece", patience, reply).await {
        Ok(_) => Ok(true),
        Err(Error::Redis { source, .. }) => Ok(handshake::is_answer(&source)),
        Err(error) => Err(error),
    }
}

/// The pieces of a command that may be the name of a key.
pub(super) fn pieces(command: &Cmd) -> Vec<String> {
    let pieces = command.args_iter().filter_map(|arg| match arg {
        Arg::Simple(piece) if piece.len() <= 1024 => String::from_utf8(piece.to_vec()).ok(),
        _ => None,
    });
    pieces.collect()
}

/// The largest piece of a command, bytes.
pub(super) fn largest(command: &Cmd) -> usize {
    let pieces = command.args_iter().map(|arg| match arg {
        Arg::Simple(piece) => piece.len(),
        _ => 0,
    });
    pieces.max().unwrap_or(0)
}
