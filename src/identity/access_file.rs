//! The access file: who may call, as an operator writes it. docs/AUTHORIZATION.md describes it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use axum::http::Uri;
use chrono::DateTime;
use jsonwebtoken::Algorithm;
use serde::Deserialize;
use taskferry_contract::is_scope;
use taskferry_process::settings::toml_fault;

use crate::identity::claims::TokenRules;
use crate::identity::issuer::IssuerConfig;
use crate::identity::jwks::{KeySource, Reader};
use crate::identity::scopes::{ALL, ScopeRules};
use crate::identity::static_key::StaticKey;

/// What an access file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AccessFile {
    /// As it was read.
    pub(super) text: String,
    /// The public address of the endpoint.
    pub(super) resource: String,
    pub(super) issuers: Vec<IssuerConfig>,
    pub(super) keys: Vec<StaticKey>,
    pub(super) scopes: ScopeRules,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    resource: String,
    #[serde(default, rename = "issuer")]
    issuers: Vec<IssuerTable>,
    #[serde(default, rename = "key")]
    keys: Vec<KeyTable>,
    #[serde(default)]
    scopes: ScopesTable,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct IssuerTable {
    issuer: String,
    jwks_url: Option<String>,
    jwks_file: Option<String>,
    ca_file: Option<String>,
    algorithms: Vec<String>,
    #[serde(default)]
    nbf: Nbf,
    #[serde(default)]
    per_client: bool,
}

#[derive(Deserialize, Default, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Nbf {
    #[default]
    Required,
    Optional,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyTable {
    name: String,
    sha256: String,
    #[serde(default)]
    scopes: Vec<String>,
    expires: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct ScopesTable {
    #[serde(default)]
    call: Vec<String>,
    #[serde(default)]
    task: Vec<String>,
    #[serde(default)]
    implies: BTreeMap<String, Vec<String>>,
}

impl AccessFile {
    /// What it lets in, in a line.
    pub(crate) fn summary(&self) -> String {
        let names = |names: Vec<&str>| match names.as_slice() {
            [] => "none".to_owned(),
            names => names.join(", "),
        };
        let issuers = self
            .issuers
            .iter()
            .map(|issuer| issuer.rules.issuer.as_str());
        let keys = self.keys.iter().map(|key| key.name.as_str());
        format!(
            "ok: {}; issuers: {}; keys: {}",
            self.resource,
            names(issuers.collect()),
            names(keys.collect())
        )
    }
}

/// Reads an access file; paths in it begin at `folder`.
///
/// # Errors
///
/// All that is wrong with it, a line each.
pub(crate) fn read(text: &str, folder: &Path) -> Result<AccessFile, Vec<String>> {
    let document: Document =
        toml::from_str(text).map_err(|error| vec![toml_fault(text, &error)])?;
    let mut problems = Vec::new();
    let resource = document.resource;
    if let Err(problem) = check_address(&resource) {
        problems.push(format!("resource: {problem}"));
    }
    if document.issuers.is_empty() && document.keys.is_empty() {
        problems
            .push("it has neither an [[issuer]] nor a [[key]], so nobody could call".to_owned());
    }
    let mut issuers = Vec::new();
    for table in document.issuers {
        let name = table.issuer.clone();
        match table.read(&resource, folder) {
            Ok(issuer) => issuers.push(issuer),
            Err(problem) => problems.push(format!("issuer {name:?}: {problem}")),
        }
    }
    let mut keys = Vec::new();
    for table in document.keys {
        let name = table.name.clone();
        match table.read() {
            Ok(key) => keys.push(key),
            Err(problem) => problems.push(format!("key {name:?}: {problem}")),
        }
    }
    let names = issuers.iter().map(|issuer| issuer.rules.issuer.as_str());
    problems.extend(twice("issuer", names));
    problems.extend(twice("key", keys.iter().map(|key| key.name.as_str())));
    let ScopesTable {
        call,
        task,
        implies,
    } = document.scopes;
    let implied = implies
        .iter()
        .flat_map(|(scope, implied)| implied.iter().chain([scope]));
    for scope in call.iter().chain(&task).chain(implied) {
        problems.extend(check_scope(scope).map(|problem| format!("scopes: {problem}")));
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    Ok(AccessFile {
        text: text.to_owned(),
        resource,
        issuers,
        keys,
        scopes: ScopeRules {
            call,
            task,
            implies,
        },
    })
}

impl IssuerTable {
    fn read(self, resource: &str, folder: &Path) -> Result<IssuerConfig, String> {
        check_address(&self.issuer)?;
        let source = match (self.jwks_url, self.jwks_file) {
            (Some(url), None) => {
                check_address(&url).map_err(|problem| format!("jwks_url: {problem}"))?;
                KeySource::Url {
                    url,
                    trusted: trusted(self.ca_file.as_deref(), folder)?,
                }
            }
            (None, Some(file)) if self.ca_file.is_none() => KeySource::File(folder.join(file)),
            (None, Some(_)) => return Err("ca_file is for jwks_url alone".to_owned()),
            (None, None) => return Err("it needs a jwks_url, or a jwks_file".to_owned()),
            (Some(_), Some(_)) => {
                return Err("it has both jwks_url and jwks_file: leave one out".to_owned());
            }
        };
        // Whatever makes the reader impossible is told now.
        Reader::new(&source)?;
        if self.algorithms.is_empty() {
            return Err(format!("algorithms must name one at least of {SERVED}"));
        }
        let algorithms: Result<Vec<Algorithm>, String> =
            self.algorithms.iter().map(|name| algorithm(name)).collect();
        Ok(IssuerConfig {
            rules: TokenRules {
                issuer: self.issuer,
                audience: resource.to_owned(),
                algorithms: algorithms?,
                requires_nbf: self.nbf == Nbf::Required,
                per_client: self.per_client,
            },
            source,
        })
    }
}

impl KeyTable {
    fn read(self) -> Result<StaticKey, String> {
        if self.name.is_empty() || self.name.len() > 200 {
            return Err("name must have 1 to 200 bytes".to_owned());
        }
        let sha256 = digest(&self.sha256).ok_or(
            "sha256 must be the digest of the key, 64 hexadecimal digits: `taskferry access new-key` prints it",
        )?;
        let scopes = self.scopes.iter().filter(|scope| *scope != ALL);
        if let Some(problem) = scopes.filter_map(|scope| check_scope(scope)).next() {
            return Err(problem);
        }
        let expires = self.expires.as_deref().map(moment).transpose()?;
        Ok(StaticKey {
            name: self.name,
            sha256,
            scopes: self.scopes,
            expires,
        })
    }
}

fn trusted(ca_file: Option<&str>, folder: &Path) -> Result<Vec<u8>, String> {
    let Some(file) = ca_file else {
        return Ok(Vec::new());
    };
    let path = folder.join(file);
    std::fs::read(&path)
        .map_err(|error| format!("ca_file: {} cannot be read: {error}", path.display()))
}

/// An absolute address that nobody on the way can change what comes from: https, or http on this machine.
fn check_address(text: &str) -> Result<(), String> {
    let rule = "must be a whole https address, or an http one on loopback, without ? and #";
    let uri: Uri = text.parse().map_err(|_unreadable| rule.to_owned())?;
    let host = uri.host().unwrap_or_default();
    let is_local = matches!(host, "localhost" | "127.0.0.1" | "[::1]");
    let is_safe = match uri.scheme_str() {
        Some("https") => !host.is_empty(),
        Some("http") => is_local,
        _ => false,
    };
    let is_plain = uri.query().is_none() && !text.contains(['#', '@']);
    (is_safe && is_plain)
        .then_some(())
        .ok_or_else(|| rule.to_owned())
}

const SERVED: &str = "RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA";

fn algorithm(name: &str) -> Result<Algorithm, String> {
    let served = SERVED.split(", ").any(|served| served == name);
    let algorithm = name.parse().ok().filter(|_| served);
    algorithm.ok_or_else(|| format!("algorithms: {name:?} is not served; use some of {SERVED}"))
}

fn digest(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    let pairs = text.as_bytes().chunks(2);
    let bytes = pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
    let bytes: Option<Vec<u8>> = bytes.collect();
    bytes?.try_into().ok()
}

fn moment(text: &str) -> Result<Duration, String> {
    let rule = || "expires must be a time as in 2027-06-30T00:00:00Z".to_owned();
    let moment = DateTime::parse_from_rfc3339(text).map_err(|_unreadable| rule())?;
    let seconds = u64::try_from(moment.timestamp()).map_err(|_before_1970| rule())?;
    Ok(Duration::from_secs(seconds))
}

fn check_scope(scope: &str) -> Option<String> {
    (!is_scope(scope)).then(|| {
        format!("{scope:?} is no scope: 1 to 200 printable ASCII characters without space, quotes and backslash; * is for keys alone")
    })
}

fn twice<'a>(what: &str, names: impl Iterator<Item = &'a str>) -> Option<String> {
    let mut seen = BTreeSet::new();
    let mut names = names;
    let name = names.find(|name| !seen.insert(*name))?;
    Some(format!("{what} {name:?} is there twice"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "1f0c1f0c1f0c1f0c1f0c1f0c1f0c1f0c1f0c1f0c1f0c1f0c1f0c1f0c1f0c1f0c";

    fn problems(text: &str) -> Vec<String> {
        read(text, Path::new("/nowhere")).unwrap_err()
    }

    #[test]
    fn what_the_guide_shows_can_be_used() {
        let guide = include_str!("../../docs/AUTHORIZATION.md");
        let begin = guide.split("```toml\n").nth(1).unwrap();
        let text = begin.split("```").next().unwrap();
        let text = text.replace("1f0c…64 hexadecimal digits…", DIGEST);
        let file = read(&text, Path::new("/nowhere")).unwrap();
        assert_eq!(file.resource, "https://tasks.example.com/mcp");
        assert_eq!((file.issuers.len(), file.keys.len()), (1, 1));
        assert_eq!(file.scopes.task, ["tasks:read"]);
        let left = file.keys.first().unwrap().expires.unwrap();
        assert_eq!(left, Duration::from_secs(1_814_313_600));
    }

    #[test]
    fn every_problem_is_told_with_its_place() {
        let text = format!(
            r#"
            resource = "http://tasks.example.com/mcp"
            [[issuer]]
            issuer = "https://a.example"
            algorithms = ["HS256"]
            jwks_url = "https://a.example/k"
            [[issuer]]
            issuer = "https://b.example"
            algorithms = ["ES256"]
            [[issuer]]
            issuer = "https://c.example"
            algorithms = []
            jwks_file = "k.json"
            [[issuer]]
            issuer = "https://d.example"
            algorithms = ["ES256"]
            jwks_url = "http://d.example/k"
            [[key]]
            name = "one"
            sha256 = "tfk_secret"
            [[key]]
            name = "two"
            sha256 = "{DIGEST}"
            expires = "soon"
            [[key]]
            name = "three"
            sha256 = "{DIGEST}"
            scopes = ["a b"]
            [[key]]
            name = "four"
            sha256 = "{DIGEST}"
            [[key]]
            name = "four"
            sha256 = "{DIGEST}"
            [scopes]
            call = ["*"]
            "#
        );
        let told = problems(&text);
        let expected = [
            "resource: must be a whole https address",
            r#"issuer "https://a.example": algorithms: "HS256" is not served"#,
            r#"issuer "https://b.example": it needs a jwks_url"#,
            r#"issuer "https://c.example": algorithms must name one"#,
            r#"issuer "https://d.example": jwks_url: must be"#,
            r#"key "one": sha256 must be the digest"#,
            r#"key "two": expires must be"#,
            r#"key "three": "a b" is no scope"#,
            r#"key "four" is there twice"#,
            r#"scopes: "*" is no scope"#,
        ];
        assert_eq!(told.len(), expected.len(), "{told:#?}");
        for (told, expected) in told.iter().zip(expected) {
            assert!(told.starts_with(expected), "{told}");
        }
        // A key that stands where its digest belongs is not repeated.
        assert!(!told.join("\n").contains("tfk_secret"));
    }

    #[test]
    fn a_file_that_lets_nobody_in_is_refused() {
        let told = problems("resource = \"https://a.example/mcp\"");
        assert!(told.join("\n").contains("nobody could call"));
        let told = problems("resource = \"https://a.example/mcp\"\nisuer = 1");
        assert!(
            told.join("\n")
                .starts_with("line 2, column 1: unknown field"),
            "{told:?}"
        );
    }
}
