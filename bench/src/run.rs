//! One run: every row in every round, then the report.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;

use crate::cli::Options;
use crate::clients::{Lifecycle, Poster};
use crate::direct::Direct;
use crate::figures::Figures;
use crate::load::{Client, Load, drive};
use crate::messages::{Call, Endpoint, Expect};
use crate::print;
use crate::report::Report;
use crate::rig::Rig;
use crate::row::{Group, Row};
use crate::work::{self, Kind};

/// How many tasks are polled in turn.
const POLLED: usize = 256;
/// How many queued tasks are weighed.
const WEIGHED: u32 = 10_000;
/// The share of a row's time that it runs before it is measured.
const WARM_UP: u32 = 10;

/// Measures and reports.
pub(crate) async fn run(options: &Options) -> anyhow::Result<()> {
    let mut rig = Rig::start(options).await?;
    let mut figures: BTreeMap<Row, Vec<Figures>> = BTreeMap::new();
    let rows: Vec<Row> = Row::ALL
        .into_iter()
        .filter(|row| options.groups.contains(&row.group()))
        .collect();
    for round in 0..options.rounds {
        print::say(&format!("round {} of {}", round + 1, options.rounds));
        // Back and forth, so that no row is always the one after the same other.
        let mut order = rows.clone();
        if round % 2 == 1 {
            order.reverse();
        }
        for row in order {
            let measured = measure(&mut rig, row, options)
                .await
                .with_context(|| format!("{} {}", row.group().name(), row.name()))?;
            figures.entry(row).or_default().push(measured);
            rig.clean().await?;
        }
    }
    let bytes_per_task = if options.groups.contains(&Group::Memory) {
        Some(weigh(&mut rig, options.payload_bytes).await?)
    } else {
        None
    };
    rig.end().await?;
    let report = Report::new(options, figures, bytes_per_task);
    report.print();
    print::write_json(options.json.as_deref(), &report)
}

async fn measure(rig: &mut Rig, row: Row, options: &Options) -> anyhow::Result<Figures> {
    let many = options.concurrency;
    let length = options.length;
    match row {
        Row::PollModern
        | Row::PollBare
        | Row::PollLegacy
        | Row::CreateModern
        | Row::CreateBare
        | Row::CreateLegacy => {
            let clients = posters(rig, row, options).await?;
            timed(rig, row, clients, length).await
        }
        Row::LifecycleModern => {
            let create = call(&rig.modern, Kind::Noop, options, true)?;
            let clients = Lifecycle::several(many, &rig.modern, create).await?;
            timed(rig, row, clients, length).await
        }
        Row::AlonePlain => {
            let calls = vec![call(&rig.modern, Kind::Noop, options, false)?];
            let address = rig.modern.address;
            let clients = Poster::several(1, address, calls, Expect::Content).await?;
            timed(rig, row, clients, length).await
        }
        Row::LifecycleDirect | Row::AloneDirect => {
            let count = if row == Row::AloneDirect { 1 } else { many };
            let clients = Direct::several(count, &rig.store, options.payload_bytes).await?;
            timed(rig, row, clients, length).await
        }
    }
}

/// Clients that poll, or that create what nobody works off.
async fn posters(rig: &Rig, row: Row, options: &Options) -> anyhow::Result<Vec<Poster>> {
    let endpoint = match row {
        Row::PollBare => &Endpoint::modern(rig.bare_address, "/poll"),
        Row::CreateBare => &Endpoint::modern(rig.bare_address, "/create"),
        Row::PollLegacy | Row::CreateLegacy => &rig.legacy,
        _ => &rig.modern,
    };
    let requests = if row.group() == Group::Poll {
        let ids = rig.park(POLLED, options.payload_bytes).await?;
        ids.iter()
            .map(|id| endpoint.poll(&id.to_string()))
            .collect()
    } else {
        vec![call(endpoint, Kind::Parked, options, true)?]
    };
    Poster::several(
        options.concurrency,
        endpoint.address,
        requests,
        Expect::Task,
    )
    .await
}

fn call(
    endpoint: &Endpoint,
    kind: Kind,
    options: &Options,
    as_task: bool,
) -> anyhow::Result<Vec<u8>> {
    endpoint.call(Call {
        tool: kind.name(),
        arguments: work::arguments(options.payload_bytes).as_str(),
        as_task,
    })
}

/// Runs a load and reads, right before and right after it, what it took of everyone's CPU.
async fn timed<C: Client>(
    rig: &mut Rig,
    row: Row,
    clients: Vec<C>,
    length: Duration,
) -> anyhow::Result<Figures> {
    let (clients, _warm) = drive(clients, length / WARM_UP).await?;
    let (server_before, worker_before) = (cpu_us(rig, row)?, rig.worker.cpu_us()?);
    let redis_before = rig.stats.counters().await?;
    let (_clients, load) = drive(clients, length).await?;
    let redis = rig.stats.counters().await?.since(&redis_before);
    let server = cpu_us(rig, row)?
        .zip(server_before)
        .map(|(after, before)| after - before);
    let worker_us = rig.worker.cpu_us()? - worker_before;
    let works = matches!(row, Row::LifecycleModern | Row::AlonePlain);
    let cpu = CpuTimes {
        server_us: server,
        worker_us: works.then_some(worker_us),
    };
    Ok(Figures::new(&load, cpu, &redis))
}

/// What the process that serves a row took so far; nothing if none does.
fn cpu_us(rig: &Rig, row: Row) -> anyhow::Result<Option<f64>> {
    let process = match row {
        Row::PollBare | Row::CreateBare => &rig.bare,
        Row::LifecycleDirect | Row::AloneDirect => return Ok(None),
        _ => &rig.server,
    };
    process.cpu_us().map(Some)
}

/// What a queued task takes in Redis, bytes.
async fn weigh(rig: &mut Rig, payload_bytes: usize) -> anyhow::Result<f64> {
    let before = rig.stats.used_memory().await?;
    rig.park(usize::try_from(WEIGHED)?, payload_bytes).await?;
    let after = rig.stats.used_memory().await?;
    Ok((after - before) / f64::from(WEIGHED))
}

/// What the processes took during a load; nothing of one that had no part in it.
#[derive(Clone, Copy)]
struct CpuTimes {
    server_us: Option<f64>,
    worker_us: Option<f64>,
}

impl Figures {
    /// The figures of a load.
    fn new(load: &Load, cpu: CpuTimes, redis: &crate::redis_stats::Counters) -> Self {
        use crate::stats::percentile;
        let count = load.latencies.len() as f64;
        let ms = |percent| percentile(&load.latencies, percent).as_secs_f64() * 1e3;
        Self {
            per_second: count / load.elapsed.as_secs_f64(),
            p50_ms: ms(50),
            p99_ms: ms(99),
            server_cpu_us: cpu.server_us.map(|us| us / count),
            worker_cpu_us: cpu.worker_us.map(|us| us / count),
            redis_cpu_us: redis.cpu_us / count,
            redis_commands: redis
                .calls
                .iter()
                .map(|(name, calls)| (name.clone(), *calls as f64 / count))
                .collect(),
        }
    }
}
