//! What a task takes in Redis, by the size of its texts and by how Redis keeps small hashes.

use serde::Serialize;
use taskferry_contract::{Owner, QueueStream};
use taskferry_testing::{ServerOptions, TestServer};

use crate::cli::Memory;
use crate::direct::Direct;
use crate::print;
use crate::redis_stats::RedisStats;
use crate::table::print_table;
use crate::work::{self, Kind};

/// How much text is in the arguments and in the result, bytes.
const TEXTS: [[usize; 2]; 3] = [[20, 40], [200, 400], [800, 1000]];
/// The largest value with which Redis keeps a hash in its compact form: its default, and what we recommend.
const COMPACT_UP_TO: [&str; 2] = ["64", "1024"];

/// What one size of texts takes under one setting.
#[derive(Debug, Serialize)]
struct Row {
    arguments_bytes: usize,
    result_bytes: usize,
    hash_max_listpack_value: &'static str,
    queued_bytes: f64,
    ended_bytes: f64,
}

/// Measures every size under either setting and reports.
pub(crate) async fn run(options: &Memory) -> anyhow::Result<()> {
    let mut rows = Vec::new();
    for texts in TEXTS {
        for compact_up_to in COMPACT_UP_TO {
            rows.push(weigh(texts, compact_up_to, options.tasks).await?);
        }
    }
    show(&rows, options.tasks);
    print::write_json(options.json.as_deref(), &rows)
}

/// What `used_memory` grows by, a task, in a Redis of its own.
async fn weigh(
    texts: [usize; 2],
    hash_max_listpack_value: &'static str,
    tasks: u32,
) -> anyhow::Result<Row> {
    let redis = TestServer::start_with(ServerOptions {
        arguments: ["--hash-max-listpack-value", hash_max_listpack_value]
            .map(ToOwned::to_owned)
            .to_vec(),
        ..ServerOptions::default()
    })
    .await;
    let store = work::store(&redis.url())?;
    let tool = Kind::Direct.definition()?;
    let stream = QueueStream {
        shard: work::shard(&store)?,
        queue: &tool.queue,
    };
    store.ensure_group(stream).await?;
    let owner = Owner::named("someone")?;
    let mut client = Direct::named("weigher", &store, owner, texts).await?;
    // Scripts, groups and buffers are there once the first job has passed.
    client.submit().await?;
    client.work_off().await?;
    let mut stats = RedisStats::connect(redis.port()).await?;
    let before = stats.used_memory().await?;
    for _ in 0..tasks {
        client.submit().await?;
    }
    let queued = stats.used_memory().await?;
    for _ in 0..tasks {
        client.work_off().await?;
    }
    let ended = stats.used_memory().await?;
    let each = |now: f64| (now - before) / f64::from(tasks);
    let [arguments_bytes, result_bytes] = texts;
    Ok(Row {
        arguments_bytes,
        result_bytes,
        hash_max_listpack_value,
        queued_bytes: each(queued),
        ended_bytes: each(ended),
    })
}

fn show(rows: &[Row], tasks: u32) {
    let header = [
        "arguments",
        "result",
        "hash-max-listpack-value",
        "queued",
        "ended",
    ];
    let mut table = vec![header.map(ToOwned::to_owned).to_vec()];
    table.extend(rows.iter().map(|row| {
        vec![
            row.arguments_bytes.to_string(),
            row.result_bytes.to_string(),
            row.hash_max_listpack_value.to_owned(),
            format!("{:.0}", row.queued_bytes),
            format!("{:.0}", row.ended_bytes),
        ]
    }));
    print::print(&format!(
        "bytes of used_memory a task, of {tasks} tasks of one owner"
    ));
    print_table(&table, 0);
}
