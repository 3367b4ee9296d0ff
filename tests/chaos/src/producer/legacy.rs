//! 2025-11-25: a session, tasks by request, results by tasks/result, questions as requests.

use std::sync::Arc;

use serde_json::{Value, json};
use taskferry_client::legacy::{Session, initialize};
use taskferry_client::{Declaration, LEGACY, Reply, is_answer, task};
use tokio::task::JoinSet;

use super::listener::{listen, reply};
use super::{World, failure, is_missing, made_of, not_accepted, outcome, text};
use crate::history::{Outcome, What};
use crate::http::{PATIENT, PROMPT, Unanswered};
use crate::plan::Call;

/// One client with one session at a time.
#[derive(Debug)]
pub(crate) struct Legacy {
    world: Arc<World>,
    session: Option<Session>,
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
        let made = made_of(call).as_task(call.ttl_ms).with_meta(call.meta());
        let mut reply = self.request("tools/call", made.params()).await?;
        let message = reply.answer().await?;
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
        let session = self.session().await?;
        let cancel = session.cancel(self.requests + 1);
        let world = Arc::clone(&self.world);
        let params = made_of(call).params();
        let message = tokio::select! {
            message = self.conversation("tools/call", params) => message?,
            never = async {
                world.cancels_plain(call).await;
                let _lost_as_any = world.replicas.send(&cancel, PROMPT).await;
                std::future::pending().await
            } => never,
        };
        Ok(match message.get("result") {
            Some(result) => What::Answered(outcome(result.clone())),
            None => What::Answered(failure(message.get("error").unwrap_or(&Value::Null))),
        })
    }

    /// Where a task stands; of one that ended, how.
    pub(super) async fn look(&mut self, id: &str) -> Result<What, Unanswered> {
        let mut reply = self.request("tasks/get", task(id)).await?;
        let message = reply.answer().await?;
        if is_missing(&message) {
            return Ok(What::Missing);
        }
        let view = message.get("result").ok_or(Unanswered::Broken)?;
        match text(view, "status") {
            "cancelled" => Ok(What::Ended(Outcome::Cancelled)),
            "completed" | "failed" => self.result(id).await,
            status => Ok(What::Runs {
                status: status.to_owned(),
                message: text(view, "statusMessage").to_owned(),
            }),
        }
    }

    async fn result(&mut self, id: &str) -> Result<What, Unanswered> {
        let mut reply = self.request("tasks/result", task(id)).await?;
        let message = reply.answer().await?;
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
    pub(super) async fn answer(&mut self, id: &str) -> Result<(), Unanswered> {
        self.conversation("tasks/result", task(id)).await.map(drop)
    }

    pub(super) async fn cancel(&mut self, id: &str) -> Result<(), Unanswered> {
        let mut reply = self.request("tasks/cancel", task(id)).await?;
        reply.answer().await?;
        Ok(())
    }

    /// A request that waits for a job; every question on its stream is answered, over any replica.
    async fn conversation(&mut self, method: &str, params: Value) -> Result<Value, Unanswered> {
        let session = self.session().await?;
        let mut messages = self.request(method, params).await?;
        while let Some(message) = messages.message().await? {
            if is_answer(&message) {
                return Ok(message);
            }
            if text(&message, "method") == "elicitation/create" {
                reply(&self.world, &session, &message).await?;
                self.world.recorder.answered("blocked request");
            }
        }
        Err(Unanswered::Broken)
    }

    async fn request(&mut self, method: &str, params: Value) -> Result<Reply, Unanswered> {
        let session = self.session().await?;
        self.requests += 1;
        let waits = ["tools/call", "tasks/result"].contains(&method);
        let patience = if waits { PATIENT } else { PROMPT };
        let request = session.request(self.requests, method, params);
        let sent = self.world.replicas.send(&request, patience).await;
        if matches!(sent, Err(Unanswered::NoSession)) {
            self.session = None;
        }
        sent
    }

    async fn session(&mut self) -> Result<Session, Unanswered> {
        match &self.session {
            Some(session) => Ok(session.clone()),
            None => self.open().await,
        }
    }

    async fn open(&mut self) -> Result<Session, Unanswered> {
        let client = Declaration::new("chaos", json!({ "elicitation": {} }));
        let replicas = &self.world.replicas;
        let mut reply = replicas.send(&initialize(LEGACY, &client), PROMPT).await?;
        let answer = reply.answer().await?;
        let session = Session::opened(&reply, &answer).ok_or(Unanswered::Broken)?;
        replicas.send(&session.initialized(), PROMPT).await?;
        self.session = Some(session.clone());
        if self.listens {
            self.listener.abort_all();
            let world = Arc::clone(&self.world);
            self.listener.spawn(listen(world, session.clone()));
        }
        Ok(session)
    }
}
