//! Identical calls of a tool that says so share one job.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use taskferry_client::TASKS;
use taskferry_testing::{Process, eventually, redis};
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::client::{Answer, Legacy, Modern};
use crate::fleet::{Fleet, worker};
use crate::jobs::{call, held_by, records, runs, take_steps, text, the_job};
use crate::questions::add_example;
use crate::stream::Stream;
use crate::tools::define;

/// Tools on a queue that no other worker serves.
const TOOLS: &str = r#"
[defaults]
queue = "same"
poll_interval = "100ms"

[[tool]]
name = "shared"
description = "Takes three steps, each when a file in a folder says so, and ends at a fourth"
command = ["sh", "$HERE/paced.sh", "{folder}"]
share = true
input_schema = '{"type":"object","properties":{"folder":{"type":"string"},"note":{"type":"number"}},"required":["folder"],"additionalProperties":false}'
"#;

const SOON: Duration = Duration::from_secs(20);
/// A tool that asks a question.
const ASKING: &str = "summarize_orders";

/// A fleet, a worker with the tools that share, and a folder that paces a call.
struct Rig {
    fleet: Fleet,
    _worker: Process,
    folder: TempDir,
}

impl Rig {
    async fn start(flags: &[&str]) -> Self {
        let fleet = Fleet::start_with(flags, &[]).await;
        let worker = worker(&fleet.redis.url(), TOOLS, &[]).await;
        fleet.lists("shared").await;
        Self {
            _worker: worker,
            fleet,
            folder: tempfile::tempdir().unwrap(),
        }
    }

    async fn of_one_user() -> Self {
        Self::start(&["--single-user", "true", "--stream-after", "100ms"]).await
    }

    fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn params(&self) -> Value {
        call("shared", &json!({ "folder": self.folder() }), json!({}))
    }

    fn plain_modern(&self, replica: usize) -> Modern {
        Modern::with(&self.fleet.replicas[replica].endpoint, json!({}))
    }

    async fn legacy_task(&self, session: &Legacy, note: Option<u32>) -> String {
        let mut params = self.params();
        params["task"] = json!({ "ttl": 60_000 });
        if let Some(note) = note {
            params["arguments"]["note"] = json!(note);
        }
        let answer = session.request("tools/call", params).await;
        answer.result()["task"]["taskId"]
            .as_str()
            .unwrap()
            .to_owned()
    }
}

/// A request that goes on by itself until it is aborted.
fn alone(request: impl Future<Output = Answer> + Send + 'static) -> JoinSet<Answer> {
    let mut set = JoinSet::new();
    set.spawn(request);
    set
}

#[tokio::test]
async fn identical_tasks_are_one_until_it_ends() {
    let rig = Rig::of_one_user().await;
    let legacy = Legacy::open(rig.fleet.endpoint()).await;
    let modern = Modern::with_tasks(rig.fleet.endpoint());
    let mut calls = JoinSet::new();
    for n in 0..10 {
        let (legacy, modern, mut params) = (legacy.clone(), modern.clone(), rig.params());
        calls.spawn(async move {
            let task = if n % 2 == 0 {
                params["task"] = json!({});
                legacy.request("tools/call", params).await.result()["task"].clone()
            } else {
                modern.request("tools/call", params).await.result().clone()
            };
            task["taskId"].as_str().unwrap().to_owned()
        });
    }
    let mut ids = BTreeSet::from_iter(calls.join_all().await);
    assert_eq!(ids.len(), 1, "{ids:?}");
    let id = ids.pop_first().unwrap();
    assert_ne!(
        rig.legacy_task(&legacy, Some(1)).await,
        id,
        "other arguments"
    );
    take_steps(rig.folder(), 1..=4);
    let done = modern.until(&id, "completed").await;
    assert_eq!(text(&done["result"]).trim(), "done");
    assert_eq!(text(legacy.result_of(&id).await.result()).trim(), "done");
    assert_ne!(rig.legacy_task(&legacy, None).await, id, "it has ended");
    assert_eq!(records(&rig.fleet).await.len(), 3);
}

#[tokio::test]
async fn a_job_is_cancelled_only_when_the_last_of_its_callers_left() {
    let rig = Rig::of_one_user().await;
    let [mut one, mut two] = [0, 1].map(|replica| {
        let client = rig.plain_modern(replica);
        let params = rig.params();
        alone(async move { client.request("tools/call", params).await })
    });
    the_job(&rig.fleet, "both wait", |job| runs(job) && held_by(2)(job)).await;
    one.abort_all();
    the_job(&rig.fleet, "one left", held_by(1)).await;
    take_steps(rig.folder(), [1]);
    let job = the_job(&rig.fleet, "it goes on", |job| job.contains_key("progress")).await;
    assert_eq!(job["status"], "working");
    two.abort_all();
    let job = the_job(&rig.fleet, "it is cancelled", |job| {
        job["status"] == "cancelled"
    })
    .await;
    assert!(!job.contains_key("result"));
}

#[tokio::test]
async fn who_stays_gets_the_result_and_the_progress() {
    let rig = Rig::of_one_user().await;
    let mut leaves = {
        let (client, params) = (rig.plain_modern(0), rig.params());
        alone(async move { client.request("tools/call", params).await })
    };
    the_job(&rig.fleet, "it runs", runs).await;
    let mut params = rig.params();
    params["_meta"]["progressToken"] = json!("stays");
    let mut stays = Stream::call(&rig.plain_modern(1), params).await;
    the_job(&rig.fleet, "both wait", held_by(2)).await;
    leaves.abort_all();
    the_job(&rig.fleet, "one left", held_by(1)).await;
    take_steps(rig.folder(), [1]);
    let told = stays.next().await["params"].clone();
    assert_eq!(
        (&told["progressToken"], &told["progress"]),
        (&json!("stays"), &json!(1.0))
    );
    // Only the newest report is told: the next is made when the first has come.
    take_steps(rig.folder(), 2..=4);
    let answer = stays.until("the answer").await;
    assert_eq!(text(&answer["result"]).trim(), "done");
}

#[tokio::test]
async fn a_task_call_joins_a_plain_one_which_then_outlives_its_callers() {
    let rig = Rig::of_one_user().await;
    let mut plain = {
        let (client, params) = (rig.plain_modern(0), rig.params());
        alone(async move { client.request("tools/call", params).await })
    };
    the_job(&rig.fleet, "it runs", runs).await;
    let session = Legacy::open(&rig.fleet.replicas[1].endpoint).await;
    let id = rig.legacy_task(&session, None).await;
    let listed = session.request("tasks/list", json!({})).await;
    assert_eq!(listed.result()["tasks"][0]["taskId"], json!(id));
    plain.abort_all();
    // And a plain call joins the task.
    let (client, params) = (rig.plain_modern(0), rig.params());
    let joins = client.request("tools/call", params);
    let goes_on = async {
        take_steps(rig.folder(), 1..=4);
        session.until(&id, "completed").await;
    };
    let (answer, ()) = tokio::join!(joins, goes_on);
    assert_eq!(text(answer.result()).trim(), "done");
    assert_eq!(text(session.result_of(&id).await.result()).trim(), "done");
}

#[tokio::test]
async fn a_cancel_by_one_ends_it_for_all() {
    let rig = Rig::of_one_user().await;
    let session = Legacy::open(&rig.fleet.replicas[0].endpoint).await;
    let id = rig.legacy_task(&session, None).await;
    let client = rig.plain_modern(1);
    let waits = client.request("tools/call", rig.params());
    let cancel = async {
        the_job(&rig.fleet, "a replica waits", |job| {
            job.contains_key("waiters")
        })
        .await;
        session
            .request("tasks/cancel", json!({ "taskId": id }))
            .await
    };
    let (answer, cancelled) = tokio::join!(waits, cancel);
    assert_eq!(cancelled.result()["status"], "cancelled");
    assert!(answer.message().contains("cancelled"), "{}", answer.text);
}

#[tokio::test]
async fn a_cancelled_legacy_request_takes_only_its_own_caller_off() {
    let rig = Rig::of_one_user().await;
    let here = Legacy::open(&rig.fleet.replicas[0].endpoint).await;
    let there = Legacy::open(&rig.fleet.replicas[1].endpoint).await;
    let [one, two] = [&here, &there].map(|session| {
        let (session, params) = (session.clone(), rig.params());
        alone(async move { session.request("tools/call", params).await })
    });
    the_job(&rig.fleet, "both wait", |job| runs(job) && held_by(2)(job)).await;
    here.at(&rig.fleet.replicas[1].endpoint).cancel(1).await;
    the_job(&rig.fleet, "one left", held_by(1)).await;
    // It gets no answer, though the job goes on.
    let one = one.join_all().await.remove(0);
    assert_eq!((one.status.as_u16(), &one.body), (200, &json!(null)));
    take_steps(rig.folder(), 1..=4);
    let two = two.join_all().await.remove(0);
    assert_eq!(text(two.result()).trim(), "done");
}

#[tokio::test]
async fn clients_that_can_be_asked_different_things_do_not_share() {
    let rig = Rig::of_one_user().await;
    let start = async |capabilities: Value| {
        let client = Modern::with(rig.fleet.endpoint(), capabilities);
        let answer = client.request("tools/call", rig.params()).await;
        answer.result()["taskId"].as_str().unwrap().to_owned()
    };
    let plain = start(json!({ "extensions": { TASKS: {} } })).await;
    let asked = start(json!({ "elicitation": {}, "extensions": { TASKS: {} } })).await;
    assert_ne!(plain, asked);
    let same = start(json!({ "extensions": { TASKS: {}, "example.com/x": {} } })).await;
    assert_eq!(plain, same);
    take_steps(rig.folder(), 1..=4);
}

#[tokio::test]
async fn callers_who_cannot_be_told_apart_share_within_a_session_alone() {
    let rig = Rig::start(&[]).await;
    let one = Legacy::open(rig.fleet.endpoint()).await;
    let other = Legacy::open(rig.fleet.endpoint()).await;
    let first = rig.legacy_task(&one, None).await;
    assert_eq!(rig.legacy_task(&one, None).await, first);
    assert_ne!(rig.legacy_task(&other, None).await, first);
    let modern = Modern::with_tasks(rig.fleet.endpoint());
    for _ in 0..2 {
        modern.request("tools/call", rig.params()).await.result();
    }
    assert_eq!(records(&rig.fleet).await.len(), 4);
    take_steps(rig.folder(), 1..=4);
}

/// Lets the shipped worker's tool that asks a question share its job, as if it had said so.
async fn asking_tool_shares(fleet: &mut Fleet, client: &Modern) {
    add_example(fleet, "rust_worker", ASKING).await;
    let mut redis = fleet.redis.raw().await;
    let mut read = redis::cmd("HGET");
    read.arg("tf:{fleet}:tools:default").arg(ASKING);
    let text: String = read.query_async(&mut redis).await.unwrap();
    let mut definition: Value = serde_json::from_str(&text).unwrap();
    definition["share_identical"] = json!(true);
    definition["title"] = json!("Shared");
    define(&fleet.redis, &definition).await;
    for replica in &fleet.replicas {
        let client = client.at(&replica.endpoint);
        eventually(SOON, "the replica knows", async || {
            let tools = client.request("tools/list", json!({})).await;
            tools.result().to_string().contains("\"Shared\"")
        })
        .await;
    }
}

#[tokio::test]
async fn one_answer_to_a_shared_question_is_enough_for_all() {
    let mut fleet = Fleet::start_with(&["--single-user", "true"], &[]).await;
    let client = Modern::with(fleet.endpoint(), json!({ "elicitation": {} }));
    asking_tool_shares(&mut fleet, &client).await;
    let params = call(ASKING, &json!({ "confirm": true }), json!({}));
    let mut states = Vec::new();
    let mut key = String::new();
    for replica in &fleet.replicas {
        let client = client.at(&replica.endpoint);
        let asked = client.request("tools/call", params.clone()).await;
        let asked = asked.result();
        assert_eq!(asked["resultType"], "input_required", "{asked:#}");
        let (asks, _) = asked["inputRequests"]
            .as_object()
            .unwrap()
            .iter()
            .next()
            .unwrap();
        key.clone_from(asks);
        states.push(asked["requestState"].clone());
    }
    the_job(&fleet, "both were asked", held_by(2)).await;
    let mut answered = params.clone();
    answered["requestState"] = states[1].clone();
    answered["inputResponses"] =
        json!({ key: { "action": "accept", "content": { "confirm": true } } });
    let one = client.request("tools/call", answered).await;
    let mut waits = params.clone();
    waits["requestState"] = states[0].clone();
    let other = client.request("tools/call", waits).await;
    assert_eq!(one.result()["resultType"], "complete");
    assert_eq!(one.result()["content"], other.result()["content"]);
    assert_eq!(records(&fleet).await.len(), 1);
}
