//! Who calls. Handlers find it as an extension of the request.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;

use crate::mcp::Caller;

/// Everyone is `caller`, since nothing tells callers apart.
pub(in crate::transport::http) async fn name(
    State(caller): State<Arc<Caller>>,
    mut request: Request,
    next: Next,
) -> Response {
    request.extensions_mut().insert(caller);
    next.run(request).await
}
