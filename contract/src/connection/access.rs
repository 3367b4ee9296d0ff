//! What lets a process in: its users and passwords, and the certificates of TLS. Files are read for each search for the
//! primary.

use std::path::{Path, PathBuf};

use redis::{Client, ClientTlsConfig, ConnectionAddr, ConnectionInfo, TlsCertificates};
use secrecy::{ExposeSecret as _, SecretString};

use super::address::Address;
use super::crypto::crypto_provider;

/// The largest file of a password, bytes. Whoever names a larger one means another.
const LARGEST_PASSWORD: usize = 4 << 10;

/// What lets a process in, beside what the address says of that.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// Who it is to Redis.
    pub login: Login,
    /// Who it is to the sentinels.
    pub sentinel_login: Login,
    /// The files that TLS needs, for Redis and the sentinels alike.
    pub tls: TlsFiles,
}

/// A user of Redis.
#[derive(Debug, Clone, Default)]
pub struct Login {
    /// Its name; Redis's default user without.
    pub username: Option<String>,
    /// Its password.
    pub password: Option<Password>,
}

/// A password, or where it is.
#[derive(Debug, Clone)]
pub enum Password {
    /// This one.
    Given(SecretString),
    /// The one in a file, which is read for each search for the primary: so a process whose connections Redis ends, since its
    /// password is another now, comes back with the new one.
    InFile(PathBuf),
}

/// Files in PEM format. They are read for each search for the primary.
#[derive(Debug, Clone, Default)]
pub struct TlsFiles {
    /// The certificates that are trusted to vouch for Redis. Those of the system without.
    pub ca: Option<PathBuf>,
    /// This process's certificate, followed by those that vouch for it.
    pub cert: Option<PathBuf>,
    /// The key of that certificate.
    pub key: Option<PathBuf>,
}

impl Access {
    /// Whether all of it is of use with an address: whoever names a certificate believes that TLS guards them.
    ///
    /// # Errors
    ///
    /// What is not, by the names of the settings.
    pub(super) fn suits(&self, address: &Address) -> Result<(), String> {
        let named = address.used().redis_settings();
        if self.login.username.is_some() && named.username().is_some() {
            return Err("redis_username: redis_url names a user already; leave one out".to_owned());
        }
        if self.login.password.is_some() && address.has_password() {
            return Err(
                "redis_password: redis_url has a password already; leave one out".to_owned(),
            );
        }
        let has_sentinel_login =
            self.sentinel_login.username.is_some() || self.sentinel_login.password.is_some();
        if has_sentinel_login && !matches!(address, Address::Sentinels { .. }) {
            return Err(
                "redis_sentinel_username, redis_sentinel_password: redis_url names no sentinels"
                    .to_owned(),
            );
        }
        for (login, name) in [
            (&self.login, "redis"),
            (&self.sentinel_login, "redis_sentinel"),
        ] {
            if login.username.as_deref() == Some("") {
                return Err(format!("{name}_username: is empty"));
            }
        }
        if self.sentinel_login.username.is_some() && self.sentinel_login.password.is_none() {
            return Err("redis_sentinel_username: needs redis_sentinel_password".to_owned());
        }
        self.tls_suits(address)
    }

    fn tls_suits(&self, address: &Address) -> Result<(), String> {
        let TlsFiles { ca, cert, key } = &self.tls;
        let has_files = ca.is_some() || cert.is_some() || key.is_some();
        if has_files && !address.uses_tls() {
            return Err("redis_ca_file, redis_cert_file, redis_key_file: redis_url asks for no TLS; begin it with rediss:// or rediss+sentinel://".to_owned());
        }
        if cert.is_some() != key.is_some() {
            return Err("redis_cert_file, redis_key_file: one needs the other".to_owned());
        }
        Ok(())
    }

    /// The address with all that is needed there.
    ///
    /// # Errors
    ///
    /// Which file cannot be used, by the name of its setting.
    pub(super) fn apply(&self, address: &Address) -> Result<Address, String> {
        let tls = if address.uses_tls() {
            Some(self.certificates()?)
        } else {
            None
        };
        let used = |info: &ConnectionInfo| with(info, &self.login, "redis", tls.as_ref());
        Ok(match address {
            Address::Fixed(info) => Address::Fixed(used(info)?),
            Address::Sentinels {
                sentinels,
                primary,
                used: info,
            } => {
                let (login, name) = (&self.sentinel_login, "redis_sentinel");
                let sentinels = sentinels
                    .iter()
                    .map(|sentinel| with(sentinel, login, name, tls.as_ref()));
                Address::Sentinels {
                    sentinels: sentinels.collect::<Result<_, _>>()?,
                    primary: primary.clone(),
                    used: used(info)?,
                }
            }
        })
    }

    fn certificates(&self) -> Result<TlsCertificates, String> {
        crypto_provider();
        let TlsFiles { ca, cert, key } = &self.tls;
        let read = |path: &Option<PathBuf>, setting: &str| {
            let path = path.as_deref();
            path.map(|path| read(path, setting)).transpose()
        };
        let client = read(cert, "redis_cert_file")?.zip(read(key, "redis_key_file")?);
        let root_cert = read(ca, "redis_ca_file")?;
        if let (Some(pem), Some(path)) = (&root_cert, ca) {
            some_certificate(pem, path, "redis_ca_file")?;
        }
        if let (Some((pem, _)), Some(path)) = (&client, cert) {
            some_certificate(pem, path, "redis_cert_file")?;
        }
        Ok(TlsCertificates {
            client_tls: client.map(|(client_cert, client_key)| ClientTlsConfig {
                client_cert,
                client_key,
            }),
            root_cert,
        })
    }
}

/// A connection with a login and certificates.
fn with(
    info: &ConnectionInfo,
    login: &Login,
    name: &str,
    tls: Option<&TlsCertificates>,
) -> Result<ConnectionInfo, String> {
    let mut settings = info.redis_settings().clone();
    if let Some(username) = &login.username {
        settings = settings.set_username(username);
    }
    if let Some(password) = &login.password {
        settings = settings.set_password(password.read(name)?.expose_secret());
    }
    // A user that is named without a password has an empty one, which fits users without any: else the name would not be
    // sent.
    if settings.username().is_some() && settings.password().is_none() {
        settings = settings.set_password("");
    }
    let info = info.clone().set_redis_settings(settings);
    let Some(tls) = tls.filter(|_| matches!(info.addr(), ConnectionAddr::TcpTls { .. })) else {
        return Ok(info);
    };
    let tcp = info.tcp_settings().clone();
    let client = Client::build_with_tls(info, tls.clone());
    // It names what it could not read, and repeats none of it.
    let client = client.map_err(|error| format!("the certificates for Redis: {error}"))?;
    Ok(client.get_connection_info().clone().set_tcp_settings(tcp))
}

impl Password {
    /// The password, of the setting that begins with `name`.
    fn read(&self, name: &str) -> Result<SecretString, String> {
        let path = match self {
            Self::Given(password) => return Ok(password.clone()),
            Self::InFile(path) => path,
        };
        let setting = format!("{name}_password_file");
        let bytes = read(path, &setting)?;
        let wrong = |what: &str| format!("{setting}: {} {what}", path.display());
        if bytes.len() > LARGEST_PASSWORD {
            return Err(wrong("is too large for a password"));
        }
        let text = String::from_utf8(bytes).map_err(|_its_bytes| wrong("is not UTF-8"))?;
        // Most editors end a file with a line break.
        let text = text.strip_suffix('\n').unwrap_or(&text);
        let text = text.strip_suffix('\r').unwrap_or(text);
        if text.is_empty() {
            return Err(wrong("is empty"));
        }
        Ok(text.into())
    }
}

fn read(path: &Path, setting: &str) -> Result<Vec<u8>, String> {
    let read = std::fs::read(path);
    read.map_err(|error| format!("{setting}: {} cannot be read: {error}", path.display()))
}

fn some_certificate(pem: &[u8], path: &Path, setting: &str) -> Result<(), String> {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;
    let mut certificates = CertificateDer::pem_slice_iter(pem);
    if certificates.next().is_some_and(|first| first.is_ok()) {
        return Ok(());
    }
    Err(format!(
        "{setting}: {} has no certificate (-----BEGIN CERTIFICATE-----)",
        path.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::settings::RedisSettings;

    fn refused(url: &str, change: impl FnOnce(&mut RedisSettings)) -> String {
        let mut settings = RedisSettings::new(url);
        change(&mut settings);
        settings.check_access().unwrap_err()
    }

    fn file(text: &[u8]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    fn in_file(text: &[u8]) -> Result<String, String> {
        let file = file(text);
        let password = Password::InFile(file.path().to_owned()).read("redis");
        password.map(|password| password.expose_secret().to_owned())
    }

    #[test]
    fn a_password_in_a_file_is_one_line_without_its_end() {
        assert_eq!(in_file(b"hunter2\n").unwrap(), "hunter2");
        assert_eq!(in_file(b"hunter2\r\n").unwrap(), "hunter2");
        assert_eq!(in_file(b" hunter2").unwrap(), " hunter2");
        for text in [&b"\n"[..], b"", &[0xff, 0xfe], &[b'x'; 5000]] {
            let rule = in_file(text).unwrap_err();
            assert!(rule.starts_with("redis_password_file: "), "{rule}");
        }
    }

    #[test]
    fn what_is_of_no_use_with_an_address_is_refused_by_name() {
        let given = || Some(Password::Given("secret".into()));
        let told = [
            refused("redis://me@a:1", |to| {
                to.access.login.username = Some("you".to_owned());
            }),
            refused("redis://:secret@a:1", |to| {
                to.access.login.password = given()
            }),
            refused("redis://a:1", |to| {
                to.access.sentinel_login.password = given()
            }),
            refused("redis+sentinel://a:1/main", |to| {
                to.access.sentinel_login.username = Some("you".to_owned());
            }),
            refused("redis://a:1", |to| to.access.tls.ca = Some("ca.pem".into())),
            refused("rediss://a:1", |to| {
                to.access.tls.cert = Some("me.pem".into())
            }),
            refused("rediss://a:1", |to| {
                to.access.tls.ca = Some("/none/ca.pem".into())
            }),
        ];
        let names = [
            "redis_username: ",
            "redis_password: ",
            "redis_sentinel_username, ",
            "redis_sentinel_username: ",
            "redis_ca_file, ",
            "redis_cert_file, ",
            "redis_ca_file: /none/ca.pem cannot be read",
        ];
        for (told, name) in told.iter().zip(names) {
            assert!(told.starts_with(name), "{told}");
            assert!(!told.contains("secret"), "{told}");
        }
    }

    #[test]
    fn a_file_without_a_certificate_is_refused() {
        let file = file(b"hunter2");
        let told = refused("rediss://a:1", |to| {
            to.access.tls.ca = Some(file.path().into())
        });
        assert!(told.contains("has no certificate"), "{told}");
        assert!(!told.contains("hunter2"), "{told}");
    }

    #[test]
    fn the_password_of_the_sentinels_is_not_that_of_redis() {
        let mut settings = RedisSettings::new("redis+sentinel://me@a:1/main");
        let password = file(b"one\n");
        settings.access.login.password = Some(Password::InFile(password.path().to_owned()));
        settings.access.sentinel_login.password = Some(Password::Given("two".into()));
        settings.check_access().unwrap();
        let address = Address::parse(settings.url.expose_secret()).unwrap();
        let access = &settings.access;
        let passwords = || {
            let Ok(Address::Sentinels {
                sentinels, used, ..
            }) = access.apply(&address)
            else {
                panic!("it names sentinels");
            };
            let of = |info: &ConnectionInfo| info.redis_settings().password().map(str::to_owned);
            (of(&used), of(&sentinels[0]))
        };
        let (one, two, three) = ("one".to_owned(), "two".to_owned(), "three".to_owned());
        assert_eq!(passwords(), (Some(one), Some(two.clone())));
        std::fs::write(password.path(), "three").unwrap();
        assert_eq!(passwords(), (Some(three), Some(two)), "it is read again");
    }
}
