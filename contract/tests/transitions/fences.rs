//! The fence: every write of an attempt that may not write is refused, changes nothing and acks nothing.

use std::time::Duration;

use taskferry_contract::{
    AskReply, FinishReply, HeldAttempt, ParkReply, ProgressReport, Refused, RenewReply, RetryReply,
    Store,
};

use crate::rig::{LEASE, Rig};
use crate::samples::{asking, completed, failed};

/// Everything a worker can ask of the store for a job it holds; none if it was granted.
async fn writes(store: &Store, hold: &HeldAttempt) -> Vec<(&'static str, Option<Refused>)> {
    let renewed = match store.renew_lease(hold, LEASE).await.unwrap() {
        RenewReply::Renewed(_) => None,
        RenewReply::Refused(why) => Some(why),
    };
    let report = ProgressReport {
        progress: Some(1.0),
        ..ProgressReport::default()
    };
    let reported = store.report_progress(hold, &report).await.unwrap().err();
    let asked = match store.ask_input(hold, &[asking("late")]).await.unwrap() {
        AskReply::Asked(_) | AskReply::Answered(_) => None,
        AskReply::Refused(why) => Some(why),
    };
    let parked = match store.park(hold).await.unwrap() {
        ParkReply::Parked | ParkReply::Answered => None,
        ParkReply::Refused(why) => Some(why),
    };
    let retried = match store
        .schedule_retry(hold, Duration::ZERO, "late", &failed("late"))
        .await
        .unwrap()
    {
        RetryReply::Scheduled { .. } | RetryReply::Dead => None,
        RetryReply::Refused(why) => Some(why),
    };
    let refusal = |reply| match reply {
        FinishReply::Stored => None,
        FinishReply::Refused(why) => Some(why),
    };
    let released = store
        .release_after_run(hold, Duration::ZERO, Some("late"))
        .await;
    let finished = store.finish(hold, &completed()).await;
    vec![
        ("renew_lease", renewed),
        ("report_progress", reported),
        ("ask_input", asked),
        ("park", parked),
        ("schedule_retry", retried),
        ("release", refusal(released.unwrap())),
        ("finish", refusal(finished.unwrap())),
    ]
}

/// Every write of `hold` is refused for this reason, and neither the record nor the queue notices.
async fn refuses_all(rig: &mut Rig, hold: &HeldAttempt, why: Refused) {
    let id = hold.claimed.id;
    let before = (
        rig.record(id).await,
        rig.queue_length().await,
        rig.pending().await,
    );
    for (write, refused) in writes(&rig.store, hold).await {
        let expected = match (write, why) {
            // What finish stored, or what a cancel decided before: the attempt's word is not needed any more.
            ("finish", Refused::Cancelled) => Refused::AlreadyTerminal,
            _ => why,
        };
        assert_eq!(refused, Some(expected), "{write}");
    }
    let after = (
        rig.record(id).await,
        rig.queue_length().await,
        rig.pending().await,
    );
    assert_eq!(after, before);
}

#[tokio::test]
async fn refuses_a_worker_whose_job_another_attempt_took() {
    let mut rig = Rig::new().await;
    let stale = rig.running().await;
    let current = rig.crash(&stale).await;
    refuses_all(&mut rig, &stale, Refused::LeaseLost).await;
    assert_eq!(rig.finish(&current).await, FinishReply::Stored);
    refuses_all(&mut rig, &stale, Refused::LeaseLost).await;
}

#[tokio::test]
async fn refuses_an_attempt_that_gave_its_job_back() {
    let mut rig = Rig::new().await;
    let hold = rig.running().await;
    rig.store
        .release_after_run(&hold, Duration::ZERO, None)
        .await
        .unwrap();
    refuses_all(&mut rig, &hold, Refused::LeaseLost).await;

    let (hold, _) = rig.start().await;
    rig.retry(&hold).await;
    refuses_all(&mut rig, &hold, Refused::LeaseLost).await;
    rig.store.forward(rig.stream(), 10).await.unwrap();

    let (hold, _) = rig.start().await;
    rig.store.ask_input(&hold, &[asking("k")]).await.unwrap();
    rig.store.park(&hold).await.unwrap();
    refuses_all(&mut rig, &hold, Refused::LeaseLost).await;
    rig.leaves_jobs();
}

#[tokio::test]
async fn refuses_an_attempt_whose_task_was_cancelled() {
    let mut rig = Rig::new().await;
    let hold = rig.running().await;
    rig.store
        .cancel(hold.claimed.id, &rig.owner, "no")
        .await
        .unwrap();
    refuses_all(&mut rig, &hold, Refused::Cancelled).await;
}

#[tokio::test]
async fn refuses_an_attempt_that_has_ended() {
    let mut rig = Rig::new().await;
    let hold = rig.running().await;
    rig.finish(&hold).await;
    refuses_all(&mut rig, &hold, Refused::AlreadyTerminal).await;
}

#[tokio::test]
async fn refuses_everything_once_the_record_expired_and_drops_the_entry() {
    for write in 0..7 {
        let mut rig = Rig::new().await;
        let hold = rig.running().await;
        rig.expire(hold.claimed.id).await;
        let refused = match write {
            0 => {
                rig.store.renew_lease(&hold, LEASE).await.unwrap()
                    == RenewReply::Refused(Refused::Gone)
            }
            1 => rig.finish(&hold).await == FinishReply::Refused(Refused::Gone),
            2 => {
                let released = rig
                    .store
                    .release_after_run(&hold, Duration::ZERO, None)
                    .await;
                released.unwrap() == FinishReply::Refused(Refused::Gone)
            }
            3 => rig.retry(&hold).await == RetryReply::Refused(Refused::Gone),
            4 => {
                let report = ProgressReport::default();
                let reported = rig.store.report_progress(&hold, &report).await;
                reported.unwrap() == Err(Refused::Gone)
            }
            5 => {
                let asked = rig.store.ask_input(&hold, &[asking("k")]).await;
                asked.unwrap() == AskReply::Refused(Refused::Gone)
            }
            _ => rig.store.park(&hold).await.unwrap() == ParkReply::Refused(Refused::Gone),
        };
        assert!(refused, "write {write}");
        assert_eq!(
            rig.record(hold.claimed.id).await.len(),
            0,
            "write {write} revived it"
        );
        // Those that only tell something leave the entry to the next renewal or claim.
        if write >= 4 {
            let renewed = rig.store.renew_lease(&hold, LEASE).await.unwrap();
            assert_eq!(renewed, RenewReply::Refused(Refused::Gone));
        }
    }
}
