//! What is usual beside what was: the learner's week laid over a stretch of time, for JSON, pictures and CSV.
//!
//! It is what is known now of that time of the week, not what was thought then; before the quantity was followed there is nothing.

use super::history::{Found, is_of_measures};
use crate::learn::book::{Book, key};
use crate::learn::{Range, Settings, Week};
use crate::model::is_measure;
use crate::store::history::Span;

/// It is shown when it has been learned for so long, whatever the policy says of alarms.
const SHOWN_S: u32 = 14 * 86_400;

/// The learner holds for a quarter of an hour what it knows: nothing is told in finer steps.
const QUARTER: u64 = 900;

/// Where it is looked up, and how the clock on the wall is read: seconds since 1970 to seconds since Monday 00:00.
#[derive(Clone, Copy)]
pub struct Lessons<'a> {
    pub book: Option<&'a Book>,
    pub week_second: fn(u64) -> u32,
}

impl Lessons<'_> {
    /// Of a series; none when nothing is known of it, or it cannot be read. What is learned of all disks or interfaces together is that of
    /// the only one.
    pub fn of(self, series: &Found) -> Option<Usual> {
        // A measure is learned by its own name.
        if let Some(id) = std::str::from_utf8(&series.object).ok().filter(|_| is_of_measures(&series.metric)) {
            return self.named(id, b"");
        }
        let of_all = || if series.is_only { self.named(&series.metric, b"") } else { None };
        self.named(&series.metric, &series.object).or_else(of_all)
    }

    /// Of a metric and an object, empty for the host.
    fn named(self, metric: &str, object: &[u8]) -> Option<Usual> {
        let settings = Settings { learning_s: SHOWN_S, ..Settings::default() };
        let week = match std::str::from_utf8(object).ok()? {
            "" => self.book?.week(key(metric), &settings),
            object => self.book?.week(key(&format!("{metric}:{object}")), &settings),
        };
        // Nothing of the host's own is below zero; a measure of the policy may be.
        let least = if is_measure(metric) { f32::MIN } else { 0.0 };
        Some(Usual { week: week.ok()??, week_second: self.week_second, least })
    }
}

/// What is usual for one series at any time.
pub struct Usual {
    week: Week,
    week_second: fn(u64) -> u32,
    least: f32,
}

impl Usual {
    /// In so many seconds from a moment on.
    pub fn over(&self, at: u64, seconds: u64) -> Option<Range> {
        // A step that only begins before it was followed has a part that is known.
        let is_followed = at.saturating_add(seconds) > self.week.since();
        let range = is_followed.then(|| self.week.over((self.week_second)(at), seconds))??;
        Some(range.at_least(self.least))
    }

    /// Gives it for a whole stretch in steps of the points there, of a quarter of an hour at least; answers how long they are.
    pub fn each(&self, span: Span, step: u64, give: &mut dyn FnMut(u64, Range)) -> u64 {
        let step = step.max(QUARTER);
        let first = span.from.max(self.week.since());
        for at in (first - first % step..=span.to).step_by(usize::try_from(step).unwrap_or(usize::MAX)) {
            if let Some(range) = self.over(at, step) {
                give(at, range);
            }
        }
        step
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::learn::book::Minute;
    use crate::scratch::Scratch;
    use crate::store::history::Place;

    /// A Monday.
    pub const BEGIN: u64 = 1_768_780_800;

    /// Universal time.
    pub fn week_second(at: u64) -> u32 {
        u32::try_from((at - 4 * 86_400) % (7 * 86_400)).expect("it is below a week")
    }

    /// A book that has learned for three weeks from `BEGIN` on: higher each hour of the day.
    pub fn book(scratch: &Scratch) -> Book {
        let (mut book, _) = Book::open(&scratch.join("learned")).expect("it can be made");
        book.adopt(&[key("load.one"), key("filesystem.avail:/")]).expect("there is room");
        for at in (BEGIN..BEGIN + 21 * 86_400).step_by(300) {
            let value = 10.0 + (at / 3600 % 24) as f64 + (at / 300 * 7919 % 101) as f64 / 1000.0;
            let signed = i64::try_from(at).expect("it is not so late");
            let settings = Settings::default();
            let minute = Minute { at: signed, week_s: week_second(at), settings: &settings };
            let sample = |column: usize| (column < 2).then_some(Some(value));
            book.observe(0, minute, &sample, &mut |_, _| {}).expect("it can be written");
        }
        book
    }

    #[test]
    fn what_is_usual_is_told_for_the_time_in_which_it_was_learned() {
        let scratch = Scratch::new();
        let book = book(&scratch);
        let lessons = Lessons { book: Some(&book), week_second };
        let usual = lessons.named("load.one", b"").expect("it is known");
        let now = BEGIN + 20 * 86_400 + 12 * 3600;
        let range = usual.over(now, 10).expect("it is known");
        assert!((range.expected - 22.0).abs() < 0.5 && range.low < range.expected && range.expected < range.high);
        let day = usual.over(now - 12 * 3600, 86_400).expect("it is known");
        assert!(day.low < 10.2 && day.high > 33.0 && (day.expected - 21.5).abs() < 0.5, "{day:?}");
        assert!(usual.over(BEGIN - 900, 900).is_none() && usual.over(BEGIN - 899, 900).is_some());
        assert!(lessons.named("load.five", b"").is_none() && lessons.named("load.one", b"sda").is_none());
        assert!(
            lessons.named("filesystem.avail", b"/").is_some() && lessons.named("filesystem.avail", b"\xff").is_none()
        );
        let series = |metric: &str, object: &[u8], is_only| Found {
            metric: metric.to_owned(),
            object: object.to_vec(),
            place: Place::default(),
            is_only,
        };
        // What is learned of the host is that of the only object, and of no other.
        assert!(lessons.of(&series("load.one", b"eth0", true)).is_some());
        assert!(lessons.of(&series("load.one", b"eth0", false)).is_none());
        assert!(lessons.of(&series("filesystem.avail", b"/", false)).is_some());
        assert!(lessons.of(&series("filesystem.avail", b"/srv", true)).is_none());
        assert!(Lessons { book: None, week_second }.named("load.one", b"").is_none());
    }

    #[test]
    fn steps_are_those_of_the_points_and_never_finer_than_known() {
        let scratch = Scratch::new();
        let book = book(&scratch);
        let usual = Lessons { book: Some(&book), week_second }.named("load.one", b"").expect("it is known");
        for (from, to, step, expect, count) in [
            (BEGIN + 86_400, BEGIN + 86_400 + 3600, 10, 900, 5),
            (BEGIN + 86_401, BEGIN + 86_400 + 3600, 1800, 1800, 3),
            (BEGIN - 10 * 86_400, BEGIN + 2 * 86_400 - 1, 86_400, 86_400, 2),
            (BEGIN - 1000, BEGIN - 500, 10, 900, 0),
        ] {
            let mut told = Vec::new();
            let span = Span { from, to, points: 100 };
            assert_eq!(usual.each(span, step, &mut |at, _| told.push(at)), expect);
            assert_eq!(told.len(), count, "{told:?}");
            assert!(told.iter().all(|at| at % expect == 0 && *at <= to && at + expect > BEGIN), "{told:?}");
        }
    }
}
