//! All promises of a policy, in their order, until nothing new appears.

use std::fmt::Write;
use std::time::Duration;

use watchd_probes::Now;

use super::actions::{Action, Actions, TextId};
use super::bequest::Change;
use super::judge::{Case, CommandEnd, State, Wish, outcome_of};
use super::promise::{Promise, ReportWork, Work};
use super::repairs::{Fingerprint, Repairs, share};
use super::template::{Facts, Names, Template};
use super::told::{Report, Told};
use crate::classes::{Classes, DiskState, Scene};
use crate::config::Mode;
use crate::model::{Acts, Outcome, PromiseKind};

/// How often one pass goes through the promises while classes change.
const ROUNDS: usize = 3;

/// Why a pass is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// A new cycle begins, with new readings.
    Cycle,
    /// Something happened within the cycle: a death, the end of a command.
    Event,
}

/// The promises of a policy and how they came out.
pub struct Agent {
    pub(super) promises: Vec<Promise>,
    pub(super) states: Vec<State>,
    pub(super) outcomes: Vec<Outcome>,
    /// Those that wanted to act and had spent their limit.
    limited: Vec<bool>,
    /// When each outcome became what it is, since 1970.
    pub(super) since: Vec<Duration>,
    pub(super) told: Told,
    pub(super) repairs: Repairs,
    /// How far into a splay each one begins.
    shares: Vec<f64>,
    host: String,
    cycle: Duration,
    turn: u64,
    passes: u64,
}

impl Agent {
    /// `promises` in the order of the policy, which is the order of the pass.
    pub fn new(promises: Vec<Promise>, host: &str, cycle: Duration) -> Self {
        let count = promises.len();
        let shares = promises.iter().map(|promise| share(host, &promise.id)).collect();
        Self {
            promises,
            states: vec![State::default(); count],
            outcomes: vec![Outcome::Skipped; count],
            limited: vec![false; count],
            since: vec![Duration::ZERO; count],
            told: Told::new(count),
            repairs: Repairs::new(count),
            shares,
            host: host.to_owned(),
            cycle,
            turn: 0,
            passes: 0,
        }
    }

    /// Goes on from the agent of the policy before.
    pub fn follow(&mut self, old: &Self) {
        (self.turn, self.passes) = (old.turn, old.passes);
        old.bequeath().for_each(|left| self.inherit(left, Change::Policy));
    }

    pub fn host(&self) -> &str {
        &self.host
    }

    pub fn promises(&self) -> &[Promise] {
        &self.promises
    }

    /// The place of a promise.
    pub fn find(&self, kind: PromiseKind, id: &str) -> Option<usize> {
        self.promises.iter().position(|promise| promise.kind() == kind && promise.id == id)
    }

    /// How each promise last came out; what runs now is not counted.
    pub fn outcomes(&self) -> &[Outcome] {
        &self.outcomes
    }

    /// How a promise stands, work in progress included, and since when.
    pub fn outcome(&self, promise: usize) -> Option<(Outcome, Duration)> {
        // A look at files or a number is too short to be told of.
        let known = self.promises.get(promise)?;
        let is_program = known.runs_program() && !matches!(known.work, Work::Measure(_));
        let pending = is_program && self.states.get(promise)?.pending;
        let outcome = if pending { Outcome::Pending } else { *self.outcomes.get(promise)? };
        Some((outcome, *self.since.get(promise)?))
    }

    /// Judges everything and says what has to be done. The classes are brought up to date with the scene on the way.
    pub fn pass(&mut self, why: Pass, classes: &mut Classes, scene: &Scene<'_>, actions: &mut Actions) {
        actions.clear();
        self.passes += 1;
        if why == Pass::Cycle {
            self.turn += 1;
            // Before the first pass nobody knows which promises apply.
            let outcome = |place| self.outcomes.get(place).copied();
            self.told.begin(&self.promises, &|place| self.turn == 1 || outcome(place) != Some(Outcome::Skipped), scene);
        }
        classes.mark(self.told.marks(), scene.now);
        classes.update(scene, &self.outcomes, &self.limited);
        for _ in 0..ROUNDS {
            if !self.round(classes, scene, actions) {
                return;
            }
        }
    }

    /// Judges every promise once. Each kind sees what came out of the kinds before it, so that no report tells of an
    /// outcome that is over. Says whether classes changed.
    fn round(&mut self, classes: &mut Classes, scene: &Scene<'_>, actions: &mut Actions) -> bool {
        let mut changed = false;
        let mut is_news = false;
        for place in 0..self.promises.len() {
            let kind = |place: usize| self.promises.get(place).map(Promise::kind);
            if is_news && place.checked_sub(1).and_then(kind) != kind(place) {
                changed |= classes.update(scene, &self.outcomes, &self.limited);
                is_news = false;
            }
            is_news |= self.judge(place, classes, scene, actions);
        }
        changed | (is_news && classes.update(scene, &self.outcomes, &self.limited))
    }

    /// The program of a promise ended. Make a pass afterwards: others may wait for the outcome.
    pub fn command_done(&mut self, promise: usize, end: CommandEnd, now: Now) {
        let (Some(known), Some(state)) = (self.promises.get(promise), self.states.get_mut(promise)) else { return };
        let outcome = outcome_of(&known.work, end);
        state.ended(known, self.turn);
        self.count_repair(promise, outcome, now);
        self.settle(promise, outcome, now);
    }

    /// The number that a promise was told counts until then.
    pub fn told_until(&mut self, promise: usize, until: Duration) {
        self.told.ends(promise, until);
    }

    /// What is expected of a measure at this time of the week.
    pub fn expect(&mut self, promise: usize, value: f64) {
        self.told.expect(promise, value);
    }

    /// The beginning of what the program of a promise wrote.
    pub fn wrote(&mut self, promise: usize, text: &str) {
        self.told.write(promise, text);
    }

    /// What a promise has done so far, to be remembered beyond this run; other runs know it from now on.
    pub fn share(&mut self, promise: usize, now: Now) -> Option<Acts> {
        let state = self.states.get_mut(promise)?;
        state.shared = state.last;
        Some(state.acts(self.promises.get(promise)?, now.mono))
    }

    /// Takes up what promises that have not acted in this run did in earlier ones.
    pub fn recall(&mut self, read: impl Fn(&Promise) -> Option<Acts>, now: Now) {
        for (state, promise) in self.states.iter_mut().zip(&self.promises) {
            if state.last.is_none()
                && !state.told
                && let Some(acts) = read(promise)
            {
                state.recall(&acts, promise, now.mono);
            }
        }
    }

    /// Whether the act of this pass may go on, with what other runs did for the promise counted in.
    pub fn may_still(&mut self, promise: usize, acts: &Acts, now: Now) -> bool {
        let (Some(state), Some(known)) = (self.states.get_mut(promise), self.promises.get(promise)) else {
            return false;
        };
        if !state.is_news(acts, now.mono) {
            return true;
        }
        state.recall(acts, known, now.mono);
        state.may_still(&Case::bare(known, now.mono, self.turn, self.cycle))
    }

    /// Another run is at it: nothing is done in this pass.
    pub fn leave_to_another(&mut self, promise: usize) {
        let is_look = self.promises.get(promise).is_some_and(Promise::is_look);
        if let Some(state) = self.states.get_mut(promise) {
            state.pending = false;
            // What the other finds and does is written down at its end, and seen in the next cycle.
            state.last = if is_look { state.shared } else { state.last };
        }
    }

    /// What was asked for with [`Action::Tend`] has come out. Make a pass afterwards.
    pub fn tended(&mut self, promise: usize, report: &Report<'_>, now: Now) {
        let Some(state) = self.states.get_mut(promise) else { return };
        let Some(known) = self.promises.get(promise) else { return };
        state.tended((report.outcome, report.is_deed), &Case::bare(known, now.mono, self.turn, self.cycle));
        self.told.take(promise, Some(known), report, now.mono);
        self.count_repair(promise, report.outcome, now);
        self.settle(promise, report.outcome, now);
    }

    /// Whether the look that a promise has asked for may only say what it would do.
    pub fn only_looks(&self, promise: usize) -> bool {
        let is_spent = self.states.get(promise).is_none_or(|state| state.only_looks);
        is_spent || self.promises.get(promise).is_none_or(|promise| promise.mode != Mode::Fix)
    }

    /// The numbers that a promise has found, by place; not a number when it is not known.
    pub fn figures(&self, promise: usize) -> [f64; 2] {
        self.told.figures(promise)
    }

    /// What a look at files or numbers has said last.
    pub fn words(&self, promise: usize) -> &str {
        self.told.words(promise)
    }

    /// Fills in the names of a text that was not in the policy, as everything is now.
    pub fn render(&self, text: &str, classes: &Classes, scene: &Scene<'_>) -> Result<String, String> {
        let names = Names::of(&self.promises);
        let template = Template::parse(text, &names)
            .map_err(|error| format!("column {}: {}; {}", error.column, error.what, error.remedy))?;
        let mut out = String::new();
        template.render(&mut out, scene, &self.facts(classes)).map_err(|error| error.to_string())?;
        Ok(out)
    }

    fn facts<'a>(&'a self, classes: &'a Classes) -> Facts<'a> {
        let Self { host, promises, outcomes, told, repairs, .. } = self;
        Facts { host, classes, promises, outcomes, told, repairs }
    }

    fn count_repair(&mut self, promise: usize, outcome: Outcome, now: Now) {
        if outcome == Outcome::Repaired {
            self.repairs.count(promise, now.mono);
        }
    }

    /// The fingerprint of what a report would say now, where it counts whether that is new.
    fn says(&self, place: usize, classes: &Classes, scene: &Scene<'_>) -> Option<u64> {
        let promise = self.promises.get(place)?;
        let Work::Report(report) = &promise.work else { return None };
        if !(report.differs || report.is_lightly_quiet) || !promise.guard.is_none_or(|guard| classes.eval(guard)) {
            return None;
        }
        let mut print = Fingerprint::default();
        report.text.render(&mut print, scene, &self.facts(classes)).ok()?;
        Some(print.0)
    }

    /// Judges one promise; says whether it came out otherwise than before.
    fn judge(&mut self, place: usize, classes: &Classes, scene: &Scene<'_>, actions: &mut Actions) -> bool {
        let (is_looking, is_awaited) = (self.is_looking(place), self.is_awaited(place, scene.now));
        let says = self.says(place, classes, scene);
        let (Some(promise), Some(state)) = (self.promises.get(place), self.states.get_mut(place)) else { return false };
        let service = match promise.work {
            Work::Process(service) => (scene.services)(usize::from(service)),
            _ => None,
        };
        let disk = match promise.work {
            Work::Disk(disk) => classes.disk(disk),
            _ => DiskState::Unknown,
        };
        let case = Case {
            before: self.outcomes.get(place).copied().unwrap_or(Outcome::Unknown),
            guard: promise.guard.is_none_or(|guard| classes.eval(guard)),
            service,
            disk,
            marks: self.told.marks().get(place).copied().unwrap_or_default(),
            is_looking,
            is_awaited,
            says,
            share: self.shares.get(place).copied().unwrap_or(0.0),
            pass: self.passes,
            ..Case::bare(promise, scene.now.mono, self.turn, self.cycle)
        };
        let (outcome, wish) = state.judge(&case);
        let is_process = matches!(promise.work, Work::Process(_));
        let is_state = matches!(promise.work, Work::Measure(_) | Work::Fresh(_) | Work::Crowd(_));
        let mut is_news = false;
        if let Some(limited) = self.limited.get_mut(place) {
            is_news = *limited != state.is_limited;
            *limited = state.is_limited;
        }
        let is_other = self.settle(place, outcome, scene.now);
        // What was done to files stays so; what a state was is not known any more.
        if is_other && outcome == Outcome::Skipped && is_state {
            self.told.forget(place);
        }
        if is_other && is_process {
            self.count_repair(place, outcome, scene.now);
        }
        if is_other && is_process && outcome == Outcome::Would {
            actions.push(Action::Would { promise: place, text: None });
        }
        is_news |= is_other;
        self.carry(place, wish, (classes, scene), actions);
        is_news
    }

    /// Whether a report that was told by an earlier run has to wait for looks that are under way.
    fn is_looking(&self, report: usize) -> bool {
        let looks =
            || self.states.iter().zip(&self.promises).any(|(state, promise)| state.pending && promise.is_look());
        self.states.get(report).is_some_and(|state| state.is_hearsay) && looks()
    }

    /// Whether something that a report tells of is being looked at: what is found ends up in its text, and its look does not take long.
    fn is_awaited(&self, report: usize, now: Now) -> bool {
        let Some(Work::Report(work)) = self.promises.get(report).map(|promise| &promise.work) else { return false };
        let Some(waits) = self.states.get(report) else { return false };
        work.text.tells_of().any(|place| {
            let known = self.states.get(place).zip(self.promises.get(place));
            known.is_some_and(|(state, promise)| promise.is_look() && state.is_awaited_by(waits, now.mono))
        })
    }

    fn settle(&mut self, place: usize, outcome: Outcome, now: Now) -> bool {
        let (Some(known), Some(since)) = (self.outcomes.get_mut(place), self.since.get_mut(place)) else {
            return false;
        };
        let is_news = *known != outcome;
        if is_news {
            *known = outcome;
            *since = now.wall;
        }
        is_news
    }

    /// Turns a wish into an action.
    fn carry(&self, place: usize, wish: Wish, (classes, scene): (&Classes, &Scene<'_>), actions: &mut Actions) {
        let Some(promise) = self.promises.get(place) else { return };
        match (wish, &promise.work) {
            (Wish::Run, _) => actions.push(Action::Run { promise: place }),
            (Wish::Tend, _) => actions.push(Action::Tend { promise: place }),
            (Wish::Hold(hold), Work::Process(service)) => {
                let service = usize::from(*service);
                actions.push(if hold { Action::Hold { service } } else { Action::Allow { service } });
            }
            (Wish::Would, Work::Report(report)) => {
                let text = Some(self.tell(Wish::Tell, report, (classes, scene), actions));
                actions.push(Action::Would { promise: place, text });
            }
            (Wish::Would, _) => actions.push(Action::Would { promise: place, text: None }),
            (Wish::Tell | Wish::TellAgain | Wish::TellEnd, Work::Report(report)) => {
                let text = self.tell(wish, report, (classes, scene), actions);
                actions.push(Action::Report { promise: place, text, is_over: wish == Wish::TellEnd });
            }
            (Wish::Nothing | Wish::Hold(_) | Wish::Tell | Wish::TellAgain | Wish::TellEnd, _) => {}
        }
    }

    /// The text of a report.
    fn tell(
        &self,
        wish: Wish,
        report: &ReportWork,
        (classes, scene): (&Classes, &Scene<'_>),
        actions: &mut Actions,
    ) -> TextId {
        let facts = self.facts(classes);
        actions.write(|line| {
            // A line cuts what is too long and never fails.
            let _ = match wish {
                Wish::TellEnd => line.write_str("over: "),
                Wish::TellAgain => line.write_str("still: "),
                _ => Ok(()),
            };
            let _ = report.text.render(line, scene, &facts);
        })
    }
}
