//! Doing what a machine decided, for one service.
//!
//! The order that makes a crash harmless at any point: the child waits at the gate, its identity and what the start cost are
//! written, then the gate opens.

use crate::model::{Errand, EventKind, Form, Identity};
use crate::store::ledger::Blob;
use crate::supervisor::{Action, Actions, Event, Reach, Text, text};

use super::super::hands::{Hands, Lost};
use super::entry::{Entry, Held, SIGKILL};
use super::{Ask, Books, Turn, Wanted};

/// The role of a token: a start or stop command. Without it, the service itself.
const COMMAND: u64 = 1 << 16;

/// The start of a command, or of the service itself.
type Start = Option<Errand>;

fn start_of(action: &Action) -> Option<Start> {
    match action {
        Action::Spawn => Some(None),
        Action::Run(errand) => Some(Some(*errand)),
        _ => None,
    }
}

/// An entry with all it takes to act for it.
pub(super) struct Work<'w, 't, H: Hands, B> {
    pub entry: &'w mut Entry<H::Grip>,
    pub books: &'w mut Books<B>,
    pub turn: &'w mut Turn<'t, H>,
}

impl<H: Hands, B: Blob> Work<'_, '_, H, B> {
    /// An answer of the world is an event of its own: this goes as deep as a look, a start and its failure, no deeper, since
    /// a machine never starts twice in one moment.
    pub fn take(&mut self, event: Event) {
        let actions = self.entry.machine.step(event, self.turn.now.mono, &self.entry.spec);
        self.obey(actions);
    }

    fn obey(&mut self, actions: Actions) {
        // A start comes before the telling of why, which may take longer than the start.
        let first = actions.iter().find(|action| !matches!(action, Action::Note(..)));
        let mut begun = first.and_then(start_of).map(|start| self.begin(start));
        for action in actions {
            match action {
                Action::Spawn => self.conclude(None, &mut begun),
                Action::Run(errand) => self.conclude(Some(errand), &mut begun),
                Action::KillCommand => self.kill_command(),
                Action::Signal { identity, signal, reach } => self.signal(identity, signal, reach),
                Action::Look => {
                    let sighting = self.look();
                    self.take(Event::Seen(sighting));
                    self.recall_early();
                }
                Action::Check(asked) => self.books.asked.push(Ask { place: self.entry.place, asked }),
                Action::Deed(bound) => self.books.wanted.push(Wanted { place: self.entry.place, bound }),
                Action::Settled => self.settled(),
                Action::Note(kind, what) => (self.turn.note)(kind, &self.entry.spec.id, &what),
            }
        }
    }

    fn next_token(&mut self, role: u64) -> u64 {
        self.books.generation = self.books.generation.wrapping_add(1) & 0x7fff_ffff;
        u64::from(self.entry.place) | role | u64::from(self.books.generation) << 17
    }

    pub fn grip(&mut self, identity: Identity, role: u64) -> Result<Held<H::Grip>, Lost> {
        let token = self.next_token(role);
        let grip = self.turn.hands.grip(identity, token)?;
        Ok(Held { identity, token, grip })
    }

    /// A child at the gate and the grip on it.
    fn hold(&mut self, errand: Start) -> Result<(H::Held, Held<H::Grip>), Text> {
        let (launch, role) = match (errand, &self.entry.spec.form) {
            (None, Form::Run(launch)) => (Some(launch), 0),
            (None, _) => (None, 0),
            (Some(Errand::Start), _) => (self.entry.spec.start.as_ref(), COMMAND),
            (Some(Errand::Stop), _) => (self.entry.spec.stop.as_ref(), COMMAND),
        };
        let launch = launch.ok_or_else(|| text(format_args!("cannot start what the policy no longer describes")))?;
        let (waiting, identity) = self.turn.hands.hold(launch, &self.entry.spec.id, errand)?;
        match self.grip(identity, role) {
            Ok(held) => Ok((waiting, held)),
            Err(Lost::Gone) => Err(text(format_args!("cannot keep hold of the child just started"))),
            Err(Lost::CannotTell(why)) => Err(why),
        }
    }

    /// Starts the child or one of its commands; gives what follows from that.
    fn begin(&mut self, errand: Start) -> Result<Actions, Text> {
        let (waiting, held) = self.hold(errand)?;
        let identity = held.identity;
        let event = if errand.is_some() { Event::CommandStarted(identity) } else { Event::Spawned(identity) };
        let actions = self.entry.machine.step(event, self.turn.now.mono, &self.entry.spec);
        *self.held(errand) = Some(held);
        self.save();
        if let Some(mut held) = self.held(errand).take() {
            // A child that is dead already reports so by itself.
            let _ = self.turn.hands.release(waiting, &mut held.grip);
            *self.held(errand) = Some(held);
        }
        Ok(actions)
    }

    fn held(&mut self, errand: Start) -> &mut Option<Held<H::Grip>> {
        if errand.is_some() { &mut self.entry.command } else { &mut self.entry.daemon }
    }

    /// Goes on from a start; one that was not begun before the telling is begun now.
    fn conclude(&mut self, errand: Start, begun: &mut Option<Result<Actions, Text>>) {
        match (begun.take().unwrap_or_else(|| self.begin(errand)), errand) {
            (Ok(actions), _) => self.obey(actions),
            (Err(why), None) => self.take(Event::SpawnFailed(why)),
            (Err(why), Some(_)) => self.take(Event::CommandFailed(why)),
        }
    }

    /// Takes hold of a command that an earlier watchd started, or learns that it has ended.
    pub fn find_command(&mut self) {
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
            if reach == Reach::Group {
                // What has a session of its own is out of reach of a signal to the group.
                let below = self.turn.hands.below(identity);
                self.entry.below.extend(below.into_iter().filter(|other| *other != identity));
            }
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

    /// Writes the row if it changed. A failure is told once and tried again with the next change or cycle.
    pub fn save(&mut self) {
        self.books.know(self.entry);
        let record = self.entry.record(self.turn.now);
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
