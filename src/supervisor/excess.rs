//! Whether a service uses more than it may, and for how long it has.
//!
//! What cannot be measured says nothing: the time begins anew. A limit counts as kept again a twentieth below it, so that it does not
//! come and go. Exceeded where the policy says `restart`, the service is ended like an unhealthy one: only when its next
//! start can be paid at once.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::{Amount, Bound, Deed, EventKind, Figures, PRESSED, ServiceSpec};

use super::Action;
use super::machine::{Machine, Phase, Turn};
use super::text::{Span, text};

/// The limits of one service, in the order of its policy.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Excess {
    marks: Vec<Mark>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    /// What it was measured for: the number of the quantity, and its limit.
    what: u8,
    max: u64,
    /// Since when it is exceeded without a break.
    since: Option<Duration>,
    is_high: bool,
    /// By another program: the first thing that this one cannot measure, a rate, says nothing about the service.
    is_left: bool,
}

/// What one measurement changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Nothing,
    Rose,
    Fell,
}

impl Mark {
    fn measure(&mut self, value: Option<u64>, bound: &Bound, now: Duration) -> Change {
        let was_left = std::mem::take(&mut self.is_left);
        match value {
            None if was_left => Change::Nothing,
            Some(value) if value > bound.max => {
                let since = *self.since.get_or_insert(now);
                let is_news = !self.is_high && now.saturating_sub(since) >= bound.lasts;
                self.is_high |= is_news;
                if is_news { Change::Rose } else { Change::Nothing }
            }
            Some(value) if self.is_high && value <= bound.max - bound.max / 20 => {
                (self.since, self.is_high) = (None, false);
                Change::Fell
            }
            _ => {
                self.since = None;
                Change::Nothing
            }
        }
    }
}

impl Excess {
    /// Another process, another count.
    pub fn clear(&mut self) {
        self.marks.clear();
    }

    /// Nothing was measured for a while: what is not exceeded yet begins anew.
    pub fn rest(&mut self) {
        for mark in self.marks.iter_mut().filter(|mark| !mark.is_high) {
            mark.since = None;
        }
    }

    /// Takes up what another program has measured, as far as it is about the same limits.
    pub fn inherit(&mut self, left: &Self, spec: &ServiceSpec) {
        let same = |bound: &Bound| {
            let of_it = |mark: &&Mark| (mark.what, mark.max) == (bound.what.byte(), bound.max);
            left.marks.iter().find(of_it).map(|mark| Mark { is_left: true, ..*mark })
        };
        self.marks = spec.care.bounds.iter().map(|bound| same(bound).unwrap_or_default()).collect();
    }

    fn high<'a>(&'a self, spec: &'a ServiceSpec) -> impl Iterator<Item = &'a Bound> {
        self.marks.iter().zip(&spec.care.bounds).filter(|(mark, _)| mark.is_high).map(|(_, bound)| bound)
    }

    /// Something is exceeded that the policy answers with a restart.
    pub fn wants_restart(&self, spec: &ServiceSpec) -> bool {
        self.high(spec).any(|bound| bound.deed == Deed::Restart)
    }
}

impl Machine {
    /// What is exceeded, one bit for each of `Quantity`; and whether it gave way lately.
    pub fn over(&self, now: Duration, spec: &ServiceSpec) -> u8 {
        let pressed = if self.was_pressed(now) { PRESSED } else { 0 };
        self.excess.high(spec).fold(pressed, |over, bound| over | 1 << bound.what.byte())
    }

    pub(super) fn weigh(&mut self, figures: &Figures, turn: &mut Turn<'_>) {
        let Phase::Alive { daemon, settled: true } = self.phase else { return };
        if self.pause.is_some() {
            return;
        }
        self.excess.marks.resize(turn.spec.care.bounds.len(), Mark::default());
        for (place, bound) in turn.spec.care.bounds.iter().enumerate() {
            let value = figures.get(usize::from(bound.what.byte())).copied().flatten();
            let Some(mark) = self.excess.marks.get_mut(place) else { continue };
            (mark.what, mark.max) = (bound.what.byte(), bound.max);
            let (name, max) = (bound.what.word(), Amount(bound.what, bound.max));
            match mark.measure(value, bound, turn.now) {
                Change::Nothing => {}
                Change::Rose => {
                    let is = Amount(bound.what, value.unwrap_or(bound.max));
                    let lasts = Span(bound.lasts);
                    let why = text(format_args!("{name} {is} is above {max} for {lasts}"));
                    self.ail(why, EventKind::ServiceExcess, turn);
                    if let (Deed::Run(_), Ok(place)) = (&bound.deed, u8::try_from(place)) {
                        turn.push(Action::Deed(place));
                    }
                }
                Change::Fell => {
                    self.all_well(daemon);
                    turn.note(EventKind::ServiceExcess, &text(format_args!("{name} is below {max} again")));
                }
            }
        }
        self.attend(daemon, true, turn);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Quantity;

    #[test]
    fn a_limit_is_exceeded_after_its_time_without_a_break() {
        let bound = Bound { what: Quantity::Fds, max: 100, lasts: Duration::from_secs(20), deed: Deed::Report };
        // One value every ten seconds; none is "cannot tell".
        for (claim, values, expect) in [
            ("at the limit is within it", &[Some(100); 9][..], "........."),
            ("after its time", &[Some(101), Some(200), Some(101), Some(101)], "..R."),
            ("a break begins anew", &[Some(101), Some(101), Some(100), Some(101), Some(101), Some(101)], ".....R"),
            ("what cannot be told says nothing", &[Some(101), Some(101), None, Some(101), Some(101)], "....."),
            ("well below", &[Some(101), Some(101), Some(101), Some(99), None, Some(96), Some(95)], "..R...F"),
            ("again", &[Some(101), Some(101), Some(101), Some(1), Some(101), Some(101), Some(101)], "..RF..R"),
        ] {
            let mut mark = Mark::default();
            let seen: String = (0..)
                .zip(values)
                .map(|(turn, value)| match mark.measure(*value, &bound, Duration::from_secs(1000 + 10 * turn)) {
                    Change::Nothing => '.',
                    Change::Rose => 'R',
                    Change::Fell => 'F',
                })
                .collect();
            assert_eq!(seen, expect, "{claim}");
        }
    }
}
