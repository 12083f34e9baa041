//! Where the output of services goes, with the real watchd: into a file of bounded size that outlives watchd, or where its own goes.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use std::fs;

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
