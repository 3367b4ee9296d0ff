//! Whether a caller has the scopes for what it asks for.

use taskferry_contract::{TaskId, TaskView};

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

/// The scopes that are needed for all that can be done with a task, if its caller lacks some: those that its tool named when
/// it was called.
pub(in crate::mcp) fn lacks_of(caller: &Caller, view: &TaskView) -> Option<Vec<String>> {
    caller.scopes.lacks(Needs::of_tasks(&view.task_scopes))
}

impl Edge {
    /// The same for a task of the caller's by its id.
    pub(in crate::mcp) async fn lacks_for_task(
        &self,
        caller: &Caller,
        id: TaskId,
    ) -> Result<Option<Vec<String>>, BridgeError> {
        if !caller.scopes.are_limited() {
            return Ok(None);
        }
        let view = self.bridge.tasks().poll(id, &caller.owner).await?;
        Ok(lacks_of(caller, &view))
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

    /// The same where the id may be that of a plain call, or of nothing: these are let on.
    pub(in crate::mcp) async fn allow_if_task(
        &self,
        caller: &Caller,
        id: TaskId,
    ) -> Result<(), Refusal> {
        match self.lacks_for_task(caller, id).await {
            Ok(None) | Err(BridgeError::NotFound) => Ok(()),
            Ok(Some(needs)) => Err(Refusal::lacks_scopes(needs)),
            Err(error) => Err(error.into()),
        }
    }

    /// Refuses to show how a plain call of the caller's goes on, for which the caller lacks scopes.
    pub(in crate::mcp) async fn allow_call(
        &self,
        caller: &Caller,
        id: TaskId,
    ) -> Result<(), Refusal> {
        if !caller.scopes.are_limited() {
            return Ok(());
        }
        let resumed = self.bridge.calls().resume(id, &caller.owner, &[]).await;
        let called = match resumed {
            Ok(mut watch) => watch.next().await,
            Err(error) => Err(error),
        };
        match called {
            Ok(view) => {
                let tool = self.bridge.catalog().find(&view.tool).await?;
                let scopes = tool.as_ref().map(|tool| &*tool.definition.scopes);
                allow(caller, Needs::of_call(scopes.unwrap_or_default()))
            }
            Err(BridgeError::NotFound) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
