//! Where running attempts report: each connects, says which attempt it is, and runs for as long as it is kept.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout};

/// How long an attempt may take to come: longer than any lease here.
const COMES: Duration = Duration::from_secs(60);

/// Listens for the attempts of one job.
#[derive(Debug)]
pub(super) struct AttemptListener(TcpListener);

/// An attempt that runs, until it is told to end or its worker dies.
#[derive(Debug)]
pub(super) struct Running {
    stream: BufReader<TcpStream>,
    /// Its number.
    pub(super) attempt: u64,
    /// When it began.
    pub(super) since: Instant,
}

impl AttemptListener {
    pub(super) async fn open() -> anyhow::Result<Self> {
        Ok(Self(TcpListener::bind("127.0.0.1:0").await?))
    }

    pub(super) fn address(&self) -> anyhow::Result<SocketAddr> {
        Ok(self.0.local_addr()?)
    }

    /// Waits for the next attempt.
    pub(super) async fn next(&self) -> anyhow::Result<Running> {
        let (stream, _peer) = timeout(COMES, self.0.accept())
            .await
            .with_context(|| format!("no attempt began within {COMES:?}"))??;
        let since = Instant::now();
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            bail!("an attempt ended before it said its number");
        }
        Ok(Running {
            stream,
            attempt: line.trim().parse().context("an attempt's number")?,
            since,
        })
    }
}

impl Running {
    /// Lets the attempt complete its job.
    pub(super) async fn complete(mut self) -> anyhow::Result<()> {
        self.stream.write_all(b"\n").await?;
        Ok(())
    }
}
