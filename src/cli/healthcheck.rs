//! `taskferry healthcheck`: asks a front end whether it is ready, for images that have no HTTP client.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use clap::{Arg, ArgMatches, Command, value_parser};
use reqwest::{Certificate, Identity, Url};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// How long the front end may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a front end answered: the number, and the last line.
struct Answer {
    status: String,
    text: String,
}

pub(super) fn command() -> Command {
    let file = |name: &'static str, help: &'static str| {
        let file = Arg::new(name).long(name).value_name("FILE").help(help);
        file.value_parser(value_parser!(PathBuf))
    };
    Command::new("healthcheck")
        .about("Ask a front end whether it is ready; exit code 0 if it is")
        .arg(
            Arg::new("url")
                .long("url")
                .value_name("URL")
                .default_value("http://127.0.0.1:8080/readyz")
                .help("What to ask; http or https"),
        )
        .arg(file(
            "ca-file",
            "The certificates that vouch for an https front end, PEM [default: those of the system]",
        ))
        .arg(
            Arg::new("server-name")
                .long("server-name")
                .value_name("NAME")
                .help("The name in its certificate [default: the one in the URL]"),
        )
        .arg(file("cert-file", "The certificate to show to it, PEM").requires("key-file"))
        .arg(file("key-file", "The key of that certificate, PEM").requires("cert-file"))
}

pub(super) async fn run(args: &ArgMatches) -> anyhow::Result<()> {
    let url = args.get_one::<String>("url").map_or("", String::as_str);
    let asked = async {
        if url.starts_with("https://") {
            Box::pin(ask_secured(url, args)).await
        } else {
            ask(url).await
        }
    };
    let answer = tokio::time::timeout(PATIENCE, asked).await;
    let Answer { status, text } =
        answer.with_context(|| format!("{url} did not answer within {PATIENCE:?}"))??;
    ensure!(status == "200", "{url} answered {text}");
    Ok(())
}

async fn ask(url: &str) -> anyhow::Result<Answer> {
    let Some(rest) = url.strip_prefix("http://") else {
        bail!("--url must begin with http:// or https://");
    };
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let mut stream = TcpStream::connect(host)
        .await
        .with_context(|| format!("{host} cannot be reached"))?;
    let request = format!("GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.take(64 << 10).read_to_string(&mut answer).await?;
    let status = answer.split_ascii_whitespace().nth(1).unwrap_or("");
    Ok(Answer {
        status: status.to_owned(),
        text: last_line(&answer),
    })
}

fn last_line(answer: &str) -> String {
    answer.lines().last().unwrap_or("nothing").to_owned()
}

async fn ask_secured(url: &str, args: &ArgMatches) -> anyhow::Result<Answer> {
    let read = |name: &str| {
        let path = args.get_one::<PathBuf>(name);
        let read = |path: &PathBuf| {
            std::fs::read(path)
                .with_context(|| format!("--{name} {} cannot be read", path.display()))
        };
        path.map(read).transpose()
    };
    let mut asked: Url = url.parse().context("--url cannot be read")?;
    let mut client = reqwest::Client::builder().no_proxy();
    if let Some(ca) = read("ca-file")? {
        let trusted = Certificate::from_pem_bundle(&ca);
        client = client.tls_certs_only(trusted.context("--ca-file has no certificates")?);
    }
    if let Some((cert, key)) = read("cert-file")?.zip(read("key-file")?) {
        let own = Identity::from_pem(&[cert, key].concat());
        client = client.identity(own.context("--cert-file and --key-file cannot be used")?);
    }
    if let Some(name) = args.get_one::<String>("server-name") {
        let host = asked.host_str().unwrap_or_default();
        let place = format!("{host}:{}", asked.port_or_known_default().unwrap_or(443));
        let mut found = tokio::net::lookup_host(&place).await?;
        let address = found
            .next()
            .with_context(|| format!("{place} is nowhere"))?;
        client = client.resolve(name, address);
        asked
            .set_host(Some(name))
            .context("--server-name is no name")?;
    }
    let answer = client.build()?.get(asked).send().await;
    let answer = answer.with_context(|| format!("{url} cannot be asked"))?;
    Ok(Answer {
        status: answer.status().as_str().to_owned(),
        text: last_line(&answer.text().await?),
    })
}
