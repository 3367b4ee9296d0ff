//! The suites for each script.

use super::{EVERY, MODEL, Row, transitions};

/// A script's own tests, then all transitions, then the model.
macro_rules! script {
    ($name:literal: $($tests:literal)*) => {
        (
            concat!("contract/lua/", $name, ".lua"),
            &[transitions(&[$($tests),*]), transitions(EVERY), MODEL],
        )
    };
}

pub(super) const SCRIPTS: [Row; 46] = [
    ("contract/lua/", &[transitions(EVERY), MODEL]),
    ("contract/lua/prelude/", &[transitions(EVERY), MODEL]),
    script!("agree_version": "versions::"),
    script!("answer_input": "answers::" "firsts::" "rings::"),
    script!("ask_input": "answers::" "rings::"),
    script!("beat": "registers::" "definitions::" "forgets::"),
    script!("begin_outside": "outsides::"),
    script!("cancel": "cancels::" "rings::"),
    script!("claim": "claims::" "reclaims::"),
    script!("dead_letter": "dead_letters::" "reclaims::"),
    script!("deliver_input": "delivers::" "client_tasks::"),
    script!("drop_client_tasks": "client_tasks::"),
    script!("drop_session_stream": "sessions::"),
    script!("end_outside": "outsides::"),
    script!("ensure_group": "reclaims::"),
    script!("finish": "finishes::" "fences::"),
    script!("forget_worker": "forgets::"),
    script!("forward": "retries::" "claims::"),
    script!("give_homes": "registers::"),
    script!("hold_session_stream": "sessions::"),
    script!("leave_call": "leaves::" "rings::"),
    script!("note_client_task": "client_tasks::"),
    script!("park": "answers::" "fences::"),
    script!("poll_client_task": "client_tasks::"),
    script!("promote": "promotes::"),
    script!("recall_input": "delivers::" "rings::"),
    script!("reclaim": "reclaims::"),
    script!("requeue": "requeues::"),
    script!("hold_housekeeping": "requeues::"),
    script!("drop_housekeeping": "requeues::"),
    script!("register_tools": "registers::" "rings::"),
    script!("release": "retries::" "rings::" "fences::"),
    script!("renew_lease": "renews::" "fences::"),
    script!("report_log": "logs::"),
    script!("report_progress": "renews::" "rings::"),
    script!("revive": "dead_letters::"),
    script!("pause": "pauses::"),
    script!("resume": "pauses::"),
    script!("rotate_secret": "registers::"),
    script!("schedule_retry": "retries::" "rings::" "fences::"),
    script!("set_session_level": "logs::"),
    script!("submit": "submits::" "joins::" "firsts::"),
    script!("take_place": "quotas::"),
    script!("take_outside": "outsides::"),
    script!("take_rate": "quotas::"),
    script!("watch": "rings::"),
];
