//! Weeks of recording with a made-up clock: what is read back is what was measured, whatever happens to the clock, the disk and us.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use watchd_probes::{ObjectId, ProbeId, Sample, cpu, filesystem, load};

use super::rings::Rings;
use super::*;
use crate::model::Now;
use crate::store::Readings;

#[cfg(test)]
use crate::scratch::Scratch;

/// A Sunday, 13:00.
const START: u64 = 1_795_352_400;

struct Story {
    // Gone with all that is in it when the story ends.
    _dir: Scratch,
    path: PathBuf,
    history: History,
    sample: Sample,
    mono: u64,
    wall: u64,
    mounts: Vec<String>,
    /// Of the policy.
    measures: Vec<(&'static str, f64)>,
}

impl Story {
    fn new() -> Self {
        let dir = Scratch::new();
        let path = dir.join("history");
        let now = Now { mono: Duration::from_secs(1000), wall: Duration::from_secs(START) };
        let (history, damage) = History::open(&path, now).expect("it opens");
        assert_eq!(damage, None);
        Self {
            _dir: dir,
            path,
            history,
            sample: Sample::default(),
            mono: 1000,
            wall: START,
            mounts: Vec::new(),
            measures: Vec::new(),
        }
    }

    fn now(&self) -> Now {
        Now { mono: Duration::from_secs(self.mono), wall: Duration::from_secs(self.wall) }
    }

    /// One cycle: a load, a rate of processor time, and the space of each mount; then `step` seconds go by.
    fn cycle(&mut self, value: u64, step: u64) -> Recorded {
        self.sample.begin();
        self.sample.sink(ProbeId::Cpu).host(cpu::USER, 1);
        self.sample.finish(ProbeId::Cpu, Ok(()), 0);
        self.sample.sink(ProbeId::Load).host(load::ONE, value);
        self.sample.finish(ProbeId::Load, Ok(()), 0);
        let mut sink = self.sample.sink(ProbeId::Filesystem);
        for mount in &self.mounts {
            let object = sink.object(&[mount.as_bytes()]).expect("there is room");
            sink.put(object, filesystem::AVAIL, watchd_probes::Value::Int(value));
        }
        self.sample.finish(ProbeId::Filesystem, Ok(()), 0);
        let rates = [0.5, f32::NAN];
        let readings = Readings { view: self.sample.view(), rates: &rates };
        let recorded = self.history.record_with(readings, self.measures.iter().copied(), self.now());
        self.mono += step;
        self.wall += step;
        recorded
    }

    fn run(&mut self, cycles: u64, step: u64) {
        for cycle in 0..cycles {
            let recorded = self.cycle(cycle, step);
            assert!(recorded.error.is_none() && recorded.without_room == 0, "{recorded:?}");
        }
    }

    /// The daemon dies, with nothing written that was not, and comes back.
    fn restart(&mut self) {
        self.history = History::open(&self.path, self.now()).expect("it opens").0;
    }

    fn read(&self, metric: &str, object: &str, (from, to): (u64, u64), points: u32) -> (u64, Vec<Point>) {
        let reader = HistoryReader::open(&self.path).expect("it opens");
        let place = reader.find(metric, object.as_bytes()).expect("it is read").expect("there is such a series");
        let mut found: Vec<Point> = Vec::new();
        let step = reader
            .read(place, Span { from, to, points }, self.wall, &mut |point| found.push(point))
            .expect("it is read");
        assert!(found.len() <= usize::try_from(points).expect("it is small"), "{} of {points}", found.len());
        assert!(found.windows(2).all(|two| two[0].at + step <= two[1].at), "old to new, one each");
        assert!(found.iter().all(|point| point.min <= point.mean && point.mean <= point.max), "{found:?}");
        (step, found)
    }

    fn load(&self, back: u64, points: u32) -> (u64, Vec<Point>) {
        self.read("load.one", "", (self.wall - back, self.wall), points)
    }
}

#[test]
fn a_clock_in_1970_or_2100_keeps_nothing_from_being_recorded_and_read() {
    let mut story = Story::new();
    for wall in [5, START, 4_102_444_800, 5, 4_102_444_800, START + 3_600] {
        story.wall = wall;
        story.restart();
        story.run(30, 10);
        let (_, found) = story.read("load.one", "", (wall, wall + 300), 600);
        assert!(found.len() >= 27 && found.iter().all(|point| point.max < 30.0), "at {wall}: {found:?}");
    }
}

#[test]
fn every_cycle_is_read_back() {
    let mut story = Story::new();
    story.run(360, 10);
    let (step, points) = story.load(3600, 400);
    assert_eq!((step, points.len()), (10, 360));
    for (value, point) in (0_u16..).zip(&points) {
        let value = f32::from(value);
        assert_eq!((point.min, point.mean, point.max), (value, value, value));
    }
    assert_eq!(points[0].at, START);
    let (_, rates) = story.read("cpu.user", "", (START, story.wall), 400);
    assert!(rates.len() == 360 && rates.iter().all(|point| point.mean == 0.5), "a counter is kept as its rate");
}

#[test]
fn slots_are_rolled_up_to_least_mean_and_most() {
    let mut story = Story::new();
    story.run(6 * 60 * 3, 10);
    // So few points that minutes, five minutes and hours serve.
    for (points, step) in [(181, 60), (37, 300), (4, 3600)] {
        let (width, found) = story.load(3 * 3600, points);
        let cycles = u16::try_from(step / 10).expect("it is small");
        assert_eq!(width, step);
        assert_eq!(found.len(), usize::from(1080 / cycles), "{step}");
        for (place, point) in (0_u16..).zip(&found) {
            let first = f32::from(place * cycles);
            let last = first + f32::from(cycles - 1);
            let close = |value: f32, expect: f32| (value - expect).abs() <= expect * 0.001;
            assert!(close(point.min, first) && close(point.max, last), "{step} {point:?}");
            assert!(close(point.mean, (first + last) / 2.0), "{step} {point:?}");
        }
    }
}

#[test]
fn a_year_is_there_in_hours_and_the_newest_hour_too() {
    let mut story = Story::new();
    for day in 0..366_u64 {
        for _ in 0..24 {
            story.cycle(day, 3600);
        }
    }
    story.run(7, 10);
    let (step, points) = story.load(365 * 86_400, 366);
    assert_eq!(step % 3600, 0);
    assert!(points.len() > 180, "{} points of {step} s", points.len());
    assert_eq!(points[points.len() - 1].min, 0.0, "the hour that is not over yet");
    let values: Vec<f32> = points.iter().map(|point| point.max).collect();
    assert!(values.is_sorted(), "{values:?}");
}

#[test]
fn cycles_of_any_length_are_kept() {
    for (step, cycles) in [(1, 100), (3, 100), (10, 100), (15, 100), (60, 60), (600, 20)] {
        let mut story = Story::new();
        story.run(cycles, step);
        let (width, points) = story.load(cycles * step, 2000);
        assert_eq!(width, 10, "the finest that reaches back so far");
        assert_eq!(points.len() as u64, if step < 10 { (cycles * step).div_ceil(10) } else { cycles }, "{step}");
    }
}

#[test]
fn a_cycle_at_the_border_of_a_slot_leaves_no_gap() {
    let mut story = Story::new();
    for cycle in 0..100 {
        // A little early, a little late, as timers are.
        story.wall = START + cycle * 10 - u64::from(cycle % 3 == 1);
        story.cycle(cycle, 0);
        story.mono += 10;
    }
    story.wall = START + 1000;
    assert_eq!(story.load(1010, 200).1.len(), 100);
}

#[test]
fn what_was_not_measured_is_a_gap() {
    let mut story = Story::new();
    story.run(60, 10);
    (story.wall, story.mono) = (story.wall + 1800, story.mono + 1800);
    story.run(60, 10);
    let (step, points) = story.load(3000, 400);
    assert_eq!((step, points.len()), (10, 120));
    assert!(points.iter().all(|point| point.at < START + 600 || point.at >= START + 2400));
    assert!(points.windows(2).any(|two| two[1].at - two[0].at == 1810));
}

#[test]
fn a_measure_of_the_policy_is_kept_by_its_name_and_what_was_not_measured_is_a_gap() {
    let mut story = Story::new();
    for value in [7.0, 8.5, f64::NAN, -1.0, 9.0] {
        let readings = Readings { view: story.sample.view(), rates: &[] };
        let recorded = story.history.record_with(readings, std::iter::once(("mailq", value)), story.now());
        assert!(recorded.error.is_none() && recorded.without_room == 0, "{recorded:?}");
        (story.mono, story.wall) = (story.mono + 10, story.wall + 10);
    }
    let (_, points) = story.read("measure.value", "mailq", (START, story.wall), 100);
    assert_eq!(points.iter().map(|point| point.mean).collect::<Vec<_>>(), [7.0, 8.5, -1.0, 9.0]);
    assert_eq!(points[2].at - points[1].at, 20);
    story.restart();
    assert_eq!(story.read("measure.value", "mailq", (START, story.wall), 100).1.len(), 4);
}

#[test]
fn a_crash_at_any_cycle_loses_at_most_one() {
    let mut whole = Story::new();
    whole.run(700, 10);
    let (_, expect) = whole.load(7200, 3);
    for crash in [1, 2, 5, 6, 7, 29, 30, 31, 359, 360, 361, 365, 699] {
        let mut story = Story::new();
        for cycle in 0..700 {
            story.cycle(cycle, 10);
            if cycle == crash {
                story.restart();
            }
        }
        assert_eq!(story.load(7200, 1000).1.len(), 700, "crash at {crash}");
        for (found, expect) in story.load(7200, 3).1.iter().zip(&expect) {
            assert_eq!((found.min, found.max), (expect.min, expect.max), "crash at {crash}");
            assert!((found.mean - expect.mean).abs() <= expect.mean * 0.002, "crash at {crash}: {found:?} {expect:?}");
        }
    }
}

#[test]
fn a_slot_that_ended_while_nobody_ran_is_closed_afterwards() {
    let mut story = Story::new();
    story.run(30, 10);
    (story.wall, story.mono) = (story.wall + 8 * 3600, story.mono + 8 * 3600);
    story.restart();
    story.run(30, 10);
    let (step, points) = story.read("load.one", "", (START, START + 7200), 3);
    assert_eq!((step, points.len()), (3600, 1));
    assert_eq!((points[0].at, points[0].min, points[0].max), (START, 0.0, 29.0));
}

#[test]
fn a_clock_set_forward_leaves_a_gap_and_one_set_back_goes_on() {
    let mut story = Story::new();
    story.mounts.push("/first".to_owned());
    story.run(60, 10);
    story.wall += 10 * 365 * 86_400;
    story.mounts.push("/future".to_owned());
    story.run(60, 10);
    assert_eq!(story.load(600, 100).1.len(), 60);
    // Back, and a quarter of an hour further than that.
    story.wall -= 10 * 365 * 86_400 + 900;
    story.restart();
    for cycle in 0..120 {
        assert!(story.cycle(1000 + cycle, 10).error.is_none());
    }
    let (_, points) = story.load(3600, 400);
    assert!(points.iter().all(|point| point.at <= story.wall), "nothing from the future");
    assert!(points.len() >= 120, "{}", points.len());
    let (_, future) = story.read("filesystem.avail", "/future", (story.wall - 3600, story.wall), 400);
    assert!(future.len() >= 119, "a series first seen in the future is shown: {}", future.len());
    story.restart();
    story.run(1, 10);
    assert!(story.load(3600, 400).1.len() >= 121, "nor does the future spoil a start");
}

#[test]
fn a_clock_that_starts_in_1970_does_no_harm() {
    let mut story = Story::new();
    story.wall = 0;
    story.run(20, 10);
    story.wall = START;
    story.run(60, 10);
    assert_eq!(story.load(3600, 400).1.len(), 60);
}

#[test]
fn series_keep_their_columns_and_new_ones_find_room() {
    let mut story = Story::new();
    story.run(3, 10);
    assert_eq!(story.history.panels(), 1);
    let before = HistoryReader::open(&story.path).and_then(|reader| reader.find("load.one", b"")).expect("it is read");
    story.mounts = (0..100).map(|number| format!("/srv/{number}")).collect();
    story.run(3, 10);
    assert_eq!(story.history.panels(), 4);
    assert_eq!(std::fs::metadata(&story.path).expect("it is there").len(), 4 * PANEL_BYTES);
    story.mounts.reverse();
    story.restart();
    story.run(3, 10);
    let after = HistoryReader::open(&story.path).and_then(|reader| reader.find("load.one", b"")).expect("it is read");
    assert_eq!(before, after);
    for mount in ["/srv/0", "/srv/99"] {
        assert_eq!(story.read("filesystem.avail", mount, (START, story.wall), 100).1.len(), 6, "{mount}");
    }
    story.mounts = (0..1000).map(|number| format!("/srv/{number}")).collect();
    let recorded = story.cycle(1, 10);
    assert_eq!(recorded.without_room, 1002 - u32::try_from(PANELS * COLUMNS).expect("it is small"));
    assert_eq!(story.history.panels(), PANELS);
}

#[test]
fn a_series_long_gone_makes_room_and_leaves_nothing_behind() {
    let mut story = Story::new();
    story.mounts = (0..30).map(|number| format!("/old/{number}")).collect();
    story.run(30, 10);
    story.mounts = Vec::new();
    for _ in 0..25 {
        story.cycle(5, 3600);
    }
    let since = story.wall;
    story.mounts = (0..30).map(|number| format!("/new/{number}")).collect();
    story.run(30, 10);
    assert_eq!(story.history.panels(), 1);
    let (_, points) = story.read("filesystem.avail", "/new/7", (START - 3600, story.wall), 2000);
    assert!(points.iter().all(|point| point.at + 60 > since), "{since} {points:?}");
    let reader = HistoryReader::open(&story.path).expect("it opens");
    assert_eq!(reader.find("filesystem.avail", b"/old/7").expect("it is read"), None);
}

#[test]
fn a_full_disk_is_an_error_value_and_no_end() {
    let mut story = Story::new();
    story.run(3, 10);
    let broken = broken(&story.path, story.now());
    let good = std::mem::replace(&mut story.history, broken);
    for _ in 0..20 {
        let recorded = story.cycle(1, 10);
        assert!(recorded.error.is_some(), "{recorded:?}");
    }
    story.history = good;
    assert!(story.cycle(1, 10).error.is_none());
}

/// Knows its columns and cannot write one row.
fn broken(path: &Path, now: Now) -> History {
    History::new(Rings::new(File::open(path).expect("it opens for reading")), now).expect("it is read")
}

#[test]
fn no_room_for_a_panel_is_an_error_value_and_asked_again_later() {
    let full = File::options().read(true).write(true).open("/dev/full").expect("Linux has it");
    let mut story = Story::new();
    story.history = History::new(Rings::new(full), story.now()).expect("it has no panel");
    let recorded = story.cycle(1, 10);
    assert!(recorded.error.is_some() && recorded.without_room == 2, "{recorded:?}");
    let recorded = story.cycle(1, 10);
    assert!(recorded.error.is_none() && recorded.without_room == 2, "not asked in every cycle: {recorded:?}");
}

#[test]
fn damaged_names_and_rows_cost_what_they_held_and_no_more() {
    let mut story = Story::new();
    story.run(60, 10);
    let file = File::options().write(true).open(&story.path).expect("it opens");
    // The name of the first column.
    std::os::unix::fs::FileExt::write_all_at(&file, b"xxxx", 256 + 20).expect("it is written");
    story.restart();
    story.run(60, 10);
    assert_eq!(story.load(1200, 200).1.len(), 120);
    let (_, rates) = story.read("cpu.user", "", (START, story.wall), 200);
    assert_eq!(rates.len(), 60, "it begins anew");
}

#[test]
fn two_objects_of_one_name_are_one_series() {
    let mut story = Story::new();
    story.mounts = vec!["/same".to_owned(), "/same".to_owned()];
    story.run(3, 10);
    let view = story.sample.view();
    assert_eq!(view.objects(ProbeId::Filesystem).filter(|object| *object != ObjectId::HOST).count(), 2);
    assert_eq!(story.read("filesystem.avail", "/same", (START, story.wall), 10).1.len(), 3);
}

#[test]
fn a_measure_of_the_policy_has_a_history_also_below_zero() {
    let mut story = Story::new();
    for minute in 0..60_i32 {
        let degrees = f64::from(minute) / 2.0 - 20.0;
        story.measures = vec![("chamber", degrees), ("gone", if minute < 30 { 7.0 } else { f64::NAN })];
        story.run(6, 10);
        if minute == 30 {
            story.restart();
        }
    }
    let (step, points) = story.read("measure.value", "chamber", (START, story.wall), 100);
    assert!(step == 60 && points.len() >= 60, "{points:?}");
    for (minute, point) in (0_u8..60).zip(&points) {
        let degrees = f32::from(minute) / 2.0 - 20.0;
        assert!((point.min - degrees).abs() < 0.02 && (point.max - degrees).abs() < 0.02, "{minute}: {point:?}");
    }
    // Coarser points are made of min and max of finer ones.
    let (step, points) = story.read("measure.value", "chamber", (START, story.wall), 2);
    assert!(step >= 1800 && points[0].min <= -19.9 && points[points.len() - 1].max >= 9.4, "{points:?}");
    let (_, points) = story.read("measure.value", "gone", (START, story.wall), 600);
    assert!(
        (180..=186).contains(&points.len()) && points.iter().all(|point| point.mean == 7.0),
        "what is not known is a gap"
    );
}
