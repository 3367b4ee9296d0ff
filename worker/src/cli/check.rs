//! `check`: reports everything for which the worker would refuse to start, but for Redis, and whether each command could be
//! started here.

use std::process::ExitCode;

use clap::{ArgMatches, Command};
use taskferry_contract::{ToolChecks, ToolDefinition};
use taskferry_process::telemetry::DEFAULT_FILTER;

use super::{Program, UNUSABLE, print};
use crate::config;
use crate::exec::script::script;
use crate::exec::{CgroupHome, CgroupSetting, CommandTemplate, Environment, preflight};
use crate::manifest::ExecTool;
use crate::runtime::Runtime;
use crate::worker::{BuildError, Builder, unusable};

/// What the list says of a tool that is no command.
const HANDLER: &str = "(a handler of this program)";

pub(super) fn command() -> Command {
    Command::new("check")
        .about("Check settings, manifest and commands, and list the tools; Redis is not asked for anything")
        .after_help("Exit code 0 if a worker could start with them, 2 if not. Standard error says everything that is wrong: first of the settings, and once those can be used, of the manifest and of the commands together. Nothing is run.")
}

pub(super) fn run(
    program: Program,
    flags: &ArgMatches,
    extend: impl FnOnce(Builder) -> Builder,
) -> ExitCode {
    let prepared = match program.prepare(flags, DEFAULT_FILTER, extend) {
        Ok(prepared) => prepared,
        Err(problems) => {
            let readable = program.readable_manifest(flags, DEFAULT_FILTER);
            let faults = faults(&readable.tools, &config::inherited_environment());
            let refused = refused(&readable.tools);
            return program.refuse(&joined(&[problems, refused, faults]));
        }
    };
    let tools = prepared.manifest.as_ref();
    let tools = tools.map_or(&[][..], |manifest| &manifest.tools);
    let faults = faults(tools, &prepared.inherited);
    let mut warnings = prepared.config.warnings.clone();
    warnings.extend(prepared.builder.warnings());
    warnings.extend(tools.iter().flat_map(|tool| {
        let warnings = about(tool, &prepared.inherited);
        let named = move |warning| format!("tool {:?}: {warning}", tool.name);
        warnings.into_iter().map(named)
    }));
    let bounded = match bounds_of_all(&prepared.config.cgroup, tools) {
        Ok(bounded) => bounded,
        Err(problem) => return program.refuse(&problem),
    };
    let shares = prepared.builder.shares();
    let list = match prepared.builder.runtime() {
        Ok(runtime) if faults.is_empty() => list(&runtime, tools),
        Ok(_runtime) => return program.refuse(&faults),
        Err(error) => return program.refuse(&joined(&[error.to_string(), faults])),
    };
    if let Err(error) = print(&list) {
        program.say(&format!("the tools cannot be written: {error}"));
        return ExitCode::from(UNUSABLE);
    }
    for warning in warnings {
        program.say(&format!("warning: {warning}"));
    }
    for note in bounded.into_iter().chain(shares) {
        program.say(&format!("note: {note}"));
    }
    ExitCode::SUCCESS
}

/// What limits of memory and of processes are held against here, if a tool has any, or the setting names a cgroup.
fn bounds_of_all(setting: &CgroupSetting, tools: &[ExecTool]) -> Result<Option<String>, String> {
    let is_named = matches!(setting, CgroupSetting::At(_));
    let limits = tools.iter().map(|tool| &tool.command.limits);
    let has_limits = limits
        .clone()
        .any(|limits| limits.memory.is_some() || limits.processes.is_some());
    match CgroupHome::seen(setting) {
        Err(reason) if is_named => Err(format!("cgroup: {reason}")),
        _ if !is_named && !has_limits => Ok(None),
        Ok(home) => Ok(Some(home.sentence())),
        Err(reason) => Ok(Some(format!(
            "limits.memory bounds each process by itself, and limits.processes those of its user on this machine: commands have no cgroups of their own here ({reason})"
        ))),
    }
}

/// What may not be as its author thinks, though the command can be started.
fn about(tool: &ExecTool, inherited: &Environment) -> Vec<String> {
    let mut warnings = Vec::from_iter(preflight::warning(&tool.command, inherited));
    let missing: Vec<&str> = tool.command.env_pass.without_variable(inherited).collect();
    if !missing.is_empty() {
        let missing = missing.join(", ");
        warnings.push(format!("env_pass names {missing}, which is not set here"));
    }
    let exposed = tool.refuses_dashes_of();
    if !exposed.is_empty() {
        let (all, first) = (exposed.join("`, `"), exposed.first());
        let first = first.map(String::as_str).unwrap_or_default();
        warnings.push(format!(
            "calls in which `{all}` begins with `-` are refused, since the program could take it for an option: put \"--\" before it, write --{first}={{{first}}}, give it a pattern in the input schema, or, if it may, leading_dash = [{first:?}]"
        ));
    }
    warnings
}

fn joined(texts: &[String]) -> String {
    let texts = texts.iter().filter(|text| !text.is_empty());
    texts.cloned().collect::<Vec<_>>().join("\n")
}

/// The tools that no front end would list, of a manifest that has other problems. It has said already which of its numbers cannot
/// hold, so these are left out here.
fn refused(tools: &[ExecTool]) -> String {
    let refused = tools.iter().filter_map(|tool| {
        let definition = ToolDefinition {
            annotations: tool.annotations.clone(),
            ask_first: tool.ask_first.clone(),
            icons: tool.icons.clone(),
            output_schema: tool.output_schema.clone(),
            required_capabilities: tool.required_capabilities.clone(),
            ..ToolDefinition::new(tool.name.parse().ok()?, tool.input_schema.clone())
        };
        let reason = ToolChecks::of(&definition).err()?;
        Some(unusable(&definition.name, &reason))
    });
    match refused.collect::<Vec<_>>() {
        none if none.is_empty() => String::new(),
        refused => BuildError(refused).to_string(),
    }
}

/// The commands that cannot be started here, and why; empty if all can.
fn faults(tools: &[ExecTool], inherited: &Environment) -> String {
    let faults: Vec<String> = tools
        .iter()
        .filter_map(|tool| {
            let mut commands = tool.commands().into_iter();
            let fault = commands.find_map(|command| preflight::check(&command, inherited).err());
            Some(format!("\n  tool {:?}: {}", tool.name, fault?))
        })
        .collect();
    if faults.is_empty() {
        return String::new();
    }
    format!("these commands cannot be started here:{}", faults.concat())
}

/// The tools, a line each.
fn list(runtime: &Runtime, commands: &[ExecTool]) -> String {
    let runs = |name: &str| {
        let tool = commands.iter().find(|tool| tool.name == name);
        tool.map_or(HANDLER.to_owned(), |tool| runs(&tool.command.template))
    };
    let mut tools: Vec<[String; 3]> = runtime
        .tools
        .values()
        .map(|tool| &tool.definition)
        .map(|tool| {
            [
                tool.name.to_string(),
                tool.queue.to_string(),
                runs(tool.name.as_str()),
            ]
        })
        .collect();
    tools.sort_unstable();
    tools.insert(0, ["TOOL", "QUEUE", "RUNS"].map(str::to_owned));
    let width = |column: usize| {
        let cells = tools.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.len()).max().unwrap_or_default()
    };
    let (names, queues) = (width(0), width(1));
    let lines = tools
        .iter()
        .map(|[name, queue, runs]| format!("{name:names$}  {queue:queues$}  {runs}"));
    lines.collect::<Vec<_>>().join("\n")
}

/// The program, and the script if it is an interpreter.
fn runs(template: &CommandTemplate) -> String {
    match script(template) {
        Some(script) => format!("{} {script}", template.program()),
        None => template.program().to_owned(),
    }
}
