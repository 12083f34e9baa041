//! Stories of the agent with a made-up clock: a policy, what happens, and what it wants done.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::cell::Cell;
use std::time::Duration;

use watchd::agent::{Action, Actions, Agent, Change, CommandEnd, Pass, Report};
use watchd::classes::{Calendar, Classes, Scene};
use watchd::engine::policy::load_text;
use watchd::model::{Acts, Mark, Marks, Now, Outcome, ServiceFact, ServiceState};
use watchd::store::Readings;
use watchd_probes::inventory::Inventory;
use watchd_probes::{Fault, ProbeId, Sample, Value, filesystem, load};

/// A host with one disk and at most three services.
struct World {
    agent: Agent,
    classes: Classes,
    actions: Actions,
    now: Duration,
    hour: u8,
    disk_used: Cell<Option<u64>>,
    facts: [ServiceFact<'static>; 3],
}

fn fact(state: ServiceState) -> ServiceFact<'static> {
    ServiceFact { state, starts: 0, failed: false, over: 0, reason: "exit status 1 after 3 s" }
}

impl World {
    fn new(text: &str) -> Self {
        let (agent, classes) = Self::policy(text);
        let actions = Actions::new(agent.promises().len());
        let facts = [fact(ServiceState::Ready); 3];
        Self {
            agent,
            classes,
            actions,
            now: Duration::from_secs(1000),
            hour: 12,
            disk_used: Cell::new(Some(10)),
            facts,
        }
    }

    fn policy(text: &str) -> (Agent, Classes) {
        let inventory = Inventory { cpus: 2, host_name: "h".into(), ..Inventory::default() };
        let (policy, _) = load_text("t", text, &inventory).unwrap_or_else(|faults| panic!("{faults:#?}"));
        let classes = Classes::new(policy.classes, policy.services.len(), policy.promises.len());
        (Agent::new(policy.promises, "h", policy.daemon.cycle), classes)
    }

    fn reload(&mut self, text: &str) {
        let (mut agent, mut classes) = Self::policy(text);
        agent.follow(&self.agent);
        classes.inherit(self.classes.bequeath());
        (self.agent, self.classes) = (agent, classes);
    }

    /// Another program takes the place of this one, and is left bytes.
    fn upgrade(&mut self, text: &str) {
        let left = (self.classes.bequeath(), self.agent.bequeath().collect::<Vec<_>>());
        let bytes = postcard::to_stdvec(&left).expect("it can be told");
        let left: (_, Vec<_>) = postcard::from_bytes(&bytes).expect("it was told");
        (self.agent, self.classes) = Self::policy(text);
        self.classes.inherit(left.0);
        left.1.into_iter().for_each(|promise| self.agent.inherit(promise, Change::Program));
    }

    fn state(&mut self, service: usize, state: ServiceState) {
        self.facts[service].state = state;
    }

    /// One pass; the actions in words.
    fn pass(&mut self, why: Pass) -> Vec<String> {
        let mut sample = Sample::default();
        sample.begin();
        let mut sink = sample.sink(ProbeId::Load);
        sink.put(watchd_probes::ObjectId::HOST, load::ONE, Value::Float(0.25));
        sink.put(watchd_probes::ObjectId::HOST, load::FIVE, Value::Float(1.0));
        sample.finish(ProbeId::Load, Ok(()), 0);
        let mut sink = sample.sink(ProbeId::Filesystem);
        let mount = sink.object(&[b"/", b"/dev/vda", b"ext4"]).expect("room for one");
        let mut result = Ok(());
        match self.disk_used.get() {
            Some(used) => {
                sink.put(mount, filesystem::SIZE, Value::Int(100));
                sink.put(mount, filesystem::FREE, Value::Int(100 - used));
                sink.put(mount, filesystem::AVAIL, Value::Int(100 - used));
                sink.put(mount, filesystem::READ_ONLY, Value::Int(0));
            }
            None => result = Err(Fault::TooLong { path: "x" }),
        }
        sample.finish(ProbeId::Filesystem, result, 0);
        let day = Calendar { year: 2026, month: 11, day: 22, weekday: 6, hour: self.hour, minute: 0 };
        let facts = self.facts;
        let services = move |place: usize| facts.get(place).copied();
        let scene = Scene {
            now: self.at(),
            local: day,
            utc: day,
            readings: Readings { view: sample.view(), rates: &[] },
            services: &services,
            learned: &|_| watchd::model::Findings::default(),
            is_state_writable: true,
        };
        self.agent.pass(why, &mut self.classes, &scene, &mut self.actions);
        let words = |action: &Action| match action {
            Action::Tend { promise } => format!("tend {}", self.agent.promises()[*promise].id),
            Action::Run { promise } => format!("run {}", self.agent.promises()[*promise].id),
            Action::Report { promise, text, .. } => {
                format!("report {}: {}", self.agent.promises()[*promise].id, self.actions.text(*text))
            }
            Action::Would { .. } => String::new(),
            Action::Hold { service } => format!("hold {service}"),
            Action::Allow { service } => format!("allow {service}"),
        };
        self.actions.as_slice().iter().map(words).filter(|words| !words.is_empty()).collect()
    }

    /// What would have been done in the last pass.
    fn would(&self) -> Vec<String> {
        let words = |action: &Action| match action {
            Action::Would { promise, text } => {
                let text = text.map_or("", |text| self.actions.text(text));
                Some(format!("{} {text}", self.agent.promises()[*promise].id).trim_end().to_owned())
            }
            _ => None,
        };
        self.actions.as_slice().iter().filter_map(words).collect()
    }

    fn at(&self) -> Now {
        Now { mono: self.now, wall: self.now }
    }

    /// A cycle so many seconds later.
    fn cycle(&mut self, seconds: u64) -> Vec<String> {
        self.now += Duration::from_secs(seconds);
        self.pass(Pass::Cycle)
    }

    fn event(&mut self) -> Vec<String> {
        self.pass(Pass::Event)
    }

    fn done(&mut self, id: &str, end: CommandEnd) {
        let place = self.place(id);
        self.agent.command_done(place, end, self.at());
    }

    fn tended(&mut self, id: &str, outcome: Outcome) {
        let report = Report {
            outcome,
            marks: Marks::default(),
            figures: [f64::NAN; 2],
            text: "",
            is_deed: outcome == Outcome::Repaired,
        };
        self.agent.tended(self.place(id), &report, self.at());
    }

    fn place(&self, id: &str) -> usize {
        self.agent.promises().iter().position(|promise| promise.id == id).expect(id)
    }

    fn outcome(&self, id: &str) -> Outcome {
        self.agent.outcome(self.place(id)).expect(id).0
    }
}

const NOTHING: [&str; 0] = [];

#[test]
fn housekeeping_runs_when_the_disk_is_full_and_within_its_limit() {
    let mut world = World::new(
        "[disk.root]\npath = \"/\"\nfull = \"90%\"\nok = \"80%\"\n\
         [command.clean]\nif = \"disk_root_full\"\nrun = \"x\"\nlimit = \"1/1h\"\n\
         [command.more]\nif = \"clean_repaired & disk_root_full\"\nrun = \"y\"\nevery = \"10m\"\n",
    );
    assert_eq!(world.cycle(10), NOTHING);
    assert_eq!((world.outcome("root"), world.outcome("clean")), (Outcome::Kept, Outcome::Skipped));
    world.disk_used.set(Some(92));
    assert_eq!(world.cycle(10), ["run clean"]);
    assert_eq!((world.outcome("root"), world.outcome("clean")), (Outcome::Failed, Outcome::Pending));
    assert_eq!(world.cycle(10), NOTHING, "it still runs");
    world.done("clean", CommandEnd::Exit(0));
    assert_eq!(world.event(), ["run more"], "the outcome is seen in the same cycle");
    world.done("more", CommandEnd::Exit(7));
    assert_eq!(world.event(), NOTHING);
    assert_eq!((world.outcome("clean"), world.outcome("more")), (Outcome::Repaired, Outcome::Failed));
    assert_eq!(world.cycle(300), NOTHING, "neither limit nor interval has passed");
    assert_eq!(world.cycle(300), ["run more"]);
    world.done("more", CommandEnd::Timeout);
    assert_eq!(world.outcome("more"), Outcome::Timeout);
    assert_eq!(world.cycle(3000), ["run clean", "run more"]);
    world.disk_used.set(Some(85));
    world.done("clean", CommandEnd::Denied);
    world.done("more", CommandEnd::NotStarted);
    assert_eq!(world.cycle(3600), ["run clean"], "85 % is still full on the way down, and clean is not repaired");
    world.done("clean", CommandEnd::Exit(0));
    world.disk_used.set(Some(79));
    assert_eq!(world.cycle(3600), NOTHING);
    assert_eq!((world.outcome("root"), world.outcome("clean")), (Outcome::Kept, Outcome::Repaired), "seen by one pass");
    assert_eq!(world.event(), NOTHING);
    assert_eq!((world.outcome("root"), world.outcome("clean")), (Outcome::Kept, Outcome::Skipped));
}

#[test]
fn nothing_is_done_about_a_disk_that_cannot_be_measured() {
    let mut world = World::new(
        "[disk.root]\npath = \"/\"\n[command.clean]\nif = \"disk_root_full\"\nrun = \"x\"\n\
         [report.r]\nif = \"disk_root_unknown\"\ntext = \"{disk_root.used} {load.one}\"\nchanges = true\n",
    );
    world.disk_used.set(Some(95));
    assert_eq!(world.cycle(10), ["run clean"]);
    world.done("clean", CommandEnd::Exit(1));
    world.disk_used.set(None);
    assert_eq!(world.cycle(10), ["report r: unknown 0.25"]);
    assert_eq!(
        (world.outcome("root"), world.outcome("clean")),
        (Outcome::Unknown, Outcome::Failed),
        "seen by one pass"
    );
    assert_eq!(world.event(), NOTHING);
    assert_eq!((world.outcome("root"), world.outcome("clean")), (Outcome::Unknown, Outcome::Skipped));
}

#[test]
fn a_command_runs_once_in_a_cycle_whatever_happens() {
    let mut world = World::new("[command.x]\nrun = \"x\"\nkept = [3]\n");
    for _ in 0..3 {
        assert_eq!(world.cycle(10), ["run x"]);
        world.done("x", CommandEnd::Exit(3));
        for _ in 0..5 {
            assert_eq!(world.event(), NOTHING);
        }
        assert_eq!(world.outcome("x"), Outcome::Kept);
    }
}

#[test]
fn what_has_acted_waits_for_readings_that_know_of_it() {
    let mut world = World::new(
        "[disk.root]\npath = \"/\"\nfull = \"90%\"\n\
         [file.logs]\nif = \"disk_root_full\"\nin = \"/logs\"\nnames = [\"*\"]\nkeep = 1\ndelete = true\n\
         [command.clean]\nif = \"disk_root_full & logs_kept\"\nrun = \"x\"\n",
    );
    world.disk_used.set(Some(95));
    assert_eq!(world.cycle(10), ["tend logs"]);
    assert_eq!(world.cycle(10), NOTHING, "it takes its time");
    world.tended("logs", Outcome::Repaired);
    assert_eq!(world.event(), NOTHING, "the readings of this cycle are older than what was done");
    assert_eq!(world.cycle(10), ["tend logs"]);
    world.tended("logs", Outcome::Kept);
    assert_eq!(world.event(), ["run clean"]);
    assert_eq!(world.cycle(10), ["tend logs"]);
    world.done("clean", CommandEnd::Exit(0));
    assert_eq!(world.event(), NOTHING, "the same for a program");
    world.disk_used.set(Some(10));
    assert_eq!(world.cycle(10), NOTHING);
}

#[test]
fn an_interval_does_not_slip_by_a_cycle() {
    let mut world = World::new("[command.x]\nrun = \"x\"\nevery = \"30s\"\n");
    let mut runs = 0;
    for step in 0..30 {
        // Cycles come a few milliseconds late or early.
        world.now += Duration::from_millis(if step % 2 == 0 { 9_996 } else { 10_004 });
        runs += world.pass(Pass::Cycle).len();
        world.done("x", CommandEnd::Exit(0));
    }
    assert_eq!(runs, 10);
}

#[test]
fn a_guard_holds_a_service_back_and_says_so_once() {
    let mut world = World::new("[process.web]\nrun = \"x\"\nif = \"!Night\"\n[process.db]\nmatch = \"y\"\n");
    assert_eq!(world.cycle(10), ["allow 0", "allow 1"]);
    assert_eq!(world.cycle(10), NOTHING);
    world.hour = 3;
    assert_eq!(world.cycle(10), ["hold 0"]);
    assert_eq!((world.outcome("web"), world.outcome("db")), (Outcome::Skipped, Outcome::Kept));
    assert_eq!(world.cycle(10), NOTHING);
    world.hour = 7;
    assert_eq!(world.cycle(10), ["allow 0"]);
}

#[test]
fn an_upgrade_forgets_nothing_of_promises_and_classes() {
    let text = "[disk.root]\npath = \"/\"\nfull = \"90%\"\nok = \"80%\"\n\
                [command.clean]\nif = \"disk_root_full\"\nrun = \"x\"\nevery = \"10m\"\n\
                [command.slow]\nif = \"disk_root_full\"\nrun = \"y\"\nsplay = \"1h\"\n\
                [class.lately]\nwhen = \"clean_failed\"\nhold = \"1h\"\n\
                [class.many]\nwhen = \"mails_high\"\n\
                [process.web]\nrun = \"x\"\n\
                [measure.mails]\nrun = \"z\"\nevery = \"1h\"\nhigh = 5\nhigh-ok = 3\n";
    let mut world = World::new(text);
    assert_eq!(world.cycle(10), ["run mails", "allow 0"]);
    let report = |figure: f64| Report {
        outcome: Outcome::Kept,
        marks: Marks::default(),
        figures: [figure, f64::NAN],
        text: "six mails",
        is_deed: false,
    };
    let mails = world.place("mails");
    world.agent.tended(mails, &report(6.0), world.at());
    world.disk_used.set(Some(95));
    assert_eq!(world.cycle(10), ["run clean"]);
    world.done("clean", CommandEnd::Exit(1));
    assert_eq!(world.event(), NOTHING);
    world.done("clean", CommandEnd::Exit(0));
    world.facts[0] = ServiceFact { starts: 3, ..fact(ServiceState::Starting) };
    world.disk_used.set(Some(85));
    assert_eq!(world.cycle(10), NOTHING);
    for _ in 0..2 {
        world.upgrade(text);
        world.facts[0] = ServiceFact { starts: 0, ..world.facts[0] };
        assert_eq!(world.cycle(10), ["allow 0"], "each interval goes on");
        assert_eq!(
            ["clean", "root", "mails"].map(|id| world.outcome(id)),
            [Outcome::Repaired, Outcome::Failed, Outcome::Kept]
        );
        assert!(["disk_root_full", "lately", "many"].iter().all(|name| world.classes.is_on(name)));
        assert_eq!(
            (world.agent.figures(mails)[0].to_bits(), world.agent.words(mails)),
            (6.0_f64.to_bits(), "six mails")
        );
    }
    world.agent.tended(mails, &report(4.0), world.at());
    world.facts[0].state = ServiceState::Ready;
    assert_eq!(world.cycle(10), NOTHING);
    assert!(world.classes.is_on("many"), "four is still many on the way down");
    assert_eq!(world.outcome("web"), Outcome::Repaired, "the start that the one before made");
    world.facts[0].starts = 1;
    assert_eq!((world.cycle(10), world.outcome("web")), (vec![], Outcome::Repaired), "one of our own");
    world.cycle(3600);
    assert!(!world.classes.is_on("lately"), "no longer than it holds");
}

#[test]
fn a_process_comes_out_as_its_service_does() {
    let mut world = World::new(
        "[process.web]\nrun = \"x\"\n[process.spy]\nmatch = \"y\"\nmode = \"warn\"\n[process.off]\nmatch = \"z\"\nmode = \"off\"\n",
    );
    assert_eq!(world.cycle(10), ["allow 0", "hold 1", "hold 2"]);
    let mut starts = 0;
    for (state, is_started, failed, web, spy) in [
        (ServiceState::Ready, false, false, Outcome::Kept, Outcome::Kept),
        (ServiceState::Ready, true, false, Outcome::Repaired, Outcome::Kept),
        (ServiceState::Ready, false, false, Outcome::Kept, Outcome::Kept),
        (ServiceState::Starting, true, false, Outcome::Pending, Outcome::Would),
        (ServiceState::Backoff, false, true, Outcome::Failed, Outcome::Would),
        (ServiceState::Flapping, false, false, Outcome::Failed, Outcome::Would),
        (ServiceState::Down, false, false, Outcome::Failed, Outcome::Would),
        (ServiceState::Stopped, false, false, Outcome::Skipped, Outcome::Would),
        (ServiceState::Paused, false, false, Outcome::Skipped, Outcome::Would),
        (ServiceState::Unknown, false, false, Outcome::Unknown, Outcome::Unknown),
    ] {
        starts += u32::from(is_started);
        world.facts = [ServiceFact { state, starts, failed, over: 0, reason: "" }; 3];
        assert_eq!(world.cycle(10), NOTHING, "{state}");
        assert_eq!(
            (world.outcome("web"), world.outcome("spy"), world.outcome("off")),
            (web, spy, Outcome::Skipped),
            "{state}"
        );
    }
}

#[test]
fn a_slow_start_is_a_repair_once_it_is_done() {
    let mut world = World::new(
        "[process.web]\nrun = \"x\"\n[report.r]\nif = \"web_repaired\"\ntext = \"{repaired}\"\nquiet = \"0s\"\n",
    );
    assert_eq!(world.cycle(10), ["allow 0"]);
    world.facts[0] = ServiceFact { starts: 1, ..fact(ServiceState::Starting) };
    assert_eq!(world.event(), NOTHING);
    assert_eq!(
        (world.cycle(10), world.outcome("web")),
        (vec![], Outcome::Pending),
        "the start takes more than a cycle"
    );
    world.state(0, ServiceState::Ready);
    assert_eq!(world.event(), ["report r: web"]);
    assert_eq!((world.event(), world.outcome("web")), (vec![], Outcome::Repaired), "until the cycle is over");
    assert_eq!((world.cycle(10), world.outcome("web")), (vec![], Outcome::Kept));
}

#[test]
fn changes_are_told_when_they_begin_and_when_they_end() {
    let mut world = World::new(
        "[process.web]\nrun = \"x\"\n[report.r]\nif = \"web_down\"\ntext = \"{host}: web {web.state}, {web.reason}; {failed}\"\nchanges = true\n",
    );
    assert_eq!(world.cycle(10), ["allow 0"]);
    world.state(0, ServiceState::Flapping);
    assert_eq!(world.event(), ["report r: h: web flapping, exit status 1 after 3 s; web"]);
    assert_eq!(world.cycle(10), NOTHING);
    world.state(0, ServiceState::Backoff);
    assert_eq!(world.cycle(10), NOTHING, "still down");
    world.state(0, ServiceState::Ready);
    assert_eq!(world.cycle(10), ["report r: over: h: web ready, exit status 1 after 3 s; "]);
    assert_eq!(world.cycle(10), NOTHING);
}

#[test]
fn a_report_is_quiet_for_its_time() {
    let mut world =
        World::new("[process.web]\nrun = \"x\"\n[report.r]\nif = \"web_down\"\ntext = \"down\"\nquiet = \"1m\"\n");
    world.state(0, ServiceState::Flapping);
    assert_eq!(world.cycle(10), ["allow 0", "report r: down"]);
    let told: Vec<bool> = (0..12).map(|_| !world.cycle(10).is_empty()).collect();
    assert_eq!(told.iter().filter(|told| **told).count(), 2);
    world.state(0, ServiceState::Ready);
    assert_eq!(world.cycle(10), NOTHING, "its end is not told");
}

#[test]
fn another_thing_that_happens_within_the_usual_quiet_is_told() {
    let policy = |more: &str| {
        format!(
            "[process.web]\nrun = \"x\"\n[process.db]\nrun = \"x\"\n\
             [report.r]\nif = \"web_down | db_down\"\ntext = \"down: {{failed}}\"\n{more}"
        )
    };
    for (more, expect) in [("", true), ("quiet = \"1h\"\n", false)] {
        let mut world = World::new(&policy(more));
        world.cycle(10);
        world.state(0, ServiceState::Flapping);
        assert_eq!(world.cycle(10), ["report r: down: web"]);
        world.state(1, ServiceState::Flapping);
        assert_eq!(world.cycle(10), NOTHING, "it lasts");
        world.state(0, ServiceState::Ready);
        world.state(1, ServiceState::Ready);
        assert_eq!(world.cycle(10), NOTHING);
        world.state(0, ServiceState::Flapping);
        assert_eq!(world.cycle(10), NOTHING, "that was told within the hour");
        world.state(0, ServiceState::Ready);
        assert_eq!(world.cycle(10), NOTHING);
        world.state(1, ServiceState::Flapping);
        assert_eq!(world.cycle(10) == ["report r: down: db"], expect, "{more}");
        assert_eq!(world.cycle(3600), ["report r: down: db"]);
    }
}

#[test]
fn what_flickers_with_other_words_fills_no_mailbox() {
    let mut world = World::new(
        "[process.web]\nrun = \"x\"\n[disk.root]\npath = \"/\"\n\
         [report.r]\nif = \"web_down\"\ntext = \"{disk_root.used}\"\n",
    );
    world.cycle(10);
    let mut told = 0;
    for round in 0..100 {
        world.disk_used.set(Some(round % 50));
        world.state(0, if round % 2 == 0 { ServiceState::Flapping } else { ServiceState::Ready });
        told += world.cycle(10).len();
    }
    assert_eq!(told, 6, "in a thousand seconds");
}

#[test]
fn a_report_waits_for_its_program() {
    let mut world = World::new(
        "[process.web]\nrun = \"x\"\n[report.r]\nif = \"web_down\"\ntext = \"down\"\nrun = \"mail\"\nchanges = true\n",
    );
    world.state(0, ServiceState::Flapping);
    assert_eq!(world.cycle(10), ["allow 0", "report r: down"]);
    world.state(0, ServiceState::Ready);
    assert_eq!(world.cycle(10), NOTHING, "the program still runs");
    world.done("r", CommandEnd::Exit(0));
    assert_eq!(world.event(), ["report r: over: down"]);
    world.done("r", CommandEnd::Signal(9));
    assert_eq!(world.outcome("r"), Outcome::Failed);
}

#[test]
fn warnings_and_switched_off_promises_do_nothing() {
    let mut world = World::new(
        "[command.w]\nrun = \"x\"\nmode = \"warn\"\n[command.o]\nrun = \"x\"\nmode = \"off\"\n\
         [report.w]\ntext = \"x\"\nmode = \"warn\"\n[report.told]\nif = \"w_would\"\ntext = \"{w.outcome}\"\n",
    );
    assert_eq!(world.cycle(10), ["report told: would"]);
    assert_eq!(world.outcome("o"), Outcome::Skipped);
}

#[test]
fn a_new_policy_remembers_what_was_done() {
    let text = "[process.web]\nrun = \"x\"\n[command.c]\nrun = \"x\"\nlimit = \"1/1h\"\n\
                [report.r]\nif = \"web_down\"\ntext = \"down\"\nchanges = true\n";
    let mut world = World::new(text);
    world.state(0, ServiceState::Flapping);
    assert_eq!(world.cycle(10), ["allow 0", "run c", "report r: down"]);
    world.reload(&format!("[command.before]\nrun = \"x\"\nevery = \"1d\"\n{text}"));
    assert_eq!(world.cycle(10), ["allow 0", "run before"], "c still runs, and r was told");
    world.done("c", CommandEnd::Exit(0));
    assert_eq!(world.cycle(10), NOTHING, "the budget is still spent");
    world.reload(&text.replace("1/1h", "2/1h"));
    assert_eq!(world.cycle(10), ["allow 0", "run c"], "a limit that was changed begins full");
}

#[test]
fn passes_end_even_when_promises_chase_each_other() {
    let mut world = World::new(
        "[command.a]\nif = \"!b_would\"\nrun = \"x\"\nmode = \"warn\"\n[command.b]\nif = \"!a_would\"\nrun = \"x\"\nmode = \"warn\"\n",
    );
    for _ in 0..10 {
        assert_eq!(world.cycle(10), NOTHING);
    }
}

#[test]
fn a_spent_limit_is_a_class_and_begins_the_cooldown() {
    let mut world = World::new(
        "[disk.root]\npath = \"/\"\n\
         [command.clean]\nif = \"disk_root_full\"\nrun = \"x\"\nlimit = \"2/10m\"\ncooldown = \"2h\"\n\
         [class.stuck]\nwhen = \"clean_flapping\"\n",
    );
    world.disk_used.set(Some(95));
    for second in [10, 20] {
        assert_eq!(world.cycle(10), ["run clean"], "at {second}");
        world.done("clean", CommandEnd::Exit(0));
        assert!(!world.classes.is_on("stuck"));
    }
    assert_eq!(world.cycle(10), NOTHING);
    assert!(world.classes.is_on("stuck"), "it wants to act and may not");
    assert_eq!(world.cycle(3600), NOTHING, "the limit is full again, the cooldown is not over");
    assert!(world.classes.is_on("stuck"));
    assert_eq!(world.cycle(3600), ["run clean"]);
    assert!(!world.classes.is_on("stuck"));
}

#[test]
fn what_an_earlier_run_did_counts_in_this_one() {
    let text = "[command.c]\nrun = \"x\"\nevery = \"1h\"\nlimit = \"2/4h\"\n\
                [report.r]\nif = \"any\"\ntext = \"t\"\nchanges = true\n";
    let acts = |minutes: u64, left: f64, told: bool| Acts {
        age: Duration::from_secs(30 * 60),
        last: Some(Duration::from_secs(minutes * 60)),
        left: Some(left),
        cooling: Duration::ZERO,
        told,
    };
    for (minutes, left, first) in
        [(10, 1.0, &NOTHING[..0]), (40, 1.0, &["run c"]), (4000, 0.1, &[]), (4000, 0.8, &["run c"])]
    {
        let mut world = World::new(text);
        let now = world.at();
        world.agent.recall(|_| Some(acts(minutes, left, true)), now);
        assert_eq!(world.cycle(10), first, "{minutes} {left}");
    }
    let mut world = World::new(text);
    let now = world.at();
    world.agent.recall(|promise| (promise.id == "r").then(|| acts(1, 1.0, true)), now);
    assert_eq!(world.cycle(10), ["run c"], "what was told is not told again");
}

#[test]
fn an_end_is_not_told_before_the_numbers_are_looked_at_again() {
    let text =
        "[measure.n]\nrun = \"count\"\nhigh = 10\n[report.r]\nif = \"n_high\"\ntext = \"high\"\nchanges = true\n";
    for (value, expect) in [(42.0, &NOTHING[..0]), (3.0, &["report r: over: high"])] {
        let mut world = World::new(text);
        let told = Acts { age: Duration::ZERO, last: None, left: None, cooling: Duration::ZERO, told: true };
        let now = world.at();
        world.agent.recall(|promise| (promise.id == "r").then_some(told), now);
        assert_eq!(world.cycle(10), ["run n"], "a run before this one has told it");
        let place = world.place("n");
        let marks = Marks::default().with(Mark::High, value > 10.0);
        let found = Report { outcome: Outcome::Kept, marks, figures: [value, f64::NAN], text: "", is_deed: false };
        world.agent.tended(place, &found, now);
        assert_eq!(world.event(), expect, "{value}");
    }
}

#[test]
fn what_another_run_does_meanwhile_is_not_done_twice() {
    let mut world = World::new("[command.c]\nrun = \"x\"\nevery = \"1h\"\n");
    assert_eq!(world.cycle(10), ["run c"]);
    let now = world.at();
    let theirs = Acts { last: Some(Duration::from_secs(60)), ..Acts::default() };
    assert!(!world.agent.may_still(0, &theirs, now), "they ran it a minute ago");
    assert_eq!(world.outcome("c"), Outcome::Skipped);
    assert_eq!(world.cycle(3000), NOTHING);
    assert_eq!(world.cycle(600), ["run c"], "an hour after theirs");
    world.agent.leave_to_another(0);
    let shared = world.agent.share(0, world.at()).expect("it is there");
    assert!(world.agent.may_still(0, &shared, world.at()), "what we did ourselves is no news");
}

#[test]
fn what_would_be_done_is_told_as_often_as_it_would_be_done() {
    let mut world = World::new(
        "[process.web]\nmatch = \"x\"\nmode = \"warn\"\n\
         [command.c]\nif = \"web_would\"\nrun = \"x\"\nevery = \"1m\"\nlimit = \"2/1d\"\nmode = \"warn\"\n\
         [report.r]\nif = \"web_would\"\ntext = \"{web.state}\"\nchanges = true\nmode = \"warn\"\n",
    );
    world.cycle(10);
    assert_eq!(world.would(), NOTHING);
    world.state(0, ServiceState::Stopped);
    world.cycle(10);
    assert_eq!(world.would(), ["web", "c", "r stopped"]);
    for (seconds, expect) in [(10, &[][..]), (60, &["c"]), (60, &[]), (3600, &[])] {
        world.cycle(seconds);
        assert_eq!(world.would(), expect, "after {seconds} s");
    }
    world.state(0, ServiceState::Ready);
    world.cycle(10);
    world.state(0, ServiceState::Stopped);
    world.cycle(10);
    assert_eq!(world.would(), ["web", "r stopped"], "a second death, and the limit is spent");
}

#[test]
fn a_spent_limit_of_a_file_matters_only_when_something_needs_doing() {
    let mut world = World::new(
        "[file.table]\npath = \"/t\"\nline = \"x\"\nlimit = \"1/1h\"\n\
         [report.r]\nif = \"table_flapping\"\ntext = \"flaps\"\nchanges = true\n",
    );
    for (seconds, outcome, may_only_look, told) in [
        (10, Outcome::Repaired, false, NOTHING.as_slice()),
        (10, Outcome::Kept, true, &[]),
        (10, Outcome::Kept, true, &[]),
        (10, Outcome::Would, true, &["report r: flaps"]),
        (10, Outcome::Would, true, &[]),
        (10, Outcome::Kept, true, &["report r: over: flaps"]),
        (3600, Outcome::Repaired, false, &[]),
    ] {
        assert_eq!(world.cycle(seconds), ["tend table"], "{outcome}");
        assert_eq!(world.agent.only_looks(world.place("table")), may_only_look, "{outcome}");
        world.tended("table", outcome);
        assert_eq!(world.event(), told, "{outcome}");
        assert_eq!(world.outcome("table"), outcome);
    }
}

#[test]
fn the_program_of_a_measure_is_not_run_where_it_may_only_be_told() {
    let mut world = World::new("[measure.mails]\nrun = \"x\"\nevery = \"1m\"\nmode = \"warn\"\n");
    assert_eq!((world.cycle(10), world.would()), (vec![], vec!["mails".to_owned()]));
    assert_eq!(world.outcome("mails"), Outcome::Would);
    assert_eq!((world.cycle(10), world.would()), (vec![], vec![]), "not before it is due");
}

#[test]
fn a_report_reminds_while_its_cause_lasts() {
    let mut world = World::new(
        "[disk.root]\npath = \"/\"\n[report.r]\nif = \"disk_root_full\"\ntext = \"{disk_root.used}\"\n\
         changes = true\nremind = \"6h\"\n",
    );
    world.disk_used.set(Some(95));
    assert_eq!(world.cycle(10), ["report r: 95%"]);
    assert_eq!(world.cycle(3 * 3600), NOTHING);
    world.disk_used.set(Some(97));
    assert_eq!(world.cycle(3 * 3600), ["report r: still: 97%"]);
    assert_eq!(world.cycle(5 * 3600), NOTHING);
    assert_eq!(world.cycle(3600), ["report r: still: 97%"]);
    world.disk_used.set(Some(10));
    assert_eq!(world.cycle(10), ["report r: over: 10%"]);
    assert_eq!(world.cycle(9 * 3600), NOTHING);
}

#[test]
fn a_text_is_told_again_only_when_it_differs() {
    let mut world = World::new(
        "[disk.root]\npath = \"/\"\n[report.r]\nif = \"any\"\ntext = \"{disk_root.used}\"\nquiet = \"1m\"\ndiffers = true\n\
         [report.c]\nif = \"disk_root_full\"\ntext = \"now {disk_root.used}\"\nchanges = true\ndiffers = true\n",
    );
    assert_eq!(world.cycle(10), ["report r: 10%"]);
    assert_eq!(world.cycle(600), NOTHING, "the same text is no news, however long ago it was told");
    world.disk_used.set(Some(11));
    assert_eq!(world.cycle(10), ["report r: 11%"]);
    world.disk_used.set(Some(92));
    assert_eq!(world.cycle(10), ["report c: now 92%"], "and not more often than `quiet` allows");
    assert_eq!(world.cycle(60), ["report r: 92%"]);
    world.disk_used.set(Some(93));
    assert_eq!(world.cycle(60), ["report r: 93%", "report c: now 93%"]);
    assert_eq!(world.cycle(600), NOTHING);
    world.disk_used.set(Some(10));
    assert_eq!(world.cycle(60), ["report r: 10%", "report c: over: now 10%"]);
}

#[test]
fn a_splay_delays_the_beginning_and_nothing_after_it() {
    let mut world = World::new(
        "[command.c]\nif = \"!night\"\nrun = \"x\"\nevery = \"1h\"\nsplay = \"30m\"\n[class.night]\nwhen = \"Hr03\"\n",
    );
    let mut at = Vec::new();
    for second in (0..4 * 3600).step_by(10) {
        if world.cycle(10) == ["run c"] {
            at.push(second);
            world.done("c", CommandEnd::Exit(0));
        }
    }
    assert_eq!(at.len(), 4, "{at:?}");
    assert!((0..1800).contains(&at[0]) && at[0] > 0, "{at:?}");
    assert!(at.windows(2).all(|two| (3590..=3610).contains(&(two[1] - two[0]))), "{at:?}");
    world.hour = 3;
    assert_eq!(world.cycle(7200), NOTHING);
    world.hour = 4;
    assert_eq!(world.cycle(10), NOTHING, "the condition begins anew, and so does the delay");
}

#[test]
fn a_report_waits_for_the_look_that_it_tells_of() {
    let mut world = World::new(
        "[disk.root]\npath = \"/\"\n\
         [file.logs]\nif = \"disk_root_full\"\nin = \"/logs\"\nnames = [\"*\"]\nkeep = 1\ndelete = true\n\
         [report.r]\nif = \"disk_root_full\"\ntext = \"{disk_root.used}, freed {logs.bytes}\"\nquiet = \"6h\"\n\
         [report.other]\nif = \"disk_root_full\"\ntext = \"{disk_root.used}\"\nquiet = \"6h\"\n",
    );
    world.disk_used.set(Some(95));
    assert_eq!(world.cycle(10), ["tend logs", "report other: 95%"]);
    assert_eq!(world.cycle(5), NOTHING, "the look takes its time");
    let (now, place) = (world.at(), world.place("logs"));
    let found =
        Report { outcome: Outcome::Repaired, marks: Marks::default(), figures: [2048.0, 1.0], text: "", is_deed: true };
    world.agent.tended(place, &found, now);
    assert_eq!(world.event(), ["report r: 95%, freed 2.0 KiB"]);
    assert_eq!(world.cycle(10), ["tend logs"]);
}

#[test]
fn repairs_of_the_last_hour_can_be_told() {
    let mut world = World::new(
        "[command.c]\nrun = \"x\"\nevery = \"10m\"\n\
         [report.r]\nif = \"c_failed\"\ntext = \"{c.repairs} {c.output}\"\nchanges = true\n",
    );
    for _ in 0..3 {
        assert_eq!(world.cycle(600), ["run c"]);
        world.done("c", CommandEnd::Exit(0));
    }
    assert_eq!(world.cycle(600), ["run c"]);
    world.agent.wrote(0, "no space");
    world.done("c", CommandEnd::Exit(1));
    assert_eq!(world.event(), ["report r: 3 no space"]);
}

#[test]
fn a_number_that_a_command_told_does_not_count_for_ever() {
    let mut world = World::new(
        "[command.c]\nrun = \"x\"\nevery = \"1m\"\n[measure.m]\ncommand = \"c\"\nhigh = 5\n\
         [report.r]\nif = \"m_high\"\ntext = \"{m.value}\"\nchanges = true\n\
         [report.gone]\nif = \"m_missing\"\ntext = \"{m.value}\"\nchanges = true\n",
    );
    world.cycle(10);
    assert_eq!(world.outcome("m"), Outcome::Unknown, "nothing was told yet");
    let now = world.at();
    let place = world.place("m");
    let found =
        Report { outcome: Outcome::Kept, marks: Marks::default(), figures: [7.0, f64::NAN], text: "", is_deed: false };
    world.agent.told_until(place, now.mono + Duration::from_secs(600));
    world.agent.tended(place, &found, now);
    assert_eq!(world.event(), ["report r: 7", "report gone: over: 7"]);
    world.cycle(590);
    assert_eq!(world.outcome("m"), Outcome::Kept);
    assert_eq!(world.cycle(10), ["report r: over: unknown", "report gone: unknown"]);
    assert_eq!(world.outcome("m"), Outcome::Unknown);
}

#[test]
fn a_repair_that_ends_its_own_condition_is_told_all_the_same() {
    let mut world = World::new(
        "[disk.root]\npath = \"/\"\n[file.tidy]\nif = \"disk_root_full\"\npath = \"/t\"\nline = \"x\"\n\
         [command.clean]\nif = \"disk_root_full\"\nrun = \"x\"\nrepaired = [3]\nevery = \"1h\"\n\
         [report.r]\nif = \"tidy_repaired | clean_repaired\"\ntext = \"{tidy.outcome} {clean.outcome}\"\nchanges = true\n",
    );
    world.disk_used.set(Some(95));
    assert_eq!(world.cycle(10), ["tend tidy", "run clean"]);
    world.tended("tidy", Outcome::Repaired);
    world.done("clean", CommandEnd::Exit(3));
    // Both ends are seen together with readings in which the disk is not full any more.
    world.disk_used.set(Some(10));
    assert_eq!(world.cycle(10), ["report r: repaired repaired"]);
    assert_eq!((world.outcome("tidy"), world.outcome("clean")), (Outcome::Repaired, Outcome::Repaired));
    assert_eq!(world.event(), ["report r: over: skipped skipped"]);
    assert_eq!((world.outcome("tidy"), world.outcome("clean")), (Outcome::Skipped, Outcome::Skipped));
}
