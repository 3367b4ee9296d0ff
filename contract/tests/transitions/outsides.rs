//! `begin_outside`, `end_outside`, `take_outside`: what another system runs for a job is ended when the job is.

use std::time::Duration;

use taskferry_contract::{HeldAttempt, LeftOutside, Refused, Status, TaskId};

use crate::rig::Rig;
use crate::samples::{failed, tool};

/// For how long a job is the taker's.
const KEPT: Duration = Duration::from_secs(60);

fn key(rig: &Rig) -> String {
    rig.store.keys().outside(rig.shard, &rig.tool.queue)
}

async fn begin(rig: &Rig, hold: &HeldAttempt) -> Result<(), Refused> {
    rig.at_work.begin_outside(hold).await.unwrap()
}

async fn take(rig: &Rig) -> Vec<LeftOutside> {
    let tools = [&rig.tool.name];
    let taken = rig.at_work.take_outside(rig.stream(), 10, KEPT, &tools);
    taken.await.unwrap()
}

async fn ids(rig: &Rig) -> Vec<TaskId> {
    take(rig).await.into_iter().map(|left| left.id).collect()
}

async fn end(rig: &Rig, id: TaskId, until: Option<i64>) {
    let ended = rig
        .at_work
        .end_outside(rig.stream(), id, &rig.tool.name, until);
    ended.await.unwrap();
}

/// All that is noted, and by when somebody is to look.
async fn noted(rig: &mut Rig) -> Vec<(String, i64)> {
    let key = key(rig);
    rig.raw("ZRANGE", (key, 0, -1, "WITHSCORES")).await
}

/// What is noted of a job is looked at now.
async fn let_time_pass(rig: &mut Rig) {
    let key = key(rig);
    for (member, _) in noted(rig).await {
        rig.raw::<i64>("ZADD", (&key, 1, member)).await;
    }
}

#[tokio::test]
async fn one_that_is_cancelled_between_two_workers_is_ended_by_the_next() {
    let mut rig = Rig::new().await;
    let hold = rig.running().await;
    let id = hold.claimed.id;
    assert_eq!(begin(&rig, &hold).await, Ok(()));
    assert_eq!(begin(&rig, &hold).await, Ok(()), "once more");
    assert_eq!(noted(&mut rig).await.len(), 1);
    assert_eq!(take(&rig).await, [], "it runs");
    let later = Duration::from_secs(300);
    let released = rig.at_work.release_after_run(&hold, later, None);
    released.await.unwrap();
    assert_eq!(take(&rig).await, [], "it waits");
    rig.store.cancel(id, &rig.owner, "no").await.unwrap();
    let until: i64 = rig.record(id).await["outside"].parse().unwrap();
    let left = LeftOutside {
        id,
        tool: rig.tool.name.clone(),
        until_ms: until,
        arguments: Some(r#"{"month":"2026-07"}"#.to_owned()),
    };
    assert_eq!(take(&rig).await, [left]);
    assert_eq!(take(&rig).await, [], "somebody has it");
    let_time_pass(&mut rig).await;
    assert_eq!(ids(&rig).await, [id], "who had it said nothing");
    end(&rig, id, Some(until)).await;
    end(&rig, id, Some(until)).await;
    assert_eq!(noted(&mut rig).await, []);
    assert!(!rig.record(id).await.contains_key("outside"));
}

#[tokio::test]
async fn who_holds_the_job_ends_it_and_others_only_if_that_does_not() {
    let mut rig = Rig::new().await;
    let hold = rig.running().await;
    let id = hold.claimed.id;
    begin(&rig, &hold).await.unwrap();
    rig.store.cancel(id, &rig.owner, "no").await.unwrap();
    assert_eq!(begin(&rig, &hold).await, Err(Refused::Cancelled));
    assert_eq!(take(&rig).await, [], "its worker has a minute");
    let (_, at) = noted(&mut rig).await[0];
    let updated: i64 = rig.record(id).await["updated_ms"].parse().unwrap();
    assert_eq!(at - updated, 60_000);
    let_time_pass(&mut rig).await;
    assert_eq!(ids(&rig).await, [id]);
    end(&rig, id, None).await;
    assert_eq!(noted(&mut rig).await, []);
}

#[tokio::test]
async fn what_ended_outside_is_not_ended_again() {
    let mut rig = Rig::new().await;
    let hold = rig.running().await;
    begin(&rig, &hold).await.unwrap();
    end(&rig, hold.claimed.id, None).await;
    rig.finish(&hold).await;
    assert_eq!(noted(&mut rig).await, []);
}

#[tokio::test]
async fn one_that_fails_for_good_is_ended_outside_too() {
    let mut rig = Rig::new().await;
    rig.tool.attempts = 2;
    rig.tool.crash_limit = 1;
    let hold = rig.running().await;
    begin(&rig, &hold).await.unwrap();
    rig.retry(&hold).await;
    rig.at_work.forward(rig.stream(), 10).await.unwrap();
    let (next, _) = rig.start().await;
    begin(&rig, &next).await.unwrap();
    assert_eq!(noted(&mut rig).await.len(), 1, "both attempts have one");
    let last = failed("no");
    let retry = rig
        .at_work
        .schedule_retry(&next, Duration::ZERO, "no", &last);
    retry.await.unwrap();
    assert_eq!(rig.status(hold.claimed.id).await, Some(Status::Failed));
    let_time_pass(&mut rig).await;
    assert_eq!(ids(&rig).await, [hold.claimed.id]);

    let lost = rig.running().await;
    begin(&rig, &lost).await.unwrap();
    rig.lapse(&lost).await;
    rig.reclaim_by(&rig.worker).await;
    rig.claim(&lost.claimed).await;
    assert_eq!(rig.status(lost.claimed.id).await, Some(Status::Failed));
    let_time_pass(&mut rig).await;
    let mut left = ids(&rig).await;
    left.sort_by_key(|id| *id == lost.claimed.id);
    assert_eq!(left, [hold.claimed.id, lost.claimed.id]);
}

#[tokio::test]
async fn one_whose_record_expired_is_ended_without_its_arguments() {
    let mut rig = Rig::new().await;
    let hold = rig.running().await;
    let id = hold.claimed.id;
    begin(&rig, &hold).await.unwrap();
    let record = rig.record(id).await;
    let expires =
        record["created_ms"].parse::<i64>().unwrap() + record["ttl_ms"].parse::<i64>().unwrap();
    let (member, at) = noted(&mut rig).await.remove(0);
    assert_eq!(member, format!("{id}:{expires}:report"));
    assert_eq!(at - expires, 60_000, "its worker has a minute");
    let key = key(&rig);
    let kept: i64 = rig.raw("PEXPIRETIME", &key).await;
    assert!(kept > expires + 6 * 86_400_000, "{kept}");
    rig.expire(id).await;
    assert_eq!(begin(&rig, &hold).await, Err(Refused::Gone));
    let_time_pass(&mut rig).await;
    let left = take(&rig).await;
    assert_eq!((left[0].id, &left[0].arguments), (id, &None));
    end(&rig, id, Some(left[0].until_ms)).await;
    assert_eq!(noted(&mut rig).await, []);
    rig.leaves_jobs();
}

#[tokio::test]
async fn a_job_that_lives_longer_than_was_noted_is_left_alone() {
    let mut rig = Rig::new().await;
    let hold = rig.running().await;
    begin(&rig, &hold).await.unwrap();
    let_time_pass(&mut rig).await;
    assert_eq!(take(&rig).await, []);
    let record = rig.record(hold.claimed.id).await;
    let expires =
        record["created_ms"].parse::<i64>().unwrap() + record["ttl_ms"].parse::<i64>().unwrap();
    assert_eq!(
        noted(&mut rig).await[0].1,
        expires + 60_000,
        "looked at then"
    );
    rig.finish(&hold).await;
}

#[tokio::test]
async fn who_has_not_the_tool_gets_nothing_and_large_arguments_are_left_out() {
    let mut rig = Rig::new().await;
    let arguments = format!(r#"{{"text":"{}"}}"#, "x".repeat(65_536));
    let mut submission = rig.submission();
    submission.arguments = arguments.as_str().into();
    let id = submission.id;
    let hold = rig.running_as(submission).await;
    begin(&rig, &hold).await.unwrap();
    rig.store.cancel(id, &rig.owner, "no").await.unwrap();
    let_time_pass(&mut rig).await;
    let other = tool("other").name;
    let (stream, none) = (rig.stream(), &[&other][..]);
    let taken = rig.at_work.take_outside(stream, 10, KEPT, none).await;
    assert_eq!(taken.unwrap(), []);
    let left = take(&rig).await;
    assert_eq!((left[0].id, &left[0].arguments), (id, &None));
}

#[tokio::test]
async fn what_somebody_else_wrote_there_stops_no_job() {
    let mut rig = Rig::new().await;
    let key = key(&rig);
    rig.raw::<()>("ZADD", (&key, 1, "x")).await;
    rig.raw::<()>("EXPIRE", (&key, 60)).await;
    assert_eq!(take(&rig).await, []);
    assert_eq!(noted(&mut rig).await, [], "it is dropped");
    let hold = rig.running().await;
    begin(&rig, &hold).await.unwrap();
    rig.raw::<()>("DEL", &key).await;
    rig.raw::<()>("SET", (&key, "x", "EX", 60)).await;
    assert_eq!(take(&rig).await, []);
    let error = rig.at_work.begin_outside(&hold).await.unwrap_err();
    assert!(error.is_wrong_type(), "{error}");
    end(&rig, hold.claimed.id, None).await;
    rig.finish(&hold).await;
    assert_eq!(rig.status(hold.claimed.id).await, Some(Status::Completed));
}
