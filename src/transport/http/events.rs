//! Event streams (HTML, Server-sent events).

use std::borrow::Cow;
use std::convert::Infallible;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::Response;
use futures_util::stream;
use taskferry_contract::SharedJson;
use taskferry_process::{Budget, Charge};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::mcp::{CallLine, Event, Piece, Says};
use crate::transport::http::pieces::{own_bytes, shared_bytes};
use crate::transport::http::status::sent;

/// Tells proxies to pass events on as they come.
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// How long a client whose stream broke waits before it comes back, ms.
const RETRY_MS: u32 = 1000;

/// How much of a shared text is sent at a time, bytes: as much as is made ready of it for a client that may not read.
const CHUNK: usize = 64 << 10;

/// Events as they come.
pub(super) fn events(
    first: Vec<Event>,
    rest: mpsc::Receiver<Event>,
    keep_alive: Duration,
    line: CallLine,
) -> Response {
    let state = Stream {
        first: first.into_iter(),
        rest,
        keep_alive,
        begun: None,
        line: Some(line),
        ended: false,
    };
    let body = stream::unfold(state, |mut state| async move {
        let chunk = state.next().await?;
        Some((Ok::<_, Infallible>(chunk), state))
    });
    let mut response = Response::new(Body::from_stream(body));
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/event-stream"),
    );
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("no-cache, no-transform"),
    );
    headers.insert(ACCEL_BUFFERING, HeaderValue::from_static("no"));
    response
}

struct Stream {
    first: std::vec::IntoIter<Event>,
    rest: mpsc::Receiver<Event>,
    keep_alive: Duration,
    /// What is still to come of the event that is being sent.
    begun: Option<Begun>,
    /// The log line of the request: written once; if it is dropped with this, it says that the client left.
    line: Option<CallLine>,
    ended: bool,
}

impl Stream {
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(begun) = &mut self.begun {
            let chunk = begun.next();
            if begun.is_over {
                self.begun = None;
            }
            return Some(chunk);
        }
        if self.ended {
            return None;
        }
        let mut event = match self.first.next() {
            Some(event) => event,
            None => {
                let quiet_until = Instant::now() + self.keep_alive;
                match tokio::time::timeout_at(quiet_until, self.rest.recv()).await {
                    Ok(Some(event)) => event,
                    Ok(None) => {
                        self.line.take().into_iter().for_each(CallLine::unanswered);
                        return None;
                    }
                    Err(_quiet) => return Some(Bytes::from_static(b": keep-alive\n\n")),
                }
            }
        };
        match &mut event.says {
            Says::Nothing | Says::Message(_) => {}
            Says::One(answer) => sent(answer),
            Says::Last(answer) => {
                self.ended = true;
                answer.line = self.line.take().unwrap_or_default();
                sent(answer);
            }
        }
        let (chunk, begun) = framed(event);
        self.begun = begun;
        Some(chunk)
    }
}

/// An event that is sent in several chunks, each made when the one before was taken.
#[derive(Debug)]
struct Begun {
    pieces: std::vec::IntoIter<Piece>,
    /// A piece of which a part was sent.
    piece: Option<(SharedJson, Range<usize>)>,
    charge: Arc<Charge>,
    is_over: bool,
}

impl Begun {
    fn next(&mut self) -> Bytes {
        if let Some((json, range)) = self.piece.take() {
            return self.part(json, range);
        }
        match self.pieces.next() {
            Some(Piece::Own(own)) => own_bytes(data(&own).into_owned(), &self.charge),
            Some(Piece::Shared(json, range)) => self.part(json, range),
            None => {
                self.is_over = true;
                Bytes::from_static(b"\n\n")
            }
        }
    }

    fn part(&mut self, json: SharedJson, range: Range<usize>) -> Bytes {
        let end = json.floor_char_boundary(range.end.min(range.start + CHUNK));
        let part = range.start..end;
        if end < range.end {
            self.piece = Some((json.clone(), end..range.end));
        }
        match data(json.get(part.clone()).unwrap_or_default()) {
            Cow::Borrowed(_) => shared_bytes(json, part),
            Cow::Owned(escaped) => Bytes::from(escaped),
        }
    }
}

/// An event's first chunk, and what comes after it: nothing, unless its text is in pieces.
fn framed(event: Event) -> (Bytes, Option<Begun>) {
    let Event { id, says, charge } = event;
    let charge = Arc::new(charge.unwrap_or_else(|| Budget::new(0).charge()));
    let id = id.map_or_else(String::new, |id| format!("id: {id}\n"));
    let text = match says {
        Says::Nothing => {
            let primer = format!("{id}retry: {RETRY_MS}\ndata: \n\n");
            return (Bytes::from(primer), None);
        }
        Says::Message(text) => text,
        Says::One(answer) | Says::Last(answer) => answer.body,
    };
    let mut pieces = text.into_pieces().into_iter();
    let first = match pieces.next() {
        Some(Piece::Own(own)) => own,
        Some(shared @ Piece::Shared(..)) => {
            pieces = std::iter::once(shared)
                .chain(pieces)
                .collect::<Vec<_>>()
                .into_iter();
            String::new()
        }
        None => String::new(),
    };
    let end = if pieces.len() == 0 { "\n\n" } else { "" };
    let chunk = format!("event: message\n{id}data: {}{end}", data(&first));
    let chunk = own_bytes(chunk, &charge);
    let begun = (pieces.len() > 0).then_some(Begun {
        pieces,
        piece: None,
        charge,
        is_over: false,
    });
    (chunk, begun)
}

/// What some readers of event streams take for the end of a line, though only CR and LF end one: U+0085, U+2028 and U+2029.
/// JSON has them nowhere but in strings, where an escape says the same.
const LINE_ENDS: [(char, &str); 3] = [
    ('\u{85}', "\\u0085"),
    ('\u{2028}', "\\u2028"),
    ('\u{2029}', "\\u2029"),
];

/// JSON as the data of an event. A worker's result may hold line breaks between its tokens: each line is a `data` field of
/// its own.
fn data(text: &str) -> Cow<'_, str> {
    let mut rest = text;
    let mut framed = String::new();
    while let Some(at) = next_special(rest) {
        let (before, special) = rest.split_at(at);
        let mut characters = special.chars();
        let special = characters.next();
        framed.push_str(before);
        framed.push_str(match special {
            Some('\n') => "\ndata: ",
            Some('\r') => " ",
            Some(other) => LINE_ENDS
                .iter()
                .find(|(end, _)| *end == other)
                .map_or("", |(_, escape)| escape),
            None => "",
        });
        rest = characters.as_str();
    }
    if framed.is_empty() {
        return text.into();
    }
    framed.push_str(rest);
    framed.into()
}

/// Where the first character stands that an event's data cannot hold. Almost every byte is passed over for its value alone.
fn next_special(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut from = 0;
    loop {
        let may_be = |byte: &u8| matches!(byte, b'\n' | b'\r' | 0xC2 | 0xE2);
        let at = from + bytes.get(from..)?.iter().position(may_be)?;
        match bytes.get(at..)? {
            [b'\n' | b'\r', ..] | [0xC2, 0x85, ..] | [0xE2, 0x80, 0xA8 | 0xA9, ..] => {
                return Some(at);
            }
            _ => from = at + 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mcp::Text;

    fn message(text: &str) -> Event {
        Event::without_id(Says::Message(text.to_owned().into()))
    }

    /// All that is sent of an event.
    fn whole(event: Event) -> String {
        let (first, mut begun) = framed(event);
        let mut chunks = vec![first];
        while let Some(begun) = begun.as_mut().filter(|begun| !begun.is_over) {
            chunks.push(begun.next());
        }
        assert!(chunks.iter().all(|chunk| chunk.len() <= 2 * CHUNK));
        String::from_utf8(chunks.concat()).unwrap()
    }

    #[test]
    fn a_large_text_is_sent_in_chunks_as_it_is() {
        // A character of three bytes stands across each end of a chunk.
        let items = vec![format!("\"{}\"", "世".repeat(CHUNK / 3)); 3].join(",\n");
        let json = SharedJson::from(format!("[{items}]"));
        let mut text = Text::from("{\"a\":".to_owned());
        text.append(Text::of(&json));
        text.push("}");
        let sent = whole(Event::without_id(Says::Message(text)));
        let wanted = items.replace('\n', "\ndata: ");
        assert!(sent == format!("event: message\ndata: {{\"a\":[{wanted}]}}\n\n"));
        let alone = whole(Event::without_id(Says::Message(Text::of(&json))));
        assert!(alone == format!("event: message\ndata: [{wanted}]\n\n"));
    }

    #[test]
    fn text_of_several_lines_stays_one_event() {
        let framed = |text: &str| whole(message(text));
        assert_eq!(framed("{}"), "event: message\ndata: {}\n\n");
        assert_eq!(framed("{\r\n}"), "event: message\ndata: { \ndata: }\n\n");
    }

    #[test]
    fn what_some_readers_take_for_a_line_end_is_escaped_and_nothing_else_is() {
        let text = "{\"a\u{2028}\": \"\u{85}x\u{2029}\u{2029}\\n\"}";
        assert_eq!(data(text), r#"{"a\u2028": "\u0085x\u2029\u2029\n"}"#);
        let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(read(&data(text)), read(text));
        // Their bytes begin others too, and stand in the middle of some.
        let untouched =
            "{\"é\u{84}\u{86}\u{a0}\": \"—…‧\u{202a}\u{2005}€世\u{e2}\u{c2}😀\u{2028f}\"}";
        assert!(matches!(data(untouched), Cow::Borrowed(same) if same == untouched));
        assert_eq!(data("\u{85}\n\r"), "\\u0085\ndata:  ");
    }

    #[test]
    fn a_stream_that_can_be_resumed_says_its_place_first_and_when_to_come_back() {
        let primer = whole(Event::primer("a.b".to_owned()));
        assert_eq!(primer, "id: a.b\nretry: 1000\ndata: \n\n");
        let numbered = Event {
            id: Some("a.c".to_owned()),
            ..message("{}")
        };
        assert_eq!(whole(numbered), "event: message\nid: a.c\ndata: {}\n\n");
    }
}
