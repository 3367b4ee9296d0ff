//! What it takes to hold a value to a schema, before it is done: no time, but numbers that say the same everywhere.

use serde_json::Value;

use super::admit::Costs;

/// The most work for one value: subschemas that values are held to, and bytes that are matched.
const MOST: u64 = 1 << 30;
/// As many bytes of a text are matched in the time in which a value is held to a subschema.
const BYTES_MATCHED: u64 = 16;
/// What a pattern costs at most that may go back in a text.
const MOST_GOING_BACK: u64 = super::MOST_BACKTRACKS as u64;

/// What a value is made of.
#[derive(Debug, Default)]
struct Amount {
    /// Values in it, names of members included.
    values: u64,
    /// Bytes of texts.
    text: u64,
    /// What all texts cost that a pattern may go back in.
    going_back: u64,
}

/// Refuses a value that would take too much work.
///
/// # Errors
///
/// How much it would be.
pub(super) fn check(costs: &Costs, value: &Value) -> Result<(), String> {
    let mut amount = Amount::default();
    amount.add(value);
    let applied = amount.values.saturating_mul(costs.applied);
    let matched = (amount.text / BYTES_MATCHED).saturating_mul(costs.patterns);
    let going_back = amount.going_back.saturating_mul(costs.backtracking);
    let work = applied.saturating_add(matched).saturating_add(going_back);
    if work <= MOST {
        return Ok(());
    }
    Err(format!(
        "it would take too much work to hold it to the schema: it has {} values, each of which may be held to {} subschemas and {} patterns; send less at a time",
        amount.values, costs.applied, costs.patterns
    ))
}

impl Amount {
    fn add(&mut self, value: &Value) {
        self.values += 1;
        match value {
            Value::String(text) => self.add_text(text),
            Value::Array(items) => items.iter().for_each(|item| self.add(item)),
            Value::Object(members) => {
                for (name, value) in members {
                    self.values += 1;
                    self.add_text(name);
                    self.add(value);
                }
            }
            _ => {}
        }
    }

    fn add_text(&mut self, text: &str) {
        let bytes = text.len() as u64;
        self.text += bytes;
        self.going_back += bytes.saturating_mul(bytes).min(MOST_GOING_BACK);
    }
}
