//! What this process makes TLS with.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;

/// The one implementation of cryptography of this process, chosen by this if nothing was chosen before. Whoever uses TLS asks
/// for it first: the connections to Redis do, too.
pub fn crypto_provider() -> Arc<CryptoProvider> {
    taskferry_contract::crypto_provider()
}
