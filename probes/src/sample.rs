//! One turn's readings: rows of (metric, object, value), the objects they speak of, and how each probe fared.
//!
//! Everything is plain data of fixed layout, so that a sample can be copied to shared memory and read there by another
//! process of the same build. Buffers are reserved once (`ROWS` × 16 B, `OBJECTS` × 8 B, `TEXT` B; only what is filled is touched).
//! A probe's rows stand together; what does not fit is counted in its state, never silently lost.

use std::time::Duration;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{Fault, MetricId, PROBES, ProbeId};

/// 300 CPUs × 10 states, 128 services × 6 and 500 objects of other kinds fit.
pub const ROWS: usize = 8 << 10;
pub const OBJECTS: usize = 2 << 10;
pub const TEXT: usize = 48 << 10;

/// A measured value, or the fact that there is none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    Unknown,
    Int(u64),
    Float(f64),
}

impl Value {
    /// As a number for arithmetic; none when unknown. Counts above 2^53 lose their last digits.
    #[allow(clippy::cast_precision_loss)]
    pub fn number(self) -> Option<f64> {
        match self {
            Self::Unknown => None,
            Self::Int(value) => Some(value as f64),
            Self::Float(value) => Some(value),
        }
    }

    pub fn int(self) -> Option<u64> {
        match self {
            Self::Int(value) => Some(value),
            Self::Unknown | Self::Float(_) => None,
        }
    }
}

impl From<Option<u64>> for Value {
    fn from(value: Option<u64>) -> Self {
        value.map_or(Self::Unknown, Self::Int)
    }
}

/// Which object a row speaks of; the whole host is [`ObjectId::HOST`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObjectId(u16);

impl ObjectId {
    pub const HOST: Self = Self(0);
}

/// One reading.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Row {
    bits: u64,
    metric: u16,
    object: u16,
    tag: u32,
}

const TAG_UNKNOWN: u32 = 0;
const TAG_INT: u32 = 1;
const TAG_FLOAT: u32 = 2;

impl Row {
    fn new(metric: MetricId, object: ObjectId, value: Value) -> Self {
        let (tag, bits) = match value {
            Value::Unknown => (TAG_UNKNOWN, 0),
            Value::Int(value) => (TAG_INT, value),
            Value::Float(value) => (TAG_FLOAT, value.to_bits()),
        };
        Self { bits, metric: metric.0, object: object.0, tag }
    }

    pub fn metric(&self) -> MetricId {
        MetricId(self.metric)
    }

    pub fn object(&self) -> ObjectId {
        ObjectId(self.object)
    }

    pub fn value(&self) -> Value {
        match self.tag {
            TAG_INT => Value::Int(self.bits),
            TAG_FLOAT => Value::Float(f64::from_bits(self.bits)),
            _ => Value::Unknown,
        }
    }
}

/// Something that is measured: an interface, a mount point, a service. Its parts are the values of its probe's labels,
/// NUL-separated in the text of the sample; the first is its name.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Object {
    start: u32,
    len: u16,
    probe: u16,
}

/// How a probe fared in the turn its rows come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ProbeState {
    /// First row and one past the last.
    first: u32,
    end: u32,
    took_us: u32,
    /// Rows that found no room.
    dropped: u32,
    up: u32,
    age_ms: u32,
}

impl ProbeState {
    /// Whether the last read worked. A source that this kernel does not have counts as worked, with no rows.
    pub fn is_up(&self) -> bool {
        self.up == 1
    }

    /// Where the probe's rows begin among all rows.
    pub fn first(&self) -> u32 {
        self.first
    }

    pub fn took_us(&self) -> u32 {
        self.took_us
    }

    pub fn dropped(&self) -> u32 {
        self.dropped
    }

    /// How old the readings were when the sample was taken; 0 for what is read in every turn.
    pub fn age(&self) -> Duration {
        Duration::from_millis(self.age_ms.into())
    }
}

/// The number of probes, for arrays beside them.
pub const PROBE_COUNT: usize = PROBES.len();

/// The readings of one turn while they are gathered.
pub struct Sample {
    rows: Vec<Row>,
    objects: Vec<Object>,
    text: Vec<u8>,
    probes: [ProbeState; PROBE_COUNT],
    faults: [Option<Fault>; PROBE_COUNT],
}

impl Default for Sample {
    fn default() -> Self {
        Self {
            rows: Vec::with_capacity(ROWS),
            objects: Vec::with_capacity(OBJECTS),
            text: Vec::with_capacity(TEXT),
            probes: [ProbeState::default(); PROBE_COUNT],
            faults: [const { None }; PROBE_COUNT],
        }
    }
}

impl Sample {
    /// Forgets the last turn; object 0, the host, is there again.
    pub fn begin(&mut self) {
        self.rows.clear();
        self.objects.clear();
        self.text.clear();
        self.objects.push(Object { start: 0, len: 0, probe: u16::MAX });
    }

    /// Opens a probe's stretch of rows.
    pub fn sink(&mut self, probe: ProbeId) -> Sink<'_> {
        let first = u32::try_from(self.rows.len()).unwrap_or(u32::MAX);
        if let Some(state) = self.probes.get_mut(probe as usize) {
            *state = ProbeState { first, end: first, ..ProbeState::default() };
        }
        Sink { sample: self, probe }
    }

    /// Closes a probe's stretch. Rows of a probe that failed are taken back: a half-read source gives nothing.
    pub fn finish(&mut self, probe: ProbeId, result: Result<(), Fault>, took_us: u32) {
        let failed = result.as_ref().err().is_some_and(|fault| !fault.is_absence());
        let Some(state) = self.probes.get_mut(probe as usize) else { return };
        if failed {
            self.rows.truncate(state.first as usize);
        }
        state.end = u32::try_from(self.rows.len()).unwrap_or(u32::MAX);
        state.took_us = took_us;
        state.up = u32::from(!failed);
        if let Some(fault) = self.faults.get_mut(probe as usize) {
            *fault = result.err();
        }
    }

    /// Says how old a probe's readings are.
    pub fn age(&mut self, probe: ProbeId, age: Duration) {
        if let Some(state) = self.probes.get_mut(probe as usize) {
            state.age_ms = u32::try_from(age.as_millis()).unwrap_or(u32::MAX);
        }
    }

    /// Why a probe gave nothing in the last turn.
    pub fn fault(&self, probe: ProbeId) -> Option<&Fault> {
        self.faults.get(probe as usize)?.as_ref()
    }

    pub fn view(&self) -> View<'_> {
        View { rows: &self.rows, objects: &self.objects, text: &self.text, probes: &self.probes }
    }
}

/// Where one probe puts its readings.
pub struct Sink<'a> {
    sample: &'a mut Sample,
    probe: ProbeId,
}

impl Sink<'_> {
    /// Announces an object by the values of the probe's labels, its name first.
    /// When there is no room left the host stands in and the loss is counted.
    pub fn object(&mut self, parts: &[&[u8]]) -> Option<ObjectId> {
        let sample = &mut *self.sample;
        let len = parts.iter().map(|part| part.len() + 1).sum::<usize>().saturating_sub(1);
        let (Ok(start), Ok(short), Ok(id)) =
            (u32::try_from(sample.text.len()), u16::try_from(len), u16::try_from(sample.objects.len()))
        else {
            self.lose();
            return None;
        };
        if sample.objects.len() >= OBJECTS || sample.text.len() + len > TEXT {
            self.lose();
            return None;
        }
        for (place, part) in parts.iter().enumerate() {
            if place > 0 {
                sample.text.push(0);
            }
            sample.text.extend(part.iter().map(|byte| if *byte == 0 { b'?' } else { *byte }));
        }
        sample.objects.push(Object { start, len: short, probe: self.probe as u16 });
        Some(ObjectId(id))
    }

    /// Gives one reading of an object.
    pub fn put(&mut self, object: ObjectId, metric: MetricId, value: Value) {
        debug_assert_eq!(metric.probe(), self.probe as usize, "a probe gives its own metrics only");
        if self.sample.rows.len() >= ROWS {
            self.lose();
            return;
        }
        self.sample.rows.push(Row::new(metric, object, value));
    }

    /// Gives one whole number about the host.
    pub fn host(&mut self, metric: MetricId, value: u64) {
        self.put(ObjectId::HOST, metric, Value::Int(value));
    }

    fn lose(&mut self) {
        if let Some(state) = self.sample.probes.get_mut(self.probe as usize) {
            state.dropped = state.dropped.saturating_add(1);
        }
    }
}

/// Readings to look at, wherever they are kept: in a sample or in a copy of the board.
#[derive(Clone, Copy)]
pub struct View<'a> {
    pub rows: &'a [Row],
    pub objects: &'a [Object],
    pub text: &'a [u8],
    pub probes: &'a [ProbeState],
}

impl<'a> View<'a> {
    /// The rows of one probe, in the order it gave them.
    pub fn of(&self, probe: ProbeId) -> &'a [Row] {
        self.probes
            .get(probe as usize)
            .and_then(|state| self.rows.get(state.first as usize..state.end as usize))
            .unwrap_or(&[])
    }

    pub fn state(&self, probe: ProbeId) -> ProbeState {
        self.probes.get(probe as usize).copied().unwrap_or_default()
    }

    /// One reading of one object; `Unknown` when there is none.
    pub fn get(&self, metric: MetricId, object: ObjectId) -> Value {
        let Some(info) = PROBES.get(metric.probe()) else { return Value::Unknown };
        self.of(info.id)
            .iter()
            .find(|row| row.metric() == metric && row.object() == object)
            .map_or(Value::Unknown, Row::value)
    }

    /// One reading about the host as a whole.
    pub fn host(&self, metric: MetricId) -> Value {
        self.get(metric, ObjectId::HOST)
    }

    /// The objects of one probe, in the order it announced them.
    pub fn objects(&self, probe: ProbeId) -> impl Iterator<Item = ObjectId> + use<'a> {
        self.objects
            .iter()
            .enumerate()
            .filter(move |(_, object)| object.probe == probe as u16)
            .filter_map(|(place, _)| u16::try_from(place).ok().map(ObjectId))
    }

    /// The object of a probe with this name (its first part).
    pub fn find(&self, probe: ProbeId, name: &[u8]) -> Option<ObjectId> {
        self.objects(probe).find(|object| self.part(*object, 0) == name)
    }

    /// One part of an object's text: 0 is its name. Empty when there is none.
    pub fn part(&self, object: ObjectId, place: usize) -> &'a [u8] {
        if place == 0 && object == ObjectId::HOST {
            return &[];
        }
        self.parts(object).nth(place).unwrap_or(&[])
    }

    /// All parts of an object's text.
    pub fn parts(&self, object: ObjectId) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.whole(object).split(|byte| *byte == 0)
    }

    /// An object's text with all its parts, NUL between two: of equal objects it is equal.
    pub fn whole(&self, object: ObjectId) -> &'a [u8] {
        self.objects
            .get(usize::from(object.0))
            .and_then(|object| self.text.get(object.start as usize..)?.get(..usize::from(object.len)))
            .unwrap_or(&[])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load;

    #[test]
    fn a_probe_that_failed_gives_no_rows() {
        let mut sample = Sample::default();
        sample.begin();
        sample.sink(ProbeId::Load).host(load::ONE, 1);
        sample.finish(ProbeId::Load, Err(Fault::malformed("proc/loadavg", 1, b"x")), 7);
        assert!(sample.view().of(ProbeId::Load).is_empty());
        assert!(!sample.view().state(ProbeId::Load).is_up());
    }

    #[test]
    fn an_object_is_found_by_its_name_and_keeps_its_parts() {
        let mut sample = Sample::default();
        sample.begin();
        let root = sample.sink(ProbeId::Filesystem).object(&[b"/", b"/dev/vda", b"ext4"]);
        assert_eq!(sample.view().find(ProbeId::Filesystem, b"/"), root);
        assert_eq!(root.map(|root| sample.view().part(root, 2)), Some(&b"ext4"[..]));
        assert_eq!(sample.view().find(ProbeId::Network, b"/"), None);
    }

    #[test]
    fn unknown_is_not_zero() {
        let mut sample = Sample::default();
        sample.begin();
        sample.sink(ProbeId::Load).put(ObjectId::HOST, load::ONE, Value::Unknown);
        sample.finish(ProbeId::Load, Ok(()), 0);
        assert_eq!(sample.view().host(load::ONE), Value::Unknown);
        assert_eq!(sample.view().host(load::FIVE), Value::Unknown);
    }
}
