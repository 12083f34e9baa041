//! Hosts that do not cooperate: pids that come again as strangers, no more processes to be had, no room under a pidfile, pidfiles that
//! hide their daemon, a ledger that is gone, daemons that others start, services that stand still.
//!
//! What is changed of the host is only ever changed in namespaces of its own. Nothing here depends on how long a thing takes.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command};

use harness::apart::{Mounted, in_namespace, let_next_pid_be, make_pids_few, may_unshare, reap};
use harness::{Daemon, Home, is_root, look, skip, until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use watchd::model::ServiceState;
use watchd::store::board;
use watchd::store::board::ServiceRow;
use watchd::sys::cgroup::Cgroups;

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

/// Somebody else's process.
struct Stranger(Child);

impl Stranger {
    fn new(program: &Path) -> Self {
        // In a session of its own, as everything that somebody else has started.
        let mut command = Command::new(program);
        Self(command.arg("1000").process_group(0).spawn().expect("it is a program"))
    }

    fn pid(&self) -> i32 {
        i32::try_from(self.0.id()).expect("pids are small")
    }

    fn lives(&mut self) -> bool {
        self.0.try_wait().expect("it is our child").is_none()
    }

    /// One that has exactly this pid, which somebody had before.
    fn with_pid(program: &Path, pid: i32) -> Self {
        until(&format!("a stranger with the pid {pid}"), || {
            // Where pids are many, the next one can be said; where they are few, it comes by itself.
            let_next_pid_be(pid);
            let stranger = Self::new(program);
            (stranger.pid() == pid).then_some(stranger)
        })
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn pids_that_come_again_as_strangers_are_neither_taken_for_the_service_nor_hit() {
    if !may_unshare() {
        return skip("a namespace of pids takes root");
    }
    in_namespace("inside_where_pids_come_again");
}

#[test]
#[ignore = "runs in a namespace of its own"]
fn inside_where_pids_come_again() {
    make_pids_few(400);
    let own = "[process.own]\nrun = [\"@/stamp\", \"@/own\"]\n";
    let home = Home::new("pids", &format!("[watchd]\ncycle = \"200ms\"\n{}{own}{QUICK}", forking("fork")));
    home.scratch.program("stamp.c", "stamp");
    let other = home.scratch.copied("/bin/sleep", "other");
    let mut strangers: Vec<Stranger> = Vec::new();
    let mut daemon = home.start();
    // With few pids a service may get its own back: then nobody else can have it.
    let another = |daemon: &mut Daemon<'_>, id: &str, old: ServiceRow| {
        daemon.wait_for("another", |snapshot| {
            let is_other = |row: &&ServiceRow| (row.pid, row.start_ticks) != (old.pid, old.start_ticks);
            snapshot
                .service(id)
                .filter(|row| row.state() == ServiceState::Ready && row.pid > 0)
                .filter(is_other)
                .copied()
        })
    };
    let mut rounds = 0;
    for round in 0..6 {
        let id = if round % 2 == 0 { "fork" } else { "own" };
        let before = daemon.wait_state(id, ServiceState::Ready);
        let old = before.pid;
        daemon.wait_state("fork", ServiceState::Ready);
        daemon.wait_state("own", ServiceState::Ready);
        // At last watchd is dead while the service dies and its pid becomes another's.
        let is_dead = round >= 4;
        if is_dead {
            daemon.kill();
            kill(Pid::from_raw(old), Signal::SIGKILL).expect("it is there");
            until("its end", || reap(old).then_some(()));
            strangers.push(Stranger::with_pid(&other, old));
            daemon = home.start();
        } else if id == "fork" {
            kill(Pid::from_raw(old), Signal::SIGKILL).expect("it is there");
            // What is born in the middle of a start, and named in a fresh pidfile, is that start's work as far as anybody can tell.
            if another(&mut daemon, id, before).pid == old {
                continue;
            }
            until("the pid to be free", || look::stat(old).is_none().then_some(()));
            strangers.push(Stranger::with_pid(&other, old));
            // Its pidfile names the stranger while the service dies again.
            fs::write(home.scratch.path("fork.pid"), format!("{old}\n")).expect("a file can be written");
            let new = daemon.wait_state(id, ServiceState::Ready).pid;
            // What is born within two ticks of a start, and named in a fresh pidfile, is that start's work as far as anybody can tell.
            harness::pause(std::time::Duration::from_millis(100));
            kill(Pid::from_raw(new), Signal::SIGKILL).expect("it is there");
        } else {
            kill(Pid::from_raw(old), Signal::SIGKILL).expect("it is there");
            if another(&mut daemon, id, before).pid == old {
                continue;
            }
            until("the pid to be free", || look::stat(old).is_none().then_some(()));
            strangers.push(Stranger::with_pid(&other, old));
        }
        rounds += 1;
        let new = another(&mut daemon, id, before);
        assert!(strangers.iter().all(|stranger| stranger.pid() != new.pid), "a stranger is no service");
        let (code, said) = home.ask(&["restart", id]);
        assert_eq!(code, 0, "{said}");
        another(&mut daemon, id, new);
        for stranger in &mut strangers {
            assert!(stranger.lives(), "a stranger was hit in round {round}; watchd said:\n{}", daemon.said());
        }
    }
    assert!(rounds >= 2, "the last two at least are played");
    for id in ["fork", "own"] {
        let pid = daemon.wait_state(id, ServiceState::Ready).pid;
        assert_eq!(look::with_argument(&home.scratch.path(id)), [pid], "one {id}");
    }
    drop(strangers);
    drop(daemon);
}

#[test]
fn where_no_more_processes_are_to_be_had_services_wait_and_come_back_by_themselves() {
    if !is_root() {
        return skip("playing another user takes root");
    }
    // Nobody else has processes under this account.
    let (user, few) = (51_234, 6);
    let mut policy = String::from("[watchd]\ncycle = \"200ms\"\n");
    for number in 0..6 {
        policy += &format!("[process.s{number}]\nrun = [\"@/stamp\", \"@/made/s{number}\"]\n{QUICK}");
    }
    let home = Home::new("nproc", &policy).owned_by(user);
    home.scratch.program("stamp.c", "stamp");
    home.scratch.dir_of("made", Some(user));
    let mut limited = Command::new("prlimit");
    let plain = home.command(&["run"]);
    limited.arg(format!("--nproc={few}:64")).arg(plain.get_program()).args(plain.get_args());
    limited.uid(user).gid(user).current_dir("/");
    let mut daemon = home.spawn_as(limited);
    let refused = daemon.wait_for("a start that is refused", |snapshot| {
        let wants =
            |row: &&watchd::store::ServiceRow| board::text(&row.reason).contains("Resource temporarily unavailable");
        snapshot.services.iter().find(wants).copied()
    });
    assert!(refused.state() != ServiceState::Ready, "{}", refused.state());
    let running: Vec<i32> =
        (0..6).flat_map(|number| look::with_argument(&home.scratch.path(&format!("made/s{number}")))).collect();
    assert!(running.len() < 6, "not all could be started: {running:?}");
    // By the account itself: root may lack the right here.
    let mut raise = Command::new("prlimit");
    raise.arg(format!("--pid={}", daemon.pid())).arg("--nproc=64:64").uid(user).gid(user);
    let raised = raise.status();
    assert!(raised.expect("util-linux has prlimit").success());
    for number in 0..6 {
        let id = format!("s{number}");
        let row = daemon.wait_state(&id, ServiceState::Ready);
        assert_eq!(look::with_argument(&home.scratch.path(&format!("made/{id}"))), [row.pid], "one {id}");
        if running.contains(&row.pid) {
            assert_eq!(row.restarts, 0, "{id} had nothing to do with it");
        }
    }
}

/// Waits for three cycles in which it only looks on.
fn three_cycles(daemon: &mut Daemon<'_>) {
    let newest = |snapshot: &watchd::store::Snapshot| Some(snapshot.header.sample_mono_ms);
    let before = daemon.wait_for("a cycle", newest);
    daemon.wait_for("three cycles", |snapshot| (newest(snapshot)? > before + 600).then_some(()));
}

#[test]
fn a_daemon_that_its_pidfile_hides_is_not_started_a_second_time() {
    for wrong in ["echo what? >@/fork.pid", ": >@/fork.pid", "rm @/fork.pid"] {
        // The daemon writes its pidfile when the command it left has ended.
        let start = format!(
            "rm -f @/fork.pid; @/stamp @/fork @/fork.pid; while [ ! -e @/fork.pid ]; do sleep 0.01; done; \
             if [ -e @/spoil ]; then {wrong}; fi"
        );
        let quick = QUICK.replace("\"10s\"", "\"500ms\"");
        let home = Home::new(
            "hidden",
            &format!(
                "[watchd]\ncycle = \"200ms\"\n[process.fork]\npidfile = \"@/fork.pid\"\nstart = \"{start}\"\n{quick}"
            ),
        );
        home.scratch.program("stamp.c", "stamp");
        let spoil = home.scratch.write("spoil", "");
        let copies = || look::with_argument(&home.scratch.path("fork"));
        let mut daemon = home.start();
        // It was never seen, and is known by what watchd gave it; later by its name.
        for round in 1..3 {
            daemon.wait_state("fork", ServiceState::Unknown);
            reason(&mut daemon, "fork", "'stamp' may be it, but");
            let hidden = copies();
            three_cycles(&mut daemon);
            daemon.kill();
            daemon = home.start();
            daemon.wait_state("fork", ServiceState::Unknown);
            three_cycles(&mut daemon);
            assert_eq!((starts(&home, "fork"), copies()), (round, hidden.clone()), "{wrong}");
            let (code, said) = home.ask(&["status", "fork"]);
            assert!(code == 4 && said.contains("unknown"), "{code} {said}");
            if round == 2 {
                break;
            }
            fs::write(home.scratch.path("fork.pid"), format!("{}\n", hidden[0])).expect("a file can be written");
            let row = daemon.wait_state("fork", ServiceState::Ready);
            assert_eq!((vec![row.pid], row.restarts), (hidden, 0), "it goes on with what was there");
            kill(Pid::from_raw(row.pid), Signal::SIGKILL).expect("it is there");
        }
        // What hides dies: the pidfile says as little as before, and it comes back all the same.
        fs::remove_file(&spoil).expect("it is ours");
        kill(Pid::from_raw(copies()[0]), Signal::SIGKILL).expect("it is there");
        let row = daemon.wait_state("fork", ServiceState::Ready);
        assert_eq!((starts(&home, "fork"), copies()), (3, vec![row.pid]), "{wrong}");
    }
}

#[test]
fn a_ledger_that_is_gone_makes_no_second_copy() {
    // The third has nothing of its environment left; only its control group knows it.
    for (group, run) in [
        ("cgroup = false\n", "[\"@/stamp\", \"@/own\"]"),
        ("", "[\"@/stamp\", \"@/own\"]"),
        ("", "[\"/usr/bin/env\", \"-i\", \"@/stamp\", \"@/own\"]"),
    ] {
        let home =
            Home::new("lost", &format!("[watchd]\ncycle = \"200ms\"\n{group}[process.own]\nrun = {run}\n{QUICK}"));
        if run.contains("env") && Cgroups::find(&home.scratch.path("state")).is_none() {
            return skip("there is no hierarchy of control groups that can be written to");
        }
        home.scratch.program("stamp.c", "stamp");
        let mut daemon = home.start();
        let row = daemon.wait_state("own", ServiceState::Ready);
        for damage in ["", "what?"] {
            daemon.kill();
            let ledger = home.scratch.path("state/services");
            if damage.is_empty() {
                fs::remove_file(&ledger).expect("it is ours");
            } else {
                fs::write(&ledger, damage.repeat(20_000)).expect("it is ours");
            }
            daemon = home.start();
            let again = daemon.wait_state("own", ServiceState::Ready);
            assert_eq!((again.pid, starts(&home, "own")), (row.pid, 1), "{group}{run} '{damage}'");
        }
        // Two that could be it: a person has to say which.
        if group.is_empty() {
            continue;
        }
        daemon.kill();
        let environment = fs::read(format!("/proc/{}/environ", row.pid)).expect("it lives");
        let mark = environment.split(|byte| *byte == 0).find(|entry| entry.starts_with(b"WATCHD_SERVICE="));
        let mark = String::from_utf8_lossy(mark.expect("it is marked")).into_owned();
        let mut second = Command::new("setsid");
        second.args(["-f", "env", &mark]).arg(home.scratch.path("stamp")).arg(home.scratch.path("own"));
        assert!(second.status().expect("util-linux has setsid").success());
        let both = until("a second one", || {
            Some(look::with_argument(&home.scratch.path("own"))).filter(|pids| pids.len() == 2)
        });
        fs::remove_file(home.scratch.path("state/services")).expect("it is ours");
        daemon = home.start();
        daemon.wait_state("own", ServiceState::Unknown);
        reason(&mut daemon, "own", "may both be it");
        three_cycles(&mut daemon);
        assert_eq!(look::with_argument(&home.scratch.path("own")), both, "nothing is started, nothing is ended");
        let second = both.into_iter().find(|pid| *pid != row.pid).expect("there are two");
        kill(Pid::from_raw(second), Signal::SIGKILL).expect("it is there");
        assert_eq!(daemon.wait_state("own", ServiceState::Ready).pid, row.pid);
    }
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
