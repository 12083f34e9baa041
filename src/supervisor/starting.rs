//! The way up: when to start, how long to wait, how the start is judged.
//!
//! A death after `settle` of life is answered in the same step. Earlier ones wait, `backoff.0` doubling to `backoff.1`.
//! Every start but the first of a boot, and but those a person asked for, is paid from the budget; with an empty one the
//! service is flapping and is tried again at growing gaps, never given up, until it outlives the refilling of the budget. Before a start command runs there is a last
//! look, because the world may have mended itself; when the look cannot tell, nothing is started. A start whose daemon does not turn up
//! has failed only when no process is left that could be its work; while nobody can tell, nothing is started either.

use std::time::Duration;

use crate::model::{Ending, Errand, EventKind, Identity, ServiceSpec, Wish};

use super::machine::{Daemon, Machine, Phase, Turn};
use super::text::{Span, Text, text};
use super::{Action, Bond, Rival};

/// Which process ended, how, and why it never got as far as its program.
type Death = (Identity, Option<Ending>, Option<Text>);

/// How a process came to be known.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// By a start of ours.
    Started,
    /// It was there.
    Met,
}

impl Machine {
    /// The first look after a start command; most daemons have written their pidfile by then.
    pub(super) const FIRST_GAP: Duration = Duration::from_millis(5);
    /// The longest wait between two looks for a daemon that is being started.
    pub(super) const LONGEST_SEEKING_GAP: Duration = Duration::from_millis(200);
    /// The longest wait between two looks while nothing can be told.
    pub(super) const LONGEST_GAP: Duration = Duration::from_secs(10);
    /// Even a policy without back-off does not start what cannot be started again and again within one turn.
    const SHORTEST_WAIT: Duration = Duration::from_millis(10);
    /// How long after the end of a start command its daemon may still turn up.
    const LATE_BIRTH: Duration = Duration::from_secs(3);
    /// How often a command that ignores its end is killed again.
    const KILL_AGAIN: Duration = Duration::from_secs(5);

    /// Nothing but time may stand between it and a start.
    pub(super) fn may_start(&self, spec: &ServiceSpec) -> bool {
        self.wish == Wish::Up
            && self.guard
            && self.pause.is_none()
            && !self.leaving
            && self.bond == Bond::Free
            && spec.can_start()
    }

    /// If it is down and should run: starts it, or leaves it waiting.
    pub(super) fn pursue(&mut self, turn: &mut Turn<'_>) {
        let Phase::Down { wait } = self.phase else { return };
        self.explain_wait();
        if wait > turn.now || !self.may_start(turn.spec) {
            return;
        }
        self.outwait(turn);
        if self.waits_for_host(turn) {
            return;
        }
        if !self.can_afford(turn) {
            self.strike(turn);
        } else if turn.is_child() {
            self.launch(turn);
        } else {
            self.phase = Phase::Checking;
            turn.push(Action::Look);
        }
    }

    pub(super) fn is_counted(&self) -> bool {
        self.started && !self.free
    }

    fn can_afford(&self, turn: &Turn<'_>) -> bool {
        !self.is_counted() || self.budget.next(turn.spec.limit) <= turn.now
    }

    /// The budget is spent: waits for it, longer each time it happens in a row.
    fn strike(&mut self, turn: &mut Turn<'_>) {
        let (limit, longest) = (turn.spec.limit, turn.spec.backoff.1);
        let gap = longest
            .saturating_mul(1 << self.strikes.min(16))
            .min(limit.window.max(longest))
            .max(turn.spec.care.cooldown);
        self.strikes = self.strikes.saturating_add(1);
        let wait = self.budget.next(limit).max(turn.after(gap));
        self.phase = Phase::Down { wait: wait.max(self.earliest_return(turn)) };
        if self.is_ended_by_another() && !self.is_fighting() {
            self.begin_to_yield(turn);
        } else if self.strikes == 1 {
            let what = text(format_args!("{} starts in {}; {}", limit.count, Span(limit.window), self.reason));
            turn.note(EventKind::ServiceFlapping, &what);
        }
    }

    /// Starts it now, and pays.
    fn launch(&mut self, turn: &mut Turn<'_>) {
        if self.is_counted() {
            self.budget.take(turn.now, turn.spec.limit);
            self.restarts = self.restarts.saturating_add(1);
        }
        self.held = None;
        self.starts = self.starts.saturating_add(u32::from(!self.free));
        (self.started, self.free, self.attempt) = (true, false, turn.now);
        turn.note(EventKind::ServiceStarting, &self.reason.clone());
        if turn.is_child() {
            self.phase = Phase::Spawning;
            turn.push(Action::Spawn);
        } else {
            self.phase = Phase::Commanding { command: None, until: turn.after(turn.spec.timeout), overdue: false };
            turn.push(Action::Run(Errand::Start));
        }
    }

    /// It is down after having lived for so long, or without having lived; `reason` is set. Decides when it comes back.
    pub(super) fn fall(&mut self, lived: Option<Duration>, turn: &mut Turn<'_>) {
        if self.budget.is_full(turn.now) {
            self.strikes = 0;
        }
        let mut wait = turn.now;
        if lived.is_some_and(|lived| lived >= turn.spec.settle) {
            self.level = 0;
        } else {
            wait = turn.after(self.backoff(turn.spec.backoff));
            self.level = self.level.saturating_add(1);
        }
        self.phase = Phase::Down { wait: wait.max(self.earliest_return(turn)) };
        let is_spent = self.strikes > 0 || self.budget.next(turn.spec.limit) > wait;
        if self.may_start(turn.spec) && self.is_counted() && is_spent {
            self.strike(turn);
        }
        self.pursue(turn);
    }

    /// Doubles with each early death up to the longest, less up to a quarter, so that many do not come back at once.
    fn backoff(&mut self, (first, longest): (Duration, Duration)) -> Duration {
        self.shuffle();
        let whole = first.saturating_mul(1 << self.level.min(20)).min(longest).max(Self::SHORTEST_WAIT);
        let percent = u32::try_from(self.random % 26).unwrap_or(0);
        whole - whole / 100 * percent
    }

    pub(super) fn shuffle(&mut self) {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
    }

    pub(super) fn spawned(&mut self, identity: Identity, turn: &mut Turn<'_>) {
        let daemon = Daemon { identity, born: turn.now, own: true };
        if self.halting { self.halt(daemon, turn) } else { self.alive(daemon, Origin::Started, turn) }
    }

    pub(super) fn fail(&mut self, why: Text, turn: &mut Turn<'_>) {
        self.reason = why;
        turn.note(EventKind::ServiceFailed, &self.reason.clone());
        self.fall(None, turn);
    }

    /// It runs. Young ones are watched until they have settled.
    fn alive(&mut self, daemon: Daemon, origin: Origin, turn: &mut Turn<'_>) {
        self.phase = Phase::Alive { daemon, settled: false };
        self.heard &= origin == Origin::Met && self.last.is_some_and(|last| last.identity == daemon.identity);
        self.last = Some(daemon);
        self.status.clear();
        self.health.begin(turn.now, turn.spec);
        self.excess.clear();
        self.held = None;
        if origin == Origin::Met {
            // What it said before we listened is lost.
            self.health.is_told_ready();
        }
        if origin == Origin::Started || self.heard {
            self.health.wait_for_word(turn.now, turn.spec);
        }
        let settled = self.inherit(daemon, turn).unwrap_or(false);
        self.attend(daemon, settled, turn);
        self.yield_to_loss(turn);
    }

    pub(super) fn settle(&mut self, daemon: Daemon, turn: &mut Turn<'_>) {
        self.phase = Phase::Alive { daemon, settled: true };
        (self.level, self.free) = (0, false);
        self.health.rest(turn.now, turn.spec, self.random);
        self.reason = self.running(daemon);
        turn.push(Action::Settled);
        turn.note(EventKind::ServiceReady, &self.reason.clone());
    }

    /// A child of whom nothing is remembered is found by what only watchd gives, and leads the session that it was given.
    fn recognised(&self, identity: Identity, born: Duration, turn: &Turn<'_>) -> Daemon {
        let known = self.last.filter(|last| last.identity == identity);
        let own = known.map_or_else(|| turn.is_child(), |last| last.own);
        Daemon { identity, born, own }
    }

    /// It was there, or somebody else has started it.
    pub(super) fn meet(&mut self, identity: Identity, born: Duration, rival: Option<Box<Rival>>, turn: &mut Turn<'_>) {
        if self.is_lost() {
            return self.find(identity, born, rival, turn);
        }
        let daemon = self.recognised(identity, born, turn);
        self.reason = text(format_args!("runs as process {}", identity.pid));
        if self.halting {
            return self.halt(daemon, turn);
        }
        self.started = true;
        if self.wish == Wish::Stopped {
            self.reason = text(format_args!("runs as process {}, started by someone else", identity.pid));
        }
        turn.note(EventKind::ServiceAdopted, &self.reason.clone());
        self.count_return(false, rival.map(|rival| *rival), turn);
        self.alive(daemon, Origin::Met, turn);
    }

    /// It is what was started.
    pub(super) fn find(&mut self, identity: Identity, born: Duration, rival: Option<Box<Rival>>, turn: &mut Turn<'_>) {
        let daemon = self.recognised(identity, born, turn);
        self.reason = text(format_args!("runs as process {}", identity.pid));
        if self.halting {
            return self.halt(daemon, turn);
        }
        self.count_return(true, rival.map(|rival| *rival), turn);
        self.alive(daemon, Origin::Started, turn);
    }

    /// The last look before a start saw nothing of it.
    pub(super) fn start_unseen(&mut self, _: Text, turn: &mut Turn<'_>) {
        self.phase = Phase::Down { wait: turn.now };
        self.launch(turn);
    }

    /// The same, but for a stranger in its place, which is worth saying.
    pub(super) fn start_beside(&mut self, why: Text, turn: &mut Turn<'_>) {
        self.reason = why.clone();
        self.start_unseen(why, turn);
    }

    /// What was started is not there, or not yet.
    pub(super) fn miss_started(&mut self, why: Text, turn: &mut Turn<'_>) {
        let Phase::Seeking { until, failed, .. } = self.phase else { return };
        if until > turn.now {
            if !failed {
                self.reason = why;
            }
        } else if self.halting || self.wish == Wish::Stopped {
            self.ended(turn);
        } else if failed {
            self.fail(self.reason.clone(), turn);
        } else {
            self.fail_to_find(&why, turn);
        }
    }

    fn fail_to_find(&mut self, why: &Text, turn: &mut Turn<'_>) {
        let late = Span(turn.now.saturating_sub(self.attempt));
        self.fail(text(format_args!("not there {late} after its start: {why}")), turn);
    }

    /// By now it is known that it does not run.
    pub(super) fn miss(&mut self, why: Text, turn: &mut Turn<'_>) {
        self.last = None;
        if self.halting {
            return self.ended(turn);
        }
        if self.is_lost() {
            return self.fail_to_find(&why, turn);
        }
        self.reason = why;
        self.inherit_absence();
        self.phase = Phase::Down { wait: std::mem::take(&mut self.earliest).max(turn.now) };
        self.pursue_after_look(turn);
    }

    /// As `pursue`, without asking for the look that was just had.
    fn pursue_after_look(&mut self, turn: &mut Turn<'_>) {
        let Phase::Down { wait } = self.phase else { return };
        self.explain_wait();
        if wait > turn.now || !self.may_start(turn.spec) {
            return;
        }
        if self.waits_for_host(turn) {
            return;
        }
        if self.can_afford(turn) { self.launch(turn) } else { self.strike(turn) }
    }

    pub(super) fn doubt_again(&mut self, why: Text, turn: &mut Turn<'_>) {
        if self.reason != why {
            self.reason = why;
            turn.note(EventKind::ServiceUnknown, &self.reason.clone());
        }
    }

    pub(super) fn doubt(&mut self, why: Text, turn: &mut Turn<'_>) {
        self.lose(why, None, turn);
    }

    /// From now on nothing is done but looking. `lost`, when it is a start that left nobody knows what.
    fn lose(&mut self, why: Text, lost: Option<Duration>, turn: &mut Turn<'_>) {
        self.reason = why;
        self.phase = Phase::Unsure { next: turn.after(Self::FIRST_GAP), gap: Self::LONGEST_SEEKING_GAP, lost };
        turn.note(EventKind::ServiceUnknown, &self.reason.clone());
    }

    pub(super) fn doubt_started(&mut self, why: Text, turn: &mut Turn<'_>) {
        let Phase::Seeking { until, failed, .. } = self.phase else { return };
        // What a command that failed leaves behind may need a moment to end; why it failed is worth more than what is seen of that.
        let patience = if failed { Self::LATE_BIRTH } else { Duration::ZERO };
        if until.saturating_add(patience) > turn.now {
            if !failed {
                self.reason = why;
            }
        } else {
            self.lose(why, Some(turn.now), turn);
        }
    }

    pub(super) fn look_for_it(&mut self, turn: &mut Turn<'_>) {
        let Phase::Seeking { next, gap, until, failed } = self.phase else { return };
        if next <= turn.now {
            let gap = (gap * 2).min(Self::LONGEST_SEEKING_GAP);
            self.phase = Phase::Seeking { next: turn.after(gap), gap, until, failed };
            turn.push(Action::Look);
        }
    }

    pub(super) fn know_start(&mut self, identity: Identity, _: &mut Turn<'_>) {
        if let Phase::Commanding { command, .. } = &mut self.phase {
            *command = Some(identity);
        }
    }

    /// The start command takes too long.
    pub(super) fn end_start_command(&mut self, turn: &mut Turn<'_>) {
        let Phase::Commanding { command, until, .. } = self.phase else { return };
        if until > turn.now {
            return;
        }
        self.reason = text(format_args!(
            "start command did not end within {}; a program that stays in the foreground needs run",
            Span(turn.spec.timeout)
        ));
        self.phase = Phase::Commanding { command, until: turn.after(Self::KILL_AGAIN), overdue: true };
        turn.push(Action::KillCommand);
    }

    /// The start command has ended, or could not be started (`trouble`).
    pub(super) fn start_over(&mut self, ending: Option<Ending>, trouble: Option<Text>, turn: &mut Turn<'_>) {
        let Phase::Commanding { overdue, .. } = self.phase else { return };
        let failed = trouble.is_some() || ending.is_some_and(|ending| !ending.is_success());
        if let Some(trouble) = trouble {
            self.reason = trouble;
        } else if let Some(ending) = ending.filter(|_| failed && !overdue) {
            self.reason = text(format_args!("start command: {ending}"));
        }
        let failed = failed || overdue;
        // What a killed command has left on its way may still turn up.
        let late = turn.spec.settle.saturating_add(Self::LATE_BIRTH);
        let grace = if self.halting { late } else { Duration::ZERO };
        let until =
            if failed { turn.after(grace) } else { turn.after(turn.spec.settle.saturating_add(turn.spec.timeout)) };
        self.phase = Phase::Seeking { next: turn.after(Self::FIRST_GAP), gap: Self::FIRST_GAP, until, failed };
        turn.push(Action::Look);
    }

    pub(super) fn die(&mut self, death: Death, turn: &mut Turn<'_>) {
        let ending = death.1;
        let Some(lived) = self.bury(death, turn) else { return };
        turn.note(EventKind::ServiceDied, &self.reason.clone());
        self.count_death(ending, lived, turn);
        self.fall(Some(lived), turn);
    }

    /// It ended while its stop command is being run, or was.
    pub(super) fn die_in_stop(&mut self, death: Death, turn: &mut Turn<'_>) {
        if self.bury(death, turn).is_none() {
            return;
        }
        match self.phase {
            Phase::Unwinding { command: None, .. } => self.after_stop_command(None, turn),
            Phase::Unwinding { command, until, .. } => self.phase = Phase::Unwinding { daemon: None, command, until },
            _ => {}
        }
    }

    pub(super) fn die_at_last(&mut self, death: Death, turn: &mut Turn<'_>) {
        if self.bury(death, turn).is_some() {
            self.ended(turn);
        }
    }

    /// The process that ended is the one we know: says why it did, and gives how long it lived.
    fn bury(&mut self, (identity, ending, trouble): Death, turn: &Turn<'_>) -> Option<Duration> {
        let daemon = self.daemon().filter(|daemon| daemon.identity == identity)?;
        self.last = None;
        let lived = turn.now.saturating_sub(daemon.born);
        self.riddle = (trouble.is_none() && ending.is_none()).then_some((identity, lived));
        self.reason = match (trouble, ending) {
            // Why we ended it says more than how.
            _ if self.ailment.is_some() => self.reason.clone(),
            (Some(trouble), _) => trouble,
            (None, Some(Ending::Exit(0))) if daemon.own && !self.halting && lived < turn.spec.settle => text(
                format_args!("exit status 0 after {}; run needs a program that stays in the foreground", Span(lived)),
            ),
            (None, Some(ending)) => text(format_args!("{ending} after {}", Span(lived))),
            (None, None) => unexplained(lived),
        };
        Some(lived)
    }

    /// The kernel has said, after the fact, how a process ended that was not our child.
    pub(super) fn explain(&mut self, identity: Identity, ending: Ending, turn: &mut Turn<'_>) {
        let Some((_, lived)) = self.riddle.take_if(|(dead, _)| *dead == identity) else { return };
        self.count_ending(ending);
        let what = text(format_args!("{ending} after {}", Span(lived)));
        turn.note(EventKind::ServiceDied, &what);
        if self.reason == unexplained(lived) {
            self.reason = what;
        }
    }
}

fn unexplained(lived: Duration) -> Text {
    text(format_args!("ended after {}; not our child, so how is not known", Span(lived)))
}
