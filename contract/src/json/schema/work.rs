//! What it takes to hold a value to a schema, before it is done: no time, but numbers that say the same everywhere. A step is
//! some five nanoseconds (`contract/examples/worst_work.rs` times the worst of what is admitted).

use serde_json::Value;

use super::patterns::{GoesBack, PatternCost};

/// The most steps for one value.
const MOST: u64 = 1 << 27;
/// What a reference takes beside what it leads to.
const TO_REFER: u64 = 8;
/// What it takes to begin with a text, however short it is: with a pattern, or a format.
const TO_BEGIN: u64 = 8;
/// What a byte takes where the search works out anew where it is, in each place of a pattern; and in any pattern of so many
/// places, as they are more than are remembered.
const IN_PLACE: u64 = 12;
const MANY_PLACES: u64 = 500;
const OF_MANY: u64 = 40;
/// What a byte takes in a pattern that may go back, even if it never does; and how many times as much it takes to look at all that
/// follows if that has very many places to be at.
const GOING_ON: u64 = 40;
const EXPLODING: u64 = 10;
/// A character has at most so many bytes.
const CHARACTER: u64 = 4;
/// What a pattern costs at most that may go back in a text for little.
const MOST_GOING_BACK: u64 = super::MOST_BACKTRACKS as u64;

/// What it may cost to apply a schema, in steps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Costs {
    /// To how many subschemas one value may be held, in all places together: a step for each.
    pub(super) applied: u64,
    /// How many of them refer to another: what was found for a value there is kept and looked up.
    referring: u64,
    /// How many patterns a text may be held to.
    patterns: u64,
    /// How many of them may go back in a text, for little and for all that follows.
    for_little: u64,
    for_all: u64,
    /// For each text.
    each_text: u64,
    /// For each byte of a text.
    each_byte: u64,
    /// The same of patterns that look at no more than the beginning of a text, and all that these take.
    beginning: u64,
    beginning_most: u64,
}

impl Costs {
    /// Those of so many subschemas.
    pub(super) const fn of_subschemas(count: u64) -> Self {
        Self {
            applied: count,
            referring: 0,
            patterns: 0,
            for_little: 0,
            for_all: 0,
            each_text: 0,
            each_byte: 0,
            beginning: 0,
            beginning_most: 0,
        }
    }

    /// Those of a reference.
    pub(super) fn of_reference() -> Self {
        Self {
            referring: 1,
            ..Self::default()
        }
    }

    /// Those of a pattern.
    pub(super) fn of_pattern(pattern: PatternCost) -> Self {
        let each_byte = match pattern.places {
            places if pattern.explodes => places.saturating_mul(IN_PLACE),
            MANY_PLACES.. => OF_MANY,
            _ => 1,
        };
        let (each_byte, for_all) = match pattern.goes_back {
            GoesBack::Never => (each_byte, 0),
            GoesBack::ForLittle => (each_byte.max(GOING_ON), 0),
            GoesBack::ForAll if pattern.explodes => (each_byte, EXPLODING),
            GoesBack::ForAll => (each_byte.max(GOING_ON), 1),
        };
        let reach = pattern.reach.map(|reach| reach.saturating_mul(CHARACTER));
        let all = reach.map(|reach| reach.saturating_mul(each_byte));
        Self {
            patterns: 1,
            for_little: u64::from(pattern.goes_back == GoesBack::ForLittle),
            for_all,
            each_text: TO_BEGIN,
            each_byte: if all.is_some() { 0 } else { each_byte },
            beginning: if all.is_some() { each_byte } else { 0 },
            beginning_most: all.unwrap_or(0),
            ..Self::default()
        }
    }

    /// Those of something that reads each text in so many steps a byte.
    pub(super) fn of_reading(steps: u64) -> Self {
        Self {
            each_text: TO_BEGIN,
            each_byte: steps,
            ..Self::default()
        }
    }

    /// Both.
    pub(super) fn add(&mut self, other: Self) {
        for (own, other) in [
            (&mut self.applied, other.applied),
            (&mut self.referring, other.referring),
            (&mut self.patterns, other.patterns),
            (&mut self.for_little, other.for_little),
            (&mut self.for_all, other.for_all),
            (&mut self.each_text, other.each_text),
            (&mut self.each_byte, other.each_byte),
            (&mut self.beginning, other.beginning),
            (&mut self.beginning_most, other.beginning_most),
        ] {
            *own = own.saturating_add(other);
        }
    }

    /// The steps for a text.
    fn of_text(&self, text: &str) -> u64 {
        let bytes = text.len() as u64;
        let beginning = bytes
            .saturating_mul(self.beginning)
            .min(self.beginning_most);
        let read = bytes.saturating_mul(self.each_byte);
        let square = bytes.saturating_mul(bytes);
        let for_little = square.min(MOST_GOING_BACK).saturating_mul(self.for_little);
        let for_all = square.saturating_mul(self.for_all);
        [read, beginning, for_little, for_all]
            .into_iter()
            .fold(self.each_text, u64::saturating_add)
    }
}

/// What a value is made of.
#[derive(Debug)]
struct Amount<'a> {
    costs: &'a Costs,
    /// Values in it, names of members included.
    values: u64,
    /// The steps for its texts.
    texts: u64,
}

/// Refuses a value that would take too much work.
///
/// # Errors
///
/// How much it would be.
pub(super) fn check(costs: &Costs, value: &Value) -> Result<(), String> {
    let mut amount = Amount {
        costs,
        values: 0,
        texts: 0,
    };
    amount.add(value);
    let each = costs.referring.saturating_mul(TO_REFER);
    let each = costs.applied.saturating_add(each);
    let applied = amount.values.saturating_mul(each);
    if applied.saturating_add(amount.texts) <= MOST {
        return Ok(());
    }
    Err(format!(
        "it would take too much work to hold it to the schema: it has {} values, each of which may be held to {} subschemas and {} patterns; send less at a time",
        amount.values, costs.applied, costs.patterns
    ))
}

impl Amount<'_> {
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
        self.texts = self.texts.saturating_add(self.costs.of_text(text));
    }
}
