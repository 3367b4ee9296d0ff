//! Whether this Redis can be trusted with jobs.

use std::time::Duration;

use taskferry_contract::{Durability, Finding, QueueName, Role, Verdict};

use super::Operator;

/// How long the whole examination may take.
const PATIENCE: Duration = Duration::from_secs(15);

impl Operator {
    /// The findings on Redis; with `wanted`, also whether it keeps as much as that level asks for;
    /// with a role, whether the user has the rights of that. A Redis that does not
    /// answer is a finding too.
    pub(crate) async fn examine(
        &self,
        wanted: Option<Durability>,
        role: Option<(Role, &[QueueName])>,
    ) -> Vec<Finding> {
        match tokio::time::timeout(PATIENCE, self.store.examine(wanted, role)).await {
            Ok(Ok(findings)) => findings,
            Ok(Err(error)) => vec![self.unreachable(error.to_string(), error.remedy())],
            Err(_elapsed) => {
                let found = format!("Redis did not answer within {PATIENCE:?}");
                vec![self.unreachable(found, None)]
            }
        }
    }

    fn unreachable(&self, found: String, remedy: Option<&str>) -> Finding {
        let ask = || format!("see whether it answers: redis-cli -u {} PING", self.url);
        Finding {
            check: "connection",
            verdict: Verdict::Fail,
            found,
            remedy: Some(remedy.map_or_else(ask, str::to_owned)),
        }
    }
}
