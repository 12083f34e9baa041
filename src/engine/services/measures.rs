//! What services use, for those that have limits, and the programs that limits run.

use crate::model::{Deed, Figures, Launch, ServiceSpec};
use crate::store::ledger::Blob;
use crate::supervisor::{Event, Text};
use std::time::Duration;

use super::super::hands::Hands;
use super::{Services, Turn};

/// A program that a limit asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub place: u16,
    /// The place in the policy's list of limits.
    pub bound: u8,
}

impl<G, B: Blob> Services<G, B> {
    /// The service in this place of the policy, when it has limits.
    pub fn limited(&self, number: usize) -> Option<&ServiceSpec> {
        self.entries.get(number).map(|entry| &entry.spec).filter(|spec| !spec.care.bounds.is_empty())
    }

    pub fn len(&self) -> usize {
        self.listed().count()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What the service in this place of the policy uses now.
    pub fn on_measured<H: Hands<Grip = G>>(&mut self, number: usize, figures: Figures, turn: &mut Turn<'_, H>) {
        if let Some(entry) = self.entries.get_mut(number) {
            entry.drive(Event::Measured(figures), &mut self.books, turn);
        }
    }

    /// The service in this place of the policy, and what was told to stand in the way of its start.
    pub fn weather(&self, number: usize) -> Option<(&ServiceSpec, Option<&Text>)> {
        self.entries.get(number).map(|entry| (&entry.spec, entry.machine.obstacle()))
    }

    /// What of the host stands in the way of starting it has changed.
    pub fn on_weather<H: Hands<Grip = G>>(&mut self, number: usize, obstacle: Option<Text>, turn: &mut Turn<'_, H>) {
        if let Some(entry) = self.entries.get_mut(number) {
            entry.drive(Event::Weather(obstacle), &mut self.books, turn);
            self.bind(turn);
        }
    }

    /// The next program to run because of a limit.
    pub fn next_wanted(&mut self) -> Option<Wanted> {
        self.books.wanted.pop()
    }

    /// What that program is, and how long it may take.
    pub fn wanted(&self, wanted: Wanted) -> Option<(&Launch, Duration)> {
        let entry = self.entries.iter().find(|entry| entry.place == wanted.place)?;
        match &entry.spec.care.bounds.get(usize::from(wanted.bound))?.deed {
            Deed::Run(launch) => Some((launch, entry.spec.timeout)),
            Deed::Restart | Deed::Report => None,
        }
    }

    /// The service that has this place.
    pub fn name(&self, place: u16) -> Option<&str> {
        self.entries.iter().find(|entry| entry.place == place).map(|entry| entry.spec.id.as_str())
    }
}
