//! What a worker under test works in: a Redis, a front end and a client of it, for each check its own.

use std::panic::panic_any;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use taskferry_testing::redis::{self, FromRedisValue};
use taskferry_testing::{Process, TestServer, command, eventually, eventually_some};

use crate::client::Client;
use crate::worker_process::WorkerProcess;

/// The queue of the kit's tools.
pub(crate) const QUEUE: &str = "conformance";
/// How long a process may take to start, and a job to be begun by a worker that is there.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// How the worker under test is started.
pub(crate) type Under = Arc<Vec<String>>;

/// What a check panics with if the worker has not the tool that it needs.
pub(crate) struct Lacks(pub(crate) String);

pub(crate) struct System {
    pub(crate) redis: TestServer,
    pub(crate) client: Client,
    under: Under,
    _front_end: Process,
}

impl System {
    /// One without a worker.
    pub(crate) async fn start(under: &Under) -> Self {
        let redis = TestServer::start().await;
        let mut serve = command("taskferry");
        serve
            .args(["serve", "--listen", "127.0.0.1:0", "--redis-timeout", "30s"])
            .env("TASKFERRY_REDIS_URL", redis.url());
        let mut front_end = Process::start("taskferry serve", serve);
        let line = front_end.wait_for_line(SOON, "/mcp").await;
        // A worker looks for the functions as it starts.
        front_end
            .wait_for_line(SOON, "taskferry_3 is installed")
            .await;
        let (begin, end) = (line.find("http").unwrap(), line.find("/mcp").unwrap());
        let client = Client::new(format!("{}/mcp", &line[begin..end]));
        Self {
            redis,
            client,
            under: Arc::clone(under),
            _front_end: front_end,
        }
    }

    /// One with a worker that has this tool; if it has others only, that ends the check.
    pub(crate) async fn with(under: &Under, tool: &str) -> (Self, WorkerProcess) {
        let system = Self::start(under).await;
        let mut worker = system.worker();
        let what = "the worker registers its tools";
        let tools = eventually_some(SOON, what, async || {
            assert!(worker.is_running(), "the worker ended by itself");
            let tools = system.client.tools().await;
            (!tools.is_empty()).then_some(tools)
        })
        .await;
        if !tools.iter().any(|name| name == tool) {
            panic_any(Lacks(tool.to_owned()));
        }
        (system, worker)
    }

    /// Another process of the worker under test.
    pub(crate) fn worker(&self) -> WorkerProcess {
        WorkerProcess::start(&self.under, &self.redis.url())
    }

    /// Sends a command to Redis.
    pub(crate) async fn raw<T: FromRedisValue>(&self, words: &[&str]) -> T {
        raw(&self.redis, words).await
    }

    /// A field of a job's record, empty if it is not there.
    pub(crate) async fn field(&self, id: &str, field: &str) -> String {
        let record = format!("tf:{{0}}:task:{id}");
        let value: Option<String> = self.raw(&["HGET", &record, field]).await;
        value.unwrap_or_default()
    }

    /// Waits until an attempt of this number runs.
    pub(crate) async fn runs(&self, id: &str, attempt: u64) {
        let (attempt, what) = (attempt.to_string(), format!("attempt {attempt} begins"));
        eventually(SOON, &what, async || {
            self.field(id, "status").await == "working"
                && self.field(id, "attempt").await == attempt
        })
        .await;
    }

    /// The reasons of the dead letters.
    pub(crate) async fn buried(&self) -> Vec<String> {
        let letters: Vec<(String, Vec<String>)> =
            self.raw(&["XRANGE", "tf:{0}:dead", "-", "+"]).await;
        let fields = letters.into_iter().map(|(_, fields)| fields);
        let reason = |fields: Vec<String>| {
            let place = fields.iter().position(|name| name == "reason")?;
            fields.get(place + 1).cloned()
        };
        fields.filter_map(reason).collect()
    }

    /// Calls `echo`, which shows that a worker is there and free.
    pub(crate) async fn echoes(&self, within: Duration) {
        let task = self
            .client
            .call("echo", json!({ "text": "still here" }))
            .await;
        let text = self.client.text_of(&task, within).await;
        assert_eq!(text, "still here");
    }

    /// Registers a tool as an operator does.
    pub(crate) async fn add_tool(&self, definition: &Value) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tool.json");
        std::fs::write(&file, definition.to_string()).unwrap();
        taskferry(&self.redis, &["tools", "add", file.to_str().unwrap()]).await;
    }
}

pub(crate) async fn raw<T: FromRedisValue>(redis: &TestServer, words: &[&str]) -> T {
    let mut command = redis::Cmd::new();
    command.arg(words);
    command.query_async(&mut redis.raw().await).await.unwrap()
}

/// Runs a command of an operator.
pub(crate) async fn taskferry(redis: &TestServer, words: &[&str]) {
    let mut command = command("taskferry");
    command
        .args(words)
        .env("TASKFERRY_REDIS_URL", redis.url())
        .stdout(Stdio::null());
    let run = tokio::task::spawn_blocking(move || command.status().unwrap());
    let status = run.await.unwrap();
    assert!(status.success(), "taskferry {words:?} ends with {status}");
}
