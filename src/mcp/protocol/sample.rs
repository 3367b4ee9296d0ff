//! A task for the tests of this folder.

use taskferry_contract::{Owner, Shards, Status, TaskId, TaskView};

/// A task of the tool `report` at its first attempt, that has reported nothing.
pub(crate) fn view(status: Status) -> TaskView {
    TaskView {
        id: TaskId::random(Shards::default().all().next().unwrap()),
        status,
        tool: "report".to_owned(),
        owner: Owner::anonymous(),
        plain: false,
        created_ms: 0,
        updated_ms: 0,
        ttl_ms: 1_000,
        poll_ms: 100,
        poll_max_ms: 100,
        message: None,
        is_error: false,
        progress: None,
        total: None,
        attempt: 1,
        waits: None,
        queue: "slow".to_owned(),
        limit: None,
        rate: None,
        lease_ms: None,
        task_scopes: Vec::new(),
        last_crash: false,
        served: None,
        paused: None,
        ahead: None,
        result: None,
        error: None,
    }
}
