//! A client's responses to requests of this server: answers to questions, and reports of the tasks by which it answers.

use serde_json::value::RawValue;
use taskferry_contract::QuestionRef;

use crate::bridge::{Bridge, BridgeError};
use crate::identity::Caller;
use crate::mcp::edge::Edge;
use crate::mcp::jsonrpc::Response;
use crate::mcp::legacy::client_task::{self, Addressee};
use crate::mcp::legacy::own_request::{self, OwnRequest};
use crate::mcp::legacy::receiver::Receiver;
use crate::mcp::legacy::session::Opened;
use crate::mcp::protocol::refusal::Refusal;

/// Takes a client's response. One that answers no request of this server changes nothing.
pub(super) async fn take(
    edge: &Edge,
    caller: &Caller,
    session: &Opened,
    response: &Response<'_>,
) -> Result<(), Refusal> {
    let bridge = &edge.bridge;
    let id = response.id.and_then(own_request::text);
    let Some(OwnRequest { task, key, about }) = id.as_deref().and_then(OwnRequest::read) else {
        return Ok(());
    };
    edge.allow_if_task(caller, task).await?;
    let addressee = Addressee {
        question: QuestionRef {
            task,
            owner: &caller.owner,
            key,
        },
        session: session.id,
    };
    let taken = match (about, response.outcome) {
        (Some(about), outcome) => {
            client_task::note_poll_response(bridge, addressee, about, outcome).await
        }
        (None, Ok(result)) => answer(bridge, addressee, session, result).await,
        (None, Err(error)) => {
            let error = format!("{{\"error\":{}}}", error.get());
            bridge
                .questions()
                .answer(task, &caller.owner, &[(key, &error)])
                .await
        }
    };
    match taken {
        // The task may have ended while the client thought.
        Err(BridgeError::NotFound) => {
            bridge.rates().failed(&caller.owner, 1).await;
            Ok(())
        }
        taken => Ok(taken?),
    }
}

async fn answer(
    bridge: &Bridge,
    addressee: Addressee<'_>,
    session: &Opened,
    result: &RawValue,
) -> Result<(), BridgeError> {
    let may_be_task = Receiver::of(&session.session).is_any();
    if may_be_task && client_task::made(bridge, addressee, result).await? {
        return Ok(());
    }
    let result = client_task::object(result);
    let question = addressee.question;
    let answers = [(question.key, result.as_ref())];
    bridge
        .questions()
        .answer(question.task, question.owner, &answers)
        .await
}
