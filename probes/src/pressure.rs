//! Pressure stall information from /proc/pressure/{cpu,memory,io}: `some avg10=0.00 avg60=0.09 avg300=0.48 total=19048086`.
//!
//! The averages are percent, the total is microseconds and given in seconds. A kernel before 4.20, without the option
//! or told `psi=0` has none of it: absence. Before 5.13 the cpu file has no `full` line.

use crate::fault::if_present;
use crate::metric::metrics;
use crate::{Cursor, Fault, Fields, Look, MetricId, ObjectId, Probe, Sink, Source, Value, lines};

metrics! { Pressure:
    CPU_SOME_10: "cpu_some_10", Percent, Gauge, "watchd_pressure_percent", "resource=\"cpu\",kind=\"some\",window=\"10s\"", "Share of the last 10 seconds in which some task waited for a processor.";
    CPU_SOME_60: "cpu_some_60", Percent, Gauge, "watchd_pressure_percent", "resource=\"cpu\",kind=\"some\",window=\"1m\"", "Share of the last minute in which some task waited for a processor.";
    CPU_SOME_300: "cpu_some_300", Percent, Gauge, "watchd_pressure_percent", "resource=\"cpu\",kind=\"some\",window=\"5m\"", "Share of the last 5 minutes in which some task waited for a processor.";
    CPU_SOME_TOTAL: "cpu_some_total", Seconds, Counter, "node_pressure_cpu_waiting_seconds_total", "", "Time in which some task waited for a processor.";
    CPU_FULL_10: "cpu_full_10", Percent, Gauge, "watchd_pressure_percent", "resource=\"cpu\",kind=\"full\",window=\"10s\"", "Share of the last 10 seconds in which no task could run because all waited for a processor.";
    CPU_FULL_60: "cpu_full_60", Percent, Gauge, "watchd_pressure_percent", "resource=\"cpu\",kind=\"full\",window=\"1m\"", "Share of the last minute in which no task could run because all waited for a processor.";
    CPU_FULL_300: "cpu_full_300", Percent, Gauge, "watchd_pressure_percent", "resource=\"cpu\",kind=\"full\",window=\"5m\"", "Share of the last 5 minutes in which no task could run because all waited for a processor.";
    CPU_FULL_TOTAL: "cpu_full_total", Seconds, Counter, "watchd_pressure_cpu_stalled_seconds_total", "", "Time in which no task could run because all waited for a processor.";
    MEMORY_SOME_10: "memory_some_10", Percent, Gauge, "watchd_pressure_percent", "resource=\"memory\",kind=\"some\",window=\"10s\"", "Share of the last 10 seconds in which some task waited for memory.";
    MEMORY_SOME_60: "memory_some_60", Percent, Gauge, "watchd_pressure_percent", "resource=\"memory\",kind=\"some\",window=\"1m\"", "Share of the last minute in which some task waited for memory.";
    MEMORY_SOME_300: "memory_some_300", Percent, Gauge, "watchd_pressure_percent", "resource=\"memory\",kind=\"some\",window=\"5m\"", "Share of the last 5 minutes in which some task waited for memory.";
    MEMORY_SOME_TOTAL: "memory_some_total", Seconds, Counter, "node_pressure_memory_waiting_seconds_total", "", "Time in which some task waited for memory.";
    MEMORY_FULL_10: "memory_full_10", Percent, Gauge, "watchd_pressure_percent", "resource=\"memory\",kind=\"full\",window=\"10s\"", "Share of the last 10 seconds in which no task could run because all waited for memory.";
    MEMORY_FULL_60: "memory_full_60", Percent, Gauge, "watchd_pressure_percent", "resource=\"memory\",kind=\"full\",window=\"1m\"", "Share of the last minute in which no task could run because all waited for memory.";
    MEMORY_FULL_300: "memory_full_300", Percent, Gauge, "watchd_pressure_percent", "resource=\"memory\",kind=\"full\",window=\"5m\"", "Share of the last 5 minutes in which no task could run because all waited for memory.";
    MEMORY_FULL_TOTAL: "memory_full_total", Seconds, Counter, "node_pressure_memory_stalled_seconds_total", "", "Time in which no task could run because all waited for memory.";
    IO_SOME_10: "io_some_10", Percent, Gauge, "watchd_pressure_percent", "resource=\"io\",kind=\"some\",window=\"10s\"", "Share of the last 10 seconds in which some task waited for a disk.";
    IO_SOME_60: "io_some_60", Percent, Gauge, "watchd_pressure_percent", "resource=\"io\",kind=\"some\",window=\"1m\"", "Share of the last minute in which some task waited for a disk.";
    IO_SOME_300: "io_some_300", Percent, Gauge, "watchd_pressure_percent", "resource=\"io\",kind=\"some\",window=\"5m\"", "Share of the last 5 minutes in which some task waited for a disk.";
    IO_SOME_TOTAL: "io_some_total", Seconds, Counter, "node_pressure_io_waiting_seconds_total", "", "Time in which some task waited for a disk.";
    IO_FULL_10: "io_full_10", Percent, Gauge, "watchd_pressure_percent", "resource=\"io\",kind=\"full\",window=\"10s\"", "Share of the last 10 seconds in which no task could run because all waited for a disk.";
    IO_FULL_60: "io_full_60", Percent, Gauge, "watchd_pressure_percent", "resource=\"io\",kind=\"full\",window=\"1m\"", "Share of the last minute in which no task could run because all waited for a disk.";
    IO_FULL_300: "io_full_300", Percent, Gauge, "watchd_pressure_percent", "resource=\"io\",kind=\"full\",window=\"5m\"", "Share of the last 5 minutes in which no task could run because all waited for a disk.";
    IO_FULL_TOTAL: "io_full_total", Seconds, Counter, "node_pressure_io_stalled_seconds_total", "", "Time in which no task could run because all waited for a disk.";
}
pub const LABELS: &[&str] = &[];

/// Metrics of one line, in the order of its words.
type Line = [MetricId; 4];

/// A file and the metrics of its two lines.
struct Stall {
    source: Source,
    some: Line,
    full: Line,
}

pub struct Pressure {
    stalls: [Stall; 3],
}

impl Default for Pressure {
    fn default() -> Self {
        Self {
            stalls: [
                Stall {
                    source: Source::new("proc/pressure/cpu"),
                    some: [CPU_SOME_10, CPU_SOME_60, CPU_SOME_300, CPU_SOME_TOTAL],
                    full: [CPU_FULL_10, CPU_FULL_60, CPU_FULL_300, CPU_FULL_TOTAL],
                },
                Stall {
                    source: Source::new("proc/pressure/memory"),
                    some: [MEMORY_SOME_10, MEMORY_SOME_60, MEMORY_SOME_300, MEMORY_SOME_TOTAL],
                    full: [MEMORY_FULL_10, MEMORY_FULL_60, MEMORY_FULL_300, MEMORY_FULL_TOTAL],
                },
                Stall {
                    source: Source::new("proc/pressure/io"),
                    some: [IO_SOME_10, IO_SOME_60, IO_SOME_300, IO_SOME_TOTAL],
                    full: [IO_FULL_10, IO_FULL_60, IO_FULL_300, IO_FULL_TOTAL],
                },
            ],
        }
    }
}

impl Probe for Pressure {
    fn read(&mut self, look: &mut Look<'_>, out: &mut Sink<'_>) -> Result<(), Fault> {
        let mut absent = None;
        for stall in &mut self.stalls {
            let path = stall.source.path();
            match if_present(stall.source.read(look))? {
                Some(text) => give(text, path, [&stall.some, &stall.full], out)?,
                None => absent = Some(Fault::Absent { path }),
            }
        }
        absent.map_or(Ok(()), Err)
    }
}

fn give(text: &[u8], path: &'static str, metrics: [&Line; 2], out: &mut Sink<'_>) -> Result<(), Fault> {
    let [some, full] = metrics;
    for (number, line) in lines(text) {
        let mut fields = Fields::new(line);
        let metrics = match fields.next() {
            Some(b"some") => some,
            Some(b"full") => full,
            _ => continue,
        };
        let values = stalls(&mut fields).ok_or_else(|| Fault::malformed(path, number, line))?;
        for (metric, value) in metrics.iter().zip(values) {
            out.put(ObjectId::HOST, *metric, Value::Float(value));
        }
    }
    Ok(())
}

fn stalls(fields: &mut Fields<'_>) -> Option<[f64; 4]> {
    let mut average = |name: &[u8]| {
        let mut word = Cursor::new(fields.next()?);
        word.skip(name)?;
        word.whole_decimal()
    };
    let [ten, sixty, three_hundred] = [average(b"avg10=")?, average(b"avg60=")?, average(b"avg300=")?];
    let mut total = Cursor::new(fields.next()?);
    total.skip(b"total=")?;
    Some([ten, sixty, three_hundred, micros(total.whole_number()?)])
}

#[allow(clippy::cast_precision_loss)]
fn micros(value: u64) -> f64 {
    value as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ProbeId;
    use crate::trial::{read_fixture, readings, survives_every_cut, value};

    const SAMPLE: &[u8] = b"some avg10=1.50 avg60=0.09 avg300=0.48 total=19048086\n\
        full avg10=0.25 avg60=0.00 avg300=0.00 total=12\n";

    fn io(text: &[u8], out: &mut Sink<'_>) -> Result<(), Fault> {
        let Pressure { stalls: [_, _, io] } = Pressure::default();
        give(text, io.source.path(), [&io.some, &io.full], out)
    }

    #[test]
    fn averages_are_percent_and_totals_are_seconds() {
        let rows = readings(ProbeId::Pressure, |out| io(SAMPLE, out)).expect("well-formed");
        assert_eq!(rows.len(), 8);
        assert_eq!(value(&rows, "io_some_10", ""), Some(Value::Float(1.5)));
        assert_eq!(value(&rows, "io_some_total", ""), Some(Value::Float(19.048086)));
        assert_eq!(value(&rows, "io_full_10", ""), Some(Value::Float(0.25)));
        assert_eq!(value(&rows, "io_full_total", ""), Some(Value::Float(0.000_012)));
    }

    #[test]
    fn three_resources_are_read_and_an_old_cpu_file_has_no_full() {
        let rows = read_fixture("vm", ProbeId::Pressure, &mut Pressure::default()).expect("readable");
        assert_eq!(value(&rows, "memory_some_60", ""), Some(Value::Float(0.11)));
        assert_eq!(value(&rows, "cpu_some_total", ""), Some(Value::Float(19.048086)));
        assert_eq!(value(&rows, "cpu_full_total", ""), None);
        assert_eq!(rows.len(), 20);
    }

    #[test]
    fn a_kernel_without_it_is_no_failure() {
        let rows = read_fixture("nopsi", ProbeId::Pressure, &mut Pressure::default());
        assert_eq!(rows, Ok(vec![]));
    }

    #[test]
    fn a_strange_line_is_refused() {
        for text in [
            "some avg10=0.00 avg60=0.09 avg300=0.48\n",
            "some avg10=0.00 avg60=0.09 avg300=0.48 total=\n",
            "some avg10=nan avg60=0.09 avg300=0.48 total=1\n",
            "full avg60=0.00 avg10=0.00 avg300=0.00 total=0\n",
        ] {
            assert!(readings(ProbeId::Pressure, |out| io(text.as_bytes(), out)).is_err(), "{text}");
        }
    }

    #[test]
    fn no_cut_gives_a_wrong_number() {
        survives_every_cut(ProbeId::Pressure, SAMPLE, io);
    }
}
