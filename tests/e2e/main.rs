//! End to end: the real binaries, two front ends behind a round-robin balancer, two workers, a real Redis.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "what is missing fails the test that needs it"
)]

mod client;
mod contract_page;
mod crowd;
mod fleet;
mod jobs;
mod recorder;
mod schema;
mod stream;
mod tools;

mod askable;
mod attacks;
mod audit;
mod authorization;
mod batches;
mod call_lines;
mod cancelled;
mod declarations;
mod definitions;
mod documents;
mod edge;
mod exec_questions;
mod failover;
mod faults;
mod foreign_clients;
mod handles;
mod idempotency;
mod idle;
mod ids;
mod kinds;
mod legacy;
mod limits;
mod logs;
mod malformed;
mod modern;
mod no_worker;
mod not_before;
mod operator;
mod overload;
mod own_stream;
mod owners;
mod pace;
mod proxies;
mod questions;
mod queues;
mod rates;
mod receivers;
mod redis_away;
mod replicas;
mod resume;
mod roles;
mod rust_sdk;
mod secret;
mod secrets;
mod settings;
mod sharing;
mod stopping;
mod subscriptions;
mod terms;
mod tls;
mod trace;
mod turns;
mod unread_log;
mod waiting;
