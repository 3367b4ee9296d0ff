//! `taskferry healthcheck`: asks a front end whether it is ready, for images that have no HTTP client.

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use clap::{Arg, ArgMatches, Command};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// How long the front end may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

pub(super) fn command() -> Command {
    Command::new("healthcheck")
        .about("Ask a front end whether it is ready; exit code 0 if it is")
        .arg(
            Arg::new("url")
                .long("url")
                .value_name("URL")
                .default_value("http://127.0.0.1:8080/readyz")
                .help("What to ask; plain http"),
        )
}

pub(super) async fn run(args: &ArgMatches) -> anyhow::Result<()> {
    let url = args.get_one::<String>("url").map_or("", String::as_str);
    let answer = tokio::time::timeout(PATIENCE, ask(url)).await;
    let answer = answer.with_context(|| format!("{url} did not answer within {PATIENCE:?}"))??;
    let status = answer.split_ascii_whitespace().nth(1).unwrap_or("");
    ensure!(
        status == "200",
        "{url} answered {}",
        answer.lines().last().unwrap_or("nothing")
    );
    Ok(())
}

async fn ask(url: &str) -> anyhow::Result<String> {
    let Some(rest) = url.strip_prefix("http://") else {
        bail!("--url must begin with http://");
    };
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let mut stream = TcpStream::connect(host)
        .await
        .with_context(|| format!("{host} cannot be reached"))?;
    let request = format!("GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.take(64 << 10).read_to_string(&mut answer).await?;
    Ok(answer)
}
