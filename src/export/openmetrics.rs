//! One page of metrics: OpenMetrics 1.0, or the older text format 0.0.4 for scrapers that do not ask for it.
//!
//! ```text
//! # TYPE node_load1 gauge
//! # HELP node_load1 Runnable and blocked tasks, averaged over one minute.
//! node_load1 0.2
//! ```
//!
//! What the probes measure is derived from their tables; a family stands in one block however many metrics share it. A
//! reading that is unknown is not on the page. A counter whose family does not end in `_total` (node_exporter's `node_vmstat_…`) is
//! of unknown type, as there. While the daemon does not turn, its old readings are left out: `watchd_up` is 0 then.

mod own;

use std::fmt;

use watchd_probes::{Kind, Metric, PROBES, ProbeInfo, Row, Value};

use super::Page;
use crate::model::Now;
use crate::store::{Readings, Snapshot};

/// How the page is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    OpenMetrics,
    /// Prometheus' own, version 0.0.4.
    Text,
}

impl Format {
    pub fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// Writes the whole page.
pub fn write(snapshot: &Snapshot, now: Now, format: Format, page: &mut Page) {
    let readings = snapshot.readings();
    let probes = if snapshot.header.is_fresh(now) { PROBES } else { &[] };
    for info in probes {
        for (place, metric) in info.metrics.iter().enumerate() {
            let is_first = !info.metrics.iter().take(place).any(|earlier| earlier.family == metric.family);
            if is_first {
                write_family(readings, info, metric, format, page);
            }
        }
    }
    own::write(snapshot, now, format, page);
    if format == Format::OpenMetrics {
        page.text("# EOF\n");
    }
}

/// All samples of one family, of whichever metrics; nothing at all when none is known.
fn write_family(readings: Readings<'_>, info: &ProbeInfo, first: &Metric, format: Format, page: &mut Page) {
    let mut is_begun = false;
    for row in readings.view.of(info.id) {
        let Some(metric) = row.metric().metric().filter(|metric| metric.family == first.family) else { continue };
        if !is_known(row.value()) {
            continue;
        }
        if !is_begun {
            let kind = if metric.kind == Kind::Counter { Type::Counter } else { Type::Gauge };
            Family { name: first.family, kind, help: help(info, first) }.begin(format, page);
            is_begun = true;
        }
        write_sample(readings, info, metric, row, page);
    }
}

fn is_known(value: Value) -> bool {
    value.number().is_some_and(f64::is_finite)
}

fn write_sample(readings: Readings<'_>, info: &ProbeInfo, metric: &Metric, row: &Row, page: &mut Page) {
    page.text(metric.family);
    let mut before = '{';
    if row.object() != watchd_probes::ObjectId::HOST {
        for (label, part) in info.labels.iter().zip(readings.view.parts(row.object())) {
            page.put(format_args!("{before}{label}=\"{}\"", Escaped(part)));
            before = ',';
        }
    }
    if !metric.labels.is_empty() {
        page.put(format_args!("{before}{}", metric.labels));
        before = ',';
    }
    if before == ',' {
        page.text("}");
    }
    match row.value() {
        Value::Int(value) => page.put(format_args!(" {value}\n")),
        Value::Float(value) => page.put(format_args!(" {value}\n")),
        Value::Unknown => page.text(" NaN\n"),
    }
}

/// Families of several metrics have a help of their own; the others have their metric's.
fn help<'a>(info: &ProbeInfo, first: &'a Metric) -> &'a str {
    let is_shared = info.metrics.iter().filter(|metric| metric.family == first.family).count() > 1;
    SHARED.iter().find(|(family, _)| is_shared && *family == first.family).map_or(first.help, |(_, help)| help)
}

/// What families say that several metrics share.
static SHARED: &[(&str, &str)] = &[
    ("node_cpu_seconds_total", "Time of one processor, by what it did."),
    ("node_cpu_guest_seconds_total", "Time of one processor in virtual machines, also contained in its other times."),
    ("watchd_cpu_total_seconds_total", "Time of all processors, by what they did."),
    ("watchd_pressure_percent", "Share of time in which work waited for a resource."),
    ("node_processes_state", "Processes in each state."),
    ("watchd_conntrack_entries", "Connections the firewall follows, by kind."),
    ("watchd_disk_mean", "Growth in a second, over the last five minutes, by what grew."),
    ("node_md_disks", "Disks of the array, by how they are."),
    ("node_md_state", "1 for what is done to the array, 0 for the others."),
    ("watchd_processes_priority", "Processes whose priority was changed."),
    ("watchd_service_processes_state", "Processes of the service in states that deserve attention."),
    ("watchd_disk_mean", "Growth of a disk's counters in a second, over the last five minutes, by counter."),
    ("watchd_users", "Users logged in, by kind of terminal."),
];

/// The type of a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Type {
    Counter,
    Gauge,
    Info,
}

/// What stands before the samples.
struct Family<'a> {
    /// As the samples of a counter have it, with its `_total`.
    name: &'a str,
    kind: Type,
    help: &'a str,
}

impl Family<'_> {
    fn begin(&self, format: Format, page: &mut Page) {
        let base = match (self.kind, format) {
            (Type::Counter, Format::OpenMetrics) => self.name.strip_suffix("_total").unwrap_or(self.name),
            (Type::Info, Format::OpenMetrics) => self.name.strip_suffix("_info").unwrap_or(self.name),
            _ => self.name,
        };
        page.put(format_args!("# HELP {base} {}\n# TYPE {base} {}\n", self.help, self.word(format)));
        let unit = ["seconds", "bytes", "percent"]
            .into_iter()
            .find(|unit| base.strip_suffix(unit).is_some_and(|rest| rest.ends_with('_')));
        if let (Some(unit), Format::OpenMetrics) = (unit, format) {
            page.put(format_args!("# UNIT {base} {unit}\n"));
        }
    }

    fn word(&self, format: Format) -> &'static str {
        // There, what the kernel counts for its network is untyped, whatever it is.
        let kind = if self.name.starts_with("node_netstat_") { Type::Counter } else { self.kind };
        match (kind, format) {
            (Type::Counter, _) if self.name.ends_with("_total") => "counter",
            (Type::Counter, Format::OpenMetrics) => "unknown",
            (Type::Counter, Format::Text) => "untyped",
            (Type::Info, Format::OpenMetrics) => "info",
            (Type::Gauge | Type::Info, _) => "gauge",
        }
    }
}

/// The value of a label: backslash, quote and newline escaped, what is not UTF-8 replaced.
struct Escaped<'a>(&'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write as _;
        for chunk in self.0.utf8_chunks() {
            for letter in chunk.valid().chars() {
                match letter {
                    '\\' => out.write_str("\\\\")?,
                    '"' => out.write_str("\\\"")?,
                    '\n' => out.write_str("\\n")?,
                    letter => out.write_char(letter)?,
                }
            }
            if !chunk.invalid().is_empty() {
                out.write_char(char::REPLACEMENT_CHARACTER)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use watchd_probes::PROBES;

    #[test]
    fn labels_are_escaped() {
        for (label, expect) in
            [(&b"a\"b\\c\nd"[..], "a\\\"b\\\\c\\nd"), (b"sd\xe4x", "sd\u{fffd}x"), ("ä".as_bytes(), "ä")]
        {
            assert_eq!(Escaped(label).to_string(), expect);
        }
    }

    #[test]
    fn a_family_belongs_to_one_probe_and_to_one_kind() {
        let all = || PROBES.iter().flat_map(|info| info.metrics.iter().map(move |metric| (info.id, metric)));
        for (probe, metric) in all() {
            for (other_probe, other) in all().filter(|(_, other)| other.family == metric.family) {
                assert_eq!((probe, metric.kind), (other_probe, other.kind), "{}", metric.family);
            }
        }
    }

    #[test]
    fn a_family_of_several_metrics_has_a_help_of_its_own() {
        for info in PROBES {
            for metric in info.metrics {
                let shares = info.metrics.iter().filter(|other| other.family == metric.family).count() > 1;
                let has = SHARED.iter().any(|(family, _)| *family == metric.family);
                assert!(!shares || has, "{}", metric.family);
            }
        }
    }
}
