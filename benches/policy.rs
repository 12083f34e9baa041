//! What judging costs: one pass over a policy of 498 promises and 400 defined classes, and the reading of its text.
//!
//! Nothing is started and nothing is due, as in nearly every cycle; `small` is a policy as people have it. The board holds
//! at most 1,024 classes of all kinds.

#![allow(clippy::expect_used, clippy::panic)]

use std::fmt::Write;
use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use watchd::agent::{Actions, Agent, Pass};
use watchd::classes::{Calendar, Classes, Scene};
use watchd::engine::policy::{Policy, load_text};
use watchd::model::Now;
use watchd::store::Readings;
use watchd_probes::inventory::Inventory;
use watchd_probes::{Sample, Value};

/// So many commands, reports that rest on them, and classes that rest on each other.
fn text(promises: usize, classes: usize) -> String {
    let mut text = String::from("[disk.root]\npath = \"/\"\n");
    let mut add = |piece: std::fmt::Arguments<'_>| text.write_fmt(piece).expect("a text grows");
    for number in 0..classes {
        let before = number.saturating_sub(1);
        let base = if number % 10 == 0 { "load_high".to_owned() } else { format!("c{before}") };
        add(format_args!("[class.c{number}]\nwhen = \"({base} | Hr07) & !maintenance\"\nhold = \"1m\"\n"));
    }
    for number in 0..promises / 2 {
        let class = number % classes.max(1);
        add(format_args!(
            "[command.p{number}]\nif = \"c{class} & !p{number}_failed\"\nrun = \"true\"\nevery = \"1h\"\n"
        ));
        add(format_args!(
            "[report.p{number}]\nif = \"p{number}_failed & disk_root_full\"\ntext = \"{{p{number}.outcome}}\"\n"
        ));
    }
    text
}

fn load(text: &str) -> Policy {
    match load_text("bench", text, &Inventory { cpus: 2, ..Inventory::default() }) {
        Ok((policy, _)) => policy,
        Err(faults) => panic!("{faults:#?}"),
    }
}

fn policy(bench: &mut Criterion) {
    let mut group = bench.benchmark_group("policy");
    for (name, promises, classes) in [("small", 10, 10), ("large", 498, 400)] {
        let text = text(promises, classes);
        group.bench_function(format!("{name}: text to policy"), |bencher| bencher.iter(|| load(black_box(&text))));
        let policy = load(&text);
        let mut classes = Classes::new(policy.classes, 0, policy.promises.len());
        let mut actions = Actions::new(policy.promises.len());
        let mut agent = Agent::new(policy.promises, "host", Duration::from_secs(10));
        let mut sample = Sample::default();
        sample.begin();
        let mut sink = sample.sink(watchd_probes::ProbeId::Load);
        sink.put(watchd_probes::ObjectId::HOST, watchd_probes::load::FIVE, Value::Float(1.0));
        sample.finish(watchd_probes::ProbeId::Load, Ok(()), 0);
        let mut seconds = 0;
        group.bench_function(format!("{name}: one pass"), |bencher| {
            bencher.iter(|| {
                seconds += 10;
                let time = Duration::from_secs(1_000_000 + seconds);
                let local = Calendar { year: 2026, month: 11, day: 22, weekday: 6, hour: 12, minute: 4 };
                let scene = Scene {
                    now: Now { mono: time, wall: time },
                    local,
                    utc: local,
                    readings: Readings { view: sample.view(), rates: &[] },
                    services: &|_| None,
                    learned: &|_| watchd::model::Findings::default(),
                    is_state_writable: true,
                };
                agent.pass(Pass::Cycle, &mut classes, &scene, &mut actions);
                black_box(actions.as_slice().len())
            });
        });
    }
    group.finish();
}

criterion_group!(benches, policy);
criterion_main!(benches);
