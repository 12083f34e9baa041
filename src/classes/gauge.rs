//! The readings that measured classes are made of, each as one number.
//!
//! Three answers: a level, unknown (the reading failed), absent (this host has no such thing: no swap space, no pressure
//! stall information, a file system without inodes). Unknown makes the `…_unknown` class true, absent makes nothing true.

use serde::{Deserialize, Serialize};
use watchd_probes::{MetricId, ObjectId, ProbeId, Value, filesystem, load, memory, pressure};

use crate::store::Readings;

/// What is looked at. Disks are counted in the order of the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Gauge {
    /// Load average of five minutes.
    Load,
    /// Memory still available, in percent.
    Memory,
    /// Swap space in use, in percent.
    Swap,
    /// Time somebody waited for a processor, in percent of the last ten seconds.
    CpuPressure,
    MemoryPressure,
    IoPressure,
    /// Space that ordinary users cannot get, in percent of what they could.
    DiskUsed(u16),
    /// Inodes in use, in percent.
    DiskInodes(u16),
    /// 1 when nothing can be written, 0 otherwise.
    DiskReadOnly(u16),
    /// 1 when it did not answer in time.
    DiskHung(u16),
    /// Hours until it is full, as far as that can be foreseen; [`Classes`](super::Classes) knows.
    DiskLeft(u16),
}

/// What a gauge shows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Level {
    Is(f64),
    Unknown,
    Absent,
}

impl Gauge {
    /// The disk it belongs to.
    pub(super) fn disk(self) -> Option<u16> {
        match self {
            Self::DiskUsed(disk) | Self::DiskInodes(disk) | Self::DiskReadOnly(disk) | Self::DiskHung(disk) => {
                Some(disk)
            }
            _ => None,
        }
    }

    /// Reads it; `disks` are the mount points of the policy's disks.
    pub fn read(self, readings: &Readings<'_>, disks: &[String]) -> Level {
        let host = |metric| readings.view.host(metric);
        match self {
            Self::Load => host(load::FIVE).number().map_or(Level::Unknown, Level::Is),
            Self::Memory => share(host(memory::AVAILABLE), host(memory::TOTAL)),
            Self::Swap => inverted(share(host(memory::SWAP_FREE), host(memory::SWAP_TOTAL))),
            Self::CpuPressure => stalled(readings, pressure::CPU_SOME_10),
            Self::MemoryPressure => stalled(readings, pressure::MEMORY_SOME_10),
            Self::IoPressure => stalled(readings, pressure::IO_SOME_10),
            Self::DiskUsed(disk) => of_disk(readings, disks, disk, used),
            Self::DiskInodes(disk) => of_disk(readings, disks, disk, inodes),
            Self::DiskReadOnly(disk) => of_disk(readings, disks, disk, read_only),
            Self::DiskHung(disk) => of_disk(readings, disks, disk, hung),
            Self::DiskLeft(_) => Level::Absent,
        }
    }
}

fn share(part: Value, whole: Value) -> Level {
    match (part.number(), whole.number()) {
        (_, Some(0.0)) => Level::Absent,
        (Some(part), Some(whole)) => Level::Is(part / whole * 100.0),
        _ => Level::Unknown,
    }
}

fn inverted(level: Level) -> Level {
    match level {
        Level::Is(share) => Level::Is(100.0 - share),
        other => other,
    }
}

/// A kernel without pressure stall information gives no rows, and the probe counts as up.
fn stalled(readings: &Readings<'_>, metric: MetricId) -> Level {
    match readings.view.host(metric).number() {
        Some(level) => Level::Is(level),
        None if readings.view.state(ProbeId::Pressure).is_up() => Level::Absent,
        None => Level::Unknown,
    }
}

/// The path has to be a mount point: the file system below a disk that is not mounted is another one.
fn of_disk(readings: &Readings<'_>, disks: &[String], disk: u16, read: fn(&Readings<'_>, ObjectId) -> Level) -> Level {
    disks
        .get(usize::from(disk))
        .and_then(|path| readings.view.find(ProbeId::Filesystem, path.as_bytes()))
        .map_or(Level::Unknown, |mount| read(readings, mount))
}

/// As `df` has it: used of used and available, since part of the free space is kept for root.
fn used(readings: &Readings<'_>, mount: ObjectId) -> Level {
    let get = |metric| readings.view.get(metric, mount).number();
    let (Some(size), Some(free), Some(avail)) = (get(filesystem::SIZE), get(filesystem::FREE), get(filesystem::AVAIL))
    else {
        return Level::Unknown;
    };
    // What is available is below zero while root's reserve is in use.
    let (used, avail) = ((size - free).max(0.0), avail.max(0.0));
    if used + avail > 0.0 { Level::Is(used / (used + avail) * 100.0) } else { Level::Absent }
}

fn inodes(readings: &Readings<'_>, mount: ObjectId) -> Level {
    let get = |metric| readings.view.get(metric, mount);
    inverted(share(get(filesystem::FILES_FREE), get(filesystem::FILES)))
}

fn read_only(readings: &Readings<'_>, mount: ObjectId) -> Level {
    readings.view.get(filesystem::READ_ONLY, mount).number().map_or(Level::Unknown, Level::Is)
}

/// Local file systems are not asked in a way that could hang.
fn hung(readings: &Readings<'_>, mount: ObjectId) -> Level {
    readings.view.get(filesystem::HUNG, mount).number().map_or(Level::Absent, Level::Is)
}

#[cfg(test)]
mod tests {
    use watchd_probes::Sample;

    use super::*;

    fn levels(rows: &[(MetricId, Value)]) -> [Level; 3] {
        let mut sample = Sample::default();
        sample.begin();
        let mut sink = sample.sink(ProbeId::Filesystem);
        let mount = sink.object(&[b"/data", b"/dev/vdb", b"ext4"]).expect("room for one");
        for (metric, value) in rows {
            sink.put(mount, *metric, *value);
        }
        sample.finish(ProbeId::Filesystem, Ok(()), 0);
        let readings = Readings { view: sample.view(), rates: &[] };
        let disks = ["/data/deeper".to_owned(), "/data".to_owned()];
        assert_eq!(Gauge::DiskUsed(0).read(&readings, &disks), Level::Unknown, "only a mount point has a file system");
        assert_eq!(Gauge::DiskUsed(2).read(&readings, &disks), Level::Unknown);
        [Gauge::DiskUsed(1), Gauge::DiskInodes(1), Gauge::DiskReadOnly(1)].map(|gauge| gauge.read(&readings, &disks))
    }

    #[test]
    fn a_file_system_is_read_as_df_does() {
        use filesystem::{AVAIL, FILES, FILES_FREE, FREE, READ_ONLY, SIZE};
        let int = Value::Int;
        let space = [(SIZE, int(1000)), (FREE, int(200)), (AVAIL, int(150))];
        let nodes = [(FILES, int(100)), (FILES_FREE, int(40)), (READ_ONLY, int(0))];
        let [used, inodes, read_only] = levels(&[space, nodes].concat());
        assert!(matches!(used, Level::Is(level) if (level - 84.21).abs() < 0.01), "{used:?}");
        assert_eq!((inodes, read_only), (Level::Is(60.0), Level::Is(0.0)));
        let below = [(SIZE, int(1000)), (FREE, int(20)), (AVAIL, Value::Float(-30.0))];
        assert_eq!(levels(&below), [Level::Is(100.0), Level::Unknown, Level::Unknown]);
        let none = [(FILES, int(0)), (FILES_FREE, int(0)), (SIZE, Value::Unknown)];
        assert_eq!(levels(&none), [Level::Unknown, Level::Absent, Level::Unknown]);
    }
}
