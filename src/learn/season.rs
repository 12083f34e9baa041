//! What is usual at a time of the week: levels for 672 quarters of an hour, 96 of a day, and spreads for 48 hours.
//!
//! A cell of the week learns with weight 1/n and forgets over about two months; before it has been visited it leans on the same
//! quarter of any day. The spread is pooled over the hours of working days and of weekends, which follow the level; a cell whose
//! own values lie further apart (the edge of a nightly job that starts late) widens its own spread and no other.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Seconds of a week.
pub const WEEK: u32 = 7 * 86_400;
pub const QUARTER: u32 = 900;
const CELLS: usize = 672;
const QUARTERS: usize = 96;
const HOURS: usize = 48;

/// Observed seconds after which a cell's new values count no more than this many old ones: eight visits.
const CELL_MEMORY: u16 = 8 * 900;
/// The same for the quarter of a day.
const DAY_MEMORY: u16 = 14 * 900;
/// And for a pooled spread: four weeks of that hour on working days.
const SPREAD_MEMORY: u32 = 20 * 3_600;
/// Time constants of an hour's drift, in seconds of that hour: in calm and in a stubborn alarm.
const HOUR_S: f32 = 10.0 * 3_600.0;
const HURRY_S: f32 = 1.5 * 3_600.0;
/// Visits that count for an hour's trouble, and the share from which alarms there teach.
const TROUBLE_S: f32 = 2.5 * 3_600.0;
const STUBBORN: f32 = 0.5;
/// And for a spread that is outdated.
const HURRIED_MEMORY: u32 = 3 * 3_600;
/// A cell's own trust, in seconds of its quarter, against the day's.
const LEAN: f32 = 300.0;
/// An hour seen for less than this has no spread yet: a visit and a half. It matters when what was learned of it is lost.
const KNOWN_S: u32 = 5_400;

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Cell {
    level: f32,
    seen_s: u16,
    /// The distance that one in ten exceeds, from the level, in 16ths of the pooled spread.
    reach: u16,
}

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Hour {
    distance: f32,
    seen_s: u32,
    /// Share of samples that equal the one before.
    same: f32,
    /// How far this hour has moved from its cells of late.
    drift: f32,
    /// Share of the last visits spent in alarm.
    trouble: f32,
}

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Season {
    cells: [Cell; CELLS],
    day: [Cell; QUARTERS],
    hours: [Hour; HOURS],
}

/// What is known of one time of the week: all that a sample is compared with, and all that it can teach.
#[derive(Clone, Copy)]
pub struct Moment {
    pub cell: Cell,
    pub day: Cell,
    pub hour: Hour,
}

/// What is usual now.
#[derive(Clone, Copy, Debug)]
pub struct Usual {
    pub level: f32,
    pub spread: f32,
    /// Share of samples that equal the one before.
    pub same: f32,
    /// A whole week is known.
    pub trusted: bool,
    /// Alarms at this hour have become the rule.
    pub troubled: bool,
    /// The hour was seen often enough to be compared with.
    pub known: bool,
}

/// Places of one time of the week in the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Of 672 quarters of an hour.
    pub cell: usize,
    /// Of 96.
    pub quarter: usize,
    /// Of 24 of working days, then 24 of weekends.
    pub hour: usize,
}

impl Place {
    pub fn of(week_s: u32) -> Self {
        let quarter = (week_s % WEEK) / QUARTER;
        let weekend = u32::from(quarter >= 5 * 96);
        let hour = weekend * 24 + (quarter % 96) / 4;
        let index = |number: u32| usize::try_from(number).unwrap_or_default();
        Self { cell: index(quarter), quarter: index(quarter % 96), hour: index(hour) }
    }

    /// The 28 quarters of an hour of the day, of all days.
    pub fn of_hour(hour: usize) -> impl Iterator<Item = Self> {
        (0..WEEK).step_by(QUARTER as usize).map(Self::of).filter(move |place| place.quarter / 4 == hour)
    }
}

impl Season {
    pub fn moment(&self, week_s: u32) -> Moment {
        let place = Place::of(week_s);
        Moment {
            cell: self.cells.get(place.cell).copied().unwrap_or(Cell::NONE),
            day: self.day.get(place.quarter).copied().unwrap_or(Cell::NONE),
            hour: self.hours.get(place.hour).copied().unwrap_or(Hour::NONE),
        }
    }

    pub fn put(&mut self, week_s: u32, moment: &Moment) {
        let place = Place::of(week_s);
        if let (Some(cell), Some(day), Some(hour)) =
            (self.cells.get_mut(place.cell), self.day.get_mut(place.quarter), self.hours.get_mut(place.hour))
        {
            (*cell, *day, *hour) = (moment.cell, moment.day, moment.hour);
        }
    }
}

impl Moment {
    /// A level is a distance from the profile's base; `smallest` is the spread that cannot be undercut.
    pub fn usual(&self, smallest: f32) -> Usual {
        let Self { cell, day, hour } = self;
        let seen = f32::from(cell.seen_s);
        let level = if day.seen_s == 0 { cell.level } else { (seen * cell.level + LEAN * day.level) / (seen + LEAN) };
        let level = level + hour.drift;
        // Of normal values, one in ten is further away than 1.64 spreads, that is 26 sixteenths.
        let own = (f32::from(cell.reach) / 26.0 * 0.7).max(1.0);
        Usual {
            level,
            spread: (hour.distance * 1.25 * own).max(smallest),
            same: hour.same,
            trusted: false,
            troubled: hour.trouble > STUBBORN,
            known: hour.seen_s >= KNOWN_S,
        }
    }

    /// Counts an alarm, or none, at this hour.
    pub fn count(&mut self, alarm: f32, seconds: f32) {
        self.hour.trouble += (alarm - self.hour.trouble) * seconds / (TROUBLE_S + seconds);
    }

    /// Learns how often values repeat; also from a flat line, or one that stays would be told of for ever.
    pub fn repeat(&mut self, same: f32, seconds: u16) {
        let hour = &mut self.hour;
        hour.same += f32::from(seconds) / hour.seen_s.max(u32::from(seconds)).max(1) as f32 * (same - hour.same);
    }

    /// Learns the level `value` (without drift) seen for `seconds`; what lies beyond `clip` spreads teaches no more than that.
    pub fn learn(&mut self, mut value: f32, usual: &Usual, lesson: &Lesson) {
        let off = value - usual.level;
        let bound = usual.spread * lesson.clip;
        let hour = &mut self.hour;
        let memory = if lesson.hurry { HURRIED_MEMORY } else { SPREAD_MEMORY };
        hour.seen_s = (hour.seen_s.saturating_add(u32::from(lesson.seconds))).min(memory);
        let rate = f32::from(lesson.seconds) / hour.seen_s.max(1) as f32;
        hour.distance += rate * (off.abs().min(bound.max(hour.distance * lesson.clip * 1.25)) - hour.distance);
        if usual.trusted {
            hour.drift +=
                off.clamp(-bound, bound) * f32::from(lesson.seconds) / if lesson.hurry { HURRY_S } else { HOUR_S };
            value -= hour.drift;
        }
        let pooled = (hour.distance * 1.25).max(1e-30);
        self.cell.widen(off.abs() / pooled);
        for (cell, memory) in [(&mut self.cell, CELL_MEMORY), (&mut self.day, DAY_MEMORY)] {
            cell.learn(value, memory, bound, lesson.seconds);
        }
    }
}

/// How much a sample may teach.
#[derive(Clone, Copy, Debug)]
pub struct Lesson {
    pub seconds: u16,
    pub clip: f32,
    /// What was known is outdated.
    pub hurry: bool,
}

impl Hour {
    pub const NONE: Self = Self { distance: 0.0, seen_s: 0, same: 0.0, drift: 0.0, trouble: 0.0 };
}

impl Cell {
    pub const NONE: Self = Self { level: 0.0, seen_s: 0, reach: 0 };

    fn learn(&mut self, value: f32, memory: u16, bound: f32, seconds: u16) {
        let fresh = self.seen_s == 0;
        self.seen_s = self.seen_s.saturating_add(seconds).min(memory);
        let rate = f32::from(seconds) / f32::from(self.seen_s.max(1));
        let off = value - self.level;
        // Nothing is known against the first visit's values.
        let known = !fresh && self.seen_s > 900;
        self.level += rate * if known { off.clamp(-bound, bound) } else { off };
    }

    /// One step toward the upper tenth.
    fn widen(&mut self, distance: f32) {
        let reach = f32::from(self.reach) / 16.0;
        self.reach =
            if distance > reach { self.reach.saturating_add(18).min(400) } else { self.reach.saturating_sub(2) };
    }
}
