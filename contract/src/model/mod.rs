//! What a job is and how it lives. Pure: nothing here talks to Redis, does IO or reads a clock.
//!
//! # The life of a job
//!
//! A job is one record. Its [`status`] says where it stands; while it is queued, [`waits`] says what for. Each arrow is one
//! transition, one Lua script, so no crash falls into the middle of one.
//!
//! | state | what holds the job | who moves it on, by which transition | what if that one dies |
//! | --- | --- | --- | --- |
//! | `queued`, waits for a worker | its entry, on the stream of its queue | a worker begins an attempt: `claim` -> `working`; or finds the tool at its limit: `claim` -> waits for a slot | the entry is delivered but not acked: after a lease another worker takes it over (`reclaim`) and claims it |
//! | `queued`, waits for a slot | its tool's set of waiting jobs | whichever transition frees a slot brings it to its stream; `forward` does what nobody else did | any worker's `forward` looks every second |
//! | `queued`, waits for its time | the set of due jobs | any worker: `forward` -> its stream | every worker forwards |
//! | `working` | the attempt, with a lease in the record, and the entry, pending for its worker | its worker, before the lease ends: `finish` -> an end; `schedule_retry` -> `queued`, or an end and a dead letter; `release` -> `queued`; `ask_input` -> `input_required` | the lease runs out: another worker's `reclaim` and `claim` begin the next attempt, or, at the crash limit, `claim` -> `failed` and a dead letter |
//! | `input_required`, an attempt waits | as in `working` | the last `answer_input` -> `working`; its worker: `park` -> nobody holds it, or as in `working` | as in `working` |
//! | `input_required`, parked, or asked before it was ever queued | nobody; it has no entry | the last `answer_input` -> `queued` | nothing is held: any replica stores the answer |
//! | `completed`, `failed`, `cancelled` | nobody | nobody: the record expires. A dead letter of it may become a *new* job: `revive` | nothing follows |
//!
//! Beside this, `cancel` (the caller or an operator) and `leave_call` (the last caller of a plain call) end a job in any
//! state that has not ended -> `cancelled`. The record's ttl ends a job in any state: Redis removes the record, and whoever
//! meets its entry, or its name in a set, drops that.
//!
//! An [`attempt`] has a number, counted by `claim`. Every write of a worker carries it and is refused once another attempt
//! began or the job ended, so that a worker which was only slow changes nothing. Whether another attempt is allowed is
//! decided by how the earlier ones ended: errors that may pass count against the tool's `attempts`, deaths of workers
//! against its `crash_limit`, releases against nothing.

pub(crate) mod alias;
pub(crate) mod attempt;
pub(crate) mod client_task;
pub(crate) mod dead_letter;
pub(crate) mod durability;
pub(crate) mod ids;
pub(crate) mod job;
pub(crate) mod log;
pub(crate) mod names;
pub(crate) mod outcome;
pub(crate) mod overview;
pub(crate) mod question;
pub(crate) mod session;
pub(crate) mod shard;
pub(crate) mod status;
pub(crate) mod submission;
pub(crate) mod tool;
pub(crate) mod version;
pub(crate) mod waits;
pub(crate) mod worker;
