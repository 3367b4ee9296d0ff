//! What worker, supervisor and launcher tell each other.

use std::io::{IoSlice, IoSliceMut, Read as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize};

use crate::exec::cgroup::{CgroupHome, MetLimits};
use crate::exec::fault::StartFault;
use crate::exec::limits::ResourceLimits;
use crate::exec::sandbox::Sandbox;

/// What the first argument of a supervisor and of a launcher is.
pub(super) const SUPERVISE: &str = "supervise-a-command";
pub(super) const LAUNCH: &str = "launch-a-command";
/// This program, also after another was installed in its place.
pub(super) const THIS_PROGRAM: &str = "/proc/self/exe";

/// Asks the group of the command to end.
pub(super) const TERMINATE: u8 = b'T';
/// Kills everything. The supervisor goes when all is gone.
pub(super) const KILL: u8 = b'K';

/// How a command is to be run; its program and arguments are the supervisor's own.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) cwd: PathBuf,
    /// How long it may go on after SIGTERM if the worker is gone.
    pub(super) stop_grace: Duration,
    pub(super) limits: ResourceLimits,
    pub(super) sandbox: Sandbox,
    /// Where its supervisor makes a cgroup for it.
    pub(super) home: Option<CgroupHome>,
    /// The cgroup that its launcher enters.
    pub(super) cgroup: Option<PathBuf>,
}

/// What a supervisor reports.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Report {
    /// The command runs, under this process id, which is its group's too, and in this cgroup.
    Started { pid: i32, cgroup: Option<PathBuf> },
    /// It could not be started, and nothing of it ran.
    Failed(StartFault),
    /// It ended, with this status as `wait` tells it, and had met these limits.
    Ended { status: i32, met: MetLimits },
}

/// Sends an order, and the file that is to be the command's standard input.
pub(super) fn send(to: &UnixStream, order: &Order, stdin: &OwnedFd) -> std::io::Result<()> {
    let order = serde_json::to_vec(order)?;
    let length = u32::try_from(order.len()).unwrap_or(u32::MAX).to_be_bytes();
    let parts = [IoSlice::new(&length), IoSlice::new(&order)];
    let files = [stdin.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut beside = SendAncillaryBuffer::new(&mut space);
    beside.push(SendAncillaryMessage::ScmRights(&files));
    let sent = sendmsg(to, &parts, &mut beside, SendFlags::NOSIGNAL)?;
    if sent == length.len() + order.len() {
        return Ok(());
    }
    Err(std::io::Error::other("the order is too large"))
}

/// Waits for an order and the file that comes with it.
pub(super) fn receive(from: &mut UnixStream) -> std::io::Result<(Order, OwnedFd)> {
    let incomplete = || std::io::Error::other("there is no whole order");
    let mut length = [0; 4];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut beside = RecvAncillaryBuffer::new(&mut space);
    let mut room = [IoSliceMut::new(&mut length)];
    let received = recvmsg(&*from, &mut room, &mut beside, RecvFlags::CMSG_CLOEXEC)?;
    let files = beside.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(files) => Some(files),
        _ => None,
    });
    let stdin = files.flatten().next().ok_or_else(incomplete)?;
    if received.bytes != length.len() {
        return Err(incomplete());
    }
    let length = usize::try_from(u32::from_be_bytes(length)).map_err(|_too_large| incomplete())?;
    let mut order = vec![0; length];
    from.read_exact(&mut order)?;
    Ok((serde_json::from_slice(&order)?, stdin))
}
