//! The legacy era (2025-11-25 and before): sessions opened by `initialize`, tasks asked for by the client.

mod batch;
mod call;
mod cancel;
mod question;
mod receiver;
mod resume;
mod session;
mod stream;
mod task;
mod telling;

use serde::{Deserialize, Serialize};
use serde_json::json;
use taskferry_contract::UnknownLevel;

use crate::bridge::BridgeError;
use crate::mcp::Mcp;
use crate::mcp::jsonrpc::{self, Message, Request, RpcError};
use crate::mcp::protocol::LEGACY_WITH_TASKS;
use crate::mcp::protocol::inbound::{Caller, Inbound};
use crate::mcp::protocol::outgoing::{Addressable, Method};
use crate::mcp::protocol::refusal::Refusal;
use crate::mcp::protocol::reply::Reply;
use crate::mcp::protocol::wire::{self, Execution, ListedTool};
pub(super) use question::Carrier;
pub(super) use resume::Trail;
use session::Opened;
pub(crate) use session::Sessions;

impl Mcp {
    pub(super) async fn legacy_message(
        &self,
        inbound: &Inbound<'_>,
        message: Message<'_>,
    ) -> Reply {
        match message {
            Message::Request(request) if request.method == "initialize" => {
                self.legacy_initialize(inbound.caller, &request).await
            }
            Message::Request(request) => match self.legacy_session(inbound).await {
                Ok(session) => {
                    self.legacy_request(inbound.caller, &session, &request)
                        .await
                }
                Err(refusal) => Reply::to_request(request.id, Err(refusal)),
            },
            Message::Notification(notification) => {
                let take = async {
                    let session = self.legacy_session(inbound).await?;
                    cancel::notified(&self.bridge, inbound.caller, session.id, &notification)
                        .await?;
                    Ok(())
                };
                taken(take.await)
            }
            Message::Response(response) => {
                let take = async {
                    let session = self.legacy_session(inbound).await?;
                    question::answered(&self.bridge, inbound.caller, &session, &response).await?;
                    Ok(())
                };
                taken(take.await)
            }
        }
    }

    async fn legacy_request(
        &self,
        caller: &Caller,
        session: &Opened,
        request: &Request<'_>,
    ) -> Reply {
        let outcome = match request.method.as_ref() {
            "ping" => Ok(jsonrpc::success(request.id, &json!({}))),
            "logging/setLevel" => self.legacy_set_level(session, request).await,
            "tools/list" => self.legacy_tools(session, request),
            "tools/call" => match self.legacy_call(caller, session, request).await {
                Ok(reply) => return reply,
                Err(refusal) => Err(refusal),
            },
            method if method.starts_with("tasks/") && session.has_tasks() => {
                match self.legacy_task(caller, session, request).await {
                    Ok(reply) => return reply,
                    Err(refusal) => Err(refusal),
                }
            }
            unknown => Err(RpcError::unknown_method(unknown).into()),
        };
        Reply::to_request(request.id, outcome)
    }

    async fn legacy_set_level(
        &self,
        session: &Opened,
        request: &Request<'_>,
    ) -> Result<String, Refusal> {
        #[derive(Deserialize)]
        struct Params {
            level: String,
        }
        let level = request.params::<Params>()?.level;
        let level = level
            .parse()
            .map_err(|unknown: UnknownLevel| RpcError::invalid_params(unknown.to_string()))?;
        let stored = self
            .bridge
            .store()
            .set_session_level(session.id, level)
            .await;
        stored.map_err(BridgeError::from)?;
        Ok(jsonrpc::success(request.id, &json!({})))
    }

    fn legacy_tools(&self, session: &Opened, request: &Request<'_>) -> Result<String, Refusal> {
        #[derive(Serialize)]
        struct ListToolsResult<'a> {
            tools: Vec<ListedTool<'a>>,
        }
        wire::refuse_cursor(request)?;
        let mut tools = self.bridge.catalog().all();
        let ours = self.built_ins(session.knows_tasks()).into_iter();
        tools.extend(ours.map(|(_, tool)| tool));
        let list = |tool| {
            let mut listed = ListedTool::new(tool);
            if session.has_tasks() {
                listed.execution = Some(Execution::of(tool));
            } else {
                // Icons came with tasks (2025-11-25).
                listed.icons = None;
            }
            listed
        };
        let result = ListToolsResult {
            tools: tools.iter().map(|tool| list(tool)).collect(),
        };
        Ok(jsonrpc::success(request.id, &result))
    }
}

impl Opened {
    /// Whether the session's revision has tasks.
    fn has_tasks(&self) -> bool {
        self.session.revision == LEGACY_WITH_TASKS
    }

    /// Whether the client itself has to do with tasks. Its revision alone does not say so.
    fn knows_tasks(&self) -> bool {
        self.client().by(Method::TaskStatus)
    }

    /// By what its client may be addressed.
    fn client(&self) -> Addressable {
        Addressable::new(&self.session.revision, &self.session.capabilities)
    }
}

/// The reply to a message that wants no answer.
fn taken(outcome: Result<(), Refusal>) -> Reply {
    match outcome {
        Ok(()) => Reply::Accepted,
        Err(refusal) => refused(refusal),
    }
}

/// A refusal where there is no request to answer.
fn refused(refusal: Refusal) -> Reply {
    Reply::Json(refusal.of_no_request())
}
