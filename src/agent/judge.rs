//! One promise, one outcome, and at most one thing to do. Nothing here changes anything but the promise's own state.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::bequest::Change;
use super::budget::Budget;
use super::promise::{CommandWork, Promise, ReportWork, Work};
use crate::classes::DiskState;
use crate::config::Mode;
use crate::model::{Mark, Marks, MeasureWork, Outcome, ServiceFact, ServiceState, Source};

/// How a program of a promise ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandEnd {
    Exit(i32),
    Signal(i32),
    /// It was ended by us.
    Timeout,
    /// The system did not let us start it: rights.
    Denied,
    /// It could not be started for another reason.
    NotStarted,
}

/// So many cycles after a start an end waits for looks that are under way: after that it may be told whatever they find.
const FIRST_TURNS: u64 = 6;

/// A report waits so long for a look that its text tells of.
const LOOK: Duration = Duration::from_secs(10);

/// So often something else is told before the usual quiet of a report is over: what flickers with changing numbers must not fill a mailbox.
const OTHERS: u8 = 5;

/// What is remembered about a promise from pass to pass.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct State {
    /// When it last acted: monotonic milliseconds, below zero when that was before the boot.
    pub last: Option<i64>,
    /// The same, as other runs know it.
    pub shared: Option<i64>,
    /// The cycle in which it last acted, to the end of that: what the cycle has read is older, and no reason to act again.
    acted: Option<u64>,
    pub budget: Option<Budget>,
    /// It leaves things alone until then.
    pub cooling: Option<Duration>,
    /// It wanted to act and its limit was spent.
    pub is_limited: bool,
    /// Its limit is spent: this look may only say what it would do.
    pub only_looks: bool,
    /// Its program runs.
    pub pending: bool,
    /// Whether how it came out was seen by a pass.
    news: News,
    /// Its condition was told, its end not yet.
    pub told: bool,
    /// It was told by an earlier run, and has not been seen to hold in this one.
    pub is_hearsay: bool,
    /// How often its service had been started, when that was last looked at.
    starts: u32,
    /// Its service was started and has not been seen alive since.
    awaited: bool,
    /// The cycle in which its service was seen alive again.
    mended: Option<u64>,
    /// What the supervisor was last told.
    pub held: Option<bool>,
    /// Since when its condition holds, monotonic.
    holds_since: Option<Duration>,
    /// The fingerprint of the text that was told last.
    said: Option<u64>,
    /// When its last look came out, monotonic.
    looked: Option<Duration>,
    /// Since when a report waits for looks that it tells of.
    awaits: Option<Duration>,
    /// How often it was told since although its usual quiet was not over.
    others: u8,
}

/// What came out between two passes is judged by others in the next one, also where its own condition has ceased to hold by what it did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
enum News {
    #[default]
    None,
    Unseen,
    /// In this pass.
    Seen(u64),
}

/// What is true for this promise in this pass.
pub(super) struct Case<'a> {
    pub promise: &'a Promise,
    /// Its last outcome, which stays when there is no new one.
    pub before: Outcome,
    pub guard: bool,
    pub service: Option<ServiceFact<'a>>,
    pub disk: DiskState,
    /// What its last look made true.
    pub marks: Marks,
    /// Monotonic.
    pub now: Duration,
    pub turn: u64,
    /// Counts the passes.
    pub pass: u64,
    /// Files or numbers are being looked at: what is true of them may not be known yet.
    pub is_looking: bool,
    /// What its text tells of is just being found out.
    pub is_awaited: bool,
    /// How much too early counts as due, since cycles are not to the millisecond.
    pub slack: Duration,
    /// The fingerprint of what a report would say; none where that is not asked for.
    pub says: Option<u64>,
    /// How far into a splay this host and promise begin, from 0 to 1.
    pub share: f64,
}

impl<'a> Case<'a> {
    /// Only what is known without a look at the scene.
    pub fn bare(promise: &'a Promise, now: Duration, turn: u64, cycle: Duration) -> Self {
        let before = Outcome::Unknown;
        Self {
            promise,
            before,
            guard: true,
            service: None,
            disk: DiskState::Unknown,
            marks: Marks::default(),
            now,
            turn,
            pass: 0,
            is_looking: false,
            is_awaited: false,
            slack: cycle / 2,
            says: None,
            share: 0.0,
        }
    }
}

/// What a promise wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Nothing,
    Run,
    Tend,
    /// It would act, but its mode is to warn.
    Would,
    Tell,
    /// It was told, and lasts.
    TellAgain,
    TellEnd,
    Hold(bool),
}

impl State {
    /// Judges.
    pub fn judge(&mut self, case: &Case<'_>) -> (Outcome, Wish) {
        self.is_limited &= !self.has_room(case);
        match &case.promise.work {
            Work::Disk(_) => (self.every(case, disk(case)), Wish::Nothing),
            Work::Process(_) => self.process(case),
            Work::Command(command) => self.command(case, command.splay),
            Work::Report(report) => self.report(case, report),
            Work::Measure(MeasureWork { source: Source::Metric(..) | Source::Told(_), .. }) => {
                (self.every(case, metric(case)), Wish::Nothing)
            }
            Work::Measure(MeasureWork { source: Source::Run(_), .. }) => self.tend(case, Wish::Run),
            Work::Crowd(_) | Work::File(_) | Work::Tidy(_) | Work::Fresh(_) | Work::Measure(_) => {
                self.tend(case, Wish::Tend)
            }
        }
    }

    /// What is looked at in a child: whether there was something to do is known afterwards.
    fn tend(&mut self, case: &Case<'_>, wish: Wish) -> (Outcome, Wish) {
        let is_unseen = self.is_unseen(case.pass);
        if case.promise.mode == Mode::Off || !case.guard {
            return (if is_unseen { case.before } else { Outcome::Skipped }, Wish::Nothing);
        }
        let is_due = self.acted != Some(case.turn) && self.is_due(case, case.promise.every);
        if self.pending || !is_due {
            return (case.before, Wish::Nothing);
        }
        self.begin_look(case);
        if wish == Wish::Run && case.promise.mode == Mode::Warn {
            return (Outcome::Would, Wish::Would);
        }
        self.pending = true;
        (case.before, wish)
    }

    /// Whether what came out last is for this pass to see.
    fn is_unseen(&mut self, pass: u64) -> bool {
        if self.news == News::Unseen {
            self.news = News::Seen(pass);
        }
        self.news == News::Seen(pass)
    }

    /// Where the limit is spent, a look still says whether anything needs doing.
    fn begin_look(&mut self, case: &Case<'_>) {
        self.only_looks = !self.has_room(case);
        (self.last, self.acted) = (Some(signed(case.now)), Some(case.turn));
    }

    /// Whether a look is under way that a report has to wait for: one look, however many begin meanwhile, and not for long.
    pub fn is_awaited_by(&self, report: &Self, now: Duration) -> bool {
        let since = report.awaits.unwrap_or(now);
        self.pending && now < since.saturating_add(LOOK) && self.looked.is_none_or(|looked| looked < since)
    }

    /// What was asked for with `tend` has come out.
    pub fn tended(&mut self, (outcome, is_deed): (Outcome, bool), case: &Case<'_>) {
        (self.pending, self.looked) = (false, Some(case.now));
        (self.acted, self.news) = (Some(case.turn), News::Unseen);
        match (outcome, &mut self.budget) {
            (_, Some(budget)) if is_deed => budget.spend(),
            (Outcome::Would, _) if self.only_looks => {
                self.may_act(case);
            }
            (Outcome::Kept, _) => self.is_limited = false,
            _ => {}
        }
    }

    /// Its program ended in this cycle. A report is about what is true now, whenever the one before was delivered.
    pub fn ended(&mut self, promise: &Promise, turn: u64) {
        self.pending = false;
        if !matches!(promise.work, Work::Report(_)) {
            (self.acted, self.news) = (Some(turn), News::Unseen);
        }
    }

    /// The supervisor keeps it alive; here is said whether it may, and how that goes.
    fn process(&mut self, case: &Case<'_>) -> (Outcome, Wish) {
        let hold = case.promise.mode != Mode::Fix || !case.guard;
        let wish = if self.held == Some(hold) { Wish::Nothing } else { Wish::Hold(hold) };
        self.held = Some(hold);
        let outcome = match (case.promise.mode, case.guard, case.service) {
            (Mode::Off, _, _) | (_, false, _) => Outcome::Skipped,
            (_, _, None) => Outcome::Unknown,
            (Mode::Fix, _, Some(fact)) => fixed(fact, self.is_mended(fact, case.turn)),
            (Mode::Warn, _, Some(fact)) => match fact.state {
                ServiceState::Ready => Outcome::Kept,
                ServiceState::Unknown => Outcome::Unknown,
                _ => Outcome::Would,
            },
        };
        (self.every(case, outcome), wish)
    }

    /// Whether its service lives that did not: true from when that is seen to the end of the cycle, however many
    /// cycles the start took.
    fn is_mended(&mut self, fact: ServiceFact<'_>, turn: u64) -> bool {
        self.awaited |= fact.starts > self.starts;
        self.starts = fact.starts;
        match fact.state {
            ServiceState::Ready if self.awaited => (self.awaited, self.mended) = (false, Some(turn)),
            ServiceState::Stopped | ServiceState::Paused => self.awaited = false,
            _ => {}
        }
        self.mended == Some(turn)
    }

    /// A new outcome counts only when it is due; that the promise does not apply counts at once.
    fn every(&mut self, case: &Case<'_>, outcome: Outcome) -> Outcome {
        if outcome == Outcome::Skipped || case.promise.every.is_zero() {
            return outcome;
        }
        if case.before != Outcome::Skipped && !self.is_due(case, case.promise.every) {
            return case.before;
        }
        self.last = Some(signed(case.now));
        outcome
    }

    fn command(&mut self, case: &Case<'_>, splay: Duration) -> (Outcome, Wish) {
        let is_unseen = self.is_unseen(case.pass);
        if case.promise.mode == Mode::Off || !case.guard {
            self.holds_since = None;
            return (if is_unseen { case.before } else { Outcome::Skipped }, Wish::Nothing);
        }
        let begin = self.holds_since.get_or_insert(case.now).saturating_add(splay.mul_f64(case.share));
        if self.pending || self.acted == Some(case.turn) || !self.is_due(case, case.promise.every) || case.now < begin {
            return (case.before, Wish::Nothing);
        }
        if !self.may_act(case) {
            return (case.before, Wish::Nothing);
        }
        if case.promise.mode == Mode::Warn {
            self.act(case);
            return (Outcome::Would, Wish::Would);
        }
        self.act(case);
        self.pending = true;
        (case.before, Wish::Run)
    }

    fn report(&mut self, case: &Case<'_>, report: &ReportWork) -> (Outcome, Wish) {
        // What ceased to hold while its text was waited for is told all the same.
        let holds = case.guard || self.awaits.is_some();
        if case.promise.mode == Mode::Off || (!holds && !self.told) {
            return (Outcome::Skipped, Wish::Nothing);
        }
        if self.pending {
            return (case.before, Wish::Nothing);
        }
        if !holds && self.is_hearsay && case.is_looking && case.turn <= FIRST_TURNS {
            return (case.before, Wish::Nothing);
        }
        self.is_hearsay = false;
        if !holds {
            self.told = false;
            let wish = if report.changes && case.promise.mode == Mode::Fix { Wish::TellEnd } else { Wish::Nothing };
            self.pending = wish == Wish::TellEnd && report.runs_program();
            return (Outcome::Skipped, wish);
        }
        let wait = case.promise.every.max(report.quiet);
        let is_same = case.says.is_some_and(|says| self.said == Some(says));
        let reminds = self.told && !report.remind.is_zero() && self.is_due(case, report.remind);
        let is_free = self.acted != Some(case.turn);
        let is_other = report.is_lightly_quiet
            && !self.told
            && self.others < OTHERS
            && self.said.is_some_and(|said| case.says != Some(said));
        let due = match (report.changes, report.differs) {
            (true, differs) => !self.told || (differs && !is_same) || reminds,
            (false, true) => is_free && self.is_due(case, wait) && !is_same,
            (false, false) => is_free && (self.is_due(case, wait) || is_other),
        };
        if due && !self.told && case.guard && case.is_awaited {
            self.awaits.get_or_insert(case.now);
            return (case.before, Wish::Nothing);
        }
        self.awaits = None;
        let is_early = due && is_other && !self.is_due(case, wait);
        if !due || !self.may_act(case) {
            return (if self.told { case.before } else { Outcome::Kept }, Wish::Nothing);
        }
        self.act(case);
        self.others = if is_early { self.others.saturating_add(1) } else { 0 };
        self.said = case.says;
        let was_told = std::mem::replace(&mut self.told, true);
        if case.promise.mode == Mode::Warn {
            return (Outcome::Would, Wish::Would);
        }
        self.pending = report.runs_program();
        (Outcome::Kept, if was_told && reminds { Wish::TellAgain } else { Wish::Tell })
    }

    fn is_due(&self, case: &Case<'_>, every: Duration) -> bool {
        let now = signed(case.now.saturating_add(case.slack.min(every / 2)));
        self.last.is_none_or(|last| now >= last.saturating_add(signed(every)))
    }

    /// Whether its limit allows an act; from the first time that it does not it leaves things alone for the cooldown.
    fn may_act(&mut self, case: &Case<'_>) -> bool {
        if self.has_room(case) {
            return true;
        }
        if !self.is_limited && self.cooling.is_none() && !case.promise.cooldown.is_zero() {
            self.cooling = Some(case.now.saturating_add(case.promise.cooldown));
        }
        self.is_limited = true;
        false
    }

    fn has_room(&mut self, case: &Case<'_>) -> bool {
        let Some(limit) = case.promise.limit else { return true };
        self.cooling = self.cooling.filter(|until| case.now < *until);
        self.cooling.is_none()
            && self.budget.get_or_insert_with(|| Budget::new(limit, case.now)).has_one(limit, case.now)
    }

    /// Another run has acted meanwhile: with what it did counted in, may this act go on? Counts it if so.
    pub fn may_still(&mut self, case: &Case<'_>) -> bool {
        let wait = match &case.promise.work {
            Work::Report(report) if !report.changes => case.promise.every.max(report.quiet),
            _ => case.promise.every,
        };
        let is_look = case.promise.is_look();
        let may = self.is_due(case, wait) && (is_look || self.may_act(case));
        match (may, is_look) {
            (true, true) => self.begin_look(case),
            (true, false) => self.act(case),
            (false, _) => (self.acted, self.pending) = (Some(case.turn), false),
        }
        may
    }

    fn act(&mut self, case: &Case<'_>) {
        self.last = Some(signed(case.now));
        self.acted = Some(case.turn);
        if let Some(budget) = &mut self.budget {
            budget.spend();
        }
    }

    /// Takes over from the state of the same promise before. The supervisor is told anew what it may do, and
    /// a cycle number means nothing any more; a limit that was changed begins full.
    pub fn inherit(&mut self, old: &Self, (same_limit, is_program): (bool, bool), change: Change) {
        // A look at files begins anew.
        let is_cut_short = old.pending && !is_program;
        *self = Self {
            acted: None,
            mended: None,
            held: None,
            pending: old.pending && is_program && change == Change::Policy,
            last: old.last.filter(|_| !is_cut_short),
            budget: old.budget.filter(|_| same_limit),
            cooling: old.cooling.filter(|_| same_limit),
            is_limited: old.is_limited && same_limit,
            starts: if change == Change::Policy { old.starts } else { 0 },
            ..*old
        };
    }
}

/// A time as a number of milliseconds that can be subtracted from.
pub(super) fn signed(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

fn fixed(fact: ServiceFact<'_>, is_mended: bool) -> Outcome {
    match fact.state {
        ServiceState::Ready if is_mended => Outcome::Repaired,
        ServiceState::Ready => Outcome::Kept,
        ServiceState::Unknown => Outcome::Unknown,
        ServiceState::Stopped | ServiceState::Paused => Outcome::Skipped,
        ServiceState::Flapping | ServiceState::Down | ServiceState::Unhealthy | ServiceState::Fight => Outcome::Failed,
        ServiceState::Starting | ServiceState::Stopping | ServiceState::Backoff if fact.failed => Outcome::Failed,
        ServiceState::Starting | ServiceState::Stopping | ServiceState::Backoff | ServiceState::Waiting => {
            Outcome::Pending
        }
    }
}

/// A number that is read with the others.
fn metric(case: &Case<'_>) -> Outcome {
    match (case.promise.mode, case.guard) {
        (Mode::Off, _) | (_, false) => Outcome::Skipped,
        _ if case.marks.has(Mark::Missing) => Outcome::Unknown,
        _ => Outcome::Kept,
    }
}

/// Room cannot be made here: commands guarded by the classes of the disk do that.
fn disk(case: &Case<'_>) -> Outcome {
    match (case.promise.mode, case.guard, case.disk) {
        (Mode::Off, _, _) | (_, false, _) => Outcome::Skipped,
        (_, _, DiskState::Fine) => Outcome::Kept,
        (_, _, DiskState::Unknown) => Outcome::Unknown,
        (Mode::Warn, _, DiskState::Trouble) => Outcome::Would,
        (Mode::Fix, _, DiskState::Trouble) => Outcome::Failed,
    }
}

/// What the end of a promise's program means.
pub(super) fn outcome_of(work: &Work, end: CommandEnd) -> Outcome {
    match (work, end) {
        (_, CommandEnd::Timeout) => Outcome::Timeout,
        (_, CommandEnd::Denied) => Outcome::Denied,
        (_, CommandEnd::NotStarted | CommandEnd::Signal(_)) => Outcome::Failed,
        (Work::Command(command), CommandEnd::Exit(status)) => exit(command, status),
        (_, CommandEnd::Exit(0)) => Outcome::Kept,
        (_, CommandEnd::Exit(_)) => Outcome::Failed,
    }
}

fn exit(command: &CommandWork, status: i32) -> Outcome {
    let among = |list: &[u8]| list.iter().any(|listed| i32::from(*listed) == status);
    if among(&command.kept) {
        Outcome::Kept
    } else if among(&command.repaired) {
        Outcome::Repaired
    } else {
        Outcome::Failed
    }
}
