//! The end of a run: the faults stop, what was begun comes to its end within a bound, and Redis is read.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use taskferry_contract::{Owner, QuestionRef, RedisSettings, Store, TaskId};
use taskferry_testing::invariants;
use taskferry_testing::redis::{self, aio::MultiplexedConnection};
use tokio::time::{Instant, sleep};

use crate::connect::connect;
use crate::history::{DeadLetter, History, Record, Seen, What};
use crate::plan::Era;
use crate::producer::{Client, World};
use crate::topology::Topology;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(300);
/// How often an answer of the last look is asked for.
const LAST_LOOKS: usize = 50;
/// The owner of every task of a run.
const OWNER: &str = "local";

/// Waits until no job is left, answering what nobody else answers any more, and until the laws of an idle Redis hold.
/// What they were when time was up.
pub(crate) async fn settle(topology: &Topology, bound: Duration) -> anyhow::Result<Vec<String>> {
    let mut redis = connect(topology)
        .await
        .context("Redis is away at the end")?;
    let store = Store::new(&RedisSettings::new(&topology.url))?;
    let begin = Instant::now();
    loop {
        for (task, record) in records(&mut redis).await? {
            if record
                .get("status")
                .is_some_and(|status| status == "input_required")
            {
                answer(&store, &task).await;
            }
        }
        let broken = invariants::drained(&mut redis, "tf").await;
        if broken.is_empty() || begin.elapsed() > bound {
            return Ok(broken);
        }
        sleep(LOOK).await;
    }
}

/// Answers the questions of a job whose client is gone.
async fn answer(store: &Store, task: &str) {
    let (Ok(id), Ok(owner)) = (task.parse::<TaskId>(), Owner::named(OWNER)) else {
        return;
    };
    for question in store.questions(id).await.unwrap_or_default() {
        let accept = r#"{"action":"accept","content":{}}"#;
        let _tried_again = store
            .answer_input(
                QuestionRef {
                    task: id,
                    owner: &owner,
                    key: &question.key,
                },
                accept,
            )
            .await;
    }
}

/// Looks at every task once more, in both eras.
pub(crate) async fn look_at_all(world: &Arc<World>, tasks: &[(String, String)]) {
    let mut client = Client::new(world, false);
    for (label, task) in tasks {
        for era in [Era::Legacy, Era::Modern] {
            let sent_ms = world.recorder.now_ms();
            let mut what = client.look(era, task).await;
            for _ in 1..LAST_LOOKS {
                if what.is_ok() {
                    break;
                }
                sleep(LOOK).await;
                what = client.look(era, task).await;
            }
            let what = what
                .unwrap_or_else(|broken| What::Absurd(format!("no answer at the end: {broken:?}")));
            world.recorder.seen(Seen {
                sent_ms,
                seen_ms: world.recorder.now_ms(),
                label: label.clone(),
                task: task.clone(),
                era,
                what,
            });
        }
    }
}

/// Adds what Redis holds at the end.
pub(crate) async fn read(topology: &Topology, history: &mut History) -> anyhow::Result<()> {
    let mut redis = connect(topology)
        .await
        .context("Redis is away at the end")?;
    history.records = records(&mut redis).await?.into_iter().collect();
    let dead: Vec<(String, Record)> = redis::cmd("XRANGE")
        .arg(&["tf:{0}:dead", "-", "+"])
        .query_async(&mut redis)
        .await?;
    let field = |fields: &Record, name: &str| fields.get(name).cloned().unwrap_or_default();
    history.dead = dead
        .iter()
        .map(|(_, fields)| DeadLetter {
            id: field(fields, "id"),
            tool: field(fields, "tool"),
            reason: field(fields, "reason"),
            attempts: field(fields, "attempts"),
        })
        .collect();
    Ok(())
}

async fn records(redis: &mut MultiplexedConnection) -> anyhow::Result<Vec<(String, Record)>> {
    let keys: Vec<String> = redis::cmd("KEYS")
        .arg("tf:{0}:task:*")
        .query_async(redis)
        .await?;
    let mut records = Vec::new();
    for key in keys {
        let record: Record = redis::cmd("HGETALL").arg(&key).query_async(redis).await?;
        let task = key.rsplit(':').next().unwrap_or_default().to_owned();
        if !record.is_empty() {
            records.push((task, record));
        }
    }
    Ok(records)
}
