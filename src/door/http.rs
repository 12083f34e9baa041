//! HTTP/1: a request's head to an answer. GET and HEAD only, no bodies, nothing that changes anything.
//!
//! Heads are parsed by httparse, answers are printed by tiny_http's `Response`; nothing a client sent goes into an answer. What is
//! asked for is one row of [`PATHS`].

use std::io::Read;

use tiny_http::{HTTPVersion, Header, Response, StatusCode};

use crate::export::openmetrics::{self, Format};
use crate::export::{Page, history, html, json};
use crate::model::Now;
use crate::store::history::HistoryReader;
use crate::store::{BoardError, Snapshot};

/// The longest head.
pub const HEAD_MAX: usize = 8 << 10;

/// More headers than this are refused.
const HEADERS_MAX: usize = 64;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    path: &'a [u8],
    query: &'a [u8],
    format: Format,
    pub shape: Shape,
}

/// How the answer is to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// `HEAD`: everything but the body.
    is_head_only: bool,
    /// Nothing more is answered on this connection.
    pub is_last: bool,
}

impl Shape {
    pub const LAST: Self = Self { is_head_only: false, is_last: true };
}

/// What is wrong with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Malformed,
    Method,
    HeadTooLong,
    Version,
}

/// Where the first head in a text ends; `searched` bytes were looked at before.
pub fn head_end(text: &[u8], searched: usize) -> Option<usize> {
    let start = searched.saturating_sub(3);
    let tail = text.get(start..)?;
    tail.iter().enumerate().find_map(|(place, byte)| {
        let rest = tail.get(place + 1..).unwrap_or_default();
        let blank = if rest.starts_with(b"\r\n") { 2 } else { usize::from(rest.starts_with(b"\n")) };
        (*byte == b'\n' && blank > 0).then_some(start + place + 1 + blank)
    })
}

/// Understands one whole head.
pub fn parse(head: &[u8]) -> Result<Request<'_>, Fault> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut parsed = httparse::Request::new(&mut headers);
    match parsed.parse(head) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) => return Err(Fault::Malformed),
        Err(httparse::Error::TooManyHeaders) => return Err(Fault::HeadTooLong),
        Err(httparse::Error::Version) => return Err(Fault::Version),
        Err(_) => return Err(Fault::Malformed),
    }
    let is_head_only = match parsed.method {
        Some("GET") => false,
        Some("HEAD") => true,
        _ => return Err(Fault::Method),
    };
    let mut format = Format::Text;
    // HTTP/1.0 keeps a connection on request only, and nobody here asks.
    let mut is_last = parsed.version != Some(1);
    for header in parsed.headers.iter() {
        if header.name.eq_ignore_ascii_case("accept") && format == Format::Text {
            format = Format::accepted(header.value);
        } else if header.name.eq_ignore_ascii_case("connection") {
            is_last |= has_word(header.value, b"close");
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            is_last = true;
        } else if header.name.eq_ignore_ascii_case("content-length") {
            // A body would be read as the next request.
            is_last |= header.value.trim_ascii() != b"0";
        }
    }
    let (path, query) = path(parsed.path.unwrap_or_default().as_bytes());
    Ok(Request { path, query, format, shape: Shape { is_head_only, is_last } })
}

fn has_word(list: &[u8], word: &[u8]) -> bool {
    list.split(|byte| *byte == b',').any(|part| part.trim_ascii().eq_ignore_ascii_case(word))
}

/// Path and query of a target with or without host.
fn path(target: &[u8]) -> (&[u8], &[u8]) {
    let target = match target.strip_prefix(b"http://") {
        Some(rest) => rest.iter().position(|byte| *byte == b'/').and_then(|slash| rest.get(slash..)).unwrap_or(b"/"),
        None => target,
    };
    let target = target.split(|byte| *byte == b'#').next().unwrap_or_default();
    let mut halves = target.splitn(2, |byte| *byte == b'?');
    (halves.next().unwrap_or_default(), halves.next().unwrap_or_default())
}

/// Status, type and further headers; the body stands in a page of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    status: u16,
    kind: &'static str,
    more: &'static [(&'static str, &'static str)],
}

const PLAIN: &str = "text/plain; charset=utf-8";

impl Answer {
    const fn plain(status: u16) -> Self {
        Self { status, kind: PLAIN, more: &[] }
    }
}

/// What answers are made of.
pub struct Known<'a> {
    pub snapshot: &'a Snapshot,
    pub history: Option<&'a HistoryReader>,
    pub now: Now,
}

type Write = fn(&Request<'_>, &Known<'_>, &mut Page) -> Answer;

/// What can be asked for.
static PATHS: &[(&str, Write)] = &[
    ("/", |_, known, page| {
        html::write(known.snapshot, known.history, known.now, page);
        let more = &[("Content-Security-Policy", html::POLICY), ("Referrer-Policy", "no-referrer")];
        Answer { status: 200, kind: "text/html; charset=utf-8", more }
    }),
    ("/metrics", |request, known, page| {
        openmetrics::write(known.snapshot, known.now, request.format, page);
        Answer { status: 200, kind: request.format.content_type(), more: &[("Vary", "Accept")] }
    }),
    ("/api/status", |_, known, page| {
        json::status(known.snapshot, known.now, page);
        Answer { status: 200, kind: "application/json", more: &[] }
    }),
    ("/api/history", past),
    ("/healthz", |_, known, page| {
        if known.snapshot.header.is_fresh(known.now) {
            page.text("ok\n");
            return Answer::plain(200);
        }
        let age = known.snapshot.header.age(known.now).as_secs();
        page.put(format_args!("the daemon has not turned for {age} s\n"));
        Answer::plain(503)
    }),
];

/// Tells what was.
fn past(request: &Request<'_>, known: &Known<'_>, page: &mut Page) -> Answer {
    let told = history::Query::parse(request.query).and_then(|query| {
        let history = known.history.ok_or(history::Refusal::NoHistory)?;
        history::write(history, &query, known.now.wall.as_secs(), page)
    });
    match told {
        Ok(()) => Answer { status: 200, kind: "application/json", more: &[] },
        Err(refusal) => refuse_past(&refusal, page),
    }
}

/// The metric whose picture a path names: `/graph/METRIC.svg`.
fn pictured(path: &[u8]) -> Option<&str> {
    std::str::from_utf8(path.strip_prefix(b"/graph/")?.strip_suffix(b".svg")?).ok()
}

/// Draws what was.
fn graph(metric: &str, request: &Request<'_>, known: &Known<'_>, page: &mut Page) -> Answer {
    let told = history::Query::parse(request.query).and_then(|query| {
        let query = history::Query { metric: Some(metric.to_owned()), ..query };
        let history = known.history.ok_or(history::Refusal::NoHistory)?;
        history::picture(history, &query, known.now.wall.as_secs(), page)
    });
    let more = &[("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")];
    match told {
        Ok(()) => Answer { status: 200, kind: "image/svg+xml", more },
        Err(refusal) => refuse_past(&refusal, page),
    }
}

fn refuse_past(refusal: &history::Refusal, page: &mut Page) -> Answer {
    page.clear();
    page.put(format_args!("{refusal}\n"));
    Answer::plain(match refusal {
        history::Refusal::Malformed | history::Refusal::WhichObject => 400,
        history::Refusal::NoSuchMetric | history::Refusal::NoSuchObject => 404,
        history::Refusal::NoHistory | history::Refusal::Unreadable(_) => 503,
    })
}

/// Answers a request from a copy of the board and from the history.
pub fn answer(request: &Request<'_>, known: &Known<'_>, body: &mut Page) -> Answer {
    if let Some(metric) = pictured(request.path) {
        return graph(metric, request, known, body);
    }
    let Some((_, write)) = PATHS.iter().find(|(path, _)| path.as_bytes() == request.path) else {
        body.text("there is no such page; there are");
        for (path, _) in PATHS {
            body.put(format_args!(" {path}"));
        }
        body.text("\n");
        return Answer::plain(404);
    };
    let answer = write(request, known, body);
    if body.is_overflown() {
        body.clear();
        body.text("this host has more to tell than fits one answer\n");
        return Answer::plain(500);
    }
    answer
}

/// Answers while there is no board to look at.
pub fn trouble(error: &BoardError, body: &mut Page) -> Answer {
    body.put(format_args!("{error}\n"));
    Answer::plain(503)
}

/// Answers a request that is at fault itself.
pub fn refusal(fault: Fault, body: &mut Page) -> Answer {
    let (status, why, more): (_, _, &'static [(&str, &str)]) = match fault {
        Fault::Malformed => (400, "this is not an HTTP request\n", &[]),
        Fault::Method => {
            (405, "only GET and HEAD are answered; nothing can be changed here\n", &[("Allow", "GET, HEAD")])
        }
        Fault::HeadTooLong => (431, "the head of the request is too long\n", &[]),
        Fault::Version => (505, "only HTTP/1.0 and HTTP/1.1 are spoken\n", &[]),
    };
    body.text(why);
    Answer { status, kind: PLAIN, more }
}

/// Writes the whole answer, head and body.
pub fn print(answer: &Answer, shape: Shape, body: &Page, page: &mut Page) {
    let start = page.len();
    let fixed = [("Content-Type", answer.kind), ("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff")];
    let server = [("Server", concat!("watchd/", env!("CARGO_PKG_VERSION")))];
    let headers = fixed
        .iter()
        .chain(&server)
        .chain(answer.more)
        .filter_map(|(name, value)| Header::from_bytes(name.as_bytes(), value.as_bytes()).ok())
        .collect();
    let data: &mut dyn Read = &mut body.bytes();
    let response = Response::new(StatusCode(answer.status), headers, data, Some(body.len()), None)
        .with_chunked_threshold(usize::MAX);
    // Writing fails only when the page is full, and the page remembers that.
    let _ = response.raw_print(&mut *page, HTTPVersion(1, 1), &[], shape.is_head_only, None);
    if shape.is_last {
        let line = page.bytes().get(start..).and_then(|text| text.iter().position(|byte| *byte == b'\n'));
        page.insert(start + line.map_or(0, |end| end + 1), b"Connection: close\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_head_is_found_wherever_it_is_cut() {
        for (text, expect) in [
            (&b"GET / HTTP/1.1\r\n\r\n"[..], Some(18)),
            (b"GET / HTTP/1.1\n\nrest", Some(16)),
            (b"GET / HTTP/1.1\r\nA: b\r\n\r\nGET", Some(24)),
            (b"GET / HTTP/1.1\r\n\r", None),
            (b"", None),
        ] {
            for searched in 0..text.len().min(expect.unwrap_or(text.len())) {
                assert_eq!(head_end(text, searched), expect, "{text:?} from {searched}");
            }
        }
    }

    #[test]
    fn requests_are_understood_or_refused() {
        let ok = |target: &'static [u8], is_head_only, is_last| {
            let (path, query) = path(target);
            Ok(Request { path, query, format: Format::Text, shape: Shape { is_head_only, is_last } })
        };
        for (head, expect) in [
            ("GET / HTTP/1.1\r\n\r\n", ok(b"/", false, false)),
            ("HEAD /metrics?x=1 HTTP/1.1\r\nHost: a\r\n\r\n", ok(b"/metrics?x=1", true, false)),
            ("GET http://a.b/metrics HTTP/1.1\r\n\r\n", ok(b"/metrics", false, false)),
            ("GET http://a.b HTTP/1.1\r\n\r\n", ok(b"/", false, false)),
            ("GET / HTTP/1.0\r\n\r\n", ok(b"/", false, true)),
            ("GET / HTTP/1.1\r\nConnection: x, Close\r\n\r\n", ok(b"/", false, true)),
            ("GET / HTTP/1.1\r\nContent-Length: 5\r\n\r\n", ok(b"/", false, true)),
            ("GET / HTTP/1.1\r\nContent-Length: 0\r\n\r\n", ok(b"/", false, false)),
            ("GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", ok(b"/", false, true)),
            ("POST / HTTP/1.1\r\n\r\n", Err(Fault::Method)),
            ("get / HTTP/1.1\r\n\r\n", Err(Fault::Method)),
            ("GET / HTTP/2.0\r\n\r\n", Err(Fault::Version)),
            ("GET /\r\n\r\n", Err(Fault::Malformed)),
            ("GET / HTTP/1.1\r\nA b\r\n\r\n", Err(Fault::Malformed)),
            ("\u{1}\r\n\r\n", Err(Fault::Malformed)),
        ] {
            assert_eq!(parse(head.as_bytes()), expect, "{head:?}");
        }
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(HEADERS_MAX + 1));
        assert_eq!(parse(many.as_bytes()), Err(Fault::HeadTooLong));
    }

    #[test]
    fn no_cut_of_a_head_is_more_than_malformed() {
        let head = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: text/plain\r\nConnection: close\r\n\r\n";
        for cut in 0..head.len() {
            assert!(parse(&head[..cut]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn a_last_answer_says_so_and_a_head_has_no_body() {
        let (mut body, mut page) = (Page::new(100), Page::new(1000));
        body.text("hello");
        print(&Answer::plain(200), Shape::LAST, &body, &mut page);
        let text = String::from_utf8(page.bytes().to_vec()).expect("the answer is text");
        assert!(text.starts_with("HTTP/1.1 200 OK\r\nConnection: close\r\n"), "{text}");
        assert!(text.contains("Content-Length: 5\r\n") && text.ends_with("\r\n\r\nhello"), "{text}");
        page.clear();
        print(&Answer::plain(200), Shape { is_head_only: true, is_last: false }, &body, &mut page);
        let text = String::from_utf8(page.bytes().to_vec()).expect("the answer is text");
        assert!(text.contains("Content-Length: 5\r\n") && text.ends_with("\r\n\r\n"), "{text}");
        assert!(!text.contains("Connection: close"), "{text}");
    }
}
