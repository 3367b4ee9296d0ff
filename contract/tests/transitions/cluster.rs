//! Every transition on a node in cluster mode, which refuses a call or a script whose keys are in two hash slots; and the
//! slots of what MONITOR saw, as they are computed here.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::slice;
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use taskferry_contract::{
    Alias, ClaimReply, ClientTaskReport, ClientTaskStatus, DefinitionDigest, Delivery, Holder,
    Installed, Leaver, LetterFilter, LogLevel, Pausable, PendingFrom, ProgressReport, Rate,
    RateCost, RateExcess, Replaces, ReportOccasion, Scope, Session, SessionId, SessionLimits,
    SessionRoom, Shards, Submission, SubmitReply, TaskId, hash_slot, sources,
};
use taskferry_testing::{ServerOptions, TestServer};

use crate::rig::Rig;
use crate::samples::{asking, key, look_at, sender, session, started, worker};

pub(crate) const KEEP: Duration = Duration::from_secs(300);
/// What MONITOR shows last.
pub(crate) const LAST: &str = "every call was seen";

/// What one run of a script touched.
struct Run {
    transition: String,
    /// The keys that it was called with, and those that its commands named: keys, and channels.
    touched: BTreeSet<String>,
}

/// Everything that a server is told from now on, as MONITOR shows it. The server keeps what is not read yet.
pub(crate) async fn record(server: &TestServer) -> impl Stream<Item = String> + use<> {
    let client = redis::Client::open(server.url()).unwrap();
    let monitor = client.get_async_monitor().await.unwrap();
    monitor.into_on_message()
}

/// Where a command came from, and its words: `1795405088.233 [0 lua] "HGET" "key" …`.
pub(crate) fn parse(line: &str) -> (bool, Vec<String>) {
    let (head, words) = line.split_once("] ").unwrap();
    let mut all = Vec::new();
    let mut rest = words.chars();
    while rest.next() == Some('"') {
        let mut word = String::new();
        while let Some(next) = rest.next().filter(|next| *next != '"') {
            word.extend(if next == '\\' {
                rest.next()
            } else {
                Some(next)
            });
        }
        all.push(word);
        rest.next();
    }
    (head.ends_with(" lua"), all)
}

/// The runs of our scripts among what was seen.
async fn runs(seen: impl Stream<Item = String>) -> Vec<Run> {
    let names: BTreeMap<String, &str> = sources()
        .map(|(name, source)| (redis::Script::new(source).get_hash().to_owned(), name))
        .collect();
    let mut runs: Vec<Run> = Vec::new();
    tokio::pin!(seen);
    while let Some(line) = seen.next().await.filter(|line| !line.contains(LAST)) {
        let (by_script, words) = parse(&line);
        let of = |from: usize, count| words.iter().skip(from).take(count).cloned();
        match words[0].to_uppercase().as_str() {
            "EVALSHA" => runs.push(Run {
                transition: names[&words[1]].to_owned(),
                touched: of(3, words[2].parse().unwrap()).collect(),
            }),
            "FCALL" => runs.push(Run {
                transition: words[1].strip_prefix("tf3_").unwrap().to_owned(),
                touched: of(3, words[2].parse().unwrap()).collect(),
            }),
            "SELECT" => panic!("a node of a Cluster has one database: {line}"),
            "TIME" => {}
            "XGROUP" if by_script => runs.last_mut().unwrap().touched.extend(of(2, 1)),
            _ if by_script => runs.last_mut().unwrap().touched.extend(of(1, 1)),
            _ => {}
        }
    }
    runs
}

/// A rate that refuses, and that nothing here uses up.
pub(crate) fn generous() -> Rate {
    Rate {
        excess: RateExcess::Refuse,
        ..Rate::new(1_000, KEEP)
    }
}

async fn rig() -> Rig {
    let options = ServerOptions {
        cluster: true,
        ..ServerOptions::default()
    };
    let mut rig = Rig::on(options, Shards::new(7).unwrap()).await;
    rig.tool.concurrency = Some(1);
    rig.tool.rate = Some(generous());
    rig
}

/// `agree_version`, `ensure_group`, `register_tools`, `give_homes`, `rotate_secret`, beat, `forget_worker`.
pub(crate) async fn the_fleet_comes_and_goes(rig: &mut Rig) {
    rig.store.ready().await.unwrap();
    rig.at_work.ready().await.unwrap();
    rig.ensure_group().await;
    rig.at_work
        .register_tools(slice::from_ref(&rig.tool))
        .await
        .unwrap();
    let home = (rig.tool.name.clone(), rig.tool.queue.clone());
    rig.store.give_homes(&[home]).await.unwrap();
    let held = (rig.tool.name.clone(), DefinitionDigest::of(&rig.tool));
    let (beating, held) = (worker("w1"), [held]);
    rig.at_work.beat(&beating, &held).await.unwrap();
    let again = rig.at_work.beat_again(&beating.id, &held).await;
    assert!(again.unwrap());
    let from = rig.stream();
    rig.at_work.forget_worker(&rig.worker, from).await.unwrap();
    rig.at_work.leave(&rig.worker).await.unwrap();
    rig.operator.rotate_secret(KEEP).await.unwrap();
    rig.operator.remove_tool("report").await.unwrap();
}

/// `set_session_level`, `hold_session_stream`, `drop_session_stream`, `take_place`, `take_rate`, and what is called of sessions without a script.
pub(crate) async fn a_session_lives(rig: &mut Rig) {
    let (store, task) = (&rig.store, TaskId::random(rig.shard));
    let opened = Session {
        revision: "2025-11-25".to_owned(),
        owner: rig.owner.clone(),
        capabilities: "{}".to_owned(),
        client: "test".to_owned(),
        log_level: None,
    };
    let id = SessionId::random();
    store.open_session(id, &opened, KEEP).await.unwrap();
    let (holder, limits) = (Holder::of(&rig.owner, None), SessionLimits::default());
    let counted = store.count_session(id, holder, limits, KEEP).await;
    assert_eq!(counted.unwrap(), SessionRoom::Free);
    store.uncount_session(id, holder).await.unwrap();
    let one = NonZeroU32::MIN;
    let request = RateCost {
        each_second: one,
        cost: one,
        owed: false,
    };
    store.take_rate(&rig.owner, request).await.unwrap();
    store.set_session_level(id, LogLevel::Info).await.unwrap();
    let stream = sender("r").id;
    store.open_session_stream(id, &stream, KEEP).await.unwrap();
    store.drop_session_stream(id, &stream).await.unwrap();
    store.begin_session_request(id, "a", KEEP).await.unwrap();
    store.note_session_call(id, "a", task, KEEP).await.unwrap();
    store.cancel_session_request(id, "a").await.unwrap();
    store.session_request(id, "a").await.unwrap();
    store.forget_session_tasks(id, &[task]).await.unwrap();
    store.end_session(id).await.unwrap();
}

/// A plain call whose alias may stand for a job already.
fn aliased<'a>(rig: &'a Rig, alias: &'a Alias) -> Submission<'a> {
    Submission {
        plain: true,
        keep: KEEP,
        alias: Some(alias),
        ..rig.submission()
    }
}

/// submit, watch, claim, `renew_lease`, `report_progress`, `report_log`, `schedule_retry`, release, forward, finish: a job with an
/// idempotency key, and one that waits for its slot.
pub(crate) async fn jobs_run(rig: &mut Rig) {
    let (alias, front_end) = (key(&rig.owner, "k"), "front_end".parse().unwrap());
    let hold = rig.running_as(aliased(rig, &alias)).await;
    let id = hold.claimed.id;
    rig.store.submit(&aliased(rig, &alias)).await.unwrap();
    rig.store.watch(id, &rig.owner, &front_end).await.unwrap();
    rig.submit().await;
    let reply = rig.claim(&rig.next().await).await;
    assert!(matches!(reply, ClaimReply::Waits(None)), "{reply:?}");
    rig.at_work.renew_lease(&hold, KEEP).await.unwrap();
    let half = ProgressReport {
        progress: Some(0.5),
        ..ProgressReport::default()
    };
    let told = rig.at_work.report_progress(&hold, &half).await;
    told.unwrap().unwrap();
    let lines = [(LogLevel::Info, "a line".to_owned())];
    rig.at_work
        .report_log(&hold, &lines)
        .await
        .unwrap()
        .unwrap();
    rig.retry(&hold).await;
    let (other, _) = rig.start().await;
    let released = rig
        .at_work
        .release_after_run(&other, Duration::ZERO, None)
        .await;
    released.unwrap();
    rig.at_work.forward(rig.stream(), 10).await.unwrap();
    // The second one's entry stands first, and its place does not.
    while let Some(Delivery::Job(claimed)) = rig.deliveries().await.pop() {
        let reply = rig.claim(&claimed).await;
        if matches!(reply, ClaimReply::Started(_)) {
            let (hold, _) = started(claimed, &rig.worker, reply);
            rig.finish(&hold).await;
        }
    }
}

/// `ask_input`, `deliver_input`, `recall_input`, `note_client_task`, `poll_client_task`, `drop_client_tasks`, park, `answer_input`.
pub(crate) async fn a_question_is_answered(rig: &mut Rig) {
    let hold = rig.running().await;
    let (store, owner, id) = (&rig.store, &rig.owner, hold.claimed.id);
    let asked = rig.at_work.ask_input(&hold, &[asking("a")]).await;
    asked.unwrap();
    let (question, sender) = (rig.question(id, "a"), sender("c1"));
    let delivered = store.deliver_input(question, KEEP, &sender);
    delivered.await.unwrap();
    store.recall_input(id, owner, &sender.id).await.unwrap();
    let said = ClientTaskReport {
        session: session(1),
        by: ReportOccasion::Making("t1"),
        status: ClientTaskStatus::Working,
        message: "",
        poll: Some(KEEP),
    };
    store.note_client_task(question, said).await.unwrap();
    let polled = store.poll_client_task(question, KEEP, &sender);
    polled.await.unwrap();
    rig.at_work.park(&hold).await.unwrap();
    let answered = store.answer_input(question, "1");
    answered.await.unwrap();
    store
        .drop_client_tasks(id, owner, session(1))
        .await
        .unwrap();
    let (hold, _) = rig.start().await;
    rig.finish(&hold).await;
}

/// `promote`, cancel, `leave_call`, `begin_outside`, `take_outside`, `end_outside`.
pub(crate) async fn calls_are_left(rig: &mut Rig) {
    let scope = Scope {
        owner: &rig.owner,
        session: None,
    };
    let alike = Alias::identical(scope, &"digest".into()).unwrap();
    let id = rig.submit_as(aliased(rig, &alike)).await;
    rig.store.promote(id, &rig.owner, KEEP).await.unwrap();
    rig.store.cancel(id, &rig.owner, "no").await.unwrap();
    let id = rig.submit_as(aliased(rig, &alike)).await;
    let leaver = Leaver {
        sharer: id,
        on_purpose: false,
    };
    let left = rig.store.leave_call(id, &rig.owner, leaver, "left");
    left.await.unwrap();
    let hold = rig.running().await;
    let (id, stream, tool) = (hold.claimed.id, rig.stream(), &rig.tool.name);
    rig.at_work.begin_outside(&hold).await.unwrap().unwrap();
    rig.store.cancel(id, &rig.owner, "no").await.unwrap();
    let tools = [tool];
    let left = rig.at_work.take_outside(stream, 1, KEEP, &tools);
    left.await.unwrap();
    let ended = rig.at_work.end_outside(stream, id, tool, None);
    ended.await.unwrap();
}

/// reclaim, requeue, `hold_housekeeping`, `drop_housekeeping`, `dead_letter`, revive; and jobs that expired while they waited.
pub(crate) async fn jobs_are_lost(rig: &mut Rig) {
    let hold = rig.running().await;
    let hold = rig.crash(&hold).await;
    rig.lapse(&hold).await;
    let post = (rig.shard, None);
    let held = rig.store.hold_housekeeping(post, "f1", KEEP, 1);
    held.await.unwrap();
    let from = PendingFrom::default();
    let requeued = rig.store.requeue(rig.stream(), &from, look_at(10));
    assert_eq!(requeued.await.unwrap().found.len(), 1);
    rig.store.drop_housekeeping(post, "f1").await.unwrap();
    let (hold, _) = rig.start().await;
    rig.finish(&hold).await;

    let id = rig.submit().await;
    rig.expire(id).await;
    let reply = rig.claim(&rig.next().await).await;
    assert!(matches!(reply, ClaimReply::Gone(_)), "{reply:?}");

    let queue = rig.store.keys().queue(rig.shard, &rig.tool.queue);
    rig.raw::<()>("XADD", (queue, "*", "id", "none")).await;
    let Some(Delivery::Unreadable(found)) = rig.deliveries().await.pop() else {
        panic!("a job in an entry that names none");
    };
    let buried = rig.at_work.dead_letter(&found, "why");
    buried.await.unwrap();

    rig.tool.attempts = 1;
    let hold = rig.running().await;
    rig.retry(&hold).await;
    let all = LetterFilter::default();
    let letters = rig.operator.dead_letters(&all, 10).await.unwrap();
    let letter = letters.iter().find(|letter| letter.task.is_some()).unwrap();
    let revivable = rig.operator.revivable(letter).await.unwrap().unwrap();
    let id = TaskId::random(rig.shard);
    let revived = rig.operator.revive(letter, &revivable, &rig.tool, id);
    revived.await.unwrap();
    let (hold, _) = rig.start().await;
    rig.finish(&hold).await;
    let ids: Vec<_> = letters.iter().map(|letter| letter.id).collect();
    rig.operator.purge_dead(&ids).await.unwrap();
}

/// pause, resume: of jobs that wait meanwhile one expires.
pub(crate) async fn a_tool_is_paused(rig: &mut Rig) {
    let tool = Pausable::Tool(rig.tool.name.clone());
    rig.operator.pause(&tool, "alice", "why").await.unwrap();
    let mut waiting = Vec::new();
    for _ in 0..2 {
        waiting.push(rig.submit().await);
        let reply = rig.claim(&rig.next().await).await;
        assert!(matches!(reply, ClaimReply::Waits(None)), "{reply:?}");
    }
    rig.expire(waiting[0]).await;
    let queues = [rig.tool.queue.clone()];
    let resumed = rig.operator.resume(&tool, &queues).await.unwrap();
    assert!(resumed.is_some());
    let (hold, _) = rig.start().await;
    assert_eq!(hold.claimed.id, waiting[1]);
    rig.finish(&hold).await;
}

/// submit, claim and forward of a tool whose rate is used up.
pub(crate) async fn a_rate_is_used_up(rig: &mut Rig) {
    let begun = format!("{}begun:default:report", rig.store.keys().base(rig.shard));
    rig.raw::<()>("DEL", &begun).await;
    let hold = rig.running().await;
    rig.finish(&hold).await;
    let refuses = generous();
    rig.tool.rate = Some(Rate {
        count: 1,
        ..refuses
    });
    let reply = rig.store.submit(&rig.submission()).await.unwrap();
    assert!(matches!(reply, SubmitReply::RateUsedUp { .. }), "{reply:?}");
    rig.tool.rate = Some(Rate::new(1, KEEP));
    let waiting = rig.submit().await;
    let reply = rig.claim(&rig.next().await).await;
    assert!(matches!(reply, ClaimReply::Waits(None)), "{reply:?}");
    let forwarded = rig.store.forward(rig.stream(), 10).await.unwrap();
    assert!(forwarded.call_again_ms.is_some());
    rig.raw::<()>("DEL", &begun).await;
    rig.store.forward(rig.stream(), 10).await.unwrap();
    let (hold, _) = rig.start().await;
    assert_eq!(hold.claimed.id, waiting);
    rig.finish(&hold).await;
    rig.tool.rate = Some(refuses);
}

/// Makes a new job of the dead letter of one.
async fn revive(rig: &Rig, dead: TaskId) -> TaskId {
    let letter = rig.operator.dead_letter_of(dead).await.unwrap().unwrap();
    let revivable = rig.operator.revivable(&letter).await.unwrap().unwrap();
    let id = TaskId::random(rig.shard);
    let revived = rig.operator.revive(&letter, &revivable, &rig.tool, id);
    revived.await.unwrap();
    id
}

/// An owner has more than its share, and the others of its jobs wait in a line: submit, claim, forward and revive know of it.
pub(crate) async fn jobs_wait_in_line(rig: &mut Rig) {
    async fn submit(rig: &Rig) -> TaskId {
        let submission = Submission {
            owner_share: 1,
            ..rig.submission()
        };
        rig.submit_as(submission).await
    }
    // The tool has a slot for each.
    rig.tool.concurrency = None;
    let first = submit(rig).await;
    let second = submit(rig).await;
    let third = submit(rig).await;
    let view = rig.view(third).await.unwrap();
    assert_eq!(rig.store.ahead_in_line(&view).await.unwrap(), Some(2));
    rig.operator.queue_overview(&rig.tool.queue).await.unwrap();
    for store in [&rig.store, &rig.at_work] {
        let forwarded = store.forward(rig.stream(), 10).await.unwrap();
        assert!(forwarded.call_again_ms.is_some());
    }
    let (hold, _) = rig.start().await;
    assert_eq!(hold.claimed.id, first);
    rig.finish(&hold).await;
    rig.store.cancel(second, &rig.owner, "no").await.unwrap();

    rig.tool.attempts = 1;
    let (hold, _) = rig.start().await;
    assert_eq!(hold.claimed.id, third);
    rig.retry(&hold).await;
    let before = submit(rig).await;
    let again = revive(rig, third).await;
    let (hold, _) = rig.start().await;
    assert_eq!(hold.claimed.id, before);
    rig.finish(&hold).await;
    let (hold, _) = rig.start().await;
    assert_eq!(hold.claimed.id, again);
    rig.retry(&hold).await;
    let last = revive(rig, again).await;
    let (hold, _) = rig.start().await;
    assert_eq!(hold.claimed.id, last);
    rig.finish(&hold).await;
    rig.tool.concurrency = Some(1);
}

/// The names of the scripts, as they lie in their folder.
fn in_the_folder() -> BTreeSet<String> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/lua");
    let files = std::fs::read_dir(folder).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    names
        .filter_map(|name| Some(name.strip_suffix(".lua")?.to_owned()))
        .collect()
}

#[tokio::test]
async fn every_transition_has_its_keys_in_one_hash_slot() {
    let rig = rig().await;
    every_transition_runs(rig).await;
}

#[tokio::test]
async fn every_function_of_the_library_does_what_its_transition_does() {
    let mut rig = rig().await;
    let installed = rig.store.install_functions(Replaces::Older).await;
    assert_eq!(installed.unwrap(), Installed::New);
    let by_functions = rig.store.clone().through_functions();
    rig.uses(&by_functions);
    every_transition_runs(rig).await;
}

async fn every_transition_runs(mut rig: Rig) {
    let seen = record(&rig.server).await;
    the_fleet_comes_and_goes(&mut rig).await;
    a_session_lives(&mut rig).await;
    jobs_run(&mut rig).await;
    a_question_is_answered(&mut rig).await;
    calls_are_left(&mut rig).await;
    jobs_are_lost(&mut rig).await;
    a_tool_is_paused(&mut rig).await;
    a_rate_is_used_up(&mut rig).await;
    jobs_wait_in_line(&mut rig).await;
    rig.operator.survey().await.unwrap();
    rig.operator.shard_overview(&rig.queues()).await.unwrap();
    rig.raw::<String>("ECHO", LAST).await;
    let runs = runs(seen).await;

    let ran: BTreeSet<String> = runs.iter().map(|run| run.transition.clone()).collect();
    assert_eq!(ran, in_the_folder(), "each is run here");
    for Run {
        transition,
        touched,
    } in &runs
    {
        let slots: BTreeSet<u16> = touched
            .iter()
            .map(|key| hash_slot(key.as_bytes()))
            .collect();
        assert_eq!(slots.len(), 1, "{transition} touched {touched:?}");
        let tagged = |key: &String| key.starts_with("tf:{") || key == "tf:contract";
        assert!(touched.iter().all(tagged), "{transition}: {touched:?}");
    }
    // That keys which scripts derive are among them.
    let touched: BTreeSet<&String> = runs.iter().flat_map(|run| &run.touched).collect();
    for name in [
        "due:default",
        "dead",
        "expired",
        "waiting:default",
        "running:default:report",
        "begun:default:report",
        "booked:default:report",
        "ready:default:report:key:alice",
        "line:default:report:key:alice",
        "lines:default",
        "backlog:default",
        "outside:default",
    ] {
        let name = format!("{}{name}", rig.store.keys().base(rig.shard));
        assert!(touched.contains(&name), "{name} is not among {touched:?}");
    }
    for key in touched {
        let slot: u16 = rig.raw("CLUSTER", ("KEYSLOT", key)).await;
        assert_eq!(slot, hash_slot(key.as_bytes()), "{key}");
    }
}

#[tokio::test]
async fn a_script_with_keys_in_two_hash_slots_is_refused_there() {
    let mut rig = rig().await;
    // With the first line of ours; the second key is derived, as ours derive theirs.
    let script = "#!lua\nredis.call('GET', KEYS[1]) return redis.call('GET', ARGV[1])";
    for (second, fits) in [("tf:{1}:b", true), ("tf:{2}:b", false)] {
        let mut call = redis::cmd("EVAL");
        call.arg((script, 1, "tf:{1}:a", second));
        let reply = call.query_async::<Option<String>>(&mut rig.redis).await;
        assert_eq!(reply.is_ok(), fits, "{reply:?}");
    }
}
