//! Idempotency keys: by them a client says that two calls are one, in `params._meta`.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::mcp::jsonrpc::RpcError;

/// Where a call carries its key.
pub(crate) const META_KEY: &str = "taskferry/idempotencyKey";

const LONGEST: usize = 128;
/// The least length of a key if only its secrecy keeps another caller from using the same one. Shorter keys are counters
/// and names, which two clients choose by accident.
const SHORTEST_IN_THE_OPEN: usize = 20;

/// The key of a call, verbatim. `None` if it is absent or null.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct GivenKey<'a>(Option<&'a RawValue>);

impl<'de: 'a, 'a> Deserialize<'de> for GivenKey<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let given = <&RawValue>::deserialize(from)?;
        Ok(Self(Some(given).filter(|given| given.get() != "null")))
    }
}

#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a> GivenKey<'a> {
    /// The key, if there is one. `open` says that this caller cannot be told from others.
    pub(crate) fn read(self, open: bool) -> Result<Option<Cow<'a, str>>, RpcError> {
        let Some(given) = self.0 else {
            return Ok(None);
        };
        let key = serde_json::from_str(given.get()).map(|Text(key)| key);
        let fits = |key: &Cow<'_, str>| {
            (1..=LONGEST).contains(&key.len())
                && key.bytes().all(|byte| matches!(byte, b' '..=b'~'))
        };
        let Some(key) = key.ok().filter(fits) else {
            let text = format!(
                "_meta[{META_KEY:?}] must be a string of 1 to {LONGEST} printable ASCII characters"
            );
            return Err(RpcError::invalid_params(text));
        };
        if open && key.len() < SHORTEST_IN_THE_OPEN {
            let text = format!(
                "_meta[{META_KEY:?}] must have {SHORTEST_IN_THE_OPEN} characters or more here, since this server cannot tell you from other callers: use a random one, such as a UUID"
            );
            return Err(RpcError::invalid_params(text));
        }
        Ok(Some(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(json: &str, open: bool) -> Result<Option<String>, String> {
        let given: GivenKey<'_> = serde_json::from_str(json).unwrap();
        let key = given.read(open).map_err(|error| error.message)?;
        Ok(key.map(Cow::into_owned))
    }

    #[test]
    fn a_key_is_a_short_printable_text() {
        for (json, text) in [
            (r#""a""#.to_owned(), "a".to_owned()),
            (r#""a b:{}~\u0041\"""#.to_owned(), "a b:{}~A\"".to_owned()),
            (format!("{:?}", "x".repeat(128)), "x".repeat(128)),
        ] {
            assert_eq!(key(&json, false), Ok(Some(text)));
        }
        for json in [
            "1",
            "{}",
            "[]",
            r#""""#,
            r#""é""#,
            r#""a\n""#,
            r#""\u0000""#,
        ] {
            let told = key(json, false).unwrap_err();
            assert!(
                told.contains(META_KEY) && told.contains("1 to 128"),
                "{told}"
            );
        }
        assert!(key(&format!("{:?}", "x".repeat(129)), false).is_err());
        assert_eq!(GivenKey::default().read(true).ok(), Some(None));
        assert_eq!(key("null", true), Ok(None));
    }

    #[test]
    fn a_key_in_the_open_is_not_one_that_two_choose_by_accident() {
        let told = key(r#""retry-1""#, true).unwrap_err();
        assert!(told.contains("20 characters"), "{told}");
        let uuid = "0b8f0f4e-6f0c-4f2b-8f3d-1d7a1c9b2a55";
        assert_eq!(key(&format!("{uuid:?}"), true), Ok(Some(uuid.to_owned())));
    }
}
