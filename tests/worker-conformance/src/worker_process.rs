//! The worker under test, in a process group of its own: it may be a script that starts others.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use taskferry_testing::Process;

/// How long others wait for a worker that is silent, s. The kit sets it, and workers keep to it.
pub(crate) const LEASE: Duration = Duration::from_secs(2);
/// How long a worker that is told to stop lets its jobs go on.
pub(crate) const DRAIN: Duration = Duration::from_secs(2);

/// One process of the worker under test. Its group is killed with this value.
pub(crate) struct WorkerProcess {
    process: Process,
}

impl WorkerProcess {
    /// Starts it with this Redis.
    pub(crate) fn start(command: &[String], redis_url: &str) -> Self {
        let [program, arguments @ ..] = command else {
            panic!("no command is given");
        };
        let mut command = Command::new(program);
        let seconds = |length: Duration| format!("{}s", length.as_secs());
        command
            .args(arguments)
            .env("TASKFERRY_REDIS_URL", redis_url)
            .env("TASKFERRY_LEASE", seconds(LEASE))
            .env("TASKFERRY_DRAIN_TIMEOUT", seconds(DRAIN))
            .env("TASKFERRY_SLOTS", "1")
            .process_group(0);
        Self {
            process: Process::start("the worker under test", command),
        }
    }

    /// Signals the whole group.
    fn signal(&self, signal: Signal) {
        let leader = i32::try_from(self.process.pid())
            .ok()
            .and_then(Pid::from_raw);
        // Fails only if all of it is gone.
        let _gone = leader.map(|leader| kill_process_group(leader, signal));
    }

    /// Ends it as a power cut does.
    pub(crate) fn kill9(&mut self) {
        self.signal(Signal::KILL);
        self.process.kill9();
    }

    /// Freezes it.
    pub(crate) fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Thaws it.
    pub(crate) fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// Tells it to stop, as a process manager does: its first process alone is signalled.
    pub(crate) fn terminate(&mut self) {
        self.process.terminate();
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.process.is_running()
    }

    pub(crate) async fn wait_for_exit(&mut self, deadline: Duration) -> ExitStatus {
        self.process.wait_for_exit(deadline).await
    }
}

impl Drop for WorkerProcess {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}
