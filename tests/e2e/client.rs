//! A small MCP client that shows everything it gets: statuses, headers, bodies, streams.

use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use taskferry_testing::eventually_some;

use crate::schema::{check, check_exchange};

/// The extension that has tasks in the modern era.
pub(crate) const TASKS: &str = "io.modelcontextprotocol/tasks";

/// The revision of the modern era.
pub(crate) const MODERN: &str = "2026-07-28";

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// The JSON body, or the last message of a stream; null if there was none.
    pub(crate) body: Value,
    /// The messages of a stream before the last.
    pub(crate) before: Vec<Value>,
    pub(crate) streamed: bool,
    /// The body as it was.
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn result(&self) -> &Value {
        assert!(self.body["error"].is_null(), "an error: {:#}", self.body);
        &self.body["result"]
    }

    /// The code of a JSON-RPC error.
    pub(crate) fn code(&self) -> i64 {
        self.body["error"]["code"]
            .as_i64()
            .unwrap_or_else(|| panic!("no error: {}", self.text))
    }

    pub(crate) fn message(&self) -> &str {
        self.body["error"]["message"].as_str().unwrap_or_default()
    }
}

/// One HTTP request to `endpoint`.
pub(crate) async fn http(
    method: Method,
    endpoint: &str,
    headers: &[(&str, &str)],
    body: Option<String>,
) -> Answer {
    let client = reqwest::Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(60))
        .build()
        .unwrap();
    let mut request = client.request(method, endpoint);
    for (name, value) in headers {
        let name: HeaderName = name.parse().unwrap();
        request = request.header(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    if let Some(body) = body {
        request = request.body(body);
    }
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    let streamed = headers
        .get("content-type")
        .is_some_and(|kind| kind == "text/event-stream");
    let text = response.text().await.unwrap();
    let mut messages = if streamed { events(&text) } else { Vec::new() };
    let body = if streamed {
        messages.pop().unwrap_or_default()
    } else {
        serde_json::from_str(&text).unwrap_or_default()
    };
    Answer {
        status,
        headers,
        body,
        before: messages,
        streamed,
        text,
    }
}

/// The messages of an event stream.
pub(crate) fn events(text: &str) -> Vec<Value> {
    let data = |event: &str| {
        let lines: Vec<&str> = event
            .lines()
            .filter_map(|line| line.strip_prefix("data: "))
            .collect();
        lines.join("\n")
    };
    let all = text.split("\n\n").map(data).filter(|data| !data.is_empty());
    all.map(|data| serde_json::from_str(&data).unwrap())
        .collect()
}

/// A legacy session.
#[derive(Debug, Clone)]
pub(crate) struct Legacy {
    pub(crate) endpoint: String,
    pub(crate) session: String,
    pub(crate) revision: String,
    /// What initialize returned.
    pub(crate) opened: Value,
}

impl Legacy {
    pub(crate) async fn open(endpoint: &str) -> Self {
        Self::open_as(endpoint, "2025-11-25").await
    }

    /// One whose client knows tasks.
    pub(crate) async fn open_with_tasks(endpoint: &str) -> Self {
        Self::open_with(endpoint, "2025-11-25", json!({ "tasks": {} })).await
    }

    pub(crate) async fn open_as(endpoint: &str, revision: &str) -> Self {
        Self::open_with(endpoint, revision, json!({})).await
    }

    pub(crate) async fn open_with(endpoint: &str, revision: &str, capabilities: Value) -> Self {
        let (session, body, answer) = Self::initialize(endpoint, revision, capabilities).await;
        check_exchange(&session.revision, Some(&body), &answer);
        session.initialized().await
    }

    /// One whose capabilities need not be what a schema allows.
    pub(crate) async fn open_with_any(endpoint: &str, revision: &str, capabilities: Value) -> Self {
        let (session, _, _) = Self::initialize(endpoint, revision, capabilities).await;
        session.initialized().await
    }

    async fn initialize(
        endpoint: &str,
        revision: &str,
        capabilities: Value,
    ) -> (Self, String, Answer) {
        let params = json!({
            "protocolVersion": revision, "capabilities": capabilities, "clientInfo": { "name": "test", "version": "1" },
        });
        let body = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params });
        let headers = [("content-type", "application/json")];
        let body = body.to_string();
        let answer = http(Method::POST, endpoint, &headers, Some(body.clone())).await;
        let session = answer.headers["mcp-session-id"]
            .to_str()
            .unwrap()
            .to_owned();
        let opened = answer.result().clone();
        let session = Self {
            endpoint: endpoint.to_owned(),
            session,
            revision: opened["protocolVersion"].as_str().unwrap().to_owned(),
            opened,
        };
        (session, body, answer)
    }

    async fn initialized(self) -> Self {
        let body = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
        let told = self.send(Method::POST, Some(body.to_string())).await;
        assert_eq!(told.status, StatusCode::ACCEPTED);
        self
    }

    /// The same session by another address.
    pub(crate) fn at(&self, endpoint: &str) -> Self {
        Self {
            endpoint: endpoint.to_owned(),
            ..self.clone()
        }
    }

    pub(crate) async fn send(&self, method: Method, body: Option<String>) -> Answer {
        let answer = self.send_anything(method, body.clone()).await;
        check_exchange(&self.revision, body.as_deref(), &answer);
        answer
    }

    /// Takes back the request of this id.
    pub(crate) async fn cancel(&self, request: u64) {
        let params = json!({ "requestId": request, "reason": "enough" });
        let body =
            json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": params });
        let taken = self.send(Method::POST, Some(body.to_string())).await;
        assert_eq!(taken.status, 202, "{}", taken.text);
    }

    /// Sends what no schema allows although it is taken.
    pub(crate) async fn send_anything(&self, method: Method, body: Option<String>) -> Answer {
        let headers = [
            ("content-type", "application/json"),
            ("accept", "application/json, text/event-stream"),
            ("mcp-session-id", &self.session),
            ("mcp-protocol-version", &self.revision),
        ];
        http(method, &self.endpoint, &headers, body).await
    }

    pub(crate) async fn request(&self, method: &str, params: Value) -> Answer {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        self.send(Method::POST, Some(body.to_string())).await
    }

    pub(crate) async fn call(&self, tool: &str, arguments: Value) -> Answer {
        self.request(
            "tools/call",
            json!({ "name": tool, "arguments": arguments }),
        )
        .await
    }

    /// Creates a task; its id.
    pub(crate) async fn start(&self, tool: &str, arguments: Value, ttl: u64) -> String {
        let params = json!({ "name": tool, "arguments": arguments, "task": { "ttl": ttl } });
        let answer = self.request("tools/call", params).await;
        let task = &answer.result()["task"];
        assert_eq!(task["status"], "working", "{task:#}");
        task["taskId"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn task(&self, id: &str) -> Value {
        self.request("tasks/get", json!({ "taskId": id }))
            .await
            .result()
            .clone()
    }

    pub(crate) async fn result_of(&self, id: &str) -> Answer {
        self.request("tasks/result", json!({ "taskId": id })).await
    }

    /// Polls until the task has `status`.
    pub(crate) async fn until(&self, id: &str, status: &str) -> Value {
        let what = format!("task {id} is {status}");
        eventually_some(Duration::from_secs(30), &what, async || {
            let task = self.task(id).await;
            (task["status"] == status).then_some(task)
        })
        .await
    }
}

/// A modern client: no session, every request stands for itself.
#[derive(Debug, Clone)]
pub(crate) struct Modern {
    pub(crate) endpoint: String,
    pub(crate) capabilities: Value,
}

impl Modern {
    /// One that takes tasks.
    pub(crate) fn with_tasks(endpoint: &str) -> Self {
        Self::with(endpoint, json!({ "extensions": { TASKS: {} } }))
    }

    /// The same client by another address.
    pub(crate) fn at(&self, endpoint: &str) -> Self {
        Self::with(endpoint, self.capabilities.clone())
    }

    pub(crate) fn with(endpoint: &str, capabilities: Value) -> Self {
        Self {
            endpoint: endpoint.to_owned(),
            capabilities,
        }
    }

    pub(crate) async fn request(&self, method: &str, params: Value) -> Answer {
        self.request_with(method, params, &[]).await
    }

    /// A request with some headers changed: an empty value leaves the header out.
    pub(crate) async fn request_with(
        &self,
        method: &str,
        mut params: Value,
        changed: &[(&str, &str)],
    ) -> Answer {
        let name = params.get("name").or_else(|| params.get("taskId")).cloned();
        self.tell_who_asks(&mut params);
        let name = name
            .and_then(|name| name.as_str().map(ToOwned::to_owned))
            .unwrap_or_default();
        let mut headers = vec![
            ("content-type", "application/json"),
            ("accept", "application/json, text/event-stream"),
            ("mcp-protocol-version", "2026-07-28"),
            ("mcp-method", method),
            ("mcp-name", name.as_str()),
        ];
        headers.retain(|(name, _)| !changed.iter().any(|(other, _)| other == name));
        headers.extend(changed);
        headers.retain(|(_, value)| !value.is_empty());
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let body = body.to_string();
        let answer = http(Method::POST, &self.endpoint, &headers, Some(body.clone())).await;
        check_exchange(MODERN, Some(&body), &answer);
        answer
    }

    /// Adds what every request carries, unless it is there.
    fn tell_who_asks(&self, params: &mut Value) {
        let meta = json!({
            "io.modelcontextprotocol/protocolVersion": MODERN,
            "io.modelcontextprotocol/clientInfo": { "name": "test", "version": "1" },
            "io.modelcontextprotocol/clientCapabilities": self.capabilities,
        });
        let object = params.as_object_mut().unwrap();
        for (key, value) in meta.as_object().unwrap() {
            let all = object
                .entry("_meta")
                .or_insert_with(|| json!({}))
                .as_object_mut()
                .unwrap();
            all.entry(key).or_insert_with(|| value.clone());
        }
    }

    /// Opens a request's event stream.
    pub(crate) async fn open(&self, method: &str, mut params: Value) -> reqwest::Response {
        self.tell_who_asks(&mut params);
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        check(MODERN, None, &body);
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let mut request = client
            .post(&self.endpoint)
            .header("content-type", "application/json")
            .header("mcp-protocol-version", MODERN)
            .header("mcp-method", method);
        if let Some(name) = params["name"].as_str() {
            request = request.header("mcp-name", name);
        }
        request.body(body.to_string()).send().await.unwrap()
    }

    pub(crate) async fn call(&self, tool: &str, arguments: Value) -> Answer {
        self.request(
            "tools/call",
            json!({ "name": tool, "arguments": arguments }),
        )
        .await
    }

    /// Creates a task; its id.
    pub(crate) async fn start(&self, tool: &str, arguments: Value) -> String {
        let answer = self.call(tool, arguments).await;
        let task = answer.result();
        assert_eq!(task["resultType"], "task", "{task:#}");
        task["taskId"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn task(&self, id: &str) -> Value {
        self.request("tasks/get", json!({ "taskId": id }))
            .await
            .result()
            .clone()
    }

    /// Polls until the task has `status`.
    pub(crate) async fn until(&self, id: &str, status: &str) -> Value {
        let what = format!("task {id} is {status}");
        eventually_some(Duration::from_secs(30), &what, async || {
            let task = self.task(id).await;
            (task["status"] == status).then_some(task)
        })
        .await
    }
}
