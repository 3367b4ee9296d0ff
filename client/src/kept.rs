//! What a load needs and no more: HTTP/1.1 on one kept connection, requests that are bytes made once and sent often, and
//! bodies of known length, which are borrowed and not copied.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::{Error, Request};

/// The largest answer that is read, bytes.
const MAX_ANSWER: usize = 16 << 20;

/// A request as it goes over the wire.
#[must_use]
pub fn bytes(request: &Request, address: SocketAddr, path: &str) -> Vec<u8> {
    let (method, length) = (&request.method, request.body.len());
    let each = request.headers.iter();
    let headers: String = each
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\n{headers}content-length: {length}\r\n\r\n"
    );
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(&request.body);
    bytes
}

/// One connection.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// An answer, borrowed from its connection.
#[derive(Debug)]
pub struct Answer<'a> {
    head: &'a str,
    body: &'a [u8],
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    ///
    /// If nobody listens there.
    pub async fn connect(address: SocketAddr) -> Result<Self, Error> {
        let stream = TcpStream::connect(address)
            .await
            .map_err(|source| Error::Unreachable { address, source })?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: Vec::with_capacity(8 << 10),
        })
    }

    /// Sends a request and reads the answer to it.
    ///
    /// # Errors
    ///
    /// If the connection breaks, or the answer is a stream.
    pub async fn send(&mut self, request: &[u8]) -> Result<Answer<'_>, Error> {
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

    async fn more(&mut self) -> Result<(), Error> {
        if self.stream.read_buf(&mut self.buffer).await? == 0 {
            return Err(Error::Closed);
        }
        if self.buffer.len() > MAX_ANSWER {
            return Err(Error::TooLarge(MAX_ANSWER));
        }
        Ok(())
    }

    fn split(&self, body_at: usize) -> Result<(&str, &[u8]), Error> {
        let (head, body) = self
            .buffer
            .split_at_checked(body_at)
            .ok_or(Error::BadHead)?;
        let head = std::str::from_utf8(head).map_err(|_not_text| Error::BadHead)?;
        Ok((head, body))
    }
}

impl<'a> Answer<'a> {
    /// The body of an answer with status 200.
    ///
    /// # Errors
    ///
    /// Any other status, with the answer.
    pub fn ok(&self) -> Result<&'a [u8], Error> {
        if self.head.split(' ').nth(1) == Some("200") {
            return Ok(self.body);
        }
        Err(Error::Refused {
            head: self.head.trim_end().to_owned(),
            body: String::from_utf8_lossy(self.body).into_owned(),
        })
    }

    /// A header's value, by its name in any case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&'a str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find_map(|(key, value)| key.eq_ignore_ascii_case(name).then(|| value.trim()))
    }

    fn length(&self) -> Result<usize, Error> {
        match self.header("content-length") {
            Some(length) => length.parse().map_err(|_no_number| Error::BadHead),
            // No content: 202 and 204 may leave the length out.
            None if self.head.starts_with("HTTP/1.1 20")
                && self.header("content-type").is_none() =>
            {
                Ok(0)
            }
            None => Err(Error::NoLength(self.head.trim_end().to_owned())),
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

    #[test]
    fn a_request_says_its_length() {
        let request = Request::new(reqwest::Method::POST)
            .with("a", "b")
            .with_body("body");
        let text = String::from_utf8(bytes(
            &request,
            SocketAddr::from(([127, 0, 0, 1], 1)),
            "/mcp",
        ));
        let head = "POST /mcp HTTP/1.1\r\nHost: 127.0.0.1:1\r\na: b\r\ncontent-length: 4\r\n\r\n";
        assert_eq!(text.unwrap(), format!("{head}body"));
    }
}
