//! A check of each request before it goes on. `axum::middleware::from_fn` could do the same, but for each layer it boxes a
//! future and copies all that lies behind; together that was a tenth of what a poll costs.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll};

use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use futures_util::future::Either;
use tower::{Layer, Service};

use crate::transport::http::refused::Refused;

/// Lets a request on if `check` does, which may also attach to it what those behind need; else answers with the refusal.
#[derive(Debug, Clone)]
pub(in crate::transport::http) struct Check<F> {
    check: F,
}

impl<F> Check<F>
where
    F: Fn(&mut Request) -> Result<(), Refused>,
{
    pub(in crate::transport::http) fn by(check: F) -> Self {
        Self { check }
    }
}

impl<S, F: Clone> Layer<S> for Check<F> {
    type Service = Checked<S, F>;

    fn layer(&self, behind: S) -> Checked<S, F> {
        Checked {
            check: self.check.clone(),
            behind,
        }
    }
}

/// What a check stands in front of.
#[derive(Debug, Clone)]
pub(in crate::transport::http) struct Checked<S, F> {
    check: F,
    behind: S,
}

impl<S, F> Service<Request> for Checked<S, F>
where
    S: Service<Request, Response = Response, Error = Infallible>,
    F: Fn(&mut Request) -> Result<(), Refused>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Either<S::Future, Ready<Result<Response, Infallible>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.behind.poll_ready(context)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        match (self.check)(&mut request) {
            Ok(()) => Either::Left(self.behind.call(request)),
            Err(refused) => Either::Right(ready(Ok(refused.into_response()))),
        }
    }
}
