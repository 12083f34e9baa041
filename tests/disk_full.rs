//! A disk that is full while a file is edited, while watchd writes down what it knows, and while a report is to be sent.
//!
//! The state directory lies on a small file system in memory, which only root can mount; nothing else of this machine is filled.

#![allow(clippy::expect_used)]

mod harness;

use std::fs;

use harness::disk::Small;
use harness::{Home, is_root, skip, until};
use watchd::model::{EventKind, Outcome};
use watchd::store::board::text;

const SIZE: u64 = 96 << 20;

#[test]
fn a_full_disk_tears_nothing_and_ends_nothing() {
    if !is_root() {
        return skip("only root mounts a file system");
    }
    let policy = "[watchd]\ncycle = \"100ms\"\nsendmail = [\"@/sendmail\"]\nswitches = [\"told\"]\n\
        [file.table]\npath = \"@/state/table\"\ncreate = true\nline = \"the line\"\n\
        [report.r]\nif = \"told\"\ntext = \"something\"\nchanges = true\nto = \"mail:root\"\n";
    let home = Home::new("full", policy);
    let dir = home.scratch.dir.display().to_string();
    let Some(disk) = Small::mount(&home.scratch.path("state"), SIZE) else {
        return skip("this machine mounts no tmpfs");
    };
    home.scratch.script("sendmail", &format!("#!/bin/sh\ncat > {dir}/mail.new && mv {dir}/mail.new {dir}/mailed\n"));
    let table = home.scratch.path("state/table");
    let mut daemon = home.start();
    let pid = daemon.pid();
    until("the line", || fs::read_to_string(&table).ok().filter(|text| text == "the line\n"));

    // While a file is to be edited: somebody takes the line out, and there is no room for the new text.
    disk.fill();
    fs::write(&table, "other\n").expect("it has its page already");
    daemon.wait_for("a failure", |snapshot| {
        snapshot.promises.iter().find(|row| text(&row.id) == "table" && row.outcome() == Outcome::Failed).map(|_| ())
    });
    assert_eq!(fs::read_to_string(&table).expect("it is there"), "other\n", "whole, and as it was");
    // While a report is to be written down: it is sent all the same, and the loss is told.
    assert_eq!(home.ask(&["class", "set", "told"]).0, 0);
    until("the mail", || home.scratch.path("mailed").exists().then_some(()));
    daemon.wait_for("what cannot be written", |snapshot| {
        snapshot.events.iter().find(|row| row.kind() == EventKind::StateUnwritable).map(|_| ())
    });
    until("its class", || home.ask(&["class", "list"]).1.contains("state_unwritable").then_some(()));

    disk.free();
    until("the line again", || fs::read_to_string(&table).ok().filter(|text| text == "other\nthe line\n"));
    daemon.wait_for("that all can be written again", |snapshot| {
        let is_on = |row: &&watchd::store::ClassRow| text(&row.name) == "state_unwritable" && row.on == 1;
        snapshot.classes.iter().find(is_on).is_none().then_some(())
    });
    let left: Vec<String> = fs::read_dir(home.scratch.path("state"))
        .expect("it can be listed")
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name.ends_with(".watchd-new") || name.ends_with(".new") || name.ends_with(".damaged"))
        .collect();
    assert_eq!((left, daemon.pid()), (Vec::new(), pid), "no drafts, nothing damaged, the same process");
}
