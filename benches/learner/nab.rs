//! The series of the Numenta Anomaly Benchmark, most of them real, through `watchd learn --replay`: a smoke test, since what its labels call
//! an anomaly is disputed.
//!
//! Nothing of it is kept here: `WATCHD_NAB` names a checkout of github.com/numenta/NAB (its `data` and its `labels`), or it lies beside this
//! one as `NAB`. Its series last two weeks to a year: the first half is learned from, at least three days and at most four weeks, and windows that
//! begin before are not counted. So most are judged by a single week, in which no hour of the week came twice.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use watchd::learn::replay::time_of;

use super::generator::{DAY, Dice};
use super::score::runs;

/// Names of series, and the windows in which an alarm is expected.
type Windows = BTreeMap<String, Vec<(String, String)>>;

/// What came of one series, or of all.
#[derive(Default)]
struct Sum {
    windows: usize,
    hits: usize,
    runs: usize,
    outside: usize,
    lucky: f64,
    days: f64,
}

/// Where the data lie, when they are here.
pub fn find() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../NAB");
    let dir = std::env::var_os("WATCHD_NAB").map_or(beside, PathBuf::from);
    dir.join("labels/combined_windows.json").is_file().then_some(dir)
}

pub fn measure(dir: &Path) {
    let labels = fs::read(dir.join("labels/combined_windows.json")).expect("there are labels");
    let labels: Windows = serde_json::from_slice(&labels).expect("the labels are lists of pairs of times");
    let out = std::env::temp_dir().join(format!("watchd-nab-{}.csv", std::process::id()));
    println!("{:<58}{:>6}{:>6}{:>9}{:>6}{:>7}{:>9}", "series", "days", "learn", "windows", "hit", "luck", "outside");
    let (mut all, mut real) = (Sum::default(), Sum::default());
    for (name, windows) in &labels {
        let Some((sum, days, learned)) = one(&dir.join("data").join(name), windows, &out) else {
            println!("{name:<58} is not there");
            continue;
        };
        println!(
            "{name:<58}{days:>6.1}{learned:>6}{:>9}{:>6}{:>7.1}{:>9}",
            sum.windows, sum.hits, sum.lucky, sum.outside
        );
        if name.starts_with("real") {
            real.add(&sum);
        }
        all.add(&sum);
    }
    let _ = fs::remove_file(out);
    all.print("all");
    real.print("real ones");
}

impl Sum {
    fn add(&mut self, other: &Self) {
        self.windows += other.windows;
        self.hits += other.hits;
        self.runs += other.runs;
        self.outside += other.outside;
        self.lucky += other.lucky;
        self.days += other.days;
    }

    fn print(&self, name: &str) {
        let share = |part: f64| 100.0 * part / self.windows.max(1) as f64;
        println!(
            "{name}: {} of {} windows hit ({:.0} %; as many alarms at random times: {:.0} %), {} runs of alarms, {} outside of any window \
             ({:.2} per series and week)",
            self.hits,
            self.windows,
            share(self.hits as f64),
            share(self.lucky),
            self.runs,
            self.outside,
            self.outside as f64 / (self.days / 7.0).max(1.0)
        );
    }
}

/// Runs one series through the program: what came of it, how many days it has, and of how many it learned.
fn one(data: &Path, windows: &[(String, String)], out: &Path) -> Option<(Sum, f64, i64)> {
    let text = fs::read_to_string(data).ok()?;
    let times: Vec<i64> = text.lines().filter_map(|row| time_of(row.split(',').next()?)).collect();
    let (begin, end) = (*times.first()?, *times.last()?);
    let learn = ((end - begin) / 2 / DAY).clamp(3, 28);
    let mut replay = Command::new(env!("CARGO_BIN_EXE_watchd"));
    replay.args(["learn", "--tz", "UTC", "--learning", &learn.to_string(), "--replay"]).arg(data).arg(out);
    // Rows of the hour that comes twice in autumn are told, and no use.
    let told = replay.output().expect("watchd can be run");
    assert!(matches!(told.status.code(), Some(0 | 2)), "{}", String::from_utf8_lossy(&told.stderr));
    let alarms = fs::read_to_string(out).expect("it was written");
    let alarms: Vec<(i64, &str)> =
        alarms.lines().filter_map(|row| Some((row.split(',').next()?.parse().ok()?, ""))).collect();
    let judged = begin + learn * DAY;
    let windows: Vec<(i64, i64)> = windows
        .iter()
        .filter_map(|(from, to)| Some((time_of(from)?, time_of(to)?)))
        .filter(|one| one.0 >= judged)
        .collect();
    let found = runs(0, &alarms);
    let touches = |run: &(i64, i64), window: &(i64, i64)| run.0 <= window.1 && run.1 >= window.0;
    let found: Vec<(i64, i64)> = found.iter().map(|run| (run.0, run.1)).filter(|run| run.0 >= judged).collect();
    let sum = Sum {
        windows: windows.len(),
        hits: windows.iter().filter(|window| found.iter().any(|run| touches(run, window))).count(),
        runs: found.len(),
        outside: found.iter().filter(|run| !windows.iter().any(|window| touches(run, window))).count(),
        lucky: luck(&windows, &found, (judged, end)),
        days: (end - judged) as f64 / DAY as f64,
    };
    Some((sum, (end - begin) as f64 / DAY as f64, learn))
}

/// Windows that the same runs hit on average when thrown at random over the time that is judged.
fn luck(windows: &[(i64, i64)], runs: &[(i64, i64)], (from, to): (i64, i64)) -> f64 {
    const THROWS: u32 = 200;
    let mut dice = Dice::new(77);
    let mut hits = 0_u32;
    for _ in 0..THROWS {
        let throw = |run: &(i64, i64), dice: &mut Dice| {
            let at = dice.between(from as f64, ((to - (run.1 - run.0)).max(from)) as f64) as i64;
            (at, at + run.1 - run.0)
        };
        let thrown: Vec<(i64, i64)> = runs.iter().map(|run| throw(run, &mut dice)).collect();
        let is_hit = |window: &&(i64, i64)| thrown.iter().any(|run| run.0 <= window.1 && run.1 >= window.0);
        hits += u32::try_from(windows.iter().filter(is_hit).count()).unwrap_or_default();
    }
    f64::from(hits) / f64::from(THROWS)
}
