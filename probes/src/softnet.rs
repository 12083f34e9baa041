//! What each processor did with packets that came in, from /proc/net/softnet_stat: a line of hexadecimal numbers for each.
//!
//! ```text
//! 00015c73 00020e76 0000052a 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000003
//! processed dropped  squeezed                                        since 5.10 the thirteenth is the number of the processor
//! ```
//!
//! Read twice a minute and repeated in between.

use std::time::Duration;

use crate::metric::metrics;
use crate::path::Path;
use crate::{Fault, Fields, Look, MetricId, Pace, Probe, Sink, Source, Value};

metrics! { Softnet:
    PROCESSED: "processed", Count, Counter, "node_softnet_processed_total", "", "Packets that were worked on.";
    DROPPED: "dropped", Count, Counter, "node_softnet_dropped_total", "", "Packets that were dropped because too many waited.";
    SQUEEZED: "squeezed", Count, Counter, "node_softnet_times_squeezed_total", "", "Times that work was left over because its time was up.";
}
pub const LABELS: &[&str] = &["cpu"];

const PATH: &str = "proc/net/softnet_stat";
const RARELY: Duration = Duration::from_secs(30);
const COLUMNS: [MetricId; 3] = [PROCESSED, DROPPED, SQUEEZED];
/// The place of the processor's number, from 0.
const NUMBER: usize = 12;
/// More processors than this are not looked at.
const MOST: usize = 1024;

/// A processor and its counters.
type Line = (u32, [u32; COLUMNS.len()]);

pub struct Softnet {
    pace: Pace,
    last: Vec<Line>,
}

impl Default for Softnet {
    fn default() -> Self {
        Self { pace: Pace::at_most_every(RARELY), last: Vec::new() }
    }
}

impl Probe for Softnet {
    fn read(&mut self, look: &mut Look<'_>, out: &mut Sink<'_>) -> Result<(), Fault> {
        let now = look.now;
        if self.pace.is_due(now) {
            let last = &mut self.last;
            last.clear();
            let result =
                self.pace.run(now, || Source::new(PATH).each_line(look, &mut |number, line| take(number, line, last)));
            if let Some(Err(fault)) = result {
                self.last.clear();
                return Err(fault);
            }
        }
        for (cpu, counters) in &self.last {
            let name = Path::new("").number(i32::try_from(*cpu).unwrap_or(i32::MAX));
            let Some(object) = out.object(&[name.bytes()]) else { continue };
            for (metric, counter) in COLUMNS.into_iter().zip(counters) {
                out.put(object, metric, Value::Int(u64::from(*counter)));
            }
        }
        Ok(())
    }
}

fn take(number: u32, line: &[u8], lines: &mut Vec<Line>) -> Result<(), Fault> {
    let malformed = || Fault::malformed(PATH, number, line);
    let mut counters = [0; COLUMNS.len()];
    let mut cpu = number - 1;
    let mut count = 0;
    for (place, field) in Fields::new(line).enumerate() {
        let value = hexadecimal(field).ok_or_else(malformed)?;
        match counters.get_mut(place) {
            Some(counter) => *counter = value,
            None if place == NUMBER => cpu = value,
            None => {}
        }
        count = place + 1;
    }
    if count < COLUMNS.len() {
        return Err(malformed());
    }
    if lines.len() < MOST {
        lines.push((cpu, counters));
    }
    Ok(())
}

/// Eight digits, as all of these are.
fn hexadecimal(field: &[u8]) -> Option<u32> {
    let is_whole = field.len() == 8 && field.iter().all(u8::is_ascii_hexdigit);
    u32::from_str_radix(std::str::from_utf8(field).ok().filter(|_| is_whole)?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ProbeId;
    use crate::trial::{read_fixture, text_of, value};

    #[test]
    fn each_processor_has_its_counters() {
        let rows = read_fixture("big", ProbeId::Softnet, &mut Softnet::default()).expect("readable");
        for (field, cpu, expect) in [
            ("processed", "0", 0x0001_5c73),
            ("dropped", "0", 0),
            ("squeezed", "2", 2),
            ("processed", "2", u64::from(u32::MAX)),
        ] {
            assert_eq!(value(&rows, field, cpu), Some(Value::Int(expect)), "{field} {cpu}");
        }
        // An old kernel has no thirteenth number.
        let rows = read_fixture("old", ProbeId::Softnet, &mut Softnet::default()).expect("readable");
        assert_eq!(value(&rows, "dropped", "1"), Some(Value::Int(7)));
        assert_eq!(read_fixture("nopsi", ProbeId::Softnet, &mut Softnet::default()), Ok(vec![]));
    }

    #[test]
    fn a_processor_that_is_off_has_no_line() {
        let line = |number: &str| format!("00000009{}{number}", " 00000000".repeat(11) + " ");
        let mut lines = Vec::new();
        for (place, number) in [(1, "00000000"), (2, "00000003")] {
            take(place, line(number).as_bytes(), &mut lines).expect("it is a line");
        }
        assert_eq!(lines, [(0, [9, 0, 0]), (3, [9, 0, 0])]);
    }

    #[test]
    fn a_strange_line_is_refused_at_every_cut_of_a_number() {
        let text = text_of("big", PATH);
        let line = text.split(|byte| *byte == b'\n').next().expect("a line");
        for cut in 0..line.len() {
            let mut lines = Vec::new();
            let result = take(1, &line[..cut], &mut lines);
            let is_whole = cut >= 26 && (cut % 9 == 8 || cut % 9 == 0);
            assert_eq!(result.is_ok(), is_whole, "cut at {cut}");
        }
        for line in
            ["", "1 2 3", "0000000g 00000000 00000000", "+0000001 00000000 00000000", "000000001 00000000 00000000"]
        {
            assert!(take(1, line.as_bytes(), &mut Vec::new()).is_err(), "{line:?}");
        }
    }
}
