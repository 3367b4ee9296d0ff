//! The one answer that a connection gets which is not served.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// How long a client may take to send its request: a connection that is closed before that is reset, and its client may never
/// read why.
const HEARD_OUT: Duration = Duration::from_secs(1);

/// Answers whatever a client asks, and closes the connection.
pub(super) async fn say(mut connection: TcpStream, response: &str) {
    let said = async {
        let mut unheard = [0; 4096];
        // An answer that comes before the request is no answer to some clients.
        let _request = connection.read(&mut unheard).await?;
        connection.write_all(response.as_bytes()).await?;
        connection.shutdown().await?;
        while connection.read(&mut unheard).await? > 0 {}
        Ok::<(), std::io::Error>(())
    };
    // Whether it was heard is the client's matter.
    let _outcome = tokio::time::timeout(HEARD_OUT, said).await;
}
