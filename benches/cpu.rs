//! CPU time of one cycle at its real period of a second, with and without 3,000 more processes, beside a C loop that only reads.
//!
//! The loop (`peers/look.c`) reads the files that the daemon holds open, found through /proc/PID/fd, and lists /proc. Ten watched
//! daemons. CPU time is the kernel's own count for each process, and for its ended children.
//!
//!     cargo bench --bench cpu

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::cast_precision_loss)]

#[path = "../tests/harness/mod.rs"]
mod harness;

use std::fs;
use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use harness::{Home, look, pause};
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
    drop(daemon);
    home.scratch.end_all_but("crowd");
    println!("{:<44}{processes:>10}{watchd:>16.3}", "watchd");

    let modes = [
        ("keep", "floor: the same files, kept open"),
        ("open", "floor: the same files, open, read, close"),
        ("all", "floor: and every /proc/PID/stat"),
    ];
    for (mode, name) in modes {
        let mut command = Command::new(home.scratch.path("look"));
        let mut child = command.args([mode, "1000"]).args(&files).spawn().expect("the floor can be started");
        pause(Duration::from_secs(2));
        let floor = per_cycle(&[i32::try_from(child.id()).expect("pids are small")]);
        let _ = child.kill();
        let _ = child.wait();
        println!("{name:<44}{processes:>10}{floor:>16.3}   watchd is {:.2} of it", watchd / floor);
    }
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
