//! When two calls are the same: by the caller's word, or because a tool says that identical calls may share a job.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};
use taskferry_contract::{Alias, Arguments, CallDigest, Scope, SessionId};

use super::Call;
use super::canonical::canonical;

/// What a client declares to be asked; calls of clients that can be asked different things are not identical, since either
/// may get the job's questions.
const ASKABLE: [&str; 3] = ["elicitation", "roots", "sampling"];

/// A digest of what makes a call the same call: its tool and its arguments, however they are spelled.
pub(crate) fn digest(tool: &str, arguments: &Arguments) -> CallDigest {
    digest_of(&[tool, &canonical(arguments.as_str())])
}

/// The name under which later calls find the job of this one. `None` if they never do.
pub(super) fn alias(call: &Call<'_>, session: Option<SessionId>) -> Option<Alias> {
    let scope = Scope {
        owner: call.owner,
        session,
    };
    let tool = &call.tool.definition;
    if let Some(key) = call.idempotency_key {
        let same = digest(tool.name.as_str(), call.arguments);
        return Some(Alias::key(scope, key, same));
    }
    // Answers that came before the job are part of it, and those of another call may differ.
    if !tool.share_identical || !call.answers.is_empty() {
        return None;
    }
    let parts = [
        tool.name.as_str(),
        &canonical(call.arguments.as_str()),
        &askable(call.capabilities),
        // A job that was checked against another definition may have a result that this caller does not expect.
        call.tool.digest.as_str(),
    ];
    Alias::identical(scope, &digest_of(&parts))
}

fn askable(capabilities: &str) -> String {
    let declared: BTreeMap<String, &RawValue> =
        serde_json::from_str(capabilities).unwrap_or_default();
    let asked = ASKABLE.iter().filter_map(|name| {
        let value = declared.get(*name)?;
        Some(format!("{name}={}", canonical(value.get())))
    });
    asked.collect::<Vec<_>>().join("\n")
}

/// No part holds a zero byte: names are plain, and JSON escapes it.
fn digest_of(parts: &[&str]) -> CallDigest {
    let mut hash = Sha256::new();
    for (i, part) in parts.iter().enumerate() {
        if i > 0 {
            hash.update([0]);
        }
        hash.update(part.as_bytes());
    }
    URL_SAFE_NO_PAD.encode(hash.finalize()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_call_has_the_same_digest_however_it_is_spelled() {
        let digest = |tool, arguments: &str| digest(tool, &arguments.into());
        assert_eq!(
            digest("t", r#"{"a":1,"b":[2]}"#),
            digest("t", r#"{ "b":[2], "a":1 }"#)
        );
        assert_ne!(digest("t", r#"{"a":1}"#), digest("t", r#"{"a":2}"#));
        assert_ne!(digest("t", "{}"), digest("u", "{}"));
    }

    #[test]
    fn only_what_a_client_can_be_asked_counts() {
        let plain = askable(r#"{"extensions":{"x":{}}}"#);
        assert_eq!(plain, askable("{}"));
        assert_ne!(plain, askable(r#"{"elicitation":{}}"#));
        assert_eq!(
            askable(r#"{"sampling":{},"elicitation":{"url":{},"form":{}}}"#),
            askable(r#"{"elicitation":{"form":{},"url":{}},"roots2":1,"sampling":{}}"#)
        );
    }
}
