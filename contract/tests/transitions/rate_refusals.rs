//! Tools that refuse calls beyond their rate.

use taskferry_contract::{
    Alias, CancelReply, Rate, RateExcess, Status, Submission, SubmitReply, TaskId, WaitsFor,
};

use crate::rates::{HOUR, pass, rated};
use crate::rig::Rig;
use crate::samples::{key, pairs};

const HOUR_MS: u64 = 3_600_000;

async fn refuses(count: u32) -> Rig {
    rated(count, RateExcess::Refuse).await
}

/// A call that is refused: so long it is to wait, ms.
async fn refused(rig: &Rig) -> u64 {
    match rig.store.submit(&rig.submission()).await.unwrap() {
        SubmitReply::RateUsedUp { wait_ms } => wait_ms,
        other => panic!("{other:?}"),
    }
}

async fn booked(rig: &mut Rig) -> Vec<String> {
    let key = format!("tf:{{0}}:booked:{}:{}", rig.tool.queue, rig.tool.name);
    rig.raw("ZRANGE", (key, 0, -1)).await
}

async fn run(rig: &Rig) -> TaskId {
    let (hold, _) = rig.start().await;
    rig.finish(&hold).await;
    hold.claimed.id
}

#[tokio::test]
async fn a_call_beyond_the_rate_is_refused_and_hears_when_to_come_again() {
    let mut rig = refuses(2).await;
    for _ in 0..2 {
        rig.submit().await;
        run(&rig).await;
    }
    assert_eq!(booked(&mut rig).await, Vec::<String>::new());
    let mut keys = rig.raw::<Vec<String>>("KEYS", "*").await;
    let wait = refused(&rig).await;
    assert!((HOUR_MS - 60_000..=HOUR_MS + 1).contains(&wait), "{wait}");
    let mut left = rig.raw::<Vec<String>>("KEYS", "*").await;
    keys.sort();
    left.sort();
    assert_eq!(left, keys, "nothing is stored");
    // The oldest leaves its window.
    pass(&mut rig, HOUR_MS - 5_000).await;
    let wait = refused(&rig).await;
    assert!((1..=5_001).contains(&wait), "{wait}");
    pass(&mut rig, 5_001).await;
    rig.submit().await;
    run(&rig).await;
}

#[tokio::test]
async fn what_is_queued_counts_until_it_begins_or_ends() {
    let mut rig = refuses(2).await;
    let (first, second) = (rig.submit().await, rig.submit().await);
    let mut ids = [first.to_string(), second.to_string()];
    let mut all = booked(&mut rig).await;
    ids.sort();
    all.sort();
    assert_eq!(all, ids);
    // Nothing has begun; if these begin now, there is room after an hour.
    assert_eq!(refused(&rig).await, HOUR_MS + 1);
    let reply = rig.store.cancel(second, &rig.owner, "no").await.unwrap();
    assert!(matches!(reply, CancelReply::Cancelled(_)), "{reply:?}");
    let third = rig.submit().await;
    refused(&rig).await;
    assert_eq!([run(&rig).await, run(&rig).await], [first, third]);
    assert_eq!(booked(&mut rig).await, Vec::<String>::new());
    refused(&rig).await;
    pass(&mut rig, HOUR_MS + 1).await;
    // One that expires before it begins makes room.
    let expired = rig.submit().await;
    let key = format!("tf:{{0}}:booked:{}:{}", rig.tool.queue, rig.tool.name);
    let left: u64 = rig.raw("PTTL", &key).await;
    assert!((540_000..=601_000).contains(&left), "as its record: {left}");
    rig.submit().await;
    refused(&rig).await;
    rig.raw::<()>("ZADD", (key, "XX", 1, expired.to_string()))
        .await;
    rig.submit().await;
    for _ in 0..2 {
        run(&rig).await;
    }
    // The last had room as one had expired that did not, and waits now.
    let claimed = rig.next().await;
    rig.claim(&claimed).await;
    let waits = rig.view(claimed.id).await.unwrap().waits.unwrap();
    assert_eq!(waits.what, WaitsFor::Rate);
    pass(&mut rig, HOUR_MS + 1).await;
    rig.store.forward(rig.stream(), 10).await.unwrap();
    assert_eq!(run(&rig).await, claimed.id);
    rig.store.forward(rig.stream(), 10).await.unwrap();
}

#[tokio::test]
async fn a_call_made_again_joins_its_job() {
    let rig = refuses(1).await;
    let alias: Alias = key(&rig.owner, "k");
    let call = || Submission {
        alias: Some(&alias),
        ..rig.submission()
    };
    let first = call();
    rig.submit_as(first.clone()).await;
    let again = rig.store.submit(&first).await.unwrap();
    assert!(matches!(again, SubmitReply::Queued { .. }), "{again:?}");
    let joined = rig.store.submit(&call()).await.unwrap();
    assert!(matches!(joined, SubmitReply::Joined(_)), "{joined:?}");
    refused(&rig).await;
    run(&rig).await;
}

#[tokio::test]
async fn a_job_for_later_is_taken_and_one_that_is_asked_first_books_nothing() {
    let mut rig = refuses(1).await;
    let asks = pairs(&[("k", "{}")]);
    let parked = rig
        .submit_as(Submission {
            asks: &asks,
            ..rig.submission()
        })
        .await;
    rig.submit().await;
    let another = Submission {
        asks: &asks,
        ..rig.submission()
    };
    let another = rig.store.submit(&another).await.unwrap();
    assert!(matches!(another, SubmitReply::RateUsedUp { .. }));
    run(&rig).await;
    refused(&rig).await;
    let answer = rig.store.answer_input(rig.question(parked, "k"), "1");
    answer.await.unwrap();
    let start = rig.store.now_ms().await.unwrap() + 300_000;
    let later = rig
        .submit_as(Submission {
            not_before_ms: Some(i64::try_from(start).unwrap()),
            ..rig.submission()
        })
        .await;
    assert_eq!(booked(&mut rig).await, Vec::<String>::new());
    // Both wait for their turn.
    let due = format!("tf:{{0}}:due:{}", rig.tool.queue);
    rig.raw::<()>("ZADD", (due, "XX", 1, later.to_string()))
        .await;
    rig.store.forward(rig.stream(), 10).await.unwrap();
    for id in [parked, later] {
        let claimed = rig.next().await;
        assert_eq!(claimed.id, id);
        rig.claim(&claimed).await;
        let view = rig.view(id).await.unwrap();
        assert_eq!(view.status, Status::Queued);
        assert_eq!(view.waits.unwrap().what, WaitsFor::Rate);
    }
    // A call does not go before them.
    pass(&mut rig, HOUR_MS + 1).await;
    refused(&rig).await;
    for id in [parked, later] {
        pass(&mut rig, HOUR_MS + 1).await;
        rig.store.forward(rig.stream(), 10).await.unwrap();
        assert_eq!(run(&rig).await, id);
    }
    rig.store.forward(rig.stream(), 10).await.unwrap();
}

#[tokio::test]
async fn a_job_that_was_taken_is_never_refused() {
    let mut rig = refuses(1).await;
    let hold = rig.running().await;
    rig.retry(&hold).await;
    rig.store.forward(rig.stream(), 10).await.unwrap();
    let view = rig.view(hold.claimed.id).await.unwrap();
    assert_eq!(view.waits.unwrap().what, WaitsFor::Rate);
    pass(&mut rig, HOUR_MS + 1).await;
    refused(&rig).await;
    rig.store.forward(rig.stream(), 10).await.unwrap();
    assert_eq!(run(&rig).await, hold.claimed.id);
    rig.store.forward(rig.stream(), 10).await.unwrap();
}

#[tokio::test]
async fn where_the_rate_cannot_be_read_no_call_is_taken() {
    let mut rig = refuses(1).await;
    for what in ["begun", "booked", "waiting"] {
        let key = format!("tf:{{0}}:{what}:{}:{}", rig.tool.queue, rig.tool.name);
        rig.raw::<()>("SET", (&key, "x")).await;
        let error = rig.store.submit(&rig.submission()).await.unwrap_err();
        assert!(error.is_wrong_type(), "{error}");
        assert!(error.to_string().contains(&key), "{error}");
        let found = rig.operator.survey().await.unwrap().misplaced;
        assert_eq!(found[0].key, key);
        rig.raw::<()>("DEL", &key).await;
    }
    // A job that is there already begins, and ends.
    rig.submit().await;
    let key = format!("tf:{{0}}:booked:{}:{}", rig.tool.queue, rig.tool.name);
    rig.raw::<()>("DEL", &key).await;
    rig.raw::<()>("SET", (&key, "x")).await;
    run(&rig).await;
    rig.raw::<()>("DEL", &key).await;
    let plain = Rate::new(1, HOUR);
    rig.tool.rate = Some(plain);
    let waits = rig.submit().await;
    let reply = rig.store.cancel(waits, &rig.owner, "no").await.unwrap();
    assert!(matches!(reply, CancelReply::Cancelled(_)), "{reply:?}");
}
