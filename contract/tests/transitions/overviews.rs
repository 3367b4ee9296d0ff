//! What an operator sees at a glance.

use std::time::Duration;

use taskferry_contract::{ClaimReply, Pausable, QueueName, Submission, ToolJobs, WorkerInfo};

use crate::rig::Rig;
use crate::samples::{failed, queue, tool, worker};

#[tokio::test]
async fn queues_due_jobs_and_the_server_are_counted() {
    let mut rig = Rig::new().await;
    let waits = rig.running().await;
    rig.submit().await;
    let due = rig.running().await;
    let queue = rig.store.queue_overview(&rig.tool.queue).await.unwrap();
    assert_eq!((queue.length, queue.pending), (3, 2));
    let (oldest, _) = waits.claimed.entry.as_str().split_once('-').unwrap();
    assert_eq!(queue.oldest_ms, Some(oldest.parse().unwrap()));

    let last = failed("no");
    let later = Duration::from_secs(60);
    rig.store
        .schedule_retry(&due, later, "later", &last)
        .await
        .unwrap();
    let all = rig.store.shard_overview(&rig.queues()).await.unwrap();
    assert_eq!((all.due, all.dead), (1, 0));
    assert!(all.next_due_ms > Some(rig.store.now_ms().await.unwrap()));

    let none = crate::samples::queue("none");
    let nothing = rig.store.queue_overview(&none).await;
    assert_eq!(nothing.unwrap(), Default::default());
    let server = rig.store.server_overview().await.unwrap();
    assert!(server.is_primary && server.used_bytes > 0, "{server:?}");
    assert_eq!(server.contract, None);
    rig.raw::<()>("SET", ("tf:contract", "1.0")).await;
    let server = rig.store.server_overview().await.unwrap();
    assert_eq!(server.contract.as_deref(), Some("1.0"));
    rig.leaves_jobs();
}

#[tokio::test]
async fn workers_are_listed_with_what_they_said() {
    let mut rig = Rig::new().await;
    for id in ["w2", "w1"] {
        rig.store.beat(&worker(id), &[]).await.unwrap();
    }
    // One that is silent so long that only its name is left, and one of another release.
    rig.raw::<()>("ZADD", ("tf:{fleet}:workers", 1, "w0")).await;
    let listed = rig.store.workers().await.unwrap();
    let infos: Vec<&WorkerInfo> = listed.iter().map(|(info, _)| info).collect();
    assert_eq!(infos, [&worker("w1"), &worker("w2")]);
    let now = rig.store.now_ms().await.unwrap();
    assert!(listed.iter().all(|(_, beat)| now - beat < 10_000));
    assert!(listed[0].0.runs("a") && !listed[0].0.runs("a,b"));
    // What Redis has of one that does not say which definitions it has, as one of an earlier release.
    rig.raw::<()>("HDEL", ("tf:{fleet}:worker:w1", "digests"))
        .await;
    let listed = rig.store.workers().await.unwrap();
    let told = |at: usize| listed[at].0.definition_of("a");
    assert_eq!((told(0), told(1)), (None, Some("1-0a".parse().unwrap())));
}

#[tokio::test]
async fn the_jobs_of_a_tool_are_counted_wherever_they_wait() {
    let mut rig = Rig::new().await;
    let queues: Vec<QueueName> = rig.queues().into_iter().collect();
    let jobs = async |rig: &Rig| {
        let jobs = rig.operator.jobs_of_tool(&rig.tool.name, &queues).await;
        jobs.unwrap()
    };
    let are = |queued, begun| ToolJobs {
        queued,
        begun,
        has_more: false,
    };
    assert_eq!(jobs(&rig).await, are(0, 0));
    let due = rig.running().await;
    assert_eq!(jobs(&rig).await, are(0, 1));
    let (later, last) = (Duration::from_secs(60), failed("no"));
    let retry = rig.store.schedule_retry(&due, later, "later", &last);
    retry.await.unwrap();
    assert_eq!(jobs(&rig).await, are(1, 0), "it is due");
    let in_line = Submission {
        owner_share: 1,
        ..rig.submission()
    };
    rig.submit_as(in_line).await;
    let in_line = Submission {
        owner_share: 1,
        ..rig.submission()
    };
    let last = rig.submit_as(in_line).await;
    assert_eq!(jobs(&rig).await, are(3, 0), "one of them is in a line");
    let pause = Pausable::Tool(rig.tool.name.clone());
    rig.operator.pause(&pause, "-", "").await.unwrap();
    let reply = rig.claim(&rig.next().await).await;
    assert!(matches!(reply, ClaimReply::Waits(_)), "{reply:?}");
    assert_eq!(jobs(&rig).await, are(3, 0), "one waits for its turn");
    rig.expire(last).await;
    assert_eq!(jobs(&rig).await, are(2, 0), "of one only the id is left");

    // Nothing of another tool, and nothing on another queue.
    rig.tool = tool("other");
    assert_eq!(jobs(&rig).await, are(0, 0));
    rig.submit().await;
    assert_eq!(jobs(&rig).await, are(1, 0));
    let elsewhere = [queue("elsewhere")];
    let found = rig.operator.jobs_of_tool(&rig.tool.name, &elsewhere).await;
    assert_eq!(found.unwrap(), are(0, 0));
    rig.leaves_jobs();
}
