//! How callers take turns: beyond its share of ready jobs, an owner's wait in a line of its own.

use std::time::Duration;

use taskferry_contract::{ClaimReply, LineName, Owner, Submission, SubmitReply, TaskId, WaitsFor};

use crate::rig::Rig;
use crate::samples::{failed, started};

/// Queues a job of the rig's owner, of whose jobs so many may be ready.
async fn submit(rig: &Rig, share: u64) -> TaskId {
    submit_of(rig, &rig.owner, share).await
}

async fn submit_of(rig: &Rig, owner: &Owner, share: u64) -> TaskId {
    let submission = Submission {
        owner,
        owner_share: share,
        ..rig.submission()
    };
    rig.submit_as(submission).await
}

async fn several(rig: &Rig, jobs: usize, share: u64) -> Vec<TaskId> {
    let mut ids = Vec::new();
    for _ in 0..jobs {
        ids.push(submit(rig, share).await);
    }
    ids
}

/// Runs what comes until nothing does; the ids in their order.
async fn run_all(rig: &mut Rig) -> Vec<TaskId> {
    let mut ids = Vec::new();
    while rig.queue_length().await > rig.pending().await {
        let claimed = rig.next().await;
        let reply = rig.claim(&claimed).await;
        if !matches!(reply, ClaimReply::Waits(None)) {
            let (hold, _) = started(claimed, &rig.worker, reply);
            rig.finish(&hold).await;
            ids.push(hold.claimed.id);
        }
    }
    ids
}

fn bob() -> Owner {
    Owner::named("key:bob").unwrap()
}

/// How many wait in the lines of the queue.
async fn in_lines(rig: &Rig) -> u64 {
    let queue = rig.store.queue_overview(&rig.tool.queue).await.unwrap();
    queue.in_lines
}

async fn waits_for(rig: &Rig, id: TaskId) -> Option<WaitsFor> {
    let waits = rig.view(id).await.unwrap().waits;
    waits.map(|waits| waits.what)
}

#[tokio::test]
async fn one_who_queued_many_holds_another_up_by_its_share_and_no_more() {
    let mut rig = Rig::new().await;
    let many = several(&rig, 40, 3).await;
    assert_eq!(rig.queue_length().await, 3);
    assert_eq!(in_lines(&rig).await, 37);
    // Five of them have begun meanwhile, and three more are ready.
    let mut begun = Vec::new();
    for _ in 0..5 {
        begun.push(rig.start().await.0);
    }
    let one = submit_of(&rig, &bob(), 3).await;
    for hold in &begun {
        rig.finish(hold).await;
    }
    let mut ran: Vec<TaskId> = begun.iter().map(|hold| hold.claimed.id).collect();
    ran.extend(run_all(&mut rig).await);
    let place = ran.iter().position(|id| *id == one).unwrap();
    assert_eq!(place, 5 + 3, "behind those that were ready");
    ran.remove(place);
    assert_eq!(ran, many, "each once, and in its order");
    assert_eq!(in_lines(&rig).await, 0);
}

#[tokio::test]
async fn callers_who_cannot_be_told_apart_have_no_lines_and_none_has_without_a_share() {
    let mut rig = Rig::new().await;
    for (owner, share) in [(Owner::anonymous(), 1), (rig.owner.clone(), 0)] {
        for _ in 0..3 {
            let id = submit_of(&rig, &owner, share).await;
            assert!(!rig.record(id).await.contains_key("share"));
        }
    }
    assert_eq!(rig.queue_length().await, 6);
    let left = rig.raw::<Vec<String>>("KEYS", "tf:{0}:ready:*").await;
    assert_eq!(left, Vec::<String>::new());
    run_all(&mut rig).await;
}

#[tokio::test]
async fn a_job_in_a_line_says_so_and_how_many_go_first() {
    let mut rig = Rig::new().await;
    let ids = several(&rig, 4, 2).await;
    assert_eq!(waits_for(&rig, ids[1]).await, None);
    assert_eq!(waits_for(&rig, ids[3]).await, Some(WaitsFor::Turn));
    let mut view = rig.view(ids[3]).await.unwrap();
    assert_eq!(rig.store.ahead_in_line(&view).await.unwrap(), Some(3));
    let queue = rig.store.queue_overview(&rig.tool.queue).await.unwrap();
    assert_eq!((queue.length, queue.in_lines), (2, 2));
    let (hold, _) = rig.start().await;
    assert_eq!(rig.store.ahead_in_line(&view).await.unwrap(), Some(2));
    assert_eq!(waits_for(&rig, ids[2]).await, Some(WaitsFor::Worker));
    rig.finish(&hold).await;
    // The oldest may be one of a line.
    let queue = rig.store.queue_overview(&rig.tool.queue).await.unwrap();
    assert!(queue.oldest_ms <= Some(view.created_ms.try_into().unwrap()));
    run_all(&mut rig).await;
    view = rig.view(ids[3]).await.unwrap();
    assert_eq!(rig.store.ahead_in_line(&view).await.unwrap(), None);
}

#[tokio::test]
async fn whatever_is_cancelled_leaves_and_the_next_comes() {
    let mut rig = Rig::new().await;
    let ids = several(&rig, 5, 1).await;
    // In the line, on the stream, and running.
    for cancelled in [2, 0] {
        let cancel = rig.store.cancel(ids[cancelled], &rig.owner, "no").await;
        cancel.unwrap();
    }
    let (hold, _) = rig.start().await;
    assert_eq!(hold.claimed.id, ids[1]);
    let cancel = rig.store.cancel(ids[1], &rig.owner, "no").await;
    cancel.unwrap();
    assert_eq!(run_all(&mut rig).await, ids[3..]);
}

#[tokio::test]
async fn a_job_that_comes_back_goes_before_those_of_its_owner_that_were_queued_later() {
    let mut rig = Rig::new().await;
    let ids = several(&rig, 4, 1).await;
    let (hold, _) = rig.start().await;
    let last = failed("no");
    let retry = rig
        .store
        .schedule_retry(&hold, Duration::ZERO, "no", &last)
        .await;
    retry.unwrap();
    // The second is ready already.
    rig.store.forward(rig.stream(), 10).await.unwrap();
    assert_eq!(waits_for(&rig, ids[0]).await, Some(WaitsFor::Turn));
    let order = [ids[1], ids[0], ids[2], ids[3]];
    assert_eq!(run_all(&mut rig).await, order);
}

#[tokio::test]
async fn each_tool_has_a_line_so_that_one_at_its_limit_holds_up_no_other() {
    let mut rig = Rig::new().await;
    let other = rig.tool.clone();
    rig.tool.name = "slow".parse().unwrap();
    rig.tool.concurrency = Some(1);
    let slow = several(&rig, 4, 1).await;
    let (first, _) = rig.start().await;
    // The second finds no slot, and stays the one that is ready.
    let reply = rig.claim(&rig.next().await).await;
    assert!(matches!(reply, ClaimReply::Waits(None)));
    assert_eq!(in_lines(&rig).await, 2);
    let of_other = {
        let slow = std::mem::replace(&mut rig.tool, other);
        let id = submit(&rig, 1).await;
        rig.tool = slow;
        id
    };
    assert_eq!(run_all(&mut rig).await, [of_other]);
    // Another's waits for the slot behind the one that is ready, not behind all.
    let one = submit_of(&rig, &bob(), 1).await;
    let reply = rig.claim(&rig.next().await).await;
    assert!(matches!(reply, ClaimReply::Waits(None)));
    rig.finish(&first).await;
    let order = [slow[1], one, slow[2], slow[3]];
    assert_eq!(run_all(&mut rig).await, order);
}

#[tokio::test]
async fn the_cap_of_a_queue_counts_those_in_lines() {
    let mut rig = Rig::new().await;
    several(&rig, 4, 1).await;
    let full = Submission {
        queue_cap: 4,
        owner_share: 1,
        ..rig.submission()
    };
    let reply = rig.store.submit(&full).await.unwrap();
    assert_eq!(reply, SubmitReply::QueueFull { length: 4 });
    let fits = Submission {
        queue_cap: 5,
        ..full
    };
    rig.submit_as(fits).await;
    assert_eq!(run_all(&mut rig).await.len(), 5);
}

#[tokio::test]
async fn room_that_nobody_gave_out_is_found() {
    let mut rig = Rig::new().await;
    let ids = several(&rig, 4, 1).await;
    // The one that is ready expires on the stream, and the first of the line where it is.
    for expired in &ids[..2] {
        rig.expire(*expired).await;
    }
    let looked = rig.store.forward(rig.stream(), 10).await.unwrap();
    assert_eq!((looked.moved, looked.expired), (0, 1));
    assert!(looked.call_again_ms.is_some());
    assert_eq!(waits_for(&rig, ids[2]).await, Some(WaitsFor::Worker));
    let gone = rig.next().await;
    assert_eq!(gone.id, ids[0]);
    rig.claim(&gone).await;

    // A worker of an older version takes nothing off those that are ready.
    let (hold, _) = rig.start().await;
    let name = (rig.tool.queue.to_string(), rig.tool.name.to_string());
    let line = LineName {
        queue: &name.0,
        tool: &name.1,
        owner: &rig.owner,
    };
    let ready = rig.store.keys().ready(rig.shard, line);
    let lines = rig.store.keys().line(rig.shard, line);
    let expires = i64::MAX / 2;
    for (job, back) in [(ids[3], true), (hold.claimed.id, false)] {
        let (from, to) = if back {
            (&ready, &lines)
        } else {
            (&lines, &ready)
        };
        rig.raw::<()>("ZREM", (from, job.to_string())).await;
        let score = if back { 1 } else { expires };
        rig.raw::<()>("ZADD", (to, score, job.to_string())).await;
    }
    let queue = rig.tool.queue.to_string();
    let (backlog, names) = (
        format!("tf:{{0}}:backlog:{queue}"),
        format!("tf:{{0}}:lines:{queue}"),
    );
    rig.raw::<()>("ZADD", (backlog, 1, ids[3].to_string()))
        .await;
    rig.raw::<()>("ZADD", (names, 0, format!("{}:{}", name.1, rig.owner)))
        .await;
    let record = rig.store.keys().record(ids[3]);
    let entry: String = rig.raw("HGET", (&record, "entry")).await;
    rig.raw::<()>(
        "XDEL",
        (rig.store.keys().queue(rig.shard, &rig.tool.queue), entry),
    )
    .await;
    rig.raw::<()>("HSET", (&record, "entry", "", "waits", "turn 1 -"))
        .await;
    rig.store.forward(rig.stream(), 10).await.unwrap();
    rig.finish(&hold).await;
    assert_eq!(run_all(&mut rig).await, [ids[3]]);
}

#[tokio::test]
async fn many_that_expired_in_a_line_are_passed_over_a_hundred_at_a_time() {
    let mut rig = Rig::new().await;
    let ids = several(&rig, 2, 1).await;
    let name = (rig.tool.queue.to_string(), rig.tool.name.to_string());
    let line = LineName {
        queue: &name.0,
        tool: &name.1,
        owner: &rig.owner,
    };
    let (line, backlog) = (
        rig.store.keys().line(rig.shard, line),
        rig.store.keys().backlog(rig.shard, &rig.tool.queue),
    );
    for place in 0..250 {
        let id = TaskId::random(rig.shard).to_string();
        for set in [&line, &backlog] {
            rig.raw::<()>("ZADD", (set, place, &id)).await;
        }
    }
    let (hold, _) = rig.start().await;
    rig.finish(&hold).await;
    for left in [151, 51, 0] {
        assert_eq!(in_lines(&rig).await, left);
        rig.store.forward(rig.stream(), 10).await.unwrap();
    }
    assert_eq!(run_all(&mut rig).await, ids[1..]);
    let all = rig.store.shard_overview(&rig.queues()).await.unwrap();
    assert_eq!(all.expired["report"], 250);
}

#[tokio::test]
async fn where_a_key_of_lines_cannot_be_used_nobody_waits_and_it_is_named() {
    for spoiled in ["lines:default", "backlog:default"] {
        let mut rig = Rig::new().await;
        let key = format!("tf:{{0}}:{spoiled}");
        rig.raw::<()>("SET", (&key, "x")).await;
        let ids = several(&rig, 3, 1).await;
        assert_eq!(rig.queue_length().await, 3, "{key}");
        let survey = rig.store.survey().await.unwrap();
        assert_eq!(survey.misplaced.len(), 1, "{key}: {survey:?}");
        assert_eq!(survey.misplaced[0].key, key);
        rig.raw::<()>("DEL", &key).await;
        assert_eq!(run_all(&mut rig).await, ids);
    }
    // Once they wait, whoever looks after them names what is in their way.
    let mut rig = Rig::new().await;
    let ids = several(&rig, 2, 1).await;
    let line = format!("tf:{{0}}:line:default:report:{}", rig.owner);
    rig.raw::<()>("RENAME", (&line, "aside")).await;
    rig.raw::<()>("SET", (&line, "x")).await;
    let looked = rig.store.forward(rig.stream(), 10).await.unwrap();
    assert_eq!(looked.misplaced, std::slice::from_ref(&line));
    rig.raw::<()>("RENAME", ("aside", &line)).await;
    assert_eq!(run_all(&mut rig).await, ids);
}
