//! Which series have a history: what graphs are drawn of, and not what can be computed from it or never moves.
//!
//! Left out: single processors and interrupt lines, most kinds of memory, packet counts, averages over windows that the rings
//! give anyway. 45 series speak of the host; each file system has 3, each disk 6, each interface 6, each service 3;
//! each measure of the policy has one, `measure.value` of its id.

use watchd_probes::View;
use watchd_probes::sample_limits::PROBE_COUNT;
use watchd_probes::{
    MetricId, PROBES, ProbeId, cpu, disk, files, filesystem, load, memory, network, paging, pressure, process, service,
    sockets, uptime, users,
};

const KEPT: &[MetricId] = &[
    cpu::USER,
    cpu::NICE,
    cpu::SYSTEM,
    cpu::IDLE,
    cpu::IOWAIT,
    cpu::IRQ,
    cpu::SOFTIRQ,
    cpu::STEAL,
    cpu::CONTEXT_SWITCHES,
    cpu::FORKS,
    cpu::PROCS_RUNNING,
    cpu::PROCS_BLOCKED,
    load::ONE,
    load::FIVE,
    load::FIFTEEN,
    memory::TOTAL,
    memory::FREE,
    memory::AVAILABLE,
    memory::BUFFERS,
    memory::CACHED,
    memory::SWAP_TOTAL,
    memory::SWAP_FREE,
    memory::DIRTY,
    memory::SHMEM,
    memory::SLAB,
    memory::ANON_PAGES,
    memory::COMMITTED,
    paging::PSWPIN,
    paging::PSWPOUT,
    paging::PGMAJFAULT,
    paging::OOM_KILL,
    pressure::CPU_SOME_TOTAL,
    pressure::MEMORY_SOME_TOTAL,
    pressure::MEMORY_FULL_TOTAL,
    pressure::IO_SOME_TOTAL,
    pressure::IO_FULL_TOTAL,
    process::TOTAL,
    process::ZOMBIE,
    process::THREADS,
    files::ALLOCATED,
    users::TOTAL,
    uptime::UP,
    sockets::TCP_ESTABLISHED,
    sockets::TCP_TIME_WAIT,
    sockets::TCP_RETRANSMITTED,
    filesystem::SIZE,
    filesystem::AVAIL,
    filesystem::FILES_FREE,
    disk::READS,
    disk::WRITES,
    disk::READ_BYTES,
    disk::WRITTEN_BYTES,
    disk::IO_TIME,
    disk::IO_TIME_WEIGHTED,
    network::RX_BYTES,
    network::TX_BYTES,
    network::RX_ERRS,
    network::TX_ERRS,
    network::RX_DROP,
    network::TX_DROP,
    service::CPU,
    service::RSS,
    service::FDS,
];

/// One bit for each metric of each probe.
// Evaluated by the compiler: an index out of bounds would not build.
#[allow(clippy::indexing_slicing)]
static MASKS: [u128; PROBE_COUNT] = {
    let mut masks = [0; PROBE_COUNT];
    let mut place = 0;
    while place < KEPT.len() {
        masks[KEPT[place].probe()] |= 1 << KEPT[place].place();
        place += 1;
    }
    masks
};

/// Whether a metric of an object (its name; empty for the host) has a history.
pub fn is_kept(metric: MetricId, object: &[u8]) -> bool {
    let in_list = MASKS.get(metric.probe()).is_some_and(|mask| mask >> metric.place().min(127) & 1 == 1);
    in_list && !is_passing(metric.probe(), object)
}

/// What comes and goes with containers, images and sessions, and what never tells anything.
fn is_passing(probe: usize, object: &[u8]) -> bool {
    let begins = |starts: &[&[u8]]| starts.iter().any(|start| object.starts_with(start));
    let is_of = |id: ProbeId| probe == id as usize;
    (is_of(ProbeId::Network) && (object == b"lo" || begins(&[b"veth"])))
        || (is_of(ProbeId::Disk) && begins(&[b"loop", b"ram"]))
        || (is_of(ProbeId::Filesystem)
            && (object == b"/dev" || begins(&[b"/sys/", b"/run/", b"/snap/", b"/var/lib/docker/", b"/proc/"])))
}

/// How many series an object of a probe has; for one without objects, how many the host has of it.
fn per_object(probe: ProbeId) -> usize {
    KEPT.iter().filter(|metric| metric.probe() == probe as usize).count()
}

/// How many series a host has at most, as it is seen now, with so many services.
pub fn expected(view: View<'_>, services: usize) -> usize {
    let objects = |probe: ProbeId| match probe {
        ProbeId::Service => services,
        ProbeId::Filesystem | ProbeId::Disk | ProbeId::Network => {
            view.objects(probe).filter(|object| !is_passing(probe as usize, view.part(*object, 0))).count()
        }
        _ => 1,
    };
    PROBES.iter().map(|info| per_object(info.id) * objects(info.id)).sum()
}

/// What a series is found by: a fingerprint of `probe.field` and the object's name.
pub fn key(metric: MetricId, object: &[u8]) -> u64 {
    let Some((info, field)) = PROBES.get(metric.probe()).zip(metric.metric()) else { return 0 };
    let mut hash = Key::new();
    hash.mix(info.name.as_bytes());
    hash.mix(b".");
    hash.mix(field.field.as_bytes());
    hash.mix(b"\0");
    hash.mix(object);
    hash.end()
}

/// Where the values of the policy's measures stand, with their ids as objects.
pub const MEASURE: (&str, &str) = ("measure", "value");

/// The same of a measure.
pub fn key_of_measure(id: &str) -> u64 {
    let mut hash = Key::new();
    for part in [MEASURE.0, ".", MEASURE.1, "\0", id] {
        hash.mix(part.as_bytes());
    }
    hash.end()
}

/// The same of a name as it stands in the file: `probe.field`, NUL, object.
pub fn key_of_name(name: &[u8]) -> u64 {
    let mut hash = Key::new();
    hash.mix(name);
    hash.end()
}

/// FNV-1a.
struct Key(u64);

impl Key {
    fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn mix(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    /// Never 0, which stands for "no series".
    fn end(self) -> u64 {
        self.0.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use watchd_probes::Sample;

    #[test]
    fn what_is_kept_is_what_the_header_says() {
        assert_eq!(expected(Sample::default().view(), 0), 45);
        assert_eq!(expected(Sample::default().view(), 2), 51);
        for (probe, count) in
            [(ProbeId::Filesystem, 3), (ProbeId::Disk, 6), (ProbeId::Network, 6), (ProbeId::Service, 3)]
        {
            assert_eq!(per_object(probe), count, "{probe:?}");
        }
        assert!(is_kept(load::ONE, b"") && is_kept(filesystem::AVAIL, b"/") && is_kept(network::RX_BYTES, b"eth0"));
        assert!(
            !is_kept(network::RX_BYTES, b"lo") && !is_kept(disk::READS, b"loop3") && !is_kept(network::MTU, b"eth0")
        );
    }

    #[test]
    fn the_fingerprint_of_a_reading_is_that_of_its_name() {
        assert_eq!(key(filesystem::AVAIL, b"/srv"), key_of_name(b"filesystem.avail\0/srv"));
        assert_eq!(key(load::ONE, b""), key_of_name(b"load.one\0"));
        assert_ne!(key(load::ONE, b""), key(load::FIVE, b""));
        assert_eq!(key_of_measure("mailq"), key_of_name(b"measure.value\0mailq"));
    }
}
