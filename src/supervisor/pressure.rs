//! Work on the host waits for memory: a service that was marked for it is restarted, before the kernel picks a victim by itself.
//!
//! One word of the kernel's is a hiccup; a second one soon after it is a stall that lasts. Then the largest of the marked services
//! gives its memory back: one at a time, no further one while that ends or for half a minute after, and the same one not again for
//! five minutes (or its `cooldown`). It has to be able to come back at once: what its budget cannot pay for, what a person paused,
//! and what somebody else brings back is left alone. A crash of watchd forgets none of this but the words.

use std::time::Duration;

use crate::model::{Ailment, EventKind, OnPressure, ServiceSpec};

use super::machine::{Machine, Phase, Turn};
use super::text::text;

/// Words that are further apart are about two stalls. The kernel gives at most one in two seconds, and fewer where it is just at its
/// threshold.
const STREAK: Duration = Duration::from_secs(10);
/// How long a stall has to last, by the time between its first and its newest word.
const LASTS: Duration = Duration::from_millis(1500);
/// How long the host gets to recover before the next one has to give way.
const RECOVERY: Duration = Duration::from_secs(30);
/// How long the same one is spared at least.
const SPARED: Duration = Duration::from_secs(300);
/// How long people and classes are told that it gave way.
const TOLD: Duration = Duration::from_secs(600);
/// Whoever holds less than this is not worth a restart.
const WORTH: u64 = 8 << 20;

/// The stall that the kernel tells of.
#[derive(Clone, Copy, Debug, Default)]
pub struct Relief {
    /// Its first and its newest word.
    words: Option<(Duration, Duration)>,
}

impl Relief {
    /// Takes the kernel's word that work waits for memory; says whether that lasts by now.
    pub fn hear(&mut self, now: Duration) -> bool {
        let of_it = self.words.filter(|(_, newest)| now.saturating_sub(*newest) <= STREAK);
        let first = of_it.map_or(now, |(first, _)| first);
        self.words = Some((first, now));
        now.saturating_sub(first) >= LASTS
    }

    /// The place of the one who holds most, if anybody holds enough. What could not be measured is nobody's.
    pub fn choose(holders: impl Iterator<Item = (usize, Option<u64>)>) -> Option<(usize, u64)> {
        let measured = holders.filter_map(|(place, held)| Some((place, held?)));
        measured.filter(|(_, held)| *held >= WORTH).max_by_key(|(_, held)| *held)
    }
}

impl Machine {
    /// It may be restarted now to give its memory back.
    pub fn may_give_way(&self, now: Duration, spec: &ServiceSpec) -> bool {
        let is_spared = self.pressed.is_some_and(|last| now.saturating_sub(last) < SPARED.max(spec.care.cooldown));
        spec.care.on_pressure == OnPressure::Restart
            && matches!(self.phase, Phase::Alive { settled: true, .. })
            && !self.halting
            && !is_spared
            && !self.is_kept()
            && self.may_start(spec)
            && self.mendable(spec) <= now
    }

    /// It gives way at this moment, or has done so just now: nobody else has to.
    pub fn gives_way(&self, now: Duration) -> bool {
        let Some(last) = self.pressed else { return false };
        now.saturating_sub(last) < RECOVERY || (self.ailment == Some(Ailment::Unhealthy) && !self.is_over())
    }

    /// It gave way not long ago.
    pub fn was_pressed(&self, now: Duration) -> bool {
        self.pressed.is_some_and(|last| now.saturating_sub(last) < TOLD)
    }

    pub(super) fn give_way(&mut self, held: u64, turn: &mut Turn<'_>) {
        let Phase::Alive { daemon, .. } = self.phase else { return };
        if !self.may_give_way(turn.now, turn.spec) {
            return;
        }
        self.pressed = Some(turn.now);
        self.reason = text(format_args!("ended to give {}M back: work on the host waits for memory", held >> 20));
        turn.note(EventKind::ServicePressed, &self.reason.clone());
        // As an unhealthy one: it lived well until now, so it is answered at once, and paid.
        self.ailment = Some(Ailment::Unhealthy);
        self.halt(daemon, turn);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn one_word_is_a_hiccup_and_words_in_a_row_are_a_stall() {
        for (claim, words, expect) in [
            ("one word", &[0][..], "."),
            ("a second one in the next window", &[0, 2000], ".l"),
            ("and so on", &[0, 2000, 4100, 6200], ".lll"),
            ("two words about one moment", &[0, 10, 1400], "..."),
            ("far apart", &[0, 10_001, 20_100], "..."),
            ("begun anew", &[0, 2000, 13_000, 15_000], ".l.l"),
        ] {
            let mut relief = Relief::default();
            let heard: String = words.iter().map(|at| if relief.hear(ms(100_000 + at)) { 'l' } else { '.' }).collect();
            assert_eq!(heard, expect, "{claim}");
        }
    }

    #[test]
    fn the_largest_of_those_that_can_be_measured_is_chosen() {
        const M: u64 = 1 << 20;
        for (held, expect) in [
            (&[][..], None),
            (&[Some(7 * M)], None),
            (&[None, None], None),
            (&[Some(8 * M), None], Some((0, 8 * M))),
            (&[Some(20 * M), None, Some(300 * M), Some(7 * M)], Some((2, 300 * M))),
        ] {
            assert_eq!(Relief::choose(held.iter().copied().enumerate()), expect, "{held:?}");
        }
    }
}
