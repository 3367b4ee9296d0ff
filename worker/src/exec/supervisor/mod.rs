//! A process between a worker and each command, which ends everything that the command has started.
//!
//! The worker starts its own program again, told by its first argument to be a *supervisor*. That starts the command, hands
//! its end on, and is the parent of whatever loses its own (`PR_SET_CHILD_SUBREAPER`): so it knows all processes of the job,
//! also those that left their group, and no others. When the command has ended, or the worker, however that was, it kills
//! what is left and goes. Only children are ever signalled, which cannot be mistaken for another process: their ids are in
//! use until their parent has taken note of their end.
//!
//! A command that is bounded is started through one process more, the *launcher*: the same program again, which bounds
//! itself and then becomes the command.
//!
//! Worker and supervisor talk over a pair of sockets, which is the standard input of the supervisor. The order goes down,
//! with the end of the pipe that is to be the command's standard input; reports come up, a line of JSON each; and single
//! letters go down that say whom to signal.

mod descendants;
mod handle;
mod inherited;
mod launcher;
mod order;
mod process;
mod told;

pub(super) use handle::Handle;
pub use handle::Supervisor;
pub use told::supervise_if_told;
