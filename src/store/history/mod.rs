//! What the numbers were: the file `history` in the state directory, rings of four resolutions for every series worth a graph.
//!
//! ```text
//!   panel 0 | head | 32 names | 10 s x 6 h | 1 min x 3 d | 5 min x 5 w | 1 h x 2 y |  panel 1 | head | ...
//!                               one row per slot: CRC32, number of the slot, a value of each of the 32 series
//! ```
//!
//! A value takes 2 bytes (0.05 % exact); the first ring holds the mean of its slot, the others min, mean and max: 200 KiB a series,
//! 6.2 MiB a panel, two panels (64 series) for a small machine, eight at most. A measure of the policy is a series like the host's own,
//! with a sign. No picture is drawn so close that the steps of values
//! are seen (`export::history::range`). With a byte each for how far min and max are from the mean it would be 137 KiB; but a byte that
//! reaches from a millionth of the mean to a million times it has steps of 11 %, and the peak of an hour, which is what a coarse ring is
//! looked at for, would be told up to 5 % too high or too low: more than all processors, more than the whole disk. A panel is reserved when its first series appears, so
//! that nothing is ever moved: a new disk or service takes a free column, or that of a series unseen for a day, or a new panel. A
//! turn writes one row of 72 bytes per panel; nothing is mapped and nothing is flushed. A row that is torn or of another lap is no
//! data. After a crash the open slots are made again from the finer rings: at most one cycle is lost.

mod column;
mod kept;
mod level;
mod reader;
mod recover;
mod rings;
#[cfg(test)]
mod stories;
mod writer;

pub use kept::{MEASURE, expected, is_kept, key, key_of_measure, key_of_name};
pub use reader::{HistoryReader, Place, Point, Span};
pub use rings::{COLUMNS, Damage, Name, PANEL_BYTES, PANELS};
pub use writer::{History, Recorded};

/// One resolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tier {
    /// Seconds in a slot.
    pub step: u32,
    /// Slots until the ring begins again.
    pub slots: u32,
    /// Values for each series: the mean, or min, mean and max.
    values: usize,
}

/// From fine to coarse; each step is a multiple of the one before.
pub const TIERS: [Tier; 4] = [
    Tier { step: 10, slots: 6 * 360, values: 1 },
    Tier { step: 60, slots: 3 * 1440, values: 3 },
    Tier { step: 300, slots: 35 * 288, values: 3 },
    Tier { step: 3600, slots: 730 * 24, values: 3 },
];

impl Tier {
    /// How far back the ring reaches, in seconds.
    pub const fn reach(self) -> u64 {
        self.step as u64 * self.slots as u64
    }

    /// The slot of a moment. Slot 0 stands for "none", and its time is long past.
    fn slot(self, wall_s: u64) -> u32 {
        u32::try_from(wall_s / u64::from(self.step)).unwrap_or(u32::MAX).max(1)
    }

    /// When a slot begins.
    fn start(self, slot: u32) -> u64 {
        u64::from(slot) * u64::from(self.step)
    }
}
