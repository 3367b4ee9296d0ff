//! A connection whose pace is noted: what comes, and what is taken.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use taskferry_process::Charge;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::transport::http::connections::pace::Pace;

/// A head that is larger is charged for; each connection has room for one of this size.
const FREE_HEAD: usize = 8 << 10;

/// A connection, `T`, and its pace.
pub(super) struct Paced<T> {
    connection: T,
    pace: Arc<Pace>,
    /// The bytes of a head that is on its way.
    head: usize,
    /// How many requests had begun when they came.
    requests: u64,
    /// What they take of the memory for requests.
    charge: Charge,
}

impl<T> Paced<T> {
    pub(super) fn new(connection: T, pace: Arc<Pace>, charge: Charge) -> Self {
        Self {
            connection,
            pace,
            head: 0,
            requests: 0,
            charge,
        }
    }

    /// Notes that so many bytes came. False if there is no memory for them.
    fn came(&mut self, bytes: usize) -> bool {
        let begun = self.pace.requests_begun();
        if self.requests != begun {
            // What came until then is served.
            (self.requests, self.head) = (begun, 0);
            self.charge.give_back();
        }
        if self.pace.is_serving() || bytes == 0 {
            return true;
        }
        self.pace.head_comes();
        self.head = self.head.saturating_add(bytes);
        self.charge.grow_to(self.head.saturating_sub(FREE_HEAD))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Paced<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.connection).poll_read(context, buffer))?;
        if self.came(buffer.filled().len() - before) {
            return Poll::Ready(Ok(()));
        }
        let error = "no memory for a head of this size, as it is taken by other requests";
        Poll::Ready(Err(io::Error::other(error)))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Paced<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.connection).poll_write(context, bytes);
        self.pace.took(bytes.len(), taken(&outcome));
        outcome
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.connection).poll_write_vectored(context, pieces);
        let offered = pieces.iter().map(|piece| piece.len()).sum();
        self.pace.took(offered, taken(&outcome));
        outcome
    }

    fn is_write_vectored(&self) -> bool {
        self.connection.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_shutdown(context)
    }
}

fn taken(outcome: &Poll<io::Result<usize>>) -> usize {
    match outcome {
        Poll::Ready(Ok(bytes)) => *bytes,
        Poll::Ready(Err(_)) | Poll::Pending => 0,
    }
}

#[cfg(test)]
mod tests {
    use taskferry_process::Budget;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// There is memory for one large head and no more.
    #[tokio::test]
    async fn heads_of_requests_that_are_served_take_no_memory() {
        let memory = Budget::new(64 << 10);
        let (mut client, connection) = tokio::io::duplex(FREE_HEAD * 4);
        let pace = Arc::new(Pace::begun());
        let mut paced = Paced::new(connection, Arc::clone(&pace), memory.charge());
        let mut head = vec![b'x'; FREE_HEAD * 4];
        for _ in 0..20 {
            client.write_all(&head).await.unwrap();
            paced.read_exact(&mut head).await.unwrap();
            pace.request_begins();
            pace.request_ends();
        }
    }
}
