//! What operators ask and do, without a command line: on a real Redis, with jobs that a worker's own calls begin and end.

mod dead;
mod rig;
mod standing;
