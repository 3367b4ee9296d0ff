//! The registry: tools and workers.

use taskferry_contract::{DefinitionDigest, RedisSettings, Store, TaskSupport, ToolDefinition};

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
    rig.raw::<()>("HSET", ("tf:{fleet}:tools:default", "broken", "{"))
        .await;
    assert_eq!(rig.store.tools().await.unwrap().len(), 3);
    assert!(rig.store.remove_tool("alpha").await.unwrap());
    assert!(!rig.store.remove_tool("alpha").await.unwrap());
    assert_eq!(rig.store.tools().await.unwrap().len(), 2);
}

/// A tool of a queue.
fn of_queue(name: &str, queue: &str) -> ToolDefinition {
    ToolDefinition {
        queue: queue.parse().unwrap(),
        ..tool(name)
    }
}

/// The queues of the tools that are listed.
async fn listed(store: &Store) -> Vec<(String, String)> {
    let tools = store.tools().await.unwrap();
    let names = tools.iter();
    names
        .map(|tool| (tool.name.to_string(), tool.queue.to_string()))
        .collect()
}

#[tokio::test]
async fn a_worker_of_one_queue_takes_no_tool_of_another_and_one_of_all_moves_it() {
    let mut rig = Rig::new().await;
    // It may write the tools of its own queue, and not which queue a tool is at home in.
    let rules = "SETUSER of-b on >pw +@all -@dangerous resetkeys ~tf:{fleet}:tools:b ~tf:{fleet}:queues ~tf:contract &*";
    rig.raw::<()>("ACL", rules.split(' ').collect::<Vec<_>>())
        .await;
    let url = rig.server.url().replace("://", "://of-b:pw@");
    let of_b = Store::new(&RedisSettings::new(&url)).unwrap();
    let pair = |name: &str, queue: &str| (name.to_owned(), queue.to_owned());

    rig.store
        .register_tools(&[of_queue("pay", "a")])
        .await
        .unwrap();
    let own = [of_queue("pay", "b"), of_queue("print", "b")];
    assert_eq!(of_b.register_tools(&own).await.unwrap(), 2);
    of_b.register_tools(&[of_queue("pay", "a")])
        .await
        .unwrap_err();
    let expected = [pair("pay", "a"), pair("print", "b")];
    assert_eq!(listed(&rig.store).await, expected);
    // What it says of another queue is not heard.
    let foreign = serde_json::to_string(&of_queue("ship", "a")).unwrap();
    rig.raw::<()>("HSET", ("tf:{fleet}:tools:b", "ship", foreign))
        .await;
    assert_eq!(listed(&rig.store).await, expected);
    // A tool that is new has a home from the first read by a front end on.
    let registry = rig.store.registry().await.unwrap();
    rig.store.give_homes(&registry.homeless).await.unwrap();
    assert!(rig.store.registry().await.unwrap().homeless.is_empty());
    // Whoever may say so moves a tool, and it stays there.
    assert_eq!(rig.store.register_tools(&own[..1]).await.unwrap(), 1);
    assert_eq!(listed(&rig.store).await[0], pair("pay", "b"));
    assert!(rig.store.remove_tool("pay").await.unwrap());
    assert_eq!(listed(&rig.store).await, [pair("print", "b")]);
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
        ("digests", "a 1-0a"),
        ("doing", "fetching"),
        ("host", "host-a"),
        ("listens", "1"),
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
async fn a_worker_that_has_nothing_new_to_say_only_says_that_it_lives() {
    let mut rig = Rig::new().await;
    let (beating, store) = (worker("w1"), rig.store.clone());
    let definition = ("alpha".parse().unwrap(), "1-a".parse().unwrap());
    let held: [(_, DefinitionDigest); 1] = [definition];
    let again = async || store.beat_again(&beating.id, &held).await.unwrap();
    assert!(!again().await, "nothing is known of it");
    rig.store.beat(&beating, &held).await.unwrap();
    let [workers, definitions] = ["tf:{fleet}:workers", "tf:{fleet}:definitions"];
    for (set, member) in [(workers, "w1"), (definitions, "alpha 1-a")] {
        rig.raw::<()>("ZADD", (set, 1, member)).await;
        assert!(rig.raw::<i64>("PTTL", set).await > 0);
    }
    let hash = "tf:{fleet}:worker:w1";
    rig.raw::<()>("PEXPIRE", (hash, 1_000)).await;
    assert!(again().await);
    let now_ms = rig.store.now_ms().await.unwrap();
    for (set, member) in [(workers, "w1"), (definitions, "alpha 1-a")] {
        let beat_ms: u64 = rig.raw("ZSCORE", (set, member)).await;
        assert!(now_ms - beat_ms < 10_000, "{set}");
    }
    assert!(rig.raw::<i64>("PTTL", hash).await > 1_000);
    // What holds something else is told by the call with all of it.
    for set in [workers, definitions] {
        rig.raw::<()>("SET", (set, "x")).await;
        assert!(!again().await, "{set}");
        let refused = rig.store.beat(&beating, &held).await.unwrap_err();
        assert!(refused.to_string().contains(set), "{refused}");
        rig.raw::<()>("DEL", set).await;
        assert!(!again().await, "it is made anew, and does not expire yet");
        rig.store.beat(&beating, &held).await.unwrap();
        assert!(rig.raw::<i64>("PTTL", set).await > 0);
        assert!(again().await);
    }
    rig.raw::<()>("DEL", hash).await;
    assert!(!again().await);
}

#[tokio::test]
async fn more_definitions_than_one_command_takes_are_noted() {
    let mut rig = Rig::new().await;
    let digest: DefinitionDigest = "1-a".parse().unwrap();
    let held: Vec<_> = (0..2_001)
        .map(|n| (format!("t{n}").parse().unwrap(), digest.clone()))
        .collect();
    let beating = worker("w1");
    rig.store.beat(&beating, &held).await.unwrap();
    assert_eq!(
        rig.raw::<i64>("ZCARD", "tf:{fleet}:definitions").await,
        2_001
    );
    assert!(rig.store.beat_again(&beating.id, &held).await.unwrap());
    let names = rig.store.names_of_tools(&[rig.tool.queue.clone()]).await;
    assert!(names.unwrap().is_empty(), "none is registered");
}

#[tokio::test]
async fn every_front_end_signs_with_the_same_secret_and_knows_the_one_before() {
    let mut rig = Rig::new().await;
    let (first, second) = tokio::join!(rig.store.secrets(), rig.store.secrets());
    let first = first.unwrap();
    assert_eq!(second.unwrap(), first);
    let secret = first.current().to_owned();
    assert!(secret.len() == 64 && secret.bytes().all(|b| b.is_ascii_hexdigit()));
    assert_eq!(rig.raw::<String>("GET", "tf:{fleet}:secret").await, secret);

    let keep = std::time::Duration::from_secs(60);
    let counting = async |rig: &Rig, later| {
        let secrets = rig.store.secrets().await.unwrap();
        let at = rig.store.now_ms().await.unwrap() + later;
        secrets.counting(at).map(str::to_owned).collect::<Vec<_>>()
    };
    rig.store.rotate_secret(keep).await.unwrap();
    let rotated = counting(&rig, 0).await;
    assert_eq!((rotated.len(), &rotated[1]), (2, &secret));
    assert_eq!(counting(&rig, 60_001).await, rotated[..1]);
    // The second time, or at once, what was first signed counts no more.
    rig.store.rotate_secret(keep).await.unwrap();
    assert_eq!(counting(&rig, 0).await[1..], rotated[..1]);
    rig.store
        .rotate_secret(std::time::Duration::ZERO)
        .await
        .unwrap();
    assert_eq!(counting(&rig, 0).await.len(), 1);
}
