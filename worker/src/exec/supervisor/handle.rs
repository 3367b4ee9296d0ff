//! The worker's side of a supervised command.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::OnceLock;

use rustix::net::{SendFlags, send};
use rustix::process::{Pid, Signal, kill_process_group};
use taskferry_process::lower_open_files;
use tokio::net::UnixStream;
use tokio::net::unix::pipe;
use tokio::process::{Child, ChildStderr, ChildStdout, Command};

use super::order::{self, KILL, Order, Report, SUPERVISE, TERMINATE, THIS_PROGRAM};
use super::told::can_supervise;
use crate::exec::cgroup::{self, AttemptCgroup, CgroupHome, MetLimits};
use crate::exec::command::ExecCommand;
use crate::exec::error::StartError;
use crate::exec::limits::ResourceLimits;

/// The name of a supervisor in lists of processes.
const NAME: &str = "taskferry-supervisor";

/// Where the supervisors of this program make cgroups.
static OWN_HOME: OnceLock<CgroupHome> = OnceLock::new();

/// The program that supervises commands.
#[derive(Debug, Clone)]
pub struct Supervisor {
    program: PathBuf,
    /// Where it makes a cgroup for each command.
    home: Option<CgroupHome>,
}

/// What was started.
#[derive(Debug)]
pub(in crate::exec) struct Started {
    pub(in crate::exec) handle: Handle,
    pub(in crate::exec) stdin: pipe::Sender,
    pub(in crate::exec) stdout: Option<ChildStdout>,
    pub(in crate::exec) stderr: Option<ChildStderr>,
}

impl Supervisor {
    /// This program, if it looks whether it is told to supervise ([`supervise_if_told`](super::supervise_if_told)).
    #[must_use]
    pub fn own() -> Option<Self> {
        can_supervise().then(|| Self::at(THIS_PROGRAM))
    }

    /// Has every command that this program supervises from now on in a cgroup of its own. The first home counts.
    ///
    /// # Errors
    ///
    /// If a process cannot be moved into one, for a reason that its files do not show.
    pub(crate) async fn own_in_cgroups_of(home: CgroupHome) -> io::Result<()> {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        // It waits for its order, and goes when none can come.
        let mut moved = Command::new(THIS_PROGRAM)
            .arg0(NAME)
            .arg(SUPERVISE)
            .env_clear()
            .stdin(OwnedFd::from(theirs))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let cgroup = AttemptCgroup::bounded(&home, &ResourceLimits::default())?;
        let entered = moved.id().map_or(Ok(()), |id| cgroup.take_in(id));
        drop(ours);
        let _ended = moved.wait().await;
        cgroup::end(cgroup.path()).await;
        entered?;
        let _again = OWN_HOME.set(home);
        Ok(())
    }

    /// A program that looks whether it is told to supervise.
    #[must_use]
    pub fn at(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            home: None,
        }
    }

    /// The same, with a cgroup for each command.
    #[must_use]
    pub fn in_cgroups_of(self, home: CgroupHome) -> Self {
        let home = Some(home);
        Self { home, ..self }
    }

    /// Starts a command. What drops the future before it is done ends whatever was started.
    pub(in crate::exec) async fn start(
        &self,
        command: &ExecCommand,
        arguments: Vec<String>,
        environment: Vec<(OsString, OsString)>,
    ) -> Result<Started, StartError> {
        let program = command.template.program();
        let failed = |source| StartError::of_supervisor(program, source);
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().map_err(failed)?;
        let (stdin, feed) = io::pipe().map_err(failed)?;
        let mut supervisor = Command::new(&self.program)
            .arg0(NAME)
            .arg(SUPERVISE)
            .arg(program)
            .args(arguments)
            .env_clear()
            .envs(environment)
            .stdin(OwnedFd::from(theirs))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(failed)?;
        // It waits for its order, so the command begins with this.
        supervisor.id().into_iter().for_each(lower_open_files);
        let order = Order {
            cwd: command.cwd.clone(),
            stop_grace: command.stop_grace,
            limits: command.limits,
            sandbox: command.sandbox.clone(),
            home: self.home.clone().or_else(|| OWN_HOME.get().cloned()),
            cgroup: None,
        };
        order::send(&ours, &order, &stdin.into()).map_err(failed)?;
        ours.set_nonblocking(true).map_err(failed)?;
        let (stdout, stderr) = (supervisor.stdout.take(), supervisor.stderr.take());
        let mut handle = Handle {
            supervisor,
            control: UnixStream::from_std(ours).map_err(failed)?,
            unread: Vec::new(),
            group: None,
            cgroup: None,
            ended: None,
        };
        match handle.report().await.map_err(failed)? {
            Some(Report::Started { pid, cgroup }) => {
                handle.group = Pid::from_raw(pid);
                handle.cgroup = cgroup;
            }
            Some(Report::Failed(fault)) => {
                return Err(StartError::from_fault(program, &command.cwd, fault));
            }
            Some(Report::Ended { .. }) | None => {
                return Err(failed(io::Error::other("its supervisor ended")));
            }
        }
        Ok(Started {
            handle,
            stdin: pipe::Sender::from_owned_fd(feed.into()).map_err(failed)?,
            stdout,
            stderr,
        })
    }
}

/// A command that runs under a supervisor. Dropping it ends everything that the command has started.
#[derive(Debug)]
pub(in crate::exec) struct Handle {
    supervisor: Child,
    control: UnixStream,
    /// The beginning of a report.
    unread: Vec<u8>,
    /// The group of the command, and its cgroup, of use only if the supervisor itself was killed.
    group: Option<Pid>,
    cgroup: Option<PathBuf>,
    ended: Option<(ExitStatus, MetLimits)>,
}

impl Handle {
    /// How the command ended. Loses nothing if it is dropped.
    ///
    /// # Errors
    ///
    /// If the supervisor ended and nobody knows.
    pub(in crate::exec) async fn wait(&mut self) -> io::Result<ExitStatus> {
        loop {
            if let Some((status, _)) = self.ended {
                return Ok(status);
            }
            match self.report().await? {
                Some(Report::Ended { status, met }) => {
                    self.ended = Some((ExitStatus::from_raw(status), met));
                }
                Some(_began) => {}
                None => return self.orphaned().await,
            }
        }
    }

    /// Somebody killed the supervisor, and so its command did not end in order either.
    async fn orphaned(&mut self) -> io::Result<ExitStatus> {
        if let Some(group) = self.group.take() {
            let _gone_already = kill_process_group(group, Signal::KILL);
        }
        if let Some(cgroup) = self.cgroup.take() {
            cgroup::end(&cgroup).await;
        }
        let status = self.supervisor.wait().await?;
        if status.signal().is_some() {
            self.ended = Some((status, MetLimits::default()));
            return Ok(status);
        }
        Err(io::Error::other("the supervisor of a command ended"))
    }

    /// The limits of its cgroup that it had met when it ended.
    pub(in crate::exec) fn met(&self) -> MetLimits {
        self.ended.map(|(_, met)| met).unwrap_or_default()
    }

    pub(in crate::exec) fn terminate(&self) {
        self.say(TERMINATE);
    }

    /// Ends everything; [`Handle::gone`] waits for that.
    pub(in crate::exec) fn kill(&self) {
        self.say(KILL);
    }

    /// At once, whatever the runtime knows of the socket: there is room for more letters than are ever sent.
    fn say(&self, letter: u8) {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        let _gone_already = send(&self.control, &[letter], flags);
    }

    /// Waits until nothing is left, once it is to be killed.
    pub(in crate::exec) async fn gone(&mut self) {
        let _status = self.supervisor.wait().await;
    }

    pub(in crate::exec) fn id(&self) -> Option<u32> {
        self.supervisor.id()
    }

    /// The next report; `None` if there will be none.
    async fn report(&mut self) -> io::Result<Option<Report>> {
        loop {
            let end = self.unread.iter().position(|byte| *byte == b'\n');
            if let Some(end) = end {
                let line: Vec<u8> = self.unread.drain(..=end).collect();
                return Ok(Some(serde_json::from_slice(&line)?));
            }
            self.control.readable().await?;
            match self.control.try_read_buf(&mut self.unread) {
                Ok(0) => return Ok(None),
                Ok(_some) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // It was killed with a letter unread.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.kill();
    }
}
