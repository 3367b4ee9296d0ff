//! One run: start, faults and calls, the end, and the verdict.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::time::{sleep, timeout};
use tokio_util::task::TaskTracker;

use crate::check::check;
use crate::cli::Options;
use crate::history::History;
use crate::plan::Plan;
use crate::producer::{World, probe, produce};
use crate::report::{self, Report};
use crate::sabotage::{self, Sabotage};
use crate::schedule::keeps_data;
use crate::topology::{Setup, Topology};
use crate::{drain, faults, logs};

/// Between two loads of changed transitions, which a restart and SCRIPT FLUSH forget.
const RELOAD: Duration = Duration::from_millis(50);

/// How long faults are made between two quiet points.
const PHASE: Duration = Duration::from_secs(10);

/// How often the faults are made again until they break the law that a sabotage removed.
const ROUNDS_MORE: usize = 11;

/// Runs, and tells whether every law held.
pub(crate) async fn run(options: &Options) -> anyhow::Result<bool> {
    let folder = folder(options)?;
    let setup = Setup {
        server: options.server.clone(),
        keeps_data: keeps_data(options.seed),
        sabotage: options.sabotage,
        fleet: options.fleet,
        lease: options.lease,
        folder: folder.clone(),
    };
    let topology = Arc::new(Topology::start(&setup).await?);
    let world = World::new(topology.endpoints(), &folder)?;
    let history = tokio::select! {
        history = Box::pin(live(options, &topology, &world, &folder)) => history?,
        () = topology.keep_alive() => unreachable!("it has no end"),
        () = keep_sabotaged(options, &topology) => unreachable!("it has no end"),
    };
    let violations = check(&history);
    let passed = violations.is_empty();
    let report = Report {
        options,
        history: &history,
        violations: &violations,
        folder: &folder,
    };
    report::print(&report);
    if passed {
        drop(topology);
        std::fs::remove_dir_all(&folder).context("the folder of a run that passed stays")?;
    } else {
        report::leave(&report)?;
    }
    Ok(passed)
}

/// A fresh folder for everything that the run writes.
pub(crate) fn folder(options: &Options) -> anyhow::Result<PathBuf> {
    let name = match options.sabotage {
        Some(sabotage) => format!("{}-{}", options.seed, sabotage.name()),
        None => options.seed.to_string(),
    };
    let folder = options.evidence.join(name);
    if folder.exists() {
        std::fs::remove_dir_all(&folder).context("the folder of an earlier run is in the way")?;
    }
    std::fs::create_dir_all(&folder).context("no folder for the evidence")?;
    folder
        .canonicalize()
        .context("the folder of the evidence is gone")
}

pub(crate) async fn live(
    options: &Options,
    topology: &Arc<Topology>,
    world: &Arc<World>,
    folder: &Path,
) -> anyhow::Result<History> {
    let producers = TaskTracker::new();
    for producer in 0..options.producers {
        let plan = Plan::new(options.seed, producer);
        let plan = match options.thinned {
            None => plan,
            Some(_) => plan.harmless(),
        };
        producers.spawn(produce(Arc::clone(world), plan));
    }
    producers.close();
    let faults = options.schedule();
    // A soak comes to rest at its end alone.
    let phase = options.thinned.map_or(PHASE, |_| options.length);
    let (mut at_quiet_points, ()) = tokio::join!(
        faults::make(topology, world, faults, folder, phase),
        sleep(options.length),
    );
    for _ in 0..ROUNDS_MORE {
        if !waits_for_luck(options, topology).await {
            break;
        }
        let again = faults::make(topology, world, options.schedule(), folder, phase);
        at_quiet_points.extend(again.await);
    }
    world.stop.cancel();
    topology.heal().await;
    // What producers still follow comes to its end now, and then what nobody follows.
    let _some_do_not_end = tokio::join!(
        timeout(options.settle, producers.wait()),
        probe(world, options.settle),
    );
    world.end.cancel();
    let left = drain::settle(topology, options.settle).await?;
    producers.wait().await;
    let mut history = world.recorder.history(folder)?;
    history.keeps_data = keeps_data(options.seed);
    history.faults_s = options.length.as_secs();
    history.replicas = topology.endpoints().len();
    let tasks = report::accepted(&history);
    drain::look_at_all(world, &tasks).await;
    let last = world.recorder.history(folder)?;
    history.seen.extend(last.seen);
    history.turned.extend(last.turned);
    history.invariants = at_quiet_points;
    history.invariants.extend(left);
    history.panics = logs::panics(folder);
    if options.spares_workers {
        history.taken_over = logs::taken_over(folder);
    }
    history.ends = topology.take_ends().await;
    drain::read(topology, &mut history).await?;
    Ok(history)
}

/// Whether the run has a sabotage that takes luck, and no job met it yet.
async fn waits_for_luck(options: &Options, topology: &Topology) -> bool {
    let takes_luck = options.sabotage.is_some_and(Sabotage::takes_luck);
    takes_luck && !sabotage::was_met(&topology.url).await.unwrap_or(false)
}

/// Has the changed transitions in Redis at any time.
async fn keep_sabotaged(options: &Options, topology: &Topology) {
    let Some(sabotage) = options.sabotage else {
        return std::future::pending().await;
    };
    loop {
        let _redis_is_away = timeout(RELOAD * 20, sabotage.load(&topology.url)).await;
        sleep(RELOAD).await;
    }
}
