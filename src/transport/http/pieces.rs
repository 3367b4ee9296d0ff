//! Texts as bytes that go out: shared pieces are not copied, and what was taken of memory for the others is given back once
//! they are written, or their client is gone.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use hyper::body::{Frame, SizeHint};
use taskferry_contract::SharedJson;
use taskferry_process::Charge;

use crate::mcp::{Piece, Text};

/// A text as a body, and what its own bytes were charged.
pub(super) fn body(text: Text, charge: Charge) -> Body {
    let mut pieces = text.into_pieces();
    let charge = Arc::new(charge);
    if let (1, Some(Piece::Own(_))) = (pieces.len(), pieces.last())
        && let Some(Piece::Own(own)) = pieces.pop()
    {
        return Body::from(own_bytes(own, &charge));
    }
    let frames = pieces.into_iter().map(|piece| match piece {
        Piece::Own(own) => own_bytes(own, &charge),
        Piece::Shared(json, range) => shared_bytes(json, range),
    });
    Body::new(Frames(frames.collect()))
}

/// A part of a shared text.
pub(super) fn shared_bytes(json: SharedJson, range: Range<usize>) -> Bytes {
    struct Shared(SharedJson, Range<usize>);

    impl AsRef<[u8]> for Shared {
        fn as_ref(&self) -> &[u8] {
            self.0.get(self.1.clone()).unwrap_or_default().as_bytes()
        }
    }

    Bytes::from_owner(Shared(json, range))
}

/// A text with its charge.
pub(super) fn own_bytes(text: String, charge: &Arc<Charge>) -> Bytes {
    struct Charged {
        text: String,
        _charge: Arc<Charge>,
    }

    impl AsRef<[u8]> for Charged {
        fn as_ref(&self) -> &[u8] {
            self.text.as_bytes()
        }
    }

    if charge.is_nothing() {
        return Bytes::from(text);
    }
    Bytes::from_owner(Charged {
        text,
        _charge: Arc::clone(charge),
    })
}

/// The pieces of a body of known length.
struct Frames(VecDeque<Bytes>);

impl hyper::body::Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.iter().map(|piece| piece.len() as u64).sum())
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;
    use hyper::body::Body as _;
    use taskferry_process::Budget;

    use super::*;

    #[tokio::test]
    async fn a_charge_is_given_back_with_the_last_bytes_that_it_was_taken_for() {
        let (budget, large) = (Budget::new(1 << 20), "x".repeat(1 << 16));
        let json = SharedJson::from(format!("\"{large}\""));
        let mut text = Text::from("[".to_owned());
        text.append(Text::of(&json));
        text.push("]");
        let mut charge = budget.charge();
        assert!(charge.grow_to(1 << 20));
        let mut sent = body(text, charge);
        assert_eq!(sent.size_hint().exact(), Some(json.len() as u64 + 2));
        let mut frames = Vec::new();
        while let Some(frame) = sent.frame().await {
            frames.push(frame.unwrap().into_data().unwrap());
        }
        drop(sent);
        assert_eq!(frames.concat(), format!("[\"{large}\"]").into_bytes());
        assert!(!budget.charge().grow_to(1), "they are not written yet");
        assert!(json.is_held_by_others());
        drop(frames);
        assert!(budget.charge().grow_to(1 << 20));
        assert!(!json.is_held_by_others());
    }
}
