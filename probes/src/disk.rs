//! Block devices and partitions from /proc/diskstats: `254 0 vda 5520 1812 610450 2180 9302 12075 389112 6320 0 5510 9890`.
//!
//! Behind major, minor and name stand eleven numbers, fifteen since 4.18 (discards), seventeen since 5.5 (flushes);
//! before 2.6.25 a partition has four. A sector is 512 bytes here whatever the device says. Times are milliseconds
//! and given in seconds; multiplied by 1,000 and rounded they are the kernel's again. Device names keep their slashes.
//!
//! A device of the device mapper has a second part: what people call it, as Munin does (`vg0/root` where that is a link in /dev, else
//! `mapper/NAME`). It is read once a minute.

mod means;

use std::time::Duration;

use crate::metric::metrics;
use crate::path::Path;
use crate::{Fault, Fields, Host, Look, MetricId, ObjectId, Pace, Probe, Sink, Source, Value, lines};
use means::Means;

metrics! { Disk:
    READS: "reads", Count, Counter, "node_disk_reads_completed_total", "", "Reads completed.";
    READS_MERGED: "reads_merged", Count, Counter, "node_disk_reads_merged_total", "", "Reads merged with another before they were sent.";
    READ_BYTES: "read_bytes", Bytes, Counter, "node_disk_read_bytes_total", "", "Bytes read.";
    READ_TIME: "read_time", Seconds, Counter, "node_disk_read_time_seconds_total", "", "Time all reads took together.";
    WRITES: "writes", Count, Counter, "node_disk_writes_completed_total", "", "Writes completed.";
    WRITES_MERGED: "writes_merged", Count, Counter, "node_disk_writes_merged_total", "", "Writes merged with another before they were sent.";
    WRITTEN_BYTES: "written_bytes", Bytes, Counter, "node_disk_written_bytes_total", "", "Bytes written.";
    WRITE_TIME: "write_time", Seconds, Counter, "node_disk_write_time_seconds_total", "", "Time all writes took together.";
    IN_FLIGHT: "in_flight", Count, Gauge, "node_disk_io_now", "", "Requests the device works on, now.";
    IO_TIME: "io_time", Seconds, Counter, "node_disk_io_time_seconds_total", "", "Time with at least one request in flight.";
    IO_TIME_WEIGHTED: "io_time_weighted", Seconds, Counter, "node_disk_io_time_weighted_seconds_total", "", "Time all requests were in flight, added up.";
    DISCARDS: "discards", Count, Counter, "node_disk_discards_completed_total", "", "Discards completed.";
    DISCARDS_MERGED: "discards_merged", Count, Counter, "node_disk_discards_merged_total", "", "Discards merged with another before they were sent.";
    DISCARDED_SECTORS: "discarded_sectors", Count, Counter, "node_disk_discarded_sectors_total", "", "Sectors of 512 bytes discarded.";
    DISCARD_TIME: "discard_time", Seconds, Counter, "node_disk_discard_time_seconds_total", "", "Time all discards took together.";
    FLUSHES: "flushes", Count, Counter, "node_disk_flush_requests_total", "", "Flushes completed.";
    FLUSH_TIME: "flush_time", Seconds, Counter, "node_disk_flush_requests_time_seconds_total", "", "Time all flushes took together.";
    MAJOR: "major", Count, Gauge, "watchd_disk_major", "", "Major number of the device.";
    MINOR: "minor", Count, Gauge, "watchd_disk_minor", "", "Minor number of the device.";
    MEAN_READS: "mean_reads", Count, Gauge, "watchd_disk_mean", "of=\"reads\"", "Growth in a second, over the last five minutes.";
    MEAN_READ_BYTES: "mean_read_bytes", Count, Gauge, "watchd_disk_mean", "of=\"read_bytes\"", "Growth in a second, over the last five minutes.";
    MEAN_READ_TIME: "mean_read_time", Count, Gauge, "watchd_disk_mean", "of=\"read_time\"", "Growth in a second, over the last five minutes.";
    MEAN_WRITES: "mean_writes", Count, Gauge, "watchd_disk_mean", "of=\"writes\"", "Growth in a second, over the last five minutes.";
    MEAN_WRITTEN_BYTES: "mean_written_bytes", Count, Gauge, "watchd_disk_mean", "of=\"written_bytes\"", "Growth in a second, over the last five minutes.";
    MEAN_WRITE_TIME: "mean_write_time", Count, Gauge, "watchd_disk_mean", "of=\"write_time\"", "Growth in a second, over the last five minutes.";
    MEAN_IO_TIME: "mean_io_time", Count, Gauge, "watchd_disk_mean", "of=\"io_time\"", "Growth in a second, over the last five minutes.";
}
pub const LABELS: &[&str] = &["device"];

const PATH: &str = "proc/diskstats";

/// How a number of the file becomes a value.
#[derive(Clone, Copy)]
enum Column {
    Plain,
    Sectors,
    Millis,
}

/// In the order of the file.
static COLUMNS: [(MetricId, Column); 17] = [
    (READS, Column::Plain),
    (READS_MERGED, Column::Plain),
    (READ_BYTES, Column::Sectors),
    (READ_TIME, Column::Millis),
    (WRITES, Column::Plain),
    (WRITES_MERGED, Column::Plain),
    (WRITTEN_BYTES, Column::Sectors),
    (WRITE_TIME, Column::Millis),
    (IN_FLIGHT, Column::Plain),
    (IO_TIME, Column::Millis),
    (IO_TIME_WEIGHTED, Column::Millis),
    (DISCARDS, Column::Plain),
    (DISCARDS_MERGED, Column::Plain),
    (DISCARDED_SECTORS, Column::Plain),
    (DISCARD_TIME, Column::Millis),
    (FLUSHES, Column::Plain),
    (FLUSH_TIME, Column::Millis),
];

/// What an old kernel tells of a partition.
static PARTITION: [(MetricId, Column); 4] =
    [(READS, Column::Plain), (READ_BYTES, Column::Sectors), (WRITES, Column::Plain), (WRITTEN_BYTES, Column::Sectors)];

pub struct Disk {
    source: Source,
    mapped: Vec<Mapped>,
    pace: Pace,
    means: Means,
}

/// The longest name the device mapper gives, and what stands before it.
const NAME: usize = 128 + 7;

/// What a device of the device mapper is called.
struct Mapped {
    minor: u64,
    name: [u8; NAME],
    len: usize,
}

impl Default for Disk {
    fn default() -> Self {
        let pace = Pace::at_most_every(Duration::from_secs(60));
        Self { source: Source::new(PATH), mapped: Vec::new(), pace, means: Means::default() }
    }
}

impl Probe for Disk {
    fn read(&mut self, look: &mut Look<'_>, out: &mut Sink<'_>) -> Result<(), Fault> {
        let (host, now) = (look.host, look.now);
        let text = self.source.read_list(look)?;
        self.pace.run(now, || {
            self.mapped.clear();
            self.mapped.extend(lines(text).filter_map(|(_, line)| Mapped::of(host, line)));
        });
        give(text, (&self.mapped, &mut self.means, now.mono), out)
    }
}

impl Mapped {
    /// None when the line is of another device.
    fn of(host: &Host, line: &[u8]) -> Option<Self> {
        let mut fields = Fields::new(line);
        let minor = fields.number().and(fields.number())?;
        let device = fields.next().filter(|device| device.starts_with(b"dm-"))?;
        let mut text = [0; NAME];
        let name = host.read_small(Path::new("sys/block/").text(device).text(b"/dm/name").bytes(), &mut text).ok()?;
        let name = name.strip_suffix(b"\n").filter(|name| !name.is_empty())?;
        let mut mapped = Self { minor, name: [0; NAME], len: 0 };
        if mapped.write_volume(name).is_none() || !host.has_entry(b"dev/", mapped.name()) {
            mapped.len = 0;
            b"mapper/".iter().chain(name).try_for_each(|byte| mapped.push(*byte))?;
        }
        Some(mapped)
    }

    fn name(&self) -> &[u8] {
        self.name.get(..self.len).unwrap_or_default()
    }

    fn push(&mut self, byte: u8) -> Option<()> {
        *self.name.get_mut(self.len)? = byte;
        self.len += 1;
        Some(())
    }

    /// `data--vg-srv--lv` is the volume `srv-lv` of the group `data-vg`; none when there is not one single dash.
    fn write_volume(&mut self, name: &[u8]) -> Option<()> {
        let (mut rest, mut is_split) = (name, false);
        while let Some((byte, behind)) = rest.split_first() {
            rest = behind;
            match (*byte, behind.strip_prefix(b"-")) {
                (b'-', Some(behind)) => {
                    rest = behind;
                    self.push(b'-')?;
                }
                (b'-', None) => {
                    (!std::mem::replace(&mut is_split, true)).then_some(())?;
                    self.push(b'/')?;
                }
                (byte, _) => self.push(byte)?,
            }
        }
        is_split.then_some(())
    }
}

/// What devices are called, their past, and the time.
type Known<'a> = (&'a [Mapped], &'a mut Means, Duration);

fn give(text: &[u8], mut known: Known<'_>, out: &mut Sink<'_>) -> Result<(), Fault> {
    for (number, line) in lines(text) {
        give_device(line, &mut known, out).ok_or_else(|| Fault::malformed(PATH, number, line))?;
    }
    Ok(())
}

fn give_device(line: &[u8], (mapped, means, now): &mut Known<'_>, out: &mut Sink<'_>) -> Option<()> {
    let mut fields = Fields::new(line);
    let (major, minor) = (fields.number()?, fields.number()?);
    let name = fields.next()?;
    let columns = match fields.clone().count() {
        4 => &PARTITION[..],
        11.. => &COLUMNS[..],
        _ => return None,
    };
    let called = mapped.iter().find(|mapped| mapped.minor == minor && name.starts_with(b"dm-"));
    let device = match called {
        Some(called) => out.object(&[name, called.name()]),
        None => out.object(&[name]),
    };
    let Some(device) = device else { return Some(()) };
    let (mut numbers, mut count) = ([0; COLUMNS.len()], 0);
    for ((metric, column), slot) in columns.iter().zip(&mut numbers) {
        if fields.rest().is_empty() {
            break;
        }
        *slot = fields.number()?;
        count += 1;
        out.put(device, *metric, column.value(*slot)?);
    }
    give_number(device, (major, minor), out);
    if columns.len() == COLUMNS.len() {
        means.take((major, minor), numbers.get(..count).unwrap_or_default(), *now, (device, out));
    }
    Some(())
}

fn give_number(device: ObjectId, (major, minor): (u64, u64), out: &mut Sink<'_>) {
    out.put(device, MAJOR, Value::Int(major));
    out.put(device, MINOR, Value::Int(minor));
}

impl Column {
    #[allow(clippy::cast_precision_loss)]
    fn value(self, number: u64) -> Option<Value> {
        Some(match self {
            Self::Plain => Value::Int(number),
            Self::Sectors => Value::Int(number.checked_mul(512)?),
            Self::Millis => Value::Float(number as f64 / 1e3),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trial::{read_fixture, readings, survives_every_cut, text_of, value};
    use crate::{Buffer, Now, ProbeId};

    #[test]
    fn all_columns_of_every_device_are_given() {
        let rows = read_fixture("big", ProbeId::Disk, &mut Disk::default()).expect("readable");
        assert_eq!(rows.iter().filter(|row| !row.0.starts_with("mean_")).count(), 15 * 19);
        for (field, device, expect) in [
            ("reads", "sda", Value::Int(1_003_000)),
            ("read_bytes", "sda", Value::Int(80_240_000 * 512)),
            ("read_time", "sda", Value::Float(4015.0)),
            ("io_time", "nvme0n1", Value::Float(7021.0)),
            ("in_flight", "nvme0n1", Value::Int(3)),
            ("flush_time", "sda", Value::Float(0.0)),
            ("writes", "cciss/c0d0", Value::Int(10)),
            ("major", "mmcblk0boot0", Value::Int(179)),
            ("minor", "mmcblk0boot0", Value::Int(8)),
        ] {
            assert_eq!(value(&rows, field, device), Some(expect), "{field} {device}");
        }
    }

    #[test]
    fn devices_of_the_mapper_are_called_as_people_call_them() {
        let rows = read_fixture("big", ProbeId::Disk, &mut Disk::default()).expect("readable");
        for (device, minor) in [("dm-0 vg0/root", 0), ("dm-1 mapper/luks-4f2a", 1), ("dm-10 data-vg/srv-lv", 10)] {
            assert_eq!(value(&rows, "minor", device), Some(Value::Int(minor)), "{device}");
        }
        for (name, expect) in [
            ("vg0-root", Some("vg0/root")),
            ("a--b-c--d", Some("a-b/c-d")),
            ("a---b", Some("a-/b")),
            ("plain", None),
            ("a-b-c", None),
            ("a--b", None),
            (&"x-".repeat(90), None),
        ] {
            let mut mapped = Mapped { minor: 0, name: [0; NAME], len: 0 };
            let written =
                mapped.write_volume(name.as_bytes()).map(|()| String::from_utf8_lossy(mapped.name()).into_owned());
            assert_eq!(written.as_deref(), expect, "{name}");
        }
    }

    #[test]
    fn short_lines_of_an_old_kernel_give_what_they_have() {
        let rows = read_fixture("old", ProbeId::Disk, &mut Disk::default()).expect("readable");
        assert_eq!(value(&rows, "io_time_weighted", "sda"), Some(Value::Float(0.48)));
        assert_eq!(value(&rows, "discards", "sda"), None);
        assert_eq!(value(&rows, "written_bytes", "mmcblk0p1"), Some(Value::Int(1600 * 512)));
        assert_eq!(value(&rows, "read_time", "mmcblk0p1"), None);
    }

    #[test]
    fn means_are_of_five_minutes_and_of_devices_that_are_used() {
        let mut means = Means::default();
        let mut at = |secs: u64, reads: u64| {
            let line = format!(
                "8 0 sda {reads} 0 {} 0 4 0 0 0 0 {} 0\n7 0 loop0 0 0 0 0 0 0 0 0 0 0 0\n",
                reads * 8,
                secs * 500
            );
            let known = (&[][..], &mut means, Duration::from_secs(secs));
            readings(ProbeId::Disk, |out| give(line.as_bytes(), known, out)).expect("well-formed")
        };
        assert!(!at(1000, 5).iter().any(|row| row.0.starts_with("mean_")), "there is nothing to compare with");
        let rows = at(1010, 15);
        for (field, expect) in
            [("mean_reads", 1.0), ("mean_read_bytes", 4096.0), ("mean_writes", 0.0), ("mean_io_time", 0.5)]
        {
            assert_eq!(value(&rows, field, "sda"), Some(Value::Float(expect)), "{field}");
        }
        assert_eq!(value(&rows, "mean_reads", "loop0"), None);
        for minute in 1..5 {
            at(1010 + minute * 60, 15);
        }
        // A burst of a moment is told as its part of five minutes.
        assert_eq!(value(&at(1300, 3005), "mean_reads", "sda"), Some(Value::Float(10.0)));
    }

    #[test]
    fn a_machine_may_have_no_disk() {
        let dir = std::env::temp_dir().join(format!("watchd-diskless-{}", std::process::id()));
        std::fs::create_dir_all(dir.join("proc")).expect("a directory can be made");
        let read = |text: &str| {
            std::fs::write(dir.join(PATH), text).expect("it can be written");
            let host = Host::open(&dir).expect("the root is there");
            let mut look = Look { host: &host, buffer: &mut Buffer::default(), now: Now::default() };
            readings(ProbeId::Disk, |out| Disk::default().read(&mut look, out))
        };
        assert_eq!(read("").expect("nothing is no fault").len(), 0);
        assert!(read("8 0 sda 1 2 3 4").is_err(), "half a line is");
        std::fs::remove_dir_all(&dir).expect("it is ours");
    }

    #[test]
    fn a_strange_line_is_refused() {
        for text in [
            "8 0\n",
            "8 0 sda\n",
            "8 0 sda 1 2 3 4 5\n",
            "8 0 sda 1 2 3 4 5 6 7 8 9 10 x\n",
            "8 0 sda 1 2 18446744073709551615 4 5 6 7 8 9 10 11\n",
            "x 0 sda 1 2 3 4\n",
            "\n",
        ] {
            let known = (&[][..], &mut Means::default(), Duration::ZERO);
            assert!(readings(ProbeId::Disk, |out| give(text.as_bytes(), known, out)).is_err(), "{text}");
        }
    }

    #[test]
    fn no_cut_gives_a_wrong_number() {
        for host in ["vm", "old"] {
            survives_every_cut(ProbeId::Disk, &text_of(host, "proc/diskstats"), |text, out| {
                give(text, (&[], &mut Means::default(), Duration::ZERO), out)
            });
        }
    }
}
