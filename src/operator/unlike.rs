//! Queues whose workers have not the same tools: a job may come to a worker that has to give it back.

use std::collections::BTreeSet;

use taskferry_contract::{Finding, QueueName, ToolDefinition, Verdict};

use super::seen::SeenWorker;

/// At most so many tools of a queue are named.
const NAMED: usize = 5;

/// A warning for each queue of these tools that is read by workers with a tool of it, and by others without.
pub(super) fn findings(tools: &[ToolDefinition], workers: &[SeenWorker]) -> Vec<Finding> {
    let queues: BTreeSet<&QueueName> = tools.iter().map(|tool| &tool.queue).collect();
    let queues = queues.into_iter();
    queues
        .filter_map(|queue| of_queue(queue, tools, workers))
        .collect()
}

fn of_queue(
    queue: &QueueName,
    tools: &[ToolDefinition],
    workers: &[SeenWorker],
) -> Option<Finding> {
    let reads = |worker: &&SeenWorker| worker.is_counted_on() && worker.info.serves(queue);
    let readers: Vec<&SeenWorker> = workers.iter().filter(reads).collect();
    let lacks = |worker: &SeenWorker, tool: &str| !worker.info.runs(tool);
    let own = tools.iter().filter(|tool| tool.queue == *queue);
    let names = own.map(|tool| tool.name.as_str());
    // A tool that none of them has waits for its worker, whichever queue that reads.
    let at_some = |tool: &&str| {
        let lacking = readers.iter().filter(|worker| lacks(worker, tool)).count();
        lacking > 0 && lacking < readers.len()
    };
    let at_some: Vec<&str> = names.filter(at_some).collect();
    let lack_one = |worker: &&&SeenWorker| at_some.iter().any(|tool| lacks(worker, tool));
    let count = readers.iter().filter(lack_one).count();
    let of = format!("{count} of {} workers of queue {queue}", readers.len());
    let found = match &at_some[..] {
        [] => return None,
        [one] => {
            let verb = if count == 1 { "does" } else { "do" };
            format!("{of} {verb} not have {one}: its jobs go back and forth")
        }
        several => {
            let verb = if count == 1 { "lacks" } else { "lack" };
            let (named, others) = several.split_at(several.len().min(NAMED));
            let named = named.join(", ");
            let more = match others.len() {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            format!("{of} {verb} some of {named}{more}: their jobs go back and forth")
        }
    };
    Some(Finding {
        check: "tools",
        verdict: Verdict::Warn,
        found,
        remedy: Some("give workers with other tools a queue of their own".to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use taskferry_contract::WorkerInfo;

    use super::*;

    fn tool(name: &str, queue: &str) -> ToolDefinition {
        let text =
            format!(r#"{{"name":"{name}","queue":"{queue}","input_schema":{{"type":"object"}}}}"#);
        serde_json::from_str(&text).unwrap()
    }

    fn worker(tools: &str, queues: &str) -> SeenWorker {
        SeenWorker {
            info: WorkerInfo {
                id: "w".parse().unwrap(),
                host: String::new(),
                pid: 1,
                version: String::new(),
                slots: 1,
                busy: 0,
                tools: tools.to_owned(),
                doing: "fetching".to_owned(),
                queues: queues.to_owned(),
                digests: String::new(),
            },
            beat_ms: 0,
            silent_for: Duration::ZERO,
        }
    }

    fn found(tools: &[ToolDefinition], workers: &[SeenWorker]) -> Vec<String> {
        let findings = findings(tools, workers);
        findings.into_iter().map(|finding| finding.found).collect()
    }

    #[test]
    fn queues_whose_workers_have_not_the_same_tools_are_named() {
        let tools = [
            tool("a", "default"),
            tool("b", "default"),
            tool("c", "slow"),
        ];
        let like = [worker("a,b", "default"), worker("c", "slow")];
        assert!(found(&tools, &like).is_empty());
        let mut unlike = vec![worker("a,b,c", "default,slow"), worker("a", "default,slow")];
        assert_eq!(
            found(&tools, &unlike),
            [
                "1 of 2 workers of queue default does not have b: its jobs go back and forth",
                "1 of 2 workers of queue slow does not have c: its jobs go back and forth",
            ]
        );
        unlike.push(worker("d", "default"));
        let both =
            "2 of 3 workers of queue default lack some of a, b: their jobs go back and forth";
        assert_eq!(found(&tools, &unlike)[0], both);
        // Those that begin nothing more are no part of it.
        for gone in &mut unlike[1..] {
            gone.info.doing = "draining".to_owned();
        }
        assert!(found(&tools, &unlike).is_empty());
        for silent in &mut unlike[1..] {
            silent.info.doing = "fetching".to_owned();
            silent.silent_for = Duration::from_secs(40);
        }
        assert!(found(&tools, &unlike).is_empty());
    }

    #[test]
    fn a_tool_that_no_worker_has_is_no_finding_and_many_are_cut() {
        let workers = [worker("x", "default"), worker("y", "default")];
        assert!(found(&[tool("a", "default")], &workers).is_empty());
        let all = ["a", "b", "c", "d", "e", "f", "g"];
        let workers = [worker("x", "default"), worker(&all.join(","), "default")];
        let found = found(&all.map(|name| tool(name, "default")), &workers);
        let told = "1 of 2 workers of queue default lacks some of a, b, c, d, e and 2 more: their jobs go back and forth";
        assert_eq!(found, [told]);
    }
}
