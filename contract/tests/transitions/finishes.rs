//! finish: an outcome is stored once, with the entry acked and deleted in the same step.

use std::time::Duration;

use taskferry_contract::{FinishReply, Outcome, Refused, Status, Submission};

use crate::rig::Rig;
use crate::samples::{completed, failed};

#[tokio::test]
async fn stores_every_kind_of_outcome() {
    let mut rig = Rig::new().await;
    let outcomes = [
        Outcome::Completed {
            result: r#"{ "b":1,"a":"ä"}"#.to_owned(),
            is_error: true,
            message: Some("done".to_owned()),
        },
        failed("it broke"),
        Outcome::Cancelled {
            message: "gave up".to_owned(),
        },
    ];
    for outcome in &outcomes {
        let hold = rig.running().await;
        let reply = rig.store.finish(&hold, outcome).await.unwrap();
        assert_eq!(reply, FinishReply::Stored);
        let view = rig.view(hold.claimed.id).await.unwrap();
        match outcome {
            Outcome::Completed { result, .. } => {
                assert_eq!((view.status, view.is_error), (Status::Completed, true));
                assert_eq!(view.result.as_deref(), Some(result.as_str()));
                assert_eq!(view.message.as_deref(), Some("done"));
            }
            Outcome::Failed { error, message } => {
                assert_eq!((view.status, view.is_error), (Status::Failed, false));
                assert_eq!(
                    (view.error.as_deref(), view.result),
                    (Some(error.as_str()), None)
                );
                assert_eq!(view.message.as_ref(), Some(message));
            }
            Outcome::Cancelled { message } => {
                assert_eq!(view.status, Status::Cancelled);
                assert_eq!((view.result, view.error), (None, None));
                assert_eq!(view.message.as_ref(), Some(message));
            }
        }
        let fields = rig.record(hold.claimed.id).await;
        assert!(!fields.contains_key(""), "{fields:?}");
    }
    assert_eq!(rig.dead_letters().await.len(), 0);
}

#[tokio::test]
async fn the_first_outcome_stands() {
    let mut rig = Rig::new().await;
    let hold = rig.running().await;
    let id = hold.claimed.id;
    assert_eq!(rig.finish(&hold).await, FinishReply::Stored);
    let before = rig.record(id).await;
    for outcome in [completed(), failed("no")] {
        let reply = rig.store.finish(&hold, &outcome).await.unwrap();
        assert_eq!(reply, FinishReply::Refused(Refused::AlreadyTerminal));
    }
    rig.store.cancel(id, &rig.owner, "no").await.unwrap();
    assert_eq!(rig.record(id).await, before);
}

#[tokio::test]
async fn a_poll_without_the_outcome_does_not_carry_it() {
    let rig = Rig::new().await;
    let hold = rig.running().await;
    rig.finish(&hold).await;
    let view = rig.store.view(hold.claimed.id).await.unwrap().unwrap();
    assert_eq!((view.status, view.result), (Status::Completed, None));
}

#[tokio::test]
async fn the_ttl_grows_so_that_a_late_result_stays_readable_and_listed() {
    let mut rig = Rig::new().await;
    let id = rig
        .submit_as(Submission {
            ttl: Duration::from_secs(10),
            keep: Duration::from_secs(300),
            ..rig.submission()
        })
        .await;
    let (hold, _) = rig.start().await;
    rig.finish(&hold).await;
    let view = rig.view(id).await.unwrap();
    assert!((300_000..310_000).contains(&view.ttl_ms), "{}", view.ttl_ms);
    let expires = view.created_ms + view.ttl_ms;
    let owned = format!("tf:{{0}}:owned:{}", rig.owner);
    let record = rig.store.keys().record(id);
    assert_eq!(rig.raw::<i64>("PEXPIRETIME", record).await, expires);
    assert_eq!(
        rig.raw::<i64>("ZSCORE", (&owned, id.to_string())).await,
        expires
    );
    let list_expires = rig.raw::<i64>("PEXPIRETIME", &owned).await;
    assert!(
        list_expires >= expires,
        "the list goes {} ms too early",
        expires - list_expires
    );
}

#[tokio::test]
async fn the_ttl_stays_when_the_result_is_readable_long_enough() {
    let mut rig = Rig::new().await;
    for keep in [Duration::ZERO, Duration::from_secs(300)] {
        let id = rig
            .submit_as(Submission {
                keep,
                ..rig.submission()
            })
            .await;
        let expires: i64 = rig.raw("PEXPIRETIME", rig.store.keys().record(id)).await;
        let (hold, _) = rig.start().await;
        rig.finish(&hold).await;
        assert_eq!(rig.view(id).await.unwrap().ttl_ms, 600_000);
        let after: i64 = rig.raw("PEXPIRETIME", rig.store.keys().record(id)).await;
        assert_eq!(after, expires);
    }
}
