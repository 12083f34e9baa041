//! `[freshness.ID]`: whether the newest of some files is new enough, large enough, and not suddenly smaller than those before.
//!
//! Remembered are the sizes of the last `SIZES` that were the newest. One that was written within the last two minutes may still be
//! growing: it counts as new, but its size is not judged.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::census::Census;
use super::fault::Fault;
use super::memory::Memory;
use super::sober::is_sober;
use super::target::Target;
use crate::model::{FreshPlace, FreshWork, Mark, Marks, Now, Outcome, Tended};
use crate::sys::tree::Facts;

/// Sizes that make the median.
const SIZES: usize = 11;
/// So many must be known before one can be too small beside them.
const ENOUGH: usize = 3;
/// How long after its last change a file may still be growing.
const SETTLED: Duration = Duration::from_secs(120);
/// A time so far in the future is a fault, not a clock that differs a little.
const FUTURE: Duration = Duration::from_secs(300);

/// The newest files so far.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Past {
    sizes: Vec<u64>,
    /// Which one was counted last.
    last: Option<(u64, Duration)>,
}

pub fn fresh(id: &str, work: &FreshWork, memory: &Memory, now: Now) -> Tended {
    if !is_sober(memory, now) {
        let text = "the clock has jumped: ages are not told until it has run steadily for an hour";
        return Tended::new(Outcome::Unknown, text);
    }
    let found = newest(work).and_then(|found| Ok((found, marker(work)?)));
    let (newest, marker) = match found {
        Ok(found) => found,
        Err(fault) => {
            // Whatever is not there is not fresh either; what cannot be looked at is unknown.
            let is_missing =
                matches!(&fault, Fault::System { error, .. } if error.kind() == std::io::ErrorKind::NotFound);
            let outcome = if is_missing { Outcome::Failed } else { Outcome::Unknown };
            let marks = Marks::default().with(Mark::Stale, is_missing);
            return Tended { marks, ..Tended::new(outcome, fault.to_string()) };
        }
    };
    let name = format!("{id}.sizes");
    let mut past: Past = memory.load(&name).unwrap_or_default();
    let before = past.clone();
    let tended = judge(work, &mut past, (newest.as_ref(), marker), now);
    if past != before {
        // Without it the next look knows less, and says so by itself.
        let _ = memory.save(&name, &past);
    }
    tended
}

/// The newest file, with its name.
fn newest(work: &FreshWork) -> Result<Option<(String, Facts)>, Fault> {
    match &work.place {
        FreshPlace::Nowhere => Ok(None),
        FreshPlace::File(path) => Ok(Target::open(path)?.find()?.map(|found| (path.clone(), found.facts))),
        FreshPlace::Dir(path) => {
            let census = Census::take(path, &work.names, work.depth)?;
            let newest = census.files.into_iter().max_by_key(|entry| entry.facts.modified);
            Ok(newest.map(|entry| (entry.path(), entry.facts)))
        }
    }
}

/// When all was well last, if that is asked for; zero when it never was.
fn marker(work: &FreshWork) -> Result<Option<Duration>, Fault> {
    let Some(path) = &work.marker else { return Ok(None) };
    Ok(Some(Target::open(path)?.find()?.map_or(Duration::ZERO, |found| found.facts.modified)))
}

/// What follows from what was found. Pure.
fn judge(work: &FreshWork, past: &mut Past, found: (Option<&(String, Facts)>, Option<Duration>), now: Now) -> Tended {
    let (newest, marker) = found;
    let mut told = Vec::new();
    let times = newest.map(|(_, facts)| facts.modified).into_iter().chain(marker);
    let oldest = times.min();
    let is_missing = newest.is_none() && work.place != FreshPlace::Nowhere;
    let is_future = oldest.is_some_and(|time| time > now.wall + FUTURE);
    let age = oldest.map(|time| now.wall.saturating_sub(time)).filter(|_| !is_missing);
    let too_old = work.newest.is_some_and(|most| age.is_some_and(|age| age > most));
    if is_missing {
        told.push("there is none".to_owned());
    } else if marker == Some(Duration::ZERO) {
        told.push("its marker is missing".to_owned());
    } else if is_future {
        told.push("it carries a time in the future".to_owned());
    } else if too_old {
        let what = newest.map_or("the marker", |(name, _)| name);
        told.push(format!("the newest is {what}, more than {} old", work.newest.map_or_else(String::new, spoken)));
    }
    let is_stale = !told.is_empty() && (is_missing || too_old || marker == Some(Duration::ZERO));
    let small = newest.and_then(|(name, facts)| too_small(work, past, facts, now).map(|why| format!("{name} {why}")));
    let is_small = small.is_some();
    told.extend(small);
    #[allow(clippy::cast_precision_loss, reason = "a petabyte more or less a byte")]
    let size = newest.map_or(f64::NAN, |(_, facts)| facts.size as f64);
    let outcome = match (is_stale || is_small, is_future) {
        (true, _) => Outcome::Failed,
        (false, true) => Outcome::Unknown,
        (false, false) => Outcome::Kept,
    };
    Tended {
        marks: Marks::default().with(Mark::Stale, is_stale).with(Mark::Small, is_small),
        figures: [age.map_or(f64::NAN, |age| age.as_secs_f64()), size],
        ..Tended::new(outcome, told.join("; "))
    }
}

/// As long as it may be: a text that says how old it is would be another one at each look.
fn spoken(most: Duration) -> String {
    match most.as_secs() {
        seconds if seconds >= 7_200 && seconds.is_multiple_of(3_600) => format!("{} h", seconds / 3_600),
        seconds => format!("{} min", seconds / 60),
    }
}

/// Why its size is wrong. Counts it among those that were.
fn too_small(work: &FreshWork, past: &mut Past, facts: &Facts, now: Now) -> Option<String> {
    if now.wall.saturating_sub(facts.modified) < SETTLED {
        return None;
    }
    let stamp = (facts.inode, facts.modified);
    // The one that is judged is not among those it is compared with.
    let is_last = past.last == Some(stamp);
    let known = past.sizes.len() - usize::from(is_last && !past.sizes.is_empty());
    let median = median(past.sizes.get(..known).unwrap_or_default()).filter(|_| known >= ENOUGH);
    if !is_last {
        past.sizes.push(facts.size);
        let extra = past.sizes.len().saturating_sub(SIZES);
        past.sizes.drain(..extra);
        past.last = Some(stamp);
    }
    if let Some(least) = work.least.filter(|least| facts.size < *least) {
        return Some(format!("has {} bytes, less than {least}", facts.size));
    }
    let (shrink, median) = work.shrink.zip(median)?;
    #[allow(clippy::cast_precision_loss, reason = "a petabyte more or less a byte")]
    let is_small = (facts.size as f64) < median as f64 * (1.0 - f64::from(shrink) / 100.0);
    is_small.then(|| format!("has {} bytes, those before had {median}", facts.size))
}

fn median(sizes: &[u64]) -> Option<u64> {
    let mut sizes = sizes.to_vec();
    sizes.sort_unstable();
    sizes.get(sizes.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::tree::Kind;

    fn work() -> FreshWork {
        FreshWork {
            place: FreshPlace::Dir("/b".into()),
            names: Vec::new(),
            depth: 0,
            newest: Some(Duration::from_secs(1000)),
            least: Some(10),
            shrink: Some(50.0),
            marker: None,
        }
    }

    fn file(inode: u64, size: u64, modified: u64) -> (String, Facts) {
        let time = Duration::from_secs(modified);
        let facts = Facts {
            kind: Kind::File,
            device: 1,
            inode,
            size,
            bytes: size,
            modified: time,
            changed: time,
            mode: 0o644,
            uid: 0,
            gid: 0,
            links: 1,
        };
        ("f".to_owned(), facts)
    }

    fn at(wall: u64) -> Now {
        Now { mono: Duration::from_secs(1), wall: Duration::from_secs(wall) }
    }

    #[test]
    fn what_is_old_missing_or_small_is_told() {
        for (found, now, expect, stale, small) in [
            (Some(file(1, 50, 9_500)), 10_000, Outcome::Kept, false, false),
            (Some(file(1, 50, 8_000)), 10_000, Outcome::Failed, true, false),
            (Some(file(1, 5, 9_500)), 10_000, Outcome::Failed, false, true),
            (Some(file(1, 5, 9_990)), 10_000, Outcome::Kept, false, false),
            (Some(file(1, 50, 10_100)), 10_000, Outcome::Kept, false, false),
            (Some(file(1, 50, 20_000)), 10_000, Outcome::Unknown, false, false),
            (None, 10_000, Outcome::Failed, true, false),
        ] {
            let tended = judge(&work(), &mut Past::default(), (found.as_ref(), None), at(now));
            let marks = (tended.marks.has(Mark::Stale), tended.marks.has(Mark::Small));
            assert_eq!((tended.outcome, marks), (expect, (stale, small)), "{found:?} {}", tended.text);
            assert_eq!(tended.text.is_empty(), expect == Outcome::Kept, "{}", tended.text);
        }
    }

    #[test]
    fn a_size_is_compared_with_those_before() {
        let mut past = Past::default();
        let mut step = |number: u64, size: u64| {
            let day = 100_000 * number;
            let found = file(number, size, day);
            // Looked at twice: the second look compares with the same ones.
            let looks = [200, 300].map(|later| judge(&work(), &mut past, (Some(&found), None), at(day + later)));
            assert_eq!(looks[0].marks, looks[1].marks);
            looks[0].marks.has(Mark::Small)
        };
        let sizes = [100, 104, 98, 101, 40, 51, 300, 99];
        let small: Vec<bool> = (1..).zip(sizes).map(|(number, size)| step(number, size)).collect();
        assert_eq!(small, [false, false, false, false, true, false, false, false]);
    }

    #[test]
    fn a_marker_says_when_all_was_well() {
        let work = FreshWork { place: FreshPlace::Nowhere, marker: Some("/m".into()), ..work() };
        for (marker, expect) in [(9_500, Outcome::Kept), (8_000, Outcome::Failed), (0, Outcome::Failed)] {
            let marker = Some(Duration::from_secs(marker));
            assert_eq!(judge(&work, &mut Past::default(), (None, marker), at(10_000)).outcome, expect);
        }
    }
}
