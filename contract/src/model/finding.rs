//! What a check of Redis found, and how grave it is.

/// How grave a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// This user may not look at it, and needs not: its role does without.
    Note,
    /// Jobs work; something may hurt later, or could not be checked.
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
            Self::Note => "note",
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

    /// What this user may not look at, as only operators and viewers need to.
    #[must_use]
    pub fn not_for_this_user(check: &'static str) -> Self {
        let found = "this user may not look at them, which only the roles viewer and operator need";
        let remedy = "to check them, run doctor as a user with one of these roles";
        Self {
            verdict: Verdict::Note,
            remedy: Some(remedy.to_owned()),
            ..Self::ok(check, found)
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
