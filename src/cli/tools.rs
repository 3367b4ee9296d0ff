//! `taskferry tools`: the registered tools, as workers left them in Redis.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail, ensure};
use clap::{Arg, ArgMatches, Command, value_parser};
use serde_json::{Value, json};
use taskferry_contract::{Object, Store, ToolDefinition, WorkerInfo, misfit};

use super::logging::{print, say};
use super::operator;
use crate::bridge::Tool;
use crate::config::OperatorConfig;

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
    let command = Command::new("tools")
        .about("List, show, add or remove the registered tools")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(
            Command::new("list")
                .about("Every tool, with its queue and the workers that run it")
                .after_help("ALL ON QUEUE counts the entries of the tool's queue, those of its other tools too. WORKERS counts one that was killed until it was silent for 15 s.")
                .arg(operator::json()),
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
                .arg(name),
        );
    operator::with_redis(command)
}

/// Runs a subcommand; all of them succeed or fail as a whole.
pub(super) async fn run(config: &OperatorConfig, args: &ArgMatches) -> anyhow::Result<bool> {
    let store = Store::new(&config.redis).context("redis_url cannot be used")?;
    let named = |args: &ArgMatches| args.get_one::<String>("name").cloned().unwrap_or_default();
    match args.subcommand() {
        Some(("show", args)) => show(&store, &named(args)).await?,
        Some(("remove", args)) => remove(&store, &named(args)).await?,
        Some(("add", args)) => {
            let file = args.get_one::<PathBuf>("file").cloned().unwrap_or_default();
            add(&store, &file).await?;
        }
        Some((_, args)) => list(&store, args.get_flag("json")).await?,
        None => bail!("say what to do: list, show, add or remove"),
    }
    Ok(true)
}

async fn list(store: &Store, as_json: bool) -> anyhow::Result<()> {
    let workers = counted_on(store).await?;
    let mut rows = Vec::new();
    for tool in store.tools().await? {
        let queue = store.queue_overview(&tool.queue).await?;
        let running = running(&workers, tool.name.as_str());
        if as_json {
            let line = json!({
                "name": tool.name, "queue": tool.queue, "workers": running,
                "queue_length": queue.length, "title": tool.title,
            });
            print(&operator::json_line(&line.to_string()));
        }
        let title = tool.title.or(tool.description).unwrap_or_default();
        rows.push(vec![
            tool.name.to_string(),
            tool.queue.to_string(),
            running.to_string(),
            queue.length.to_string(),
            title,
        ]);
    }
    if !as_json {
        let head = ["TOOL", "QUEUE", "WORKERS", "ALL ON QUEUE", "TITLE"];
        operator::table(&head, rows)
            .iter()
            .for_each(|line| print(line));
    }
    Ok(())
}

/// The workers that may begin jobs, of those that were heard of.
async fn counted_on(store: &Store) -> anyhow::Result<Vec<WorkerInfo>> {
    let (workers, now_ms) = (store.workers().await?, store.now_ms().await?);
    let silent = |beat_ms| Duration::from_millis(now_ms.saturating_sub(beat_ms));
    let counted = workers
        .into_iter()
        .filter(|(worker, beat_ms)| worker.is_counted_on(silent(*beat_ms)));
    Ok(counted.map(|(worker, _)| worker).collect())
}

fn running(workers: &[WorkerInfo], tool: &str) -> usize {
    workers.iter().filter(|worker| worker.runs(tool)).count()
}

async fn show(store: &Store, name: &str) -> anyhow::Result<()> {
    let tool = find(store, name).await?;
    print(&operator::json_line(&serde_json::to_string_pretty(&tool)?));
    Ok(())
}

async fn remove(store: &Store, name: &str) -> anyhow::Result<()> {
    let tool = find(store, name).await?;
    store.remove_tool(name).await?;
    print(&format!("{name} is removed"));
    let running = running(&counted_on(store).await?, name);
    if running > 0 {
        say(&format!(
            "taskferry: {running} of the workers run {name} and register it again within 5 s; stop them first"
        ));
    }
    let left = store.queue_overview(&tool.queue).await?.length;
    if left > 0 {
        say(&format!(
            "taskferry: jobs that are queued for {name} stay: {left} entries of all its tools are on queue {}",
            tool.queue
        ));
    }
    Ok(())
}

async fn add(store: &Store, file: &Path) -> anyhow::Result<()> {
    let shown = file.display();
    let text = std::fs::read_to_string(file).with_context(|| format!("{shown} cannot be read"))?;
    let tool = definition(&text).with_context(|| format!("{shown} is no definition of a tool"))?;
    let name = tool.name.clone();
    let stored = store.register_tools(&[tool]).await?;
    let told = if stored == 0 {
        "was there already, just so"
    } else {
        "is registered"
    };
    print(&format!("{name} {told}"));
    Ok(())
}

/// Reads a definition; refuses what would be passed over in silence, and what no front end could use.
fn definition(text: &str) -> anyhow::Result<ToolDefinition> {
    let read = serde_json::from_str(text);
    let Object(tool): Object<ToolDefinition> = read.map_err(|error| anyhow!(misfit(&error)))?;
    let (given, known): (Value, Value) = (
        serde_json::from_str(text)?,
        serde_json::from_str(&serde_json::to_string(&tool)?)?,
    );
    let said = given.as_object().into_iter().flatten();
    let unknown: Vec<&str> = said
        .filter(|(name, value)| known.get(name).is_none() && !is_nothing(value))
        .map(|(name, _)| name.as_str())
        .collect();
    ensure!(
        unknown.is_empty(),
        "it says {}, which is unknown",
        unknown.join(", ")
    );
    tool.check_numbers().map_err(anyhow::Error::msg)?;
    Tool::new(tool.clone()).map_err(anyhow::Error::msg)?;
    Ok(tool)
}

fn is_nothing(value: &Value) -> bool {
    value.is_null() || value.as_array().is_some_and(Vec::is_empty)
}

async fn find(store: &Store, name: &str) -> anyhow::Result<ToolDefinition> {
    let tools = store.tools().await?;
    tools
        .into_iter()
        .find(|tool| tool.name.as_str() == name)
        .with_context(|| format!("no tool {name:?} is registered; see: taskferry tools list"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_definition_is_held_to_what_is_known_and_usable() {
        let read = |rest: &str| {
            definition(&format!(
                r#"{{"name":"t","input_schema":{{"type":"object"}}{rest}}}"#
            ))
        };
        assert!(read("").is_ok());
        let own = serde_json::to_string(&read("").unwrap()).unwrap();
        assert!(definition(&own).is_ok(), "what is printed is read");
        assert!(read(r#","title":null,"ask_first":[]"#).is_ok());
        let refused = read(r#","timeout":5"#).unwrap_err();
        assert!(format!("{refused:#}").contains("timeout"), "{refused:#}");
        let refused = read(r#","concurrency":0"#).unwrap_err();
        assert!(
            format!("{refused:#}").contains("concurrency"),
            "{refused:#}"
        );
        assert!(definition(r#"{"name":"t","input_schema":{"type":7}}"#).is_err());
        assert!(definition(r#"{"name":"a b","input_schema":{"type":"object"}}"#).is_err());
        assert!(definition("{").is_err());
    }
}
