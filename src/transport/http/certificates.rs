//! The certificate with which the endpoint speaks TLS, and those that it asks of its clients. Both are read anew while it
//! serves.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use sha2::{Digest as _, Sha256};
use taskferry_process::choose_crypto;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

/// How often the files are looked at.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// The one protocol that is spoken above TLS.
const HTTP_1: &[u8] = b"http/1.1";

/// Where the certificates are, in PEM format.
#[derive(Debug, Clone)]
pub(crate) struct CertificateFiles {
    /// The endpoint's, followed by those that vouch for it.
    pub(crate) cert: PathBuf,
    /// The key of the first of these.
    pub(crate) key: PathBuf,
    /// Those that vouch for clients: with them, nobody is served who has none.
    pub(crate) client_ca: Option<PathBuf>,
}

/// What the endpoint speaks TLS with now. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Certificates(Arc<Inner>);

struct Inner {
    files: CertificateFiles,
    current: ArcSwap<ServerConfig>,
    /// What the files had when they were read last, whether it could be used or not.
    seen: Mutex<Contents>,
}

/// A digest, so that no key is kept for it.
type Contents = [u8; 32];

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Certificates").field(&self.0.files).finish()
    }
}

impl Certificates {
    /// Reads the files.
    ///
    /// # Errors
    ///
    /// What cannot be used, by the name of its setting.
    pub(crate) fn read(files: CertificateFiles) -> Result<Self, String> {
        let read = Read::from(&files)?;
        let config = read.config()?;
        Ok(Self(Arc::new(Inner {
            current: ArcSwap::from_pointee(config),
            seen: Mutex::new(read.digest()),
            files,
        })))
    }

    /// Takes new certificates as soon as the files have some that can be used, until `stop`. Connections that are open keep
    /// theirs.
    pub(crate) async fn keep_reading(&self, stop: &CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK_AGAIN) => self.read_again(),
            }
        }
    }

    fn read_again(&self) {
        let inner = &self.0;
        let (read, files) = match Read::from(&inner.files) {
            Ok(read) => (read, inner.files.cert.display()),
            // They may be in the middle of being replaced.
            Err(error) => return tracing::debug!(%error, "the certificate cannot be read again"),
        };
        let digest = read.digest();
        let mut seen = inner.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if *seen == digest {
            return;
        }
        *seen = digest;
        match read.config() {
            Ok(config) => {
                inner.current.store(Arc::new(config));
                tracing::info!(%files, "new connections get the new certificate");
            }
            Err(error) => {
                tracing::error!(%error, "the new certificate cannot be used; the old one goes on");
            }
        }
    }

    /// What accepts a connection, with the certificates of now.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.0.current.load_full())
    }
}

/// What the files have.
struct Read<'a> {
    files: &'a CertificateFiles,
    cert: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

impl<'a> Read<'a> {
    fn from(files: &'a CertificateFiles) -> Result<Self, String> {
        let client_ca = files.client_ca.as_deref();
        Ok(Self {
            files,
            cert: read("tls_cert_file", &files.cert)?,
            key: read("tls_key_file", &files.key)?,
            client_ca: client_ca
                .map(|path| read("tls_client_ca_file", path))
                .transpose()?,
        })
    }

    fn digest(&self) -> Contents {
        let mut all = Sha256::new();
        for part in [&self.cert, &self.key]
            .into_iter()
            .chain(self.client_ca.as_ref())
        {
            all.update((part.len() as u64).to_be_bytes());
            all.update(part);
        }
        all.finalize().into()
    }

    fn config(&self) -> Result<ServerConfig, String> {
        choose_crypto();
        let chain = certificates("tls_cert_file", &self.files.cert, &self.cert)?;
        let key = PrivateKeyDer::from_pem_slice(&self.key).map_err(|_not_pem| {
            let path = self.files.key.display();
            format!("tls_key_file: {path} has no key (-----BEGIN PRIVATE KEY-----)")
        })?;
        let builder = ServerConfig::builder();
        let builder = match (&self.files.client_ca, &self.client_ca) {
            (Some(path), Some(pem)) => builder.with_client_cert_verifier(clients(path, pem)?),
            _ => builder.with_no_client_auth(),
        };
        let config = builder.with_single_cert(chain, key);
        let mut config = config.map_err(|error| {
            let (cert, key) = (self.files.cert.display(), self.files.key.display());
            format!("tls_cert_file, tls_key_file: {cert} and {key} cannot be used: {error}")
        })?;
        config.alpn_protocols = vec![HTTP_1.to_vec()];
        Ok(config)
    }
}

fn clients(
    path: &Path,
    pem: &[u8],
) -> Result<Arc<dyn rustls::server::danger::ClientCertVerifier>, String> {
    let setting = "tls_client_ca_file";
    let wrong = |error: &dyn fmt::Display| format!("{setting}: {}: {error}", path.display());
    let mut roots = RootCertStore::empty();
    for certificate in certificates(setting, path, pem)? {
        roots.add(certificate).map_err(|error| wrong(&error))?;
    }
    let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build();
    verifier.map_err(|error| wrong(&error))
}

fn certificates(
    setting: &str,
    path: &Path,
    pem: &[u8],
) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.unwrap_or_default();
    if found.is_empty() {
        return Err(format!(
            "{setting}: {} has no certificate (-----BEGIN CERTIFICATE-----)",
            path.display()
        ));
    }
    Ok(found)
}

fn read(setting: &str, path: &Path) -> Result<Vec<u8>, String> {
    let read = std::fs::read(path);
    read.map_err(|error| format!("{setting}: {} cannot be read: {error}", path.display()))
}
