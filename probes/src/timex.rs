//! How well the clock is kept, as the kernel tells it to who asks with adjtimex(2) and changes nothing.
//!
//! It is no file: who has the system call leaves its answer in [`Timex::told`] before each turn. Where it is refused (a container, a
//! unit with `ProtectClock=`) or another host's tree is read, there is none, and nothing is given.

use crate::metric::metrics;
use crate::{Fault, Look, MetricId, ObjectId, Probe, Sink, Value};

metrics! { Timex:
    SYNCED: "synced", Count, Gauge, "node_timex_sync_status", "", "1 while something keeps the clock right, 0 when nothing does.";
    OFFSET: "offset", Seconds, Gauge, "node_timex_offset_seconds", "", "How far the clock is still to be moved.";
    MAX_ERROR: "max_error", Seconds, Gauge, "node_timex_maxerror_seconds", "", "How wrong the clock is at most.";
    ESTIMATED_ERROR: "estimated_error", Seconds, Gauge, "node_timex_estimated_error_seconds", "", "How wrong the clock is by estimate.";
    FREQUENCY: "frequency", Count, Gauge, "node_timex_frequency_adjustment_ratio", "", "How fast the clock is made to run; 1 is as the hardware has it.";
    TICK: "tick", Seconds, Gauge, "node_timex_tick_seconds", "", "Time between two ticks of the clock.";
    CONSTANT: "constant", Count, Gauge, "node_timex_loop_time_constant", "", "How slowly the clock follows what corrects it.";
    TAI: "tai", Seconds, Gauge, "node_timex_tai_offset_seconds", "", "International Atomic Time less universal time, where somebody told it.";
    STATUS: "status", Count, Gauge, "node_timex_status", "", "The bits of the kernel's clock discipline.";
}
pub const LABELS: &[&str] = &[];

/// The bit of the status that says that offsets are in nanoseconds.
const NANO: i64 = 0x2000;
/// The kernel's unit of frequency: 2⁻¹⁶ millionths.
const FREQUENCY_UNITS: f64 = 65_536e6;

/// What the kernel said, in its own units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    pub is_synced: bool,
    /// Nanoseconds or microseconds, as the status has it.
    pub offset: i64,
    pub frequency: i64,
    pub max_error_us: i64,
    pub estimated_error_us: i64,
    pub status: i64,
    pub constant: i64,
    pub tick_us: i64,
    pub tai_s: i64,
}

#[derive(Default)]
pub struct Timex {
    pub told: Option<Told>,
}

impl Probe for Timex {
    fn read(&mut self, look: &mut Look<'_>, out: &mut Sink<'_>) -> Result<(), Fault> {
        if let Some(told) = self.told.filter(|_| look.host.is_native()) {
            for (metric, value) in told.values() {
                out.put(ObjectId::HOST, metric, Value::Float(value));
            }
        }
        Ok(())
    }
}

impl Told {
    // Below 2^53 in all that a kernel says.
    #[allow(clippy::cast_precision_loss)]
    fn values(self) -> [(MetricId, f64); 9] {
        let per_second = if self.status & NANO == 0 { 1e6 } else { 1e9 };
        [
            (SYNCED, f64::from(u8::from(self.is_synced))),
            (OFFSET, self.offset as f64 / per_second),
            (MAX_ERROR, self.max_error_us as f64 / 1e6),
            (ESTIMATED_ERROR, self.estimated_error_us as f64 / 1e6),
            (FREQUENCY, 1.0 + self.frequency as f64 / FREQUENCY_UNITS),
            (TICK, self.tick_us as f64 / 1e6),
            (CONSTANT, self.constant as f64),
            (TAI, self.tai_s as f64),
            (STATUS, self.status as f64),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ProbeId;
    use crate::trial::{read_fixture, readings, value};

    fn given(told: Told) -> Vec<crate::trial::Reading> {
        readings(ProbeId::Timex, |out| {
            let host = crate::Host::open(std::path::Path::new("/")).expect("it is there");
            let mut buffer = crate::Buffer::default();
            let mut look = Look { host: &host, buffer: &mut buffer, now: crate::Now::default() };
            Timex { told: Some(told) }.read(&mut look, out)
        })
        .expect("nothing is read")
    }

    #[test]
    fn the_units_of_the_kernel_become_seconds() {
        let told =
            Told { is_synced: true, offset: -1_500, frequency: 6_553_600, max_error_us: 16_000_000, ..Told::default() };
        let micros = given(Told { tick_us: 10_000, tai_s: 37, ..told });
        for (field, expect) in [
            ("synced", 1.0),
            ("offset", -0.0015),
            ("frequency", 1.0001),
            ("max_error", 16.0),
            ("tick", 0.01),
            ("tai", 37.0),
        ] {
            assert_eq!(value(&micros, field, ""), Some(Value::Float(expect)), "{field}");
        }
        let nanos = given(Told { status: NANO | 1, ..told });
        assert_eq!(value(&nanos, "offset", ""), Some(Value::Float(-0.000_001_5)));
        assert_eq!(value(&nanos, "status", ""), Some(Value::Float(8193.0)));
    }

    #[test]
    fn nothing_is_told_where_nobody_was_asked_or_of_another_host() {
        assert_eq!(read_fixture("big", ProbeId::Timex, &mut Timex::default()), Ok(vec![]));
        assert_eq!(read_fixture("big", ProbeId::Timex, &mut Timex { told: Some(Told::default()) }), Ok(vec![]));
    }
}
