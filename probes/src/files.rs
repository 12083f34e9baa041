//! Open files and inodes from /proc/sys/fs/file-nr, `960\t0\t9223372036854775807`, and inode-nr, `21040\t312`.
//!
//! Since 2.6 the kernel gives unused files back at once, so the second number of file-nr is always 0.

use crate::metric::metrics;
use crate::{Fault, Fields, Look, MetricId, Probe, Sink, Source};

metrics! { Files:
    ALLOCATED: "allocated", Count, Gauge, "node_filefd_allocated", "", "Open files of the whole host.";
    UNUSED: "unused", Count, Gauge, "watchd_filefd_unused", "", "Open files that are allocated but not used.";
    MAXIMUM: "maximum", Count, Gauge, "node_filefd_maximum", "", "How many files may be open on the whole host.";
    INODES: "inodes", Count, Gauge, "watchd_inodes_allocated", "", "Inodes held in memory.";
    INODES_UNUSED: "inodes_unused", Count, Gauge, "watchd_inodes_unused", "", "Inodes held in memory that nobody uses.";
}
pub const LABELS: &[&str] = &[];

const FILES: &str = "proc/sys/fs/file-nr";
const NODES: &str = "proc/sys/fs/inode-nr";

pub struct Files {
    files: Source,
    nodes: Source,
}

impl Default for Files {
    fn default() -> Self {
        Self { files: Source::new(FILES), nodes: Source::new(NODES) }
    }
}

impl Probe for Files {
    fn read(&mut self, look: &mut Look<'_>, out: &mut Sink<'_>) -> Result<(), Fault> {
        give(self.files.read(look)?, FILES, &[ALLOCATED, UNUSED, MAXIMUM], out)?;
        give(self.nodes.read(look)?, NODES, &[INODES, INODES_UNUSED], out)
    }
}

/// Gives the numbers of the only line, in order.
fn give(text: &[u8], path: &'static str, metrics: &[MetricId], out: &mut Sink<'_>) -> Result<(), Fault> {
    let line = text.strip_suffix(b"\n").ok_or_else(|| Fault::malformed(path, 1, text))?;
    let mut fields = Fields::new(line);
    for metric in metrics {
        out.host(*metric, fields.number().ok_or_else(|| Fault::malformed(path, 1, line))?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trial::{read_fixture, readings, survives_every_cut, value};
    use crate::{ProbeId, Value};

    #[test]
    fn files_and_inodes_are_counted() {
        let rows = read_fixture("old", ProbeId::Files, &mut Files::default()).expect("readable");
        for (field, expect) in
            [("allocated", 512), ("unused", 0), ("maximum", 51_196), ("inodes", 4321), ("inodes_unused", 321)]
        {
            assert_eq!(value(&rows, field, ""), Some(Value::Int(expect)), "{field}");
        }
    }

    #[test]
    fn a_short_or_strange_line_is_refused() {
        for text in ["1 2\n", "1 2 x\n", "-1 0 9\n", "\n", ""] {
            let result =
                readings(ProbeId::Files, |out| give(text.as_bytes(), FILES, &[ALLOCATED, UNUSED, MAXIMUM], out));
            assert!(result.is_err(), "{text}");
        }
    }

    #[test]
    fn no_cut_gives_a_wrong_number() {
        survives_every_cut(ProbeId::Files, b"960\t0\t9223372036854775807\n", |text, out| {
            give(text, FILES, &[ALLOCATED, UNUSED, MAXIMUM], out)
        });
    }
}
