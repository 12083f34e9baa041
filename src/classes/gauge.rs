//! The readings that measured classes are made of, each as one number.
//!
//! Three answers: a level, unknown (the reading failed), absent (this host has no such thing: no swap space, no pressure
//! stall information, a file system without inodes). Unknown makes the `…_unknown` class true, absent makes nothing true.

use serde::{Deserialize, Serialize};
use watchd_probes::{MetricId, ObjectId, ProbeId, Value, load, memory, pressure};

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
            Self::DiskUsed(disk) | Self::DiskInodes(disk) | Self::DiskReadOnly(disk) => Some(disk),
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

/// One reading of a file system.
fn get(readings: &Readings<'_>, mount: ObjectId, name: &str) -> Value {
    MetricId::from_name(name).map_or(Value::Unknown, |metric| readings.view.get(metric, mount))
}

/// As `df` has it: used of used and available, since part of the free space is kept for root.
fn used(readings: &Readings<'_>, mount: ObjectId) -> Level {
    let get = |name| get(readings, mount, name).number();
    let (Some(size), Some(free), Some(avail)) =
        (get("filesystem.size"), get("filesystem.free"), get("filesystem.avail"))
    else {
        return Level::Unknown;
    };
    let (used, avail) = ((size - free).max(0.0), avail.max(0.0));
    if used + avail > 0.0 { Level::Is(used / (used + avail) * 100.0) } else { Level::Absent }
}

fn inodes(readings: &Readings<'_>, mount: ObjectId) -> Level {
    let get = |name| get(readings, mount, name);
    inverted(share(get("filesystem.files_free"), get("filesystem.files")))
}

fn read_only(readings: &Readings<'_>, mount: ObjectId) -> Level {
    get(readings, mount, "filesystem.read_only").number().map_or(Level::Unknown, Level::Is)
}
