//! The processes of a run: Redis, replicas and workers, each behind a proxy of its own, and started again when they end.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;
use taskferry_client::{Http, Method, Request};
use taskferry_testing::{AppendOnly, ServerOptions, TestServer, free_port};
use tokio::sync::Mutex;

use crate::history::End;
use crate::member::{Member, Program, Runs, Usage, WATCH};
use crate::proxy::Proxy;
use crate::sabotage::{Rewriter, Sabotage};
use crate::schedule::{Link, REPLICAS, WORKERS};

const TREE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
/// How long everything may take to serve.
const START: Duration = Duration::from_secs(30);

/// How the processes are set up.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    /// The server binary, if not the one on PATH.
    pub(crate) server: Option<PathBuf>,
    pub(crate) keeps_data: bool,
    pub(crate) sabotage: Option<Sabotage>,
    pub(crate) fleet: Fleet,
    /// How long the lease of every worker is.
    pub(crate) lease: Duration,
    /// Where everything goes that is worth a look afterwards.
    pub(crate) folder: PathBuf,
}

/// In which languages the workers are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fleet {
    Rust,
    /// One of the two that only have handlers is in Python, the other in Node.
    Mixed,
}

/// Everything.
#[derive(Debug)]
pub(crate) struct Topology {
    pub(crate) redis: Mutex<TestServer>,
    pub(crate) url: String,
    pub(crate) replicas: Vec<Member>,
    pub(crate) workers: Vec<Member>,
}

impl Topology {
    /// Starts everything and waits until it serves.
    pub(crate) async fn start(setup: &Setup) -> anyhow::Result<Self> {
        if setup.fleet == Fleet::Mixed {
            have_clients()?;
        }
        let append_only = if setup.keeps_data {
            AppendOnly::Always
        } else {
            AppendOnly::No
        };
        let redis = TestServer::start_with(ServerOptions {
            binary: setup.server.clone(),
            append_only,
            arguments: ["--enable-debug-command", "yes"]
                .map(str::to_owned)
                .to_vec(),
            ..ServerOptions::default()
        })
        .await;
        let (url, port) = (redis.url(), redis.port());
        let rewriter = match setup.sabotage {
            Some(sabotage) => sabotage.load(&url).await?,
            None => Rewriter::default(),
        };
        for (name, text) in [
            ("tools.toml", include_str!("tools.toml")),
            ("exec.sh", include_str!("exec.sh")),
            ("worker.py", include_str!("worker.py")),
            ("worker.mjs", include_str!("worker.mjs")),
        ] {
            std::fs::write(setup.folder.join(name), text)?;
        }
        let mut all = Self {
            redis: Mutex::new(redis),
            url,
            replicas: Vec::new(),
            workers: Vec::new(),
        };
        for number in 0..REPLICAS {
            let to_redis = Proxy::start(port, rewriter.clone()).await?;
            all.replicas.push(replica(setup, number, to_redis).await?);
        }
        for number in 0..WORKERS {
            let to_redis = Proxy::start(port, rewriter.clone()).await?;
            all.workers.push(worker(setup, number, to_redis)?);
        }
        all.serves().await?;
        Ok(all)
    }

    /// The endpoint of each replica, through its proxy.
    pub(crate) fn endpoints(&self) -> Vec<String> {
        let proxies = self
            .replicas
            .iter()
            .filter_map(|replica| replica.from_clients.as_ref());
        proxies
            .map(|proxy| format!("http://127.0.0.1:{}/mcp", proxy.port()))
            .collect()
    }

    /// The proxy on a wire.
    pub(crate) fn proxy(&self, link: Link) -> Option<&Proxy> {
        match link {
            Link::ClientToReplica(number) => self.replicas.get(number)?.from_clients.as_ref(),
            Link::ReplicaToRedis(number) => Some(&self.replicas.get(number)?.to_redis),
            Link::WorkerToRedis(number) => Some(&self.workers.get(number)?.to_redis),
        }
    }

    /// Stops every process in its tracks.
    pub(crate) async fn freeze(&self) {
        for member in self.members() {
            member.process.lock().await.process.pause();
        }
    }

    /// Lets every process go on.
    pub(crate) async fn thaw(&self) {
        for member in self.members() {
            member.process.lock().await.process.resume();
        }
    }

    /// Undoes every fault of wires and thaws every process.
    pub(crate) async fn heal(&self) {
        for member in self.members() {
            member.to_redis.heal();
            if let Some(proxy) = &member.from_clients {
                proxy.heal();
            }
        }
        self.thaw().await;
    }

    /// What every member takes now.
    pub(crate) async fn usage(&self) -> Vec<Usage> {
        let mut all = Vec::new();
        for member in self.members() {
            all.push(member.usage().await);
        }
        all
    }

    /// How members ended since this was asked last.
    pub(crate) async fn take_ends(&self) -> Vec<End> {
        let mut all = Vec::new();
        for member in self.members() {
            all.extend(member.take_ends().await);
        }
        all
    }

    /// Starts members again that ended, for ever.
    pub(crate) async fn keep_alive(&self) {
        loop {
            for member in self.members() {
                member.start_if_ended().await;
            }
            tokio::time::sleep(WATCH).await;
        }
    }

    /// The member that keeps the queues going now: the one whose log names who that is in Redis.
    pub(crate) async fn housekeeper(&self, holder: &str) -> Option<&Member> {
        for member in self.members() {
            if member.is_called(holder).await {
                return Some(member);
            }
        }
        None
    }

    fn members(&self) -> impl Iterator<Item = &Member> {
        self.replicas.iter().chain(&self.workers)
    }

    async fn serves(&self) -> anyhow::Result<()> {
        let http = Http::new()?;
        let serving = async {
            for endpoint in self.endpoints() {
                let url = endpoint.replace("/mcp", "/readyz");
                let ready = Request::new(Method::GET);
                while !http
                    .send(&url, &ready)
                    .await
                    .is_ok_and(|answer| answer.status() == 200)
                {
                    tokio::time::sleep(WATCH).await;
                }
            }
            for worker in &self.workers {
                worker.serves(START).await;
            }
        };
        match tokio::time::timeout(START, serving).await {
            Ok(()) => Ok(()),
            Err(_elapsed) => bail!("not everything serves within {START:?}"),
        }
    }
}

async fn replica(setup: &Setup, number: usize, to_redis: Proxy) -> anyhow::Result<Member> {
    let port = free_port();
    let from_clients = Proxy::start(port, Rewriter::default()).await?;
    let arguments = format!(
        "serve --listen 127.0.0.1:{port} --redis-url redis://127.0.0.1:{}/0 --single-user true --owner-share 2 --stream-after 300ms --drain-timeout 2s",
        to_redis.port()
    );
    let program = Program {
        name: format!("replica-{number}"),
        runs: Runs::Ours("taskferry"),
        arguments: words(&arguments),
        variables: Vec::new(),
        ready: "listening",
        folder: setup.folder.clone(),
    };
    Member::new(program, to_redis, Some(from_clients))
}

/// The last worker is the shipped one with the exec tool alone; the one before has every tool, the others the Rust ones, or
/// the same in Python and in Node.
fn worker(setup: &Setup, number: usize, to_redis: Proxy) -> anyhow::Result<Member> {
    let url = format!("redis://127.0.0.1:{}/0", to_redis.port());
    let mixed = setup.fleet == Fleet::Mixed;
    let program = match WORKERS - number {
        1 => in_rust(setup, &url, "taskferry-worker", " --manifest tools.toml"),
        2 => in_rust(setup, &url, "chaos-worker", " --manifest tools.toml"),
        3 if mixed => foreign(setup, &url, "node", "worker.mjs"),
        4 if mixed => foreign(setup, &url, "python3", "worker.py"),
        _ => in_rust(setup, &url, "chaos-worker", ""),
    };
    let name = format!("worker-{number}");
    Member::new(Program { name, ..program }, to_redis, None)
}

fn in_rust(setup: &Setup, url: &str, binary: &'static str, more: &str) -> Program {
    let lease = setup.lease.as_millis();
    let arguments =
        format!("--redis-url {url} --lease {lease}ms --slots 4 --drain-timeout 500ms{more}");
    Program {
        name: String::new(),
        runs: Runs::Ours(binary),
        arguments: words(&arguments),
        variables: Vec::new(),
        ready: "slots=",
        folder: setup.folder.clone(),
    }
}

/// A worker in another language, with the settings of `chaos-worker`.
fn foreign(setup: &Setup, url: &str, language: &'static str, file: &str) -> Program {
    let redis_py = newest_redis_py().unwrap_or_default();
    let variables = [
        ("TASKFERRY_REDIS_URL", url.to_owned()),
        ("TASKFERRY_LEASE", format!("{}ms", setup.lease.as_millis())),
        ("TASKFERRY_SLOTS", "4".to_owned()),
        ("TASKFERRY_DRAIN_TIMEOUT", "500ms".to_owned()),
        ("TASKFERRY_PARK_AFTER", "1s".to_owned()),
        ("PYTHONPATH", format!("{TREE}/sdk/python:{redis_py}")),
        (
            "TASKFERRY_PACKAGE",
            format!("{TREE}/sdk/node/taskferry.mjs"),
        ),
    ];
    Program {
        name: String::new(),
        runs: Runs::Installed(language),
        arguments: words(file),
        variables: variables.to_vec(),
        ready: "\"working\"",
        folder: setup.folder.clone(),
    }
}

/// The newest client of Redis for Python that `scripts/test` has fetched.
fn newest_redis_py() -> Option<String> {
    let fetched = std::fs::read_dir(format!("{TREE}/target/python")).ok()?;
    let folders = fetched
        .flatten()
        .map(|entry| entry.path().display().to_string());
    folders.filter(|path| path.contains("/redis-")).max()
}

/// Fails if what the workers in Python and Node need is not there.
fn have_clients() -> anyhow::Result<()> {
    let node = std::path::Path::new(TREE).join("sdk/node/node_modules");
    if newest_redis_py().is_none() || !node.is_dir() {
        bail!(
            "the clients of Redis for workers in Python and Node are not there: scripts/test fetches them"
        );
    }
    Ok(())
}

fn words(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}
