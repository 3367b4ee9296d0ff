//! What the front end and the workers of Taskferry agree on, and the only code that talks to Redis.
//!
//! A *task* is what an MCP client sees; the durable unit of work behind it is a *job*: one record (a hash whose expiry
//! is the task's ttl) and, while it waits or runs, one entry on the stream of its queue. Every change of a record is
//! one of the transitions in `lua/`, called through [`Store`]. Nothing here knows HTTP or MCP.
//!
//! docs/REDIS.md describes every key and transition as an operator meets them.

mod alias;
mod checks;
mod clock;
mod connection;
mod dead;
mod definition;
mod doctor;
mod doorbell;
mod durability;
mod error;
mod fleet;
mod hash_slot;
mod ids;
mod keys;
mod log;
mod misplaced;
mod numbers;
mod object;
mod overview;
mod readable;
mod record;
mod registry;
mod remote;
mod reply;
mod schema;
mod script;
mod session;
mod state;
mod store;
mod survey;
mod text;
mod tool;
mod version;
mod waits;

pub use alias::{Alias, Scope};
pub use checks::{ToolChecks, check_url};
pub use clock::local_ms;
pub use connection::{BlockingConnection, Connections, RedisSettings};
pub use dead::{DeadLetter, InvalidLetterId, LetterFilter, LetterId, Remains, ReviveReply};
pub use definition::{DefinitionDigest, InvalidDigest};
pub use doctor::{Finding, Verdict};
pub use doorbell::{Doorbell, Ring};
pub use durability::{Durability, Replication, UnknownDurability};
pub use error::Error;
pub use fleet::{Fleet, Served};
pub use hash_slot::hash_slot;
pub use ids::{
    Attempt, EntryId, InvalidId, Owner, QueueName, ReplicaId, Shard, Shards, TaskId, ToolName,
    WorkerId,
};
pub use keys::Keys;
pub use log::{LogLevel, LogLine, UnknownLevel};
pub use misplaced::Misplaced;
pub use object::{Object, misfit};
pub use overview::{QueueOverview, ServerOverview, ShardOverview};
pub use readable::{MAX_DEPTH, PART_DEPTH, Unreadable, check_readable};
pub use record::{Job, Question, TaskView};
pub use registry::{DRAINING, WorkerInfo};
pub use remote::{Remote, RemoteStatus};
pub use schema::{DuplicateName, Fault, Mirrored, Schema, unique_names};
pub use script::sources;
pub use session::{Lifetime, RequestNote, Session, SessionId, StreamHold, Told};
pub use state::Status;
pub use store::Store;
pub use store::attempt::{
    AskReply, ClaimReply, Claimed, Expired, FinishReply, Hold, Lost, Outcome, ParkReply, Progress,
    Refused, RenewReply, RetryReply,
};
pub use store::flow::{Delivery, ForwardReply, Source};
pub use store::input::{AnswerReply, Asker, DeliverReply, Sender};
pub use store::remote::{NoteReply, PollReply, Said, SaidBy, Unwanted};
pub use store::request::{CancelReply, HandOutReply, LeaveReply, Leaver, Page};
pub use store::submit::{Submission, SubmitReply};
pub use survey::Survey;
pub use text::{cut, plain, quoted};
pub use tool::{AskFirst, Backoff, DEFAULT_POLL_MAX_MS, TaskSupport, ToolDefinition, TtlBounds};
pub use version::{CONTRACT_VERSION, ContractVersion};
pub use waits::{Again, Waits, WaitsFor};
