//! The dependency fences of docs/ARCHITECTURE.md: between packages, between the rooms inside them, and between files.

#![expect(clippy::indexing_slicing, reason = "a missing name is a failed test")]
#![expect(
    clippy::panic,
    reason = "a source that cannot be read is a failed test"
)]

mod check;
mod graph;
mod images;
mod mentions;
mod packages;
mod resolve;
mod rooms;
mod rules;
mod sources;
mod spoilt;
mod supply;
mod targets;
