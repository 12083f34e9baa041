//! What an administrator lives through with watchd, played with real processes: deaths, its own death, a stop, a bad config.
//!
//! Three own children, three daemons that fork twice and write a pidfile, and one that is only found by its name. Nothing here depends
//! on how long a thing takes; `benches/restart.rs` measures that.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use std::fs;
use std::path::PathBuf;

use harness::{Daemon, Home, is_root, look, net, skip, until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use watchd::model::ServiceState;
use watchd::store::board;
use watchd::sys::locks;

const OWN: [&str; 3] = ["own0", "own1", "own2"];
const FORKING: [&str; 3] = ["fork0", "fork1", "fork2"];
const FOUND: &str = "found0";

fn all() -> Vec<&'static str> {
    OWN.into_iter().chain(FORKING).chain([FOUND]).collect()
}

/// Seven services; `more` goes into each table.
fn seven(more: &str) -> String {
    let mut config = String::from("[watchd]\ncycle = \"1s\"\n");
    let common = format!("settle = \"100ms\"\nbackoff = [\"10ms\", \"100ms\"]\nlimit = \"100/10m\"\n{more}\n");
    for id in OWN {
        config += &format!("[process.{id}]\nrun = [\"@/stamp\", \"@/{id}\"]\n{common}");
    }
    for id in FORKING {
        let start = format!("start = [\"@/stamp\", \"@/{id}\", \"@/{id}.pid\"]");
        config += &format!("[process.{id}]\npidfile = \"@/{id}.pid\"\n{start}\n{common}");
    }
    let start = format!("start = [\"@/found-by-name\", \"@/{FOUND}\", \"@/{FOUND}.pid\"]");
    config + &format!("[process.{FOUND}]\nmatch = \"@/found-by-name\"\n{start}\n{common}")
}

fn home_of_seven(name: &str, more: &str) -> Home {
    let home = Home::new(name, &seven(more));
    let stamp = home.scratch.program("stamp.c", "stamp");
    home.scratch.copied(stamp, "found-by-name");
    home
}

/// The processes that are this service, asked of /proc.
fn copies(home: &Home, id: &str) -> Vec<i32> {
    let ours = look::running_from(&home.scratch.dir);
    look::with_argument(&home.scratch.path(id)).into_iter().filter(|pid| ours.contains(pid)).collect()
}

/// Waits until the service is ready, and says its pid: the only copy there is.
fn ready(home: &Home, daemon: &mut Daemon<'_>, id: &str) -> i32 {
    let row = daemon.wait_state(id, ServiceState::Ready);
    assert_eq!(copies(home, id), [row.pid], "{id}: the only copy is the one on the board\n{}", daemon.said());
    row.pid
}

fn all_ready(home: &Home, daemon: &mut Daemon<'_>) -> Vec<i32> {
    all().into_iter().map(|id| ready(home, daemon, id)).collect()
}

/// How often the service was started, by its own account.
fn starts(home: &Home, id: &str) -> usize {
    fs::read_to_string(home.scratch.path(id)).unwrap_or_default().lines().count()
}

#[test]
fn each_killed_service_comes_back_once() {
    let home = home_of_seven("back", "");
    let mut daemon = home.start();
    let mut pids = all_ready(&home, &mut daemon);
    for round in 2..=4 {
        for (id, pid) in all().into_iter().zip(&mut pids) {
            kill(Pid::from_raw(*pid), Signal::SIGKILL).expect("it lives");
            daemon.wait_for("another process", |snapshot| {
                let row = snapshot.service(id)?;
                (row.state() == ServiceState::Ready && row.pid != *pid).then_some(())
            });
            *pid = ready(&home, &mut daemon, id);
            assert_eq!(starts(&home, id), round, "{id} is started once for each death");
        }
    }
}

#[test]
fn all_of_them_killed_at_once_come_back_once() {
    let home = home_of_seven("storm", "");
    let mut daemon = home.start();
    let pids = all_ready(&home, &mut daemon);
    for pid in &pids {
        kill(Pid::from_raw(*pid), Signal::SIGKILL).expect("it lives");
    }
    for (id, pid) in all().into_iter().zip(pids) {
        daemon.wait_for("another process", |snapshot| {
            let row = snapshot.service(id)?;
            (row.state() == ServiceState::Ready && row.pid != pid).then_some(())
        });
        ready(&home, &mut daemon, id);
        assert_eq!(starts(&home, id), 2, "{id}");
    }
}

#[test]
fn a_killed_watchd_finds_its_services_again_and_remembers() {
    let home = home_of_seven("adopt", "");
    let mut daemon = home.start();
    all_ready(&home, &mut daemon);
    kill(Pid::from_raw(ready(&home, &mut daemon, "own0")), Signal::SIGKILL).expect("it lives");
    daemon.wait_for("a restart", |snapshot| (snapshot.service("own0")?.restarts == 1).then_some(()));
    let pids = all_ready(&home, &mut daemon);
    assert_eq!(home.ask(&["pause", "own1"]).0, 0);
    daemon.wait_state("own1", ServiceState::Paused);
    let left = daemon.wait_for("a budget", |snapshot| Some(snapshot.service("own0")?.budget_left));
    assert!(left < 100, "the restart was counted");
    daemon.kill();

    for (id, pid) in all().into_iter().zip(&pids) {
        assert_eq!(copies(&home, id), [*pid], "{id} outlives watchd");
    }
    let mut daemon = home.start();
    daemon.wait_state("own1", ServiceState::Paused);
    for (id, pid) in all().into_iter().zip(pids) {
        if id != "own1" {
            assert_eq!(ready(&home, &mut daemon, id), pid, "{id} is adopted");
        }
        assert_eq!(copies(&home, id), [pid], "{id} runs once");
        assert_eq!(starts(&home, id), if id == "own0" { 2 } else { 1 }, "{id} was not started again");
    }
    let left_now = daemon.wait_for("a budget", |snapshot| Some(snapshot.service("own0")?.budget_left));
    assert!(left_now <= left, "the budget is remembered: {left_now} of {left}");

    // A child of the watchd before is watched like any other.
    let pid = ready(&home, &mut daemon, "own2");
    kill(Pid::from_raw(pid), Signal::SIGKILL).expect("it lives");
    daemon.wait_for("another process", |snapshot| (snapshot.service("own2")?.pid != pid).then_some(()));
    ready(&home, &mut daemon, "own2");
}

#[test]
fn what_a_killed_watchd_had_just_made_does_not_keep_the_next_one_out() {
    let home = home_of_seven("orphan", "");
    home.start().kill();
    // A child between its birth and its exec has every descriptor of its parent, the lock among them.
    let orphan = locks::lock_dir(&home.run_dir()).expect("it can be locked").expect("nobody has it");
    let mut daemon = home.spawn();
    until("its waiting for the lock", || (look::status(daemon.pid(), "voluntary_ctxt_switches")? > 10).then_some(()));
    drop(orphan);
    all_ready(&home, &mut daemon);
    let second = home.spawn();
    assert_eq!(second.wait_end(), 1, "one that lives does keep the next one out");
}

#[test]
fn a_paused_service_is_left_alone_until_it_is_resumed() {
    let home = home_of_seven("pause", "");
    let mut daemon = home.start();
    let pid = ready(&home, &mut daemon, "own0");
    assert_eq!(home.ask(&["pause", "own0"]).0, 0);
    daemon.wait_state("own0", ServiceState::Paused);
    kill(Pid::from_raw(pid), Signal::SIGKILL).expect("it lives");
    // Its neighbour dies later and is back: the death of the paused one was seen before.
    let neighbour = ready(&home, &mut daemon, "own1");
    kill(Pid::from_raw(neighbour), Signal::SIGKILL).expect("it lives");
    daemon.wait_for("the neighbour", |snapshot| (snapshot.service("own1")?.restarts == 1).then_some(()));
    assert_eq!(copies(&home, "own0"), [0; 0]);
    assert_eq!(home.ask(&["resume", "own0"]).0, 0);
    ready(&home, &mut daemon, "own0");
}

#[test]
fn stop_means_stopped_and_start_means_started() {
    let home = home_of_seven("stop", "");
    let mut daemon = home.start();
    all_ready(&home, &mut daemon);
    for id in all() {
        assert_eq!(home.ask(&["stop", id]).0, 0, "{id}");
        daemon.wait_state(id, ServiceState::Stopped);
        assert_eq!(copies(&home, id), [0; 0], "{id}");
    }
    for id in all() {
        assert_eq!(home.ask(&["start", id]).0, 0, "{id}");
        ready(&home, &mut daemon, id);
        assert_eq!(starts(&home, id), 2, "{id}");
    }
    assert_eq!(home.ask(&["stop", "nosuch"]).0, 2, "a name that is not in the policy");
}

#[test]
fn asked_to_stop_it_leaves_services_alone_and_nothing_behind() {
    let home = home_of_seven("leave", "");
    let mut daemon = home.start();
    let pids = all_ready(&home, &mut daemon);
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait_end(), 0);
    for (id, pid) in all().into_iter().zip(pids) {
        assert_eq!(copies(&home, id), [pid], "{id} goes on");
    }
    assert_eq!(left_in_run(&home), Vec::<PathBuf>::new());
    assert_eq!(home.ask(&["status"]).0, 3, "there is no daemon");
}

#[test]
fn on_exit_stop_takes_the_services_along() {
    let home = home_of_seven("along", "on-exit = \"stop\"");
    let mut daemon = home.start();
    all_ready(&home, &mut daemon);
    assert_eq!(home.ask(&["shutdown"]).0, 0);
    assert_eq!(daemon.wait_end(), 0);
    for id in all() {
        until("the end of the service", || copies(&home, id).is_empty().then_some(()));
    }
    assert_eq!(left_in_run(&home), Vec::<PathBuf>::new());
}

#[test]
fn what_leaves_the_policy_goes_on_unless_on_remove_says_stop() {
    let rest = "[watchd]\ncycle = \"1s\"\n[process.own0]\nrun = [\"@/stamp\", \"@/own0\"]\n";
    for (name, more, goes_on) in [("kept", "", true), ("removed", "on-remove = \"stop\"", false)] {
        let home = home_of_seven(name, more);
        let mut daemon = home.start();
        let pids = all_ready(&home, &mut daemon);
        home.configure(rest);
        daemon.wait_for("the smaller policy", |snapshot| (snapshot.services.len() == 1).then_some(()));
        for (id, pid) in all().into_iter().zip(pids) {
            if id == "own0" || goes_on {
                assert_eq!(copies(&home, id), [pid], "{id} goes on");
            } else {
                until("the end of the service", || copies(&home, id).is_empty().then_some(()));
            }
        }
    }
}

/// What is in the run directory, which may be gone as a whole.
fn left_in_run(home: &Home) -> Vec<PathBuf> {
    let entries = fs::read_dir(home.run_dir()).into_iter().flatten();
    entries.map(|entry| entry.expect("it can be listed").path()).collect()
}

#[test]
fn a_bad_config_keeps_the_old_policy_and_says_so() {
    let home = home_of_seven("badconf", "");
    let mut daemon = home.start();
    let pids = all_ready(&home, &mut daemon);
    home.configure("[process.own0]\nrun = [\"@/stamp\", \"@/own0\"]\nsettel = \"1s\"\n");
    daemon.signal(Signal::SIGHUP);
    let error = daemon.wait_for("the refusal", |snapshot| {
        (snapshot.header.config_ok == 0).then(|| board::text(&snapshot.header.config_error).to_owned())
    });
    assert!(error.contains("settel") && error.contains(":3:"), "the refusal names the place and the key: {error}");
    assert_eq!(all_ready(&home, &mut daemon), pids, "the old policy goes on");
    let (code, status) = home.ask(&["status"]);
    assert!(code == 1 && status.contains("settel"), "status says so, {code}:\n{status}");

    home.configure(&seven("comment = \"mended\""));
    daemon.signal(Signal::SIGHUP);
    daemon.wait_for("the new policy", |snapshot| (snapshot.header.config_ok == 1).then_some(()));
    assert_eq!(all_ready(&home, &mut daemon), pids, "nothing was started again");
    assert_eq!(home.ask(&["status"]).0, 0);
}

#[test]
fn a_changed_config_is_noticed_without_a_signal() {
    let home = home_of_seven("inotify", "");
    let mut daemon = home.start();
    let pid = ready(&home, &mut daemon, "own0");
    home.configure("[watchd]\ncycle = \"1s\"\n[process.own0]\nrun = [\"@/stamp\", \"@/own0\"]\n");
    daemon.wait_for("the smaller policy", |snapshot| (snapshot.services.len() == 1).then_some(()));
    assert_eq!(ready(&home, &mut daemon, "own0"), pid);
}

#[test]
fn a_second_watchd_in_the_same_place_is_refused() {
    let home = home_of_seven("second", "");
    let mut daemon = home.start();
    let pids = all_ready(&home, &mut daemon);
    let second = home.watchd(&["run"]);
    assert_eq!(second.status.code(), Some(1), "{}", String::from_utf8_lossy(&second.stderr));
    assert_eq!(all_ready(&home, &mut daemon), pids);
}

#[test]
fn status_tells_people_and_programs_the_same() {
    let home = home_of_seven("status", "");
    assert_eq!(home.ask(&["status"]).0, 3, "there is no daemon yet");
    let mut daemon = home.start();
    let pids = all_ready(&home, &mut daemon);
    let (code, table) = home.ask(&["status"]);
    assert_eq!(code, 0, "{table}");
    let (code, json) = home.ask(&["status", "--json"]);
    assert_eq!(code, 0, "{json}");
    let json: Value = serde_json::from_str(&json).expect("status --json is JSON");
    assert_eq!(json["schema"], 1);
    assert_eq!(json["daemon"]["pid"], daemon.pid());
    assert_eq!(json["daemon"]["config"]["ok"], true);
    for (place, (id, pid)) in all().into_iter().zip(pids).enumerate() {
        assert!(table.contains(id) && table.contains(&pid.to_string()), "{id} {pid} is in\n{table}");
        let row = &json["processes"][place];
        assert_eq!((row["id"].as_str(), row["pid"].as_i64()), (Some(id), Some(i64::from(pid))));
        assert_eq!(row["state"], "ready");
    }
}

#[test]
fn everything_is_told_on_the_network() {
    let (munin, http) = (net::free_port(), net::free_port());
    let listen = |name: &str, port: u16| format!("[{name}]\nlisten = [\"127.0.0.1:{port}\"]\n");
    let home =
        Home::new("told", &format!("[watchd]\ncycle = \"1s\"\n{}{}", listen("munin", munin), listen("http", http)));
    let _daemon = home.start();
    until("an answer", || (net::get(http, "/healthz").0 == 200).then_some(()));
    for page in ["/", "/metrics", "/api/status"] {
        let (code, body) = net::get(http, page);
        assert!(code == 200 && body.len() > 200, "{page}: {code}\n{body}");
    }
    assert_eq!(net::get(http, "/nosuch").0, 404);
    let answer = net::munin(munin, "list\nfetch cpu\nfetch load");
    for word in ["cpu", "load", "memory", "user.value ", "load.value "] {
        assert!(answer.contains(word), "{word} is in\n{answer}");
    }
}

#[test]
fn the_embedded_default_serves_an_ordinary_user_without_any_set_up() {
    if !is_root() {
        return skip("another user can only be played by root");
    }
    let nobody = 65534;
    let home = Home::newcomer("newcomer", Some(nobody));
    let mut daemon = home.start();
    daemon.wait_for("readings of the host", |snapshot| {
        let header = &snapshot.header;
        (header.config_ok == 1 && snapshot.readings().view.rows.len() > 50).then_some(())
    });
    let (code, table) = home.ask(&["status"]);
    assert!(code == 0 && !table.is_empty(), "{code}\n{table}\n{}", daemon.said());
    let said = daemon.said();
    assert!(said.contains("watchd status"), "it says where to look:\n{said}");
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait_end(), 0);
}
