//! Which definitions of a tool its workers have: after a change, while old and new ones run beside each other, not all have the
//! one that is registered.

use taskferry_contract::{DefinitionDigest, ToolDefinition, WorkerId};

use super::seen::SeenWorker;

/// Which definitions of a tool the workers have that may begin jobs of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HeldDefinitions {
    /// The one that is registered.
    pub(crate) listed: DefinitionDigest,
    /// How many have that.
    pub(crate) as_listed: usize,
    /// Those that have another, and which.
    pub(crate) others: Vec<(WorkerId, DefinitionDigest)>,
    /// Those that do not say, or not by the rule by which this program makes digests.
    pub(crate) unsaid: Vec<WorkerId>,
}

impl HeldDefinitions {
    /// What these workers have of a tool.
    pub(super) fn of(tool: &ToolDefinition, workers: &[SeenWorker]) -> Self {
        let mut held = Self {
            listed: DefinitionDigest::of(tool),
            as_listed: 0,
            others: Vec::new(),
            unsaid: Vec::new(),
        };
        let name = tool.name.as_str();
        for worker in workers {
            // A worker that has it on another queue runs none of these jobs.
            if !worker.may_run(name) || !worker.info.serves(&tool.queue) {
                continue;
            }
            let id = worker.info.id.clone();
            match worker.info.definition_of(name) {
                Some(digest) if digest == held.listed => held.as_listed += 1,
                Some(digest) if digest.differs(&held.listed) => held.others.push((id, digest)),
                _ => held.unsaid.push(id),
            }
        }
        held
    }

    /// How many workers there are.
    pub(crate) fn workers(&self) -> usize {
        self.as_listed + self.others.len() + self.unsaid.len()
    }
}
