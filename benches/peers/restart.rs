//! The same daemon under watchd and under others, killed in the same way in the same minute: who has it back how soon.
//!
//! All supervisors run at once and are taken in turn, so that what else the machine does falls on all of them. Every copy has lived
//! 1.2 s before it is killed: runit, s6 and supervisord hold back what died within its first second. The first instruction is a
//! clock reading at the top of `main` in `stamp.c`. A peer that is not installed is left out.
//!
//!     cargo bench --bench peers

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../../tests/harness/mod.rs"]
mod harness;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use harness::{Home, until};
use nix::sys::signal::{Signal, kill};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;

const KILLS: usize = 25;
const LIFE: Duration = Duration::from_millis(1200);

/// Somebody who keeps a daemon alive, and the file with that daemon's stamps.
struct Keeper {
    name: &'static str,
    stamps: PathBuf,
    process: Option<Child>,
    times: Vec<f64>,
}

fn main() {
    assert!(harness::is_release(), "a debug build says nothing; use `cargo bench`, or name a program in WATCHD_BIN");
    let home = Home::new("peers", CONFIG);
    home.scratch.program("stamp.c", "stamp");
    home.scratch.program("floor.c", "floor");
    for name in ["floors", "runit", "s6"] {
        fs::create_dir(home.scratch.path(name)).expect("a directory can be made");
    }
    for (place, stamps) in [("script", "scripted"), ("runit/run", "runit.stamps"), ("s6/run", "s6.stamps")] {
        let text = format!("#!/bin/sh\nexec {} {}\n", home.scratch.text("stamp"), home.scratch.text(stamps));
        let path = home.scratch.write(place, &text);
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("it is ours");
    }
    let daemon = home.spawn();
    let mut keepers = keepers(&home);
    for _ in 0..KILLS {
        for keeper in &mut keepers {
            keeper.kill_once();
        }
    }
    for keeper in &mut keepers {
        if let Some(process) = &mut keeper.process {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
    daemon.kill();
    print(keepers);
}

const CONFIG: &str = r#"[watchd]
cycle = "10s"
[process.own]
run = ["@/stamp", "@/own"]
limit = "1000/10m"
[process.scripted]
run = ["@/script"]
limit = "1000/10m"
[process.forked]
pidfile = "@/forked.pid"
start = ["@/stamp", "@/forked", "@/forked.pid"]
limit = "1000/10m"
"#;

fn keepers(home: &Home) -> Vec<Keeper> {
    let path = |name: &str| home.scratch.text(name);
    let supervisor = format!(
        "[supervisord]\nnodaemon=true\nlogfile=/dev/null\nlogfile_maxbytes=0\npidfile={}\n\
         [program:stamp]\ncommand={} {}\nautorestart=true\nstartretries=100000\n",
        path("supervisord.pid"),
        path("stamp"),
        path("supervisord.stamps"),
    );
    home.scratch.write("supervisord.conf", &supervisor);
    let monit = format!(
        "set daemon 1\nset log {}\nset pidfile {}\nset idfile {}\nset statefile {}\n\
         check process stamp with pidfile {}\n  start program = \"{} {} {}\"\n",
        path("monit.log"),
        path("monit.own"),
        path("monit.id"),
        path("monit.state"),
        path("monit.pid"),
        path("stamp"),
        path("monit.stamps"),
        path("monit.pid"),
    );
    let monitrc = home.scratch.write("monitrc", &monit);
    fs::set_permissions(monitrc, fs::Permissions::from_mode(0o600)).expect("it is ours");
    let lines: [(&'static str, &str, Vec<String>); 8] = [
        ("floor: pidfd, vfork, exec in C", "floors/0", vec![path("floor"), "1".into(), path("stamp"), path("floors")]),
        ("watchd, own child", "own", Vec::new()),
        ("watchd, own child, `sh` script", "scripted", Vec::new()),
        ("watchd, pidfile, forks twice", "forked", Vec::new()),
        ("runit, `sh` script", "runit.stamps", vec!["runsv".into(), path("runit")]),
        ("s6, `sh` script", "s6.stamps", vec!["s6-supervise".into(), path("s6")]),
        (
            "supervisord",
            "supervisord.stamps",
            vec!["supervisord".into(), "-n".into(), "-c".into(), path("supervisord.conf")],
        ),
        (
            "monit, pidfile, polls every 1 s",
            "monit.stamps",
            vec!["monit".into(), "-I".into(), "-c".into(), path("monitrc")],
        ),
    ];
    lines.into_iter().filter_map(|(name, stamps, line)| Keeper::start(name, home.scratch.path(stamps), &line)).collect()
}

impl Keeper {
    /// None when the program is not here. An empty line is watchd's, which runs already.
    fn start(name: &'static str, stamps: PathBuf, line: &[String]) -> Option<Self> {
        let process = match line.split_first() {
            None => None,
            Some((program, args)) => {
                let mut command = Command::new(program);
                command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
                match command.spawn() {
                    Ok(process) => Some(process),
                    Err(error) => {
                        harness::skip(&format!("{name} cannot be started: {error}"));
                        return None;
                    }
                }
            }
        };
        Some(Self { name, stamps, process, times: Vec::new() })
    }

    fn kill_once(&mut self) {
        let count = self.times.len() + 1;
        let (began, pid) = stamp(&self.stamps, count);
        until("a life of 1.2 s", || (now() >= began + LIFE).then_some(()));
        let killed = now();
        kill(Pid::from_raw(pid), Signal::SIGKILL).expect("it lives");
        let (again, _) = stamp(&self.stamps, count + 1);
        self.times.push(again.saturating_sub(killed).as_secs_f64() * 1_000.0);
    }
}

fn now() -> Duration {
    Duration::from(clock_gettime(ClockId::CLOCK_MONOTONIC).expect("there is a clock"))
}

/// Waits for stamp number `count`: when the program began, and its pid.
fn stamp(path: &Path, count: usize) -> (Duration, i32) {
    until(&format!("stamp {count} in {}", path.display()), || {
        let text = fs::read_to_string(path).ok()?;
        let line = text.lines().nth(count - 1)?;
        let mut fields = line.split(' ');
        let began = fields.next()?.parse().ok()?;
        Some((Duration::from_nanos(began), fields.nth(1)?.parse().ok()?))
    })
}

fn print(keepers: Vec<Keeper>) {
    let sorted = |mut times: Vec<f64>| {
        times.sort_by(f64::total_cmp);
        times
    };
    let rows: Vec<(&str, Vec<f64>)> = keepers.into_iter().map(|keeper| (keeper.name, sorted(keeper.times))).collect();
    let median = |times: &[f64]| times[times.len() / 2];
    let base = median(&rows[0].1);
    println!(
        "| kill to first instruction, {KILLS} kills each | median | worst | median of the floor's |\n|---|---|---|---|"
    );
    for (name, times) in &rows {
        let (middle, worst) = (median(times), times[times.len() - 1]);
        println!("| {name} | {middle:.2} ms | {worst:.2} ms | {:.1} |", middle / base);
    }
}
