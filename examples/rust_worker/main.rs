//! A worker with one tool in Rust: `summarize_orders` adds up the orders of the shipped data set by month.
//!
//! `cargo run --package taskferry-worker --example rust_worker -- --redis-url redis://127.0.0.1:6379/0`

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use taskferry_worker::cli::Program;
use taskferry_worker::contract::ToolDefinition;
use taskferry_worker::{AskRequest, HandlerResult, JobContext, ToolError, ToolOutput};

const SCHEMA: &str = r#"{
  "type": "object",
  "properties": {
    "region": { "type": "string", "enum": ["North", "South", "East", "West"] },
    "confirm": { "type": "boolean", "description": "Ask the person before the work begins", "default": false }
  },
  "additionalProperties": false
}"#;

const ORDERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/data/orders.csv");

#[derive(Deserialize)]
struct Arguments {
    region: Option<String>,
    #[serde(default)]
    confirm: bool,
}

async fn summarize_orders(job: JobContext) -> HandlerResult {
    let Arguments { region, confirm } = job.arguments()?;
    if confirm && !confirmed(&job).await? {
        return Err(ToolError::tool("the person does not want it"));
    }
    // A file that is just being written may be there in a moment.
    let text = tokio::fs::read_to_string(Path::new(ORDERS))
        .await
        .map_err(|error| ToolError::retry(format!("the orders cannot be read: {error}")))?;
    let lines: Vec<&str> = text.lines().skip(1).collect();
    let mut months: BTreeMap<&str, f64> = BTreeMap::new();
    for (done, line) in lines.iter().enumerate() {
        let fields: Vec<&str> = line.split(',').collect();
        let [_order, date, place, .., quantity, price] = fields.as_slice() else {
            continue;
        };
        if region.as_deref().is_none_or(|region| region == *place) {
            let month = date.get(..7).unwrap_or(date);
            *months.entry(month).or_default() += quantity.parse::<f64>()? * price.parse::<f64>()?;
        }
        if done % 100 == 0 {
            job.progress(count(done), count(lines.len()), "adding up");
            // Work that computes for long gives others a turn, and can be cancelled here.
            tokio::task::yield_now().await;
        }
    }
    for revenue in months.values_mut() {
        *revenue = (*revenue * 100.0).round() / 100.0;
    }
    ToolOutput::json(&json!({ "region": region, "revenue_by_month": months }))
}

async fn confirmed(job: &JobContext) -> Result<bool, ToolError> {
    let nothing_to_fill_in = json!({ "type": "object", "properties": {} });
    let question = AskRequest::elicitation("Add up all orders?", nothing_to_fill_in);
    let answer = job.ask("confirm", question).await?;
    Ok(answer
        .get("action")
        .is_some_and(|action| action == "accept"))
}

fn count(lines: usize) -> f64 {
    u32::try_from(lines).map_or(f64::MAX, f64::from)
}

fn main() -> ExitCode {
    let schema = RawValue::from_string(SCHEMA.to_owned()).expect("the schema is JSON");
    let name = "summarize_orders".parse().expect("the name fits the rule");
    let mut definition = ToolDefinition::new(name, schema);
    definition.description = Some("Adds up the orders of each month, in EUR.".to_owned());
    Program::new("rust_worker", env!("CARGO_PKG_VERSION"))
        .main(|worker| worker.tool(definition, summarize_orders))
}
