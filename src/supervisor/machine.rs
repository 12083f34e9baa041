//! The state of one service and what each event does to it.
//!
//! `step` is total: every event has an answer in every phase, and an event that comes too late (about a process that is
//! no longer the one we know) changes nothing. The phases carry what they need, so that a state without its process
//! cannot be written down. Nothing here reads a clock, a file or the process table.

use std::time::Duration;

use crate::model::{Ailment, Errand, EventKind, Form, Identity, ServiceSpec, ServiceState, Wish};

use super::budget::Budget;
use super::excess::Excess;
use super::fight::Contest;
use super::health::Health;
use super::{Action, Actions, Bequest, Bond, Event, Pidfile, Reach, Search, Text, text};

/// A process that is known to be the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Daemon {
    pub identity: Identity,
    pub born: Duration,
    /// It leads a session that watchd made for it.
    pub own: bool,
}

impl Daemon {
    /// When it counts as well.
    pub fn settles(&self, spec: &ServiceSpec) -> Duration {
        self.born.saturating_add(spec.settle)
    }

    pub fn reach(&self) -> Reach {
        if self.own { Reach::Group } else { Reach::Process }
    }
}

/// Where the service is on its way.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Phase {
    /// Nothing is known; a look is due at `next`. After a start that left nobody knows what, `lost` is when that was over.
    Unsure { next: Duration, gap: Duration, lost: Option<Duration> },
    /// It does not run and may not start before `wait`.
    Down { wait: Duration },
    /// The last look before a start was asked for.
    Checking,
    /// The child was asked for.
    Spawning,
    /// The start command runs; `overdue` once it was ended by us.
    Commanding { command: Option<Identity>, until: Duration, overdue: bool },
    /// The start command has ended; its daemon is looked for. `failed` when the command said so.
    Seeking { next: Duration, gap: Duration, until: Duration, failed: bool },
    /// It runs; `settled` once it has lived long enough.
    Alive { daemon: Daemon, settled: bool },
    /// The stop command runs; without a daemon when that has ended already.
    Unwinding { daemon: Option<Daemon>, command: Option<Identity>, until: Duration },
    /// Signals are being sent; `step` is the next one, due at `next`.
    Signalling { daemon: Daemon, step: usize, next: Duration },
}

/// One service.
#[derive(Clone, Debug)]
pub struct Machine {
    pub(super) phase: Phase,
    pub(super) wish: Wish,
    /// Whatever of it is found has to end.
    pub(super) halting: bool,
    /// Why we end it although it should run.
    pub(super) ailment: Option<Ailment>,
    pub(super) health: Health,
    pub(super) excess: Excess,
    pub(super) contest: Contest,
    pub(super) obstacle: Option<Text>,
    /// Since when a start waits for the host.
    pub(super) held: Option<Duration>,
    pub(super) bond: Bond,
    /// When it last gave its memory back.
    pub(super) pressed: Option<Duration>,
    /// Until when it is left alone.
    pub(super) pause: Option<Duration>,
    pub(super) guard: bool,
    pub(super) leaving: bool,
    /// It was started in this boot: what follows are restarts.
    pub(super) started: bool,
    /// The next start was asked for by a person and costs nothing.
    pub(super) free: bool,
    pub(super) attempt: Duration,
    /// The process it was when it was last known; kept while nothing can be told.
    pub(super) last: Option<Daemon>,
    /// A wait that was remembered and still stands when the service turns out to be down.
    pub(super) earliest: Duration,
    pub(super) budget: Budget,
    pub(super) level: u8,
    pub(super) strikes: u8,
    pub(super) restarts: u32,
    /// How often it was started in this run though nobody asked for it.
    pub(super) starts: u32,
    pub(super) since: Duration,
    pub(super) reason: Text,
    /// What the process said it does.
    pub(super) status: Text,
    /// The process has spoken by itself.
    pub(super) heard: bool,
    /// The process whose death nobody could explain yet, and how long it lived.
    pub(super) riddle: Option<(Identity, Duration)>,
    pub(super) random: u64,
    /// What the program before this one has counted, until the first look.
    pub(super) bequest: Option<Box<Bequest>>,
}

/// What a step works with besides the machine.
pub(super) struct Turn<'a> {
    pub now: Duration,
    pub spec: &'a ServiceSpec,
    pub out: Actions,
}

impl Turn<'_> {
    /// A step gives at most a handful of actions; the longest list is a stop's signals, which ask for room first.
    pub fn push(&mut self, action: Action) {
        let full = self.out.push(action).is_err();
        debug_assert!(!full, "a step gives at most eight actions");
    }

    /// The moment so much later.
    pub fn after(&self, span: Duration) -> Duration {
        self.now.saturating_add(span)
    }

    pub fn note(&mut self, kind: EventKind, what: &Text) {
        self.push(Action::Note(kind, what.clone()));
    }

    pub fn is_child(&self) -> bool {
        matches!(self.spec.form, Form::Run(_))
    }
}

impl Machine {
    /// A service about which nothing is remembered. `seed` makes the back-off's jitter.
    pub fn new(now: Duration, seed: u64) -> Self {
        Self {
            phase: Phase::Unsure { next: now, gap: Self::FIRST_GAP, lost: None },
            wish: Wish::Up,
            halting: false,
            ailment: None,
            health: Health::new(seed),
            excess: Excess::default(),
            contest: Contest::default(),
            obstacle: None,
            held: None,
            bond: Bond::Free,
            pressed: None,
            pause: None,
            guard: true,
            leaving: false,
            started: false,
            free: false,
            attempt: now,
            last: None,
            earliest: Duration::ZERO,
            budget: Budget::default(),
            level: 0,
            strikes: 0,
            restarts: 0,
            starts: 0,
            since: now,
            reason: text(format_args!("not looked for yet")),
            status: Text::new(),
            heard: false,
            riddle: None,
            random: seed | 1,
            bequest: None,
        }
    }

    /// Takes one event and says what has to be done.
    pub fn step(&mut self, event: Event, now: Duration, spec: &ServiceSpec) -> Actions {
        let (before, was_left) = (self.state(spec), self.bequest.is_some());
        let mut turn = Turn { now, spec, out: Actions::new() };
        match event {
            Event::Tick => self.pass_time(&mut turn),
            Event::Cycle => {
                self.pass_time(&mut turn);
                self.take(Event::Cycle, &mut turn);
            }
            // One that came too late.
            Event::CommandEnded { identity, .. } if self.command().is_none_or(|(_, command)| command != identity) => {}
            event => self.take(event, &mut turn),
        }
        // What was taken up says since when by itself.
        let is_inherited = was_left && self.bequest.is_none();
        if self.state(spec) != before && !is_inherited {
            self.since = now;
        }
        turn.out
    }

    fn pass_time(&mut self, turn: &mut Turn<'_>) {
        if self.pause.is_some_and(|until| until <= turn.now) {
            self.resume("its pause has ended", turn);
        }
        self.take(Event::Tick, turn);
    }

    pub(super) fn look_again(&mut self, turn: &mut Turn<'_>) {
        let Phase::Unsure { next, gap, lost } = self.phase else { return };
        if next <= turn.now {
            self.phase = Phase::Unsure { next: turn.after(gap), gap: (gap * 2).min(Self::LONGEST_GAP), lost };
            turn.push(Action::Look);
        }
    }

    pub(super) fn rise(&mut self, turn: &mut Turn<'_>) {
        if matches!(self.phase, Phase::Down { wait } if wait <= turn.now) {
            self.pursue(turn);
        }
    }

    pub(super) fn attend_it(&mut self, turn: &mut Turn<'_>) {
        if let Phase::Alive { daemon, settled } = self.phase {
            self.attend(daemon, settled, turn);
        }
    }

    /// A service that is down may have been started by someone else.
    pub(super) fn look_around(&mut self, turn: &mut Turn<'_>) {
        if !turn.is_child() {
            turn.push(Action::Look);
        }
    }

    pub(super) fn look_now(&mut self, turn: &mut Turn<'_>) {
        turn.push(Action::Look);
    }

    pub(super) fn heed_guard(&mut self, holds: bool, turn: &mut Turn<'_>) {
        self.guard = holds;
        self.yield_to_loss(turn);
        self.pursue(turn);
    }

    pub(super) fn refit(&mut self, turn: &mut Turn<'_>) {
        self.budget = Budget::recall(self.budget.full(), turn.now, turn.spec.limit);
        if let Phase::Down { wait } = self.phase {
            self.phase = Phase::Down { wait: wait.min(turn.after(turn.spec.backoff.1.max(turn.spec.limit.window))) };
        }
        self.health.refit(turn.now, turn.spec, self.random);
        self.pursue(turn);
    }

    pub(super) fn leave(&mut self, _: &mut Turn<'_>) {
        self.leaving = true;
    }

    pub(super) fn come_back(&mut self, turn: &mut Turn<'_>) {
        self.leaving = false;
        self.pursue(turn);
    }

    /// The state for people, programs and classes.
    pub fn state(&self, spec: &ServiceSpec) -> ServiceState {
        let stopping = self.halting || self.wish == Wish::Stopped;
        match self.phase {
            Phase::Unwinding { .. } | Phase::Signalling { .. } => ServiceState::Stopping,
            Phase::Commanding { .. } | Phase::Seeking { .. } if stopping => ServiceState::Stopping,
            Phase::Unsure { .. } => ServiceState::Unknown,
            _ if self.pause.is_some() => ServiceState::Paused,
            Phase::Checking | Phase::Spawning | Phase::Commanding { .. } | Phase::Seeking { .. } => {
                ServiceState::Starting
            }
            Phase::Alive { .. } if self.is_unwell(spec) => ServiceState::Unhealthy,
            Phase::Alive { settled: false, .. } => ServiceState::Starting,
            Phase::Alive { settled: true, .. } if self.is_kept() => ServiceState::Fight,
            Phase::Alive { settled: true, .. } => ServiceState::Ready,
            Phase::Down { .. } if self.wish == Wish::Stopped || !self.guard || self.leaving => ServiceState::Stopped,
            Phase::Down { .. } if !spec.can_start() => ServiceState::Down,
            Phase::Down { .. } if self.bond != Bond::Free => ServiceState::Waiting,
            Phase::Down { .. } if self.held.is_some() => ServiceState::Waiting,
            Phase::Down { .. } if self.is_fighting() => ServiceState::Fight,
            Phase::Down { .. } if self.strikes > 0 => ServiceState::Flapping,
            Phase::Down { .. } => ServiceState::Backoff,
        }
    }

    /// When `Event::Tick` is due; none when only an event can change anything.
    pub fn next_deadline(&self, spec: &ServiceSpec) -> Option<Duration> {
        let phase = match self.phase {
            Phase::Unsure { next, .. } | Phase::Seeking { next, .. } | Phase::Signalling { next, .. } => Some(next),
            Phase::Down { wait } if self.may_start(spec) => Some(wait),
            Phase::Commanding { until, .. } | Phase::Unwinding { until, .. } => Some(until),
            Phase::Alive { daemon, settled } => self.attention(daemon, settled, spec),
            Phase::Down { .. } | Phase::Checking | Phase::Spawning => None,
        };
        [phase, self.pause].into_iter().flatten().min().filter(|deadline| *deadline < Duration::MAX)
    }

    /// The process that is the service, as far as is known.
    pub fn identity(&self) -> Option<Identity> {
        self.daemon().map(|daemon| daemon.identity)
    }

    /// The start or stop command that is running.
    pub fn command(&self) -> Option<(Errand, Identity)> {
        match self.phase {
            Phase::Commanding { command, .. } => command.map(|command| (Errand::Start, command)),
            Phase::Unwinding { command, .. } => command.map(|command| (Errand::Stop, command)),
            _ => None,
        }
    }

    /// It lives, and has to be ended when its next start can be paid.
    pub(super) fn is_unwell(&self, spec: &ServiceSpec) -> bool {
        self.health.is_bad() || self.excess.wants_restart(spec)
    }

    pub(super) fn daemon(&self) -> Option<Daemon> {
        match self.phase {
            Phase::Alive { daemon, .. } | Phase::Signalling { daemon, .. } => Some(daemon),
            Phase::Unwinding { daemon, .. } => daemon,
            _ => None,
        }
    }

    /// The process leads a session that watchd made for it.
    pub fn is_own(&self) -> bool {
        self.daemon().is_some_and(|daemon| daemon.own)
    }

    /// Its start has been asked for and the look for it goes on: what was born between these moments is its work.
    pub fn attempt(&self) -> Option<(Duration, Duration)> {
        match self.phase {
            Phase::Seeking { .. } => Some((self.attempt, Duration::MAX)),
            Phase::Unsure { lost: Some(until), .. } => Some((self.attempt, until)),
            _ => None,
        }
    }

    /// What its start has left was not found in time, and nobody can tell whether there is something.
    pub fn is_lost(&self) -> bool {
        matches!(self.phase, Phase::Unsure { lost: Some(_), .. })
    }

    /// Before it counts as not running: when what may be it was born, for a search of the whole process table. None while a pidfile
    /// alone decides.
    pub fn doubt_about(&self, file: &Pidfile, now: Duration) -> Option<Search> {
        let is_illegible = matches!(file, Pidfile::Empty | Pidfile::Garbage(_));
        match self.phase {
            Phase::Seeking { until, failed, .. } if until <= now => {
                Some(Search { born: (self.attempt, now), is_vain: is_illegible && !failed })
            }
            Phase::Unsure { lost: Some(until), .. } => {
                Some(Search { born: (self.attempt, until), is_vain: is_illegible })
            }
            // Nothing is remembered of it, and its pidfile says as little.
            Phase::Unsure { .. } if is_illegible && !self.halting => {
                Some(Search { born: (Duration::ZERO, Duration::MAX), is_vain: false })
            }
            _ => None,
        }
    }

    /// Since when the state is what it is.
    pub fn since(&self) -> Duration {
        self.since
    }

    /// Why the state is what it is, for people.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// How often it was started again.
    pub fn restarts(&self) -> u32 {
        self.restarts
    }

    /// How often it was started in this run though nobody asked for it.
    pub fn starts(&self) -> u32 {
        self.starts
    }

    pub fn budget_left(&self, now: Duration, spec: &ServiceSpec) -> u32 {
        self.budget.left(now, spec.limit)
    }

    pub fn wish(&self) -> Wish {
        self.wish
    }

    /// The process it was when it was last known, while that is not known to be over.
    pub fn last(&self) -> Option<Identity> {
        self.daemon().or(self.last).map(|daemon| daemon.identity)
    }

    /// What ends now was told to.
    pub fn is_halting(&self) -> bool {
        self.halting
    }

    /// Nothing of it is under way that somebody who waits for its end could wait for.
    pub fn is_over(&self) -> bool {
        // What SIGKILL did not end is waited for no longer: only the kernel can end it.
        let is_deaf = matches!(self.phase, Phase::Signalling { next: Duration::MAX, .. });
        is_deaf || matches!(self.phase, Phase::Down { .. } | Phase::Unsure { .. })
    }
}
