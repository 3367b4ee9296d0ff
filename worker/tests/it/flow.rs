//! How jobs find their worker.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use taskferry_contract::{Again, Owner, Status};
use taskferry_testing::{eventually, redis};
use taskferry_worker::{Builder, HandlerResult, JobContext, ToolOutput};

use crate::rig::{Rig, SOON, owner, run, text, tool};

async fn quick(_job: JobContext) -> HandlerResult {
    Ok(ToolOutput::text("quick"))
}

/// Jobs that count how many of them run at once, and at most.
#[derive(Default, Clone)]
struct Crowd {
    now: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
    all: Arc<AtomicUsize>,
}

impl Crowd {
    fn add_to(&self, builder: Builder, tool: taskferry_contract::ToolDefinition) -> Builder {
        let crowd = self.clone();
        builder.tool(tool, move |_job: JobContext| {
            let crowd = crowd.clone();
            async move {
                let now = crowd.now.fetch_add(1, Ordering::SeqCst) + 1;
                crowd.most.fetch_max(now, Ordering::SeqCst);
                // A job that ends at once is alone, also where a worker runs too many.
                tokio::time::sleep(Duration::from_millis(30)).await;
                crowd.now.fetch_sub(1, Ordering::SeqCst);
                crowd.all.fetch_add(1, Ordering::SeqCst);
                Ok(ToolOutput::text("done"))
            }
        })
    }

    fn most(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }

    fn all(&self) -> usize {
        self.all.load(Ordering::SeqCst)
    }
}

#[tokio::test]
async fn a_worker_runs_as_many_jobs_as_it_has_slots_and_leaves_the_rest() {
    let (rig, crowd) = (Rig::new().await, Crowd::default());
    for _ in 0..20 {
        rig.submit(&tool("crowd"), "{}").await;
    }
    let shard = rig.settings.shards.all().next().unwrap();
    let worker = run(crowd.add_to(rig.builder().slots(3), tool("crowd")));
    eventually(SOON, "all ran", async || {
        let groups = rig.store.keys().queue(shard, &tool("crowd").queue);
        let group: Vec<HashMap<String, redis::Value>> =
            rig.raw(&["XINFO", "GROUPS", &groups]).await;
        let pending = group.first().and_then(|group| group.get("pending"));
        let pending: usize = pending.map_or(0, |n| redis::from_redis_value(n.clone()).unwrap());
        assert!(pending <= 3, "{pending} entries are taken for 3 slots");
        crowd.all() == 20
    })
    .await;
    assert_eq!(crowd.most(), 3);
    worker.stop().await;
}

#[tokio::test]
async fn two_workers_share_the_load() {
    let (rig, one, two) = (Rig::new().await, Crowd::default(), Crowd::default());
    let first = run(one.add_to(rig.builder().slots(2), tool("crowd")));
    let second = run(two.add_to(rig.builder().slots(2), tool("crowd")));
    for _ in 0..40 {
        rig.submit(&tool("crowd"), "{}").await;
    }
    eventually(SOON, "all ran", async || one.all() + two.all() == 40).await;
    assert!(
        one.all() >= 5 && two.all() >= 5,
        "{} and {}",
        one.all(),
        two.all()
    );
    first.stop().await;
    second.stop().await;
}

#[tokio::test]
async fn a_concurrency_limit_holds_for_all_workers_together() {
    let (rig, crowd) = (Rig::new().await, Crowd::default());
    let mut limited = tool("limited");
    limited.concurrency = Some(2);
    let first = run(crowd.add_to(rig.builder(), limited.clone()));
    let second = run(crowd.add_to(rig.builder(), limited.clone()));
    for _ in 0..8 {
        rig.submit(&limited, "{}").await;
    }
    eventually(SOON, "all ran", async || crowd.all() == 8).await;
    assert!(crowd.most() <= 2, "{} ran at once", crowd.most());
    first.stop().await;
    second.stop().await;
}

#[tokio::test]
async fn every_queue_is_served_and_none_starves() {
    let rig = Rig::new().await;
    let on = |name: &str| {
        let mut tool = tool(name);
        tool.queue = name.parse().unwrap();
        tool
    };
    let names = ["one", "two", "three"];
    let builder = names.iter().fold(rig.builder().slots(1), |builder, name| {
        builder.tool(on(name), quick)
    });
    let mut ids = Vec::new();
    for name in names.iter().cycle().take(12) {
        ids.push(rig.submit(&on(name), "{}").await);
    }
    let worker = run(builder);
    for id in ids.drain(..) {
        assert_eq!(text(&rig.end_of(id).await), "quick");
    }
    // And again when it sits and waits.
    for name in names {
        let id = rig.submit(&on(name), "{}").await;
        assert_eq!(text(&rig.end_of(id).await), "quick");
    }
    worker.stop().await;
}

#[tokio::test]
async fn one_slot_serves_several_shards() {
    let rig = Rig::on(taskferry_testing::ServerOptions::default(), 4).await;
    let worker = run(rig.builder().slots(1).tool(tool("quick"), quick));
    for number in 0..8 {
        let owner = Owner::named(&format!("key:{number}")).unwrap();
        let quick = tool("quick");
        let id = rig.submit_as(rig.submission(&quick, &owner)).await;
        assert_eq!(text(&rig.end_of(id).await), "quick");
    }
    worker.stop().await;
}

#[tokio::test]
async fn a_job_whose_tool_is_unknown_waits_for_a_worker_that_knows_it() {
    let rig = Rig::new().await;
    let ignorant = run(rig.builder().tool(tool("quick"), quick));
    let id = rig.submit(&tool("rare"), "{}").await;
    let task = rig
        .when(id, "it is given back", |task| {
            task.waits.is_some_and(|waits| waits.again.is_some())
        })
        .await;
    assert_eq!((task.status, task.attempt), (Status::Queued, 1));
    let why = (task.waits.unwrap().again, task.message);
    assert_eq!(why, (Some(Again::Returned), None));
    let fleet = rig.store.fleet().await.unwrap();
    let served = fleet.serving(&task.queue, &task.tool);
    assert_eq!((served.reading, served.able), (1, 0));
    rig.when(id, "it is offered again", |task| {
        task.attempt >= 2 && task.status == Status::Queued
    })
    .await;
    let able = run(rig.builder().tool(tool("rare"), quick));
    assert_eq!(text(&rig.end_of(id).await), "quick");
    able.stop().await;
    ignorant.stop().await;
}

#[tokio::test]
async fn a_job_whose_tool_is_unknown_keeps_no_slot() {
    let rig = Rig::new().await;
    let worker = run(rig.builder().slots(1).tool(tool("quick"), quick));
    let rare = rig.submit(&tool("rare"), "{}").await;
    for attempt in 1..=2 {
        rig.when(rare, "it was given back", |task| {
            task.attempt == attempt && task.status == Status::Queued
        })
        .await;
        // The only slot is free for this one.
        let id = rig.submit(&tool("quick"), "{}").await;
        assert_eq!(text(&rig.end_of(id).await), "quick");
        let due = ["ZADD", "tf:{0}:due:default", "XX", "1", &rare.to_string()];
        rig.raw::<i64>(&due).await;
    }
    rig.store.cancel(rare, &owner(), "no").await.unwrap();
    worker.stop().await;
}

#[tokio::test]
async fn an_entry_that_cannot_be_read_is_buried_alone() {
    let rig = Rig::new().await;
    let queue = "tf:{0}:queue:default";
    let before = rig.submit(&tool("quick"), "{}").await;
    let _: String = rig
        .raw(&["XADD", queue, "*", "id", "nonsense", "tool", "quick"])
        .await;
    let _: String = rig.raw(&["XADD", queue, "*", "something", "else"]).await;
    let after = rig.submit(&tool("quick"), "{}").await;
    let worker = run(rig.builder().tool(tool("quick"), quick));
    for id in [before, after] {
        assert_eq!(text(&rig.end_of(id).await), "quick");
    }
    eventually(SOON, "both are buried", async || {
        rig.dead_letters().await == ["unreadable", "unreadable"]
    })
    .await;
    worker.stop().await;
}

#[tokio::test]
async fn jobs_that_cannot_be_claimed_are_buried_and_met_no_more() {
    let rig = Rig::new().await;
    let no_number = rig.submit(&tool("quick"), "{}").await;
    let no_record = rig.submit(&tool("quick"), "{}").await;
    let other = rig.submit(&tool("quick"), "{}").await;
    let [first, second] = [no_number, no_record].map(|id| rig.store.keys().record(id));
    let _: i64 = rig.raw(&["HDEL", &first, "attempt"]).await;
    let _: i64 = rig.raw(&["DEL", &second]).await;
    let _: String = rig.raw(&["SET", &second, "text", "PX", "600000"]).await;
    let _: i64 = rig
        .raw(&["ZADD", "tf:{0}:due:default", "1", &no_record.to_string()])
        .await;
    let worker = run(rig.builder().tool(tool("quick"), quick));
    assert_eq!(text(&rig.end_of(other).await), "quick");
    eventually(SOON, "both are buried", async || {
        rig.dead_letters().await == ["unreadable", "unreadable"]
    })
    .await;
    let _: i64 = rig
        .raw(&["DEL", &first, &second, "tf:{0}:active:key:alice"])
        .await;
    worker.stop().await;
}

#[tokio::test]
async fn a_job_whose_record_cannot_be_read_fails_alone() {
    let rig = Rig::new().await;
    let broken = rig.submit(&tool("quick"), "{}").await;
    let key = rig.store.keys().record(broken);
    let _: i64 = rig.raw(&["HSET", &key, "tool", "not a tool name"]).await;
    let other = rig.submit(&tool("quick"), "{}").await;
    let worker = run(rig.builder().tool(tool("quick"), quick));
    assert_eq!(text(&rig.end_of(other).await), "quick");
    let task = rig.end_of(broken).await;
    assert_eq!(task.status, Status::Failed);
    assert_eq!(
        task.message.as_deref(),
        Some("the job's record cannot be read")
    );
    worker.stop().await;
}

#[tokio::test]
async fn an_entry_whose_record_is_gone_is_dropped() {
    let rig = Rig::new().await;
    let gone = rig.submit(&tool("quick"), "{}").await;
    let (key, active, owned) = (
        rig.store.keys().record(gone),
        format!("tf:{{0}}:active:{}", owner()),
        format!("tf:{{0}}:owned:{}", owner()),
    );
    let _: i64 = rig.raw(&["DEL", &key, &active, &owned]).await;
    let worker = run(rig.builder().tool(tool("quick"), quick));
    let id = rig.submit(&tool("quick"), "{}").await;
    assert_eq!(text(&rig.end_of(id).await), "quick");
    worker.stop().await;
}

#[tokio::test]
async fn a_worker_takes_the_names_of_killed_ones_off_its_queues() {
    let rig = Rig::new().await;
    let queue = rig.store.keys().queue(
        rig.settings.shards.all().next().unwrap(),
        &tool("quick").queue,
    );
    rig.raw::<()>(&["XGROUP", "CREATE", &queue, "workers", "0", "MKSTREAM"])
        .await;
    rig.raw::<i64>(&["XGROUP", "CREATECONSUMER", &queue, "workers", "killed"])
        .await;
    let worker = run(rig.builder().tool(tool("quick"), quick));
    eventually(SOON, "the killed worker is forgotten", async || {
        let consumers: Vec<HashMap<String, redis::Value>> =
            rig.raw(&["XINFO", "CONSUMERS", &queue, "workers"]).await;
        let killed = redis::Value::BulkString(b"killed".to_vec());
        consumers.iter().all(|all| all["name"] != killed)
    })
    .await;
    worker.stop().await;
}
