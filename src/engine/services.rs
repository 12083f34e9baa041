//! All services: joins their machines with the ledger and the hands, and tells others how they are.
//!
//! Each public function is one thing that happens in a turn; nothing waits. A death is answered before the function
//! that heard of it returns. Tokens carry place, role and generation: an event about a process that was let go is dropped.

mod bonds;
mod checks;
mod entry;
mod group;
mod look;
mod measures;
mod notices;
mod parting;
mod pressure;
mod work;

use std::fmt;
use std::fs::File;
use std::io;
use std::time::Duration;

use crate::model::{Ending, EventKind, Identity, Now, Record, ServiceSpec, ServiceState};
use crate::store::ledger::{Blob, Ledger, Recalled};
use crate::supervisor::{Bequest, Event, Relief, Text, Verb, text};

use super::hands::Hands;
use bonds::Links;
pub use checks::Ask;
use entry::Entry;
use group::Waiting;
pub use measures::Wanted;

/// What one call works with.
pub struct Turn<'a, H: Hands> {
    pub hands: &'a mut H,
    pub now: Now,
    /// Kind, service, words.
    pub note: &'a mut dyn FnMut(EventKind, &str, &str),
}

/// Why an order was not carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    NoSuchName(String),
    /// No service that can do it has this tag.
    NoSuchTag(String),
    /// The policy does not say how to start it.
    NoStart(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchName(name) => write!(out, "cannot find service '{name}'"),
            Self::NoSuchTag(tag) => write!(out, "cannot find a service of group '{tag}' that can be told so"),
            Self::NoStart(name) => write!(out, "cannot start {name}: its policy has no start command"),
        }
    }
}

impl std::error::Error for Refusal {}

/// One service, for classes, board and people.
#[derive(Clone, Copy, Debug)]
pub struct Fact<'a> {
    pub id: &'a str,
    pub state: ServiceState,
    /// Time since boot at which it came into this state.
    pub since: Duration,
    pub restarts: u32,
    /// How often this watchd has started it unasked.
    pub starts: u32,
    pub budget_left: u32,
    pub reason: &'a str,
    pub identity: Option<Identity>,
    /// What it uses too much of, one bit for each `Quantity`, and `PRESSED`.
    pub over: u8,
    /// Whether the condition of its promise holds.
    pub guard: bool,
    pub spec: &'a ServiceSpec,
}

/// Where states are remembered, and whether that works.
struct Books<B> {
    ledger: Option<Ledger<B>>,
    failing: bool,
    /// Grows with each grip; part of its token.
    generation: u32,
    /// Checks that are due and not yet taken by the loop.
    asked: Vec<Ask>,
    /// Programs that limits ask for, not yet taken by the loop.
    wanted: Vec<Wanted>,
    /// By place, which process each service is, and which is its command.
    known: Vec<(u16, [Option<Identity>; 2])>,
}

impl<B> Books<B> {
    fn know<G>(&mut self, entry: &Entry<G>) {
        let its = [entry.machine.last(), entry.machine.command().map(|(_, command)| command)];
        match self.known.iter_mut().find(|(place, _)| *place == entry.place) {
            Some((_, known)) => *known = its,
            None => self.known.push((entry.place, its)),
        }
    }

    fn forget(&mut self, place: u16) {
        self.known.retain(|(other, _)| *other != place);
    }

    /// Whether a process is known to be another service's than the one in this place.
    fn is_anothers(&self, identity: Identity, place: u16) -> bool {
        self.known.iter().any(|(other, its)| *other != place && its.contains(&Some(identity)))
    }
}

impl<B: Blob> Books<B> {
    /// Says a change for the worse or the better once.
    fn judge<H: Hands>(&mut self, outcome: io::Result<()>, turn: &mut Turn<'_, H>) -> bool {
        let is_good = outcome.is_ok();
        match outcome {
            Err(error) if !self.failing => {
                let what = format!("cannot write the ledger of services: {error}");
                (turn.note)(EventKind::StateUnwritable, "", &what);
            }
            Ok(()) if self.failing => {
                (turn.note)(EventKind::StateWritable, "", "the ledger of services is written again");
            }
            _ => {}
        }
        self.failing = !is_good;
        is_good
    }
}

/// All services of the policy.
pub struct Services<G, B = File> {
    entries: Vec<Entry<G>>,
    links: Links,
    /// Orders to a group that wait for others of it.
    orders: Vec<Waiting>,
    relief: Relief,
    books: Books<B>,
    /// Services that left the policy, by id. Should one come back, its process must not be started a second time, also
    /// when the ledger could not take it.
    left: Vec<(String, Record)>,
    seed: u64,
    /// watchd is going to end.
    is_ending: bool,
}

impl<G, B: Blob> Services<G, B> {
    /// Takes up the services of the policy: what runs already is adopted, what does not is started. Without a ledger they
    /// are watched all the same, and `set_ledger` brings one later. With each service comes whether its condition holds:
    /// false also when it has one that nobody has judged yet.
    pub fn new<H: Hands<Grip = G>>(
        specs: Vec<(ServiceSpec, bool)>,
        ledger: Option<Ledger<B>>,
        seed: u64,
        turn: &mut Turn<'_, H>,
    ) -> Self {
        Self::take_up(specs, (ledger, Vec::new()), seed, turn)
    }

    /// The same, in the place of a program that has left what it had counted.
    pub fn take_up<H: Hands<Grip = G>>(
        specs: Vec<(ServiceSpec, bool)>,
        (ledger, mut bequests): (Option<Ledger<B>>, Vec<(String, Bequest)>),
        seed: u64,
        turn: &mut Turn<'_, H>,
    ) -> Self {
        let failing = ledger.is_none();
        let mut services = Self {
            entries: Vec::new(),
            links: Links::default(),
            orders: Vec::new(),
            relief: Relief::default(),
            books: Books { ledger, failing, generation: 0, asked: Vec::new(), wanted: Vec::new(), known: Vec::new() },
            left: Vec::new(),
            seed,
            is_ending: false,
        };
        services.entries.reserve_exact(specs.len());
        services.books.known.reserve_exact(specs.len());
        // What all of them are is known before any is looked for.
        for (spec, guard) in specs {
            let left = bequests.iter().position(|(id, _)| *id == spec.id);
            let left = left.map(|at| Box::new(bequests.swap_remove(at).1));
            let entry = services.make(spec, (guard, left), turn);
            services.entries.push(entry);
        }
        for entry in &mut services.entries {
            entry.adopt(&mut services.books, turn);
        }
        services.relink(turn);
        services
    }

    /// What the program that takes our place has to know besides the ledger, by service.
    pub fn bequeath(&self) -> Vec<(String, Bequest)> {
        let left = |entry: &Entry<G>| Some((entry.spec.id.clone(), entry.machine.bequeath(&entry.spec)?));
        self.listed().filter_map(left).collect()
    }

    /// Orders to a group are still to be carried out.
    pub fn is_ordering(&self) -> bool {
        self.orders.iter().any(Waiting::is_order)
    }

    /// A service with what is remembered of it; nothing is done about it yet.
    fn make<H: Hands<Grip = G>>(
        &mut self,
        spec: ServiceSpec,
        (guard, bequest): (bool, Option<Box<Bequest>>),
        turn: &mut Turn<'_, H>,
    ) -> Entry<G> {
        // The lowest place that no other has: places are part of tokens and must not move.
        let place = (0..=u16::MAX).find(|place| self.entries.iter().all(|entry| entry.place != *place)).unwrap_or(0);
        let left = self.left.iter().position(|(id, _)| *id == spec.id).map(|at| self.left.swap_remove(at).1);
        let in_ledger = match self.books.ledger.as_mut().map(|ledger| ledger.recall(&spec.id)) {
            Some(Ok(recalled)) => recalled,
            Some(Err(error)) => {
                self.books.judge(Err(error), turn);
                None
            }
            None => None,
        };
        let recalled = left.map(Recalled::ThisBoot).or(in_ledger);
        let mut entry = Entry::new(spec, place, recalled, self.seed, turn.now);
        if left.is_some() {
            // The ledger may not know it.
            entry.written = None;
        }
        entry.guard = guard;
        if self.is_ending {
            entry.drive(Event::Leave, &mut self.books, turn);
        }
        entry.machine.expect(bequest);
        self.books.know(&entry);
        entry
    }

    /// Takes up another policy. What did not change is not touched; what left is remembered, and left running unless it
    /// was to end with its place; what changed keeps its process. The conditions are those of new services; the others'
    /// stand until `guard` says more.
    pub fn apply<H: Hands<Grip = G>>(&mut self, specs: Vec<(ServiceSpec, bool)>, turn: &mut Turn<'_, H>) {
        // The gone first, so that their places and rows are free for the new.
        self.part_from(|id| specs.iter().any(|(spec, _)| spec.id == id), turn);
        let ids: Vec<String> = specs.iter().map(|(spec, _)| spec.id.clone()).collect();
        for (spec, guard) in specs {
            match self.entries.iter_mut().find(|entry| entry.spec.id == spec.id) {
                Some(entry) if entry.spec == spec => {}
                Some(entry) => {
                    entry.spec = spec;
                    entry.drive(Event::ConfigChanged, &mut self.books, turn);
                }
                None => {
                    let mut entry = self.make(spec, (guard, None), turn);
                    entry.adopt(&mut self.books, turn);
                    self.entries.push(entry);
                }
            }
        }
        // Those that are still ending come last: nobody counts them.
        self.entries.sort_by_key(|entry| ids.iter().position(|id| *id == entry.spec.id).unwrap_or(usize::MAX));
        self.relink(turn);
        self.depart("stopped, since it has left the policy", turn);
    }

    /// A process that is waited for has ended.
    pub fn on_pidfd<H: Hands<Grip = G>>(&mut self, token: u64, turn: &mut Turn<'_, H>) {
        let holder = self.entries.iter_mut().find(|entry| entry.holds(token));
        if let Some(entry) = holder {
            entry.on_token(token, &mut self.books, turn);
            self.bind(turn);
        }
    }

    /// The pidfiles of some services were written.
    pub fn on_pidfile<H: Hands<Grip = G>>(&mut self, is_its: &dyn Fn(&ServiceSpec) -> bool, turn: &mut Turn<'_, H>) {
        for entry in self.entries.iter_mut().filter(|entry| is_its(&entry.spec)) {
            entry.drive(Event::Stirred, &mut self.books, turn);
        }
        self.bind(turn);
    }

    /// A child has ended and has not been reaped yet: the owner that `sys::reap::drain` asks. Children that are not of
    /// a service are nobody's here.
    pub fn on_child<H: Hands<Grip = G>>(&mut self, pid: i32, ending: Ending, turn: &mut Turn<'_, H>) {
        let Some((entry, token)) = self.entries.iter_mut().find_map(|entry| {
            let token = entry.token_of(pid)?;
            Some((entry, token))
        }) else {
            return;
        };
        entry.on_end(token, Some(ending), &mut self.books, turn);
        self.bind(turn);
    }

    /// Something is due; see `next_deadline`.
    pub fn on_deadline<H: Hands<Grip = G>>(&mut self, turn: &mut Turn<'_, H>) {
        for entry in &mut self.entries {
            entry.solve(&mut self.books, turn);
            if entry.deadline().is_some_and(|deadline| deadline <= turn.now.mono) {
                entry.drive(Event::Tick, &mut self.books, turn);
            }
        }
        self.bind(turn);
    }

    /// Once a cycle: looks for what somebody else may have started, and writes what could not be written.
    pub fn on_cycle<H: Hands<Grip = G>>(&mut self, turn: &mut Turn<'_, H>) {
        for entry in &mut self.entries {
            entry.solve(&mut self.books, turn);
            entry.mind_rival(&mut self.books, turn);
            entry.tidy(turn);
            let event = entry.cycle_event(turn.now.mono);
            entry.drive(event, &mut self.books, turn);
        }
        self.bind(turn);
    }

    /// When `on_deadline` has to be called, as time since boot.
    pub fn next_deadline(&self) -> Option<Duration> {
        self.entries.iter().filter_map(Entry::deadline).min()
    }

    /// Carries out an order, which may take longer than this call; gives a sentence about it.
    pub fn control<H: Hands<Grip = G>>(
        &mut self,
        verb: Verb,
        name: &str,
        turn: &mut Turn<'_, H>,
    ) -> Result<Text, Refusal> {
        if let Some(tag) = name.strip_prefix('@') {
            return self.control_all(verb, tag, turn);
        }
        let Some(entry) = self.entries.iter_mut().find(|entry| entry.spec.id == name && !entry.is_removed) else {
            return Err(Refusal::NoSuchName(name.to_owned()));
        };
        if matches!(verb, Verb::Start | Verb::Restart) && !entry.spec.can_start() {
            return Err(Refusal::NoStart(name.to_owned()));
        }
        self.orders.retain(|waiting| !waiting.is_order() || waiting.id != name);
        entry.drive(Event::Control(verb), &mut self.books, turn);
        self.bind(turn);
        let Some(fact) = self.facts(turn.now).find(|fact| fact.id == name) else {
            return Err(Refusal::NoSuchName(name.to_owned()));
        };
        Ok(text(format_args!("{name} is {}: {}", fact.state, fact.reason)))
    }

    /// Says whether the condition of a service's promise holds. While it does not, nothing is started.
    pub fn guard<H: Hands<Grip = G>>(&mut self, name: &str, holds: bool, turn: &mut Turn<'_, H>) {
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.spec.id == name && entry.guard != holds) {
            entry.guard = holds;
            entry.drive(Event::Guard(holds), &mut self.books, turn);
            self.bind(turn);
        }
    }

    /// How they all are, in the order of the policy.
    pub fn facts(&self, now: Now) -> impl Iterator<Item = Fact<'_>> {
        self.listed().map(move |entry| entry.fact(now))
    }

    /// How one of them is, by its place in the policy.
    pub fn fact(&self, place: usize, now: Now) -> Option<Fact<'_>> {
        self.listed().nth(place).map(|entry| entry.fact(now))
    }

    /// What the policy says about each.
    pub fn specs(&self) -> impl Iterator<Item = &ServiceSpec> + Clone {
        self.listed().map(|entry| &entry.spec)
    }

    /// Those that are in the policy.
    fn listed(&self) -> impl Iterator<Item = &Entry<G>> + Clone {
        self.entries.iter().filter(|entry| !entry.is_removed)
    }

    /// Whether what has to be remembered can be written.
    pub fn is_ledger_writable(&self) -> bool {
        !self.books.failing
    }

    /// Gives a ledger up that somebody has removed.
    pub fn lose_ledger<H: Hands<Grip = G>>(&mut self, error: io::Error, turn: &mut Turn<'_, H>) {
        self.books.ledger = None;
        self.books.judge(Err(error), turn);
    }

    pub fn ledger(&self) -> Option<&Ledger<B>> {
        self.books.ledger.as_ref()
    }

    /// Brings a ledger after one could not be opened, and writes down what is known.
    pub fn set_ledger<H: Hands<Grip = G>>(&mut self, ledger: Ledger<B>, turn: &mut Turn<'_, H>) {
        self.books.ledger = Some(ledger);
        self.books.judge(Ok(()), turn);
        for entry in &mut self.entries {
            entry.written = None;
            entry.save(&mut self.books, turn);
        }
    }
}
