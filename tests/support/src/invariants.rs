//! What must hold of the keys below a prefix, whatever a test did: [`live`] at any moment, [`drained`] once every job
//! has ended. docs/REDIS.md describes the keys.

mod lines;
mod rates;

use std::collections::{BTreeMap, HashMap};

use redis::aio::MultiplexedConnection;
use redis::{FromRedisValue, RedisResult, Value};

/// A record's fields by name.
type Record = HashMap<String, String>;

/// The broken laws among those that hold at any moment: keys carry a hash tag, and expire unless they may stay, records
/// when they say they do; a record and its entry point at each other, so that XLEN is the number of queued and running jobs; the indexes
/// agree with the records.
///
/// # Panics
///
/// If the server fails.
pub async fn live(redis: &mut MultiplexedConnection, prefix: &str) -> Vec<String> {
    let keys = Keyspace::read(redis, prefix).await;
    let mut broken = keys.live();
    broken.extend(keys.strays());
    broken
}

/// The same but for entries that no transition made, which a test may have put on the streams.
///
/// # Panics
///
/// If the server fails.
pub async fn live_but_for_strays(redis: &mut MultiplexedConnection, prefix: &str) -> Vec<String> {
    Keyspace::read(redis, prefix).await.live()
}

/// The broken laws among those of [`live`] and those that hold when no job is live: every stream and pending list is
/// empty, and so are due, waiting, running and, but for expired members, active.
///
/// # Panics
///
/// If the server fails.
pub async fn drained(redis: &mut MultiplexedConnection, prefix: &str) -> Vec<String> {
    let keys = Keyspace::read(redis, prefix).await;
    let mut broken = keys.live();
    broken.extend(keys.strays());
    broken.extend(keys.remainders());
    broken
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
    /// due, waiting, running, active, ready, line and outside sets, those of lines, backlogs and rates: members with scores.
    sets: BTreeMap<String, Vec<(String, i64)>>,
    /// Of every shard that has any: the tools for whose slots jobs wait.
    waited_for: BTreeMap<String, Vec<String>>,
}

/// Reads every key below a prefix, at one moment: its name, type and expiry, and what it holds. Of a stream that is its
/// entries and how many of them are pending.
const SNAPSHOT: &str = r"
local all = {}
for _, key in ipairs(redis.call('KEYS', ARGV[1] .. ':*')) do
  local kind = redis.call('TYPE', key).ok
  local held, pending = {}, 0
  if kind == 'hash' then
    held = redis.call('HGETALL', key)
  elseif kind == 'zset' then
    held = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
  elseif kind == 'stream' then
    held = redis.call('XRANGE', key, '-', '+')
    for _, group in ipairs(redis.call('XINFO', 'GROUPS', key)) do
      for i = 1, #group, 2 do
        pending = pending + (group[i] == 'pending' and group[i + 1] or 0)
      end
    end
  end
  all[#all + 1] = { key, kind, redis.call('PEXPIRETIME', key), held, pending }
end
return { redis.call('TIME')[1] * 1000, all }
";

/// A key as the script above gives it.
type Held = (String, String, i64, Value, i64);

impl Keyspace {
    async fn read(redis: &mut MultiplexedConnection, prefix: &str) -> Self {
        let (now_ms, keys): (i64, Vec<Held>) = ask(redis, &["EVAL", SNAPSHOT, "0", prefix]).await;
        let mut all = Self {
            now_ms,
            keys: BTreeMap::new(),
            records: BTreeMap::new(),
            queues: BTreeMap::new(),
            pending: BTreeMap::new(),
            sets: BTreeMap::new(),
            waited_for: BTreeMap::new(),
        };
        for key in keys {
            all.note(key);
        }
        all
    }

    fn note(&mut self, (key, kind, expiry, held, pending): Held) {
        match (part_of(&key), kind.as_str()) {
            ("task", "hash") => {
                self.records.insert(key.clone(), read_as(&key, held));
            }
            ("queue", "stream") => {
                let entries: Vec<(String, Vec<String>)> = read_as(&key, held);
                let entries = entries.into_iter();
                let named = entries.map(|(entry, fields)| (entry, id_in(&fields)));
                self.queues.insert(key.clone(), named.collect());
                self.pending.insert(key.clone(), pending);
            }
            ("waiting", "zset") if !is_of_tool(&key) => {
                let tools: Vec<(String, i64)> = read_as(&key, held);
                let tools = tools.into_iter().map(|(tool, _)| tool);
                self.waited_for.insert(key.clone(), tools.collect());
            }
            (
                "due" | "waiting" | "running" | "active" | "ready" | "line" | "lines" | "backlog"
                | "outside" | "begun" | "booked",
                "zset",
            ) => {
                self.sets.insert(key.clone(), read_as(&key, held));
            }
            _ => {}
        }
        self.keys.insert(key, (kind, expiry));
    }

    fn live(&self) -> Vec<String> {
        let mut broken = self.without_expiry();
        broken.extend(self.without_tag());
        broken.extend(self.wrong_expiry());
        broken.extend(self.entries());
        broken.extend(self.indexes());
        broken.extend(lines::broken(self));
        broken.extend(self.forgotten_outside());
        broken.extend(rates::broken(self));
        broken
    }

    fn holds(&self, set: &str, id: &str) -> bool {
        let members = self.sets.get(set);
        members.is_some_and(|all| all.iter().any(|(member, _)| member == id))
    }

    /// Keys that never expire although they are none of those that may stay.
    fn without_expiry(&self) -> Vec<String> {
        let stays = |key: &str| {
            [
                "queue", "due", "waiting", "running", "paused", "line", "lines", "backlog",
                "tools", "queues", "homes", "secret", "contract",
            ]
            .contains(&part_of(key))
        };
        self.keys
            .iter()
            .filter(|(key, (_, expiry))| *expiry == -1 && !stays(key))
            .map(|(key, (kind, _))| format!("{key} ({kind}) never expires"))
            .collect()
    }

    /// Keys that a Redis Cluster would put anywhere: all but the version of the contract carry a hash tag.
    fn without_tag(&self) -> Vec<String> {
        let tagged = |key: &str| key.contains(":{") && key.contains("}:");
        self.keys
            .keys()
            .filter(|key| !tagged(key) && part_of(key) != "contract")
            .map(|key| format!("{key} has no hash tag"))
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

    /// A job that waits on a stream or runs has exactly the entry its record names.
    fn entries(&self) -> Vec<String> {
        let mut broken = Vec::new();
        for (key, record) in &self.records {
            let entry = field(record, "entry");
            if entry.is_empty() {
                let worker = field(record, "worker");
                if !worker.is_empty() {
                    broken.push(format!("{key} is held by {worker} without an entry"));
                }
                continue;
            }
            if is_terminal(field(record, "status")) {
                broken.push(format!("{key} has ended and still names {entry}"));
            }
            let queue = queue_of(key, record);
            let found = self.queues.get(&queue).and_then(|all| all.get(entry));
            if found.map(String::as_str) != Some(id_of(key)) {
                broken.push(format!(
                    "{key} names {entry}, which {queue} holds as {found:?}"
                ));
            }
        }
        broken
    }

    /// An entry that no record names is one of an expired record.
    fn strays(&self) -> Vec<String> {
        let mut broken = lines::strays(self);
        for (queue, entries) in &self.queues {
            for (entry, id) in entries {
                let key = format!("{}task:{id}", base_of(queue));
                let record = self.records.get(&key);
                let names = |record: &Record| {
                    queue_of(&key, record) == *queue && field(record, "entry") == entry
                };
                if record.is_some_and(|record| !names(record)) {
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
        let holds = |set: String, id: &str| self.holds(&set, id);
        for (key, record) in &self.records {
            let (base, id, status) = (base_of(key), id_of(key), field(record, "status"));
            let waits = status == "queued" && field(record, "entry").is_empty();
            let queue = field(record, "queue");
            let tool = format!("{queue}:{}", field(record, "tool"));
            let for_slot = holds(format!("{base}waiting:{tool}"), id);
            let is_due = holds(format!("{base}due:{queue}"), id);
            let in_line = lines::has(self, key, record);
            if waits != (is_due || in_line || (for_slot && field(record, "entry").is_empty())) {
                broken.push(format!(
                    "{key} is {status}, without an entry: {waits}, in due: {is_due}, in waiting: {for_slot}, in a line: {in_line}"
                ));
            }
            let what = WaitsIn {
                slot: for_slot,
                line: in_line,
                due: is_due,
            };
            if status == "queued" && !says_what_it_waits_for(record, what) {
                let waits = field(record, "waits");
                broken.push(format!(
                    "{key} says it waits for {waits:?}, in due: {is_due}, in waiting: {for_slot}"
                ));
            }
            if for_slot && (status != "queued" || is_due) {
                broken.push(format!(
                    "{key} is {status}, in due: {is_due}, and in waiting"
                ));
            }
            let held = !field(record, "worker").is_empty();
            if !held && holds(format!("{base}running:{tool}"), id) {
                broken.push(format!("{key} is held by nobody and counted as running"));
            }
            let owner = field(record, "owner");
            let live = !is_terminal(status) && !owner.is_empty();
            if live != holds(format!("{base}active:{owner}"), id) {
                broken.push(format!("{key} is {status} and active:{owner} disagrees"));
            }
        }
        for (set, members) in &self.sets {
            let named = set.split_once("waiting:");
            let Some((base, (queue, tool))) =
                named.and_then(|(base, of)| Some((base, of.split_once(':')?)))
            else {
                continue;
            };
            let tools = self.waited_for.get(&format!("{base}waiting:{queue}"));
            if !tools.is_some_and(|tools| tools.iter().any(|other| other == tool)) {
                broken.push(format!(
                    "{set} holds {members:?}, and nobody looks after them"
                ));
            }
        }
        broken
    }

    /// What may run in another system for a job is noted, so that somebody ends it.
    fn forgotten_outside(&self) -> Vec<String> {
        let is_forgotten = |key: &str, record: &Record| {
            let until = field(record, "outside");
            let set = format!("{}outside:{}", base_of(key), field(record, "queue"));
            let member = format!("{}:{until}:{}", id_of(key), field(record, "tool"));
            !until.is_empty() && !self.holds(&set, &member)
        };
        self.records
            .iter()
            .filter(|(key, record)| is_forgotten(key, record))
            .map(|(key, _)| format!("{key} may run outside, and nobody looks after that"))
            .collect()
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
            // What may run elsewhere outlives its job.
            if part_of(set) == "outside" {
                continue;
            }
            let expires = ["active", "running", "ready", "begun", "booked"].contains(&part_of(set));
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

/// The sets that a queued job is in.
#[derive(Clone, Copy)]
struct WaitsIn {
    slot: bool,
    line: bool,
    due: bool,
}

/// Whether a queued job's record says what it waits for, since a moment after which nothing but its caller changed it. One
/// that only ever waited for a worker says nothing.
fn says_what_it_waits_for(record: &Record, what: WaitsIn) -> bool {
    let waits = field(record, "waits");
    let on_stream = !field(record, "entry").is_empty();
    let mut words = waits.split(' ');
    let right = match words.next().unwrap_or_default() {
        "" => return on_stream,
        "worker" => on_stream || what.due,
        "slot" | "rate" | "paused" => what.slot && !on_stream,
        "turn" => what.line,
        "time" => what.due,
        _ => false,
    };
    let number = |text: &str| text.parse::<i64>().ok();
    let since = words.next().and_then(number);
    right && since.is_some() && since <= number(field(record, "updated_ms"))
}

/// The id that an entry names, if it has one.
fn id_in(fields: &[String]) -> String {
    let id = fields.chunks_exact(2).find_map(|pair| match pair {
        [name, value] if name == "id" => Some(value.clone()),
        _ => None,
    });
    id.unwrap_or_default()
}

fn read_as<T: FromRedisValue>(key: &str, held: Value) -> T {
    redis::from_redis_value(held).unwrap_or_else(|error| panic!("{key}: {error}"))
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

/// The word that says what a key is: what follows the prefix and the hash tag.
fn part_of(key: &str) -> &str {
    let after_shard = key.split_once("}:").map(|(_, rest)| rest);
    let rest = after_shard.unwrap_or_else(|| key.split_once(':').map_or(key, |(_, rest)| rest));
    rest.split(':').next().unwrap_or(rest)
}

/// Whether a key is of one tool of a queue, not of all that the queue has.
fn is_of_tool(key: &str) -> bool {
    let name = key.split_once("}:").map_or("", |(_, name)| name);
    name.split(':').count() > 2
}

/// What the keys of the same shard begin with.
fn base_of(key: &str) -> &str {
    key.find("}:")
        .and_then(|end| key.get(..end + 2))
        .unwrap_or("")
}

/// The stream on which a record's job waits.
fn queue_of(key: &str, record: &Record) -> String {
    format!("{}queue:{}", base_of(key), field(record, "queue"))
}

fn id_of(key: &str) -> &str {
    key.rsplit(':').next().unwrap_or(key)
}
