//! Passwords of Redis: where they may come from, and that no output has one.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use taskferry_testing::redis::cmd;
use taskferry_testing::{Process, TestServer, command, eventually};

const START: Duration = Duration::from_secs(20);
/// What no output may have.
const PLANTED: &str = "pl4nted-s3cret";

/// A Redis with a user who has this password.
async fn redis(password: &str) -> TestServer {
    let redis = TestServer::start().await;
    let mut user = cmd("ACL");
    let password = format!(">{password}");
    user.arg(&["SETUSER", "app", "on", &password, "~*", "&*", "+@all"]);
    let made = user.query_async::<String>(&mut redis.raw().await).await;
    made.unwrap();
    redis
}

/// Each way to give the password, by its name.
fn ways(redis: &TestServer, folder: &Path) -> Vec<(&'static str, Vec<(&'static str, String)>)> {
    let place = format!("127.0.0.1:{}/0", redis.port());
    let whole = format!("redis://app:{PLANTED}@{place}");
    let without = ("TASKFERRY_REDIS_URL", format!("redis://app@{place}"));
    let (file, settings) = (folder.join("password"), folder.join("settings.toml"));
    std::fs::write(&file, format!("{PLANTED}\n")).unwrap();
    std::fs::write(&settings, format!("redis_url = \"{whole}\"\n")).unwrap();
    let shown = |path: &Path| path.display().to_string();
    vec![
        ("in the URL", vec![("TASKFERRY_REDIS_URL", whole)]),
        (
            "in the environment",
            vec![
                without.clone(),
                ("TASKFERRY_REDIS_PASSWORD", PLANTED.to_owned()),
            ],
        ),
        (
            "in a file",
            vec![without, ("TASKFERRY_REDIS_PASSWORD_FILE", shown(&file))],
        ),
        (
            "in the settings file",
            vec![("TASKFERRY_CONFIG", shown(&settings))],
        ),
    ]
}

fn programs(folder: &Path) -> Vec<Command> {
    let manifest = folder.join("tools.toml");
    let tool = "[[tool]]\nname = 'a'\ndescription = 'A'\ncommand = ['true']";
    std::fs::write(&manifest, tool).unwrap();
    let of = |name: &str, words: &[&str]| {
        let mut command = command(name);
        command.args(words);
        command
    };
    let manifest = manifest.display().to_string();
    vec![
        of(
            "taskferry",
            &["serve", "--listen", "127.0.0.1:0", "--log", "trace"],
        ),
        of(
            "taskferry-worker",
            &["--manifest", &manifest, "--log", "trace"],
        ),
        of("taskferry", &["doctor"]),
        of("taskferry", &["status"]),
    ]
}

/// Starts everything in this way, and returns what it said once `told` is so of each, and that no password is in it.
async fn outputs(
    (way, variables): &(&str, Vec<(&str, String)>),
    folder: &Path,
    told: impl Fn(&str) -> bool,
) {
    for mut command in programs(folder) {
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        let process = Process::start(way, command);
        let said = || format!("{}{}", process.stdout(), process.stderr());
        eventually(START, way, async || told(&said())).await;
        let said = said();
        assert!(!said.contains(PLANTED), "{way}: {said}");
    }
}

#[tokio::test]
async fn a_password_of_redis_is_in_no_output() {
    let folder = tempfile::tempdir().unwrap();
    let right = redis(PLANTED).await;
    let wrong = redis("another").await;
    for way in ways(&right, folder.path()) {
        let is_well = |said: &str| {
            ["Redis is reached and fit", "slots=", "keys ", "QUEUE"]
                .iter()
                .any(|part| said.contains(part))
        };
        outputs(&way, folder.path(), is_well).await;
    }
    for way in ways(&wrong, folder.path()) {
        outputs(&way, folder.path(), |said| said.contains("WRONGPASS")).await;
    }
}

#[test]
fn a_password_in_a_flag_is_refused_with_a_better_place() {
    let url = format!("redis://:{PLANTED}@127.0.0.1:1/0");
    for (program, words) in [
        ("taskferry", &["serve", "--redis-url", &url][..]),
        ("taskferry", &["serve", "--redis-password", PLANTED]),
        ("taskferry", &["status", "--redis-url", &url]),
        ("taskferry-worker", &["--redis-url", &url]),
        ("taskferry-worker", &["--redis-sentinel-password", PLANTED]),
    ] {
        let output = command(program).args(words).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{program} {words:?}");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        for part in ["whoever lists the processes", "password_file"] {
            assert!(told.contains(part), "{program} {words:?}: {told}");
        }
        assert!(!told.contains(PLANTED), "{told}");
    }
}
