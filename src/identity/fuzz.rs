//! Fuzz targets of who calls.

use std::path::Path;

use jsonwebtoken::Algorithm;

use crate::identity::access_file;
use crate::identity::claims::{TokenRules, Unverified};
use crate::identity::gate::bearer;
use crate::identity::key_set::{KeySet, Wanted};

/// `Authorization`, a line each: one credential is taken, as it stands there, and a token is of the issuer that it says.
///
/// # Panics
///
/// If that is not so.
pub fn authorization(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let headers: Vec<Option<&str>> = text.split('\n').map(Some).collect();
    let Ok(credential) = bearer(headers.iter().copied()) else {
        return;
    };
    assert!(
        headers.len() == 1 && text.contains(credential),
        "{credential:?}"
    );
    assert!(
        !credential.is_empty() && credential.bytes().all(|byte| byte.is_ascii_graphic()),
        "{credential:?}"
    );
    let Ok(token) = Unverified::read(credential) else {
        return;
    };
    assert!(
        credential.len() <= 8 << 10,
        "a token of {} bytes is read",
        credential.len()
    );
    assert_eq!(credential.split('.').count(), 3);
    let rules = TokenRules {
        issuer: token.issuer.clone(),
        audience: "https://tasks.example.com/mcp".to_owned(),
        algorithms: vec![Algorithm::ES256],
        requires_nbf: true,
        per_client: false,
    };
    if let Ok(wanted) = token.wanted(&rules) {
        assert_eq!(wanted.algorithm, Algorithm::ES256);
    }
}

/// A key set: no key of it fits an algorithm that it should not.
///
/// # Panics
///
/// If one does.
pub fn key_set(data: &[u8]) {
    let Ok(set) = KeySet::parse(data) else {
        return;
    };
    for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
        assert!(
            set.find(Wanted {
                id: None,
                algorithm
            })
            .is_none(),
            "a public key became a secret"
        );
    }
    assert!(set.is_same(&set.renewed()));
    let mut next = set.renewed();
    next.replace(&set);
    assert!(next.is_same(&set), "keys changed when they were taken over");
    set.revoke();
}

/// An access file: it is read, or refused with its problems; none of them shows a key.
///
/// # Panics
///
/// If that is not so.
pub fn access_file(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    // Files that it names would be read, and for each address a client made.
    if text.contains("ca_file") || text.contains("jwks_url") || text.contains('\\') {
        return;
    }
    match access_file::read(&text, Path::new("/nowhere")) {
        Ok(file) => assert!(
            !file.issuers.is_empty() || !file.keys.is_empty(),
            "nobody could call"
        ),
        Err(problems) => assert!(
            !problems.is_empty() && !problems.join("\n").contains("tfk_secret"),
            "{problems:?}"
        ),
    }
}
