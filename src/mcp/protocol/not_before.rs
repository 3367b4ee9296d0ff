//! A delayed start: when a call may run at the earliest, in `params._meta`.

use chrono::DateTime;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::mcp::jsonrpc::RpcError;

/// Where a call carries it.
const META_KEY: &str = "taskferry/notBefore";

/// What a call says of its start, verbatim. `None` if it says nothing, or null.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct NotBefore<'a>(Option<&'a RawValue>);

impl<'de: 'a, 'a> Deserialize<'de> for NotBefore<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let given = <&RawValue>::deserialize(from)?;
        Ok(Self(Some(given).filter(|given| given.get() != "null")))
    }
}

impl NotBefore<'_> {
    /// The time, ms since the epoch, if there is one.
    pub(crate) fn read(self) -> Result<Option<i64>, RpcError> {
        let Some(given) = self.0 else {
            return Ok(None);
        };
        let text: Option<String> = serde_json::from_str(given.get()).ok();
        let time = text.and_then(|text| DateTime::parse_from_rfc3339(&text).ok());
        let time = time.ok_or_else(|| {
            RpcError::invalid_params(format!(
                "_meta[{META_KEY:?}] must be a time as RFC 3339 writes it, such as \"2026-11-30T06:00:00Z\""
            ))
        })?;
        Ok(Some(time.timestamp_millis()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Option<i64>, String> {
        let given: NotBefore<'_> = serde_json::from_str(json).unwrap();
        given.read().map_err(|error| error.message)
    }

    #[test]
    fn a_start_is_a_time_with_its_offset() {
        let six = Ok(Some(1_796_018_400_000));
        assert_eq!(read(r#""2026-11-30T06:00:00Z""#), six);
        assert_eq!(read(r#""2026-11-30T07:00:00.000+01:00""#), six);
        assert_eq!(read("null"), Ok(None));
        for wrong in [
            "7",
            r#""soon""#,
            r#""2026-11-30T06:00:00""#,
            r#""2026-11-30""#,
            "{}",
        ] {
            let told = read(wrong).unwrap_err();
            assert!(
                told.contains(META_KEY) && told.contains("RFC 3339"),
                "{told}"
            );
        }
    }
}
