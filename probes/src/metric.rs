//! What can be measured: name, unit, kind, help and the name it is exported under, written once per metric.
//!
//! `metrics!` is called by each probe and makes both the constant ids and the table behind them, so the two
//! cannot disagree. A metric's full name is `probe.field`.

use crate::{PROBES, ProbeId};

/// What a value counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Count,
    Bytes,
    Seconds,
    Percent,
}

/// How a value moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A level, as it is now.
    Gauge,
    /// A sum since some start; only its growth means something.
    Counter,
}

/// One measured quantity.
#[derive(Debug)]
pub struct Metric {
    /// The second half of `probe.field`.
    pub field: &'static str,
    pub unit: Unit,
    pub kind: Kind,
    /// Family name on the metrics page; node_exporter's where it has the fact, `watchd_…` where it has not.
    pub family: &'static str,
    /// Labels that belong to the metric rather than to the object, as they are written: `mode="user"`.
    pub labels: &'static str,
    pub help: &'static str,
}

/// Which metric: its probe, and its place in that probe's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MetricId(pub(crate) u16);

impl MetricId {
    /// For `metrics!` only.
    #[doc(hidden)]
    pub const fn new(probe: ProbeId, place: u8) -> Self {
        Self(((probe as u16) << 8) | place as u16)
    }

    pub const fn probe(self) -> usize {
        (self.0 >> 8) as usize
    }

    pub const fn place(self) -> usize {
        (self.0 & 0xff) as usize
    }

    /// The table entry; none for an id that came from another build's board.
    pub fn metric(self) -> Option<&'static Metric> {
        PROBES.get(self.probe())?.metrics.get(self.place())
    }

    /// Looks a metric up by its full name, `memory.free`.
    pub fn from_name(name: &str) -> Option<Self> {
        let (probe, field) = name.split_once('.')?;
        let info = PROBES.iter().find(|info| info.name == probe)?;
        let place = info.metrics.iter().position(|metric| metric.field == field)?;
        Some(Self::new(info.id, u8::try_from(place).ok()?))
    }
}

/// Makes `METRICS` and one `pub const NAME: MetricId` for each row.
///
/// ```text
/// metrics! { Load:
///     ONE: "one", Count, Gauge, "node_load1", "", "Runnable and blocked tasks, averaged over one minute.";
/// }
/// ```
macro_rules! metrics {
    ($probe:ident: $($id:ident: $field:literal, $unit:ident, $kind:ident, $family:literal, $labels:literal, $help:literal;)*) => {
        #[allow(non_camel_case_types, clippy::upper_case_acronyms)]
        #[repr(u8)]
        enum Place { $($id,)* }
        $(#[doc = $help] pub const $id: $crate::MetricId = $crate::MetricId::new($crate::ProbeId::$probe, Place::$id as u8);)*
        /// This probe's metrics, in the order of their ids.
        pub const METRICS: &[$crate::Metric] = &[$($crate::Metric {
            field: $field,
            unit: $crate::Unit::$unit,
            kind: $crate::Kind::$kind,
            family: $family,
            labels: $labels,
            help: $help,
        },)*];
    };
}
pub(crate) use metrics;
