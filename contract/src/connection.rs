//! Connections to Redis: shared ones for commands that return at once, exclusive ones for reads that block.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use redis::aio::{ConnectionManager, ConnectionManagerConfig, PubSub};
use redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use redis::{
    AsyncConnectionConfig, Client, Cmd, FromRedisValue, IntoConnectionInfo, Pipeline, RedisError,
    Value,
};

use crate::error::Error;
use crate::ids::Shards;
use crate::keys::DEFAULT_PREFIX;
use crate::script::Transition;

/// A shared connection is replaced after this long, so that moved addresses and rebalanced proxies are noticed.
const MAX_AGE: Duration = Duration::from_secs(600);
/// How long may be spent on getting a connection.
const CONNECT: Duration = Duration::from_secs(2);
/// Each shard has a reader that blocks; so many exclusive connections may be wanted beside those.
const SPARE_EXCLUSIVE: usize = 64;
/// A peer that vanished without a word is noticed after about this long.
const SILENT_PEER: Duration = Duration::from_secs(10);

/// Where Redis is and how it is used.
#[derive(Debug, Clone)]
pub struct RedisSettings {
    /// `redis://[user:password@]host:port/db`, or `unix:///path`.
    pub url: String,
    /// What every key begins with.
    pub prefix: String,
    /// How many shards the keys are spread over.
    pub shards: Shards,
    /// How long a command may take before it counts as failed.
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

/// The shared connection and when it was made.
struct Shared {
    manager: ConnectionManager,
    since: Instant,
}

struct Inner {
    client: Client,
    config: ConnectionManagerConfig,
    shared: ArcSwap<Shared>,
    exclusive: deadpool_redis::Pool,
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
        let unreadable = Error::redis("reading the address of Redis");
        let keepalive = TcpKeepalive::new()
            .with_time(SILENT_PEER / 2)
            .with_interval(SILENT_PEER / 5);
        let tcp = TcpSettings::default()
            .set_nodelay(true)
            .set_keepalive(keepalive)
            .set_user_timeout(SILENT_PEER);
        let prepare = || {
            let info = settings
                .url
                .as_str()
                .into_connection_info()?
                .set_tcp_settings(tcp);
            let config = ConnectionManagerConfig::new()
                .set_connection_timeout(Some(CONNECT))
                .set_response_timeout(Some(settings.response_timeout))
                .set_number_of_retries(1)
                .set_max_delay(Duration::from_millis(300));
            let client = Client::open(info.clone())?;
            let shared = open(&client, &config)?;
            // A response timeout would end a blocking read here while the server still hands the entry out.
            let blocking = AsyncConnectionConfig::new()
                .set_connection_timeout(Some(CONNECT))
                .set_response_timeout(None);
            let manager = deadpool_redis::Manager::new_with_config(info, blocking)?;
            Ok::<_, RedisError>((client, config, shared, manager))
        };
        let (client, config, shared, manager) = prepare().map_err(unreadable)?;
        let exclusive = deadpool_redis::Pool::builder(manager)
            .max_size(usize::from(settings.shards.count()) + SPARE_EXCLUSIVE)
            .runtime(deadpool_redis::Runtime::Tokio1)
            .wait_timeout(Some(CONNECT))
            .create_timeout(Some(CONNECT))
            .recycle_timeout(Some(CONNECT))
            .build()
            .map_err(|source| Error::Connection {
                during: "making the pool",
                reason: source.to_string(),
            })?;
        Ok(Self(Arc::new(Inner {
            client,
            config,
            shared: ArcSwap::from_pointee(shared),
            exclusive,
        })))
    }

    /// Runs one command.
    pub(crate) async fn command<T: FromRedisValue>(
        &self,
        during: &'static str,
        command: &Cmd,
    ) -> Result<T, Error> {
        let shared = self.shared();
        let outcome = command.query_async(&mut shared.manager.clone()).await;
        self.settle(during, &shared, outcome)
    }

    /// Runs several commands in one round trip.
    pub(crate) async fn pipeline<T: FromRedisValue>(
        &self,
        during: &'static str,
        pipeline: &Pipeline,
    ) -> Result<T, Error> {
        let shared = self.shared();
        let outcome = pipeline.query_async(&mut shared.manager.clone()).await;
        self.settle(during, &shared, outcome)
    }

    /// Runs a transition, loading it first if this Redis does not know it (yet, or any more).
    pub(crate) async fn transition(
        &self,
        transition: &Transition,
        keys: &[&str],
        args: &[&str],
    ) -> Result<Value, Error> {
        let mut call = transition.script.prepare_invoke();
        for key in keys {
            call.key(*key);
        }
        for arg in args {
            call.arg(*arg);
        }
        let shared = self.shared();
        let outcome = call.invoke_async(&mut shared.manager.clone()).await;
        self.settle(transition.name, &shared, outcome)
    }

    /// An exclusive connection for reads that block.
    ///
    /// # Errors
    ///
    /// If Redis cannot be reached, or all exclusive connections are in use.
    pub async fn blocking(&self) -> Result<BlockingConnection, Error> {
        let during = "a blocking read";
        let mut connection = self
            .0
            .exclusive
            .get()
            .await
            .map_err(|source| Error::Connection {
                during,
                reason: source.to_string(),
            })?;
        let mut command = redis::cmd("CLIENT");
        command.arg("ID");
        let client_id = within(during, command.query_async(&mut connection)).await?;
        Ok(BlockingConnection {
            connection,
            client_id,
        })
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

    /// A connection of its own for published messages.
    pub(crate) async fn pubsub(&self) -> Result<PubSub, Error> {
        within("subscribing", self.0.client.get_async_pubsub()).await
    }

    fn shared(&self) -> Arc<Shared> {
        let shared = self.0.shared.load_full();
        if shared.since.elapsed() > MAX_AGE {
            self.replace(&shared);
            return self.0.shared.load_full();
        }
        shared
    }

    /// The manager reconnects when the wire breaks, but stays on a server that became read-only or silent.
    fn settle<T>(
        &self,
        during: &'static str,
        used: &Arc<Shared>,
        outcome: Result<T, RedisError>,
    ) -> Result<T, Error> {
        outcome.map_err(|source| {
            if source.is_timeout() || source.code() == Some("READONLY") {
                self.replace(used);
            }
            Error::Redis { during, source }
        })
    }

    /// Puts a new connection in the place of `used`, unless another call did so before.
    fn replace(&self, used: &Arc<Shared>) {
        match open(&self.0.client, &self.0.config) {
            Ok(fresh) => {
                self.0.shared.compare_and_swap(used, Arc::new(fresh));
            }
            Err(error) => {
                tracing::warn!(%error, "the shared Redis connection could not be replaced")
            }
        }
    }
}

/// Bounds what has no time limit of its own.
async fn within<T>(
    during: &'static str,
    reply: impl Future<Output = Result<T, RedisError>>,
) -> Result<T, Error> {
    match tokio::time::timeout(CONNECT, reply).await {
        Ok(outcome) => outcome.map_err(Error::redis(during)),
        Err(_elapsed) => Err(Error::Connection {
            during,
            reason: format!("no answer within {CONNECT:?}"),
        }),
    }
}

fn open(client: &Client, config: &ConnectionManagerConfig) -> Result<Shared, RedisError> {
    Ok(Shared {
        manager: ConnectionManager::new_lazy_with_config(client.clone(), config.clone())?,
        since: Instant::now(),
    })
}

/// A connection that one reader holds while it blocks. Never drop a read halfway: the server may have handed an entry
/// out already; end it with [`Connections::unblock`].
pub struct BlockingConnection {
    connection: deadpool_redis::Connection,
    client_id: i64,
}

impl std::fmt::Debug for BlockingConnection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlockingConnection")
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
}

impl BlockingConnection {
    /// What [`Connections::unblock`] needs.
    #[must_use]
    pub fn client_id(&self) -> i64 {
        self.client_id
    }

    pub(crate) async fn command<T: FromRedisValue>(
        &mut self,
        during: &'static str,
        command: &Cmd,
    ) -> Result<T, Error> {
        command
            .query_async(&mut self.connection)
            .await
            .map_err(Error::redis(during))
    }
}
