//! Why TLS with Redis failed, in words for whoever can change that.

use redis::RedisError;
use rustls::{AlertDescription, CertificateError};

/// What TLS failed of, and what mends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TlsFault {
    pub(crate) text: String,
    pub(crate) remedy: &'static str,
}

/// The fault of TLS behind an error, if it is one.
pub(crate) fn tls_fault(source: &RedisError) -> Option<TlsFault> {
    let failed = io_error(source)?.get_ref()?.downcast_ref()?;
    Some(of(failed))
}

/// The error of the system behind an error of the client library.
pub(crate) fn io_error(source: &RedisError) -> Option<&std::io::Error> {
    type Shared = std::sync::Arc<dyn std::error::Error + Send + Sync>;
    let inner = std::error::Error::source(source)?;
    inner.downcast_ref::<Shared>()?.downcast_ref()
}

fn of(failed: &rustls::Error) -> TlsFault {
    use rustls::Error::{
        AlertReceived, InvalidCertificate, InvalidMessage, PeerIncompatible, PeerMisbehaved,
    };
    let (text, remedy) = match failed {
        InvalidCertificate(why) => of_certificate(why),
        AlertReceived(alert) => of_alert(*alert),
        InvalidMessage(_) | PeerMisbehaved(_) => (
            "what answers there does not speak TLS".to_owned(),
            "let redis_url name the port that speaks TLS (tls-port), or begin with redis instead of rediss",
        ),
        PeerIncompatible(_) => (
            "no version of TLS and no cipher suits both sides".to_owned(),
            "let Redis speak TLS 1.2 or 1.3 (tls-protocols)",
        ),
        other => (
            format!("TLS failed: {other}"),
            "see what Redis's log says of the connection",
        ),
    };
    TlsFault { text, remedy }
}

fn of_certificate(why: &CertificateError) -> (String, &'static str) {
    match why {
        // An authority that was made anew under its old name signs otherwise.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => (
            "nobody who is trusted here has issued its certificate".to_owned(),
            "name the CA of Redis's certificate in redis_ca_file",
        ),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => (
            "its certificate has expired".to_owned(),
            "renew Redis's certificate",
        ),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => (
            "its certificate is not valid yet".to_owned(),
            "set this machine's clock, or wait",
        ),
        CertificateError::NotValidForName => {
            ("its certificate is for another name".to_owned(), OTHER_NAME)
        }
        CertificateError::NotValidForNameContext {
            expected,
            presented,
        } => (
            format!(
                "its certificate is for {}, not for {}",
                presented.join(", "),
                expected.to_str()
            ),
            OTHER_NAME,
        ),
        other => (
            format!("its certificate cannot be trusted ({other})"),
            "give Redis another certificate",
        ),
    }
}

const OTHER_NAME: &str = "let redis_url, or the sentinels, call Redis by a name of its certificate, or give it a certificate for this one";

fn of_alert(alert: AlertDescription) -> (String, &'static str) {
    match alert {
        AlertDescription::CertificateRequired => (
            "it lets nobody in without a certificate".to_owned(),
            "name this process's certificate in redis_cert_file and redis_key_file",
        ),
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateRevoked
        | AlertDescription::CertificateExpired
        | AlertDescription::CertificateUnknown
        | AlertDescription::UnknownCA
        | AlertDescription::DecryptError
        | AlertDescription::AccessDenied => (
            format!("it does not accept this process's certificate ({alert:?})"),
            "let redis_cert_file have a certificate that is valid, from a CA in Redis's tls-ca-cert-file",
        ),
        other => (
            format!("it ended the TLS handshake ({other:?})"),
            "see what Redis's log says; if it asks for certificates, set redis_cert_file and redis_key_file",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn met(failed: rustls::Error) -> TlsFault {
        let error = std::io::Error::new(std::io::ErrorKind::InvalidData, failed);
        tls_fault(&RedisError::from(error)).expect("it is a fault of TLS")
    }

    #[test]
    fn each_fault_is_told_with_what_mends_it() {
        for (failed, part, remedy) in [
            (
                rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer),
                "nobody who is trusted",
                "redis_ca_file",
            ),
            (
                rustls::Error::InvalidCertificate(CertificateError::Expired),
                "expired",
                "renew",
            ),
            (
                rustls::Error::AlertReceived(AlertDescription::CertificateRequired),
                "without a certificate",
                "redis_cert_file",
            ),
            (
                rustls::Error::AlertReceived(AlertDescription::UnknownCA),
                "does not accept",
                "tls-ca-cert-file",
            ),
            (
                rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType),
                "does not speak TLS",
                "tls-port",
            ),
        ] {
            let fault = met(failed);
            assert!(fault.text.contains(part), "{fault:?}");
            assert!(fault.remedy.contains(remedy), "{fault:?}");
        }
        let other = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        assert_eq!(tls_fault(&RedisError::from(other)), None);
    }
}
