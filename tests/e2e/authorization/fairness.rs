//! What one caller takes leaves the rest to others.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use taskferry_client::{Method, StatusCode, legacy};
use taskferry_testing::{eventually, redis};

use crate::authorization::{Guarded, KEY, SOON};
use crate::client::{Answer, Legacy, Modern, authorized, send};
use crate::stream::Stream;
use crate::tools::register;

/// Seconds until it may be tried again.
fn retry_after(answer: &Answer) -> u64 {
    answer.headers["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap()
}

async fn initialize(endpoint: &str, credential: &str) -> Answer {
    let client = taskferry_client::Declaration::new("test", json!({}));
    let request = legacy::initialize("2025-11-25", &client);
    send(endpoint, &authorized(request, Some(credential))).await
}

#[tokio::test]
async fn sessions_are_bounded_for_each_caller_and_in_all() {
    let flags = ["--session-cap", "3", "--max-sessions", "5"];
    let guarded = Guarded::start("", "", &flags).await;
    let [alice, bob] = ["alice", "bob"].map(|subject| guarded.issuer.token(subject, ""));
    let endpoint = guarded.endpoint();
    let mut sessions = Vec::new();
    for _ in 0..3 {
        sessions.push(Legacy::open_by(endpoint, &alice).await);
    }
    let refused = initialize(endpoint, &alice).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(
        refused.message().contains("session_cap"),
        "{}",
        refused.text
    );
    assert!(retry_after(&refused) >= 1);
    for _ in 0..2 {
        Legacy::open_by(endpoint, &bob).await;
    }
    let refused = initialize(endpoint, &bob).await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(
        refused.message().contains("max_sessions"),
        "{}",
        refused.text
    );
    // One that is ended makes room; those that are open go on.
    let ended = sessions.pop().unwrap();
    ended.send_anything(Method::DELETE, None).await;
    let opened = initialize(endpoint, &bob).await;
    assert_eq!(opened.status, StatusCode::OK, "{}", opened.text);
    let listed = sessions[0].request("tools/list", json!({})).await;
    assert_eq!(listed.status, StatusCode::OK);
}

#[tokio::test]
async fn what_is_known_of_an_answered_request_goes_soon() {
    let guarded = Guarded::start("", "", &[]).await;
    let session = Legacy::open_by(guarded.endpoint(), KEY).await;
    session.call("echo", json!({ "text": "x" })).await;
    let pattern = format!("tf:{{s:{}}}:session:call:*", session.session);
    let mut connection = guarded.server.raw().await;
    let notes: Vec<String> = redis::cmd("KEYS")
        .arg(pattern)
        .query_async(&mut connection)
        .await
        .unwrap();
    assert_eq!(notes.len(), 1, "{notes:?}");
    eventually(SOON, "the note goes in two minutes", async || {
        let mut connection = guarded.server.raw().await;
        let left: i64 = redis::cmd("PTTL")
            .arg(&notes[0])
            .query_async(&mut connection)
            .await
            .unwrap();
        left <= 120_000
    })
    .await;
}

#[tokio::test]
async fn one_caller_leaves_room_in_requests_and_queues() {
    let flags = [
        "--max-requests",
        "8",
        "--peer-share",
        "50",
        "--queue-cap",
        "8",
        "--stream-after",
        "100ms",
    ];
    let guarded = Guarded::start("", "", &flags).await;
    register(&guarded.server, "later", &json!({ "type": "object" })).await;
    let all = guarded.modern(KEY);
    eventually(SOON, "the tool is listed", async || {
        let listed = all.request("tools/list", json!({})).await;
        listed.text.contains("\"later\"")
    })
    .await;
    let [alice, bob] = ["alice", "bob"].map(|subject| guarded.issuer.token(subject, ""));
    let client = guarded.modern(&alice);
    let listen = json!({ "notifications": { "toolsListChanged": true } });
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(Stream::of(
            client.open("subscriptions/listen", listen.clone()).await,
        ));
    }
    assert_eq!(
        client.request("tools/list", json!({})).await.status,
        StatusCode::OK
    );
    held.push(Stream::of(
        client.open("subscriptions/listen", listen.clone()).await,
    ));
    let refused = client.request("tools/list", json!({})).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(refused.message().contains("peer_share"), "{}", refused.text);
    drop(held);

    // A share of a queue is all that one has of it.
    let mut answers = Vec::new();
    for _ in 0..6 {
        let answer = guarded.modern(&alice).call("later", json!({})).await;
        answers.push(answer.status);
    }
    let taken = answers
        .iter()
        .filter(|status| **status == StatusCode::OK)
        .count();
    assert_eq!(taken, 4, "{answers:?}");
    assert_eq!(answers[5], StatusCode::TOO_MANY_REQUESTS);
    let of_bob: Value = guarded.modern(&bob).call("later", json!({})).await.body;
    assert_eq!(of_bob["result"]["resultType"], "task", "{of_bob:#}");
    guarded.leaves_jobs();
}

#[tokio::test]
async fn a_caller_has_its_rate_on_all_front_ends_together() {
    let guarded = Guarded::start("", "", &["--owner-rate", "5"]).await;
    let other = guarded.another(&["--owner-rate", "5"]).await;
    let [alice, bob] = ["alice", "bob"].map(|subject| guarded.issuer.token(subject, ""));
    let at = |turn: usize| {
        if turn.is_multiple_of(2) {
            guarded.endpoint()
        } else {
            &other.endpoint
        }
    };
    let mut refused = None;
    for _ in 0..5 {
        // All at once: one after the other they are slower than that on a machine that is busy.
        let asked = (0..15).map(async |turn| {
            let client = Modern::with_tasks(at(turn)).by(Some(&alice));
            client.request("tools/list", json!({})).await
        });
        let answers = join_all(asked).await;
        let is_refused = |answer: &Answer| answer.status == StatusCode::TOO_MANY_REQUESTS;
        refused = answers.into_iter().find(is_refused);
        if refused.is_some() {
            break;
        }
    }
    let refused = refused.expect("that many requests are too fast");
    assert!(refused.message().contains("owner_rate"), "{}", refused.text);
    assert_eq!(retry_after(&refused), 1);
    assert_eq!(
        guarded
            .modern(&bob)
            .request("tools/list", json!({}))
            .await
            .status,
        StatusCode::OK
    );
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_eq!(
        guarded
            .modern(&alice)
            .request("tools/list", json!({}))
            .await
            .status,
        StatusCode::OK
    );

    // Ids that are tried out count for ten.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let unknown = json!({ "taskId": "0-00000000-0000-4000-8000-000000000000" });
    let mut tried = 0;
    while guarded
        .modern(&alice)
        .request("tasks/get", unknown.clone())
        .await
        .status
        == StatusCode::OK
    {
        tried += 1;
    }
    assert!(tried <= 5, "{tried}");
}

#[tokio::test]
async fn an_address_has_its_rate_and_tokens_that_are_tried_out_count_for_ten() {
    let mut guarded = Guarded::start("", "", &["--address-rate", "20"]).await;
    let attempt = |credential: String| {
        let client = guarded.modern(&credential);
        async move { client.request("tools/list", json!({})).await }
    };
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let mut tried = 0;
    let refused = loop {
        let answer = attempt(format!("tfk_{tried}")).await;
        if answer.status != StatusCode::UNAUTHORIZED {
            break answer;
        }
        tried += 1;
    };
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(
        refused.message().contains("address_rate"),
        "{}",
        refused.text
    );
    assert!(retry_after(&refused) >= 1);
    assert!((1..=10).contains(&tried), "{tried}");
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_eq!(attempt(KEY.to_owned()).await.status, StatusCode::OK);
    // Whoever runs it hears of that, and what to do if it is a proxy.
    let told = guarded.replica.process.wait_for_line(SOON, "address_rate");
    assert!(told.await.contains("trusted_proxies"));
}

#[tokio::test]
async fn what_is_asked_in_one_request_counts_each() {
    let guarded = Guarded::start("", "", &["--owner-rate", "20"]).await;
    let unknown = "0-00000000-0000-4000-8000-000000000000";
    let is_slowed_down = async |token: &str| {
        let answer = guarded.modern(token).request("tools/list", json!({})).await;
        answer.status == StatusCode::TOO_MANY_REQUESTS
    };
    let token = |subject: &str| guarded.issuer.token(subject, "");
    let batching = Legacy::open_as_by(guarded.endpoint(), "2025-03-26", &token("alice")).await;
    let ask = |id: u32| {
        json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {
        "name": "task_result", "arguments": { "task_id": unknown },
    } })
    };
    let batch: Vec<Value> = (1..=5).map(ask).collect();
    let answered = batching
        .send_anything(Method::POST, Some(json!(batch).to_string()))
        .await;
    assert_eq!(answered.status, StatusCode::OK, "{}", answered.text);
    assert!(is_slowed_down(&token("alice")).await);

    let listen = json!({ "notifications": { "taskIds": (0..5).map(|last| format!("{}{last}", &unknown[..37])).collect::<Vec<_>>() } });
    let opened = guarded
        .modern(&token("bob"))
        .open("subscriptions/listen", listen)
        .await;
    assert_eq!(opened.status(), StatusCode::OK);
    assert!(is_slowed_down(&token("bob")).await);

    let session = Legacy::open_by(guarded.endpoint(), &token("carol")).await;
    let answers = (0..6).map(async |number| {
        let response =
            json!({ "jsonrpc": "2.0", "id": format!("{unknown}/{number}"), "result": {} });
        session
            .send_anything(Method::POST, Some(response.to_string()))
            .await
    });
    join_all(answers).await;
    assert!(is_slowed_down(&token("carol")).await);
}
