//! The protocol without any transport: what a client of each era does from its first message to its last, with a real store
//! and a real worker. Whatever carries messages needs no more of `mcp` than these tests use.

mod legacy;
mod modern;
mod rig;

use rig::Rig;

/// The future of a request is copied twice on its way to where it runs, also for the smallest poll. What takes more has a box of its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_small() {
    let rig = Rig::start().await;
    let bytes = rig.bytes_of_a_request();
    assert!(bytes <= 5120, "{bytes} bytes");
    rig.end().await;
}
