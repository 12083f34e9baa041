//! What promises have done and found, for the policy that comes after and for the program that takes watchd's place.
//!
//! The locks remember over a crash what may not be done twice. Over these two nothing is forgotten: how each came out and since when,
//! what was found and for how long it counts, since when a condition holds, how often something was repaired within the hour.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::judge::State;
use super::pass::Agent;
use super::repairs::Hour;
use super::told::Found;
use crate::model::{Limit, Marks, Outcome, PromiseKind};

/// What comes after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Another policy: the programs of promises go on, and services keep their counts.
    Policy,
    /// Another program in our place. It is executed when no program of a promise runs any more.
    Program,
}

/// All that is left of one promise.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Bequest {
    kind: PromiseKind,
    id: String,
    limit: Option<Limit>,
    state: State,
    outcome: Outcome,
    /// When it came out so, since 1970.
    since: Duration,
    found: (Marks, Found),
    repairs: Hour,
}

impl Agent {
    /// What is left of each promise, in the order of the policy.
    pub fn bequeath(&self) -> impl Iterator<Item = Bequest> + '_ {
        let each = self.promises.iter().zip(&self.states).zip(self.outcomes.iter().zip(&self.since)).enumerate();
        each.map(|(place, ((promise, state), (outcome, since)))| Bequest {
            kind: promise.kind(),
            id: promise.id.clone(),
            limit: promise.limit,
            state: *state,
            outcome: *outcome,
            since: *since,
            found: self.told.of(place),
            repairs: self.repairs.hour(place),
        })
    }

    /// Where the promise is that this is left of.
    pub fn place_of(&self, left: &Bequest) -> Option<usize> {
        self.find(left.kind, &left.id)
    }

    /// Takes up what is left of a promise that has the same kind and id here.
    pub fn inherit(&mut self, left: Bequest, change: Change) {
        let Some(place) = self.place_of(&left) else { return };
        let (Some(promise), Some(state)) = (self.promises.get(place), self.states.get_mut(place)) else { return };
        state.inherit(&left.state, (left.limit == promise.limit, promise.runs_program()), change);
        if let (Some(outcome), Some(since)) = (self.outcomes.get_mut(place), self.since.get_mut(place)) {
            (*outcome, *since) = (left.outcome, left.since);
        }
        self.told.inherit(place, left.found);
        self.repairs.inherit(place, left.repairs);
    }
}
