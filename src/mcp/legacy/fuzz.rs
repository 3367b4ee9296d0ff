//! Fuzz targets of the legacy era.

use taskferry_contract::SessionId;

use crate::mcp::jsonrpc::{Body, Message, parse};
use crate::mcp::legacy::event_ids::ResumePoint;
pub use crate::mcp::legacy::initialize::fuzz::initialize;
use crate::mcp::legacy::request_name;

/// A `Last-Event-ID`; on the lines after it, messages, by whose ids a session finds its requests again. An id that this
/// server did not write is not taken.
///
/// # Panics
///
/// If one is taken, or if one that this server wrote is not.
pub fn event_id(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (id, rest) = text.split_once('\n').unwrap_or((&text, ""));
    let session: SessionId = "00000000-0000-4000-8000-000000000000"
        .parse()
        .expect("it is an id");
    assert!(
        ResumePoint::read(SessionId::random(), id).is_none(),
        "{id} is taken in any session"
    );
    if let Some(point) = ResumePoint::read(session, id) {
        hold_point(session, &point);
    }
    // With a tag of its session, what a client wrote is read: it must do no harm.
    if let Some(point) = ResumePoint::read(session, &ResumePoint::sealed(session, id.as_bytes())) {
        hold_point(session, &point);
    }
    for line in rest.lines() {
        if let Ok(Body::One(Message::Request(request))) = parse(line.as_bytes()) {
            let name = request_name::digest(request.id);
            assert!(
                name.bytes().all(|byte| byte.is_ascii_graphic()) && name.len() < 64,
                "{name}"
            );
        }
    }
}

fn hold_point(session: SessionId, point: &ResumePoint) {
    let _ = point.task();
    let written = point.write(session);
    assert!(
        written.bytes().all(|byte| byte.is_ascii_graphic()),
        "{written}"
    );
    let again = ResumePoint::read(session, &written).expect("what was written is read");
    assert_eq!(again.write(session), written);
    let other = SessionId::random();
    assert!(
        ResumePoint::read(other, &written).is_none(),
        "another session takes it"
    );
}
