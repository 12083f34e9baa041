//! Who has to give its memory back when work on the host waits for memory.

use std::time::Duration;

use crate::store::ledger::Blob;
use crate::supervisor::{Event, Relief};

use super::super::hands::Hands;
use super::{Services, Turn};

impl<G, B: Blob> Services<G, B> {
    /// The kernel says that work waits for memory.
    pub fn on_stall<H: Hands<Grip = G>>(&mut self, turn: &mut Turn<'_, H>) {
        if self.relief.hear(turn.now.mono) {
            self.relieve(turn);
        }
    }

    /// Work has waited for memory for a while: the largest of those that are marked for it gives way, if none does already.
    pub fn relieve<H: Hands<Grip = G>>(&mut self, turn: &mut Turn<'_, H>) {
        let now: Duration = turn.now.mono;
        if self.entries.iter().any(|entry| entry.machine.gives_way(now)) {
            return;
        }
        let hands = &mut *turn.hands;
        let willing = self.entries.iter().enumerate().filter(|(_, entry)| entry.machine.may_give_way(now, &entry.spec));
        let holders = willing
            .map(|(place, entry)| (place, entry.machine.identity().and_then(|identity| hands.own_memory(identity))));
        let Some((place, held)) = Relief::choose(holders) else { return };
        if let Some(entry) = self.entries.get_mut(place) {
            entry.drive(Event::Pressed(held), &mut self.books, turn);
            self.bind(turn);
        }
    }
}
