//! `worker-conformance`: starts any worker command against a real system, and says what of docs/CONTRACT.md it does
//! (docs/WORKER-CONFORMANCE.md).
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a check fails by panicking, which the run turns into its verdict"
)]

mod checks;
#[expect(clippy::print_stdout, reason = "the table is what the program is for")]
mod cli;
mod client;
mod run;
mod system;
mod worker_process;

use std::process::ExitCode;

use run::Verdict;

#[tokio::main]
async fn main() -> ExitCode {
    let plan = match cli::plan() {
        Ok(plan) => plan,
        Err(wrong) => {
            eprintln!("worker-conformance: {wrong}");
            return ExitCode::from(2);
        }
    };
    let reports = run::all(&plan).await;
    cli::print(&reports, plan.json);
    let failed = |verdict: &Verdict| matches!(verdict, Verdict::Failed(_));
    if reports.iter().any(|report| failed(&report.verdict)) {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}
