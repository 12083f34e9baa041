//! How many neighbours each interface knows the hardware address of, from /proc/net/arp.
//!
//! ```text
//! IP address       HW type     Flags       HW address            Mask     Device
//! 192.168.1.254    0x1         0x2         00:16:3e:00:00:fe     *        eth0
//! ```
//!
//! The table has up to thousands of lines on a router, so it is counted twice a minute at most and repeated in between.

use std::time::Duration;

use crate::metric::metrics;
use crate::{Fault, Fields, Look, Pace, Probe, Sink, Source, Value};

metrics! { Arp:
    ENTRIES: "entries", Count, Gauge, "node_arp_entries", "", "Neighbours of the interface in the table of hardware addresses.";
}
pub const LABELS: &[&str] = &["device"];

const PATH: &str = "proc/net/arp";
const RARELY: Duration = Duration::from_secs(30);
/// The kernel's limit is 15 bytes.
const NAME: usize = 16;
/// More interfaces than this are not told apart.
const MOST: usize = 256;

/// Name, its length, and how many.
type Count = ([u8; NAME], usize, u64);

pub struct Arp {
    pace: Pace,
    last: Vec<Count>,
}

impl Default for Arp {
    fn default() -> Self {
        Self { pace: Pace::at_most_every(RARELY), last: Vec::new() }
    }
}

impl Probe for Arp {
    fn read(&mut self, look: &mut Look<'_>, out: &mut Sink<'_>) -> Result<(), Fault> {
        let now = look.now;
        if self.pace.is_due(now) {
            let last = &mut self.last;
            last.clear();
            // Closed again: it is not read often enough to be kept open.
            let result =
                self.pace.run(now, || Source::new(PATH).each_line(look, &mut |number, line| count(number, line, last)));
            if let Some(Err(fault)) = result {
                self.last.clear();
                return Err(fault);
            }
        }
        for (name, len, count) in &self.last {
            if let Some(device) = out.object(&[name.get(..*len).unwrap_or_default()]) {
                out.put(device, ENTRIES, Value::Int(*count));
            }
        }
        Ok(())
    }
}

/// Adds one line, the first of which is the titles.
fn count(number: u32, line: &[u8], counts: &mut Vec<Count>) -> Result<(), Fault> {
    if number == 1 {
        return Ok(());
    }
    let malformed = || Fault::malformed(PATH, number, line);
    let mut fields = Fields::new(line);
    let device =
        fields.nth(5).filter(|device| device.len() < NAME && fields.rest().is_empty()).ok_or_else(malformed)?;
    if let Some((.., count)) = counts.iter_mut().find(|(name, len, _)| name.get(..*len) == Some(device)) {
        *count += 1;
    } else if counts.len() < MOST {
        let mut name = [0; NAME];
        name.iter_mut().zip(device).for_each(|(to, from)| *to = *from);
        counts.push((name, device.len(), 1));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ProbeId;
    use crate::trial::{read_fixture, text_of, value};

    #[test]
    fn neighbours_are_counted_by_interface() {
        let rows = read_fixture("big", ProbeId::Arp, &mut Arp::default()).expect("readable");
        assert_eq!(rows.len(), 2, "{rows:?}");
        assert_eq!(value(&rows, "entries", "eth0"), Some(Value::Int(3)));
        assert_eq!(value(&rows, "entries", "eth0.100"), Some(Value::Int(1)));
        assert_eq!(read_fixture("nopsi", ProbeId::Arp, &mut Arp::default()), Ok(vec![]));
    }

    #[test]
    fn a_strange_line_is_refused_and_many_names_are_bounded() {
        for line in [
            "",
            "10.0.0.1 0x1 0x2 00:00 *",
            "10.0.0.1 0x1 0x2 00:00 * eth0 eth1",
            "10.0.0.1 0x1 0x2 00:00 * a-very-long-name",
        ] {
            assert!(count(2, line.as_bytes(), &mut Vec::new()).is_err(), "{line:?}");
        }
        let mut counts = Vec::new();
        for number in 0..1000 {
            count(2, format!("10.0.0.1 0x1 0x2 00:00 * eth{number}").as_bytes(), &mut counts).expect("it is a line");
        }
        assert_eq!(counts.len(), MOST);
    }

    #[test]
    fn no_cut_gives_a_wrong_name() {
        let text = text_of("big", PATH);
        let line = text.split(|byte| *byte == b'\n').nth(1).expect("a line");
        for cut in 0..line.len() {
            let mut counts = Vec::new();
            // A line is cut only together with its end, which `each_line` refuses.
            if count(2, &line[..cut], &mut counts).is_ok() {
                assert!(b"eth0".starts_with(&counts[0].0[..counts[0].1]), "cut at {cut}");
            }
        }
    }
}
