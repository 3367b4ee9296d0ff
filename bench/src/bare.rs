//! The yardstick `bare`: the same HTTP requests and the same single call of the store, and nothing between them.

use std::sync::Arc;

use anyhow::Context as _;
use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::State;
use axum::http::{HeaderValue, Request, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::serve::ListenerExt as _;
use serde::Serialize;
use taskferry_contract::{Arguments, Owner, Store, TaskId, ToolDefinition};
use tokio::net::TcpListener;

use crate::child;
use crate::cli::Part;
use crate::work::{self, Kind};

/// The largest body, bytes.
const MAX_BODY: usize = 2 << 20;

struct Bare {
    store: Store,
    tool: ToolDefinition,
    arguments: Arguments,
}

/// Serves until the parent ends.
pub(crate) async fn run(part: &Part) -> anyhow::Result<()> {
    child::end_with_parent();
    let listener = TcpListener::bind(part.listen)
        .await
        .with_context(|| format!("cannot listen on {}", part.listen))?;
    let bare = Bare {
        store: work::store(&part.redis_url)?,
        tool: Kind::Parked.definition()?,
        arguments: work::arguments(part.payload_bytes),
    };
    bare.store.ready().await?;
    let router = Router::new()
        .route("/poll", post(poll))
        .route("/create", post(create))
        .route("/readyz", get(async || "ready\n"))
        .with_state(Arc::new(bare));
    let listener = listener.tap_io(|connection| {
        // As the front end does; without it nothing is comparable, and the latencies show it.
        let _as_it_is = connection.set_nodelay(true);
    });
    axum::serve(listener, router)
        .await
        .context("serving failed")
}

/// The header names the task, so the body is read but not parsed.
async fn poll(State(bare): State<Arc<Bare>>, request: Request<Body>) -> Response {
    let (parts, body) = request.into_parts();
    if to_bytes(body, MAX_BODY).await.is_err() {
        return failed("the body ended early");
    }
    let name = parts
        .headers
        .get("mcp-name")
        .and_then(|name| name.to_str().ok());
    let Some(id) = name.and_then(|name| name.parse::<TaskId>().ok()) else {
        return failed("the header Mcp-Name is no task id");
    };
    match bare.store.view_with_outcome(id).await {
        Ok(Some(view)) => answer(&id.to_string(), view.status.as_str(), view.updated_ms),
        Ok(None) => failed("there is no such task"),
        Err(error) => failed(&error.to_string()),
    }
}

async fn create(State(bare): State<Arc<Bare>>, _body: Bytes) -> Response {
    match work::submit(
        &bare.store,
        &bare.tool,
        &Owner::anonymous(),
        &bare.arguments,
    )
    .await
    {
        Ok(id) => answer(&id.to_string(), "working", 0),
        Err(error) => failed(&error.to_string()),
    }
}

fn answer(task_id: &str, status: &str, updated_ms: i64) -> Response {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Body<'a> {
        result: Task<'a>,
    }
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Task<'a> {
        task_id: &'a str,
        status: &'a str,
        updated_ms: i64,
    }
    let body = Body {
        result: Task {
            task_id,
            status,
            updated_ms,
        },
    };
    let mut response = Response::new(serde_json::to_string(&body).unwrap_or_default().into());
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    response
}

fn failed(text: &str) -> Response {
    (StatusCode::INTERNAL_SERVER_ERROR, text.to_owned()).into_response()
}
