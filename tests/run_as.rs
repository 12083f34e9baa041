//! `run-as`: root becomes an ordinary account for good, and nothing is lost by it. The real daemon, looked at from outside.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use std::fs;
use std::os::unix::fs::{MetadataExt, chown, symlink};
use std::path::Path;

use harness::{Daemon, Home, is_root, look, net, skip, until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use watchd::model::ServiceState;

/// Debian's `daemon`, who owns nothing.
const UID: u32 = 1;
const NAME: &str = "daemon";

fn policy(port: u16) -> String {
    format!(
        "[watchd]\ncycle = \"200ms\"\nrun-as = \"{NAME}\"\n[http]\nlisten = [\"127.0.0.1:{port}\"]\n\
         [process.web]\nrun = [\"@/stamp\", \"@/given/web\"]\nsettle = \"50ms\"\nbackoff = [\"10ms\", \"100ms\"]\n"
    )
}

/// A place where the account may do what it has to, and no more; none where this cannot be tried.
fn home(name: &str, config: &str) -> Option<Home> {
    if !is_root() || !fs::read_to_string("/etc/passwd").is_ok_and(|text| text.contains("\ndaemon:x:1:1:")) {
        skip("to become another account takes root and the account daemon");
        return None;
    }
    let home = Home::new(name, config);
    home.scratch.program("stamp.c", "stamp");
    home.scratch.copied(harness::binary(), "watchd");
    home.scratch.dir_of("given", Some(UID));
    Some(home)
}

fn start(home: &Home) -> Daemon<'_> {
    home.spawn_as(home.command_of(&home.scratch.path("watchd"), &["run"]))
}

/// The four accounts of a process, and all that it may still do as root.
fn identity(pid: i32) -> (Vec<u32>, u64) {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).expect("it lives");
    let line = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).expect("it is there").to_owned();
    let ids = line("Uid:").split_whitespace().map(|id| id.parse().expect("a number")).collect();
    let powers = ["CapPrm:", "CapEff:"].map(|name| u64::from_str_radix(line(name).trim(), 16).expect("a number"));
    (ids, powers[0] | powers[1])
}

/// Everything below that still is root's.
fn left_to_root(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).expect("it is there").filter_map(Result::ok);
    let mut found: Vec<String> = entries
        .flat_map(|entry| {
            let facts = entry.metadata().expect("it is there");
            let below = if facts.is_dir() { left_to_root(&entry.path()) } else { Vec::new() };
            let own = (facts.uid() == 0).then(|| entry.path().display().to_string());
            own.into_iter().chain(below).collect::<Vec<_>>()
        })
        .collect();
    found.extend((fs::metadata(dir).expect("it is there").uid() == 0).then(|| dir.display().to_string()));
    found
}

#[test]
fn root_becomes_the_account_for_good_and_services_are_looked_after() {
    let port = net::free_port();
    let Some(home) = home("run-as", &policy(port)) else { return };
    // A first life as root: what it has left is given away, too; but a service that stays would stay root's.
    let of_root = policy(port).replace(&format!("run-as = \"{NAME}\"\n"), "");
    home.configure(&of_root.replace("settle", "on-exit = \"stop\"\nsettle"));
    let mut daemon = start(&home);
    daemon.wait_state("web", ServiceState::Ready);
    assert_eq!(identity(daemon.pid()).0, [0; 4]);
    daemon.signal(Signal::SIGTERM);
    daemon.wait_end();
    fs::remove_file(home.scratch.path("given/web")).expect("it has begun");
    home.configure(&policy(port));

    for round in 0..2 {
        let mut daemon = start(&home);
        let row = daemon.wait_state("web", ServiceState::Ready);
        until("the page", || (net::get(port, "/healthz").0 == 200).then_some(()));
        for pid in look::family(daemon.pid()).into_iter().chain([row.pid]) {
            assert_eq!(identity(pid), (vec![UID; 4], 0), "{pid} in round {round}");
        }
        for dir in ["run", "state"] {
            assert_eq!(left_to_root(&home.scratch.path(dir)), [""; 0], "round {round}");
        }
        kill(Pid::from_raw(row.pid), Signal::SIGKILL).expect("it lives");
        daemon.wait_for("another process", |snapshot| {
            let now = snapshot.service("web")?;
            (now.state() == ServiceState::Ready && now.pid != row.pid).then_some(())
        });
        assert_eq!(daemon.snapshot().map(|snapshot| snapshot.header.state_ok), Some(1), "{}", daemon.said());
        if round == 0 {
            // As after the host has been started anew.
            daemon.signal(Signal::SIGTERM);
            daemon.wait_end();
            fs::remove_dir_all(home.scratch.path("run")).expect("it is there");
            continue;
        }
        // Killed, and brought back by root's cron.
        let old = daemon.pid();
        daemon.kill();
        let output = home.command_of(&home.scratch.path("watchd"), &["keepalive"]).output().expect("it can be run");
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        let header = watchd::store::read_header(&home.board()).expect("it runs");
        let pid = i32::try_from(header.pid).expect("it is small");
        assert!(pid != old && identity(pid) == (vec![UID; 4], 0), "{pid}");
        assert_eq!(home.ask(&["shutdown"]).0, 0);
        until("its end", || look::stat(pid).is_none().then_some(()));
    }
}

#[test]
fn a_link_that_the_account_has_left_leads_root_nowhere() {
    let Some(home) = home("run-as-link", &policy(net::free_port())) else { return };
    let victim = home.scratch.write("victim", "root's own\n");
    let state = home.scratch.dir_of("state", Some(UID));
    for name in ["keepalive.log", "events", "history", "services", "board"] {
        symlink(&victim, state.join(name)).expect("a link can be made");
        std::os::unix::fs::lchown(state.join(name), Some(UID), Some(UID)).expect("we are root");
    }
    let mut daemon = start(&home);
    daemon.wait_state("web", ServiceState::Ready);
    daemon.kill();
    let _ = home.command_of(&home.scratch.path("watchd"), &["keepalive"]).output().expect("it can be run");
    let _ = home.ask(&["shutdown"]);
    assert_eq!(fs::read_to_string(&victim).expect("it is there"), "root's own\n");
    assert_eq!(fs::metadata(&victim).expect("it is there").uid(), 0);
}

#[test]
fn what_needs_root_is_refused_where_it_stands() {
    let Some(home) = home("run-as-check", "") else { return };
    for (more, place, key) in [
        ("[http]\nlisten = [\"127.0.0.1:80\"]\n", ":2:", "watchd.run-as: port 80 needs root"),
        ("[process.a]\nrun = \"x\"\nuser = \"nobody\"\n", ":5:", "process.a.user: needs root"),
        ("[process.a]\nrun = \"x\"\nnice = -5\n", ":5:", "process.a.nice: needs root"),
        ("[process.a]\nrun = \"x\"\nchroot = \"/srv\"\n", ":5:", "process.a.chroot: needs root"),
        ("[process.a]\nrun = \"x\"\noom-score-adj = -5\n", ":5:", "process.a.oom-score-adj: needs root"),
        ("[command.a]\nrun = \"x\"\nionice = \"realtime:1\"\n", ":5:", "command.a.ionice: needs root"),
        ("[measure.a]\nrun = \"x\"\nevery = \"1m\"\ngroup = \"adm\"\n", ":6:", "measure.a.group: needs root"),
    ] {
        home.configure(&format!("[watchd]\nrun-as = \"{NAME}\"\n{more}"));
        let output = home.watchd(&["check"]);
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{more}{said}");
        assert!(said.contains(key) && said.contains(place), "{more}{said}");
    }
    for (name, key) in [("root", "root is root"), ("nobody-of-that-name", "cannot find user 'nobody-of-that-name'")] {
        home.configure(&format!("[watchd]\nrun-as = \"{name}\"\n"));
        let output = home.watchd(&["check"]);
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && said.contains(key) && said.contains(":2:"), "{said}");
    }
    home.configure(&format!(
        "[watchd]\nrun-as = \"{NAME}\"\n[process.a]\nrun = [\"@/stamp\"]\nuser = \"{NAME}\"\nnice = 5\n"
    ));
    assert_eq!(
        home.watchd(&["check"]).status.code(),
        Some(0),
        "what it is already, and less than it has, needs nobody"
    );
}

#[test]
fn who_runs_it_changes_only_on_purpose() {
    let Some(home) = home("run-as-back", &policy(net::free_port())) else { return };
    let mut daemon = start(&home);
    daemon.wait_state("web", ServiceState::Ready);
    // Not while it runs.
    home.configure("[watchd]\ncycle = \"200ms\"\n");
    daemon.signal(Signal::SIGHUP);
    until("a refusal", || {
        let (_, said) = home.ask(&["status", "--json"]);
        said.contains("run-as: it cannot change while watchd runs").then_some(())
    });
    daemon.signal(Signal::SIGTERM);
    daemon.wait_end();
    // Not by forgetting it.
    let output = home.command_of(&home.scratch.path("watchd"), &["run"]).output().expect("it can be run");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.code() == Some(1) && said.contains("was given to daemon") && said.contains("chown"),
        "{said}"
    );
    // Not to a third one.
    home.configure("[watchd]\ncycle = \"200ms\"\nrun-as = \"nobody\"\n");
    let output = home.command_of(&home.scratch.path("watchd"), &["run"]).output().expect("it can be run");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(1) && said.contains("cannot run as nobody: this is account 1"), "{said}");
    // As the message says.
    home.configure("[watchd]\ncycle = \"200ms\"\n");
    for dir in ["run", "state"] {
        let Ok(entries) = fs::read_dir(home.scratch.path(dir)) else { continue };
        for entry in entries.filter_map(Result::ok) {
            chown(entry.path(), Some(0), Some(0)).expect("we are root");
        }
        chown(home.scratch.path(dir), Some(0), Some(0)).expect("we are root");
    }
    let mut daemon = start(&home);
    daemon.wait_for("its first cycle", |_| Some(()));
    assert_eq!(identity(daemon.pid()).0, [0; 4]);
}
