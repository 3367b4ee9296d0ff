//! What both eras share of the wire: revisions, capabilities, what tools and tasks look like, and what a request is answered
//! with.

pub(super) mod amount;
pub(super) mod answer;
pub(super) mod call_line;
pub(super) mod capabilities;
pub(super) mod era;
pub(super) mod event_queue;
pub(super) mod idempotency;
pub(super) mod inbound;
pub(super) mod log;
pub(super) mod not_before;
pub(super) mod number;
pub(super) mod outgoing;
pub(super) mod pace;
pub(super) mod progress;
pub(super) mod refusal;
pub(super) mod reply;
#[cfg(test)]
pub(super) mod sample;
pub(super) mod standing;
pub(super) mod time;
pub(super) mod trace;
pub(super) mod wire;

/// The revision of the modern era.
pub(crate) const MODERN: &str = "2026-07-28";
/// The revisions of the legacy era, newest first.
pub(crate) const LEGACY: [&str; 3] = ["2025-11-25", "2025-06-18", "2025-03-26"];
/// The legacy revision that has tasks.
pub(crate) const LEGACY_WITH_TASKS: &str = "2025-11-25";
/// The extension that has tasks in the modern era.
pub(crate) const TASKS_EXTENSION: &str = "io.modelcontextprotocol/tasks";
