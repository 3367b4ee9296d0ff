//! Numbers that callers write.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// A JSON number of any size: one that is too large to be held is infinite.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Number(pub(crate) f64);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let json = <&RawValue>::deserialize(from)?.get();
        let is_number = json.starts_with(|first: char| first == '-' || first.is_ascii_digit());
        let number = json.parse().ok().filter(|_| is_number);
        number
            .map(Self)
            .ok_or_else(|| D::Error::custom(format!("invalid type: {json:.40}, expected a number")))
    }
}
