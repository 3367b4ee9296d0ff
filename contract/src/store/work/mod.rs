//! What a worker asks of the store.
//!
//! [`flow`] brings entries to workers and jobs to their streams, [`attempt`] is for the job that a worker holds, [`log`] for
//! what that job logs, [`consumers`] for who reads the streams.

pub(crate) mod attempt;
mod consumers;
pub(crate) mod flow;
mod log;
pub(crate) mod replies;
