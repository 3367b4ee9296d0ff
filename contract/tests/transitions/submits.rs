//! submit: a job appears whole, once, and within its limits.

use std::collections::HashMap;
use std::time::Duration;

use taskferry_contract::{
    Arguments, FinishReply, FrontEndId, Owner, Status, Submission, SubmitReply, TaskId,
    TraceContext, WaitsFor,
};

use crate::rig::Rig;
use crate::samples::{key, slow};

#[tokio::test]
async fn carries_a_job_from_submit_to_its_result() {
    let mut rig = Rig::new().await;
    let id = rig.submit().await;
    assert_eq!(rig.status(id).await, Some(Status::Queued));
    assert_eq!((rig.queue_length().await, rig.pending().await), (1, 0));

    let (hold, job) = rig.start().await;
    assert_eq!((job.id, job.attempt.0), (id, 1));
    assert_eq!(job.arguments.as_str(), r#"{"month":"2026-07"}"#);
    assert_eq!((job.retries, job.crashes, job.timeout_ms), (0, 0, 600_000));
    assert_eq!(
        (job.tool, job.queue),
        (rig.tool.name.clone(), rig.tool.queue.clone())
    );
    assert_eq!(rig.status(id).await, Some(Status::Working));
    assert_eq!((rig.queue_length().await, rig.pending().await), (1, 1));

    assert_eq!(rig.finish(&hold).await, FinishReply::Stored);
    let view = rig.view(id).await.unwrap();
    assert_eq!(view.status, Status::Completed);
    assert_eq!(view.result.as_deref(), Some(r#"{"content":[ ],"n":1}"#));
    assert_eq!((rig.queue_length().await, rig.pending().await), (0, 0));
}

#[tokio::test]
async fn more_fields_than_a_command_of_a_script_takes_leave_nothing() {
    let mut rig = Rig::new().await;
    let answers = (0..4_000).map(|key| (format!("k{key}"), "{}".to_owned()));
    let answers: Vec<(String, String)> = answers.collect();
    let submission = Submission {
        answers: &answers,
        ..rig.submission()
    };
    let error = rig.store.submit(&submission).await.unwrap_err();
    assert!(error.to_string().contains("too many"), "{error}");
    assert_eq!(rig.queue_length().await, 0);
}

#[tokio::test]
async fn writes_record_expiry_entry_and_indexes_together() {
    let mut rig = Rig::new().await;
    let front_end: FrontEndId = "r1".parse().unwrap();
    let id = rig
        .submit_as(Submission {
            capabilities: Some(r#"{"elicitation":{}}"#),
            trace: TraceContext {
                parent: Some("00-1-2-01"),
                state: Some("a=1"),
                baggage: Some("b=2"),
            },
            waiter: Some(&front_end),
            keep: Duration::from_secs(7),
            ..rig.submission()
        })
        .await;
    let record = rig.record(id).await;
    let entry = record["entry"].clone();
    let created = record["created_ms"].clone();
    let expected: HashMap<String, String> = [
        ("status", "queued"),
        ("tool", "report"),
        ("queue", "default"),
        ("owner", "key:alice"),
        ("created_ms", &created),
        ("updated_ms", &created),
        ("ttl_ms", "600000"),
        ("plain", "0"),
        ("attempt", "0"),
        ("retries", "0"),
        ("crashes", "0"),
        ("entry", &entry),
        ("arguments", r#"{"month":"2026-07"}"#),
        ("poll_ms", "1000"),
        ("poll_max_ms", "5000"),
        ("timeout_ms", "600000"),
        ("max_attempts", "3"),
        ("max_crashes", "3"),
        ("keep_ms", "7000"),
        ("capabilities", r#"{"elicitation":{}}"#),
        ("trace", "00-1-2-01"),
        ("tracestate", "a=1"),
        ("baggage", "b=2"),
        ("waiters", "r1"),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .collect();
    assert_eq!(record, expected);

    let expires = created.parse::<i64>().unwrap() + 600_000;
    let record = rig.store.keys().record(id);
    let expiry: i64 = rig.raw("PEXPIRETIME", &record).await;
    assert_eq!(expiry, expires);
    for index in ["tf:{0}:active:key:alice", "tf:{0}:owned:key:alice"] {
        let expiry: i64 = rig.raw("PEXPIRETIME", index).await;
        assert_eq!(expiry, expires + 1000, "{index}");
    }
    rig.leaves_jobs();
}

#[tokio::test]
async fn a_repeated_submit_is_the_same_submit() {
    let mut rig = Rig::new().await;
    let alias = key(&rig.owner, "k");
    let submission = Submission {
        alias: Some(&alias),
        queue_cap: 1,
        owner_cap: 1,
        ..rig.submission()
    };
    let first = rig.store.submit(&submission).await.unwrap();
    assert_eq!(rig.store.submit(&submission).await.unwrap(), first);
    assert_eq!(rig.queue_length().await, 1);

    let (hold, _) = rig.start().await;
    rig.finish(&hold).await;
    assert_eq!(rig.status(hold.claimed.id).await, Some(Status::Completed));
}

#[tokio::test]
async fn refuses_what_a_full_queue_cannot_hold() {
    let mut rig = Rig::new().await;
    let capped = || Submission {
        queue_cap: 2,
        ..rig.submission()
    };
    rig.submit_as(capped()).await;
    rig.submit_as(capped()).await;
    let refused = rig.store.submit(&capped()).await.unwrap();
    assert_eq!(refused, SubmitReply::QueueFull { length: 2 });
    rig.submit().await;

    for _ in 0..2 {
        let (hold, _) = rig.start().await;
        rig.finish(&hold).await;
    }
    rig.submit_as(Submission {
        queue_cap: 2,
        ..rig.submission()
    })
    .await;
    assert_eq!(rig.queue_length().await, 2);
    rig.leaves_jobs();
}

#[tokio::test]
async fn limits_the_live_jobs_of_an_owner() {
    let mut rig = Rig::new().await;
    let bob = Owner::named("bob").unwrap();
    let capped = || Submission {
        owner_cap: 2,
        ..rig.submission()
    };
    let first = rig.submit_as(capped()).await;
    let second = rig.submit_as(capped()).await;
    let refused = rig.store.submit(&capped()).await.unwrap();
    assert_eq!(refused, SubmitReply::OwnerLimit { live: 2 });
    rig.submit_as(Submission {
        owner: &bob,
        ..capped()
    })
    .await;

    // Room comes from a cancel, and from an expiry once its time has come.
    rig.store.cancel(first, &rig.owner, "no").await.unwrap();
    rig.submit_as(capped()).await;
    rig.expire(second).await;
    rig.submit_as(Submission {
        owner_cap: 2,
        ..rig.submission()
    })
    .await;

    // What expired goes from the set without a cap, too.
    let third = rig.submit().await;
    rig.expire(third).await;
    rig.submit().await;
    let active = format!("{}active:{}", rig.store.keys().base(rig.shard), rig.owner);
    let live: Vec<String> = rig.raw("ZRANGE", (&active, 0, -1)).await;
    assert!(!live.contains(&third.to_string()), "{live:?}");
    rig.leaves_jobs();
}

#[tokio::test]
async fn an_anonymous_caller_is_in_no_index() {
    let mut rig = Rig::new().await;
    let nobody = Owner::anonymous();
    let id = rig
        .submit_as(Submission {
            owner: &nobody,
            owner_cap: 1,
            ..rig.submission()
        })
        .await;
    rig.submit_as(Submission {
        owner: &nobody,
        owner_cap: 1,
        ..rig.submission()
    })
    .await;
    let mut keys: Vec<String> = rig.raw("KEYS", "tf:*").await;
    keys.retain(|key| !key.contains(":task:"));
    assert_eq!(keys, ["tf:{0}:queue:default"]);
    assert!(rig.view(id).await.unwrap().owner.is_anonymous());
    rig.leaves_jobs();
}

#[tokio::test]
async fn a_plain_call_is_in_no_list_and_goes_soon_after_its_end() {
    let mut rig = Rig::new().await;
    let id = rig
        .submit_as(Submission {
            plain: true,
            keep: Duration::from_secs(30),
            ..rig.submission()
        })
        .await;
    let page = rig.store.list_owned(&rig.owner, None, 10).await.unwrap();
    assert_eq!(page.tasks, []);
    let (hold, _) = rig.start().await;
    rig.finish(&hold).await;
    let view = rig.view(id).await.unwrap();
    assert!(view.plain && view.ttl_ms < 60_000, "{view:?}");
    let left: i64 = rig.raw("PTTL", rig.store.keys().record(id)).await;
    assert!((20_000..=30_000).contains(&left), "{left}");
}

#[tokio::test]
async fn a_plain_call_that_keeps_nothing_can_still_be_cancelled() {
    let rig = Rig::new().await;
    let id = rig
        .submit_as(Submission {
            plain: true,
            ..rig.submission()
        })
        .await;
    // It takes Redis longer to store this than the record stays.
    let reply = rig.store.cancel(id, &rig.owner, &slow()).await.unwrap();
    assert!(
        matches!(reply, taskferry_contract::CancelReply::Cancelled(_)),
        "the reply is another"
    );
}

#[tokio::test]
async fn a_job_that_expires_in_its_queue_is_never_revived() {
    let mut rig = Rig::new().await;
    let id = rig.submit().await;
    rig.expire(id).await;
    assert_eq!(rig.view(id).await, None);
    let claimed = rig.next().await;
    let reply = rig.claim(&claimed).await;
    assert!(
        matches!(reply, taskferry_contract::ClaimReply::Gone(_)),
        "{reply:?}"
    );
    // It is seen and counted, once however often the claim is made.
    let taskferry_contract::ClaimReply::Gone(Some(expired)) = reply else {
        panic!("{reply:?}");
    };
    assert_eq!((expired.tool.as_str(), expired.begun), ("report", false));
    let again = rig.claim(&claimed).await;
    assert!(
        matches!(again, taskferry_contract::ClaimReply::Gone(None)),
        "{again:?}"
    );
    let all = rig.store.shard_overview(&rig.queues()).await.unwrap();
    assert_eq!(all.expired, [("report".to_owned(), 1)].into());
    let ttl: u64 = rig.raw("PTTL", "tf:{0}:expired").await;
    assert!((29 * 86_400_000..=30 * 86_400_000).contains(&ttl), "{ttl}");
    assert_eq!(rig.record(id).await.len(), 0);
    let answer = rig.store.answer_input(rig.question(id, "k"), "1").await;
    assert_eq!(answer.unwrap(), taskferry_contract::AnswerReply::NotFound);
}

#[tokio::test]
async fn the_same_transitions_serve_every_shard() {
    let shards = taskferry_contract::Shards::new(7).unwrap();
    let mut rig = Rig::on(taskferry_testing::ServerOptions::default(), shards).await;
    let mut seen = std::collections::BTreeSet::new();
    for name in ["a", "b", "c", "d", "e", "f", "g", "h"] {
        rig.owner = Owner::named(name).unwrap();
        rig.shard = shards.of(&rig.owner);
        seen.insert(rig.shard);
        rig.ensure_group().await;
        let id = TaskId::random(rig.shard);
        rig.submit_as(Submission {
            id,
            ..rig.submission()
        })
        .await;
        let (hold, _) = rig.start().await;
        assert_eq!(hold.claimed.id, id);
        assert_eq!(rig.finish(&hold).await, FinishReply::Stored);
        let page = rig.store.list_owned(&rig.owner, None, 10).await.unwrap();
        assert_eq!(page.tasks.len(), 1);
    }
    assert!(seen.len() > 2, "{seen:?}");
}

#[tokio::test]
async fn a_job_that_is_to_begin_later_is_due_then_and_within_its_life() {
    let mut rig = Rig::new().await;
    let now = rig.operator.now_ms().await.unwrap();
    let now = i64::try_from(now).unwrap();
    let starting = |rig: &Rig, ms: i64| {
        let (tool, owner) = (rig.tool.clone(), rig.owner.clone());
        let (store, id) = (rig.store.clone(), TaskId::random(rig.shard));
        async move {
            let submission = Submission {
                not_before_ms: Some(now + ms),
                ttl: Duration::from_secs(60),
                queue_cap: 1,
                ..Submission::new(&tool, id, &owner, Arguments::default())
            };
            (id, store.submit(&submission).await.unwrap())
        }
    };
    let (id, late) = starting(&rig, 90_000).await;
    assert!(matches!(late, SubmitReply::TooLate { .. }), "{late:?}");
    assert_eq!(rig.status(id).await, None);
    let (id, queued) = starting(&rig, 2_000).await;
    assert!(matches!(queued, SubmitReply::Queued { .. }), "{queued:?}");
    assert_eq!(rig.status(id).await, Some(Status::Queued));
    assert_eq!(rig.queue_length().await, 0);
    let waits = rig.view(id).await.unwrap().waits.unwrap();
    let due = (waits.what, waits.again, waits.due_ms);
    assert_eq!(due, (WaitsFor::Time, None, Some(now + 2_000)));
    // Those that wait for their time have the cap of a queue to themselves.
    let (_, full) = starting(&rig, 3_000).await;
    assert_eq!(full, SubmitReply::QueueFull { length: 1 });
    // A time that is past is no delay.
    starting(&rig, -5_000).await;
    assert_eq!(rig.queue_length().await, 1);
    let forwarded = rig.store.forward(rig.stream(), 10).await.unwrap();
    assert_eq!(forwarded.moved, 0);
    tokio::time::sleep(Duration::from_millis(2_000)).await;
    rig.store.forward(rig.stream(), 10).await.unwrap();
    assert_eq!(rig.queue_length().await, 2);
    let waits = rig.view(id).await.unwrap().waits.unwrap();
    assert_eq!(waits.what, WaitsFor::Worker);
    rig.leaves_jobs();
}

#[tokio::test]
async fn a_job_that_is_asked_first_begins_no_sooner_for_its_answer() {
    let mut rig = Rig::new().await;
    let now = rig.operator.now_ms().await.unwrap();
    let asks = [(
        "it".to_owned(),
        r#"{"method":"roots/list","params":{}}"#.to_owned(),
    )];
    let submission = Submission {
        not_before_ms: Some(i64::try_from(now).unwrap() + 60_000),
        asks: &asks,
        ..rig.submission()
    };
    let id = rig.submit_as(submission).await;
    let question = rig.question(id, "it");
    rig.store.answer_input(question, "{}").await.unwrap();
    let waits = rig.view(id).await.unwrap().waits.unwrap();
    assert_eq!(waits.what, WaitsFor::Time);
    assert_eq!(rig.queue_length().await, 0);
    rig.leaves_jobs();
}
