//! The processes of a run: Redis, replicas and workers, each behind a proxy of its own, and started again when they end.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;
use taskferry_client::{Http, Method, Request};
use taskferry_testing::{AppendOnly, ServerOptions, TestServer, free_port};
use tokio::sync::Mutex;

use crate::history::End;
use crate::member::{Member, Program, Usage, WATCH};
use crate::proxy::Proxy;
use crate::sabotage::{Rewriter, Sabotage};
use crate::schedule::{Link, REPLICAS, WORKERS};

/// How long everything may take to serve.
const START: Duration = Duration::from_secs(30);

/// How the processes are set up.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    /// The server binary, if not the one on PATH.
    pub(crate) server: Option<PathBuf>,
    pub(crate) keeps_data: bool,
    pub(crate) sabotage: Option<Sabotage>,
    /// Where everything goes that is worth a look afterwards.
    pub(crate) folder: PathBuf,
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
                let mut running = worker.process.lock().await;
                running.process.wait_for_line(START, "slots=").await;
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
        binary: "taskferry",
        arguments: words(&arguments),
        folder: setup.folder.clone(),
    };
    Member::new(program, to_redis, Some(from_clients))
}

/// The last worker is the shipped one with the exec tool alone; the one before has every tool, the others the Rust ones.
fn worker(setup: &Setup, number: usize, to_redis: Proxy) -> anyhow::Result<Member> {
    let (binary, more) = match WORKERS - number {
        1 => ("taskferry-worker", " --manifest tools.toml"),
        2 => ("chaos-worker", " --manifest tools.toml"),
        _ => ("chaos-worker", ""),
    };
    let arguments = format!(
        "--redis-url redis://127.0.0.1:{}/0 --lease 1s --slots 4 --drain-timeout 500ms{more}",
        to_redis.port()
    );
    let program = Program {
        name: format!("worker-{number}"),
        binary,
        arguments: words(&arguments),
        folder: setup.folder.clone(),
    };
    Member::new(program, to_redis, None)
}

fn words(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}
