//! A worker with a handler that blocks a thread for good.

use std::process::ExitCode;

use serde_json::value::RawValue;
use taskferry_worker::cli::Program;
use taskferry_worker::contract::ToolDefinition;
use taskferry_worker::{HandlerResult, JobContext, ToolOutput};

async fn stuck(_job: JobContext) -> HandlerResult {
    let waits_for_nobody = || {
        loop {
            std::thread::park();
        }
    };
    drop(tokio::task::spawn_blocking::<_, ()>(waits_for_nobody).await);
    Ok(ToolOutput::text("never"))
}

fn main() -> ExitCode {
    let schema = RawValue::from_string(r#"{"type":"object"}"#.to_owned()).expect("it is JSON");
    let name = "stuck".parse().expect("it is a valid name");
    let definition = ToolDefinition::new(name, schema);
    Program::new("stuck_worker", env!("CARGO_PKG_VERSION"))
        .main(|worker| worker.tool(definition, stuck))
}
