//! The three pipes of a running command, and the future that drives them.

use std::future::Future;
use std::pin::Pin;

use taskferry_contract::HandleDigest;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::process::{ChildStderr, ChildStdout};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::event::EventSink;
use super::lines::{LineSplitter, OutputLine, Tail};
use super::stderr::{AskLine, StderrLine};

const CHUNK_BYTES: usize = 16 * 1024;

/// The line that is kept in place of a question that is not asked.
const DOES_NOT_ASK: &str =
    "the tool asked the client, but its manifest does not say asks = true, so nobody was asked";

/// The most questions that one attempt may ask.
const MOST_ASKED: usize = 256;

/// The worker's ends of the three.
pub(super) struct Pipes {
    pub(super) stdin: Option<Box<dyn AsyncWrite + Send + Unpin>>,
    pub(super) stdout: Option<ChildStdout>,
    pub(super) stderr: Option<ChildStderr>,
}

/// What the worker writes to a command's standard input.
#[derive(Debug)]
pub(super) struct StdinFeed {
    /// The arguments, with their line end.
    pub(super) line: Vec<u8>,
    /// Later lines: the answers for a command that asks.
    pub(super) replies: Option<mpsc::UnboundedReceiver<String>>,
    /// Cancelled when the command has ended, or must.
    pub(super) over: CancellationToken,
}

impl StdinFeed {
    /// Writes everything and closes the pipe. A command may close its end
    /// unread, so every failure is ignored.
    pub(super) async fn feed(self, mut stdin: impl AsyncWrite + Unpin) {
        let _ignored = stdin.write_all(&self.line).await;
        if let Some(mut replies) = self.replies {
            let replies = async {
                while let Some(mut reply) = replies.recv().await {
                    reply.push('\n');
                    let _ignored = stdin.write_all(reply.as_bytes()).await;
                    let _ignored = stdin.flush().await;
                }
            };
            tokio::select! {
                () = replies => {}
                () = self.over.cancelled() => {}
            }
        }
        let _ignored = stdin.shutdown().await;
    }
}

/// Standard output up to a bound.
#[derive(Debug)]
pub(super) struct StdoutCapture {
    pub(super) bytes: Vec<u8>,
    limit: usize,
    /// Cancelled when there was more than the bound.
    pub(super) overflow: CancellationToken,
}

impl StdoutCapture {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            bytes: Vec::new(),
            limit,
            overflow: CancellationToken::new(),
        }
    }

    /// Reads to the end. What is beyond the bound is read and thrown away, so
    /// that a command which is asked to end is not stuck in a write.
    pub(super) async fn read(&mut self, mut stdout: impl AsyncRead + Unpin) {
        let mut chunk = vec![0; CHUNK_BYTES];
        while let Ok(count @ 1..) = stdout.read(&mut chunk).await {
            let room = self.limit.saturating_sub(self.bytes.len());
            if count > room {
                self.overflow.cancel();
            }
            let kept = chunk.get(..count.min(room)).unwrap_or_default();
            self.bytes.extend_from_slice(kept);
        }
    }
}

/// The log target of what tools write to standard error.
const TOOL: &str = "tool";

/// The attempt whose standard error it is, for the log.
#[derive(Debug)]
pub(super) struct Speaker {
    pub(super) task: HandleDigest,
    pub(super) tool: String,
    pub(super) attempt: u64,
}

impl Speaker {
    fn says(&self, line: &str) {
        let Self {
            task,
            tool,
            attempt,
        } = self;
        tracing::debug!(target: TOOL, parent: None, %task, %tool, attempt, line, "stderr");
    }
}

/// Standard error: events and questions go out, the last plain lines stay.
#[derive(Debug)]
pub(super) struct StderrReader {
    speaker: Speaker,
    pub(super) events: EventSink,
    pub(super) tail: Tail,
    /// Where questions go; nowhere if the tool does not ask.
    questions: Option<mpsc::UnboundedSender<Vec<AskLine>>>,
    /// The questions of the bytes that were read last.
    asked: Vec<AskLine>,
    count: usize,
    /// Whether the last line that was read is kept in the tail, so that the next one may replace it.
    kept: bool,
}

impl StderrReader {
    pub(super) fn new(
        events: EventSink,
        questions: Option<mpsc::UnboundedSender<Vec<AskLine>>>,
        speaker: Speaker,
    ) -> Self {
        Self {
            speaker,
            events,
            tail: Tail::default(),
            questions,
            asked: Vec::new(),
            count: 0,
            kept: false,
        }
    }

    /// Reads to the end, at the command's pace: events that the receiver has
    /// no room for wait or give way.
    pub(super) async fn read(&mut self, mut stderr: impl AsyncRead + Unpin) {
        let mut chunk = vec![0; CHUNK_BYTES];
        let mut splitter = LineSplitter::default();
        loop {
            let count = tokio::select! {
                biased;
                count = stderr.read(&mut chunk) => count,
                () = self.events.send_next(), if self.events.has_waiting() => continue,
            };
            let Ok(count @ 1..) = count else { break };
            let bytes = chunk.get(..count).unwrap_or_default();
            splitter.push(bytes, |line| self.take(line));
            self.put();
        }
        if let Some(line) = splitter.finish() {
            self.take(line);
            self.put();
        }
    }

    fn take(&mut self, OutputLine { text, replaces }: OutputLine) {
        let replaces = std::mem::take(&mut self.kept) && replaces;
        match self.events.report(StderrLine::parse(text)) {
            Some(StderrLine::Ask(ask)) => self.ask(ask),
            Some(StderrLine::Plain(plain)) if replaces => {
                self.speaker.says(&plain);
                self.tail.replace_last(plain);
                self.kept = true;
            }
            Some(StderrLine::Plain(plain)) => {
                self.keep(plain);
                self.kept = true;
            }
            _reported => {}
        }
    }

    fn keep(&mut self, plain: String) {
        self.speaker.says(&plain);
        self.tail.push(plain);
    }

    fn ask(&mut self, mut ask: AskLine) {
        if self.questions.is_none() {
            tracing::warn!(key = ask.key, "{DOES_NOT_ASK}");
            return self.keep(DOES_NOT_ASK.to_owned());
        }
        self.count = self.count.saturating_add(1);
        if self.count > MOST_ASKED {
            ask.request = Err(format!("an attempt may ask {MOST_ASKED} times at most"));
        }
        if let Err(reason) = &ask.request {
            tracing::warn!(key = ask.key, reason, "a question that cannot be put");
            self.keep(format!("::ask {}: {reason}", ask.key));
        }
        // One beyond the bound is passed on, so that the command gets an error for it. More of them would only fill the
        // memory.
        if self.count <= MOST_ASKED + 1 {
            self.asked.push(ask);
        }
    }

    /// Sends the questions of one read together.
    fn put(&mut self) {
        if let Some(questions) = &self.questions
            && !self.asked.is_empty()
        {
            let _nobody_listens_any_more = questions.send(std::mem::take(&mut self.asked));
        }
    }
}

/// A future that is driven while something else is awaited.
pub(super) struct Pump<'a>(Option<Pin<Box<dyn Future<Output = ()> + Send + 'a>>>);

impl<'a> Pump<'a> {
    pub(super) fn new(future: impl Future<Output = ()> + Send + 'a) -> Self {
        Self(Some(Box::pin(future)))
    }

    /// Drives the pump until `other` is ready.
    pub(super) async fn until<T>(&mut self, other: impl Future<Output = T>) -> T {
        let mut other = std::pin::pin!(other);
        tokio::select! {
            biased;
            output = &mut other => return output,
            () = self.finished() => {}
        }
        other.await
    }

    /// Drives the pump to its end.
    pub(super) async fn finished(&mut self) {
        if let Some(future) = &mut self.0 {
            future.await;
            self.0 = None;
        }
    }
}
