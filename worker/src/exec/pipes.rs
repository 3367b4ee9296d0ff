//! The three pipes of a running command, and the future that drives them.

use std::future::Future;
use std::pin::Pin;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_util::sync::CancellationToken;

use super::event::EventSink;
use super::lines::{LineSplitter, Tail};
use super::stderr::Line;

const CHUNK_BYTES: usize = 16 * 1024;

/// Writes the arguments and closes the pipe. A command may close its end
/// unread, so every failure is ignored.
pub(super) async fn feed(mut stdin: impl AsyncWrite + Unpin, line: Vec<u8>) {
    let _ignored = stdin.write_all(&line).await;
    let _ignored = stdin.shutdown().await;
}

/// Standard output up to a bound.
#[derive(Debug)]
pub(super) struct Capture {
    pub(super) bytes: Vec<u8>,
    limit: usize,
    /// Cancelled when there was more than the bound.
    pub(super) overflow: CancellationToken,
}

impl Capture {
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

/// Standard error: events go out, the last plain lines stay.
#[derive(Debug)]
pub(super) struct Watch {
    pub(super) events: EventSink,
    pub(super) tail: Tail,
}

impl Watch {
    pub(super) fn new(events: EventSink) -> Self {
        Self {
            events,
            tail: Tail::default(),
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
        }
        if let Some(line) = splitter.finish() {
            self.take(line);
        }
    }

    fn take(&mut self, line: String) {
        if let Some(plain) = self.events.report(Line::parse(line)) {
            tracing::debug!(line = plain, "stderr");
            self.tail.push(plain);
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
