//! An access file in use.

use std::sync::Arc;

use serde_json::json;

use crate::identity::access_file::AccessFile;
use crate::identity::issuer::Issuer;
use crate::identity::scopes::{ALL, Scopes};
use crate::identity::static_key::ActiveKey;

/// An access file in use.
#[derive(Debug)]
pub(super) struct Access {
    pub(super) file: AccessFile,
    pub(super) issuers: Vec<Arc<Issuer>>,
    pub(super) keys: Vec<Arc<ActiveKey>>,
    /// Where its metadata are, as a client finds them (RFC 9728, 3.1).
    pub(super) metadata_url: String,
}

impl Access {
    /// Takes over from `before` what stays as it was.
    pub(super) fn new(file: AccessFile, before: Option<&Self>) -> Result<Self, String> {
        let scopes = Arc::new(file.scopes.clone());
        let mut issuers = Vec::new();
        for config in &file.issuers {
            let old = before.into_iter().flat_map(|before| &before.issuers);
            let mut old = old.filter(|old| old.config.rules.issuer == config.rules.issuer);
            let old = old.next();
            issuers.push(match old.filter(|old| old.is_as(config, &scopes)) {
                Some(same) => Arc::clone(same),
                None => Arc::new(Issuer::new(
                    config.clone(),
                    Arc::clone(&scopes),
                    old.map(|old| &**old),
                )?),
            });
        }
        let same_scopes = before.is_some_and(|before| before.file.scopes == file.scopes);
        let keys = file.keys.iter().map(|key| {
            let old = before.into_iter().flat_map(|before| &before.keys);
            let mut old = old.filter(|old| same_scopes && old.key == *key);
            old.next().map_or_else(
                || {
                    let granted = if key.scopes.iter().any(|scope| scope == ALL) {
                        Scopes::all()
                    } else {
                        Scopes::of(key.scopes.iter().map(String::as_str), &scopes)
                    };
                    Arc::new(ActiveKey::new(key.clone(), granted))
                },
                Arc::clone,
            )
        });
        Ok(Self {
            issuers,
            keys: keys.collect(),
            metadata_url: metadata_url(&file.resource),
            file,
        })
    }

    /// Ends what was opened with credentials that `after` does not know any more, or knows otherwise: clients open it again.
    pub(super) fn end_what_is_not_in(&self, after: &Self) {
        for old in &self.keys {
            if !after.keys.iter().any(|key| Arc::ptr_eq(key, old)) {
                old.revoked.cancel();
            }
        }
        for old in &self.issuers {
            if !after.issuers.iter().any(|issuer| Arc::ptr_eq(issuer, old)) {
                old.retire();
            }
        }
    }

    /// What a client reads to find where it gets a token (RFC 9728).
    pub(super) fn metadata(&self, scopes_of_tools: impl Iterator<Item = String>) -> String {
        let issuers = self.file.issuers.iter().map(|issuer| &issuer.rules.issuer);
        let issuers: Vec<&String> = issuers.collect();
        let rules = &self.file.scopes;
        let mut scopes: Vec<String> = rules.call.iter().chain(&rules.task).cloned().collect();
        scopes.extend(scopes_of_tools);
        scopes.sort();
        scopes.dedup();
        let mut metadata = json!({
            "resource": self.file.resource,
            "bearer_methods_supported": ["header"],
        });
        if let Some(object) = metadata.as_object_mut() {
            if !issuers.is_empty() {
                object.insert("authorization_servers".to_owned(), json!(issuers));
            }
            if !scopes.is_empty() {
                object.insert("scopes_supported".to_owned(), json!(scopes));
            }
        }
        metadata.to_string()
    }

    /// What to ask for at first: what is needed for every call and task.
    pub(super) fn first_scopes(&self) -> String {
        let rules = &self.file.scopes;
        let mut scopes: Vec<&str> = rules
            .call
            .iter()
            .chain(&rules.task)
            .map(String::as_str)
            .collect();
        scopes.sort_unstable();
        scopes.dedup();
        scopes.join(" ")
    }
}

/// The path under which metadata are, before that of the resource.
pub(super) const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

/// The part of an address up to its path, and its path.
pub(super) fn split(resource: &str) -> (&str, &str) {
    let authority = resource.find("://").map_or(0, |at| at + 3);
    let path = resource.get(authority..).and_then(|rest| rest.find('/'));
    resource.split_at(path.map_or(resource.len(), |at| authority + at))
}

fn metadata_url(resource: &str) -> String {
    let (place, path) = split(resource);
    format!("{place}{WELL_KNOWN}{}", path.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_are_before_the_path_of_the_resource() {
        for (resource, url) in [
            (
                "https://a.example/mcp",
                "https://a.example/.well-known/oauth-protected-resource/mcp",
            ),
            (
                "https://a.example/x/mcp/",
                "https://a.example/.well-known/oauth-protected-resource/x/mcp",
            ),
            (
                "https://a.example",
                "https://a.example/.well-known/oauth-protected-resource",
            ),
            (
                "http://127.0.0.1:8080/mcp",
                "http://127.0.0.1:8080/.well-known/oauth-protected-resource/mcp",
            ),
        ] {
            assert_eq!(metadata_url(resource), url);
        }
    }
}
