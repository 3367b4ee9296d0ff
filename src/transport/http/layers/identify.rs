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
use axum::response::{IntoResponse as _, Response};
use futures_util::future::Either;
use taskferry_contract::Owner;
use taskferry_process::{Parts, Shares};
use tower::{Layer, Service, ServiceExt as _};

use crate::audit::{self, Audit};
use crate::identity::{Caller, Denied, Gate, Identified};
use crate::transport::http::denied::denied;
use crate::transport::http::layers::admission::Room;
use crate::transport::http::peers::Peer;
use crate::transport::http::refused::Refused;

/// Lets on the requests of callers that `gate` knows.
#[derive(Debug, Clone)]
pub(in crate::transport::http) struct Identify {
    known: Known,
}

impl Identify {
    /// One caller may have `most` requests open, and a part of the memory for answers. Who is denied is told to `audit`.
    pub(in crate::transport::http) fn by(
        gate: Arc<Gate>,
        (most, memory): (usize, Parts<Owner>),
        audit: Audit,
    ) -> Self {
        Self {
            known: Known {
                gate,
                open: Shares::default(),
                most,
                memory,
                audit,
            },
        }
    }
}

/// Who is known, and what each has open.
#[derive(Debug, Clone)]
struct Known {
    gate: Arc<Gate>,
    open: Shares<Owner>,
    most: usize,
    memory: Parts<Owner>,
    audit: Audit,
}

impl Known {
    /// Notes with a request who sent it, and what that caller has open with it.
    fn note(&self, caller: Arc<Caller>, request: &mut Request) -> Result<(), Refused> {
        let room = request.extensions().get::<Room>();
        if let (true, Some(room)) = (self.gate.tells_apart(), room) {
            let share = self.open.take(caller.owner.clone(), self.most);
            let share = share.ok_or_else(|| self.too_many())?;
            room.hold(share, self.memory.of(&caller.owner));
        }
        request.extensions_mut().insert(caller);
        Ok(())
    }

    fn too_many(&self) -> Refused {
        let most = self.most;
        Refused::share_is_taken(format!(
            "you have as many open requests as one caller may have here ({most}): the server's settings peer_share and max_requests"
        ))
    }

    /// The answer to a request of nobody.
    fn deny(&self, why: &Denied, address: Option<IpAddr>) -> Response {
        note(&self.audit, why, address);
        denied(&self.gate, why)
    }
}

impl<S> Layer<S> for Identify {
    type Service = IdentifiedFirst<S>;

    fn layer(&self, behind: S) -> IdentifiedFirst<S> {
        IdentifiedFirst {
            known: self.known.clone(),
            behind,
        }
    }
}

/// What callers that are known get to.
#[derive(Debug, Clone)]
pub(in crate::transport::http) struct IdentifiedFirst<S> {
    known: Known,
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
            .known
            .gate
            .identify(given.iter().map(|value| value.to_str().ok()));
        // Whatever comes after has no use for it, and cannot show it to anyone.
        request.headers_mut().remove(header::AUTHORIZATION);
        let peer = request.extensions().get::<Peer>();
        let address = peer.map(|peer| peer.address());
        match identified {
            Identified::Known(caller) => {
                Either::Left(match self.known.note(caller, &mut request) {
                    Ok(()) => Either::Left(self.behind.call(request)),
                    Err(refused) => Either::Right(ready(Ok(refused.into_response()))),
                })
            }
            Identified::Denied(why) => {
                let denied = self.known.deny(&why, address);
                Either::Left(Either::Right(ready(Ok(denied))))
            }
            Identified::Later(caller) => {
                let (known, behind) = (self.known.clone(), self.behind.clone());
                Either::Right(Box::pin(async move {
                    match caller.await {
                        Ok(caller) => match known.note(caller, &mut request) {
                            Ok(()) => behind.oneshot(request).await,
                            Err(refused) => Ok(refused.into_response()),
                        },
                        Err(why) => Ok(known.deny(&why, address)),
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
