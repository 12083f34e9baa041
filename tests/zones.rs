//! The clock on the wall is changed while the real daemon runs: classes of the clock follow at the second, and nothing else does.
//!
//! The zone is one of our own, whose summer begins or ends some seconds from now.

#![allow(clippy::expect_used, clippy::indexing_slicing)]

mod harness;

use std::fs;

use harness::{Home, until};
use watchd::store::Snapshot;
use watchd::store::board::text;
use watchd::sys::clock::{self, Civil};

/// `J333/11:40:20`: so many seconds from now by a clock that is so many hours ahead of universal time. The 29th of February has no number.
fn moment(seconds: u64, ahead_h: u64) -> String {
    let at = clock::now().wall + std::time::Duration::from_secs(seconds + ahead_h * 3600);
    let Civil { month, day, hour, minute, second, .. } = Civil::utc(at);
    let before: u16 = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31].iter().take(usize::from(month) - 1).sum();
    format!("J{}/{hour:02}:{minute:02}:{second:02}", before + u16::from(day))
}

/// The hours that are true, here and everywhere.
fn hours(page: &Snapshot) -> (Vec<u8>, Vec<u8>) {
    let hours = |prefix: &str| -> Vec<u8> {
        let on = page.classes.iter().filter(|row| row.is_on());
        on.filter_map(|row| text(&row.name).strip_prefix(prefix)).filter_map(|hour| hour.parse().ok()).collect()
    };
    (hours("Hr"), hours("GMT_Hr"))
}

/// What the clock says before and after, in hours ahead of universal time.
fn changes(rule: &str, before: u8, after: u8) {
    let names: Vec<String> =
        (0..24).flat_map(|hour| [format!("\"Hr{hour:02}\""), format!("\"GMT_Hr{hour:02}\"")]).collect();
    let home = Home::new(
        "zones",
        &format!(
            "[watchd]\ncycle = \"100ms\"\n[class.all]\nany = [{}]\n\
             [class.summer]\nwhen = \"all\"\nhold = \"1h\"\n\
             [command.hourly]\nrun = \"echo x >> @/ran\"\nevery = \"1h\"\n",
            names.join(", ")
        ),
    )
    .env("TZ", rule);
    let mut daemon = home.start();
    let mut seen = Vec::new();
    daemon.wait_for("the other time", |page| {
        let (local, universal) = hours(page);
        assert_eq!((local.len(), universal.len()), (1, 1), "one hour is true here and one everywhere");
        let ahead = (24 + local[0] - universal[0]) % 24;
        if seen.last() != Some(&ahead) {
            seen.push(ahead);
        }
        (ahead == after).then_some(())
    });
    let cycles = daemon.snapshot().expect("it lives").header.cycles;
    daemon.wait_for("more cycles", |page| {
        let (local, universal) = hours(page);
        assert_eq!((24 + local[0] - universal[0]) % 24, after);
        (page.header.cycles > cycles + 10).then_some(())
    });
    assert_eq!(seen, [before, after], "once, and not back");
    until("the command", || fs::read_to_string(home.scratch.path("ran")).ok());
    assert_eq!(fs::read_to_string(home.scratch.path("ran")).expect("it is there"), "x\n", "an hour is an hour");
    let (_, why) = home.ask(&["why", "all"]);
    assert!(!why.contains("class-cleared"), "{why}");
}

#[test]
fn summer_begins_while_the_daemon_runs() {
    changes(&format!("WIN0SUM-1,{},J365/23", moment(4, 0)), 0, 1);
}

#[test]
fn summer_ends_while_the_daemon_runs() {
    changes(&format!("WIN0SUM-1,J1/0,{}", moment(4, 1)), 1, 0);
}
