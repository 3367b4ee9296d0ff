//! Redis goes away, comes back empty, or breaks the wire.

use std::sync::Arc;
use std::time::{Duration, Instant};

use taskferry_contract::{QueueStream, Status};
use taskferry_testing::redis;
use taskferry_testing::{AppendOnly, ServerOptions, eventually, eventually_some};
use taskferry_worker::{HandlerResult, JobContext, ToolOutput};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::rig::{LEASE, Rig, SOON, run, text, tool};

async fn quick(_job: JobContext) -> HandlerResult {
    Ok(ToolOutput::text("quick"))
}

/// A handler that ends when it is told, and the bell that tells it.
fn on_signal() -> (
    impl Fn(JobContext) -> futures::Signalled + Send + Sync + 'static,
    Arc<Notify>,
) {
    let bell = Arc::new(Notify::new());
    let rung = Arc::clone(&bell);
    let handler = move |_job: JobContext| futures::signalled(Arc::clone(&rung));
    (handler, bell)
}

mod futures {
    use std::pin::Pin;

    use super::{Arc, HandlerResult, Notify, ToolOutput};

    pub(super) type Signalled = Pin<Box<dyn Future<Output = HandlerResult> + Send>>;

    pub(super) fn signalled(bell: Arc<Notify>) -> Signalled {
        Box::pin(async move {
            bell.notified().await;
            Ok(ToolOutput::text("signalled"))
        })
    }
}

#[tokio::test]
async fn tools_and_groups_come_back_after_redis_lost_everything() {
    let rig = Rig::new().await;
    let stopped = Arc::new(Notify::new());
    let tell = Arc::clone(&stopped);
    let lost = move |job: JobContext| {
        let tell = Arc::clone(&tell);
        async move {
            job.cancelled().cancelled().await;
            tell.notify_one();
            Ok(ToolOutput::text("nobody can ask for this"))
        }
    };
    let worker = rig.builder().tool(tool("quick"), quick);
    let worker = run(worker.tool(tool("lost"), lost));
    let id = rig.submit(&tool("lost"), "{}").await;
    rig.has_status(id, Status::Working).await;
    let _: String = rig.raw(&["FLUSHALL"]).await;
    let _: String = rig.raw(&["SCRIPT", "FLUSH"]).await;
    stopped.notified().await;
    rig.until_registered("quick").await;
    let id = rig.submit(&tool("quick"), "{}").await;
    assert_eq!(text(&rig.end_of(id).await), "quick");
    eventually(SOON, "the worker is listed again", async || {
        rig.raw::<usize>(&["ZCARD", "tf:{fleet}:workers"]).await == 1
    })
    .await;
    worker.stop().await;
}

#[tokio::test]
async fn a_full_redis_is_worked_empty_by_workers_that_reconnect_and_that_start() {
    let rig = Rig::new().await;
    let (handler, bell) = on_signal();
    let reconnects = run(rig.builder().slots(1).tool(tool("signalled"), handler));
    let mut late = tool("late");
    late.queue = "late".parse().unwrap();
    let running = rig.submit(&tool("signalled"), "{}").await;
    rig.has_status(running, Status::Working).await;
    let [next, other] = [
        rig.submit(&tool("signalled"), "{}").await,
        rig.submit(&late, "{}").await,
    ];
    let _: String = rig.raw(&["CONFIG", "SET", "maxmemory", "1"]).await;
    let _: i64 = rig.raw(&["CLIENT", "KILL", "TYPE", "normal"]).await;
    bell.notify_one();
    assert_eq!(text(&rig.end_of(running).await), "signalled");
    let starts = run(rig.builder().tool(late, quick));
    assert_eq!(text(&rig.end_of(other).await), "quick");
    bell.notify_one();
    assert_eq!(text(&rig.end_of(next).await), "signalled");
    let listed = rig.store.workers().await.unwrap();
    assert_eq!(listed.len(), 2);
    starts.stop().await;
    reconnects.stop().await;
}

#[tokio::test]
async fn a_tool_that_was_removed_is_registered_again() {
    let rig = Rig::new().await;
    let worker = run(rig.builder().tool(tool("quick"), quick));
    rig.until_registered("quick").await;
    assert!(rig.store.remove_tool("quick").await.unwrap());
    rig.until_registered("quick").await;
    worker.stop().await;
}

#[tokio::test]
async fn a_newer_definition_is_left_alone() {
    let rig = Rig::new().await;
    let worker = run(rig
        .builder()
        .tool(tool("quick"), quick)
        .tool(tool("other"), quick));
    rig.until_registered("quick").await;
    let mut newer = tool("quick");
    newer.title = Some("Newer".to_owned());
    rig.store.register_tools(&[newer]).await.unwrap();
    // The next round brings back what is lacking, and only that.
    rig.store.remove_tool("other").await.unwrap();
    rig.until_registered("other").await;
    let tools = rig.store.tools().await.unwrap();
    let titles: Vec<Option<&str>> = tools.iter().map(|tool| tool.title.as_deref()).collect();
    assert_eq!(titles, [None, Some("Newer")]);
    worker.stop().await;
}

fn durable() -> ServerOptions {
    ServerOptions {
        append_only: AppendOnly::Always,
        ..ServerOptions::default()
    }
}

#[tokio::test]
async fn work_goes_on_after_redis_restarted_with_its_data() {
    let mut rig = Rig::on(durable(), 1).await;
    let (handler, bell) = on_signal();
    let worker = run(rig
        .builder()
        .tool(tool("waits"), handler)
        .tool(tool("quick"), quick));
    let running = rig.submit(&tool("waits"), "{}").await;
    rig.has_status(running, Status::Working).await;
    rig.server.restart().await;
    bell.notify_one();
    let task = rig.end_of(running).await;
    assert_eq!((text(&task).as_str(), task.attempt), ("signalled", 1));
    let id = eventually_some(SOON, "it can be submitted", async || {
        let (quick, owner) = (tool("quick"), crate::rig::owner());
        let submission = rig.submission(&quick, &owner);
        rig.store
            .submit(&submission)
            .await
            .ok()
            .map(|_queued| submission.id)
    })
    .await;
    assert_eq!(text(&rig.end_of(id).await), "quick");
    worker.stop().await;
}

#[tokio::test]
async fn a_result_waits_for_a_redis_that_is_away_for_longer_than_the_lease() {
    let mut rig = Rig::on(durable(), 1).await;
    let (handler, bell) = on_signal();
    let worker = run(rig.builder().tool(tool("waits"), handler));
    let id = rig.submit(&tool("waits"), "{}").await;
    rig.has_status(id, Status::Working).await;
    // One that is frozen would find the result in its socket when it thaws; this one never gets what is sent meanwhile.
    rig.server.kill9();
    bell.notify_one();
    let away = Instant::now();
    eventually(SOON, "the lease runs out meanwhile", async || {
        away.elapsed() > LEASE * 2
    })
    .await;
    rig.server.restart().await;
    let task = rig.end_of(id).await;
    assert_eq!((text(&task).as_str(), task.attempt), ("signalled", 1));
    worker.stop().await;
}

#[tokio::test]
async fn an_entry_that_was_delivered_into_a_broken_wire_is_taken_up() {
    let rig = Rig::new().await;
    // With such a lease no reclaimer finds it.
    let lease = Duration::from_secs(600);
    let worker = rig.builder().lease(lease).tool(tool("quick"), quick);
    let worker = worker.build().unwrap();
    let quick = tool("quick");
    let shard = rig.settings.shards.all().next().unwrap();
    let stream = QueueStream {
        shard,
        queue: &quick.queue,
    };
    rig.store.ensure_group(stream).await.unwrap();
    let id = rig.submit(&quick, "{}").await;
    // Redis hands the entry to the worker's name, and the worker never sees it.
    let name = worker.id().as_str().to_owned();
    let queue = "tf:{0}:queue:default";
    let _seen_by_nobody: redis::Value = rig
        .raw(&[
            "XREADGROUP",
            "GROUP",
            "workers",
            &name,
            "STREAMS",
            queue,
            ">",
        ])
        .await;
    let stop = CancellationToken::new();
    let mut running = JoinSet::new();
    running.spawn(worker.run(stop.clone()));
    let blocked = eventually_some(SOON, "the worker blocks", async || {
        let clients: String = rig.raw(&["CLIENT", "LIST"]).await;
        let mut lines = clients.lines();
        // The connection that read above may be listed a moment longer; it blocks on nothing.
        let line =
            lines.find(|line| line.contains("cmd=xreadgroup") && line.contains(" flags=b "))?;
        let id = line.strip_prefix("id=")?.split(' ').next();
        id.map(str::to_owned)
    })
    .await;
    assert_eq!(rig.view(id).await.status, Status::Queued);
    let _: i64 = rig.raw(&["CLIENT", "KILL", "ID", &blocked]).await;
    assert_eq!(text(&rig.end_of(id).await), "quick");
    stop.cancel();
    running.join_next().await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn a_queue_whose_key_holds_something_else_stops_no_other_queue() {
    let rig = Rig::new().await;
    let stream = "tf:{0}:queue:spoilt";
    let _: () = rig.raw(&["SET", stream, "x"]).await;
    let mut spoilt = tool("spoilt");
    spoilt.queue = "spoilt".parse().unwrap();
    let worker = rig.builder().tool(tool("quick"), quick);
    let worker = run(worker.tool(spoilt.clone(), quick));
    let id = rig.submit(&tool("quick"), "{}").await;
    assert_eq!(text(&rig.end_of(id).await), "quick");
    // While it runs, too.
    let _: i64 = rig.raw(&["DEL", stream]).await;
    let id = rig.submit(&spoilt, "{}").await;
    assert_eq!(text(&rig.end_of(id).await), "quick");
    let _: i64 = rig.raw(&["DEL", stream]).await;
    let _: () = rig.raw(&["SET", stream, "x"]).await;
    let id = rig.submit(&tool("quick"), "{}").await;
    assert_eq!(text(&rig.end_of(id).await), "quick");
    let _: i64 = rig.raw(&["DEL", stream]).await;
    worker.stop().await;
}
