//! HTTP/1: a request's head to an answer. GET and HEAD only, no bodies, nothing that changes anything.
//!
//! Heads are parsed by httparse, answers are printed by tiny_http's `Response`; nothing a client sent goes into an answer. What there
//! is to be asked for stands in `pages.rs`. An answer that the client has already is not sent again, and is packed for who can unpack.

use std::fmt;

use tiny_http::{HTTPVersion, Header, Response, StatusCode};

use super::accept::{Packing, Taken};
use crate::export::assets::Asset;
use crate::export::openmetrics::Format;
use crate::export::{Page, gzip};

/// The longest head.
pub const HEAD_MAX: usize = 8 << 10;

/// The longest target: what is longer names nothing of ours.
const TARGET_MAX: usize = 2 << 10;

/// More headers than this are refused.
const HEADERS_MAX: usize = 64;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    pub path: &'a [u8],
    pub query: &'a [u8],
    pub format: Format,
    packing: Packing,
    /// The tags of what the client has already.
    seen: &'a [u8],
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
    /// Of the refusal of what begins like this.
    pub fn last(head: &[u8]) -> Self {
        Self { is_head_only: head.starts_with(b"HEAD "), is_last: true }
    }
}

/// What is wrong with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Malformed,
    Method,
    HeadTooLong,
    TargetTooLong,
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
    let (mut taken, mut seen) = (Taken::default(), &b""[..]);
    // HTTP/1.0 keeps a connection on request only, and nobody here asks.
    let mut is_last = parsed.version != Some(1);
    for header in parsed.headers.iter() {
        if header.name.eq_ignore_ascii_case("accept") {
            taken.types(header.value);
        } else if header.name.eq_ignore_ascii_case("connection") {
            is_last |= has_word(header.value, b"close");
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            is_last = true;
        } else if header.name.eq_ignore_ascii_case("content-length") {
            // A body would be read as the next request.
            is_last |= header.value.trim_ascii() != b"0";
        } else if header.name.eq_ignore_ascii_case("accept-encoding") {
            taken.codings(header.value);
        } else if header.name.eq_ignore_ascii_case("if-none-match") {
            seen = header.value;
        }
    }
    let target = parsed.path.unwrap_or_default().as_bytes();
    if target.len() > TARGET_MAX {
        return Err(Fault::TargetTooLong);
    }
    let (path, query) = path(target);
    let (format, packing) = (taken.format(), taken.packing());
    Ok(Request { path, query, format, packing, seen, shape: Shape { is_head_only, is_last } })
}

fn has_word(list: &[u8], word: &[u8]) -> bool {
    list.split(|byte| *byte == b',').any(|part| part.trim_ascii().eq_ignore_ascii_case(word))
}

/// Path and query of a target with or without host.
fn path(target: &[u8]) -> (&[u8], &[u8]) {
    let target = target.split(|byte| *byte == b'#').next().unwrap_or_default();
    let begins = |scheme: &&[u8]| target.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
    let scheme = [&b"http://"[..], b"https://"].into_iter().find(begins).unwrap_or_default();
    let rest = target.get(scheme.len()..).unwrap_or_default();
    let host = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
    let rest = rest.get(if scheme.is_empty() { 0 } else { host }..).unwrap_or_default();
    let mut halves = rest.splitn(2, |byte| *byte == b'?');
    let path = halves.next().unwrap_or_default();
    (if path.is_empty() { b"/" } else { path }, halves.next().unwrap_or_default())
}

/// Status, type and further headers; the body stands in a page of its own, unless it is stored.
#[derive(Clone, Copy)]
pub struct Answer {
    pub status: u16,
    pub kind: &'static str,
    pub more: &'static [(&'static str, &'static str)],
    /// What tells this answer from another of the same address; by default made from the body.
    pub tag: Option<u64>,
    pub stored: Option<&'static Asset>,
    /// The address names this very answer: it may be kept for ever.
    pub is_final: bool,
}

pub const PLAIN: &str = "text/plain; charset=utf-8";

impl Answer {
    pub const fn new(status: u16, kind: &'static str) -> Self {
        Self { status, kind, more: &[], tag: None, stored: None, is_final: false }
    }

    pub const fn plain(status: u16) -> Self {
        Self::new(status, PLAIN)
    }
}

/// Answers a request that is at fault itself.
pub fn refusal(fault: Fault, body: &mut Page) -> Answer {
    let (status, why, more): (_, _, &'static [(&str, &str)]) = match fault {
        Fault::Malformed => (400, "this is not an HTTP request\n", &[]),
        Fault::Method => {
            (405, "only GET and HEAD are answered; nothing can be changed here\n", &[("Allow", "GET, HEAD")])
        }
        Fault::TargetTooLong => (414, "the address is too long\n", &[]),
        Fault::HeadTooLong => (431, "the head of the request is too long\n", &[]),
        Fault::Version => (505, "only HTTP/1.0 and HTTP/1.1 are spoken\n", &[]),
    };
    body.text(why);
    Answer { more, ..Answer::plain(status) }
}

/// Writes the whole answer in the way the client wants it. The body may be empty afterwards: no more than one form of it is held.
pub fn send(answer: &Answer, request: &Request<'_>, body: &mut Page, page: &mut Page) {
    let (mut answer, shape) = (*answer, request.shape);
    if answer.status != 200 {
        return print(&answer, shape, body.bytes(), page);
    }
    let tag = answer.tag.or_else(|| answer.stored.map(Asset::tag));
    let tag = tag.unwrap_or_else(|| u64::from(crc32fast::hash(body.bytes())) | (body.len() as u64) << 32);
    answer.tag = Some(tag);
    if is_seen(request.seen, tag) {
        return print(&Answer { status: 304, ..answer }, shape, b"", page);
    }
    let start = page.len();
    match answer.stored {
        Some(_) if request.packing == Packing::None => {
            let why = b"this is stored packed; it is sent to clients that accept gzip\n";
            print(&Answer::plain(406), shape, why, page);
        }
        Some(stored) => {
            page.push(head(&answer, shape, (stored.packed.len(), true)).bytes());
            page.push(if shape.is_head_only { b"" } else { stored.packed });
        }
        None if request.packing == Packing::Gzip && body.len() >= gzip::WORTH => {
            gzip::pack(body.bytes(), page);
            body.shrink(0);
            let head = head(&answer, shape, (page.len() - start, true));
            if shape.is_head_only {
                page.truncate(start);
            }
            page.insert(start, head.bytes());
        }
        // A long body is not copied: it gets its head and becomes the page.
        None if start == 0 && !shape.is_head_only => {
            body.insert(0, head(&answer, shape, (body.len(), false)).bytes());
            std::mem::swap(body, page);
        }
        None => print(&answer, shape, body.bytes(), page),
    }
}

/// Whether a list of tags has this one. The same content packed and plain has the same: it is a weak tag.
fn is_seen(list: &[u8], tag: u64) -> bool {
    let mut ours = heapless::String::<20>::new();
    let _ = fmt::Write::write_fmt(&mut ours, format_args!("\"{tag:x}\""));
    let mut parts = list.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    parts.any(|part| part == b"*" || part.strip_prefix(b"W/").unwrap_or(part) == ours.as_bytes())
}

/// Writes the whole answer, head and body.
pub fn print(answer: &Answer, shape: Shape, body: &[u8], page: &mut Page) {
    page.push(head(answer, shape, (body.len(), false)).bytes());
    page.push(if shape.is_head_only { b"" } else { body });
}

/// More than any head of ours has.
const OUR_HEAD_MAX: usize = 4 << 10;

/// Everything before a body of so many bytes.
fn head(answer: &Answer, shape: Shape, (len, is_packed): (usize, bool)) -> Page {
    let mut page = Page::new(OUR_HEAD_MAX);
    let keeping = match answer {
        Answer { is_final: true, .. } => "public, max-age=31536000, immutable",
        Answer { tag: Some(_), .. } => "no-cache",
        _ => "no-store",
    };
    let fixed = [("Content-Type", answer.kind), ("Cache-Control", keeping), ("X-Content-Type-Options", "nosniff")];
    let server = [("Server", concat!("watchd/", env!("CARGO_PKG_VERSION")))];
    let packed = [("Content-Encoding", "gzip")];
    let header = |(name, value): &(&str, &str)| Header::from_bytes(name.as_bytes(), value.as_bytes()).ok();
    let mut headers: Vec<Header> = fixed.iter().chain(&server).chain(answer.more).filter_map(header).collect();
    headers.extend(packed.iter().filter(|_| is_packed).filter_map(header));
    if let Some(tag) = answer.tag {
        headers.extend(header(&("ETag", &format!("W/\"{tag:x}\""))));
        headers.extend(header(&("Vary", "Accept, Accept-Encoding")));
    }
    let response = Response::new(StatusCode(answer.status), headers, std::io::empty(), Some(len), None)
        .with_chunked_threshold(usize::MAX);
    // Writing fails only when the page is full, and the page remembers that.
    let _ = response.raw_print(&mut page, HTTPVersion(1, 1), &[], true, None);
    // The last line tells a length, which would be taken for that of what the client has.
    let length = b"\r\nContent-Length: ";
    if answer.status == 304
        && let Some(place) = page.bytes().windows(length.len()).position(|part| part == length)
    {
        page.truncate(place);
        page.text("\r\n\r\n");
    }
    if shape.is_last {
        let line = page.bytes().iter().position(|byte| *byte == b'\n');
        page.insert(line.map_or(0, |end| end + 1), b"Connection: close\r\n");
    }
    page
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
            let (format, packing, seen) = (Format::Text, Packing::Unsaid, &b""[..]);
            Ok(Request { path, query, format, packing, seen, shape: Shape { is_head_only, is_last } })
        };
        for (head, expect) in [
            ("GET / HTTP/1.1\r\n\r\n", ok(b"/", false, false)),
            ("HEAD /metrics?x=1 HTTP/1.1\r\nHost: a\r\n\r\n", ok(b"/metrics?x=1", true, false)),
            ("GET http://a.b/metrics HTTP/1.1\r\n\r\n", ok(b"/metrics", false, false)),
            ("GET http://a.b HTTP/1.1\r\n\r\n", ok(b"/", false, false)),
            ("GET HTTPS://a.b/metrics HTTP/1.1\r\n\r\n", ok(b"/metrics", false, false)),
            ("GET http://a.b?x=/metrics HTTP/1.1\r\n\r\n", ok(b"/?x=/metrics", false, false)),
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
        let long = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(TARGET_MAX));
        assert_eq!(parse(long.as_bytes()), Err(Fault::TargetTooLong));
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
    fn packing_is_what_the_client_can_undo() {
        for (list, expect) in [
            ("gzip, deflate, br", Packing::Gzip),
            ("br;q=1.0, GZIP;q=0.8", Packing::Gzip),
            ("*", Packing::Gzip),
            ("gzip;q=0", Packing::None),
            ("gzip; q=0.000, br", Packing::None),
            ("gzip;q=0.01", Packing::Gzip),
            ("x-gzip", Packing::Gzip),
            ("gzip;q=0, *", Packing::None),
            ("*, gzip;q=0", Packing::None),
            ("gzip;Q=0.0", Packing::None),
            ("gzip, *;q=0", Packing::Gzip),
            ("*;q=0", Packing::None),
            ("br\r\nAccept-Encoding: gzip", Packing::Gzip),
            ("gzip\r\nAccept-Encoding: br", Packing::Gzip),
            ("identity", Packing::None),
            ("", Packing::None),
        ] {
            let head = format!("GET / HTTP/1.1\r\nAccept-Encoding: {list}\r\n\r\n");
            assert_eq!(parse(head.as_bytes()).map(|request| request.packing), Ok(expect), "{list}");
        }
    }

    #[test]
    fn the_format_is_what_the_scraper_asks_for() {
        let openmetrics = "application/openmetrics-text";
        for (list, expect) in [
            (
                format!("{openmetrics};version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1"),
                Format::OpenMetrics,
            ),
            (format!("text/plain;q=0.5\r\nAccept: {openmetrics}"), Format::OpenMetrics),
            (format!("{}, */*", openmetrics.to_uppercase()), Format::OpenMetrics),
            (format!("text/plain, {openmetrics};q=0.5"), Format::Text),
            (format!("{openmetrics};q=0"), Format::Text),
            (format!("{openmetrics};q=0, */*"), Format::Text),
            (format!("{openmetrics}ual"), Format::Text),
            ("*/*".to_owned(), Format::Text),
            (String::new(), Format::Text),
        ] {
            let head = format!("GET / HTTP/1.1\r\nAccept: {list}\r\n\r\n");
            assert_eq!(parse(head.as_bytes()).map(|request| request.format), Ok(expect), "{list}");
        }
    }

    #[test]
    fn a_tag_is_known_again_in_any_list() {
        for (list, expect) in [
            (&b"\"2a\""[..], true),
            (b"W/\"2a\"", true),
            (b"\"1\", W/\"2a\"", true),
            (b"*", true),
            (b"\"2A\"", false),
            (b"2a", false),
            (b"", false),
        ] {
            assert_eq!(is_seen(list, 42), expect, "{list:?}");
        }
    }

    /// What is sent of 2,000 bytes to somebody who asks like this.
    fn sent(head: &str) -> String {
        let (mut body, mut page) = (Page::new(4000), Page::new(8000));
        body.text(&"0123456789".repeat(200));
        let request = parse(head.as_bytes()).expect("it is well-formed");
        send(&Answer::new(200, "application/json"), &request, &mut body, &mut page);
        String::from_utf8_lossy(page.bytes()).into_owned()
    }

    #[test]
    fn what_is_known_is_not_sent_and_what_is_long_is_packed() {
        let plain = sent("GET / HTTP/1.1\r\n\r\n");
        assert!(plain.contains("Content-Length: 2000\r\n") && plain.contains("Cache-Control: no-cache\r\n"), "{plain}");
        let tag = plain.lines().find_map(|line| line.strip_prefix("ETag: ")).expect("it has a tag");
        let packed = sent("GET / HTTP/1.1\r\nAccept-Encoding: gzip\r\n\r\n");
        assert!(
            packed.contains("Content-Encoding: gzip\r\n") && packed.contains(tag) && packed.len() < 600,
            "{packed}"
        );
        let known = sent(&format!("GET / HTTP/1.1\r\nAccept-Encoding: gzip\r\nIf-None-Match: {tag}\r\n\r\n"));
        assert!(known.starts_with("HTTP/1.1 304 ") && known.ends_with("\r\n\r\n") && known.contains(tag), "{known}");
        // Nothing was said about how long it is: 0 would be the length of what the client has.
        assert!(!known.contains("Content-Length") && !known.contains("Transfer-Encoding"), "{known}");
    }

    #[test]
    fn a_last_answer_says_so_and_a_head_has_no_body() {
        let (mut body, mut page) = (Page::new(100), Page::new(1000));
        body.text("hello");
        print(&Answer::plain(200), Shape::last(b"GET /"), body.bytes(), &mut page);
        let text = String::from_utf8(page.bytes().to_vec()).expect("the answer is text");
        assert!(text.starts_with("HTTP/1.1 200 OK\r\nConnection: close\r\n"), "{text}");
        assert!(text.contains("Content-Length: 5\r\n") && text.ends_with("\r\n\r\nhello"), "{text}");
        page.clear();
        print(&Answer::plain(200), Shape { is_head_only: true, is_last: false }, body.bytes(), &mut page);
        let text = String::from_utf8(page.bytes().to_vec()).expect("the answer is text");
        assert!(text.contains("Content-Length: 5\r\n") && text.ends_with("\r\n\r\n"), "{text}");
        assert!(!text.contains("Connection: close"), "{text}");
    }
}
