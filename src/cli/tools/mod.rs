//! `taskferry tools`: the registered tools, as workers left them in Redis.

mod list;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use taskferry_contract::{ToolDefinition, ToolJobs};

use super::arguments;
use super::format::json_line;
use super::output::{print, say};
use crate::operator::{Operator, Registered, Tools, read_definition};

pub(super) fn command() -> Command {
    let name = Arg::new("name")
        .value_name("NAME")
        .required(true)
        .help("The tool's name");
    let file = Arg::new("file")
        .value_name("FILE")
        .required(true)
        .value_parser(value_parser!(PathBuf))
        .help("A definition as JSON, as `tools show` prints it");
    let yes = Arg::new("yes")
        .long("yes")
        .action(ArgAction::SetTrue)
        .help("Also while jobs of it are queued, which stay");
    let command = Command::new("tools")
        .about("List, show, add or remove the registered tools")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(
            Command::new("list")
                .about("Every tool, with its queue and the workers that run it")
                .after_help("AS LISTED is how many of the WORKERS have the definition that is listed here and shown to clients; - if none says which it has. ALL ON QUEUE counts the entries of the tool's queue, those of its other tools too. WORKERS counts one that was killed until it was silent for 30 s.")
                .arg(arguments::json()),
        )
        .subcommand(
            Command::new("show")
                .about("The definition of a tool, as JSON")
                .arg(name.clone()),
        )
        .subcommand(
            Command::new("add")
                .about("Register a tool whose workers will come later, or put another definition in its place")
                .arg(file),
        )
        .subcommand(
            Command::new("remove")
                .about("Forget a tool whose workers are gone; a worker that runs it registers it again")
                .after_help("Its jobs are not taken away with it. While some are queued it does nothing but say what becomes of them, unless there is --yes.")
                .arg(name)
                .arg(yes),
        );
    arguments::with_redis(command)
}

/// Runs a subcommand; all of them succeed or fail as a whole.
pub(super) async fn run(operator: &Operator, args: &ArgMatches) -> anyhow::Result<bool> {
    let tools = operator.tools();
    let named = |args: &ArgMatches| args.get_one::<String>("name").cloned().unwrap_or_default();
    match args.subcommand() {
        Some(("show", args)) => show(&tools, &named(args)).await?,
        Some(("remove", args)) => remove(&tools, &named(args), args.get_flag("yes")).await?,
        Some(("add", args)) => {
            let file = args.get_one::<PathBuf>("file").cloned().unwrap_or_default();
            add(&tools, &file).await?;
        }
        Some((_, args)) => list::list(&tools, args.get_flag("json")).await?,
        None => bail!("say what to do: list, show, add or remove"),
    }
    Ok(true)
}

async fn show(tools: &Tools<'_>, name: &str) -> anyhow::Result<()> {
    let tool = find(tools, name).await?;
    print(&json_line(&serde_json::to_string_pretty(&tool)?));
    Ok(())
}

async fn remove(tools: &Tools<'_>, name: &str, is_sure: bool) -> anyhow::Result<()> {
    let jobs = tools.jobs(name).await?;
    if jobs.queued > 0 && !is_sure && tools.is_there(name).await? {
        bail!(
            "{name} is not removed: {}; to remove it all the same: --yes",
            what_becomes(name, jobs)
        );
    }
    let tool = tools.find(name).await?;
    if !tools.remove(name).await? {
        return Err(no_tool(name));
    }
    print(&format!("{name} is removed"));
    let workers = match &tool {
        Some(tool) => tools.standing(tool).await?.held.workers(),
        None => 0,
    };
    if workers > 0 {
        say(&format!(
            "taskferry: {workers} of the workers run {name} and register it again within 5 s; stop them first"
        ));
    }
    if jobs.queued > 0 {
        say(&format!("taskferry: {}", what_becomes(name, jobs)));
    }
    Ok(())
}

/// What becomes of the jobs that are queued for a tool which is taken away.
fn what_becomes(name: &str, jobs: ToolJobs) -> String {
    let more = if jobs.has_more { "at least " } else { "" };
    let (they, each) = match jobs.queued {
        1 => ("job of it is queued and stays", "it"),
        _ => ("jobs of it are queued and stay", "each"),
    };
    format!(
        "{more}{} {they}: {each} runs when a worker that has {name} comes, which registers it again, or expires with its ttl",
        jobs.queued
    )
}

async fn add(tools: &Tools<'_>, file: &Path) -> anyhow::Result<()> {
    let shown = file.display();
    let text = std::fs::read_to_string(file).with_context(|| format!("{shown} cannot be read"))?;
    let tool =
        read_definition(&text).with_context(|| format!("{shown} is no definition of a tool"))?;
    let name = tool.name.clone();
    let told = match tools.register(tool).await? {
        Registered::Known => "was there already, just so",
        Registered::Stored => "is registered",
    };
    print(&format!("{name} {told}"));
    Ok(())
}

async fn find(tools: &Tools<'_>, name: &str) -> anyhow::Result<ToolDefinition> {
    let found = tools.find(name).await?;
    found.ok_or_else(|| no_tool(name))
}

fn no_tool(name: &str) -> anyhow::Error {
    anyhow::anyhow!("no tool {name:?} is registered; see: taskferry tools list")
}
