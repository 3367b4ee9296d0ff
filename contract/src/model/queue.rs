//! Queues: each is a stream on every shard, so that the entry of a job stands in the same slice of the key space as its record.

use crate::model::names::QueueName;
use crate::model::shard::Shard;

/// The stream of one queue on one shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueStream<'a> {
    /// The shard.
    pub shard: Shard,
    /// The queue.
    pub queue: &'a QueueName,
}
