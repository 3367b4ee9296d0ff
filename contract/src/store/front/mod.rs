//! What a front end asks of the store.
//!
//! [`submit`] queues jobs; [`task`] reads, watches, lists, promotes and cancels tasks; [`outcome`] reads how they
//! ended; [`input`] puts the questions of jobs to clients and stores their answers; [`client_task`] follows the tasks by which
//! clients answer; [`session`] keeps the sessions of the legacy protocol; [`log`] reads what jobs log.

pub(crate) mod client_task;
pub(crate) mod input;
mod log;
pub(crate) mod outcome;
mod quota;
mod session;
pub(crate) mod submit;
pub(crate) mod task;
