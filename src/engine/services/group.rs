//! Orders to all services of a tag, in the order in which they need each other.
//!
//! What is needed is started, restarted, paused and resumed before what needs it, and stopped after it. Two orders wait for the
//! world: a stop until those that need the service are down, a restart until those it needs serve again. What still waits when
//! watchd ends is forgotten: a service then goes on as it was. What has to end with watchd or with its place in the policy is
//! ended in the order of a stop.

use crate::model::{EventKind, ServiceState};
use crate::store::ledger::Blob;
use crate::supervisor::{Event, Standing, Text, Verb, text};

use super::super::hands::Hands;
use super::{Refusal, Services, Turn};

/// An order whose turn has not come.
pub(super) struct Waiting {
    pub id: String,
    what: What,
}

#[derive(Clone, Copy, PartialEq)]
enum What {
    Order(Verb),
    /// Its end, for this reason.
    Depart(&'static str),
}

impl Waiting {
    /// What somebody asked for, which the next thing that is asked for replaces.
    pub fn is_order(&self) -> bool {
        matches!(self.what, What::Order(_))
    }
}

/// What becomes of an order now.
enum Fate {
    Waits,
    Carried,
    /// What it waits for does not come.
    Dropped(Text),
}

impl<G, B: Blob> Services<G, B> {
    /// Carries out an order for all services with this tag; those that cannot be started are left out of a start.
    pub(super) fn control_all<H: Hands<Grip = G>>(
        &mut self,
        verb: Verb,
        tag: &str,
        turn: &mut Turn<'_, H>,
    ) -> Result<Text, Refusal> {
        let starts = matches!(verb, Verb::Start | Verb::Restart);
        let is_meant = |place: &usize| {
            self.entries.get(*place).is_some_and(|entry| {
                !entry.is_removed
                    && entry.spec.care.tags.iter().any(|own| own == tag)
                    && (!starts || entry.spec.can_start())
            })
        };
        let members: Vec<usize> = (0..self.entries.len()).filter(is_meant).collect();
        if members.is_empty() {
            return Err(Refusal::NoSuchTag(tag.to_owned()));
        }
        let mut order = self.inner_first(members);
        if verb == Verb::Stop {
            order.reverse();
        }
        let ids: Vec<String> =
            order.iter().filter_map(|place| Some(self.entries.get(*place)?.spec.id.clone())).collect();
        let said = text(format_args!("told in this order: {}", ids.join(", ")));
        self.orders.retain(|waiting| !waiting.is_order() || !ids.contains(&waiting.id));
        self.orders.extend(ids.into_iter().map(|id| Waiting { id, what: What::Order(verb) }));
        self.bind(turn);
        Ok(said)
    }

    /// Those that depart are ended, each after those that depend on it.
    pub(super) fn depart<H: Hands<Grip = G>>(&mut self, why: &'static str, turn: &mut Turn<'_, H>) {
        for entry in self.entries.iter().filter(|entry| entry.departs) {
            let is_known = |waiting: &Waiting| !waiting.is_order() && waiting.id == entry.spec.id;
            if !self.orders.iter().any(is_known) {
                self.orders.push(Waiting { id: entry.spec.id.clone(), what: What::Depart(why) });
            }
        }
        self.bind(turn);
    }

    /// These places with each behind those that it names, else in the order of the policy. The policy has no circles.
    fn inner_first(&self, mut left: Vec<usize>) -> Vec<usize> {
        let mut order = Vec::with_capacity(left.len());
        while !left.is_empty() {
            let is_free = |place: &usize| !left.iter().any(|other| self.depends(*place, *other));
            let next = left.iter().position(is_free).unwrap_or(0);
            order.push(left.remove(next));
        }
        order
    }

    /// Whether one comes after another, directly or through others that need not be in the group.
    fn depends(&self, who: usize, whom: usize) -> bool {
        let mut reached = vec![who];
        let mut next = 0;
        while let Some(place) = reached.get(next).copied() {
            for other in 0..self.entries.len() {
                if self.links.names(place, other) && !reached.contains(&other) {
                    reached.push(other);
                }
            }
            next += 1;
        }
        who != whom && reached.contains(&whom)
    }

    /// Carries out, or drops, the first order whose turn has come; false when there is none.
    pub(super) fn follow_order<H: Hands<Grip = G>>(&mut self, turn: &mut Turn<'_, H>) -> bool {
        let decided = (0..self.orders.len()).find_map(|at| match self.fate(at) {
            Fate::Waits => None,
            fate => Some((at, fate)),
        });
        let Some((at, fate)) = decided else { return false };
        let Waiting { id, what } = self.orders.remove(at);
        if self.orders.is_empty() {
            self.orders = Vec::new();
        }
        match fate {
            Fate::Dropped(why) => (turn.note)(EventKind::Trouble, &id, &why),
            Fate::Waits | Fate::Carried => {
                if let Some(entry) = self.entries.iter_mut().find(|entry| entry.spec.id == id) {
                    let event = match what {
                        What::Order(verb) => Event::Control(verb),
                        What::Depart(why) => Event::Depart(why),
                    };
                    entry.drive(event, &mut self.books, turn);
                }
            }
        }
        true
    }

    fn fate(&self, at: usize) -> Fate {
        let place = |id: &str| self.entries.iter().position(|entry| entry.spec.id == id);
        let Some((waiting, own)) = self.orders.get(at).and_then(|waiting| Some((waiting, place(&waiting.id)?))) else {
            // It has left the policy.
            return Fate::Carried;
        };
        let is_ordered = |id: &str| self.orders.iter().any(|other| other.id == id && other.what == waiting.what);
        for (other, entry) in self.entries.iter().enumerate() {
            match waiting.what {
                What::Depart(_) if entry.departs && !entry.machine.is_over() && self.depends(other, own) => {
                    return Fate::Waits;
                }
                What::Order(Verb::Stop) if self.depends(other, own) => {
                    let ends = entry.machine.is_up() && entry.machine.state(&entry.spec) == ServiceState::Stopping;
                    if is_ordered(&entry.spec.id) || ends {
                        return Fate::Waits;
                    }
                }
                What::Order(Verb::Restart) if self.depends(own, other) => match entry.machine.standing(&entry.spec) {
                    _ if is_ordered(&entry.spec.id) => return Fate::Waits,
                    Standing::Coming => return Fate::Waits,
                    Standing::Gone if self.links.names(own, other) => {
                        let state = entry.machine.state(&entry.spec);
                        return Fate::Dropped(text(format_args!(
                            "was not restarted with its group: {} is {state}",
                            entry.spec.id
                        )));
                    }
                    Standing::Serving | Standing::Gone => {}
                },
                _ => {}
            }
        }
        Fate::Carried
    }
}
