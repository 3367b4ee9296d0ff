//! What the producers ask for: all from the seed.

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde::Serialize;
use serde_json::{Value, json};

/// A generation of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) enum Era {
    Legacy,
    Modern,
}

/// How a job must end if nothing else ends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) enum Ending {
    Result,
    ToolError,
    RpcError,
    /// It kills every worker it meets.
    Poison,
    /// It kills some, and may reach the crash limit with the help of others.
    MayPoison,
    /// With a result, unless its worker ends or falls silent meanwhile: it is never begun again.
    Once,
}

/// How many jobs of the tool `narrow` may run at once.
pub(crate) const NARROW: u32 = 2;

/// One call.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Call {
    /// Names the call in every log.
    pub(crate) label: String,
    pub(crate) era: Era,
    pub(crate) plain: bool,
    pub(crate) tool: &'static str,
    pub(crate) arguments: Value,
    pub(crate) ttl_ms: Option<u64>,
    pub(crate) cancel_after_ms: Option<u64>,
    /// Whether it has an idempotency key, its label, and is made twice or more.
    pub(crate) keyed: bool,
    pub(crate) pause_ms: u64,
    pub(crate) ending: Ending,
}

/// What the names of probes begin with.
pub(crate) const PROBE: &str = "probe-";

impl Call {
    /// What goes into `_meta` of its parameters, whatever the era adds.
    pub(crate) fn meta(&self) -> Value {
        if self.keyed {
            json!({ "taskferry/idempotencyKey": self.label })
        } else {
            json!({})
        }
    }

    /// What one replica is asked after the faults: a task and a plain call, in either era.
    pub(crate) fn probes(replica: usize) -> Vec<Self> {
        let kinds = [Era::Legacy, Era::Modern]
            .into_iter()
            .flat_map(|era| [(era, false), (era, true)]);
        kinds
            .map(|(era, plain)| {
                let kind = if plain { "plain" } else { "task" };
                let label = format!("{PROBE}{replica}-{era:?}-{kind}").to_lowercase();
                Self {
                    arguments: json!({ "work_ms": 20, "label": label }),
                    label,
                    era,
                    plain,
                    tool: "work",
                    ttl_ms: (!plain && era == Era::Legacy).then_some(600_000),
                    cancel_after_ms: None,
                    keyed: false,
                    pause_ms: 0,
                    ending: Ending::Result,
                }
            })
            .collect()
    }
}

/// The calls of one producer, one after the other, without end.
#[derive(Debug)]
pub(crate) struct Plan {
    producer: usize,
    made: u64,
    rng: StdRng,
    /// Whether some jobs kill their workers.
    crashes: bool,
}

impl Plan {
    pub(crate) fn new(seed: u64, producer: usize) -> Self {
        let own = u64::try_from(producer).unwrap_or_default() + 1;
        Self {
            producer,
            made: 0,
            rng: StdRng::seed_from_u64(seed.wrapping_mul(1_000_003).wrapping_add(own)),
            crashes: true,
        }
    }

    /// The same without jobs that kill their workers.
    pub(crate) fn harmless(self) -> Self {
        Self {
            crashes: false,
            ..self
        }
    }

    /// Whether the producer keeps its sessions' own stream open: every other one of the legacy era does.
    pub(crate) fn listens(&self) -> bool {
        self.producer.is_multiple_of(4)
    }

    /// The next call.
    pub(crate) fn call(&mut self) -> Call {
        self.made += 1;
        let label = format!("p{}-{}", self.producer, self.made);
        let era = if self.producer.is_multiple_of(2) {
            Era::Legacy
        } else {
            Era::Modern
        };
        let plain = self.rng.random_bool(0.25);
        let (tool, mut arguments, ending) = self.work();
        if let Some(all) = arguments.as_object_mut() {
            all.insert("label".to_owned(), json!(label));
        }
        let short = !plain && era == Era::Legacy && self.rng.random_bool(0.15);
        let cancelled = self.rng.random_bool(0.15);
        // A key goes with its task.
        let keyed = !plain && !short && self.rng.random_bool(0.2);
        Call {
            label,
            era,
            plain,
            tool,
            arguments,
            ttl_ms: (!plain && era == Era::Legacy).then(|| {
                if short {
                    self.rng.random_range(1_000..2_500)
                } else {
                    600_000
                }
            }),
            cancel_after_ms: cancelled.then(|| self.rng.random_range(0..1_500)),
            keyed,
            pause_ms: self.rng.random_range(0..250),
            ending,
        }
    }

    fn work(&mut self) -> (&'static str, Value, Ending) {
        let rng = &mut self.rng;
        let quick = rng.random_range(20..400_u64);
        // Longer than a lease.
        let slow = rng.random_range(1_200..2_400_u64);
        let below = rng.random_range(2..4_u64);
        let kinds = if self.crashes { 100 } else { 95 };
        match rng.random_range(0..kinds) {
            0..26 => ("work", json!({ "work_ms": quick }), Ending::Result),
            26..30 => ("once", json!({ "work_ms": quick * 3 }), Ending::Once),
            30..52 => ("work", json!({ "work_ms": slow }), Ending::Result),
            52..56 => ("narrow", json!({ "work_ms": quick }), Ending::Result),
            56..62 => shell(quick / 100, 0),
            62..68 => shell(slow / 100, 0),
            68..72 => shell(1, below),
            72..79 => (
                "work",
                json!({ "work_ms": quick, "retry_below": below }),
                Ending::Result,
            ),
            79..89 => (
                "work",
                json!({ "work_ms": quick, "ask": true }),
                Ending::Result,
            ),
            89..92 => (
                "work",
                json!({ "work_ms": quick, "fail": "tool" }),
                Ending::ToolError,
            ),
            92..95 => (
                "work",
                json!({ "work_ms": quick, "fail": "rpc" }),
                Ending::RpcError,
            ),
            95..98 => (
                "crasher",
                json!({ "work_ms": quick, "crash_below": below }),
                Ending::MayPoison,
            ),
            _ => (
                "crasher",
                json!({ "work_ms": quick, "crash_below": 1_000 }),
                Ending::Poison,
            ),
        }
    }
}

fn shell(steps: u64, retry_below: u64) -> (&'static str, Value, Ending) {
    let arguments = json!({ "steps": steps, "retry_below": retry_below });
    ("shell", arguments, Ending::Result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_stands_for_the_calls_of_each_producer() {
        let calls = |seed, producer| {
            let mut plan = Plan::new(seed, producer);
            (0..50).map(|_| plan.call()).collect::<Vec<Call>>()
        };
        assert_eq!(calls(1, 0), calls(1, 0));
        let arguments = |calls: Vec<Call>| {
            calls
                .into_iter()
                .map(|call| call.pause_ms)
                .collect::<Vec<_>>()
        };
        assert_ne!(arguments(calls(1, 0)), arguments(calls(2, 0)));
        assert_ne!(arguments(calls(1, 0)), arguments(calls(1, 2)));
    }
}
