//! Whether a caller has the scopes for what it asks for.

use taskferry_contract::TaskId;

use crate::bridge::BridgeError;
use crate::identity::{Caller, Needs};
use crate::mcp::edge::Edge;
use crate::mcp::protocol::refusal::Refusal;

/// Refuses what needs more scopes than the caller has: all that are needed are named at once, so that its client asks its
/// issuer once.
pub(in crate::mcp) fn allow(caller: &Caller, needs: Needs<'_>) -> Result<(), Refusal> {
    let lacking = caller.scopes.lacks(needs);
    lacking.map_or(Ok(()), |needs| Err(Refusal::lacks_scopes(needs)))
}

impl Edge {
    /// The scopes that are needed for all that can be done with a task of the caller's, if it lacks some. Which these are is
    /// for the task's tool to say; of a tool that is registered no more, nothing is known.
    pub(in crate::mcp) async fn lacks_for_task(
        &self,
        caller: &Caller,
        id: TaskId,
    ) -> Result<Option<Vec<String>>, BridgeError> {
        if !caller.scopes.are_limited() {
            return Ok(None);
        }
        let view = self.bridge.tasks().poll(id, &caller.owner).await?;
        let tool = self.bridge.catalog().find(&view.tool).await?;
        let of_tool = tool.as_ref().map(|tool| &*tool.definition.task_scopes);
        Ok(caller
            .scopes
            .lacks(Needs::of_tasks(of_tool.unwrap_or_default())))
    }

    /// Refuses anything with a task of the caller's for which the caller lacks scopes.
    pub(in crate::mcp) async fn allow_task(
        &self,
        caller: &Caller,
        id: TaskId,
    ) -> Result<(), Refusal> {
        let lacking = self.lacks_for_task(caller, id).await?;
        lacking.map_or(Ok(()), |needs| Err(Refusal::lacks_scopes(needs)))
    }
}
