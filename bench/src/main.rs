//! Taskferry's load generator: starts a private Redis, a front end and the yardsticks it is measured against, loads them
//! in turn, and prints what each request costs. README.md says what the figures mean.

mod aims;
mod bare;
mod child;
mod cli;
mod clients;
mod direct;
mod fairness;
mod figures;
mod idle;
mod load;
mod memory;
mod messages;
mod print;
mod recovery;
mod redis_stats;
mod report;
mod rig;
mod row;
mod run;
mod stats;
mod table;
mod work;
mod worker;

use std::process::ExitCode;

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};

use cli::Order;

#[tokio::main]
async fn main() -> ExitCode {
    let outcome = match cli::read() {
        Order::Run(options) => unless_interrupted(Box::pin(run::run(&options))).await,
        Order::Recovery(options) => unless_interrupted(Box::pin(recovery::run(&options))).await,
        Order::Fairness(options) => unless_interrupted(Box::pin(fairness::run(&options))).await,
        Order::Memory(options) => unless_interrupted(Box::pin(memory::run(&options))).await,
        Order::Idle(options) => unless_interrupted(Box::pin(idle::run(&options))).await,
        Order::Pack(pack) => idle::run_pack(&pack).await,
        Order::Holder(holder) => recovery::holder::run(&holder).await,
        Order::Bare(part) => bare::run(&part).await,
        Order::Worker(part) => worker::run(&part).await,
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            print::say(&format!("taskferry-bench: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Runs to the end or until a signal; dropping the run kills every child.
async fn unless_interrupted(run: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    tokio::select! {
        biased;
        outcome = interrupted() => outcome,
        outcome = run => outcome,
    }
}

/// Ends the run early.
async fn interrupted() -> anyhow::Result<()> {
    let catch = |kind| signal(kind).context("a signal cannot be caught");
    let (mut interrupt, mut terminate, mut hangup) = (
        catch(SignalKind::interrupt())?,
        catch(SignalKind::terminate())?,
        catch(SignalKind::hangup())?,
    );
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
    anyhow::bail!("interrupted")
}
