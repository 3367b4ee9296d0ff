//! Whether the user may do what its role needs: run each command, and use the keys and channels of each pattern.
//!
//! Redis checks permissions before it reads a command's arguments, so each command is sent in a form that does nothing: on
//! keys that do not exist, or with arguments that it refuses.

use std::collections::BTreeSet;
use std::slice;

use redis::{Cmd, Value};

use crate::error::Error;
use crate::model::durability::Durability;
use crate::model::finding::Finding;
use crate::model::names::QueueName;
use crate::model::role::{KeyAccess, Rights, Role, allowing, is_dispensable};
use crate::model::shard::Shard;
use crate::store::Store;

/// At most so many missing rights are named.
const NAMED: usize = 10;

/// Commands with one key, with the arguments after it.
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
    ("TTL", ""),
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

/// What reads a key of any type, and changes none; what writes to one that has no such member, and changes none. Redis has
/// no right to read asked for how long a key is (XLEN, ZCARD).
const READS: &[(&str, &str)] = &[
    ("HMGET", "permissions"),
    ("HGET", "permissions"),
    ("XRANGE", "+ -"),
];
const WRITES: &[(&str, &str)] = &[("HDEL", "permissions"), ("XDEL", "1-1")];

/// What a user is to be enough for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) role: Role,
    /// The queues of a worker; none for all.
    pub(super) queues: &'a [QueueName],
    pub(super) durability: Option<Durability>,
}

impl Wanted<'_> {
    fn rights(&self, store: &Store) -> Rights {
        let mut rights = self.role.rights(store.keys.prefix(), self.queues);
        rights.commands.retain(|command| !is_dispensable(command));
        if self.durability.is_none_or(|level| level.replicas() == 0) {
            rights.commands.retain(|command| *command != "WAIT");
        }
        rights
    }
}

/// Whether the user has the rights of a role.
pub(super) async fn check(store: &Store, wanted: Wanted<'_>) -> Result<Finding, Error> {
    let rights = wanted.rights(store);
    let commands = Commands::tried(store, rights.commands.iter().copied()).await?;
    if let Some(found) = commands.unknown() {
        return Ok(found);
    }
    let lacking = commands.lacking(store, &rights).await?;
    let role = wanted.role;
    if lacking.is_empty() {
        let found = format!("enough to be a {role}");
        return Ok(Finding::ok("permissions", found));
    }
    let (user, origin) = user(store).await;
    let quoted = |rule: &String| format!("'{rule}'");
    let rules: Vec<String> = lacking.iter().map(quoted).collect();
    let remedy = if lacking.len() > NAMED {
        format!("give it the rules that this prints: taskferry acl {role} --user {user}")
    } else {
        let rules = rules.join(" ");
        format!("run as an administrator: redis-cli ACL SETUSER {user} {rules}")
    };
    let more = lacking.len().saturating_sub(NAMED);
    let named: Vec<&str> = lacking.iter().take(NAMED).map(String::as_str).collect();
    let mut named = named.join(" ");
    if more > 0 {
        named.push_str(&format!(" and {more} more"));
    }
    let found = format!("user {user}{origin} lacks {named} to be a {role}");
    Ok(Finding::fail("permissions", found, &remedy))
}

/// Which roles the user is enough for.
pub(super) async fn survey(
    store: &Store,
    durability: Option<Durability>,
) -> Result<Finding, Error> {
    let wanted = Role::ALL.map(|role| Wanted {
        role,
        queues: &[],
        durability,
    });
    let all = wanted.map(|wanted| wanted.rights(store));
    let union: BTreeSet<&'static str> = all
        .iter()
        .flat_map(|rights| rights.commands.iter().copied())
        .collect();
    let commands = Commands::tried(store, union.into_iter()).await?;
    if let Some(found) = commands.unknown() {
        return Ok(found);
    }
    let (mut fits, mut lacks) = (Vec::new(), Vec::new());
    for (role, rights) in Role::ALL.iter().zip(&all) {
        if commands.lacking(store, rights).await?.is_empty() {
            fits.push(role.as_str());
        } else {
            lacks.push(role.as_str());
        }
    }
    let check = "permissions";
    let ask = "for what is missing run: taskferry doctor --role ROLE";
    if fits.is_empty() {
        let (user, origin) = user(store).await;
        let found = format!(
            "user {user}{origin} is not enough for any role ({})",
            lacks.join(", ")
        );
        return Ok(Finding::fail(check, found, ask));
    }
    let mut finding = Finding::ok(check, format!("enough to be a {}", fits.join(", ")));
    if !lacks.is_empty() {
        finding
            .found
            .push_str(&format!("; not to be a {}", lacks.join(", ")));
        finding.remedy = Some(ask.to_owned());
    }
    Ok(finding)
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

/// What became of commands that were tried.
#[derive(Default)]
struct Commands {
    denied: BTreeSet<&'static str>,
    unknown: BTreeSet<&'static str>,
}

impl Commands {
    /// Tries each by itself: else the first refusal would hide the others.
    async fn tried(
        store: &Store,
        names: impl Iterator<Item = &'static str>,
    ) -> Result<Self, Error> {
        let names: Vec<&'static str> = names.collect();
        let (mut all, key, channel) = (Self::default(), scratch(store), channel(store));
        for name in names.iter().copied().filter(|name| *name != "MULTI") {
            if let Some(command) = probe(name, &key, &channel) {
                all.note(name, ask(store, &command).await?);
            }
        }
        if names.contains(&"SUBSCRIBE") {
            let heard = store.connections.subscribe(slice::from_ref(&channel)).await;
            all.note("SUBSCRIBE", answer(heard.map(drop))?);
        }
        // On its own it would hold back all that comes after it on the connection.
        if names.contains(&"MULTI") && !all.denied.contains("EXEC") {
            all.note("MULTI", answer(transaction(store).await)?);
        }
        Ok(all)
    }

    fn note(&mut self, name: &'static str, answer: Answer) {
        match answer {
            Answer::NoCommand => {
                self.denied.insert(name);
            }
            Answer::Unknown => {
                self.unknown.insert(name);
            }
            Answer::NoKey | Answer::Permitted => {}
        }
    }

    fn unknown(&self) -> Option<Finding> {
        let named: BTreeSet<&str> = self
            .unknown
            .iter()
            .map(|name| name.split(' ').next().unwrap_or_default())
            .collect();
        (!named.is_empty()).then(|| {
            let named = named.into_iter().collect::<Vec<_>>().join(", ");
            Finding::fail(
                "permissions",
                format!("this Redis does not know {named}: renamed or disabled"),
                "remove rename-command for these from redis.conf; what users may do is bounded by ACL",
            )
        })
    }

    /// The rules that the user lacks for these rights.
    async fn lacking(&self, store: &Store, rights: &Rights) -> Result<Vec<String>, Error> {
        let commands = rights.commands.iter();
        let commands = commands.filter(|command| self.denied.contains(*command));
        let mut lacking: Vec<String> = commands.map(|command| allowing(command)).collect();
        for (access, pattern) in &rights.keys {
            let key = example(store, pattern);
            let (reads, writes) = access.parts();
            let lacks_read = reads && self.lacks(store, READS, rights, &key).await?;
            let lacks_write = writes && self.lacks(store, WRITES, rights, &key).await?;
            let lacks = match (lacks_read, lacks_write) {
                (true, true) => KeyAccess::ReadWrite,
                (true, false) => KeyAccess::Read,
                (false, true) => KeyAccess::Write,
                (false, false) => continue,
            };
            lacking.push(lacks.rule(pattern));
        }
        for pattern in &rights.channels {
            if self
                .lacks_channel(store, rights, &example(store, pattern))
                .await?
            {
                lacking.push(format!("&{pattern}"));
            }
        }
        Ok(lacking)
    }

    /// Whether a key is denied to the first of these commands that the user may run. If it may run none of them, that is what
    /// is missing.
    async fn lacks(
        &self,
        store: &Store,
        ways: &[(&'static str, &str)],
        rights: &Rights,
        key: &str,
    ) -> Result<bool, Error> {
        let may_run = |name: &str| rights.commands.contains(&name) && !self.denied.contains(name);
        let Some((name, rest)) = ways.iter().find(|(name, _)| may_run(name)) else {
            return Ok(false);
        };
        Ok(ask(store, &with_key(name, key, rest)).await? == Answer::NoKey)
    }

    async fn lacks_channel(
        &self,
        store: &Store,
        rights: &Rights,
        channel: &str,
    ) -> Result<bool, Error> {
        let may_run = |name: &str| rights.commands.contains(&name) && !self.denied.contains(name);
        if may_run("SUBSCRIBE") {
            let heard = store.connections.subscribe(&[channel.to_owned()]).await;
            return Ok(answer(heard.map(drop))? == Answer::NoKey);
        }
        let mut publish = redis::cmd("PUBLISH");
        publish.arg(channel).arg("");
        Ok(may_run("PUBLISH") && ask(store, &publish).await? == Answer::NoKey)
    }
}

/// What Redis says to a command that is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// The user may run it, here. Most are refused for their arguments.
    Permitted,
    /// The user may not run it.
    NoCommand,
    /// The user may not use the key, or the channel.
    NoKey,
    /// There is no such command.
    Unknown,
}

async fn ask(store: &Store, command: &Cmd) -> Result<Answer, Error> {
    let outcome = store.connections.command::<Value>("permissions", command);
    answer(outcome.await.map(drop))
}

fn answer(outcome: Result<(), Error>) -> Result<Answer, Error> {
    let Err(error) = outcome else {
        return Ok(Answer::Permitted);
    };
    let said = error.refusal_text().to_ascii_lowercase();
    // Of EXEC it says why it discards a transaction.
    if error.is_forbidden() || said.contains("noperm") {
        // Redis 7.0: "this user has no permissions to run the 'x' command"; later ones name the user.
        let of_command = said.contains("permissions to run the");
        return Ok(if of_command {
            Answer::NoCommand
        } else {
            Answer::NoKey
        });
    }
    if said.starts_with("unknown command") || said.starts_with("unknown subcommand") {
        return Ok(Answer::Unknown);
    }
    match error {
        error if error.is_refusal() => Ok(Answer::Permitted),
        error => Err(error),
    }
}

/// A form of a command that changes nothing. `None` for one that is tried otherwise.
fn probe(name: &'static str, key: &str, channel: &str) -> Option<Cmd> {
    if let Some((_, rest)) = ON_A_KEY.iter().find(|(known, _)| *known == name) {
        return Some(with_key(name, key, rest));
    }
    let nothing = "0000000000000000000000000000000000000000";
    let rest: &[&str] = match name {
        // There is no MULTI before EXEC.
        "TIME" | "EXEC" | "PING" | "UNWATCH" | "CLIENT ID" => &[],
        "INFO" => &["server"],
        "SCAN" => &["0", "COUNT", "1"],
        "WAIT" => &["0", "1"],
        "CLIENT UNBLOCK" => &["0"],
        "EVALSHA" => &[nothing, "1", key],
        "SCRIPT EXISTS" => &[nothing],
        // No Lua.
        "SCRIPT LOAD" => &["("],
        "PUBLISH" => &[channel, ""],
        "PUBSUB NUMSUB" => &[channel],
        "MEMORY USAGE" | "XINFO GROUPS" => &[key],
        "XGROUP CREATE" => &[key, "workers", "0"],
        "XGROUP DELCONSUMER" => &[key, "workers", "w"],
        "XINFO CONSUMERS" => &[key, "workers"],
        "XREADGROUP" => &["GROUP", "workers", "w", "STREAMS", key, ">"],
        _ => return None,
    };
    let mut command = Cmd::new();
    command.arg(name.split(' ').collect::<Vec<_>>()).arg(rest);
    Some(command)
}

fn with_key(name: &str, key: &str, rest: &str) -> Cmd {
    let mut command = redis::cmd(name);
    command.arg(key);
    for word in rest.split_whitespace() {
        command.arg(word);
    }
    command
}

async fn transaction(store: &Store) -> Result<(), Error> {
    // Written in one piece, so that nobody else's commands come between. The library's own transactions fail badly where
    // there is no MULTI.
    let mut nothing = redis::pipe();
    nothing.cmd("MULTI").ignore().cmd("EXEC").ignore();
    store.connections.pipeline("permissions", &nothing).await
}

/// A key that does not exist, of a kind that every role uses: what is denied stays in Redis's ACL LOG, where operators look
/// for those who try what they may not.
fn scratch(store: &Store) -> String {
    let base = store.keys.base(first(store));
    example(store, &format!("{base}task:*"))
}

/// A channel that nobody hears, likewise.
fn channel(store: &Store) -> String {
    let base = store.keys.base(first(store));
    example(store, &format!("{base}bell:*"))
}

/// A key, or channel, that a pattern fits: none that exists, if the pattern has room for that.
fn example(store: &Store, pattern: &str) -> String {
    let shard = first(store).to_string();
    let filled = pattern.replace("[0-9]*", &shard);
    filled.replace('*', &format!("permissions-{:016x}", rand::random::<u64>()))
}

fn first(store: &Store) -> Shard {
    store.shards.all().next().unwrap_or_default()
}

/// The user's name, and where it is set, as an aside. One that may not ask who it is, is the one that is set.
async fn user(store: &Store) -> (String, String) {
    let mut whoami = redis::cmd("ACL");
    whoami.arg("WHOAMI");
    let user = store.connections.command("ACL WHOAMI", &whoami).await;
    let (set, place) = store.connections.user();
    let user: String = user.unwrap_or_else(|_not_permitted| set.to_owned());
    let origin = if user == set {
        format!(" ({place})")
    } else {
        String::new()
    };
    (user, origin)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Those that are tried in ways of their own.
    const OTHERWISE: [&str; 2] = ["MULTI", "SUBSCRIBE"];

    #[test]
    fn every_command_of_a_role_is_tried() {
        for role in Role::ALL {
            let commands = role.rights("tf", &[]).commands.into_iter();
            for name in commands.filter(|name| !is_dispensable(name)) {
                let is_tried = probe(name, "tf:{0}:x", "tf:{0}:y").is_some();
                assert!(is_tried || OTHERWISE.contains(&name), "{name} of {role}");
            }
        }
    }
}
