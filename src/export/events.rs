//! What happened, as JSON, schema 1: `/api/events` from the journal (the newest 4096), or from the board (64) when there is none.
//!
//! ```text
//! {"schema":1,"newest":812,"events":[{"number":812,"at":"2026-01-31T08:05:09Z","kind":"service-died","severity":"warning",
//!  "subject":"web","text":"killed by signal 9 after 12 s"}]}
//! ```
//!
//! Oldest first. `last` bounds how many, `about` names a service, promise or class, `after` is a number that is known already,
//! `since` a time back from now.

use std::fmt;
use std::time::Duration;

use super::json::Event;
use super::{Page, history};
use crate::model::Now;
use crate::store::board::text;
use crate::store::journal::{CAPACITY, JournalReader};
use crate::store::{EventRow, Snapshot};

/// The most events of one answer, and how many when nobody says.
pub const MOST: usize = 300;
const USUAL: usize = 100;

/// What is asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    pub last: usize,
    pub about: Option<String>,
    pub after: u64,
    /// Seconds back from now.
    pub since: Option<u64>,
}

impl Default for Query {
    fn default() -> Self {
        Self { last: USUAL, about: None, after: 0, since: None }
    }
}

/// The question cannot be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

impl fmt::Display for Malformed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "cannot understand the question: ask ?last=100&about=NAME&after=NUMBER&since=24h, last at most {MOST}"
        )
    }
}

impl std::error::Error for Malformed {}

impl Query {
    /// Understands the query of a URL.
    pub fn parse(query: &[u8]) -> Result<Self, Malformed> {
        let mut asked = Self::default();
        for (key, value) in history::parts(query) {
            let value = value.and_then(|value| String::from_utf8(value).ok()).ok_or(Malformed)?;
            match key {
                b"last" => {
                    let last = value.parse().ok().filter(|last| (1..=MOST).contains(last));
                    asked.last = last.ok_or(Malformed)?;
                }
                b"about" => asked.about = Some(value),
                b"after" => asked.after = value.parse().map_err(|_| Malformed)?,
                b"since" => asked.since = Some(history::seconds(&value).ok_or(Malformed)?),
                _ => return Err(Malformed),
            }
        }
        Ok(asked)
    }

    fn wants(&self, row: &EventRow, now: Now) -> bool {
        let oldest = self.since.map_or(Duration::ZERO, |since| now.wall.saturating_sub(Duration::from_secs(since)));
        row.number > self.after
            && Duration::from_millis(row.wall_ms) >= oldest
            && self.about.as_deref().is_none_or(|about| about == text(&row.subject))
    }
}

/// Where events are found.
#[derive(Clone, Copy)]
pub struct Past<'a> {
    pub snapshot: &'a Snapshot,
    pub journal: Option<&'a JournalReader>,
}

impl Past<'_> {
    pub fn newest(&self) -> u64 {
        self.snapshot.header.events_total
    }

    fn event(&self, number: u64) -> Option<EventRow> {
        let on_board = || self.snapshot.events.iter().find(|row| row.number == number).copied();
        match self.journal {
            Some(journal) => journal.event(number).or_else(on_board),
            None => on_board(),
        }
    }

    /// The numbers of the newest events that are asked for, newest first.
    fn numbers(&self, query: &Query, now: Now) -> Vec<u64> {
        let newest = self.newest();
        let oldest = newest.saturating_sub(CAPACITY).max(query.after);
        let found =
            (oldest + 1..=newest).rev().filter(|number| self.event(*number).is_some_and(|row| query.wants(&row, now)));
        found.take(query.last).collect()
    }

    /// Gives what is asked for, oldest first.
    pub fn each(&self, query: &Query, now: Now, give: &mut dyn FnMut(&EventRow)) {
        for number in self.numbers(query, now).into_iter().rev() {
            if let Some(row) = self.event(number) {
                give(&row);
            }
        }
    }

    /// The same as members of a list.
    pub fn list(&self, query: &Query, now: Now, page: &mut Page) {
        let mut comma = "";
        self.each(query, now, &mut |row| {
            page.text(comma);
            comma = ",";
            let _ = serde_json::to_writer(&mut *page, &Event::new(row));
        });
    }
}

/// Answers a question.
pub fn write(past: Past<'_>, query: &Query, now: Now, page: &mut Page) {
    page.put(format_args!("{{\"schema\":1,\"newest\":{},\"events\":[", past.newest()));
    past.list(query, now, page);
    page.text("]}\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::EventKind;
    use crate::scratch::Scratch;
    use crate::store::Header;
    use crate::store::board::fixed;
    use crate::store::journal::Journal;
    use zerocopy::FromZeros;

    const NOW: Now = Now { mono: Duration::ZERO, wall: Duration::from_secs(10_000) };

    #[test]
    fn questions_are_understood_or_refused() {
        assert_eq!(Query::parse(b""), Ok(Query::default()));
        let expect = Query { last: 7, about: Some("a b/ä".to_owned()), after: 3, since: Some(86_400) };
        assert_eq!(Query::parse("last=7&about=a+b%2Fä&after=3&since=1d".as_bytes()), Ok(expect));
        for bad in
            ["last=0", "last=301", "last=x", "after=-1", "since=1", "about=%ff", "about=%0", "x=1", "last", "last=%00"]
        {
            assert_eq!(Query::parse(bad.as_bytes()), Err(Malformed), "{bad}");
        }
    }

    /// Twelve events of two subjects, one second apart, in a journal and, the newest three, on the board.
    fn numbers(query: &str, with_journal: bool) -> Vec<u64> {
        let scratch = Scratch::new();
        let path = scratch.join("events");
        let (mut journal, _) = Journal::open(&path).expect("it opens");
        let mut snapshot = Snapshot::default();
        for number in 1..=12_u64 {
            let subject = fixed(if number % 3 == 0 { "db" } else { "web" });
            let wall_ms = 9_988_000 + number * 1000;
            let mut row = EventRow { kind: EventKind::Report.byte(), subject, wall_ms, ..EventRow::new_zeroed() };
            journal.append(&mut row).expect("it is written");
            if number > 9 {
                snapshot.events.push(row);
            }
        }
        snapshot.header = Header { events_total: 12, ..Header::default() };
        let reader = JournalReader::of(journal.file().try_clone().expect("there are descriptors"));
        let past = Past { snapshot: &snapshot, journal: with_journal.then_some(&reader) };
        let mut page = Page::new(Page::LIMIT);
        write(past, &Query::parse(query.as_bytes()).expect("it is well-formed"), NOW, &mut page);
        let document: serde_json::Value = serde_json::from_slice(page.bytes()).expect("it is JSON");
        assert_eq!((&document["schema"], &document["newest"]), (&1.into(), &12.into()));
        document["events"].as_array().expect("a list").iter().filter_map(|event| event["number"].as_u64()).collect()
    }

    #[test]
    fn the_newest_that_are_asked_for_come_oldest_first() {
        for (query, expect) in [
            ("", (1..=12).collect::<Vec<u64>>()),
            ("last=2", vec![11, 12]),
            ("about=db&last=3", vec![6, 9, 12]),
            ("about=nobody", vec![]),
            ("after=10", vec![11, 12]),
            ("after=99", vec![]),
            ("since=2s", vec![10, 11, 12]),
        ] {
            assert_eq!(numbers(query, true), expect, "{query}");
        }
        assert_eq!(numbers("", false), [10, 11, 12], "without a journal the board must do");
    }
}
