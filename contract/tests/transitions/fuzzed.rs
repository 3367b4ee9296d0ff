//! Every transition with any keys and arguments, for a moment; `scripts/fuzz scripts` does so for long.

use taskferry_contract::sources;
use taskferry_testing::TestServer;
use taskferry_testing::fuzz::replay;
use taskferry_testing::fuzz::scripts::Scripts;

#[tokio::test]
async fn scripts() {
    let server = TestServer::start().await;
    let url = server.url();
    let run = tokio::task::spawn_blocking(move || {
        let mut scripts = Scripts::new(&url, sources());
        replay("scripts", |input| scripts.hold(input));
    });
    run.await.expect("it held");
}
