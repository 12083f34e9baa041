//! Numbers of the policy's own, with the real program: counters, what becomes of a number that is not asked for, and their history.

#![allow(clippy::expect_used)]

mod harness;

use std::fs;

use harness::{Daemon, Home, until};
use watchd::model::PromiseKind;
use watchd::store::Snapshot;
use watchd::store::board::text;

/// What a measure is now; none while it is not known.
fn figure(page: &Snapshot, id: &str) -> Option<f64> {
    let row = page.promises.iter().find(|row| text(&row.id) == id && row.kind() == Some(PromiseKind::Measure))?;
    row.figure(PromiseKind::Measure, 0)
}

fn is_true(page: &Snapshot, class: &str) -> bool {
    page.classes.iter().any(|row| row.is_on() && text(&row.name) == class)
}

fn put(home: &Home, name: &str, text: &str) {
    home.scratch.write(&format!("{name}.new"), text);
    fs::rename(home.scratch.path(&format!("{name}.new")), home.scratch.path(name)).expect("it is ours");
}

fn cycles(daemon: &mut Daemon<'_>, count: u64) {
    let begun = daemon.snapshot().expect("it lives").header.cycles;
    daemon.wait_for("some cycles", |page| (page.header.cycles >= begun + count).then_some(()));
}

#[test]
fn a_counter_is_told_as_its_growth_in_a_second() {
    let home = Home::new(
        "counters",
        "[watchd]\ncycle = \"100ms\"\n\
         [measure.requests]\nrun = \"cat @/requests\"\nkind = \"counter\"\nevery = \"100ms\"\nhigh = 1000\n\
         [command.probe]\nrun = [\"/bin/cat\", \"@/told\"]\nevery = \"100ms\"\n\
         [measure.jobs]\ncommand = \"probe\"\nkind = \"counter\"\n\
         [measure.errors]\nfile = \"@/log\"\nmatch = \"ERROR\"\nkind = \"counter\"\nevery = \"100ms\"\n\
         [measure.total]\nfile = \"@/log\"\nmatch = 'sum (?<value>\\d+)'\nkind = \"counter\"\nevery = \"100ms\"\n",
    );
    put(&home, "requests", "5000000");
    put(&home, "told", "=jobs 7000000\n");
    home.scratch.write("log", "");
    let mut daemon = home.start();
    for id in ["requests", "jobs", "errors"] {
        daemon.wait_for("a rate of what stands still", |page| figure(page, id).filter(|rate| *rate == 0.0));
    }
    // The beginning of a counter is no growth.
    assert!(!is_true(&daemon.snapshot().expect("it lives"), "requests_high"));
    put(&home, "requests", "6000000");
    put(&home, "told", "=jobs 8000000\n");
    put(&home, "log", "");
    daemon.wait_for("many requests in a second", |page| is_true(page, "requests_high").then_some(()));
    daemon.wait_for("as many jobs", |page| figure(page, "jobs").filter(|rate| *rate > 1000.0));
    let mut log = fs::File::options().append(true).open(home.scratch.path("log")).expect("it is there");
    std::io::Write::write_all(&mut log, "ERROR\n".repeat(1000).as_bytes()).expect("there is room");
    daemon.wait_for("errors in a second", |page| figure(page, "errors").filter(|rate| *rate > 100.0));
    std::io::Write::write_all(&mut log, b"sum 500\n").expect("there is room");
    daemon.wait_for("a sum that stands still", |page| figure(page, "total").filter(|rate| *rate == 0.0));
    std::io::Write::write_all(&mut log, b"sum 900000\n").expect("there is room");
    daemon.wait_for("its growth", |page| figure(page, "total").filter(|rate| *rate > 1000.0));
    // It began anew: that is neither growth nor a gap.
    put(&home, "requests", "3");
    for _ in 0..20 {
        cycles(&mut daemon, 1);
        let page = daemon.snapshot().expect("it lives");
        assert!(!is_true(&page, "requests_missing") && figure(&page, "requests").is_none_or(|rate| rate >= 0.0));
    }
    put(&home, "requests", "none");
    daemon.wait_for("what is no number is missing", |page| is_true(page, "requests_missing").then_some(()));
    let (_, why) = home.ask(&["why", "requests"]);
    assert!(why.contains("/requests`, and is how much that grows in a second."), "{why}");
}

#[test]
fn a_measure_that_does_not_apply_is_not_known() {
    let home = Home::new(
        "guarded",
        "[watchd]\ncycle = \"100ms\"\nswitches = [\"asked\"]\n\
         [measure.queue]\nif = \"asked\"\nrun = \"echo 7\"\nhigh = 5\nevery = \"100ms\"\n\
         [measure.up]\nif = \"asked\"\nmetric = \"uptime.up\"\nhigh = 0\n\
         [freshness.backup]\nif = \"asked\"\npath = \"@/nothing\"\nnewest = \"1h\"\nevery = \"100ms\"\n",
    );
    let mut daemon = home.start();
    for _ in 0..2 {
        assert_eq!(home.ask(&["class", "set", "asked"]).0, 0);
        daemon.wait_for("numbers", |page| {
            (figure(page, "queue") == Some(7.0) && is_true(page, "queue_high")).then_some(())?;
            (figure(page, "up")? > 0.0 && is_true(page, "up_high") && is_true(page, "backup_stale")).then_some(())
        });
        assert_eq!(home.ask(&["class", "clear", "asked"]).0, 0);
        daemon.wait_for("what is not asked for is not known", |page| {
            let is_any =
                ["queue_high", "queue_missing", "up_high", "backup_stale"].iter().any(|name| is_true(page, name));
            (figure(page, "queue").is_none() && figure(page, "up").is_none() && !is_any).then_some(())
        });
    }
}

#[test]
fn a_measure_has_a_history_of_known_size() {
    let policy = "[watchd]\ncycle = \"100ms\"\n[measure.chamber]\nrun = \"cat @/degrees\"\nevery = \"100ms\"\n";
    let home = Home::new("measured", policy);
    let series = |home: &Home| -> u64 {
        let (_, said) = home.ask(&["check"]);
        let line = said.lines().find_map(|line| line.strip_prefix("history: ")).expect("its size is told").to_owned();
        line.split(' ').next().and_then(|word| word.parse().ok()).expect("it begins with a number")
    };
    let with = series(&home);
    home.configure("[watchd]\ncycle = \"100ms\"\n");
    assert_eq!(with, series(&home) + 1);
    home.configure(policy);
    put(&home, "degrees", "-18.25");
    let _daemon = home.start();
    let page = until("a history", || {
        let (code, page) = home.ask(&["history", "chamber", "--since", "5m"]);
        (code == 0 && page.contains("newest -18.2")).then_some(page)
    });
    assert!(page.contains("least -18.2, mean -18.2, most -18.2"), "{page}");
    let (_, list) = home.ask(&["history"]);
    assert!(list.lines().any(|line| line.starts_with("measure.value ") && line.ends_with("chamber")), "{list}");
    let (_, csv) = home.ask(&["history", "chamber", "--csv"]);
    let row = csv.lines().last().expect("a row");
    assert!(row.contains(",-18.25,") || row.contains(",-18.2"), "{csv}");
    let (_, json) = home.ask(&["history", "chamber", "--json"]);
    assert!(json.contains("\"metric\":\"measure.value\",\"object\":\"chamber\"") && json.contains(",-18.2"), "{json}");
    let (code, _) = home.ask(&["history", "chambre"]);
    assert_eq!(code, 2);
}
