//! What services say of themselves: only what a process of the service says counts.

use crate::model::Identity;
use crate::store::ledger::Blob;
use crate::supervisor::{Event, Notice, Sighting, Word};

use super::super::hands::Hands;
use super::entry::Entry;
use super::work::Work;
use super::{Services, Turn};

impl<G, B: Blob> Services<G, B> {
    /// A datagram came over the socket of this service, and the kernel says that this process sent it.
    pub fn on_notice<H: Hands<Grip = G>>(&mut self, name: &str, pid: i32, notice: Notice, turn: &mut Turn<'_, H>) {
        let Some(entry) = self.entries.iter_mut().find(|entry| entry.spec.id == name) else { return };
        let Some(daemon) = entry.machine.identity() else {
            return entry.note_early(pid, &notice, turn);
        };
        if !turn.hands.belongs(pid, daemon) {
            return;
        }
        let mut work = Work { entry, books: &mut self.books, turn };
        if let Some(main) = notice.main_pid.filter(|main| *main != daemon.pid) {
            work.follow((pid, main), daemon);
        }
        for word in notice.words() {
            work.take(Event::Told(word));
        }
        work.save();
        self.bind(turn);
    }
}

impl<G> Entry<G> {
    /// A daemon may say that it is ready before it is found: whether it is the one is known when it is.
    fn note_early<H: Hands<Grip = G>>(&mut self, pid: i32, notice: &Notice, turn: &mut Turn<'_, H>) {
        if notice.is_ready && self.machine.attempt().is_some() {
            self.early = turn.hands.process(pid).ok().flatten().map(|process| process.identity);
        }
    }
}

impl<H: Hands, B: Blob> Work<'_, '_, H, B> {
    /// The service has become another process, which has to be one of its own. Root signals it from then on, so it must be one that
    /// who says so may signal himself: a set-id program that he started is none.
    fn follow(&mut self, (speaker, main): (i32, i32), daemon: Identity) {
        if !self.turn.hands.belongs(main, daemon) || !self.turn.hands.may_signal(speaker, main) {
            return;
        }
        let Ok(Some(process)) = self.turn.hands.process(main) else { return };
        if let Sighting::Found { identity, born, .. } = self.catch(process) {
            self.take(Event::Moved { identity, born });
        }
    }

    /// The process just found may have spoken already.
    pub fn recall_early(&mut self) {
        if let Some(early) = self.entry.early.take()
            && self.entry.machine.identity() == Some(early)
        {
            self.take(Event::Told(Word::Ready));
        }
    }
}
