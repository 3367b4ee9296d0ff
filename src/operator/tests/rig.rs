//! A Redis, an operator who looks at it, and jobs.

use std::time::Duration;

use taskferry_contract::{
    ClaimReply, Delivery, HeldAttempt, Outcome, Owner, QueueStream, RedisSettings, Shard, Shards,
    Store, StreamReader, Submission, TaskId, ToolDefinition, WorkerId,
};
use taskferry_testing::TestServer;

use crate::operator::Operator;

/// A lease that no test outlives.
const LEASE: Duration = Duration::from_secs(60);

/// A tool that takes an object with a number `n` at most; its jobs may run once.
pub(super) fn tool(name: &str) -> ToolDefinition {
    let schema =
        serde_json::json!({ "type": "object", "properties": { "n": { "type": "integer" } } });
    let schema = serde_json::value::to_raw_value(&schema).unwrap();
    ToolDefinition {
        attempts: 1,
        ..ToolDefinition::new(name.parse().unwrap(), schema)
    }
}

pub(super) struct Rig {
    pub(super) operator: Operator,
    pub(super) store: Store,
    worker: WorkerId,
    owner: Owner,
    shard: Shard,
    _redis: TestServer,
}

impl Rig {
    pub(super) async fn start() -> Self {
        let redis = TestServer::start().await.drained_at_end(Duration::ZERO);
        let owner = Owner::named("key:alice").unwrap();
        Self {
            operator: Operator::at(&redis.url()).unwrap(),
            store: Store::new(&RedisSettings::new(&redis.url())).unwrap(),
            worker: "w1".parse().unwrap(),
            shard: Shards::default().of(&owner),
            owner,
            _redis: redis,
        }
    }

    /// Queues a job.
    pub(super) async fn queue(&self, tool: &ToolDefinition) -> TaskId {
        let stream = QueueStream {
            shard: self.shard,
            queue: &tool.queue,
        };
        self.store.ensure_group(stream).await.unwrap();
        let id = TaskId::random(self.shard);
        let job = Submission::new(tool, id, &self.owner, r#"{"n":1}"#.into());
        self.store.submit(&job).await.unwrap();
        id
    }

    /// Has the only attempt of a job fail for good.
    pub(super) async fn bury(&self, tool: &ToolDefinition, reason: &str) -> TaskId {
        let id = self.queue(tool).await;
        let held = self.begin(tool).await;
        let last = Outcome::Failed {
            error: r#"{"code":-32000,"message":"no"}"#.to_owned(),
            message: "no".to_owned(),
        };
        let buried = self
            .store
            .schedule_retry(&held, Duration::ZERO, reason, &last);
        buried.await.unwrap();
        id
    }

    async fn begin(&self, tool: &ToolDefinition) -> HeldAttempt {
        let mut connection = self.store.connections().blocking().await.unwrap();
        let source = StreamReader {
            worker: &self.worker,
            shard: self.shard,
            queues: std::slice::from_ref(&tool.queue),
        };
        let read = self.store.read_new(&mut connection, source, 1, None);
        let Some(Delivery::Job(claimed)) = read.await.unwrap().pop() else {
            panic!("no entry of a job");
        };
        let claim = self.store.claim(&claimed, &self.worker, LEASE).await;
        let ClaimReply::Started(job) = claim.unwrap() else {
            panic!("the attempt did not start");
        };
        HeldAttempt {
            claimed,
            attempt: job.attempt,
            worker: self.worker.clone(),
        }
    }

    /// Ends a job.
    pub(super) async fn cancel(&self, id: TaskId) {
        self.store.cancel_any(id, "the test is over").await.unwrap();
    }
}
