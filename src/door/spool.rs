//! A `spoolfetch` under way: one plugin at a time, so that what is held is never more than one answer.
//!
//! Our own plugins come first, while those of others are run; then these, their values with the configuration or fetched after it.

use std::net::IpAddr;

use super::guests::Order;
use super::source::Answers;
use crate::export::Page;
use crate::export::munin::{Ask, spool};
use crate::model::Now;

/// How far it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spool {
    since: u64,
    peer: IpAddr,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Our own plugin in this place.
    Own(usize),
    /// Somebody else's, and what it is asked.
    Guest(usize, Ask),
}

/// What follows a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    More,
    /// A plugin has to be run first.
    Wait(Order),
    Over,
}

impl Spool {
    /// Begins one; plugins of others are started at once, as many as may run at a time.
    pub fn begin(since: u64, peer: IpAddr, answers: &mut Answers, now: Now) -> Self {
        let spool = Self { since, peer, stage: Stage::Own(0) };
        for guest in 0..answers.guests.cards.len() {
            if answers.is_spooled(guest, now) {
                answers.guests.hurry(spool.order(guest, Ask::Dirty), now.mono);
            }
        }
        spool
    }

    fn order(&self, guest: usize, ask: Ask) -> Order {
        Order { guest, ask, peer: Some(self.peer) }
    }

    /// Writes what one plugin has to say.
    pub fn step(&mut self, answers: &mut Answers, now: Now, page: &mut Page) -> Step {
        match self.stage {
            Stage::Own(place) => {
                let is_told = answers.spool_own(self.since, place, now, page);
                self.stage = if is_told { Stage::Own(place + 1) } else { Stage::Guest(0, Ask::Dirty) };
            }
            Stage::Guest(guest, _) if guest >= answers.guests.cards.len() => {
                page.text(".\n");
                return Step::Over;
            }
            Stage::Guest(guest, _) if !answers.is_spooled(guest, now) => {
                self.stage = Stage::Guest(guest + 1, Ask::Dirty);
            }
            Stage::Guest(guest, ask) => {
                let (order, mut text) = (self.order(guest, ask), Page::new(Page::LIMIT));
                if !answers.guests.serve(order, now.mono, &mut text) {
                    return Step::Wait(order);
                }
                let text = text.bytes().strip_suffix(b".\n").unwrap_or_default();
                if let Some(card) = answers.guests.cards.get(guest) {
                    spool::begin(card.name.as_bytes(), text, page);
                }
                page.push(text);
                let needs_values = ask == Ask::Dirty && !spool::has_values(text);
                self.stage =
                    if needs_values { Stage::Guest(guest, Ask::Fetch) } else { Stage::Guest(guest + 1, Ask::Dirty) };
            }
        }
        Step::More
    }
}
