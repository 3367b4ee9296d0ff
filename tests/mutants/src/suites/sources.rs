//! The suites for the sources: those of the longest path that a file's begins with.

use super::{
    CONTRACT, EVERY, EXEC, FRONT_END, HOUSEKEEPING, PROCESS, Row, WORKER, e2e, jobs,
    slow_transitions, transitions,
};

pub(super) const SOURCES: [Row; 44] = [
    (
        "contract/src/",
        &[CONTRACT, transitions(EVERY), jobs(EVERY)],
    ),
    (
        "contract/src/connection/",
        &[
            CONTRACT,
            transitions(EVERY),
            slow_transitions(&["failovers::", "outages::"]),
        ],
    ),
    (
        "contract/src/store/operate/dead",
        &[
            CONTRACT,
            transitions(&["dead_letters::"]),
            e2e(&["operator::"]),
        ],
    ),
    (
        "contract/src/store/operate/revive",
        &[
            CONTRACT,
            transitions(&["dead_letters::"]),
            e2e(&["operator::"]),
        ],
    ),
    (
        "contract/src/doctor/",
        &[
            CONTRACT,
            transitions(&["examines::", "checks::"]),
            e2e(&["operator::", "settings::"]),
        ],
    ),
    (
        "contract/src/store/doorbell",
        &[
            CONTRACT,
            transitions(&["rings::", "registers::"]),
            slow_transitions(&["failovers::"]),
        ],
    ),
    (
        "contract/src/model/durability",
        &[
            CONTRACT,
            slow_transitions(&["replicas::", "losses::", "examines::"]),
        ],
    ),
    (
        "contract/src/doctor/durable",
        &[
            CONTRACT,
            slow_transitions(&["replicas::", "losses::", "examines::"]),
        ],
    ),
    (
        "contract/src/store/operate/overview",
        &[
            CONTRACT,
            transitions(&["overviews::"]),
            e2e(&["operator::"]),
        ],
    ),
    (
        "contract/src/store/operate/registry",
        &[
            CONTRACT,
            transitions(&["registers::", "forgets::", "overviews::"]),
            e2e(&["operator::"]),
        ],
    ),
    (
        "contract/src/model/client_task",
        &[
            CONTRACT,
            transitions(&["client_tasks::"]),
            e2e(&["receivers::"]),
        ],
    ),
    (
        "contract/src/store/front/client_task",
        &[
            CONTRACT,
            transitions(&["client_tasks::"]),
            e2e(&["receivers::"]),
        ],
    ),
    (
        "contract/src/store/front/session/",
        &[
            CONTRACT,
            transitions(&["sessions::", "logs::"]),
            e2e(&["own_stream::", "resume::", "cancelled::", "logs::"]),
        ],
    ),
    ("contract/src/json/schema/", &[CONTRACT, FRONT_END, WORKER]),
    (
        "process/src/",
        &[
            PROCESS,
            e2e(&["settings::", "unread_log::", "stopping::"]),
            jobs(&["processes::", "stops::"]),
        ],
    ),
    (
        "process/src/settings/",
        &[
            PROCESS,
            e2e(&["settings::", "operator::"]),
            jobs(&["processes::"]),
        ],
    ),
    ("worker/src/", &[WORKER, jobs(EVERY)]),
    (
        "worker/src/sdk/ask",
        &[WORKER, jobs(&["asks::", "exec_"]), jobs(EVERY)],
    ),
    (
        "worker/src/sdk/",
        &[WORKER, jobs(&["asks::", "outcomes::"]), jobs(EVERY)],
    ),
    ("worker/src/cli", &[WORKER, jobs(&["processes::"])]),
    ("worker/src/config", &[WORKER, jobs(&["processes::"])]),
    (
        "worker/src/runtime/fetcher",
        &[WORKER, jobs(&["flow::", "prompt::"]), jobs(EVERY)],
    ),
    (
        "housekeeping/src/",
        &[
            HOUSEKEEPING,
            jobs(&["keeps_house::", "lost::", "prompt::", "outcomes::"]),
            e2e(&["no_worker::", "waiting::"]),
        ],
    ),
    (
        "worker/src/runtime/heartbeat",
        &[WORKER, jobs(&["leases::", "ends::", "asks::"]), jobs(EVERY)],
    ),
    (
        "worker/src/runtime/janitor",
        &[WORKER, jobs(&["faults::", "flow::"]), jobs(EVERY)],
    ),
    (
        "worker/src/core/slots",
        &[WORKER, jobs(&["prompt::", "flow::"]), jobs(EVERY)],
    ),
    (
        "worker/src/exec",
        &[
            WORKER,
            EXEC,
            jobs(&[
                "stops::",
                "exec_",
                "outcomes::",
                "processes::",
                "ends::",
                "files::",
            ]),
        ],
    ),
    (
        "worker/src/manifest/",
        &[WORKER, jobs(&["processes::", "outcomes::", "exec_"])],
    ),
    (
        "src/",
        &[FRONT_END, e2e(&["legacy::", "modern::", "settings::"])],
    ),
    (
        "src/bridge/",
        &[
            FRONT_END,
            e2e(&[
                "legacy::",
                "modern::",
                "idempotency::",
                "sharing::",
                "questions::",
                "handles::",
                "owners::",
                "replicas::",
                "subscriptions::",
                "kinds::",
            ]),
        ],
    ),
    (
        "src/cli/",
        &[FRONT_END, e2e(&["operator::", "settings::", "edge::"])],
    ),
    ("src/operator/", &[FRONT_END, e2e(&["operator::"])]),
    (
        "src/serve/",
        &[FRONT_END, e2e(&["settings::", "stopping::", "edge::"])],
    ),
    (
        "src/config/",
        &[FRONT_END, e2e(&["settings::", "edge::", "operator::"])],
    ),
    (
        "src/transport/http/",
        &[
            FRONT_END,
            e2e(&["edge::", "malformed::", "settings::", "terms::"]),
        ],
    ),
    (
        "src/mcp/",
        &[
            FRONT_END,
            e2e(&[
                "malformed::",
                "ids::",
                "legacy::",
                "modern::",
                "kinds::",
                "pace::",
                "logs::",
                "idempotency::",
            ]),
        ],
    ),
    (
        "src/mcp/protocol/capabilities",
        &[FRONT_END, e2e(&["askable::", "declarations::", "modern::"])],
    ),
    (
        "src/mcp/protocol/outgoing",
        &[
            FRONT_END,
            e2e(&["declarations::", "questions::", "logs::", "legacy::"]),
        ],
    ),
    (
        "src/mcp/protocol/progress",
        &[
            FRONT_END,
            e2e(&["own_stream::", "pace::", "legacy::", "modern::"]),
        ],
    ),
    (
        "src/mcp/protocol/log",
        &[
            FRONT_END,
            e2e(&["logs::", "own_stream::", "declarations::"]),
        ],
    ),
    (
        "src/mcp/wait/",
        &[
            FRONT_END,
            e2e(&[
                "legacy::",
                "handles::",
                "resume::",
                "questions::",
                "logs::",
                "cancelled::",
                "pace::",
                "sharing::",
            ]),
        ],
    ),
    ("src/mcp/background/", &[FRONT_END, e2e(&["handles::"])]),
    (
        "src/mcp/legacy/",
        &[
            FRONT_END,
            e2e(&[
                "legacy::",
                "questions::",
                "own_stream::",
                "resume::",
                "receivers::",
                "cancelled::",
                "logs::",
                "malformed::",
                "ids::",
                "owners::",
                "handles::",
            ]),
        ],
    ),
    (
        "src/mcp/modern/",
        &[
            FRONT_END,
            e2e(&[
                "modern::",
                "subscriptions::",
                "questions::",
                "malformed::",
                "cancelled::",
                "ids::",
                "owners::",
                "askable::",
            ]),
        ],
    ),
];
