//! The supervisor: starts a command, hands its end on, and ends what is left of it.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::time::Duration;

use rustix::io::fcntl_dupfd_cloexec;
use rustix::process::{
    DumpableBehavior, Pid, Resource, Rlimit, Signal, WaitStatus, getpid, kill_process_group,
    set_child_subreaper, set_dumpable_behavior, setrlimit,
};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};
use rustix::thread::set_no_new_privs;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::signal::unix::{Signal as Signals, SignalKind, signal};
use tokio::time::timeout;

use super::descendants::{bury, kill_all};
use super::inherited;
use super::order::{self, LAUNCH, Order, Report, TERMINATE, THIS_PROGRAM};
use crate::exec::cgroup::{self, AttemptCgroup};
use crate::exec::fault::StartFault;

/// The whole life of a supervisor; whether it could do its work.
pub(super) fn main(command: Vec<OsString>) -> bool {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.is_ok_and(|runtime| runtime.block_on(supervise(&command)).is_ok())
}

async fn supervise(command: &[OsString]) -> io::Result<()> {
    let mut control = control()?;
    let (mut order, stdin) = order::receive(&mut control)?;
    // Of no use to it, and the command could follow its worker's lines there.
    let _not_linux = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    inherited::close();
    set_child_subreaper(Some(getpid()))?;
    let children = signal(SignalKind::child())?;
    // Whoever signals all processes of a service means the command and the worker. Caught, and not ignored: that the command
    // would inherit.
    let _caught = [
        signal(SignalKind::hangup())?,
        signal(SignalKind::interrupt())?,
        signal(SignalKind::quit())?,
        signal(SignalKind::terminate())?,
    ];
    let (cgroup, spawned) = match own_cgroup(&mut order) {
        Ok(cgroup) => (cgroup, spawn(command, &order, stdin)),
        Err(fault) => (None, Err(fault)),
    };
    let_go_of_streams()?;
    control.set_nonblocking(true)?;
    let mut job = Job {
        control: UnixStream::from_std(control)?,
        children,
        command: None,
        stop_grace: order.stop_grace,
        cgroup,
    };
    match spawned {
        Ok(command) => {
            job.command = Some(command);
            let pid = command.as_raw_nonzero().get();
            let cgroup = order.cgroup;
            job.report(&Report::Started { pid, cgroup }).await;
            job.run().await;
        }
        Err(fault) => job.report(&Report::Failed(fault)).await,
    }
    job.end().await;
    Ok(())
}

/// The socket that the worker holds the other end of, in another place than standard input.
fn control() -> io::Result<std::os::unix::net::UnixStream> {
    let socket = fcntl_dupfd_cloexec(io::stdin(), 3)?;
    Ok(socket.into())
}

/// Once the command has them, only its own processes hold its streams open.
fn let_go_of_streams() -> io::Result<()> {
    let nothing = std::fs::File::open("/dev/null")?;
    dup2_stdin(&nothing)?;
    dup2_stdout(&nothing)?;
    Ok(dup2_stderr(&nothing)?)
}

struct Job {
    control: UnixStream,
    children: Signals,
    /// The command, until it has ended.
    command: Option<Pid>,
    stop_grace: Duration,
    /// What the command is in, if it has one of its own.
    cgroup: Option<AttemptCgroup>,
}

impl Job {
    /// Until the worker says that all is over, or is gone.
    async fn run(&mut self) {
        let mut letter = [0];
        loop {
            tokio::select! {
                biased;
                _signal = self.children.recv() => self.look().await,
                read = self.control.read(&mut letter) => match read {
                    Ok(1) if letter == [TERMINATE] => self.terminate(),
                    Ok(1) => return,
                    _gone => return self.stop().await,
                },
            }
        }
    }

    /// The worker is gone: what it would have done.
    async fn stop(&mut self) {
        self.terminate();
        let grace = self.stop_grace;
        let ended = async {
            while self.command.is_some() {
                self.children.recv().await;
                self.look().await;
            }
        };
        let _elapsed = timeout(grace, ended).await;
    }

    /// Asks everyone in the command's group to end. A stopped process is woken, for it would not see the request before its
    /// end.
    fn terminate(&self) {
        if let Some(group) = self.command {
            let _gone_already = kill_process_group(group, Signal::TERM);
            let _gone_already = kill_process_group(group, Signal::CONT);
        }
    }

    async fn look(&mut self) {
        let mut ends = Vec::new();
        let _left = bury(&mut |child, status| ends.push((child, status)));
        self.note(ends).await;
    }

    async fn end(&mut self) {
        let mut ends = Vec::new();
        if let Some(group) = self.command {
            let _gone_already = kill_process_group(group, Signal::KILL);
        }
        if let Some(cgroup) = &self.cgroup {
            cgroup.kill();
        }
        // Also those that went to another cgroup.
        kill_all(|child, status| ends.push((child, status))).await;
        self.note(ends).await;
        if let Some(cgroup) = &self.cgroup {
            cgroup::end(cgroup.path()).await;
        }
    }

    async fn note(&mut self, ends: Vec<(Pid, WaitStatus)>) {
        let end = ends
            .into_iter()
            .find(|(child, _)| Some(*child) == self.command);
        if let Some((_, status)) = end {
            self.command = None;
            let status = status.as_raw();
            let met = self.cgroup.as_ref().map(AttemptCgroup::met);
            let met = met.unwrap_or_default();
            self.report(&Report::Ended { status, met }).await;
        }
    }

    /// A worker that is gone needs no report.
    async fn report(&mut self, report: &Report) {
        let mut line = serde_json::to_vec(report).unwrap_or_default();
        line.push(b'\n');
        let _gone = self.control.write_all(&line).await;
    }
}

/// Makes the cgroup of the command, which bounds its processes instead of its user's.
fn own_cgroup(order: &mut Order) -> Result<Option<AttemptCgroup>, StartFault> {
    let Some(home) = order.home.take() else {
        return Ok(None);
    };
    let made = AttemptCgroup::bounded(&home, &order.limits);
    let made = made.map_err(|error| StartFault::Unconfined(format!("its cgroup: {error}")))?;
    if home.bounds_processes() {
        order.limits.processes = None;
    }
    order.cgroup = Some(made.path().to_owned());
    Ok(Some(made))
}

/// Starts the command in a group of its own, by itself or through a launcher.
fn spawn(command: &[OsString], order: &Order, stdin: OwnedFd) -> Result<Pid, StartFault> {
    let (program, arguments) = command
        .split_first()
        .ok_or_else(|| StartFault::Unconfined("it has no program".to_owned()))?;
    if !order.sandbox.new_privileges {
        let set = set_no_new_privs(true);
        set.map_err(|error| StartFault::Unconfined(format!("no_new_privs: {error}")))?;
    }
    let nothing = Some(0);
    let none = Rlimit {
        current: nothing,
        maximum: nothing,
    };
    let _stays_as_it_is = setrlimit(Resource::Core, none);
    if !order.limits.is_empty() || !order.sandbox.is_empty() || order.cgroup.is_some() {
        return launch(command, order, stdin);
    }
    let spawned = Command::new(program)
        .args(arguments)
        .current_dir(&order.cwd)
        .stdin(stdin)
        .process_group(0)
        .spawn();
    let child = spawned.map_err(|error| fault(&error, order, program))?;
    pid_of(child.id())
}

/// Starts a launcher and waits until it has become the command, or says why not.
fn launch(command: &[OsString], order: &Order, stdin: OwnedFd) -> Result<Pid, StartFault> {
    let refused = |error: io::Error| StartFault::Refused {
        errno: error.raw_os_error(),
        text: error.to_string(),
    };
    let (mut ours, theirs) = std::os::unix::net::UnixStream::pair().map_err(refused)?;
    let spawned = Command::new(THIS_PROGRAM)
        .arg(LAUNCH)
        .args(command)
        .stdin(OwnedFd::from(theirs))
        .process_group(0)
        .spawn();
    let child = spawned.map_err(refused)?;
    order::send(&ours, order, &stdin).map_err(refused)?;
    drop(stdin);
    let mut said = Vec::new();
    ours.read_to_end(&mut said).map_err(refused)?;
    match serde_json::from_slice(&said) {
        Ok(fault) => Err(fault),
        // Its end of the socket closed when it became the command.
        Err(_nothing) => pid_of(child.id()),
    }
}

fn pid_of(id: u32) -> Result<Pid, StartFault> {
    let pid = i32::try_from(id).ok().and_then(Pid::from_raw);
    pid.ok_or_else(|| StartFault::Unconfined("its process id is unknown".to_owned()))
}

/// What an error means, seen with the rights of this process. Its environment is the command's.
pub(super) fn fault(error: &io::Error, order: &Order, program: &OsStr) -> StartFault {
    #[expect(
        clippy::disallowed_methods,
        reason = "the environment of the command, which the worker made"
    )]
    let path = std::env::var_os("PATH");
    StartFault::of(error, &order.cwd, program, path.as_deref())
}
