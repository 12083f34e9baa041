//! How fast each processor runs, from /sys/devices/system/cpu/cpuN/cpufreq: `scaling_cur_freq`, its limits, and `stats/time_in_state`.
//!
//! ```text
//! 2400000 2000      time_in_state: a frequency in kHz, and how long it was used, in hundredths of a second
//! ```
//!
//! Each file is a call into a driver, so they are read twice a minute and repeated in between. Most virtual machines have none.

use std::time::Duration;

use crate::metric::metrics;
use crate::path::Path;
use crate::{Cursor, Fault, Fields, Host, Look, Now, Pace, Probe, Sink, Source, Value, lines};

metrics! { Cpufreq:
    CURRENT: "current", Count, Gauge, "node_cpu_scaling_frequency_hertz", "", "Frequency of the processor, in Hertz.";
    LOWEST: "lowest", Count, Gauge, "node_cpu_frequency_min_hertz", "", "Lowest frequency of the processor, in Hertz.";
    HIGHEST: "highest", Count, Gauge, "node_cpu_frequency_max_hertz", "", "Highest frequency of the processor, in Hertz.";
    SCALING_LOWEST: "scaling_lowest", Count, Gauge, "node_cpu_scaling_frequency_min_hertz", "", "Lowest frequency the processor may be set to now, in Hertz.";
    SCALING_HIGHEST: "scaling_highest", Count, Gauge, "node_cpu_scaling_frequency_max_hertz", "", "Highest frequency the processor may be set to now, in Hertz.";
    CYCLES: "cycles", Count, Counter, "watchd_cpu_cycles_total", "", "Cycles of the processor: each frequency times how long it was used.";
}
pub const LABELS: &[&str] = &["cpu"];

const PRESENT: &str = "sys/devices/system/cpu/present";
/// More processors than this are not looked at.
const MOST: u64 = 1024;
/// Some dozens of frequencies with their times.
const TABLE: usize = 4096;

pub struct Cpufreq {
    present: Source,
    pace: Pace,
    last: Vec<Speed>,
}

/// What one processor tells; kHz times hundredths of a second for the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Speed {
    cpu: u64,
    current: Option<u64>,
    lowest: Option<u64>,
    highest: Option<u64>,
    scaling_lowest: Option<u64>,
    scaling_highest: Option<u64>,
    worked: Option<u64>,
}

impl Default for Cpufreq {
    fn default() -> Self {
        Self { present: Source::new(PRESENT), pace: Pace::at_most_every(Pace::USUAL), last: Vec::new() }
    }
}

impl Probe for Cpufreq {
    fn read(&mut self, look: &mut Look<'_>, out: &mut Sink<'_>) -> Result<(), Fault> {
        let (host, now) = (look.host, look.now);
        if self.pace.is_due(now) {
            self.last.clear();
            let text = self.present.read(look)?;
            let last = &mut self.last;
            self.pace.run(now, || each_in(text, &mut |cpu| last.extend(Speed::of(host, cpu))));
        }
        for speed in &self.last {
            speed.give(out);
        }
        Ok(())
    }

    fn age(&self, now: Now) -> Duration {
        self.pace.age(now)
    }
}

/// Calls `give` with each number of a list: `0-3,7`. What is no list has no numbers.
fn each_in(text: &[u8], give: &mut dyn FnMut(u64)) {
    for part in text.trim_ascii().split(|byte| *byte == b',') {
        let mut ends = part.splitn(2, |byte| *byte == b'-').map(|end| Cursor::new(end).whole_number());
        let Some(Some(first)) = ends.next() else {
            return;
        };
        let Some(last) = ends.next().unwrap_or(Some(first)) else {
            return;
        };
        (first..=last.min(MOST - 1)).for_each(&mut *give);
    }
}

impl Speed {
    /// None when the processor has no cpufreq.
    fn of(host: &Host, cpu: u64) -> Option<Self> {
        let number = i32::try_from(cpu).ok()?;
        let read = |file: &[u8], text: &mut [u8], take: &dyn Fn(&[u8]) -> Option<u64>| {
            let path = Path::new("sys/devices/system/cpu/cpu").number(number).text(b"/cpufreq/").text(file);
            take(host.read_small(path.bytes(), text).ok()?)
        };
        let single =
            |file: &[u8]| read(file, &mut [0; 32], &|text| Cursor::new(text.strip_suffix(b"\n")?).whole_number());
        let current = single(b"scaling_cur_freq");
        let worked = read(b"stats/time_in_state", &mut [0; TABLE], &worked);
        current.or(worked)?;
        let (lowest, highest) = (single(b"cpuinfo_min_freq"), single(b"cpuinfo_max_freq"));
        let (scaling_lowest, scaling_highest) = (single(b"scaling_min_freq"), single(b"scaling_max_freq"));
        Some(Self { cpu, current, lowest, highest, scaling_lowest, scaling_highest, worked })
    }

    fn give(&self, out: &mut Sink<'_>) {
        let name = Path::new("").number(i32::try_from(self.cpu).unwrap_or(-1));
        let Some(object) = out.object(&[name.bytes()]) else {
            return;
        };
        let hertz = |khz: u64| khz.checked_mul(1000);
        for (metric, value) in [
            (CURRENT, self.current.and_then(hertz)),
            (LOWEST, self.lowest.and_then(hertz)),
            (HIGHEST, self.highest.and_then(hertz)),
            (SCALING_LOWEST, self.scaling_lowest.and_then(hertz)),
            (SCALING_HIGHEST, self.scaling_highest.and_then(hertz)),
            (CYCLES, self.worked.and_then(|worked| worked.checked_mul(10))),
        ] {
            if value.is_some() {
                out.put(object, metric, Value::from(value));
            }
        }
    }
}

/// Kilohertz times hundredths of a second; none when a line is no pair of numbers.
fn worked(text: &[u8]) -> Option<u64> {
    let mut sum = 0_u64;
    for (_, line) in lines(text.ends_with(b"\n").then_some(text)?) {
        let mut fields = Fields::new(line);
        sum = sum.checked_add(fields.number()?.checked_mul(fields.number()?)?)?;
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ProbeId;
    use crate::trial::{read_fixture, value};

    #[test]
    fn what_a_driver_counts_is_told_and_what_it_does_not_is_not() {
        let rows = read_fixture("big", ProbeId::Cpufreq, &mut Cpufreq::default()).expect("readable");
        assert_eq!(rows.len(), 12 * 4 + 2);
        for (field, cpu, expect) in [
            ("highest", "11", 3_500_000_000),
            ("lowest", "0", 1_200_000_000),
            ("scaling_lowest", "0", 1_200_000_000),
            ("scaling_highest", "0", 2_400_000_000),
            ("cycles", "0", 1_035_548_000_000_000),
            ("cycles", "1", 1_035_548_071_000_000),
        ] {
            assert_eq!(value(&rows, field, cpu), Some(Value::Int(expect)), "{field} {cpu}");
        }
        let rows = read_fixture("old", ProbeId::Cpufreq, &mut Cpufreq::default()).expect("readable");
        assert_eq!(rows.len(), 4, "{rows:?}");
        assert_eq!(value(&rows, "current", "1"), Some(Value::Int(1_200_000_000)));
        assert_eq!(read_fixture("vm", ProbeId::Cpufreq, &mut Cpufreq::default()), Ok(vec![]));
    }

    #[test]
    fn lists_of_processors_are_read_and_bounded() {
        for (text, expect) in [
            ("0\n", vec![0]),
            ("0-3,7\n", vec![0, 1, 2, 3, 7]),
            ("", vec![]),
            ("x", vec![]),
            ("2-x,4", vec![]),
            ("3-1", vec![]),
            ("-", vec![]),
        ] {
            let mut found = Vec::new();
            each_in(text.as_bytes(), &mut |cpu| found.push(cpu));
            assert_eq!(found, expect, "{text:?}");
        }
        let mut count = 0;
        each_in(b"0-18446744073709551615\n", &mut |_| count += 1);
        assert_eq!(count, MOST);
    }

    #[test]
    fn a_table_that_is_cut_or_no_table_gives_no_sum() {
        assert_eq!(worked(b"2400000 2000\n1200000 86000000\n"), Some(2_400_000 * 2000 + 1_200_000 * 86_000_000));
        for text in
            ["", "2400000 2000", "2400000\n", "x 1\n", "18446744073709551615 2\n", "1 18446744073709551615\n1 1\n"]
        {
            assert_eq!(worked(text.as_bytes()), None, "{text:?}");
        }
    }
}
