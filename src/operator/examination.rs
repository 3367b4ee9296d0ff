//! Whether this Redis can be trusted with jobs.

use std::time::Duration;

use taskferry_contract::{
    Durability, Error, Finding, LeftOut, QueueName, Role, ToolDefinition, Verdict,
};

use super::Operator;
use super::refused::refused;
use super::seen::workers;
use super::unlike;

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
        let examine = async {
            let mut findings = self.store.examine(wanted, role).await?;
            findings.extend(self.tools_that_are_used().await?);
            Ok::<_, Error>(findings)
        };
        match tokio::time::timeout(PATIENCE, examine).await {
            Ok(Ok(findings)) => findings,
            Ok(Err(error)) => vec![self.unreachable(error.to_string(), error.remedy())],
            Err(_elapsed) => {
                let found = format!("Redis did not answer within {PATIENCE:?}");
                vec![self.unreachable(found, None)]
            }
        }
    }

    /// Whether front ends list every tool that is registered, and workers of one queue have the same: a line for each tool and
    /// each queue where it is not so.
    async fn tools_that_are_used(&self) -> Result<Vec<Finding>, Error> {
        let finding = |verdict, found, remedy: Option<String>| Finding {
            check: "tools",
            verdict,
            found,
            remedy,
        };
        let registry = match self.store.registry().await {
            Ok(registry) => registry,
            // The line on keys tells of those.
            Err(Error::WrongType { .. }) => return Ok(Vec::new()),
            Err(error) if error.is_forbidden() => {
                return Ok(vec![Finding::not_for_this_user("tools")]);
            }
            Err(error) if error.is_refusal() => {
                let found = format!("they could not be checked: {error}");
                return Ok(vec![finding(Verdict::Warn, found, None)]);
            }
            Err(error) => return Err(error),
        };
        let refused = refused(&registry);
        let uneven = self.unlike_workers(&registry.tools).await?;
        if refused.is_empty() && uneven.is_empty() {
            let found = format!(
                "{} registered, and front ends list all",
                registry.tools.len()
            );
            return Ok(vec![finding(Verdict::Ok, found, None)]);
        }
        let told = refused.into_iter().map(
            |LeftOut {
                 tool,
                 queue,
                 reason,
             }| {
                let found = format!("front ends do not list {tool} of queue {queue}: {reason}");
                let remedy = format!(
                    "mend it where its worker has it, or forget it: taskferry tools remove {tool}"
                );
                finding(Verdict::Warn, found, Some(remedy))
            },
        );
        Ok(told.chain(uneven).collect())
    }

    /// The queues of these tools whose workers do not have the same ones.
    async fn unlike_workers(&self, tools: &[ToolDefinition]) -> Result<Vec<Finding>, Error> {
        match workers(&self.store).await {
            Ok(workers) => Ok(unlike::findings(tools, &workers)),
            // The line on keys tells of it.
            Err(error) if error.is_refusal() => Ok(Vec::new()),
            Err(error) => Err(error),
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
