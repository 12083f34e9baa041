//! `watchd shadow`: what promises would have done where they might only warn, counted from the journal.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use super::given::Given;
use super::quantity::{plain, stamp};
use crate::config::Scalar;
use crate::model::{EventKind, Places};
use crate::store::EventRow;
use crate::store::board::text;
use crate::store::journal::JournalReader;
use crate::sys::clock;

/// How far back it looks when nothing is said.
const SINCE: Duration = Duration::from_secs(7 * 86_400);

/// What one promise would have done.
#[derive(Debug, Default, PartialEq, Eq)]
struct Would {
    times: u64,
    /// The number of the newest event.
    number: u64,
    at_ms: u64,
    what: String,
}

pub fn run(places: &Places, given: &Given) -> ExitCode {
    if let Some(word) = given.words.first() {
        return super::wrong(&format!("cannot understand `{}`: shadow takes no name", word.escape_debug()));
    }
    let since = match given.value("since").map(|time| <Duration as Scalar>::parse(time).ok_or(time)).transpose() {
        Ok(since) => since.unwrap_or(SINCE),
        Err(time) => {
            return super::wrong(&format!("cannot understand `--since {}`: write 30m, 6h or 7d", time.escape_debug()));
        }
    };
    let rows = match JournalReader::open(&places.events()) {
        Ok(journal) => journal.last(u64::MAX),
        Err(error) => return super::failed(&format!("cannot read {}: {error}", places.events().display())),
    };
    let from = u64::try_from(clock::now().wall.saturating_sub(since).as_millis()).unwrap_or(u64::MAX);
    super::say(&page(&count(&rows, from)));
    ExitCode::SUCCESS
}

/// What each promise would have done since `from`. An event carries the number so far, which begins anew with the daemon.
fn count(rows: &[EventRow], from: u64) -> BTreeMap<String, Would> {
    let mut all: BTreeMap<String, Would> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.kind() == EventKind::PromiseWould) {
        let Some((name, rest)) = text(&row.text).split_once(" #") else { continue };
        let Some((number, what)) = rest.split_once(": ") else { continue };
        let Ok(number) = number.parse::<u64>() else { continue };
        let would = all.entry(name.to_owned()).or_default();
        if row.wall_ms >= from {
            would.times += if number > would.number { number - would.number } else { number };
            (would.at_ms, would.what) = (row.wall_ms, what.to_owned());
        }
        would.number = number;
    }
    all.retain(|_, would| would.times > 0);
    all
}

fn page(all: &BTreeMap<String, Would>) -> String {
    if all.is_empty() {
        return "nothing would have been done\n".to_owned();
    }
    let mut page = String::new();
    let kinds = [
        ("process", "restarts"),
        ("command", "commands"),
        ("file", "edits"),
        ("report", "reports"),
        ("measure", "programs that measure"),
    ];
    for (kind, what) in kinds {
        let of_kind = || all.iter().filter(|(name, _)| name.split(' ').next() == Some(kind));
        let times: u64 = of_kind().map(|(_, would)| would.times).sum();
        if times > 0 {
            page.push_str(&format!("{times} {what}\n"));
        }
        for (name, would) in of_kind() {
            let (name, what) = (plain(name), plain(&would.what));
            page.push_str(&format!("  {:>5} times  {name}, last {}: {what}\n", would.times, stamp(would.at_ms)));
        }
    }
    page
}

#[cfg(test)]
mod tests {
    use zerocopy::FromZeros;

    use super::*;
    use crate::store::board::fixed;

    fn row(wall_ms: u64, what: &str) -> EventRow {
        let kind = EventKind::PromiseWould.byte();
        EventRow { wall_ms, kind, text: fixed(what), ..EventRow::new_zeroed() }
    }

    #[test]
    fn numbers_of_several_runs_add_up() {
        let rows = [
            row(10, "command clean #1: would run x"),
            row(20, "command clean #31: would run x"),
            row(21, "process web #1: would start it: gone"),
            row(30, "command clean #2: would run x"),
            row(40, "command clean #9: would run y"),
            row(50, "what another version wrote"),
        ];
        for (from, clean, web) in [(0, 40, 1), (20, 39, 1), (30, 9, 0), (41, 0, 0)] {
            let all = count(&rows, from);
            let times = |name: &str| all.get(name).map_or(0, |would| would.times);
            assert_eq!((times("command clean"), times("process web")), (clean, web), "from {from}");
        }
        let page = page(&count(&rows, 0));
        assert!(
            page.starts_with("1 restarts\n") && page.contains("40 commands") && page.contains("would run y"),
            "{page}"
        );
    }
}
