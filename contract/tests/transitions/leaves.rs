//! `leave_call`: a plain call whose caller left is cancelled unless others hold it.

use std::time::Duration;

use taskferry_contract::{
    Alias, LeaveReply, Leaver, Owner, Scope, Status, Submission, SubmitReply, TaskId,
};

use crate::rig::Rig;
use crate::samples::key;

fn alias(rig: &Rig) -> Alias {
    let scope = Scope {
        owner: &rig.owner,
        session: None,
    };
    Alias::identical(scope, &"digest".into()).unwrap()
}

fn plain<'a>(rig: &'a Rig, alias: &'a Alias) -> Submission<'a> {
    Submission {
        plain: true,
        keep: Duration::from_secs(60),
        alias: Some(alias),
        ..rig.submission()
    }
}

/// Joins the job with another plain call; as whom it is held.
async fn join(rig: &Rig, alias: &Alias) -> TaskId {
    let submission = plain(rig, alias);
    for _ in 0..2 {
        // The reply to a first one may have been lost.
        let reply = rig.store.submit(&submission).await.unwrap();
        assert!(matches!(reply, SubmitReply::Joined(_)), "{reply:?}");
    }
    submission.id
}

async fn leave(rig: &Rig, id: TaskId, sharer: TaskId) -> LeaveReply {
    let left = rig.store.leave_call(id, &rig.owner, lost(sharer), "left");
    left.await.unwrap()
}

/// One whose connection closed.
fn lost(sharer: TaskId) -> Leaver {
    Leaver {
        sharer,
        on_purpose: false,
    }
}

#[tokio::test]
async fn a_call_that_nobody_joined_is_cancelled_wherever_it_stands() {
    let rig = Rig::new().await;
    let alias = alias(&rig);
    let queued = rig.submit_as(plain(&rig, &alias)).await;
    assert_eq!(leave(&rig, queued, queued).await, LeaveReply::Cancelled);
    let running = rig.running_as(plain(&rig, &alias)).await.claimed.id;
    assert_eq!(leave(&rig, running, running).await, LeaveReply::Cancelled);
    for id in [queued, running] {
        assert_eq!(leave(&rig, id, id).await, LeaveReply::AlreadyTerminal);
        let view = rig.view(id).await.unwrap();
        assert_eq!(view.status, Status::Cancelled);
        assert_eq!(view.message.as_deref(), Some("left"));
    }
}

#[tokio::test]
async fn the_last_sharer_ends_it_whichever_that_is() {
    for first_leaves_first in [true, false] {
        let rig = Rig::new().await;
        let alias = alias(&rig);
        let first = rig.submit_as(plain(&rig, &alias)).await;
        let second = join(&rig, &alias).await;
        let third = join(&rig, &alias).await;
        let order = if first_leaves_first {
            [first, second, third]
        } else {
            [third, second, first]
        };
        for sharer in &order[..2] {
            // Twice, as after a lost reply: nobody leaves for another.
            assert_eq!(leave(&rig, first, *sharer).await, LeaveReply::Shared);
            assert_eq!(leave(&rig, first, *sharer).await, LeaveReply::Shared);
            assert_eq!(rig.status(first).await, Some(Status::Queued));
        }
        assert_eq!(leave(&rig, first, order[2]).await, LeaveReply::Cancelled);
    }
}

#[tokio::test]
async fn a_cancel_on_purpose_ends_all_calls_of_one_key_and_no_others() {
    for (alias_of, expected) in [
        (
            (|rig| key(&rig.owner, "k")) as fn(&Rig) -> Alias,
            LeaveReply::Cancelled,
        ),
        (alias, LeaveReply::Shared),
    ] {
        let rig = Rig::new().await;
        let alias = alias_of(&rig);
        let first = rig.submit_as(plain(&rig, &alias)).await;
        let second = join(&rig, &alias).await;
        let third = join(&rig, &alias).await;
        assert_eq!(leave(&rig, first, third).await, LeaveReply::Shared);
        let on_purpose = Leaver {
            sharer: second,
            on_purpose: true,
        };
        let left = rig.store.leave_call(first, &rig.owner, on_purpose, "left");
        assert_eq!(left.await.unwrap(), expected);
        rig.leaves_jobs();
    }
}

#[tokio::test]
async fn one_that_became_a_task_goes_on() {
    let rig = Rig::new().await;
    let alias = alias(&rig);
    let first = rig.submit_as(plain(&rig, &alias)).await;
    let task = Submission {
        plain: false,
        ..plain(&rig, &alias)
    };
    let reply = rig.store.submit(&task).await.unwrap();
    assert!(matches!(reply, SubmitReply::Joined(_)), "{reply:?}");
    assert_eq!(leave(&rig, first, first).await, LeaveReply::Task);
    assert_eq!(rig.status(first).await, Some(Status::Queued));
    rig.leaves_jobs();
}

#[tokio::test]
async fn another_owners_call_is_not_found() {
    let rig = Rig::new().await;
    let alias = alias(&rig);
    let id = rig.submit_as(plain(&rig, &alias)).await;
    let bob = Owner::named("bob").unwrap();
    let left = rig
        .store
        .leave_call(id, &bob, lost(id), "left")
        .await
        .unwrap();
    assert_eq!(left, LeaveReply::NotFound);
    let none = TaskId::random(rig.shard);
    assert_eq!(leave(&rig, none, none).await, LeaveReply::NotFound);
    assert_eq!(rig.status(id).await, Some(Status::Queued));
    rig.leaves_jobs();
}
