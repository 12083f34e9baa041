//! Services that end with watchd or with their place in the policy.
//!
//! One that left the policy of a running watchd and has to end (`on-remove = "stop"`) is kept out of sight until it has ended;
//! all others are let go as they are, and remembered, so that one that comes back is not started a second time.

use crate::model::{OnExit, SERVICES};
use crate::store::ledger::Blob;
use crate::supervisor::Event;

use super::super::hands::Hands;
use super::bonds::Links;
use super::entry::Entry;
use super::group::Waiting;
use super::{Services, Turn};

impl<G, B: Blob> Services<G, B> {
    /// watchd is going to end: begins to stop what shall end with it, each after those that need it.
    pub fn shutdown<H: Hands<Grip = G>>(&mut self, turn: &mut Turn<'_, H>) {
        self.is_ending = true;
        self.orders.retain(|waiting| !waiting.is_order());
        for entry in &mut self.entries {
            entry.departs |= entry.spec.on_exit == OnExit::Stop;
            entry.drive(Event::Leave, &mut self.books, turn);
        }
        self.depart("stopped with watchd", turn);
    }

    /// Nothing that `shutdown` began is still under way.
    pub fn is_quiet(&self) -> bool {
        let is_over = |entry: &Entry<G>| !entry.departs || entry.machine.is_over();
        self.orders.iter().all(Waiting::is_order) && self.entries.iter().all(is_over)
    }

    /// Lets go those that are no longer in the policy, or makes them depart; takes back those that are in it again.
    pub(super) fn part_from<H: Hands<Grip = G>>(&mut self, is_listed: impl Fn(&str) -> bool, turn: &mut Turn<'_, H>) {
        for entry in std::mem::take(&mut self.entries) {
            match (is_listed(&entry.spec.id), entry.is_removed) {
                (true, true) => self.take_back(entry, turn),
                (true, false) | (false, true) => self.entries.push(entry),
                (false, false) if entry.spec.care.ends_with_policy && !entry.machine.is_over() => {
                    self.send_off(entry, turn);
                }
                (false, false) => self.let_go(entry, turn),
            }
        }
    }

    fn send_off<H: Hands<Grip = G>>(&mut self, mut entry: Entry<G>, turn: &mut Turn<'_, H>) {
        (entry.is_removed, entry.departs) = (true, true);
        entry.drive(Event::Leave, &mut self.books, turn);
        self.entries.push(entry);
    }

    /// What is ending already ends, and is started again then.
    fn take_back<H: Hands<Grip = G>>(&mut self, mut entry: Entry<G>, turn: &mut Turn<'_, H>) {
        entry.is_removed = false;
        if !self.is_ending {
            entry.departs = false;
            self.orders.retain(|waiting| waiting.is_order() || waiting.id != entry.spec.id);
            entry.drive(Event::Return, &mut self.books, turn);
        }
        self.entries.push(entry);
    }

    fn let_go<H: Hands<Grip = G>>(&mut self, mut entry: Entry<G>, turn: &mut Turn<'_, H>) {
        self.left.truncate(SERVICES - 1);
        self.left.insert(0, (entry.spec.id.clone(), entry.record(turn.now)));
        entry.let_go(turn);
        self.books.forget(entry.place);
        if let Some(ledger) = &mut self.books.ledger {
            ledger.release(&entry.spec.id);
        }
    }

    /// Lets go one that has left the policy and has ended; whether there was one.
    pub(super) fn dismiss<H: Hands<Grip = G>>(&mut self, turn: &mut Turn<'_, H>) -> bool {
        let Some(at) = self.entries.iter().position(|entry| entry.is_removed && entry.machine.is_over()) else {
            return false;
        };
        let entry = self.entries.remove(at);
        self.let_go(entry, turn);
        self.links = Links::new(&self.entries);
        true
    }
}
