//! Fuzz targets: what must hold of any bytes that callers, issuers, proxies and operators send. `scripts/fuzz` runs them for
//! long, the tests below for a moment. Each stands beside what it is about.

pub use crate::bridge::fuzz::{canonical, seal};
pub use crate::identity::fuzz::{access_file, authorization, key_set};
pub use crate::mcp::fuzz::{edge, envelope, event_id, initialize};
pub use crate::transport::fuzz::{headers, peers};

#[cfg(test)]
mod tests {
    taskferry_testing::fuzz_tests! {
        access_file, authorization, canonical, edge, envelope, event_id, headers, initialize, key_set, peers, seal,
    }
}
