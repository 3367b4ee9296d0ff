//! How long it takes until the work goes on after a worker dies, a worker is stopped, or Redis restarts. Every figure is
//! the time of one real process that was signalled, of many.

pub(crate) mod holder;
mod listener;
mod scenes;

use std::time::Duration;

use anyhow::Context as _;
use serde::Serialize;

use crate::cli::Recovery;
use crate::print;
use crate::stats::percentile;
use crate::table::print_table;
use scenes::Scene;

/// What one scene came to.
#[derive(Debug, Serialize)]
struct SceneReport {
    scene: &'static str,
    runs: usize,
    p50_ms: f64,
    p99_ms: f64,
    most_ms: f64,
    aim_ms: f64,
    pass: bool,
}

/// Measures every scene and reports.
pub(crate) async fn run(options: &Recovery) -> anyhow::Result<()> {
    let mut rows = Vec::new();
    for scene in Scene::ALL {
        print::say(&format!("{}, {} runs", scene.name(), options.runs));
        let mut times = scene
            .measure(options.runs)
            .await
            .with_context(|| scene.name())?;
        times.sort_unstable();
        rows.push(SceneReport::new(scene, &times));
    }
    show(&rows);
    print::write_json(options.json.as_deref(), &rows)
}

impl SceneReport {
    fn new(scene: Scene, sorted: &[Duration]) -> Self {
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        let p99 = percentile(sorted, 99);
        Self {
            scene: scene.name(),
            runs: sorted.len(),
            p50_ms: ms(percentile(sorted, 50)),
            p99_ms: ms(p99),
            most_ms: ms(percentile(sorted, 100)),
            aim_ms: ms(scene.aim()),
            pass: p99 <= scene.aim(),
        }
    }
}

fn show(rows: &[SceneReport]) {
    let header = ["", "runs", "p50 ms", "p99 ms", "most ms", "aim: p99 <=", ""];
    let mut table = vec![header.map(ToOwned::to_owned).to_vec()];
    table.extend(rows.iter().map(|row| {
        vec![
            row.scene.to_owned(),
            row.runs.to_string(),
            format!("{:.0}", row.p50_ms),
            format!("{:.0}", row.p99_ms),
            format!("{:.0}", row.most_ms),
            format!("{:.0}", row.aim_ms),
            if row.pass { "pass" } else { "miss" }.to_owned(),
        ]
    }));
    print_table(&table, 1);
}
