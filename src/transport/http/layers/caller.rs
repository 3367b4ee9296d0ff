//! Who calls. Handlers find it as an extension of the request.

use std::sync::Arc;

use axum::extract::Request;

use crate::mcp::Caller;
use crate::transport::http::layers::check::Check;
use crate::transport::http::refused::Refused;

/// Everyone is `caller`, since nothing tells callers apart.
pub(in crate::transport::http) fn name(
    caller: Arc<Caller>,
) -> Check<impl Fn(&mut Request) -> Result<(), Refused> + Clone> {
    Check::by(move |request: &mut Request| {
        request.extensions_mut().insert(Arc::clone(&caller));
        Ok(())
    })
}
