//! The worker against a real Redis, fed as a front end feeds it and checked as a poll sees it.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a missing value fails the test"
)]

mod asks;
mod definitions;
mod ends;
mod env_files;
mod exec_asks;
mod exec_parks;
mod external;
mod faults;
mod files;
mod flow;
mod inspection;
mod keeps_house;
mod leases;
mod lost;
mod one_shot;
mod outcomes;
mod processes;
mod prompt;
mod queues;
mod refusals;
mod rig;
mod script;
mod stops;
mod sums;
mod told;
mod tries;
