//! The way to a client of this era: what its job asks ends the request, which the client makes again with the answers.

use serde_json::value::RawValue;
use taskferry_contract::CallDigest;

use crate::bridge::{Bridge, BridgeError, Carried};
use crate::mcp::modern::envelope::lacking;
use crate::mcp::modern::input::returned;
use crate::mcp::modern::questions::input_requests;
use crate::mcp::protocol::capabilities;
use crate::mcp::wait::delivery::{Asked, Delivered, Delivery};

/// Questions end the request.
#[derive(Debug)]
pub(super) struct ReturnDelivery {
    /// A digest that says which call it is.
    pub(super) call: CallDigest,
    /// What the client can be asked, a JSON object.
    pub(super) capabilities: Box<RawValue>,
}

impl Delivery for ReturnDelivery {
    /// `None` if the job asks no longer, or other clients of the same caller are asked.
    async fn ask(&mut self, bridge: &Bridge, asked: Asked<'_>) -> Result<Delivered, BridgeError> {
        let (view, watch, declared) = (asked.view, asked.watch, self.capabilities.get());
        let nothing = || Ok(Delivered::ByMessages(Vec::new()));
        let questions = bridge.questions().open(view.id).await?;
        let Some(first) = questions.first() else {
            return nothing();
        };
        let missing = capabilities::missing_to_be_asked(&first.request, declared);
        let requests = input_requests(questions, declared);
        if !requests.is_empty() {
            let carried = Carried {
                task: Some(view.id),
                joined_as: watch.has_joined().then(|| watch.joined_as()),
                answers: Vec::new(),
                log: asked.log.map(ToOwned::to_owned),
            };
            let sealed = (&carried, &view.owner, &self.call);
            let answer = returned(bridge, asked.request, requests, sealed).await?;
            return Ok(Delivered::ByAnswer(answer));
        }
        if !view.plain {
            return nothing();
        }
        if watch.has_joined() {
            bridge.calls().leave(watch).await?;
        }
        let text = capabilities::text(&view.tool, &missing);
        let refusal = lacking(text, &missing.into());
        Ok(Delivered::ByAnswer(refusal.answer(asked.request)))
    }
}
