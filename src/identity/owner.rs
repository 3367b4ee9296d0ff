//! The owner that a caller is, as a name that may stand in keys and logs: a digest of who it is.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use taskferry_contract::Owner;

/// Of the digest, so many characters stay: 132 bits, more than a task's id has.
const KEPT: usize = 22;

/// The owner who is `subject` of `issuer`; if `client` is given, when using this client.
pub(crate) fn owner_of_subject(issuer: &str, subject: &str, client: Option<&str>) -> Owner {
    let mut parts = vec!["subject", issuer, subject];
    parts.extend(client);
    digest(&parts)
}

/// The owner who has the key of this name.
pub(crate) fn owner_of_key(name: &str) -> Owner {
    digest(&["key", name])
}

/// A list as JSON has no two readings, whatever is in its texts.
fn digest(parts: &[&str]) -> Owner {
    let text = serde_json::to_vec(parts).unwrap_or_default();
    let digest = URL_SAFE_NO_PAD.encode(Sha256::digest(text));
    let kept = digest.get(..KEPT).unwrap_or_default();
    Owner::named(&format!("u_{kept}")).expect("a name of letters and digits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_differ_in_issuer_subject_client_and_kind() {
        let owners = [
            owner_of_subject("https://a", "x", None),
            owner_of_subject("https://b", "x", None),
            owner_of_subject("https://a", "y", None),
            owner_of_subject("https://a", "x", Some("")),
            owner_of_subject("https://a", "x", Some("client")),
            owner_of_subject("https://a\",\"x", "x", None),
            owner_of_key("x"),
            owner_of_key("https://a"),
        ];
        for (at, owner) in owners.iter().enumerate() {
            assert_eq!(owner.as_str().len(), KEPT + 2);
            assert!(!owners.iter().skip(at + 1).any(|other| other == owner));
        }
        let again = owner_of_subject("https://a", "x", None);
        assert_eq!(owners.first(), Some(&again));
    }
}
