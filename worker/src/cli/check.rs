//! `check`: everything that a start would refuse, but for Redis, and whether each command could be started here.

use std::process::ExitCode;

use clap::{ArgMatches, Command};
use taskferry_process::telemetry::DEFAULT_FILTER;

use super::{Prepared, Program, UNUSABLE, print};
use crate::exec::preflight;
use crate::manifest::ExecTool;
use crate::worker::Builder;

/// What the list says of a tool that is no command.
const HANDLER: &str = "(a handler of this program)";

pub(super) fn command() -> Command {
    Command::new("check")
        .about("Check settings, manifest and commands, and list the tools; Redis is not asked for anything")
        .after_help("Exit code 0 if a worker could start with them, 2 if not: standard error says everything that is wrong.")
}

pub(super) fn run(
    program: Program,
    flags: &ArgMatches,
    extend: impl FnOnce(Builder) -> Builder,
) -> ExitCode {
    let prepared = program.prepare(flags, DEFAULT_FILTER, extend);
    let warnings = prepared
        .as_ref()
        .map(|prepared| prepared.builder.warnings());
    let warnings = warnings.unwrap_or_default();
    match prepared.and_then(list) {
        Err(problems) => program.refuse(&problems),
        Ok(list) => match print(&list) {
            Ok(()) => {
                for warning in warnings {
                    program.say(&format!("warning: {warning}"));
                }
                ExitCode::SUCCESS
            }
            Err(error) => {
                program.say(&format!("the tools cannot be written: {error}"));
                ExitCode::from(UNUSABLE)
            }
        },
    }
}

/// The tools, a line each.
fn list(prepared: Prepared) -> Result<String, String> {
    let runtime = prepared.builder.runtime();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let manifest = prepared.manifest;
    let commands = manifest.iter().flat_map(|manifest| &manifest.tools);
    let faults: Vec<String> = commands
        .clone()
        .filter_map(|tool| {
            let fault = preflight::check(&tool.command, &prepared.inherited).err()?;
            Some(format!("\n  tool {:?}: {fault}", tool.name))
        })
        .collect();
    if !faults.is_empty() {
        return Err(format!(
            "these commands cannot be started here:{}",
            faults.concat()
        ));
    }
    let runs = |name: &str| {
        let tool = commands.clone().find(|tool| tool.name == name);
        tool.map_or(HANDLER, |tool: &ExecTool| tool.command.template.program())
    };
    let mut tools: Vec<[&str; 3]> = runtime
        .tools
        .values()
        .map(|tool| &tool.definition)
        .map(|tool| {
            [
                tool.name.as_str(),
                tool.queue.as_str(),
                runs(tool.name.as_str()),
            ]
        })
        .collect();
    tools.sort_unstable();
    tools.insert(0, ["TOOL", "QUEUE", "RUNS"]);
    let width = |column: usize| {
        let cells = tools.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.len()).max().unwrap_or_default()
    };
    let (names, queues) = (width(0), width(1));
    let lines = tools
        .iter()
        .map(|[name, queue, runs]| format!("{name:names$}  {queue:queues$}  {runs}"));
    Ok(lines.collect::<Vec<_>>().join("\n"))
}
