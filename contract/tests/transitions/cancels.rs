//! cancel: from every status, by its owner or an operator only.

use taskferry_contract::{CancelReply, ClaimReply, Owner, Status};

use crate::rig::Rig;
use crate::samples::asking;

#[tokio::test]
async fn cancels_a_job_wherever_it_stands() {
    let mut rig = Rig::new().await;
    let running = rig.running().await;
    let asked = rig.running().await;
    rig.store.ask_input(&asked, &[asking("k")]).await.unwrap();
    let due = rig.running().await;
    rig.retry(&due).await;
    let read = rig.submit().await;
    let claimed = rig.next().await;
    let queued = rig.submit().await;
    for id in [
        running.claimed.id,
        asked.claimed.id,
        due.claimed.id,
        read,
        queued,
    ] {
        let reply = rig
            .store
            .cancel(id, &rig.owner, "not needed")
            .await
            .unwrap();
        let CancelReply::Cancelled(view) = reply else {
            panic!("{reply:?}");
        };
        assert_eq!((view.id, view.status), (id, Status::Cancelled));
        assert_eq!(view.message.as_deref(), Some("not needed"));
        assert_eq!(rig.view(id).await, Some(view));
    }
    assert_eq!((rig.queue_length().await, rig.pending().await), (0, 0));
    let late = rig.claim(&claimed).await;
    assert!(matches!(late, ClaimReply::AlreadyTerminal), "{late:?}");
}

#[tokio::test]
async fn one_that_waits_for_a_slot_leaves_its_place_at_once() {
    let mut rig = Rig::new().await;
    rig.tool.concurrency = Some(1);
    let running = rig.running().await;
    let mut waiting = Vec::new();
    for _ in 0..3 {
        waiting.push(rig.submit().await);
        let claimed = rig.next().await;
        let reply = rig.claim(&claimed).await;
        assert!(matches!(reply, ClaimReply::Waits(None)), "{reply:?}");
    }
    // Whoever looks for a free slot stops at the first that still waits, and never meets the one behind it.
    let cancelled = rig.store.cancel(waiting[1], &rig.owner, "no").await;
    assert!(matches!(cancelled.unwrap(), CancelReply::Cancelled(_)));
    let places = rig
        .store
        .keys()
        .waiting_jobs(rig.shard, &rig.tool.queue, &rig.tool.name);
    let left: Vec<String> = rig.raw("ZRANGE", (&places, 0, -1)).await;
    assert_eq!(left, [waiting[0], waiting[2]].map(|id| id.to_string()));
    rig.finish(&running).await;
    rig.leaves_jobs();
}

#[tokio::test]
async fn a_task_that_has_ended_stays_as_it_is() {
    let mut rig = Rig::new().await;
    let hold = rig.running().await;
    let id = hold.claimed.id;
    rig.finish(&hold).await;
    let before = rig.record(id).await;
    let reply = rig.store.cancel(id, &rig.owner, "no").await.unwrap();
    let CancelReply::AlreadyTerminal(view) = reply else {
        panic!("{reply:?}");
    };
    assert_eq!(view.status, Status::Completed);
    assert_eq!(rig.record(id).await, before);

    let cancelled = rig.submit().await;
    rig.store
        .cancel(cancelled, &rig.owner, "first")
        .await
        .unwrap();
    let again = rig
        .store
        .cancel(cancelled, &rig.owner, "second")
        .await
        .unwrap();
    assert!(
        matches!(&again, CancelReply::AlreadyTerminal(view) if view.message.as_deref() == Some("first")),
        "{again:?}"
    );
}

#[tokio::test]
async fn another_owners_task_is_not_found_and_an_operator_finds_every_task() {
    let rig = Rig::new().await;
    let id = rig.submit().await;
    for owner in [Owner::named("bob").unwrap(), Owner::anonymous()] {
        let reply = rig.store.cancel(id, &owner, "no").await.unwrap();
        assert_eq!(reply, CancelReply::NotFound);
    }
    let nothing = taskferry_contract::TaskId::random(rig.shard);
    let reply = rig.store.cancel(nothing, &rig.owner, "no").await.unwrap();
    assert_eq!(reply, CancelReply::NotFound);
    assert_eq!(rig.status(id).await, Some(Status::Queued));
    let reply = rig.store.cancel_any(id, "by an operator").await.unwrap();
    assert!(matches!(reply, CancelReply::Cancelled(_)), "{reply:?}");
}

#[tokio::test]
async fn an_owner_that_cannot_be_read_is_nobody_and_no_operator() {
    let mut rig = Rig::new().await;
    let id = rig.submit().await;
    let other = rig.submit().await;
    let record = rig.store.keys().record(id);
    rig.raw::<()>("HSET", (record, "owner", "two words")).await;
    let foreign = rig.view(id).await.unwrap().owner;
    assert_ne!(foreign, rig.owner);
    for task in [id, other] {
        let reply = rig.store.cancel(task, &foreign, "no").await.unwrap();
        assert_eq!(reply, CancelReply::NotFound);
    }
    assert_eq!(rig.status(other).await, Some(Status::Queued));
    rig.leaves_anything();
}
