//! Commands that tell classes and numbers by their output, with the real program.

#![allow(clippy::expect_used)]

mod harness;

use std::fs;

use harness::{Daemon, Home};
use watchd::model::{ClassKind, EventKind, PromiseKind};
use watchd::store::board::text;

const POLICY: &str = "[watchd]\ncycle = \"100ms\"\n\
    [command.probe]\nrun = [\"@/probe\"]\nevery = \"100ms\"\nclasses = [\"backlog\"]\n\
    [measure.queue]\ncommand = \"probe\"\nhigh = 100\n\
    [report.r]\nif = \"backlog & queue_high\"\ntext = \"{queue.value} wait\"\nchanges = true\n";

fn says(home: &Home, lines: &str, status: u8) {
    home.scratch.write("says.new", lines);
    fs::rename(home.scratch.path("says.new"), home.scratch.path("says")).expect("it is ours");
    home.scratch.write("status.new", &status.to_string());
    fs::rename(home.scratch.path("status.new"), home.scratch.path("status")).expect("it is ours");
}

fn event(daemon: &mut Daemon<'_>, kind: EventKind, subject: &str, part: &str) {
    daemon.wait_for(part, |snapshot| {
        let is_it = |row: &&watchd::store::EventRow| {
            row.kind() == kind && text(&row.subject) == subject && text(&row.text).contains(part)
        };
        snapshot.events.iter().find(is_it).map(|_| ())
    });
}

#[test]
fn what_a_command_says_is_so_until_it_says_otherwise_or_fails() {
    let home = Home::new("telling", POLICY);
    let dir = home.scratch.dir.display().to_string();
    home.scratch.script("probe", &format!("#!/bin/sh\ncat {dir}/says\nexit $(cat {dir}/status)\n"));
    says(&home, "+backlog\n=queue 120\nall else is for people\n", 0);
    let mut daemon = home.start();
    event(&mut daemon, EventKind::Report, "r", "120 wait");
    let kind = daemon.wait_for("its row", |snapshot| {
        snapshot.classes.iter().find(|row| text(&row.name) == "backlog" && row.on == 1).map(|row| row.kind())
    });
    assert_eq!(kind, Some(ClassKind::Set));
    let (_, list) = home.ask(&["class", "list"]);
    let line = list.lines().find(|line| line.contains("backlog")).expect("it is listed").to_owned();
    assert!(line.contains(" set ") && !line.trim_end().ends_with('-'), "it ends by itself: {line}");

    says(&home, "=queue 5\n+root\n", 0);
    event(&mut daemon, EventKind::ClassCleared, "backlog", "does not give it any more");
    event(&mut daemon, EventKind::Trouble, "probe", "its output says `+root`");
    event(&mut daemon, EventKind::Report, "r", "over: 5 wait");
    assert!(!home.ask(&["class", "list"]).1.contains("root "), "what it may not give it does not give");

    says(&home, &format!("{}\n=queue 7\n", "for people ".repeat(400)), 0);
    event(&mut daemon, EventKind::Trouble, "probe", "longer than 4096 bytes; what comes after them is not heard");

    says(&home, "+backlog\n=queue 120\n", 1);
    daemon.wait_for("a number that is not known", |snapshot| {
        let is_it = |row: &&watchd::store::PromiseRow| text(&row.id) == "queue";
        let row = snapshot.promises.iter().find(is_it)?;
        row.figure(PromiseKind::Measure, 0).is_none().then_some(())
    });
    let (_, list) = home.ask(&["class", "list"]);
    assert!(list.contains("queue_missing") && !list.contains("backlog"), "{list}");
}
