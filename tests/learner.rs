//! The learner on made-up hosts: what it finds, what it leaves alone, that it asks for no memory; and its command from outside.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::cast_precision_loss)]
#![allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, dead_code)]

#[path = "../benches/learner/generator.rs"]
mod generator;
mod harness;
#[path = "../benches/learner/score.rs"]
mod score;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::fmt::Write;
use std::process::Command;

use generator::{DAY, Series};
use harness::{Scratch, binary};
use score::Score;
use watchd::learn::{Detector, Level, PROFILE_BYTES, Profile, Sample, Settings};

thread_local! {
    static ASKED: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call is handed on unchanged to the system's allocator; the counter is a plain cell without a destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ASKED.set(ASKED.get() + 1);
        // SAFETY: the caller's promise is the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is the system allocator's.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Times in alarm at level anomaly with their detectors.
fn alarms(series: &Series) -> Vec<(i64, &'static str)> {
    let (mut profile, settings) = (Box::<Profile>::default(), Settings::default());
    let mut alarms = Vec::new();
    for (at, value) in &series.rows {
        let sample = Sample { at: *at, week_s: generator::week_second(*at), value: *value };
        let judgement = profile.observe(&sample, &settings);
        let found = judgement.findings().find(|(_, level, _)| *level == Level::Anomaly);
        alarms.extend(found.map(|(detector, _, _)| (*at, detector.name())));
    }
    alarms
}

#[test]
fn most_events_are_found_and_few_alarms_are_false() {
    let mut score = Score::default();
    for kind in 0..generator::KINDS_OF_SERIES {
        let series = generator::series(3, kind);
        score.add(&series, &alarms(&series));
    }
    assert!(score.recall() > 0.65, "recall {}", score.recall());
    assert!(score.precision() > 0.7, "precision {}", score.precision());
    assert!(score.false_per_week() < 0.25, "false alarms {}", score.false_per_week());
    assert_eq!(score.late_gaps, 0, "gaps that were told after more than three minutes");
}

#[test]
fn a_sample_asks_for_no_memory() {
    let series = generator::series(1, 0);
    let (mut profile, settings) = (Box::<Profile>::default(), Settings::default());
    let mut findings = 0;
    let before = ASKED.get();
    for (at, value) in &series.rows {
        let sample = Sample { at: *at, week_s: generator::week_second(*at), value: *value };
        findings += profile.observe(&sample, &settings).findings().count();
    }
    assert_eq!(ASKED.get(), before);
    assert!(findings > 0 && PROFILE_BYTES <= 8_192);
}

#[test]
fn wild_values_and_clocks_are_survived() {
    let settings = Settings { learning_s: 3_600, ..Settings::default() };
    let mut profile = Box::<Profile>::default();
    let values = [0.0, -0.0, 1e308, -1e308, f64::MIN_POSITIVE, f64::NAN, f64::INFINITY, 1.0, 1.0, 1e-300, -7.5];
    let mut at = 0_i64;
    for number in 0..20_000_i64 {
        at += [150, 0, 10, -4_000, 300, 1, 90_000, 150][(number % 8) as usize];
        let value = (number % 13 != 0).then(|| values[(number % 11) as usize]);
        let week_s = u32::try_from(at.rem_euclid(1 << 20)).expect("small");
        let judgement = profile.observe(&Sample { at, week_s, value }, &settings);
        assert!(judgement.findings().all(|(_, _, score)| !score.is_nan()), "at {at}");
    }
    for at in [i64::MIN, i64::MAX, 0, i64::MAX, i64::MIN] {
        profile.observe(&Sample { at, week_s: u32::MAX, value: Some(1.0) }, &settings);
        profile.observe(&Sample { at, week_s: 0, value: None }, &settings);
    }
}

#[test]
fn a_steady_quantity_is_left_alone_and_a_jump_of_it_is_not() {
    let settings = Settings::default();
    let mut profile = Box::<Profile>::default();
    let mut found = Vec::new();
    for number in 0..(40 * DAY / 60) {
        let at = number * 60;
        let value = if (38 * DAY..38 * DAY + 600).contains(&at) { 9.0 } else { 4.0 };
        let week_s = u32::try_from(at % (7 * DAY)).expect("a week");
        let judgement = profile.observe(&Sample { at, week_s, value: Some(value) }, &settings);
        found
            .extend(judgement.findings().filter(|(_, level, _)| *level == Level::Anomaly).map(|(what, ..)| (at, what)));
    }
    let first = *found.first().expect("the jump is found");
    assert_eq!(first, (38 * DAY, Detector::High));
    assert!(found.iter().all(|(at, _)| *at < 38 * DAY + DAY), "it ends: {:?}", found.last());
}

/// Runs of alarms of one detector, an hour or more apart, in each week.
fn runs_in_weeks(weeks: i64, wanted: &[Detector], value: &mut dyn FnMut(i64) -> f64) -> Vec<usize> {
    let settings = Settings::default();
    let mut profile = Box::<Profile>::default();
    let (mut runs, mut last) = (vec![0; weeks as usize], i64::MIN);
    for at in (0..weeks * 7 * DAY).step_by(150) {
        let week_s = u32::try_from(at % (7 * DAY)).expect("a week");
        let judgement = profile.observe(&Sample { at, week_s, value: Some(value(at)) }, &settings);
        let is_wanted = |(what, level, _): (Detector, Level, f32)| level == Level::Anomaly && wanted.contains(&what);
        if judgement.findings().any(is_wanted) {
            runs[(at / (7 * DAY)) as usize] += usize::from(at - last.max(-DAY) > 3_600);
            last = at;
        }
    }
    runs
}

#[test]
fn a_quantity_that_comes_to_rest_is_not_called_flat_for_ever() {
    let mut dice = generator::Dice::new(5);
    let mut noise = move || dice.normal();
    // Lively for six weeks, then nothing but a value now and then.
    let runs = runs_in_weeks(10, &[Detector::Flat], &mut |at| {
        let sign = noise();
        if at < 42 * DAY { 10.0 + sign } else { f64::from(u8::from(sign > 2.3)) }
    });
    assert!(runs[6] > 0, "it is told at first: {runs:?}");
    assert!(runs[8..].iter().sum::<usize>() <= 2, "and not for ever: {runs:?}");
}

/// Values that are missing, as places in a series of one step: how many of them are alarms.
fn told_missing(step: i64, missing: &dyn Fn(i64) -> bool) -> Vec<i64> {
    let (mut profile, settings) = (Box::<Profile>::default(), Settings::default());
    let mut dice = generator::Dice::new(3);
    let mut told = Vec::new();
    for number in 0..17 * DAY / step {
        let at = number * step;
        let value = (!missing(number)).then(|| 50.0 + dice.normal());
        let week_s = u32::try_from(at % (7 * DAY)).expect("a week");
        let judgement = profile.observe(&Sample { at, week_s, value }, &settings);
        told.extend(judgement.findings().any(|(what, ..)| what == Detector::Missing).then_some(number));
    }
    told
}

#[test]
fn a_gap_is_told_within_three_minutes_at_any_step_and_lost_values_are_no_gaps() {
    for step in [10, 30, 60, 90, 150, 300] {
        let (from, long) = (16 * DAY / step, (1_800 / step).max(4));
        let told = told_missing(step, &|number| (from..from + long).contains(&number));
        let first = *told.first().expect("it is told");
        assert!(first >= from && (first - from) * step <= 180, "{step} s: after {} s", (first - from) * step);
        assert_eq!(told.last(), Some(&(from + long - 1)), "{step} s: to its end");
        // One value in 400 is lost all the time.
        let told = told_missing(step, &|number| number % 397 == 5);
        assert!(told.len() <= 3, "{step} s: {told:?}");
    }
}

#[test]
fn what_alarms_every_day_alarms_less_and_less() {
    let mut dice = generator::Dice::new(9);
    let mut number = move || dice.between(0.0, 1.0);
    let mut spikes = Vec::new();
    let mut begin = 28.0 * DAY as f64;
    while begin < 84.0 * DAY as f64 {
        spikes.push(begin as i64);
        begin += (0.4 + 0.8 * number()) * DAY as f64;
    }
    let mut dice = generator::Dice::new(7);
    let runs = runs_in_weeks(12, &[Detector::High], &mut |at| {
        let spike = spikes.iter().any(|from| (*from..from + 450).contains(&at));
        100.0 + dice.normal() + if spike { 14.0 } else { 0.0 }
    });
    let (first, last) = (runs[4..6].iter().sum::<usize>(), runs[10..].iter().sum::<usize>());
    assert!(first >= 6 && last * 2 <= first, "{runs:?}");
}

/// The rows as a file.
fn csv(series: &Series) -> String {
    let mut text = String::from("ts,value\n");
    for (at, value) in &series.rows {
        let value = value.map(|value| value.to_string()).unwrap_or_default();
        writeln!(text, "{at},{value}").expect("memory");
    }
    text
}

fn learn(scratch: &Scratch, name: &str, text: &str, more: &[&str]) -> (i32, String, String) {
    let (from, to) = (scratch.path(&format!("{name}.csv")), scratch.path(&format!("{name}.out")));
    std::fs::write(&from, text).expect("a scratch place can be written");
    let mut command = Command::new(binary());
    let output = command.arg("learn").arg("--replay").arg(from).arg(&to).args(more).output().expect("it runs");
    let said = String::from_utf8(output.stderr).expect("text");
    (output.status.code().unwrap_or(-1), std::fs::read_to_string(to).unwrap_or_default(), said)
}

/// Runs of alarms within three days of the change of the clock, where weeks are counted so.
fn near_the_change(series: &Series, week: fn(i64) -> u32) -> usize {
    let (mut profile, settings) = (Box::<Profile>::default(), Settings::default());
    let is_other = |at: &i64| generator::offset(*at) != generator::offset(series.begin);
    let change = series.rows.iter().map(|(at, _)| *at).find(is_other).expect("the clock changes in these weeks");
    let (mut runs, mut last) = (0, 0);
    for (at, value) in series.rows.iter().take_while(|(at, _)| *at < change + 3 * DAY) {
        let judgement = profile.observe(&Sample { at: *at, week_s: week(*at), value: *value }, &settings);
        if *at >= change - 3_600 && judgement.level == Level::Anomaly {
            runs += usize::from(at - last > 3_600);
            last = *at;
        }
    }
    runs
}

#[test]
fn a_change_of_the_clock_is_no_alarm() {
    let utc = |at: i64| u32::try_from((at - 4 * DAY).rem_euclid(7 * DAY)).expect("a week");
    let (mut local_runs, mut utc_runs, mut ways) = (0, 0, [0; 2]);
    for seed in 1..=4 {
        for kind in [0, 4] {
            let series = generator::calm(seed, kind);
            ways[usize::from(generator::offset(series.begin) == 3_600)] += 1;
            local_runs += near_the_change(&series, generator::week_second);
            utc_runs += near_the_change(&series, utc);
        }
    }
    assert!(ways.iter().all(|count| *count > 0), "forward and back: {ways:?}");
    // These are three weeks: one or two come by chance.
    assert!(local_runs <= 4 && utc_runs > 6 * local_runs.max(1), "{local_runs}, and {utc_runs} by universal time");
}

#[test]
fn a_zone_is_known_also_where_no_files_of_zones_are() {
    let scratch = Scratch::new("learner-zones");
    let series = generator::series(2, 0);
    let input = scratch.path("in.csv");
    std::fs::write(&input, csv(&series)).expect("a scratch place can be written");
    let run = |zone: &str, name: &str| {
        let output = scratch.path(name);
        let mut command = Command::new(binary());
        command.args(["learn", "--tz", zone, "--replay"]).arg(&input).arg(&output).env("TZDIR", "/nowhere");
        let done = command.output().expect("it runs");
        (done.status.code(), std::fs::read_to_string(output).unwrap_or_default())
    };
    let (code, by_name) = run("Europe/Paris", "name.csv");
    let (_, by_rule) = run("CET-1CEST,M3.5.0,M10.5.0/3", "rule.csv");
    let (_, elsewhere) = run("UTC", "utc.csv");
    assert_eq!(code, Some(0));
    assert!(by_name == by_rule, "the rule of the zone");
    assert!(by_name != elsewhere && by_name.lines().count() > 10, "{}", by_name.len());
    assert_eq!(run("Europe/Atlantis", "none.csv").0, Some(2));
}

#[test]
fn the_command_says_what_it_cannot_use() {
    let scratch = Scratch::new("learner-command");
    let (code, written, said) = learn(&scratch, "a", "ts,value\n150,1\nx,1\n300,2\n", &["--tz", "UTC"]);
    assert_eq!((code, written.as_str()), (2, "ts,series,detector,score\n"));
    assert!(said.contains("a.csv:3: cannot read the time `x`"), "{said}");
    for (more, word) in
        [(["--tz", "Europe/Atlantis"], "zone"), (["--learning", "soon"], "days"), (["x", "y"], "replay")]
    {
        let (code, _, said) = learn(&scratch, "b", "", &more);
        assert_eq!((code, said.contains(word)), (2, true), "{said}");
    }
    let nowhere = Command::new(binary()).args(["learn", "--replay", "/nowhere/in.csv", "/nowhere/out.csv"]).output();
    assert_eq!(nowhere.expect("it runs").status.code(), Some(1));
}

/// Real series, where somebody has put the Numenta Anomaly Benchmark: `WATCHD_NAB` names its directory.
#[test]
fn real_series_are_survived() {
    let Some(place) = std::env::var_os("WATCHD_NAB").map(std::path::PathBuf::from) else {
        // Data, not a program that could be installed: never required.
        eprintln!("SKIPPED: WATCHD_NAB does not name the directory of the Numenta Anomaly Benchmark");
        return;
    };
    let scratch = Scratch::new("learner-nab");
    let mut seen = 0;
    for folder in std::fs::read_dir(place.join("data")).expect("there is data").flatten() {
        let Ok(files) = std::fs::read_dir(folder.path()) else { continue };
        for file in files.flatten() {
            let text = std::fs::read_to_string(file.path()).expect("a series is text");
            let (code, written, said) = learn(&scratch, "nab", &text, &["--tz", "UTC", "--learning", "3"]);
            assert!(code == 0 || said.contains("does not lie after"), "{}: {said}", file.path().display());
            assert!(written.starts_with("ts,series"));
            seen += 1;
        }
    }
    assert!(seen > 40, "{seen} series");
}
