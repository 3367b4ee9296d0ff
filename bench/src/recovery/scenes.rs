//! What is done to the processes, and what is measured.

use std::time::Duration;

use anyhow::{Context as _, bail};
use rand::RngExt as _;
use taskferry_client::kept::{Answer, Connection};
use taskferry_contract::{Owner, RedisSettings, Store, Submission, SubmitReply, TaskId};
use taskferry_testing::{AppendOnly, ServerOptions, TestServer, free_port};
use tokio::process::Command;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::holder;
use super::listener::AttemptListener;
use crate::child::{self, Child};
use crate::messages::{Call, Endpoint, Expect, Outcome, outcome};

/// Runs of one scene begin so far apart, that none disturbs another.
const APART: Duration = Duration::from_millis(700);
/// Of a lease: the most between two renewals.
const RENEWALS: u32 = 3;
/// While Redis runs for less, workers that were never seen are not judged by their silence.
const OLD_ENOUGH: Duration = Duration::from_secs(16);
/// How long Redis is away.
const AWAY: Duration = Duration::from_secs(2);
/// How often a client tries while Redis is away.
const TRY_EVERY: Duration = Duration::from_millis(20);
/// How long a scene may take until the work goes on.
const GOES_ON: Duration = Duration::from_secs(30);

/// A fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scene {
    /// A worker with the default lease is killed; another runs the next attempt.
    KilledDefault,
    /// The same with a lease of 3 s.
    KilledShort,
    /// A worker is told to stop; another runs the next attempt.
    Stopped,
    /// Redis is killed and comes back with its data; a task completes.
    Restarted,
}

impl Scene {
    pub(super) const ALL: [Self; 4] = [
        Self::KilledDefault,
        Self::KilledShort,
        Self::Stopped,
        Self::Restarted,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::KilledDefault => "worker killed (lease 15 s) to next attempt",
            Self::KilledShort => "worker killed (lease 3 s) to next attempt",
            Self::Stopped => "worker stopped to next attempt",
            Self::Restarted => "Redis back to first task completed",
        }
    }

    /// Within which time it is to be over.
    pub(super) fn aim(self) -> Duration {
        match self {
            // Three seconds of silence on the wire, and what is around them, whatever the lease.
            Self::KilledDefault => Duration::from_secs(5),
            Self::KilledShort => self.lease() + Duration::from_secs(1),
            Self::Stopped => Duration::from_secs(1),
            Self::Restarted => Duration::from_secs(2),
        }
    }

    fn lease(self) -> Duration {
        match self {
            Self::KilledShort => Duration::from_secs(3),
            _ => Duration::from_secs(15),
        }
    }

    /// The times of `runs` runs.
    pub(super) async fn measure(self, runs: usize) -> anyhow::Result<Vec<Duration>> {
        match self {
            Self::Restarted => restarts(runs).await,
            _ => self.hand_overs(runs).await,
        }
    }

    /// Each run has its own keys and its own two workers; all share one Redis and overlap, since they mostly wait.
    async fn hand_overs(self, runs: usize) -> anyhow::Result<Vec<Duration>> {
        let redis = TestServer::start().await;
        if self == Self::KilledDefault {
            sleep(OLD_ENOUGH).await;
        }
        let mut all = JoinSet::new();
        for run in 0..runs {
            let settings = RedisSettings {
                prefix: format!("run{run}"),
                ..RedisSettings::new(&redis.url())
            };
            all.spawn(hand_over(self, settings));
            sleep(APART).await;
        }
        let mut times = Vec::with_capacity(runs);
        while let Some(time) = all.join_next().await {
            times.push(time??);
        }
        Ok(times)
    }
}

/// From the signal to a worker until the job's next attempt runs on another.
async fn hand_over(scene: Scene, settings: RedisSettings) -> anyhow::Result<Duration> {
    let worker = || worker(&settings, scene.lease());
    let first = worker()?;
    let listener = AttemptListener::open().await?;
    submit(&settings, &listener).await?;
    let running = listener.next().await?;
    let _second = worker()?;
    sleep(settled(scene.lease())).await;
    let signalled = Instant::now();
    match scene {
        Scene::Stopped => first.terminate()?,
        _ => first.kill()?,
    }
    let next = listener.next().await?;
    if next.attempt <= running.attempt {
        bail!("attempt {} came after {}", next.attempt, running.attempt);
    }
    let time = next.since - signalled;
    next.complete().await?;
    Ok(time)
}

/// How long a job runs before its worker is signalled: past the first renewal, and then at any moment between two.
fn settled(lease: Duration) -> Duration {
    let period = lease / RENEWALS;
    period + rand::rng().random_range(Duration::ZERO..period)
}

fn worker(settings: &RedisSettings, lease: Duration) -> anyhow::Result<Child> {
    let mut command = Command::new(child::own()?);
    command.args(["holder", "--redis-url", &settings.shown_url()]);
    command.args(["--prefix", &settings.prefix]);
    command.args(["--lease-ms", &lease.as_millis().to_string()]);
    Child::start("a worker", command)
}

async fn submit(settings: &RedisSettings, listener: &AttemptListener) -> anyhow::Result<()> {
    let store = Store::new(settings)?;
    let owner = Owner::anonymous();
    let tool = holder::definition()?;
    let arguments = arguments(listener)?;
    let id = TaskId::random(store.shards().of(&owner));
    let submission = Submission::new(&tool, id, &owner, arguments.into());
    match store.submit(&submission).await? {
        SubmitReply::Queued { .. } => Ok(()),
        refused => bail!("a job was not queued: {refused:?}"),
    }
}

fn arguments(listener: &AttemptListener) -> anyhow::Result<String> {
    Ok(format!(r#"{{"listener":"{}"}}"#, listener.address()?))
}

/// Redis is killed again and again under one front end and one worker, which stay.
async fn restarts(runs: usize) -> anyhow::Result<Vec<Duration>> {
    let mut redis = TestServer::start_with(ServerOptions {
        append_only: AppendOnly::Always,
        ..ServerOptions::default()
    })
    .await;
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], free_port()));
    let mut command = Command::new(child::beside("taskferry")?);
    command.args(["serve", "--log", "error", "--redis-url", &redis.url()]);
    command.args(["--listen", &address.to_string()]);
    let mut server = Child::start("taskferry serve", command)?;
    server.serves(address).await?;
    let _worker = worker(&RedisSettings::new(&redis.url()), Duration::from_secs(15))?;
    let endpoint = Endpoint::modern(address, "/mcp");
    let mut times = Vec::with_capacity(runs);
    complete_one(&endpoint).await?;
    for _ in 0..runs {
        redis.kill9();
        sleep(AWAY).await;
        redis.restart().await;
        let back = Instant::now();
        complete_one(&endpoint).await?;
        times.push(back.elapsed());
    }
    Ok(times)
}

/// Has a task accepted, run and completed, as soon as that can be.
async fn complete_one(endpoint: &Endpoint) -> anyhow::Result<()> {
    let deadline = Instant::now() + GOES_ON;
    let listener = AttemptListener::open().await?;
    let arguments = arguments(&listener)?;
    let call = endpoint.call(Call {
        tool: holder::TOOL,
        arguments: &arguments,
        as_task: true,
    })?;
    let mut http = Connection::connect(endpoint.address).await?;
    let id = loop {
        let created = http.send(&call).await?;
        match task_of(&created) {
            Ok(task) => break task.task_id.context("a task without id")?.into_owned(),
            Err(error) if Instant::now() > deadline => return Err(error),
            Err(_not_yet) => sleep(TRY_EVERY).await,
        }
    };
    listener.next().await?.complete().await?;
    let poll = endpoint.poll(&id);
    loop {
        let polled = http.send(&poll).await?;
        if let Ok(task) = task_of(&polled)
            && task.status.as_deref() == Some("completed")
        {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("task {id} did not complete within {GOES_ON:?}");
        }
        sleep(TRY_EVERY).await;
    }
}

fn task_of<'a>(answer: &Answer<'a>) -> anyhow::Result<Outcome<'a>> {
    outcome(answer.ok()?, Expect::Task)
}
