//! The transitions' Lua sources, as Redis runs them.

use std::sync::LazyLock;

use redis::aio::ConnectionLike;
use redis::{Cmd, RedisResult, Script, ScriptInvocation, Value};

use super::header::Header;
use crate::model::version::CONTRACT_VERSION;

/// What the transitions share, before each: a file uses what those before it define.
pub(crate) const PRELUDE: &str = concat!(
    include_str!("../../lua/prelude/base.lua"),
    include_str!("../../lua/prelude/records.lua"),
    include_str!("../../lua/prelude/rates.lua"),
    include_str!("../../lua/prelude/slots.lua"),
    include_str!("../../lua/prelude/lines.lua"),
    include_str!("../../lua/prelude/streams.lua"),
    include_str!("../../lua/prelude/stored.lua"),
    include_str!("../../lua/prelude/outside.lua"),
    include_str!("../../lua/prelude/ends.lua"),
    include_str!("../../lua/prelude/letters.lua"),
    include_str!("../../lua/prelude/questions.lua"),
);

/// Whether a transition may run while Redis is out of memory. Those that finish, renew or release must: only they free
/// memory.
#[derive(Clone, Copy)]
enum WhenFull {
    Refuse,
    Run,
}

/// One transition, ready to be called by its digest.
pub(crate) struct Transition {
    pub(crate) name: &'static str,
    pub(crate) script: Script,
    /// Its file.
    pub(crate) body: &'static str,
    when_full: WhenFull,
    source: String,
}

/// As what Redis runs a transition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum CallBy {
    /// A script, by its digest; loaded first if this Redis does not know it.
    #[default]
    Script,
    /// A function of the library, as workers in other languages call it.
    Function,
}

/// A call of a transition.
#[derive(Clone, Copy)]
pub(crate) struct TransitionCall<'a> {
    pub(crate) transition: &'a Transition,
    /// The keys that the script's header names, in its order.
    pub(crate) keys: &'a [&'a str],
    /// The arguments, likewise.
    pub(crate) args: &'a [&'a str],
    pub(crate) by: CallBy,
}

impl<'a> TransitionCall<'a> {
    /// Sends it, and waits for the reply.
    pub(crate) async fn run(self, connection: &mut impl ConnectionLike) -> RedisResult<Value> {
        match self.by {
            CallBy::Script => self.invocation().invoke_async(connection).await,
            CallBy::Function => self.function_call().query_async(connection).await,
        }
    }

    fn function_call(self) -> Cmd {
        let mut call = redis::cmd("FCALL");
        call.arg(self.transition.function())
            .arg(self.keys.len())
            .arg(self.keys)
            .arg(self.args);
        call
    }

    fn invocation(self) -> ScriptInvocation<'a> {
        let mut invocation = self.transition.script.prepare_invoke();
        for key in self.keys {
            invocation.key(*key);
        }
        for arg in self.args {
            invocation.arg(*arg);
        }
        invocation
    }

    /// What begins the names of the keys that the script derives. `None` if it derives none.
    pub(crate) fn base(self) -> Option<&'a str> {
        let first = self.args.first().copied();
        first.filter(|base| base.ends_with("}:"))
    }

    /// The largest argument, bytes.
    pub(crate) fn largest(self) -> usize {
        let sizes = self.args.iter().map(|arg| arg.len());
        sizes.max().unwrap_or(0)
    }
}

impl Transition {
    fn new(name: &'static str, body: &'static str, when_full: WhenFull) -> Self {
        // The first line makes Redis check memory before the script starts, never between two of its writes.
        let flags = match when_full {
            WhenFull::Refuse => "#!lua",
            WhenFull::Run => "#!lua flags=allow-oom",
        };
        let source = format!("{flags}\n{PRELUDE}\n{body}");
        Self {
            name,
            script: Script::new(&source),
            body,
            when_full,
            source,
        }
    }

    /// Its prelude and file, as Redis runs them.
    pub(crate) fn source(&self) -> &str {
        &self.source
    }

    /// The name of its function in the library.
    pub(crate) fn function(&self) -> String {
        function(self.name)
    }

    /// What its file says of it.
    pub(crate) fn header(&self) -> Header {
        Header::of(self.body)
    }

    /// Its flags, each between two of `quote`.
    pub(crate) fn flags(&self, quote: &str) -> String {
        match self.when_full {
            WhenFull::Refuse => String::new(),
            WhenFull::Run => format!("{quote}allow-oom{quote}"),
        }
    }
}

/// The name of a function of the library.
pub(crate) fn function(name: &str) -> String {
    format!("tf{}_{name}", CONTRACT_VERSION.major)
}

macro_rules! transitions {
    ($($name:ident $when_full:ident),* $(,)?) => {
        /// Every transition, by name.
        pub(crate) struct Transitions { $(pub(crate) $name: Transition),* }

        impl Transitions {
            fn new() -> Self {
                Self {
                    $($name: Transition::new(
                        stringify!($name),
                        include_str!(concat!("../../lua/", stringify!($name), ".lua")),
                        WhenFull::$when_full,
                    )),*
                }
            }

            pub(crate) fn all(&self) -> Vec<&Transition> {
                vec![$(&self.$name),*]
            }
        }
    };
}

transitions! {
    submit Refuse,
    claim Run,
    renew_lease Run,
    report_progress Refuse,
    report_log Refuse,
    set_session_level Refuse,
    hold_session_stream Run,
    drop_session_stream Run,
    take_place Refuse,
    take_rate Run,
    ask_input Refuse,
    park Run,
    answer_input Run,
    deliver_input Run,
    recall_input Run,
    note_client_task Run,
    poll_client_task Run,
    drop_client_tasks Run,
    finish Run,
    schedule_retry Run,
    release Run,
    cancel Run,
    leave_call Run,
    watch Run,
    promote Run,
    forward Run,
    requeue Run,
    hold_housekeeping Run,
    drop_housekeeping Run,
    reclaim Run,
    begin_outside Run,
    end_outside Run,
    take_outside Run,
    dead_letter Run,
    forget_worker Run,
    revive Refuse,
    agree_version Run,
    ensure_group Run,
    register_tools Run,
    give_homes Run,
    pause Run,
    resume Run,
    rotate_secret Run,
    beat Run,
}

pub(crate) static TRANSITIONS: LazyLock<Transitions> = LazyLock::new(Transitions::new);

/// The name and the Lua source of every transition, as Redis runs it: for those who call the scripts themselves, or examine
/// what they do.
pub fn sources() -> impl Iterator<Item = (&'static str, &'static str)> {
    let all = TRANSITIONS.all().into_iter();
    all.map(|transition| (transition.name, transition.source.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sources_are_what_redis_runs() {
        let known: Vec<_> = sources().collect();
        let all = TRANSITIONS.all();
        assert_eq!(known.len(), all.len());
        for (transition, (name, source)) in all.into_iter().zip(known) {
            assert_eq!(transition.name, name);
            assert_eq!(transition.script.get_hash(), Script::new(source).get_hash());
        }
    }
}
