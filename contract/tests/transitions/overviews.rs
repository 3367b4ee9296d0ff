//! What an operator sees at a glance.

use taskferry_contract::WorkerInfo;

use crate::rig::Rig;
use crate::samples::worker;

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

    let last = crate::samples::failed("no");
    let later = std::time::Duration::from_secs(60);
    rig.store
        .schedule_retry(&due, later, "later", &last)
        .await
        .unwrap();
    let all = rig.store.shard_overview(&rig.queues()).await.unwrap();
    assert_eq!((all.due, all.dead), (1, 0));
    assert!(all.next_due_ms > Some(rig.store.now_ms().await.unwrap()));

    let nothing = rig
        .store
        .queue_overview(&crate::samples::queue("none"))
        .await;
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
}
