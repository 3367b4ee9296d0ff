//! Mutation testing: a seeded sample of small changes, each made to a copy of the tree and held against the narrowest test
//! suites. What no suite notices is printed with its place and its change. tests/mutants/README.md has the rest.

mod cli;
mod copy;
mod judge;
mod lua;
mod mutant;
mod output;
mod report;
mod rust;
mod sample;
mod suites;

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;

use crate::cli::Options;
use crate::copy::Copy;
use crate::judge::Judge;
use crate::report::Report;

#[tokio::main]
async fn main() -> ExitCode {
    match run(Options::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            output::say(&format!("scripts/mutants: {error:#}"));
            ExitCode::from(2)
        }
    }
}

/// True if every survivor is explained.
async fn run(options: Options) -> anyhow::Result<bool> {
    let root = std::env::current_dir().context("the folder of the repository")?;
    let mut all = lua::mutants(&root)?;
    all.extend(rust::mutants(&root)?);
    let sample = sample::draw(all, &options);
    if options.list {
        for mutant in &sample {
            output::print(&mutant.to_string());
        }
        return Ok(true);
    }
    let copy = Copy::of(&root)?;
    let judge = Judge::new(&copy, options.timeout());
    if !options.no_baseline {
        judge.baseline(&sample).await?;
    }
    let mut report = Report::new(&root)?;
    for mutant in sample {
        let text = copy.read(&mutant.file)?;
        let verdict = judge.judge(&mutant).await?;
        report.note(mutant, &text, verdict);
    }
    Ok(report.finish())
}
