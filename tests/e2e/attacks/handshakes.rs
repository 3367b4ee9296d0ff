//! Handshakes of TLS that are begun and not ended.

use taskferry_testing::Authority;
use tokio::io::AsyncWriteExt as _;

use super::connections::{begun, ended};
use super::*;

/// The beginning of a handshake whose first message has almost 64 KiB.
fn hello() -> Vec<u8> {
    let message = [&[1, 0, 0xff, 0][..], &[b'x'; 60 << 10]].concat();
    let records = message.chunks(8 << 10).map(|chunk| {
        let length = u16::try_from(chunk.len()).unwrap().to_be_bytes();
        [&[22, 3, 1][..], &length, chunk].concat()
    });
    records.collect::<Vec<_>>().concat()
}

#[tokio::test]
async fn handshakes_that_do_not_end_leave_room_and_memory_for_others() {
    let authority = Authority::default();
    let own = authority.issue(&["127.0.0.1"]);
    let [cert, key] = [&own.cert, &own.key].map(|path| path.display().to_string());
    let flags = ["--max-connections", "1600", "--body-memory", "8MiB"];
    let secured = ["--tls-cert-file", &cert, "--tls-key-file", &key];
    let attacked = Attacked::start(&[flags, secured].concat()).await;
    let to = attacked.address();
    let attack = async move || {
        let mut silent = begun(to, 2, 1600, b"").await;
        eventually(SOON, "those beyond the share are closed", async || {
            ended(&mut silent).await >= 400
        })
        .await;
        let mut large = begun(to, 3, 350, &hello()).await;
        eventually(SOON, "those without memory are closed", async || {
            ended(&mut large).await > 100
        })
        .await;
        // With these all is taken; then those that are silent longest make room.
        let mut slow = begun(to, 4, 300, &[22]).await;
        for byte in &hello()[1..5] {
            for connection in &mut slow {
                let _closed = connection.write_all(&[*byte]).await;
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        (silent, large, slow)
    };
    attacked.beside(attack).await;
    attacked.check_after().await;
}
