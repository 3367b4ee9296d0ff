//! The names of each binary's settings, for the other.

/// The names of the front end's settings: a shared environment may hold them, so a worker passes over them.
pub const FRONT_END_NAMES: [&str; 23] = [
    "listen",
    "allow_unauthenticated",
    "allowed_hosts",
    "allowed_origins",
    "single_user",
    "max_body",
    "max_requests",
    "queue_cap",
    "owner_cap",
    "durability",
    "replica_timeout",
    "session_idle",
    "stream_after",
    "handle_after",
    "keep_alive",
    "drain_timeout",
    "instructions",
    "log",
    "log_format",
    "redis_url",
    "redis_prefix",
    "redis_shards",
    "redis_timeout",
];

/// The names of a worker's settings: a shared environment may hold them, so the front end passes over them.
pub const WORKER_NAMES: [&str; 11] = [
    "manifest",
    "slots",
    "lease",
    "drain_timeout",
    "max_result",
    "log",
    "log_format",
    "redis_url",
    "redis_prefix",
    "redis_shards",
    "redis_timeout",
];
