//! `agree_version`: which processes can share a Redis.

use taskferry_contract::{CONTRACT_VERSION, Error};

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
    rig.check_drained().await;
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
    rig.check_drained().await;
}

#[tokio::test]
async fn another_major_is_refused_with_both_versions_and_what_to_do() {
    let mut rig = Rig::new().await;
    let other = format!("{}.0", CONTRACT_VERSION.major + 1);
    for stored in [other.as_str(), "0.9", "nonsense"] {
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
    rig.check_drained().await;
}
