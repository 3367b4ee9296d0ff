//! Bodies: JSON, as it is, of a size that is taken, and in time.

use std::borrow::Cow;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt as _;
use hyper::body::Body as _;
use taskferry_contract::quoted;
use taskferry_process::{Budget, Charge};
use tokio::time::Instant;

use crate::transport::http::refused::Refused;

/// How long a client may take for the first bytes of a body, and for what is left of it below the least rate.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes a second: a client that sends less for longer than the patience lasts is not waited for.
const LEAST_RATE: u64 = 16 << 10;
/// What a body is charged for at first, bytes; most are smaller.
const SMALL: usize = 4 << 10;

/// A body up to so many times too large is read to its end before it is refused: whoever sends one reads the answer only then,
/// and a proxy takes a connection that is closed before for a broken one.
const HEARD_OUT: usize = 4;

/// A message off the wire, and what it takes of the memory for requests.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) bytes: Vec<u8>,
    _charge: Charge,
}

/// How much is taken.
#[derive(Debug, Clone)]
pub(super) struct BodyLimits {
    /// Of one body, bytes.
    pub(super) largest: usize,
    /// Of all together.
    pub(super) memory: Budget,
}

/// Takes a message off the wire.
pub(super) async fn take(
    headers: &HeaderMap,
    body: Body,
    limits: &BodyLimits,
) -> Result<Taken, Refused> {
    check_content_type(headers)?;
    check_encoding(headers)?;
    read(body, limits, PATIENCE).await
}

fn check_content_type(headers: &HeaderMap) -> Result<(), Refused> {
    let given = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let given = given.unwrap_or("");
    let essence = given.split(';').next().unwrap_or("").trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let text = format!(
        "the body must be JSON: send Content-Type: application/json, not {}",
        quoted(given)
    );
    Err(Refused::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, text))
}

/// Bodies are taken as they are: a compressed one would be refused as no UTF-8.
fn check_encoding(headers: &HeaderMap) -> Result<(), Refused> {
    let given = headers.get_all(header::CONTENT_ENCODING).iter();
    let given: Vec<Cow<'_, str>> = given
        .map(|value| String::from_utf8_lossy(value.as_bytes()))
        .collect();
    let is_plain = |coding: &str| coding.is_empty() || coding.eq_ignore_ascii_case("identity");
    let mut codings = given
        .iter()
        .flat_map(|value| value.split(','))
        .map(str::trim);
    let Some(coding) = codings.find(|coding| !is_plain(coding)) else {
        return Ok(());
    };
    let text = format!(
        "the body is encoded as {coding:.40?}; send it without Content-Encoding, as plain JSON"
    );
    Err(Refused::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, text))
}

async fn read(mut body: Body, limits: &BodyLimits, patience: Duration) -> Result<Taken, Refused> {
    let limit = limits.largest;
    let most = limit.saturating_mul(HEARD_OUT);
    if body.size_hint().lower() > most as u64 {
        return Err(too_large(limit));
    }
    let mut passed_over = 0;
    let begun = Instant::now();
    let (mut bytes, mut charge) = (Vec::new(), limits.memory.charge());
    loop {
        let came = bytes.len() + passed_over;
        let earned = (came as u64).saturating_mul(1000) / LEAST_RATE;
        let until = begun + patience + Duration::from_millis(earned);
        let Ok(frame) = tokio::time::timeout_at(until, body.frame()).await else {
            return Err(too_slow(came, begun.elapsed()));
        };
        let Some(frame) = frame else { break };
        let frame = frame.map_err(|error| {
            let text = format!("the body ended early: {error}");
            Refused::new(StatusCode::BAD_REQUEST, text)
        })?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        let whole = came + data.len();
        if whole > limit {
            // Nothing of it is kept any more.
            (bytes, passed_over) = (Vec::new(), whole);
            charge.give_back();
            if whole > most {
                return Err(too_large(limit));
            }
            continue;
        }
        if whole > bytes.capacity() {
            // Doubled, so that a body in many pieces is copied seldom.
            let room = whole.max(bytes.capacity() * 2).max(SMALL).min(limit);
            if !charge.grow_to(room) {
                return Err(no_memory());
            }
            bytes.reserve_exact(room - bytes.len());
        }
        bytes.extend_from_slice(&data);
    }
    if passed_over > 0 {
        return Err(too_large(limit));
    }
    Ok(Taken {
        bytes,
        _charge: charge,
    })
}

fn too_large(limit: usize) -> Refused {
    let text = format!(
        "the body is larger than the {limit} bytes this server takes (its setting max_body)"
    );
    Refused::new(StatusCode::PAYLOAD_TOO_LARGE, text)
}

fn too_slow(came: usize, within: Duration) -> Refused {
    let seconds = within.as_secs_f64();
    let text = format!(
        "the body comes too slowly, {came} bytes in {seconds:.1} s; send it again, with at least {LEAST_RATE} bytes a second"
    );
    Refused::new(StatusCode::REQUEST_TIMEOUT, text)
}

fn no_memory() -> Refused {
    let text = "this server has no memory for a body of this size, since others are on their way (its setting body_memory); try again in a moment";
    Refused::for_now(text.to_owned())
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use axum::body::Bytes;
    use futures_util::{StreamExt as _, stream};

    use super::*;

    fn limits(largest: usize, memory: usize) -> BodyLimits {
        BodyLimits {
            largest,
            memory: Budget::new(memory),
        }
    }

    /// A body that comes in these pieces, and never ends.
    fn unended(pieces: Vec<Bytes>) -> Body {
        let pieces = stream::iter(pieces.into_iter().map(Ok::<_, Infallible>));
        Body::from_stream(pieces.chain(stream::pending()))
    }

    async fn refused(body: Body, limits: &BodyLimits) -> (StatusCode, String) {
        let refused = read(body, limits, Duration::from_millis(20)).await;
        let refused = refused.unwrap_err();
        (refused.status, refused.text)
    }

    #[tokio::test]
    async fn a_body_that_does_not_come_is_not_waited_for() {
        let limits = limits(1024, 1 << 20);
        let (status, text) = refused(unended(vec![Bytes::from_static(b"{")]), &limits).await;
        assert_eq!(status, StatusCode::REQUEST_TIMEOUT);
        assert!(text.contains("1 bytes in 0.0 s"), "{text}");
        let whole = read(Body::from("{}"), &limits, PATIENCE).await.unwrap();
        assert_eq!(whole.bytes, b"{}");
    }

    #[tokio::test]
    async fn a_body_that_comes_fast_enough_may_last() {
        let piece = Bytes::from(vec![b'x'; 32 << 10]);
        let pieces = stream::iter((0..20).map(move |_| Ok::<_, Infallible>(piece.clone())));
        let slow = pieces.then(|piece| async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            piece
        });
        let (limits, patience) = (limits(4 << 20, 8 << 20), Duration::from_millis(200));
        let whole = read(Body::from_stream(slow), &limits, patience).await;
        assert_eq!(whole.unwrap().bytes.len(), 20 * (32 << 10));
    }

    #[tokio::test]
    async fn what_is_too_large_is_refused_before_it_came() {
        let announced = refused(Body::from(vec![b'x'; 5000]), &limits(1024, 1 << 20)).await;
        assert_eq!(announced.0, StatusCode::PAYLOAD_TOO_LARGE);
        let pieces = vec![Bytes::from(vec![b'x'; 600]); 7];
        let unannounced = refused(unended(pieces), &limits(1024, 1 << 20)).await;
        assert_eq!(unannounced.0, StatusCode::PAYLOAD_TOO_LARGE);
    }

    #[tokio::test]
    async fn what_is_a_little_too_large_is_read_to_its_end_and_not_kept() {
        let limits = limits(1024, 1024);
        let pieces = stream::iter((0..3).map(|_| Ok::<_, Infallible>(vec![b'x'; 1000])));
        let (status, text) = refused(Body::from_stream(pieces), &limits).await;
        assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
        assert!(text.contains("max_body"), "{text}");
        let (status, _) = refused(unended(vec![Bytes::from(vec![b'x'; 3000])]), &limits).await;
        assert_eq!(status, StatusCode::REQUEST_TIMEOUT, "its end is waited for");
    }

    #[tokio::test]
    async fn bodies_take_no_more_memory_than_there_is_for_them() {
        let limits = limits(64 << 10, 64 << 10);
        let first = read(Body::from(vec![b'x'; 40 << 10]), &limits, PATIENCE).await;
        let (status, text) = refused(Body::from(vec![b'x'; 40 << 10]), &limits).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(text.contains("body_memory"), "{text}");
        drop(first);
        let second = read(Body::from(vec![b'x'; 40 << 10]), &limits, PATIENCE).await;
        assert!(second.is_ok());
    }

    #[tokio::test]
    async fn a_body_of_single_bytes_costs_what_it_holds() {
        let pieces = vec![Bytes::from_static(b"x"); 10_000];
        let pieces = stream::iter(pieces.into_iter().map(Ok::<_, Infallible>));
        let limits = limits(16 << 10, 16 << 10);
        let whole = read(Body::from_stream(pieces), &limits, PATIENCE)
            .await
            .unwrap();
        assert_eq!(whole.bytes.len(), 10_000);
        assert!(
            whole.bytes.capacity() <= 16 << 10,
            "{}",
            whole.bytes.capacity()
        );
    }
}
