//! `watchd top` and `status --watch` on a terminal of their own: what is drawn, what keys do, and that the terminal is left as it was.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, unsafe_code)]

mod harness;

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Stdio};

use harness::{Home, until};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::{OpenptyResult, Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{self, LocalFlags};
use nix::unistd::Pid;
use watchd::model::ServiceState;

const LEFT: &str = "\x1b[?25h\x1b[?1049l";

/// A command on a terminal, and all that it drew.
struct Seat {
    keyboard: File,
    terminal: File,
    child: Child,
    drawn: String,
}

impl Seat {
    fn new(home: &Home, args: &[&str], (columns, lines): (u16, u16)) -> Self {
        let size = Winsize { ws_row: lines, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        let OpenptyResult { master, slave } = openpty(Some(&size), None).expect("there are terminals");
        let slave = File::from(slave);
        let mut command = home.command(args);
        let end = || Stdio::from(slave.try_clone().expect("it can be cloned"));
        command.stdin(end()).stdout(end()).stderr(end()).env_remove("NO_COLOR");
        let child = command.spawn().expect("watchd can be started");
        Self { keyboard: File::from(master), terminal: slave, child, drawn: String::new() }
    }

    /// Reads what is drawn until it has all of these, in any order, since the last time.
    fn see(&mut self, parts: &[&str]) {
        let mut new = String::new();
        until(&parts.join(", "), || {
            new.push_str(&self.read());
            parts.iter().all(|part| new.contains(part)).then_some(())
        });
    }

    fn read(&mut self) -> String {
        let mut bytes = [0; 16384];
        let ready =
            poll(&mut [PollFd::new(std::os::fd::AsFd::as_fd(&self.keyboard), PollFlags::POLLIN)], PollTimeout::ZERO);
        if ready.unwrap_or(0) == 0 {
            return String::new();
        }
        let read = self.keyboard.read(&mut bytes).unwrap_or(0);
        let text = String::from_utf8_lossy(&bytes[..read]).into_owned();
        self.drawn.push_str(&text);
        text
    }

    fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).expect("it takes keys");
    }

    fn is_raw(&self) -> bool {
        !termios::tcgetattr(&self.terminal).expect("it is a terminal").local_flags.contains(LocalFlags::ECHO)
    }

    /// Waits for the end; the terminal is as it was, whatever ended it.
    fn end(mut self) -> i32 {
        let status = until("the end of it", || {
            self.read();
            self.child.try_wait().expect("it is our child")
        });
        while !self.read().is_empty() {}
        assert!(self.drawn.ends_with(LEFT), "{:?}", self.drawn.chars().rev().take(60).collect::<String>());
        assert!(!self.is_raw(), "the terminal is as it was");
        status.code().unwrap_or(-1)
    }
}

fn home(name: &str) -> Home {
    let sleeper = |id: &str| {
        format!("[process.{id}]\nrun = [\"/bin/sleep\", \"100000\"]\nsettle = \"50ms\"\non-exit = \"stop\"\n")
    };
    Home::new(name, &format!("[watchd]\ncycle = \"200ms\"\n{}{}", sleeper("web"), sleeper("db")))
}

#[test]
fn the_terminal_shows_the_host_and_is_left_as_it_was() {
    let home = home("top");
    let mut daemon = home.start();
    for id in ["web", "db"] {
        daemon.wait_state(id, ServiceState::Ready);
    }
    let mut seat = Seat::new(&home, &["top"], (80, 24));
    seat.see(&["cpu", "memory", "load", "SERVICE", "\x1b[7m>\x1b[0m \x1b[1mweb", "? help"]);
    assert!(seat.is_raw());
    // A cycle later the head is another one; what did not change is not drawn again.
    let first = seat.drawn.len();
    seat.see(&["\x1b[1;1H"]);
    assert!(!seat.drawn[first..].contains("? help") && !seat.drawn[first..].contains('\n'), "{}", &seat.drawn[first..]);
    // Keys that come together all count: down, then why.
    seat.press("\x1b[B\r");
    seat.see(&["db is ready", "is a child of watchd", "goes back"]);
    seat.press("q");
    seat.see(&["\x1b[7m>\x1b[0m \x1b[1mdb"]);
    seat.press("?");
    seat.see(&["Nothing can be changed from here"]);
    seat.press("qs");
    seat.see(&["s order: cpu"]);
    seat.press("\x0c");
    seat.see(&["SERVICE", "s order: cpu"]);
    // Frames draw over each other: the screen is cleared line by line, and nothing scrolls.
    assert!(!seat.drawn.contains("\x1b[2J") && !seat.drawn.contains('\n'));
    seat.press("q");
    assert_eq!(seat.end(), 0);

    let mut seat = Seat::new(&home, &["top"], (40, 12));
    seat.see(&["SERVICE"]);
    seat.press("\x03");
    assert_eq!(seat.end(), 0);
    let mut seat = Seat::new(&home, &["top"], (120, 40));
    seat.see(&["SERVICE"]);
    kill(Pid::from_raw(i32::try_from(seat.child.id()).expect("pids are small")), Signal::SIGTERM).expect("it lives");
    assert_eq!(seat.end(), 0);
    let mut seat = Seat::new(&home, &["status", "--watch"], (60, 20));
    seat.see(&["SERVICE", "q quits"]);
    seat.press("q");
    assert_eq!(seat.end(), 0);
    assert_eq!(home.ask(&["shutdown"]).0, 0);
    assert_eq!(daemon.wait_end(), 0);
}

#[test]
fn what_is_not_well_is_in_sight_however_many_there_are() {
    let many: String = (10..40)
        .map(|n| {
            format!("[process.well{n}]\nrun = [\"/bin/sleep\", \"100000\"]\nsettle = \"50ms\"\non-exit = \"stop\"\n")
        })
        .collect();
    let broken = "[process.zz]\nrun = [\"/bin/false\"]\nlimit = \"2/10m\"\nbackoff = [\"10ms\", \"10ms\"]\n";
    let home = Home::new("top-many", &format!("[watchd]\ncycle = \"200ms\"\n{many}{broken}"));
    let mut daemon = home.start();
    daemon.wait_state("well39", ServiceState::Ready);
    daemon.wait_for("one that is not well", |page| {
        page.service("zz").filter(|row| row.state() == ServiceState::Flapping).map(|_| ())
    });
    let mut seat = Seat::new(&home, &["top"], (80, 24));
    seat.see(&["\x1b[7m>\x1b[0m \x1b[1mzz", "flapping", "s order: state"]);
    // Larger, smaller, and as small as it can be: each time it is drawn anew, and never beyond the edge.
    for (columns, lines) in [(200, 60), (50, 24), (20, 5), (80, 24)] {
        let size = Winsize { ws_row: lines, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        resize(&seat.keyboard, &size);
        seat.see(&[&format!("\x1b[{lines};1H"), "\x1b[1;1H"]);
        let frame = &seat.drawn[seat.drawn.rfind("\x1b[1;1H").expect("it was seen")..];
        let rows = frame.split("\x1b[").filter_map(|part| part.split_once(';')?.0.parse::<u16>().ok());
        assert!(rows.max().is_some_and(|row| row <= lines), "{columns}x{lines}: {frame:?}");
    }
    seat.press("q");
    assert_eq!(seat.end(), 0);
    assert_eq!(home.ask(&["shutdown"]).0, 0);
    assert_eq!(daemon.wait_end(), 0);
}

fn resize(terminal: &File, size: &Winsize) {
    // SAFETY: TIOCSWINSZ reads the structure it is given.
    let result = unsafe { nix::libc::ioctl(std::os::fd::AsRawFd::as_raw_fd(terminal), nix::libc::TIOCSWINSZ, size) };
    assert_eq!(result, 0, "a terminal has a size");
}

#[test]
fn a_dumb_terminal_is_not_drawn_on() {
    let home = home("dumb").env("TERM", "dumb");
    let mut daemon = home.start();
    daemon.wait_state("web", ServiceState::Ready);
    for (words, code, said) in [
        (&["top"][..], 1, "cannot draw: the terminal is dumb"),
        (&["status", "--watch"], 0, "SERVICE"),
        (&["status"], 0, "SERVICE"),
    ] {
        let mut seat = Seat::new(&home, words, (80, 24));
        let status = until("the end of it", || {
            seat.read();
            seat.child.try_wait().expect("it is our child")
        });
        while !seat.read().is_empty() {}
        assert!(status.code() == Some(code) && seat.drawn.contains(said), "{words:?} {status}: {}", seat.drawn);
        assert!(!seat.drawn.contains('\x1b'), "{words:?}: {:?}", seat.drawn);
    }
    assert_eq!(home.ask(&["shutdown"]).0, 0);
    assert_eq!(daemon.wait_end(), 0);
}

#[test]
fn without_a_terminal_it_says_so() {
    let home = home("no-top");
    let output = home.watchd(&["top"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("this is no terminal"));
    assert!(output.stdout.is_empty());
}
