//! 2025-11-25: a session, tasks by request, results by tasks/result, questions as requests.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::legacy_http::{REVISION, post, reply};
use super::listener::listen;
use super::{World, failure, is_missing, not_accepted, outcome, text};
use crate::history::{Outcome, What};
use crate::http::{Messages, PATIENT, PROMPT, Unanswered, is_answer};
use crate::plan::Call;

/// One client with one session at a time.
#[derive(Debug)]
pub(crate) struct Legacy {
    world: Arc<World>,
    session: Option<String>,
    requests: u64,
    /// Whether it keeps the session's own stream open; else questions come on blocked requests.
    listens: bool,
    listener: JoinSet<()>,
}

impl Legacy {
    pub(super) fn new(world: &Arc<World>, listens: bool) -> Self {
        Self {
            world: Arc::clone(world),
            session: None,
            requests: 0,
            listens,
            listener: JoinSet::new(),
        }
    }

    /// Creates a task.
    pub(super) async fn begin(&mut self, call: &Call) -> Result<(String, What), Unanswered> {
        let params = json!({
            "name": call.tool, "arguments": call.arguments, "task": { "ttl": call.ttl_ms },
            "_meta": call.meta(),
        });
        let message = self.request("tools/call", params).await?.answer().await?;
        let task = message.pointer("/result/task").cloned().unwrap_or_default();
        let id = text(&task, "taskId").to_owned();
        let ttl = task.get("ttl").and_then(Value::as_u64);
        Ok(match ttl {
            Some(ttl_ms) if !id.is_empty() => (id, What::Accepted { ttl_ms }),
            _ => (id, not_accepted(&message)),
        })
    }

    /// Makes a plain call and answers what it asks on the way. It may be cancelled by a notification meanwhile.
    pub(super) async fn plain(&mut self, call: &Call) -> Result<What, Unanswered> {
        let session = match &self.session {
            Some(session) => session.clone(),
            None => self.open().await?,
        };
        let notification = json!({
            "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": self.requests + 1 },
        });
        let world = Arc::clone(&self.world);
        let params = json!({ "name": call.tool, "arguments": call.arguments });
        let message = tokio::select! {
            message = self.conversation("tools/call", params) => message?,
            never = async {
                world.cancels_plain(call).await;
                let request = post(&world, &notification).header("mcp-session-id", session);
                let _lost_as_any = Messages::of(&world.recorder, request, PROMPT).await;
                std::future::pending().await
            } => never,
        };
        Ok(match message.get("result") {
            Some(result) => What::Answered(outcome(result.clone())),
            None => What::Answered(failure(message.get("error").unwrap_or(&Value::Null))),
        })
    }

    /// Where a task stands; of one that ended, how.
    pub(super) async fn look(&mut self, task: &str) -> Result<What, Unanswered> {
        let params = json!({ "taskId": task });
        let message = self.request("tasks/get", params).await?.answer().await?;
        if is_missing(&message) {
            return Ok(What::Missing);
        }
        let view = message.get("result").ok_or(Unanswered::Broken)?;
        match text(view, "status") {
            "cancelled" => Ok(What::Ended(Outcome::Cancelled)),
            "completed" | "failed" => self.result(task).await,
            status => Ok(What::Runs {
                status: status.to_owned(),
                message: text(view, "statusMessage").to_owned(),
            }),
        }
    }

    async fn result(&mut self, task: &str) -> Result<What, Unanswered> {
        let params = json!({ "taskId": task });
        let message = self.request("tasks/result", params).await?.answer().await?;
        // It may expire between the two requests.
        if is_missing(&message) {
            return Ok(What::Missing);
        }
        Ok(What::Ended(match message.get("result") {
            Some(result) => outcome(result.clone()),
            None => failure(message.get("error").unwrap_or(&Value::Null)),
        }))
    }

    /// Waits for the task's question and answers it.
    pub(super) async fn answer(&mut self, task: &str) -> Result<(), Unanswered> {
        let params = json!({ "taskId": task });
        self.conversation("tasks/result", params).await.map(drop)
    }

    pub(super) async fn cancel(&mut self, task: &str) -> Result<(), Unanswered> {
        let params = json!({ "taskId": task });
        let mut messages = self.request("tasks/cancel", params).await?;
        messages.answer().await.map(drop)
    }

    /// A request that waits for a job; every question on its stream is answered, over any replica.
    async fn conversation(&mut self, method: &str, params: Value) -> Result<Value, Unanswered> {
        let mut messages = self.request(method, params).await?;
        loop {
            let message = messages.next().await?;
            if is_answer(&message) {
                return Ok(message);
            }
            if text(&message, "method") == "elicitation/create" {
                let session = self.session.clone().unwrap_or_default();
                reply(&self.world, &session, &message).await?;
                self.world.recorder.answered("blocked request");
            }
        }
    }

    async fn request(&mut self, method: &str, params: Value) -> Result<Messages, Unanswered> {
        let session = match &self.session {
            Some(session) => session.clone(),
            None => self.open().await?,
        };
        self.requests += 1;
        let id = self.requests;
        let body = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        let waits = ["tools/call", "tasks/result"].contains(&method);
        let patience = if waits { PATIENT } else { PROMPT };
        let request = post(&self.world, &body).header("mcp-session-id", session);
        let sent = Messages::of(&self.world.recorder, request, patience).await;
        if matches!(sent, Err(Unanswered::NoSession)) {
            self.session = None;
        }
        sent
    }

    async fn open(&mut self) -> Result<String, Unanswered> {
        let params = json!({
            "protocolVersion": REVISION, "capabilities": { "elicitation": {} },
            "clientInfo": { "name": "chaos", "version": "1" },
        });
        let body = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params });
        let opened = Messages::of(&self.world.recorder, post(&self.world, &body), PROMPT);
        let session = opened.await?.session().ok_or(Unanswered::Broken)?;
        let body = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
        let request = post(&self.world, &body).header("mcp-session-id", &session);
        Messages::of(&self.world.recorder, request, PROMPT).await?;
        self.session = Some(session.clone());
        if self.listens {
            self.listener.abort_all();
            let world = Arc::clone(&self.world);
            self.listener.spawn(listen(world, session.clone()));
        }
        Ok(session)
    }
}
