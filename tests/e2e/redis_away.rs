//! Redis is down, frozen, or cut off when it matters.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use taskferry_testing::{Proxy, TestServer, eventually, eventually_some};

use crate::client::{Legacy, Modern, get};
use crate::fleet::{Fleet, Replica, worker};
use crate::tools::{SHADOW, basic};

const SOON: Duration = Duration::from_secs(20);

#[tokio::test]
async fn redis_down_is_told_with_503_and_recovered_from_without_a_restart() {
    let mut fleet = Fleet::start().await;
    let client = Modern::with_tasks(&fleet.replicas[0].endpoint);
    let id = client.start("echo", json!({ "text": "before" })).await;
    client.until(&id, "completed").await;
    fleet.redis.kill9();
    let started = Instant::now();
    let refused = client.call("echo", json!({ "text": "during" })).await;
    assert_eq!(refused.status, 503, "{}", refused.text);
    assert!(refused.headers.contains_key("retry-after"));
    assert_eq!(refused.code(), -32603);
    assert!(
        started.elapsed() < Duration::from_secs(10),
        "refused after {:?}",
        started.elapsed()
    );
    let origin = &fleet.replicas[0].origin;
    let health = get(&format!("{origin}/healthz")).await;
    assert_eq!(health.status, 200, "the process lives");
    // What Redis said last counts for a second.
    eventually(SOON, "it is not ready", async || {
        get(&format!("{origin}/readyz")).await.status == 503
    })
    .await;
    // It comes back empty: old ids are gone, tools and groups return by themselves.
    fleet.redis.restart().await;
    let id = eventually_some(Duration::from_secs(20), "a new task is taken", async || {
        let answer = client.call("echo", json!({ "text": "after" })).await;
        answer.body["result"]["taskId"]
            .as_str()
            .map(ToOwned::to_owned)
    })
    .await;
    let done = client.until(&id, "completed").await;
    assert_eq!(done["result"]["content"][0]["text"], "after");
}

#[tokio::test]
async fn a_tool_that_redis_lost_is_still_called_until_its_worker_is_back() {
    let redis = TestServer::start().await;
    let replica = Replica::start(&redis.url(), &[]).await;
    let client = Modern::with_tasks(&replica.endpoint);
    let lists = async |name: &str| {
        let tools = client.request("tools/list", json!({})).await;
        tools.text.contains(&format!("\"{name}\""))
    };
    let first = worker(&redis.url(), &basic(), &[]).await;
    eventually(SOON, "the tools are known", async || lists("echo").await).await;
    drop(first);
    let mut raw = redis.raw().await;
    let flush = taskferry_testing::redis::cmd("FLUSHALL");
    flush.exec_async(&mut raw).await.unwrap();
    // A worker with other tools is back first, so the registry is read, and lacks this one.
    let _other = worker(&redis.url(), SHADOW, &[]).await;
    eventually(SOON, "the registry was read", async || {
        lists("task_cancel").await
    })
    .await;
    assert!(lists("echo").await);
    let id = client.start("echo", json!({ "text": "x" })).await;
    let _second = worker(&redis.url(), &basic(), &[]).await;
    client.until(&id, "completed").await;
}

#[tokio::test]
async fn a_replica_that_starts_before_redis_waits_for_it() {
    let mut redis = TestServer::start().await;
    let url = redis.url();
    redis.kill9();
    let mut replica = Replica::start_unready(&url, &[]).await;
    replica
        .process
        .wait_for_line(SOON, "waiting for Redis")
        .await;
    redis.restart().await;
    replica.ready().await;
}

#[tokio::test]
async fn a_call_that_was_queued_is_not_answered_by_an_error() {
    let fleet = Fleet::start().await;
    let session = Legacy::open(fleet.endpoint()).await;
    let mut redis = fleet.redis.raw().await;
    // What the session notes of its calls cannot be written: of its tasks, and of the request with the id 1.
    let request = URL_SAFE_NO_PAD.encode(Sha256::digest(b"1"));
    for (command, what) in [
        ("SET", "tasks".to_owned()),
        ("RPUSH", format!("call:{request}")),
    ] {
        let mut spoil = taskferry_testing::redis::cmd(command);
        spoil
            .arg(format!("tf:{{s:{}}}:session:{what}", session.session))
            .arg("x");
        spoil.exec_async(&mut redis).await.unwrap();
    }
    let id = session.start("echo", json!({ "text": "x" }), 60_000).await;
    session.until(&id, "completed").await;
    let plain = session.call("echo", json!({ "text": "y" })).await;
    assert_eq!(plain.result()["content"][0]["text"], "y");
    for what in ["tasks".to_owned(), format!("call:{request}")] {
        let mut clean = taskferry_testing::redis::cmd("DEL");
        clean.arg(format!("tf:{{s:{}}}:session:{what}", session.session));
        clean.exec_async(&mut redis).await.unwrap();
    }
}

#[tokio::test]
async fn a_submit_without_an_answer_is_sent_once_more() {
    let redis = TestServer::start().await.drained_at_end(SOON);
    let proxy = Proxy::start(redis.port()).await;
    let replica = Replica::start(&proxy.url(), &["--redis-timeout", "500ms"]).await;
    let _worker = worker(&redis.url(), &basic(), &[]).await;
    let client = Modern::with_tasks(&replica.endpoint);
    eventually(Duration::from_secs(20), "the tools are known", async || {
        let tools = client.request("tools/list", json!({})).await;
        tools.text.contains("\"echo\"")
    })
    .await;
    proxy.lead_to_and_hang(redis.port());
    let id = client.start("echo", json!({ "text": "x" })).await;
    client.until(&id, "completed").await;
}

#[tokio::test]
async fn those_who_call_unknown_tools_wait_for_a_frozen_redis_together() {
    let redis = TestServer::start().await;
    let replica = Replica::start(&redis.url(), &[]).await;
    let client = Modern::with(&replica.endpoint, json!({}));
    redis.pause();
    // Until then, what it read at the start is fresh.
    eventually(Duration::from_secs(20), "it looks in vain", async || {
        client.call("unknown", json!({})).await.status == 503
    })
    .await;
    let begun = Instant::now();
    let mut calls = tokio::task::JoinSet::new();
    for n in 0..24 {
        let client = client.clone();
        calls.spawn(async move { client.call(&format!("unknown-{n}"), json!({})).await });
    }
    for answer in calls.join_all().await {
        assert_eq!(answer.status, 503, "{}", answer.text);
    }
    // One after another they would take 72 s.
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(30), "{took:?}");
    redis.resume();
}

#[tokio::test]
async fn a_password_that_was_wrong_for_a_while_is_told_by_readyz_and_recovered_from() {
    let redis = TestServer::start().await;
    let mut raw = redis.raw().await;
    let mut acl = async |rules: &[&str]| {
        let mut set = taskferry_testing::redis::cmd("ACL");
        set.arg("SETUSER").arg("app").arg(rules);
        set.query_async::<String>(&mut raw).await.unwrap();
    };
    acl(&["on", ">one", "~*", "&*", "+@all"]).await;
    let url = format!("redis://app:one@127.0.0.1:{}/0", redis.port());
    let replica = Replica::start(&url, &[]).await;
    acl(&["resetpass", ">two"]).await;
    let mut kill = taskferry_testing::redis::cmd("CLIENT");
    kill.arg(&["KILL", "USER", "app"]);
    let mut raw = redis.raw().await;
    kill.query_async::<i64>(&mut raw).await.unwrap();
    eventually(SOON, "it says what Redis said", async || {
        let ready = get(&format!("{}/readyz", replica.origin)).await;
        ready.status == 503 && ready.text.contains("WRONGPASS")
    })
    .await;
    let mut acl = taskferry_testing::redis::cmd("ACL");
    acl.arg(&["SETUSER", "app", "resetpass", ">one"]);
    acl.query_async::<String>(&mut raw).await.unwrap();
    replica.ready().await;
}

#[tokio::test]
async fn what_redis_says_of_itself_is_told_by_readyz_with_what_mends_it() {
    let redis = TestServer::start().await;
    let replica = Replica::start(&redis.url(), &[]).await;
    let mut set = taskferry_testing::redis::cmd("CONFIG");
    set.arg(&["SET", "min-replicas-to-write", "1"]);
    let mut raw = redis.raw().await;
    set.query_async::<String>(&mut raw).await.unwrap();
    eventually(SOON, "it says what Redis said", async || {
        let ready = get(&format!("{}/readyz", replica.origin)).await;
        let told = |part| ready.text.contains(part);
        ready.status == 503 && told("NOREPLICAS") && told("min-replicas-to-write 0")
    })
    .await;
}
