//! sd_notify with the real watchd and a service that speaks: readiness, signs of life, status, and who is not listened to.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use std::fs;
use std::os::unix::net::UnixDatagram;

use harness::{Daemon, Home};
use watchd::model::ServiceState;
use watchd::store::board;

const QUICK: &str = "settle = \"50ms\"\nbackoff = [\"10ms\", \"100ms\"]\nlimit = \"100/10m\"\n";

fn home(name: &str, more: &str) -> Home {
    let config = format!("[watchd]\ncycle = \"1s\"\n[process.web]\nrun = [\"@/voice\", \"@\"]\n{QUICK}{more}\n");
    let home = Home::new(name, &config);
    home.scratch.compiled("tests/notify/voice.c".as_ref(), "voice");
    home
}

/// Lets the service say this; back when it has.
fn say(home: &Home, text: &str) {
    home.scratch.write("say.new", text);
    fs::rename(home.scratch.path("say.new"), home.scratch.path("say")).expect("it can be renamed");
    harness::until("the service has spoken", || (!home.scratch.path("say").exists()).then_some(()));
}

fn reason(daemon: &mut Daemon<'_>, part: &str) {
    daemon.wait_for(&format!("web says {part}"), |snapshot| {
        board::text(&snapshot.service("web")?.reason).contains(part).then_some(())
    });
}

#[test]
fn a_service_is_ready_when_it_says_so_and_nobody_else_can_say_it() {
    let home = home("notify-ready", "ready = { notify = true, within = \"1h\" }");
    let mut daemon = home.start();
    let pid = daemon.wait_state("web", ServiceState::Starting).pid;
    // The same account, but no process of the service.
    let stranger = UnixDatagram::unbound().expect("a socket can be made");
    let path = home.run_dir().join("notify/web");
    for text in ["READY=1", "STATUS=a stranger", "MAINPID=1"] {
        stranger.send_to(text.as_bytes(), &path).expect("root can write to it");
    }
    say(&home, "STATUS=loading 3 of 4\nMAINPID=1\nREADY=0");
    reason(&mut daemon, "loading 3 of 4");
    let row = daemon.wait_state("web", ServiceState::Starting);
    assert_eq!((row.pid, row.restarts), (pid, 0));
    say(&home, "READY=1\nSTATUS=serves \u{1b}[31mall\n");
    let row = daemon.wait_state("web", ServiceState::Ready);
    assert_eq!(row.pid, pid);
    reason(&mut daemon, "serves ?[31mall");
    let (_, told) = home.ask(&["why", "web"]);
    assert!(told.contains("serves ?[31mall"), "{told}");
    // What it said is not lost with watchd: it may have been ready, so it counts as ready.
    daemon.kill();
    let mut daemon = home.start();
    assert_eq!(daemon.wait_state("web", ServiceState::Ready).pid, pid);
    drop(daemon);
}

#[test]
fn a_service_that_falls_silent_is_restarted_also_by_the_next_watchd() {
    let home = home("notify-silent", "watchdog = \"1s\"");
    let mut daemon = home.start();
    let first = daemon.wait_state("web", ServiceState::Ready).pid;
    fs::write(home.scratch.path("mute"), "").expect("a file can be written");
    let second = daemon.wait_for("a restart", |snapshot| {
        snapshot.service("web").filter(|row| row.restarts > 0 && row.pid != first && row.pid != 0).copied()
    });
    fs::remove_file(home.scratch.path("mute")).expect("it is there");
    let (_, told) = home.ask(&["why", "web"]);
    assert!(told.contains("service-unhealthy") && told.contains("no sign of life within 1 s"), "{told}");
    daemon.wait_state("web", ServiceState::Ready);
    daemon.kill();
    let mut daemon = home.start();
    let row = daemon.wait_state("web", ServiceState::Ready);
    assert!(row.restarts >= second.restarts);
    fs::write(home.scratch.path("mute"), "").expect("a file can be written");
    daemon.wait_for("another restart", |snapshot| {
        snapshot.service("web").filter(|now| now.restarts > row.restarts && now.pid != row.pid).copied()
    });
    drop(daemon);
}

#[test]
fn a_service_that_talks_without_end_is_heard_a_little() {
    let home = home("notify-flood", "ready = { notify = true }");
    let mut daemon = home.start();
    say(&home, "READY=1");
    let pid = daemon.wait_state("web", ServiceState::Ready).pid;
    for _ in 0..5 {
        fs::write(home.scratch.path("flood"), "").expect("a file can be written");
        harness::until("it has talked", || (!home.scratch.path("flood").exists()).then_some(()));
    }
    let cycles = daemon.snapshot().map_or(0, |snapshot| snapshot.header.cycles);
    daemon.wait_for("two more cycles", |snapshot| (snapshot.header.cycles > cycles + 1).then_some(()));
    // A second later it is heard again.
    harness::until("it is heard", || {
        say(&home, "STATUS=at last");
        let snapshot = daemon.snapshot()?;
        board::text(&snapshot.service("web")?.reason).contains("at last").then_some(())
    });
    assert_eq!(daemon.wait_state("web", ServiceState::Ready).pid, pid);
}
