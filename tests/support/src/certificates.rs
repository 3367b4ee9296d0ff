//! Certificates for tests of TLS, each with an authority that issued it.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
};
use tempfile::TempDir;

/// One that issues certificates. Its files go with this value.
#[derive(Debug)]
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
    issued: AtomicU32,
}

/// A certificate and its key, as files in PEM format.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// The certificate.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

impl Default for Authority {
    fn default() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // Named as what it issues, it would look like that.
        params
            .distinguished_name
            .push(DnType::CommonName, "the authority of a test");
        let issuer = CertifiedIssuer::self_signed(params, key()).expect("it can sign");
        let folder = tempfile::tempdir().expect("a temporary directory can be made");
        write(&folder.path().join("ca.pem"), &issuer.pem());
        Self {
            issuer,
            folder,
            issued: AtomicU32::new(0),
        }
    }
}

impl Authority {
    /// Its own certificate: whoever trusts it trusts all that it issues.
    #[must_use]
    pub fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// A certificate for these names and addresses.
    #[must_use]
    pub fn issue(&self, names: &[&str]) -> Certificate {
        self.issue_as(names, |_valid_for_long| {})
    }

    /// One that is valid no longer.
    #[must_use]
    pub fn issue_expired(&self, names: &[&str]) -> Certificate {
        self.issue_as(names, |params| {
            params.not_before = date_time_ymd(2019, 1, 1);
            params.not_after = date_time_ymd(2020, 1, 1);
        })
    }

    fn issue_as(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Certificate {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("these are names");
        change(&mut params);
        let key = key();
        let cert = params.signed_by(&key, &self.issuer).expect("it can sign");
        let number = self.issued.fetch_add(1, Ordering::Relaxed);
        let [cert_path, key_path] =
            ["cert", "key"].map(|of| self.folder.path().join(format!("{number}.{of}.pem")));
        write(&cert_path, &cert.pem());
        write(&key_path, &key.serialize_pem());
        let own = Permissions::from_mode(0o600);
        std::fs::set_permissions(&key_path, own).expect("it is this process's own");
        Certificate {
            cert: cert_path,
            key: key_path,
        }
    }

    /// What has a Redis speak TLS on a port, as a certificate's holder. `clients` is `tls-auth-clients`: whether they need a
    /// certificate of this authority.
    #[must_use]
    pub fn redis_arguments(&self, own: &Certificate, port: u16, clients: &str) -> Vec<String> {
        let shown = |path: &Path| path.display().to_string();
        let pairs = [
            ("--tls-port", port.to_string()),
            ("--tls-cert-file", shown(&own.cert)),
            ("--tls-key-file", shown(&own.key)),
            ("--tls-ca-cert-file", shown(&self.ca())),
            ("--tls-auth-clients", clients.to_owned()),
        ];
        let words = pairs.map(|(name, value)| [name.to_owned(), value]);
        words.into_iter().flatten().collect()
    }
}

fn key() -> KeyPair {
    KeyPair::generate().expect("a key can be made")
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).expect("a file can be made in a temporary directory");
}
