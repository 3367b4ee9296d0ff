//! Requests whose answers may be JSON or streams.

use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Certificate, Client, ClientBuilder, Identity, Response, StatusCode};
use serde_json::Value;

use crate::sse::{Event, Events};
use crate::{Error, Request, is_answer};

/// How long a server may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(5);

/// Sends requests, and keeps connections for the next. Clones share them.
#[derive(Debug, Clone)]
pub struct Http {
    client: Client,
    patience: Option<Duration>,
}

impl Http {
    /// One that waits for answers as long as it takes, and uses no proxy.
    ///
    /// # Errors
    ///
    /// If the system gives no client.
    pub fn new() -> Result<Self, Error> {
        Self::of(Client::builder())
    }

    /// The same, for servers with certificates that one in `ca` has issued. It shows them `own`, a certificate and its key,
    /// if there is one. Both are PEM.
    ///
    /// # Errors
    ///
    /// If they cannot be read, or the system gives no client.
    pub fn trusting(ca: &[u8], own: Option<&[u8]>) -> Result<Self, Error> {
        let trusted = Certificate::from_pem_bundle(ca).map_err(Error::NoClient)?;
        let mut client = Client::builder().tls_certs_only(trusted);
        if let Some(own) = own {
            client = client.identity(Identity::from_pem(own).map_err(Error::NoClient)?);
        }
        Self::of(client)
    }

    fn of(client: ClientBuilder) -> Result<Self, Error> {
        let client = client.no_proxy().connect_timeout(CONNECT).build();
        Ok(Self {
            client: client.map_err(Error::NoClient)?,
            patience: None,
        })
    }

    /// The same, which gives up when an answer was not read to its end within this time.
    #[must_use]
    pub fn within(&self, patience: Duration) -> Self {
        Self {
            client: self.client.clone(),
            patience: Some(patience),
        }
    }

    /// Sends a request. It returns with the head of the answer, whatever its status is.
    ///
    /// # Errors
    ///
    /// If a header cannot be sent, or there is no answer.
    pub async fn send(&self, url: &str, request: &Request) -> Result<Reply, Error> {
        let mut sent = self
            .client
            .request(request.method.clone(), url)
            .headers(headers(request)?);
        if !request.body.is_empty() {
            sent = sent.body(request.body.clone());
        }
        if let Some(patience) = self.patience {
            sent = sent.timeout(patience);
        }
        let response = sent.send().await.map_err(Error::Unanswered)?;
        Ok(Reply::new(response))
    }
}

fn headers(request: &Request) -> Result<HeaderMap, Error> {
    let mut headers = HeaderMap::with_capacity(request.headers.len());
    for (name, value) in &request.headers {
        let named = HeaderName::from_bytes(name.as_bytes()).ok();
        let valued = HeaderValue::from_bytes(value.as_bytes()).ok();
        let header = named.zip(valued);
        let (named, valued) = header.ok_or_else(|| Error::Header(name.clone()))?;
        headers.append(named, valued);
    }
    Ok(headers)
}

/// An answer, of which the body is read as it comes.
#[derive(Debug)]
pub struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    response: Option<Response>,
    /// Of a stream: what was read and not yet given.
    events: Events,
    last_event_id: Option<String>,
}

impl Reply {
    fn new(response: Response) -> Self {
        Self {
            status: response.status(),
            headers: response.headers().clone(),
            response: Some(response),
            events: Events::default(),
            last_event_id: None,
        }
    }

    /// The status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// All headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// A header's value, if it is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Whether it is an event stream; else it is one body.
    #[must_use]
    pub fn is_stream(&self) -> bool {
        self.header("content-type") == Some("text/event-stream")
    }

    /// The next bytes as they were sent; none at the end. What is read so is in no message.
    ///
    /// # Errors
    ///
    /// If the answer is cut short.
    pub async fn chunk(&mut self) -> Result<Option<Vec<u8>>, Error> {
        let Some(response) = &mut self.response else {
            return Ok(None);
        };
        let chunk = response.chunk().await.map_err(Error::CutShort)?;
        if chunk.is_none() {
            self.response = None;
        }
        Ok(chunk.map(|bytes| bytes.to_vec()))
    }

    /// The rest of the body, as text.
    ///
    /// # Errors
    ///
    /// If the answer is cut short.
    pub async fn text(&mut self) -> Result<String, Error> {
        let mut all = Vec::new();
        while let Some(bytes) = self.chunk().await? {
            all.extend(bytes);
        }
        Ok(String::from_utf8_lossy(&all).into_owned())
    }

    /// The next event of a stream; none at its end.
    ///
    /// # Errors
    ///
    /// If the answer is cut short.
    pub async fn event(&mut self) -> Result<Option<Event>, Error> {
        loop {
            if let Some(event) = self.events.pop() {
                if event.id.is_some() {
                    self.last_event_id.clone_from(&event.id);
                }
                return Ok(Some(event));
            }
            match self.chunk().await? {
                Some(bytes) => self.events.push(&bytes),
                None => return Ok(None),
            }
        }
    }

    /// The next message: of a stream, or the one that the body is.
    ///
    /// # Errors
    ///
    /// If the answer is cut short, or a message is not JSON.
    pub async fn message(&mut self) -> Result<Option<Value>, Error> {
        let text = if self.is_stream() {
            loop {
                match self.event().await? {
                    Some(event) if event.data.is_empty() => {}
                    Some(event) => break event.data,
                    None => return Ok(None),
                }
            }
        } else {
            self.text().await?
        };
        if text.is_empty() {
            return Ok(None);
        }
        match serde_json::from_str(&text) {
            Ok(message) => Ok(Some(message)),
            Err(source) => Err(Error::NotJson { text, source }),
        }
    }

    /// The first message that answers the request. Those before it are passed by.
    ///
    /// # Errors
    ///
    /// As [`Self::message`], and if there is none.
    pub async fn answer(&mut self) -> Result<Value, Error> {
        loop {
            match self.message().await? {
                Some(message) if is_answer(&message) => return Ok(message),
                Some(_) => {}
                None => return Err(Error::NoAnswer),
            }
        }
    }

    /// The id of the last event that was given, after which another request goes on ([`crate::legacy::Session::listen`]).
    #[must_use]
    pub fn last_event_id(&self) -> Option<&str> {
        self.last_event_id.as_deref()
    }
}
