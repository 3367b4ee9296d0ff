//! The signals that tell a process to stop.

use std::fmt;
use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// A signal that tells a process to stop: every ordinary end of a session, a terminal or a service is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopSignal {
    /// SIGHUP: the terminal or the session is gone.
    Hangup,
    /// SIGINT: Ctrl-C.
    Interrupt,
    /// SIGQUIT: Ctrl-\.
    Quit,
    /// SIGTERM: what supervisors and `kill` send.
    Terminate,
}

impl StopSignal {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Hangup, Self::Interrupt, Self::Quit, Self::Terminate];

    /// The number by which the system knows it.
    #[must_use]
    pub fn number(self) -> i32 {
        self.kind().as_raw_value()
    }

    /// Whether it hurries a process that stops already. A hangup does not: it comes beside another signal from systemd
    /// (`SendSIGHUP`), and twice from some terminals.
    #[must_use]
    pub fn hurries(self) -> bool {
        self != Self::Hangup
    }

    fn kind(self) -> SignalKind {
        match self {
            Self::Hangup => SignalKind::hangup(),
            Self::Interrupt => SignalKind::interrupt(),
            Self::Quit => SignalKind::quit(),
            Self::Terminate => SignalKind::terminate(),
        }
    }

    /// Whether whoever started the process wants it to go on after this signal. `nohup` asks for that, and shells do for
    /// what they start in the background.
    fn may_be_unwanted(self) -> bool {
        matches!(self, Self::Hangup | Self::Quit)
    }
}

impl fmt::Display for StopSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hangup => "SIGHUP",
            Self::Interrupt => "SIGINT",
            Self::Quit => "SIGQUIT",
            Self::Terminate => "SIGTERM",
        })
    }
}

/// The stop signals of this process, caught.
#[derive(Debug)]
pub struct StopSignals {
    hangup: Option<Signal>,
    interrupt: Option<Signal>,
    quit: Option<Signal>,
    terminate: Option<Signal>,
}

impl StopSignals {
    /// Catches them from now on, but for SIGHUP and SIGQUIT where the process was started with these ignored.
    ///
    /// # Errors
    ///
    /// If the system does not let it.
    pub fn catch() -> io::Result<Self> {
        let ignored = ignored();
        let caught = |which: StopSignal| {
            let bit = u32::try_from(which.number() - 1).unwrap_or_default();
            if which.may_be_unwanted() && ignored & (1 << bit) != 0 {
                return Ok(None);
            }
            signal(which.kind()).map(Some)
        };
        Ok(Self {
            hangup: caught(StopSignal::Hangup)?,
            interrupt: caught(StopSignal::Interrupt)?,
            quit: caught(StopSignal::Quit)?,
            terminate: caught(StopSignal::Terminate)?,
        })
    }

    /// Waits for the next one.
    pub async fn next(&mut self) -> StopSignal {
        tokio::select! {
            () = came(&mut self.terminate) => StopSignal::Terminate,
            () = came(&mut self.interrupt) => StopSignal::Interrupt,
            () = came(&mut self.quit) => StopSignal::Quit,
            () = came(&mut self.hangup) => StopSignal::Hangup,
        }
    }
}

async fn came(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => _ = signal.recv().await,
        None => std::future::pending().await,
    }
}

/// The signals that this process ignores, a bit each; none where the system does not say (this reads Linux's `/proc`).
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    ignored_in(&status)
}

fn ignored_in(status: &str) -> u64 {
    let mut lines = status.lines();
    let mask = lines.find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_process_ignores_is_read_from_its_status() {
        assert_eq!(
            ignored_in("Name:\tx\nSigIgn:\t0000000000001001\nSigCgt:\t0\n"),
            0x1001
        );
        assert_eq!(ignored_in(""), 0);
    }

    #[test]
    fn only_a_hangup_does_not_hurry() {
        let calm = StopSignal::ALL
            .into_iter()
            .filter(|signal| !signal.hurries());
        assert_eq!(calm.collect::<Vec<_>>(), [StopSignal::Hangup]);
        let numbers = StopSignal::ALL.map(StopSignal::number);
        assert_eq!(numbers, [1, 2, 3, 15]);
    }
}
