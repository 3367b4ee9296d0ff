//! What this process makes TLS with.

/// Chooses the one implementation of cryptography of this process, if nothing was chosen before. Whoever uses TLS calls it first:
/// the connections to Redis do, too.
pub fn choose_crypto() {
    taskferry_contract::crypto_provider();
}
