//! CPU time of one cycle at its real period of a second, with and without 3,000 more processes, beside a C loop that only reads.
//!
//! The loop (`peers/look.c`) opens, reads and closes the files that the daemon reads, cycle by cycle as strace saw it; or it reads those that
//! the daemon holds open, found through /proc/PID/fd, and lists /proc. Ten watched daemons. CPU time is the kernel's own count for each
//! process, and for its ended children.
//!
//!     cargo bench --bench cpu

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::cast_precision_loss)]

#[path = "../tests/harness/mod.rs"]
mod harness;

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use harness::{Home, look, pause};
use nix::sys::signal::{Signal, kill};
use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;
use watchd::model::ServiceState;

const CYCLES: u32 = 20;
const WATCHED: usize = 10;
const CROWD: usize = 3_000;

fn main() {
    assert!(harness::is_release(), "a debug build says nothing; use `cargo bench`, or name a program in WATCHD_BIN");
    let home = Home::new("cpu", &config());
    for name in ["stamp", "look", "crowd"] {
        home.scratch.program(&format!("{name}.c"), name);
    }
    println!("{:<44}{:>10}{:>16}", "CPU per cycle of 1 s", "processes", "ms per cycle");
    measure(&home);
    let mut crowd = crowd(&home);
    measure(&home);
    let _ = crowd.kill();
    let _ = crowd.wait();
}

fn config() -> String {
    let mut text = String::from("[watchd]\ncycle = \"1s\"\n");
    for id in 0..WATCHED {
        text += &format!("[process.service{id}]\nrun = [\"@/stamp\", \"@/service{id}\"]\n");
    }
    text
}

fn measure(home: &Home) {
    let processes = look::pids().len();
    let mut daemon = home.start();
    for id in 0..WATCHED {
        daemon.wait_state(&format!("service{id}"), ServiceState::Ready);
    }
    let files = held(daemon.pid());
    let watchd = per_cycle(&look::family(daemon.pid()));
    let list = seen(home, daemon.pid());
    // Its services live on, to be read by the floor.
    drop(daemon);
    println!("{:<44}{processes:>10}{watchd:>16.3}", "watchd");

    let modes = [
        ("same", "floor: all it reads, open, read, close"),
        ("keep", "floor: what it holds open, kept open"),
        ("open", "floor: what it holds open, open, read, close"),
        ("all", "floor: and every /proc/PID/stat"),
    ];
    for (mode, name) in modes {
        let mut command = Command::new(home.scratch.path("look"));
        command.args([mode, "1000"]);
        match (mode, &list) {
            ("same", None) => {
                println!("{name:<44} left out: there is no strace");
                continue;
            }
            ("same", Some(list)) => command.arg(list),
            _ => command.args(&files),
        };
        let mut child = command.spawn().expect("the floor can be started");
        pause(Duration::from_secs(2));
        let floor = per_cycle(&[i32::try_from(child.id()).expect("pids are small")]);
        let _ = child.kill();
        let _ = child.wait();
        println!("{name:<44}{processes:>10}{floor:>16.3}   watchd is {:.2} of it", watchd / floor);
    }
    home.scratch.end_all_but("crowd");
}

/// Milliseconds of CPU per cycle of all these together.
fn per_cycle(pids: &[i32]) -> f64 {
    let before: Duration = pids.iter().map(|pid| used(*pid)).sum();
    pause(Duration::from_secs(1) * CYCLES);
    let after: Duration = pids.iter().map(|pid| used(*pid)).sum();
    after.saturating_sub(before).as_secs_f64() * 1_000.0 / f64::from(CYCLES)
}

/// CPU time of a process, to the nanosecond, and of the children it has reaped, to the tick.
fn used(pid: i32) -> Duration {
    let clock = clock_getcpuclockid(Pid::from_raw(pid)).expect("it lives");
    let own = Duration::from(clock_gettime(clock).expect("its clock can be read"));
    own + Duration::from_millis(look::stat(pid).map_or(0, |stat| stat.children_ticks) * 10)
}

/// Files and directories that the daemon reads in some cycles, its own data aside, as `look same` wants them; none without strace.
fn seen(home: &Home, pid: i32) -> Option<PathBuf> {
    let trace = home.scratch.path("trace");
    let mut strace = Command::new("strace");
    strace.args(["-f", "-y", "-ttt", "-e", "trace=read,pread64,getdents64", "-p", &pid.to_string(), "-o"]).arg(&trace);
    let mut strace = strace.stderr(Stdio::null()).spawn().ok()?;
    pause(Duration::from_secs(1) * CYCLES);
    let _ = kill(Pid::from_raw(i32::try_from(strace.id()).expect("pids are small")), Signal::SIGINT);
    let _ = strace.wait();
    let trace = fs::read_to_string(&trace).ok()?;
    // `2242 1764406359.322888 pread64(38</proc/stat>, "…", 16384, 0) = 1214`
    let own = home.scratch.dir.to_string_lossy();
    let mut cycles: BTreeMap<u64, Vec<&str>> = BTreeMap::new();
    for line in trace.lines() {
        let mut words = line.split_ascii_whitespace();
        let Some(second) = words.nth(1).and_then(|time| time.split('.').next()?.parse().ok()) else { continue };
        let path = line.split_once('<').and_then(|(_, rest)| Some(rest.split_once(">,")?.0));
        let Some(path) = path.filter(|path| path.starts_with('/') && !path.starts_with(&*own)) else { continue };
        let cycle = cycles.entry(second).or_default();
        if !cycle.contains(&path) {
            cycle.push(path);
        }
    }
    let list: Vec<String> = cycles.values().map(|paths| paths.join("\n")).collect();
    Some(home.scratch.write("list", &(list.join("\n\n") + "\n")))
}

/// The files below /proc and /sys that the daemon holds open.
fn held(pid: i32) -> Vec<PathBuf> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).expect("it lives");
    let targets = entries.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    targets.filter(|path| (path.starts_with("/proc") || path.starts_with("/sys")) && path.is_file()).collect()
}

/// Three thousand more processes that sleep.
fn crowd(home: &Home) -> Child {
    let mut command = Command::new(home.scratch.path("crowd"));
    let mut child = command.arg(CROWD.to_string()).stdout(Stdio::piped()).spawn().expect("the crowd can be started");
    let mut ready = [0; 6];
    child.stdout.take().expect("it is piped").read_exact(&mut ready).expect("the crowd says when it is there");
    child
}
