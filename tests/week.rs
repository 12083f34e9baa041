//! A week of cycles with a made-up clock, as fast as they go: readings, rates, classes, promises, learner, history, journal, locks,
//! post and board are the daemon's own. What is held is the same at the end of each day, no page more is resident, no file grows.
//!
//! The real daemon goes through cycles of 10 ms in `soak.rs`; this is the length of a week that it cannot have there.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../probes/tests/counting/mod.rs"]
mod counting;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use counting::HELD;
use watchd::agent::{Action, Actions, Agent, CommandEnd, Pass, Report};
use watchd::classes::{Calendar, Classes, Giver, Scene};
use watchd::engine::policy::load_text;
use watchd::learn::Settings;
use watchd::learn::book::{Book, GROUP, Minute, key};
use watchd::model::{Findings, Marks, Now, Outcome, ServiceFact, ServiceState};
use watchd::store::board::{EVENTS, Page, fixed};
use watchd::store::history::History;
use watchd::store::journal::Journal;
use watchd::store::locks::{self, Locks};
use watchd::store::outbox::{Letter, Outbox};
use watchd::store::{Board, ClassRow, EventRow, Header, PromiseRow, Rates, Readings, ServiceRow};
use watchd_probes::inventory::Inventory;
use watchd_probes::{ObjectId, ProbeId, Sample, Value, cpu, load, memory};
use zerocopy::FromZeros;

const CYCLE_S: u64 = 10;
const DAY: u64 = 86_400 / CYCLE_S;
/// A Monday, 00:00.
const MONDAY: u64 = 1_768_780_800;
/// What the allocator and the files' pages may differ by from day to day.
const SLACK_KIB: u64 = 64;
const SERVICES: usize = 12;

fn policy() -> String {
    let mut text = String::from(
        "[watchd]\nswitches = [\"maintenance\"]\n[disk.root]\npath = \"/\"\nforecast = \"24h\"\n\
         [command.clean]\nif = \"load_high & !maintenance\"\nrun = \"x\"\nlimit = \"3/1h\"\n\
         [command.often]\nrun = \"x\"\nevery = \"5m\"\n\
         [file.line]\npath = \"/tmp/x\"\nline = \"x\"\nevery = \"1m\"\n\
         [measure.load]\nmetric = \"load.five\"\nhigh = 3\nhigh-ok = 2\n\
         [measure.mailq]\nrun = \"x\"\nevery = \"1m\"\nhigh = 500\n\
         [process.w]\nregex = 'w'\ncount = \"2..8\"\n\
         [class.night]\nwhen = \"Hr22_06\"\nhold = \"5m\"\n\
         [class.busy]\nany = [\"load_high\", \"mailq_high\", \"p1_down\"]\nhold = \"15m\"\n\
         [report.busy]\nif = \"busy & !night\"\ntext = \"{host}: {load.value} {mailq.value} {failed}\"\nchanges = true\nremind = \"2h\"\n",
    );
    for place in 0..SERVICES {
        text.push_str(&format!(
            "[process.p{place}]\nmatch = \"p{place}\"\n\
             [report.r{place}]\nif = \"p{place}_down\"\ntext = \"{{p{place}.state}}: {{p{place}.reason}}\"\nchanges = true\n"
        ));
    }
    text
}

/// The same sequence at every run.
struct Random(u64);

impl Random {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most
    }
}

fn resident_kib() -> u64 {
    let text = fs::read_to_string("/proc/self/statm").expect("there is a /proc");
    let pages: u64 = text.split(' ').nth(1).and_then(|word| word.parse().ok()).expect("a number of pages");
    pages * 4
}

fn bytes(dir: &Path) -> u64 {
    let files = fs::read_dir(dir).expect("it is ours").filter_map(Result::ok);
    files.filter_map(|file| Some(file.metadata().ok()?.size())).sum()
}

/// Everything a daemon has that could grow.
struct World {
    classes: Classes,
    agent: Agent,
    actions: Actions,
    samples: [Sample; 2],
    rates: Rates,
    book: Book,
    history: History,
    journal: Journal,
    locks: Locks,
    outbox: Outbox,
    post: Vec<Letter>,
    board: Board,
    rows: (Vec<ServiceRow>, Vec<ClassRow>, Vec<PromiseRow>),
    events: Vec<EventRow>,
    told: Vec<Outcome>,
    states: [ServiceState; SERVICES],
    random: Random,
    /// Programs that run, and when they end.
    running: Vec<(u64, usize)>,
    acts: u64,
}

impl World {
    fn new(dir: &Path) -> Self {
        let loaded = load_text("t", &policy(), &Inventory { cpus: 2, ..Inventory::default() });
        let (policy, _) = loaded.unwrap_or_else(|faults| panic!("{faults:#?}"));
        let (mut book, _) = Book::open(&dir.join("learned")).expect("it opens");
        let keys: Vec<u64> = (0..GROUP).map(|number| key(&number.to_string())).collect();
        book.adopt(&keys).expect("there is room");
        let now = Now { mono: Duration::from_secs(1_000), wall: Duration::from_secs(MONDAY) };
        let classes = Classes::new(policy.classes, SERVICES, policy.promises.len());
        let agent = Agent::new(policy.promises, "host", Duration::from_secs(CYCLE_S));
        Self {
            actions: Actions::new(agent.promises().len()),
            told: vec![Outcome::Skipped; agent.promises().len()],
            classes,
            agent,
            samples: [Sample::default(), Sample::default()],
            rates: Rates::default(),
            book,
            history: History::open(&dir.join("history"), now).expect("it opens").0,
            journal: Journal::open(&dir.join("events")).expect("it opens").0,
            locks: Locks::open(&dir.join("locks"), &[b'b'; 40]).expect("it opens").0,
            outbox: Outbox::open(&dir.join("outbox")).expect("it opens").0,
            post: Vec::with_capacity(32),
            board: Board::create(&dir.join("board")).expect("it can be made"),
            rows: (Vec::with_capacity(SERVICES), Vec::with_capacity(512), Vec::with_capacity(64)),
            events: Vec::with_capacity(EVENTS),
            states: [ServiceState::Ready; SERVICES],
            random: Random(7),
            running: Vec::with_capacity(64),
            acts: 0,
        }
    }

    fn look(&mut self, cycle: u64) {
        self.samples.swap(0, 1);
        let hour = cycle * CYCLE_S / 3_600 % 24;
        let busy = if (8..18).contains(&hour) { 150 } else { 20 };
        let (one, jitter) = (self.random.below(busy) + 10, self.random.below(1_000));
        let sample = &mut self.samples[0];
        sample.begin();
        let mut sink = sample.sink(ProbeId::Load);
        for metric in [load::ONE, load::FIVE, load::FIFTEEN] {
            #[allow(clippy::cast_precision_loss)]
            sink.put(ObjectId::HOST, metric, Value::Float(one as f64 / 40.0));
        }
        sample.finish(ProbeId::Load, Ok(()), 0);
        let mut sink = sample.sink(ProbeId::Memory);
        sink.put(ObjectId::HOST, memory::AVAILABLE, Value::Int(4_000_000_000 + jitter * 1_000_000));
        sample.finish(ProbeId::Memory, Ok(()), 0);
        let mut sink = sample.sink(ProbeId::Cpu);
        sink.put(ObjectId::HOST, cpu::FORKS, Value::Int(cycle * 37 + jitter));
        sample.finish(ProbeId::Cpu, Ok(()), 0);
        let [new, old] = &self.samples;
        self.rates.update(old, new, Duration::from_secs(CYCLE_S));
    }

    fn note(&mut self, subject: &str, text: &str, now: Now) {
        let wall_ms = u64::try_from(now.wall.as_millis()).expect("it is small");
        let mut event = EventRow { wall_ms, subject: fixed(subject), text: fixed(text), ..EventRow::new_zeroed() };
        self.journal.append(&mut event).expect("it can be written");
        if self.events.len() == EVENTS {
            self.events.remove(0);
        }
        self.events.push(event);
    }

    /// One cycle, as the core makes it.
    fn turn(&mut self, cycle: u64) {
        let past = Duration::from_secs(cycle * CYCLE_S);
        let now = Now { mono: Duration::from_secs(1_000) + past, wall: Duration::from_secs(MONDAY) + past };
        self.look(cycle);
        for place in 0..SERVICES {
            if self.random.below(2_000) == 0 {
                self.states[place] = ServiceState::Backoff;
            } else if self.states[place] != ServiceState::Ready && self.random.below(6) == 0 {
                self.states[place] = ServiceState::Ready;
            }
        }
        if cycle % 1_000 == 400 {
            let until = Now { mono: now.mono + Duration::from_secs(600), wall: now.wall + Duration::from_secs(600) };
            self.classes.given.give("maintenance", Giver::Hand(Some(0)), Some(until), now).expect("there is room");
        }
        self.classes.given.take_first(|given| given.until.is_some_and(|until| until.mono <= now.mono));
        while let Some(place) = self.running.iter().position(|(end, _)| *end <= cycle) {
            let (_, promise) = self.running.swap_remove(place);
            let end = if self.random.below(20) == 0 { CommandEnd::Exit(1) } else { CommandEnd::Exit(0) };
            self.agent.command_done(promise, end, now);
        }
        self.pass(cycle, now);
        self.learn(cycle, now);
        let readings = Readings { view: self.samples[0].view(), rates: self.rates.as_slice() };
        let recorded = self.history.record(readings, now);
        assert!(recorded.error.is_none(), "{recorded:?}");
        if self.post.len() > 3 {
            self.post.remove(0);
            self.outbox.save(self.post.iter()).expect("it can be written");
        }
        self.publish();
    }

    fn pass(&mut self, cycle: u64, now: Now) {
        let seconds = cycle * CYCLE_S;
        let small = |number: u64| u8::try_from(number).expect("it is small");
        let local = Calendar {
            year: 2026,
            month: 1,
            day: small(19 + seconds / 86_400),
            weekday: small(seconds / 86_400 % 7),
            hour: small(seconds / 3_600 % 24),
            minute: small(seconds / 60 % 60),
        };
        let states = self.states;
        let services = |place: usize| {
            let state = *states.get(place)?;
            let reason =
                if state == ServiceState::Ready { "runs as process 7" } else { "killed by signal 9 after 2 h" };
            let failed = state != ServiceState::Ready;
            Some(ServiceFact { state, starts: u32::from(failed), failed, over: 0, reason })
        };
        let scene = Scene {
            now,
            local,
            utc: local,
            readings: Readings { view: self.samples[0].view(), rates: self.rates.as_slice() },
            services: &services,
            learned: &|quantity| Findings(u16::from(quantity == 1 && cycle % 3_000 < 9)),
            is_state_writable: cycle % 5_000 != 17,
        };
        self.agent.pass(Pass::Cycle, &mut self.classes, &scene, &mut self.actions);
        for number in 0..self.actions.as_slice().len() {
            let action = self.actions.as_slice()[number];
            self.act(action, cycle, now);
        }
        for place in 0..self.told.len() {
            let outcome = self.agent.outcomes()[place];
            if outcome != self.told[place] {
                self.told[place] = outcome;
                let id = self.agent.promises()[place].id.clone();
                self.note(&id, &format!("{id}: {outcome}"), now);
            }
        }
    }

    fn act(&mut self, action: Action, cycle: u64, now: Now) {
        self.acts += 1;
        match action {
            Action::Run { promise } => {
                let known = &self.agent.promises()[promise];
                let lock = locks::key(known.kind().word(), &known.id);
                self.locks.take(lock, now).expect("it can be read");
                if let Some(acts) = self.agent.share(promise, now) {
                    self.locks.write(lock, &acts, now).expect("it can be written");
                }
                self.locks.release(lock).expect("it can be written");
                let lasts = self.random.below(5) + 1;
                self.running.push((cycle + lasts, promise));
            }
            Action::Tend { promise } => {
                let words = format!("look {} of {cycle}", self.random.below(9));
                let outcome = if self.random.below(100) == 0 { Outcome::Repaired } else { Outcome::Kept };
                let text = if outcome == Outcome::Kept { "" } else { words.as_str() };
                let figures = [5.0, 3.0];
                let report = Report { outcome, marks: Marks::default(), figures, text, is_deed: false };
                self.agent.tended(promise, &report, now);
            }
            Action::Report { promise, text, is_over } => {
                let text = self.actions.text(text).to_owned();
                let report = self.agent.promises()[promise].id.clone();
                self.note(&report, &text, now);
                let wall_ms = u64::try_from(now.wall.as_millis()).expect("it is small");
                self.post.push(Letter { report, channel: "mail:root".to_owned(), text, wall_ms, tries: 0, is_over });
                self.outbox.save(self.post.iter()).expect("it can be written");
                self.agent.command_done(promise, CommandEnd::Exit(0), now);
            }
            Action::Would { .. } | Action::Hold { .. } | Action::Allow { .. } => {}
        }
    }

    fn learn(&mut self, cycle: u64, now: Now) {
        if !cycle.is_multiple_of(6) {
            return;
        }
        let at = i64::try_from(now.wall.as_secs()).expect("it is small");
        let week_s = u32::try_from(cycle * CYCLE_S % (7 * 86_400)).expect("a week");
        let settings = Settings { learning_s: 86_400, ..Settings::default() };
        #[allow(clippy::cast_precision_loss)]
        let values: [f64; GROUP] = std::array::from_fn(|_| self.random.below(100) as f64);
        let sample = |column: usize| Some(values.get(column).copied().filter(|value| *value > 1.0));
        self.book
            .observe(0, Minute { at, week_s, settings: &settings }, &sample, &mut |_, _| {})
            .expect("it can be written");
    }

    fn publish(&mut self) {
        let (services, classes, promises) = &mut self.rows;
        services.clear();
        services.extend(self.states.iter().map(|state| ServiceRow { state: state.byte(), ..ServiceRow::new_zeroed() }));
        classes.clear();
        let agent = &self.agent;
        self.classes.each(
            &|_| Some("p"),
            &|place| agent.promises().get(place).map(|promise| promise.prefix()),
            &mut |row| {
                if row.on {
                    classes.push(ClassRow { name: fixed(row.name), on: 1, ..ClassRow::new_zeroed() });
                }
            },
        );
        promises.clear();
        promises.extend(
            agent.outcomes().iter().map(|outcome| PromiseRow { outcome: outcome.byte(), ..PromiseRow::new_zeroed() }),
        );
        self.board.publish(&Page {
            header: &Header::default(),
            readings: Readings { view: self.samples[0].view(), rates: self.rates.as_slice() },
            services,
            classes,
            promises,
            events: &self.events,
            learned: &[],
        });
    }
}

/// A directory that is gone afterwards.
struct Dir(PathBuf);

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_week_of_cycles_holds_what_its_first_day_did() {
    let dir = Dir(std::env::temp_dir().join(format!("watchd-week-{}", std::process::id())));
    fs::create_dir_all(&dir.0).expect("a temporary directory can be made");
    let mut world = World::new(&dir.0);
    let mut days = Vec::new();
    for cycle in 0..7 * DAY {
        world.turn(cycle);
        if (cycle + 1).is_multiple_of(DAY) {
            days.push((HELD.get(), resident_kib(), bytes(&dir.0)));
            println!(
                "day {}: {:?} (bytes held, KiB resident, bytes on the disk), {} acts",
                days.len(),
                days[days.len() - 1],
                world.acts
            );
        }
    }
    assert!(world.acts > 5_000, "there was something to do: {}", world.acts);
    let letters: usize = world.post.iter().map(|letter| letter.text.capacity() + letter.report.capacity()).sum();
    for (number, day) in days.iter().enumerate().skip(1) {
        // Texts of the moment may be longer or shorter.
        assert!(
            day.0.abs_diff(days[0].0) <= 8_192 + letters,
            "day {}: {} bytes held, {} on the first",
            number + 1,
            day.0,
            days[0].0
        );
        assert!(
            day.1 <= days[0].1 + SLACK_KIB,
            "day {}: {} KiB resident, {} on the first",
            number + 1,
            day.1,
            days[0].1
        );
        assert_eq!(day.2, days[0].2, "day {}: files grew", number + 1);
    }
}
