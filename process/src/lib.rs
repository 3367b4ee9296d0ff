//! What the programs of Taskferry are as processes: how they read their settings, what they write to their log and standard
//! streams, which signals stop them, and how their loops are kept alive.
//!
//! Nothing here knows what a job is. Of the contract only the settings of the connection to Redis are known, which are
//! the same for both programs. Nothing here reads the environment: a program's `config` does, and hands it in.

mod background;
mod budget;
mod crypto;
mod inspection;
mod offload;
mod open_files;
pub mod output;
mod parts;
pub mod settings;
mod shares;
mod stop;
pub mod telemetry;

pub use background::keep_running;
pub use budget::{Budget, Charge};
pub use crypto::choose_crypto;
pub use inspection::deny_inspection;
pub use offload::Offload;
pub use open_files::{lower_open_files, raise_open_files};
pub use parts::Parts;
pub use shares::{Share, Shares};
pub use stop::{StopSignal, StopSignals};
