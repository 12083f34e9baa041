//! One service among all: its machine, its grips, its row; turns events into actions and does them.
//!
//! The order that makes a crash harmless at any point: the child waits at the gate, its identity and what the start cost are
//! written, then the gate opens.

use std::time::Duration;

use crate::model::{Ending, Errand, EventKind, Form, Identity, Now, Record, ServiceSpec};
use crate::store::ledger::{Blob, Recalled};
use crate::supervisor::{
    Action, Actions, Event, Known, Machine, Pidfile, Process, Reach, Sighting, Text, judge_pidfile, text,
};

use super::super::hands::{Hands, Lost};
use super::{Books, Fact, Turn};

const SIGKILL: i32 = 9;

/// A look through the whole process table, some 20 µs for each process, is had so often while nothing is expected.
const SCAN_EVERY: Duration = Duration::from_secs(60);

/// The roles of a token.
const COMMAND: u64 = 1 << 16;

/// A process that is held.
struct Held<G> {
    identity: Identity,
    token: u64,
    grip: G,
}

/// One service.
pub(super) struct Entry<G> {
    pub spec: ServiceSpec,
    pub machine: Machine,
    pub place: u16,
    pub guard: bool,
    daemon: Option<Held<G>>,
    command: Option<Held<G>>,
    /// The name of its program when last seen.
    comm: [u8; 16],
    written: Option<Record>,
    next_scan: Duration,
}

impl<G> Entry<G> {
    pub fn new(spec: ServiceSpec, place: u16, recalled: Option<Recalled>, seed: u64, now: Now) -> Self {
        let seed = spec.id.bytes().fold(seed, |seed, byte| seed.rotate_left(7) ^ u64::from(byte));
        let (machine, written, comm) = match recalled {
            Some(Recalled::ThisBoot(record)) => (Machine::recall(&record, now, &spec, seed), Some(record), record.comm),
            Some(Recalled::EarlierBoot(record)) => (Machine::recall_over_boot(&record, now, seed), None, record.comm),
            None => (Machine::new(now.mono, seed), None, [0; 16]),
        };
        let next_scan = now.mono;
        Self { spec, machine, place, guard: true, daemon: None, command: None, comm, written, next_scan }
    }

    /// Finds out what of it runs already.
    pub fn adopt<H: Hands<Grip = G>, B: Blob>(&mut self, books: &mut Books<B>, turn: &mut Turn<'_, H>) {
        let mut work = Work { entry: self, books, turn };
        work.take(Event::Guard(work.entry.guard));
        work.find_command();
        work.take(Event::Tick);
        work.save();
    }

    /// Gives the machine one event and does all that follows from it.
    pub fn drive<H: Hands<Grip = G>, B: Blob>(&mut self, event: Event, books: &mut Books<B>, turn: &mut Turn<'_, H>) {
        let mut work = Work { entry: self, books, turn };
        work.take(event);
        work.save();
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
        if let Some(mut held) = self.daemon.take_if(|held| held.token == token) {
            let trouble = turn.hands.trouble(&mut held.grip);
            if self.machine.is_own() {
                // What is left of its group would stand in the way of the next one. Before it is reaped: the number of the
                // group is still its own.
                let _ = turn.hands.signal(&held.grip, SIGKILL, Reach::Group);
            }
            turn.hands.let_go(held.grip);
            self.drive(Event::Died { identity: held.identity, ending, trouble }, books, turn);
        } else if let Some(mut held) = self.command.take_if(|held| held.token == token) {
            let trouble = turn.hands.trouble(&mut held.grip);
            turn.hands.let_go(held.grip);
            self.drive(Event::CommandEnded { identity: held.identity, ending, trouble }, books, turn);
        }
    }

    /// Stops to wait for its processes, which go on.
    pub fn let_go<H: Hands<Grip = G>>(&mut self, turn: &mut Turn<'_, H>) {
        for held in [self.daemon.take(), self.command.take()].into_iter().flatten() {
            turn.hands.let_go(held.grip);
        }
    }

    pub fn deadline(&self) -> Option<Duration> {
        self.machine.next_deadline(&self.spec)
    }

    /// What a cycle means for it: a search of the whole process table is too dear for each.
    pub fn cycle_event(&mut self, now: Duration) -> Event {
        if matches!(self.spec.form, Form::Match(_)) {
            if now < self.next_scan {
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
            budget_left: self.machine.budget_left(now.mono, &self.spec),
            reason: self.machine.reason(),
            identity: self.machine.identity(),
            guard: self.guard,
            spec: &self.spec,
        }
    }
}

/// An entry with all it takes to act for it.
struct Work<'w, 't, H: Hands, B> {
    entry: &'w mut Entry<H::Grip>,
    books: &'w mut Books<B>,
    turn: &'w mut Turn<'t, H>,
}

impl<H: Hands, B: Blob> Work<'_, '_, H, B> {
    /// An answer of the world is an event of its own: this goes as deep as a look, a start and its failure, no deeper, since
    /// a machine never starts twice in one moment.
    fn take(&mut self, event: Event) {
        let actions = self.entry.machine.step(event, self.turn.now.mono, &self.entry.spec);
        self.obey(actions);
    }

    fn obey(&mut self, actions: Actions) {
        for action in actions {
            match action {
                Action::Spawn => self.spawn(),
                Action::Run(errand) => self.run(errand),
                Action::KillCommand => self.kill_command(),
                Action::Signal { identity, signal, reach } => self.signal(identity, signal, reach),
                Action::Look => {
                    let sighting = self.look();
                    self.take(Event::Seen(sighting));
                }
                Action::Settled => self.settled(),
                Action::Note(kind, what) => (self.turn.note)(kind, &self.entry.spec.id, &what),
            }
        }
    }

    fn next_token(&mut self, role: u64) -> u64 {
        self.books.generation = self.books.generation.wrapping_add(1) & 0x7fff_ffff;
        u64::from(self.entry.place) | role | u64::from(self.books.generation) << 17
    }

    fn grip(&mut self, identity: Identity, role: u64) -> Result<Held<H::Grip>, Lost> {
        let token = self.next_token(role);
        let grip = self.turn.hands.grip(identity, token)?;
        Ok(Held { identity, token, grip })
    }

    /// A child at the gate and the grip on it.
    fn hold(&mut self, errand: Option<Errand>) -> Result<(H::Held, Held<H::Grip>), Text> {
        let (launch, role) = match (errand, &self.entry.spec.form) {
            (None, Form::Run(launch)) => (Some(launch), 0),
            (None, _) => (None, 0),
            (Some(Errand::Start), _) => (self.entry.spec.start.as_ref(), COMMAND),
            (Some(Errand::Stop), _) => (self.entry.spec.stop.as_ref(), COMMAND),
        };
        let launch = launch.ok_or_else(|| text(format_args!("cannot start what the policy no longer describes")))?;
        let (waiting, identity) = self.turn.hands.hold(launch)?;
        match self.grip(identity, role) {
            Ok(held) => Ok((waiting, held)),
            Err(Lost::Gone) => Err(text(format_args!("cannot keep hold of the child just started"))),
            Err(Lost::CannotTell(why)) => Err(why),
        }
    }

    fn spawn(&mut self) {
        match self.hold(None) {
            Err(why) => self.take(Event::SpawnFailed(why)),
            Ok((waiting, held)) => {
                let event = Event::Spawned(held.identity);
                let actions = self.entry.machine.step(event, self.turn.now.mono, &self.entry.spec);
                self.entry.daemon = Some(held);
                self.save();
                if let Some(held) = &mut self.entry.daemon {
                    // A child that is dead already reports so by itself.
                    let _ = self.turn.hands.release(waiting, &mut held.grip);
                }
                self.obey(actions);
            }
        }
    }

    fn run(&mut self, errand: Errand) {
        match self.hold(Some(errand)) {
            Err(why) => self.take(Event::CommandFailed(why)),
            Ok((waiting, held)) => {
                let event = Event::CommandStarted(held.identity);
                let actions = self.entry.machine.step(event, self.turn.now.mono, &self.entry.spec);
                self.entry.command = Some(held);
                self.save();
                if let Some(held) = &mut self.entry.command {
                    let _ = self.turn.hands.release(waiting, &mut held.grip);
                }
                self.obey(actions);
            }
        }
    }

    /// Takes hold of a command that an earlier watchd started, or learns that it has ended.
    fn find_command(&mut self) {
        let Some((_, identity)) = self.entry.machine.command() else { return };
        if self.entry.command.is_some() {
            return;
        }
        match self.grip(identity, COMMAND) {
            Ok(held) => self.entry.command = Some(held),
            Err(Lost::Gone) => self.take(Event::CommandEnded { identity, ending: None, trouble: None }),
            // Tried again when its time is over.
            Err(Lost::CannotTell(_)) => {}
        }
    }

    fn kill_command(&mut self) {
        self.find_command();
        if let Some(held) = &self.entry.command {
            let sent = self.turn.hands.signal(&held.grip, SIGKILL, Reach::Group);
            self.complain(sent);
        }
    }

    fn signal(&mut self, identity: Identity, signal: i32, reach: Reach) {
        if let Some(held) = self.entry.daemon.as_ref().filter(|held| held.identity == identity) {
            let sent = self.turn.hands.signal(&held.grip, signal, reach);
            self.complain(sent);
        }
    }

    fn complain(&mut self, outcome: Result<(), Text>) {
        if let Err(why) = outcome {
            (self.turn.note)(EventKind::Trouble, &self.entry.spec.id, &why);
        }
    }

    fn settled(&mut self) {
        let Some(held) = &mut self.entry.daemon else { return };
        self.turn.hands.settled(&mut held.grip);
        // Daemons rename themselves while they start; this is the name to know it by.
        if let Ok(Some(process)) = self.turn.hands.process(held.identity.pid)
            && process.identity == held.identity
        {
            self.entry.comm = process.comm;
        }
    }

    /// Whether it runs, and which process it is.
    fn look(&mut self) -> Sighting {
        let last = self.entry.machine.last();
        if let Some(last) = last {
            match self.turn.hands.process(last.pid) {
                Ok(Some(process)) if process.identity == last && !process.is_zombie => return self.catch(process),
                Ok(_) => {}
                Err(why) => return Sighting::CannotTell(why),
            }
        }
        match &self.entry.spec.form {
            Form::Run(_) => Sighting::NotFound(text(format_args!("does not run"))),
            Form::Pidfile(path) => {
                let file = self.turn.hands.pidfile(path);
                self.look_at(&file, last)
            }
            Form::Match(_) => self.search(),
        }
    }

    fn look_at(&mut self, file: &Pidfile, last: Option<Identity>) -> Sighting {
        let Form::Pidfile(path) = &self.entry.spec.form else {
            return Sighting::CannotTell(text(format_args!("no pidfile in the policy")));
        };
        let (pid, written) = match file {
            Pidfile::Names { pid, written } => (*pid, *written),
            Pidfile::Missing => return Sighting::NotFound(text(format_args!("pidfile {path} is not there"))),
            Pidfile::Empty => return Sighting::NotFound(text(format_args!("pidfile {path} is empty"))),
            Pidfile::Garbage(what) => {
                return Sighting::NotFound(text(format_args!("pidfile {path} has no pid in it: '{what}'")));
            }
            Pidfile::Unreadable(errno) => {
                let error = std::io::Error::from_raw_os_error(*errno);
                return Sighting::CannotTell(text(format_args!("cannot read pidfile {path}: {error}")));
            }
        };
        if pid == self.turn.hands.own_pid() {
            return Sighting::Stranger(text(format_args!("pidfile {path} names pid {pid}, which is watchd itself")));
        }
        let process = match self.turn.hands.process(pid) {
            Ok(process) => process,
            Err(why) => return Sighting::CannotTell(why),
        };
        let known = Known { last, comm: self.entry.comm, attempt: self.entry.machine.attempt() };
        let judged = judge_pidfile(path, (pid, written), process.as_ref(), &known, self.turn.now);
        match (judged, process) {
            (Sighting::Found { .. }, Some(process)) => self.catch(process),
            (other, _) => other,
        }
    }

    /// The oldest of all that match: the one the others descend from.
    fn search(&mut self) -> Sighting {
        let Form::Match(pattern) = &self.entry.spec.form else {
            return Sighting::CannotTell(text(format_args!("no match in the policy")));
        };
        let command = self.entry.command.as_ref().map(|held| held.identity);
        let mut oldest: Option<Process> = None;
        let found = self.turn.hands.find(pattern, &mut |process| {
            let age = |process: &Process| (process.identity.start_ticks, process.identity.pid);
            if Some(process.identity) != command
                && !process.is_zombie
                && oldest.as_ref().is_none_or(|old| age(&process) < age(old))
            {
                oldest = Some(process);
            }
        });
        match (found, oldest) {
            (Err(why), _) => Sighting::CannotTell(why),
            (Ok(()), None) => Sighting::NotFound(text(format_args!("no process '{}'", pattern.name))),
            (Ok(()), Some(process)) => self.catch(process),
        }
    }

    /// Takes hold of what was recognised.
    fn catch(&mut self, process: Process) -> Sighting {
        let identity = process.identity;
        if self.entry.daemon.as_ref().is_none_or(|held| held.identity != identity) {
            match self.grip(identity, 0) {
                Ok(held) => {
                    if let Some(old) = self.entry.daemon.replace(held) {
                        self.turn.hands.let_go(old.grip);
                    }
                }
                Err(Lost::Gone) => {
                    return Sighting::NotFound(text(format_args!("process {} ended just now", identity.pid)));
                }
                Err(Lost::CannotTell(why)) => return Sighting::CannotTell(why),
            }
        }
        self.entry.comm = process.comm;
        Sighting::Found { identity, born: identity.born() }
    }

    /// Writes the row if it changed. A failure is told once and tried again with the next change or cycle.
    fn save(&mut self) {
        let mut record = self.entry.machine.record(self.turn.now);
        record.comm = self.entry.comm;
        if let (Some(pause), Some(old)) = (&mut record.pause, self.entry.written.and_then(|written| written.pause))
            && pause.mono == old.mono
        {
            // The same moment, counted anew from clocks that were read a little apart.
            pause.wall = old.wall;
        }
        if self.entry.written == Some(record) {
            return;
        }
        let Some(ledger) = &mut self.books.ledger else { return };
        let outcome = ledger.write(&self.entry.spec.id, &record);
        if self.books.judge(outcome, self.turn) {
            self.entry.written = Some(record);
        }
    }
}
