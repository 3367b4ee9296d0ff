//! What the commands tell of tools, queues, workers and the server.

use std::time::{Duration, Instant};

use serde_json::json;
use taskferry_contract::{CONTRACT_VERSION, Keys, TaskId};
use taskferry_testing::{
    AppendOnly, ServerOptions, TestServer, eventually, eventually_some, promptly,
};

use super::{SOON, Site, raw, taskferry};
use crate::client::Legacy;
use crate::tools::register;

#[tokio::test]
async fn tools_are_listed_shown_removed_and_added_and_clients_see_it() {
    let site = Site::new().await;
    let mut worker = site.worker().await;
    let session = Legacy::open(&site.replica.endpoint).await;
    let listed = site.run(&["tools", "list"]).await;
    let row = listed.out.lines().find(|line| line.starts_with("brittle"));
    let row: Vec<&str> = row.unwrap().split_whitespace().collect();
    assert_eq!(&row[..5], ["brittle", "printers", "1", "1", "0"]);
    let shown = site.run(&["tools", "show", "brittle"]).await;
    let file = site.folder.path().join("brittle.json");
    std::fs::write(&file, &shown.out).unwrap();

    // Its worker runs: it comes back, and that is said.
    let removed = site.run(&["tools", "remove", "brittle"]).await;
    assert!(removed.err.contains("register it again"), "{}", removed.err);
    let names = async || {
        let tools = session.request("tools/list", json!({})).await;
        let tools = tools.result()["tools"].as_array().unwrap().clone();
        tools
            .iter()
            .map(|tool| tool["name"].as_str().unwrap().to_owned())
            .collect::<Vec<String>>()
    };
    eventually(SOON, "the worker registers it again", async || {
        names().await.contains(&"brittle".to_owned())
    })
    .await;
    worker.terminate();
    worker.wait_for_exit(SOON).await;
    let until_listed = async |listed: bool| {
        let begun = Instant::now();
        let what = format!("it is listed: {listed}");
        eventually(SOON, &what, async || {
            names().await.contains(&"brittle".to_owned()) == listed
        })
        .await;
        begun.elapsed()
    };
    // The bell tells the replica, well before it would look by itself.
    let bound = Duration::from_secs(1);
    promptly(bound, "the replica knows what changed", async || {
        let removed = site.run(&["tools", "remove", "brittle"]).await;
        assert_eq!((removed.code, removed.err.as_str()), (0, ""));
        let removal = until_listed(false).await;
        let again = site.run(&["tools", "remove", "brittle"]).await;
        assert_eq!(again.code, 1);
        assert!(again.err.contains("taskferry tools list"), "{}", again.err);

        let added = site.run(&["tools", "add", file.to_str().unwrap()]).await;
        assert_eq!(added.code, 0, "{}", added.err);
        removal.max(until_listed(true).await)
    })
    .await;
    let shown_again = site.run(&["tools", "show", "brittle"]).await;
    assert_eq!(shown_again.out, shown.out);
}

#[tokio::test]
async fn a_tool_whose_jobs_are_queued_is_removed_only_by_who_is_sure_and_its_jobs_run_when_a_worker_comes()
 {
    let site = Site::new().await;
    std::fs::write(site.folder.path().join("mended"), "").unwrap();
    let mut worker = site.worker().await;
    worker.terminate();
    worker.wait_for_exit(SOON).await;
    let session = Legacy::open_with_tasks(&site.replica.endpoint).await;
    let call = async |text: &str| {
        let arguments = json!({ "text": text });
        session.start("brittle", arguments, 600_000).await
    };
    let first = call("one").await;
    let remove = async |flags: &[&str]| {
        let words = ["tools", "remove", "brittle"];
        site.run(&[&words[..], flags].concat()).await
    };
    let is_there = async || site.run(&["tools", "show", "brittle"]).await.code == 0;
    let refused = remove(&[]).await;
    let stays = "1 job of it is queued and stays: it runs when a worker that has brittle comes, which registers it again, or expires with its ttl";
    let told =
        format!("taskferry: brittle is not removed: {stays}; to remove it all the same: --yes\n");
    assert_eq!((refused.code, refused.err), (1, told));
    assert_eq!(refused.out, "");
    assert!(is_there().await);

    let second = call("two").await;
    let refused = remove(&[]).await;
    let stay = "2 jobs of it are queued and stay: each runs when";
    assert!(refused.err.contains(stay), "{}", refused.err);
    let removed = remove(&["--yes"]).await;
    assert_eq!(
        (removed.code, removed.out.as_str()),
        (0, "brittle is removed\n")
    );
    assert!(removed.err.contains(stay), "{}", removed.err);
    assert!(!is_there().await);
    // What is not there is not asked about.
    for flags in [&[][..], &["--yes"]] {
        let none = remove(flags).await;
        assert_eq!(none.code, 1);
        assert!(none.err.contains("no tool \"brittle\""), "{}", none.err);
    }
    let task = session.task(&first).await;
    assert_eq!(task["status"], "working", "{task}");

    let _worker = site.worker().await;
    session.until(&first, "completed").await;
    session.until(&second, "completed").await;
    assert!(is_there().await);
    let removed = remove(&[]).await;
    assert_eq!(removed.code, 0, "{}", removed.err);
}

#[tokio::test]
async fn the_status_shows_what_waits_and_who_works() {
    let site = Site::new().await;
    let worker = site.worker().await;
    let session = Legacy::open(&site.replica.endpoint).await;
    site.dead(&session, "one").await;
    session.start("once", json!({}), 60_000).await;
    let status = eventually_some(SOON, "it runs, and the worker told", async || {
        let status = site.run(&["status", "--json"]).await.lines().remove(0);
        (status["workers"][0]["busy"] == 1).then_some(status)
    })
    .await;
    assert_eq!(status["dead"], 1);
    let contract = CONTRACT_VERSION.to_string();
    assert_eq!(status["contract"], contract);
    assert_eq!(status["workers"][0]["pid"], worker.pid());
    let queues = status["queues"].as_array().unwrap();
    let default = queues.iter().find(|queue| queue["queue"] == "default");
    assert_eq!(default.unwrap()["given_out"], 1);
    let told = site.run(&["status"]).await;
    let contract = format!("contract   {contract}");
    for part in ["redis ", &contract, "dead       1", "printers", "1/"] {
        assert!(told.out.contains(part), "{part} is not in {}", told.out);
    }
    drop(worker);
}

#[tokio::test]
async fn doctor_tells_a_good_server_from_a_bad_one_and_from_none() {
    let mut redis = TestServer::start_with(ServerOptions {
        append_only: AppendOnly::Always,
        ..ServerOptions::default()
    })
    .await;
    let good = taskferry(&redis.url(), &["doctor", "--durability", "always"]).await;
    assert_eq!(good.code, 0, "{}{}", good.out, good.err);
    assert!(good.out.contains("ok    version"), "{}", good.out);

    raw::<String>(
        &redis,
        &["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"],
    )
    .await;
    raw::<String>(&redis, &["CONFIG", "SET", "appendfsync", "everysec"]).await;
    let bad = taskferry(&redis.url(), &["doctor", "--durability", "always"]).await;
    assert_eq!(bad.code, 1);
    for part in [
        "fail  eviction",
        "run: redis-cli CONFIG SET maxmemory-policy noeviction",
        "fail  persistence",
        "CONFIG SET appendfsync always",
    ] {
        assert!(bad.out.contains(part), "{part} is not in {}", bad.out);
    }
    let lines = taskferry(&redis.url(), &["doctor", "--json"]).await.lines();
    let eviction = lines.iter().find(|line| line["check"] == "eviction");
    assert_eq!(eviction.unwrap()["verdict"], "fail");

    redis.pause();
    for frozen in [true, false] {
        if !frozen {
            redis.kill9();
        }
        let start = Instant::now();
        let none = taskferry(&redis.url(), &["doctor"]).await;
        assert_eq!(none.code, 1);
        assert!(none.out.contains("fail  connection"), "{}", none.out);
        assert!(start.elapsed() < SOON, "it took {:?}", start.elapsed());
    }
    let wrong = taskferry(&redis.url(), &["doctor", "--durability", "forever"]).await;
    assert_eq!(wrong.code, 2);
    assert!(wrong.err.contains("--durability"), "{}", wrong.err);
}

/// Each with its reason, wherever operators look, and `remove` gets rid of what cannot be read.
#[tokio::test]
async fn tools_that_front_ends_do_not_list_are_named_with_the_reason() {
    let redis = TestServer::start().await;
    register(&redis, "good", &json!({ "type": "object" })).await;
    register(
        &redis,
        "far",
        &json!({ "$ref": "https://example.com/schema" }),
    )
    .await;
    let broken = &["HSET", "tf:{fleet}:tools:default", "broken", "{"];
    raw::<i64>(&redis, broken).await;

    let doctor = taskferry(&redis.url(), &["doctor"]).await;
    assert_eq!(doctor.code, 0, "{}{}", doctor.out, doctor.err);
    let far = "warn  tools        front ends do not list far of queue default: input_schema: ";
    let unread = "warn  tools        front ends do not list broken of queue default: its definition cannot be read: ";
    let mends = "taskferry tools remove broken";
    for part in [far, "leads out of the schema", unread, mends] {
        assert!(doctor.out.contains(part), "{part} is not in {}", doctor.out);
    }
    let listed = taskferry(&redis.url(), &["tools", "list"]).await;
    for tool in ["far", "broken"] {
        let line = format!("front ends do not list {tool} of queue default: ");
        assert!(
            listed.out.contains(&line),
            "{line} is not in {}",
            listed.out
        );
    }
    let lines = taskferry(&redis.url(), &["tools", "list", "--json"]).await;
    let lines = lines.lines();
    let refused: Vec<bool> = lines
        .iter()
        .map(|line| line["refused"].is_string())
        .collect();
    let names: Vec<&str> = lines
        .iter()
        .map(|line| line["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["far", "good", "broken"]);
    assert_eq!(refused, [true, false, true]);
    let status = taskferry(&redis.url(), &["status"]).await;
    let told = "tools      2; 2 that front ends do not list: taskferry doctor says why";
    assert!(status.out.contains(told), "{}", status.out);
    let status = taskferry(&redis.url(), &["status", "--json"]).await.lines();
    assert_eq!(status[0]["refused_tools"][1]["name"], "broken");

    for tool in ["far", "broken"] {
        let removed = taskferry(&redis.url(), &["tools", "remove", tool]).await;
        assert_eq!(removed.code, 0, "{}", removed.err);
    }
    let doctor = taskferry(&redis.url(), &["doctor"]).await;
    let well = "ok    tools        1 registered, and front ends list all";
    assert!(doctor.out.contains(well), "{}", doctor.out);
}

#[tokio::test]
async fn doctor_names_a_queue_whose_workers_have_not_the_same_tools() {
    let redis = TestServer::start().await;
    register(&redis, "word_count", &json!({ "type": "object" })).await;
    let beat = async |id: &str, tools: &str| {
        let key = format!("tf:{{fleet}}:worker:{id}");
        let of = ["host", "h", "pid", "1", "version", "v", "slots", "1"];
        let more = ["busy", "0", "queues", "default", "tools", tools];
        raw::<i64>(&redis, &[&["HSET", &key][..], &of, &more].concat()).await;
        let now = raw::<Vec<String>>(&redis, &["TIME"]).await.remove(0) + "000";
        raw::<i64>(&redis, &["ZADD", "tf:{fleet}:workers", &now, id]).await;
    };
    for (id, tools) in [("a", "word_count"), ("b", "resize"), ("c", "resize")] {
        beat(id, tools).await;
    }
    let doctor = taskferry(&redis.url(), &["doctor"]).await;
    assert_eq!(doctor.code, 0, "{}{}", doctor.out, doctor.err);
    let told = "warn  tools        2 of 3 workers of queue default do not have word_count: its jobs go back and forth\n                   give workers with other tools a queue of their own\n";
    assert!(doctor.out.contains(told), "{}", doctor.out);
    for id in ["b", "c"] {
        beat(id, "resize,word_count").await;
    }
    let doctor = taskferry(&redis.url(), &["doctor"]).await;
    let well = "ok    tools        1 registered, and front ends list all";
    assert!(doctor.out.contains(well), "{}", doctor.out);
}

#[tokio::test]
async fn a_worker_that_does_not_fetch_is_shown_with_the_reason() {
    let site = Site::new().await;
    let _worker = site.worker().await;
    let does = async |what: &str| {
        eventually(SOON, &format!("it does this: {what}"), async || {
            let status = site.run(&["status", "--json"]).await;
            let doing = &status.lines()[0]["workers"][0]["doing"];
            doing.as_str().unwrap().starts_with(what)
        })
        .await;
    };
    does("fetching").await;
    let user = ["ACL", "SETUSER", "default"];
    let _: String = raw(&site.redis, &[&user[..], &["-xreadgroup"]].concat()).await;
    does("not fetching: Redis failed").await;
    let status = site.run(&["status"]).await;
    assert!(status.out.contains("not fetching: "), "{}", status.out);
    let _: String = raw(&site.redis, &[&user[..], &["+xreadgroup"]].concat()).await;
    does("fetching").await;
}

#[tokio::test]
async fn a_worker_that_is_silent_is_shown_as_such_and_serves_nothing() {
    let site = Site::new().await;
    let mut worker = site.worker().await;
    let before = site.run(&["status", "--json"]).await.lines();
    let id = before[0]["workers"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(before[0]["queues"][0]["served_by"], json!([id]));
    worker.kill9();
    // As if that were 40 s ago.
    let beat = before[0]["now_ms"].as_u64().unwrap() - 40_000;
    let workers = Keys::new("tf").workers();
    let _: i64 = raw(&site.redis, &["ZADD", &workers, &beat.to_string(), &id]).await;
    let status = site.run(&["status"]).await.out;
    assert!(status.contains("silent; was "), "{status}");
    let after = site.run(&["status", "--json"]).await.lines();
    assert_eq!(after[0]["workers"][0]["silent"], true);
    assert_eq!(after[0]["queues"][0]["served_by"], json!([]));
    let tools = site.run(&["tools", "list", "--json"]).await.lines();
    assert_eq!(tools[0]["workers"], 0);
}

#[tokio::test]
async fn a_job_that_expired_before_it_ran_is_logged_and_counted() {
    let site = Site::new().await;
    let mut first = site.worker().await;
    first.terminate();
    first.wait_for_exit(SOON).await;
    let status = site.run(&["status"]).await;
    assert!(status.out.contains("expired    none"), "{}", status.out);
    let session = Legacy::open(&site.replica.endpoint).await;
    let id = session
        .start("brittle", json!({ "text": "one" }), 1_000)
        .await;
    let record = format!("tf:{{0}}:task:{id}");
    eventually(SOON, "its record expires", async || {
        raw::<u64>(&site.redis, &["EXISTS", &record]).await == 0
    })
    .await;
    let second = site.worker().await;
    eventually(SOON, "it is counted", async || {
        let status = site.run(&["status", "--json"]).await.lines();
        status[0]["expired"] == json!({ "brittle": 1 })
    })
    .await;
    let status = site.run(&["status"]).await;
    let line = "expired    1, while they waited to run (brittle 1)";
    assert!(status.out.contains(line), "{}", status.out);
    let id: TaskId = id.parse().unwrap();
    let said = format!(
        "task={} tool=brittle queue=printers outcome=\"expired before it ran\"",
        id.digest()
    );
    eventually(SOON, "the worker says so", async || {
        let log = second.stderr();
        let mut lines = log.lines();
        lines.any(|line| line.contains("WARN attempt: expired") && line.contains(&said))
    })
    .await;
    assert_eq!(site.run(&["dead", "list", "--json"]).await.out, "");
}

#[tokio::test]
async fn the_status_shows_queues_that_nobody_serves_and_keys_that_are_out_of_place() {
    let site = Site::new().await;
    let _worker = site.worker().await;
    let stream = "tf:{0}:queue:forgotten";
    raw::<String>(&site.redis, &["XADD", stream, "*", "id", "x", "tool", "y"]).await;
    let spoilt = "tf:{0}:queue:spoilt";
    raw::<String>(&site.redis, &["SET", spoilt, "x"]).await;
    let told = site.run(&["status"]).await;
    assert_eq!(told.code, 0, "{}", told.err);
    let row = |name: &str| -> Vec<String> {
        let line = told.out.lines().find(|line| line.starts_with(name));
        let words = line.unwrap_or_else(|| panic!("{name} is not in {}", told.out));
        words.split_whitespace().map(str::to_owned).collect()
    };
    assert_eq!(row("forgotten")[1..3], ["1", "0"]);
    assert_eq!(row("forgotten").last().unwrap(), "nobody");
    assert_ne!(row("printers").last().unwrap(), "nobody");
    assert!(row("misplaced").join(" ").contains(spoilt), "{}", told.out);
    let status = site.run(&["status", "--json"]).await.lines().remove(0);
    assert_eq!(status["misplaced"][0]["key"], spoilt);
    assert_eq!(status["misplaced"][0]["belongs"], "stream");
    let doctor = site.run(&["doctor"]).await;
    assert_eq!(doctor.code, 1);
    assert!(doctor.out.contains("fail  keys"), "{}", doctor.out);
    assert!(doctor.out.contains(spoilt), "{}", doctor.out);
    raw::<i64>(&site.redis, &["DEL", spoilt, stream]).await;
}

#[tokio::test]
async fn no_text_of_others_reaches_a_terminal_raw_or_breaks_a_listing() {
    let site = Site::new().await;
    let (long, escape) = ("x".repeat(70_000), "\u{1b}[2J\u{9b}1m");
    let reason = format!("{escape}{long}");
    let letter = [
        "XADD",
        "tf:{0}:dead",
        "*",
        "id",
        escape,
        "tool",
        &long,
        "reason",
        &reason,
    ];
    let more = ["attempts", "1", "queue", escape];
    raw::<String>(&site.redis, &[&letter[..], &more[..]].concat()).await;
    let beat = [
        "HSET",
        "tf:{fleet}:worker:w",
        "host",
        &long,
        "pid",
        "1",
        "version",
        escape,
    ];
    let more = ["slots", "1", "busy", "0", "tools", &long];
    raw::<i64>(&site.redis, &[&beat[..], &more[..]].concat()).await;
    let now = raw::<Vec<String>>(&site.redis, &["TIME"]).await.remove(0) + "000";
    raw::<i64>(&site.redis, &["ZADD", "tf:{fleet}:workers", &now, "w"]).await;
    for words in [
        &["dead", "list"][..],
        &["dead", "list", "--json"],
        &["status"],
        &["status", "--json"],
        &["tools", "list"],
    ] {
        let told = site.run(words).await;
        assert_eq!(told.code, 0, "{words:?}: {}", told.err);
        let raw = told.out.chars().find(|c| c.is_control() && *c != '\n');
        assert_eq!(raw, None, "{words:?}");
        if !words.contains(&"--json") {
            assert!(told.out.lines().all(|line| line.len() < 2_000), "{words:?}");
        }
    }
    let shown = site.run(&["dead", "list"]).await.out;
    assert!(shown.contains(r"\u{1b}[2J"), "{shown}");
}
