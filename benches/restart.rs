//! From the kill of a daemon to the first instruction of its replacement, beside the least that a supervisor can be.
//!
//! Three own children, three daemons with a pidfile that fork twice, one that is only known by its name; each is killed 25 times
//! after it has lived through `settle`. The floor (`peers/floor.c`) does the same with three children in the same run. The first
//! instruction is a clock reading at the top of `main` in `peers/stamp.c`.
//!
//!     cargo bench --bench restart

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../tests/harness/mod.rs"]
mod harness;

use std::fs;
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use harness::{Home, pause, until};
use nix::sys::signal::{Signal, kill};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;

const KILLS: usize = 25;
const SETTLE: Duration = Duration::from_millis(60);

/// What is killed: how its stamps are called, how many of them there are, and what the report calls it.
const KINDS: [(&str, usize, &str); 3] = [
    ("own", 3, "watchd: own children"),
    ("fork", 3, "watchd: pidfile, forking"),
    ("found", 1, "watchd: found by name"),
];

fn main() {
    assert!(harness::is_release(), "a debug build says nothing; use `cargo bench`, or name a program in WATCHD_BIN");
    let home = Home::new("restart", &config());
    let stamp = home.scratch.program("stamp.c", "stamp");
    fs::copy(stamp, home.scratch.path("found-by-name")).expect("a program can be copied");
    home.scratch.program("floor.c", "floor");
    fs::create_dir_all(home.scratch.path("floors")).expect("a directory can be made");

    let mut floor = start_floor(&home);
    let base = kill_all(&home, "floors/", 3);
    let _ = floor.kill();
    let _ = floor.wait();
    println!("kill to first instruction    kills   min ms   median      p99    worst   median of the floor's");
    base.print("floor: pidfd, vfork, exec", &base);

    let _daemon = home.start();
    for (kind, count, name) in KINDS {
        kill_all(&home, kind, count).print(name, &base);
    }
}

fn kill_all(home: &Home, kind: &str, count: usize) -> Spread {
    let places = (0..count).map(|id| home.scratch.path(&format!("{kind}{id}")));
    Spread::of(places.flat_map(|place| kill_often(&place)).collect())
}

fn config() -> String {
    let common = "settle = \"50ms\"\nlimit = \"1000/10m\"\nbackoff = [\"10ms\", \"100ms\"]\n";
    let mut text = String::from("[watchd]\ncycle = \"10s\"\n");
    for id in 0..3 {
        text += &format!("[process.own{id}]\nrun = [\"@/stamp\", \"@/own{id}\"]\n{common}");
        let start = format!("start = [\"@/stamp\", \"@/fork{id}\", \"@/fork{id}.pid\"]");
        text += &format!("[process.fork{id}]\npidfile = \"@/fork{id}.pid\"\n{start}\n{common}");
    }
    let start = "start = [\"@/found-by-name\", \"@/found0\", \"@/found0.pid\"]";
    text + &format!("[process.found0]\nmatch = \"@/found-by-name\"\n{start}\n{common}")
}

fn start_floor(home: &Home) -> Child {
    let mut command = Command::new(home.scratch.path("floor"));
    command.arg("3").arg(home.scratch.path("stamp")).arg(home.scratch.path("floors"));
    command.spawn().expect("the floor can be started")
}

/// Milliseconds from each kill to the next stamp.
fn kill_often(stamps: &Path) -> Vec<f64> {
    (1..=KILLS)
        .map(|round| {
            let (_, pid) = stamp(stamps, round);
            pause(SETTLE * 2);
            let killed = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("there is a clock");
            kill(Pid::from_raw(pid), Signal::SIGKILL).expect("it lives");
            let (began, _) = stamp(stamps, round + 1);
            let killed = Duration::from(killed);
            (began.saturating_sub(killed)).as_secs_f64() * 1_000.0
        })
        .collect()
}

/// Waits for stamp number `count`: when the program began, and its pid.
fn stamp(path: &Path, count: usize) -> (Duration, i32) {
    until("a stamp", || {
        let text = fs::read_to_string(path).ok()?;
        let line = text.lines().nth(count - 1)?;
        let mut fields = line.split(' ');
        let began = fields.next()?.parse().ok()?;
        Some((Duration::from_nanos(began), fields.nth(1)?.parse().ok()?))
    })
}

struct Spread(Vec<f64>);

impl Spread {
    fn of(mut times: Vec<f64>) -> Self {
        times.sort_by(f64::total_cmp);
        Self(times)
    }

    /// Of a hundred, how many are no longer; the nearest that was measured.
    fn at(&self, percent: usize) -> f64 {
        self.0[(self.0.len() * percent / 100).min(self.0.len() - 1)]
    }

    fn print(&self, name: &str, base: &Self) {
        let (min, median, p99, worst) = (self.at(0), self.at(50), self.at(99), self.at(100));
        let ratio = median / base.at(50);
        println!("{name:<26}{:>8}{min:>9.2}{median:>9.2}{p99:>9.2}{worst:>9.2}{ratio:>9.2}", self.0.len());
    }
}
