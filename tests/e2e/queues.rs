//! How a worker shares its slots out among its queues, as the times of its commands show it.

use std::path::Path;
use std::time::Duration;

use serde_json::json;
use taskferry_testing::{TestServer, eventually};

use crate::client::Legacy;
use crate::fleet::{Replica, worker};

/// How long it may take until all jobs have run.
const ALL: Duration = Duration::from_secs(240);

/// Two tools, each on a queue of its own. Their jobs note when they begin and end.
fn tools(queues: &str, folder: &Path, work: &str) -> String {
    let folder = folder.display();
    let tool = |queue: &str| {
        format!(
            r#"
[[tool]]
name = "{queue}"
description = "Notes that it ran"
queue = "{queue}"
command = ["sh", "-c", "echo {queue} $(date +%s%N) begins >> {folder}/notes; {work}; echo {queue} $(date +%s%N) ends >> {folder}/notes"]
"#
        )
    };
    format!("[queues]\n{queues}\n{}{}", tool("urgent"), tool("bulk"))
}

/// What a job noted.
#[derive(Debug)]
struct Note {
    queue: String,
    at: u64,
    begins: bool,
}

fn notes(folder: &Path) -> Vec<Note> {
    let noted = std::fs::read_to_string(folder.join("notes")).unwrap_or_default();
    let notes = noted.lines().filter_map(|line| {
        let mut words = line.split(' ');
        Some(Note {
            queue: words.next()?.to_owned(),
            at: words.next()?.parse().ok()?,
            begins: words.next()? == "begins",
        })
    });
    notes.collect()
}

/// Has so many jobs of each queue run, all of which are queued before a worker is there.
async fn run(tools: &str, slots: &str, jobs: usize, folder: &Path) -> Vec<Note> {
    let server = TestServer::start().await;
    // Its tools are known, and nobody works yet.
    drop(worker(&server.url(), tools, &[]).await);
    let replica = Replica::start(&server.url(), &[]).await;
    replica.lists("bulk").await;
    let client = Legacy::open_with_tasks(&replica.endpoint).await;
    for _ in 0..jobs {
        for tool in ["bulk", "urgent"] {
            client.start(tool, json!({}), 600_000).await;
        }
    }
    let _worker = worker(&server.url(), tools, &["--slots", slots]).await;
    eventually(ALL, "all have run", async || {
        notes(folder).len() == 4 * jobs
    })
    .await;
    notes(folder)
}

#[tokio::test]
async fn of_jobs_that_wait_on_two_queues_begin_as_many_as_the_weights_say() {
    let folder = tempfile::tempdir().unwrap();
    let tools = tools("urgent = 3", folder.path(), "true");
    let notes = run(&tools, "1", 200, folder.path()).await;
    let begun = notes.iter().filter(|note| note.begins);
    let begun: Vec<&str> = begun.map(|note| note.queue.as_str()).collect();
    // Three of four are urgent, until there are no urgent ones any more.
    let (both, rest) = begun.split_at(266);
    for four in both.windows(4) {
        let urgent = four.iter().filter(|queue| **queue == "urgent").count();
        assert_eq!(urgent, 3, "{begun:?}");
    }
    let urgent = rest.iter().filter(|queue| **queue == "urgent").count();
    assert!(urgent <= 1, "{rest:?}");
}

/// How many ran at a time, at most.
fn peak<'a>(notes: impl Iterator<Item = &'a Note>) -> i64 {
    let mut notes: Vec<(u64, bool)> = notes.map(|note| (note.at, note.begins)).collect();
    notes.sort_unstable();
    let running = notes.into_iter().scan(0_i64, |running, (_, begins)| {
        *running += if begins { 1 } else { -1 };
        Some(*running)
    });
    running.max().unwrap_or_default()
}

#[tokio::test]
async fn a_queue_has_no_more_commands_at_a_time_than_its_bound() {
    let folder = tempfile::tempdir().unwrap();
    let tools = tools("bulk = { slots = 2 }", folder.path(), "sleep 0.1");
    let notes = run(&tools, "6", 20, folder.path()).await;
    let bulk = peak(notes.iter().filter(|note| note.queue == "bulk"));
    assert!(bulk <= 2, "{bulk} at a time: {notes:?}");
    assert!(peak(notes.iter()) <= 6, "{notes:?}");
}
