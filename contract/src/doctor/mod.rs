//! Whether a Redis can be trusted with jobs: what the operator's `doctor` tells, and what both binaries check at their
//! start.

mod config;
mod info;
mod judge;
mod permissions;
mod persistence;

use crate::clock::local_ms;
use crate::durability::Durability;
use crate::error::{Error, has_code};
use crate::store::Store;
pub(crate) use info::Info;

/// How grave a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// Jobs work; something may hurt later, or could not be looked at.
    Warn,
    /// Jobs do not work, or can be lost.
    Fail,
}

impl Verdict {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// What one check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What was checked, in a word.
    pub check: &'static str,
    /// How grave it is.
    pub verdict: Verdict,
    /// What was found.
    pub found: String,
    /// A command that mends it, or what to do where no command can.
    pub remedy: Option<String>,
}

impl Finding {
    pub(crate) fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self {
            check,
            verdict: Verdict::Ok,
            found: found.into(),
            remedy: None,
        }
    }

    pub(crate) fn warn(check: &'static str, found: impl Into<String>, remedy: &str) -> Self {
        Self {
            verdict: Verdict::Warn,
            remedy: Some(remedy.to_owned()),
            ..Self::ok(check, found)
        }
    }

    pub(crate) fn fail(check: &'static str, found: impl Into<String>, remedy: &str) -> Self {
        Self {
            verdict: Verdict::Fail,
            ..Self::warn(check, found, remedy)
        }
    }

    /// What was found and what mends it, in one line.
    #[must_use]
    pub fn sentence(&self) -> String {
        match &self.remedy {
            None => self.found.clone(),
            Some(remedy) => format!("{}; {remedy}", self.found),
        }
    }
}

impl Store {
    /// Looks at everything, and changes nothing but for the contract's version, which is stored if there is none. Held
    /// against `wanted`, if that is said.
    ///
    /// # Errors
    ///
    /// If Redis fails, or answers nobody for now; then there is nothing to look at.
    pub async fn examine(&self, wanted: Option<Durability>) -> Result<Vec<Finding>, Error> {
        self.look_at_a_key().await?;
        let info = Info::read(self).await?;
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
        findings.push(permissions::check(self, wanted).await?);
        findings.extend(permissions::refused_write(self).await?);
        findings.push(self.contract_finding().await?);
        findings.push(match self.survey().await {
            Ok(survey) => judge::keys(&survey.misplaced),
            Err(error) if is_refusal(&error) => Finding::warn(
                "keys",
                format!("they could not be looked at: {error}"),
                error.remedy().unwrap_or("mend the findings above first"),
            ),
            Err(error) => return Err(error),
        });
        Ok(findings)
    }

    /// What must be right before a process begins: version, no Cluster, no eviction, every command permitted. A clock
    /// that is off is logged.
    ///
    /// # Errors
    ///
    /// [`Error::Unsuitable`] with what to change; a transient error while this Redis is a replica; others if Redis fails.
    pub async fn check_server(&self) -> Result<(), Error> {
        let info = Info::read(self).await?;
        let mut findings = vec![
            judge::version(&info),
            judge::cluster(&info),
            judge::eviction(&info),
        ];
        if findings.iter().all(|found| found.verdict != Verdict::Fail) {
            findings.push(permissions::check(self, None).await?);
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

    /// Fails if Redis lets nobody look at a key for now: it still loads its data, or a script runs for too long. One such
    /// cause would be found wrong with everything that is looked at.
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

    async fn contract_finding(&self) -> Result<Finding, Error> {
        match self.agree_version().await {
            Ok(version) => Ok(Finding::ok(
                "contract",
                format!(
                    "version {version}; this program keeps to {}",
                    crate::version::CONTRACT_VERSION
                ),
            )),
            Err(Error::Unsuitable(text)) => Ok(Finding {
                verdict: Verdict::Fail,
                ..Finding::ok("contract", text)
            }),
            Err(error) if is_refusal(&error) => Ok(Finding::fail(
                "contract",
                format!("its version could not be agreed on: {error}"),
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

/// Whether Redis answered, by refusing the command: a user without the right to it, a server that lacks or renamed it, or
/// one that takes no writes.
fn is_refusal(error: &Error) -> bool {
    match error {
        Error::Redis { source, .. } => source.clone().into_server_errors().is_some(),
        Error::WrongType { .. } => true,
        _ => false,
    }
}

/// Whether Redis refused the command because the user may not run it.
pub(crate) fn is_forbidden(error: &Error) -> bool {
    matches!(error, Error::Redis { source, .. } if has_code(source, &["NOPERM"]))
}
