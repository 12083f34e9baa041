//! Orphans below watchd come back to it and are taken away. Alone in its file: it reaps every child of its process.

#![allow(clippy::expect_used, clippy::panic)]

use std::time::{Duration, Instant};

use watchd::model::{Command, Ending, Launch};
use watchd::sys::clock;
use watchd::sys::reap;
use watchd::sys::spawn::{self, Output, Plan};

fn zombies_of(parent: i32) -> usize {
    let processes = std::fs::read_dir("/proc").expect("it is mounted").flatten();
    processes
        .filter(|entry| {
            let text = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
            let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
            fields.first() == Some(&"Z") && fields.get(1) == Some(&parent.to_string().as_str())
        })
        .count()
}

#[test]
fn every_child_and_orphan_is_shown_once_and_leaves_no_zombie() {
    reap::become_subreaper().expect("the kernel knows it");
    let line = "for i in 1 2 3 4 5; do (setsid sh -c 'exit 4' &) ; done; exit 3";
    let command = Command::Shell(line.to_owned());
    let launch = Launch::new(command);
    let plan = Plan::prepare(&launch, Output::Policy).expect("the launch is sound");
    let held = spawn::hold(plan).expect("a process can be started");
    let leader = held.pid();
    held.release().expect("the child waits");
    let mut seen = Vec::new();
    let end = Instant::now() + Duration::from_secs(20);
    while seen.len() < 6 {
        assert!(Instant::now() < end, "not before the deadline: {seen:?}");
        assert!(!reap::drain(&mut |pid, ending| seen.push((pid, ending))), "few children fit into one call");
        clock::give_way();
    }
    assert!(seen.contains(&(leader, Ending::Exit(3))), "{seen:?}");
    // Some of the five pass through a shell of their own, which is an orphan as well.
    assert!(seen.iter().filter(|(_, ending)| *ending == Ending::Exit(4)).count() >= 1, "{seen:?}");
    while zombies_of(i32::try_from(std::process::id()).expect("a pid")) > 0 {
        assert!(Instant::now() < end, "a zombie stays");
        reap::drain(&mut |_, _| {});
        clock::give_way();
    }
}
