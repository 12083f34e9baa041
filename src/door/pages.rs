//! What there is to be asked for: one row of `PATHS` each, a request to an answer.

use std::borrow::Cow;

use super::http::{Answer, Request};
use crate::export::assets::{self, ASSETS};
use crate::export::usual::Lessons;
use crate::export::{Page, events, history, html, json, openmetrics, why};
use crate::model::Now;
use crate::store::history::HistoryReader;
use crate::store::journal::JournalReader;
use crate::store::{BoardError, Snapshot};

/// What answers are made of.
pub struct Known<'a> {
    pub snapshot: &'a Snapshot,
    pub history: Option<&'a HistoryReader>,
    pub journal: Option<&'a JournalReader>,
    pub lessons: Lessons<'a>,
    pub now: Now,
}

impl Known<'_> {
    fn history(&self) -> Result<history::Past<'_>, history::Refusal> {
        let history = self.history.ok_or(history::Refusal::NoHistory)?;
        Ok(history::Past { history, lessons: self.lessons, now_s: self.now.wall.as_secs() })
    }

    fn past(&self) -> events::Past<'_> {
        events::Past { snapshot: self.snapshot, journal: self.journal }
    }
}

type Write = fn(&Request<'_>, &Known<'_>, &mut Page) -> Answer;

const JSON: Answer = Answer::new(200, "application/json");

/// What can be asked for.
static PATHS: &[(&str, Write)] = &[
    ("/", |_, known, page| {
        html::write(known.snapshot, known.history.is_some(), known.now, page);
        let more = &[("Content-Security-Policy", html::POLICY), ("Referrer-Policy", "no-referrer")];
        Answer { more, ..Answer::new(200, "text/html; charset=utf-8") }
    }),
    ("/metrics", |request, known, page| {
        openmetrics::write(known.snapshot, known.now, request.format, page);
        Answer::new(200, request.format.content_type())
    }),
    ("/api/status", |request, known, page| {
        let Some(after) = after(request.query) else {
            page.text("cannot understand the question: ask ?after=NUMBER to leave out events that are known\n");
            return Answer::plain(400);
        };
        json::status_after(known.snapshot, after, known.now, page);
        JSON
    }),
    ("/api/history", past),
    ("/api/events", |request, known, page| match events::Query::parse(request.query) {
        Ok(query) => {
            events::write(known.past(), &query, known.now, page);
            JSON
        }
        Err(fault) => {
            page.put(format_args!("{fault}\n"));
            Answer::plain(400)
        }
    }),
    ("/api/classes", |_, known, page| {
        why::classes(known.past(), page);
        JSON
    }),
    ("/api/why", |request, known, page| match why::name(request.query) {
        Some(name) if why::write(known.past(), &name, known.now, page) => JSON,
        Some(_) => {
            page.text("no service, promise or class is called that\n");
            Answer::plain(404)
        }
        None => {
            page.text("cannot understand the question: ask ?name=NAME of a service, promise or class\n");
            Answer::plain(400)
        }
    }),
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

/// The number of the newest event that the client knows; none when it is no number.
fn after(query: &[u8]) -> Option<u64> {
    let said = history::parts(query).find(|(key, _)| *key == b"after");
    said.map_or(Some(0), |(_, number)| std::str::from_utf8(&number?).ok()?.parse().ok())
}

/// Tells what was.
fn past(request: &Request<'_>, known: &Known<'_>, page: &mut Page) -> Answer {
    let told = history::Query::parse(request.query).and_then(|query| history::write(&known.history()?, &query, page));
    match told {
        Ok(()) => JSON,
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
        history::picture(&known.history()?, &query, page)
    });
    let more = &[("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")];
    match told {
        Ok(()) => Answer { more, ..Answer::new(200, "image/svg+xml") },
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

/// A path in which `%6d` is `m`. What would not be the same address unescaped (`%2F`, `%00`) stays as it is.
fn unescaped(path: &[u8]) -> Cow<'_, [u8]> {
    if !path.contains(&b'%') {
        return Cow::Borrowed(path);
    }
    let (mut bytes, mut rest) = (Vec::new(), path);
    while let [first, more @ ..] = rest {
        let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let meant = match more {
            [high, low, ..] if *first == b'%' => digit(high).zip(digit(low)).map(|(high, low)| high * 16 + low),
            _ => None,
        };
        let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
        let (byte, taken) = meant.filter(is_plain).map_or((*first, 1), |byte| (byte, 3));
        bytes.push(byte);
        rest = rest.get(taken..).unwrap_or_default();
    }
    Cow::Owned(bytes)
}

/// Answers a request from a copy of the board and from the history.
pub fn answer(request: &Request<'_>, known: &Known<'_>, body: &mut Page) -> Answer {
    let path = &*unescaped(request.path);
    if let Some(metric) = pictured(path) {
        return graph(metric, request, known, body);
    }
    if let Some(asset) = ASSETS.iter().find(|asset| asset.path.as_bytes() == path) {
        let is_final = request.query == assets::version(asset).as_bytes();
        return Answer { stored: Some(asset), is_final, ..Answer::new(200, asset.kind) };
    }
    let Some((_, write)) = PATHS.iter().find(|(own, _)| own.as_bytes() == path) else {
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
