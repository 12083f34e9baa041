//! What judging costs: one pass over a large policy, and the reading of its text.
//!
//! `small` is a policy as people have it; `large` has 499 promises that rest on 400 classes and on each other; `mixed` has 500 of all kinds, of
//! which those about files and numbers are due in each cycle and are answered, so that its pass has two halves. Everything is as it should be,
//! as in nearly every cycle. What the children do who look at files is not counted here. The board holds at most 1,024
//! classes of all kinds.

#![allow(clippy::expect_used, clippy::panic)]

use std::fmt::Write;
use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use watchd::agent::{Action, Actions, Agent, Pass, Report};
use watchd::classes::{Calendar, Classes, Scene};
use watchd::engine::policy::{Policy, load_text};
use watchd::model::{Marks, Now, Outcome, ServiceFact, ServiceState};
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

/// Five hundred promises of all kinds, each with a condition, and a hundred classes.
fn mixed() -> String {
    let mut text = String::new();
    let mut add = |piece: std::fmt::Arguments<'_>| text.write_fmt(piece).expect("a text grows");
    for number in 0..100 {
        add(format_args!("[class.c{number}]\nany = [\"load_high\", \"m{number}_high\", \"!Hr07\"]\n"));
        add(format_args!("[measure.m{number}]\nmetric = \"load.five\"\nhigh = 500\n"));
        add(format_args!("[file.f{number}]\nif = \"c{number}\"\npath = \"/f{number}\"\nline = \"x\"\n"));
        add(format_args!("[command.k{number}]\nif = \"c{number} & f{number}_failed\"\nrun = \"true\"\n"));
        add(format_args!(
            "[report.r{number}]\nif = \"k{number}_failed | p{number}_down\"\ntext = \"{{k{number}.output}}\"\nchanges = true\n"
        ));
        if number < 90 {
            add(format_args!("[process.p{number}]\nmatch = \"p{number}\"\nif = \"c{number}\"\n"));
        } else {
            add(format_args!("[disk.d{number}]\npath = \"/d{number}\"\n"));
        }
    }
    text
}

fn load(text: &str) -> Policy {
    match load_text("bench", text, &Inventory { cpus: 2, ..Inventory::default() }) {
        Ok((policy, _)) => policy,
        Err(faults) => panic!("{faults:#?}"),
    }
}

const READY: ServiceFact<'static> =
    ServiceFact { state: ServiceState::Ready, starts: 0, failed: false, over: 0, reason: "runs" };

/// What the children say who looked: all is as it should be. Whether anybody had to look.
fn answer(agent: &mut Agent, actions: &Actions, now: Now) -> bool {
    let kept =
        Report { outcome: Outcome::Kept, marks: Marks::default(), figures: [1.0, f64::NAN], text: "", is_deed: false };
    let mut is_any = false;
    for action in actions.as_slice() {
        if let Action::Tend { promise } = action {
            agent.tended(*promise, &kept, now);
            is_any = true;
        }
    }
    is_any
}

fn policy(bench: &mut Criterion) {
    let mut group = bench.benchmark_group("policy");
    for (name, text) in [("small", text(10, 10)), ("large", text(498, 400)), ("mixed", mixed())] {
        group.bench_function(format!("{name}: text to policy"), |bencher| bencher.iter(|| load(black_box(&text))));
        let policy = load(&text);
        let services = policy.services.len();
        let mut classes = Classes::new(policy.classes, services, policy.promises.len());
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
                    services: &|_| Some(READY),
                    learned: &|_| watchd::model::Findings::default(),
                    is_state_writable: true,
                };
                agent.pass(Pass::Cycle, &mut classes, &scene, &mut actions);
                let is_answered = answer(&mut agent, &actions, scene.now);
                if is_answered {
                    agent.pass(Pass::Event, &mut classes, &scene, &mut actions);
                }
                black_box(actions.as_slice().len())
            });
        });
    }
    group.finish();
}

criterion_group!(benches, policy);
criterion_main!(benches);
