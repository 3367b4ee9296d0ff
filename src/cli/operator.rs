//! What the operator's commands share.

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command};
use taskferry_contract::settings::Problems;

use crate::config::{self, OperatorConfig};

/// Adds what leads to Redis, also for the subcommands.
pub(super) fn with_redis(command: Command) -> Command {
    config::settings_of_operator()
        .into_iter()
        .fold(command.arg(super::config_file()), super::with_setting)
        .mut_args(|arg| arg.global(true))
}

/// `--json`.
pub(super) fn json() -> Arg {
    Arg::new("json")
        .long("json")
        .action(ArgAction::SetTrue)
        .help("For machines: one JSON object a line")
}

pub(super) fn settings(args: &ArgMatches) -> Result<OperatorConfig, Problems> {
    let mut flags = super::flags(args, config::settings_of_operator());
    // Only one of the commands has it.
    if let Ok(Some(level)) = args.try_get_one::<String>("durability") {
        flags.push(("durability", level.clone()));
    }
    config::operator(flags, args.get_one::<PathBuf>("config").cloned())
}

/// A text from elsewhere, on one line and without anything that would move a terminal's cursor.
pub(super) fn plain(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// A moment as people and machines read it.
pub(super) fn moment(ms: u64) -> String {
    i64::try_from(ms)
        .ok()
        .and_then(chrono::DateTime::from_timestamp_millis)
        .map_or_else(
            || format!("{ms} ms"),
            |at| at.format("%Y-%m-%dT%H:%M:%SZ").to_string(),
        )
}

/// A span of time in the largest unit that shows it.
pub(super) fn span(ms: u64) -> String {
    match ms {
        0..=999 => format!("{ms} ms"),
        1_000..=599_999 => format!("{} s", ms / 1_000),
        600_000..=35_999_999 => format!("{} min", ms / 60_000),
        36_000_000..=863_999_999 => format!("{} h", ms / 3_600_000),
        _ => format!("{} d", ms / 86_400_000),
    }
}

/// Lines of columns, each as wide as its widest cell; the last one as it comes.
pub(super) fn table(head: &[&str], rows: Vec<Vec<String>>) -> Vec<String> {
    let head = head.iter().map(|cell| (*cell).to_owned()).collect();
    let all: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
    let columns = all.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            let cells = all.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    all.into_iter()
        .map(|row| {
            let cells = row
                .iter()
                .zip(&widths)
                .map(|(cell, width)| format!("{cell:width$}"));
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_nothing_moves_the_cursor() {
        let rows = vec![vec!["long name".to_owned(), plain("a\nb\u{1b}[2J")]];
        let lines = table(&["TOOL", "REASON"], rows);
        assert_eq!(lines, ["TOOL       REASON", "long name  a b [2J"]);
    }

    #[test]
    fn times_are_shown_in_units_people_use() {
        assert_eq!(moment(1_795_405_088_549), "2026-11-23T03:38:08Z");
        let spans = [5, 12_000, 900_000, 40_000_000, 900_000_000].map(span);
        assert_eq!(spans, ["5 ms", "12 s", "15 min", "11 h", "10 d"]);
    }
}
