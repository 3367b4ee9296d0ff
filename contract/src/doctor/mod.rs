//! Whether a Redis can be trusted with jobs: what `taskferry doctor` shows an operator, and what both binaries check at
//! their start.

mod config;
mod durable;
mod functions;
mod judge;
mod kept;
mod permissions;
mod persistence;

use crate::clock::local_ms;
use crate::doctor::permissions::Wanted;
use crate::error::{Error, has_code};
use crate::model::durability::Durability;
use crate::model::finding::{Finding, Verdict};
use crate::model::names::QueueName;
use crate::model::role::Role;
use crate::model::version::CONTRACT_VERSION;
use crate::store::Store;
use crate::store::operate::version;

impl Store {
    /// Runs every check. Changes nothing. With `wanted`, also checks that Redis keeps as much as that level asks for; with a
    /// role, that the user has its rights, as a worker of these queues, or of all if there are none.
    ///
    /// # Errors
    ///
    /// If Redis fails, or answers nobody for now; then nothing can be checked.
    pub async fn examine(
        &self,
        wanted: Option<Durability>,
        role: Option<(Role, &[QueueName])>,
    ) -> Result<Vec<Finding>, Error> {
        self.look_at_a_key().await?;
        let info = self.connections.info().await?;
        let config = config::Config::read(self).await?;
        let mut findings = vec![
            judge::version(&info),
            judge::cluster(&info),
            judge::role(&info),
            judge::eviction(&info),
            judge::memory(&info),
        ];
        findings.extend(persistence::judge(&info, &config, wanted));
        findings.extend(judge::settings(&config));
        findings.push(judge::clock(self.clock_lead_ms().await?));
        findings.push(match role {
            Some((role, queues)) => {
                let wanted = Wanted {
                    role,
                    queues,
                    durability: wanted,
                };
                permissions::check(self, wanted).await?
            }
            None => permissions::survey(self, wanted).await?,
        });
        findings.extend(permissions::refused_write(self).await?);
        findings.push(self.contract_finding().await?);
        findings.push(functions::judge(&self.libraries().await?));
        findings.push(match self.survey().await {
            Ok(survey) => judge::keys(&survey.misplaced),
            Err(error) if error.is_forbidden() => Finding::not_for_this_user("keys"),
            Err(error) if error.is_refusal() => Finding::warn(
                "keys",
                format!("they could not be checked: {error}"),
                error.remedy().unwrap_or("mend the findings above first"),
            ),
            Err(error) => return Err(error),
        });
        Ok(findings)
    }

    /// What must be right before a process begins: version, no Cluster, no eviction, the rights of its role, as a worker of
    /// these queues. A clock that is off is logged.
    ///
    /// # Errors
    ///
    /// [`Error::Unsuitable`] with what to change; a transient error while this server is a Redis replica; others if Redis
    /// fails.
    pub async fn check_server(&self, role: Role, queues: &[QueueName]) -> Result<(), Error> {
        let info = self.connections.info().await?;
        let mut findings = vec![
            judge::version(&info),
            judge::cluster(&info),
            judge::eviction(&info),
        ];
        if findings.iter().all(|found| found.verdict != Verdict::Fail) {
            let wanted = Wanted {
                role,
                queues,
                durability: None,
            };
            findings.push(permissions::check(self, wanted).await?);
        }
        if let Some(found) = worst(&findings) {
            return Err(Error::Unsuitable(found.sentence()));
        }
        // The address may lead to a primary soon: this passes without anyone changing a setting.
        let role = judge::role(&info);
        if role.verdict == Verdict::Fail {
            return Err(Error::Connection {
                during: "the checks at the start",
                reason: role.sentence(),
            });
        }
        if let Ok(lead_ms) = self.clock_lead_ms().await {
            let clock = judge::clock(lead_ms);
            if clock.verdict != Verdict::Ok {
                tracing::warn!("{}", clock.sentence());
            }
        }
        Ok(())
    }

    /// Fails if Redis lets nobody read a key for now: it still loads its data, or a script runs for too long. That one
    /// cause would make every check fail.
    async fn look_at_a_key(&self) -> Result<(), Error> {
        let mut exists = redis::cmd("EXISTS");
        exists.arg(self.keys().contract());
        match self.connections().command::<i64>("EXISTS", &exists).await {
            Err(Error::Redis { during, source }) if has_code(&source, &["LOADING", "BUSY"]) => {
                Err(Error::Redis { during, source })
            }
            _ => Ok(()),
        }
    }

    /// Whether the version that is stored is one that this program can keep. Stores none: who looks may not write.
    async fn contract_finding(&self) -> Result<Finding, Error> {
        let check = "contract";
        match self.stored_version().await {
            Ok(None) => Ok(Finding::ok(
                check,
                "none yet; whoever starts first stores its own",
            )),
            Ok(Some(stored)) if version::can_keep(&stored) => Ok(Finding::ok(
                check,
                format!("version {stored}; this program keeps to {CONTRACT_VERSION}"),
            )),
            Ok(Some(stored)) => Ok(Finding {
                verdict: Verdict::Fail,
                ..Finding::ok(check, version::incompatible(&self.keys.contract(), &stored))
            }),
            Err(error) if error.is_forbidden() => Ok(Finding::warn(
                check,
                "its version cannot be read, as that is not permitted",
                "ask whoever runs the front ends",
            )),
            Err(error) if error.is_refusal() => Ok(Finding::fail(
                check,
                format!("its version could not be read: {error}"),
                error.remedy().unwrap_or("mend the findings above first"),
            )),
            Err(error) => Err(error),
        }
    }

    /// By how much Redis's clock is ahead of this machine's, ms.
    async fn clock_lead_ms(&self) -> Result<i64, Error> {
        let before = local_ms();
        let theirs = i64::try_from(self.now_ms().await?).unwrap_or(i64::MAX);
        let after = local_ms();
        Ok(judge::lead_ms(before, theirs, after))
    }
}

fn worst(findings: &[Finding]) -> Option<&Finding> {
    findings.iter().find(|found| found.verdict == Verdict::Fail)
}
