//! A client that does no more than the load needs: HTTP/1.1 on one kept connection, bodies of known length.

use std::net::SocketAddr;

use anyhow::{Context as _, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// The largest answer that is read, bytes.
const MAX_ANSWER: usize = 16 << 20;

/// One connection.
#[derive(Debug)]
pub(crate) struct Http {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// An answer, borrowed from its connection.
#[derive(Debug)]
pub(crate) struct Answer<'a> {
    head: &'a str,
    body: &'a [u8],
}

impl Http {
    /// Connects.
    pub(crate) async fn connect(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address)
            .await
            .with_context(|| format!("{address} cannot be reached"))?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: Vec::with_capacity(8 << 10),
        })
    }

    /// Sends a request and reads the answer to it.
    pub(crate) async fn send(&mut self, request: &[u8]) -> anyhow::Result<Answer<'_>> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        let body_at = loop {
            if let Some(at) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            self.more().await?;
        };
        let length = {
            let (head, body) = self.split(body_at)?;
            let answer = Answer { head, body };
            answer.length()?
        };
        while self.buffer.len() < body_at + length {
            self.more().await?;
        }
        let (head, body) = self.split(body_at)?;
        Ok(Answer { head, body })
    }

    async fn more(&mut self) -> anyhow::Result<()> {
        if self.stream.read_buf(&mut self.buffer).await? == 0 {
            bail!("the server closed the connection");
        }
        if self.buffer.len() > MAX_ANSWER {
            bail!("an answer is larger than {MAX_ANSWER} bytes");
        }
        Ok(())
    }

    fn split(&self, body_at: usize) -> anyhow::Result<(&str, &[u8])> {
        let (head, body) = self
            .buffer
            .split_at_checked(body_at)
            .context("the answer has no body")?;
        Ok((std::str::from_utf8(head)?, body))
    }
}

impl<'a> Answer<'a> {
    /// The body of an answer with status 200; any other is an error that shows it.
    pub(crate) fn ok(&self) -> anyhow::Result<&'a [u8]> {
        if self.head.split(' ').nth(1) == Some("200") {
            return Ok(self.body);
        }
        let body = String::from_utf8_lossy(self.body);
        bail!("the server answered {}\n{body}", self.head.trim_end())
    }

    /// A header's value, by its name in any case.
    pub(crate) fn header(&self, name: &str) -> Option<&'a str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find_map(|(key, value)| key.eq_ignore_ascii_case(name).then(|| value.trim()))
    }

    fn length(&self) -> anyhow::Result<usize> {
        match self.header("content-length") {
            Some(length) => Ok(length.parse()?),
            // No content: 202 and 204 may leave the length out.
            None if self.head.starts_with("HTTP/1.1 20")
                && self.header("content-type").is_none() =>
            {
                Ok(0)
            }
            None => bail!(
                "an answer without length, as a stream is; the work took too long:\n{}",
                self.head.trim_end()
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(head: &str) -> Answer<'_> {
        Answer {
            head,
            body: b"{\"error\":1}",
        }
    }

    #[test]
    fn an_answer_that_is_not_ok_is_an_error_with_its_body() {
        let refused = answer("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 11\r\n\r\n");
        let text = refused.ok().unwrap_err().to_string();
        assert!(
            text.contains("503") && text.contains("{\"error\":1}"),
            "{text}"
        );
        assert!(answer("HTTP/1.1 200 OK\r\n\r\n").ok().is_ok());
    }

    #[test]
    fn a_length_is_read_and_a_stream_is_refused() {
        let sized = answer("HTTP/1.1 200 OK\r\nContent-LENGTH:  11\r\n\r\n");
        assert_eq!(sized.length().unwrap(), 11);
        assert_eq!(answer("HTTP/1.1 202 Accepted\r\n\r\n").length().unwrap(), 0);
        let stream = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
        assert!(answer(stream).length().is_err());
    }
}
