//! Load: clients that each do one thing after the other, for a time.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use tokio::task::JoinSet;

/// How much longer than asked a load may take: what is under way at its end must end too.
const GRACE: Duration = Duration::from_secs(30);

/// Does one thing after the other.
pub(crate) trait Client: Send + 'static {
    /// One request, or one lifecycle.
    fn once(&mut self) -> impl Future<Output = anyhow::Result<()>> + Send;
}

/// What a load came to.
#[derive(Debug)]
pub(crate) struct Load {
    /// From the start to the end of the last one.
    pub(crate) elapsed: Duration,
    /// How long each took, shortest first.
    pub(crate) latencies: Vec<Duration>,
}

/// Lets all clients work for `length`; gives them back. The first error ends it.
pub(crate) async fn drive<C: Client>(
    clients: Vec<C>,
    length: Duration,
) -> anyhow::Result<(Vec<C>, Load)> {
    let start = Instant::now();
    let mut running = JoinSet::new();
    for mut client in clients {
        running.spawn(async move {
            let mut latencies = Vec::with_capacity(1 << 14);
            while start.elapsed() < length {
                let begun = Instant::now();
                client.once().await?;
                latencies.push(begun.elapsed());
            }
            Ok::<_, anyhow::Error>((client, latencies))
        });
    }
    let mut clients = Vec::with_capacity(running.len());
    let mut latencies = Vec::new();
    let collect = async {
        while let Some(ended) = running.join_next().await {
            let (client, some) = ended.context("a client was lost")??;
            clients.push(client);
            latencies.extend(some);
        }
        Ok::<_, anyhow::Error>(())
    };
    match tokio::time::timeout(length + GRACE, collect).await {
        Ok(outcome) => outcome?,
        Err(_elapsed) => bail!("nothing came back for {GRACE:?}"),
    }
    let elapsed = start.elapsed();
    latencies.sort_unstable();
    Ok((clients, Load { elapsed, latencies }))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Sleeper(Option<&'static str>);

    impl Client for Sleeper {
        async fn once(&mut self) -> anyhow::Result<()> {
            tokio::time::sleep(Duration::from_millis(1)).await;
            match self.0 {
                Some(fault) => bail!(fault),
                None => Ok(()),
            }
        }
    }

    #[tokio::test]
    async fn counts_what_every_client_did() {
        let length = Duration::from_millis(20);
        let (clients, load) = drive(vec![Sleeper(None), Sleeper(None)], length)
            .await
            .unwrap();
        assert_eq!(clients.len(), 2);
        assert!(load.latencies.len() >= 2 && load.elapsed >= length);
        assert!(load.latencies.is_sorted());
    }

    #[tokio::test]
    async fn ends_with_the_first_error() {
        let endless = Duration::from_secs(3600);
        let ended = drive(vec![Sleeper(None), Sleeper(Some("refused"))], endless).await;
        assert_eq!(ended.err().unwrap().to_string(), "refused");
    }
}
