//! Whether the user may run every command that the contract needs, on the keys and channels of the prefix.
//!
//! Redis checks permissions before it reads a command's arguments, so each command is sent in a form that does nothing: on
//! keys that do not exist, or with arguments that it refuses.

use std::time::Duration;

use redis::{Cmd, Value};

use crate::error::Error;
use crate::model::durability::Durability;
use crate::model::finding::Finding;
use crate::model::names::FrontEndId;
use crate::model::shard::Shard;
use crate::store::Store;

/// At most so many missing rights are named.
const NAMED: usize = 10;

/// Every command but those below, with the arguments after its key.
const ON_A_KEY: &[(&str, &str)] = &[
    ("DEL", ""),
    ("EXISTS", ""),
    ("GET", ""),
    // An odd number of fields and values.
    ("HSET", "f v g"),
    ("HDEL", "f"),
    ("HEXISTS", "f"),
    ("HGET", "f"),
    ("HGETALL", ""),
    // No number.
    ("HINCRBY", "f x"),
    ("HKEYS", ""),
    ("HMGET", "f"),
    ("HSTRLEN", "f"),
    ("PEXPIRE", "1"),
    ("PEXPIREAT", "1"),
    ("PEXPIRETIME", ""),
    ("PTTL", ""),
    ("SET", "v XX"),
    ("TYPE", ""),
    ("XACK", "workers 1-1"),
    ("XADD", "NOMKSTREAM 1-1 f v"),
    ("XCLAIM", "workers w 0 1-1"),
    ("XDEL", "1-1"),
    ("XLEN", ""),
    ("XPENDING", "workers"),
    ("XRANGE", "- +"),
    ("XREVRANGE", "+ -"),
    ("XTRIM", "MAXLEN 1"),
    ("ZADD", "XX 1 m"),
    ("ZCARD", ""),
    ("ZCOUNT", "0 0"),
    ("ZRANGE", "0 0"),
    ("ZRANK", "m"),
    ("ZRANGEBYSCORE", "0 0"),
    ("ZREM", "m"),
    ("ZREMRANGEBYSCORE", "0 0"),
    ("ZSCORE", "m"),
];

/// Checks every command, one by one: else the first refusal would hide the others.
pub(super) async fn check(store: &Store, wanted: Option<Durability>) -> Result<Finding, Error> {
    let unknown = unknown(store, wanted).await?;
    if !unknown.is_empty() {
        let named = unknown.join(", ");
        return Ok(Finding::fail(
            "permissions",
            format!("this Redis does not know {named}: renamed or disabled"),
            "remove rename-command for these from redis.conf; what users may do is bounded by ACL",
        ));
    }
    let mut missing = Vec::new();
    for (name, command) in probes(store, wanted) {
        let outcome = store.connections.command::<Value>("permissions", &command);
        note(&mut missing, name, outcome.await.map(drop))?;
    }
    if !missing.contains(&"EXEC") {
        note(&mut missing, "MULTI", transaction(store).await)?;
    }
    note(&mut missing, "SUBSCRIBE", subscription(store).await)?;
    if missing.is_empty() {
        return Ok(Finding::ok("permissions", "every command is permitted"));
    }
    let more = missing.len().saturating_sub(NAMED);
    missing.truncate(NAMED);
    let mut named = missing.join(", ");
    if more > 0 {
        named.push_str(&format!(" and {more} more"));
    }
    let prefix = store.keys.prefix();
    let user = user(store).await;
    Ok(Finding::fail(
        "permissions",
        format!("user {user} may not run {named} on the keys and channels of {prefix}:"),
        &format!(
            "run as an administrator: redis-cli ACL SETUSER {user} '~{prefix}:*' '&{prefix}:*' +@all -@admin -@dangerous +info '+client|unblock'"
        ),
    ))
}

/// Commands that are needed and that this Redis lacks, without their subcommands; none if that cannot be asked.
async fn unknown(store: &Store, wanted: Option<Durability>) -> Result<Vec<&'static str>, Error> {
    let words = probes(store, wanted).into_iter().map(|(name, _)| name);
    let words = words.chain(["MULTI", "SUBSCRIBE"]);
    let mut words: Vec<&'static str> = words.filter_map(|name| name.split(' ').next()).collect();
    words.sort_unstable();
    words.dedup();
    let mut ask = redis::cmd("COMMAND");
    ask.arg("INFO").arg(&words);
    let known = store
        .connections
        .command::<Vec<Value>>("COMMAND INFO", &ask);
    let known = match known.await {
        Ok(known) => known,
        Err(error) if error.is_refusal() => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let all = words.into_iter().zip(known);
    let lacking = all.filter(|(_, known)| matches!(known, Value::Nil));
    Ok(lacking.map(|(word, _)| word).collect())
}

/// Why Redis takes no writes now from any user, if so. Tries a write that changes nothing.
pub(super) async fn refused_write(store: &Store) -> Result<Option<Finding>, Error> {
    let mut write = redis::cmd("SET");
    write.arg(scratch(store)).arg("v").arg("XX");
    let outcome = store.connections.command::<Value>("a write", &write).await;
    match outcome {
        Err(error) if error.is_refusal() && error.is_transient() => Ok(Some(Finding::fail(
            "writes",
            error.to_string(),
            error.remedy().unwrap_or("see the log of Redis"),
        ))),
        Err(error) if !error.is_refusal() => Err(error),
        _ => Ok(None),
    }
}

/// Every answer is good but a missing permission: most of these commands are refused for their arguments.
fn note(
    missing: &mut Vec<&'static str>,
    name: &'static str,
    outcome: Result<(), Error>,
) -> Result<(), Error> {
    match outcome {
        Err(error) if error.is_forbidden() => missing.push(name),
        Err(error) if !error.is_refusal() => return Err(error),
        _ => {}
    }
    Ok(())
}

fn probes(store: &Store, wanted: Option<Durability>) -> Vec<(&'static str, Cmd)> {
    let key = scratch(store);
    let command = |words: &[&str]| {
        let mut command = Cmd::new();
        for word in words {
            command.arg(*word);
        }
        command
    };
    let mut probes: Vec<(&'static str, Cmd)> = ON_A_KEY
        .iter()
        .map(|(name, rest)| {
            let mut probe = command(&[name, &key]);
            for word in rest.split_whitespace() {
                probe.arg(word);
            }
            (*name, probe)
        })
        .collect();
    let nothing = "0000000000000000000000000000000000000000";
    let channel = store.keys.bell(first(store), &FrontEndId::random());
    probes.extend([
        ("INFO", command(&["INFO", "server"])),
        ("TIME", command(&["TIME"])),
        // There is no MULTI before it.
        ("EXEC", command(&["EXEC"])),
        ("CLIENT ID", command(&["CLIENT", "ID"])),
        ("CLIENT UNBLOCK", command(&["CLIENT", "UNBLOCK", "0"])),
        ("EVALSHA", command(&["EVALSHA", nothing, "1", &key])),
        ("SCRIPT EXISTS", command(&["SCRIPT", "EXISTS", nothing])),
        // No Lua.
        ("SCRIPT LOAD", command(&["SCRIPT", "LOAD", "("])),
        ("PUBLISH", command(&["PUBLISH", &channel, ""])),
        (
            "XGROUP CREATE",
            command(&["XGROUP", "CREATE", &key, "workers", "0"]),
        ),
        (
            "XGROUP DELCONSUMER",
            command(&["XGROUP", "DELCONSUMER", &key, "workers", "w"]),
        ),
        (
            "XINFO CONSUMERS",
            command(&["XINFO", "CONSUMERS", &key, "workers"]),
        ),
        (
            "XREADGROUP",
            command(&["XREADGROUP", "GROUP", "workers", "w", "STREAMS", &key, ">"]),
        ),
    ]);
    if wanted.is_some_and(|level| level.replicas() > 0) {
        probes.push(("WAIT", command(&["WAIT", "0", "1"])));
    }
    probes
}

/// On a connection of its own: others would be queued by it. EXEC is known to be permitted, so the connection goes back as
/// it came.
async fn transaction(store: &Store) -> Result<(), Error> {
    let mut connection = store.connections.blocking().await?;
    for word in ["MULTI", "EXEC"] {
        let command = redis::cmd(word);
        connection
            .command::<Value>(word, &command, Duration::ZERO)
            .await?;
    }
    Ok(())
}

async fn subscription(store: &Store) -> Result<(), Error> {
    let channel = store.keys.bell(first(store), &FrontEndId::random());
    store.connections.subscribe(&[channel]).await.map(drop)
}

/// A key that does not exist.
fn scratch(store: &Store) -> String {
    let base = store.keys.base(first(store));
    format!("{base}permissions:{:016x}", rand::random::<u64>())
}

fn first(store: &Store) -> Shard {
    store.shards.all().next().unwrap_or_default()
}

async fn user(store: &Store) -> String {
    let mut whoami = redis::cmd("ACL");
    whoami.arg("WHOAMI");
    let user = store.connections.command("ACL WHOAMI", &whoami).await;
    user.unwrap_or_else(|_not_permitted| "NAME".to_owned())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::connection::RedisSettings;
    use crate::script::sources;

    /// What is sent only where it is asked for, what one can do without, and what each connection begins with.
    const NOT_NEEDED: [&str; 9] = [
        "ACL", "AUTH", "COMMAND", "CONFIG", "ECHO", "SCAN", "SELECT", "SENTINEL", "WAIT",
    ];

    /// Every word in capitals right after `before` and a quote.
    fn words(text: &str, before: &str) -> BTreeSet<String> {
        let rest = text.split(before).skip(1);
        let word = |rest: &str| -> String {
            let start = rest.trim_start_matches(['(', '\'', '"']);
            start.chars().take_while(char::is_ascii_uppercase).collect()
        };
        rest.map(word).filter(|word| !word.is_empty()).collect()
    }

    fn rust_sources(folder: &std::path::Path, all: &mut String) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                rust_sources(&path, all);
            } else if path.extension().is_some_and(|kind| kind == "rs") {
                all.push_str(&std::fs::read_to_string(&path).unwrap());
            }
        }
    }

    #[test]
    fn every_command_that_is_used_is_tried() {
        let mut used = BTreeSet::new();
        for (_, source) in sources() {
            used.append(&mut words(source, "redis.call"));
            used.append(&mut words(source, "redis.pcall"));
        }
        assert!(used.contains("HMGET"));
        let mut own = String::new();
        let folder = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src"));
        rust_sources(folder, &mut own);
        used.append(&mut words(&own, "cmd"));
        assert!(used.contains("XREADGROUP"));
        let store = Store::new(&RedisSettings::new("redis://127.0.0.1/")).unwrap();
        let tried: BTreeSet<String> = probes(&store, None)
            .iter()
            .filter_map(|(name, _)| name.split(' ').next().map(str::to_owned))
            .collect();
        for command in used {
            let is_tried = tried.contains(&command) || NOT_NEEDED.contains(&command.as_str());
            assert!(is_tried, "{command} is used and not tried");
        }
    }
}
