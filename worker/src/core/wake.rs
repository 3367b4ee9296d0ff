//! Wakes loops that sleep.

use tokio::sync::Notify;

/// What wakes each loop when something is known to wait for it. There is a forwarder and a reclaimer for each shard, and a
/// wake is for all of them.
#[derive(Debug, Default)]
pub(crate) struct Wake {
    pub(crate) forwarder: Notify,
    pub(crate) reclaimer: Notify,
    pub(crate) janitor: Notify,
}
