//! For how long a credential is valid.

use std::time::Duration;

use taskferry_contract::local_ms;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Now, after the epoch.
pub(super) fn now() -> Duration {
    Duration::from_millis(u64::try_from(local_ms()).unwrap_or_default())
}

/// For how long a credential is valid. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Validity {
    until: Option<Instant>,
    /// The same by the clock on the wall, after the epoch: a machine may sleep, and its clock be set.
    by_the_clock: Option<Duration>,
    revoked: Option<CancellationToken>,
}

impl Validity {
    /// Never ends.
    pub(crate) fn forever() -> Self {
        Self::default()
    }

    /// Ends after `left`, if that is given, or once `revoked` is cancelled.
    pub(super) fn of(left: Option<Duration>, revoked: CancellationToken) -> Self {
        Self {
            until: left.and_then(|left| Instant::now().checked_add(left)),
            by_the_clock: left.and_then(|left| now().checked_add(left)),
            revoked: Some(revoked),
        }
    }

    /// Whether it has ended.
    pub(crate) fn is_over(&self) -> bool {
        self.until.is_some_and(|until| until <= Instant::now())
            || self.by_the_clock.is_some_and(|until| until <= now())
            || self
                .revoked
                .as_ref()
                .is_some_and(CancellationToken::is_cancelled)
    }

    /// Returns once it has ended.
    pub(crate) async fn ended(&self) {
        let expired = async {
            match self.until {
                Some(until) => tokio::time::sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        let revoked = async {
            match &self.revoked {
                Some(revoked) => revoked.cancelled().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = expired => {}
            () = revoked => {}
        }
    }
}
