//! Clients that come over HTTP.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::bail;
use taskferry_client::kept::Connection;

use crate::load::Client;
use crate::messages::{Endpoint, Expect, outcome};
use crate::work::POLL_INTERVAL;

/// Sends ready-made requests in turn.
#[derive(Debug)]
pub(crate) struct Poster {
    http: Connection,
    requests: Arc<Vec<Vec<u8>>>,
    next: usize,
    expect: Expect,
}

impl Poster {
    /// `count` clients, each with a connection; they share the requests and start at different ones.
    pub(crate) async fn several(
        count: usize,
        address: SocketAddr,
        requests: Vec<Vec<u8>>,
        expect: Expect,
    ) -> anyhow::Result<Vec<Self>> {
        let requests = Arc::new(requests);
        let mut clients = Vec::with_capacity(count);
        for number in 0..count {
            clients.push(Self {
                http: Connection::connect(address).await?,
                requests: Arc::clone(&requests),
                next: number * requests.len() / count,
                expect,
            });
        }
        Ok(clients)
    }
}

impl Client for Poster {
    async fn once(&mut self) -> anyhow::Result<()> {
        let Some(request) = self.requests.get(self.next % self.requests.len().max(1)) else {
            bail!("there is nothing to send");
        };
        self.next += 1;
        let answer = self.http.send(request).await?;
        outcome(answer.ok()?, self.expect).map(drop)
    }
}

/// Creates a task and polls it to its end, as often as the server says.
#[derive(Debug)]
pub(crate) struct Lifecycle {
    http: Connection,
    endpoint: Endpoint,
    create: Arc<Vec<u8>>,
}

impl Lifecycle {
    /// `count` clients, each with a connection.
    pub(crate) async fn several(
        count: usize,
        endpoint: &Endpoint,
        create: Vec<u8>,
    ) -> anyhow::Result<Vec<Self>> {
        let create = Arc::new(create);
        let mut clients = Vec::with_capacity(count);
        for _ in 0..count {
            clients.push(Self {
                http: Connection::connect(endpoint.address).await?,
                endpoint: endpoint.clone(),
                create: Arc::clone(&create),
            });
        }
        Ok(clients)
    }
}

impl Client for Lifecycle {
    async fn once(&mut self) -> anyhow::Result<()> {
        let answer = self.http.send(&self.create).await?;
        let task = outcome(answer.ok()?, Expect::Task)?;
        let poll = self
            .endpoint
            .poll(task.task_id.as_deref().unwrap_or_default());
        loop {
            tokio::time::sleep(POLL_INTERVAL).await;
            let answer = self.http.send(&poll).await?;
            let body = answer.ok()?;
            match outcome(body, Expect::Task)?.status.as_deref() {
                Some("working") => {}
                Some("completed") => return Ok(()),
                _ => bail!("a task ended otherwise: {}", String::from_utf8_lossy(body)),
            }
        }
    }
}
