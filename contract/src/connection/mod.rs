//! Connections to Redis: shared ones for commands that return at once, exclusive ones for reads that block and for
//! waiting on replicas. All lead to the primary of now: when something says that it may have moved, they are given up
//! together and it is looked for again.

mod address;
mod exclusive;
mod line;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use redis::aio::PubSub;
use redis::{Cmd, FromRedisValue, Pipeline, RedisError, ScriptInvocation, Value};

use crate::error::Error;
use crate::ids::Shards;
use crate::keys::DEFAULT_PREFIX;
use crate::script::Transition;
pub(crate) use address::{Address, RULE};
pub use exclusive::BlockingConnection;
use line::Line;

/// How often is looked whether the address still leads to the server in use.
const LOOK: Duration = Duration::from_secs(5);
/// How long may be spent on getting a connection.
const CONNECT: Duration = Duration::from_secs(2);
/// A primary that could not be found is not looked for again within this time: all who ask share the answer.
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
            prefix: DEFAULT_PREFIX.to_owned(),
            shards: Shards::default(),
            response_timeout: Duration::from_secs(3),
        }
    }
}

struct Inner {
    address: Address,
    response_timeout: Duration,
    exclusive: usize,
    current: ArcSwapOption<Line>,
    /// One looks for the primary at a time.
    looking: tokio::sync::Mutex<()>,
    /// When it was last looked for in vain, and why.
    failed: Mutex<Option<(Instant, String)>>,
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
            .ok_or_else(|| Error::Unsuitable(format!("its address {RULE}")))?;
        Ok(Self(Arc::new(Inner {
            address,
            response_timeout: settings.response_timeout,
            exclusive: usize::from(settings.shards.count()) + SPARE_EXCLUSIVE,
            current: ArcSwapOption::empty(),
            looking: tokio::sync::Mutex::default(),
            failed: Mutex::default(),
        })))
    }

    /// Runs one command.
    pub(crate) async fn command<T: FromRedisValue>(
        &self,
        during: &'static str,
        command: &Cmd,
    ) -> Result<T, Error> {
        let line = self.line().await?;
        let outcome = command.query_async(&mut line.manager.clone()).await;
        line.settle(during, outcome)
    }

    /// Runs several commands in one round trip.
    pub(crate) async fn pipeline<T: FromRedisValue>(
        &self,
        during: &'static str,
        pipeline: &Pipeline,
    ) -> Result<T, Error> {
        let line = self.line().await?;
        let outcome = pipeline.query_async(&mut line.manager.clone()).await;
        line.settle(during, outcome)
    }

    /// Runs a transition, loading it first if this Redis does not know it (yet, or any more).
    pub(crate) async fn transition(
        &self,
        transition: &Transition,
        keys: &[&str],
        args: &[&str],
    ) -> Result<Value, Error> {
        let line = self.line().await?;
        let call = invocation(transition, keys, args);
        let outcome = call.invoke_async(&mut line.manager.clone()).await;
        line.settle(transition.name, outcome)
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
        let during = "subscribing";
        let line = self.line().await?;
        let subscribed = async {
            let mut pubsub = line.client.get_async_pubsub().await?;
            pubsub.subscribe(channels).await?;
            Ok(pubsub)
        };
        let pubsub = line.judge(within(during, CONNECT, subscribed).await)?;
        Ok(Subscription { pubsub, line })
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
        let line = self.line().await?;
        let info = address::info_command();
        let ours = info.query_async::<String>(&mut line.manager.clone()).await;
        let ours = address::Described::read(&line.settle("INFO", ours)?);
        let there = address::describe(&self.0.address.find().await?).await?;
        if there.is_primary && there.run_id != ours.run_id {
            tracing::warn!("another server is the primary now; changing to it");
            line.give_up();
        }
        Ok(())
    }

    /// The connections to the primary. If they were given up, it is looked for, by one for all.
    async fn line(&self) -> Result<Arc<Line>, Error> {
        let fit = || self.0.current.load_full().filter(|line| !line.is_over());
        if let Some(line) = fit() {
            return Ok(line);
        }
        let _looking = self.0.looking.lock().await;
        if let Some(line) = fit() {
            return Ok(line);
        }
        if let Some(reason) = self.failed_just_now() {
            return Err(Error::Connection {
                during: "finding the primary",
                reason,
            });
        }
        let info = self.0.address.find().await.inspect_err(|error| {
            *self.failed() = Some((Instant::now(), error.to_string()));
        })?;
        let line = Line::open(info, self.0.response_timeout, self.0.exclusive)?;
        self.0.current.store(Some(Arc::clone(&line)));
        Ok(line)
    }

    fn failed_just_now(&self) -> Option<String> {
        let failed = self.failed();
        let (at, reason) = failed.as_ref()?;
        (at.elapsed() < LOOK_AGAIN).then(|| reason.clone())
    }

    fn failed(&self) -> std::sync::MutexGuard<'_, Option<(Instant, String)>> {
        self.0.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn response_timeout(&self) -> Duration {
        self.0.response_timeout
    }
}

/// A subscription, and whether the server behind it is still the right one.
pub(crate) struct Subscription {
    pub(crate) pubsub: PubSub,
    line: Arc<Line>,
}

impl Subscription {
    /// The messages, and what resolves when the server is given up: from then on nothing more may be heard.
    pub(crate) fn split(
        self,
    ) -> (
        impl futures_util::Stream<Item = redis::Msg> + Send,
        impl Future<Output = ()> + Send,
    ) {
        let line = self.line;
        (self.pubsub.into_on_message(), async move {
            line.given_up().await;
        })
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
        Err(_elapsed) => Err(Error::Connection {
            during,
            reason: format!("no answer within {limit:?}"),
        }),
    }
}
