//! Bounded chaos runs as whole processes: of the real thing every law must hold, of a sabotaged one the law that was
//! broken must be reported.

use std::process::{Command, Output};

/// A run with its evidence below the workspace's target folder.
fn chaos(arguments: &str) -> Output {
    let evidence = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/chaos");
    Command::new(env!("CARGO_BIN_EXE_taskferry-chaos"))
        .args(["run", "--evidence", evidence])
        .args(arguments.split(' '))
        .output()
        .expect("the harness can be started")
}

fn every_law_holds(arguments: &str) {
    let output = chaos(arguments);
    let (text, errors) = texts(&output);
    assert!(output.status.success(), "{arguments}\n{text}\n{errors}");
    assert!(text.contains("every law held"), "{text}");
}

fn is_reported(arguments: &str, law: &str) {
    let output = chaos(arguments);
    let (text, errors) = texts(&output);
    assert_eq!(
        output.status.code(),
        Some(1),
        "{arguments}\n{text}\n{errors}"
    );
    assert!(
        text.contains(&format!("broken: {law}")),
        "{arguments}\n{text}"
    );
}

fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

#[test]
fn every_law_holds_while_redis_keeps_its_data() {
    every_law_holds("--seed 1 --seconds 20");
}

#[test]
fn every_law_holds_when_redis_loses_its_data() {
    every_law_holds("--seed 3 --seconds 15");
}

#[test]
fn every_law_holds_for_a_fleet_of_three_languages() {
    every_law_holds("--seed 9 --seconds 15 --fleet mixed");
}

#[test]
fn stale_attempts_that_may_write_are_reported() {
    let run = "--seed 2 --seconds 8 --settle 8 --only FreezeWorker --sabotage no-fence";
    is_reported(run, "a result is of the last attempt");
}

#[test]
fn entries_that_outlive_their_jobs_are_reported() {
    let run = "--seed 5 --seconds 4 --settle 6 --sabotage no-ack";
    is_reported(run, "keys, streams and indexes");
}

#[test]
fn a_second_end_is_reported() {
    let run = "--seed 6 --seconds 8 --settle 8 --sabotage no-terminal";
    is_reported(run, "what is over stays as it is");
}

#[test]
fn records_that_never_expire_are_reported() {
    let run = "--seed 8 --seconds 4 --settle 6 --sabotage no-expiry";
    is_reported(run, "keys, streams and indexes");
}

#[test]
fn a_seed_prints_its_schedule() {
    let print = |seed: &str| chaos(&format!("--seed {seed} --seconds 9 --print-schedule")).stdout;
    assert_eq!(print("4"), print("4"));
    assert_ne!(print("4"), print("5"));
    assert!(String::from_utf8_lossy(&print("4")).contains(" ms  "));
}
