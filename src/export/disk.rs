//! How full a file system is, and whether people look after it: the same answer for the page, the JSON and the terminal.
//!
//! Munin's names and Prometheus' have every file system that their own tools have; there the reader chooses.

use watchd_probes::{MetricId, ObjectId, ProbeId, filesystem};

use super::json::used_share;
use crate::store::Readings;

/// How full a file system is, as `df` says it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Space {
    pub size: Option<u64>,
    pub avail: Option<u64>,
    pub used_pct: Option<f64>,
    pub inodes_used_pct: Option<f64>,
}

impl Space {
    #[allow(clippy::cast_precision_loss)]
    pub fn of(object: ObjectId, readings: Readings<'_>) -> Self {
        let count = |metric| readings.view.get(metric, object).int();
        let (size, free) = (count(filesystem::SIZE), count(filesystem::FREE));
        let avail = readings.view.get(filesystem::AVAIL, object).number();
        let used = size.zip(free).map(|(size, free)| size.saturating_sub(free) as f64);
        let used_pct = used.zip(avail).and_then(|(used, avail)| {
            let whole = used + avail;
            (whole > 0.0).then(|| 100.0 * used / whole)
        });
        let inodes_used_pct = used_share(count(filesystem::FILES), count(filesystem::FILES_FREE));
        Self { size, avail: count(filesystem::AVAIL), used_pct, inodes_used_pct }
    }
}

/// Images that are made full and stay so; `df` of Munin leaves the same out.
const IMAGES: &[&[u8]] = &[b"cramfs", b"erofs", b"iso9660", b"romfs", b"squashfs", b"udf"];
/// Smaller than any that was made to be written: a mark or a seal that a sandbox mounts over a directory.
const SMALL: u64 = 1 << 20;

/// Whether a file system is one that people look after. Memory is when it is used, that in the kernel's own directories (`/dev/shm`)
/// when it fills up; what nobody can write to is when it may be because of errors. One that does not answer, or refuses to, always is.
pub fn is_notable(object: ObjectId, readings: Readings<'_>) -> bool {
    let flag = |flag| is(flag, object, readings);
    let is_ill = flag(filesystem::HUNG) || flag(filesystem::DEVICE_ERROR);
    is_ill || is_worth_it(object, (Space::of(object, readings), flag(filesystem::READ_ONLY)), readings)
}

/// The same of one that answers, where its space and whether it is read-only are known.
pub fn is_worth_it(object: ObjectId, (space, read_only): (Space, bool), readings: Readings<'_>) -> bool {
    let Some(size) = space.size.filter(|size| *size > 0) else { return false };
    let part = |place| readings.view.part(object, place);
    let used = space.used_pct.unwrap_or(0.0);
    if [&b"/dev"[..], b"/proc", b"/sys"].iter().any(|dir| lies_in(part(0), dir)) {
        return used > 50.0;
    }
    if read_only {
        return size >= SMALL && !IMAGES.contains(&part(2));
    }
    used >= 1.0 || !matches!(part(2), b"tmpfs" | b"devtmpfs" | b"ramfs")
}

/// Whether a path is this directory, or leads into it.
fn lies_in(path: &[u8], dir: &[u8]) -> bool {
    path.strip_prefix(dir).is_some_and(|rest| matches!(rest.first(), None | Some(b'/')))
}

/// Those, in the order of the mount table.
pub fn notable<'a>(readings: Readings<'a>) -> impl Iterator<Item = ObjectId> + use<'a> {
    readings.view.objects(ProbeId::Filesystem).filter(move |object| is_notable(*object, readings))
}

/// Whether a flag is known to be set.
pub fn is(flag: MetricId, object: ObjectId, readings: Readings<'_>) -> bool {
    readings.view.get(flag, object).int() == Some(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use watchd_probes::{Sample, Value};

    #[test]
    fn what_nobody_can_mend_or_fill_is_left_out() {
        const MIB: u64 = 1 << 20;
        for (point, kind, size, used_pct, flag, expect) in [
            ("/", "ext4", 100 * MIB, 0, None, true),
            ("/", "ext4", 100 * MIB, 40, Some(filesystem::READ_ONLY), true),
            ("/mnt/seal", "tmpfs", 4096, 0, Some(filesystem::READ_ONLY), false),
            ("/mnt/seal", "ext4", 4096, 100, Some(filesystem::READ_ONLY), false),
            ("/mnt/small", "ext4", 4096, 50, None, true),
            ("/snap/core", "squashfs", 100 * MIB, 100, Some(filesystem::READ_ONLY), false),
            ("/media/cd", "iso9660", 700 * MIB, 100, Some(filesystem::READ_ONLY), false),
            ("/run", "tmpfs", 100 * MIB, 0, None, false),
            ("/run", "tmpfs", 100 * MIB, 2, None, true),
            ("/dev/shm", "tmpfs", 100 * MIB, 2, None, false),
            ("/dev/shm", "tmpfs", 100 * MIB, 60, None, true),
            ("/sys/fs/cgroup", "tmpfs", 100 * MIB, 0, Some(filesystem::READ_ONLY), false),
            ("/device", "ext4", 100 * MIB, 0, None, true),
            ("/empty", "ext4", 0, 0, None, false),
            ("/srv", "nfs", 0, 0, Some(filesystem::HUNG), true),
            ("/srv", "fuse", 0, 0, Some(filesystem::DEVICE_ERROR), true),
        ] {
            let mut sample = Sample::default();
            sample.begin();
            let mut sink = sample.sink(ProbeId::Filesystem);
            let disk = sink.object(&[point.as_bytes(), b"dev", kind.as_bytes()]).expect("there is room");
            let left = size * (100 - used_pct) / 100;
            for (metric, value) in [(filesystem::SIZE, size), (filesystem::FREE, left), (filesystem::AVAIL, left)] {
                sink.put(disk, metric, Value::Int(value));
            }
            if let Some(flag) = flag {
                sink.put(disk, flag, Value::Int(1));
            }
            sample.finish(ProbeId::Filesystem, Ok(()), 1);
            let readings = Readings { view: sample.view(), rates: &[] };
            assert_eq!(notable(readings).count() == 1, expect, "{point} {kind} {size} {used_pct} {flag:?}");
        }
    }
}
