//! The writer: takes the readings of a cycle, and writes what a slot came to when the next one begins.
//!
//! In memory is what the open slots have come to so far, reserved panel by panel. Everything else is in the
//! file. Time is the wall clock's: where it jumps, the slots do, and a slot that is met again goes on with what stands there.

use std::io;
use std::path::Path;
use std::time::Duration;

use watchd_probes::{Kind, MetricId, PROBES, Row};

use super::column::{Column, Sum};
use super::kept::{MEASURE, is_kept, key, key_of_measure, key_of_name};
use super::level::{self, Scale};
use super::rings::{COLUMNS, Damage, Levels, Name, PANELS, Rings};
use super::{TIERS, Tier};
use crate::model::Now;
use crate::store::Readings;

/// A series that was not seen for so long gives its column to one that needs it.
const GONE: Duration = Duration::from_secs(86_400);

/// After the disk had no room for a new panel it is asked again.
const AGAIN: Duration = Duration::from_secs(300);

/// The open row of the finest tier is written again at most so often.
const REWRITE: Duration = Duration::from_secs(1);

/// The usual cycle, and what a cycle counts for at least and at most: a host that was suspended was not measured.
const CYCLE: Duration = Duration::from_secs(10);
const SHORTEST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_secs(300);

/// How a cycle was recorded.
#[derive(Debug, Default)]
pub struct Recorded {
    /// The first thing that could not be written; what could be is.
    pub error: Option<io::Error>,
    /// Series that have no history because no panel can be added.
    pub without_room: u32,
}

impl Recorded {
    fn note(&mut self, result: io::Result<()>) {
        if let Err(error) = result {
            self.error.get_or_insert(error);
        }
    }
}

/// The history while it is written.
pub struct History {
    pub(super) rings: Rings,
    pub(super) columns: Vec<Column>,
    /// The open slot of each tier; 0 when none is.
    open: [u32; TIERS.len()],
    /// Added to the clock so that cycles fall into the middle of the finest slots, and none is left out for a millisecond.
    shift: Duration,
    turn: u32,
    /// Where the search for the next series begins: readings come in the same order.
    next: usize,
    /// When the open row of the finest tier was written, and whether it holds everything.
    rewritten: Duration,
    is_written: bool,
    /// When the last cycle was recorded.
    last: Option<Duration>,
    grow_at: Duration,
}

impl History {
    /// Opens the history, or begins one. Gives also what was there instead of one.
    pub fn open(path: &Path, now: Now) -> io::Result<(Self, Option<Damage>)> {
        let (rings, damage) = Rings::open(path)?;
        Ok((Self::new(rings, now)?, damage))
    }

    /// Takes up the names, and what the open slots had come to when the last writer ended.
    pub fn new(rings: Rings, now: Now) -> io::Result<Self> {
        let panels = rings.panels()?;
        let mut columns = Vec::new();
        columns.reserve_exact(panels * COLUMNS);
        for panel in 0..panels {
            for column in 0..COLUMNS {
                let name = rings.name(panel, column)?;
                let known = |name: Name| Column {
                    key: key_of_name(name.bytes()),
                    since: name.since(),
                    scale: name.scale(),
                    seen: now.mono,
                    ..Column::FREE
                };
                columns.push(name.map_or(Column::FREE, known));
            }
        }
        let mut history = Self {
            rings,
            columns,
            open: [0; TIERS.len()],
            shift: Duration::ZERO,
            turn: 0,
            next: 0,
            rewritten: Duration::ZERO,
            is_written: false,
            last: None,
            grow_at: Duration::ZERO,
        };
        history.resume(now)?;
        Ok(history)
    }

    /// The file, to be opened again for reading.
    pub fn file(&self) -> &std::fs::File {
        self.rings.file()
    }

    /// So many panels of the file are reserved.
    pub fn panels(&self) -> usize {
        self.columns.len() / COLUMNS
    }

    /// Records the readings of one cycle. Whatever fails, the rest goes on.
    pub fn record(&mut self, readings: Readings<'_>, now: Now) -> Recorded {
        self.record_with(readings, std::iter::empty(), now)
    }

    /// Records one cycle with what the policy's measures came to, by their ids.
    pub fn record_with<'m>(
        &mut self,
        readings: Readings<'_>,
        measures: impl Iterator<Item = (&'m str, f64)>,
        now: Now,
    ) -> Recorded {
        let mut recorded = Recorded::default();
        self.turn = self.turn.wrapping_add(1);
        self.centre(now);
        self.advance(now, &mut recorded);
        let weight = self.weigh(now);
        for (place, row) in readings.view.rows.iter().enumerate() {
            let object = readings.view.part(row.object(), 0);
            if is_kept(row.metric(), object) {
                let rate = readings.rates.get(place).copied();
                self.take(Source::Reading(row.metric(), object), (told(row, rate), weight), now, &mut recorded);
            }
        }
        for (id, value) in measures {
            self.take(Source::Measure(id), (Some(narrow(value)), weight), now, &mut recorded);
        }
        self.is_written = false;
        if now.mono.saturating_sub(self.rewritten) >= REWRITE || now.mono < self.rewritten {
            self.rewritten = now.mono;
            self.is_written = true;
            let result = self.write(0);
            recorded.note(result);
        }
        recorded
    }

    /// How much a cycle counts in a mean: as the time since the last one, in steps of the finest tier.
    fn weigh(&mut self, now: Now) -> f32 {
        let apart = self.last.replace(now.mono).map_or(CYCLE, |last| now.mono.saturating_sub(last));
        apart.clamp(SHORTEST, LONGEST).as_secs_f32() / CYCLE.as_secs_f32()
    }

    /// Moves the borders of the finest slots away from the cycles when they have come too near.
    fn centre(&mut self, now: Now) {
        let [finest, ..] = TIERS;
        let (step, margin) = (u128::from(finest.step) * 1000, u128::from(finest.step) * 100);
        let phase = (now.wall + self.shift).as_millis() % step;
        if phase < margin || phase > step - margin {
            let phase = now.wall.as_millis() % step;
            let missing = (step + step / 2 - phase) % step;
            self.shift = Duration::from_millis(u64::try_from(missing).unwrap_or(0));
        }
    }

    /// The slot of each tier now. The finest may be half a step before or behind the clock.
    fn slot(&self, tier: usize, shape: Tier, now: Now) -> u32 {
        let (step, half) = (u64::from(shape.step), u64::from(shape.step / 2));
        let back = if self.shift.as_secs() <= half { 0 } else { step };
        let wall = if tier == 0 { (now.wall + self.shift).saturating_sub(Duration::from_secs(back)) } else { now.wall };
        shape.slot(wall.as_secs())
    }

    /// Closes the slots that are over and opens those of now.
    fn advance(&mut self, now: Now, recorded: &mut Recorded) {
        let mut is_back = false;
        for (tier, shape) in TIERS.into_iter().enumerate() {
            let (slot, open) = (self.slot(tier, shape, now), self.opened(tier));
            if slot == open {
                continue;
            }
            if open != 0 && !(tier == 0 && self.is_written) {
                let result = self.write(tier);
                recorded.note(result);
            }
            self.begin(tier, slot);
            // The clock was set back: what the finer tiers have of this slot belongs to it.
            if slot < open {
                is_back = true;
                let result = self.gather(tier);
                recorded.note(result);
            }
        }
        if is_back {
            let result = self.date_back(now);
            recorded.note(result);
        }
    }

    pub(super) fn opened(&self, tier: usize) -> u32 {
        self.open.get(tier).copied().unwrap_or(0)
    }

    pub(super) fn begin(&mut self, tier: usize, slot: u32) {
        if let Some(open) = self.open.get_mut(tier) {
            *open = slot;
        }
        for sum in self.columns.iter_mut().filter_map(|column| column.sums.get_mut(tier)) {
            *sum = Sum::NONE;
        }
    }

    /// Takes one value.
    fn take(&mut self, source: Source<'_>, (value, weight): (Option<f32>, f32), now: Now, recorded: &mut Recorded) {
        let key = source.key();
        let place = match self.find(key) {
            Some(place) => place,
            None => match self.adopt(source, key, now) {
                Ok(Some(place)) => place,
                Ok(None) => {
                    recorded.without_room += 1;
                    return;
                }
                Err(error) => {
                    recorded.without_room += 1;
                    recorded.note(Err(error));
                    return;
                }
            },
        };
        self.next = place + 1;
        let turn = self.turn;
        // The second object of one name in a turn is left out.
        let Some(column) = self.columns.get_mut(place).filter(|column| column.turn != turn) else { return };
        (column.turn, column.seen) = (turn, now.mono);
        let lowest = if column.scale == Scale::Up { 0.0 } else { f32::MIN };
        if let Some(value) = value.filter(|value| value.is_finite() && *value >= lowest) {
            for sum in &mut column.sums {
                sum.add([value; 3], weight);
            }
        }
    }

    fn find(&self, key: u64) -> Option<usize> {
        let (before, after) = self.columns.split_at_checked(self.next).unwrap_or((&self.columns, &[]));
        let after = (self.next..).zip(after);
        after.chain((0..).zip(before)).find(|(_, column)| column.key == key).map(|(place, _)| place)
    }

    /// Gives a new series a column: a free one, that of a series long gone, or one of a new panel. None when there is no room.
    fn adopt(&mut self, source: Source<'_>, key: u64, now: Now) -> io::Result<Option<usize>> {
        let since = seconds(now.wall);
        let Some(name) = source.name(since) else { return Ok(None) };
        let free = |column: &Column| column.key == 0;
        let gone = |column: &Column| now.mono.saturating_sub(column.seen) >= GONE;
        let place = match self.columns.iter().position(free).or_else(|| self.columns.iter().position(gone)) {
            Some(place) => place,
            None => match self.grow(now)? {
                Some(place) => place,
                None => return Ok(None),
            },
        };
        self.rings.write_name(place / COLUMNS, place % COLUMNS, &name)?;
        if let Some(column) = self.columns.get_mut(place) {
            *column = Column { key, since, scale: name.scale(), seen: now.mono, ..Column::FREE };
        }
        Ok(Some(place))
    }

    /// Reserves a panel and gives its first place; none when there are as many as there may be, or it is not yet time to ask again.
    fn grow(&mut self, now: Now) -> io::Result<Option<usize>> {
        let panel = self.panels();
        if panel >= PANELS || now.mono < self.grow_at {
            return Ok(None);
        }
        self.grow_at = now.mono + AGAIN;
        self.rings.add_panel(panel)?;
        self.grow_at = Duration::ZERO;
        self.columns.reserve_exact(COLUMNS);
        self.columns.resize(self.columns.len() + COLUMNS, Column::FREE);
        Ok(Some(panel * COLUMNS))
    }

    /// Writes the open row of a tier in each panel that has something to tell. The first failure is given, after all were tried.
    fn write(&self, tier: usize) -> io::Result<()> {
        let (slot, mut result) = (self.opened(tier), Ok(()));
        for (panel, columns) in self.columns.chunks(COLUMNS).enumerate() {
            let mut levels: Levels = [level::NONE; COLUMNS * 3];
            let values = if tier == 0 { 1 } else { 3 };
            let mut is_empty = true;
            for (column, room) in columns.iter().zip(levels.chunks_exact_mut(values)) {
                let Some(sum) = column.sums.get(tier).filter(|sum| !sum.is_empty()) else { continue };
                is_empty = false;
                let [min, mean, max] = sum.values();
                let encode = |value| column.scale.encode(value);
                match room {
                    [one] => *one = encode(mean),
                    all => all.iter_mut().zip([min, mean, max]).for_each(|(to, from)| *to = encode(from)),
                }
            }
            if !is_empty {
                result = result.and(self.rings.write_row(panel, tier, slot, &levels));
            }
        }
        result
    }
}

/// What the values of a series are of.
#[derive(Clone, Copy)]
enum Source<'a> {
    /// A metric of an object.
    Reading(MetricId, &'a [u8]),
    /// A measure of the policy.
    Measure(&'a str),
}

impl Source<'_> {
    fn key(self) -> u64 {
        match self {
            Self::Reading(metric, object) => key(metric, object),
            Self::Measure(id) => key_of_measure(id),
        }
    }

    /// None when there is no such metric, or the name is longer than there is room for.
    fn name(self, since: u32) -> Option<Name> {
        match self {
            Self::Reading(metric, object) => {
                let (info, field) = PROBES.get(metric.probe()).zip(metric.metric())?;
                Name::new((info.name, field.field), object, since)
            }
            Self::Measure(id) => Name::new(MEASURE, id.as_bytes(), since),
        }
    }
}

/// What is kept of a reading: the level of a gauge, the rate of a counter.
fn told(row: &Row, rate: Option<f32>) -> Option<f32> {
    match row.metric().metric()?.kind {
        Kind::Gauge => row.value().number().map(narrow),
        Kind::Counter => rate,
    }
}

#[allow(clippy::cast_possible_truncation)]
fn narrow(value: f64) -> f32 {
    value as f32
}

pub(super) fn seconds(wall: Duration) -> u32 {
    u32::try_from(wall.as_secs()).unwrap_or(u32::MAX)
}
