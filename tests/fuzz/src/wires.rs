//! What others send: Munin masters, HTTP clients, commands on the control socket, checked servers, pidfiles.

use std::cell::RefCell;
use std::time::Duration;

use watchd::door::{http, pages};
use watchd::engine::checks::reply::Reply;
use watchd::engine::control::Request;
use watchd::export::Page;
use watchd::export::events;
use watchd::export::history::Query;
use watchd::export::munin::{Facts, Next, Session};
use watchd::export::usual::Lessons;
use watchd::model::Http;
use watchd::store::Snapshot;
use watchd::supervisor::parse_pidfile;

use crate::board;

/// A conversation: each line gets an answer that ends as the protocol says, or the end.
pub fn munin(input: &[u8]) {
    thread_local! { static ROOM: RefCell<(Snapshot, Page)> = RefCell::new((board::sound(), Page::new(Page::LIMIT))); }
    ROOM.with_borrow_mut(|(snapshot, page)| {
        let facts = Facts::new(snapshot, board::NOW);
        let mut session = Session::default();
        for line in input.split(|byte| *byte == b'\n') {
            page.clear();
            if session.line(line, "host.example", &facts, page) == Next::Close {
                return;
            }
            assert!(page.bytes().ends_with(b"\n"), "an answer without an end");
            assert!(!page.is_overflown());
        }
    });
}

/// A head and its answer, as the door gives it.
pub fn http(input: &[u8]) {
    thread_local! { static ROOM: RefCell<(Snapshot, Page)> = RefCell::new((board::sound(), Page::new(Page::LIMIT))); }
    let whole = http::head_end(input, 0);
    for searched in [1, input.len() / 2, input.len()] {
        assert!(http::head_end(input, searched).is_none_or(|end| Some(end) >= whole), "an end before the first");
    }
    let Some(head) = whole.and_then(|end| input.get(..end)) else { return };
    let Ok(request) = http::parse(head) else { return };
    ROOM.with_borrow_mut(|(snapshot, page)| {
        page.clear();
        let lessons = Lessons { book: None, week_second: |_| 0 };
        let known = pages::Known { snapshot, history: None, lessons, journal: None, now: board::NOW };
        let answer = pages::answer(&request, &known, page);
        let mut whole = Page::new(Page::LIMIT);
        http::send(&answer, &request, page, &mut whole);
        assert!(whole.bytes().starts_with(b"HTTP/1.1 "), "an answer without a status");
    });
}

pub fn query(input: &[u8]) {
    if let Ok(query) = Query::parse(input) {
        assert!((2..=2000).contains(&query.points));
        let span = query.span(1 << 40);
        assert!(span.from < span.to, "nothing lasts so long");
    }
    if let Ok(query) = events::Query::parse(input) {
        assert!((1..=events::MOST).contains(&query.last));
    }
}

/// What is understood says the same again when it is written down.
pub fn control(input: &[u8]) {
    if let Ok(request) = Request::parse(input) {
        let again = format!("{request}\n");
        assert_eq!(Request::parse(again.as_bytes()), Ok(request));
    }
}

/// An answer that comes in two pieces means what it means in one. The first byte says where it is cut.
pub fn reply(input: &[u8]) {
    let Some((cut, text)) = input.split_first() else { return };
    let address = "127.0.0.1:80".parse().expect("an address");
    let asked = Http {
        address,
        path: "/".to_owned(),
        status: (200, 299),
        header: Some(("x-state".to_owned(), "fine".to_owned())),
        contains: Some("all is well".to_owned()),
    };
    let (one, two) = text.split_at(usize::from(*cut).min(text.len()));
    let verdict = |pieces: &[&[u8]]| {
        let mut reply = Reply::default();
        let early = pieces.iter().find_map(|piece| reply.take(piece, &asked));
        early.unwrap_or_else(|| reply.end(&asked))
    };
    assert_eq!(verdict(&[text]), verdict(&[one, two]));
}

pub fn pidfile(input: &[u8]) {
    let _ = parse_pidfile(input, Duration::ZERO);
}
