//! How many processes of a kind there are, with the real program and real processes: too few, too many, none allowed.

#![allow(clippy::expect_used, clippy::indexing_slicing)]

mod harness;

use std::fs;
use std::os::unix::fs::symlink;
use std::process::{Child, Command, Stdio};

use harness::{Daemon, Home, look, until};
use watchd::model::{EventKind, Outcome};
use watchd::store::board::text;

const BEGIN: &str = "[watchd]\ncycle = \"100ms\"\n[process.worker]\nevery = \"100ms\"\nsettle = \"50ms\"\n";

fn home(name: &str, policy: &str) -> Home {
    let home = Home::new(name, &format!("{BEGIN}{policy}"));
    for name in ["worker", "other"] {
        home.scratch.copied("/bin/sleep", name);
    }
    home
}

fn script(home: &Home, name: &str, lines: &str) {
    let text = format!("#!/bin/sh\n{}\n", lines.replace('@', &home.scratch.dir.display().to_string()));
    home.scratch.script(name, &text);
}

/// A process of ours that is taken away when it has ended.
struct Worker(Child);

impl Worker {
    fn new(home: &Home, program: &str) -> Self {
        let mut command = Command::new(home.scratch.path(program));
        let child = command.arg("1000").stdin(Stdio::null()).stdout(Stdio::null()).spawn();
        Self(child.expect("it can be started"))
    }

    fn pid(&self) -> i32 {
        i32::try_from(self.0.id()).expect("pids are small")
    }

    fn lives(&mut self) -> bool {
        self.0.try_wait().expect("it is our child").is_none()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn workers(home: &Home) -> usize {
    look::running_from(&home.scratch.path("worker")).len()
}

/// What was told about the promise last, once it came out so.
fn outcome(daemon: &mut Daemon<'_>, outcome: Outcome) -> String {
    daemon.wait_for(&format!("worker {outcome}"), |snapshot| {
        snapshot.promises.iter().find(|row| text(&row.id) == "worker" && row.outcome() == outcome)?;
        let told = snapshot.events.iter().rev().find(|row| row.kind() == EventKind::ProcessTended);
        Some(told.map_or_else(String::new, |row| text(&row.text).to_owned()))
    })
}

fn told(daemon: &mut Daemon<'_>, part: &str) -> String {
    daemon.wait_for(part, |snapshot| {
        let is_it =
            |row: &&watchd::store::EventRow| row.kind() == EventKind::ProcessTended && text(&row.text).contains(part);
        snapshot.events.iter().rev().find(is_it).map(|row| text(&row.text).to_owned())
    })
}

#[test]
fn too_few_are_started_until_there_are_enough_and_what_was_started_stays() {
    let home = home("few", "match = \"@/worker\"\ncount = \"2..3\"\nstart = [\"@/start\"]\n");
    script(&home, "start", "@/worker 1000 &");
    let mut daemon = home.start();
    let said = told(&mut daemon, "repaired");
    assert_eq!(said, "repaired: ran its start command; now 2 run");
    outcome(&mut daemon, Outcome::Kept);
    assert_eq!(workers(&home), 2);
    daemon.kill();
    assert_eq!(workers(&home), 2, "they do not end with watchd");
}

#[test]
fn a_start_that_does_not_help_is_a_failure() {
    let home = home("vain", "match = \"@/worker\"\ncount = \"1..\"\nstart = [\"@/start\"]\nlimit = \"2/1h\"\n");
    script(&home, "start", "echo x >> @/started; exit 3");
    let mut daemon = home.start();
    let said = told(&mut daemon, "failed");
    assert_eq!(said, "failed: its start command: exit status 3; still 0 run, at least 1 should");
    let said = told(&mut daemon, "its limit is spent");
    assert!(said.starts_with("would: run its start command: 0 run"), "{said}");
    assert_eq!(fs::read_to_string(home.scratch.path("started")).expect("it ran"), "x\nx\n");
    let (_, classes) = home.ask(&["class", "list"]);
    for class in ["worker_flapping", "worker_down", "worker_low"] {
        assert!(classes.contains(class), "{class}: {classes}");
    }
}

#[test]
fn what_must_not_run_is_ended_by_the_last_signal_it_needs() {
    let home = home("none", "regex = '/bin/sh @/stubborn'\ncount = 0\nsignals = [\"term\", \"100ms\", \"kill\"]\n");
    script(&home, "stubborn", "trap 'echo term >> @/heard' TERM\necho ready > @/ready\nwhile :; do @/other 0.05; done");
    let mut stubborn = Worker(Command::new(home.scratch.path("stubborn")).spawn().expect("it can be started"));
    let mut innocent = Worker::new(&home, "other");
    until("its trap", || home.scratch.path("ready").exists().then_some(()));
    let mut daemon = home.start();
    let said = told(&mut daemon, "repaired");
    assert_eq!(said, format!("repaired: ended process {} (stubborn); now 0 run", stubborn.pid()));
    until("its end", || (!stubborn.lives()).then_some(()));
    assert_eq!(fs::read_to_string(home.scratch.path("heard")).expect("it was asked first"), "term\n");
    assert!(innocent.lives());
    outcome(&mut daemon, Outcome::Kept);
}

#[test]
fn of_too_many_the_youngest_go() {
    let home = home("many", "match = \"@/worker\"\ncount = \"1..2\"\nsignals = [\"term\", \"5s\", \"kill\"]\n");
    let mut old: Vec<Worker> = (0..2).map(|_| Worker::new(&home, "worker")).collect();
    // Start times are told in hundredths of a second.
    harness::pause(std::time::Duration::from_millis(50));
    let mut young: Vec<Worker> = (0..2).map(|_| Worker::new(&home, "worker")).collect();
    let mut daemon = home.start();
    let said = told(&mut daemon, "repaired");
    assert!(said.starts_with("repaired: ended processes ") && said.ends_with("; now 2 run"), "{said}");
    until("the end of the young", || young.iter_mut().all(|worker| !worker.lives()).then_some(()));
    assert!(old.iter_mut().all(Worker::lives));
}

#[test]
fn without_signals_too_many_are_only_told() {
    let home = home("told", "match = \"@/worker\"\ncount = \"..1\"\n");
    let mut workers: Vec<Worker> = (0..2).map(|_| Worker::new(&home, "worker")).collect();
    let mut daemon = home.start();
    assert_eq!(outcome(&mut daemon, Outcome::Failed), "failed: 2 run, at most 1 may");
    let (_, classes) = home.ask(&["class", "list"]);
    assert!(classes.contains("worker_high") && classes.contains("worker_failed"), "{classes}");
    let (_, why) = home.ask(&["why", "worker"]);
    assert!(why.contains("at most 1 may run") && why.contains("At the last look 2 ran, with "), "{why}");
    assert!(workers.iter_mut().all(Worker::lives));
}

#[test]
fn where_processes_are_hidden_nobody_is_ended_and_nothing_started() {
    let policy = "match = \"@/worker\"\ncount = 0\nsignals = [\"kill\"]\n\
                  [process.missing]\nmatch = \"nobody-is-called-so\"\nevery = \"100ms\"\nstart = [\"@/start\"]\n";
    let home = home("hidden", policy);
    script(&home, "start", "echo x >> @/started");
    let mut worker = Worker::new(&home, "worker");
    let root = home.scratch.path("root");
    fs::create_dir_all(root.join("proc")).expect("a directory can be made");
    for name in ["sys", "etc"] {
        symlink(format!("/{name}"), root.join(name)).expect("a link can be made");
    }
    // As with hidepid=2: all of /proc but the processes of others, init among them.
    for entry in fs::read_dir("/proc").expect("it can be listed").flatten() {
        let name = entry.file_name();
        let number = name.to_string_lossy().parse::<i32>().ok();
        if number.is_none_or(|pid| pid == worker.pid()) {
            symlink(entry.path(), root.join("proc").join(&name)).expect("a link can be made");
        }
    }
    let mut command = home.command(&["run"]);
    command.arg("--root").arg(&root);
    let mut daemon = home.spawn_as(command);
    let said = outcome(&mut daemon, Outcome::Unknown);
    assert!(said.contains("hidden from watchd"), "{said}");
    for _ in 0..3 {
        let before = daemon.snapshot().map(|snapshot| snapshot.header.sample_mono_ms);
        daemon.wait_for("another cycle", |snapshot| (Some(snapshot.header.sample_mono_ms) != before).then_some(()));
    }
    assert!(worker.lives() && !home.scratch.path("started").exists());
}

#[test]
fn a_pass_by_hand_does_it_and_a_dry_one_only_says_so() {
    let home = home("once", "match = \"@/worker\"\ncount = 0\nsignals = [\"term\", \"5s\", \"kill\"]\n");
    let mut worker = Worker::new(&home, "worker");
    let (code, said) = home.ask(&["agent", "--dry-run"]);
    assert!(code == 0 && said.contains("would") && said.contains("end process"), "{said}");
    assert!(worker.lives());
    let (code, said) = home.ask(&["agent", "--once"]);
    assert!(code == 0 && said.contains("ended process") && said.contains("repaired"), "{said}");
    until("its end", || (!worker.lives()).then_some(()));
    let (code, said) = home.ask(&["agent", "--once"]);
    assert!(code == 0 && said.contains("kept"), "the second pass does nothing: {said}");
}

#[test]
fn those_that_have_too_much_memory_are_ended_and_others_not() {
    let policy = "match = \"@/worker\"\ncount = \"..9\"\nrss = { max = \"1K\", for = \"0s\" }\nsignals = [\"term\", \"5s\", \"kill\"]\n";
    let home = home("large", policy);
    let (mut large, mut other) = (Worker::new(&home, "worker"), Worker::new(&home, "other"));
    let mut daemon = home.start();
    let said = told(&mut daemon, "repaired");
    assert_eq!(said, format!("repaired: ended process {} (worker); now 0 run", large.pid()));
    until("its end", || (!large.lives()).then_some(()));
    assert!(other.lives());
}

#[test]
fn one_that_keeps_a_processor_busy_is_ended_and_an_idle_one_is_not() {
    let policy = "match = { regex = '.*@/(worker|busy).*' }\ncount = \"..9\"\ncpu = { max = \"5%\", for = \"1s\" }\n\
                  signals = [\"term\", \"5s\", \"kill\"]\n";
    let home = home("busy", policy);
    script(&home, "busy", "while :; do :; done");
    let (mut busy, mut idle) = (Worker::new(&home, "busy"), Worker::new(&home, "worker"));
    let mut daemon = home.start();
    let said = told(&mut daemon, "repaired");
    assert!(said.starts_with(&format!("repaired: ended process {} (", busy.pid())), "{said}");
    until("its end", || (!busy.lives()).then_some(()));
    assert!(idle.lives());
}
