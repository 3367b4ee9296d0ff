//! Requests that have no answer yet when the server stops and waits no longer.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use crate::mcp::Stopping;
use crate::transport::http::refused::Refused;

/// Answers a request that still has no answer. Requests that wait for a job are answered before that, by `mcp`.
pub(in crate::transport::http) async fn answer_at_the_end(
    State(stopping): State<Stopping>,
    request: Request,
    next: Next,
) -> Response {
    let over = async {
        stopping.over.cancelled().await;
        tokio::time::sleep(Stopping::LAST_MOMENT).await;
    };
    tokio::select! {
        biased;
        response = next.run(request) => response,
        () = over => {
            let text = "this server stops before it could answer; send the request again in a moment. If it was a call, it may have been queued";
            Refused::for_now(text.to_owned()).into_response()
        }
    }
}
