//! `renew_lease` and `report_progress`: what an attempt says while it runs.

use std::time::Duration;

use taskferry_contract::{FinishReply, ProgressReport, RenewReply, Status};

use crate::rig::{LEASE, Rig};
use crate::samples::asking;

#[tokio::test]
async fn renews_lease_slot_and_idle_time() {
    let mut rig = Rig::new().await;
    rig.tool.concurrency = Some(1);
    let hold = rig.running().await;
    let id = hold.claimed.id;
    let updated = rig.view(id).await.unwrap().updated_ms;
    rig.lapse(&hold).await;
    let renewed = rig.store.renew_lease(&hold, LEASE).await.unwrap();
    assert_eq!(renewed, RenewReply::Renewed(Vec::new()));

    let lease_ms = rig.record(id).await["lease_ms"].clone();
    assert!(lease_ms.parse::<u64>().unwrap() > rig.store.now_ms().await.unwrap());
    let slots = format!("tf:{{0}}:running:{}:{}", rig.tool.queue, rig.tool.name);
    let slot: String = rig.raw("ZSCORE", (slots, id.to_string())).await;
    assert_eq!(slot, lease_ms);
    assert_eq!(rig.reclaim_by(&"w2".parse().unwrap()).await, []);
    // A renewal shows nobody anything new.
    assert_eq!(rig.view(id).await.unwrap().updated_ms, updated);
    rig.finish(&hold).await;
}

#[tokio::test]
async fn a_renewal_brings_every_answer_and_none_that_is_missing() {
    let rig = Rig::new().await;
    let hold = rig.running().await;
    let id = hold.claimed.id;
    for key in ["a", "b"] {
        rig.store.ask_input(&hold, &[asking(key)]).await.unwrap();
    }
    let renewed = rig.store.renew_lease(&hold, LEASE).await.unwrap();
    assert_eq!(renewed, RenewReply::Renewed(Vec::new()));
    rig.store
        .answer_input(rig.question(id, "b"), "[2]")
        .await
        .unwrap();
    let renewed = rig.store.renew_lease(&hold, LEASE).await.unwrap();
    assert_eq!(
        renewed,
        RenewReply::Renewed(vec![("b".to_owned(), "[2]".to_owned())])
    );
    rig.finish(&hold).await;
}

#[tokio::test]
async fn a_renewal_rebuilds_a_lost_group() {
    let mut rig = Rig::new().await;
    let hold = rig.running().await;
    let queue = rig.store.keys().queue(rig.shard, &rig.tool.queue);
    let lost: i64 = rig.raw("XGROUP", ("DESTROY", &queue, "workers")).await;
    assert_eq!(lost, 1);
    let renewed = rig.store.renew_lease(&hold, LEASE).await.unwrap();
    assert_eq!(renewed, RenewReply::Renewed(Vec::new()));
    assert_eq!(rig.pending().await, 1);
    // The new group starts at the first entry, so the job is delivered once more, and refused: its lease runs.
    let again = rig.next().await;
    let reply = rig.claim_by(&again, &"w2".parse().unwrap()).await;
    assert!(
        matches!(reply, taskferry_contract::ClaimReply::Busy { .. }),
        "{reply:?}"
    );
    assert_eq!(rig.finish(&hold).await, FinishReply::Stored);
}

#[tokio::test]
async fn progress_keeps_what_it_does_not_mention() {
    let rig = Rig::new().await;
    let hold = rig.running().await;
    let id = hold.claimed.id;
    let reports = [
        ProgressReport {
            progress: Some(40.0),
            total: Some(100.0),
            message: Some("räumt auf".to_owned()),
        },
        ProgressReport {
            progress: Some(40.25),
            total: None,
            message: None,
        },
        ProgressReport {
            progress: Some(f64::NAN),
            total: Some(f64::INFINITY),
            message: Some(String::new()),
        },
    ];
    for report in &reports {
        rig.store
            .report_progress(&hold, report)
            .await
            .unwrap()
            .unwrap();
    }
    let view = rig.view(id).await.unwrap();
    assert_eq!(view.progress.as_deref(), Some("40.25"));
    assert_eq!(view.total.as_deref(), Some("100"));
    assert_eq!(view.message.as_deref(), Some("räumt auf"));
    assert_eq!(view.status, Status::Working);
    rig.finish(&hold).await;
}

#[tokio::test]
async fn an_attempt_that_woke_up_before_anyone_took_its_job_goes_on() {
    let mut rig = Rig::new().await;
    let hold = rig.running().await;
    rig.lapse(&hold).await;
    let renewed = rig.store.renew_lease(&hold, Duration::from_secs(1)).await;
    assert_eq!(renewed.unwrap(), RenewReply::Renewed(Vec::new()));
    assert_eq!(rig.finish(&hold).await, FinishReply::Stored);
}
