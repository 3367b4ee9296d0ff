//! Connections to Redis: shared ones for commands that return at once, exclusive ones for reads that block, for large
//! replies, and for waiting on Redis replicas. All lead to the server that is the primary now. When an error or a check says that the primary may
//! have moved, all connections are given up together, and the process looks for the primary again.

mod access;
mod address;
mod crypto;
mod exclusive;
mod handshake;
mod info;
mod large;
mod misplaced;
mod one_hash_slot;
mod primary;
mod settings;
mod sizes;
mod unused;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use redis::aio::PubSub;
use redis::{Cmd, ConnectionInfo, FromRedisValue, Pipeline, RedisError, Value};
use secrecy::ExposeSecret as _;

pub use access::{Access, Login, Password, TlsFiles};
use address::Address;
pub use crypto::crypto_provider;
pub use exclusive::BlockingConnection;
pub(crate) use info::Info;
use primary::Primary;
pub(crate) use primary::ServerRun;
pub use settings::RedisSettings;

use crate::error::{Error, has_code};
use crate::model::overview::Misplaced;
use crate::script::TransitionCall;

/// How often to check that the address still leads to the server in use.
const CHECK_PRIMARY_EVERY: Duration = Duration::from_secs(5);
/// The longest time to get a connection.
const CONNECT: Duration = Duration::from_secs(2);
/// After a failure to reach the primary, all callers within this time get the same error, without a new try.
const FAILURE_SHARED_FOR: Duration = Duration::from_millis(250);
/// Exclusive connections beyond one blocking reader per shard.
const SPARE_EXCLUSIVE: usize = 64;

struct Inner {
    address: Address,
    access: Access,
    url_from: String,
    response_timeout: Duration,
    exclusive: usize,
    current: ArcSwapOption<Primary>,
    /// Locked while a task looks for the primary: the others wait for what it finds.
    search: tokio::sync::Mutex<()>,
    /// Whether this process ever connected and logged in.
    connected_once: AtomicBool,
    /// When the last try to reach the primary failed, and the error.
    last_failure: Mutex<Option<(Instant, Error)>>,
}

/// All connections of a process to one Redis. Cheap to clone.
#[derive(Clone)]
pub struct Connections(Arc<Inner>);

impl std::fmt::Debug for Connections {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connections").finish_non_exhaustive()
    }
}

impl Connections {
    /// Prepares connections; none is opened before the first command.
    ///
    /// # Errors
    ///
    /// If the address cannot be read, or does not go with what lets this process in.
    pub fn new(settings: &RedisSettings) -> Result<Self, Error> {
        let address = Address::parse(settings.url.expose_secret())
            .map_err(|rule| Error::Unsuitable(format!("its address {rule}")))?;
        let access = settings.access.clone();
        access.suits(&address).map_err(Error::Unsuitable)?;
        Ok(Self(Arc::new(Inner {
            address,
            access,
            url_from: settings.url_from.clone(),
            response_timeout: settings.response_timeout,
            exclusive: usize::from(settings.shards.count()) + SPARE_EXCLUSIVE,
            current: ArcSwapOption::empty(),
            search: tokio::sync::Mutex::default(),
            connected_once: AtomicBool::new(false),
            last_failure: Mutex::default(),
        })))
    }

    /// Runs one command.
    pub(crate) async fn command<T: FromRedisValue>(
        &self,
        during: &'static str,
        command: &Cmd,
    ) -> Result<T, Error> {
        one_hash_slot::check_command(command);
        let primary = self.primary().await?;
        primary.check_size(during, sizes::largest(command)).await?;
        let outcome = command.query_async(&mut primary.shared.clone()).await;
        let outcome = primary.note_outcome(during, outcome);
        name_wrong_keys(&primary, outcome, || sizes::pieces(command)).await
    }

    /// Runs several commands in one round trip. Their keys are in one hash slot.
    pub(crate) async fn pipeline<T: FromRedisValue>(
        &self,
        during: &'static str,
        pipeline: &Pipeline,
    ) -> Result<T, Error> {
        one_hash_slot::check_together(pipeline.cmd_iter());
        let primary = self.primary().await?;
        let largest = pipeline.cmd_iter().map(sizes::largest).max();
        primary.check_size(during, largest.unwrap_or(0)).await?;
        let outcome = pipeline.query_async(&mut primary.shared.clone()).await;
        let outcome = primary.note_outcome(during, outcome);
        let all = || pipeline.cmd_iter().flat_map(sizes::pieces).collect();
        name_wrong_keys(&primary, outcome, all).await
    }

    /// Runs a transition, loading it first if this Redis does not know it (yet, or any more).
    pub(crate) async fn transition(&self, call: TransitionCall<'_>) -> Result<Value, Error> {
        one_hash_slot::check_transition(call);
        if large::is_large(call) {
            return Box::pin(self.large_transition(call)).await;
        }
        let (during, primary) = (call.transition.name, self.primary().await?);
        primary.check_size(during, call.largest()).await?;
        let outcome = call.run(&mut primary.shared.clone()).await;
        let outcome = primary.note_outcome(during, outcome);
        name_wrong_keys(&primary, outcome, || misplaced::touched(call)).await
    }

    /// Which of these keys are of another type than they should be.
    pub(crate) async fn misplaced(&self, keys: &[String]) -> Result<Vec<Misplaced>, Error> {
        let primary = self.primary().await?;
        let found = misplaced::find(&mut primary.shared.clone(), keys).await;
        primary.note_outcome("TYPE", found)
    }

    /// The server's `INFO`; empty if the user may not read it, or the server has no such command.
    pub(crate) async fn info(&self) -> Result<Info, Error> {
        match self.command::<String>("INFO", &redis::cmd("INFO")).await {
            Ok(text) => Ok(Info::parse(&text)),
            // Not permitted, or not there: the check of permissions says which.
            Err(error) if error.is_refusal() && !error.is_transient() => Ok(Info::default()),
            Err(error) => Err(error),
        }
    }

    /// Which run of the server these connections lead to. Asked once for each set of connections: they end with that run.
    pub(crate) async fn server_run(&self) -> Result<ServerRun, Error> {
        self.primary().await?.run().await
    }

    /// Ends the read that blocks on the connection with this id. Does nothing if no read blocks on it.
    ///
    /// # Errors
    ///
    /// If Redis cannot be reached.
    pub async fn unblock(&self, client_id: i64) -> Result<(), Error> {
        let mut command = redis::cmd("CLIENT");
        command.arg("UNBLOCK").arg(client_id);
        self.command::<i64>("CLIENT UNBLOCK", &command)
            .await
            .map(drop)
    }

    /// A connection of its own that hears what is published on `channels`.
    pub(crate) async fn subscribe(&self, channels: &[String]) -> Result<Subscription, Error> {
        one_hash_slot::check_channels(channels);
        let during = "subscribing";
        let primary = self.primary().await?;
        let subscribed = async {
            let mut pubsub = primary.listen().await?;
            let outcome = pubsub.subscribe(channels).await;
            outcome.map_err(Error::redis(during))?;
            Ok(pubsub)
        };
        let pubsub = match tokio::time::timeout(CONNECT, subscribed).await {
            Ok(outcome) => outcome,
            Err(_elapsed) => Err(Error::Connection {
                during,
                reason: format!("no answer within {CONNECT:?} ({})", primary.address()),
            }),
        };
        let pubsub = primary.note_further(pubsub).await?;
        Ok(Subscription { pubsub, primary })
    }

    /// Checks every few seconds that the address still leads to the server in use, and gives up the connections if not. A
    /// process that only reads gets no error when its server was demoted, when another took its place, or when a proxy now
    /// leads elsewhere. Never returns.
    pub(crate) async fn keep_checking_the_primary(&self) {
        loop {
            tokio::time::sleep(CHECK_PRIMARY_EVERY).await;
            if let Err(error) = self.check_primary().await {
                tracing::debug!(%error, "could not check whether the primary moved");
            }
        }
    }

    async fn check_primary(&self) -> Result<(), Error> {
        let primary = self.primary().await?;
        let in_use = primary.run().await?;
        let found = self.find().await?;
        let at_address = Box::pin(address::describe(&found)).await?;
        if at_address.is_primary && at_address.run_id != in_use.id {
            let (from, to) = (primary.address(), found.addr().to_string());
            tracing::warn!(
                from,
                to,
                "another server is the primary now; changing to it"
            );
            primary.give_up();
        }
        Ok(())
    }

    /// The connections to the primary. If they were given up, opens new ones; one task does that, and the others wait for
    /// it.
    async fn primary(&self) -> Result<Arc<Primary>, Error> {
        let usable = || {
            self.0
                .current
                .load_full()
                .filter(|primary| !primary.is_over())
        };
        if let Some(primary) = usable() {
            return Ok(primary);
        }
        let _search = self.0.search.lock().await;
        if let Some(primary) = usable() {
            return Ok(primary);
        }
        if let Some(error) = self.recent_failure() {
            return Err(error);
        }
        let primary = Box::pin(self.open()).await.inspect_err(|error| {
            *self.last_failure() = Some((Instant::now(), error.clone()));
        })?;
        self.0.connected_once.store(true, Ordering::Relaxed);
        self.0.current.store(Some(Arc::clone(&primary)));
        Ok(primary)
    }

    /// Whether a process that starts should wait for Redis after this error, rather than end. The error is transient, or
    /// this process was connected before, so its credentials and certificates were good.
    #[must_use]
    pub fn should_wait(&self, error: &Error) -> bool {
        let was_connected = self.0.connected_once.load(Ordering::Relaxed);
        let is_ours = matches!(error, Error::Refused { .. } | Error::Unreachable { .. });
        error.is_transient() || (was_connected && is_ours)
    }

    /// The name of the user that is set, Redis's default one without, and where it is set.
    pub(crate) fn user(&self) -> (&str, String) {
        let of_url = match self.0.url_from.as_str() {
            "" => "redis_url".to_owned(),
            place => format!("redis_url from {place}"),
        };
        let in_url = self.0.address.used().redis_settings().username();
        match (&self.0.access.login.username, in_url) {
            (Some(name), _) => (name, "of redis_username".to_owned()),
            (None, Some(name)) => (name, format!("of {of_url}")),
            (None, None) => ("default", format!("{of_url} names none")),
        }
    }

    async fn open(&self) -> Result<Arc<Primary>, Error> {
        let info = self.find().await?;
        let opened = Primary::open(info, self.0.response_timeout, self.0.exclusive).await;
        opened.map_err(|mut error| {
            if let Error::Refused { url_from, .. } | Error::Unreachable { url_from, .. } =
                &mut error
            {
                url_from.clone_from(&self.0.url_from);
            }
            error
        })
    }

    /// Where the primary is now, with what lets this process in there as its files have it now.
    async fn find(&self) -> Result<ConnectionInfo, Error> {
        let address = self.0.access.apply(&self.0.address);
        let during = "finding the primary";
        let address = address.map_err(|reason| Error::Connection { during, reason })?;
        address.find().await
    }

    fn recent_failure(&self) -> Option<Error> {
        let failure = self.last_failure();
        let (at, error) = failure.as_ref()?;
        (at.elapsed() < FAILURE_SHARED_FOR).then(|| error.clone())
    }

    fn last_failure(&self) -> std::sync::MutexGuard<'_, Option<(Instant, Error)>> {
        self.0
            .last_failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// How long a command may take until it counts as failed.
    #[must_use]
    pub fn response_timeout(&self) -> Duration {
        self.0.response_timeout
    }
}

/// A subscription, and whether the server behind it is still the right one.
pub(crate) struct Subscription {
    pub(crate) pubsub: PubSub,
    primary: Arc<Primary>,
}

impl Subscription {
    /// The stream of messages, and a future that resolves when the server is given up. After that, messages may be missed:
    /// subscribe again.
    pub(crate) fn split(
        self,
    ) -> (
        impl futures_util::Stream<Item = redis::Msg> + Send,
        impl Future<Output = ()> + Send,
    ) {
        let primary = self.primary;
        (self.pubsub.into_on_message(), async move {
            primary.given_up().await;
        })
    }
}

/// Turns a WRONGTYPE error, which names no key, into one that names the keys of the wrong type.
async fn name_wrong_keys<T>(
    primary: &Primary,
    outcome: Result<T, Error>,
    keys: impl FnOnce() -> Vec<String>,
) -> Result<T, Error> {
    let during = match &outcome {
        Err(Error::Redis { during, source }) if has_code(source, &["WRONGTYPE"]) => *during,
        _ => return outcome,
    };
    match misplaced::find(&mut primary.shared.clone(), &keys()).await {
        Ok(misplaced) if !misplaced.is_empty() => Err(Error::WrongType { during, misplaced }),
        _ => outcome,
    }
}

/// Waits for a reply up to `limit`, for connections without a response timeout.
async fn within<T>(
    during: &'static str,
    limit: Duration,
    reply: impl Future<Output = Result<T, RedisError>>,
) -> Result<T, Error> {
    match tokio::time::timeout(limit, reply).await {
        Ok(outcome) => outcome.map_err(Error::redis(during)),
        Err(_elapsed) => Err(no_answer(during, limit)),
    }
}

fn no_answer(during: &'static str, limit: Duration) -> Error {
    Error::Connection {
        during,
        reason: format!("no answer within {limit:?}"),
    }
}
