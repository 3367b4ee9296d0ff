//! The name of every setting, and whose it is: a shared environment holds the settings of both binaries, so each passes over
//! the names of the other.

/// A program that has settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Binary {
    /// `taskferry`.
    FrontEnd,
    /// `taskferry-worker`.
    Worker,
}

const FRONT_END: &[Binary] = &[Binary::FrontEnd];
const WORKER: &[Binary] = &[Binary::Worker];
const BOTH: &[Binary] = &[Binary::FrontEnd, Binary::Worker];
/// What no binary takes as a setting: the variable of the settings file, and what only tests read.
const NEITHER: &[Binary] = &[];

const NAMES: [(&str, &[Binary]); 58] = [
    ("listen", FRONT_END),
    ("allow_unauthenticated", FRONT_END),
    ("access_file", FRONT_END),
    ("tls_cert_file", FRONT_END),
    ("tls_key_file", FRONT_END),
    ("tls_client_ca_file", FRONT_END),
    ("allowed_hosts", FRONT_END),
    ("allowed_origins", FRONT_END),
    ("single_user", FRONT_END),
    ("max_body", FRONT_END),
    ("body_memory", FRONT_END),
    ("result_memory", FRONT_END),
    ("event_memory", FRONT_END),
    ("max_connections", FRONT_END),
    ("max_requests", FRONT_END),
    ("peer_share", FRONT_END),
    ("trusted_proxies", FRONT_END),
    ("queue_cap", FRONT_END),
    ("owner_cap", FRONT_END),
    ("owner_share", FRONT_END),
    ("owner_bytes", FRONT_END),
    ("session_cap", FRONT_END),
    ("max_sessions", FRONT_END),
    ("owner_rate", FRONT_END),
    ("no_worker_refuse", FRONT_END),
    ("address_rate", FRONT_END),
    ("durability", FRONT_END),
    ("replica_timeout", FRONT_END),
    ("session_idle", FRONT_END),
    ("stream_after", FRONT_END),
    ("handle_after", FRONT_END),
    ("keep_alive", FRONT_END),
    ("manifest", WORKER),
    ("slots", WORKER),
    ("lease", WORKER),
    ("drain_timeout", BOTH),
    ("instructions", FRONT_END),
    ("max_jobs", WORKER),
    ("idle_exit", WORKER),
    ("max_result", WORKER),
    ("cgroup", WORKER),
    ("log", BOTH),
    ("log_format", BOTH),
    ("redis_url", BOTH),
    ("redis_username", BOTH),
    ("redis_password", BOTH),
    ("redis_password_file", BOTH),
    ("redis_sentinel_username", BOTH),
    ("redis_sentinel_password", BOTH),
    ("redis_sentinel_password_file", BOTH),
    ("redis_ca_file", BOTH),
    ("redis_cert_file", BOTH),
    ("redis_key_file", BOTH),
    ("redis_prefix", BOTH),
    ("redis_shards", BOTH),
    ("redis_timeout", BOTH),
    ("config", NEITHER),
    ("test_redis", NEITHER),
];

/// Settings whose values are secret: no message repeats one, and no flag gives one, since whoever lists processes reads those.
const SECRETS: [&str; 2] = ["redis_password", "redis_sentinel_password"];

/// The names of a binary's settings.
pub fn names_of(binary: Binary) -> impl Iterator<Item = &'static str> {
    let of_binary = NAMES
        .into_iter()
        .filter(move |(_, whose)| whose.contains(&binary));
    of_binary.map(|(name, _)| name)
}

/// Whether an environment that several programs share may hold this name.
pub(super) fn may_be_shared(name: &str) -> bool {
    NAMES.iter().any(|(known, _)| *known == name)
}

/// Whether the value of a setting is secret.
pub(super) fn is_secret(name: &str) -> bool {
    SECRETS.contains(&name)
}
