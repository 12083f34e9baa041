//! Hosts that do not cooperate: no room under a pidfile, daemons that others start, services that stand still.
//!
//! Nothing here depends on how long a thing takes.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use std::fs;
use std::path::Path;
use std::process::Command;

use harness::{Daemon, Home, is_root, look, skip};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use watchd::model::ServiceState;
use watchd::store::board;

const QUICK: &str = "settle = \"50ms\"\nbackoff = [\"10ms\", \"50ms\"]\nlimit = \"100/1d\"\nwait-for-host = false\n\
                     signals = [\"term\", \"200ms\", \"kill\"]\ntimeout = \"10s\"\n";

/// A daemon that forks twice and writes its pidfile.
fn forking(id: &str) -> String {
    format!("[process.{id}]\npidfile = \"@/{id}.pid\"\nstart = [\"@/stamp\", \"@/{id}\", \"@/{id}.pid\"]\n{QUICK}")
}

fn reason(daemon: &mut Daemon<'_>, id: &str, part: &str) {
    daemon.wait_for(&format!("{id}: {part}"), |snapshot| {
        snapshot.service(id).filter(|row| board::text(&row.reason).contains(part)).map(|_| ())
    });
}

/// How often a service was started, by its own account.
fn starts(home: &Home, id: &str) -> usize {
    fs::read_to_string(home.scratch.path(id)).map_or(0, |text| text.lines().count())
}

#[test]
fn a_full_disk_under_the_pidfile_stops_the_starts_and_room_brings_the_service_back() {
    if !is_root() {
        return skip("a small disk takes root");
    }
    let service =
        forking("small/fork").replace("process.small/fork", "process.fork").replace("wait-for-host = false\n", "");
    let policy = format!("[watchd]\ncycle = \"200ms\"\n[disk.small]\npath = \"@/small\"\n{service}");
    let home = Home::new("room", &policy);
    home.scratch.program("stamp.c", "stamp");
    let small = Mounted::new(&home.scratch.dir_of("small", None), "size=256k");
    let mut daemon = home.start();
    let old = daemon.wait_state("fork", ServiceState::Ready).pid;
    let filler = small.0.join("filler");
    assert!(fs::write(&filler, vec![b'x'; 512 << 10]).is_err(), "now it is full");
    daemon.wait_for("the class of a full disk", |snapshot| {
        snapshot.classes.iter().any(|row| board::text(&row.name) == "disk_small_full" && row.is_on()).then_some(())
    });
    let before = starts(&home, "small/fork");
    kill(Pid::from_raw(old), Signal::SIGKILL).expect("it is there");
    reason(&mut daemon, "fork", "which is full");
    let row = daemon.wait_state("fork", ServiceState::Waiting);
    assert_eq!((row.pid, row.restarts, starts(&home, "small/fork")), (0, 0, before), "nothing is started into it");
    fs::remove_file(&filler).expect("it is ours");
    let row = daemon.wait_state("fork", ServiceState::Ready);
    assert_eq!((row.restarts, starts(&home, "small/fork")), (1, before + 1), "once, when there is room");
    drop(daemon);
    home.scratch.end_all();
}

/// A small file system, gone afterwards.
struct Mounted(std::path::PathBuf);

impl Mounted {
    fn new(point: &Path, options: &str) -> Self {
        mount(Some("small"), point, Some("tmpfs"), MsFlags::empty(), Some(options)).expect("root may");
        Self(point.to_owned())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}

#[test]
fn a_daemon_that_somebody_else_starts_is_seen_by_its_pidfile_and_not_by_the_next_look() {
    let times = "settle = \"50ms\"\nbackoff = [\"1h\", \"1h\"]\n";
    let home = Home::new(
        "seen",
        &format!(
            "[watchd]\ncycle = \"10m\"\n[process.late]\npidfile = \"@/late.pid\"\nstart = [\"/bin/false\"]\n{times}"
        ),
    );
    home.scratch.program("stamp.c", "stamp");
    let mut daemon = home.start();
    daemon.wait_state("late", ServiceState::Backoff);
    let mut by_hand = Command::new(home.scratch.path("stamp"));
    by_hand.arg(home.scratch.path("late")).arg(home.scratch.path("late.pid"));
    assert!(by_hand.status().expect("it is a program").success());
    let row = daemon.wait_state("late", ServiceState::Ready);
    assert_eq!(look::with_argument(&home.scratch.path("late")), [row.pid]);
}

#[test]
fn a_service_that_stands_still_is_ended_and_one_that_is_not_asked_is_left_alone() {
    let asked = "check = [{ fresh = { path = \"@/beat\", within = \"1s\" }, every = \"200ms\", fails = 2 }]\n";
    let beat = "run = [\"@/sh\", \"-c\", \"while :; do @/touch @/beat; @/sleep 0.1; done\"]\n";
    let home = Home::new(
        "still",
        &format!(
            "[watchd]\ncycle = \"200ms\"\n[process.beat]\n{beat}{QUICK}{asked}\
             [process.quiet]\nrun = [\"@/sleep\", \"1000\"]\n{QUICK}"
        ),
    );
    for program in ["sh", "sleep", "touch"] {
        home.scratch.copied(format!("/bin/{program}"), program);
    }
    let mut daemon = home.start();
    let (beat, quiet) =
        (daemon.wait_state("beat", ServiceState::Ready), daemon.wait_state("quiet", ServiceState::Ready));
    for pid in [beat.pid, quiet.pid] {
        kill(Pid::from_raw(pid), Signal::SIGSTOP).expect("it is there");
    }
    let row = daemon.wait_for("another beat", |snapshot| {
        snapshot.service("beat").filter(|row| row.state() == ServiceState::Ready && row.pid != beat.pid).copied()
    });
    // A process that is stopped does not see SIGTERM; SIGKILL it does.
    assert_eq!(row.restarts, 1);
    assert!(look::stat(beat.pid).is_none(), "the one that stood still is gone");
    let row = daemon.wait_state("quiet", ServiceState::Ready);
    assert_eq!((row.pid, row.restarts), (quiet.pid, 0), "nobody asked how it is");
    assert_eq!(look::stat(quiet.pid).map(|stat| stat.state), Some('T'), "whoever stopped it may want it so");
    kill(Pid::from_raw(quiet.pid), Signal::SIGCONT).expect("it is there");
}
