//! Nobody is woken for nothing: while nothing happens the daemon wakes once a cycle, and the door when it is asked whether it lives.
//!
//! Counted are the times that a process went to sleep of its own accord, which the kernel keeps for each. Nothing here is timed: the
//! cycles are counted as well.

#![allow(clippy::expect_used)]

mod harness;

use std::fmt::Write as _;

use harness::{Home, look, net, until};
use watchd::model::ServiceState;

const SERVICES: usize = 10;
const CYCLES: u64 = 60;

#[test]
fn a_quiet_host_wakes_the_daemon_once_a_cycle() {
    let (munin, http) = (net::free_port(), net::free_port());
    let mut config = String::from("[watchd]\ncycle = \"200ms\"\n");
    let _ = write!(config, "[munin]\nlisten = [\"127.0.0.1:{munin}\"]\n[http]\nlisten = [\"127.0.0.1:{http}\"]\n");
    for place in 0..SERVICES {
        let _ = write!(config, "[process.service{place}]\nrun = [\"/bin/sleep\", \"1000\"]\non-exit = \"stop\"\n");
    }
    let home = Home::new("idle", &config);
    let mut daemon = home.start();
    for place in 0..SERVICES {
        daemon.wait_state(&format!("service{place}"), ServiceState::Ready);
    }
    let door = until("the door", || look::family(daemon.pid()).get(1).copied());
    // What a start leaves to be done is done by then: the door has given back its memory, the mounts were looked at.
    let settled = daemon.wait_for("a quiet daemon", |page| (page.header.cycles > 30).then_some(page.header.cycles));

    let sleeps = |pid| look::status(pid, "voluntary_ctxt_switches").expect("it lives");
    let before = (settled, sleeps(daemon.pid()), sleeps(door));
    let cycles =
        daemon.wait_for("more cycles", |page| (page.header.cycles >= before.0 + CYCLES).then_some(page.header.cycles));
    let (cycles, core, door) = (cycles - before.0, sleeps(daemon.pid()) - before.1, sleeps(door) - before.2);
    eprintln!("{cycles} cycles: the core slept {core} times, the door {door} times");
    // A child that looks at a mount ends now and then, and a write may wait for the disk.
    assert!(core <= cycles + cycles / 2, "the core slept {core} times in {cycles} cycles");
    assert!(door <= cycles / 2, "the door slept {door} times in {cycles} cycles");
}
