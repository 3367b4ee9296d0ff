//! Tools that are registered, and that no front end lists.

use taskferry_contract::{LeftOut, Registry};

use crate::bridge::Tool;

/// What front ends do not list, though it is registered: the same code admits it here as there.
pub(super) fn refused(registry: &Registry) -> Vec<LeftOut> {
    let unusable = registry.tools.iter().filter_map(|tool| {
        let reason = Tool::new(tool.clone()).err()?;
        Some(LeftOut {
            tool: tool.name.to_string(),
            queue: tool.queue.to_string(),
            reason,
        })
    });
    unusable.chain(registry.left_out.iter().cloned()).collect()
}
