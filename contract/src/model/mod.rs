//! What a job is and how it lives. Pure: nothing here talks to Redis, does IO or reads a clock.
//!
//! # The life of a job
//!
//! Words: a *job* is one record in Redis. A *task* is a job whose id its client knows. A *plain call* is a job behind a
//! `tools/call` without a task: the client waits for the answer and knows no id. An *entry* is a job's place on the stream
//! of its queue. A *lease* is how long a worker may hold a job without renewing. A *slot* is one of the places that a tool
//! with a concurrency limit has. To *park* a job is to let nobody hold it until its questions are answered.
//!
//! A job's [`status`] says where it stands; while it is queued, [`waits`] says what for. Each arrow is one transition, one
//! Lua script, so no crash falls into the middle of one.
//!
//! | state | what holds the job | who moves it on, by which transition | what if that process dies |
//! | --- | --- | --- | --- |
//! | (none) | nothing | a front end: `submit` -> `queued`, or `input_required` if the tool asks first; an operator: `revive` -> `queued` | a repeated `submit` or `revive` finds the record and changes nothing |
//! | `queued`, waits for a worker | its entry, on the stream of its queue | a worker begins an attempt: `claim` -> `working`; or finds the tool at its limit or its rate, or paused: `claim` -> waits for its turn | the entry is delivered but not acked: after 15 s it is put back for another worker (`requeue`) |
//! | `queued`, waits for a slot, for the rate of its tool, or for the end of a pause | its tool's set of waiting jobs | the transition that frees a slot, `forward` when the rate has room, or `resume`, brings the next job to its stream (`admit` in the prelude) | each worker runs `forward` every second, which gives out slots that nobody freed |
//! | `queued`, waits for its time | the set of due jobs | any worker: `forward` -> its stream, or waits for its turn if it has a place among those that do | every worker forwards |
//! | `working` | the attempt, with a lease in the record, and the entry, pending for its worker | its worker, until another attempt begins: `finish` -> an end; `schedule_retry` -> `queued`, or an end and a dead letter; `release` -> `queued`; `ask_input` -> `input_required` | the lease runs out: whoever keeps house puts it back, `requeue` -> `queued`, or, at the crash limit, -> `failed` and a dead letter |
//! | `input_required`, an attempt waits | as in `working` | the last `answer_input` -> `working`; its worker: `park` -> nobody holds it, or as in `working` | as in `working` |
//! | `input_required`, parked, or asked before it was ever queued | nobody; it has no entry | the last `answer_input` -> `queued` | no process holds anything: any front end stores the answer |
//! | `completed`, `failed`, `cancelled` | nobody | nobody: the record expires. A dead letter of it may become a *new* job: `revive` | nothing follows |
//!
//! Besides, `cancel` (by the caller or an operator) and `leave_call` (by the last caller of a plain call) end a job that
//! has not ended yet -> `cancelled`. The record's ttl ends a job in any state: Redis removes the record. The next script
//! that finds its entry, or its id in a set, drops it.
//!
//! An [`attempt`] has a number, counted by `claim`. Every write of a worker carries this number. The write is refused once
//! another attempt has begun or the job has ended. So a worker that was only slow changes nothing. Whether another attempt
//! is allowed is decided by how the earlier ones ended: retryable errors count against the tool's `attempts`, deaths of
//! workers against its `crash_limit`, releases against nothing.

pub(crate) mod alias;
pub(crate) mod arguments;
pub(crate) mod attempt;
pub(crate) mod client_task;
pub(crate) mod dead_letter;
pub(crate) mod durability;
pub(crate) mod finding;
pub(crate) mod holder;
pub(crate) mod ids;
pub(crate) mod job;
pub(crate) mod library;
pub(crate) mod log;
pub(crate) mod names;
pub(crate) mod outcome;
pub(crate) mod overview;
pub(crate) mod pause;
pub(crate) mod question;
pub(crate) mod queue;
pub(crate) mod role;
pub(crate) mod secret;
pub(crate) mod session;
pub(crate) mod shard;
pub(crate) mod status;
pub(crate) mod submission;
pub(crate) mod tool;
pub(crate) mod version;
pub(crate) mod waits;
pub(crate) mod worker;
