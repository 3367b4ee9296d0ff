//! Settings that cannot be used, and servers that cannot.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use taskferry_testing::{Process, ServerOptions, TestServer, command, eventually, group_lives};

use crate::fleet::Replica;

fn serve(args: &[&str]) -> Command {
    let mut command = command("taskferry");
    command.arg("serve").args(args);
    command
}

#[test]
fn every_wrong_setting_is_named_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("settings.toml");
    std::fs::write(&file, "lisen = \"x\"\nqueue_cap = \"many\"\n").unwrap();
    let mut command = serve(&["--listen", "nowhere", "--config", file.to_str().unwrap()]);
    let output = command
        .env("TASKFERRY_MAX_BODI", "1")
        .env("TASKFERRY_KEEP_ALIVE", "soon")
        .env("TASKFERRY_LOG", "taskferry=loud")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    for part in [
        "lisen",
        "queue_cap",
        "--listen",
        "TASKFERRY_MAX_BODI",
        "TASKFERRY_KEEP_ALIVE",
        "TASKFERRY_LOG: \"taskferry=loud\"",
    ] {
        assert!(told.contains(part), "{part} is not in: {told}");
    }
}

#[test]
fn a_public_listener_must_be_asked_for_twice() {
    let mut by_environment = serve(&[]);
    by_environment.env("TASKFERRY_LISTEN", "0.0.0.0:0");
    for (place, mut command) in [
        ("--listen: ", serve(&["--listen", "0.0.0.0:0"])),
        ("TASKFERRY_LISTEN: ", by_environment),
    ] {
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        for part in [place, "allow_unauthenticated"] {
            assert!(told.contains(part), "{part}: {told}");
        }
    }
}

#[tokio::test]
async fn a_redis_that_evicts_is_refused_with_the_remedy() {
    let options = ServerOptions {
        arguments: vec!["--maxmemory-policy".to_owned(), "allkeys-lru".to_owned()],
        ..ServerOptions::default()
    };
    let redis = TestServer::start_with(options).await;
    let mut process = Process::start(
        "taskferry serve",
        serve(&["--listen", "127.0.0.1:0", "--redis-url", &redis.url()]),
    );
    let status = process.wait_for_exit(Duration::from_secs(10)).await;
    assert_eq!(status.code(), Some(1));
    assert!(
        process
            .stderr()
            .contains("CONFIG SET maxmemory-policy noeviction"),
        "{}",
        process.stderr()
    );
}

fn dev() -> Command {
    let mut command = command("taskferry");
    command.args(["dev", "--listen", "127.0.0.1:0", "--log", "warn"]);
    command
        .arg("--manifest")
        .arg(crate::fleet::in_tree("examples/tools.toml"));
    command
}

/// `taskferry dev` where `redis-server` is a script.
fn dev_with_redis(folder: &Path, script: &str) -> Process {
    let file = folder.join("redis-server");
    std::fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&file, Permissions::from_mode(0o755)).unwrap();
    let before_others = r#"export OTHERS="$PATH" PATH="$0:$PATH"; exec "$@""#;
    let mut command = Command::new("sh");
    command
        .arg("-c")
        .arg(before_others)
        .arg(folder)
        .env_remove("TASKFERRY_TEST_REDIS");
    let dev = dev();
    command.arg(dev.get_program()).args(dev.get_args());
    Process::start("taskferry dev", command)
}

/// Ends `dev` as Ctrl-C does: a kill would leave its children behind.
async fn end(mut dev: Process) {
    dev.terminate();
    let status = dev.wait_for_exit(Duration::from_secs(30)).await;
    assert!(status.success(), "{status}");
}

#[tokio::test]
async fn dev_says_which_redis_does_not_start() {
    let folder = tempfile::tempdir().unwrap();
    let mut dev = dev_with_redis(folder.path(), "exit 3");
    let status = dev.wait_for_exit(Duration::from_secs(30)).await;
    assert_eq!(status.code(), Some(1));
    let (told, file) = (dev.stderr(), folder.path().join("redis-server"));
    assert!(told.contains("exit status: 3"), "{told}");
    let text = format!("{} ended at its start", file.display());
    assert!(told.contains(&text), "{told}");
}

#[tokio::test]
async fn dev_runs_everything_and_leaves_nothing() {
    let mut dev = Process::start("taskferry dev", dev());
    dev.wait_for_line(Duration::from_secs(30), "ready").await;
    let endpoint = last_word(&dev.stdout(), "endpoint");
    let session = crate::client::Legacy::open(&endpoint).await;
    let answer = session
        .call("generate_report", serde_json::json!({ "month": "January" }))
        .await;
    assert_eq!(answer.result()["isError"], false);
    let children = children_of(dev.pid());
    assert_eq!(
        children.len(),
        2,
        "redis-server and taskferry-worker: {children:?}"
    );
    let socket = last_word(&dev.stdout(), "redis");
    let folder = Path::new(&socket).parent().unwrap().to_owned();
    let mode = folder.metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700, "nobody else reaches its Redis");
    for child in &children {
        assert!(!has_tcp_port(*child), "{child} listens on a port");
    }
    end(dev).await;
    assert!(!folder.exists());
    for child in children {
        assert!(
            !Path::new(&format!("/proc/{child}")).exists(),
            "{child} was left behind"
        );
    }
}

/// Whether a process listens for connections of IPv4 or IPv6 (Linux: proc(5), `/proc/net/tcp`, state 0A).
fn has_tcp_port(pid: u32) -> bool {
    let files = std::fs::read_dir(format!("/proc/{pid}/fd"))
        .into_iter()
        .flatten()
        .flatten();
    let sockets: Vec<String> = files
        .filter_map(|file| {
            std::fs::read_link(file.path())
                .ok()?
                .to_str()
                .map(str::to_owned)
        })
        .filter_map(|link| {
            Some(
                link.strip_prefix("socket:[")?
                    .trim_end_matches(']')
                    .to_owned(),
            )
        })
        .collect();
    ["tcp", "tcp6"].iter().any(|kind| {
        let table = std::fs::read_to_string(format!("/proc/net/{kind}")).unwrap_or_default();
        table.lines().any(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            fields.get(3) == Some(&"0A")
                && fields
                    .get(9)
                    .is_some_and(|inode| sockets.iter().any(|own| own == inode))
        })
    })
}

#[tokio::test]
async fn dev_leaves_nothing_however_it_ends() {
    for signal in [Signal::HUP, Signal::QUIT, Signal::KILL] {
        let mut dev = Process::start("taskferry dev", dev());
        dev.wait_for_line(Duration::from_secs(30), "ready").await;
        let children = children_of(dev.pid());
        assert_eq!(children.len(), 2, "{children:?}");
        dev.signal(signal);
        let status = dev.wait_for_exit(Duration::from_secs(30)).await;
        assert_eq!(
            status.success(),
            signal != Signal::KILL,
            "{signal:?}: {status}"
        );
        eventually(
            Duration::from_secs(30),
            "its children are gone",
            async || {
                let here = |child: &u32| group_lives(*child);
                !children.iter().any(here)
            },
        )
        .await;
    }
}

#[tokio::test]
async fn every_stop_signal_ends_a_front_end_in_order() {
    let redis = TestServer::start().await;
    for signal in [Signal::HUP, Signal::INT, Signal::QUIT, Signal::TERM] {
        let mut replica = Replica::start(&redis.url(), &[]).await;
        replica.process.signal(signal);
        let status = replica.process.wait_for_exit(Duration::from_secs(30)).await;
        assert!(status.success(), "{signal:?}: {status}");
    }
}

#[tokio::test]
async fn dev_reads_a_file_of_both_and_gives_the_worker_its_part() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("settings.toml");
    let manifest = crate::fleet::in_tree("examples/tools.toml");
    let text = format!(
        "listen = '127.0.0.1:0'\nredis_prefix = 'own'\nredis_shards = 8\nslots = 2\nlog = 'off,attempt=info'\nmanifest = '{}'\n",
        manifest.display()
    );
    std::fs::write(&file, text).unwrap();
    let mut both = command("taskferry");
    both.arg("dev").env("TASKFERRY_CONFIG", &file);
    let mut dev = Process::start("taskferry dev", both);
    dev.wait_for_line(Duration::from_secs(30), "ready").await;
    let told = dev.stdout();
    let session = crate::client::Legacy::open(&last_word(&told, "endpoint")).await;
    let answer = session
        .call("generate_report", serde_json::json!({ "month": "January" }))
        .await;
    assert_eq!(answer.result()["isError"], false);
    let mut status = command("taskferry");
    let url = format!("unix://{}", last_word(&told, "redis"));
    status.args(["status", "--redis-prefix", "own", "--redis-url", &url]);
    let shown = status.output().unwrap().stdout;
    let shown = String::from_utf8_lossy(&shown).into_owned();
    assert!(shown.contains("/2 "), "{shown}");
    // Of the worker's lines, those alone.
    dev.wait_for_line(Duration::from_secs(30), " INFO attempt: ended ")
        .await;
    let logged = dev.stderr();
    assert!(!logged.contains("taskferry_worker::"), "{logged}");
    end(dev).await;
}

/// The last word of the line that `dev` begins with `name`.
fn last_word(told: &str, name: &str) -> String {
    let line = told.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().last().unwrap().to_owned()
}

#[test]
fn dev_takes_no_other_redis() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("settings.toml");
    let url = "redis://127.0.0.1:6379/0";
    std::fs::write(&file, format!("redis_url = '{url}'\n")).unwrap();
    type Way = fn(&mut Command, &str, &Path);
    let ways: [(&str, Way); 3] = [
        ("--redis-url", |command, url, _| {
            command.args(["--redis-url", url]);
        }),
        ("TASKFERRY_REDIS_URL", |command, url, _| {
            command.env("TASKFERRY_REDIS_URL", url);
        }),
        ("settings.toml: redis_url", |command, _, file| {
            command.arg("--config").arg(file);
        }),
    ];
    for (place, way) in ways {
        let mut command = dev();
        way(&mut command, url, &file);
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            told.contains(&format!("{place}: dev starts a Redis of its own")),
            "{told}"
        );
    }
}

fn children_of(parent: u32) -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let is_child = |id: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        stat.rsplit(')')
            .next()
            .and_then(|rest| rest.split_whitespace().nth(1))
            == Some(parent.to_string().as_str())
    };
    ids.filter(is_child).collect()
}

#[tokio::test]
async fn a_redis_that_keeps_less_than_is_asked_for_is_refused_with_the_remedy() {
    let redis = TestServer::start().await;
    let url = redis.url();
    for level in ["everysec", "always", "replicated:1"] {
        let args = ["--listen", "127.0.0.1:0", "--durability", level];
        let command = serve(&[&args[..], &["--redis-url", &url]].concat());
        let mut process = Process::start("taskferry serve", command);
        let status = process.wait_for_exit(Duration::from_secs(10)).await;
        assert!(!status.success());
        let told = process.stderr();
        for part in [level, "CONFIG SET appendonly yes"] {
            assert!(told.contains(part), "{part} is not in: {told}");
        }
    }
}

#[tokio::test]
async fn a_session_that_ends_between_two_polls_is_warned_of() {
    let redis = TestServer::start().await;
    let short = Replica::start(&redis.url(), &["--session-idle", "9s"]).await;
    let said = short.process.stderr();
    let warned = |line: &&str| line.contains(" WARN ") && line.contains("session_idle is 9s");
    let warned: Vec<&str> = said.lines().filter(warned).collect();
    assert_eq!(warned.len(), 1, "{said}");
    assert!(warned[0].contains("poll_interval_max"), "{said}");
    let long = Replica::start(&redis.url(), &[]).await;
    assert!(!long.process.stderr().contains("session_idle"));
}
