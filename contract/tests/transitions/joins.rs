//! submit, when its alias stands for a job: by an idempotency key, or as an identical call.

use std::time::Duration;

use taskferry_contract::{
    Alias, Outcome, Owner, Scope, SessionId, Status, Submission, SubmitReply, TaskId, TaskView,
};

use crate::rig::Rig;
use crate::samples::{asking, key};

const MINUTE: Duration = Duration::from_secs(60);

fn scope(owner: &Owner) -> Scope<'_> {
    Scope {
        owner,
        session: None,
    }
}

fn identical(rig: &Rig) -> Alias {
    Alias::identical(scope(&rig.owner), &"digest".into()).unwrap()
}

fn plain<'a>(rig: &'a Rig, alias: &'a Alias) -> Submission<'a> {
    Submission {
        plain: true,
        keep: MINUTE,
        ..task(rig, alias)
    }
}

fn task<'a>(rig: &'a Rig, alias: &'a Alias) -> Submission<'a> {
    Submission {
        alias: Some(alias),
        ..rig.submission()
    }
}

fn kept<'a>(rig: &'a Rig, alias: &'a Alias, keep: Duration) -> Submission<'a> {
    Submission {
        keep,
        ..task(rig, alias)
    }
}

async fn joins(rig: &Rig, submission: Submission<'_>) -> TaskView {
    match rig.store.submit(&submission).await.unwrap() {
        SubmitReply::Joined(view) => *view,
        other => panic!("{other:?}"),
    }
}

/// When the key in Redis that stands for an alias expires, and when the record does.
async fn expiries(rig: &mut Rig, id: TaskId, name: &str) -> (i64, i64) {
    let key = format!("{}{name}", rig.store.keys().base(rig.shard));
    let record = rig.store.keys().record(id);
    (
        rig.raw("PEXPIRETIME", key).await,
        rig.raw("PEXPIRETIME", record).await,
    )
}

#[tokio::test]
async fn a_key_stands_for_its_task_as_long_as_the_record_lives() {
    let mut rig = Rig::new().await;
    let alias = key(&rig.owner, "k:1 {}");
    let long = Duration::from_secs(3_600);
    let name = "idem:key:alice,k:1 {}";
    let first = rig.submit_as(kept(&rig, &alias, long)).await;
    let (of_key, of_record) = expiries(&mut rig, first, name).await;
    assert_eq!(of_key, of_record);
    let joined = joins(&rig, kept(&rig, &alias, long)).await;
    assert_eq!(Some(&joined), rig.view(first).await.as_ref());

    let (hold, _) = rig.start().await;
    rig.finish(&hold).await;
    let joined = joins(&rig, kept(&rig, &alias, long)).await;
    assert_eq!((joined.id, joined.status), (first, Status::Completed));
    let (at_the_end, of_record) = expiries(&mut rig, first, name).await;
    assert_eq!(at_the_end, of_record, "also when the end moved it");
    assert!(at_the_end > of_key);

    rig.expire(first).await;
    let second = rig.submit_as(kept(&rig, &alias, long)).await;
    assert_ne!(second, first);
    assert_eq!(rig.queue_length().await, 1);
    rig.leaves_jobs();
}

#[tokio::test]
async fn a_key_is_for_one_call() {
    let mut rig = Rig::new().await;
    let first = key(&rig.owner, "k");
    rig.submit_as(task(&rig, &first)).await;
    let other = Alias::key(scope(&rig.owner), "k", "another-call".into());
    let before: Vec<String> = rig.raw("KEYS", "*").await;
    for submission in [task(&rig, &other), plain(&rig, &other)] {
        let reply = rig.store.submit(&submission).await.unwrap();
        assert_eq!(reply, SubmitReply::OtherCall);
    }
    let mut after: Vec<String> = rig.raw("KEYS", "*").await;
    after.retain(|key| !before.contains(key));
    assert_eq!(after, Vec::<String>::new(), "nothing is stored");
    assert_eq!(rig.queue_length().await, 1);
    rig.leaves_jobs();
}

#[tokio::test]
async fn each_caller_has_keys_of_its_own() {
    let mut rig = Rig::new().await;
    let (short, long) = (Owner::named("a").unwrap(), Owner::named("a:b").unwrap());
    let nobody = Owner::anonymous();
    let session = |owner| Scope {
        owner,
        session: Some(SessionId::random()),
    };
    let callers = [
        (&short, Alias::key(scope(&short), "b:c", "d".into())),
        (&long, Alias::key(scope(&long), "c", "d".into())),
        (&nobody, Alias::key(scope(&nobody), "b:c", "d".into())),
        (&nobody, Alias::key(session(&nobody), "b:c", "d".into())),
        (&nobody, Alias::key(session(&nobody), "b:c", "d".into())),
    ];
    for (owner, alias) in &callers {
        let submission = Submission {
            owner,
            ..task(&rig, alias)
        };
        rig.submit_as(submission).await;
    }
    assert_eq!(rig.queue_length().await, callers.len());
    rig.leaves_jobs();
}

#[tokio::test]
async fn identical_calls_share_a_job_that_has_not_ended() {
    let mut rig = Rig::new().await;
    let alias = identical(&rig);
    let first = rig.submit_as(task(&rig, &alias)).await;
    assert_eq!(joins(&rig, task(&rig, &alias)).await.id, first);
    let (of_key, of_record) = expiries(&mut rig, first, "same:key:alice,digest").await;
    assert_eq!(of_key, of_record);
    let (hold, _) = rig.start().await;
    let running = joins(&rig, plain(&rig, &alias)).await;
    assert_eq!((running.id, running.status), (first, Status::Working));
    rig.store.ask_input(&hold, &[asking("k")]).await.unwrap();
    let asking = joins(&rig, task(&rig, &alias)).await;
    assert_eq!((asking.id, asking.status), (first, Status::InputRequired));
    rig.finish(&hold).await;

    let gone: Vec<String> = rig.raw("KEYS", "*same:*").await;
    assert_eq!(gone, Vec::<String>::new());
    let second = rig.submit_as(task(&rig, &alias)).await;
    assert_ne!(second, first);
    rig.store.cancel(second, &rig.owner, "no").await.unwrap();
    rig.submit_as(task(&rig, &alias)).await;
    assert_eq!(rig.queue_length().await, 1);
    rig.leaves_jobs();
}

#[tokio::test]
async fn a_job_that_expired_is_not_shared() {
    let mut rig = Rig::new().await;
    let alias = identical(&rig);
    let first = rig.submit_as(task(&rig, &alias)).await;
    rig.expire(first).await;
    rig.submit_as(task(&rig, &alias)).await;
    rig.leaves_jobs();
}

#[tokio::test]
async fn a_joined_call_counts_for_no_cap() {
    let rig = Rig::new().await;
    let alias = identical(&rig);
    let capped = || Submission {
        queue_cap: 1,
        owner_cap: 1,
        ..task(&rig, &alias)
    };
    let first = rig.submit_as(capped()).await;
    assert_eq!(joins(&rig, capped()).await.id, first);
    rig.leaves_jobs();
}

#[tokio::test]
async fn a_task_call_makes_the_plain_job_it_joins_a_task() {
    let mut rig = Rig::new().await;
    let alias = identical(&rig);
    let first = Submission {
        progress_token: Some("7"),
        ..plain(&rig, &alias)
    };
    let first = rig.submit_as(first).await;
    let view = joins(&rig, task(&rig, &alias)).await;
    assert!(!rig.record(first).await.contains_key("progress_token"));
    assert_eq!((view.id, view.plain), (first, false));
    assert_eq!(joins(&rig, task(&rig, &alias)).await, view, "again");
    let page = rig.store.list_owned(&rig.owner, None, 10).await.unwrap();
    assert_eq!(page.tasks, std::slice::from_ref(&view));
    let (hold, _) = rig.start().await;
    rig.finish(&hold).await;
    let ended = rig.view(first).await.unwrap();
    assert_eq!(ended.ttl_ms, view.ttl_ms, "the end cuts nothing off");
}

#[tokio::test]
async fn a_task_call_whose_key_names_an_ended_plain_job_gets_that_as_a_task() {
    let mut rig = Rig::new().await;
    let alias = key(&rig.owner, "k");
    let first = rig.submit_as(plain(&rig, &alias)).await;
    let (hold, _) = rig.start().await;
    rig.finish(&hold).await;
    let before = rig.view(first).await.unwrap();
    assert!(before.plain && before.ttl_ms <= 120_000, "{before:?}");
    let view = joins(
        &rig,
        Submission {
            keep: Duration::from_secs(1_800),
            ..task(&rig, &alias)
        },
    )
    .await;
    assert_eq!((view.id, view.status), (first, Status::Completed));
    assert!(!view.plain && view.ttl_ms >= 1_800_000, "{view:?}");
    let (of_key, of_record) = expiries(&mut rig, first, "idem:key:alice,k").await;
    assert_eq!(of_key, of_record);
    let after = rig.view(first).await.unwrap();
    assert_eq!(
        (after.result, after.updated_ms),
        (before.result, before.updated_ms)
    );
    let page = rig.store.list_owned(&rig.owner, None, 10).await.unwrap();
    assert_eq!(page.tasks.len(), 1);
}

#[tokio::test]
async fn the_key_of_a_cancelled_plain_call_is_free_and_that_of_a_cancelled_task_is_not() {
    let mut rig = Rig::new().await;
    let (of_call, of_task) = (key(&rig.owner, "call"), key(&rig.owner, "task"));
    let call = rig.submit_as(plain(&rig, &of_call)).await;
    let cancelled = rig.submit_as(task(&rig, &of_task)).await;
    for id in [call, cancelled] {
        rig.store.cancel(id, &rig.owner, "no").await.unwrap();
    }
    let again = rig.submit_as(plain(&rig, &of_call)).await;
    assert_ne!(again, call);
    let view = joins(&rig, task(&rig, &of_task)).await;
    assert_eq!((view.id, view.status), (cancelled, Status::Cancelled));
    assert_eq!(rig.queue_length().await, 1);
    rig.leaves_jobs();
}

#[tokio::test]
async fn a_plain_call_that_failed_keeps_its_key() {
    let mut rig = Rig::new().await;
    let alias = key(&rig.owner, "k");
    let first = rig.submit_as(plain(&rig, &alias)).await;
    let (hold, _) = rig.start().await;
    let failed = Outcome::Failed {
        error: "{}".to_owned(),
        message: "no".to_owned(),
    };
    rig.store.finish(&hold, &failed).await.unwrap();
    let view = joins(&rig, plain(&rig, &alias)).await;
    assert_eq!((view.id, view.status), (first, Status::Failed));
    assert_eq!(rig.queue_length().await, 0);
}

#[tokio::test]
async fn a_token_for_progress_stays_in_its_session() {
    let rig = Rig::new().await;
    let alias = identical(&rig);
    let of = |session| Submission {
        session: Some(session),
        progress_token: Some("7"),
        ..task(&rig, &alias)
    };
    let first = rig.submit_as(of("one")).await;
    joins(&rig, of("one")).await;
    joins(
        &rig,
        Submission {
            plain: true,
            ..of("two")
        },
    )
    .await;
    let requestor = |record: std::collections::HashMap<String, String>| {
        (
            record["session"].clone(),
            record.contains_key("progress_token"),
        )
    };
    let (other, expected) = (of("two"), ("one".to_owned(), true));
    assert_eq!(requestor(rig_record(&rig, first).await), expected);
    joins(&rig, other).await;
    let asked = requestor(rig_record(&rig, first).await);
    assert_eq!(asked, ("one".to_owned(), false));
    rig.leaves_jobs();
}

async fn rig_record(rig: &Rig, id: TaskId) -> std::collections::HashMap<String, String> {
    let mut redis = rig.redis.clone();
    let mut read = redis::cmd("HGETALL");
    read.arg(rig.store.keys().record(id));
    read.query_async(&mut redis).await.unwrap()
}
