//! `agree_version`: which processes can share a Redis.

use taskferry_contract::{CONTRACT_VERSION, Error, SessionId, Status};

use crate::rig::Rig;

#[tokio::test]
async fn the_first_process_says_which_version_it_is() {
    let mut rig = Rig::new().await;
    let own = CONTRACT_VERSION.to_string();
    assert_eq!(rig.store.stored_version().await.unwrap(), None);
    assert_eq!(rig.store.agree_version().await.unwrap(), own);
    assert_eq!(rig.store.agree_version().await.unwrap(), own);
    assert_eq!(rig.raw::<String>("GET", "tf:contract").await, own);

    // Redis lost everything: whoever looks whether it is ready says it again.
    rig.raw::<()>("FLUSHALL", "SYNC").await;
    rig.store.ready().await.unwrap();
    assert_eq!(rig.raw::<String>("GET", "tf:contract").await, own);
}

#[tokio::test]
async fn releases_of_one_major_work_together_and_the_newest_minor_is_kept() {
    let mut rig = Rig::new().await;
    let (major, minor) = (CONTRACT_VERSION.major, CONTRACT_VERSION.minor);
    let newer = format!("{major}.{}", minor + 3);
    rig.raw::<()>("SET", ("tf:contract", &newer)).await;
    assert_eq!(rig.store.agree_version().await.unwrap(), newer);
    rig.store.ready().await.unwrap();
    assert_eq!(rig.raw::<String>("GET", "tf:contract").await, newer);

    // A lower minor than any release's: the script compares numbers, not texts.
    let script = std::fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/lua/agree_version.lua"
    ));
    let raise = (script.unwrap(), 1, "tf:contract", major, minor + 10);
    let raised: Vec<String> = rig.raw("EVAL", raise).await;
    let highest = format!("{major}.{}", minor + 10);
    assert_eq!(raised, ["OK", &highest]);
    assert_eq!(rig.raw::<String>("GET", "tf:contract").await, highest);
}

#[tokio::test]
async fn what_processes_of_1_x_left_is_passed_over_and_their_ended_tasks_are_read() {
    let mut rig = Rig::new().await;
    let hold = rig.running().await;
    rig.finish(&hold).await;
    // The keys that are named otherwise now. Those of jobs are named as they were.
    rig.raw::<()>("HSET", ("tf:tools", "old", "{}")).await;
    rig.raw::<()>("SET", ("tf:secret", "0123")).await;
    let session = SessionId::random();
    let opened = (format!("tf:session:{session}"), "revision", "2025-11-25");
    rig.raw::<()>("HSET", opened).await;
    rig.raw::<()>("SET", ("tf:contract", "1.1")).await;
    assert!(rig.store.ready().await.is_err());

    rig.raw::<()>("DEL", "tf:contract").await;
    rig.store.ready().await.unwrap();
    assert!(rig.store.tools().await.unwrap().is_empty());
    assert_eq!(rig.store.session(session).await.unwrap(), None);
    assert_eq!(rig.store.survey().await.unwrap().misplaced, []);
    let ended = rig.status(hold.claimed.id).await;
    assert_eq!(ended, Some(Status::Completed));
    // So that clients can go on with what they carry (docs/OPERATIONS.md).
    let renamed = ("tf:secret", "tf:{fleet}:secret");
    rig.raw::<()>("RENAME", renamed).await;
    assert_eq!(rig.store.secrets().await.unwrap().current(), "0123");
    rig.leaves_anything();
}

#[tokio::test]
async fn another_major_is_refused_with_both_versions_and_what_to_do() {
    let mut rig = Rig::new().await;
    let other = format!("{}.0", CONTRACT_VERSION.major + 1);
    for stored in [other.as_str(), "1.1", "0.9", "nonsense"] {
        rig.raw::<()>("SET", ("tf:contract", stored)).await;
        for refused in [
            rig.store.agree_version().await.map(drop),
            rig.store.ready().await,
        ] {
            let Err(Error::Unsuitable(text)) = refused else {
                panic!("{refused:?}");
            };
            let own = CONTRACT_VERSION.to_string();
            for part in [stored, &own, "redis-cli DEL tf:contract"] {
                assert!(text.contains(part), "{part} is not in {text}");
            }
        }
        assert_eq!(rig.raw::<String>("GET", "tf:contract").await, stored);
    }
}
