//! The settings of `serve`: what each is called, what it takes, and what a user reads about it.

use taskferry_process::settings::{REDIS_SETTINGS, Setting};
use taskferry_process::telemetry::LOG_SETTINGS;

const OWN: [Setting; 34] = [
    setting(
        "listen",
        "ADDR",
        "Where to listen [default: 127.0.0.1:8080]",
    ),
    setting(
        "allow_unauthenticated",
        "BOOL",
        "Listen beyond loopback although nothing tells callers apart: whoever reaches the port may call every tool [default: false]",
    ),
    setting(
        "access_file",
        "FILE",
        "Who may call: issuers whose tokens are taken, and keys; without it, whoever reaches the port [default: none]",
    ),
    setting(
        "tls_cert_file",
        "FILE",
        "The certificate with which https is served, and those that vouch for it, PEM; read again when it changes [default: none]",
    ),
    setting(
        "tls_key_file",
        "FILE",
        "The key of that certificate, PEM [default: none]",
    ),
    setting(
        "tls_client_ca_file",
        "FILE",
        "The certificates that vouch for clients, PEM: nobody is served without a certificate then [default: none]",
    ),
    setting(
        "allowed_hosts",
        "NAMES",
        "Host names served beside loopback ones, comma-separated; * for any [default: none]",
    ),
    setting(
        "allowed_origins",
        "ORIGINS",
        "Origins of web pages served beside loopback ones, comma-separated; * for any [default: none]",
    ),
    setting(
        "single_user",
        "BOOL",
        "All callers are one user, who may list all tasks [default: false]",
    ),
    setting(
        "max_body",
        "SIZE",
        "The largest request body [default: 4MiB]",
    ),
    setting(
        "body_memory",
        "SIZE",
        "What the bodies of all requests on their way may take together [default: 64MiB]",
    ),
    setting(
        "result_memory",
        "SIZE",
        "What results, and other large answers, may take together while they are read and sent [default: 128MiB]",
    ),
    setting(
        "event_memory",
        "SIZE",
        "What the events of all streams that wait to be sent may take together [default: 32MiB]",
    ),
    setting(
        "max_connections",
        "N",
        "The most connections; 0 for as many as there are files [default: 20000]",
    ),
    setting(
        "max_requests",
        "N",
        "The most requests that are open at once, those that wait and event streams included; 0 for no limit [default: 16000]",
    ),
    setting(
        "peer_share",
        "PERCENT",
        "How much of max_connections, max_requests and queue_cap one address, or one caller who is told apart, may have [default: 75]",
    ),
    setting(
        "trusted_proxies",
        "ADDRESSES",
        "Addresses or networks of proxies whose X-Forwarded-For says who their clients are, comma-separated [default: none]",
    ),
    setting(
        "queue_cap",
        "N",
        "The most jobs a queue may hold, waiting and running; 0 for no limit [default: 100000]",
    ),
    setting(
        "owner_cap",
        "N",
        "The most tasks a caller may have that have not ended, where callers can be told apart (access_file, single_user, dev); 0 for no limit [default: 10000]",
    ),
    setting(
        "owner_share",
        "N",
        "How many tasks of a caller, of one tool, may be ready for workers at once, where callers can be told apart; the others wait in a line of the caller's own; 0 for no bound [default: 16]",
    ),
    setting(
        "owner_bytes",
        "SIZE",
        "What the tasks of a caller may take in Redis together, arguments and results, where callers can be told apart; 0 for no limit [default: 1GiB]",
    ),
    setting(
        "session_cap",
        "N",
        "The most legacy sessions a caller may have, or an address where callers are not told apart; 0 for no limit [default: 1000]",
    ),
    setting(
        "max_sessions",
        "N",
        "The most legacy sessions in all; 0 for no limit [default: 100000]",
    ),
    setting(
        "owner_rate",
        "N",
        "How many requests a caller may make in a second on all front ends together, where callers are told apart; 0 for no limit [default: 0]",
    ),
    setting(
        "no_worker_refuse",
        "DURATION",
        "Calls of a tool are refused once no living worker has had it for this long; off for never, as where workers are started for what waits [default: off]",
    ),
    setting(
        "address_rate",
        "N",
        "How many requests an address may make in a second on this front end; 0 for no limit [default: 1000; 0 on loopback]",
    ),
    setting(
        "durability",
        "LEVEL",
        "What Redis must not lose: memory, everysec, always, or replicated:N for N replicas [default: memory]",
    ),
    setting(
        "replica_timeout",
        "DURATION",
        "How long replicas may take to acknowledge a task, if durability is replicated [default: 1s]",
    ),
    setting(
        "session_idle",
        "DURATION",
        "A legacy session ends when unused for this long [default: 1h]",
    ),
    setting(
        "stream_after",
        "DURATION",
        "A request that waits longer than this is answered by an event stream [default: 1s]",
    ),
    setting(
        "handle_after",
        "DURATION",
        "A call by a client that knows no tasks and waits longer than this is answered by a task id and the tools task_status, task_result and task_cancel; off for never [default: 45s]",
    ),
    setting(
        "keep_alive",
        "DURATION",
        "How often a quiet stream says that it is alive [default: 15s]",
    ),
    setting(
        "drain_timeout",
        "DURATION",
        "How long open requests may take to end after SIGTERM [default: 7s]",
    ),
    setting(
        "instructions",
        "TEXT",
        "What models are told about this server [default: nothing]",
    ),
];

const fn setting(name: &'static str, value: &'static str, help: &'static str) -> Setting {
    Setting { name, value, help }
}

/// Every setting of `serve`.
pub(crate) fn settings_of_serve() -> Vec<Setting> {
    OWN.into_iter()
        .chain(LOG_SETTINGS)
        .chain(REDIS_SETTINGS)
        .collect()
}
