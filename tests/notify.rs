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
fn a_service_speaks_from_behind_another_root_too() {
    if !harness::is_root() {
        return harness::skip("another root takes root");
    }
    let keys = "chroot = \"@\"\nready = { notify = true, within = \"1h\" }\n";
    let home = Home::new("notify-root", &format!("[process.web]\nrun = [\"/voice\", \"/\"]\n{QUICK}{keys}"));
    home.scratch.compiled("tests/notify/voice.c".as_ref(), "voice");
    let mut daemon = home.start();
    daemon.wait_state("web", ServiceState::Starting);
    say(&home, "READY=1\nSTATUS=serves from within");
    daemon.wait_state("web", ServiceState::Ready);
    reason(&mut daemon, "serves from within");
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

#[test]
fn a_service_cannot_have_a_set_id_program_taken_for_itself() {
    if !harness::is_root() {
        return harness::skip("a set-id program takes root");
    }
    let config = format!(
        "[watchd]\ncycle = \"1s\"\n[process.web]\nrun = \"@/other @/pid & @/voice @/none & exec @/voice @/his\"\n\
         user = \"65534\"\nready = {{ notify = true, within = \"1h\" }}\n{QUICK}"
    );
    let home = Home::new("notify-set-id", &config);
    home.scratch.compiled("tests/notify/voice.c".as_ref(), "voice");
    let other = home.scratch.compiled("tests/notify/other.c".as_ref(), "other");
    fs::set_permissions(&other, std::os::unix::fs::PermissionsExt::from_mode(0o4755)).expect("it is ours");
    let his = home.scratch.dir_of("his", Some(65_534));
    home.scratch.dir_of("none", Some(65_534));
    let say = |text: &str| {
        fs::write(his.join("new"), text)
            .and_then(|()| fs::rename(his.join("new"), his.join("say")))
            .expect("it is ours");
        harness::until("the service has spoken", || (!his.join("say").exists()).then_some(()));
    };
    let mut daemon = home.start();
    let pid = daemon.wait_state("web", ServiceState::Starting).pid;
    let set_id = harness::until("the set-id program", || {
        fs::read_to_string(home.scratch.path("pid")).ok()?.trim().parse::<i32>().ok()
    });
    if harness::look::status(set_id, "Uid") != Some(0) {
        return harness::skip("programs have no set-id bits where temporary files lie");
    }
    say(&format!("MAINPID={set_id}\nSTATUS=first\nREADY=1"));
    reason(&mut daemon, "first");
    assert_eq!(daemon.wait_state("web", ServiceState::Ready).pid, pid, "it cannot signal that one itself");
    // One of its own it may name.
    let own = harness::look::with_argument(&home.scratch.path("none"));
    assert_eq!(own.len(), 1, "{own:?}");
    say(&format!("MAINPID={}\nSTATUS=second", own[0]));
    daemon.wait_for("the other process", |snapshot| (snapshot.service("web")?.pid == own[0]).then_some(()));
}
