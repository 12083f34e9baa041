//! A disk that is full while a file is edited, while watchd writes down what it knows, and while a report is to be sent.
//!
//! The state directory lies on a small file system in memory, which only root can mount; nothing else of this machine is filled.

#![allow(clippy::expect_used)]

mod harness;

use std::ffi::CString;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use harness::{Home, is_root, skip, until};
use watchd::model::{EventKind, Outcome};
use watchd::store::board::text;

const SIZE: u64 = 96 << 20;

/// A file system of our own, gone with its owner.
struct Small(PathBuf);

impl Small {
    fn mount(path: &Path) -> Option<Self> {
        fs::create_dir_all(path).expect("a directory can be made");
        let options = format!("size={SIZE},mode=755");
        let kind = Some("tmpfs");
        let mounted =
            nix::mount::mount(Some("watchd-test"), path, kind, nix::mount::MsFlags::empty(), Some(options.as_str()));
        mounted.is_ok().then(|| Self(path.to_path_buf()))
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }

    /// Takes every byte there is.
    fn fill(&self) {
        let mut file = OpenOptions::new().append(true).create(true).open(self.filler()).expect("a name is free");
        let block = vec![1; 64 << 10];
        while file.write(&block).is_ok_and(|written| written > 0) {}
        while file.write(&[1]).is_ok_and(|written| written > 0) {}
    }

    fn free(&self) {
        fs::remove_file(self.filler()).expect("it is ours");
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let path = CString::new(self.0.as_os_str().as_bytes()).expect("no NUL in it");
        let _ = nix::mount::umount2(path.as_c_str(), nix::mount::MntFlags::MNT_DETACH);
    }
}

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
    let Some(disk) = Small::mount(&home.scratch.path("state")) else {
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
    let (_, classes) = home.ask(&["class", "list"]);
    assert!(classes.contains("state_unwritable"), "{classes}");

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
