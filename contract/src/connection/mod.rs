//! Connections to Redis: shared ones for commands that return at once, exclusive ones for reads that block and for
//! waiting on replicas. All lead to the primary of now: when something says that it may have moved, they are given up
//! together and it is looked for again.

mod address;
mod exclusive;
mod handshake;
mod info;
mod misplaced;
mod one_hash_slot;
mod primary;
mod sizes;
mod unused;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use redis::aio::PubSub;
use redis::{Cmd, FromRedisValue, Pipeline, RedisError, ScriptInvocation, Value};

use address::Address;
pub use exclusive::BlockingConnection;
pub(crate) use info::Info;
use primary::Primary;

use crate::error::{Error, has_code};
use crate::keys::DEFAULT_PREFIX;
use crate::model::overview::Misplaced;
use crate::model::shard::Shards;
use crate::script::Transition;

/// How often is looked whether the address still leads to the server in use.
const LOOK: Duration = Duration::from_secs(5);
/// How long may be spent on getting a connection.
const CONNECT: Duration = Duration::from_secs(2);
/// A primary that could not be found, or refused, is not asked again within this time: all who ask share the answer.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// Each shard has a reader that blocks; so many exclusive connections may be wanted beside those.
const SPARE_EXCLUSIVE: usize = 64;

/// Where Redis is and how it is used.
#[derive(Debug, Clone)]
pub struct RedisSettings {
    /// `redis://[user:password@]host:port/db`, `unix:///path`, or
    /// `redis+sentinel://[user:password@]host:port,host:port/primary/db`. [`Store::new`] refuses anything else.
    ///
    /// [`Store::new`]: crate::Store::new
    pub url: String,
    /// Where that was set, as people would look for it: a flag, a variable, a file. Errors about user, password and
    /// database say so; empty if there is nothing to say.
    pub url_from: String,
    /// What every key begins with, letters, digits, `_` and `-`; the same for every process. `tf`.
    pub prefix: String,
    /// How many shards the keys are spread over; the same for every process. One.
    pub shards: Shards,
    /// How long a command may take before it counts as failed, and its connection as broken. 3 s.
    pub response_timeout: Duration,
}

impl RedisSettings {
    /// The defaults for everything but the address.
    #[must_use]
    pub fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            url_from: String::new(),
            prefix: DEFAULT_PREFIX.to_owned(),
            shards: Shards::default(),
            response_timeout: Duration::from_secs(3),
        }
    }

    /// Checks a text that shall become [`url`](Self::url).
    ///
    /// # Errors
    ///
    /// What it must be.
    pub fn check_url(text: &str) -> Result<(), String> {
        Address::parse(text).map(|_address| ())
    }
}

struct Inner {
    address: Address,
    url_from: String,
    response_timeout: Duration,
    exclusive: usize,
    current: ArcSwapOption<Primary>,
    /// One looks for the primary at a time.
    looking: tokio::sync::Mutex<()>,
    /// Whether the server ever let this process in.
    let_in: AtomicBool,
    /// When it was last looked for, or asked, in vain, and why.
    failed: Mutex<Option<(Instant, Error)>>,
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
    /// If the address cannot be read.
    pub fn new(settings: &RedisSettings) -> Result<Self, Error> {
        let address = Address::parse(&settings.url)
            .map_err(|rule| Error::Unsuitable(format!("its address {rule}")))?;
        Ok(Self(Arc::new(Inner {
            address,
            url_from: settings.url_from.clone(),
            response_timeout: settings.response_timeout,
            exclusive: usize::from(settings.shards.count()) + SPARE_EXCLUSIVE,
            current: ArcSwapOption::empty(),
            looking: tokio::sync::Mutex::default(),
            let_in: AtomicBool::new(false),
            failed: Mutex::default(),
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
        primary.admit(during, sizes::largest(command)).await?;
        let outcome = command.query_async(&mut primary.shared.clone()).await;
        let outcome = primary.settle(during, outcome);
        named(&primary, outcome, || sizes::pieces(command)).await
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
        primary.admit(during, largest.unwrap_or(0)).await?;
        let outcome = pipeline.query_async(&mut primary.shared.clone()).await;
        let outcome = primary.settle(during, outcome);
        let all = || pipeline.cmd_iter().flat_map(sizes::pieces).collect();
        named(&primary, outcome, all).await
    }

    /// Runs a transition, loading it first if this Redis does not know it (yet, or any more).
    pub(crate) async fn transition(
        &self,
        transition: &Transition,
        keys: &[&str],
        args: &[&str],
    ) -> Result<Value, Error> {
        one_hash_slot::check_transition(keys, args);
        let primary = self.primary().await?;
        primary.admit(transition.name, largest(args)).await?;
        let call = invocation(transition, keys, args);
        let outcome = call.invoke_async(&mut primary.shared.clone()).await;
        let outcome = primary.settle(transition.name, outcome);
        named(&primary, outcome, || misplaced::touched(keys, args)).await
    }

    /// Which of these keys hold something else than what belongs there.
    pub(crate) async fn misplaced(&self, keys: &[String]) -> Result<Vec<Misplaced>, Error> {
        let primary = self.primary().await?;
        let found = misplaced::find(&mut primary.shared.clone(), keys).await;
        primary.settle("TYPE", found)
    }

    /// What the server says of itself; nothing if the user may not read it, or the server has no such command.
    pub(crate) async fn info(&self) -> Result<Info, Error> {
        match self.command::<String>("INFO", &redis::cmd("INFO")).await {
            Ok(text) => Ok(Info::parse(&text)),
            // Not permitted, or not there: the check of permissions says which.
            Err(error) if error.is_refusal() && !error.is_transient() => Ok(Info::default()),
            Err(error) => Err(error),
        }
    }

    /// Ends the read that blocks on the connection with this id; nothing happens if none does.
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
        let pubsub = primary.judge(pubsub)?;
        Ok(Subscription { pubsub, primary })
    }

    /// Looks again and again whether the address still leads to the server in use, and gives that up if not: a process
    /// that only reads would never learn from an error that its server was demoted, replaced while it was frozen, or
    /// that a proxy leads elsewhere by now. Never ends.
    pub(crate) async fn stay_with_the_primary(&self) {
        loop {
            tokio::time::sleep(LOOK).await;
            if let Err(error) = self.look().await {
                tracing::debug!(%error, "whether the primary moved could not be seen");
            }
        }
    }

    async fn look(&self) -> Result<(), Error> {
        let primary = self.primary().await?;
        let info = address::info_command();
        let ours = info
            .query_async::<String>(&mut primary.shared.clone())
            .await;
        let ours = address::Described::read(&primary.settle("INFO", ours)?);
        let there = Box::pin(address::describe(&self.0.address.find().await?)).await?;
        if there.is_primary && there.run_id != ours.run_id {
            tracing::warn!("another server is the primary now; changing to it");
            primary.give_up();
        }
        Ok(())
    }

    /// The connections to the primary. If they were given up, it is looked for, by one for all.
    async fn primary(&self) -> Result<Arc<Primary>, Error> {
        let fit = || {
            self.0
                .current
                .load_full()
                .filter(|primary| !primary.is_over())
        };
        if let Some(primary) = fit() {
            return Ok(primary);
        }
        let _looking = self.0.looking.lock().await;
        if let Some(primary) = fit() {
            return Ok(primary);
        }
        if let Some(error) = self.failed_just_now() {
            return Err(error);
        }
        let primary = Box::pin(self.open()).await.inspect_err(|error| {
            *self.failed() = Some((Instant::now(), error.clone()));
        })?;
        self.0.let_in.store(true, Ordering::Relaxed);
        self.0.current.store(Some(Arc::clone(&primary)));
        Ok(primary)
    }

    /// Whether a process that starts should wait for Redis after this error, rather than end: it is transient, or Redis
    /// has let it in before.
    #[must_use]
    pub fn should_wait(&self, error: &Error) -> bool {
        let was_in = self.0.let_in.load(Ordering::Relaxed);
        error.is_transient() || (was_in && matches!(error, Error::Refused { .. }))
    }

    async fn open(&self) -> Result<Arc<Primary>, Error> {
        let info = self.0.address.find().await?;
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

    fn failed_just_now(&self) -> Option<Error> {
        let failed = self.failed();
        let (at, error) = failed.as_ref()?;
        (at.elapsed() < LOOK_AGAIN).then(|| error.clone())
    }

    fn failed(&self) -> std::sync::MutexGuard<'_, Option<(Instant, Error)>> {
        self.0.failed.lock().unwrap_or_else(PoisonError::into_inner)
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
    /// The messages, and what resolves when the server is given up: from then on nothing more may be heard.
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

/// Names the keys that hold something else than they should, where Redis only says that there is one.
async fn named<T>(
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

fn invocation<'a>(
    transition: &'a Transition,
    keys: &[&str],
    args: &[&str],
) -> ScriptInvocation<'a> {
    let mut call = transition.script.prepare_invoke();
    for key in keys {
        call.key(*key);
    }
    for arg in args {
        call.arg(*arg);
    }
    call
}

/// Bounds what has no time limit of its own.
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

/// The largest of these, bytes.
fn largest(pieces: &[&str]) -> usize {
    pieces.iter().map(|piece| piece.len()).max().unwrap_or(0)
}
