//! Where the output of services goes, with the real watchd: into a file of bounded size that outlives watchd, to the system log, or where
//! its own goes.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixDatagram;

use harness::{Home, look, until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use watchd::model::ServiceState;

/// Says who it is, then a line for each signal.
const TALKER: &str = "#!/bin/sh\ntrap 'echo again' USR1\necho begun\necho trouble >&2\n\
                      while :; do /bin/sleep 1000 & wait $!; kill $!; done\n";

fn config(output: &str) -> String {
    format!(
        "[watchd]\ncycle = \"1s\"\n[process.talk]\nrun = [\"@/talk\"]\nsettle = \"100ms\"\nsignals = [\"kill\"]\noutput = {output}\n"
    )
}

fn talker(home: &Home) {
    home.scratch.script("talk", TALKER);
}

#[test]
fn a_file_is_cut_and_written_to_on_whatever_becomes_of_watchd() {
    let home = Home::new("output", &config("{ file = \"@/log\", max = \"64K\", keep = 2 }"));
    talker(&home);
    home.scratch.write("log", &"old line\n".repeat(20_000));
    let mut daemon = home.start();
    let pid = daemon.wait_state("talk", ServiceState::Ready).pid;
    let read = |name: &str| fs::read_to_string(home.scratch.path(name)).unwrap_or_default();
    let both = || read("log.1") + &read("log");
    until("the cut", || (read("log").len() < 65_536 && !read("log.1").is_empty()).then_some(()));
    until("both streams", || both().ends_with("begun\ntrouble\n").then_some(()));
    assert!(both().starts_with("old line\n"), "the older part is kept");
    daemon.kill();
    kill(Pid::from_raw(pid), Signal::SIGUSR1).expect("it lives");
    until("a line without watchd", || read("log").ends_with("again\n").then_some(()));
    let mut daemon = home.start();
    assert_eq!(daemon.wait_state("talk", ServiceState::Ready).pid, pid, "it was not started anew");
    kill(Pid::from_raw(pid), Signal::SIGUSR1).expect("it lives");
    until("a line with another watchd", || read("log").ends_with("again\nagain\n").then_some(()));
    assert_eq!(home.ask(&["stop", "talk"]).0, 0);
    daemon.wait_state("talk", ServiceState::Stopped);
}

/// All that has arrived at a system log of our own.
fn heard(log: &UnixDatagram) -> Vec<String> {
    let mut message = [0; 2048];
    let mut lines = Vec::new();
    while let Ok(len) = log.recv(&mut message) {
        lines.push(String::from_utf8_lossy(&message[..len]).into_owned());
    }
    lines
}

#[test]
fn the_system_log_gets_each_line_once_whatever_becomes_of_watchd_or_of_the_log() {
    let home = Home::new("syslog", &config("\"syslog\"").replace("1s", "10m"));
    talker(&home);
    let root = home.scratch.path("root");
    fs::create_dir_all(root.join("dev")).expect("a directory can be made");
    for name in ["proc", "sys"] {
        symlink(format!("/{name}"), root.join(name)).expect("a link can be made");
    }
    let bind = || {
        let log = UnixDatagram::bind(root.join("dev/log")).expect("a socket can be bound");
        log.set_nonblocking(true).expect("it can");
        log
    };
    let start = || {
        let mut command = home.command(&["run"]);
        command.arg("--root").arg(&root);
        home.spawn_as(command)
    };
    let mut log = Some(bind());
    let mut daemon = start();
    let pid = daemon.wait_state("talk", ServiceState::Ready).pid;
    let mut lines = Vec::new();
    let mut arrive = |log: &Option<UnixDatagram>, count: usize, what: &str| {
        until(what, || {
            lines.extend(log.iter().flat_map(heard));
            (lines.len() >= count).then_some(())
        });
        lines.clone()
    };
    let first = arrive(&log, 2, "both streams");
    let tail = |word: &str| format!(" talk[{pid}]: {word}");
    assert!(first[0].starts_with("<30>") && first[0].ends_with(&tail("begun")), "{first:?}");
    assert!(first[1].ends_with(&tail("trouble")), "{first:?}");
    let again = || kill(Pid::from_raw(pid), Signal::SIGUSR1).expect("it lives");
    again();
    arrive(&log, 3, "a line, though no cycle ends");
    // The log is started anew; what is written meanwhile waits for it.
    drop(log.take());
    fs::remove_file(root.join("dev/log")).expect("it is ours");
    again();
    let feed = home.scratch.path("state/output/talk");
    let written = |bytes: u64| {
        until("the line", || fs::metadata(&feed).ok().filter(|found| found.len() >= bytes).map(|_| ()));
    };
    written(26);
    // Time enough to be asked in vain, so that the line has to be handed on a second time.
    harness::pause(std::time::Duration::from_millis(300));
    log = Some(bind());
    arrive(&log, 4, "a line from when the log was away");
    daemon.kill();
    again();
    written(32);
    let mut daemon = start();
    assert_eq!(daemon.wait_state("talk", ServiceState::Ready).pid, pid, "it was not started anew");
    arrive(&log, 5, "a line from when watchd was away");
    again();
    let all = arrive(&log, 6, "a line with another watchd");
    let ends = all.iter().filter(|line| line.ends_with(&tail("again"))).count();
    assert_eq!((all.len(), ends), (6, 4), "{all:?}");
    assert_eq!(home.ask(&["stop", "talk"]).0, 0);
    daemon.wait_state("talk", ServiceState::Stopped);
}

#[test]
fn output_is_inherited_on_request_and_thrown_away_otherwise() {
    for (output, said) in [("\"inherit\"", true), ("\"null\"", false)] {
        let home = Home::new("inherit", &config(output));
        talker(&home);
        let mut daemon = home.start();
        let pid = daemon.wait_state("talk", ServiceState::Ready).pid;
        if said {
            until("its words", || daemon.said().contains("begun\ntrouble\n").then_some(()));
        } else {
            assert!(look::stat(pid).is_some() && !daemon.said().contains("begun"));
        }
        assert_eq!(home.ask(&["stop", "talk"]).0, 0);
        daemon.wait_state("talk", ServiceState::Stopped);
    }
}

#[test]
fn a_file_that_cannot_be_opened_is_named_and_nothing_runs() {
    let home = Home::new("nowhere", &config("{ file = \"@/no/such/log\" }"));
    talker(&home);
    let mut daemon = home.start();
    daemon.wait_for("the reason", |snapshot| {
        let row = snapshot.service("talk")?;
        watchd::store::board::text(&row.reason).contains("cannot open the output file: No such file").then_some(())
    });
}
