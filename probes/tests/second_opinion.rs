//! Our parsers against those of the procfs crate, over the same recorded files: two readings of one format should agree.

use std::path::{Path, PathBuf};
use std::time::Duration;

use procfs::{
    DiskStat, DiskStats, ExplicitSystemInfo, FromRead, FromReadSI, KernelStats, Meminfo, VmStat,
    net::InterfaceDeviceStatus, process::MountInfos, process::Stat as TheirStat,
};
use watchd_probes::process::Stat;
use watchd_probes::{
    Buffer, Fault, Host, Look, MetricId, Now, ObjectId, ProbeId, Probes, Sample, Value, cpu, disk, filesystem, memory,
    network, paging,
};

const HOSTS: [&str; 2] = ["big", "vm"];

fn fixture(host: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(host)
}

fn sample_of(host: &str) -> Result<Sample, Fault> {
    let host = Host::open(&fixture(host))?;
    let (mut buffer, mut sample, mut probes) = (Buffer::default(), Sample::default(), Probes::default());
    probes.filesystem = filesystem::Filesystem::with_statvfs(|_, _| Err(rustix::io::Errno::IO));
    let now = Now { mono: Duration::from_secs(100_000), wall: Duration::ZERO };
    probes.read_all(&mut Look { host: &host, buffer: &mut buffer, now }, &mut sample);
    Ok(sample)
}

/// A reading as a whole number, seconds times `scale`.
fn whole(value: Value, scale: f64) -> Option<String> {
    match value {
        Value::Int(value) => Some(value.to_string()),
        Value::Float(value) => Some(format!("{:.0}", value * scale)),
        Value::Unknown => None,
    }
}

fn part(sample: &Sample, probe: ProbeId, name: &str, metric: MetricId, scale: f64) -> Option<String> {
    let object = sample.view().find(probe, name.as_bytes())?;
    whole(sample.view().get(metric, object), scale)
}

#[test]
fn processor_times_and_counts_agree() {
    for host in HOSTS {
        let sample = sample_of(host).expect("the fixture is there");
        let system =
            ExplicitSystemInfo { boot_time_secs: 0, ticks_per_second: 100, page_size: 4096, is_little_endian: true };
        let file = std::fs::File::open(fixture(host).join("proc/stat")).expect("the file is there");
        let theirs = KernelStats::from_read(file, &system).expect("procfs reads it");
        let view = sample.view();
        for (metric, ticks) in [
            (cpu::USER, Some(theirs.total.user)),
            (cpu::IDLE, Some(theirs.total.idle)),
            (cpu::STEAL, theirs.total.steal),
            (cpu::GUEST_NICE, theirs.total.guest_nice),
            (cpu::CONTEXT_SWITCHES, Some(theirs.ctxt)),
            (cpu::BOOT_TIME, Some(theirs.btime)),
            (cpu::FORKS, Some(theirs.processes)),
            (cpu::PROCS_RUNNING, theirs.procs_running.map(u64::from)),
            (cpu::PROCS_BLOCKED, theirs.procs_blocked.map(u64::from)),
        ] {
            assert_eq!(whole(view.host(metric), 100.0), ticks.map(|ticks| ticks.to_string()), "{host} {metric:?}");
        }
        for (core, times) in theirs.cpu_time.iter().enumerate() {
            let ours = part(&sample, ProbeId::Cpu, &core.to_string(), cpu::CORE_SYSTEM, 100.0);
            assert_eq!(ours, Some(times.system.to_string()), "{host} cpu{core}");
        }
    }
}

#[test]
fn memory_and_paging_agree() {
    for host in HOSTS {
        let sample = sample_of(host).expect("the fixture is there");
        let theirs = Meminfo::from_file(fixture(host).join("proc/meminfo")).expect("procfs reads it");
        let vmstat = VmStat::from_file(fixture(host).join("proc/vmstat")).expect("procfs reads it").0;
        let counter = |name: &str| vmstat.get(name).and_then(|value| u64::try_from(*value).ok());
        for (metric, bytes) in [
            (memory::TOTAL, Some(theirs.mem_total)),
            (memory::AVAILABLE, theirs.mem_available),
            (memory::SWAP_FREE, Some(theirs.swap_free)),
            (memory::COMMITTED, Some(theirs.committed_as)),
            (memory::ACTIVE_ANON, theirs.active_anon),
            (memory::SLAB, Some(theirs.slab)),
            (memory::HUGEPAGES_TOTAL, theirs.hugepages_total),
            (paging::PSWPOUT, counter("pswpout")),
            (paging::PGMAJFAULT, counter("pgmajfault")),
            (paging::OOM_KILL, counter("oom_kill")),
        ] {
            assert_eq!(sample.view().host(metric).int(), bytes, "{host} {metric:?}");
        }
    }
}

#[test]
fn disks_and_interfaces_agree() {
    for host in HOSTS {
        let sample = sample_of(host).expect("the fixture is there");
        let disks = DiskStats::from_file(fixture(host).join("proc/diskstats")).expect("procfs reads it").0;
        for theirs in &disks {
            let DiskStat { name, reads, sectors_written, time_in_progress, .. } = theirs;
            let ours = |metric| part(&sample, ProbeId::Disk, name, metric, 1000.0);
            assert_eq!(ours(disk::READS), Some(reads.to_string()), "{host} {name}");
            assert_eq!(ours(disk::WRITTEN_BYTES), Some((sectors_written * 512).to_string()), "{host} {name}");
            assert_eq!(ours(disk::IO_TIME), Some(time_in_progress.to_string()), "{host} {name}");
        }
        let interfaces =
            InterfaceDeviceStatus::from_file(fixture(host).join("proc/net/dev")).expect("procfs reads it").0;
        for (name, theirs) in &interfaces {
            let ours = |metric| part(&sample, ProbeId::Network, name, metric, 1.0);
            assert_eq!(ours(network::RX_BYTES), Some(theirs.recv_bytes.to_string()), "{host} {name}");
            assert_eq!(ours(network::RX_DROP), Some(theirs.recv_drop.to_string()), "{host} {name}");
            assert_eq!(ours(network::TX_COLLS), Some(theirs.sent_colls.to_string()), "{host} {name}");
        }
        let count = |probe| sample.view().objects(probe).count();
        assert_eq!((count(ProbeId::Disk), count(ProbeId::Network)), (disks.len(), interfaces.len()), "{host}");
    }
}

#[test]
fn every_mount_shown_is_one_of_theirs() {
    for host in ["big", "vm", "nopsi", "old"] {
        let sample = sample_of(host).expect("the fixture is there");
        let theirs = MountInfos::from_file(fixture(host).join("proc/1/mountinfo")).expect("procfs reads it").0;
        let view = sample.view();
        let ours: Vec<ObjectId> = view.objects(ProbeId::Filesystem).collect();
        assert!(!ours.is_empty(), "{host}");
        for object in ours {
            let texts: Vec<_> = view.parts(object).map(String::from_utf8_lossy).collect();
            let found = theirs.iter().any(|mount| {
                // They leave the escapes as they are.
                mount.mount_point.to_string_lossy().replace("\\040", " ") == texts[0]
                    && mount.mount_source.as_deref().unwrap_or("none") == texts[1]
                    && mount.fs_type == texts[2]
            });
            assert!(found, "{host} {texts:?}");
        }
    }
}

#[test]
fn processes_agree() {
    for entry in std::fs::read_dir(fixture("big").join("proc")).expect("the fixture is there").flatten() {
        let Ok(text) = std::fs::read(entry.path().join("stat")) else { continue };
        let theirs = TheirStat::from_read(&text[..]).expect("procfs reads it");
        let ours = Stat::parse(&text).expect("we read it");
        assert_eq!((ours.pid, ours.ppid, ours.session), (theirs.pid, theirs.ppid, theirs.session));
        assert_eq!(char::from(ours.state), theirs.state);
        assert_eq!(ours.comm.as_bytes(), theirs.comm.as_bytes());
        assert_eq!((ours.utime, ours.stime), (theirs.utime, theirs.stime));
        assert_eq!((ours.start_ticks, ours.vsize, ours.rss_pages), (theirs.starttime, theirs.vsize, theirs.rss));
        assert_eq!((ours.nice, i64::try_from(ours.threads).ok()), (theirs.nice, Some(theirs.num_threads)));
    }
}
