//! Interrupts by source from /proc/interrupts: ` 41:      29058          0 PCI-MSIX-0000:00:04.0   1-edge      virtio3-rx`.
//!
//! The columns of all processors are summed; the text behind them is the second label, inner blanks kept. The kernel
//! takes 60 µs on a small machine and milliseconds on a large one to write the file, so it is read at a pace and the
//! last counts are repeated in between. The sum over all sources, read every turn, is `cpu.interrupts`.

use std::time::Duration;

use crate::metric::metrics;
use crate::{Cursor, Fault, Fields, Look, Now, Pace, Probe, Sink, Source, Value};

metrics! { Interrupts:
    COUNT: "count", Count, Counter, "watchd_interrupts_total", "", "Interrupts of one source, over all processors.";
}
pub const LABELS: &[&str] = &["irq", "info"];

const PATH: &str = "proc/interrupts";

pub struct Interrupts {
    source: Source,
    pace: Pace,
    last: Table,
}

impl Default for Interrupts {
    fn default() -> Self {
        Self { source: Source::new(PATH), pace: Pace::at_most_every(Pace::USUAL), last: Table::default() }
    }
}

impl Probe for Interrupts {
    fn read(&mut self, look: &mut Look<'_>, out: &mut Sink<'_>) -> Result<(), Fault> {
        let now = look.now;
        let (source, table) = (&mut self.source, &mut self.last);
        if let Some(result) = self.pace.run(now, || {
            table.clear();
            source.each_line(look, &mut |number, line| table.take(number, line))
        }) {
            result.inspect_err(|_| self.last.clear())?;
        }
        self.last.give(out);
        Ok(())
    }

    fn age(&self, now: Now) -> Duration {
        self.pace.age(now)
    }
}

/// What was read last; cleared and filled again without new memory.
#[derive(Default)]
struct Table {
    columns: usize,
    irqs: Vec<Irq>,
    text: Vec<u8>,
}

struct Irq {
    count: u64,
    name_len: usize,
    info_len: usize,
}

impl Table {
    fn clear(&mut self) {
        self.columns = 0;
        self.irqs.clear();
        self.text.clear();
    }

    /// Takes one line; the first names the processors.
    fn take(&mut self, number: u32, line: &[u8]) -> Result<(), Fault> {
        if number == 1 {
            self.columns = Fields::new(line).count();
            return if self.columns > 0 { Ok(()) } else { Err(Fault::malformed(PATH, number, line)) };
        }
        let malformed = || Fault::malformed(PATH, number, line);
        // A count may be glued to the colon.
        let colon = line.iter().position(|byte| *byte == b':').ok_or_else(malformed)?;
        let (name, rest) = line.split_at_checked(colon).ok_or_else(malformed)?;
        let name = name.trim_ascii();
        let mut fields = Fields::new(rest.strip_prefix(b":").unwrap_or(rest));
        let count = sum(&mut fields, self.columns).ok_or_else(malformed)?;
        let info = fields.rest().trim_ascii_end();
        self.irqs.push(Irq { count, name_len: name.len(), info_len: info.len() });
        self.text.extend_from_slice(name);
        self.text.extend_from_slice(info);
        Ok(())
    }

    fn give(&self, out: &mut Sink<'_>) {
        let mut text = &self.text[..];
        for irq in &self.irqs {
            let (name, rest) = text.split_at_checked(irq.name_len).unwrap_or_default();
            let (info, rest) = rest.split_at_checked(irq.info_len).unwrap_or_default();
            text = rest;
            if let Some(object) = out.object(&[name, info]) {
                out.put(object, COUNT, Value::Int(irq.count));
            }
        }
    }
}

/// Adds up to `columns` numbers; `ERR` and `MIS` have one only. None without any number.
fn sum(fields: &mut Fields<'_>, columns: usize) -> Option<u64> {
    let mut total: u64 = 0;
    for column in 0..columns {
        let mut ahead = fields.clone();
        match ahead.next().map(|word| Cursor::new(word).whole_number()) {
            Some(Some(count)) => total = total.wrapping_add(count),
            _ if column == 0 => return None,
            _ => break,
        }
        *fields = ahead;
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ProbeId;
    use crate::trial::{Reading, read_fixture, readings, survives_every_cut, text_of, value};

    fn give(text: &[u8], out: &mut Sink<'_>) -> Result<(), Fault> {
        let mut table = Table::default();
        crate::lines(text).try_for_each(|(number, line)| table.take(number, line))?;
        table.give(out);
        Ok(())
    }

    fn read(text: &[u8]) -> Result<Vec<Reading>, Fault> {
        readings(ProbeId::Interrupts, |out| give(text, out))
    }

    #[test]
    fn the_columns_of_all_processors_are_added() {
        let rows = read_fixture("big", ProbeId::Interrupts, &mut Interrupts::default()).expect("readable");
        assert_eq!(rows.len(), 28);
        let count =
            |irq: &str| rows.iter().find(|(_, object, _)| object.split(' ').next() == Some(irq)).map(|row| row.2);
        assert_eq!(count("0"), Some(Value::Int(7_423_239_975)));
        assert_eq!(count("NMI"), Some(Value::Int(5_245_455_318)));
        assert_eq!(count("ERR"), Some(Value::Int(0)));
        assert_eq!(count("MIS"), Some(Value::Int(17)));
    }

    #[test]
    fn what_stands_behind_the_counts_is_kept_as_it_is() {
        let rows = read(&text_of("old", "proc/interrupts")).expect("well-formed");
        assert_eq!(value(&rows, "count", "20 GICv2  30 Level     arch_timer"), Some(Value::Int(26_407_624)));
        assert_eq!(value(&rows, "count", "75 XT-PIC"), Some(Value::Int(7)));
        assert_eq!(value(&rows, "count", "Err "), Some(Value::Int(0)));
    }

    #[test]
    fn a_count_may_be_glued_to_the_name() {
        let rows = read(b" CPU0 CPU1\n123:4567890123 1 IO-APIC 7-edge eth0\n").expect("well-formed");
        assert_eq!(value(&rows, "count", "123 IO-APIC 7-edge eth0"), Some(Value::Int(4_567_890_124)));
    }

    #[test]
    fn a_line_without_a_count_is_refused() {
        for text in [" CPU0\n 1: x\n", " CPU0\n 1:\n", " CPU0\n no colon\n", "\n 1: 5\n"] {
            assert!(read(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn no_cut_gives_a_wrong_number() {
        for host in ["vm", "old"] {
            survives_every_cut(ProbeId::Interrupts, &text_of(host, "proc/interrupts"), give);
        }
    }
}
