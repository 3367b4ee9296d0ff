//! Settings that may end badly together.

use std::time::Duration;

use taskferry_contract::DEFAULT_POLL_MAX_MS;

use super::ServeConfig;

impl ServeConfig {
    /// Warnings about settings, a line for each pair.
    pub(super) fn sums(&self) -> Vec<String> {
        let idle = self.mcp.session_idle;
        let poll_max = Duration::from_millis(DEFAULT_POLL_MAX_MS);
        let mut warnings = Vec::new();
        if idle < poll_max * 2 {
            warnings.push(format!(
                "session_idle is {idle:?}, and clients are asked to poll old tasks every {poll_max:?} (poll_interval_max of a tool, unless it says otherwise): the session of a client that only polls ends in between. Raise session_idle, or lower poll_interval_max in the manifests"
            ));
        }
        if !self.listen.ip().is_loopback() && self.http.address_rate.is_none() {
            warnings.push(format!(
                "address_rate is 0, and {} can be reached from other machines: nothing bounds how many requests one of them makes, or how many tokens it tries out. Set it somewhat above what your busiest client needs, and name proxies in trusted_proxies",
                self.listen
            ));
        }
        warnings
    }
}
