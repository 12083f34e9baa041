//! The learner in the turn of the loop: the mean of a minute of each quantity is compared and learned, eight quantities at a time.
//!
//! Resident are the row that stands on the board and a sum for each quantity, about 100 bytes; the profiles are in the file
//! `learned` and are read and written a few KiB a minute. Nothing here ends the loop: while the file cannot be used nothing is
//! learned and nothing found, that is said once, and once more when it is well again.

use std::path::PathBuf;
use std::time::Duration;

use watchd_probes::{Kind, MetricId, ObjectId, PROBES, ProbeId, ProbeInfo, Unit};
use zerocopy::FromZeros;

use super::core::Core;
use super::notes::Notes;
use crate::export::Rough;
use crate::learn::book::{self, Book, Damage, GROUP, GROUPS, Minute};
use crate::learn::{Judgement, Settings};
use crate::model::{EventKind, Finding, Findings, Now, Places, PromiseKind, Quantities, class_prefix, is_measure};
use crate::store::board::{fixed, text};
use crate::store::history::is_kept;
use crate::store::{LearnedRow, Readings};
use crate::sys::clock::Civil;
use crate::sys::files;

/// What is judged at a time is the mean of so long.
const STEP: Duration = Duration::from_secs(60);
/// What could not be opened is tried again after so long.
const AGAIN: Duration = Duration::from_secs(10);
/// A clock that is before 2020 has not been set yet; what it says of the week would be learned in the wrong place.
const SET: Duration = Duration::from_secs(1_577_836_800);

/// What is learned of this host.
pub struct Learning {
    path: PathBuf,
    book: Option<Book>,
    again_at: Duration,
    is_writable: bool,
    settings: Settings,
    quantities: Vec<Quantity>,
    rows: Vec<LearnedRow>,
    /// When each group is judged next, and whether its sums cover a whole step.
    due: [Duration; GROUPS],
    is_whole: [bool; GROUPS],
}

struct Quantity {
    metric: Option<MetricId>,
    /// Where it stands in the book.
    slot: u8,
    count: u32,
    sum: f64,
}

impl Learning {
    pub fn open(places: &Places, wanted: &Quantities, after: Duration, now: Now, notes: &mut Notes) -> Self {
        let mut learning = Self {
            path: places.learned(),
            book: None,
            again_at: Duration::ZERO,
            is_writable: true,
            settings: Settings::default(),
            quantities: Vec::new(),
            rows: Vec::new(),
            due: [Duration::ZERO; GROUPS],
            is_whole: [false; GROUPS],
        };
        learning.follow(wanted, after, now, notes);
        learning
    }

    /// Whether everything could be written so far.
    pub fn is_writable(&self) -> bool {
        self.is_writable
    }

    /// What stands on the board.
    pub fn rows(&self) -> &[LearnedRow] {
        &self.rows
    }

    pub fn found(&self, quantity: usize) -> Findings {
        self.rows.get(quantity).map_or(Findings::default(), LearnedRow::found)
    }

    /// Follows these quantities from now on.
    pub fn follow(&mut self, wanted: &Quantities, after: Duration, now: Now, notes: &mut Notes) {
        self.settings.learning_s = u32::try_from(after.as_secs()).unwrap_or(u32::MAX);
        let is_same = self.rows.iter().map(|row| text(&row.name)).eq(wanted.iter());
        if is_same && self.book.is_some() {
            return;
        }
        let metric = |name: &str| MetricId::from_name(name.split(':').next().unwrap_or_default());
        self.quantities.clear();
        self.quantities.reserve_exact(wanted.len());
        self.quantities.extend(wanted.iter().map(|name| Quantity {
            metric: metric(name),
            slot: u8::MAX,
            count: 0,
            sum: 0.0,
        }));
        self.rows.clear();
        self.rows.reserve_exact(wanted.len());
        self.rows.extend(wanted.iter().map(|name| LearnedRow { name: fixed(name), ..nothing() }));
        self.take_places(now, notes);
    }

    /// Opens the book and looks up where each quantity stands.
    fn take_places(&mut self, now: Now, notes: &mut Notes) {
        self.again_at = now.mono + AGAIN;
        if self.rows.is_empty() {
            self.book = None;
            return;
        }
        let opened = match self.book.take() {
            Some(book) => Ok((book, Damage::default())),
            None => Book::open(&self.path),
        };
        let adopted = opened.and_then(|(mut book, damage)| {
            let keys: heapless::Vec<u64, { crate::model::QUANTITIES }> =
                self.rows.iter().map(|row| book::key(text(&row.name))).collect();
            let slots = book.adopt(&keys)?;
            Ok((book, damage, slots))
        });
        match adopted {
            Ok((book, damage, slots)) => {
                tell(&damage, notes);
                for (quantity, slot) in self.quantities.iter_mut().zip(slots) {
                    quantity.slot = slot;
                }
                self.book = Some(book);
                self.recover(notes);
            }
            Err(error) => self.lose("open", &error, notes),
        }
        // The groups take turns, so that no turn of the loop has more than one of them to look at.
        for (group, due) in (1..).zip(&mut self.due) {
            *due = now.mono + STEP * group / 8;
        }
        self.is_whole = [false; GROUPS];
    }

    /// The book, for the door to read.
    pub fn file(&self) -> Option<&std::fs::File> {
        self.book.as_ref().map(Book::file)
    }

    /// Takes one cycle's readings, and what `measured` gives for a measure of the policy; and judges the groups whose minute is over.
    pub fn record(
        &mut self,
        readings: Readings<'_>,
        measured: &dyn Fn(&str) -> Option<f64>,
        now: Now,
        notes: &mut Notes,
    ) {
        if self.rows.is_empty() {
            return;
        }
        if self.book.as_ref().is_some_and(|book| files::is_removed(book.file())) {
            (self.book, self.again_at) = (None, now.mono);
            self.lose("write", &files::removed(), notes);
        }
        if self.book.is_none() {
            if self.again_at > now.mono {
                return;
            }
            self.take_places(now, notes);
        }
        for (quantity, row) in self.quantities.iter_mut().zip(&self.rows) {
            let name = text(&row.name);
            let object = name.split_once(':').map(|(_, object)| object);
            let value = match quantity.metric {
                Some(metric) => level(readings, metric, object),
                None => measured(name),
            };
            if let Some(value) = value {
                quantity.sum += value;
                quantity.count += 1;
            }
        }
        for group in 0..GROUPS {
            let Some(due) = self.due.get_mut(group).filter(|due| **due <= now.mono) else { continue };
            *due += STEP;
            if *due <= now.mono {
                *due = now.mono + STEP;
            }
            self.judge(group, now, notes);
        }
    }

    /// Compares the means of one group, and lets them teach.
    fn judge(&mut self, group: usize, now: Now, notes: &mut Notes) {
        let of_group = |quantity: &Quantity| usize::from(quantity.slot) / GROUP == group;
        let (Some(book), true) = (&mut self.book, self.quantities.iter().any(of_group)) else { return };
        if now.wall < SET {
            return;
        }
        let at = i64::try_from(now.wall.as_secs()).unwrap_or(i64::MAX);
        let minute = Minute { at, week_s: Civil::local(now.wall).week_second(), settings: &self.settings };
        // In the first step after a start a counter has no rate yet: that is no gap.
        let is_whole = self.is_whole.get_mut(group).is_some_and(|whole| std::mem::replace(whole, true));
        let (quantities, rows) = (&self.quantities, &mut self.rows);
        let place =
            |column: usize| quantities.iter().position(|quantity| usize::from(quantity.slot) == group * GROUP + column);
        let sample = |column: usize| {
            let value = quantities.get(place(column)?).and_then(Quantity::mean);
            (value.is_some() || is_whole).then_some(value)
        };
        let result = book.observe(group, minute, &sample, &mut |column, judgement| {
            let row = place(column).and_then(|place| Some((quantities.get(place)?.mean(), rows.get_mut(place)?)));
            if let Some((value, row)) = row {
                show(row, value, judgement, notes);
            }
        });
        match result {
            Ok(read) => {
                if read.is_damaged {
                    notes.add(
                        EventKind::StateDamaged,
                        "learned",
                        "an hour of what was learned was damaged; it begins anew",
                    );
                }
                self.recover(notes);
            }
            Err(error) => self.lose("use", &error, notes),
        }
        for quantity in self.quantities.iter_mut().filter(|quantity| of_group(quantity)) {
            (quantity.count, quantity.sum) = (0, 0.0);
        }
    }

    fn recover(&mut self, notes: &mut Notes) {
        if !self.is_writable {
            self.is_writable = true;
            notes.add(EventKind::StateWritable, "learned", "what is learned can be written again");
        }
    }

    /// Without its book nothing is known, and nothing found.
    fn lose(&mut self, what: &str, error: &std::io::Error, notes: &mut Notes) {
        self.book = None;
        for row in &mut self.rows {
            *row = LearnedRow { name: row.name, ..nothing() };
        }
        if self.is_writable {
            self.is_writable = false;
            notes.add(EventKind::StateUnwritable, "learned", &format!("cannot {what} what was learned: {error}"));
        }
    }
}

impl Core {
    /// Lets the readings of this cycle teach, and what the policy measures.
    pub(super) fn learn(&mut self) {
        let agent = &self.judgement.agent;
        let measured = |id: &str| {
            let value = agent.figures(agent.find(PromiseKind::Measure, id)?)[0];
            value.is_finite().then_some(value)
        };
        self.learning.record(self.sight.readings(), &measured, self.now, &mut self.notes);
        for row in self.learning.rows() {
            let name = text(&row.name);
            if is_measure(name)
                && let Some(place) = self.judgement.agent.find(PromiseKind::Measure, name)
            {
                let expected = if row.is_ready() { f64::from(row.expected) } else { f64::NAN };
                self.judgement.agent.expect(place, expected);
            }
        }
    }
}

impl Quantity {
    fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / f64::from(self.count))
    }
}

fn tell(damage: &Damage, notes: &mut Notes) {
    if let Some(aside) = &damage.aside {
        let text = format!("what was learned was damaged; it is kept as {}", aside.display());
        notes.add(EventKind::StateDamaged, "learned", &text);
    }
    if damage.groups > 0 {
        let text = format!("what was learned of {} quantities was damaged; it begins anew", damage.groups * GROUP);
        notes.add(EventKind::StateDamaged, "learned", &text);
    }
}

fn nothing() -> LearnedRow {
    let none = f32::NAN;
    let row = LearnedRow::new_zeroed();
    LearnedRow { value: none, expected: none, low: none, high: none, least: none, most: none, ..row }
}

/// Puts a judgement on the board, and tells what is new of it.
fn show(row: &mut LearnedRow, value: Option<f64>, judgement: &Judgement, notes: &mut Notes) {
    let before = row.found();
    let found = judgement.classes();
    row.found = found.0;
    row.value = value.map_or(f32::NAN, narrow);
    let band = judgement.band;
    // Nothing of the host's own is below zero; a measure of the policy may be.
    let lowest = if is_measure(text(&row.name)) { f64::MIN } else { 0.0 };
    if value.is_some() {
        row.ready = u8::from(judgement.is_judged);
        row.expected = narrow(band.expected.max(lowest));
        (row.low, row.high) = (narrow(band.low.max(lowest)), narrow(band.high));
        (row.least, row.most) = (narrow(band.least.max(lowest)), narrow(band.most));
    }
    let metric = text(&row.name).split(':').next().and_then(MetricId::from_name).and_then(MetricId::metric);
    let is_bytes = metric.is_some_and(|metric| metric.unit == Unit::Bytes);
    for finding in Finding::ALL.iter().copied().filter(|finding| finding.is_news()) {
        let (was, is) = (before.contains(finding), found.contains(finding));
        if was != is {
            let kind = if is { EventKind::ClassSet } else { EventKind::ClassCleared };
            let class = class_prefix(text(&row.name)).chain(finding.word().chars()).collect::<String>();
            let rough = |value: f64| Rough { value, is_bytes };
            let value = value.map_or_else(|| "not measured".to_owned(), |value| rough(value).to_string());
            let [expected, low, high] = [row.expected, row.low, row.high].map(|value| rough(value.into()));
            let told = format!("{value}, expected {expected}, usual from {low} to {high}");
            notes.add(kind, &class, &told);
        }
    }
}

/// What 32 bits keep of it.
#[allow(clippy::cast_possible_truncation)]
fn narrow(value: f64) -> f32 {
    value as f32
}

/// What a quantity is now: of the host, of one object, or of all objects together.
fn level(readings: Readings<'_>, metric: MetricId, object: Option<&str>) -> Option<f64> {
    let info = PROBES.get(metric.probe())?;
    let view = readings.view;
    match object {
        Some(name) => readings.level(metric, view.find(info.id, name.as_bytes())?),
        None if matches!(info.id, ProbeId::Disk | ProbeId::Network) => sum(readings, metric, info),
        None => readings.level(metric, ObjectId::HOST),
    }
}

/// Of all objects that have a history: what comes and goes with containers is no part of it.
fn sum(readings: Readings<'_>, metric: MetricId, info: &ProbeInfo) -> Option<f64> {
    let view = readings.view;
    let first = usize::try_from(view.state(info.id).first()).ok()?;
    let is_counter = metric.metric()?.kind == Kind::Counter;
    let mut total = None;
    for (place, row) in view.of(info.id).iter().enumerate() {
        if row.metric() != metric || !is_kept(metric, view.part(row.object(), 0)) {
            continue;
        }
        let rate = readings.rates.get(first + place).filter(|rate| rate.is_finite()).map(|rate| f64::from(*rate));
        if let Some(value) = if is_counter { rate } else { row.value().number() } {
            *total.get_or_insert(0.0) += value;
        }
    }
    total
}

#[cfg(test)]
mod tests {
    use watchd_probes::{ProbeId, Sample, Value, load};

    use super::*;
    use crate::scratch::Scratch;

    const BEGIN: u64 = 1_768_780_800;
    const AFTER: Duration = Duration::from_secs(7 * 86_400);

    struct Story {
        places: Places,
        learning: Learning,
        notes: Notes,
        now: Now,
    }

    fn at(seconds: u64) -> Now {
        Now { mono: Duration::from_secs(1000 + seconds), wall: Duration::from_secs(BEGIN + seconds) }
    }

    fn wanted() -> Quantities {
        Quantities { usual: false, more: vec!["load.one".to_owned(), "load.five".to_owned(), "mailq".to_owned()] }
    }

    impl Story {
        fn begin(scratch: &Scratch) -> Self {
            let state_dir = scratch.join("state");
            std::fs::create_dir_all(&state_dir).expect("a directory can be made");
            let places = Places { config: None, run_dir: scratch.join("run"), state_dir, root: "/".into() };
            let mut notes = Notes::open(&places.events(), at(0));
            let learning = Learning::open(&places, &wanted(), AFTER, at(0), &mut notes);
            Self { places, learning, notes, now: at(0) }
        }

        /// Goes through so many seconds in cycles of five minutes.
        fn live(&mut self, seconds: u64, load: impl Fn(u64) -> Option<f64>) {
            for _ in 0..seconds / 300 {
                let past = self.now.mono.as_secs() - 1000 + 300;
                self.now = at(past);
                let mut sample = Sample::default();
                sample.begin();
                let mut sink = sample.sink(ProbeId::Load);
                if let Some(load) = load(past) {
                    sink.put(ObjectId::HOST, load::ONE, Value::Float(load));
                    sink.put(ObjectId::HOST, load::FIVE, Value::Float(2.0 * load));
                }
                sample.finish(ProbeId::Load, Ok(()), 0);
                let rates = vec![f32::NAN; sample.view().rows.len()];
                let readings = Readings { view: sample.view(), rates: &rates };
                let measured = |name: &str| load(past).filter(|_| name == "mailq").map(|load| 100.0 * load);
                self.learning.record(readings, &measured, self.now, &mut self.notes);
            }
        }

        fn told(&self, words: &str) -> bool {
            self.notes.rows().iter().any(|row| format!("{} {}", text(&row.subject), text(&row.text)).contains(words))
        }
    }

    /// Higher by day, never twice the same.
    fn usual(past: u64) -> Option<f64> {
        let day = if (8..18).contains(&(past / 3600 % 24)) { 1.0 } else { 0.2 };
        Some(day + f64::from(u32::try_from(past / 300 * 7919 % 101).expect("small")) / 1000.0)
    }

    #[test]
    fn what_is_unusual_becomes_a_class_and_ends_by_itself() {
        let scratch = Scratch::new();
        let mut story = Story::begin(&scratch);
        story.live(9 * 86_400, usual);
        let row = *story.learning.rows().first().expect("a row");
        assert!(row.is_ready() && row.found().iter().next().is_none(), "{row:?}");
        assert!(
            row.least <= row.low && row.low <= row.expected && row.expected <= row.high && row.high <= row.most,
            "{row:?}"
        );
        story.live(1_200, |_| Some(40.0));
        for place in 0..3 {
            let found = story.learning.found(place);
            assert!(found.contains(Finding::HighAnomaly) && found.contains(Finding::HighDev1), "{found:?}");
        }
        assert!(story.told("load_one_high_anomaly 40, expected"));
        assert!(story.told("mailq_high_anomaly 4000, expected"), "a measure of the policy has a name of its own");
        story.live(86_400, usual);
        assert_eq!(story.learning.found(0), Findings::default());
        story.live(1_200, |_| None);
        assert!(story.learning.found(0).contains(Finding::Missing), "missing is not zero");
        assert!(!story.learning.found(0).contains(Finding::LowAnomaly));
        story.live(900, usual);
        assert!(!story.learning.found(0).contains(Finding::Missing));
    }

    #[test]
    fn a_measure_below_zero_is_expected_there() {
        let scratch = Scratch::new();
        let mut story = Story::begin(&scratch);
        story.live(9 * 86_400, |past| usual(past).map(|load| load - 20.0));
        let row = |story: &Story, name: &str| {
            *story.learning.rows().iter().find(|row| text(&row.name) == name).expect("a row")
        };
        let (mailq, load) = (row(&story, "mailq"), row(&story, "load.one"));
        assert!(mailq.low < mailq.expected && mailq.expected < -1_800.0, "{mailq:?}");
        assert!(load.low == 0.0 && load.expected == 0.0, "{load:?}");
    }

    #[test]
    fn what_was_learned_outlives_a_death_and_another_policy() {
        let scratch = Scratch::new();
        let mut story = Story::begin(&scratch);
        story.live(9 * 86_400, usual);
        let Story { places, mut notes, now, .. } = story;
        let other = Quantities { usual: true, more: Vec::new() };
        let mut learning = Learning::open(&places, &other, AFTER, now, &mut notes);
        assert_eq!(learning.rows().len(), other.len());
        learning.follow(&wanted(), AFTER, now, &mut notes);
        let mut story = Story { places, learning, notes, now };
        story.live(600, usual);
        assert!(story.learning.rows().iter().all(LearnedRow::is_ready));
        assert!(!story.learning.found(0).contains(Finding::Missing), "the time without us is no gap");
    }

    #[test]
    fn a_file_that_cannot_be_used_is_told_once_and_ends_nothing() {
        let scratch = Scratch::new();
        let state_dir = scratch.join("missing/state");
        let places = Places { config: None, run_dir: scratch.join("run"), state_dir, root: "/".into() };
        let mut notes = Notes::open(&scratch.join("events"), at(0));
        let learning = Learning::open(&places, &wanted(), AFTER, at(0), &mut notes);
        let mut story = Story { places, learning, notes, now: at(0) };
        assert!(!story.learning.is_writable());
        story.live(3_600, usual);
        let told = story.notes.rows().iter().filter(|row| text(&row.subject) == "learned").count();
        assert_eq!(told, 1);
        std::fs::create_dir_all(&story.places.state_dir).expect("a directory can be made");
        story.live(3_600, usual);
        assert!(story.learning.is_writable() && story.told("can be written again"));
    }

    #[test]
    fn a_clock_that_was_never_set_teaches_nothing() {
        let scratch = Scratch::new();
        let mut story = Story::begin(&scratch);
        story.now.wall = Duration::from_secs(100);
        let mut sample = Sample::default();
        sample.begin();
        let readings = Readings { view: sample.view(), rates: &[] };
        let early = Now { mono: Duration::from_secs(5000), wall: Duration::from_secs(100) };
        story.learning.record(readings, &|_| None, early, &mut story.notes);
        assert!(story.learning.rows().iter().all(|row| row.value.is_nan()));
    }
}
