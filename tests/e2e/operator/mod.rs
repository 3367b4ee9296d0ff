//! The operator's commands on real failures, and what both binaries do with a Redis that does not suit them.

mod access;
mod contract;
mod dead;
mod functions;
mod inspect;
mod pause;
mod refused;

use std::process::Output;
use std::time::Duration;

use serde_json::{Value, json};
use taskferry_testing::redis::{Cmd, FromRedisValue};
use taskferry_testing::{Process, TestServer, command};
use tempfile::TempDir;

use crate::client::Legacy;
use crate::fleet::{Replica, worker_of};

const SOON: Duration = Duration::from_secs(20);

/// What a command printed, and its exit code.
pub(crate) struct Told {
    code: i32,
    pub(crate) out: String,
    err: String,
}

impl Told {
    pub(crate) fn lines(&self) -> Vec<Value> {
        let lines = self.out.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

/// Runs `taskferry` with these words, and waits for its end.
pub(crate) async fn taskferry(redis_url: &str, words: &[&str]) -> Told {
    let mut command = command("taskferry");
    // It may have a password, which no flag gives.
    command.args(words).env("TASKFERRY_REDIS_URL", redis_url);
    let run = tokio::task::spawn_blocking(move || command.output().unwrap());
    let Output {
        status,
        stdout,
        stderr,
    } = run.await.unwrap();
    Told {
        code: status.code().unwrap(),
        out: String::from_utf8(stdout).unwrap(),
        err: String::from_utf8(stderr).unwrap(),
    }
}

async fn raw<T: FromRedisValue>(redis: &TestServer, words: &[&str]) -> T {
    let mut command = Cmd::new();
    command.arg(words);
    command.query_async(&mut redis.raw().await).await.unwrap()
}

/// Redis, a front end, and a folder with tools of this test.
struct Site {
    redis: TestServer,
    replica: Replica,
    folder: TempDir,
}

const MANIFEST: &str = r#"
    [defaults]
    poll_interval = "100ms"
    backoff_initial = "20ms"

    [[tool]]
    name = "brittle"
    title = "Works once it is mended"
    command = ["sh", "-c", "test -e mended && echo \"$1\" || (echo 'no ink'; exit 75)", "sh", "{text}"]
    description = "Works once it is mended"
    queue = "printers"
    attempts = 2
    input_schema = '{"type":"object","properties":{"text":{"type":"string"}},"required":["text"],"additionalProperties":false}'

    [[tool]]
    name = "once"
    description = "Must not do its work twice"
    command = ["sh", "-c", "echo $$ >> ran; exec sleep 600"]
    attempts = 1

    [[tool]]
    name = "charge"
    description = "Charges, and does not learn whether it did"
    command = ["sh", "-c", "echo $TASKFERRY_TASK_ID $TASKFERRY_ORIGIN_TASK_ID >> charged; exit 75"]
    attempts = 1
    input_schema = '{"type":"object"}'
"#;

impl Site {
    async fn new() -> Self {
        let redis = TestServer::start().await;
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("tools.toml"), MANIFEST).unwrap();
        Self {
            replica: Replica::start(&redis.url(), &[]).await,
            redis,
            folder,
        }
    }

    async fn worker(&self) -> Process {
        let manifest = self.folder.path().join("tools.toml");
        let lease = ["--lease", "1s"];
        let worker = worker_of(&self.redis.url(), &manifest, &lease).await;
        self.replica.lists("brittle").await;
        worker
    }

    async fn run(&self, words: &[&str]) -> Told {
        taskferry(&self.redis.url(), words).await
    }

    /// Starts a job of `brittle` that fails for good.
    async fn dead(&self, session: &Legacy, text: &str) -> String {
        let id = session
            .start("brittle", json!({ "text": text }), 60_000)
            .await;
        session.until(&id, "failed").await;
        id
    }
}
