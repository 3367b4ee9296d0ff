//! Checks every call in debug builds, and so in every test: all keys and channels of one call are in one slot. A call is a
//! command, a pipeline or a transition. Keys that a script derives from its base are in the slot of the base;
//! contract/tests/transitions/cluster.rs checks the scripts for that.

use redis::{Arg, Cmd};

use crate::hash_slot::{hash_slot, hash_tag};
use crate::script::TransitionCall;

/// Commands whose first argument is their one key, or channel.
const ON_ONE: &[&str] = &[
    "GET",
    "HDEL",
    "HEXISTS",
    "HGET",
    "HGETALL",
    "HINCRBY",
    "HKEYS",
    "HMGET",
    "HSET",
    "HSTRLEN",
    "PEXPIRE",
    "PEXPIREAT",
    "PEXPIRETIME",
    "PTTL",
    "PUBLISH",
    "SET",
    "TTL",
    "TYPE",
    "XACK",
    "XADD",
    "XCLAIM",
    "XDEL",
    "XLEN",
    "XPENDING",
    "XRANGE",
    "XREVRANGE",
    "XTRIM",
    "ZADD",
    "ZCARD",
    "ZCOUNT",
    "ZRANGE",
    "ZRANGEBYSCORE",
    "ZRANK",
    "ZREM",
    "ZREMRANGEBYSCORE",
    "ZSCORE",
];
/// Commands without keys.
const ON_NONE: &[&str] = &[
    "ACL", "CLIENT", "COMMAND", "CONFIG", "EXEC", "FUNCTION", "INFO", "MULTI", "PING", "SCAN",
    "SCRIPT", "TIME", "UNWATCH", "WAIT",
];
/// What [`hash_slot`] is not asked of: the key with the contract's version, which stands alone so that processes of every
/// major find it.
const WITHOUT_TAG: &[u8] = b":contract";

/// Fails the test that makes a call whose keys are in two slots.
pub(super) fn check_command(command: &Cmd) {
    if cfg!(debug_assertions) {
        check(keys_of(command));
    }
}

/// As [`check_command`], of commands that go out together.
pub(super) fn check_together<'a>(commands: impl Iterator<Item = &'a Cmd>) {
    if cfg!(debug_assertions) {
        check(commands.flat_map(keys_of));
    }
}

/// As [`check_command`], of a transition, whose script derives more keys from the base among its arguments.
pub(super) fn check_transition(call: TransitionCall<'_>) {
    if cfg!(debug_assertions) {
        let keys = call.keys.iter().copied().chain(call.base());
        check(keys.map(str::as_bytes));
    }
}

/// As [`check_command`], of channels, each of which is subscribed to for itself.
pub(super) fn check_channels(channels: &[String]) {
    if cfg!(debug_assertions) {
        for channel in channels {
            check([channel.as_bytes()]);
        }
    }
}

fn check<'a>(keys: impl IntoIterator<Item = &'a [u8]>) {
    let keys: Vec<&[u8]> = keys.into_iter().collect();
    let shown = || keys.iter().map(|key| String::from_utf8_lossy(key));
    let tagged = |key: &&[u8]| hash_tag(key).is_some() || key.ends_with(WITHOUT_TAG);
    assert!(
        keys.iter().all(tagged),
        "every key carries a hash tag, and not all of these do: {:?}",
        shown().collect::<Vec<_>>()
    );
    let slots = || keys.iter().map(|key| hash_slot(key));
    assert!(
        slots().zip(slots().skip(1)).all(|(one, next)| one == next),
        "these keys of one call are in several slots: {:?}",
        shown().collect::<Vec<_>>()
    );
}

/// The keys and channels of a command. One that is not known here fails, since its keys cannot be checked.
fn keys_of(command: &Cmd) -> Vec<&[u8]> {
    let words: Vec<&[u8]> = command
        .args_iter()
        .filter_map(|arg| match arg {
            Arg::Simple(word) => Some(word),
            _ => None,
        })
        .collect();
    let name = words.first().copied().unwrap_or_default();
    let name = std::str::from_utf8(name).unwrap_or_default();
    let from = |place: usize| words.iter().skip(place).copied();
    match name {
        "DEL" | "EXISTS" => from(1).collect(),
        "MEMORY" | "XGROUP" | "XINFO" => from(2).take(1).collect(),
        // PUBSUB NUMSUB channel …
        "PUBSUB" => from(2).collect(),
        // EVALSHA digest number key …, FCALL function number key …
        "EVALSHA" | "FCALL" => from(3).take(number(from(2).next())).collect(),
        "XREADGROUP" => {
            let streams = words.iter().position(|word| *word == b"STREAMS");
            let named = from(streams.map_or(words.len(), |place| place + 1));
            let half = named.len() / 2;
            named.take(half).collect()
        }
        _ if ON_ONE.contains(&name) => from(1).take(1).collect(),
        _ => {
            assert!(
                ON_NONE.contains(&name),
                "say in {} where {name} has its keys",
                file!()
            );
            Vec::new()
        }
    }
}

fn number(word: Option<&[u8]>) -> usize {
    word.and_then(|word| std::str::from_utf8(word).ok()?.parse().ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::{CallBy, TRANSITIONS};

    fn command(text: &str) -> Cmd {
        let mut command = Cmd::new();
        command.arg(text.split(' ').collect::<Vec<_>>());
        command
    }

    /// Whether the check lets it pass.
    fn passes(check: impl Fn() + std::panic::UnwindSafe) -> bool {
        std::panic::catch_unwind(check).is_ok()
    }

    #[test]
    fn keys_are_found_where_each_command_has_them() {
        for (text, keys) in [
            ("GET a", "a"),
            ("EXISTS a b c", "a b c"),
            ("XINFO CONSUMERS q workers", "q"),
            ("EVALSHA digest 2 a b arg arg", "a b"),
            ("FCALL function 1 a arg", "a"),
            ("XREADGROUP GROUP workers w BLOCK 5 STREAMS a b > >", "a b"),
            ("INFO server", ""),
        ] {
            let keys: Vec<&[u8]> = keys.split_whitespace().map(str::as_bytes).collect();
            assert_eq!(keys_of(&command(text)), keys, "{text}");
        }
    }

    #[test]
    fn what_is_in_two_slots_or_in_none_of_ours_does_not_pass() {
        for (text, fits) in [
            ("DEL tf:{0}:due tf:{0}:dead", true),
            ("DEL tf:{0}:due tf:{1}:due", false),
            ("GET tf:{fleet}:secret", true),
            ("GET tf:secret", false),
            ("GET tf:contract", true),
            ("RENAME tf:{0}:due tf:{0}:dead", false),
        ] {
            assert_eq!(passes(|| check_command(&command(text))), fits, "{text}");
        }
        let mut both = redis::pipe();
        both.cmd("GET").arg("tf:{0}:a").cmd("GET").arg("tf:{s:1}:a");
        assert!(!passes(|| check_together(both.cmd_iter())));
        for (base, fits) in [("tf:{0}:", true), ("tf:{1}:", false)] {
            let call = TransitionCall {
                transition: &TRANSITIONS.forward,
                keys: &["tf:{0}:due"],
                args: &[base, "1"],
                by: CallBy::Script,
            };
            assert_eq!(passes(|| check_transition(call)), fits, "{base}");
        }
        assert!(!passes(|| check_channels(&["tf:bell".to_owned()])));
    }
}
