//! Who calls. Handlers find the caller as an extension of the request; one that nobody knows goes no further, and its body is
//! not read.

use std::convert::Infallible;
use std::fmt::Display;
use std::future::{Ready, ready};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::extract::Request;
use axum::http::header;
use axum::response::Response;
use futures_util::future::Either;
use tower::{Layer, Service, ServiceExt as _};

use crate::audit::{self, Audit};
use crate::identity::{Denied, Gate, Identified};
use crate::transport::http::connections::Connected;
use crate::transport::http::denied::denied;

/// Lets on the requests of callers that `gate` knows.
#[derive(Debug, Clone)]
pub(in crate::transport::http) struct Identify {
    gate: Arc<Gate>,
    audit: Audit,
}

impl Identify {
    pub(in crate::transport::http) fn by(gate: Arc<Gate>, audit: Audit) -> Self {
        Self { gate, audit }
    }
}

impl<S> Layer<S> for Identify {
    type Service = IdentifiedFirst<S>;

    fn layer(&self, behind: S) -> IdentifiedFirst<S> {
        IdentifiedFirst {
            gate: Arc::clone(&self.gate),
            audit: self.audit.clone(),
            behind,
        }
    }
}

/// What callers that are known get to.
#[derive(Debug, Clone)]
pub(in crate::transport::http) struct IdentifiedFirst<S> {
    gate: Arc<Gate>,
    audit: Audit,
    behind: S,
}

type Answered = Result<Response, Infallible>;
type Now<F> = Either<F, Ready<Answered>>;

impl<S> Service<Request> for IdentifiedFirst<S>
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response;
    type Error = Infallible;
    /// At once in all but a few cases, so that these need no allocation.
    type Future = Either<Now<S::Future>, Pin<Box<dyn Future<Output = Answered> + Send>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.behind.poll_ready(context)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let given = request.headers().get_all(header::AUTHORIZATION);
        let identified = self
            .gate
            .identify(given.iter().map(|value| value.to_str().ok()));
        // Whatever comes after has no use for it, and cannot show it to anyone.
        request.headers_mut().remove(header::AUTHORIZATION);
        let connected = request.extensions().get::<Connected>();
        let peer = connected.map(|connected| connected.address);
        match identified {
            Identified::Known(caller) => {
                request.extensions_mut().insert(caller);
                Either::Left(Either::Left(self.behind.call(request)))
            }
            Identified::Denied(why) => {
                note(&self.audit, &why, peer);
                Either::Left(Either::Right(ready(Ok(denied(&self.gate, &why)))))
            }
            Identified::Later(caller) => {
                let (gate, behind) = (Arc::clone(&self.gate), self.behind.clone());
                let audit = self.audit.clone();
                Either::Right(Box::pin(async move {
                    match caller.await {
                        Ok(caller) => {
                            request.extensions_mut().insert(caller);
                            behind.oneshot(request).await
                        }
                        Err(why) => {
                            note(&audit, &why, peer);
                            Ok(denied(&gate, &why))
                        }
                    }
                }))
            }
        }
    }
}

/// Notes a request of nobody. Of keys that are not known yet, the caller is not to blame.
fn note(audit: &Audit, why: &Denied, peer: Option<IpAddr>) {
    let reason = match why {
        Denied::Missing => "no credential",
        Denied::Malformed(why) | Denied::Invalid(why) => why,
        Denied::NoKeys => return,
    };
    audit.denied(audit::Denied {
        peer: peer.as_ref().map(|peer| peer as &dyn Display),
        ..audit::Denied::because(reason)
    });
}
