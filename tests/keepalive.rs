//! `watchd keepalive` from outside: what it does about each way a daemon can be, with boards made by hand where no daemon is needed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use std::io::Write;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use harness::{Scratch, binary, look, until};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use watchd::log;
use watchd::model::Identity;
use watchd::store::board::{Page, fixed};
use watchd::store::{Board, Header, Readings, marker, read_header};
use watchd::sys::{clock, daemon, locks};

/// A run directory and a state directory.
struct Place(Scratch);

impl Place {
    fn new(name: &str) -> Self {
        let scratch = Scratch::new(name);
        std::fs::create_dir(scratch.path("run")).unwrap();
        std::fs::create_dir(scratch.path("state")).unwrap();
        scratch.write("watchd.toml", "[watchd]\ncycle = \"1s\"\n");
        Self(scratch)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(args).stdin(Stdio::null());
        for (option, name) in [("--run-dir", "run"), ("--state-dir", "state"), ("--config", "watchd.toml")] {
            command.arg(option).arg(self.0.path(name));
        }
        command
    }

    fn keepalive(&self) -> Said {
        Said::from(self.command(&["keepalive"]).output().unwrap())
    }

    /// Puts up the board of a made-up daemon.
    fn board(&self, writer: Identity, heartbeat: Duration) {
        let header = Header {
            pid: u32::try_from(writer.pid).unwrap(),
            start_ticks: writer.start_ticks,
            boot_id: daemon::boot_id().unwrap(),
            cycle_ms: 10_000,
            version: fixed("test"),
            ..Header::default()
        };
        let sample = watchd_probes::Sample::default();
        let readings = Readings { view: sample.view(), rates: &[] };
        let mut board = Board::create(&self.0.path("run/board")).unwrap();
        board.beat(u64::try_from(heartbeat.as_millis()).unwrap());
        board.publish(&Page {
            header: &header,
            readings,
            services: &[],
            classes: &[],
            promises: &[],
            events: &[],
            learned: &[],
        });
    }

    fn mark_stopped(&self, boot_id: &[u8; 40]) {
        marker::mark_stopped(&self.0.path("state/stopped"), boot_id).unwrap();
    }

    /// The pid of the daemon that writes the board.
    fn writer(&self) -> i32 {
        i32::try_from(read_header(&self.0.path("run/board")).unwrap().pid).unwrap()
    }

    /// The daemons of this place: `watchd run … --run-dir HERE …`, door and helpers included.
    fn daemons(&self) -> Vec<i32> {
        let here = self.0.text("run");
        let is_ours = |pid: &i32| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let words: Vec<_> = line.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
            words.get(1).is_some_and(|word| word == "run") && words.iter().any(|word| *word == here)
        };
        look::pids().into_iter().filter(is_ours).collect()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for pid in self.daemons() {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}

/// Exit code and what was said, on both sides.
#[derive(Debug, PartialEq, Eq)]
struct Said(i32, String);

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        let text = [output.stdout, output.stderr].concat();
        Self(output.status.code().unwrap_or(-1), String::from_utf8(text).unwrap())
    }
}

fn silence() -> Said {
    Said(0, String::new())
}

/// A process that stands for a daemon; ended when dropped.
struct Stand(Child);

impl Stand {
    fn new() -> Self {
        Self(Command::new("sleep").arg("600").stdin(Stdio::null()).spawn().unwrap())
    }

    fn identity(&self) -> Identity {
        let pid = i32::try_from(self.0.id()).unwrap();
        Identity { pid, start_ticks: daemon::look(pid).unwrap().start_ticks }
    }

    fn is_alive(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }
}

impl Drop for Stand {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Kills a daemon and waits until it is gone.
fn end(pid: i32) {
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    until("its end", || look::stat(pid).is_none_or(|stat| stat.state == 'Z').then_some(()));
}

fn now() -> Duration {
    clock::now().mono
}

#[test]
fn a_daemon_that_lives_is_left_alone_in_silence() {
    let place = Place::new("alive");
    let mut stand = Stand::new();
    // A cycle of 10 s: a heartbeat of a minute ago is still no reason.
    for age in [0, 50] {
        place.board(stand.identity(), now().saturating_sub(Duration::from_secs(age)));
        assert_eq!(place.keepalive(), silence(), "heartbeat {age} s ago");
    }
    assert!(stand.is_alive());
    assert_eq!(std::fs::read_dir(place.0.path("run")).unwrap().count(), 1, "nothing is left beside the board");
}

#[test]
fn a_stop_on_purpose_holds_until_the_next_boot() {
    let place = Place::new("purpose");
    let boot_id = daemon::boot_id().unwrap();
    place.mark_stopped(&boot_id);
    assert_eq!(place.keepalive(), silence(), "no board");
    let gone = Stand::new().identity();
    place.board(gone, now());
    assert_eq!(place.keepalive(), silence(), "the board of a daemon that is gone");
    assert!(place.daemons().is_empty());
}

#[test]
fn only_the_process_that_wrote_the_board_is_killed() {
    let place = Place::new("stranger");
    place.mark_stopped(&daemon::boot_id().unwrap());
    let mut stand = Stand::new();
    let identity = stand.identity();
    place.board(Identity { start_ticks: identity.start_ticks + 1, ..identity }, Duration::ZERO);
    assert_eq!(place.keepalive(), silence(), "its pid is somebody else's now: dead, and stopped on purpose");
    assert!(stand.is_alive());
}

#[test]
fn a_second_keepalive_leaves_the_work_to_the_first() {
    let place = Place::new("second");
    let first = locks::lock_dir(&place.0.path("state")).unwrap();
    assert!(first.is_some());
    assert_eq!(place.keepalive(), silence());
    assert!(place.daemons().is_empty());
}

#[test]
fn a_daemon_of_another_version_is_left_alone() {
    let place = Place::new("version");
    std::fs::write(place.0.path("run/board"), vec![7; 4096]).unwrap();
    let _lock = locks::lock_dir(&place.0.path("run")).unwrap().unwrap();
    assert_eq!(place.keepalive(), silence(), "it holds the lock of its run directory, so it lives");
}

#[test]
fn a_run_directory_of_somebody_else_is_refused() {
    let place = Place::new("foreign");
    std::fs::remove_dir(place.0.path("run")).unwrap();
    std::os::unix::fs::symlink(place.0.path("state"), place.0.path("run")).unwrap();
    let Said(code, said) = place.keepalive();
    assert_eq!(code, 1);
    assert!(said.contains("it is not a directory"), "{said}");
}

#[test]
fn a_daemon_that_is_dead_or_was_never_started_is_started() {
    let place = Place::new("dead");
    let Said(code, said) = place.keepalive();
    assert_eq!(code, 0, "{said}");
    assert!(said.starts_with("watchd: it was not running; started it (pid "), "{said}");
    assert_eq!(place.keepalive(), silence(), "now it lives");
    let first = place.writer();
    end(first);
    let Said(code, said) = place.keepalive();
    assert_eq!((code, said.contains(&format!("it had died (pid {first})"))), (0, true), "{said}");
    assert_ne!(place.writer(), first);
    assert_eq!(
        look::stat(place.writer()).map(|stat| stat.parent != i32::try_from(std::process::id()).unwrap()),
        Some(true)
    );
}

#[test]
fn a_daemon_that_was_asked_to_stop_stays_stopped_until_it_is_started_by_hand() {
    let place = Place::new("asked");
    assert_eq!(place.keepalive().0, 0);
    let first = place.writer();
    assert_eq!(place.command(&["shutdown"]).stdout(Stdio::null()).status().unwrap().code(), Some(0));
    until("its end", || look::stat(first).is_none_or(|stat| stat.state == 'Z').then_some(()));
    assert_eq!(place.keepalive(), silence());
    assert!(place.daemons().is_empty());
    assert!(!place.0.path("run").exists(), "nothing is left behind");

    let mut by_hand = Stand(place.command(&["run"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    until("its board", || read_header(&place.0.path("run/board")).ok());
    by_hand.0.kill().unwrap();
    by_hand.0.wait().unwrap();
    let Said(code, said) = place.keepalive();
    assert_eq!((code, said.contains("it had died")), (0, true), "the mark is gone: {said}");
}

#[test]
fn a_daemon_that_hangs_is_killed_and_started() {
    let place = Place::new("hung");
    let mut stand = Stand::new();
    place.board(stand.identity(), now().saturating_sub(Duration::from_secs(61)));
    let Said(code, said) = place.keepalive();
    assert_eq!(code, 0, "{said}");
    assert!(said.contains(&format!("it hung (pid {}, no heartbeat for 61 s) and was killed", stand.0.id())), "{said}");
    assert!(!stand.is_alive());

    let first = place.writer();
    kill(Pid::from_raw(first), Signal::SIGSTOP).unwrap();
    until("the daemon is stopped", || look::stat(first).filter(|stat| stat.state == 'T'));
    let Said(code, said) = place.keepalive();
    assert_eq!((code, said.contains("and was killed; started it")), (0, true), "{said}");
    assert_ne!(place.writer(), first, "SIGSTOP counts as hung");
}

#[test]
fn two_at_once_start_one_daemon() {
    let place = Place::new("two");
    let start = |_| place.command(&["keepalive"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let children: Vec<_> = (0..6).map(start).collect();
    let all: Vec<_> = children.into_iter().map(|child| Said::from(child.wait_with_output().unwrap())).collect();
    assert!(all.iter().all(|Said(code, _)| *code == 0), "{all:?}");
    let writer = place.writer();
    let others = place
        .daemons()
        .into_iter()
        .filter(|pid| *pid != writer && look::stat(*pid).map(|stat| stat.parent) != Some(writer));
    assert_eq!(others.count(), 0, "{all:?}");
}

#[test]
fn what_cannot_start_is_told_with_its_last_words() {
    let place = Place::new("broken");
    place.0.write("watchd.toml", "nonsense\n");
    let Said(code, said) = place.keepalive();
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("cannot start the daemon: it ended at once: ") && said.contains("state/log"), "{said}");
    assert!(place.daemons().is_empty());
}

#[test]
fn the_log_of_a_started_daemon_never_grows_beyond_its_bound() {
    let place = Place::new("log");
    let full = usize::try_from(log::FILE_MAX).unwrap();
    place.0.write("state/log", &"x".repeat(full));
    assert_eq!(place.keepalive().0, 0);
    until("its first line", || place.0.path("state/log.old").metadata().ok());
    let text = |name: &str| std::fs::read_to_string(place.0.path(name)).unwrap();
    assert!(text("state/log.old").len() > full, "the line that was too many is still there");
    assert!(!text("state/log").contains('x'), "begun anew");
}

#[test]
fn a_log_that_nobody_reads_stops_nothing() {
    let place = Place::new("pipe");
    let (reader, mut writer) = std::io::pipe().unwrap();
    fcntl(&writer, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
    while writer.write(&[b'x'; 1024]).is_ok() {}
    fcntl(&writer, FcntlArg::F_SETFL(OFlag::empty())).unwrap();
    let mut run = place.command(&["run"]);
    let mut daemon = Stand(run.stdout(Stdio::null()).stderr(writer).spawn().unwrap());
    until("its board", || read_header(&place.0.path("run/board")).ok());
    assert_eq!(place.command(&["shutdown"]).stdout(Stdio::null()).status().unwrap().code(), Some(0));
    until("its end", || daemon.0.try_wait().unwrap());
    drop(reader);
}

#[test]
fn the_line_for_cron_is_installed_once() {
    let place = Place::new("install");
    let mut command = place.command(&["keepalive", "--install"]);
    command.arg("--root").arg(place.0.path("root"));
    let Said(code, said) = Said::from(command.output().unwrap());
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("installed in "), "{said}");
    let table = std::fs::read_to_string(place.0.path("root/etc/cron.d/watchd")).unwrap();
    let line = table.lines().find(|line| line.starts_with("* * * * * root ")).expect("there is a line");
    assert!(line.contains(&format!(" keepalive --run-dir {}", place.0.text("run"))), "{line}");
    let Said(code, said) = Said::from(command.output().unwrap());
    assert_eq!((code, said.contains("already in ")), (0, true), "{said}");
    assert_eq!(std::fs::read_to_string(place.0.path("root/etc/cron.d/watchd")).unwrap(), table);
}
