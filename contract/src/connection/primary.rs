//! The connections to one server, which are given up together when it is no longer the primary.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ConnectionInfo, ErrorKind, RedisError, Value};
use tokio::sync::{OnceCell, Semaphore};
use tokio_util::sync::CancellationToken;

use super::info::Info;
use super::sizes::Sizes;
use super::{CONNECT, handshake, large};
use crate::error::{Error, has_code, is_shortage};

/// How long a server may take to say that it is there, if a connection beside the shared one failed.
const ANSWERS_WITHIN: Duration = Duration::from_secs(1);

/// One run of a server, from its start to its end.
#[derive(Debug, Clone)]
pub(crate) struct ServerRun {
    /// The server's own name for it; empty if it does not say.
    pub(crate) id: String,
    /// When it began, by this machine's clock; `None` if it does not say.
    began: Option<Instant>,
}

impl ServerRun {
    fn read(info: &str) -> Self {
        let info = Info::parse(info);
        let uptime = info.number("uptime_in_seconds").map(Duration::from_secs);
        Self {
            id: info.text("run_id").unwrap_or_default().to_owned(),
            began: uptime.and_then(|uptime| Instant::now().checked_sub(uptime)),
        }
    }

    /// For how long it runs; zero if it does not say.
    pub(crate) fn uptime(&self) -> Duration {
        self.began.map(|began| began.elapsed()).unwrap_or_default()
    }
}

/// A shared connection, a pool of exclusive ones, and whether the server they lead to is still the right one.
pub(super) struct Primary {
    pub(super) client: Client,
    pub(super) shared: MultiplexedConnection,
    pub(super) exclusive: deadpool_redis::Pool,
    /// The turns of those who read large replies, and of those who send large requests.
    pub(super) large_replies: Semaphore,
    pub(super) large_requests: Semaphore,
    server: ConnectionInfo,
    response_timeout: Duration,
    sizes: Sizes,
    run: OnceCell<ServerRun>,
    over: CancellationToken,
}

impl Primary {
    /// Opens the shared connection; the exclusive ones are opened when they are wanted.
    ///
    /// # Errors
    ///
    /// If the server cannot be reached, or refuses.
    pub(super) async fn open(
        info: ConnectionInfo,
        response_timeout: Duration,
        most_exclusive: usize,
    ) -> Result<Arc<Self>, Error> {
        let during = "preparing connections";
        let client = Client::open(info.clone()).map_err(Error::redis(during))?;
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT))
            .set_response_timeout(Some(response_timeout));
        // A response timeout would end a blocking read here while the server still delivers the entry.
        let blocking = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT))
            .set_response_timeout(None);
        let manager = deadpool_redis::Manager::new_with_config(info.clone(), blocking)
            .map_err(Error::redis(during))?;
        let exclusive = deadpool_redis::Pool::builder(manager)
            .max_size(most_exclusive)
            .runtime(deadpool_redis::Runtime::Tokio1)
            .wait_timeout(Some(CONNECT))
            .create_timeout(Some(CONNECT))
            .recycle_timeout(Some(CONNECT))
            .build()
            .map_err(|source| Error::Connection {
                during,
                reason: source.to_string(),
            })?;
        Ok(Arc::new(Self {
            client,
            shared: handshake::connect(&info, &config).await?,
            exclusive,
            large_replies: Semaphore::new(large::AT_ONCE),
            large_requests: Semaphore::new(large::AT_ONCE),
            server: info,
            response_timeout,
            sizes: Sizes::default(),
            run: OnceCell::new(),
            over: CancellationToken::new(),
        }))
    }

    /// Makes sure that the server accepts a command whose largest piece has `bytes` bytes.
    pub(super) async fn check_size(&self, during: &'static str, bytes: usize) -> Result<(), Error> {
        if self.sizes.are_known_to_take(bytes) {
            return Ok(());
        }
        let tried = self
            .sizes
            .check_size(during, bytes, &self.server, self.response_timeout);
        Box::pin(tried).await
    }

    /// Which run of the server this is. Asked once: no connection outlives its server.
    pub(super) async fn run(&self) -> Result<ServerRun, Error> {
        let ask = async || {
            let mut info = redis::cmd("INFO");
            info.arg("server");
            let said = info.query_async::<String>(&mut self.shared.clone()).await;
            Ok(ServerRun::read(&self.note_outcome("INFO", said)?))
        };
        self.run.get_or_try_init(ask).await.cloned()
    }

    /// Whether it has been given up.
    pub(super) fn is_over(&self) -> bool {
        self.over.is_cancelled()
    }

    /// Resolves when it is given up.
    pub(super) async fn given_up(&self) {
        self.over.cancelled().await;
    }

    /// Gives it up: whoever waits on it looks for the primary again.
    pub(super) fn give_up(&self) {
        self.over.cancel();
    }

    /// Returns the outcome. Gives these connections up if the outcome says that the primary may have moved, or that a
    /// connection was refused or not answered in time.
    pub(super) fn note_outcome<T>(
        &self,
        during: &'static str,
        outcome: Result<T, RedisError>,
    ) -> Result<T, Error> {
        self.note_result(outcome.map_err(Error::redis(during)))
    }

    /// As [`Self::note_outcome`], for an error that already has its context.
    pub(super) fn note_result<T>(&self, outcome: Result<T, Error>) -> Result<T, Error> {
        let moved = match &outcome {
            Err(Error::Redis { source, .. } | Error::Unreachable { source, .. }) => {
                may_have_moved(source)
            }
            Err(Error::Connection { .. } | Error::Refused { .. }) => true,
            _ => false,
        };
        if moved {
            self.give_up();
        }
        outcome
    }

    /// As [`Self::note_result`], for a connection beside the shared one: that it could not be had, or broke, says little. A
    /// server that is full refuses one, and may hang up before it is heard. So the server is given up only if it does not
    /// answer over the shared connection either.
    pub(super) async fn note_further<T>(&self, outcome: Result<T, Error>) -> Result<T, Error> {
        match &outcome {
            Err(Error::Redis { source, .. }) if !handshake::is_answer(source) => {}
            Err(Error::Unreachable { .. } | Error::Connection { .. } | Error::Refused { .. }) => {}
            _ => return self.note_result(outcome),
        }
        if !self.answers().await {
            self.give_up();
        }
        outcome
    }

    /// Whether the server answers over the shared connection, be it by refusing to.
    async fn answers(&self) -> bool {
        let (asked, mut shared) = (redis::cmd("TIME"), self.shared.clone());
        let answer = asked.query_async::<Value>(&mut shared);
        match tokio::time::timeout(ANSWERS_WITHIN, answer).await {
            Ok(Ok(_)) => true,
            Ok(Err(error)) => handshake::is_answer(&error),
            Err(_elapsed) => false,
        }
    }

    /// An exclusive connection. If all are in use, or this process may open no further one, the server is not in doubt:
    /// that is not its fault.
    pub(super) async fn take(
        &self,
        during: &'static str,
    ) -> Result<deadpool_redis::Connection, Error> {
        use deadpool_redis::{PoolError, TimeoutType};
        // Large and deep, since it may open a connection; every call that must be replicated would have to carry it.
        let taken = self.exclusive.get().boxed();
        let source = match taken.await {
            Ok(connection) => return Ok(connection),
            Err(source) => source,
        };
        let is_ours = match &source {
            PoolError::Timeout(of) => matches!(of, TimeoutType::Wait),
            PoolError::Backend(source) => is_shortage(source),
            _ => false,
        };
        let error = match source {
            PoolError::Backend(source) => self.refused(source),
            source => Error::Connection {
                during,
                reason: format!("{source} ({})", self.address()),
            },
        };
        if is_ours {
            return Err(error);
        }
        self.note_further(Err(error)).boxed().await
    }

    /// A connection of its own for messages.
    pub(super) async fn listen(&self) -> Result<redis::aio::PubSub, Error> {
        let opened = self.client.get_async_pubsub().boxed().await;
        opened.map_err(|source| self.refused(source))
    }

    /// Host and port of the server, or the path of its socket.
    pub(super) fn address(&self) -> String {
        self.server.addr().to_string()
    }

    /// The error for a further connection that could not be opened. Gives nothing up: [`Self::take`] and, for
    /// [`Self::listen`], [`Self::note_result`] do, unless this process is short of connections. Then the error of the next
    /// attempt has the server's own words.
    fn refused(&self, source: RedisError) -> Error {
        if handshake::is_answer(&source) {
            let (step, closed) = ("a further connection", false);
            Error::Refused {
                step,
                closed,
                url_from: String::new(),
                source,
            }
        } else {
            handshake::unreachable(&self.server, source)
        }
    }
}

/// Whether an error is one that a primary gives which died, froze or was demoted. UNBLOCKED ends the blocking reads of a
/// server that becomes a Redis replica.
fn may_have_moved(source: &RedisError) -> bool {
    let broke = source.kind() == ErrorKind::Io && !is_shortage(source);
    broke || has_code(source, &["READONLY", "UNBLOCKED", "MASTERDOWN"])
}
