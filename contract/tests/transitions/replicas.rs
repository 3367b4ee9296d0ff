//! Promises that wait for replicas.

use std::time::{Duration, Instant};

use taskferry_contract::{
    AnswerReply, CancelReply, Durability, Error, RedisSettings, Replication, Status, Store,
    Submission, SubmitReply,
};
use taskferry_testing::{AppendOnly, ServerOptions, TestServer};

use crate::rig::Rig;
use crate::samples::{asking, key, patient};

/// A replica that is there is waited for.
const ONE: Replication = Replication {
    replicas: 1,
    timeout: Duration::from_secs(10),
};
/// One that is not there is not waited for long.
const SHORT: Replication = Replication {
    timeout: Duration::from_millis(400),
    ..ONE
};

async fn rig() -> Rig {
    let mut rig = Rig::new().await;
    rig.store = Store::new(&patient(&rig.server.url()))
        .unwrap()
        .with_replication(Some(ONE));
    rig
}

fn assert_short(error: &Error) {
    assert!(error.is_transient());
    assert!(
        matches!(
            error,
            Error::NotReplicated {
                wanted: 1,
                acknowledged: 0,
                ..
            }
        ),
        "{error:?}"
    );
}

#[tokio::test]
async fn what_a_client_is_told_of_is_on_a_replica_by_then() {
    let rig = rig().await;
    let replica = TestServer::replica_of(&rig.server).await;
    let there = Store::new(&patient(&replica.url())).unwrap();
    let status = async |id| there.view(id).await.unwrap().map(|view| view.status);
    for _ in 0..50 {
        let id = rig.submit().await;
        assert_eq!(status(id).await, Some(Status::Queued));
        let (hold, _) = rig.start().await;
        let asked = rig.store.ask_input(&hold, &[asking("a")]).await;
        asked.unwrap();
        let answered = rig.store.answer_input(rig.question(id, "a"), "1").await;
        assert_eq!(answered.unwrap(), AnswerReply::Stored { open: 0 });
        assert_eq!(there.questions(id).await.unwrap(), []);
        rig.store.cancel(id, &rig.owner, "no").await.unwrap();
        assert_eq!(status(id).await, Some(Status::Cancelled));
    }
}

#[tokio::test]
async fn too_few_replicas_are_told_of_in_time_and_a_repeated_call_waits_again() {
    let rig = rig().await;
    let hasty = rig.store.clone().with_replication(Some(SHORT));
    let alias = key(&rig.owner, "k");
    let submission = Submission {
        alias: Some(&alias),
        ..rig.submission()
    };
    let id = submission.id;
    let begun = Instant::now();
    assert_short(&hasty.submit(&submission).await.unwrap_err());
    let took = begun.elapsed();
    assert!(took >= SHORT.timeout && took < ONE.timeout, "{took:?}");
    assert_eq!(rig.status(id).await, Some(Status::Queued), "it may run");
    let replica = TestServer::replica_of(&rig.server).await;
    let again = Submission {
        alias: Some(&alias),
        ..rig.submission()
    };
    let reply = rig.store.submit(&again).await.unwrap();
    assert!(
        matches!(&reply, SubmitReply::Joined(view) if view.id == id),
        "{reply:?}"
    );
    drop(replica);
    assert_short(&hasty.cancel(id, &rig.owner, "no").await.unwrap_err());
    // A cancel of a task that no client has waits for no Redis replica.
    let reply = rig.store.cancel_any(id, "no").await.unwrap();
    assert!(
        matches!(reply, CancelReply::AlreadyTerminal(_)),
        "{reply:?}"
    );
    rig.leaves_jobs();
}

#[tokio::test]
async fn a_wait_for_replicas_holds_nobody_else_up_and_a_plain_call_has_none() {
    let rig = rig().await;
    let (store, submission) = (rig.store.clone(), rig.submission());
    let waiting = async { (store.submit(&submission).await, Instant::now()) };
    let others = async {
        for _ in 0..100 {
            rig.store.now_ms().await.unwrap();
        }
        let plain = Submission {
            plain: true,
            ..rig.submission()
        };
        rig.store.submit(&plain).await.unwrap();
        let full = Submission {
            queue_cap: 1,
            ..rig.submission()
        };
        let refused = rig.store.submit(&full).await.unwrap();
        assert!(matches!(refused, SubmitReply::QueueFull { .. }));
        Instant::now()
    };
    let ((waited, gave_up), served) = tokio::join!(waiting, others);
    assert_short(&waited.unwrap_err());
    assert!(served < gave_up, "the others waited, too");
    rig.leaves_jobs();
}

#[tokio::test]
async fn a_level_is_held_against_what_the_server_keeps() {
    let of = |append_only| ServerOptions {
        append_only,
        ..ServerOptions::default()
    };
    let levels = ["memory", "everysec", "always", "replicated:1"];
    for (append_only, fits) in [
        (AppendOnly::No, [true, false, false, false]),
        (AppendOnly::EverySecond, [true, true, false, true]),
        (AppendOnly::Always, [true, true, true, true]),
    ] {
        let server = TestServer::start_with(of(append_only)).await;
        let store = Store::new(&RedisSettings::new(&server.url())).unwrap();
        for (level, fits) in levels.iter().zip(fits) {
            let level: Durability = level.parse().unwrap();
            match store.check_durability(level).await {
                Ok(notes) => {
                    assert!(fits, "{level} on {append_only:?}");
                    assert_eq!(notes.len(), usize::from(level.replicas()), "{notes:?}");
                }
                Err(Error::Unsuitable(text)) => {
                    assert!(!fits, "{level} on {append_only:?}: {text}");
                    assert!(text.contains("redis-cli CONFIG SET append"), "{text}");
                }
                Err(error) => panic!("{error:?}"),
            }
        }
    }
}

#[tokio::test]
async fn a_level_that_this_user_cannot_check_is_noted() {
    let options = ServerOptions {
        append_only: AppendOnly::Always,
        ..ServerOptions::default()
    };
    let server = TestServer::start_with(options).await;
    let mut command = redis::cmd("ACL");
    command.arg("SETUSER").arg("taskferry");
    command.arg(&[
        "on",
        ">pw",
        "~tf:*",
        "&tf:*",
        "+@all",
        "-@admin",
        "-@dangerous",
        "+info",
    ]);
    command
        .query_async::<()>(&mut server.raw().await)
        .await
        .unwrap();
    let url = format!("redis://taskferry:pw@127.0.0.1:{}/0", server.port());
    let store = Store::new(&RedisSettings::new(&url)).unwrap();
    let notes = store.check_durability(Durability::Always).await.unwrap();
    assert!(
        notes.len() == 1 && notes[0].contains("CONFIG GET"),
        "{notes:?}"
    );
}
