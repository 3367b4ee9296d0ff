//! What was measured.

use std::collections::BTreeMap;

use serde::Serialize;

/// What one row came to in one round. Costs are per request, or per lifecycle.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct Figures {
    /// Requests or lifecycles a second.
    pub(crate) per_second: f64,
    /// Half took no longer.
    pub(crate) p50_ms: f64,
    /// All but one in a hundred took no longer.
    pub(crate) p99_ms: f64,
    /// CPU of the process that serves it, if one does.
    pub(crate) server_cpu_us: Option<f64>,
    /// CPU of the worker, if it has work.
    pub(crate) worker_cpu_us: Option<f64>,
    /// CPU of Redis.
    pub(crate) redis_cpu_us: f64,
    /// Commands that Redis ran, those inside scripts included, by name.
    pub(crate) redis_commands: BTreeMap<String, f64>,
}
