//! Requests that were made to take the server away.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use taskferry_testing::{Process, TestServer};

use super::SHORT;
use crate::client::{Answer, Legacy, Modern, events};
use crate::fleet::{Fleet, Replica, worker};
use crate::stream::Stream;
use crate::tools::register;

/// How long an answer may take, on a machine that does other things too.
const IN_TIME: Duration = Duration::from_secs(120);
/// How much memory a front end may ever have taken, bytes; what it takes by itself is a tenth of this.
const BOUND: u64 = 600 << 20;

/// The most memory that a process ever had, bytes.
fn peak(process: &Process) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kib: u64 = line
        .and_then(|line| line.split_whitespace().nth(1)?.parse().ok())
        .unwrap();
    kib * 1024
}

/// Expressions, as people write them: two kinds of node, each with further nodes.
fn expressions() -> Value {
    let next = json!({ "$ref": "#/$defs/node" });
    let node = |kind: &str| {
        json!({
            "type": "object", "required": ["kind"],
            "properties": { "kind": { "const": kind }, "left": next, "right": next },
        })
    };
    json!({
        "type": "object", "properties": { "root": next },
        "$defs": { "node": { "anyOf": [node("add"), node("mul")] } },
    })
}

/// One branch, wrong forty levels down.
fn branch() -> Value {
    let mut node = json!({ "kind": "neither" });
    for level in 0..40 {
        let kind = if level % 2 == 0 { "add" } else { "mul" };
        node = json!({ "kind": kind, "left": node });
    }
    json!({ "root": node })
}

fn assert_refused(answer: &Answer, told: &str) {
    assert_eq!(answer.result()["isError"], true, "{}", answer.text);
    assert!(answer.text.len() < SHORT, "{}", answer.text.len());
    let text = answer.result()["content"][0]["text"].as_str().unwrap();
    assert!(text.ends_with(told), "{text}");
}

#[tokio::test]
async fn arguments_that_do_not_fit_cost_other_callers_nothing() {
    let server = TestServer::start().await;
    let replica = Replica::start(&server.url(), &[]).await;
    let either = json!({ "type": "object", "properties": {
        "list": { "type": "array", "items": { "anyOf": [{ "type": "string" }, { "type": "boolean" }] } },
    } });
    register(&server, "tree", &expressions()).await;
    register(&server, "list", &either).await;
    replica.lists("list").await;
    let attacker = Modern::with_tasks(&replica.endpoint);
    let legacy = Legacy::open(&replica.endpoint).await;
    let other = Modern::with_tasks(&replica.endpoint);
    let id = other.start("tree", json!({})).await;
    // 2 MiB of a type that is not allowed: told in full, they took more than a gigabyte.
    let numbers = json!({ "list": vec![0; 1 << 20] });
    let begun = Instant::now();
    let attacks = async {
        tokio::join!(
            attacker.call("tree", branch()),
            attacker.call("tree", branch()),
            legacy.call("tree", branch()),
            attacker.call("list", numbers.clone()),
        )
    };
    tokio::pin!(attacks);
    let (mut polls, mut slowest) = (0, Duration::ZERO);
    let (first, second, third, list) = loop {
        let asked = Instant::now();
        tokio::select! {
            answers = &mut attacks => break answers,
            task = other.task(&id) => {
                assert_eq!(task["status"], "working");
                polls += 1;
                slowest = slowest.max(asked.elapsed());
            }
        }
    };
    assert!(begun.elapsed() < IN_TIME, "{:?}", begun.elapsed());
    assert!(
        polls > 0 && slowest < IN_TIME / 3,
        "{polls} polls, {slowest:?}"
    );
    for answer in [&first, &second, &third] {
        assert_refused(
            answer,
            "/root: the value fits none of the 2 alternatives of anyOf",
        );
    }
    assert_refused(
        &list,
        "/list/0: the value fits none of the 2 alternatives of anyOf",
    );
    let peak = peak(&replica.process);
    assert!(peak < BOUND, "{peak} bytes");
}

#[tokio::test]
async fn a_result_that_does_not_fit_costs_its_worker_little() {
    let items = r#"{"type":"array","items":{"anyOf":[{"type":"string"},{"type":"boolean"}]}}"#;
    let tool = format!(
        r#"[[tool]]
name = "many"
description = "Prints 600,000 numbers where none is promised"
command = ["sh", "-c", "printf '{{{{\"list\":[0'; head -c 600000 /dev/zero | tr '\\0' '1' | sed 's/1/,0/g'; printf ']}}}}'"]
output_schema = '{{"type":"object","properties":{{"list":{items}}}}}'
"#
    );
    let server = TestServer::start().await.drained_at_end(IN_TIME);
    let replica = Replica::start(&server.url(), &[]).await;
    let worker = worker(&server.url(), &tool, &[]).await;
    replica.lists("many").await;
    let client = Modern::with(&replica.endpoint, json!({}));
    let answer = client.call("many", json!({})).await;
    assert_refused(
        &answer,
        "structuredContent/list/0: the value fits none of the 2 alternatives of anyOf",
    );
    let peak = peak(&worker);
    assert!(peak < BOUND, "{peak} bytes");
}

#[tokio::test]
async fn a_task_that_is_named_many_times_is_followed_once() {
    let fleet = Fleet::start().await;
    let client = Modern::with_tasks(&fleet.replicas[0].endpoint);
    let text = "x".repeat(100 << 10);
    let id = client.start("echo", json!({ "text": text })).await;
    client.until(&id, "completed").await;
    let folder = tempfile::tempdir().unwrap();
    let nap = json!({ "seconds": 0.1, "folder": folder.path() });
    let last = client.start("nap", nap).await;
    let mut named = vec![id.clone(); 2_000];
    named.push(last.clone());
    let wanted = json!({ "notifications": { "taskIds": named } });
    let mut stream = Stream::of(client.open("subscriptions/listen", wanted).await);
    let granted = stream.next().await["params"]["notifications"]["taskIds"].clone();
    assert_eq!(granted, json!([id, last]));
    let mut told = 0;
    loop {
        let task = stream.until("notifications/tasks").await["params"].clone();
        if task["taskId"] == json!(id) {
            assert_eq!(task["result"]["content"][0]["text"], json!(text));
            told += 1;
        } else if task["status"] == "completed" {
            break;
        }
    }
    assert_eq!(told, 1);
}

#[tokio::test]
async fn the_number_of_tasks_of_a_subscription_is_bounded() {
    let server = TestServer::start().await;
    let replica = Replica::start(&server.url(), &[]).await;
    let client = Modern::with_tasks(&replica.endpoint);
    let many: Vec<String> = (0..1_001)
        .map(|i| format!("0-00000000-0000-4000-8000-{i:012}"))
        .collect();
    let wanted = json!({ "notifications": { "taskIds": many } });
    let refused = client.request("subscriptions/listen", wanted).await;
    assert_eq!(refused.code(), -32602, "{}", refused.text);
    assert!(refused.message().contains("1000 tasks"), "{}", refused.text);
}

/// Results that nobody reads do not gather in the front end.
#[tokio::test]
async fn a_subscription_holds_few_results_at_once() {
    const RESULT: usize = 4 << 20;
    const TASKS: usize = 60;
    let server = TestServer::start().await;
    let replica = Replica::start(&server.url(), &[]).await;
    register(&server, "any", &json!({ "type": "object" })).await;
    replica.lists("any").await;
    let client = Modern::with_tasks(&replica.endpoint);
    let mut raw = server.raw().await;
    let text = "y".repeat(RESULT);
    let result = json!({ "content": [{ "type": "text", "text": text }] }).to_string();
    let mut ids = Vec::new();
    for _ in 0..TASKS {
        let id = client.start("any", json!({})).await;
        let _: u64 = taskferry_testing::redis::cmd("HSET")
            .arg(format!(
                "tf:{{{}}}:task:{id}",
                id.split('-').next().unwrap()
            ))
            .arg(&["status", "completed", "result", &result])
            .query_async(&mut raw)
            .await
            .unwrap();
        ids.push(id);
    }
    let before = peak(&replica.process);
    let wanted = json!({ "notifications": { "taskIds": ids } });
    let mut response = client.open("subscriptions/listen", wanted).await;
    // The acknowledgement, and then the first result: the others wait for this client.
    let mut seen = String::new();
    while !seen.contains("notifications/tasks\"") {
        let chunk = response.chunk().await.unwrap().unwrap();
        seen.push_str(&String::from_utf8_lossy(&chunk));
    }
    // Another request is answered after all of that was begun.
    for id in &ids {
        client
            .request("tasks/cancel", json!({ "taskId": id }))
            .await
            .result();
    }
    let grown = peak(&replica.process) - before;
    assert!(grown < (RESULT * TASKS / 2) as u64, "{grown} bytes");
    let mut told = 0;
    while told < TASKS {
        let chunk = response.chunk().await.unwrap().unwrap();
        seen.push_str(&String::from_utf8_lossy(&chunk));
        if seen.len() > RESULT && seen.ends_with("\n\n") {
            told += events(&std::mem::take(&mut seen))
                .iter()
                .filter(|event| event["method"] == "notifications/tasks")
                .count();
        }
    }
    assert_eq!(told, TASKS);
}
