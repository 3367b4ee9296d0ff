//! What the store replied, and what the model says it should have: one type for both.

use std::collections::BTreeMap;

use taskferry_contract::{
    AnswerReply, AskReply, CancelReply, ClaimReply, FinishReply, LeaveReply, ParkReply, Refused,
    RenewReply, RetryReply,
};

/// Times are left out; tasks and entries are those of the operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reply {
    /// There was nothing to do it with.
    Nothing,
    Queued,
    /// The number of the job that the alias stands for.
    Joined(usize),
    OtherCall,
    QueueFull(u64),
    OwnerLimit(u64),
    /// The number of the job, none for an entry that cannot be read.
    Delivered(Vec<Option<usize>>),
    Started {
        attempt: u64,
        retries: u64,
        crashes: u64,
        answers: BTreeMap<String, String>,
    },
    Poison(u64),
    Waits,
    Busy,
    Gone,
    Stale,
    Terminal,
    Renewed(BTreeMap<String, String>),
    Told,
    /// The answers that were there already.
    Asked(BTreeMap<String, String>),
    Answered(BTreeMap<String, String>),
    Parked,
    NothingOpen,
    Finished,
    Scheduled,
    Dead,
    Refused(Refused),
    Stored(u64),
    Ignored,
    Cancelled,
    Held,
    IsTask,
    Found,
    Forwarded {
        moved: u64,
        more: bool,
    },
    /// Whether it was not paused before.
    Paused(bool),
    /// Whether it was paused.
    Resumed(bool),
    /// Of each job that was found with no worker, its number and what became of it.
    Requeued(Vec<(Option<usize>, Lot)>),
}

/// What became of a job that was found with no worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lot {
    /// It is attempted again; so many workers of it were lost.
    Again(u64),
    Poison(u64),
    Unclaimed,
    Expired,
}

impl Reply {
    /// Whether it says that this call ended the job.
    pub(crate) fn ends(&self) -> bool {
        matches!(
            self,
            Self::Finished | Self::Dead | Self::Cancelled | Self::Poison(_)
        )
    }
}

impl From<&ClaimReply> for Reply {
    fn from(reply: &ClaimReply) -> Self {
        match reply {
            ClaimReply::Started(job) => Self::Started {
                attempt: job.attempt.0,
                retries: job.retries,
                crashes: job.crashes,
                answers: job.answers.clone().into_iter().collect(),
            },
            ClaimReply::Gone(_) => Self::Gone,
            ClaimReply::Stale => Self::Stale,
            ClaimReply::AlreadyTerminal => Self::Terminal,
            ClaimReply::Poison(lost) => Self::Poison(lost.crashes),
            ClaimReply::Waits(_) => Self::Waits,
            ClaimReply::Busy { .. } => Self::Busy,
        }
    }
}

impl From<RenewReply> for Reply {
    fn from(reply: RenewReply) -> Self {
        match reply {
            RenewReply::Renewed(answers) => Self::Renewed(answers.into_iter().collect()),
            RenewReply::Refused(why) => Self::Refused(why),
        }
    }
}

impl From<Result<(), Refused>> for Reply {
    fn from(reply: Result<(), Refused>) -> Self {
        reply.map_or_else(Self::Refused, |()| Self::Told)
    }
}

impl From<AskReply> for Reply {
    fn from(reply: AskReply) -> Self {
        match reply {
            AskReply::Asked(answers) => Self::Asked(answers.into_iter().collect()),
            AskReply::Answered(answers) => Self::Answered(answers.into_iter().collect()),
            AskReply::Refused(why) => Self::Refused(why),
        }
    }
}

impl From<ParkReply> for Reply {
    fn from(reply: ParkReply) -> Self {
        match reply {
            ParkReply::Parked => Self::Parked,
            ParkReply::Answered => Self::NothingOpen,
            ParkReply::Refused(why) => Self::Refused(why),
        }
    }
}

impl From<FinishReply> for Reply {
    fn from(reply: FinishReply) -> Self {
        match reply {
            FinishReply::Stored => Self::Finished,
            FinishReply::Refused(why) => Self::Refused(why),
        }
    }
}

impl From<RetryReply> for Reply {
    fn from(reply: RetryReply) -> Self {
        match reply {
            RetryReply::Scheduled { .. } => Self::Scheduled,
            RetryReply::Dead => Self::Dead,
            RetryReply::Refused(why) => Self::Refused(why),
        }
    }
}

impl From<AnswerReply> for Reply {
    fn from(reply: AnswerReply) -> Self {
        match reply {
            AnswerReply::Stored { open } => Self::Stored(open),
            AnswerReply::Ignored => Self::Ignored,
            AnswerReply::NotFound => Self::Gone,
        }
    }
}

impl From<CancelReply> for Reply {
    fn from(reply: CancelReply) -> Self {
        match reply {
            CancelReply::Cancelled(_) => Self::Cancelled,
            CancelReply::AlreadyTerminal(_) => Self::Terminal,
            CancelReply::NotFound => Self::Gone,
        }
    }
}

impl From<LeaveReply> for Reply {
    fn from(reply: LeaveReply) -> Self {
        match reply {
            LeaveReply::Cancelled => Self::Cancelled,
            LeaveReply::Shared => Self::Held,
            LeaveReply::Task => Self::IsTask,
            LeaveReply::AlreadyTerminal => Self::Terminal,
            LeaveReply::NotFound => Self::Gone,
        }
    }
}
