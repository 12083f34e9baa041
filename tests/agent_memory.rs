//! A pass of the agent asks for no memory, whatever it has to do: counted by an allocator of our own.

#![allow(clippy::expect_used, clippy::panic)]

#[path = "../probes/tests/counting/mod.rs"]
mod counting;

use std::time::Duration;

use counting::ASKED;
use watchd::agent::{Action, Actions, Agent, CommandEnd, Pass};
use watchd::classes::{Calendar, Classes, Scene};
use watchd::engine::policy::load_text;
use watchd::model::{Now, ServiceFact, ServiceState};
use watchd::store::Readings;
use watchd_probes::View;
use watchd_probes::inventory::Inventory;

/// Fifty services, each with a report about it, and a command that runs in every cycle.
fn policy() -> String {
    let mut text = String::from(
        "[disk.root]\npath = \"/\"\n[command.c]\nrun = \"x\"\nlimit = \"9/1s\"\n\
         [process.w]\nregex = 'w'\ncount = \"2..8\"\n\
         [report.d]\nif = \"any\"\ntext = \"{c.repairs} {c.output} {w.count} {load.one}\"\nquiet = \"20s\"\ndiffers = true\n\
         [report.e]\nif = \"p1_down\"\ntext = \"{w.reason}\"\nchanges = true\nremind = \"20s\"\n",
    );
    for place in 0..50 {
        text.push_str(&format!(
            "[process.p{place}]\nmatch = \"p{place}\"\nif = \"!Night | load_high\"\n\
             [class.k{place}]\nwhen = \"p{place}_down & !(memory_low | Hr0{hour})\"\n\
             [report.r{place}]\nif = \"k{place}\"\nchanges = true\n\
             text = \"{{host}}: {{p{place}.state}} {{p{place}.reason}} {{failed}} {{disk_root.used}} {{load.one}}\"\n",
            hour = place % 10
        ));
    }
    text
}

#[test]
fn a_pass_asks_for_no_memory() {
    let (policy, _) = load_text("t", &policy(), &Inventory::default()).unwrap_or_else(|faults| panic!("{faults:#?}"));
    let mut classes = Classes::new(policy.classes, policy.services.len(), policy.promises.len());
    let mut agent = Agent::new(policy.promises, "host", policy.daemon.cycle);
    let mut actions = Actions::new(agent.promises().len());
    let states = [ServiceState::Ready, ServiceState::Flapping, ServiceState::Unknown, ServiceState::Backoff];
    let mut done = 0;
    let before = ASKED.get();
    for turn in 0_u8..60 {
        let services = |place: usize| {
            let state = states.get((place + usize::from(turn)) % states.len()).copied()?;
            Some(ServiceFact { state, starts: 0, failed: true, over: 0, reason: "killed by signal 9 after 2 h" })
        };
        let day = Calendar { year: 2026, month: 11, day: 22, weekday: 6, hour: turn % 24, minute: turn };
        let now = Duration::from_secs(10 * u64::from(turn));
        let view = View { rows: &[], objects: &[], text: &[], probes: &[] };
        let readings = Readings { view, rates: &[] };
        let now = Now { mono: now, wall: now };
        let scene = Scene {
            now,
            local: day,
            utc: day,
            readings,
            services: &services,
            learned: &|_| watchd::model::Findings::default(),
            is_state_writable: true,
        };
        for why in [Pass::Cycle, Pass::Event] {
            agent.pass(why, &mut classes, &scene, &mut actions);
            for action in actions.as_slice() {
                done += 1;
                if let Action::Run { promise } = action {
                    agent.command_done(*promise, CommandEnd::Exit(0), now);
                }
            }
        }
        classes.each(
            &|_| Some("p"),
            &|place| agent.promises().get(place).map(|promise| promise.prefix()),
            &mut |row| {
                done += usize::from(row.on);
            },
        );
    }
    assert_eq!(ASKED.get() - before, 0);
    assert!(done > 1000, "{done}");
}
