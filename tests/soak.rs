//! A long time in a short one: cycles of ten milliseconds, services that are killed, configs that change, orders, logs that are
//! rotated, clients of both ports; and memory, descriptors, threads and room on the disk stay as they were.
//!
//! `WATCHD_SOAK=260000` makes as many cycles as thirty days have at the usual ten seconds; without it some hundred are made.
//! Memory means something for the program that is shipped (`WATCHD_BIN`, or `--release`) and is held against its limit there.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use harness::{Daemon, Home, is_release, look, net, pause};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use watchd::model::ServiceState;
use watchd::store::history::{PANEL_BYTES, PANELS};

const CYCLES: u64 = 600;
const SERVICES: [&str; 3] = ["a", "b", "c"];
/// Looks at what is used; the first quarter of them is what the rest is held against.
const LOOKS: u64 = 40;
/// The heap may end a page or two elsewhere, and a page of the program's text may be there or not when it is looked at.
const SLACK_KIB: u64 = 200;
/// A pipe, a client or a pidfd may be open or not at the moment of a look.
const SLACK_DESCRIPTORS: u64 = 12;
/// A log that is rotated now or in a moment.
const SLACK_DISK: u64 = 400 << 10;

fn policy(munin: u16, http: u16, round: u64) -> String {
    let mut text = format!(
        "[watchd]\ncycle = \"10ms\"\n[munin]\nlisten = [\"127.0.0.1:{munin}\"]\n[http]\nlisten = [\"127.0.0.1:{http}\"]\n\
         [process.talk]\nrun = [\"@/chatter\"]\noutput = {{ file = \"@/talk.log\", max = \"64K\", keep = 2 }}\n\
         [measure.count]\nrun = \"echo {round}\"\nevery = \"500ms\"\n[file.note]\npath = \"@/note\"\ncreate = true\n\
         line = \"round {}\"\nevery = \"300ms\"\n[report.r]\nif = \"a_down\"\ntext = \"a is down\"\nto = [\"log\"]\n",
        round % 2
    );
    for id in SERVICES {
        text += &format!(
            "[process.{id}]\nrun = [\"@/stamp\", \"@/{id}\"]\nsettle = \"10ms\"\nbackoff = [\"10ms\", \"1s\"]\n\
             limit = \"1000/1m\"\ncheck = [{{ exec = \"true\", every = \"700ms\" }}]\n"
        );
    }
    text
}

/// What is used at a moment, over both processes.
#[derive(Clone, Copy, Debug)]
struct Used {
    rss: u64,
    descriptors: u64,
    threads: u64,
    disk: u64,
}

fn used(daemon: &Daemon<'_>, dir: &Path) -> Used {
    let family = look::family(daemon.pid());
    let named = |name: &'static str| family.iter().filter_map(move |pid| look::status(*pid, name));
    // Helpers come and go; the two that stay are the oldest.
    let rss = family.iter().take(2).filter_map(|pid| look::status(*pid, "VmRSS")).sum();
    Used {
        rss,
        descriptors: look::descriptors(daemon.pid()) as u64,
        threads: named("Threads").max().unwrap_or(0),
        disk: below(&dir.join("state")) + below(&dir.join("run")) + logs(dir),
    }
}

/// What the log of the service that talks takes, with those before it.
fn logs(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok);
    let logs = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("talk.log"));
    logs.filter_map(|entry| Some(entry.metadata().ok()?.blocks() * 512)).sum()
}

/// What stands on the disk below a directory.
fn below(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok);
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(found) if found.is_dir() => below(&entry.path()),
        // It grows by a panel when the host has something new to tell of, eight times at most.
        Ok(_) if entry.file_name() == "history" => 0,
        Ok(found) => found.blocks() * 512,
        Err(_) => 0,
    };
    entries.map(size).sum()
}

#[test]
fn a_month_of_cycles_uses_what_the_first_days_did() {
    let cycles = std::env::var("WATCHD_SOAK").ok().and_then(|text| text.parse().ok()).unwrap_or(CYCLES);
    let (munin, http) = (net::free_port(), net::free_port());
    let home = Home::new("soak", &policy(munin, http, 0));
    home.scratch.program("stamp.c", "stamp");
    home.scratch.compiled(Path::new("tests/attack/chatter.c"), "chatter");
    let mut daemon = home.start();
    for id in SERVICES {
        daemon.wait_state(id, ServiceState::Ready);
    }
    let (mut looks, mut step, mut round) = (Vec::new(), 0_u64, 0_u64);
    let (mut kills, mut requests, mut last) = ([0_u64; 3], 0_u64, 0);
    loop {
        step += 1;
        pause(Duration::from_millis(10));
        let Some(snapshot) = daemon.snapshot() else { continue };
        let done = snapshot.header.cycles;
        assert!(done >= last, "it began anew: {}", daemon.said());
        last = done;
        let place = usize::try_from(step / 10 % 3).expect("it is small");
        if step.is_multiple_of(10)
            && let Some(row) = snapshot.service(SERVICES[place]).filter(|row| row.state() == ServiceState::Ready)
            && kill(Pid::from_raw(row.pid), Signal::SIGKILL).is_ok()
        {
            kills[place] += 1;
        }
        match step % 50 {
            7 => requests += u64::from(net::get(http, "/metrics").0 == 200),
            17 => requests += u64::from(net::munin(munin, "fetch load").contains("load.value")),
            27 => requests += u64::from(net::get(http, "/").0 == 200),
            37 => requests += u64::from(net::get(http, "/api/history?metric=load.one").0 == 200),
            _ => {}
        }
        match step % 200 {
            31 => {
                round += 1;
                home.configure(&policy(munin, http, round));
            }
            81 => drop(home.ask(&["restart", "talk"])),
            131 => drop(home.ask(&["class", if round % 2 == 0 { "set" } else { "clear" }, "by_hand"])),
            181 => drop(home.ask(&["status", "--json"])),
            _ => {}
        }
        if done * LOOKS / cycles > looks.len() as u64 {
            let look = used(&daemon, &home.scratch.dir);
            println!("{done:>7} cycles: {look:?}, {kills:?} killed, {round} configs, {requests} requests");
            looks.push(look);
        }
        if done >= cycles {
            break;
        }
    }
    assert!(requests > 0 && kills.iter().all(|kills| *kills > 0), "there was something to do");
    let (first, rest) = looks.split_at(looks.len() / 4);
    let most = |looks: &[Used], of: fn(&Used) -> u64| looks.iter().map(of).max().expect("there are some");
    let grown = |of: fn(&Used) -> u64| most(rest, of).saturating_sub(most(first, of));
    assert!(!is_release() || grown(|used| used.rss) <= SLACK_KIB, "memory grew by {} KiB", grown(|used| used.rss));
    assert!(grown(|used| used.descriptors) <= SLACK_DESCRIPTORS, "{} descriptors", grown(|used| used.descriptors));
    assert!(grown(|used| used.disk) <= SLACK_DISK, "room on the disk grew by {}", grown(|used| used.disk));
    assert_eq!(most(&looks, |used| used.threads), 1, "there is no thread but the first");
    let history = fs::metadata(home.scratch.path("state/history")).expect("it is there").len();
    assert!(history <= PANELS as u64 * PANEL_BYTES, "a history of {history} bytes");
    let longest = daemon.snapshot().map_or(0, |snapshot| snapshot.header.longest_turn_us);
    println!("longest turn {longest} us");
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait_end(), 0);
    for (id, kills) in SERVICES.iter().zip(kills) {
        let starts = fs::read_to_string(home.scratch.path(id)).expect("it ran").lines().count() as u64;
        assert!(starts <= kills + 1, "{id} was killed {kills} times and started {starts} times");
    }
}
