//! Wakes loops that sleep.

use tokio::sync::Notify;

/// Loops that sleep are woken when something is known to wait for them.
#[derive(Debug, Default)]
pub(crate) struct Wake {
    pub(crate) forwarder: Notify,
    pub(crate) reclaimer: Notify,
    pub(crate) janitor: Notify,
}
