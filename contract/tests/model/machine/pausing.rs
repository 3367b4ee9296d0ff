//! How operators pause and resume.

use super::Machine;
use crate::operation::{TOOLS, What};
use crate::reply::Reply;

impl Machine {
    pub(crate) fn pause(&mut self, what: What) -> Reply {
        Reply::Paused(self.paused.insert(what))
    }

    pub(crate) fn resume(&mut self, what: What) -> Reply {
        let was = self.paused.remove(&what);
        if was {
            let of = |tool: &usize| what == What::Queue || what == What::Tool(*tool);
            (0..TOOLS).filter(of).for_each(|tool| self.admit(tool));
        }
        Reply::Resumed(was)
    }

    pub(super) fn is_paused(&self, tool: usize) -> bool {
        self.paused.contains(&What::Queue) || self.paused.contains(&What::Tool(tool))
    }
}
