//! The few readings that `status` shows, looked up in a copy of the board by the names of their metrics.
//!
//! What was not measured is none, here and on the screen.

use watchd_probes::{MetricId, ObjectId, ProbeId};

use super::quantity::share;
use crate::export::disk;
use crate::store::{Readings, Snapshot};

/// The host as a whole.
pub struct HostFigures {
    pub load: [Option<f64>; 3],
    pub cpu_pct: Option<f64>,
    pub memory_total: Option<f64>,
    pub memory_used: Option<f64>,
    pub swap_total: Option<f64>,
    pub swap_used: Option<f64>,
}

/// One file system.
pub struct DiskFigures {
    pub mountpoint: String,
    pub size: Option<f64>,
    pub avail: Option<f64>,
    /// Of what users can fill, as df counts.
    pub used_pct: Option<f64>,
    pub inodes_pct: Option<f64>,
    pub trouble: Option<&'static str>,
}

/// What a service uses.
pub struct ServiceFigures {
    pub cpu_pct: Option<f64>,
    pub rss: Option<f64>,
}

fn level(readings: &Readings<'_>, name: &str, object: ObjectId) -> Option<f64> {
    readings.level(MetricId::from_name(name)?, object)
}

pub fn host(snapshot: &Snapshot) -> HostFigures {
    let readings = snapshot.readings();
    let get = |name: &str| level(&readings, name, ObjectId::HOST);
    let less = |whole: Option<f64>, rest: Option<f64>| whole.zip(rest).map(|(whole, rest)| whole - rest);
    let (memory_total, swap_total) = (get("memory.total"), get("memory.swap_total"));
    HostFigures {
        load: ["load.one", "load.five", "load.fifteen"].map(get),
        cpu_pct: busy(&readings),
        memory_total,
        memory_used: less(memory_total, get("memory.available")),
        swap_total,
        swap_used: less(swap_total, get("memory.swap_free")),
    }
}

/// How many processors were measured.
pub fn processors(snapshot: &Snapshot) -> usize {
    snapshot.readings().view.objects(ProbeId::Cpu).count()
}

/// The share of time in which the processors did something; waiting for a disk is not doing.
fn busy(readings: &Readings<'_>) -> Option<f64> {
    let rate = |name: &&str| level(readings, name, ObjectId::HOST);
    let work = ["cpu.user", "cpu.nice", "cpu.system", "cpu.irq", "cpu.softirq", "cpu.steal"];
    let work: f64 = work.iter().filter_map(rate).sum();
    let rest: f64 = [rate(&"cpu.idle")?, rate(&"cpu.iowait").unwrap_or(0.0)].iter().sum();
    share(Some(work), Some(work + rest))
}

/// Those that people look after; `--json` has them all.
pub fn disks(snapshot: &Snapshot) -> Vec<DiskFigures> {
    let readings = snapshot.readings();
    let figures = |object| {
        let get = |name: &str| level(&readings, name, object);
        let (size, free, avail) = (get("filesystem.size"), get("filesystem.free"), get("filesystem.avail"));
        let used = size.zip(free).map(|(size, free)| size - free);
        let files = get("filesystem.files");
        let files_used = files.zip(get("filesystem.files_free")).map(|(files, free)| files - free);
        let is = |name: &str| get(name) == Some(1.0);
        DiskFigures {
            mountpoint: String::from_utf8_lossy(readings.view.part(object, 0)).into_owned(),
            size,
            avail,
            used_pct: share(used, used.zip(avail).map(|(used, avail)| used + avail)),
            inodes_pct: share(files_used, files),
            trouble: [
                ("filesystem.hung", "hung"),
                ("filesystem.device_error", "error"),
                ("filesystem.read_only", "read-only"),
            ]
            .iter()
            .find(|(name, _)| is(name))
            .map(|(_, word)| *word),
        }
    };
    disk::notable(readings).map(figures).collect()
}

pub fn service(snapshot: &Snapshot, id: &str) -> ServiceFigures {
    let readings = snapshot.readings();
    let object = readings.view.find(ProbeId::Service, id.as_bytes());
    let get = |name: &str| level(&readings, name, object?);
    ServiceFigures { cpu_pct: get("service.cpu").map(|seconds| seconds * 100.0), rss: get("service.rss") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::life::Life;
    use crate::cli::screen::tests::look;

    #[test]
    fn every_name_that_is_looked_up_is_a_metric() {
        let look = look(Life::Alive);
        let host = host(&look.snapshot);
        assert_eq!(host.cpu_pct, Some(18.75));
        assert_eq!(host.load, [Some(0.2), Some(1.25), Some(12.0)]);
        assert_eq!((host.memory_used, host.swap_used), (Some(536_870_912.0), Some(0.0)));
        let disks = disks(&look.snapshot);
        assert_eq!(
            (disks[0].used_pct, disks[0].inodes_pct, disks[1].trouble),
            (Some(43.0), Some(3.0), Some("read-only"))
        );
        assert_eq!(service(&look.snapshot, "web").rss, Some(12_582_912.0));
        assert_eq!(service(&look.snapshot, "database").rss, None, "not measured is not zero");
    }
}
