//! What a worker asks of the store.
//!
//! [`flow`] brings entries to workers and jobs to their streams, [`attempt`] is for the job that a worker holds, [`log`] for
//! what that job logs, [`outside`] for what other systems run for it, [`consumers`] for who reads the streams.

pub(crate) mod attempt;
mod consumers;
pub(crate) mod flow;
mod log;
mod outside;
pub(crate) mod replies;
