//! What the programs have in common as processes: when they are told to stop, and how many files they may open.

mod open_files;
mod stop;

pub use open_files::{lower_open_files, raise_open_files};
pub use stop::{StopSignal, StopSignals};
