//! Fuzz targets of the modern era.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use taskferry_contract::{Arguments, Mirrored, RawObject};

use crate::mcp::jsonrpc::{Body, Message, Request, parse};
use crate::mcp::modern::envelope::Envelope;
use crate::mcp::modern::repeated::{Presence, expect_name, expect_parameters};
use crate::mcp::protocol::MODERN;
use crate::mcp::protocol::inbound::{Facts, Repeated, Stated};

/// A request with the headers that repeat it: on the first four lines the revision, the method, a name, and an argument; then
/// the body. What is taken is what the headers say.
///
/// # Panics
///
/// If it is not.
pub fn envelope(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut parts = text.splitn(5, '\n');
    let mut next = || parts.next().unwrap_or_default();
    let (revision, method, name, argument, body) = (next(), next(), next(), next(), next());
    let facts = Facts {
        revision: stated(revision),
        repeated: Some(Repeated {
            method: stated(method),
            name: stated(name),
            parameters: vec![("mcp-param-region", stated(argument))],
        }),
        ..Facts::default()
    };
    let Ok(Body::One(Message::Request(request))) = parse(body.as_bytes()) else {
        return;
    };
    if let Ok(envelope) = Envelope::read(&facts, &request) {
        assert_eq!((revision, method), (MODERN, request.method.as_ref()));
        hold_envelope(&envelope);
    }
    hold_parameters(&facts, &request, argument);
    // A header may say anything, in base64.
    let encoded = format!("=?base64?{}?=", STANDARD.encode(name));
    let facts = Facts {
        repeated: Some(Repeated {
            name: Stated::Once(&encoded),
            ..Repeated::default()
        }),
        ..Facts::default()
    };
    assert!(
        expect_name(&facts, name, Presence::Required).is_ok(),
        "{name:?}"
    );
    let other = format!("{name}x");
    assert!(
        expect_name(&facts, &other, Presence::Optional).is_err(),
        "{other:?}"
    );
}

fn stated(text: &str) -> Stated<'_> {
    if text.is_empty() {
        Stated::Absent
    } else {
        Stated::Once(text)
    }
}

fn hold_envelope(envelope: &Envelope<'_>) {
    let declared = envelope.capabilities.get();
    assert!(
        RawObject::parse(declared).is_ok(),
        "{declared} are capabilities"
    );
    let trace = envelope.trace.context();
    assert!(
        trace.parent.is_none_or(|text| text.len() <= 64)
            && trace.state.is_none_or(|text| text.len() <= 512)
            && trace.baggage.is_none_or(|text| text.len() <= 1024),
        "a long trace is kept"
    );
    assert!(
        envelope
            .progress_token
            .is_none_or(|token| token.get().len() <= 258),
        "a long token is kept"
    );
    let _ = envelope.client();
    let _ = envelope.require_tasks();
}

fn hold_parameters(facts: &Facts<'_>, request: &Request<'_>, argument: &str) {
    let mirrored = [Mirrored {
        path: vec!["region".to_owned()],
        header: "Mcp-Param-Region".to_owned(),
    }];
    let Some(params) = request.params else {
        return;
    };
    let arguments = Arguments::from(params.get());
    if expect_parameters(facts, &mirrored, &arguments).is_err() {
        return;
    }
    let object = RawObject::parse(params.get()).unwrap_or_default();
    if let Some(text) = object.string("region")
        && !argument.starts_with("=?")
    {
        assert_eq!(text, argument, "the header says another");
    }
}
