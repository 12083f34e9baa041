//! One service among all: its machine, its grips on processes, its row in the ledger.

use std::time::Duration;

use crate::model::{Ending, Form, Identity, Now, Record, ServiceSpec};
use crate::store::ledger::{Blob, Recalled};
use crate::supervisor::{Bond, Event, Machine, Reach, text};

use super::super::hands::Hands;
use super::work::Work;
use super::{Books, Fact, Turn};

pub(super) const SIGKILL: i32 = 9;

/// A look through the whole process table, some 20 µs for each process, is had so often while nothing is expected.
const SCAN_EVERY: Duration = Duration::from_secs(60);

/// How long a parent may take to notice the death of its child before nobody asks any more.
const LONGEST_RIDDLE: Duration = Duration::from_secs(5);

/// A process that is held.
pub(super) struct Held<G> {
    pub identity: Identity,
    pub token: u64,
    pub grip: G,
}

/// One service.
pub(super) struct Entry<G> {
    pub spec: ServiceSpec,
    pub machine: Machine,
    pub place: u16,
    pub guard: bool,
    /// It is no longer in the policy, and is kept until it has ended.
    pub is_removed: bool,
    /// It has to end, in its turn.
    pub departs: bool,
    pub daemon: Option<Held<G>>,
    pub command: Option<Held<G>>,
    /// One that has ended while nobody could say how yet.
    riddle: Option<(Held<G>, Duration)>,
    /// A process that said it is ready while the service was still looked for.
    pub early: Option<Identity>,
    /// The name of its program when last seen.
    pub comm: [u8; 16],
    pub written: Option<Record>,
    /// What ran below it when it was told to end.
    pub below: Vec<Identity>,
    /// Not all that it left has ended.
    is_littered: bool,
    /// When the whole process table may be searched for it again.
    pub next_scan: Duration,
    /// Nothing was remembered of it, and it was not looked for yet.
    pub is_new: bool,
}

impl<G> Entry<G> {
    pub fn new(spec: ServiceSpec, place: u16, recalled: Option<Recalled>, seed: u64, now: Now) -> Self {
        let seed = spec.id.bytes().fold(seed, |seed, byte| seed.rotate_left(7) ^ u64::from(byte));
        let is_new = recalled.is_none();
        let (machine, written, comm) = match recalled {
            Some(Recalled::ThisBoot(record)) => (Machine::recall(&record, now, &spec, seed), Some(record), record.comm),
            Some(Recalled::EarlierBoot(record)) => (Machine::recall_over_boot(&record, now, seed), None, record.comm),
            None => (Machine::new(now.mono, seed), None, [0; 16]),
        };
        let next_scan = now.mono;
        Self {
            spec,
            machine,
            place,
            guard: true,
            is_removed: false,
            departs: false,
            daemon: None,
            command: None,
            riddle: None,
            early: None,
            comm,
            written,
            below: Vec::new(),
            is_littered: false,
            next_scan,
            is_new,
        }
    }

    /// Finds out what of it runs already.
    pub fn adopt<H: Hands<Grip = G>, B: Blob>(&mut self, books: &mut Books<B>, turn: &mut Turn<'_, H>) {
        let mut work = Work { entry: self, books, turn };
        if work.entry.is_bound() {
            // How the others are is not known yet; `bind` says.
            work.take(Event::Bond(Bond::Waits(text(format_args!("waits for others")))));
        }
        work.take(Event::Guard(work.entry.guard));
        work.find_command();
        work.take(Event::Tick);
        work.entry.machine.expect(None);
        work.save();
    }

    /// Gives the machine one event and does all that follows from it.
    pub fn drive<H: Hands<Grip = G>, B: Blob>(&mut self, event: Event, books: &mut Books<B>, turn: &mut Turn<'_, H>) {
        let mut work = Work { entry: self, books, turn };
        work.take(event);
        work.save();
    }

    /// Writes down what is known of it.
    pub fn save<H: Hands<Grip = G>, B: Blob>(&mut self, books: &mut Books<B>, turn: &mut Turn<'_, H>) {
        Work { entry: self, books, turn }.save();
    }

    /// Others have a say in when it runs.
    pub fn is_bound(&self) -> bool {
        !self.spec.care.needs.is_empty() || !self.spec.care.after.is_empty()
    }

    pub fn holds(&self, token: u64) -> bool {
        self.grips().any(|held| held.token == token)
    }

    pub fn token_of(&self, pid: i32) -> Option<u64> {
        self.grips().find(|held| held.identity.pid == pid).map(|held| held.token)
    }

    fn grips(&self) -> impl Iterator<Item = &Held<G>> {
        self.daemon.iter().chain(self.command.iter())
    }

    /// The descriptor of one of its processes became readable.
    pub fn on_token<H: Hands<Grip = G>, B: Blob>(&mut self, token: u64, books: &mut Books<B>, turn: &mut Turn<'_, H>) {
        let ended = self.grips().find(|held| held.token == token).and_then(|held| turn.hands.ended(&held.grip));
        if let Some(ending) = ended {
            self.on_end(token, ending, books, turn);
        }
    }

    /// One of its processes has ended.
    pub fn on_end<H: Hands<Grip = G>, B: Blob>(
        &mut self,
        token: u64,
        ending: Option<Ending>,
        books: &mut Books<B>,
        turn: &mut Turn<'_, H>,
    ) {
        let ending = ending.map(|ending| turn.hands.explain(ending));
        if let Some(mut held) = self.daemon.take_if(|held| held.token == token) {
            let trouble = turn.hands.trouble(&mut held.grip);
            if self.machine.is_own() {
                // What is left of its group would stand in the way of the next one. Before it is reaped: the number of the
                // group is still its own.
                let _ = turn.hands.signal(&held.grip, SIGKILL, Reach::Group);
                if self.machine.is_halting() {
                    let below = std::mem::take(&mut self.below);
                    self.is_littered = !turn.hands.sweep(&self.spec.id, &below);
                }
            }
            let identity = held.identity;
            if ending.is_none() && trouble.is_none() && !self.machine.is_own() {
                turn.hands.mute(&held.grip);
                self.forget_riddle(turn);
                self.riddle = Some((held, turn.now.mono));
            } else {
                turn.hands.let_go(held.grip);
            }
            self.drive(Event::Died { identity, ending, trouble }, books, turn);
        } else if let Some(mut held) = self.command.take_if(|held| held.token == token) {
            let trouble = turn.hands.trouble(&mut held.grip);
            turn.hands.let_go(held.grip);
            self.drive(Event::CommandEnded { identity: held.identity, ending, trouble }, books, turn);
        }
    }

    /// Notices the end of whoever else brings it back.
    pub fn mind_rival<H: Hands<Grip = G>, B: Blob>(&mut self, books: &mut Books<B>, turn: &mut Turn<'_, H>) {
        let Some(rival) = self.machine.rival() else { return };
        let is_gone = matches!(turn.hands.process(rival.pid), Ok(found)
            if found.is_none_or(|found| found.identity != rival || found.is_zombie));
        if is_gone {
            self.drive(Event::RivalGone, books, turn);
        }
    }

    /// Asks again how the one ended of which that was not known: its parent may have taken notice since.
    pub fn solve<H: Hands<Grip = G>, B: Blob>(&mut self, books: &mut Books<B>, turn: &mut Turn<'_, H>) {
        let Some((held, since)) = &self.riddle else { return };
        let ending = turn.hands.ended(&held.grip).flatten();
        let identity = held.identity;
        if ending.is_some() || since.saturating_add(LONGEST_RIDDLE) <= turn.now.mono {
            self.forget_riddle(turn);
        }
        if let Some(ending) = ending {
            let ending = turn.hands.explain(ending);
            self.drive(Event::Explained(identity, ending), books, turn);
        }
    }

    fn forget_riddle<H: Hands<Grip = G>>(&mut self, turn: &mut Turn<'_, H>) {
        if let Some((held, _)) = self.riddle.take() {
            turn.hands.let_go(held.grip);
        }
    }

    /// Stops to wait for its processes, which go on.
    pub fn let_go<H: Hands<Grip = G>>(&mut self, turn: &mut Turn<'_, H>) {
        self.forget_riddle(turn);
        for held in [self.daemon.take(), self.command.take()].into_iter().flatten() {
            turn.hands.let_go(held.grip);
        }
    }

    /// Ends again what would not end with the service, unless that runs once more.
    pub fn tidy<H: Hands<Grip = G>>(&mut self, turn: &mut Turn<'_, H>) {
        if self.is_littered {
            self.is_littered = self.daemon.is_none() && !turn.hands.sweep(&self.spec.id, &[]);
        }
    }

    /// What has to be remembered of it now.
    pub fn record(&self, now: Now) -> Record {
        let mut record = self.machine.record(now);
        record.comm = self.comm;
        if let (Some(pause), Some(old)) = (&mut record.pause, self.written.and_then(|written| written.pause))
            && pause.mono == old.mono
        {
            // The same moment, counted anew from clocks that were read a little apart.
            pause.wall = old.wall;
        }
        record
    }

    pub fn deadline(&self) -> Option<Duration> {
        self.machine.next_deadline(&self.spec)
    }

    /// What a cycle means for it: a search of the whole process table is too dear for each.
    pub fn cycle_event(&mut self, now: Duration) -> Event {
        if matches!(self.spec.form, Form::Match(_)) {
            if now < self.next_scan && self.machine.rival().is_none() {
                return Event::Tick;
            }
            self.next_scan = now.saturating_add(SCAN_EVERY);
        }
        Event::Cycle
    }

    pub fn fact(&self, now: Now) -> Fact<'_> {
        Fact {
            id: &self.spec.id,
            state: self.machine.state(&self.spec),
            since: self.machine.since(),
            restarts: self.machine.restarts(),
            starts: self.machine.starts(),
            budget_left: self.machine.budget_left(now.mono, &self.spec),
            reason: self.machine.reason(),
            identity: self.machine.identity(),
            over: self.machine.over(now.mono, &self.spec),
            guard: self.guard,
            spec: &self.spec,
        }
    }
}
