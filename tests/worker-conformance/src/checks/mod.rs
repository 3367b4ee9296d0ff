//! The checks, by what they are about. Each starts a system of its own, and panics with what is wrong.

mod asking;
mod dying;
mod ending;
mod refusing;
mod results;
mod running;
mod stopping;

use std::fmt;
use std::pin::Pin;

use crate::system::Under;

type Checking = Pin<Box<dyn Future<Output = ()>>>;

/// One check.
#[derive(Clone, Copy)]
pub(crate) struct Check {
    pub(crate) name: &'static str,
    /// What a worker does that passes.
    pub(crate) what: &'static str,
    pub(crate) run: fn(Under) -> Checking,
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

macro_rules! checks {
    ($($name:literal, $what:literal, $check:path;)*) => {
        /// All of them, in the order of the table.
        pub(crate) const CHECKS: &[Check] = &[
            $(Check { name: $name, what: $what, run: |under| Box::pin($check(under)) }),*
        ];
    };
}

checks! {
    "register", "its tools are registered, and it says that it is alive", running::register;
    "claim", "a job is claimed and finished, its text byte for byte", running::claim;
    "context", "a tool knows its task, attempt and owner", running::context;
    "trace", "a tool knows the caller's traceparent", running::trace;
    "progress", "progress and message are seen while the tool runs", running::progress;
    "log", "log lines reach a client that wants them", running::log;
    "lease", "the lease is kept through three leases of blocking work", running::lease;
    "ask", "a question reaches the client, and the answer the tool", asking::ask;
    "replay", "a later attempt is given the stored answer, and asks nobody", asking::replay;
    "big", "a result of 4 MiB", results::big;
    "empty", "a result without content", results::empty;
    "error", "a failure of the tool is a result that says so", results::error;
    "late", "what takes longer than its timeout ends with a result that says so", ending::late;
    "cancel", "a cancelled job is stopped, and its slot is free", ending::cancel;
    "retry", "a retryable failure is attempted again after the backoff", ending::retry;
    "exhausted", "the last failure is the result, and a dead letter", ending::exhausted;
    "unknown", "a job of a tool that it has not is released, and it goes on", refusing::unknown;
    "kill", "after kill -9 another worker runs the job again", dying::kill;
    "poison", "a job that loses its worker too often is failed and buried", dying::poison;
    "stale", "a worker that was frozen for too long changes nothing when it wakes up", dying::stale;
    "drain", "SIGTERM lets what runs end, and the exit code is 0", stopping::drain;
    "release", "SIGTERM gives back what does not end in time", stopping::release;
    "major", "with another major of the contract nothing is taken from the queue", refusing::major;
    "permission", "without a permission nothing is taken from the queue", refusing::permission;
}
