//! Redis refuses what a worker writes: for good, or until somebody lets it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use taskferry_contract::{RedisSettings, Status, Store, TaskId, ToolDefinition};
use taskferry_testing::{ServerOptions, eventually, redis};
use taskferry_worker::{
    Builder, Handler, HandlerResult, JobContext, ToolError, ToolOutput, Worker,
};
use tokio::sync::Semaphore;

use crate::rig::{LEASE, Rig, Running, SOON, run, text, tool};

/// More than a Redis takes in one piece that was told to take as little as it can be.
const TOO_LARGE: usize = 2 << 20;

/// A tool whose job is run once, whatever happens.
fn once(name: &str) -> ToolDefinition {
    let mut tool = tool(name);
    (tool.attempts, tool.crash_limit) = (1, 1);
    tool
}

/// Counts how often a handler began, and lets it end when it is told.
#[derive(Clone)]
struct Runs {
    begun: Arc<AtomicUsize>,
    may_end: Arc<Semaphore>,
}

impl Runs {
    fn new() -> Self {
        Self {
            begun: Arc::default(),
            may_end: Arc::new(Semaphore::new(0)),
        }
    }

    /// A handler that began, and waits until it may end.
    async fn run(self) {
        self.begun.fetch_add(1, Ordering::SeqCst);
        let Ok(_permit) = self.may_end.acquire().await else {
            return;
        };
    }

    /// A handler that is counted, waits until it may end, and says `text`.
    fn handler(&self, text: &str) -> impl Handler + use<> {
        let (runs, text) = (self.clone(), text.to_owned());
        move |_job: JobContext| {
            let (runs, text) = (runs.clone(), text.clone());
            async move {
                runs.run().await;
                Ok(ToolOutput::text(&text))
            }
        }
    }

    fn count(&self) -> usize {
        self.begun.load(Ordering::SeqCst)
    }

    /// From now on handlers end at once.
    fn let_end(&self) {
        self.may_end.add_permits(Semaphore::MAX_PERMITS / 2);
    }
}

/// A Redis that takes a mebibyte in one piece and no more.
async fn small() -> Rig {
    let arguments = ["--proto-max-bulk-len", "1mb"].map(str::to_owned).to_vec();
    let options = ServerOptions {
        arguments,
        ..ServerOptions::default()
    };
    Rig::on(options, 1).await
}

/// A user that may do everything, for the worker alone.
const USER: &str = "app";

async fn acl(rig: &Rig, rules: &[&str]) {
    let words = [&["ACL", "SETUSER", USER], rules].concat();
    let _: String = rig.raw(&words).await;
}

/// A worker of this user.
async fn as_user(rig: &Rig) -> Builder {
    acl(rig, &["on", ">one", "~*", "&*", "+@all"]).await;
    let url = format!("redis://{USER}:one@127.0.0.1:{}/0", rig.server.port());
    let mut settings = RedisSettings::new(&url);
    settings.response_timeout = rig.settings.response_timeout;
    Worker::builder(Store::new(&settings).unwrap())
        .lease(LEASE)
        .slots(4)
}

/// How often a transition was refused.
async fn refusals(rig: &Rig) -> u64 {
    let info: String = rig.raw(&["INFO", "commandstats"]).await;
    let mut lines = info.lines();
    let line = lines.find_map(|line| line.strip_prefix("cmdstat_evalsha:"));
    let count = line.and_then(|line| line.split("rejected_calls=").nth(1)?.split(',').next());
    count.and_then(|count| count.parse().ok()).unwrap()
}

async fn until_refused(rig: &Rig) {
    let before = refusals(rig).await;
    eventually(SOON, "the worker is refused", async || {
        // Its loops are, too.
        refusals(rig).await > before + 10
    })
    .await;
}

/// Lets a lease pass, and a reclaimer look: jobs of another tool are run to their end meanwhile, one after another.
async fn a_lease_passes(rig: &Rig, other: &ToolDefinition) {
    let until = std::time::Instant::now() + LEASE * 3;
    while std::time::Instant::now() < until {
        let id = rig.submit(other, "{}").await;
        rig.end_of(id).await;
    }
}

async fn quick(_job: JobContext) -> HandlerResult {
    Ok(ToolOutput::text("quick"))
}

/// The error that a job ended with.
async fn error_of(rig: &Rig, id: TaskId) -> String {
    let task = rig.end_of(id).await;
    assert_eq!(task.status, Status::Completed);
    assert!(task.is_error, "{task:?}");
    text(&task)
}

#[tokio::test]
async fn a_result_that_is_too_large_for_redis_ends_a_job_that_may_run_once_after_one_run() {
    let rig = small().await;
    let runs = Runs::new();
    runs.let_end();
    let large = runs.handler(&"x".repeat(TOO_LARGE));
    let worker = rig.builder().tool(once("large"), large);
    let worker = run(worker.tool(tool("quick"), quick));
    let id = rig.submit(&once("large"), "{}").await;
    let error = error_of(&rig, id).await;
    assert!(error.contains("too large for this Redis"), "{error}");
    assert!(error.contains("proto-max-bulk-len"), "{error}");
    a_lease_passes(&rig, &tool("quick")).await;
    assert_eq!(runs.count(), 1);
    worker.stop().await;
}

#[tokio::test]
async fn what_is_too_large_for_redis_disturbs_no_other_job() {
    let rig = small().await;
    async fn large(job: JobContext) -> HandlerResult {
        job.message("x".repeat(TOO_LARGE));
        Ok(ToolOutput::text("x".repeat(TOO_LARGE)))
    }
    let worker = rig.builder().tool(tool("large"), large);
    let worker = run(worker.tool(tool("quick"), quick));
    let first = rig.submit(&tool("quick"), "{}").await;
    rig.end_of(first).await;
    let connected = async || -> Vec<String> {
        let list: String = rig.raw(&["CLIENT", "LIST"]).await;
        let lines = list.lines().filter(|line| line.contains("evalsha"));
        let id = |line: &str| line.split(' ').next().map(str::to_owned);
        lines.filter_map(id).collect()
    };
    let before = connected().await;
    let id = rig.submit(&tool("large"), "{}").await;
    error_of(&rig, id).await;
    let after = connected().await;
    assert!(
        before.iter().all(|id| after.contains(id)),
        "{before:?} {after:?}"
    );
    worker.stop().await;
}

#[tokio::test]
async fn a_retry_with_an_error_that_is_too_large_for_redis_is_planned_with_less() {
    let rig = small().await;
    async fn fails(job: JobContext) -> HandlerResult {
        if job.attempt() == 1 {
            return Err(ToolError::retry("x".repeat(TOO_LARGE)));
        }
        Ok(ToolOutput::text("again"))
    }
    let worker = run(rig.builder().tool(tool("fails"), fails));
    let id = rig.submit(&tool("fails"), "{}").await;
    assert_eq!(text(&rig.end_of(id).await), "again");
    worker.stop().await;
}

/// A worker of that user, and a job that it runs: once, and until it may end.
async fn working_as_user(rig: &Rig, runs: &Runs) -> (Running, TaskId) {
    let worker = as_user(rig).await;
    let worker = worker.tool(once("waits"), runs.handler("kept"));
    let worker = run(worker.tool(tool("quick"), quick));
    let id = rig.submit(&once("waits"), "{}").await;
    eventually(SOON, "it runs", async || runs.count() == 1).await;
    (worker, id)
}

#[tokio::test]
async fn an_end_that_the_user_may_not_write_is_kept_until_he_may() {
    let rig = Rig::new().await;
    let runs = Runs::new();
    let (worker, id) = working_as_user(&rig, &runs).await;
    acl(&rig, &["-evalsha"]).await;
    runs.let_end();
    until_refused(&rig).await;
    acl(&rig, &["+evalsha"]).await;
    let _: i64 = rig.raw(&["CLIENT", "KILL", "USER", USER]).await;
    let task = rig.end_of(id).await;
    assert_eq!((text(&task).as_str(), task.attempt), ("kept", 1));
    a_lease_passes(&rig, &tool("quick")).await;
    assert_eq!(runs.count(), 1);
    worker.stop().await;
}

#[tokio::test]
async fn a_worker_whose_password_was_wrong_for_a_while_goes_on() {
    let rig = Rig::new().await;
    let runs = Runs::new();
    let (worker, id) = working_as_user(&rig, &runs).await;
    acl(&rig, &["resetpass", ">two"]).await;
    let _: i64 = rig.raw(&["CLIENT", "KILL", "USER", USER]).await;
    runs.let_end();
    until_turned_away(&rig).await;
    acl(&rig, &["resetpass", ">one"]).await;
    let task = rig.end_of(id).await;
    assert_eq!((text(&task).as_str(), task.attempt), ("kept", 1));
    let id = rig.submit(&tool("quick"), "{}").await;
    assert_eq!(text(&rig.end_of(id).await), "quick");
    assert_eq!(runs.count(), 1);
    worker.stop().await;
}

/// Waits until connections were refused a few times.
async fn until_turned_away(rig: &Rig) {
    eventually(SOON, "the worker is turned away", async || {
        let info: String = rig.raw(&["INFO", "commandstats"]).await;
        let mut lines = info.lines();
        let line = lines.find_map(|line| line.strip_prefix("cmdstat_auth:"));
        let failed = line.and_then(|line| line.split("failed_calls=").nth(1));
        failed.and_then(|count| count.trim().parse::<u64>().ok()) > Some(5)
    })
    .await;
}

#[tokio::test]
async fn a_job_that_could_not_be_claimed_is_claimed_as_soon_as_it_may_be() {
    let rig = Rig::new().await;
    // With such a lease nobody takes the entry over.
    let lease = Duration::from_secs(600);
    let worker = as_user(&rig).await.lease(lease);
    let worker = run(worker.tool(tool("quick"), quick));
    rig.until_registered("quick").await;
    acl(&rig, &["-evalsha"]).await;
    let id = rig.submit(&tool("quick"), "{}").await;
    eventually(SOON, "the worker has the entry", async || {
        let read = ["XPENDING", "tf:{0}:queue:default", "workers"];
        let (pending, ..): (usize, Option<String>, Option<String>, redis::Value) =
            rig.raw(&read).await;
        pending == 1
    })
    .await;
    until_refused(&rig).await;
    acl(&rig, &["+evalsha"]).await;
    let task = rig.end_of(id).await;
    assert_eq!((text(&task).as_str(), task.attempt), ("quick", 1));
    worker.stop().await;
}
