//! The checks of all services: which are to be asked now, and what came of those that were.
//!
//! The machines decide; asking is the loop's business, in its own time. An answer finds its way back by place and round, and
//! one that nobody waits for any more is dropped.

use std::time::Duration;

use crate::model::Target;
use crate::store::ledger::Blob;
use crate::supervisor::{Asked, Event, Verdict};

use super::super::hands::Hands;
use super::{Services, Turn};

/// A check of one service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    pub place: u16,
    pub asked: Asked,
}

impl<G, B: Blob> Services<G, B> {
    /// The next check to ask.
    pub fn next_ask(&mut self) -> Option<Ask> {
        self.books.asked.pop()
    }

    /// What a check asks, and how long that may take; none when the policy no longer says.
    pub fn target(&self, ask: Ask) -> Option<(&Target, Duration)> {
        let entry = self.entries.iter().find(|entry| entry.place == ask.place)?;
        ask.asked.target(&entry.spec)
    }

    /// A check was answered.
    pub fn on_checked<H: Hands<Grip = G>>(&mut self, ask: Ask, verdict: Verdict, turn: &mut Turn<'_, H>) {
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.place == ask.place) {
            entry.drive(Event::Checked(ask.asked, verdict), &mut self.books, turn);
            self.bind(turn);
        }
    }
}
