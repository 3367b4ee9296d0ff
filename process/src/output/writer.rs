//! The thread that writes lines.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::lines::{Lines, Next};

/// So much waits to be written at most, bytes: some tens of thousands of lines.
const MOST_WAITING: usize = 4 << 20;
/// Between two attempts at a file that takes nothing at the moment, and was opened not to wait.
const TRY_AGAIN: Duration = Duration::from_millis(20);

/// Writes lines on a thread of its own, one after another. Whoever has a line to write never waits: not for a pipe that
/// nobody reads, nor for a disk that is full. Lines that cannot be written, or that find 4 MiB waiting, are lost and counted,
/// and a note says how many as soon as something can be written again.
#[derive(Debug, Clone)]
pub struct LineWriter(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    lines: Lines,
    /// Whether the thread has something in hand.
    writing: bool,
}

impl LineWriter {
    /// Writes to `file` from now on; `note` makes the line that says how many are missing.
    ///
    /// # Errors
    ///
    /// If no thread can be started.
    pub fn start(file: File, note: impl Fn(u64) -> String + Send + 'static) -> io::Result<Self> {
        let state = State {
            lines: Lines::new(MOST_WAITING),
            writing: false,
        };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            changed: Condvar::new(),
        });
        let own = Arc::clone(&shared);
        thread::Builder::new()
            .name("lines".to_owned())
            .spawn(move || own.write_to(&mut Target { file, torn: false }, note))?;
        Ok(Self(shared))
    }

    /// Takes a line, which has its end, to be written.
    pub fn line(&self, line: &[u8]) {
        self.0.state().lines.push(line);
        self.0.changed.notify_all();
    }

    /// Waits until all lines are written, but not longer than `bound`.
    pub fn flush(&self, bound: Duration) {
        let until = Instant::now() + bound;
        let mut state = self.0.state();
        while state.writing || !state.lines.is_empty() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            state = self
                .0
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }
}

impl Shared {
    /// Every critical section is a few plain assignments, so the state is whole even after a panic.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what comes, for as long as the process lives.
    fn write_to(&self, target: &mut Target, note: impl Fn(u64) -> String) {
        let mut well = true;
        loop {
            let next = self.next(well);
            let (written, lines) = match next {
                Next::Line(line) => (target.write(&line), 1),
                Next::Lost(lines) => (target.write(note(lines).as_bytes()), lines),
            };
            well = written.is_ok();
            if !well {
                self.state().lines.count_lost(lines);
            }
        }
    }

    fn next(&self, well: bool) -> Next {
        let mut state = self.state();
        loop {
            if let Some(next) = state.lines.next(well) {
                state.writing = true;
                return next;
            }
            state.writing = false;
            self.changed.notify_all();
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

struct Target {
    file: File,
    /// The last line was written in part.
    torn: bool,
}

impl Target {
    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        if self.torn {
            self.write_all(b"\n")?;
            self.torn = false;
        }
        self.write_all(line)
    }

    fn write_all(&mut self, mut rest: &[u8]) -> io::Result<()> {
        let whole = rest.len();
        while !rest.is_empty() {
            match self.file.write(rest) {
                Ok(written) if written > 0 => rest = rest.get(written..).unwrap_or_default(),
                Ok(_) => return Err(ErrorKind::WriteZero.into()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => wait_a_little(),
                Err(error) => {
                    self.torn |= rest.len() < whole;
                    return Err(error);
                }
            }
        }
        Ok(())
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "it is the writer's own thread, where nothing else runs"
)]
fn wait_a_little() {
    thread::sleep(TRY_AGAIN);
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, PipeReader, Read, pipe};
    use std::os::fd::OwnedFd;

    use super::*;

    /// Longer than any machine stalls; what does not wait does not take it.
    const LONG: Duration = Duration::from_secs(60);

    fn to_a_pipe() -> (PipeReader, LineWriter) {
        let (reader, writer) = pipe().unwrap();
        let file = File::from(OwnedFd::from(writer));
        let note = |lost| format!("{lost} lost\n");
        (reader, LineWriter::start(file, note).unwrap())
    }

    #[test]
    fn lines_are_written_in_their_order_and_a_flush_waits_for_them() {
        let (reader, writer) = to_a_pipe();
        for number in 0..100 {
            writer.line(format!("{number}\n").as_bytes());
        }
        writer.flush(LONG);
        let lines = BufReader::new(reader).lines().take(100);
        let read: Vec<String> = lines.map(Result::unwrap).collect();
        let expected: Vec<String> = (0..100).map(|number| number.to_string()).collect();
        assert_eq!(read, expected);
    }

    #[test]
    fn a_pipe_that_nobody_reads_holds_nobody_up_and_what_was_lost_is_noted_once_it_is_read() {
        let (mut reader, writer) = to_a_pipe();
        let line = [[b'x'; 1023].as_slice(), b"\n"].concat();
        let sent = 3 * MOST_WAITING / line.len();
        for _ in 0..sent {
            writer.line(&line);
        }
        // It has more to write than a pipe holds.
        writer.flush(Duration::from_millis(1));
        let (mut lines, mut lost) = (0, 0);
        let mut read = BufReader::new(reader.by_ref()).lines().map(Result::unwrap);
        while lines + lost < sent {
            let line = read.next().unwrap();
            match line.strip_suffix(" lost") {
                Some(number) => lost += number.parse::<usize>().unwrap(),
                None => lines += 1,
            }
        }
        assert_eq!(lines + lost, sent);
        assert!(lines >= MOST_WAITING / line.len(), "{lines} were written");
        assert!(lost > 0);
    }

    #[test]
    fn a_reader_that_is_gone_holds_nobody_up() {
        let (reader, writer) = to_a_pipe();
        drop(reader);
        for _ in 0..1000 {
            writer.line(b"into nothing\n");
        }
        // It would wait in vain if the writer waited for a reader.
        writer.flush(LONG);
    }
}
