//! Tools: what their workers register of them, which numbers and schemas can be used, and which definition a call was
//! checked against.

mod checks;
mod definition;
mod digest;
mod numbers;
mod rate;
mod registry;
mod timing;

pub use checks::ToolChecks;
pub use definition::{AskFirst, DEFAULT_POLL_MAX_MS, TaskSupport, ToolDefinition, is_scope};
pub use digest::{DefinitionDigest, InvalidDigest};
pub use rate::{Rate, RateExcess};
pub use registry::{LeftOut, Registry};
pub use timing::{Backoff, TtlBounds};
