//! The legacy era: sessions, and tasks that the client asks for.

use serde_json::{Value, json};
use taskferry_client::{Method, StatusCode};
use taskferry_testing::eventually_some;

use crate::client::Legacy;
use crate::fleet::{Fleet, Replica};
use crate::jobs::records;
use crate::stream::Stream;
use crate::tools::register;

const SOON: std::time::Duration = std::time::Duration::from_secs(20);

const REPORT: &str = "generate_report";

fn january() -> Value {
    json!({ "month": "January" })
}

#[tokio::test]
async fn the_customers_two_calls_hold_field_by_field() {
    let fleet = Fleet::start().await;
    let session = Legacy::open(fleet.endpoint()).await;

    let plain = session.call(REPORT, january()).await;
    let result = plain.result();
    assert_eq!(result["isError"], false);
    let text = result["content"][0]["text"].as_str().unwrap();
    assert!(text.contains("January"), "{text}");
    assert!(result["task"].is_null(), "{result:#}");

    let params = json!({ "name": REPORT, "arguments": january(), "task": { "ttl": 60000 } });
    let created = session.request("tools/call", params).await;
    let result = created.result();
    let members: Vec<&String> = result.as_object().unwrap().keys().collect();
    assert_eq!(members, ["task"], "a created task comes without a result");
    let task = &result["task"];
    assert_eq!(task["status"], "working");
    assert_eq!(task["ttl"], 60000);
    assert!(
        task["pollInterval"].as_u64().is_some_and(|ms| ms > 0),
        "{task:#}"
    );
    assert_eq!(task["createdAt"], task["lastUpdatedAt"]);
    let created_at = task["createdAt"].as_str().unwrap();
    assert!(
        created_at.len() == 24 && created_at.ends_with('Z'),
        "{created_at}"
    );

    let id = task["taskId"].as_str().unwrap();
    let done = session.until(id, "completed").await;
    assert_eq!(done["createdAt"], task["createdAt"]);
    assert_eq!(done["ttl"], 60000);
    let later = session.result_of(id).await;
    assert_eq!(later.result()["content"], plain.result()["content"]);
    assert_eq!(
        later.result()["structuredContent"],
        plain.result()["structuredContent"]
    );
    assert_eq!(
        later.result()["_meta"]["io.modelcontextprotocol/related-task"]["taskId"],
        id
    );
}

#[tokio::test]
async fn initialize_offers_tasks_only_where_the_revision_has_them() {
    let fleet = Fleet::start_with(&["--single-user", "true"], &[]).await;
    let newest = Legacy::open(fleet.endpoint()).await;
    let tasks = &newest.opened["capabilities"]["tasks"];
    assert_eq!(
        *tasks,
        json!({ "list": {}, "cancel": {}, "requests": { "tools": { "call": {} } } })
    );
    assert_eq!(newest.opened["serverInfo"]["name"], "taskferry");
    for revision in ["2025-06-18", "2025-03-26"] {
        let older = Legacy::open_as(fleet.endpoint(), revision).await;
        assert_eq!(older.revision, revision);
        assert!(older.opened["capabilities"]["tasks"].is_null());
        assert_eq!(older.request("tasks/list", json!({})).await.code(), -32601);
        let tools = older.request("tools/list", json!({})).await;
        assert!(tools.result()["tools"][0]["execution"].is_null());
        // `task` means nothing there, and a tool that wants to be a task is simply run.
        let params = json!({ "name": "task_only", "arguments": {}, "task": { "ttl": 1000 } });
        assert_eq!(
            older.request("tools/call", params).await.result()["isError"],
            false
        );
    }
    let unknown = Legacy::open_as(fleet.endpoint(), "1999-01-01").await;
    assert_eq!(unknown.revision, "2025-11-25");
}

#[tokio::test]
async fn callers_that_cannot_be_told_apart_list_nothing() {
    let fleet = Fleet::start().await;
    let session = Legacy::open(fleet.endpoint()).await;
    assert!(session.opened["capabilities"]["tasks"]["list"].is_null());
    let refused = session.request("tasks/list", json!({})).await;
    assert_eq!(refused.code(), -32601);
    assert!(
        refused.message().contains("single_user"),
        "{}",
        refused.text
    );
}

#[tokio::test]
async fn a_session_is_served_by_any_replica_until_it_is_deleted() {
    let fleet = Fleet::start().await;
    let [first, second] = [0, 1].map(|n| fleet.replicas[n].endpoint.clone());
    let session = Legacy::open(&first).await;
    let elsewhere = session.at(&second);
    assert_eq!(
        *elsewhere.request("ping", json!({})).await.result(),
        json!({})
    );
    let ended = elsewhere.send(Method::DELETE, None).await;
    assert_eq!(ended.status, StatusCode::NO_CONTENT);
    let after = session.request("ping", json!({})).await;
    assert_eq!(after.status, StatusCode::NOT_FOUND);
    assert_eq!(
        session.send(Method::DELETE, None).await.status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn tools_say_how_they_may_be_called_and_are_held_to_it() {
    let fleet = Fleet::start().await;
    let session = Legacy::open(fleet.endpoint()).await;
    let tools = session.request("tools/list", json!({})).await.result()["tools"].clone();
    let support = |name: &str| {
        let tool = tools
            .as_array()
            .unwrap()
            .iter()
            .find(|tool| tool["name"] == name)
            .unwrap();
        tool["execution"]["taskSupport"].clone()
    };
    assert_eq!(support("task_only"), "required");
    assert_eq!(support("never_task"), "forbidden");
    assert_eq!(support("echo"), "optional");
    assert_eq!(session.call("task_only", json!({})).await.code(), -32601);
    let as_task = json!({ "name": "never_task", "arguments": {}, "task": {} });
    assert_eq!(session.request("tools/call", as_task).await.code(), -32601);
    assert_eq!(
        session.call("never_task", json!({})).await.result()["content"][0]["text"],
        "done"
    );
    assert_eq!(session.call("no_such_tool", json!({})).await.code(), -32602);
    let id = session.start("task_only", json!({}), 60_000).await;
    session.until(&id, "completed").await;
}

#[tokio::test]
async fn arguments_that_do_not_fit_queue_nothing() {
    let fleet = Fleet::start().await;
    let session = Legacy::open(fleet.endpoint()).await;
    let wrong = json!({ "month": "Brumaire" });
    let plain = session.call(REPORT, wrong.clone()).await;
    assert_eq!(
        plain.result()["isError"],
        true,
        "a model can mend this, so it is told as a tool error"
    );
    assert!(
        plain.result()["content"][0]["text"]
            .as_str()
            .unwrap()
            .contains("/month")
    );
    let params = json!({ "name": REPORT, "arguments": wrong, "task": {} });
    let refused = session.request("tools/call", params).await;
    assert_eq!(refused.code(), -32602);
    let negative = json!({ "name": REPORT, "arguments": january(), "task": { "ttl": -1 } });
    assert_eq!(session.request("tools/call", negative).await.code(), -32602);
    assert_eq!(records(&fleet).await.len(), 0, "nothing was queued");
}

#[tokio::test]
async fn a_tool_error_is_a_failed_task_whose_result_can_be_read() {
    let fleet = Fleet::start().await;
    let session = Legacy::open(fleet.endpoint()).await;
    let id = session.start("fail", json!({}), 60_000).await;
    let task = session.until(&id, "failed").await;
    assert_eq!(task["statusMessage"], "the printer is out of paper");
    let result = session.result_of(&id).await;
    assert_eq!(result.result()["isError"], true);
    assert_eq!(
        result.result()["content"][0]["text"],
        "the printer is out of paper"
    );
}

#[tokio::test]
async fn a_task_that_ended_cannot_be_cancelled() {
    let fleet = Fleet::start().await;
    let session = Legacy::open(fleet.endpoint()).await;
    let id = session.start("echo", json!({ "text": "x" }), 60_000).await;
    session.until(&id, "completed").await;
    let refused = session
        .request("tasks/cancel", json!({ "taskId": id }))
        .await;
    assert_eq!(refused.code(), -32602);
    assert!(
        refused.message().contains("completed"),
        "{}",
        refused.message()
    );
    session.until(&id, "completed").await;
}

#[tokio::test]
async fn one_user_lists_tasks_page_by_page() {
    let fleet = Fleet::start_with(&["--single-user", "true"], &[]).await;
    let session = Legacy::open(fleet.endpoint()).await;
    let mut created = Vec::new();
    for n in 0..60 {
        created.push(
            session
                .start("echo", json!({ "text": n.to_string() }), 600_000)
                .await,
        );
    }
    let mut listed = Vec::new();
    let mut params = json!({});
    loop {
        let page = session.request("tasks/list", params).await.result().clone();
        let ids = page["tasks"].as_array().unwrap().iter();
        listed.extend(ids.map(|task| task["taskId"].as_str().unwrap().to_owned()));
        let Some(cursor) = page["nextCursor"].as_str() else {
            break;
        };
        params = json!({ "cursor": cursor });
    }
    created.sort();
    listed.sort();
    assert_eq!(listed, created);
    let refused = session
        .request("tasks/list", json!({ "cursor": "made up" }))
        .await;
    assert_eq!(refused.code(), -32602);
}

#[tokio::test]
async fn a_results_bytes_pass_through() {
    let fleet = Fleet::start_with(&["--stream-after", "60s"], &[]).await;
    let session = Legacy::open(fleet.endpoint()).await;
    let result = r#"{"zebra":1.10, "content":[ {"type":"text","text":"é\u00e9"} ],"a":[1e3,  2]}"#;
    let answer = session.call("verbatim", json!({ "result": result })).await;
    let expected = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{result}}}"#);
    assert_eq!(answer.text, expected);
}

#[tokio::test]
async fn a_result_on_a_stream_has_no_characters_that_readers_take_for_line_ends() {
    let fleet = Fleet::start_with(&["--stream-after", "1ms"], &[]).await;
    let session = Legacy::open(fleet.endpoint()).await;
    let text = "a\u{2028}b\u{2029}c\u{85}d — é";
    let result = json!({ "content": [{ "type": "text", "text": text }] });
    let arguments = json!({ "result": result.to_string() });
    let what = "an answer that is streamed";
    let answer = eventually_some(SOON, what, async || {
        let answer = session.call("verbatim", arguments.clone()).await;
        answer.streamed.then_some(answer)
    })
    .await;
    assert_eq!(*answer.result(), result);
    assert!(
        answer.text.contains(r"a\u2028b\u2029c\u0085d — é"),
        "{}",
        answer.text
    );
    for end in ['\u{2028}', '\u{2029}', '\u{85}'] {
        assert!(!answer.text.contains(end), "{end:?} in {}", answer.text);
    }
    // Alone, a result passes byte for byte.
    let patient = Replica::start(&fleet.redis.url(), &["--stream-after", "60s"]).await;
    let session = session.at(&patient.endpoint);
    let id = session.start("verbatim", arguments, 60_000).await;
    session.until(&id, "completed").await;
    let whole = session.result_of(&id).await;
    assert!(
        !whole.streamed && whole.text.contains(text),
        "{}",
        whole.text
    );
}

#[tokio::test]
async fn a_plain_call_that_takes_long_becomes_a_stream_with_progress() {
    let fleet = Fleet::start_with(&["--stream-after", "200ms", "--keep-alive", "300ms"], &[]).await;
    let session = Legacy::open(&fleet.replicas[0].endpoint).await;
    let folder = tempfile::tempdir().unwrap();
    let arguments = json!({ "seconds": 5, "folder": folder.path() });
    let params =
        json!({ "name": "nap", "arguments": arguments, "_meta": { "progressToken": "p-1" } });
    let answer = session.request("tools/call", params).await;
    assert!(answer.streamed, "{}", answer.text);
    assert_eq!(answer.headers["x-accel-buffering"], "no");
    assert!(answer.text.contains(": keep-alive\n\n"), "{}", answer.text);
    let progress: Vec<f64> = answer
        .before
        .iter()
        .map(|told| {
            assert_eq!(told["method"], "notifications/progress");
            assert_eq!(told["params"]["progressToken"], "p-1");
            assert_eq!(told["params"]["total"], 2.0);
            told["params"]["progress"].as_f64().unwrap()
        })
        .collect();
    assert!(
        progress.first() == Some(&1.0) && progress.is_sorted(),
        "{progress:?}"
    );
    assert_eq!(answer.result()["isError"], false);
}

#[tokio::test]
async fn the_sessions_stream_tells_when_the_tools_change() {
    let fleet = Fleet::start().await;
    let session = Legacy::open(&fleet.replicas[0].endpoint).await;
    let mut stream = Stream::get(&session).await;
    register(&fleet.redis, "late", &json!({ "type": "object" })).await;
    stream.until("notifications/tools/list_changed").await;
    let tools = session.request("tools/list", json!({})).await.result()["tools"].to_string();
    assert!(tools.contains("\"late\""), "{tools}");
}
