//! The yardstick `direct`: a lifecycle by the contract alone, without HTTP, protocol or waiting for anyone.

use std::time::Duration;

use anyhow::bail;
use taskferry_contract::{
    Arguments, BlockingConnection, ClaimReply, DeliveredEntry, Delivery, FinishReply, HeldAttempt,
    Outcome, Owner, Status, Store, StreamReader, TaskId, ToolDefinition, WorkerId,
};

use crate::load::Client;
use crate::work::{self, Kind};

/// A lease that no job here outlives.
const LEASE: Duration = Duration::from_secs(60);

/// Submits a job, takes one off the queue, works it off and reads it.
#[derive(Debug)]
pub(crate) struct Direct {
    store: Store,
    connection: BlockingConnection,
    tool: ToolDefinition,
    worker: WorkerId,
    owner: Owner,
    arguments: Arguments,
    result: String,
}

impl Direct {
    /// `count` clients, each with a connection to read from the stream; the other commands share one, as everywhere.
    pub(crate) async fn several(
        count: usize,
        store: &Store,
        payload_bytes: usize,
    ) -> anyhow::Result<Vec<Self>> {
        let mut clients = Vec::with_capacity(count);
        for number in 0..count {
            let name = format!("direct-{number}");
            clients.push(Self::named(&name, store, Owner::anonymous(), [payload_bytes; 2]).await?);
        }
        Ok(clients)
    }

    /// One client, which submits as `owner`, with so many bytes of text in its arguments and in its results.
    pub(crate) async fn named(
        name: &str,
        store: &Store,
        owner: Owner,
        [arguments, result]: [usize; 2],
    ) -> anyhow::Result<Self> {
        Ok(Self {
            connection: store.connections().blocking().await?,
            store: store.clone(),
            tool: Kind::Direct.definition()?,
            worker: name.parse()?,
            owner,
            arguments: work::arguments(arguments),
            result: work::result(result),
        })
    }

    /// Queues a job.
    pub(crate) async fn submit(&self) -> anyhow::Result<TaskId> {
        work::submit(&self.store, &self.tool, &self.owner, &self.arguments).await
    }

    /// Takes the next job and completes it.
    pub(crate) async fn work_off(&mut self) -> anyhow::Result<TaskId> {
        let claimed = self.next().await?;
        let id = claimed.id;
        let job = match self.store.claim(&claimed, &self.worker, LEASE).await? {
            ClaimReply::Started(job) => job,
            other => bail!("an attempt did not start: {other:?}"),
        };
        let hold = HeldAttempt {
            claimed,
            attempt: job.attempt,
            worker: self.worker.clone(),
        };
        let outcome = Outcome::Completed {
            result: self.result.clone(),
            is_error: false,
            message: None,
        };
        let finished = self.store.finish(&hold, &outcome).await?;
        if finished != FinishReply::Stored {
            bail!("a result was not stored: {finished:?}");
        }
        Ok(id)
    }

    /// Takes the next entry. There is one: each client takes one after it put one in.
    async fn next(&mut self) -> anyhow::Result<DeliveredEntry> {
        let source = StreamReader {
            worker: &self.worker,
            shard: work::shard(&self.store)?,
            queues: std::slice::from_ref(&self.tool.queue),
        };
        let read = self.store.read_new(&mut self.connection, source, 1, None);
        match read.await?.pop() {
            Some(Delivery::Job(claimed)) => Ok(claimed),
            other => bail!("no entry of a job, but {other:?}"),
        }
    }
}

impl Client for Direct {
    async fn once(&mut self) -> anyhow::Result<()> {
        self.submit().await?;
        let id = self.work_off().await?;
        let view = self.store.view_with_outcome(id).await?;
        match view {
            Some(view) if view.status == Status::Completed => Ok(()),
            other => bail!("a job is not complete: {other:?}"),
        }
    }
}
