//! `[queues]`: what of a worker's slots the jobs of its queues may have.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use toml::{Table, Value};

use super::name::check_name;
use super::problem::{Place, ProblemList};
use super::table::TableReader;

/// The largest weight of a queue.
pub(crate) const MOST_WEIGHT: u32 = 100;
/// How many slots a queue may be bounded to: as many as a worker may have.
pub(crate) const QUEUE_SLOTS: RangeInclusive<u32> = 1..=1024;

/// What of a worker's slots the jobs of one of its queues may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueShare {
    /// How many turns it has where another queue has one, while jobs of both wait for a slot: 1 to 100. Default: 1.
    pub weight: u32,
    /// The most slots that its jobs take at a time, 1 to 1024; none is no bound but the worker's, the default.
    pub slots: Option<u32>,
}

impl Default for QueueShare {
    fn default() -> Self {
        Self {
            weight: 1,
            slots: None,
        }
    }
}

/// Reads the table, and notes what is wrong with it.
pub(super) fn read(queues: &Table, problems: &mut ProblemList) -> BTreeMap<String, QueueShare> {
    let (nothing, mut shares) = (Table::new(), BTreeMap::new());
    for (name, value) in queues {
        let table = value.as_table().unwrap_or(&nothing);
        let mut reader = TableReader::new(table, Place::Queue(name.clone()), problems);
        check_name(&mut reader, "", name);
        let share = match value {
            Value::Table(_) => read_share(&mut reader),
            weight => read_weight(&mut reader, weight),
        };
        reader.deny_unknown();
        shares.insert(name.clone(), share);
    }
    shares
}

fn read_share(reader: &mut TableReader<'_, '_>) -> QueueShare {
    let default = QueueShare::default();
    QueueShare {
        weight: reader
            .count("weight", 1..=MOST_WEIGHT)
            .unwrap_or(default.weight),
        slots: reader.count("slots", QUEUE_SLOTS),
    }
}

/// A weight that stands for the whole.
fn read_weight(reader: &mut TableReader<'_, '_>, value: &Value) -> QueueShare {
    let weight = value.as_integer();
    let fits = weight.and_then(|weight| u32::try_from(weight).ok());
    match fits.filter(|weight| (1..=MOST_WEIGHT).contains(weight)) {
        Some(weight) => QueueShare {
            weight,
            ..QueueShare::default()
        },
        None => {
            let right = format!(
                "write a weight, 1 to {MOST_WEIGHT}, or a table such as {{ weight = 2, slots = 4 }}"
            );
            reader.problem("", format!("is {value}: {right}"));
            QueueShare::default()
        }
    }
}
