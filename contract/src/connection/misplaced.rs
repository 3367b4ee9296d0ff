//! Finds keys of another type than they should be, because something other than Taskferry wrote to them. An error of Redis
//! says only that there is one.

use redis::aio::MultiplexedConnection;

use crate::hash_slot::hash_slot;
use crate::keys::kind_of;
use crate::model::overview::Misplaced;
use crate::script::TransitionCall;

/// How many keys are checked in one round trip.
const AT_ONCE: usize = 500;

/// Which of these keys are of another type than their names say. Keys whose names are not Taskferry's are passed over.
pub(crate) async fn find(
    connection: &mut MultiplexedConnection,
    keys: &[String],
) -> Result<Vec<Misplaced>, redis::RedisError> {
    let ours: Vec<(&String, &'static str)> = keys
        .iter()
        .filter_map(|key| Some((key, kind_of(key)?)))
        .collect();
    let mut found = Vec::new();
    let alike = ours.chunk_by(|(one, _), (next, _)| slot_of(one) == slot_of(next));
    for some in alike.flat_map(|keys| keys.chunks(AT_ONCE)) {
        let mut types = redis::pipe();
        for (key, _) in some {
            types.cmd("TYPE").arg(key.as_str());
        }
        let types: Vec<String> = types.query_async(connection).await?;
        for ((key, belongs), holds) in some.iter().zip(types) {
            if holds != *belongs && holds != "none" {
                found.push(Misplaced {
                    key: (*key).clone(),
                    holds,
                    belongs,
                });
            }
        }
    }
    Ok(found)
}

fn slot_of(key: &str) -> u16 {
    hash_slot(key.as_bytes())
}

/// The keys that a transition may touch: those that it names, and those that it derives from the base and a name among its
/// arguments.
pub(crate) fn touched(call: TransitionCall<'_>) -> Vec<String> {
    let mut all: Vec<String> = call.keys.iter().map(|key| (*key).to_owned()).collect();
    let Some(base) = call.base() else {
        return all;
    };
    all.extend(["dead", "expired"].map(|name| format!("{base}{name}")));
    // Names are short, and come first.
    let names = call.args.iter().skip(1).take(NAMES);
    let names: Vec<&str> = names
        .copied()
        .filter(|name| (1..=300).contains(&name.len()))
        .collect();
    let named = call
        .keys
        .iter()
        .filter_map(|key| key.split_once("}:queue:"));
    let queues: Vec<&str> = named.map(|(_, queue)| queue).collect();
    for name in names.iter().chain(&queues) {
        all.extend(DERIVED.map(|of| format!("{base}{of}:{name}")));
    }
    for (queue, tool) in queues
        .iter()
        .flat_map(|queue| names.iter().map(move |name| (queue, name)))
    {
        all.extend(OF_TOOLS.map(|of| format!("{base}{of}:{queue}:{tool}")));
    }
    all
}

/// How many of a transition's first arguments may be names.
const NAMES: usize = 12;
/// Keys that are derived from the name of a queue or an owner.
const DERIVED: [&str; 5] = ["queue", "due", "waiting", "active", "owned"];
/// Keys that are derived from the names of a queue and a tool.
const OF_TOOLS: [&str; 2] = ["running", "waiting"];
