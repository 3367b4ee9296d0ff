//! The transitions against a real server: every reply of every script, and what is left in Redis after it.
//!
//! Each test starts a server of its own; `TASKFERRY_TEST_REDIS` names another binary than the redis-server on PATH.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, also in its helpers"
)]

mod rig;
mod samples;

mod answers;
mod cancels;
mod checks;
mod claims;
mod client_tasks;
mod cluster;
mod dead_letters;
mod definitions;
mod delivers;
mod examines;
mod failovers;
mod fences;
mod finishes;
mod firsts;
mod forgets;
mod full_memory;
mod functions;
mod fuzzed;
mod handshakes;
mod joins;
mod leaves;
mod limits;
mod lines;
mod lists;
mod logs;
mod losses;
mod misplaced;
mod outages;
mod outcomes;
mod outsides;
mod overviews;
mod pauses;
mod places;
mod promotes;
mod quotas;
mod rate_refusals;
mod rates;
mod reclaims;
mod registers;
mod renews;
mod replicas;
mod requeues;
mod retries;
mod rings;
mod roles;
mod sessions;
mod slots;
mod submits;
mod tls;
mod versions;
