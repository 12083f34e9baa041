//! The classes as they are now: one bit each, and since when.
//!
//! After construction nothing is allocated. Memory: 16 bytes a class and a service, 32 a promise.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use watchd_probes::Now;

use super::canonify;
use super::expr;
use super::gauge::{Gauge, Level};
use super::given::Given;
use super::list::{Clock, Prefix};
use super::table::{ExprId, LIMITED, OUTCOMES, Side, Source, Table};
use super::time::{Calendar, TimeTest};
use crate::config::nearest;
use crate::model::{ClassKind, Findings, Marks, Outcome, ServiceFact, ServiceState};
use crate::store::Readings;

/// How long after a boot `boot` is true.
pub(super) const BOOT: Duration = Duration::from_secs(600);

/// What one moment looks like.
#[derive(Clone, Copy)]
pub struct Scene<'a> {
    pub now: Now,
    pub local: Calendar,
    pub utc: Calendar,
    pub readings: Readings<'a>,
    /// What is known about a service, by its place in the policy.
    pub services: &'a dyn Fn(usize) -> Option<ServiceFact<'a>>,
    /// What the learner found about a quantity, by its place in the policy.
    pub learned: &'a dyn Fn(usize) -> Findings,
    /// What has to be remembered can be written.
    pub is_state_writable: bool,
}

/// How a disk fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskState {
    Fine,
    /// Full, out of inodes or read-only.
    Trouble,
    /// Nothing can be said: not mounted, or it does not answer.
    Unknown,
}

/// Something that has one value at a time, and since when (seconds since 1970).
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Timed<T> {
    pub value: T,
    since: u64,
}

impl<T: PartialEq> Timed<T> {
    pub const fn new(value: T) -> Self {
        Self { value, since: 0 }
    }

    /// Takes a new value; says whether it is another.
    pub fn set(&mut self, value: T, now: u64) -> bool {
        let changed = self.value != value;
        if changed {
            *self = Self { value, since: now };
        }
        changed
    }

    pub fn since(&self) -> Duration {
        Duration::from_secs(self.since)
    }
}

/// All classes of a policy, now.
pub struct Classes {
    pub(super) table: Table,
    pub(super) bits: Vec<Timed<bool>>,
    pub(super) clock: Clock,
    pub(super) states: Vec<Timed<Option<ServiceState>>>,
    pub(super) outcomes: Vec<Timed<Outcome>>,
    pub(super) limited: Vec<Timed<bool>>,
    /// What looks at files and numbers have found, and since when that is so.
    pub(super) marks: Vec<Timed<Marks>>,
    pub(super) learned: Vec<Timed<Findings>>,
    /// The entries whose names could also be put together when classes are listed.
    mentioned: Vec<u16>,
    /// Those that outlast what makes them true.
    pub(super) held: Vec<Held>,
    /// What somebody set.
    pub given: Given,
    /// How long the disks that are looked ahead for will do, as far as that can be foreseen.
    left: Vec<(u16, Option<Duration>)>,
    /// Until when the kernel's word that work waits for memory counts, monotonic.
    pressed_until: Duration,
    /// The time of the last update.
    pub(super) at: Now,
}

/// A class that stays true for a while after it last held.
#[derive(Clone, Copy)]
pub(super) struct Held {
    pub class: u16,
    lasts: Duration,
    /// Monotonic; zero when it has not held yet.
    pub until: Duration,
    /// Nothing but the hold makes it true.
    pub is_alone: bool,
}

/// What is true by name, for another policy and for the program that takes watchd's place: hysteresis, holds and times go on.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Bequest {
    bits: Vec<(String, Timed<bool>)>,
    /// Until when, monotonic.
    holds: Vec<(String, Duration)>,
    clock: Clock,
    pressed_until: Duration,
    /// When that was so, monotonic.
    at: Duration,
}

/// What a class is when its hold is counted in.
fn hold(held: &mut [Held], class: usize, on: bool, now: Duration) -> bool {
    let place = held.binary_search_by_key(&class, |held| usize::from(held.class)).ok();
    let Some(known) = place.and_then(|place| held.get_mut(place)) else { return on };
    if on {
        known.until = now.saturating_add(known.lasts);
    }
    known.is_alone = !on && now < known.until;
    on || known.is_alone
}

impl Classes {
    /// All false, except the hard ones. `services` and `promises` are how many the policy has.
    pub fn new(table: Table, services: usize, promises: usize) -> Self {
        Self {
            bits: table.entries.iter().map(|entry| Timed::new(entry.source == Source::Hard)).collect(),
            clock: Clock::default(),
            states: vec![Timed::new(None); services],
            outcomes: vec![Timed::new(Outcome::Skipped); promises],
            limited: vec![Timed::new(false); promises],
            marks: vec![Timed::new(Marks::default()); promises],
            learned: vec![Timed::new(Findings::default()); table.quantities.len()],
            mentioned: (0..)
                .zip(&table.entries)
                .filter(|(_, entry)| entry.source.is_moving())
                .map(|(class, _)| class)
                .collect(),
            held: table
                .holds
                .iter()
                .map(|(class, lasts)| Held { class: *class, lasts: *lasts, until: Duration::ZERO, is_alone: false })
                .collect(),
            given: Given::default(),
            left: table.forecasts.iter().map(|(disk, _)| (*disk, None)).collect(),
            pressed_until: Duration::ZERO,
            at: Now::default(),
            table,
        }
    }

    /// What those that come after have to know. What is given is known elsewhere, too.
    pub fn bequeath(&self) -> Bequest {
        let name = |class: usize| self.table.name(class).to_owned();
        Bequest {
            bits: self.bits.iter().enumerate().map(|(class, bit)| (name(class), *bit)).collect(),
            holds: self.held.iter().map(|held| (name(held.class.into()), held.until)).collect(),
            clock: self.clock.clone(),
            pressed_until: self.pressed_until,
            at: self.at.mono,
        }
    }

    /// Takes over from the classes before these what has the same name.
    pub fn inherit(&mut self, left: Bequest) {
        for (class, bit) in self.bits.iter_mut().enumerate() {
            let name = self.table.name(class);
            if let Some((_, same)) = left.bits.iter().find(|(other, _)| other == name) {
                *bit = *same;
            }
        }
        for held in &mut self.held {
            let name = self.table.name(usize::from(held.class));
            if let Some((_, until)) = left.holds.iter().find(|(other, _)| other == name) {
                // A hold that is shorter now ends sooner.
                held.until = (*until).min(left.at.saturating_add(held.lasts));
            }
        }
        (self.clock, self.pressed_until) = (left.clock, left.pressed_until);
    }

    /// The kind of the class of this name when watchd or the policy decides it: such a class cannot be set. `service` and
    /// `promise` tell what names of states and outcomes begin with.
    pub fn owner<'a>(
        &self,
        name: &str,
        service: &dyn Fn(usize) -> Option<&'a str>,
        promise: &dyn Fn(usize) -> Option<Prefix<'a>>,
    ) -> Option<ClassKind> {
        let entry = self.place(name).and_then(|place| self.table.entries.get(place));
        if let Some(kind) = entry.and_then(|entry| entry.source.kind()) {
            return Some(kind);
        }
        if name == "true" || name == "false" {
            return Some(ClassKind::Hard);
        }
        if TimeTest::parse(name).is_some() || name == "boot" {
            return Some(ClassKind::Time);
        }
        let (stem, word) = name.rsplit_once('_')?;
        let is_state = ServiceState::ALL.iter().any(|state| state.word() == word);
        if is_state && (0..self.states.len()).filter_map(service).any(|id| canonify(id) == stem) {
            return Some(ClassKind::State);
        }
        let is_outcome = word == LIMITED || OUTCOMES.iter().any(|outcome| outcome.word() == word);
        let same = |prefix: Prefix<'_>| canonify(&format!("{}{}", prefix.kind, prefix.id)) == stem;
        (is_outcome && (0..self.outcomes.len()).filter_map(promise).any(same)).then_some(ClassKind::Outcome)
    }

    pub fn table(&self) -> &Table {
        &self.table
    }

    /// Says what looks at files and numbers have found; it counts from the next update on.
    pub fn mark(&mut self, marks: &[Marks], now: Now) {
        for (known, marks) in self.marks.iter_mut().zip(marks) {
            known.set(*marks, now.wall.as_secs());
        }
    }

    /// Looks at everything anew; says whether any class that an expression can mention changed.
    pub fn update(&mut self, scene: &Scene<'_>, outcomes: &[Outcome], limited: &[bool]) -> bool {
        let wall = scene.now.wall.as_secs();
        self.at = scene.now;
        self.clock.tick(&scene.local, wall);
        for (place, state) in self.states.iter_mut().enumerate() {
            state.set((scene.services)(place).map(|fact| fact.state), wall);
        }
        for (known, outcome) in self.outcomes.iter_mut().zip(outcomes) {
            known.set(*outcome, wall);
        }
        for (known, limited) in self.limited.iter_mut().zip(limited) {
            known.set(*limited, wall);
        }
        for (place, known) in self.learned.iter_mut().enumerate() {
            known.set((scene.learned)(place), wall);
        }
        let left = std::mem::take(&mut self.left);
        let changed = self.judge(scene, &|gauge, disks| match gauge {
            Gauge::DiskLeft(disk) => {
                let left = left.iter().find(|(other, _)| *other == disk).and_then(|(_, left)| *left);
                left.map_or(Level::Absent, |left| Level::Is(left.as_secs_f64() / 3_600.0))
            }
            gauge => gauge.read(&scene.readings, disks),
        });
        self.left = left;
        changed
    }

    /// The kernel says that work waits for memory; that counts from the next update until then, whatever the average says.
    pub fn press(&mut self, until: Duration) {
        self.pressed_until = until;
    }

    /// Takes the newest forecast of a disk.
    pub fn expect_full(&mut self, disk: u16, left: Option<Duration>) {
        if let Some(known) = self.left.iter_mut().find(|(other, _)| *other == disk) {
            known.1 = left;
        }
    }

    /// How long a disk will do, as far as that can be foreseen.
    pub fn disk_left(&self, disk: u16) -> Option<Duration> {
        self.left.iter().find(|(other, _)| *other == disk).and_then(|(_, left)| *left)
    }

    /// Sets the bits; `read` gives the levels.
    fn judge(&mut self, scene: &Scene<'_>, read: &dyn Fn(Gauge, &[String]) -> Level) -> bool {
        let wall = scene.now.wall.as_secs();
        let mut changed = false;
        let is_pressed = scene.now.mono < self.pressed_until;
        for (class, (entry, bit)) in self.table.entries.iter().zip(&mut self.bits).enumerate() {
            let on = match &entry.source {
                Source::Hard => true,
                Source::Nothing => self.given.contains(self.table.name(class)),
                Source::StateUnwritable => !scene.is_state_writable,
                Source::Defined(_) => continue,
                Source::Boot => scene.now.mono < BOOT,
                Source::Time(test) => test.holds(&scene.local, &scene.utc),
                Source::Measured(threshold) if is_pressed && threshold.gauge == Gauge::MemoryPressure => true,
                Source::Measured(threshold) => match read(threshold.gauge, &self.table.disks) {
                    Level::Is(level) => threshold.holds(level, bit.value),
                    Level::Unknown | Level::Absent => false,
                },
                Source::Learned { quantity, finding } => {
                    self.learned.get(usize::from(*quantity)).is_some_and(|known| known.value.contains(*finding))
                }
                Source::Unread(gauge) => read(*gauge, &self.table.disks) == Level::Unknown,
                Source::State { service, states } => {
                    let state = self.states.get(usize::from(*service)).and_then(|state| state.value);
                    state.is_some_and(|state| states.contains(state))
                }
                Source::Limited { promise } => {
                    self.limited.get(usize::from(*promise)).is_some_and(|limited| limited.value)
                }
                Source::Over { service, bit } => {
                    (scene.services)(usize::from(*service)).is_some_and(|fact| fact.over & bit != 0)
                }
                Source::Mark { promise, mark } => {
                    self.marks.get(usize::from(*promise)).is_some_and(|known| known.value.has(*mark))
                }
                Source::Outcome { promise, outcome } => {
                    self.outcomes.get(usize::from(*promise)).is_some_and(|known| known.value == *outcome)
                }
            };
            changed |= bit.set(hold(&mut self.held, class, on, scene.now.mono), wall);
        }
        for place in 0..self.table.order.len() {
            changed |= self.conclude(place, scene.now);
        }
        changed
    }

    /// Evaluates one defined class.
    fn conclude(&mut self, place: usize, now: Now) -> bool {
        let Some(class) = self.table.order.get(place).map(|class| usize::from(*class)) else { return false };
        let Some(Source::Defined(id)) = self.table.entries.get(class).map(|entry| entry.source) else { return false };
        let holds = self.eval(id);
        let on = hold(&mut self.held, class, holds, now.mono);
        self.bits.get_mut(class).is_some_and(|bit| bit.set(on, now.wall.as_secs()))
    }

    /// The value of an expression of the policy, as of the last update.
    pub fn eval(&self, id: ExprId) -> bool {
        expr::eval(self.table.expr(id), |class| self.bits.get(usize::from(class)).is_some_and(|bit| bit.value))
    }

    /// How a disk of the policy fares, by its number.
    pub fn disk(&self, disk: u16) -> DiskState {
        let mut state = DiskState::Fine;
        for (entry, _) in self.table.entries.iter().zip(&self.bits).filter(|(_, bit)| bit.value) {
            match entry.source {
                Source::Unread(gauge) if gauge.disk() == Some(disk) => return DiskState::Unknown,
                Source::Measured(threshold)
                    if threshold.side == Side::Above && threshold.gauge.disk() == Some(disk) =>
                {
                    state = DiskState::Trouble;
                }
                _ => {}
            }
        }
        state
    }

    /// Whether the class with this name is true; false for a name without an entry.
    pub fn is_on(&self, name: &str) -> bool {
        self.place(name).and_then(|class| self.bits.get(class)).is_some_and(|bit| bit.value)
    }

    /// Whether nothing in the policy or in watchd itself makes a class of this name.
    pub(super) fn is_free(&self, name: &str) -> bool {
        let entry = self.place(name).and_then(|place| self.table.entries.get(place));
        entry.is_none_or(|entry| entry.source.kind().is_none())
    }

    /// Whether an expression of the policy, or its list of switches, names this class; if not, the nearest free name that one does.
    pub fn asked(&self, name: &str) -> Result<(), Option<&str>> {
        let free = |class: &usize| self.table.entries.get(*class).is_some_and(|entry| entry.source == Source::Nothing);
        let names = || (0..self.bits.len()).filter(free).map(|class| self.table.name(class));
        if names().any(|known| known == name) { Ok(()) } else { Err(nearest(name, names())) }
    }

    /// Whether a name of time, state or outcome has an entry.
    pub(super) fn is_mentioned(&self, name: &str) -> bool {
        self.mentioned.iter().any(|class| self.table.name(usize::from(*class)) == name)
    }

    /// The place of the entry with this name.
    fn place(&self, name: &str) -> Option<usize> {
        (0..self.bits.len()).find(|class| self.table.name(*class) == name)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use watchd_probes::View;
    use watchd_probes::inventory::Inventory;

    use super::super::builder::{Builder, DiskLevels, TableError};
    use super::*;

    const NOTHING: View<'static> = View { rows: &[], objects: &[], text: &[], probes: &[] };

    fn scene() -> Scene<'static> {
        let readings = Readings { view: NOTHING, rates: &[] };
        let day = Calendar { year: 2026, month: 11, day: 22, weekday: 6, hour: 12, minute: 4 };
        Scene {
            now: Now::default(),
            local: day,
            utc: day,
            readings,
            services: &|_| None,
            learned: &|_| Findings::default(),
            is_state_writable: true,
        }
    }

    fn builder() -> Builder {
        Builder::new(&Inventory { cpus: 2, ..Inventory::default() })
    }

    #[test]
    fn levels_have_hysteresis() {
        let mut builder = builder();
        builder.disk("root", "/", &DiskLevels { full: 90.0, ok: 80.0, inodes: 90.0, forecast: None });
        let mut classes = Classes::new(builder.finish().expect("a table"), 0, 0);
        for (level, full, ok, load, memory) in [
            (1.0, false, true, false, true),
            (89.9, false, false, true, false),
            (90.0, true, false, true, false),
            (80.0, true, false, true, false),
            (79.9, false, true, true, false),
            (3.0, false, true, true, true),
            (2.9, false, true, false, true),
            (9.9, false, true, true, true),
            (14.9, false, true, true, true),
            (15.0, false, true, true, false),
            (10.0, false, true, true, false),
        ] {
            classes.judge(&scene(), &|_, _| Level::Is(level));
            let names = ["disk_root_full", "disk_root_ok", "load_high", "memory_low"];
            assert_eq!(names.map(|name| classes.is_on(name)), [full, ok, load, memory], "{level}");
        }
    }

    #[test]
    fn an_unknown_level_makes_only_unknown_true() {
        let mut builder = builder();
        builder.disk("data", "/data", &DiskLevels { full: 90.0, ok: 80.0, inodes: 90.0, forecast: None });
        let mut classes = Classes::new(builder.finish().expect("a table"), 0, 0);
        classes.judge(&scene(), &|_, _| Level::Is(95.0));
        assert!(classes.is_on("disk_data_full") && !classes.is_on("disk_data_unknown"));
        assert!(classes.judge(&scene(), &|_, _| Level::Unknown));
        let on = |classes: &Classes, name: &str| classes.is_on(name);
        for name in ["disk_data_full", "disk_data_ok", "load_high", "swap_high", "pressure_io"] {
            assert!(!on(&classes, name), "{name}");
        }
        for name in ["disk_data_unknown", "load_unknown", "memory_unknown", "swap_unknown", "pressure_unknown"] {
            assert!(on(&classes, name), "{name}");
        }
        classes.judge(&scene(), &|_, _| Level::Absent);
        assert!(!on(&classes, "disk_data_unknown") && !on(&classes, "swap_high") && !on(&classes, "swap_unknown"));
    }

    #[test]
    fn defined_classes_follow_in_any_order_of_writing() {
        let mut builder = builder();
        let ids = ["c", "b", "a"].map(|id| builder.declare(id).expect("a new name"));
        for (class, text) in ids.into_iter().zip(["b & any", "a | false", "load_high"]) {
            let expr = builder.compile(text, &mut Vec::new()).expect(text);
            builder.define(class, expr);
        }
        let mut classes = Classes::new(builder.finish().expect("a table"), 0, 0);
        let high = Cell::new(4.0);
        for (level, on) in [(4.0, true), (0.0, false)] {
            high.set(level);
            assert!(classes.judge(&scene(), &|_, _| Level::Is(high.get())));
            assert_eq!(["a", "b", "c"].map(|name| classes.is_on(name)), [on; 3]);
            assert!(!classes.judge(&scene(), &|_, _| Level::Is(high.get())), "nothing changed");
        }
    }

    #[test]
    fn a_cycle_is_named_by_its_path() {
        let mut builder = builder();
        let ids = ["x", "a", "b"].map(|id| builder.declare(id).expect("a new name"));
        for (class, text) in ids.into_iter().zip(["a", "b & any", "!a"]) {
            let expr = builder.compile(text, &mut Vec::new()).expect(text);
            builder.define(class, expr);
        }
        let path = ["a", "b", "a"].map(str::to_owned).to_vec();
        assert_eq!(builder.finish(), Err(TableError::Cycle(path)));
    }

    #[test]
    fn states_and_outcomes_are_classes() {
        let mut builder = builder();
        builder.service("web-1", 0);
        builder.promise("web-1", 0);
        let mut unknown = Vec::new();
        let names = ["web_1_ready", "web_1_down", "web_1_flapping", "web_1_kept", "web_1_redy"];
        for name in names {
            builder.compile(name, &mut unknown).expect(name);
        }
        assert_eq!(unknown.len(), 1);
        assert_eq!(unknown[0].nearest.as_deref(), Some("web_1_ready"));
        let mut classes = Classes::new(builder.finish().expect("a table"), 1, 1);
        for (state, expect) in [
            (ServiceState::Ready, [true, false, false, true]),
            (ServiceState::Flapping, [false, true, true, true]),
            (ServiceState::Backoff, [false, true, false, true]),
            (ServiceState::Stopped, [false, false, false, true]),
        ] {
            let fact = move |_| Some(ServiceFact { state, starts: 0, failed: false, over: 0, reason: "" });
            let scene = Scene { services: &fact, ..scene() };
            classes.update(&scene, &[Outcome::Kept], &[false]);
            assert_eq!([names[0], names[1], names[2], names[3]].map(|name| classes.is_on(name)), expect, "{state}");
        }
    }

    #[test]
    fn a_class_holds_so_long_after_it_last_held() {
        let mut builder = builder();
        builder.promise("web", 0);
        builder.hold_outcomes(0, Duration::from_secs(30));
        let class = builder.declare("flood").expect("a new name");
        builder.hold(class, Duration::from_secs(60));
        let expr = builder.compile("load_high", &mut Vec::new()).expect("an expression");
        builder.define(class, expr);
        for name in ["web_repaired", "web_kept"] {
            builder.compile(name, &mut Vec::new()).expect(name);
        }
        let mut classes = Classes::new(builder.finish().expect("a table"), 0, 1);
        for (at, level, outcome, expect) in [
            (0, 0.0, Outcome::Kept, [false, false, true]),
            (10, 9.0, Outcome::Repaired, [true, true, false]),
            (39, 0.0, Outcome::Kept, [true, true, true]),
            (40, 0.0, Outcome::Kept, [true, false, true]),
            (50, 9.0, Outcome::Kept, [true, false, true]),
            (109, 0.0, Outcome::Kept, [true, false, true]),
            (110, 0.0, Outcome::Kept, [false, false, true]),
        ] {
            let now = Now { mono: Duration::from_secs(at), wall: Duration::from_secs(1_000 + at) };
            classes.outcomes[0].set(outcome, at);
            classes.judge(&Scene { now, ..scene() }, &|_, _| Level::Is(level));
            assert_eq!(["flood", "web_repaired", "web_kept"].map(|name| classes.is_on(name)), expect, "at {at}");
        }
    }

    #[test]
    fn the_kernels_word_counts_for_a_while_and_for_memory_only() {
        let mut classes = Classes::new(builder().finish().expect("a table"), 0, 0);
        classes.press(Duration::from_secs(10));
        for (at, level, expect) in [
            (0, Level::Is(0.0), true),
            (9, Level::Unknown, true),
            (10, Level::Is(7.0), true),
            (11, Level::Is(4.9), false),
            (12, Level::Is(7.0), false),
        ] {
            let now = Now { mono: Duration::from_secs(at), ..Now::default() };
            classes.judge(&Scene { now, ..scene() }, &|gauge, _| match gauge {
                Gauge::MemoryPressure => level,
                _ => Level::Is(0.0),
            });
            let names = ["pressure_memory", "pressure_io", "pressure_cpu"];
            assert_eq!(names.map(|name| classes.is_on(name)), [expect, false, false], "at {at}");
        }
    }

    #[test]
    fn lists_are_joined_as_their_names_say() {
        let mut builder = builder();
        let class = builder.declare("x").expect("a new name");
        for text in ["any", "false", "true | false", "any", "linux & true"] {
            builder.compile(text, &mut Vec::new()).expect(text);
            if text == "true | false" {
                builder.join(2, super::super::builder::Joint::Any).expect("two parts");
            }
        }
        builder.join(2, super::super::builder::Joint::All).expect("two parts");
        let expr = builder.join(3, super::super::builder::Joint::All).expect("three parts");
        builder.define(class, expr);
        let mut classes = Classes::new(builder.finish().expect("a table"), 0, 0);
        classes.judge(&scene(), &|_, _| Level::Is(0.0));
        assert!(classes.is_on("x"));
        assert_eq!(classes.table.ends.len(), 1);
    }

    #[test]
    fn what_is_given_makes_a_name_true_that_nothing_else_makes() {
        let mut builder = builder();
        let expr = builder.compile("!quiet & any", &mut Vec::new()).expect("an expression");
        let mut classes = Classes::new(builder.finish().expect("a table"), 0, 0);
        for (given, calm) in [(false, true), (true, false), (false, true)] {
            if given {
                classes.given.give("quiet", super::super::Giver::Hand(None), None, Now::default()).expect("a name");
            } else {
                classes.given.take_back("quiet");
            }
            classes.judge(&scene(), &|_, _| Level::Is(0.0));
            assert_eq!(classes.eval(expr), calm);
        }
    }

    #[test]
    fn a_state_that_cannot_be_written_is_a_class() {
        let mut classes = Classes::new(builder().finish().expect("a table"), 0, 0);
        for is_state_writable in [true, false, true] {
            classes.update(&Scene { is_state_writable, ..scene() }, &[], &[]);
            assert_eq!(classes.is_on("state_unwritable"), !is_state_writable);
        }
    }

    #[test]
    fn hysteresis_outlives_a_new_policy() {
        let table = || builder().finish().expect("a table");
        let mut old = Classes::new(table(), 0, 0);
        old.judge(&scene(), &|_, _| Level::Is(4.0));
        let mut new = Classes::new(table(), 0, 0);
        new.inherit(old.bequeath());
        new.judge(&scene(), &|_, _| Level::Is(3.5));
        assert!(new.is_on("load_high"));
    }
}
