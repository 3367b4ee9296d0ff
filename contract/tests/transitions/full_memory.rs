//! Redis out of memory: no new jobs, while those that run can end, which is how memory comes free.

use std::time::Duration;

use taskferry_contract::{
    AnswerReply, CancelReply, FinishReply, HeldAttempt, Outcome, ProgressReport, QueueStream,
    RenewReply, RetryReply, Session, SessionId, Shards, Submission, SubmitReply,
};
use taskferry_testing::{ServerOptions, eventually_some};

use crate::rig::{LEASE, Rig, SOON};
use crate::samples::{asking, key, tool, worker};

/// Makes Redis refuse writes now: less memory is allowed than is used.
async fn fill(rig: &mut Rig) {
    rig.raw::<()>("CONFIG", ("SET", "maxmemory", 1)).await;
}

#[tokio::test]
async fn running_jobs_go_on_while_new_ones_are_refused() {
    let mut rig = Rig::new().await;
    let mut holds = Vec::new();
    for _ in 0..6 {
        holds.push(rig.running().await);
    }
    let queued = rig.submit().await;
    let [finished, retried, released, asked, parked, cancelled]: [HeldAttempt; 6] =
        holds.try_into().unwrap();
    for hold in [&asked, &parked] {
        rig.store.ask_input(hold, &[asking("a")]).await.unwrap();
    }
    fill(&mut rig).await;

    let error = rig.store.submit(&rig.submission()).await.unwrap_err();
    assert!(error.is_out_of_memory() && error.is_transient(), "{error}");
    let error = rig
        .store
        .ask_input(&finished, &[asking("a")])
        .await
        .unwrap_err();
    assert!(error.is_out_of_memory(), "{error}");
    let report = ProgressReport::default();
    let error = rig.store.report_progress(&finished, &report).await;
    assert!(error.unwrap_err().is_out_of_memory());

    let renewed = rig.store.renew_lease(&finished, LEASE).await.unwrap();
    assert_eq!(renewed, RenewReply::Renewed(Vec::new()));
    assert_eq!(rig.finish(&finished).await, FinishReply::Stored);
    assert!(matches!(
        rig.retry(&retried).await,
        RetryReply::Scheduled { .. }
    ));
    rig.store.forward(rig.stream(), 10).await.unwrap();
    let released = rig
        .store
        .release_after_run(&released, Duration::ZERO, None)
        .await
        .unwrap();
    assert_eq!(released, FinishReply::Stored);
    rig.store.park(&parked).await.unwrap();
    for hold in [&asked, &parked] {
        let answered = rig
            .store
            .answer_input(rig.question(hold.claimed.id, "a"), "1");
        assert_eq!(answered.await.unwrap(), AnswerReply::Stored { open: 0 });
    }
    for id in [cancelled.claimed.id, asked.claimed.id, queued] {
        let reply = rig.store.cancel(id, &rig.owner, "no").await.unwrap();
        assert!(matches!(reply, CancelReply::Cancelled(_)));
    }
    for _ in 0..3 {
        let (hold, _) = rig.start().await;
        assert_eq!(rig.finish(&hold).await, FinishReply::Stored);
    }
}

#[tokio::test]
async fn a_refused_submit_leaves_nothing_and_works_again_when_memory_is_free() {
    let options = ServerOptions {
        max_memory_bytes: Some(64 << 20),
        ..ServerOptions::default()
    };
    let mut rig = Rig::on(options, Shards::default()).await;
    fill(&mut rig).await;
    let alias = key(&rig.owner, "k");
    let submission = Submission {
        alias: Some(&alias),
        ..rig.submission()
    };
    let (id, tool) = (submission.id, rig.tool.clone());
    rig.store.submit(&submission).await.unwrap_err();
    assert_eq!(rig.record(id).await.len(), 0);
    assert_eq!(rig.queue_length().await, 0);
    let keys: Vec<String> = rig.raw("KEYS", "tf:*").await;
    assert_eq!(keys, ["tf:{0}:queue:default"]);
    rig.raw::<()>("CONFIG", ("SET", "maxmemory", 0)).await;
    let owner = rig.owner.clone();
    let again = Submission {
        id,
        tool: &tool,
        owner: &owner,
        alias: Some(&alias),
        ..rig.submission()
    };
    let reply = rig.store.submit(&again).await.unwrap();
    assert!(matches!(reply, SubmitReply::Queued { .. }));
    rig.leaves_jobs();
}

#[tokio::test]
async fn a_large_result_is_stored_byte_for_byte() {
    let rig = Rig::new().await;
    let hold = rig.running().await;
    let result = format!(r#"{{"text":"{}"}}"#, "ä".repeat(1 << 20));
    let outcome = Outcome::Completed {
        result: result.clone(),
        is_error: false,
        message: None,
    };
    rig.store.finish(&hold, &outcome).await.unwrap();
    let stored = eventually_some(SOON, "the result is there", async || {
        rig.view(hold.claimed.id).await?.result
    });
    assert!(*stored.await == *result);
}

#[tokio::test]
async fn a_worker_can_start_where_it_is_needed_to_make_room() {
    let mut rig = Rig::new().await;
    let secret = rig.store.secrets().await.unwrap();
    let queued = rig.submit().await;
    fill(&mut rig).await;

    // The group is there; another is not, and neither is this tool.
    rig.ensure_group().await;
    let other = "other".parse().unwrap();
    let other = QueueStream {
        queue: &other,
        ..rig.stream()
    };
    rig.store.ensure_group(other).await.unwrap();
    let tools = [tool("new")];
    assert_eq!(rig.store.register_tools(&tools).await.unwrap(), 1);
    rig.store.beat(&worker("w1"), &[]).await.unwrap();
    assert_eq!(rig.store.secrets().await.unwrap(), secret);
    let (hold, _) = rig.start().await;
    assert_eq!(hold.claimed.id, queued);
    assert_eq!(rig.finish(&hold).await, FinishReply::Stored);
}

#[tokio::test]
async fn a_refused_transaction_tells_why_it_was_refused() {
    let mut rig = Rig::new().await;
    fill(&mut rig).await;
    let session = Session {
        revision: "2025-11-25".to_owned(),
        owner: rig.owner.clone(),
        capabilities: "{}".to_owned(),
        log_level: None,
        client: "test".to_owned(),
    };
    let opened = rig
        .store
        .open_session(SessionId::random(), &session, Duration::from_secs(60));
    let error = opened.await.unwrap_err();
    assert!(error.is_out_of_memory() && error.is_transient(), "{error}");
}
