//! Two front ends on one Redis whose callers are others: what one's callers have is nobody's for those of the other.

use serde_json::{Value, json};
use taskferry_client::{Method, StatusCode};

use crate::client::{Legacy, Modern};
use crate::fleet::{Fleet, Replica};
use crate::stream::{Stream, resume};

const UNKNOWN: i64 = -32602;

/// A fleet of callers that cannot be told apart, and beside it a replica with a user of its own.
async fn fleets() -> (Fleet, Replica) {
    let fleet = Fleet::start_with(&["--stream-after", "100ms"], &[]).await;
    let flags = ["--single-user", "true", "--stream-after", "100ms"];
    let single = Replica::start(&fleet.redis.url(), &flags).await;
    single.lists("echo").await;
    (fleet, single)
}

async fn a_session(endpoint: &str) -> Legacy {
    Legacy::open_with(endpoint, "2025-11-25", json!({ "tasks": {} })).await
}

#[tokio::test]
async fn another_owners_task_is_not_found_by_any_method() {
    let (fleet, single) = fleets().await;
    let pairs = [
        (
            fleet.replicas[0].endpoint.as_str(),
            single.endpoint.as_str(),
        ),
        (
            single.endpoint.as_str(),
            fleet.replicas[0].endpoint.as_str(),
        ),
    ];
    for (home, elsewhere) in pairs {
        let own = a_session(home).await;
        let id = own.start("echo", json!({ "text": "mine" }), 60_000).await;
        own.until(&id, "completed").await;

        let params = json!({ "taskId": id });
        let legacy = a_session(elsewhere).await;
        for method in ["tasks/get", "tasks/result", "tasks/cancel"] {
            let refused = legacy.request(method, params.clone()).await;
            assert_eq!(refused.code(), UNKNOWN, "{method}: {}", refused.text);
        }
        let modern = Modern::with_tasks(elsewhere);
        let update = json!({ "taskId": id, "inputResponses": { "x": { "action": "accept" } } });
        for (method, params) in [
            ("tasks/get", params.clone()),
            ("tasks/cancel", params.clone()),
            ("tasks/update", update),
        ] {
            let refused = modern.request(method, params).await;
            assert_eq!(refused.code(), UNKNOWN, "{method}: {}", refused.text);
        }
        let wanted = json!({ "notifications": { "taskIds": [id], "toolsListChanged": true } });
        let mut heard = Stream::of(modern.open("subscriptions/listen", wanted).await);
        let acknowledged = heard.next().await;
        let tasks = &acknowledged["params"]["notifications"]["taskIds"];
        assert!(tasks.is_null() || *tasks == json!([]), "{acknowledged:#}");
        let without_tasks = Modern::with(elsewhere, json!({}));
        for tool in ["task_status", "task_result", "task_cancel"] {
            let refused = without_tasks.call(tool, json!({ "task_id": id })).await;
            assert_eq!(
                refused.result()["isError"],
                true,
                "{tool}: {}",
                refused.text
            );
            assert!(refused.text.contains("no such task"), "{}", refused.text);
        }

        // It is still there for its owner.
        let result = own.result_of(&id).await;
        assert!(result.text.contains("mine"), "{}", result.text);
    }
}

#[tokio::test]
async fn another_owners_session_has_ended_for_all_that_can_be_asked_of_it() {
    let (fleet, single) = fleets().await;
    let pairs = [
        (&fleet.replicas[0].endpoint, &single.endpoint),
        (&single.endpoint, &fleet.replicas[0].endpoint),
    ];
    for (home, elsewhere) in pairs {
        let own = a_session(home).await;
        let stranger = own.at(elsewhere);
        let list = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" }).to_string();
        for (method, body) in [
            (Method::POST, Some(list)),
            (Method::GET, None),
            (Method::DELETE, None),
        ] {
            let refused = stranger.send_anything(method.clone(), body).await;
            assert_eq!(refused.status, StatusCode::NOT_FOUND, "{method}");
        }
        let folder = tempfile::tempdir().unwrap();
        let params = json!({ "name": "paced", "arguments": { "folder": folder.path() } });
        let mut call = Stream::post(&own, 7, "tools/call", params).await;
        call.first_event().await;
        let refused = resume(&stranger, &call.last_id()).await;
        assert_eq!(refused.status(), StatusCode::NOT_FOUND);
        // All of it goes on for its owner.
        (1..=4).for_each(|step| std::fs::write(folder.path().join(step.to_string()), "").unwrap());
        assert_eq!(call.until("result").await["id"], 7);
        let listed: Value = own.request("tools/list", json!({})).await.body;
        assert!(listed["result"]["tools"].is_array(), "{listed:#}");
    }
}
