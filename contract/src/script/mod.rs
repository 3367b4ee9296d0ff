//! The transitions: the Lua scripts as Redis runs them, and how their replies are read.

mod reply;
mod transition;

pub(crate) use reply::ScriptReply;
pub use transition::sources;
pub(crate) use transition::{TRANSITIONS, Transition, TransitionCall};
