//! Judging and acting: one scene for classes and promises, then what the agent wants is carried out.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::core::Core;
use super::errands::{Done, Order, Owner};
use super::shadow::Shadow;
use crate::agent::{self, Action, Actions, Agent, Change, CommandEnd, Pass, Promise, TextId, Work};
use crate::classes::{self, Calendar, Classes, Scene, Table};
use crate::config::Mode;
use crate::model::{Ending, EventKind, OnExit, Outcome, ServiceFact, ServiceSpec, ServiceState};
use crate::sys::clock::Civil;

/// What is true, what was promised, and what has to be done about it.
pub struct Judgement {
    pub classes: Classes,
    pub agent: Agent,
    actions: Actions,
    /// The outcomes that were told last.
    told: Vec<Outcome>,
    /// What promises would have done.
    pub(super) shadow: Shadow,
}

/// What is true and what was done, for the program that takes our place.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Bequest {
    classes: classes::Bequest,
    /// With the outcome that was told last.
    promises: Vec<(agent::Bequest, Outcome)>,
}

/// The services with whether each may be started before anything was judged: not when its promise has a condition. What is
/// only looked at ends neither with us nor with its place in the policy.
pub fn with_conditions(services: Vec<ServiceSpec>, promises: &[Promise]) -> Vec<(ServiceSpec, bool)> {
    let taken = |(place, mut spec): (usize, ServiceSpec)| {
        let of_it =
            |promise: &&Promise| matches!(promise.work, Work::Process(service) if usize::from(service) == place);
        let promise = promises.iter().find(of_it);
        if promise.is_some_and(|promise| promise.mode != Mode::Fix) {
            (spec.on_exit, spec.care.ends_with_policy) = (OnExit::Leave, false);
        }
        (spec, promise.is_none_or(|promise| promise.guard.is_none() && promise.mode == Mode::Fix))
    };
    services.into_iter().enumerate().map(taken).collect()
}

impl Judgement {
    pub fn new(promises: Vec<Promise>, classes: Table, host: &str, cycle: Duration) -> Self {
        let services = promises.iter().filter(|promise| matches!(promise.work, Work::Process(_))).count();
        Self {
            classes: Classes::new(classes, services, promises.len()),
            actions: Actions::new(promises.len()),
            told: vec![Outcome::Skipped; promises.len()],
            shadow: Shadow::default(),
            agent: Agent::new(promises, host, cycle),
        }
    }

    /// A text of the last pass.
    pub(super) fn actions_text(&self, text: TextId) -> &str {
        self.actions.text(text)
    }

    /// What the program that takes our place has to know of it.
    pub fn bequeath(&self) -> Bequest {
        let promises = self.agent.bequeath().zip(self.told.iter().copied()).collect();
        Bequest { classes: self.classes.bequeath(), promises }
    }

    /// Goes on from the program before us.
    pub fn inherit(&mut self, left: Bequest) {
        self.classes.inherit(left.classes);
        for (promise, told) in left.promises {
            if let Some(known) = self.agent.place_of(&promise).and_then(|place| self.told.get_mut(place)) {
                *known = told;
            }
            self.agent.inherit(promise, Change::Program);
        }
    }

    /// Goes on from the judgement before a new policy.
    pub fn follow(&mut self, old: &Self) {
        self.shadow.inherit(&old.shadow);
        self.classes.inherit(old.classes.bequeath());
        self.classes.given = old.classes.given.clone();
        self.agent.follow(&old.agent);
        for (place, promise) in self.agent.promises().iter().enumerate() {
            let before = old.agent.find(promise.kind(), &promise.id).and_then(|place| old.told.get(place));
            if let (Some(told), Some(before)) = (self.told.get_mut(place), before) {
                *told = *before;
            }
        }
    }
}

impl Core {
    /// One pass over the promises, and what comes of it.
    pub(super) fn judge(&mut self, is_cycle: bool) {
        self.is_stirred = false;
        let pass = if is_cycle { Pass::Cycle } else { Pass::Event };
        let (services, learning, now) = (&self.services, &self.learning, self.now);
        let is_state_writable = self.is_state_writable();
        let Judgement { classes, agent, actions, .. } = &mut self.judgement;
        let scene = Scene {
            now: self.now,
            local: calendar(Civil::local(self.now.wall)),
            utc: calendar(Civil::utc(self.now.wall)),
            readings: self.sight.readings(),
            is_state_writable,
            learned: &|quantity| learning.found(quantity),
            services: &|place| {
                let fact = services.fact(place, now)?;
                Some(ServiceFact {
                    state: fact.state,
                    starts: fact.starts,
                    failed: matches!(
                        fact.state,
                        ServiceState::Backoff
                            | ServiceState::Flapping
                            | ServiceState::Down
                            | ServiceState::Unhealthy
                            | ServiceState::Fight
                    ),
                    over: fact.over,
                    reason: fact.reason,
                })
            },
        };
        agent.pass(pass, classes, &scene, actions);
        for place in 0..self.judgement.actions.as_slice().len() {
            if let Some(action) = self.judgement.actions.as_slice().get(place).copied() {
                self.act(action);
            }
        }
        self.mind_digest();
        self.carry_letters();
        self.note_outcomes();
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Would { promise, text } => self.note_would(promise, text),
            Action::Hold { service } => self.guard(service, false),
            Action::Allow { service } => self.guard(service, true),
            Action::Run { promise } if self.may_act(promise) => self.send(promise),
            Action::Tend { promise } if self.may_look(promise) => self.upkeep.push(promise),
            Action::Report { promise, text, is_over } if self.may_act(promise) => {
                let text = self.judgement.actions.text(text).to_owned();
                let Some(told) = self.judgement.agent.promises().get(promise) else { return };
                if let Work::Report(report) = &told.work
                    && report.log
                {
                    self.notes.add(EventKind::Report, &told.id, &text);
                }
                if matches!(&told.work, Work::Report(report) if report.digest) {
                    let id = told.id.clone();
                    self.note_for_digest(&id, &text);
                }
                self.post(promise, &text, is_over);
            }
            Action::Run { .. } | Action::Report { .. } | Action::Tend { .. } => {}
        }
    }

    /// Whether no other run is at it or has just done it.
    fn may_act(&mut self, promise: usize) -> bool {
        self.turns.take(promise, &mut self.judgement.agent, self.now, &mut self.notes)
    }

    /// Whether a look at files may begin: what changes them is done by one run at a time.
    fn may_look(&mut self, promise: usize) -> bool {
        let changes = self.judgement.agent.promises().get(promise).is_some_and(Promise::may_change);
        !changes || self.may_act(promise)
    }

    fn guard(&mut self, service: usize, holds: bool) {
        let Some(id) = self.services.fact(service, self.now).map(|fact| fact.id.to_owned()) else { return };
        self.with_services(|services, turn| services.guard(&id, holds, turn));
    }

    /// Runs the program of a promise, if it has one.
    fn send(&mut self, promise: usize) {
        let Some(known) = self.judgement.agent.promises().get(promise) else { return };
        let (Some(launch), Some(timeout)) = (known.launch(), known.timeout()) else { return self.turns.done(known) };
        let is_heard = matches!(&known.work, Work::Command(command) if command.is_heard());
        let order = Order { owner: Owner::Promise(promise), launch, timeout, input: None, is_heard };
        if let Some(done) = self.errands.start(&order, &self.poller, self.now.mono) {
            self.on_done(&done);
        }
    }

    /// A child has ended: tells the promise it ran for, if there is one.
    pub(super) fn on_errand_end(&mut self, pid: i32, ending: Ending) {
        if let Some(done) = self.errands.on_child(pid, ending, &self.poller) {
            self.on_done(&done);
        }
    }

    pub(super) fn on_done(&mut self, done: &Done) {
        match done.owner {
            Owner::Promise(place) if self.on_measured(place, done) => {}
            Owner::Promise(place) => {
                self.hear(place, done);
                // Who looks at the disk next must not see it as it was before.
                self.sight.probes.filesystem.hurry();
                let agent = &mut self.judgement.agent;
                // One that finds all well, and says the same, is no news.
                let was_kept = agent.outcomes().get(place) == Some(&Outcome::Kept);
                let is_same = was_kept && agent.words(place) == done.text.trim();
                agent.wrote(place, done.text.trim());
                agent.command_done(place, done.end, self.now);
                self.is_stirred = true;
                let is_kept = agent.outcomes().get(place) == Some(&Outcome::Kept);
                if let Some(promise) = agent.promises().get(place) {
                    self.turns.done(promise);
                    if !(is_same && is_kept) {
                        self.notes.add(EventKind::CommandRan, &promise.id, &told(done));
                    }
                }
            }
            Owner::Crowd(place) => self.on_crowd_started(place, done),
            Owner::Letter(number) => self.on_carried(number, done.end, &told(done)),
            Owner::Check(ask) => self.on_asked(ask, done),
            Owner::Upgrade => self.on_tried(done),
            Owner::Limit(place) => {
                if let Some(name) = self.services.name(place) {
                    self.notes.add(EventKind::CommandRan, name, &told(done));
                }
            }
            Owner::Nobody => {}
        }
    }

    /// Notes what came out otherwise than before; that nothing was judged is no news.
    fn note_outcomes(&mut self) {
        let Judgement { agent, told, .. } = &mut self.judgement;
        for ((promise, outcome), told) in agent.promises().iter().zip(agent.outcomes()).zip(told) {
            let is_news = *outcome != *told && !matches!(outcome, Outcome::Skipped | Outcome::Pending);
            if is_news && !(*told == Outcome::Skipped && *outcome == Outcome::Kept) {
                let text = format!("{} {}: {outcome}, was {told}", promise.kind(), promise.id);
                self.notes.add(EventKind::PromiseChanged, &promise.id, &text);
            }
            if is_news {
                *told = *outcome;
            }
        }
    }
}

/// How a program ended, and the beginning of what it said.
pub(super) fn told(done: &Done) -> String {
    let how = match done.end {
        CommandEnd::Exit(status) => format!("exit status {status}"),
        CommandEnd::Signal(signal) => format!("killed by signal {signal}"),
        CommandEnd::Timeout => "took too long and was ended".to_owned(),
        CommandEnd::Denied => "the system did not let it start".to_owned(),
        CommandEnd::NotStarted => "could not be started".to_owned(),
    };
    let output = done.text.trim();
    let colon = if output.is_empty() { "" } else { ": " };
    format!("{how}{colon}{output}").replace(char::is_control, " ")
}

pub(super) fn calendar(civil: Civil) -> Calendar {
    Calendar {
        year: u16::try_from(civil.year).unwrap_or_default(),
        month: civil.month,
        day: civil.day,
        weekday: civil.weekday,
        hour: civil.hour,
        minute: civil.minute,
    }
}

#[cfg(test)]
mod tests {
    use watchd_probes::inventory::Inventory;

    use super::super::policy::load_text;
    use super::*;

    #[test]
    fn what_is_only_looked_at_ends_neither_with_us_nor_with_its_place_in_the_policy() {
        for (mode, starts, ends) in [("fix", true, true), ("warn", false, false), ("off", false, false)] {
            let text = format!(
                "[process.web]\nrun = [\"/bin/x\"]\non-exit = \"stop\"\non-remove = \"stop\"\nmode = \"{mode}\"\n"
            );
            let (policy, _) = load_text("t", &text, &Inventory::default()).expect("a good policy");
            let taken = with_conditions(policy.services, &policy.promises);
            let found: Vec<_> = taken
                .iter()
                .map(|(spec, free)| (*free, spec.on_exit == OnExit::Stop, spec.care.ends_with_policy))
                .collect();
            assert_eq!(found, [(starts, ends, ends)], "{mode}");
        }
    }
}
