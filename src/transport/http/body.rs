//! Bodies: JSON, as it is, of a size that is taken, and in time.

use std::borrow::Cow;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, StatusCode, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use taskferry_contract::quoted;

use crate::transport::http::refused::Refused;

/// How long a client may take to send the body of a request, which has its room meanwhile.
const BODY_WITHIN: Duration = Duration::from_secs(60);

/// Takes a message off the wire: of `limit` bytes at most.
pub(super) async fn take(headers: &HeaderMap, body: Body, limit: usize) -> Result<Bytes, Refused> {
    check_content_type(headers)?;
    check_encoding(headers)?;
    read(body, limit, BODY_WITHIN).await
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

async fn read(body: Body, limit: usize, within: Duration) -> Result<Bytes, Refused> {
    let body = tokio::time::timeout(within, Limited::new(body, limit).collect()).await;
    let Ok(body) = body else {
        let text = format!("the body did not come within {within:?}; send the request again");
        return Err(Refused::new(StatusCode::REQUEST_TIMEOUT, text));
    };
    match body {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            let text = format!(
                "the body is larger than the {limit} bytes this server takes (its setting max_body)"
            );
            Err(Refused::new(StatusCode::PAYLOAD_TOO_LARGE, text))
        }
        Err(error) => {
            let text = format!("the body ended early: {error}");
            Err(Refused::new(StatusCode::BAD_REQUEST, text))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;

    use super::*;

    #[tokio::test]
    async fn a_body_that_does_not_come_is_not_waited_for() {
        let begun = stream::iter([Ok::<_, Infallible>(Bytes::from_static(b"{"))]);
        let never = stream::pending();
        let body = Body::from_stream(futures_util::StreamExt::chain(begun, never));
        let refused = read(body, 1024, Duration::from_millis(20)).await;
        let refused = refused.unwrap_err();
        assert_eq!(refused.status, StatusCode::REQUEST_TIMEOUT);
        let whole = read(Body::from("{}"), 1024, Duration::from_secs(60)).await;
        assert_eq!(whole.unwrap(), "{}");
    }
}
