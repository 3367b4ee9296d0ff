//! Where an issuer's key set comes from.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Certificate, Client};
use tokio::io::AsyncReadExt as _;

/// The largest key set, bytes.
const LARGEST: usize = 256 << 10;
/// How long a fetch may take, and to connect.
pub(super) const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// A place of a key set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum KeySource {
    /// An address, and the certificates to trust for it beside those of the system, PEM.
    Url { url: String, trusted: Vec<u8> },
    /// A file.
    File(PathBuf),
}

/// Reads key sets from one place.
#[derive(Debug)]
pub(super) enum Reader {
    Url { url: String, client: Client },
    File(PathBuf),
}

impl Reader {
    /// For a place that can be read.
    pub(super) fn new(source: &KeySource) -> Result<Self, String> {
        let (url, trusted) = match source {
            KeySource::File(path) => return Ok(Self::File(path.clone())),
            KeySource::Url { url, trusted } => (url, trusted),
        };
        let trusted = Certificate::from_pem_bundle(trusted)
            .map_err(|error| format!("ca_file has no certificates that can be read: {error}"))?;
        let client = Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .timeout(FETCH_TIMEOUT)
            .connect_timeout(CONNECT_TIMEOUT)
            .https_only(url.starts_with("https:"))
            .tls_certs_merge(trusted)
            .build()
            .map_err(|error| format!("no client for jwks_url can be made: {}", told(&error)))?;
        Ok(Self::Url {
            url: url.clone(),
            client,
        })
    }

    /// Whether it is a file: reading one again costs little.
    pub(super) fn is_file(&self) -> bool {
        matches!(self, Self::File(_))
    }

    /// Reads the key set.
    pub(super) async fn read(&self) -> Result<Vec<u8>, String> {
        match self {
            Self::Url { url, client } => fetch(client, url).await,
            Self::File(path) => read_file(path).await.map_err(|error| error.to_string()),
        }
    }
}

async fn fetch(client: &Client, url: &str) -> Result<Vec<u8>, String> {
    let mut response = client.get(url).send().await.map_err(|error| told(&error))?;
    if response.status() != reqwest::StatusCode::OK {
        return Err(format!("the answer is {}", response.status()));
    }
    let mut text = Vec::new();
    while let Some(part) = response.chunk().await.map_err(|error| told(&error))? {
        if text.len() + part.len() > LARGEST {
            return Err(too_large());
        }
        text.extend_from_slice(&part);
    }
    Ok(text)
}

async fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let file = tokio::fs::File::open(path).await?;
    let mut text = Vec::new();
    let most = u64::try_from(LARGEST + 1).unwrap_or(u64::MAX);
    file.take(most).read_to_end(&mut text).await?;
    if text.len() > LARGEST {
        return Err(io::Error::other(too_large()));
    }
    Ok(text)
}

fn too_large() -> String {
    format!("it has more than {} KiB", LARGEST >> 10)
}

/// An error with its causes: the outermost one of this client says only that something failed.
fn told(error: &reqwest::Error) -> String {
    let mut told = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        told.push_str(": ");
        told.push_str(&error.to_string());
        cause = error.source();
    }
    told
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;
    use tokio::task::JoinSet;

    use super::*;

    /// Serves one answer, and returns its address.
    async fn answering(answer: Vec<u8>, serves: &mut JoinSet<()>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        serves.spawn(async move {
            let (mut connection, _) = listener.accept().await.unwrap();
            let mut head = [0; 1024];
            let _read = connection.read(&mut head).await.unwrap();
            // Whoever has read enough closes it.
            let _closed = connection.write_all(&answer).await;
            std::future::pending::<()>().await;
        });
        format!("http://{address}/jwks.json")
    }

    fn reader(url: String) -> Reader {
        let trusted = Vec::new();
        Reader::new(&KeySource::Url { url, trusted }).unwrap()
    }

    fn ok(body: &[u8]) -> Vec<u8> {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        [head.as_bytes(), body].concat()
    }

    #[tokio::test]
    async fn a_key_set_is_read_up_to_its_bounds() {
        let mut serves = JoinSet::new();
        let read = reader(answering(ok(b"{}"), &mut serves).await).read().await;
        assert_eq!(read.unwrap(), b"{}");
        let large = ok(&vec![b' '; LARGEST + 1]);
        let refused = reader(answering(large, &mut serves).await).read().await;
        assert!(refused.unwrap_err().contains("more than 256 KiB"));
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("jwks.json");
        std::fs::write(&file, vec![b' '; LARGEST + 1]).unwrap();
        let refused = Reader::File(file).read().await.unwrap_err();
        assert!(refused.contains("more than 256 KiB"), "{refused}");
    }

    #[tokio::test]
    async fn what_is_no_plain_answer_is_none() {
        let mut serves = JoinSet::new();
        let elsewhere =
            b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n";
        let refused = reader(answering(elsewhere.to_vec(), &mut serves).await)
            .read()
            .await;
        assert!(refused.unwrap_err().contains("302"));
        let broken = b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n";
        let refused = reader(answering(broken.to_vec(), &mut serves).await)
            .read()
            .await;
        assert!(refused.unwrap_err().contains("500"));
        let closed = reader("http://127.0.0.1:1/".to_owned()).read().await;
        assert!(closed.unwrap_err().contains("refused"));
    }

    #[tokio::test]
    async fn an_answer_that_never_ends_is_given_up() {
        let mut serves = JoinSet::new();
        let half = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{".to_vec();
        let reader = reader(answering(half, &mut serves).await);
        let read = tokio::time::timeout(FETCH_TIMEOUT * 2, reader.read()).await;
        assert!(read.unwrap().unwrap_err().contains("timed out"));
    }
}
