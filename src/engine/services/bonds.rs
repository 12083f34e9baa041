//! Who needs whom, and telling each service what the others mean for it.
//!
//! The ids of the policy become places in the list once; after each event the bonds are looked at again, which costs nothing
//! where no service names another.

use crate::model::ServiceSpec;
use crate::store::ledger::Blob;
use crate::supervisor::{Bond, Event, Machine, Standing, text};

use super::super::hands::Hands;
use super::entry::Entry;
use super::{Services, Turn};

/// What the services name in each other, as places in their list.
#[derive(Debug, Default)]
pub(super) struct Links {
    /// Who needs whom.
    needs: Vec<(usize, usize)>,
    /// Who comes after whom.
    after: Vec<(usize, usize)>,
    /// Those that have to end, or stay down, because of others.
    doomed: Vec<bool>,
}

impl Links {
    pub fn new<G>(entries: &[Entry<G>]) -> Self {
        let pairs = |names: fn(&ServiceSpec) -> &[String]| {
            let mut pairs = Vec::new();
            for (place, entry) in entries.iter().enumerate() {
                // What is not there is never ready, and never on its way.
                let found =
                    |name: &String| entries.iter().position(|other| other.spec.id == *name).unwrap_or(usize::MAX);
                pairs.extend(names(&entry.spec).iter().map(found).map(|other| (place, other)));
            }
            pairs
        };
        let (needs, after) = (pairs(|spec| &spec.care.needs), pairs(|spec| &spec.care.after));
        Self { needs, after, doomed: vec![false; entries.len()] }
    }

    /// Whether one of them names the other, in `needs` or in `after`.
    pub fn names(&self, who: usize, whom: usize) -> bool {
        self.needs.contains(&(who, whom)) || self.after.contains(&(who, whom))
    }

    fn needed_by(&self, place: usize) -> impl Iterator<Item = usize> + '_ {
        self.needs.iter().filter(move |(who, _)| *who == place).map(|(_, whom)| *whom)
    }

    fn is_doomed(&self, place: usize) -> bool {
        self.doomed.get(place).copied().unwrap_or(false)
    }

    /// Finds out whose needs have gone, directly or through others.
    fn doom<G>(&mut self, entries: &[Entry<G>]) {
        self.doomed.fill(false);
        loop {
            let mut has_grown = false;
            for (who, whom) in &self.needs {
                let Some(other) = entries.get(*whom) else { continue };
                let goes = other.machine.standing(&other.spec) == Standing::Gone
                    || self.doomed.get(*whom).copied().unwrap_or(false) && follows(&other.machine);
                if let Some(doomed) = self.doomed.get_mut(*who).filter(|doomed| goes && !**doomed) {
                    (*doomed, has_grown) = (true, true);
                }
            }
            if !has_grown {
                return;
            }
        }
    }

    /// It waits for one of which nobody can tell whether it ever comes.
    fn waits_in_vain<G>(&self, place: usize, entries: &[Entry<G>]) -> bool {
        self.needed_by(place).any(|whom| {
            entries.get(whom).is_some_and(|other| other.machine.is_lost()) || self.waits_in_vain(whom, entries)
        })
    }

    /// What the others mean for one of them.
    fn bond<G>(&self, place: usize, entries: &[Entry<G>]) -> Bond {
        let named = |what: &str, whom: usize| {
            let other = entries.get(whom);
            let state = match other {
                // It is told to end as soon as nobody needs it any more.
                Some(other) if self.is_doomed(whom) && other.machine.is_up() => "has to stop",
                Some(other) => other.machine.state(&other.spec).word(),
                None => "not there",
            };
            let is = if state.starts_with("has") { "" } else { "is " };
            text(format_args!("{what} {}, which {is}{state}", other.map_or("another", |other| &other.spec.id)))
        };
        let is = |whom: usize, standing: Standing| {
            entries.get(whom).is_some_and(|other| other.machine.standing(&other.spec) == standing)
        };
        let runs = |who: &usize| {
            let machine = entries.get(*who).map(|other| &other.machine);
            self.is_doomed(*who) && machine.is_some_and(|machine| machine.is_up() && machine.yields())
        };
        if self.is_doomed(place) {
            let culprit = |whom: &usize| is(*whom, Standing::Gone) || self.is_doomed(*whom);
            let why = self.needed_by(place).find(culprit).map_or_else(Default::default, |whom| named("needs", whom));
            // The outermost end first.
            let mut dependents = self.needs.iter().filter(|(_, whom)| *whom == place).map(|(who, _)| *who);
            return if dependents.any(|who| runs(&who)) { Bond::Waits(why) } else { Bond::Lost(why) };
        }
        if let Some(whom) = self.needed_by(place).find(|whom| !is(*whom, Standing::Serving)) {
            return Bond::Waits(named("waits for", whom));
        }
        let is_arriving = |whom: &usize| {
            entries.get(*whom).is_some_and(|other| other.machine.is_arriving()) && !self.waits_in_vain(*whom, entries)
        };
        let mut before = self.after.iter().filter(|(who, _)| *who == place).map(|(_, whom)| *whom);
        before.find(is_arriving).map_or(Bond::Free, |whom| Bond::Waits(named("starts after", whom)))
    }
}

/// What it needs has gone, and it goes as well, or is down for that reason.
fn follows(machine: &Machine) -> bool {
    machine.yields() || !machine.is_up()
}

impl<G, B: Blob> Services<G, B> {
    /// The list of services has changed.
    pub(super) fn relink<H: Hands<Grip = G>>(&mut self, turn: &mut Turn<'_, H>) {
        self.links = Links::new(&self.entries);
        for entry in self.entries.iter_mut().filter(|entry| !entry.is_bound()) {
            if *entry.machine.bond() != Bond::Free {
                entry.drive(Event::Bond(Bond::Free), &mut self.books, turn);
            }
        }
        self.bind(turn);
    }

    /// Tells each service what the others mean for it, and what was ordered once its turn has come.
    pub(super) fn bind<H: Hands<Grip = G>>(&mut self, turn: &mut Turn<'_, H>) {
        loop {
            self.tell_bonds(turn);
            while self.follow_order(turn) {
                self.tell_bonds(turn);
            }
            if !self.dismiss(turn) {
                return;
            }
        }
    }

    /// Tells each service what the others mean for it, until that changes nothing more.
    fn tell_bonds<H: Hands<Grip = G>>(&mut self, turn: &mut Turn<'_, H>) {
        // At the end nobody is stopped for another's sake.
        if self.is_ending || self.links.needs.is_empty() && self.links.after.is_empty() {
            return;
        }
        // What one of them does can reach each of the others once.
        for _ in 0..=self.entries.len() {
            let mut has_changed = false;
            self.links.doom(&self.entries);
            for place in 0..self.entries.len() {
                if !self.entries.get(place).is_some_and(Entry::is_bound) {
                    continue;
                }
                let bond = self.links.bond(place, &self.entries);
                if let Some(entry) = self.entries.get_mut(place).filter(|entry| *entry.machine.bond() != bond) {
                    entry.drive(Event::Bond(bond), &mut self.books, turn);
                    has_changed = true;
                }
            }
            if !has_changed {
                return;
            }
        }
    }
}
