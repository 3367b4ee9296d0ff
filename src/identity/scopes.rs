//! What a caller may do, and what an operation needs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The scope that stands for all, in the access file alone: no issuer can grant it.
pub(super) const ALL: &str = "*";

/// What the access file says of scopes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ScopeRules {
    /// What each call needs, beside what its tool says.
    pub(super) call: Vec<String>,
    /// What all that is done with tasks needs, beside what their tool says.
    pub(super) task: Vec<String>,
    /// The scopes that a scope includes.
    pub(super) implies: BTreeMap<String, Vec<String>>,
}

/// What an operation needs.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Needs<'a> {
    /// A tool is called that needs these.
    pub(crate) call: Option<&'a [String]>,
    /// Something is done with a task of a tool that needs these for it.
    pub(crate) task: Option<&'a [String]>,
}

impl<'a> Needs<'a> {
    /// A call of a tool that needs these scopes.
    pub(crate) fn of_call(tool: &'a [String]) -> Self {
        Self {
            call: Some(tool),
            task: None,
        }
    }

    /// Anything done with a task of a tool that needs these scopes for it.
    pub(crate) fn of_tasks(tool: &'a [String]) -> Self {
        Self {
            call: None,
            task: Some(tool),
        }
    }

    /// These too.
    pub(crate) fn and_tasks(self, tool: &'a [String], also: bool) -> Self {
        Self {
            task: also.then_some(tool),
            ..self
        }
    }
}

/// What a caller may do. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Scopes {
    /// `None` for everything.
    granted: Option<Arc<BTreeSet<String>>>,
    rules: Arc<ScopeRules>,
}

impl Scopes {
    /// Everything.
    pub(crate) fn all() -> Self {
        Self {
            granted: None,
            rules: Arc::default(),
        }
    }

    /// These, and all that they imply.
    pub(super) fn of<'a>(
        granted: impl IntoIterator<Item = &'a str>,
        rules: &Arc<ScopeRules>,
    ) -> Self {
        let mut all = BTreeSet::new();
        let mut open: Vec<&str> = granted.into_iter().collect();
        while let Some(scope) = open.pop() {
            if all.insert(scope.to_owned()) {
                let implied = rules.implies.get(scope);
                open.extend(implied.into_iter().flatten().map(String::as_str));
            }
        }
        Self {
            granted: Some(Arc::new(all)),
            rules: Arc::clone(rules),
        }
    }

    /// All that the operation needs, if the caller lacks a part of it.
    pub(crate) fn lacks(&self, needs: Needs<'_>) -> Option<Vec<String>> {
        let granted = self.granted.as_deref()?;
        let call = needs.call.map(|tool| self.rules.call.iter().chain(tool));
        let task = needs.task.map(|tool| self.rules.task.iter().chain(tool));
        let needed: BTreeSet<&String> = call.into_iter().chain(task).flatten().collect();
        let lacking = needed.iter().any(|scope| !granted.contains(*scope));
        lacking.then(|| needed.into_iter().cloned().collect())
    }

    /// What they take, bytes, somewhat.
    pub(super) fn bytes(&self) -> usize {
        let granted = self.granted.as_deref().into_iter().flatten();
        granted.map(|scope| scope.len() + 64).sum()
    }

    /// Whether anything could be lacking: if not, nobody need look what an operation needs.
    pub(crate) fn are_limited(&self) -> bool {
        self.granted.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    fn rules() -> Arc<ScopeRules> {
        Arc::new(ScopeRules {
            call: texts(&["call"]),
            task: texts(&["task"]),
            implies: BTreeMap::from([
                ("admin".to_owned(), texts(&["call", "half"])),
                ("half".to_owned(), texts(&["task", "admin"])),
            ]),
        })
    }

    #[test]
    fn what_is_lacking_is_told_whole_and_at_once() {
        let tool = texts(&["render"]);
        let scopes = Scopes::of(["call"], &rules());
        let both = Needs {
            call: Some(&tool),
            task: Some(&[]),
        };
        assert_eq!(scopes.lacks(both), Some(texts(&["call", "render", "task"])));
        let call = Needs {
            call: Some(&[]),
            task: None,
        };
        assert_eq!(scopes.lacks(call), None);
        assert_eq!(scopes.lacks(Needs::default()), None);
    }

    #[test]
    fn a_scope_brings_all_that_it_implies_also_in_a_circle() {
        let scopes = Scopes::of(["admin"], &rules());
        let both = Needs {
            call: Some(&[]),
            task: Some(&[]),
        };
        assert_eq!(scopes.lacks(both), None);
    }

    #[test]
    fn who_may_do_all_lacks_nothing() {
        let tool = texts(&["render"]);
        let needs = Needs {
            call: Some(&tool),
            task: Some(&tool),
        };
        assert_eq!(Scopes::all().lacks(needs), None);
        // An issuer cannot grant it.
        assert!(Scopes::of([ALL], &rules()).lacks(needs).is_some());
    }
}
