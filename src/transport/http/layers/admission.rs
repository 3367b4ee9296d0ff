//! How many requests may be open at once. One that waits is cheap, but not free, and whoever opens more than a front end
//! can hold would take it from everyone.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http_body_util::BodyExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::transport::http::refused::busy;

/// The requests that may still be opened.
#[derive(Debug, Clone)]
pub(in crate::transport::http) struct Admission {
    free: Arc<Semaphore>,
    most: usize,
}

impl Admission {
    /// Room for `most` requests; 0 for any number.
    pub(in crate::transport::http) fn new(most: u64) -> Self {
        let most = usize::try_from(most)
            .ok()
            .filter(|most| *most > 0)
            .unwrap_or(Semaphore::MAX_PERMITS);
        Self {
            free: Arc::new(Semaphore::new(most)),
            most,
        }
    }
}

/// What one request takes of it, given back with the last clone.
#[derive(Debug, Clone)]
pub(in crate::transport::http) struct Room(Arc<OwnedSemaphorePermit>);

/// Serves a request if there is room, which it holds until the last of its answer was taken, or its client is gone and
/// nothing is done for it any more.
pub(in crate::transport::http) async fn admit(
    State(admission): State<Admission>,
    mut request: Request,
    next: Next,
) -> Response {
    let Ok(permit) = Arc::clone(&admission.free).try_acquire_owned() else {
        let most = admission.most;
        return busy(format!(
            "this server has as many open requests as it may ({most}), its setting max_requests; try again in a moment"
        ));
    };
    let room = Room(Arc::new(permit));
    request.extensions_mut().insert(room.clone());
    let response = next.run(request).await;
    response.map(|body| {
        // The body keeps its room as long as it lives.
        Body::new(body.inspect_frame(move |_frame| {
            let _held = &room.0;
        }))
    })
}
