//! The transitions: the Lua scripts as Redis runs them, and how their replies are read.

mod header;
mod reply;
mod transition;

pub(crate) use reply::ScriptReply;
pub use transition::sources;
pub(crate) use transition::{CallBy, PRELUDE, TRANSITIONS, Transition, TransitionCall, function};
