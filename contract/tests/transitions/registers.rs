//! The registry: tools and workers.

use taskferry_contract::{DefinitionDigest, TaskSupport};

use crate::rig::Rig;
use crate::samples::{tool, worker};

#[tokio::test]
async fn tools_come_back_by_rank_and_name_as_they_were_registered() {
    let mut rig = Rig::new().await;
    let (mut first, mut second) = (tool("zeta"), tool("alpha"));
    first.rank = -1;
    second.task_support = TaskSupport::Required;
    second.concurrency = Some(2);
    let third = tool("beta");
    let all = [third, second, first];
    assert_eq!(rig.store.register_tools(&all).await.unwrap(), 3);
    assert_eq!(rig.store.register_tools(&[]).await.unwrap(), 0);
    let listed = rig.store.tools().await.unwrap();
    let names: Vec<&str> = listed.iter().map(|tool| tool.name.as_str()).collect();
    assert_eq!(names, ["zeta", "alpha", "beta"]);
    assert_eq!(listed[1].task_support, TaskSupport::Required);
    assert_eq!(listed[1].concurrency, Some(2));

    // Only what differs is stored again; what cannot be read hides no other.
    let mut changed = all;
    changed[0].rank = 5;
    assert_eq!(rig.store.register_tools(&changed).await.unwrap(), 1);
    rig.raw::<()>("HSET", ("tf:{fleet}:tools", "broken", "{"))
        .await;
    assert_eq!(rig.store.tools().await.unwrap().len(), 3);
    assert!(rig.store.remove_tool("alpha").await.unwrap());
    assert!(!rig.store.remove_tool("alpha").await.unwrap());
    assert_eq!(rig.store.tools().await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_worker_is_listed_while_it_beats() {
    let mut rig = Rig::new().await;
    rig.store.beat(&worker("w1"), &[]).await.unwrap();
    rig.store.beat(&worker("w2"), &[]).await.unwrap();
    rig.raw::<()>("ZADD", ("tf:{fleet}:workers", 1, "w0")).await;
    // The definitions that it has are noted elsewhere, and are nothing that it tells of itself.
    let held = ["alpha", "beta", "gamma"].map(|tool| {
        let digest: DefinitionDigest = "1-a".parse().unwrap();
        (tool.parse().unwrap(), digest)
    });
    rig.store.beat(&worker("w1"), &held).await.unwrap();
    let mut listed: Vec<String> = rig.raw("ZRANGE", ("tf:{fleet}:workers", 0, -1)).await;
    listed.sort();
    assert_eq!(listed, ["w1", "w2"], "a silent one is forgotten");
    let told: std::collections::BTreeMap<String, String> =
        rig.raw("HGETALL", "tf:{fleet}:worker:w1").await;
    let told: Vec<(&str, &str)> = told.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    let expected = [
        ("busy", "1"),
        ("doing", "fetching"),
        ("host", "host-a"),
        ("pid", "7"),
        ("queues", "default,reports"),
        ("slots", "4"),
        ("tools", "a,b"),
        ("version", "0.1.0"),
    ];
    assert_eq!(told, expected);

    rig.store.leave(&"w1".parse().unwrap()).await.unwrap();
    let left: Vec<String> = rig.raw("ZRANGE", ("tf:{fleet}:workers", 0, -1)).await;
    assert_eq!(left, ["w2"]);
    assert_eq!(rig.raw::<i64>("EXISTS", "tf:{fleet}:worker:w1").await, 0);
}

#[tokio::test]
async fn every_front_end_signs_with_the_same_secret() {
    let mut rig = Rig::new().await;
    let (first, second) = tokio::join!(rig.store.secret(), rig.store.secret());
    let secret = first.unwrap();
    assert_eq!(second.unwrap(), secret);
    assert!(secret.len() == 64 && secret.bytes().all(|b| b.is_ascii_hexdigit()));
    assert_eq!(rig.raw::<String>("GET", "tf:{fleet}:secret").await, secret);
}
