//! Runs Taskferry under faults from a seeded schedule, and checks what came of every task. README.md says what it does
//! and what it proves.

mod check;
mod cli;
mod connect;
mod drain;
mod faults;
mod history;
mod http;
mod logs;
mod member;
mod plan;
mod producer;
mod proxy;
mod quiet;
mod report;
mod run;
mod sabotage;
mod schedule;
mod soak;
mod topology;

use std::process::ExitCode;

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};

use cli::Order;

#[tokio::main]
async fn main() -> ExitCode {
    let outcome = match cli::read() {
        Order::Run(options) => tokio::select! {
            biased;
            outcome = interrupted() => outcome,
            outcome = Box::pin(run::run(&options)) => outcome,
        },
        Order::Soak(options) => tokio::select! {
            biased;
            outcome = interrupted() => outcome,
            outcome = Box::pin(soak::run(&options)) => outcome,
        },
        Order::PrintSchedule(schedule) => {
            for timed in schedule {
                report::say(&timed.to_string());
            }
            Ok(true)
        }
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            report::say(&format!("{}: {error:#}", env!("CARGO_BIN_NAME")));
            ExitCode::from(2)
        }
    }
}

/// Ends the run early; dropping it kills every process.
async fn interrupted() -> anyhow::Result<bool> {
    let catch = |kind| signal(kind).context("a signal cannot be caught");
    let (mut interrupt, mut terminate) = (
        catch(SignalKind::interrupt())?,
        catch(SignalKind::terminate())?,
    );
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    anyhow::bail!("interrupted")
}
