//! How it all stands: Redis, queues, workers, tools.

use taskferry_contract::{DefinitionDigest, Verdict, WorkerInfo};

use super::rig::{Rig, tool};
use crate::operator::{HeldDefinitions, Operator, Registered};

/// A worker that runs these tools.
fn worker(id: &str, tools: &str, doing: &str) -> WorkerInfo {
    WorkerInfo {
        id: id.parse().unwrap(),
        host: "host-a".to_owned(),
        pid: 7,
        version: "0.1.0".to_owned(),
        slots: 4,
        busy: 1,
        tools: tools.to_owned(),
        doing: doing.to_owned(),
        queues: "default".to_owned(),
        digests: String::new(),
    }
}

#[tokio::test]
async fn a_tool_counts_its_workers_and_the_entries_of_its_queue() {
    let rig = Rig::start().await;
    let tools = rig.operator.tools();
    let stored = tools.register(tool("report")).await.unwrap();
    let known = tools.register(tool("report")).await.unwrap();
    assert_eq!((stored, known), (Registered::Stored, Registered::Known));
    tools.register(tool("audit")).await.unwrap();
    for (id, of, doing) in [
        ("w1", "audit,report", "fetching"),
        ("w2", "report", "fetching"),
        ("w3", "report", "draining"),
    ] {
        rig.store.beat(&worker(id, of, doing), &[]).await.unwrap();
    }
    let job = rig.queue(&tool("report")).await;

    let all = tools.list().await.unwrap();
    let seen: Vec<_> = all
        .tools
        .iter()
        .map(|(tool, standing)| {
            (
                tool.name.as_str(),
                standing.held.workers(),
                standing.on_queue,
            )
        })
        .collect();
    // A worker that drains begins nothing; the queue is shared.
    assert_eq!(seen, [("audit", 1, 1), ("report", 2, 1)]);
    let report = tools.find("report").await.unwrap().expect("it is there");
    assert!(tools.remove(report.name.as_str()).await.unwrap());
    assert!(tools.find("report").await.unwrap().is_none());
    assert_eq!(tools.standing(&report).await.unwrap().held.workers(), 2);
    rig.cancel(job).await;
}

#[tokio::test]
async fn a_tool_tells_which_of_its_workers_have_another_definition() {
    let rig = Rig::start().await;
    let (tools, listed) = (rig.operator.tools(), DefinitionDigest::of(&tool("report")));
    tools.register(tool("report")).await.unwrap();
    let (own, others) = (listed.to_string(), "1-0123456789abcdef");
    for (id, doing, digests) in [
        ("same", "fetching", format!("other 1-a,report {own}")),
        ("changed", "fetching", format!("report {others}")),
        ("by_another_rule", "fetching", "report 9-0123".to_owned()),
        ("does_not_say", "fetching", String::new()),
        ("drains", "draining", format!("report {others}")),
    ] {
        let worker = WorkerInfo {
            digests,
            ..worker(id, "report", doing)
        };
        rig.store.beat(&worker, &[]).await.unwrap();
    }
    let all = tools.list().await.unwrap();
    let held = HeldDefinitions {
        listed,
        as_listed: 1,
        others: vec![("changed".parse().unwrap(), others.parse().unwrap())],
        unsaid: ["by_another_rule", "does_not_say"]
            .map(|id| id.parse().unwrap())
            .into(),
    };
    assert_eq!(all.tools[0].1.held, held);
    assert_eq!(held.workers(), 4);
    let overview = rig.operator.overview().await.unwrap();
    assert_eq!(overview.differing, ["report".parse().unwrap()]);
    rig.store.leave(&"changed".parse().unwrap()).await.unwrap();
    let overview = rig.operator.overview().await.unwrap();
    assert!(overview.differing.is_empty());
}

#[tokio::test]
async fn a_worker_counts_for_a_tool_only_if_it_reads_the_queue_on_which_it_is_listed() {
    let rig = Rig::start().await;
    let tools = rig.operator.tools();
    tools.register(tool("report")).await.unwrap();
    for (id, queues) in [("here", "slow,default"), ("elsewhere", "slow")] {
        let worker = WorkerInfo {
            queues: queues.to_owned(),
            digests: "report 1-0123456789abcdef".to_owned(),
            ..worker(id, "report", "fetching")
        };
        rig.store.beat(&worker, &[]).await.unwrap();
    }
    let all = tools.list().await.unwrap();
    let held = &all.tools[0].1.held;
    let counted: Vec<&str> = held.others.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!((held.workers(), counted), (1, vec!["here"]));
    rig.store.leave(&"here".parse().unwrap()).await.unwrap();
    let all = tools.list().await.unwrap();
    assert_eq!(all.tools[0].1.held.workers(), 0);
}

#[tokio::test]
async fn the_overview_names_who_serves_a_queue_and_what_is_dead() {
    let rig = Rig::start().await;
    let empty = rig.operator.overview().await.unwrap();
    assert!(empty.queues.is_empty() && empty.workers.is_empty());
    assert_eq!((empty.tools, empty.rest.dead), (0, 0));

    rig.operator.tools().register(tool("report")).await.unwrap();
    for (id, doing) in [("w1", "fetching"), ("w2", "draining")] {
        let beat = worker(id, "report", doing);
        rig.store.beat(&beat, &[]).await.unwrap();
    }
    rig.bury(&tool("report"), "no").await;
    let job = rig.queue(&tool("report")).await;
    let overview = rig.operator.overview().await.unwrap();
    assert_eq!((overview.tools, overview.rest.dead), (1, 1));
    assert!(overview.workers.iter().all(|worker| !worker.is_silent()));
    assert_eq!(overview.workers.len(), 2);
    let [queue] = &overview.queues[..] else {
        panic!("not one queue: {:?}", overview.queues);
    };
    assert_eq!((queue.name.as_str(), queue.overview.length), ("default", 1));
    let serving: Vec<&str> = queue.served_by.iter().map(|id| id.as_str()).collect();
    assert_eq!(serving, ["w1"], "one that drains begins nothing");
    rig.cancel(job).await;
}

#[tokio::test]
async fn a_redis_that_does_not_answer_is_a_finding_without_its_password() {
    let port = taskferry_testing::free_port();
    let url = format!("redis://alice:secret@127.0.0.1:{port}/0");
    let findings = Operator::at(&url).unwrap().examine(None, None).await;
    let [finding] = &findings[..] else {
        panic!("not one finding: {findings:?}");
    };
    assert_eq!(
        (finding.check, finding.verdict),
        ("connection", Verdict::Fail)
    );
    assert!(!finding.sentence().contains("secret"), "{finding:?}");
}

#[tokio::test]
async fn a_redis_of_the_tests_is_fit() {
    let rig = Rig::start().await;
    assert!(rig.operator.is_ready().await);
    let findings = rig.operator.examine(None, None).await;
    let failed = findings.iter().find(|it| it.verdict == Verdict::Fail);
    assert_eq!(failed, None);
}
