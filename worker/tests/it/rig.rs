//! What every test starts with: a server, a store on it, and workers. A test fails if it ends and a job is left, unless it
//! says so.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use serde_json::value::RawValue;
use taskferry_contract::{
    Arguments, Owner, RedisSettings, Shards, Status, Store, Submission, SubmitReply, TaskId,
    TaskView, ToolDefinition,
};
use taskferry_testing::redis::aio::MultiplexedConnection;
use taskferry_testing::redis::{self, FromRedisValue};
use taskferry_testing::{Process, ServerOptions, TestServer, eventually, eventually_some};
use taskferry_worker::{Builder, Drained, Worker};
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How long a test waits for what must come.
pub(crate) const SOON: Duration = Duration::from_secs(20);
/// What a store may wait for an answer: longer than any machine stalls.
const PATIENCE: Duration = Duration::from_secs(30);
/// The shortest lease there is.
pub(crate) const LEASE: Duration = Duration::from_secs(1);
/// What a client that can be asked declares.
pub(crate) const CAPABLE: &str = r#"{"elicitation":{},"sampling":{},"roots":{}}"#;

pub(crate) struct Rig {
    pub(crate) server: TestServer,
    pub(crate) store: Store,
    pub(crate) settings: RedisSettings,
}

impl Rig {
    pub(crate) async fn new() -> Self {
        Self::on(ServerOptions::default(), 1).await
    }

    pub(crate) async fn on(options: ServerOptions, shards: u16) -> Self {
        let server = TestServer::start_with(options).await;
        let server = server.drained_at_end(SOON);
        let mut settings = RedisSettings::new(&server.url());
        settings.shards = Shards::new(shards).unwrap();
        settings.response_timeout = PATIENCE;
        Self {
            store: Store::new(&settings).unwrap(),
            server,
            settings,
        }
    }

    /// A worker of its own connections, with a short lease.
    pub(crate) fn builder(&self) -> Builder {
        Worker::builder(Store::new(&self.settings).unwrap())
            .lease(LEASE)
            .slots(4)
    }

    /// A submission of a call without arguments, by a client that can be asked everything.
    pub(crate) fn submission<'a>(
        &self,
        tool: &'a ToolDefinition,
        owner: &'a Owner,
    ) -> Submission<'a> {
        let id = TaskId::random(self.settings.shards.of(owner));
        Submission {
            ttl: Duration::from_secs(600),
            capabilities: Some(CAPABLE),
            ..Submission::new(tool, id, owner, Arguments::default())
        }
    }

    pub(crate) async fn submit_as(&self, submission: Submission<'_>) -> TaskId {
        let reply = self.store.submit(&submission).await.unwrap();
        assert!(matches!(reply, SubmitReply::Queued { .. }), "{reply:?}");
        submission.id
    }

    pub(crate) async fn submit(&self, tool: &ToolDefinition, arguments: &str) -> TaskId {
        let owner = owner();
        let submission = Submission {
            arguments: arguments.into(),
            ..self.submission(tool, &owner)
        };
        self.submit_as(submission).await
    }

    pub(crate) async fn view(&self, id: TaskId) -> TaskView {
        self.store.view_with_outcome(id).await.unwrap().unwrap()
    }

    /// The task once `predicate` holds.
    pub(crate) async fn when(
        &self,
        id: TaskId,
        what: &str,
        predicate: impl Fn(&TaskView) -> bool,
    ) -> TaskView {
        eventually_some(SOON, what, async || {
            // A server that restarts answers later.
            let view = self.store.view_with_outcome(id).await.ok()??;
            predicate(&view).then_some(view)
        })
        .await
    }

    pub(crate) async fn has_status(&self, id: TaskId, status: Status) -> TaskView {
        self.when(id, &format!("it is {status}"), |task| task.status == status)
            .await
    }

    /// The task once it ended.
    pub(crate) async fn end_of(&self, id: TaskId) -> TaskView {
        self.when(id, "it ends", |task| task.status.is_terminal())
            .await
    }

    pub(crate) async fn raw<T: FromRedisValue>(&self, words: &[&str]) -> T {
        let mut command = redis::Cmd::new();
        for word in words {
            command.arg(*word);
        }
        command
            .query_async(&mut self.connection().await)
            .await
            .unwrap()
    }

    pub(crate) async fn connection(&self) -> MultiplexedConnection {
        self.server.raw().await
    }

    /// Waits until a tool is registered.
    pub(crate) async fn until_registered(&self, name: &str) {
        eventually(SOON, "the tool is registered", async || {
            let tools = self.store.tools().await.unwrap_or_default();
            tools.iter().any(|tool| tool.name.as_str() == name)
        })
        .await;
    }

    /// The dead letters: of each, the reason.
    pub(crate) async fn dead_letters(&self) -> Vec<String> {
        let entries: Vec<(String, Vec<String>)> =
            self.raw(&["XRANGE", "tf:{0}:dead", "-", "+"]).await;
        let reason = |fields: Vec<String>| {
            let at = fields.iter().position(|name| name == "reason").unwrap();
            fields[at + 1].clone()
        };
        entries
            .into_iter()
            .map(|(_, fields)| reason(fields))
            .collect()
    }

    /// Ends a test with jobs that are left, on purpose.
    pub(crate) fn leaves_jobs(mut self) {
        self.server.leaves_jobs();
    }

    /// The real binary, with its tools in a folder of their own.
    pub(crate) fn start_binary(&self, folder: &Path, arguments: &[&str]) -> Process {
        let mut command = binary(&self.server.url());
        command
            .arg("--manifest")
            .arg(folder.join("tools.toml"))
            .args(["--redis-timeout", "30s"])
            .args(arguments);
        Process::start("taskferry-worker", command)
    }
}

/// The binary with a Redis and no other settings.
pub(crate) fn binary(url: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_taskferry-worker"));
    command.args(["--redis-url", url]);
    command
}

pub(crate) fn owner() -> Owner {
    Owner::named("key:alice").unwrap()
}

/// A definition with a name and short pauses.
pub(crate) fn tool(name: &str) -> ToolDefinition {
    let schema = RawValue::from_string(r#"{"type":"object"}"#.to_owned()).unwrap();
    let mut tool = ToolDefinition::new(name.parse().unwrap(), schema);
    tool.backoff.initial_ms = 50;
    tool.backoff.max_ms = 100;
    tool.timeout_ms = 60_000;
    tool
}

/// The first text of a result.
pub(crate) fn text(task: &TaskView) -> String {
    let result: Value = serde_json::from_str(task.result.as_deref().unwrap()).unwrap();
    result["content"][0]["text"].as_str().unwrap().to_owned()
}

/// A worker in this process.
pub(crate) struct Running {
    stop: CancellationToken,
    end: JoinSet<Drained>,
}

pub(crate) fn run(builder: Builder) -> Running {
    let (worker, stop) = (builder.build().unwrap(), CancellationToken::new());
    let mut end = JoinSet::new();
    let until = stop.clone();
    end.spawn(async move { worker.run(until).await.unwrap() });
    Running { stop, end }
}

impl Running {
    /// Tells it to drain.
    pub(crate) fn begin_stop(&self) {
        self.stop.cancel();
    }

    /// Drains it.
    pub(crate) async fn stop(mut self) -> Drained {
        self.stop.cancel();
        let ended = tokio::time::timeout(SOON, self.end.join_next()).await;
        ended.expect("it drains").unwrap().unwrap()
    }
}

/// A folder with a manifest whose tools tell when they run, and their definitions.
pub(crate) struct Scripts {
    pub(crate) folder: TempDir,
}

impl Scripts {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let manifest = r#"
            [defaults]
            stop_grace = "200ms"
            backoff_initial = "50ms"

            [[tool]]
            name = "echo"
            description = "Says it again"
            command = ["sh", "-c", "echo \"::progress 1/2 half\" >&2; echo \"$1\"", "sh", "{text}"]
            input_schema = { type = "object", properties = { text = { type = "string" } } }

            # Its first attempt never ends; it leaves its process id in the folder.
            [[tool]]
            name = "nap"
            description = "Sleeps"
            command = ["sh", "-c", "echo $$ > attempt-$TASKFERRY_ATTEMPT.part; mv attempt-$TASKFERRY_ATTEMPT.part attempt-$TASKFERRY_ATTEMPT; [ $TASKFERRY_ATTEMPT = 1 ] && sleep 1000 & wait; echo \"by $TASKFERRY_ATTEMPT\""]
        "#;
        std::fs::write(folder.path().join("tools.toml"), manifest).unwrap();
        Self { folder }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Changes the manifest.
    pub(crate) fn replace(&self, from: &str, to: &str) {
        let path = self.path().join("tools.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from));
        std::fs::write(path, text.replace(from, to)).unwrap();
    }

    pub(crate) fn manifest(&self) -> taskferry_worker::manifest::Manifest {
        taskferry_worker::manifest::Manifest::load(&self.path().join("tools.toml")).unwrap()
    }

    /// The process id of the command of an attempt of `nap`, once it runs, and when that was seen.
    pub(crate) async fn running(&self, attempt: u32) -> (u32, Instant) {
        let file = self.path().join(format!("attempt-{attempt}"));
        let what = format!("attempt {attempt} runs");
        eventually_some(SOON, &what, async || {
            let pid = std::fs::read_to_string(&file).ok()?.trim().parse().ok()?;
            Some((pid, Instant::now()))
        })
        .await
    }
}
