//! Whom a request comes from, as far as addresses tell. What lies behind finds it as an extension of the request.

use axum::extract::Request;

use crate::transport::http::connections::Connected;
use crate::transport::http::layers::check::Check;
use crate::transport::http::peers::{Peer, TrustedProxies};
use crate::transport::http::refused::Refused;

/// Notes the peer of each request.
pub(in crate::transport::http) fn note(
    trusted: TrustedProxies,
) -> Check<impl Fn(&mut Request) -> Result<(), Refused> + Clone> {
    Check::by(move |request: &mut Request| {
        let connected = request.extensions().get::<Connected>();
        if let Some(address) = connected.map(|connected| connected.address) {
            let client = trusted.client(address, request.headers());
            request.extensions_mut().insert(Peer::from(client));
        }
        Ok(())
    })
}
