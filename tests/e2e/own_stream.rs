//! A session's own streams: of several, on whichever replicas, the newest speaks, and goes on where the one before it
//! stopped.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use taskferry_testing::{eventually, eventually_some, promptly, redis};
use tempfile::TempDir;

use crate::client::Legacy;
use crate::fleet::Fleet;
use crate::jobs::{job_has, paced, take_steps};
use crate::questions::{SOON, accepted, answer, asking, asking_fleet, session, session_with_tasks};
use crate::stream::Stream;

/// Begins a task of the paced tool whose client wants to hear of everything; its id.
async fn start(session: &Legacy, folder: &TempDir) -> String {
    level(session, "info").await;
    let params = json!({
        "name": "paced", "arguments": paced(folder.path()), "task": { "ttl": 60_000 }, "_meta": { "progressToken": "p" },
    });
    let answer = session.request("tools/call", params).await;
    let task = &answer.result()["task"]["taskId"];
    task.as_str().unwrap().to_owned()
}

async fn level(session: &Legacy, level: &str) {
    let params = json!({ "level": level });
    session.request("logging/setLevel", params).await.result();
}

/// What a stream told of a task.
#[derive(Debug, Default, PartialEq)]
struct Told {
    progress: Vec<f64>,
    lines: Vec<String>,
    /// Statuses that differ from the one told before.
    statuses: Vec<String>,
}

impl Told {
    /// Takes a message; whose task it is about.
    fn take(&mut self, message: &Value) -> String {
        let params = &message["params"];
        let related = &params["_meta"]["io.modelcontextprotocol/related-task"]["taskId"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        match message["method"].as_str().unwrap() {
            "notifications/progress" => {
                assert_eq!(params["progressToken"], "p");
                self.progress.push(params["progress"].as_f64().unwrap());
                text(related)
            }
            "notifications/message" => {
                self.lines.push(text(&params["data"]));
                text(related)
            }
            "notifications/tasks/status" => {
                let status = text(&params["status"]);
                if self.statuses.last() != Some(&status) {
                    self.statuses.push(status);
                }
                text(&params["taskId"])
            }
            other => panic!("{other}: {message:#}"),
        }
    }

    /// Takes what a stream tells of a task, until something holds.
    async fn until(&mut self, stream: &mut Stream, id: &str, holds: impl Fn(&Self) -> bool) {
        while !holds(self) {
            assert_eq!(self.take(&stream.next().await), id);
        }
    }

    fn has_step(&self, step: u32) -> bool {
        let line = format!("step {step}");
        self.progress.last() == Some(&f64::from(step)) && self.lines.last() == Some(&line)
    }

    fn is_over(&self) -> bool {
        self.statuses.last().is_some_and(|last| last == "completed")
    }
}

/// What a stream tells of a task that ended, up to the end of another task that begins then.
async fn told_of_ended(session: &Legacy, stream: &mut Stream, id: &str) -> Told {
    let mut told = Told::default();
    told.until(stream, id, Told::is_over).await;
    let another = session.start("echo", json!({ "text": "x" }), 60_000).await;
    loop {
        let message = stream.next().await;
        let mut one = Told::default();
        if one.take(&message) != another {
            told.take(&message);
        } else if one.is_over() {
            return told;
        }
    }
}

fn ended() -> Told {
    Told {
        statuses: vec!["completed".to_owned()],
        ..Told::default()
    }
}

#[tokio::test]
async fn a_tasks_progress_and_log_lines_are_told_as_its_own_and_once_over_all_streams() {
    let fleet = Fleet::start().await;
    let here = Legacy::open_with_tasks(&fleet.replicas[0].endpoint).await;
    let elsewhere = here.at(&fleet.replicas[1].endpoint);
    let folder = tempfile::tempdir().unwrap();
    let mut own = Stream::get(&here).await;
    let id = start(&elsewhere, &folder).await;
    let mut told = Told::default();
    for step in 1..=2 {
        take_steps(folder.path(), 1..=step);
        told.until(&mut own, &id, |told| told.has_step(step)).await;
    }
    assert_eq!(told.progress, [1.0, 2.0]);
    assert_eq!(told.lines, ["step 1", "step 2"]);

    // The client lost it, and comes back by way of another replica.
    let mut again = Stream::get(&elsewhere).await;
    take_steps(folder.path(), 1..=3);
    let mut told = Told::default();
    told.until(&mut again, &id, |told| told.has_step(3)).await;
    assert_eq!((told.progress.len(), told.lines.len()), (1, 1), "{told:?}");
    take_steps(folder.path(), 1..=4);
    told.until(&mut again, &id, Told::is_over).await;
    assert_eq!((told.progress.len(), told.lines.len()), (1, 1), "{told:?}");
    drop(again);

    // The older one, which is still open, goes on, and knows nothing more than how the task ended.
    assert_eq!(told_of_ended(&here, &mut own, &id).await, ended());
}

#[tokio::test]
async fn a_stream_tells_what_happens_when_the_bell_rings() {
    let fleet = Fleet::start().await;
    let here = Legacy::open_with_tasks(&fleet.replicas[0].endpoint).await;
    let elsewhere = here.at(&fleet.replicas[1].endpoint);
    let folder = tempfile::tempdir().unwrap();
    let mut own = Stream::get(&here).await;
    let id = start(&elsewhere, &folder).await;
    let (mut told, mut step) = (Told::default(), 0);
    // It looks by itself every five seconds.
    promptly(Duration::from_secs(2), "a step is told", async || {
        step += 1;
        let taken = Instant::now();
        take_steps(folder.path(), 1..=step);
        told.until(&mut own, &id, |told| told.has_step(step)).await;
        taken.elapsed()
    })
    .await;
    take_steps(folder.path(), 1..=4);
    told.until(&mut own, &id, Told::is_over).await;
}

#[tokio::test]
async fn of_a_task_that_ended_before_a_stream_its_end_alone_is_told() {
    let fleet = Fleet::start().await;
    let here = Legacy::open_with_tasks(&fleet.replicas[0].endpoint).await;
    let folder = tempfile::tempdir().unwrap();
    let id = start(&here, &folder).await;
    take_steps(folder.path(), 1..=4);
    here.until(&id, "completed").await;
    let mut own = Stream::get(&here).await;
    assert_eq!(told_of_ended(&here, &mut own, &id).await, ended());
}

#[tokio::test]
async fn of_two_streams_the_newer_speaks_and_gets_the_question_that_the_older_put() {
    let fleet = asking_fleet().await;
    for newer in [0, 1] {
        let here = session_with_tasks(&fleet.replicas[0].endpoint).await;
        let elsewhere = here.at(&fleet.replicas[newer].endpoint);
        let mut first = Stream::get(&here).await;
        let id = here.start("summarize_orders", asking(), 60_000).await;
        let lost = first.until("elicitation/create").await;
        let mut second = Stream::get(&elsewhere).await;
        let question = second.until("elicitation/create").await;
        assert_eq!(question["id"], lost["id"]);
        answer(&here, &question, json!({ "result": accepted() })).await;
        while second.until("notifications/tasks/status").await["params"]["status"] != "completed" {}
        here.until(&id, "completed").await;
        drop(second);
        // Once the older one speaks again, the next it says is how the task ended.
        let next = first.next().await;
        assert_eq!(next["params"]["status"], "completed", "{next:#}");
    }
}

/// Until when which connection may send the one question of a task: the name of the connection, and the time.
async fn right_to_send(fleet: &Fleet, id: &str) -> (String, u64) {
    let mut redis = fleet.redis.raw().await;
    let key = format!("tf:{{0}}:task:{id}");
    let record = redis::cmd("HGETALL").arg(key).to_owned();
    let fields: Vec<(String, String)> = record.query_async(&mut redis).await.unwrap();
    let mut fields = fields.into_iter();
    let (_, sent) = fields.find(|(name, _)| name.starts_with("sent:")).unwrap();
    let (until, carrier) = sent.split_once(' ').unwrap();
    (carrier.to_owned(), until.parse().unwrap())
}

#[tokio::test]
async fn a_question_that_a_blocked_tasks_result_put_stays_there_when_a_stream_opens() {
    let fleet = asking_fleet().await;
    let here = session(&fleet.replicas[0].endpoint).await;
    let id = here.start("summarize_orders", asking(), 60_000).await;
    let mut waiting = Stream::post(&here, 3, "tasks/result", json!({ "taskId": id })).await;
    let question = waiting.until("elicitation/create").await;
    let _own = Stream::get(&here.at(&fleet.replicas[1].endpoint)).await;
    let (carrier, mut until) = right_to_send(&fleet, &id).await;
    // It is held for 15 s, and must be renewed well before they are over.
    promptly(
        Duration::from_secs(8),
        "it is renewed in time",
        async || {
            let renewed = eventually_some(SOON, "the right to send is renewed", async || {
                let (now, later) = right_to_send(&fleet, &id).await;
                (later > until).then_some((now, later))
            });
            let (holder, later) = renewed.await;
            assert_eq!(holder, carrier);
            let since = Duration::from_millis(later - until);
            until = later;
            since
        },
    )
    .await;
    answer(&here, &question, json!({ "result": accepted() })).await;
    let result = waiting.next().await;
    assert_eq!(result["result"]["isError"], false, "{result:#}");
}

#[tokio::test]
async fn a_blocked_tasks_result_that_is_taken_back_ends_without_an_answer_and_leaves_the_task_alone()
 {
    let fleet = asking_fleet().await;
    let here = session(&fleet.replicas[0].endpoint).await;
    let elsewhere = here.at(&fleet.replicas[1].endpoint);
    let id = here.start("summarize_orders", asking(), 60_000).await;
    let params = json!({ "taskId": id });
    let mut waiting = Stream::post(&here, 3, "tasks/result", params.clone()).await;
    let question = waiting.until("elicitation/create").await;
    elsewhere.cancel(3).await;
    assert_eq!(waiting.next_or_end().await, None, "no answer");
    assert_eq!(here.task(&id).await["status"], "input_required");
    // Its question goes to whoever waits next, under the same id as well.
    let mut again = Stream::post(&elsewhere, 3, "tasks/result", params).await;
    let repeated = again.until("elicitation/create").await;
    assert_eq!(repeated["id"], question["id"]);
    answer(&here, &repeated, json!({ "result": accepted() })).await;
    let result = again.until("result").await;
    assert_eq!(result["result"]["isError"], false, "{result:#}");
}

#[tokio::test]
async fn a_new_level_holds_for_what_runs_already() {
    let fleet = Fleet::start_with(&["--stream-after", "100ms"], &[]).await;
    let here = Legacy::open_with_tasks(&fleet.replicas[0].endpoint).await;
    let elsewhere = here.at(&fleet.replicas[1].endpoint);
    let [task, call] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let mut own = Stream::get(&here).await;
    let id = start(&here, &task).await;
    let params = json!({
        "name": "paced", "arguments": paced(call.path()), "_meta": { "progressToken": "p" },
    });
    let mut plain = Stream::post(&here, 7, "tools/call", params).await;
    take_steps(task.path(), 1..=1);
    take_steps(call.path(), 1..=1);
    let (mut of_task, mut of_call) = (Told::default(), Told::default());
    of_task.until(&mut own, &id, |told| told.has_step(1)).await;
    of_call.until(&mut plain, "", |told| told.has_step(1)).await;

    level(&elsewhere, "error").await;
    take_steps(task.path(), 1..=2);
    take_steps(call.path(), 1..=2);
    let has_gone_on = |told: &Told| told.progress.last() == Some(&2.0);
    of_task.until(&mut own, &id, has_gone_on).await;
    of_call.until(&mut plain, "", has_gone_on).await;
    take_steps(task.path(), 1..=4);
    take_steps(call.path(), 1..=4);
    of_task.until(&mut own, &id, Told::is_over).await;
    plain.until("result").await;
    assert_eq!(of_task.lines, ["step 1"]);
    assert_eq!(of_call.lines, ["step 1"]);
}

#[tokio::test]
async fn what_could_not_be_told_while_redis_failed_is_told_afterwards() {
    let mut fleet = Fleet::start().await;
    let here = Legacy::open_with_tasks(&fleet.replicas[0].endpoint).await;
    let folder = tempfile::tempdir().unwrap();
    let mut own = Stream::get(&here).await;
    let id = start(&here, &folder).await;
    take_steps(folder.path(), 1..=1);
    let mut told = Told::default();
    told.until(&mut own, &id, |told| told.has_step(1)).await;
    // Nobody can read the log for a while.
    may_read_logs(&fleet, false).await;
    take_steps(folder.path(), 1..=4);
    job_has(&fleet, "status", "completed").await;
    let process = &mut fleet.replicas[0].process;
    process
        .wait_for_line(SOON, "could not read its tasks")
        .await;
    process
        .wait_for_line(SOON, "could not read its tasks")
        .await;
    may_read_logs(&fleet, true).await;
    told.until(&mut own, &id, Told::is_over).await;
    assert_eq!(told.lines, ["step 1", "step 2", "step 3"]);
}

async fn may_read_logs(fleet: &Fleet, may: bool) {
    let rule = if may { "+xrange" } else { "-xrange" };
    let mut redis = fleet.redis.raw().await;
    let set = redis::cmd("ACL")
        .arg("SETUSER")
        .arg("default")
        .arg(rule)
        .to_owned();
    let () = set.query_async(&mut redis).await.unwrap();
}

/// Looks that a session is kept while this request of it waits for a job.
async fn is_kept_by(fleet: &Fleet, method: &str) {
    let here = Legacy::open_with_tasks(&fleet.replicas[0].endpoint).await;
    let folder = tempfile::tempdir().unwrap();
    let arguments = paced(folder.path());
    let params = match method {
        "tasks/result" => json!({ "taskId": here.start("paced", arguments, 60_000).await }),
        _ => json!({ "name": "paced", "arguments": arguments }),
    };
    let mut waiting = Stream::post(&here, 5, method, params).await;
    let mut redis = fleet.redis.raw().await;
    let key = format!("tf:{{s:{}}}:session", here.session);
    let soon = redis::cmd("PEXPIRE").arg(&key).arg(25_000).to_owned();
    let () = soon.query_async(&mut redis).await.unwrap();
    eventually(SOON, "the session is kept", async || {
        let left = redis::cmd("PTTL").arg(&key).to_owned();
        let left: i64 = left.query_async(&mut redis).await.unwrap();
        left > 25_000
    })
    .await;
    take_steps(folder.path(), 1..=4);
    waiting.until("result").await;
}

#[tokio::test]
async fn a_request_that_waits_keeps_its_session() {
    let fleet = Fleet::start_with(&["--session-idle", "30s"], &[]).await;
    // Each looks once in ten seconds, so they wait together.
    tokio::join!(
        is_kept_by(&fleet, "tasks/result"),
        is_kept_by(&fleet, "tools/call")
    );
}
