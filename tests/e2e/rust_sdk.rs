//! The Rust SDK's client, which nobody here wrote, runs the same scenarios in both eras.

use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, CancelTaskParams, ClientConfig,
    DetailedTask, ElicitRequestParams, ElicitResult, ElicitationAction, ErrorData, GetTaskParams,
    Implementation, ProtocolVersion, TaskPayload, UpdateTaskParams,
};
use rmcp::service::{
    ClientLifecycleMode, ClientServiceExt, RequestContext, RoleClient, RunningService,
};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::{ClientHandler, ServiceError};
use serde_json::{Value, json};
use taskferry_client::TASKS;
use taskferry_testing::{eventually, eventually_some};

use crate::questions::{SOON, fixture_fleet};
use crate::recorder::Recorder;

/// Someone who says yes to everything.
struct Agreeing;

impl ClientHandler for Agreeing {
    fn get_info(&self) -> ClientConfig {
        let capabilities = json!({ "elicitation": {}, "extensions": { TASKS: {} } });
        let capabilities = serde_json::from_value(capabilities).unwrap();
        ClientConfig::new(capabilities, Implementation::new("rmcp", "3.9"))
            .with_protocol_version(ProtocolVersion::V_2025_11_25)
    }

    async fn create_elicitation(
        &self,
        _request: ElicitRequestParams,
        _context: RequestContext<RoleClient>,
    ) -> Result<ElicitResult, ErrorData> {
        Ok(ElicitResult::new(ElicitationAction::Accept).with_content(json!({ "confirm": true })))
    }
}

/// How its messages travel.
type Transport = StreamableHttpClientTransport<reqwest::Client>;
type Client = RunningService<RoleClient, Agreeing>;

async fn connect(endpoint: &str, mode: ClientLifecycleMode) -> Client {
    let transport = StreamableHttpClientTransport::from_uri(endpoint.to_owned());
    connect_over(transport, mode).await
}

async fn connect_over(transport: Transport, mode: ClientLifecycleMode) -> Client {
    Agreeing
        .serve_with_lifecycle(transport, mode)
        .await
        .unwrap()
}

fn modern() -> ClientLifecycleMode {
    ClientLifecycleMode::Discover {
        preferred_versions: vec![ProtocolVersion::V_2026_07_28],
    }
}

/// Runs a tool without arguments as a task; the text of its result.
pub(crate) async fn run_task(transport: Transport, tool: &'static str) -> String {
    let client = connect_over(transport, modern()).await;
    let id = start(&client, tool, json!({})).await;
    let text = text(&result(&client, &id).await).to_owned();
    client.cancel().await.unwrap();
    text
}

fn params(tool: &'static str, arguments: Value) -> CallToolRequestParams {
    let arguments = arguments.as_object().unwrap().clone();
    CallToolRequestParams::new(tool).with_arguments(arguments)
}

fn text(result: &CallToolResult) -> &str {
    &result.content[0].as_text().unwrap().text
}

/// Calls a tool as a task; its id.
async fn start(client: &Client, tool: &'static str, arguments: Value) -> String {
    let answer = client.call_tool_once(params(tool, arguments)).await;
    let CallToolResponse::Task(created) = answer.unwrap() else {
        panic!("{tool} is a task");
    };
    created.task.task_id
}

async fn until(client: &Client, id: &str, wanted: impl Fn(&TaskPayload) -> bool) -> DetailedTask {
    eventually_some(SOON, "the task is as wanted", async || {
        let answer = client.get_task(GetTaskParams::new(id)).await.unwrap();
        wanted(&answer.task.payload).then_some(answer.task)
    })
    .await
}

async fn ended(client: &Client, id: &str) -> TaskPayload {
    let task = until(client, id, |payload| payload.status().is_terminal()).await;
    task.payload
}

async fn result(client: &Client, id: &str) -> CallToolResult {
    let TaskPayload::Completed { result } = ended(client, id).await else {
        panic!("the task completes");
    };
    serde_json::from_value(Value::Object(result)).unwrap()
}

/// This client asks for no tasks in the legacy era: its calls are plain, and wait on their streams.
#[tokio::test]
async fn the_rust_sdk_makes_legacy_calls() {
    let fleet = fixture_fleet().await;
    let recorder = Recorder::to(fleet.endpoint()).await;
    let client = connect(&recorder.endpoint(), ClientLifecycleMode::Initialize).await;
    let report = params("generate_report", json!({ "month": "January" }));
    let report = client.call_tool(report).await.unwrap();
    assert!(text(&report).contains("January"));

    let deleting = params("confirm_delete", json!({ "filename": "a.txt" }));
    let deleted = client.call_tool(deleting).await.unwrap();
    assert_eq!(text(&deleted), "Deleted a.txt");

    let failed = client.call_tool(params("fail", json!({}))).await.unwrap();
    assert_eq!(failed.is_error, Some(true));
    let broken = client
        .call_tool(params("protocol_error_job", json!({})))
        .await;
    assert!(
        matches!(&broken, Err(ServiceError::McpError(error)) if error.code.0 == -32603),
        "{broken:?}"
    );

    // The client cancels a call that is given up.
    let folder = tempfile::tempdir().unwrap();
    let napping = params("nap", json!({ "seconds": 60, "folder": folder.path() }));
    let started = folder.path().join("1");
    tokio::select! {
        ended = client.call_tool_once(napping) => panic!("{ended:?}"),
        () = eventually(SOON, "the command runs", async || started.exists()) => {}
    }
    fleet.drained().await;
    client.cancel().await.unwrap();
    assert!(recorder.check() > 10, "what was said is recorded");
}

#[tokio::test]
async fn the_rust_sdk_runs_modern_tasks() {
    let fleet = fixture_fleet().await;
    let recorder = Recorder::to(fleet.endpoint()).await;
    let client = connect(&recorder.endpoint(), modern()).await;
    let id = start(&client, "generate_report", json!({ "month": "January" })).await;
    assert!(text(&result(&client, &id).await).contains("January"));

    let id = start(&client, "confirm_delete", json!({ "filename": "a.txt" })).await;
    let asking = |payload: &TaskPayload| matches!(payload, TaskPayload::InputRequired { .. });
    let TaskPayload::InputRequired { input_requests } = until(&client, &id, asking).await.payload
    else {
        panic!("the task asks");
    };
    let answer = json!({ "action": "accept", "content": { "confirm": true } });
    let answers = input_requests.into_keys().map(|key| (key, answer.clone()));
    let update = UpdateTaskParams::new(&id, answers.collect());
    client.update_task(update).await.unwrap();
    assert_eq!(text(&result(&client, &id).await), "Deleted a.txt");

    let id = start(&client, "fail", json!({})).await;
    assert_eq!(result(&client, &id).await.is_error, Some(true));
    let id = start(&client, "protocol_error_job", json!({})).await;
    let TaskPayload::Failed { error } = ended(&client, &id).await else {
        panic!("the task fails");
    };
    assert_eq!(error["code"], -32603);

    let folder = tempfile::tempdir().unwrap();
    let napping = json!({ "seconds": 60, "folder": folder.path() });
    let id = start(&client, "nap", napping).await;
    client
        .cancel_task(CancelTaskParams::new(&id))
        .await
        .unwrap();
    assert!(matches!(ended(&client, &id).await, TaskPayload::Cancelled));
    fleet.drained().await;
    client.cancel().await.unwrap();
    assert!(recorder.check() > 10, "what was said is recorded");
}
