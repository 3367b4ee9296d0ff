//! Settings that may end badly together.

use std::time::Duration;

use super::ServeConfig;

/// How often clients are asked to poll an old task, unless its tool says otherwise.
const POLL_MAX: Duration = Duration::from_secs(5);

impl ServeConfig {
    /// What its settings may lead to, a line for each pair.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let idle = self.mcp.session_idle;
        let mut warnings = Vec::new();
        if idle < POLL_MAX * 2 {
            warnings.push(format!(
                "session_idle is {idle:?}, and clients are asked to poll old tasks every {POLL_MAX:?} (poll_interval_max of a tool, unless it says otherwise): the session of a client that only polls ends in between. Raise session_idle, or lower poll_interval_max in the manifests"
            ));
        }
        warnings
    }
}
