//! Everything at once: twenty services, or fifty, of all forms die, hang, refuse to end and lose their pidfiles while watchd is killed again and
//! again. Afterwards there is one of each, nothing of watchd's is left over, and no start went unpaid.
//!
//! What happens is drawn from a seed, which is printed; `WATCHD_SEED` plays a storm again. With `WATCHD_STORM=full` it is fifty services,
//! twenty blows a second for a minute, and watchd killed a hundred times.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use std::fs;
use std::process::{Child, Command};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use harness::{Daemon, Home, look, until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use watchd::model::ServiceState;
use watchd::store::board::text;

const BUDGET: u32 = 1000;

fn is_full() -> bool {
    std::env::var_os("WATCHD_STORM").is_some_and(|size| size == "full")
}

/// How many blows there are, how often watchd is killed, and how long a blow waits for the next.
fn measure() -> (usize, usize, Duration) {
    if is_full() { (1200, 100, Duration::from_millis(50)) } else { (80, 3, Duration::ZERO) }
}

fn names() -> Vec<String> {
    let numbered = |name: &'static str, count: usize| (0..count).map(move |number| format!("{name}{number}"));
    let (own, fork, found) = if is_full() { (17, 16, 15) } else { (7, 6, 5) };
    let deaf = ["deaf".to_owned()];
    numbered("own", own).chain(deaf).chain(numbered("fork", fork)).chain(numbered("found", found)).collect()
}

/// All that come up, and one whose start never ends.
fn policy() -> String {
    let common = format!(
        "settle = \"50ms\"\nbackoff = [\"10ms\", \"50ms\"]\nlimit = \"{BUDGET}/1d\"\nwait-for-host = false\n\
         signals = [\"term\", \"200ms\", \"kill\"]\ntimeout = \"500ms\"\n"
    );
    let mut text = String::from("[watchd]\ncycle = \"1s\"\n");
    for id in names() {
        let how = match id.trim_end_matches(|letter: char| letter.is_ascii_digit()) {
            "own" => format!("run = [\"@/stamp\", \"@/{id}\"]\n"),
            "deaf" => format!("run = \"trap '' TERM; exec @/stamp @/{id}\"\n"),
            "fork" => format!("pidfile = \"@/{id}.pid\"\nstart = [\"@/stamp\", \"@/{id}\", \"@/{id}.pid\"]\n"),
            _ => format!("match = \"@/program-{id}\"\nstart = [\"@/program-{id}\", \"@/{id}\", \"@/{id}.pid\"]\n"),
        };
        text += &format!("[process.{id}]\n{how}{common}");
    }
    text + &format!("[process.hung]\npidfile = \"@/hung.pid\"\nstart = [\"@/stamp\", \"@/hung\"]\n{common}")
}

struct Random(u64);

impl Random {
    fn below(&mut self, count: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(count).expect("it is small")).expect("it is small")
    }
}

/// Somebody else's process, whose pid gets into pidfiles.
struct Stranger(Child);

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn copies(home: &Home, id: &str) -> Vec<i32> {
    let ours = look::running_from(&home.scratch.dir);
    look::with_argument(&home.scratch.path(id)).into_iter().filter(|pid| ours.contains(pid)).collect()
}

/// Waits until each service is ready and there is one of it: the one on the board. Of what a spoiled pidfile hides there is one, too,
/// and when somebody has seen to the pidfile it is that one. Gives how many were hidden.
fn calm(home: &Home, daemon: &mut Daemon<'_>) -> usize {
    let mut hidden = 0;
    for id in names() {
        let mut mended = None;
        daemon.wait_for(&format!("one {id}"), |snapshot| {
            let row = snapshot.service(&id)?;
            let copies = copies(home, &id);
            assert!(copies.len() <= 1, "{copies:?} are copies of {id}");
            let is_lost = row.state() == ServiceState::Unknown && text(&row.reason).contains("may be it, but");
            if let [copy] = copies[..]
                && is_lost
                && mended.is_none()
            {
                fs::write(home.scratch.path(&format!("{id}.pid")), format!("{copy}\n")).expect("a file can be written");
                mended = Some(copy);
                hidden += 1;
            }
            let is_well = row.state() == ServiceState::Ready && mended.is_none_or(|copy| copy == row.pid);
            (is_well && copies == [row.pid]).then_some(())
        });
    }
    hidden
}

/// The blow that is an order to restart, which costs nothing.
const RESTART: usize = 6;

/// One thing that goes wrong: which, and with whom. Only processes of the services are hit.
fn strike(home: &Home, daemon: &Daemon<'_>, stranger: i32, random: &mut Random) -> (String, usize) {
    let names = names();
    let id = &names[random.below(names.len())];
    let pid = daemon.snapshot().and_then(|snapshot| Some(snapshot.service(id)?.pid)).filter(|pid| *pid > 0);
    // The board may be a moment old: what is hit is looked at again.
    let pid = pid.filter(|pid| copies(home, id).contains(pid));
    let signal = |signal: Signal| {
        if let Some(pid) = pid {
            let _ = kill(Pid::from_raw(pid), signal);
        }
    };
    let pidfile = home.scratch.path(&format!("{id}.pid"));
    // Also in the middle of a start: then it hides its daemon from everybody.
    let spoil = |text: &str| {
        if id.starts_with("fork") {
            fs::write(&pidfile, text).expect("a file can be written");
        }
    };
    let blow = random.below(10);
    match blow {
        0 => signal(Signal::SIGSTOP),
        1 => signal(Signal::SIGTERM),
        2 => signal(Signal::SIGSEGV),
        3 => spoil(""),
        4 => spoil("12x\n\0\n"),
        5 => spoil(&format!("{stranger}\n")),
        RESTART => drop(home.ask(&["restart", id])),
        _ => signal(Signal::SIGKILL),
    }
    (id.clone(), blow)
}

#[test]
fn after_a_storm_there_is_one_of_each_and_nothing_is_left_over() {
    let drawn = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |now| u64::from(now.subsec_nanos()) | 1);
    let seed = std::env::var("WATCHD_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(drawn);
    eprintln!("WATCHD_SEED={seed}");
    let mut random = Random(seed);
    let home = Home::new("storm20", &policy());
    let stamp = home.scratch.program("stamp.c", "stamp");
    for id in names().iter().filter(|id| id.starts_with("found")) {
        home.scratch.copied(&stamp, &format!("program-{id}"));
    }
    let other = home.scratch.copied(&stamp, "other");
    let stranger = Stranger(Command::new(&other).arg(home.scratch.path("stranger")).spawn().expect("it is a program"));
    let stranger_pid = i32::try_from(stranger.0.id()).expect("pids are small");

    let mut daemon = home.start();
    calm(&home, &mut daemon);
    let descriptors = look::descriptors(daemon.pid());
    let memory = look::status(daemon.pid(), "VmRSS").expect("it runs");
    let mut blows = Vec::new();
    let (count, killed, gap) = measure();
    for round in 0..=killed {
        for _ in 0..count / (killed + 1) {
            blows.push(strike(&home, &daemon, stranger_pid, &mut random));
            harness::pause(gap);
        }
        if round < killed {
            daemon.kill();
            // When time is short nobody waits for it: it may be killed while it begins.
            daemon = if is_full() { home.spawn() } else { home.start() };
        }
    }

    eprintln!("{} were hidden by a spoiled pidfile", calm(&home, &mut daemon));
    assert!(copies(&home, "hung").len() <= 1, "a start that hangs is not started over itself");
    assert_eq!(copies(&home, "stranger"), [stranger_pid], "a stranger in a pidfile is not hit");
    for id in names() {
        let starts = fs::read_to_string(home.scratch.path(&id)).map_or(0, |text| text.lines().count());
        let left = daemon.wait_for("a budget", |snapshot| Some(snapshot.service(&id)?.budget_left));
        let spent = usize::try_from(BUDGET - left.min(BUDGET)).expect("it is small");
        let own: Vec<usize> = blows.iter().filter(|(whom, _)| *whom == id).map(|(_, blow)| *blow).collect();
        let free = own.iter().filter(|blow| **blow == RESTART).count();
        // The first start is free, and one may have come back into the budget meanwhile.
        assert!(starts <= spent + free + 2, "{id}: {starts} started, {spent} paid, {free} free");
        // What was killed before its first instruction, or with watchd, was paid for and left no line.
        assert!(spent <= starts + own.len() + killed, "{id}: {spent} paid, {starts} started");
    }
    let pid = daemon.pid();
    until("the end of all zombies of watchd", || {
        let entries = fs::read_dir("/proc").expect("there is a /proc").flatten();
        let mut stats = entries.filter_map(|entry| look::stat(entry.file_name().to_str()?.parse().ok()?));
        (!stats.any(|stat| stat.parent == pid && stat.state == 'Z')).then_some(())
    });
    until("as many descriptors as before", || (look::descriptors(pid) <= descriptors + 1).then_some(()));
    let after =
        until("as much memory as before", || look::status(pid, "VmRSS").filter(|after| *after <= memory + memory / 10));
    eprintln!(
        "{memory} KiB before, {after} KiB after; {descriptors} descriptors before, {} after",
        look::descriptors(pid)
    );
}
