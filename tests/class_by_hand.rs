//! Classes that people set, with the real daemon: what they decide, who may not be overruled, and what a restart remembers.

#![allow(clippy::expect_used, clippy::indexing_slicing)]

mod harness;

use harness::Home;
use watchd::model::{ClassKind, EventKind};
use watchd::store::board::text;
use watchd::store::{ClassRow, Snapshot};

const POLICY: &str = "[watchd]\ncycle = \"100ms\"\n[class.calm]\nwhen = \"any\"\nall = [\"!maintenance\", \"linux\"]\n\
                      [command.tidy]\nif = \"maintenance\"\nevery = \"1h\"\nrun = \"echo x >> @/ran\"\n";

fn class(snapshot: &Snapshot, name: &str) -> Option<ClassRow> {
    snapshot.classes.iter().find(|row| text(&row.name) == name).copied()
}

fn is_on(snapshot: &Snapshot, name: &str) -> bool {
    class(snapshot, name).is_some_and(|row| row.is_on())
}

#[test]
fn a_class_set_by_hand_decides_until_it_is_cleared() {
    let home = Home::new("by-hand", POLICY);
    let mut daemon = home.start();
    daemon.wait_for("calm", |snapshot| is_on(snapshot, "calm").then_some(()));
    // A slip of the hand would let everything go on as before.
    for (name, hint) in [
        ("maintenence", "; no condition of the policy asks for it, the nearest is `maintenance`\n"),
        ("something_else", "; no condition of the policy asks for it\n"),
    ] {
        let (code, said) = home.ask(&["class", "set", name]);
        assert_eq!((code, said), (0, format!("{name} is set until it is cleared{hint}")));
        assert_eq!(home.ask(&["class", "clear", name]).0, 0);
    }
    let (code, said) = home.ask(&["class", "set", "maintenance", "--for", "2h"]);
    assert_eq!((code, said.as_str()), (0, "maintenance is set for 2h\n"));
    daemon.wait_for("the end of calm", |snapshot| {
        let row = class(snapshot, "maintenance")?;
        let left = u64::from(row.until_s.checked_sub(row.since_s)?);
        (row.kind() == Some(ClassKind::Set) && left == 7200 && !is_on(snapshot, "calm")).then_some(())
    });
    let ran = home.scratch.path("ran");
    harness::until("the command", || ran.exists().then_some(()));
    let (_, list) = home.ask(&["class", "list"]);
    assert!(list.lines().any(|line| line.starts_with("maintenance") && line.contains("set")), "{list}");
    assert_eq!(home.ask(&["class", "clear", "maintenance"]).0, 0);
    daemon.wait_for("calm again", |snapshot| is_on(snapshot, "calm").then_some(()));
    assert_eq!(home.ask(&["class", "clear", "maintenance"]).0, 2, "nobody has set it");
}

#[test]
fn what_watchd_itself_decides_cannot_be_set() {
    let home = Home::new("by-hand-refused", POLICY);
    let _daemon = home.start();
    for (name, code) in [
        ("linux", 1),
        ("Monday", 1),
        ("Hr07", 1),
        ("load_high", 1),
        ("calm", 1),
        ("tidy_kept", 1),
        ("true", 1),
        ("tidy_other", 0),
        ("two words", 2),
        ("", 2),
        (&"x".repeat(55), 2),
    ] {
        let output = home.watchd(&["class", "set", name]);
        assert_eq!(output.status.code(), Some(code), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    }
    assert_eq!(home.watchd(&["class", "set", "a-b"]).status.code(), Some(0), "it becomes a_b");
    assert_eq!(home.watchd(&["class", "clear", "a_b"]).status.code(), Some(0));
    for wrong in
        [&["class", "set"][..], &["class", "set", "x", "--for", "soon"], &["class", "clear", "x", "--for", "1h"]]
    {
        assert_eq!(home.watchd(wrong).status.code(), Some(2), "{wrong:?}");
    }
    for number in 0..31 {
        assert_eq!(home.watchd(&["class", "set", &format!("c{number}")]).status.code(), Some(0));
    }
    assert_eq!(home.watchd(&["class", "set", "one_more"]).status.code(), Some(1), "32 are enough");
}

#[test]
fn a_class_outlives_a_crash_and_ends_by_itself() {
    let home = Home::new("by-hand-crash", POLICY);
    let mut daemon = home.start();
    assert_eq!(home.ask(&["class", "set", "maintenance", "other"]).0, 0);
    assert_eq!(home.ask(&["class", "set", "short", "--for", "1s"]).0, 0);
    daemon.wait_for("the end of its time", |snapshot| {
        let told =
            |row: &&watchd::store::EventRow| row.kind() == EventKind::ClassCleared && text(&row.subject) == "short";
        (class(snapshot, "short").is_none() && snapshot.events.iter().any(|row| told(&row))).then_some(())
    });
    daemon.kill();
    let mut again = home.start();
    again.wait_for("what was set before", |snapshot| {
        let all = is_on(snapshot, "maintenance") && is_on(snapshot, "other") && !is_on(snapshot, "calm");
        (all && class(snapshot, "short").is_none()).then_some(())
    });
    assert_eq!(home.ask(&["class", "clear", "maintenance", "other"]).0, 0);
    again.kill();
    let mut third = home.start();
    third.wait_for("nothing set", |snapshot| is_on(snapshot, "calm").then_some(()));
    third.kill();
    assert_eq!(home.ask(&["class", "set", "x"]).0, 3, "there is no daemon");
}

/// What stands behind a class in the list.
fn from(list: &str, name: &str) -> String {
    let line = list.lines().find(|line| line.split_whitespace().next() == Some(name)).unwrap_or_default();
    line.split("  ").filter(|cell| !cell.is_empty()).last().unwrap_or_default().trim().to_owned()
}

#[test]
fn the_list_says_where_each_class_comes_from_since_when_and_who_set_it() {
    let policy = format!(
        "{POLICY}[process.own]\npidfile = \"@/own.pid\"\n[disk.root]\npath = \"/\"\nfull = \"100%\"\nok = \"99.9%\"\ninodes = \"100%\"\n\
         [command.teller]\nevery = \"200ms\"\nrun = \"echo +degraded\"\nclasses = [\"degraded\"]\n"
    );
    let home = Home::new("by-hand-from", &policy);
    let mut daemon = home.start();
    let uid = nix::unistd::geteuid().as_raw();
    assert_eq!(home.ask(&["class", "set", "quiet", "--for", "2h"]).0, 0);
    daemon.wait_for("all of them", |snapshot| {
        ["quiet", "degraded", "own_down", "disk_root_kept", "calm"]
            .iter()
            .all(|name| is_on(snapshot, name))
            .then_some(())
    });
    let by_hand = match watchd::sys::accounts::name_of(uid) {
        Some(name) => format!("by hand, uid {uid} ({name})"),
        None => format!("by hand, uid {uid}"),
    };
    let look = || home.ask(&["class", "list"]).1;
    let list = look();
    for (name, expect) in [
        ("quiet", by_hand.as_str()),
        ("degraded", "command teller"),
        ("own_down", "service own"),
        ("disk_root_kept", "disk root"),
        ("calm", "[class.calm]"),
        ("linux", "this host"),
    ] {
        assert_eq!(from(&list, name), expect, "{name}:\n{list}");
    }
    let quiet = list.lines().find(|line| line.starts_with("quiet ")).expect("it is there");
    assert!(quiet.contains("1h") && quiet.contains("set"), "since when and until when: {quiet}");
    let (_, why) = home.ask(&["why", "quiet"]);
    let why = why.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(why.contains(&format!("It comes from {by_hand}.")), "{why}");
    for (name, expect) in [
        ("calm", "It is true while `any & !maintenance & linux` holds. Of that is true now: any linux."),
        ("tidy", "It counts only while `maintenance` holds. Nothing of that is true now."),
        ("root", "From 100% on it is full, until it is below 99.9%."),
    ] {
        let (_, why) = home.ask(&["why", name]);
        assert!(why.contains(expect), "{why}");
    }
    daemon.kill();
    let mut again = home.start();
    again.wait_for("what was set before", |snapshot| is_on(snapshot, "quiet").then_some(()));
    assert_eq!(from(&look(), "quiet"), by_hand, "after a crash");
}
