//! `examine`: what doctor finds on servers with something wrong, each a real one.

use std::time::Duration;

use taskferry_contract::{
    CONTRACT_VERSION, Durability, Error, Finding, RedisSettings, Role, Shards, Store, Verdict,
};
use taskferry_testing::redis::aio::MultiplexedConnection;
use taskferry_testing::{AppendOnly, ServerOptions, TestServer, eventually_some};

use crate::rig::{Rig, SOON};

const NO_ARGUMENTS: &[&str] = &[];

async fn examined(store: &Store, wanted: &str) -> Vec<Finding> {
    let wanted: Option<Durability> = (!wanted.is_empty()).then(|| wanted.parse().unwrap());
    store.examine(wanted, None).await.unwrap()
}

fn of<'a>(findings: &'a [Finding], check: &str) -> &'a Finding {
    let found = findings.iter().find(|finding| finding.check == check);
    found.unwrap_or_else(|| panic!("{check} is not in {findings:?}"))
}

/// Fails unless the check failed, with all of the parts in what it says.
fn assert_fails(findings: &[Finding], check: &str, parts: &[&str]) {
    let finding = of(findings, check);
    assert_eq!(finding.verdict, Verdict::Fail, "{finding:?}");
    for part in parts {
        assert!(
            finding.sentence().contains(part),
            "{part} is not in {finding:?}"
        );
    }
}

async fn raw(redis: &mut MultiplexedConnection, words: &[&str]) {
    let mut command = redis::Cmd::new();
    command.arg(words);
    command.query_async::<()>(redis).await.unwrap();
}

async fn with_arguments(arguments: &[&str]) -> (TestServer, Store) {
    let server = TestServer::start_with(ServerOptions {
        arguments: arguments.iter().map(|word| (*word).to_owned()).collect(),
        ..ServerOptions::default()
    })
    .await;
    let store = Store::new(&RedisSettings::new(&server.url())).unwrap();
    (server, store)
}

#[tokio::test]
async fn a_server_as_documented_has_nothing_wrong() {
    let options = ServerOptions {
        append_only: AppendOnly::Always,
        max_memory_bytes: Some(256 << 20),
        arguments: vec!["--hash-max-listpack-value".to_owned(), "1024".to_owned()],
        ..ServerOptions::default()
    };
    let mut rig = Rig::on(options, Shards::default()).await;
    let before: u64 = rig.raw("DBSIZE", NO_ARGUMENTS).await;
    let findings = examined(&rig.store, "always").await;
    assert!(
        findings.iter().all(|found| found.verdict == Verdict::Ok),
        "{findings:#?}"
    );
    // It leaves nothing.
    assert_eq!(rig.raw::<u64>("DBSIZE", NO_ARGUMENTS).await, before);
    rig.store.agree_version().await.unwrap();
    let findings = examined(&rig.store, "").await;
    let version = of(&findings, "contract");
    assert!(version.found.contains(&CONTRACT_VERSION.to_string()));
}

#[tokio::test]
async fn what_can_be_changed_at_run_time_is_told_with_the_command() {
    let mut rig = Rig::new().await;
    for setting in [
        ("maxmemory-policy", "allkeys-lru"),
        ("timeout", "300"),
        ("hash-max-listpack-value", "64"),
    ] {
        rig.raw::<()>("CONFIG", ("SET", setting.0, setting.1)).await;
    }
    let findings = examined(&rig.store, "").await;
    assert_fails(
        &findings,
        "eviction",
        &[
            "allkeys-lru",
            "redis-cli CONFIG SET maxmemory-policy noeviction",
        ],
    );
    for (check, command) in [
        ("timeout", "redis-cli CONFIG SET timeout 0"),
        (
            "listpack",
            "redis-cli CONFIG SET hash-max-listpack-value 1024",
        ),
        ("memory", "redis-cli CONFIG SET maxmemory 1gb"),
        ("persistence", "redis-cli CONFIG SET appendonly yes"),
    ] {
        let finding = of(&findings, check);
        assert_eq!(finding.verdict, Verdict::Warn, "{finding:?}");
        assert!(finding.sentence().contains(command), "{finding:?}");
        // What it says can be run, and helps.
        let words = command.trim_start_matches("redis-cli ");
        let words: Vec<&str> = words.split(' ').collect();
        raw(&mut rig.redis, &words).await;
    }
    let findings = examined(&rig.store, "everysec").await;
    for check in ["timeout", "listpack", "memory", "persistence"] {
        assert_eq!(of(&findings, check).verdict, Verdict::Ok, "{check}");
    }
    assert_fails(
        &examined(&rig.store, "always").await,
        "persistence",
        &[
            "always is asked for",
            "redis-cli CONFIG SET appendfsync always",
        ],
    );
    assert_fails(
        &examined(&rig.store, "replicated:2").await,
        "replicas",
        &["no replica follows, and 2 are asked for"],
    );
}

#[tokio::test]
async fn a_cluster_node_is_refused() {
    let (_server, store) = with_arguments(&["--cluster-enabled", "yes"]).await;
    let refused = store.check_server(Role::Worker, &[]).await.unwrap_err();
    assert!(refused.to_string().contains("MOVED"), "{refused}");
    assert!(!refused.is_transient());
    assert_fails(
        &examined(&store, "").await,
        "cluster",
        &["MOVED", "cluster-enabled no"],
    );
}

#[tokio::test]
async fn a_replica_is_told_with_its_primary_and_waited_for() {
    let primary = TestServer::start().await;
    let port = primary.port().to_string();
    let (server, store) = with_arguments(&["--replicaof", "127.0.0.1", &port]).await;
    let findings = eventually_some(SOON, "the replica is in step", async || {
        // Until then it may answer that it loads its data.
        store.examine(None, None).await.ok()
    })
    .await;
    assert_fails(&findings, "role", &["replica of 127.0.0.1", &port]);
    let refused = store.check_server(Role::Worker, &[]).await.unwrap_err();
    assert!(refused.is_transient(), "{refused:?}");
    assert!(refused.to_string().contains("takes no writes"), "{refused}");

    // Seen from the primary it counts.
    let own = Store::new(&RedisSettings::new(&primary.url())).unwrap();
    eventually_some(SOON, "the replica is online", async || {
        let findings = own.examine("replicated".parse().ok(), None).await.unwrap();
        (of(&findings, "replicas").verdict == Verdict::Ok).then_some(())
    })
    .await;
    raw(&mut server.raw().await, &["REPLICAOF", "NO", "ONE"]).await;
    store.check_server(Role::Worker, &[]).await.unwrap();
}

/// A store as a user with these rules.
async fn as_user(rig: &mut Rig, rules: &str) -> Store {
    let mut user = vec!["SETUSER", "ferry", "reset"];
    user.extend(rules.split(' '));
    rig.raw::<()>("ACL", user).await;
    let url = rig.server.url().replace("://", "://ferry:pw@");
    Store::new(&RedisSettings::new(&url)).unwrap()
}

const ENOUGH: &str = "on >pw ~tf:* &tf:* +@all -@admin -@dangerous +info +client|unblock";

#[tokio::test]
async fn a_user_is_told_what_it_is_enough_for() {
    let mut rig = Rig::new().await;
    for (less, found) in [
        (
            "",
            "enough to be a front-end, worker, foreign-worker, viewer, operator",
        ),
        ("-wait", "enough to be a front-end, worker,"),
        ("-xreadgroup", "not to be a worker, foreign-worker"),
        (
            "resetkeys %R~tf:*",
            "enough to be a viewer; not to be a front-end,",
        ),
        (
            "resetkeys ~other:*",
            "user ferry (of redis_url) is not enough for any role",
        ),
    ] {
        let store = as_user(&mut rig, &format!("{ENOUGH} {less}")).await;
        let findings = examined(&store, "").await;
        let permissions = of(&findings, "permissions");
        assert!(permissions.found.contains(found), "{less}: {permissions:?}");
    }
    let store = as_user(&mut rig, &format!("{ENOUGH} -wait")).await;
    let wanted = "replicated".parse().ok();
    let role = Some((Role::FrontEnd, &[][..]));
    let findings = store.examine(wanted, role).await.unwrap();
    let remedy = "redis-cli ACL SETUSER ferry '+wait'";
    assert_fails(&findings, "permissions", &["+wait", remedy]);

    let store = as_user(&mut rig, ENOUGH).await;
    let findings = examined(&store, "everysec").await;
    // What this user may not read is not called well.
    assert_eq!(of(&findings, "settings").verdict, Verdict::Warn);
    rig.raw::<()>("CONFIG", ("SET", "appendonly", "yes")).await;
    let findings = examined(&store, "everysec").await;
    let persistence = of(&findings, "persistence");
    assert_eq!(persistence.verdict, Verdict::Warn);
    assert!(
        persistence.found.contains("cannot be read"),
        "{persistence:?}"
    );
}

#[tokio::test]
async fn a_command_that_is_renamed_is_named() {
    for (command, role) in [
        ("CLIENT", Role::Worker),
        ("INFO", Role::Worker),
        ("MULTI", Role::FrontEnd),
    ] {
        let (_server, store) = with_arguments(&["--rename-command", command, "HIDDEN"]).await;
        let findings = examined(&store, "").await;
        assert_fails(&findings, "permissions", &[command, "rename-command"]);
        let refused = store.check_server(role, &[]).await.unwrap_err();
        assert!(matches!(refused, Error::Unsuitable(_)), "{refused:?}");
        let text = refused.to_string();
        assert!(
            text.contains(command) && text.contains("rename-command"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn why_redis_takes_no_writes_is_told_with_what_mends_it() {
    let (server, store) = with_arguments(&[]).await;
    let set = async |count: &str| {
        raw(
            &mut server.raw().await,
            &["CONFIG", "SET", "min-replicas-to-write", count],
        )
        .await;
    };
    set("1").await;
    let parts = ["NOREPLICAS", "CONFIG SET min-replicas-to-write 0"];
    let findings = examined(&store, "").await;
    assert_fails(&findings, "writes", &parts);
    set("0").await;
    let findings = examined(&store, "").await;
    assert!(findings.iter().all(|found| found.check != "writes"));
    assert_eq!(of(&findings, "contract").verdict, Verdict::Ok);
}

#[tokio::test]
async fn a_disk_that_redis_cannot_write_to_is_told_with_what_mends_it() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().to_str().unwrap();
    let (server, store) = with_arguments(&["--save", "3600 1", "--dir", place]).await;
    drop(folder);
    let mut redis = server.raw().await;
    raw(&mut redis, &["BGSAVE"]).await;
    let findings = eventually_some(SOON, "a save has failed", async || {
        let findings = examined(&store, "").await;
        let told = findings.iter().any(|found| found.check == "writes");
        told.then_some(findings)
    })
    .await;
    assert_fails(&findings, "writes", &["MISCONF", "free space there"]);
}

#[tokio::test]
async fn a_redis_that_still_loads_its_data_says_so() {
    let arguments = [
        ["--enable-debug-command", "yes"],
        ["--loading-process-events-interval-bytes", "1024"],
    ];
    let (server, store) = with_arguments(arguments.as_flattened()).await;
    let mut redis = server.raw().await;
    raw(&mut redis, &["DEBUG", "POPULATE", "4000"]).await;
    raw(&mut redis, &["CONFIG", "SET", "key-load-delay", "5000"]).await;
    // Whoever asks for it gets no answer until the end.
    let mut loads = tokio::task::JoinSet::new();
    loads.spawn(async move { raw(&mut redis, &["DEBUG", "RELOAD"]).await });
    let error = eventually_some(SOON, "it loads", async || {
        store.examine(None, None).await.err()
    })
    .await;
    assert!(error.is_transient(), "{error:?}");
    let told = error.sentence();
    for part in ["LOADING", "wait until Redis has loaded its data"] {
        assert_eq!(told.matches(part).count(), 1, "{told}");
    }
    loads.abort_all();
}

#[tokio::test]
async fn a_wrong_password_is_told_with_where_it_was_set() {
    let mut rig = Rig::new().await;
    as_user(&mut rig, ENOUGH).await;
    let url = rig.server.url().replace("://", "://ferry:wrong@");
    let mut settings = RedisSettings::new(&url);
    settings.url_from = "TASKFERRY_REDIS_URL".to_owned();
    let error = Store::new(&settings).unwrap().ready().await.unwrap_err();
    let sentence = error.sentence();
    for part in [
        "WRONGPASS",
        "redis_url is from TASKFERRY_REDIS_URL",
        "right user and password",
    ] {
        assert!(sentence.contains(part), "{sentence}");
    }
    assert_eq!(sentence.matches("WRONGPASS").count(), 1, "{sentence}");
}

#[tokio::test]
async fn a_wrong_password_is_no_finding_but_an_error_for_good() {
    let mut rig = Rig::new().await;
    as_user(&mut rig, ENOUGH).await;
    let url = rig.server.url().replace("://", "://ferry:wrong@");
    let store = Store::new(&RedisSettings::new(&url)).unwrap();
    let error = store.examine(None, None).await.unwrap_err();
    assert!(!error.is_transient(), "{error:?}");
    assert!(!error.to_string().contains("wrong@"), "{error}");
}

#[tokio::test]
async fn another_contract_is_found() {
    let mut rig = Rig::new().await;
    rig.raw::<()>("SET", ("tf:contract", "99.0")).await;
    assert_fails(&examined(&rig.store, "").await, "contract", &["99.0"]);
}

#[tokio::test]
async fn a_frozen_redis_is_an_error_in_bounded_time() {
    let rig = Rig::new().await;
    let mut settings = RedisSettings::new(&rig.server.url());
    settings.response_timeout = Duration::from_millis(200);
    let store = Store::new(&settings).unwrap();
    rig.server.pause();
    let examined = tokio::time::timeout(SOON, store.examine(None, None)).await;
    assert!(examined.unwrap().unwrap_err().is_transient());
    rig.server.resume();
}
