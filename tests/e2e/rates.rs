//! Tools with a rate: no more attempts begin in a time than it says, whoever runs them, and what callers are told of it.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};
use taskferry_client::Call;
use taskferry_testing::{TestServer, eventually_some, redis};

use crate::client::{Answer, Legacy, Modern};
use crate::fleet::{Replica, worker};

const TOOLS: &str = r#"
[[tool]]
name = "paced"
description = "Says that it ran"
command = ["echo", "ran"]
rate = "3/2s"
poll_interval = "100ms"
poll_interval_max = "100ms"

[[tool]]
name = "scarce"
description = "Says that it ran"
command = ["echo", "ran"]
rate = "2/10m"
rate_excess = "refuse"
poll_interval = "100ms"
"#;

const SOON: Duration = Duration::from_secs(30);

async fn site(workers: usize) -> (TestServer, Replica, Vec<taskferry_testing::Process>) {
    let redis = TestServer::start().await;
    let replica = Replica::start(&redis.url(), &[]).await;
    let mut all = Vec::new();
    for _ in 0..workers {
        all.push(worker(&redis.url(), TOOLS, &["--slots", "4"]).await);
    }
    replica.lists("paced").await;
    replica.lists("scarce").await;
    (redis, replica, all)
}

/// When the attempt of a task began, ms, by Redis's clock.
async fn began(server: &TestServer, task: &str) -> u64 {
    let mut read = redis::cmd("HMGET");
    read.arg(format!("tf:{{0}}:task:{task}"))
        .arg("started_ms")
        .arg("attempt");
    let mut redis = server.raw().await;
    let (began, attempt): (u64, u64) = read.query_async(&mut redis).await.unwrap();
    assert_eq!(attempt, 1, "nothing began and was given back");
    began
}

#[tokio::test]
async fn two_workers_begin_no_more_in_any_window_than_the_rate_says() {
    let (redis, replica, _workers) = site(2).await;
    let legacy = Legacy::open_with_tasks(&replica.endpoint).await;
    let modern = Modern::with_tasks(&replica.endpoint);
    let mut tasks = Vec::new();
    for _ in 0..4 {
        tasks.push(legacy.start("paced", json!({}), 600_000).await);
        tasks.push(modern.start("paced", json!({})).await);
    }
    // The last two wait for more than one window.
    let told = eventually_some(SOON, "the last says what it waits for", async || {
        let seen = [legacy.task(&tasks[6]).await, modern.task(&tasks[7]).await];
        let told = seen.map(|task| task["statusMessage"].as_str().map(str::to_owned));
        let told: Option<Vec<String>> = told.into_iter().collect();
        told.filter(|told| told.iter().all(|text| text.contains("rate")))
    });
    for text in told.await {
        assert!(
            text.starts_with("The task waits for the rate of its tool since "),
            "{text}"
        );
        let bound = "; at most 3 jobs of paced begin in 2s; its turn comes at about ";
        assert!(text.contains(bound), "{text}");
    }
    let mut times = Vec::new();
    for task in &tasks {
        modern.until(task, "completed").await;
        times.push(began(&redis, task).await);
    }
    assert!(times.is_sorted(), "in the order of the calls: {times:?}");
    for (first, fourth) in times.iter().zip(times.iter().skip(3)) {
        assert!(fourth - first > 2_000, "{times:?}");
    }
}

/// The call is refused, in words and by a header.
fn assert_refused(answer: &Answer) {
    assert_eq!(
        answer.status,
        StatusCode::TOO_MANY_REQUESTS,
        "{}",
        answer.text
    );
    assert_eq!(answer.code(), -32603);
    let told = answer.message();
    let begin = "no more calls of scarce are taken now: its rate is 2/10m, and calls beyond it are refused; try again in ";
    assert!(told.starts_with(begin), "{told}");
    let after: u64 = answer.headers["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((500..=601).contains(&after), "{after}");
    let seconds = taskferry_worker::units::format_duration(Duration::from_secs(after));
    assert!(told.ends_with(&seconds), "{told}: {after}");
}

#[tokio::test]
async fn a_call_beyond_the_rate_is_refused_in_both_eras() {
    let (_redis, replica, _workers) = site(1).await;
    let legacy = Legacy::open_with_tasks(&replica.endpoint).await;
    let modern = Modern::with_tasks(&replica.endpoint);
    let plain = Modern::with(&replica.endpoint, json!({}));
    let ran = |answer: &Answer| answer.result()["content"][0]["text"] == "ran";
    let first = legacy.call("scarce", json!({})).await;
    assert!(ran(&first), "{}", first.text);
    let second = modern.start("scarce", json!({})).await;
    modern.until(&second, "completed").await;
    let as_task = Call::new("scarce", json!({})).as_task(Some(60_000));
    let no_arguments: Value = json!({});
    for refused in [
        legacy.call("scarce", no_arguments.clone()).await,
        legacy.request("tools/call", as_task.params()).await,
        modern.call("scarce", no_arguments.clone()).await,
        plain.call("scarce", no_arguments).await,
    ] {
        assert_refused(&refused);
    }
    // Another tool goes on.
    let other = plain.call("paced", json!({})).await;
    assert!(ran(&other), "{}", other.text);
}
