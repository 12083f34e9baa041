//! The kernel's word that work waits for memory: the class `pressure_memory` is true within the same turn, and a stall that
//! lasts may cost a service that was marked for it.
//!
//! The word comes when a tenth of two seconds was lost, the class's own threshold over a shorter time. It holds for the ten
//! seconds that the measured average looks back over; by then the average tells by itself. Without the right or the kernel to
//! be told, the average alone counts.

use std::time::Duration;

use watchd_probes::pressure;

use crate::sys::epoll::{Interest, Poller, Ready};
use crate::sys::psi::Trigger;

use super::core::Core;
use super::tokens::Token;

/// How long one word counts.
const HOLDS: Duration = Duration::from_secs(10);

/// What listens to the kernel.
#[derive(Default)]
pub struct Stall {
    trigger: Option<Trigger>,
}

impl Stall {
    /// Listens below this root, where that is possible.
    pub fn watch(root: &std::path::Path, poller: &Poller) -> Self {
        let trigger = Trigger::arm(&root.join("proc/pressure/memory")).ok();
        let trigger = trigger.filter(|trigger| poller.add(trigger, Token::Stall.pack(), Interest::Priority).is_ok());
        Self { trigger }
    }
}

/// Where nobody tells us: some task waited for memory for this share of the last ten seconds, as for the class.
const STALL: f64 = 10.0;

impl Core {
    /// Once a cycle, after the look: what the kernel would have told us if we were allowed to be told.
    pub(super) fn ask_for_stall(&mut self) {
        let some = || self.sight.readings().view.host(pressure::MEMORY_SOME_10).number();
        if self.stall.trigger.is_none() && self.manner.is_daemon() && some().is_some_and(|share| share >= STALL) {
            self.with_services(|services, turn| services.relieve(turn));
        }
    }

    /// The kernel says that work waits for memory.
    pub(super) fn on_stall(&mut self, ready: Ready) {
        if ready.hangup {
            // What it watched is gone; it would say so for ever.
            self.stall.trigger.take().iter().for_each(|trigger| self.poller.remove(trigger));
            return;
        }
        self.with_services(|services, turn| services.on_stall(turn));
        self.judgement.classes.press(self.now.mono.saturating_add(HOLDS));
        self.is_stirred = true;
    }
}
