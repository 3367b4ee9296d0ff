//! Wakes loops that sleep.

use tokio::sync::Notify;

/// Wakes each loop when there is known work for it. There is a forwarder and a reclaimer for each shard; a wake wakes all
/// of them.
#[derive(Debug, Default)]
pub(crate) struct Wake {
    pub(crate) forwarder: Notify,
    pub(crate) reclaimer: Notify,
    pub(crate) janitor: Notify,
}
