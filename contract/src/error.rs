//! What can go wrong between this process and Redis.

use redis::{ErrorKind, RedisError};
use rustix::io::Errno;

use crate::model::overview::Misplaced;
use crate::tls_fault::{io_error, tls_fault};

/// A failure of the contract. Expected outcomes (a full queue, a lost lease, an expired record) are values, not errors.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Redis refused a command, or the wire to it broke. A command that failed this way may have run.
    #[error("Redis failed during {during}: {}", cause(source))]
    Redis {
        /// The transition or command that was under way.
        during: &'static str,
        /// What the client library reports.
        #[source]
        source: RedisError,
    },
    /// A connection could not be opened, or the server was silent while it was. Nothing was sent over it.
    #[error(
        "no connection to Redis at {address}{}: {}",
        from(url_from),
        cause(source)
    )]
    Unreachable {
        /// Host and port, or the path of the socket; never a user or a password.
        address: String,
        /// Where it was set; empty if that is not known here.
        url_from: String,
        /// What the client library reports.
        #[source]
        source: RedisError,
    },
    /// No connection could be had, or one gave no answer. A command that failed this way may have run.
    #[error("no Redis connection for {during}: {reason}")]
    Connection {
        /// What the connection was for.
        during: &'static str,
        /// Why there is none.
        reason: String,
    },
    /// Others moved as much to or from Redis for all of that time. Nothing was sent.
    #[error(
        "{during} waited {waited:?} for other large results or arguments, of which few at a time are read from Redis and written to it"
    )]
    Busy {
        /// The transition or command.
        during: &'static str,
        /// How long.
        waited: std::time::Duration,
    },
    /// Redis refused a new connection. It is asked again for every call that comes later.
    #[error(
        "Redis refused the connection at {step}: {}{}",
        cause(source),
        came_from(step, source, url_from)
    )]
    Refused {
        /// The command of the handshake that it refused.
        step: &'static str,
        /// Whether it hung up then: it takes nobody now, whoever it is.
        closed: bool,
        /// Where its address was set; empty if that is not known here.
        url_from: String,
        /// What it said.
        #[source]
        source: RedisError,
    },
    /// What was to be written is more than this Redis takes in one piece. Nothing was sent.
    #[error(
        "{during} is too large for this Redis: {bytes} bytes in one piece are more than its proto-max-bulk-len or client-query-buffer-limit"
    )]
    TooLarge {
        /// The transition or command.
        during: &'static str,
        /// The largest piece.
        bytes: usize,
    },
    /// Keys are of another type than they should be: something other than Taskferry wrote to them.
    #[error(
        "{during} failed: {}; see what it is, and remove it with redis-cli DEL",
        names(misplaced)
    )]
    WrongType {
        /// The transition or command.
        during: &'static str,
        /// Those that were found among the keys it may touch.
        misplaced: Vec<Misplaced>,
    },
    /// A change was made, but too few Redis replicas had it in time: a failover may undo it.
    #[error(
        "{during} was done, but only {acknowledged} of {wanted} replicas acknowledged it in time"
    )]
    NotReplicated {
        /// The transition.
        during: &'static str,
        /// How many Redis replicas were to have it.
        wanted: u8,
        /// How many had it in time.
        acknowledged: u64,
    },
    /// A reply that this version of the contract does not know: the scripts and this binary differ.
    #[error("{during} replied {reply:?}, which this version does not understand")]
    Reply {
        /// The transition that replied.
        during: &'static str,
        /// The start of the reply.
        reply: String,
    },
    /// A stored value that cannot be read.
    #[error("{key} holds an unreadable {field}: {value:?}")]
    Malformed {
        /// The key that holds it.
        key: String,
        /// The field or value at fault.
        field: &'static str,
        /// The start of what was found.
        value: String,
    },
    /// This Redis cannot be used; the text says what to change.
    #[error("this Redis cannot be used: {0}")]
    Unsuitable(String),
}

impl Error {
    /// Whether the same call may succeed later without anyone changing anything.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Redis { source, .. } => is_transient(source),
            // What TLS failed of stays so until somebody gives one side another certificate, or another address.
            Self::Unreachable { source, .. } => is_transient(source) && tls_fault(source).is_none(),
            Self::Refused { closed, source, .. } => *closed || is_transient(source),
            Self::Connection { .. } | Self::Busy { .. } | Self::NotReplicated { .. } => true,
            Self::Reply { .. }
            | Self::Malformed { .. }
            | Self::TooLarge { .. }
            | Self::WrongType { .. }
            | Self::Unsuitable(_) => false,
        }
    }

    /// Whether the same call may succeed once what Redis named is put right: it is transient, or the user may not do this,
    /// or is not let in, also by TLS. What a running process has to write, it keeps and tries again.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        self.is_transient()
            || match self {
                Self::Refused { .. } | Self::Unreachable { .. } => true,
                Self::Redis { source, .. } => has_code(source, &DENIED),
                _ => false,
            }
    }

    /// Whether Redis refused a write because its memory is full.
    #[must_use]
    pub fn is_out_of_memory(&self) -> bool {
        matches!(self, Self::Redis { source, .. } if has_code(source, &["OOM"]))
    }

    /// Whether a consumer group is missing: Redis lost its data, or the queue was never read.
    #[must_use]
    pub fn is_no_group(&self) -> bool {
        matches!(self, Self::Redis { source, .. } if has_code(source, &["NOGROUP"]))
    }

    /// Whether a key is of another type than it should be.
    #[must_use]
    pub fn is_wrong_type(&self) -> bool {
        match self {
            Self::WrongType { .. } => true,
            Self::Redis { source, .. } => has_code(source, &["WRONGTYPE"]),
            _ => false,
        }
    }

    /// Whether Redis answered, by refusing the command: a user without the right to it, a server that lacks or renamed it, or
    /// one that takes no writes.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Redis { source, .. } => source.clone().into_server_errors().is_some(),
            Self::WrongType { .. } => true,
            _ => false,
        }
    }

    /// What Redis said as it refused the command; empty if it did not.
    pub(crate) fn refusal_text(&self) -> String {
        let Self::Redis { source, .. } = self else {
            return String::new();
        };
        let refusals = source.clone().into_server_errors();
        let first = refusals.and_then(|all| Some(all.first()?.1.details()?.to_owned()));
        first.unwrap_or_default()
    }

    /// Whether Redis refused the command because the user may not run it.
    #[must_use]
    pub fn is_forbidden(&self) -> bool {
        let of_script = || {
            let said = self.refusal_text();
            // Redis 7.0, and later ones.
            let begins = [
                "The user executing the script can't",
                "ACL failure in script",
            ];
            begins.iter().any(|begin| said.starts_with(begin))
        };
        matches!(self, Self::Redis { source, .. } if has_code(source, &["NOPERM"]) || of_script())
    }

    /// What mends the cause that Redis named, if that is known.
    #[must_use]
    pub fn remedy(&self) -> Option<&'static str> {
        let by_code = |source: &RedisError| {
            let refusals = source.clone().into_server_errors()?;
            refusals.iter().find_map(|(_, said)| remedy(said.code()))
        };
        match self {
            Self::Redis { source, .. } => by_code(source),
            Self::Unreachable { source, .. } => tls_fault(source).map(|fault| fault.remedy),
            Self::Refused { closed: true, .. } => {
                Some("let Redis take more clients: redis-cli CONFIG SET maxclients 10000")
            }
            Self::Refused { step, source, .. } => by_code(source).or_else(|| {
                (*step == "SELECT").then_some("name a database in redis_url that this Redis has")
            }),
            _ => None,
        }
    }

    /// The error, and what mends it if that is known, in one line.
    #[must_use]
    pub fn sentence(&self) -> String {
        match self.remedy() {
            None => self.to_string(),
            Some(remedy) => format!("{self}; {remedy}"),
        }
    }

    /// Why it failed, without where and during what.
    pub(crate) fn cause(&self) -> String {
        match self {
            Self::Redis { source, .. }
            | Self::Unreachable { source, .. }
            | Self::Refused { source, .. } => cause(source),
            Self::Connection { reason, .. } => reason.clone(),
            other => other.to_string(),
        }
    }

    /// Wraps a client error with what was under way.
    pub(crate) fn redis(during: &'static str) -> impl FnOnce(RedisError) -> Self {
        move |source| Self::Redis { during, source }
    }
}

/// Server errors that pass by themselves. UNBLOCKED ends a blocking read when its stream is deleted or the server becomes a
/// Redis replica.
const TRANSIENT: [&str; 12] = [
    "LOADING",
    "TRYAGAIN",
    "CLUSTERDOWN",
    "MASTERDOWN",
    "READONLY",
    "NOSCRIPT",
    "OOM",
    "NOGROUP",
    "BUSY",
    "MISCONF",
    "NOREPLICAS",
    "UNBLOCKED",
];

/// Server errors that pass once somebody gives the user what it lacks.
const DENIED: [&str; 3] = ["NOPERM", "NOAUTH", "WRONGPASS"];

fn names(misplaced: &[Misplaced]) -> String {
    let names: Vec<String> = misplaced.iter().map(ToString::to_string).collect();
    names.join(", ")
}

/// Where the address was set, for a refusal of what stands in it.
fn came_from(step: &str, source: &RedisError, url_from: &str) -> String {
    if !(step == "SELECT" || has_code(source, &DENIED)) {
        return String::new();
    }
    from(url_from)
}

/// Where the address was set, as an aside.
fn from(url_from: &str) -> String {
    match url_from {
        "" => String::new(),
        place => format!(" (redis_url is from {place})"),
    }
}

/// What mends what a server said with this code.
fn remedy(code: &str) -> Option<&'static str> {
    Some(match code {
        "WRONGPASS" => {
            "give the right user and password, in redis_username and redis_password_file or in redis_url"
        }
        "NOAUTH" => {
            "give a password, in redis_password_file, TASKFERRY_REDIS_PASSWORD, or redis_url: redis://user:password@host:port/db"
        }
        "NOPERM" => {
            "give the user the right, with redis-cli ACL SETUSER (docs/REDIS.md has the rule)"
        }
        "NOREPLICAS" => {
            "fewer replicas follow than min-replicas-to-write asks for: bring them back, or run: redis-cli CONFIG SET min-replicas-to-write 0"
        }
        "LOADING" => "wait until Redis has loaded its data",
        "MISCONF" => {
            "Redis cannot write to its disk and its log says why: free space there, or mend the disk or the folder's rights"
        }
        "READONLY" | "MASTERDOWN" => "let redis_url lead to the primary",
        "OOM" => "give Redis more memory (maxmemory), or tasks a shorter ttl",
        "BUSY" => "a script runs for too long: redis-cli SCRIPT KILL",
        "DENIED" => "give Redis a password, or run: redis-cli CONFIG SET protected-mode no",
        _ => return None,
    })
}

/// What the server said, in its own words.
fn cause(source: &RedisError) -> String {
    match source.clone().into_server_errors() {
        Some(all) => {
            let said = all.iter().map(|(_, refusal)| match refusal.details() {
                Some(details) => format!("{} {details}", refusal.code()),
                None => refusal.code().to_owned(),
            });
            said.collect::<Vec<_>>().join("; ")
        }
        None => tls_fault(source).map_or_else(|| source.to_string(), |fault| fault.text),
    }
}

fn is_transient(source: &RedisError) -> bool {
    source.kind() == ErrorKind::Io || has_code(source, &TRANSIENT)
}

/// Whether this process, or its machine, has no room for another connection: too few files, no memory or no port. That
/// says nothing of the server.
pub(crate) fn is_shortage(source: &RedisError) -> bool {
    let errno = io_error(source).and_then(Errno::from_io_error);
    matches!(
        errno,
        Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM | Errno::ADDRNOTAVAIL)
    )
}

/// Whether the server refused with one of these codes: a command, or one of those of a pipeline or a transaction, of
/// which the client library's own code says nothing.
pub(crate) fn has_code(source: &RedisError, codes: &[&str]) -> bool {
    let refusals = source.clone().into_server_errors();
    refusals.is_some_and(|all| {
        all.iter()
            .any(|(_, refusal)| codes.contains(&refusal.code()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(line: &str) -> RedisError {
        let reply = redis::parse_redis_value(format!("-{line}\r\n").as_bytes()).unwrap();
        reply.extract_error().unwrap_err()
    }

    #[test]
    fn a_shortage_of_this_process_is_told_from_a_fault_of_the_server() {
        let met = |errno: Errno| RedisError::from(std::io::Error::from(errno));
        for errno in [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM] {
            assert!(is_shortage(&met(errno)), "{errno}");
        }
        for errno in [Errno::CONNREFUSED, Errno::CONNRESET, Errno::TIMEDOUT] {
            assert!(!is_shortage(&met(errno)), "{errno}");
        }
        assert!(!is_shortage(&said("READONLY You can't write")));
    }

    #[test]
    fn what_redis_named_has_its_remedy() {
        for (line, part) in [
            (
                "NOREPLICAS Not enough good replicas",
                "min-replicas-to-write",
            ),
            ("LOADING Redis is loading", "wait"),
            ("MISCONF Errors writing to the AOF file", "disk"),
            (
                "READONLY You can't write against a read only replica",
                "primary",
            ),
            ("MASTERDOWN Link with MASTER is down", "primary"),
            ("NOPERM this user has no permissions", "ACL SETUSER"),
            ("NOAUTH Authentication required", "redis://user:password@"),
            ("OOM command not allowed", "maxmemory"),
            ("BUSY Redis is busy", "SCRIPT KILL"),
        ] {
            let source = said(line);
            let during = "a test";
            let error = Error::Redis { during, source };
            let (code, _) = line.split_once(' ').unwrap();
            let sentence = error.sentence();
            assert!(
                sentence.contains(code) && sentence.contains(part),
                "{sentence}"
            );
        }
        let source = said("ERR syntax error");
        let during = "a test";
        assert_eq!(Error::Redis { during, source }.remedy(), None);
    }
}
