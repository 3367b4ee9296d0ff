//! The report: a table for people, the same as JSON for machines.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::aims::{self, Verdict};
use crate::cli::Options;
use crate::figures::Figures;
use crate::print::print;
use crate::row::{Group, Row};
use crate::stats::Spread;
use crate::table::print_table;

/// One row over all rounds.
#[derive(Debug, Serialize)]
struct RowReport {
    group: &'static str,
    name: &'static str,
    rounds: Vec<Figures>,
}

/// A run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    concurrency: usize,
    seconds: f64,
    payload_bytes: usize,
    rows: Vec<RowReport>,
    aims: Vec<Verdict>,
    redis_bytes_per_task: Option<f64>,
}

impl Report {
    /// Judges and orders what was measured.
    pub(crate) fn new(
        options: &Options,
        figures: BTreeMap<Row, Vec<Figures>>,
        redis_bytes_per_task: Option<f64>,
    ) -> Self {
        Self {
            concurrency: options.concurrency,
            seconds: options.length.as_secs_f64(),
            payload_bytes: options.payload_bytes,
            // Under a profiler the front end is not itself.
            aims: if options.wrapper.is_empty() {
                aims::judge(&figures)
            } else {
                Vec::new()
            },
            rows: figures
                .into_iter()
                .map(|(row, rounds)| RowReport {
                    group: row.group().name(),
                    name: row.name(),
                    rounds,
                })
                .collect(),
            redis_bytes_per_task,
        }
    }

    /// Prints the tables.
    pub(crate) fn print(&self) {
        print(&format!(
            "concurrency {} (alone: 1), {} s a row and round, payload {} bytes; medians of the rounds\n",
            self.concurrency, self.seconds, self.payload_bytes
        ));
        let header = [
            "",
            "",
            "per s",
            "p50 ms",
            "p99 ms",
            "server µs",
            "worker µs",
            "redis µs",
            "redis cmds",
        ];
        let mut table = vec![header.map(ToOwned::to_owned).to_vec()];
        table.extend(self.rows.iter().map(RowReport::cells));
        print_table(&table, 2);
        if !self.aims.is_empty() {
            let header = ["aim", "ratio", "rounds", ""]
                .map(ToOwned::to_owned)
                .to_vec();
            let mut table = vec![header];
            table.extend(self.aims.iter().map(cells_of_aim));
            print("");
            print_table(&table, 1);
        }
        print("");
        for line in &self.rows {
            if line.group == Group::Lifecycle.name() || line.group == Group::Alone.name() {
                line.print_commands();
            }
        }
        if let Some(bytes) = self.redis_bytes_per_task {
            print(&format!("redis memory per queued task: {bytes:.0} bytes"));
        }
    }
}

impl RowReport {
    fn median(&self, figure: impl Fn(&Figures) -> Option<f64>) -> Option<f64> {
        let values: Option<Vec<f64>> = self.rounds.iter().map(figure).collect();
        Spread::of(values?).map(|spread| spread.median)
    }

    fn cells(&self) -> Vec<String> {
        let cell = |digits: usize, figure: fn(&Figures) -> Option<f64>| {
            self.median(figure)
                .map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
        };
        vec![
            self.group.to_owned(),
            self.name.to_owned(),
            cell(0, |figures| Some(figures.per_second)),
            cell(3, |figures| Some(figures.p50_ms)),
            cell(3, |figures| Some(figures.p99_ms)),
            cell(1, |figures| figures.server_cpu_us),
            cell(1, |figures| figures.worker_cpu_us),
            cell(1, |figures| Some(figures.redis_cpu_us)),
            cell(1, |figures| Some(figures.redis_commands.values().sum())),
        ]
    }

    fn print_commands(&self) {
        let Some(last) = self.rounds.last() else {
            return;
        };
        let mut commands: Vec<(&String, &f64)> = last
            .redis_commands
            .iter()
            .filter(|(_, count)| **count >= 0.05)
            .collect();
        commands.sort_by(|a, b| b.1.total_cmp(a.1));
        let commands: Vec<String> = commands
            .iter()
            .map(|(name, count)| format!("{name} {count:.1}"))
            .collect();
        let what = format!("{} {}", self.group, self.name);
        print(&format!("redis commands, {what}: {}", commands.join(", ")));
    }
}

fn cells_of_aim(verdict: &Verdict) -> Vec<String> {
    let Spread {
        median,
        least,
        most,
    } = verdict.ratio;
    vec![
        verdict.aim.to_owned(),
        format!("{median:.2}"),
        format!("{least:.2} to {most:.2}"),
        if verdict.pass { "pass" } else { "miss" }.to_owned(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_shows_medians_and_a_dash_for_what_was_not_measured() {
        let round = |per_second| Figures {
            per_second,
            ..Figures::default()
        };
        let line = RowReport {
            group: "poll",
            name: "modern",
            rounds: vec![round(10.0), round(30.0), round(20.0)],
        };
        let cells = line.cells();
        assert_eq!(cells[..3], ["poll", "modern", "20"]);
        assert_eq!(cells[5], "-");
    }
}
