//! What must hold of the keys below a prefix, whatever a test did: [`live`] at any moment, [`drained`] once every job
//! has ended. docs/REDIS.md describes the keys.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use redis::aio::MultiplexedConnection;
use redis::{FromRedisValue, RedisResult};

/// A record's fields by name.
type Record = HashMap<String, String>;

/// Fails the test if a law is broken that holds at any moment.
///
/// # Panics
///
/// With every broken law.
pub async fn assert_live(redis: &mut MultiplexedConnection, prefix: &str) {
    fail_with(&live(redis, prefix).await);
}

/// Fails the test if a law is broken that holds once every job has ended, or expired and been met by a worker.
///
/// # Panics
///
/// With every broken law.
pub async fn assert_drained(redis: &mut MultiplexedConnection, prefix: &str) {
    fail_with(&drained(redis, prefix).await);
}

/// The broken laws among those that hold at any moment: keys expire unless they may stay, records when they say they
/// do; a record and its entry point at each other, so that XLEN is the number of queued and running jobs; the indexes
/// agree with the records. Nobody may write meanwhile.
///
/// # Panics
///
/// If the server fails.
pub async fn live(redis: &mut MultiplexedConnection, prefix: &str) -> Vec<String> {
    let keys = Keyspace::read(redis, prefix).await;
    let mut broken = keys.without_expiry();
    broken.extend(keys.wrong_expiry());
    broken.extend(keys.entries_and_records());
    broken.extend(keys.indexes());
    broken
}

/// The broken laws among those of [`live`] and those that hold when no job is live: every stream and pending list is
/// empty, and so are due, waiting, running and, but for expired members, active.
///
/// # Panics
///
/// If the server fails.
pub async fn drained(redis: &mut MultiplexedConnection, prefix: &str) -> Vec<String> {
    let mut broken = live(redis, prefix).await;
    let keys = Keyspace::read(redis, prefix).await;
    broken.extend(keys.remainders());
    broken
}

fn fail_with(broken: &[String]) {
    if !broken.is_empty() {
        panic!("broken laws:\n  {}", broken.join("\n  "));
    }
}

/// Everything below a prefix.
struct Keyspace {
    now_ms: i64,
    /// Of every key: its type and expiry, -1 for none.
    keys: BTreeMap<String, (String, i64)>,
    records: BTreeMap<String, Record>,
    /// Of every queue: its entries, each with the id it names.
    queues: BTreeMap<String, BTreeMap<String, String>>,
    /// Of every queue: how many entries are pending.
    pending: BTreeMap<String, i64>,
    /// due, waiting, running and active sets: members with scores.
    sets: BTreeMap<String, Vec<(String, i64)>>,
    /// Of every shard that has any: the tools for whose slots jobs wait.
    waited_for: BTreeMap<String, Vec<String>>,
}

impl Keyspace {
    async fn read(redis: &mut MultiplexedConnection, prefix: &str) -> Self {
        let (seconds, _micros): (i64, i64) = ask(redis, &["TIME"]).await;
        let mut all = Self {
            now_ms: seconds * 1000,
            keys: BTreeMap::new(),
            records: BTreeMap::new(),
            queues: BTreeMap::new(),
            pending: BTreeMap::new(),
            sets: BTreeMap::new(),
            waited_for: BTreeMap::new(),
        };
        let mut cursor = "0".to_owned();
        loop {
            let pattern = format!("{prefix}:*");
            let (next, keys): (String, Vec<String>) = ask(
                redis,
                &["SCAN", &cursor, "MATCH", &pattern, "COUNT", "1000"],
            )
            .await;
            for key in keys {
                all.read_key(redis, key).await;
            }
            if next == "0" {
                return all;
            }
            cursor = next;
        }
    }

    async fn read_key(&mut self, redis: &mut MultiplexedConnection, key: String) {
        let kind: String = ask(redis, &["TYPE", &key]).await;
        let expiry: i64 = ask(redis, &["PEXPIRETIME", &key]).await;
        if kind == "none" {
            return;
        }
        match part_of(&key) {
            "task" => {
                let record: Record = ask(redis, &["HGETALL", &key]).await;
                if !record.is_empty() {
                    self.records.insert(key.clone(), record);
                }
            }
            "queue" => {
                let (entries, pending) = read_queue(redis, &key).await;
                self.queues.insert(key.clone(), entries);
                self.pending.insert(key.clone(), pending);
            }
            "waiting" if key.ends_with(":waiting") => {
                let tools = ask(redis, &["ZRANGE", &key, "0", "-1"]).await;
                self.waited_for.insert(key.clone(), tools);
            }
            "due" | "waiting" | "running" | "active" => {
                let members = ask(redis, &["ZRANGE", &key, "0", "-1", "WITHSCORES"]).await;
                self.sets.insert(key.clone(), members);
            }
            _ => {}
        }
        self.keys.insert(key, (kind, expiry));
    }

    /// Keys that never expire although they are none of those that may stay.
    fn without_expiry(&self) -> Vec<String> {
        let stays = |key: &str| {
            [
                "queue", "due", "waiting", "running", "tools", "secret", "contract",
            ]
            .contains(&part_of(key))
        };
        self.keys
            .iter()
            .filter(|(key, (_, expiry))| *expiry == -1 && !stays(key))
            .map(|(key, (kind, _))| format!("{key} ({kind}) never expires"))
            .collect()
    }

    /// Records whose expiry is not what they say to those who poll.
    fn wrong_expiry(&self) -> Vec<String> {
        let number = |record: &Record, name| field(record, name).parse::<i64>().unwrap_or_default();
        self.records
            .iter()
            .filter_map(|(key, record)| {
                let promised = number(record, "created_ms") + number(record, "ttl_ms");
                let (_, expiry) = self.keys.get(key)?;
                (*expiry != promised).then(|| format!("{key} expires at {expiry}, not {promised}"))
            })
            .collect()
    }

    /// A job that waits on a stream or runs has exactly the entry its record names; an entry that no record names is
    /// one of an expired record.
    fn entries_and_records(&self) -> Vec<String> {
        let mut broken = Vec::new();
        let mut named: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
        for (key, record) in &self.records {
            let entry = field(record, "entry");
            let queue = format!("{}queue:{}", base_of(key), field(record, "queue"));
            let terminal = is_terminal(field(record, "status"));
            if entry.is_empty() {
                let worker = field(record, "worker");
                if !worker.is_empty() {
                    broken.push(format!("{key} is held by {worker} without an entry"));
                }
                continue;
            }
            if terminal {
                broken.push(format!("{key} has ended and still names {entry}"));
            }
            let found = self.queues.get(&queue).and_then(|all| all.get(entry));
            if found.map(String::as_str) != Some(id_of(key)) {
                broken.push(format!(
                    "{key} names {entry}, which {queue} holds as {found:?}"
                ));
            }
            named.entry(queue).or_default().insert(entry);
        }
        for (queue, entries) in &self.queues {
            let named = named.remove(queue).unwrap_or_default();
            for (entry, id) in entries {
                let record = format!("{}task:{id}", base_of(queue));
                if !named.contains(entry.as_str()) && self.records.contains_key(&record) {
                    broken.push(format!(
                        "{queue} holds {entry} for {id}, whose record names another"
                    ));
                }
            }
        }
        broken
    }

    /// due and waiting hold exactly the queued jobs without an entry, running only held jobs, active exactly the live ones;
    /// of waiting, also those that were brought back to the stream. Whoever waits for a slot is looked after.
    fn indexes(&self) -> Vec<String> {
        let mut broken = Vec::new();
        let holds = |set: String, id: &str| {
            let members = self.sets.get(&set);
            members.is_some_and(|all| all.iter().any(|(member, _)| member == id))
        };
        for (key, record) in &self.records {
            let (base, id, status) = (base_of(key), id_of(key), field(record, "status"));
            let waits = status == "queued" && field(record, "entry").is_empty();
            let slots = format!("{base}waiting:{}", field(record, "tool"));
            let (is_due, for_slot) = (holds(format!("{base}due"), id), holds(slots, id));
            if waits != (is_due || (for_slot && field(record, "entry").is_empty())) {
                broken.push(format!(
                    "{key} is {status}, without an entry: {waits}, in due: {is_due}, in waiting: {for_slot}"
                ));
            }
            if for_slot && (status != "queued" || is_due) {
                broken.push(format!(
                    "{key} is {status}, in due: {is_due}, and in waiting"
                ));
            }
            let held = !field(record, "worker").is_empty();
            if !held && holds(format!("{base}running:{}", field(record, "tool")), id) {
                broken.push(format!("{key} is held by nobody and counted as running"));
            }
            let owner = field(record, "owner");
            let live = !is_terminal(status) && !owner.is_empty();
            if live != holds(format!("{base}active:{owner}"), id) {
                broken.push(format!("{key} is {status} and active:{owner} disagrees"));
            }
        }
        for (set, members) in &self.sets {
            let Some((base, tool)) = set.split_once("waiting:") else {
                continue;
            };
            let tools = self.waited_for.get(&format!("{base}waiting"));
            if !tools.is_some_and(|tools| tools.iter().any(|other| other == tool)) {
                broken.push(format!(
                    "{set} holds {members:?}, and nobody looks after them"
                ));
            }
        }
        broken
    }

    fn remainders(&self) -> Vec<String> {
        let mut broken = Vec::new();
        for (queue, entries) in &self.queues {
            if !entries.is_empty() {
                broken.push(format!("{queue} still holds {entries:?}"));
            }
        }
        for (queue, pending) in &self.pending {
            if *pending > 0 {
                broken.push(format!("{pending} entries of {queue} are still pending"));
            }
        }
        for (set, members) in &self.sets {
            let expires = ["active", "running"].contains(&part_of(set));
            let left = members
                .iter()
                .filter(|(_, score)| !expires || *score > self.now_ms + 1000)
                .count();
            if left > 0 {
                broken.push(format!("{set} still holds {members:?}"));
            }
        }
        for (key, record) in &self.records {
            let status = field(record, "status");
            if !is_terminal(status) {
                broken.push(format!("{key} is still {status}"));
            }
        }
        broken
    }
}

async fn read_queue(
    redis: &mut MultiplexedConnection,
    key: &str,
) -> (BTreeMap<String, String>, i64) {
    let entries: Vec<(String, Vec<String>)> = ask(redis, &["XRANGE", key, "-", "+"]).await;
    let entries = entries
        .into_iter()
        .map(|(entry, fields)| {
            let id = fields.chunks_exact(2).find_map(|pair| match pair {
                [name, value] if name == "id" => Some(value.clone()),
                _ => None,
            });
            (entry, id.unwrap_or_default())
        })
        .collect();
    let groups: Vec<HashMap<String, Option<String>>> = ask(redis, &["XINFO", "GROUPS", key]).await;
    let pending = groups
        .iter()
        .filter_map(|group| group.get("pending")?.as_ref()?.parse::<i64>().ok())
        .sum();
    (entries, pending)
}

/// Sends a command whose failure is a failure of the test.
async fn ask<T: FromRedisValue>(redis: &mut MultiplexedConnection, words: &[&str]) -> T {
    let mut command = redis::Cmd::new();
    for word in words {
        command.arg(*word);
    }
    let reply: RedisResult<T> = command.query_async(redis).await;
    reply.unwrap_or_else(|error| panic!("{words:?}: {error}"))
}

fn field<'a>(record: &'a Record, name: &str) -> &'a str {
    record.get(name).map_or("", String::as_str)
}

fn is_terminal(status: &str) -> bool {
    ["completed", "failed", "cancelled"].contains(&status)
}

/// The word that says what a key is: what follows the prefix and the shard.
fn part_of(key: &str) -> &str {
    let after_shard = key.split_once("}:").map(|(_, rest)| rest);
    let rest = after_shard.unwrap_or_else(|| key.split_once(':').map_or(key, |(_, rest)| rest));
    rest.split(':').next().unwrap_or(rest)
}

/// What the keys of the same shard begin with.
fn base_of(key: &str) -> &str {
    key.find("}:")
        .and_then(|end| key.get(..end + 2))
        .unwrap_or("")
}

fn id_of(key: &str) -> &str {
    key.rsplit(':').next().unwrap_or(key)
}
