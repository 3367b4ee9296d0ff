//! What the transitions of an attempt answer.

use crate::error::Error;
use crate::model::attempt::{Expired, Lost, Refused};
use crate::model::job::Job;
use crate::script::ScriptReply;

/// What became of a claim.
#[derive(Debug)]
pub enum ClaimReply {
    /// The attempt is the caller's.
    Started(Box<Job>),
    /// The record expired; the entry is dropped. `None` if the entry was gone already.
    Gone(Option<Expired>),
    /// Another entry stands for the job; this one is dropped.
    Stale,
    /// The job ended; the entry is dropped.
    AlreadyTerminal,
    /// The job reached its crash limit and is failed and buried, with the attempt that was lost last.
    Poison(Lost),
    /// Its tool is at its concurrency limit, or others wait before it: it is on the stream again when its turn comes. It may
    /// have been taken over from a worker that fell silent.
    Waits(Option<Lost>),
    /// Another attempt holds the job until this time, ms since the epoch.
    Busy {
        /// Until when.
        until_ms: u64,
    },
}

/// What became of a renewal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RenewReply {
    /// The lease runs again in full. Every answer stored so far: key and JSON.
    Renewed(Vec<(String, String)>),
    /// The attempt must stop.
    Refused(Refused),
}

/// What became of questions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AskReply {
    /// They are open, and their answers come with renewals; but for those, key and JSON, that have their answers already.
    Asked(Vec<(String, String)>),
    /// All have their answers already, key and JSON: an earlier attempt asked.
    Answered(Vec<(String, String)>),
    /// The attempt must stop.
    Refused(Refused),
}

/// What became of parking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParkReply {
    /// No worker holds the job until the last open question is answered.
    Parked,
    /// Every question has its answer; go on.
    Answered,
    /// The attempt must stop.
    Refused(Refused),
}

/// What became of the end of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FinishReply {
    /// Stored, acked, deleted.
    Stored,
    /// Nothing was stored: the attempt may not write any more.
    Refused(Refused),
}

/// What became of a retry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryReply {
    /// Another attempt starts at this time, ms since the epoch.
    Scheduled {
        /// When.
        due_ms: u64,
    },
    /// No attempt is left: the outcome is stored, the job is a dead letter.
    Dead,
    /// The attempt must stop.
    Refused(Refused),
}

pub(crate) fn refused(reply: &ScriptReply) -> Result<Refused, Error> {
    match reply.tag.as_str() {
        "CANCELLED" => Ok(Refused::Cancelled),
        "DONE" => Ok(Refused::AlreadyTerminal),
        "GONE" => Ok(Refused::Gone),
        "STALE" => Ok(Refused::LeaseLost),
        _ => Err(reply.unknown()),
    }
}
