//! What the front end and the workers of Taskferry agree on, and the only code that talks to Redis.
//!
//! A *task* is what an MCP client sees; the durable unit of work behind it is a *job*: one record (a hash whose expiry
//! is the task's ttl) and, while it waits or runs, one entry on the stream of its queue. Every change of a record is
//! one of the transitions in `lua/`, called through [`Store`].
//!
//! - `model` says what a job, a task, a tool, a question, a session and a worker are, and how a job lives. It is pure: it
//!   talks to nobody and reads no clock. `json` under it knows what JSON every client can read, and JSON Schemas.
//! - `keys`, `script` and `connection` know Redis: the name of every key, the transitions and their replies, the connections
//!   to the server that is the primary now.
//! - [`Store`] is what front ends (`store::front`), workers (`store::work`) and operators (`store::operate`) ask for.
//! - `doctor` judges whether a server can be trusted with jobs.
//!
//! The arrows run `doctor, store -> connection, script, keys -> model -> json`. Nothing here knows HTTP, JSON-RPC or the
//! methods of MCP. What MCP asks of the data does stand here, since all front ends share it: that questions go to clients
//! and which ones may be asked, that clients answer by tasks of their own, and the sessions of the legacy revisions.
//!
//! docs/REDIS.md describes every key and transition for operators.

mod clock;
mod connection;
mod doctor;
mod error;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod hash_slot;
mod json;
mod keys;
mod library;
mod model;
mod script;
mod store;
mod text;
mod tls_fault;

pub use clock::local_ms;
pub use connection::{
    Access, BlockingConnection, Connections, Login, Password, RedisSettings, TlsFiles,
    crypto_provider,
};
pub use error::Error;
pub use hash_slot::hash_slot;
pub use json::object::{Object, misfit};
pub use json::raw::{RawObject, compact};
pub use json::readable::{MAX_DEPTH, PART_DEPTH, Unreadable, check_readable};
pub use json::schema::{DuplicateName, Fault, Mirrored, Schema, unique_names};
pub use json::shared::{Member, Part, SharedJson};
pub use keys::{Keys, LineName};
pub use library::{LIBRARY, Library, PortableScript, portable_scripts};
pub use model::alias::{Alias, CallDigest, Scope};
pub use model::arguments::Arguments;
pub use model::attempt::{
    DeliveredEntry, Expired, HeldAttempt, LeftOutside, Lost, ProgressReport, Refused,
    UnreadableEntry,
};
pub use model::client_task::{
    ClientTask, ClientTaskReport, ClientTaskStatus, OrphanedTask, ReportOccasion,
};
pub use model::dead_letter::{DeadLetter, InvalidLetterId, LetterFilter, LetterId, Revivable};
pub use model::durability::{Durability, Replication, UnknownDurability};
pub use model::finding::{Finding, Verdict};
pub use model::holder::{Holder, RateCost, RateReply, SessionLimits, SessionRoom};
pub use model::ids::{AttemptNumber, EntryId, HandleDigest, SenderId, SessionId, TaskId};
pub use model::job::{Job, TaskView};
pub use model::library::{Installed, Libraries, LibraryVersion, Replaces, UnknownLibrary};
pub use model::log::{LogLevel, LogLine, UnknownLevel};
pub use model::names::{FrontEndId, InvalidId, Owner, QueueName, ToolName, WorkerId};
pub use model::outcome::Outcome;
pub use model::overview::{
    Misplaced, QueueOverview, ServerOverview, ShardOverview, Survey, ToolJobs,
};
pub use model::pause::{Pausable, Pause, Paused, Pauses};
pub use model::question::{
    AskCapability, NewQuestion, Question, QuestionRef, Requestor, Sender, check_url,
    missing_capabilities,
};
pub use model::queue::QueueStream;
pub use model::role::{KeyAccess, Rights, Role, UnknownRole};
pub use model::secret::Secrets;
pub use model::session::{DeliveryCursor, Lifetime, RequestNote, Session, StreamHold};
pub use model::shard::{Shard, Shards};
pub use model::status::Status;
pub use model::submission::{Submission, TraceContext};
pub use model::tool::{
    AskFirst, Backoff, DEFAULT_POLL_MAX_MS, DefinitionDigest, InvalidDigest, LeftOut, Rate,
    RateExcess, Registry, TaskSupport, ToolChecks, ToolDefinition, TtlBounds, is_scope,
};
pub use model::version::{CONTRACT_VERSION, ContractVersion};
pub use model::waits::{Again, Waits, WaitsFor};
pub use model::worker::{BEAT, DRAINING, Fleet, Served, WorkerInfo, definitions_as_told};
pub use script::sources;
pub use store::Store;
pub use store::doorbell::{Doorbell, Ring};
pub use store::front::client_task::{PollReply, ReportReply};
pub use store::front::input::{AnswerReply, SendRightReply};
pub use store::front::outcome::StoredOutcome;
pub use store::front::submit::SubmitReply;
pub use store::front::task::{CancelReply, LeaveReply, Leaver, Page, PromoteReply};
pub use store::housekeeping::{
    Found, HousekeepingReply, Listeners, Look, PendingFrom, RequeueReply, Requeued,
};
pub use store::operate::revive::ReviveReply;
pub use store::work::flow::{Delivery, ForwardReply, StreamReader};
pub use store::work::replies::{
    AskReply, ClaimReply, FinishReply, ParkReply, RenewReply, RetryReply,
};
pub use text::{cut, plain, quoted};
