//! What an idle fleet costs Redis: commands a second while nobody calls a tool, those inside scripts included.

mod calm;
mod crew;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::cli::Idle;
use crate::print;
use crate::table::print_table;

pub(crate) use crew::run_pack;

/// How many front ends each row has.
const FRONT_ENDS: usize = 3;

/// How many commands a second so many workers may cost, front ends included.
const AIMS: [(usize, f64); 2] = [(100, 300.0), (1_000, 1_500.0)];

/// What one size of the fleet comes to.
#[derive(Debug, Serialize)]
struct Row {
    workers: usize,
    front_ends: usize,
    seconds: f64,
    /// Commands a second, by name.
    commands: BTreeMap<String, f64>,
    per_second: f64,
    aim: Option<f64>,
    pass: Option<bool>,
}

/// Measures every size and reports.
pub(crate) async fn run(options: &Idle) -> anyhow::Result<()> {
    let mut rows = Vec::new();
    for workers in &options.workers {
        print::say(&format!("{workers} workers, {FRONT_ENDS} front ends"));
        let crew = crew::Crew::start(*workers, FRONT_ENDS).await?;
        let calls = calm::calls_of(&crew, options.length).await?;
        rows.push(Row::new(*workers, options.length, &calls));
    }
    show(&rows, options.by_command);
    print::write_json(options.json.as_deref(), &rows)
}

impl Row {
    fn new(workers: usize, length: Duration, calls: &BTreeMap<String, u64>) -> Self {
        let seconds = length.as_secs_f64();
        let rate = |calls: u64| calls as f64 / seconds;
        let per_second = rate(calls.values().sum());
        let aim = AIMS.iter().find(|(of, _)| *of == workers);
        let aim = aim.map(|(_, most)| *most);
        Self {
            workers,
            front_ends: FRONT_ENDS,
            seconds,
            commands: calls
                .iter()
                .map(|(name, calls)| (name.clone(), rate(*calls)))
                .collect(),
            per_second,
            aim,
            pass: aim.map(|most| per_second < most),
        }
    }

    fn cells(&self) -> Vec<String> {
        let judged = match self.pass {
            None => "",
            Some(true) => "pass",
            Some(false) => "miss",
        };
        vec![
            self.workers.to_string(),
            self.front_ends.to_string(),
            format!("{:.0}", self.per_second),
            self.aim
                .map(|most| format!("{most:.0}"))
                .unwrap_or_default(),
            judged.to_owned(),
        ]
    }
}

fn show(rows: &[Row], by_command: bool) {
    let header = ["workers", "front ends", "commands/s", "aim: below", ""];
    let mut table = vec![header.map(ToOwned::to_owned).to_vec()];
    table.extend(rows.iter().map(Row::cells));
    print_table(&table, 0);
    if !by_command {
        return;
    }
    for row in rows {
        print::print("");
        print::print(&format!("{} workers, commands/s by name", row.workers));
        let mut commands: Vec<_> = row.commands.iter().collect();
        commands.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        let cells = commands
            .iter()
            .map(|(name, rate)| vec![(*name).clone(), format!("{rate:.1}")]);
        print_table(&cells.collect::<Vec<_>>(), 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_judged_where_there_is_an_aim_for_its_size() {
        let row = |workers, calls| {
            let calls = BTreeMap::from([("get".to_owned(), calls), ("time".to_owned(), 100)]);
            Row::new(workers, Duration::from_secs(10), &calls)
        };
        let of = |row: Row| (row.per_second, row.pass);
        assert_eq!(of(row(1, 2_900)), (300.0, None));
        assert_eq!(of(row(100, 2_900)), (300.0, Some(false)));
        assert_eq!(of(row(100, 2_890)), (299.0, Some(true)));
        assert_eq!(of(row(1_000, 2_900)), (300.0, Some(true)));
    }
}
