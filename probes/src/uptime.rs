//! Time since boot from /proc/uptime: `5123.47 9180.02`.
//!
//! The second number adds up the idle time of all processors.

use crate::metric::metrics;
use crate::{Cursor, Fault, Fields, Look, ObjectId, Probe, Sink, Source, Value, lines};

metrics! { Uptime:
    UP: "up", Seconds, Gauge, "watchd_uptime_seconds", "", "Time since the kernel started.";
    IDLE: "idle", Seconds, Counter, "watchd_uptime_idle_seconds_total", "", "Idle time of all processors since then.";
}
pub const LABELS: &[&str] = &[];

const PATH: &str = "proc/uptime";

pub struct Uptime {
    source: Source,
}

impl Default for Uptime {
    fn default() -> Self {
        Self { source: Source::new(PATH) }
    }
}

impl Probe for Uptime {
    fn read(&mut self, look: &mut Look<'_>, out: &mut Sink<'_>) -> Result<(), Fault> {
        give(self.source.read(look)?, out)
    }
}

fn give(text: &[u8], out: &mut Sink<'_>) -> Result<(), Fault> {
    let (up, idle) = parse(text).ok_or_else(|| Fault::malformed(PATH, 1, text))?;
    out.put(ObjectId::HOST, UP, Value::Float(up));
    out.put(ObjectId::HOST, IDLE, Value::Float(idle));
    Ok(())
}

fn parse(text: &[u8]) -> Option<(f64, f64)> {
    let (_, line) = lines(text).next()?;
    let mut fields = Fields::new(line);
    let mut number = || Cursor::new(fields.next()?).whole_decimal();
    Some((number()?, number()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ProbeId;
    use crate::trial::{read_fixture, readings, survives_every_cut, value};

    #[test]
    fn the_time_is_read() {
        let rows = read_fixture("old", ProbeId::Uptime, &mut Uptime::default()).expect("readable");
        assert_eq!(value(&rows, "up", ""), Some(Value::Float(100.5)));
        assert_eq!(value(&rows, "idle", ""), Some(Value::Float(200.0)));
    }

    #[test]
    fn a_strange_line_is_refused() {
        for text in ["1.0\n", "1.0 x\n", "-1.0 2.0\n", "\n"] {
            assert!(readings(ProbeId::Uptime, |out| give(text.as_bytes(), out)).is_err(), "{text}");
        }
    }

    #[test]
    fn no_cut_gives_a_wrong_number() {
        survives_every_cut(ProbeId::Uptime, b"5123.47 9180.02\n", give);
    }
}
