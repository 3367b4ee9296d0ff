//! Who is there, how much there is, and what went wrong.
//!
//! [`registry`] holds tools and workers, [`fleet`] says who serves which queue, [`secret`] what front ends sign with, [`version`] whether processes of different
//! versions can share one Redis, [`functions`] puts the library of functions there; [`overview`] and [`survey`] show operators what is there, [`jobs`] which jobs a tool has, [`dead`] and [`revive`] let them
//! read dead letters and queue their jobs again, and [`pause`] has queues and tools paused and resumed.

mod dead;
mod fleet;
mod functions;
mod jobs;
mod overview;
mod pause;
mod registry;
pub(crate) mod revive;
mod secret;
mod survey;
pub(crate) mod version;
