//! The MCP client as the tests use it: it shows everything it gets, holds every message against the schemas, and fails the
//! test that it cannot serve.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use taskferry_client::legacy::{self, Session};
use taskferry_client::sse::Events;
use taskferry_client::{
    Call, Declaration, HeaderMap, Http, LEGACY, MODERN, Method, Reply, Request, StatusCode, TASKS,
    modern, task,
};
use taskferry_testing::eventually_some;

use crate::schema::{check, check_exchange};

/// How long an answer may take to its end.
const PATIENCE: Duration = Duration::from_secs(60);

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

/// One HTTP request to `endpoint`, over a connection of its own, with headers that need not be what any client sends.
pub(crate) async fn http(
    method: Method,
    endpoint: &str,
    headers: &[(&str, &str)],
    body: Option<String>,
) -> Answer {
    let given = headers
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let request = Request {
        method,
        headers: given.collect(),
        body: body.unwrap_or_default().into_bytes(),
    };
    send(endpoint, &request).await
}

/// Sends a request over a connection of its own, and reads all that comes back.
pub(crate) async fn send(endpoint: &str, request: &Request) -> Answer {
    send_over(&Http::new().unwrap(), endpoint, request).await
}

/// Sends a request, and reads all that comes back.
pub(crate) async fn send_over(http: &Http, endpoint: &str, request: &Request) -> Answer {
    let http = http.within(PATIENCE);
    let mut reply = http.send(endpoint, request).await.unwrap();
    let text = reply.text().await.unwrap();
    let streamed = reply.is_stream();
    let mut messages = if streamed { events(&text) } else { Vec::new() };
    let body = if streamed {
        messages.pop().unwrap_or_default()
    } else {
        serde_json::from_str(&text).unwrap_or_default()
    };
    Answer {
        status: reply.status(),
        headers: reply.headers().clone(),
        body,
        before: messages,
        streamed,
        text,
    }
}

/// Sends a request over a connection of its own; what comes back is read as it comes.
pub(crate) async fn open(endpoint: &str, request: &Request) -> Reply {
    let http = Http::new().unwrap();
    http.send(endpoint, request).await.unwrap()
}

/// What a GET is answered with.
pub(crate) async fn get(url: &str) -> Answer {
    http(Method::GET, url, &[], None).await
}

/// Whether somebody listens there and answers a GET with 200.
pub(crate) async fn is_up(url: &str) -> bool {
    is_up_over(&Http::new().unwrap(), url).await
}

/// The same by a client of one's own.
pub(crate) async fn is_up_over(http: &Http, url: &str) -> bool {
    let reply = http.send(url, &Request::new(Method::GET)).await;
    reply.is_ok_and(|reply| reply.status() == StatusCode::OK)
}

/// A client that speaks TLS if `ca` is the file of the certificates that it trusts.
pub(crate) fn http_trusting(ca: Option<&Path>) -> Http {
    let http = match ca {
        Some(ca) => Http::trusting(&std::fs::read(ca).unwrap(), None),
        None => Http::new(),
    };
    http.unwrap()
}

/// The messages of an event stream.
pub(crate) fn events(text: &str) -> Vec<Value> {
    let all = Events::of(text).into_iter();
    all.filter(|event| !event.data.is_empty())
        .map(|event| serde_json::from_str(&event.data).unwrap())
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
    /// The token or key that it sends, if it has one.
    pub(crate) credential: Option<String>,
}

impl Legacy {
    pub(crate) async fn open(endpoint: &str) -> Self {
        Self::open_as(endpoint, LEGACY).await
    }

    /// One whose client knows tasks.
    pub(crate) async fn open_with_tasks(endpoint: &str) -> Self {
        Self::open_with(endpoint, LEGACY, json!({ "tasks": {} })).await
    }

    pub(crate) async fn open_as(endpoint: &str, revision: &str) -> Self {
        Self::open_with(endpoint, revision, json!({})).await
    }

    pub(crate) async fn open_with(endpoint: &str, revision: &str, capabilities: Value) -> Self {
        let (session, body, answer) =
            Self::initialize(endpoint, revision, capabilities, None).await;
        check_exchange(&session.revision, Some(&body), &answer);
        session.initialized().await
    }

    /// One that sends a token or a key, of a client that knows tasks.
    pub(crate) async fn open_by(endpoint: &str, credential: &str) -> Self {
        let tasks = json!({ "tasks": {} });
        let (session, _, _) = Self::initialize(endpoint, LEGACY, tasks, Some(credential)).await;
        session.initialized().await
    }

    /// The same of another revision.
    pub(crate) async fn open_as_by(endpoint: &str, revision: &str, credential: &str) -> Self {
        let (session, _, _) =
            Self::initialize(endpoint, revision, json!({}), Some(credential)).await;
        session.initialized().await
    }

    /// The same session, with another token or key, or none.
    pub(crate) fn by(&self, credential: Option<&str>) -> Self {
        Self {
            credential: credential.map(str::to_owned),
            ..self.clone()
        }
    }

    /// One whose capabilities need not be what a schema allows.
    pub(crate) async fn open_with_any(endpoint: &str, revision: &str, capabilities: Value) -> Self {
        let (session, _, _) = Self::initialize(endpoint, revision, capabilities, None).await;
        session.initialized().await
    }

    async fn initialize(
        endpoint: &str,
        revision: &str,
        capabilities: Value,
        credential: Option<&str>,
    ) -> (Self, String, Answer) {
        let request = legacy::initialize(revision, &Declaration::new("test", capabilities));
        let request = authorized(request, credential);
        let answer = send(endpoint, &request).await;
        let id = answer.headers["mcp-session-id"].to_str().unwrap();
        let opened = answer.result().clone();
        let session = Self {
            endpoint: endpoint.to_owned(),
            session: id.to_owned(),
            revision: opened["protocolVersion"].as_str().unwrap().to_owned(),
            opened,
            credential: credential.map(str::to_owned),
        };
        (session, String::from_utf8(request.body).unwrap(), answer)
    }

    async fn initialized(self) -> Self {
        let told = self.exchange(&self.speaks().initialized()).await;
        assert_eq!(told.status, StatusCode::ACCEPTED);
        self
    }

    /// What makes the requests of this session.
    pub(crate) fn speaks(&self) -> Session {
        Session {
            id: self.session.clone(),
            revision: self.revision.clone(),
        }
    }

    /// The same session by another address.
    pub(crate) fn at(&self, endpoint: &str) -> Self {
        Self {
            endpoint: endpoint.to_owned(),
            ..self.clone()
        }
    }

    /// A request with the session's token or key.
    pub(crate) fn signed(&self, request: Request) -> Request {
        authorized(request, self.credential.as_deref())
    }

    pub(crate) async fn send(&self, method: Method, body: Option<String>) -> Answer {
        let answer = self.send_anything(method, body.clone()).await;
        check_exchange(&self.revision, body.as_deref(), &answer);
        answer
    }

    /// Sends what no schema allows although it is taken.
    pub(crate) async fn send_anything(&self, method: Method, body: Option<String>) -> Answer {
        let mut request = Request::post(&Value::Null).with_body(body.unwrap_or_default());
        request.method = method;
        let request = self.signed(self.speaks().mark(request));
        send(&self.endpoint, &request).await
    }

    /// Takes back the request of this id.
    pub(crate) async fn cancel(&self, request: u64) {
        let taken = self.exchange(&self.speaks().cancel(request)).await;
        assert_eq!(taken.status, StatusCode::ACCEPTED, "{}", taken.text);
    }

    pub(crate) async fn request(&self, method: &str, params: Value) -> Answer {
        self.exchange(&self.speaks().request(1, method, params))
            .await
    }

    async fn exchange(&self, request: &Request) -> Answer {
        let request = &self.signed(request.clone());
        let answer = send(&self.endpoint, request).await;
        check_exchange(&self.revision, sent(request), &answer);
        answer
    }

    pub(crate) async fn call(&self, tool: &str, arguments: Value) -> Answer {
        self.request("tools/call", Call::new(tool, arguments).params())
            .await
    }

    /// Creates a task; its id.
    pub(crate) async fn start(&self, tool: &str, arguments: Value, ttl: u64) -> String {
        let call = Call::new(tool, arguments).as_task(Some(ttl));
        let answer = self.request("tools/call", call.params()).await;
        let task = &answer.result()["task"];
        assert_eq!(task["status"], "working", "{task:#}");
        task["taskId"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn task(&self, id: &str) -> Value {
        let answer = self.request("tasks/get", task(id)).await;
        answer.result().clone()
    }

    pub(crate) async fn result_of(&self, id: &str) -> Answer {
        self.request("tasks/result", task(id)).await
    }

    /// Polls until the task has `status`.
    pub(crate) async fn until(&self, id: &str, status: &str) -> Value {
        until(id, status, async || self.task(id).await).await
    }
}

/// A modern client: no session, every request stands for itself.
#[derive(Debug, Clone)]
pub(crate) struct Modern {
    pub(crate) endpoint: String,
    pub(crate) capabilities: Value,
    /// The token or key that it sends, if it has one.
    pub(crate) credential: Option<String>,
    /// The file of the certificates that it trusts, if it speaks TLS.
    pub(crate) ca: Option<PathBuf>,
}

impl Modern {
    /// One that takes tasks.
    pub(crate) fn with_tasks(endpoint: &str) -> Self {
        Self::with(endpoint, json!({ "extensions": { TASKS: {} } }))
    }

    /// The same client by another address.
    pub(crate) fn at(&self, endpoint: &str) -> Self {
        Self {
            endpoint: endpoint.to_owned(),
            ..self.clone()
        }
    }

    /// The same client with another token or key, or none.
    pub(crate) fn by(&self, credential: Option<&str>) -> Self {
        Self {
            credential: credential.map(str::to_owned),
            ..self.clone()
        }
    }

    pub(crate) fn with(endpoint: &str, capabilities: Value) -> Self {
        Self {
            endpoint: endpoint.to_owned(),
            capabilities,
            credential: None,
            ca: None,
        }
    }

    /// The same client, which speaks TLS if `ca` is the file of the certificates that it trusts.
    pub(crate) fn trusting(self, ca: Option<&Path>) -> Self {
        Self {
            ca: ca.map(Path::to_owned),
            ..self
        }
    }

    /// A connection of its own.
    fn http(&self) -> Http {
        http_trusting(self.ca.as_deref())
    }

    pub(crate) async fn request(&self, method: &str, params: Value) -> Answer {
        self.request_with(method, params, &[]).await
    }

    /// A request with some headers changed: an empty value leaves the header out.
    pub(crate) async fn request_with(
        &self,
        method: &str,
        params: Value,
        changed: &[(&str, &str)],
    ) -> Answer {
        let request = self.made(method, params).with_all(changed);
        let answer = send_over(&self.http(), &self.endpoint, &request).await;
        check_exchange(MODERN, sent(&request), &answer);
        answer
    }

    /// Opens a request's event stream.
    pub(crate) async fn open(&self, method: &str, params: Value) -> Reply {
        let request = self.made(method, params);
        check(
            MODERN,
            None,
            &serde_json::from_slice(&request.body).unwrap(),
        );
        self.http().send(&self.endpoint, &request).await.unwrap()
    }

    pub(crate) fn made(&self, method: &str, params: Value) -> Request {
        let client = Declaration::new("test", self.capabilities.clone());
        let request = modern::request(&client, 1, method, params);
        authorized(request, self.credential.as_deref())
    }

    pub(crate) async fn call(&self, tool: &str, arguments: Value) -> Answer {
        self.request("tools/call", Call::new(tool, arguments).params())
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
        let answer = self.request("tasks/get", task(id)).await;
        answer.result().clone()
    }

    /// Polls until the task has `status`.
    pub(crate) async fn until(&self, id: &str, status: &str) -> Value {
        until(id, status, async || self.task(id).await).await
    }
}

/// Polls until the task has `status`.
async fn until(id: &str, status: &str, poll: impl AsyncFn() -> Value) -> Value {
    let what = format!("task {id} is {status}");
    eventually_some(Duration::from_secs(30), &what, async || {
        let task = poll().await;
        (task["status"] == status).then_some(task)
    })
    .await
}

/// The request with a token or a key, if there is one.
pub(crate) fn authorized(request: Request, credential: Option<&str>) -> Request {
    let bearer = credential.map(|credential| format!("Bearer {credential}"));
    match bearer {
        Some(bearer) => request.with_all(&[("authorization", &bearer)]),
        None => request,
    }
}

/// A request's body.
fn sent(request: &Request) -> Option<&str> {
    std::str::from_utf8(&request.body).ok()
}
