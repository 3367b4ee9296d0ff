//! A modern client that takes tasks, and can be asked.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use taskferry_client::{Call, Declaration, Http, TASKS, modern, task, update};
use taskferry_testing::eventually_some;

pub(crate) struct Client {
    http: Http,
    url: String,
    declaration: Declaration,
    next: AtomicU64,
}

impl Client {
    pub(crate) fn new(url: String) -> Self {
        let capabilities = json!({ "elicitation": {}, "extensions": { TASKS: {} } });
        Self {
            http: Http::new().unwrap(),
            url,
            declaration: Declaration::new("worker-conformance", capabilities),
            next: AtomicU64::new(1),
        }
    }

    /// The result of a request.
    async fn request(&self, method: &str, params: Value) -> Value {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let request = modern::request(&self.declaration, id, method, params);
        let mut reply = self.http.send(&self.url, &request).await.unwrap();
        let mut answer = reply.answer().await.unwrap();
        assert!(answer.get("error").is_none(), "{method}: {answer}");
        answer["result"].take()
    }

    /// The names of the tools that are offered.
    pub(crate) async fn tools(&self) -> Vec<String> {
        let listed = self.request("tools/list", json!({})).await;
        let tools = listed["tools"].as_array().cloned().unwrap_or_default();
        let names = tools.iter().filter_map(|tool| tool["name"].as_str());
        names.map(str::to_owned).collect()
    }

    /// Calls a tool, and gives the id of its task.
    pub(crate) async fn call(&self, tool: &str, arguments: Value) -> String {
        self.call_with(tool, arguments, json!({})).await
    }

    /// The same with `_meta`.
    pub(crate) async fn call_with(&self, tool: &str, arguments: Value, meta: Value) -> String {
        let call = Call::new(tool, arguments).with_meta(meta);
        let created = self.request("tools/call", call.params()).await;
        match created["taskId"].as_str() {
            Some(id) => id.to_owned(),
            None => panic!("the call of {tool} became no task: {created}"),
        }
    }

    pub(crate) async fn look(&self, id: &str) -> Value {
        self.request("tasks/get", task(id)).await
    }

    pub(crate) async fn cancel(&self, id: &str) {
        self.request("tasks/cancel", task(id)).await;
    }

    /// Answers the one question of a task, once it is asked.
    pub(crate) async fn answer(&self, id: &str, answer: Value, within: Duration) {
        let what = "the worker asks the client";
        let key = eventually_some(within, what, async || {
            let looked = self.look(id).await;
            let asked = looked["inputRequests"].as_object()?.keys().next().cloned();
            asked.filter(|_| looked["status"] == "input_required")
        })
        .await;
        let responses = json!({ key: answer });
        self.request("tasks/update", update(id, &responses)).await;
    }

    /// The task once it ended, with its result.
    pub(crate) async fn ended(&self, id: &str, within: Duration) -> Value {
        eventually_some(within, "the task ends", async || {
            let looked = self.look(id).await;
            let ended = ["completed", "failed", "cancelled"];
            let ended = ended.iter().any(|status| looked["status"] == *status);
            if !ended {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            ended.then_some(looked)
        })
        .await
    }

    /// The text of the result of a call, once it ended well.
    pub(crate) async fn text_of(&self, id: &str, within: Duration) -> String {
        let ended = self.ended(id, within).await;
        assert_eq!(ended["status"], "completed", "{ended}");
        assert_ne!(ended["result"]["isError"], true, "{ended}");
        let text = ended["result"]["content"][0]["text"].as_str();
        text.unwrap_or_else(|| panic!("no text in {ended}"))
            .to_owned()
    }
}
