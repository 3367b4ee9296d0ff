//! What is counted of callers.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::time::Duration;

use taskferry_contract::{
    Holder, Outcome, Owner, RateCost, RateReply, SessionId, SessionLimits, SessionRoom, Store,
    Submission, SubmitReply,
};

use crate::rig::Rig;
use crate::samples::patient;

const IDLE: Duration = Duration::from_secs(60);
const LIMITS: SessionLimits = SessionLimits {
    of_holder: 2,
    in_all: 3,
};

#[tokio::test]
async fn sessions_are_counted_of_each_holder_and_in_all() {
    let mut rig = Rig::new().await;
    let (nobody, owner) = (Owner::anonymous(), rig.owner.clone());
    let address = "192.0.2.7";
    let [alice, elsewhere] = [
        Holder::of(&owner, Some(address)),
        Holder::of(&nobody, Some(address)),
    ];
    assert_eq!(Holder::of(&nobody, None), None);
    let ids = [(); 4].map(|()| SessionId::random());
    let room = async |id: usize, holder, idle| {
        let counted = rig.store.count_session(ids[id], holder, LIMITS, idle).await;
        counted.unwrap()
    };
    assert_eq!(room(0, alice, IDLE).await, SessionRoom::Free);
    assert_eq!(room(1, alice, IDLE * 2).await, SessionRoom::Free);
    assert_eq!(room(2, alice, IDLE).await, SessionRoom::HolderIsFull);
    // One that is counted stays so.
    assert_eq!(room(1, alice, IDLE).await, SessionRoom::Free);
    assert_eq!(room(2, elsewhere, IDLE).await, SessionRoom::Free);
    assert_eq!(room(3, elsewhere, IDLE).await, SessionRoom::AllAreTaken);
    assert_eq!(room(3, None, IDLE).await, SessionRoom::AllAreTaken);
    // What did not fit in all is not counted of its holder either.
    let own = rig.store.keys().sessions_of(elsewhere.unwrap());
    assert_eq!(rig.raw::<u64>("ZCARD", &own).await, 1);
    // The count lives as long as the last of what it counts.
    let own = rig.store.keys().sessions_of(alice.unwrap());
    let left: u64 = rig.raw("PTTL", &own).await;
    assert!((50_000..=60_000).contains(&left), "{left}");
}

#[tokio::test]
async fn a_session_that_ended_makes_room() {
    let rig = Rig::new().await;
    let alice = Holder::of(&rig.owner, None);
    let one = SessionLimits {
        of_holder: 1,
        in_all: 1,
    };
    let count = async |id, idle| rig.store.count_session(id, alice, one, idle).await;
    let [first, second, third] = [(); 3].map(|()| SessionId::random());
    let short = Duration::from_millis(100);
    assert_eq!(count(first, short).await.unwrap(), SessionRoom::Free);
    assert_eq!(
        count(second, IDLE).await.unwrap(),
        SessionRoom::HolderIsFull
    );
    tokio::time::sleep(short * 2).await;
    assert_eq!(count(second, IDLE).await.unwrap(), SessionRoom::Free);
    rig.store.uncount_session(second, alice).await.unwrap();
    assert_eq!(count(third, IDLE).await.unwrap(), SessionRoom::Free);
}

fn request(each_second: u32, cost: u32, owed: bool) -> RateCost {
    let some = |number| NonZeroU32::new(number).unwrap();
    RateCost {
        each_second: some(each_second),
        cost: some(cost),
        owed,
    }
}

#[tokio::test]
async fn requests_are_counted_over_all_that_count_them() {
    let rig = Rig::new().await;
    let other = Store::new(&patient(&rig.server.url())).unwrap();
    let (one, alice) = (request(5, 1, false), rig.owner.clone());
    for turn in 0..5 {
        let store = if turn % 2 == 0 { &rig.store } else { &other };
        assert_eq!(store.take_rate(&alice, one).await.unwrap(), RateReply::Now);
    }
    let refused = other.take_rate(&alice, one).await.unwrap();
    let RateReply::After(wait) = refused else {
        panic!("it is let on");
    };
    assert!(wait <= Duration::from_millis(200), "{wait:?}");
    let bob = Owner::named("user:bob").unwrap();
    assert_eq!(
        rig.store.take_rate(&bob, one).await.unwrap(),
        RateReply::Now
    );
    tokio::time::sleep(wait + Duration::from_millis(10)).await;
    assert_eq!(
        rig.store.take_rate(&alice, one).await.unwrap(),
        RateReply::Now
    );
}

#[tokio::test]
async fn what_happened_is_counted_even_if_there_is_no_room_for_it() {
    let mut rig = Rig::new().await;
    let alice = rig.owner.clone();
    let (one, failure) = (request(5, 1, false), request(5, 9, true));
    assert_eq!(
        rig.store.take_rate(&alice, failure).await.unwrap(),
        RateReply::Now
    );
    assert_eq!(
        rig.store.take_rate(&alice, failure).await.unwrap(),
        RateReply::Now
    );
    let refused = rig.store.take_rate(&alice, one).await.unwrap();
    let RateReply::After(wait) = refused else {
        panic!("it is let on");
    };
    // What it owes is two failures, of which one second is its burst.
    assert!(wait > Duration::from_secs(2), "{wait:?}");
    for _ in 0..10 {
        rig.store.take_rate(&alice, failure).await.unwrap();
    }
    // However often it failed, it waits for ten seconds at most.
    let left: u64 = rig.raw("PTTL", &rig.store.keys().rate_of(&alice)).await;
    assert!((9_000..=10_100).contains(&left), "{left}");
}

/// What is counted of the rig's owner: of each record, and of all.
async fn counted(rig: &mut Rig) -> (Vec<u64>, u64) {
    let key = format!("{}bytes:{}", rig.store.keys().base(rig.shard), rig.owner);
    let mut each: HashMap<String, u64> = rig.raw("HGETALL", &key).await;
    let all = each.remove("all").unwrap_or_default();
    (each.into_values().collect(), all)
}

fn large<'a>(rig: &'a Rig, most: u64) -> Submission<'a> {
    let arguments = format!(r#"{{"text":"{}"}}"#, "x".repeat(10_000));
    Submission {
        arguments: arguments.as_str().into(),
        owner_bytes: most,
        ..rig.submission()
    }
}

#[tokio::test]
async fn what_an_owner_stores_is_bounded_with_the_results() {
    let mut rig = Rig::new().await;
    rig.submit_as(large(&rig, 30_000)).await;
    let (each, all) = counted(&mut rig).await;
    assert_eq!(each, [all]);
    assert!((10_000..12_000).contains(&all), "{all}");
    let (hold, _) = rig.start().await;
    let result = format!(r#"{{"text":"{}"}}"#, "y".repeat(15_000));
    let outcome = Outcome::Completed {
        result,
        is_error: false,
        message: None,
    };
    rig.store.finish(&hold, &outcome).await.unwrap();
    let (_, with_result) = counted(&mut rig).await;
    assert!(
        (15_000..16_000).contains(&(with_result - all)),
        "{with_result}"
    );
    let refused = rig.store.submit(&large(&rig, 30_000)).await.unwrap();
    let stored = with_result;
    assert_eq!(refused, SubmitReply::OwnerBytes { stored });
    // Another owner's, and one without a bound, have room.
    let bob = Owner::named("user:bob").unwrap();
    let of_bob = Submission {
        owner: &bob,
        ..large(&rig, 30_000)
    };
    rig.submit_as(of_bob).await;
    rig.submit_as(large(&rig, 0)).await;
    rig.server.leaves_jobs();
}

#[tokio::test]
async fn what_expired_is_not_counted_any_more() {
    let mut rig = Rig::new().await;
    let short = Submission {
        ttl: Duration::from_millis(200),
        ..large(&rig, 20_000)
    };
    rig.submit_as(short).await;
    let refused = rig.store.submit(&large(&rig, 20_000)).await.unwrap();
    assert!(
        matches!(refused, SubmitReply::OwnerBytes { .. }),
        "{refused:?}"
    );
    tokio::time::sleep(Duration::from_millis(300)).await;
    rig.submit_as(large(&rig, 20_000)).await;
    let (each, all) = counted(&mut rig).await;
    assert_eq!(each, [all]);
    rig.server.leaves_jobs();
}

#[tokio::test]
async fn the_record_of_a_plain_call_counts_for_as_long_as_it_is_there() {
    let mut rig = Rig::new().await;
    let plain = Submission {
        plain: true,
        keep: Duration::from_millis(200),
        ..large(&rig, 20_000)
    };
    rig.submit_as(plain).await;
    let (hold, _) = rig.start().await;
    rig.finish(&hold).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    rig.submit_as(large(&rig, 20_000)).await;
    rig.server.leaves_jobs();
}
