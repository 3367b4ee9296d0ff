//! What moves jobs: from streams to workers, from silent workers to live ones, from `due` to streams.

use std::time::Duration;

use redis::Value;

use crate::connection::BlockingConnection;
use crate::error::Error;
use crate::keys::GROUP;
use crate::model::attempt::{DeliveredEntry, UnreadableEntry};
use crate::model::ids::EntryId;
use crate::model::ids::TaskId;
use crate::model::names::{QueueName, WorkerId};
use crate::model::queue::QueueStream;
use crate::model::shard::Shard;
use crate::script::TRANSITIONS;
use crate::store::{Store, millis};

/// An entry that a worker was given, as far as it can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// It points at a job.
    Job(DeliveredEntry),
    /// It has no id of a task of this shard: the entry is foreign or broken, or was deleted while it was pending (then
    /// nothing of it is left to bury).
    Unreadable(UnreadableEntry),
}

/// A worker and the streams that it reads.
#[derive(Debug, Clone, Copy)]
pub struct StreamReader<'a> {
    /// The worker that reads; its id is the name of the consumer.
    pub worker: &'a WorkerId,
    /// The shard.
    pub shard: Shard,
    /// The queues of the shard.
    pub queues: &'a [QueueName],
}

/// What became of a forward.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForwardReply {
    /// How many due jobs were moved: to their stream, or to the set of jobs that wait for a slot of their tool.
    pub moved: u64,
    /// When to call again, ms since the epoch. The earlier of: when the next job is due, and one second from now if jobs
    /// wait for a slot, or when the rate of their tool has room. In the past if the batch left some due. `None` if nothing waits.
    pub call_again_ms: Option<u64>,
    /// How many jobs were found whose record had expired while they waited for their time or for a slot.
    pub expired: u64,
    /// Keys that were found to hold another type than they should.
    pub misplaced: Vec<String>,
}

/// The reply of `XREADGROUP`: each stream with its entries, each entry with its fields and values as one list. For a
/// pending entry that was deleted, nil in place of the list.
type Streams = Vec<(String, Vec<(String, Value)>)>;

impl Store {
    /// Reads up to `count` new entries per queue. With `block`, waits that long for the first one; without, returns at
    /// once.
    ///
    /// # Errors
    ///
    /// If Redis fails: then entries may be pending for this worker that it never saw; [`Self::read_pending`] finds them.
    /// [`Error::is_no_group`] is true of the error if the consumer group is gone.
    pub async fn read_new(
        &self,
        connection: &mut BlockingConnection,
        reader: StreamReader<'_>,
        count: usize,
        block: Option<Duration>,
    ) -> Result<Vec<Delivery>, Error> {
        let read = self.read_command(reader, count, block, ">");
        let streams: Option<Streams> = connection
            .command("XREADGROUP", &read, block.unwrap_or_default())
            .await?;
        Ok(self.deliveries(reader, streams.unwrap_or_default()))
    }

    /// Reads up to `count` entries per queue that were delivered to this worker and never acked.
    ///
    /// # Errors
    ///
    /// As [`Self::read_new`].
    pub async fn read_pending(
        &self,
        reader: StreamReader<'_>,
        count: usize,
    ) -> Result<Vec<Delivery>, Error> {
        let read = self.read_command(reader, count, None, "0");
        let streams: Option<Streams> = self.connections.command("XREADGROUP", &read).await?;
        Ok(self.deliveries(reader, streams.unwrap_or_default()))
    }

    /// `XREADGROUP` over the streams of `reader`: `from` is `>` for new entries, or the id after which the worker's own
    /// pending ones begin.
    fn read_command(
        &self,
        reader: StreamReader<'_>,
        count: usize,
        block: Option<Duration>,
        from: &str,
    ) -> redis::Cmd {
        let mut read = redis::cmd("XREADGROUP");
        read.arg("GROUP")
            .arg(GROUP)
            .arg(reader.worker.as_str())
            .arg("COUNT")
            .arg(count);
        if let Some(block) = block {
            // Zero would block for ever.
            read.arg("BLOCK").arg(millis(block).max(1));
        }
        read.arg("STREAMS");
        for queue in reader.queues {
            read.arg(self.keys.queue(reader.shard, queue));
        }
        for _ in reader.queues {
            read.arg(from);
        }
        read
    }

    fn deliveries(&self, reader: StreamReader<'_>, streams: Streams) -> Vec<Delivery> {
        let StreamReader { shard, queues, .. } = reader;
        let mut deliveries = Vec::new();
        for (key, entries) in streams {
            let Some(queue) = queues.iter().find(|q| self.keys.queue(shard, q) == key) else {
                continue;
            };
            for (entry, fields) in entries {
                let named = Named {
                    id: field(&fields, "id"),
                    tool: field(&fields, "tool"),
                };
                deliveries.push(delivery(QueueStream { shard, queue }, entry, named));
            }
        }
        deliveries
    }

    /// Takes over up to `count` entries of a queue that have been idle for `lease`. The caller must then claim each.
    ///
    /// # Errors
    ///
    /// If Redis fails. [`Error::is_no_group`] is true of the error if the consumer group is gone.
    pub async fn reclaim(
        &self,
        worker: &WorkerId,
        from: QueueStream<'_>,
        lease: Duration,
        count: usize,
    ) -> Result<Vec<Delivery>, Error> {
        let QueueStream { shard, queue } = from;
        let (idle, count) = (millis(lease).to_string(), count.to_string());
        let key = self.keys.queue(shard, queue);
        let mut reply = self
            .call(
                &TRANSITIONS.reclaim,
                &[&key],
                &[worker.as_str(), &idle, &count],
            )
            .await?;
        if reply.tag != "OK" {
            return Err(reply.unknown());
        }
        let mut deliveries = Vec::new();
        while !reply.is_empty() {
            let entry = reply.text()?;
            let named = Named {
                id: reply.text()?,
                tool: reply.text()?,
            };
            deliveries.push(delivery(from, entry, named));
        }
        Ok(deliveries)
    }

    /// Moves up to `limit` due jobs of a queue to its stream, and gives out slots of its tools that nobody freed.
    ///
    /// # Errors
    ///
    /// If Redis fails; the same call again is safe.
    pub async fn forward(&self, of: QueueStream<'_>, limit: u32) -> Result<ForwardReply, Error> {
        let (base, limit) = (self.keys.base(of.shard), limit.to_string());
        let mut reply = self
            .call(
                &TRANSITIONS.forward,
                &[&self.keys.due(of.shard, of.queue)],
                &[&base, of.queue.as_str(), &limit],
            )
            .await?;
        match reply.tag.as_str() {
            "OK" => {
                let (moved, next) = (reply.integer()?, reply.integer::<i64>()?);
                let expired = reply.integer()?;
                let mut misplaced = Vec::new();
                while !reply.is_empty() {
                    misplaced.push(reply.text()?);
                }
                Ok(ForwardReply {
                    moved,
                    call_again_ms: u64::try_from(next).ok(),
                    expired,
                    misplaced,
                })
            }
            _ => Err(reply.unknown()),
        }
    }

    /// Writes a dead letter for an entry that cannot be read as a job, and removes the entry. `found` are its id and tool,
    /// empty if absent.
    ///
    /// # Errors
    ///
    /// If Redis fails; the same call again is safe.
    pub async fn dead_letter(&self, found: &UnreadableEntry, reason: &str) -> Result<(), Error> {
        let base = self.keys.base(found.shard);
        let key = self.keys.queue(found.shard, &found.queue);
        let entry = found.entry.as_str();
        let reply = self
            .call(
                &TRANSITIONS.dead_letter,
                &[&key],
                &[&base, entry, &found.id, &found.tool, reason],
            )
            .await?;
        reply.done()
    }
}

/// What an entry says of its job.
struct Named {
    id: String,
    tool: String,
}

/// The named field of an entry, empty if it has none.
fn field(fields: &Value, name: &str) -> String {
    let Value::Array(fields) = fields else {
        return String::new();
    };
    fields
        .chunks_exact(2)
        .find_map(|pair| match pair {
            [Value::BulkString(key), Value::BulkString(value)] if key == name.as_bytes() => {
                Some(String::from_utf8_lossy(value).into_owned())
            }
            _ => None,
        })
        .unwrap_or_default()
}

fn delivery(stream: QueueStream<'_>, entry: String, fields: Named) -> Delivery {
    let QueueStream { shard, queue } = stream;
    let (queue, entry) = (queue.clone(), EntryId(entry));
    let Named { id, tool } = fields;
    match id.parse::<TaskId>() {
        // A job of another shard has its record there: no script could reach both.
        Ok(id) if id.shard() == shard => Delivery::Job(DeliveredEntry::new(id, queue, entry)),
        _ => Delivery::Unreadable(UnreadableEntry {
            shard,
            queue,
            entry,
            id,
            tool,
        }),
    }
}
