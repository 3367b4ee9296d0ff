//! The topology of docker-compose.yml as real processes: Redis, replicas, nginx in front of them, workers.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::{Value, json};
use taskferry_testing::{Process, TestServer, command, eventually, free_port};
use tempfile::TempDir;

use crate::client::{Modern, http_trusting, is_up, is_up_over};
use crate::tools::{manifest, with_basic};

/// How long a process may take to be ready.
const START: Duration = Duration::from_secs(20);

/// `flags`, and a time for Redis that no machine stalls for unless they set one: only some tests are about that.
fn patient<'a>(flags: &[&'a str]) -> Vec<&'a str> {
    let mut all = flags.to_vec();
    if !all.contains(&"--redis-timeout") {
        all.extend(["--redis-timeout", "30s"]);
    }
    all
}

/// A path in this repository.
pub(crate) fn in_tree(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// One front end.
pub(crate) struct Replica {
    pub(crate) process: Process,
    pub(crate) origin: String,
    pub(crate) endpoint: String,
    /// The file of the certificates that its clients trust, if it speaks TLS.
    pub(crate) ca: Option<PathBuf>,
}

impl Replica {
    /// Starts one and waits until it is ready.
    pub(crate) async fn start(redis_url: &str, more: &[&str]) -> Self {
        let replica = Self::start_unready(redis_url, more).await;
        replica.ready().await;
        replica
    }

    /// Starts one and waits until it listens.
    pub(crate) async fn start_unready(redis_url: &str, more: &[&str]) -> Self {
        Self::begin(command("taskferry"), redis_url, more).await
    }

    /// As [`Self::start`], with so many bytes of memory at most.
    pub(crate) async fn start_within(memory: u64, redis_url: &str, more: &[&str]) -> Self {
        let mut command = command("taskferry");
        // What is only reserved counts for the limit, too.
        command.env("MIMALLOC_ARENA_EAGER_COMMIT", "0");
        let replica = Self::begin(command, redis_url, more).await;
        let limit = Rlimit {
            current: Some(memory),
            maximum: Some(memory),
        };
        let pid = Pid::from_raw(replica.process.pid().try_into().unwrap());
        prlimit(pid, Resource::Data, limit).unwrap();
        replica.ready().await;
        replica
    }

    async fn begin(mut command: Command, redis_url: &str, more: &[&str]) -> Self {
        command.arg("serve");
        if !more.contains(&"--listen") {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        command
            // It may have a password, which no flag gives.
            .env("TASKFERRY_REDIS_URL", redis_url)
            .args(patient(more));
        // An authority of tests has its own certificate beside those that it issued.
        let cert = more.iter().skip_while(|flag| **flag != "--tls-cert-file");
        let cert = cert.skip(1).map(Path::new).next();
        let ca = cert.map(|cert| cert.with_file_name("ca.pem"));
        let mut process = Process::start("taskferry serve", command);
        // In either format of the log.
        let line = process.wait_for_line(START, "/mcp").await;
        let (begin, end) = (line.find("http"), line.find("/mcp"));
        let endpoint = format!("{}/mcp", &line[begin.unwrap()..end.unwrap()]);
        Self {
            process,
            origin: endpoint.trim_end_matches("/mcp").to_owned(),
            endpoint,
            ca,
        }
    }

    /// A client of it that takes tasks.
    pub(crate) fn client(&self) -> Modern {
        Modern::with_tasks(&self.endpoint).trusting(self.ca.as_deref())
    }

    /// Waits until it offers a tool.
    pub(crate) async fn lists(&self, tool: &str) {
        let client = self.client();
        let what = format!("{tool} is listed");
        eventually(START, &what, async || {
            let tools = client.request("tools/list", json!({})).await;
            let named = |one: &Value| one["name"] == tool;
            tools.result()["tools"]
                .as_array()
                .unwrap()
                .iter()
                .any(named)
        })
        .await;
    }

    /// Waits until it can serve.
    pub(crate) async fn ready(&self) {
        let url = format!("{}/readyz", self.origin);
        let http = http_trusting(self.ca.as_deref());
        eventually(START, "the replica is ready", async || {
            is_up_over(&http, &url).await
        })
        .await;
    }
}

/// Starts a worker with these tools, as a manifest has them, and waits until it takes jobs.
pub(crate) async fn worker(redis_url: &str, tools: &str, more: &[&str]) -> Process {
    worker_of(redis_url, &manifest(tools), more).await
}

/// The same with a manifest that is there.
pub(crate) async fn worker_of(redis_url: &str, manifest: &Path, more: &[&str]) -> Process {
    let mut command = command("taskferry-worker");
    command
        .env("TASKFERRY_REDIS_URL", redis_url)
        .arg("--manifest")
        .arg(manifest)
        .args(patient(more));
    let mut process = Process::start("taskferry-worker", command);
    process.wait_for_line(START, "slots=").await;
    process
}

/// nginx with the shipped configuration, on free ports of this machine.
pub(crate) struct Balancer {
    _process: Process,
    _folder: TempDir,
    pub(crate) endpoint: String,
}

impl Balancer {
    pub(crate) async fn start(replicas: &[Replica]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let text = shipped(folder.path(), port, replicas);
        let path = folder.path().join("nginx.conf");
        std::fs::write(&path, text).unwrap();
        let mut command = Command::new("nginx");
        command
            .arg("-p")
            .arg(folder.path())
            .arg("-c")
            .arg(&path)
            .args(["-e", "stderr", "-g", "daemon off; master_process off;"]);
        let process = Process::start("nginx", command);
        let endpoint = format!("http://127.0.0.1:{port}/mcp");
        let health = format!("http://127.0.0.1:{port}/healthz");
        eventually(
            START,
            "nginx answers (apt-get install -y nginx-light)",
            async || is_up(&health).await,
        )
        .await;
        Self {
            _process: process,
            _folder: folder,
            endpoint,
        }
    }
}

/// deploy/compose/nginx.conf with its names replaced by addresses here; its options stay as shipped.
fn shipped(folder: &Path, port: u16, replicas: &[Replica]) -> String {
    let conf = std::fs::read_to_string(in_tree("deploy/compose/nginx.conf")).unwrap();
    let mut text = format!("pid {}/pid;\nuser root;\n", folder.display());
    let mut servers = replicas
        .iter()
        .map(|replica| replica.origin.trim_start_matches("http://"));
    for line in conf.lines() {
        let start = line.trim_start();
        if start.starts_with("resolver ") {
            for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
                writeln!(text, "    {kind}_temp_path {}/{kind};", folder.display()).unwrap();
            }
            writeln!(text, "    access_log off;").unwrap();
        } else if start.starts_with("listen ") {
            writeln!(text, "        listen 127.0.0.1:{port};").unwrap();
        } else if start.starts_with("server ") && start.contains(" resolve ") {
            let address = servers
                .next()
                .expect("as many replicas as the shipped configuration has");
            writeln!(
                text,
                "        server {address} max_fails=2 fail_timeout=2s;"
            )
            .unwrap();
        } else {
            writeln!(text, "{line}").unwrap();
        }
    }
    text
}

/// Everything, with two of each.
pub(crate) struct Fleet {
    pub(crate) redis: TestServer,
    pub(crate) replicas: Vec<Replica>,
    pub(crate) workers: Vec<Process>,
    pub(crate) balancer: Balancer,
}

impl Fleet {
    pub(crate) async fn start() -> Self {
        Self::start_with(&[], &[]).await
    }

    pub(crate) async fn start_with(replica: &[&str], worker_flags: &[&str]) -> Self {
        Self::with_tools("", replica, worker_flags).await
    }

    /// One whose workers have more tools, as a manifest has them.
    pub(crate) async fn with_tools(tools: &str, replica: &[&str], flags: &[&str]) -> Self {
        let manifest = with_basic(tools);
        let redis = TestServer::start().await.drained_at_end(START);
        let url = redis.url();
        let replicas = vec![
            Replica::start(&url, replica).await,
            Replica::start(&url, replica).await,
        ];
        let workers = vec![
            worker(&url, &manifest, flags).await,
            worker(&url, &manifest, flags).await,
        ];
        let fleet = Self {
            balancer: Balancer::start(&replicas).await,
            redis,
            replicas,
            workers,
        };
        fleet.lists("nap").await;
        fleet
    }

    /// The balancer's endpoint.
    pub(crate) fn endpoint(&self) -> &str {
        &self.balancer.endpoint
    }

    /// Waits until every replica offers a tool.
    pub(crate) async fn lists(&self, tool: &str) {
        for replica in &self.replicas {
            replica.lists(tool).await;
        }
    }

    /// Ends a test with keys that no transition would leave, on purpose.
    pub(crate) fn leaves_anything(mut self) {
        self.redis.leaves_anything();
    }

    /// Waits until no job is left, which a test need not do at its end.
    pub(crate) async fn drained(&self) {
        self.redis.drained(START).await;
    }
}
