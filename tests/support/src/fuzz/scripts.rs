//! The scripts of the contract with any keys and arguments, on a server of their own. An input is a row of calls:
//!
//! - as typed calls make them, with any text where that comes from others: none fails, and the laws of
//!   [`crate::invariants`] hold afterwards;
//! - the same while keys are of another type than they should be: a call that fails has changed nothing;
//! - with anything, and any number of it: the server answers, with a reply or an error that it says.

#![expect(
    clippy::indexing_slicing,
    reason = "a name that is missing is a failed test"
)]

mod calls;

use std::collections::{BTreeMap, BTreeSet};

use redis::{Connection, RedisResult, Value};
use tokio::runtime::Runtime;

use crate::connect::connect;
use crate::fuzz::scripts::calls::{Bytes, Call, Maker};
use crate::invariants;

/// The prefix of all keys here.
const PREFIX: &str = "tf";
/// The most calls of one input.
const MOST_CALLS: usize = 24;

/// The time, and of all keys: the name, the expiry, -1 for none, and a digest of what it holds.
const STATE: &str = r"
local all = {}
for _, key in ipairs(redis.call('KEYS', '*')) do
  all[#all + 1] = { key, redis.call('PEXPIRETIME', key), redis.sha1hex(redis.call('DUMP', key)) }
end
return { redis.call('TIME')[1] * 1000 + math.floor(redis.call('TIME')[2] / 1000), all }
";

/// What all keys hold at one time.
#[derive(Debug)]
struct State {
    now_ms: i64,
    keys: BTreeSet<(String, i64, String)>,
}

impl State {
    /// The keys that have not expired by then.
    fn that_live(&self, now_ms: i64) -> BTreeSet<&(String, i64, String)> {
        let lives = |(_, expiry, _): &&(String, i64, String)| *expiry == -1 || *expiry > now_ms;
        self.keys.iter().filter(lives).collect()
    }
}

/// How the calls of an input are made.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Typed,
    Spoilt,
    Anything,
}

/// The scripts on a server.
pub struct Scripts {
    url: String,
    connection: Connection,
    runtime: Runtime,
    /// When the record of each id was made.
    made: BTreeMap<Vec<u8>, i64>,
    /// Whether a record was made again after it expired, so that an entry may be that of the one before: `claim` drops it.
    is_made_anew: bool,
    /// The digest and the source of each, by its name.
    known: BTreeMap<&'static str, (String, &'static str)>,
}

impl Scripts {
    /// These scripts on the server at this address, whose keys are deleted before each input.
    ///
    /// # Panics
    ///
    /// If the server does not answer, or refuses a script.
    #[must_use]
    pub fn new(url: &str, sources: impl Iterator<Item = (&'static str, &'static str)>) -> Self {
        let client = redis::Client::open(url).expect("it is an address");
        let mut connection = client.get_connection().expect("the server answers");
        let known: BTreeMap<&str, _> = sources
            .map(|(name, source)| {
                let mut load = redis::cmd("SCRIPT");
                let digest = load.arg("LOAD").arg(source).query(&mut connection);
                (name, (digest.expect("the server takes the script"), source))
            })
            .collect();
        let listed: BTreeSet<&str> = calls::SCRIPTS.iter().map(|(name, ..)| *name).collect();
        let missing: Vec<_> = known
            .keys()
            .filter(|name| !listed.contains(*name))
            .collect();
        assert!(
            missing.is_empty(),
            "how {missing:?} are called is not said in calls.rs"
        );
        let mut builder = tokio::runtime::Builder::new_current_thread();
        Self {
            url: url.to_owned(),
            connection,
            runtime: builder.enable_all().build().expect("a runtime can be made"),
            made: BTreeMap::new(),
            is_made_anew: false,
            known,
        }
    }

    /// The target.
    ///
    /// # Panics
    ///
    /// If something is not as it should be.
    pub fn hold(&mut self, data: &[u8]) {
        let mut bytes = Bytes::new(data);
        let way = match bytes.number(4) {
            0 | 1 => Way::Typed,
            2 => Way::Spoilt,
            _ => Way::Anything,
        };
        let _: () = self.ask(&["FLUSHALL"]);
        self.made.clear();
        self.is_made_anew = false;
        for _ in 0..MOST_CALLS {
            if bytes.is_empty() {
                break;
            }
            self.step(way, &mut bytes);
        }
        if way == Way::Typed {
            let broken = self.runtime.block_on(async {
                let mut connection = connect(&self.url).await.expect("the server answers");
                if self.is_made_anew {
                    return invariants::live_but_for_strays(&mut connection, PREFIX).await;
                }
                invariants::live(&mut connection, PREFIX).await
            });
            assert!(broken.is_empty(), "{}", broken.join("\n"));
        }
        let pong: String = self.ask(&["PING"]);
        assert_eq!(pong, "PONG");
    }

    fn step(&mut self, way: Way, bytes: &mut Bytes<'_>) {
        if way == Way::Spoilt && bytes.number(4) == 0 {
            let key = calls::any_key(bytes);
            let _: () = self.ask(&["DEL", &key]);
            let _: () = self.ask(&["SET", &key, "x"]);
            return;
        }
        if way == Way::Anything {
            let call = Call::of_anything(bytes, self.known.keys().copied());
            let reply = self.call(&call);
            return self.hold_reply(&call, reply.as_ref());
        }
        let name = calls::any_script(bytes);
        let all_lasts = way == Way::Spoilt;
        let call = Maker::new(bytes, &mut self.connection, all_lasts).make(name);
        let before = (way == Way::Spoilt).then(|| self.state());
        let reply = self.call(&call);
        self.hold_reply(&call, reply.as_ref());
        if let Ok(Value::Array(items)) = &reply {
            self.note_made(&call, items);
        }
        match (&reply, before) {
            // Whoever reads a queue makes its group first; that the server lost it is known by this code.
            (Err(error), None) => assert_eq!(error.code(), Some("NOGROUP"), "{call:?}: {error}"),
            (Err(error), Some(before)) => {
                let is_known = matches!(error.code(), Some("WRONGTYPE" | "NOGROUP"));
                let is_too_much = error.to_string().contains("too many results to unpack");
                assert!(is_known || is_too_much, "{call:?}: {error}");
                let after = self.state();
                assert_eq!(
                    before.that_live(after.now_ms),
                    after.that_live(after.now_ms),
                    "{call:?} failed half done: {error}"
                );
            }
            _ => {}
        }
    }

    /// A reply is a row that begins with one of the script's tags; an error is one that the server says.
    fn hold_reply(&self, call: &Call, reply: Result<&Value, &redis::RedisError>) {
        let items = match reply {
            Ok(Value::Array(items)) => items,
            Ok(other) => panic!("{call:?} replied {other:?}"),
            Err(error) => return assert!(error.code().is_some(), "{call:?}: {error}"),
        };
        let tag = match items.first() {
            Some(Value::BulkString(tag)) => String::from_utf8_lossy(tag),
            other => panic!("{call:?} replied {other:?} first"),
        };
        let (_, source) = &self.known[call.script];
        assert!(
            source.contains(&format!("'{tag}'")),
            "{call:?} replied {tag}"
        );
    }

    fn note_made(&mut self, call: &Call, reply: &[Value]) {
        let makes = ["submit", "revive"].contains(&call.script);
        let ([_, id, ..], [Value::BulkString(tag), created]) = (call.args.as_slice(), reply) else {
            return;
        };
        if makes && tag == b"OK" {
            let created = redis::from_redis_value(created.clone()).expect("it is a time");
            let before = self.made.insert(id.clone(), created);
            self.is_made_anew |= before.is_some_and(|before| before != created);
        }
    }

    fn call(&mut self, call: &Call) -> RedisResult<Value> {
        let (digest, _) = &self.known[call.script];
        let mut command = redis::cmd("EVALSHA");
        command
            .arg(digest)
            .arg(call.keys.len())
            .arg(&call.keys)
            .arg(&call.args);
        command.query(&mut self.connection)
    }

    fn state(&mut self) -> State {
        let (now_ms, keys) = self.ask(&["EVAL", STATE, "0"]);
        State { now_ms, keys }
    }

    fn ask<T: redis::FromRedisValue>(&mut self, words: &[&str]) -> T {
        let mut command = redis::Cmd::new();
        command.arg(words);
        let reply = command.query(&mut self.connection);
        reply.unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }
}

impl std::fmt::Debug for Scripts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scripts")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}
