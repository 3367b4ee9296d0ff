//! A Redis server of the test's own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::at_end::{AtEnd, PREFIX, broken_laws};
use crate::config;
use crate::connect::connect;
use crate::eventually::{eventually, eventually_some};
use crate::invariants;
use crate::ports::free_port;

/// How long a server may take to answer.
const START: Duration = Duration::from_secs(20);
/// How often another port is tried when the first was taken meanwhile.
const PORTS_TRIED: u32 = 5;

/// What a server keeps on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AppendOnly {
    /// Nothing: a restart is empty.
    #[default]
    No,
    /// Every write before it is answered (`appendfsync always`).
    Always,
    /// Writes once a second (`appendfsync everysec`).
    EverySecond,
}

/// How a server is started.
#[derive(Debug, Clone, Default)]
pub struct ServerOptions {
    /// The server binary. What the tests' environment says, or `redis-server`.
    pub binary: Option<PathBuf>,
    /// What it keeps on disk. Nothing.
    pub append_only: AppendOnly,
    /// `maxmemory` in bytes; no limit.
    pub max_memory_bytes: Option<u64>,
    /// Whether it is a node of a Redis Cluster, the only one, with every slot. Such a node refuses commands and scripts
    /// whose keys are in two slots.
    pub cluster: bool,
    /// Further arguments, as `--name`, `value`.
    pub arguments: Vec<String>,
}

/// A private server on a free port of 127.0.0.1, with its own directory. It dies with this value, and before that the test
/// fails if the keys on it are not as [`Self::drained_at_end`] has them.
#[derive(Debug)]
pub struct TestServer {
    options: ServerOptions,
    directory: TempDir,
    port: u16,
    child: Child,
    at_end: AtEnd,
}

impl TestServer {
    /// Starts a server that keeps nothing on disk.
    ///
    /// # Panics
    ///
    /// If there is no server binary, or it does not start.
    pub async fn start() -> Self {
        Self::start_with(ServerOptions::default()).await
    }

    /// Starts a server.
    ///
    /// # Panics
    ///
    /// As [`Self::start`].
    pub async fn start_with(options: ServerOptions) -> Self {
        for _ in 0..PORTS_TRIED {
            let directory = tempfile::tempdir().expect("a temporary directory can be made");
            let port = free_port();
            let child = spawn(&options, directory.path(), port);
            let mut server = Self {
                options: options.clone(),
                directory,
                port,
                child,
                at_end: AtEnd::default(),
            };
            if server.answers().await {
                if options.cluster {
                    server.take_every_slot().await;
                }
                return server;
            }
        }
        panic!("no server could be started on {PORTS_TRIED} ports");
    }

    /// Gives it every slot, and waits until it takes writes: it does not for its first two seconds.
    async fn take_every_slot(&self) {
        let mut connection = self.raw().await;
        let mut add = redis::cmd("CLUSTER");
        add.arg("ADDSLOTSRANGE").arg(0).arg(16_383);
        let added = add.query_async::<()>(&mut connection).await;
        added.unwrap_or_else(|error| panic!("CLUSTER ADDSLOTSRANGE was refused: {error}"));
        eventually(START, "the cluster takes writes", async || {
            let mut info = redis::cmd("CLUSTER");
            info.arg("INFO");
            let info = info.query_async::<String>(&mut connection).await;
            info.is_ok_and(|info| info.contains("cluster_state:ok"))
        })
        .await;
    }

    /// Has the test fail if, `patience` after it ended, any job is left, or a law of [`crate::invariants`] is broken. Not
    /// so if it has failed already, or the server is dead.
    #[must_use]
    pub fn drained_at_end(mut self, patience: Duration) -> Self {
        self.at_end = AtEnd::Drained(patience);
        self
    }

    /// Waits until no job is left, and no law of [`crate::invariants`] is broken.
    ///
    /// # Panics
    ///
    /// If that is not so within `deadline`.
    pub async fn drained(&self, deadline: Duration) {
        let mut redis = self.raw().await;
        eventually(deadline, "no job is left", async || {
            invariants::drained(&mut redis, PREFIX).await.is_empty()
        })
        .await;
    }

    /// Lets the test end with jobs that are left, on purpose. No law may be broken all the same.
    pub fn leaves_jobs(&mut self) {
        self.at_end = AtEnd::Sound;
    }

    /// Lets the test end with keys that are not what any transition would leave, on purpose.
    pub fn leaves_anything(&mut self) {
        self.at_end = AtEnd::Nothing;
    }

    /// Makes it the one that is checked at the test's end, in the place of `former`.
    pub fn takes_over_from(&mut self, former: &mut Self) {
        self.at_end = std::mem::take(&mut former.at_end);
    }

    /// Starts a replica of `primary` and waits until that knows of it and it has everything.
    ///
    /// # Panics
    ///
    /// As [`Self::start`], and if the two do not find each other.
    pub async fn replica_of(primary: &Self) -> Self {
        let mut options = ServerOptions::default();
        let place = ["--replicaof", "127.0.0.1", &primary.port.to_string()];
        options.arguments = place.map(str::to_owned).to_vec();
        let replica = Self::start_with(options).await;
        let followed = replica.replication(START, "the replica follows", |info| {
            info.contains("master_link_status:up")
        });
        followed.await;
        // The primary sends it nothing more until it heard from it, which may be a second after that.
        let mut mark = redis::cmd("PUBLISH");
        mark.arg("nobody").arg("hears this");
        if let Err(error) = mark.query_async::<i64>(&mut primary.raw().await).await {
            panic!("the primary refused a PUBLISH: {error}");
        }
        let place = format!("port={},state=online", replica.port);
        let acknowledged = primary.replication(START, "the replica has acknowledged", |info| {
            has_acknowledged(info, &place)
        });
        acknowledged.await;
        replica
    }

    /// Waits until what it says of its replication is as it should be.
    async fn replication(&self, deadline: Duration, what: &str, is: impl Fn(&str) -> bool) {
        let mut connection = self.raw().await;
        let mut info = redis::cmd("INFO");
        info.arg("replication");
        eventually(deadline, what, async || {
            let text = info.query_async::<String>(&mut connection).await;
            text.is_ok_and(|text| is(&text))
        })
        .await;
    }

    /// Makes it a primary.
    ///
    /// # Panics
    ///
    /// If it does not answer.
    pub async fn promote(&self) {
        self.follow("NO", "ONE").await;
    }

    /// Makes it a replica of `primary`, which no longer takes writes.
    ///
    /// # Panics
    ///
    /// If it does not answer.
    pub async fn demote_to(&self, primary: &Self) {
        self.follow("127.0.0.1", &primary.port.to_string()).await;
    }

    async fn follow(&self, host: &str, port: &str) {
        let mut command = redis::cmd("REPLICAOF");
        command.arg(host).arg(port);
        let outcome = command.query_async::<()>(&mut self.raw().await).await;
        outcome.unwrap_or_else(|error| panic!("REPLICAOF was refused: {error}"));
    }

    /// Its address, database 0.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// The port it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A plain connection, for assertions and sabotage.
    ///
    /// # Panics
    ///
    /// If the server does not answer.
    pub async fn raw(&self) -> MultiplexedConnection {
        self.connect().await.unwrap_or_else(|error| {
            panic!(
                "the test server on port {} does not answer: {error}",
                self.port
            )
        })
    }

    /// Ends it at once, as a power cut does.
    pub fn kill9(&mut self) {
        // Fails only if it is dead already.
        drop(self.child.kill());
        drop(self.child.wait());
    }

    /// Starts it again on the same port: with its data if it keeps any, else empty. Kills it first if it still runs.
    ///
    /// # Panics
    ///
    /// If it does not start.
    pub async fn restart(&mut self) {
        self.kill9();
        for _ in 0..PORTS_TRIED {
            self.child = spawn(&self.options, self.directory.path(), self.port);
            if self.answers().await {
                return;
            }
        }
        panic!("the test server did not start again on port {}", self.port);
    }

    /// Freezes it: connections stay open and nothing answers.
    ///
    /// # Panics
    ///
    /// If it is dead.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Thaws it.
    ///
    /// # Panics
    ///
    /// If it is dead.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal)
            .unwrap_or_else(|error| panic!("the test server cannot be signalled: {error}"));
    }

    /// As [`Self::raw`], of a server that may cut connections just then.
    ///
    /// # Errors
    ///
    /// If it does.
    pub async fn connect(&self) -> redis::RedisResult<MultiplexedConnection> {
        connect(&self.url()).await
    }

    /// Waits until this very process answers; false if it ended, as it does when the port is taken.
    async fn answers(&mut self) -> bool {
        let what = format!("the test server on port {} answers", self.port);
        eventually_some(START, &what, async || {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return Some(false);
            }
            let mut connection = self.connect().await.ok()?;
            let mut info = redis::cmd("INFO");
            info.arg("server");
            let info = info.query_async::<String>(&mut connection).await;
            // One that does not know the command any more cannot say whose it is.
            let renamed = info
                .as_ref()
                .is_err_and(|error| error.code() == Some("ERR"));
            let info = info.unwrap_or_default();
            let ours = format!("process_id:{}", self.child.id());
            let ping = redis::cmd("PING");
            let loaded = ping.query_async::<String>(&mut connection).await.is_ok();
            (loaded && (renamed || info.lines().any(|line| line == ours))).then_some(true)
        })
        .await
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        let runs = matches!(self.child.try_wait(), Ok(None));
        let broken = if runs && !std::thread::panicking() {
            // It may be frozen.
            self.resume();
            broken_laws(&self.url(), self.at_end)
        } else {
            Vec::new()
        };
        self.kill9();
        if !broken.is_empty() {
            panic!(
                "the test left what it should not have:\n  {}",
                broken.join("\n  ")
            );
        }
    }
}

fn spawn(options: &ServerOptions, directory: &Path, port: u16) -> Child {
    let binary = options.binary.clone().unwrap_or_else(config::redis_server);
    let port = port.to_string();
    let mut command = Command::new(&binary);
    command
        .args(["--bind", "127.0.0.1", "--port", &port, "--save", ""])
        // A replica that joins is not made to wait for others.
        .args(["--repl-diskless-sync-delay", "0"])
        .arg("--dir")
        .arg(directory)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    match options.append_only {
        AppendOnly::No => command.args(["--appendonly", "no"]),
        AppendOnly::Always => command.args(["--appendonly", "yes", "--appendfsync", "always"]),
        AppendOnly::EverySecond => command.args(["--appendonly", "yes"]),
    };
    if let Some(bytes) = options.max_memory_bytes {
        command.arg("--maxmemory").arg(bytes.to_string());
    }
    if options.cluster {
        // By itself it would take the port that is 10,000 higher, which may be none, or somebody else's.
        let bus = free_port().to_string();
        command.args(["--cluster-enabled", "yes", "--cluster-port", &bus]);
    }
    command.args(&options.arguments);
    command.spawn().unwrap_or_else(|error| {
        panic!(
            "cannot start {}: {error}. Install a server (apt-get install -y redis-server), or name one in \
             TASKFERRY_TEST_REDIS",
            binary.display()
        )
    })
}

/// Whether the server of the tests was built with TLS: some that are shipped as one file are not.
///
/// # Panics
///
/// If there is no server binary.
#[must_use]
pub fn server_speaks_tls() -> bool {
    let (port, tls) = (free_port().to_string(), free_port().to_string());
    // Without a certificate it ends at once, and says what it lacks.
    let ended = Command::new(config::redis_server())
        .args(["--port", &port, "--tls-port", &tls, "--save", ""])
        .output()
        .expect("there is a server (apt-get install -y redis-server)");
    String::from_utf8_lossy(&ended.stdout).contains("tls-cert-file")
}

/// Whether the replica at `place` has all that its primary wrote, by the primary's INFO.
fn has_acknowledged(info: &str, place: &str) -> bool {
    let offset = |text: &str, name: &str| {
        let digits = text.split(name).nth(1)?;
        let end = digits.find(|c: char| !c.is_ascii_digit());
        digits
            .get(..end.unwrap_or(digits.len()))?
            .parse::<u64>()
            .ok()
    };
    let replica = info.lines().find(|line| line.contains(place));
    let acknowledged = replica.and_then(|line| offset(line, "offset="));
    acknowledged.is_some() && acknowledged >= offset(info, "master_repl_offset:")
}
