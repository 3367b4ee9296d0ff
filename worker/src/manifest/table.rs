//! Reads a TOML table key by key and notes what is wrong with it.

use std::ops::RangeInclusive;
use std::time::Duration;

use taskferry_contract::Rate;
use taskferry_process::settings;
use toml::{Table, Value};

use super::near::hint;
use super::problem::{Place, ProblemList};
use crate::units::{format_duration, format_size};

/// A table whose keys are asked for one by one. A value of the wrong kind is
/// noted as a problem and read as if it were absent.
#[derive(Debug)]
pub(super) struct TableReader<'a, 'p> {
    table: &'a Table,
    place: Place,
    /// What its keys are named after: empty, or an inner table with a dot.
    prefix: &'static str,
    asked: Vec<&'static str>,
    problems: &'p mut ProblemList,
}

impl<'a, 'p> TableReader<'a, 'p> {
    pub(super) fn new(table: &'a Table, place: Place, problems: &'p mut ProblemList) -> Self {
        Self {
            table,
            place,
            prefix: "",
            asked: Vec::new(),
            problems,
        }
    }

    pub(super) fn problem(&mut self, key: &str, message: impl Into<String>) {
        let key = format!("{}{key}", self.prefix);
        self.problems.add(&self.place, &key, message);
    }

    /// Reads the inner table `key`, whose keys are shown with `prefix` before them, and notes the unknown ones.
    pub(super) fn inner<T>(
        &mut self,
        key: &'static str,
        prefix: &'static str,
        read: impl FnOnce(&mut TableReader<'a, '_>) -> T,
    ) -> Option<T> {
        let table = self.table(key)?;
        let mut reader = TableReader {
            prefix,
            ..TableReader::new(table, self.place.clone(), self.problems)
        };
        let value = read(&mut reader);
        reader.deny_unknown();
        Some(value)
    }

    /// Notes every key that nobody asked for.
    pub(super) fn deny_unknown(mut self) {
        let known = std::mem::take(&mut self.asked);
        for key in self.table.keys() {
            if !known.contains(&key.as_str()) {
                let hint = hint(key, known.iter().copied());
                self.problem(key, format!("unknown key{hint}"));
            }
        }
    }

    pub(super) fn value(&mut self, key: &'static str) -> Option<&'a Value> {
        if !self.asked.contains(&key) {
            self.asked.push(key);
        }
        self.table.get(key)
    }

    pub(super) fn string(&mut self, key: &'static str) -> Option<&'a str> {
        self.text(key, "a string")
    }

    /// A string that is `right`, as an error says.
    fn text(&mut self, key: &'static str, right: &str) -> Option<&'a str> {
        let value = self.value(key)?;
        let text = value.as_str();
        if text.is_none() {
            self.wrong_kind(key, value, right);
        }
        text
    }

    pub(super) fn flag(&mut self, key: &'static str) -> Option<bool> {
        let value = self.value(key)?;
        let flag = value.as_bool();
        if flag.is_none() {
            self.wrong_kind(key, value, "true or false");
        }
        flag
    }

    pub(super) fn integer(&mut self, key: &'static str, range: RangeInclusive<i64>) -> Option<i64> {
        let value = self.value(key)?;
        let Some(number) = value.as_integer() else {
            self.wrong_kind(key, value, "a whole number");
            return None;
        };
        if !range.contains(&number) {
            let (least, most) = range.into_inner();
            self.problem(
                key,
                format!("{number} is out of range: write {least} to {most}"),
            );
            return None;
        }
        Some(number)
    }

    /// A number of things.
    pub(super) fn count(&mut self, key: &'static str, range: RangeInclusive<u32>) -> Option<u32> {
        let (least, most) = range.into_inner();
        let number = self.integer(key, i64::from(least)..=i64::from(most))?;
        u32::try_from(number).ok()
    }

    pub(super) fn duration(
        &mut self,
        key: &'static str,
        range: RangeInclusive<Duration>,
    ) -> Option<Duration> {
        let text = self.text(key, "a duration in quotes, such as \"30s\" or \"10m\"")?;
        self.in_range(
            key,
            settings::duration(text).map_err(|rule| format!("`{text}` {rule}")),
            range,
            format_duration,
        )
    }

    pub(super) fn size(
        &mut self,
        key: &'static str,
        range: RangeInclusive<usize>,
    ) -> Option<usize> {
        let text = self.text(key, "a size in quotes, such as \"4MiB\"")?;
        self.in_range(
            key,
            settings::bytes(text).map_err(|rule| format!("`{text}` {rule}")),
            range,
            format_size,
        )
    }

    pub(super) fn rate(&mut self, key: &'static str) -> Option<Rate> {
        let text = self.text(key, "a number and a time in quotes, such as \"5/1m\"")?;
        let read = settings::rate(text).map_err(|rule| format!("`{text}` {rule}"));
        read.map_err(|message| self.problem(key, message)).ok()
    }

    pub(super) fn choice<T: Copy>(&mut self, key: &'static str, words: &[(&str, T)]) -> Option<T> {
        let text = self.string(key)?;
        let found = words.iter().find(|(word, _)| *word == text);
        if found.is_none() {
            let list: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            let hint = hint(text, list.iter().copied());
            let list = list.join(", ");
            self.problem(key, format!("`{text}` is none of {list}{hint}"));
        }
        found.map(|(_, choice)| *choice)
    }

    /// A list of strings.
    pub(super) fn strings(&mut self, key: &'static str) -> Option<Vec<&'a str>> {
        let value = self.value(key)?;
        let entries = value.as_array();
        let texts = entries.and_then(|entries| entries.iter().map(Value::as_str).collect());
        if texts.is_none() {
            self.wrong_kind(key, value, "a list of strings");
        }
        texts
    }

    pub(super) fn table(&mut self, key: &'static str) -> Option<&'a Table> {
        let value = self.value(key)?;
        let table = value.as_table();
        if table.is_none() {
            self.wrong_kind(key, value, "a table");
        }
        table
    }

    /// An array of tables. Empty if it is absent, `None` if it is wrong.
    pub(super) fn tables(&mut self, key: &'static str) -> Option<Vec<&'a Table>> {
        let Some(value) = self.value(key) else {
            return Some(Vec::new());
        };
        let entries = value
            .as_array()
            .map(|entries| entries.iter().map(Value::as_table));
        let tables = entries.and_then(Iterator::collect);
        if tables.is_none() {
            self.wrong_kind(
                key,
                value,
                &format!("an array of tables, headed `[[{key}]]`"),
            );
        }
        tables
    }

    fn in_range<T: PartialOrd + Copy>(
        &mut self,
        key: &'static str,
        parsed: Result<T, String>,
        range: RangeInclusive<T>,
        format: impl Fn(T) -> String,
    ) -> Option<T> {
        match parsed {
            Ok(value) if range.contains(&value) => return Some(value),
            Ok(value) => {
                let (least, most) = range.into_inner();
                let [value, least, most] = [value, least, most].map(format);
                self.problem(
                    key,
                    format!("{value} is out of range: write {least} to {most}"),
                );
            }
            Err(message) => self.problem(key, message),
        }
        None
    }

    fn wrong_kind(&mut self, key: &str, value: &Value, right: &str) {
        let kind = value.type_str();
        self.problem(key, format!("must be {right}, but is of type {kind}"));
    }
}
