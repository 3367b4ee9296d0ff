//! The one implementation of cryptography with which all TLS of a process is made.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};

/// What this process makes TLS with: what it chose before, and else AWS-LC, which is chosen by this.
///
/// Whoever uses TLS asks for it first. A crate that finds nothing chosen guesses, and panics once two are built in.
pub fn crypto_provider() -> Arc<CryptoProvider> {
    if CryptoProvider::get_default().is_none() {
        // Fails only if another thread was faster.
        let _chosen_meanwhile = aws_lc_rs::default_provider().install_default();
    }
    let chosen = CryptoProvider::get_default().cloned();
    chosen.unwrap_or_else(|| Arc::new(aws_lc_rs::default_provider()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everyone_gets_the_same() {
        assert!(Arc::ptr_eq(&crypto_provider(), &crypto_provider()));
    }
}
