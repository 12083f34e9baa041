//! A disk that fills: what the history of the hours before says, told by a daemon that has just started.

#![allow(clippy::expect_used)]

mod harness;

use std::time::Duration;

use harness::Home;
use watchd::model::{Now, PromiseKind};
use watchd::store::Readings;
use watchd::store::board::text;
use watchd::store::history::History;
use watchd::sys::clock;
use watchd_probes::{ProbeId, Sample, Value, filesystem};

/// Writes a history of five hours in which the space left on / falls to what it is, by so many bytes in ten seconds.
fn remember(home: &Home, left: u64, step: u64) {
    let state = home.scratch.dir_of("state", None);
    let now = clock::now();
    let before = |back: u64| Now { mono: now.mono, wall: now.wall.saturating_sub(Duration::from_secs(back)) };
    let (mut history, _) = History::open(&state.join("history"), before(18_000)).expect("it can be made");
    let mut sample = Sample::default();
    for back in (0..1_800).rev() {
        sample.begin();
        let mut sink = sample.sink(ProbeId::Filesystem);
        let mount = sink.object(&[b"/", b"/dev/vda", b"ext4"]).expect("room for one");
        sink.put(mount, filesystem::AVAIL, Value::Int(left + back * step));
        sample.finish(ProbeId::Filesystem, Ok(()), 0);
        history.record(Readings { view: sample.view(), rates: &[] }, before(back * 10));
    }
}

#[test]
fn a_disk_that_fills_is_told_of_before_it_is_full() {
    let space = nix::sys::statvfs::statvfs("/").expect("/ is there");
    let left = space.blocks_available() * space.fragment_size();
    // Nine hours are 3240 times ten seconds.
    for (step, is_soon) in [(left / 3_240, true), (0, false)] {
        let home = Home::new(
            "forecast",
            "[watchd]\ncycle = \"200ms\"\n[disk.root]\npath = \"/\"\nforecast = \"24h\"\n\
             [report.soon]\nif = \"disk_root_full_soon\"\ntext = \"full in {disk_root.eta}\"\n",
        );
        remember(&home, left, step);
        let mut daemon = home.start();
        daemon.wait_for("some cycles", |page| (page.header.cycles > 3).then_some(()));
        let page = daemon.snapshot().expect("there is one");
        let on = page.classes.iter().any(|row| row.is_on() && text(&row.name) == "disk_root_full_soon");
        assert_eq!(on, is_soon, "{step} bytes in ten seconds");
        let row = page.promises.iter().find(|row| row.kind() == Some(PromiseKind::Disk)).expect("there is one");
        let left = row.figure(PromiseKind::Disk, 0).map(|seconds| seconds / 3_600.0);
        assert_eq!(left.is_some_and(|hours| (8.0..11.0).contains(&hours)), is_soon, "{left:?}");
        assert!(row.figure(PromiseKind::Disk, 1).is_some(), "its place is told, full soon or not");
        let said = page.events.iter().find(|row| text(&row.text).starts_with("full in "));
        // Others write to this disk, too.
        let is_told = |row| ["full in 8 hours", "full in 9 hours", "full in 10 hours"].contains(&row);
        assert_eq!(said.is_some_and(|row| is_told(text(&row.text))), is_soon, "{:?}", said.map(|row| text(&row.text)));
    }
}
