//! What the watched services use: each is a root process and everything below it.
//!
//! The engine says which process is whose ([`Service::watch`]); here /proc/PID/task/TID/children is followed down, at a pace, and
//! /proc/PID/stat of every member is read each turn. Members are remembered with their start time, so a pid that was given
//! to a stranger is left out. A root that is gone, or is not the process it was, makes all values of its service unknown.
//! Processor time includes children that were waited for; it falls when a member is waited for by a stranger.

mod tree;

use std::time::Duration;

use rustix::fs::OFlags;

use crate::cpu::seconds;
use crate::metric::metrics;
use crate::process::{Stat, stat};
use crate::{Fault, Fields, Look, MetricId, ObjectId, Pace, Probe, Sink, Value};
use tree::Member;

metrics! { Service:
    CPU: "cpu", Seconds, Counter, "watchd_service_cpu_seconds_total", "", "Processor time of the service and of its children that were waited for.";
    RSS: "rss", Bytes, Gauge, "watchd_service_resident_memory_bytes", "", "Memory of the service that is resident; shared pages count in each process.";
    PROCESSES: "processes", Count, Gauge, "watchd_service_processes", "", "Processes of the service.";
    THREADS: "threads", Count, Gauge, "watchd_service_threads", "", "Threads of the service.";
    FDS: "fds", Count, Gauge, "watchd_service_open_fds", "", "File descriptors the service has open.";
    AGE: "age", Seconds, Gauge, "watchd_service_age_seconds", "", "Time since the root process started.";
    BLOCKED: "blocked", Count, Gauge, "watchd_service_processes_state", "state=\"blocked\"", "Processes of the service that wait for a disk and cannot be woken.";
    STOPPED: "stopped", Count, Gauge, "watchd_service_processes_state", "state=\"stopped\"", "Processes of the service that were stopped by a signal or a debugger.";
    ZOMBIES: "zombies", Count, Gauge, "watchd_service_processes_state", "state=\"zombie\"", "Processes of the service that ended and were not waited for.";
}
pub const LABELS: &[&str] = &["name"];

const ALL: [MetricId; 9] = [CPU, RSS, PROCESSES, THREADS, FDS, AGE, BLOCKED, STOPPED, ZOMBIES];

/// The services, in the order the engine gave them.
#[derive(Default)]
pub struct Service {
    watched: Vec<Watched>,
    pace: Pace,
    /// The files are the kernel's own; a recorded tree's directories have sizes that say nothing.
    is_kernels: Option<bool>,
}

/// One service and the processes it was last seen to have.
#[derive(Default)]
struct Watched {
    name: Vec<u8>,
    root: Option<Member>,
    /// The root first.
    members: Vec<Member>,
    /// The root is another process than when the members were gathered.
    is_new: bool,
}

impl Service {
    /// Says what service stands in this place and which process is its root, if it runs. `start_ticks` is that of the
    /// process when it was recognised. Costs nothing when nothing changed.
    pub fn watch(&mut self, place: usize, name: &[u8], root_pid: Option<i32>, start_ticks: u64) {
        if place >= self.watched.len() {
            self.watched.resize_with(place + 1, Watched::default);
        }
        let Some(watched) = self.watched.get_mut(place) else { return };
        let root = root_pid.map(|pid| Member { pid, start_ticks });
        if watched.name != name {
            watched.name.clear();
            watched.name.extend_from_slice(name);
        }
        if watched.root != root {
            watched.root = root;
            watched.members.clear();
            watched.is_new = true;
        }
    }

    /// Forgets the services from this place on; after a new policy with fewer of them.
    pub fn truncate(&mut self, len: usize) {
        self.watched.truncate(len);
    }
}

/// Gives the process and all that descend from it now; nothing when it is not the process it was.
pub fn below(look: &mut Look<'_>, pid: i32, start_ticks: u64, give: &mut dyn FnMut(i32, u64)) {
    let mut members = Vec::new();
    tree::gather(look, Member { pid, start_ticks }, &mut members);
    for member in members {
        give(member.pid, member.start_ticks);
    }
}

/// The memory that a process and all below it hold for themselves, in bytes: what is resident less what files and shared memory
/// back. None when the process is not the one it was, or cannot be read. Unlike a proportional size this takes no lock of the
/// process, which may be held for long while memory is short.
pub fn own_memory(look: &mut Look<'_>, pid: i32, start_ticks: u64) -> Option<u64> {
    let mut members = Vec::new();
    tree::gather(look, Member { pid, start_ticks }, &mut members);
    // What ended meanwhile holds nothing any more; only of the root that has to be told.
    let mut held = members.iter().map(|member| own_pages(look, member.pid));
    let root = held.next()??;
    let pages = held.flatten().fold(root, u64::saturating_add);
    Some(pages.saturating_mul(rustix::param::page_size() as u64))
}

/// The memory of a process and all below it where pages that several have count once, in bytes: the sum of their proportional sizes.
/// None when the process is not the one it was, or one of them cannot be read, waits for a disk, or is too large to be asked: the kernel
/// goes through all pages of each, and holds the lock of its memory for that.
pub fn proportional(look: &mut Look<'_>, pid: i32, start_ticks: u64) -> Option<u64> {
    let mut members = Vec::new();
    tree::gather(look, Member { pid, start_ticks }, &mut members);
    let mut pages = 0_u64;
    for member in &members {
        // What has ended meanwhile holds nothing.
        let Some(found) = stat(look, member.pid).ok().filter(|stat| member.is(stat)) else { continue };
        pages = pages.saturating_add(found.rss_pages);
        if found.state == b'D' {
            return None;
        }
    }
    if members.is_empty() || pages.saturating_mul(rustix::param::page_size() as u64) > LARGEST {
        return None;
    }
    let mut sum = 0_u64;
    for member in members {
        let path = crate::path::Path::new("proc/").number(member.pid).text(b"/smaps_rollup");
        let mut room = [0; 2048];
        sum = sum.checked_add(parse_pss(look.host.read_small(path.bytes(), &mut room).ok()?)?)?;
    }
    Some(sum)
}

/// Going through so much memory takes the kernel some 5 ms.
const LARGEST: u64 = 1 << 30;

/// `Pss:                1234 kB` of /proc/PID/smaps_rollup (Linux 4.14).
fn parse_pss(text: &[u8]) -> Option<u64> {
    let text = text.strip_suffix(b"\n")?;
    let line = text.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"Pss:"))?;
    let mut fields = Fields::new(line);
    let kib = fields.number()?;
    (fields.next()? == b"kB").then(|| kib.checked_mul(1024)).flatten()
}

/// `10468 1022 872 199 0 355 0`: pages that are mapped, resident, shared, and others.
fn own_pages(look: &Look<'_>, pid: i32) -> Option<u64> {
    let path = crate::path::Path::new("proc/").number(pid).text(b"/statm");
    let mut room = [0; 256];
    parse_statm(look.host.read_small(path.bytes(), &mut room).ok()?)
}

fn parse_statm(text: &[u8]) -> Option<u64> {
    let mut fields = Fields::new(text.strip_suffix(b"\n")?);
    fields.number()?;
    let resident = fields.number()?;
    Some(resident.saturating_sub(fields.number()?))
}

impl Probe for Service {
    fn read(&mut self, look: &mut Look<'_>, out: &mut Sink<'_>) -> Result<(), Fault> {
        let is_due = self.pace.is_due(look.now);
        let start = crate::pace::stopwatch();
        for watched in &mut self.watched {
            if let (Some(root), true) = (watched.root, is_due || watched.is_new) {
                tree::gather(look, root, &mut watched.members);
                watched.is_new = false;
            }
        }
        if is_due {
            self.pace.took(look.now, crate::pace::stopwatch().saturating_sub(start));
        }
        let is_kernels = *self.is_kernels.get_or_insert_with(|| is_kernels(look));
        for watched in self.watched.iter().filter(|watched| !watched.name.is_empty()) {
            let Some(service) = out.object(&[&watched.name]) else { continue };
            give(Use::of(look, watched, is_kernels), service, out);
        }
        Ok(())
    }
}

/// What one service uses.
#[derive(Default)]
struct Use {
    ticks: u64,
    rss_pages: u64,
    processes: u64,
    threads: u64,
    /// None when a member does not let its descriptors be counted.
    fds: Option<u64>,
    age: Duration,
    blocked: u64,
    stopped: u64,
    zombies: u64,
}

impl Use {
    /// None without a root, and when the root is not the process it was.
    fn of(look: &mut Look<'_>, watched: &Watched, is_kernels: bool) -> Option<Self> {
        let root = watched.root?;
        let mut sum = Self { fds: Some(0), ..Self::default() };
        for member in &watched.members {
            let found = stat(look, member.pid).ok().filter(|stat| member.is(stat));
            match found {
                Some(stat) => sum.add(look, &stat, is_kernels),
                None if *member == root => return None,
                None => {}
            }
        }
        let started = Duration::from_millis(root.start_ticks.saturating_mul(10));
        sum.age = look.now.mono.saturating_sub(started);
        (sum.processes > 0).then_some(sum)
    }

    fn add(&mut self, look: &Look<'_>, stat: &Stat, is_kernels: bool) {
        self.ticks += stat.cpu_ticks();
        self.rss_pages += stat.rss_pages;
        self.processes += 1;
        self.threads += stat.threads;
        self.blocked += u64::from(stat.state == b'D');
        self.stopped += u64::from(matches!(stat.state, b'T' | b't'));
        self.zombies += u64::from(stat.is_zombie());
        if !stat.is_zombie() {
            self.fds = self.fds.zip(count_fds(look, stat.pid, is_kernels)).map(|(sum, fds)| sum + fds);
        }
    }
}

fn give(used: Option<Use>, service: ObjectId, out: &mut Sink<'_>) {
    let Some(used) = used else {
        for metric in ALL {
            out.put(service, metric, Value::Unknown);
        }
        return;
    };
    let page = rustix::param::page_size() as u64;
    out.put(service, CPU, Value::Float(seconds(used.ticks)));
    out.put(service, RSS, Value::Int(used.rss_pages.saturating_mul(page)));
    out.put(service, PROCESSES, Value::Int(used.processes));
    out.put(service, THREADS, Value::Int(used.threads));
    out.put(service, FDS, Value::from(used.fds));
    out.put(service, AGE, Value::Float(used.age.as_secs_f64()));
    out.put(service, BLOCKED, Value::Int(used.blocked));
    out.put(service, STOPPED, Value::Int(used.stopped));
    out.put(service, ZOMBIES, Value::Int(used.zombies));
}

/// Whether /proc is made by a kernel.
fn is_kernels(look: &Look<'_>) -> bool {
    let proc = look.host.open_dir("proc");
    proc.is_ok_and(|dir| rustix::fs::fstatfs(&dir).is_ok_and(|fs| fs.f_type == rustix::fs::PROC_SUPER_MAGIC))
}

/// Since 6.2 the size of the kernel's directory is the number of descriptors; before, its entries are counted.
fn count_fds(look: &Look<'_>, pid: i32, is_kernels: bool) -> Option<u64> {
    let path = crate::path::Path::new("proc/").number(pid).text(b"/fd");
    if is_kernels {
        let found = rustix::fs::statat(look.host.root(), path.bytes(), rustix::fs::AtFlags::empty()).ok()?;
        if found.st_size > 0 {
            return u64::try_from(found.st_size).ok();
        }
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let dir = rustix::fs::openat(look.host.root(), path.bytes(), flags, rustix::fs::Mode::empty()).ok()?;
    count_entries(&dir)
}

fn count_entries(dir: &std::os::fd::OwnedFd) -> Option<u64> {
    let mut chunk = [std::mem::MaybeUninit::uninit(); 2048];
    let mut entries = rustix::fs::RawDir::new(dir, &mut chunk);
    let mut count = 0;
    while let Some(entry) = entries.next() {
        count += u64::from(entry.ok()?.file_name().to_bytes().first().is_some_and(u8::is_ascii_digit));
    }
    Some(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trial::{Reading, fixture, readings, value};
    use crate::{Buffer, Host, Now, ProbeId};

    /// Reads at 100 s after boot.
    fn read(root: &std::path::Path, service: &mut Service) -> Vec<Reading> {
        let host = Host::open(root).expect("the root is there");
        let mut buffer = Buffer::default();
        let now = Now { mono: Duration::from_secs(100), ..Now::default() };
        let mut look = Look { host: &host, buffer: &mut buffer, now };
        readings(ProbeId::Service, |out| service.read(&mut look, out)).expect("services do not fail")
    }

    #[test]
    fn a_tree_is_added_up() {
        let mut service = Service::default();
        service.watch(0, b"ssh", Some(200), 1000);
        let rows = read(&fixture("big"), &mut service);
        let page = rustix::param::page_size() as u64;
        for (field, expect) in [
            // 200 has the child 201, which has 202 and, from another thread, 203.
            ("cpu", Value::Float(0.78)),
            ("rss", Value::Int(4 * 5050 * page)),
            ("processes", Value::Int(4)),
            ("threads", Value::Int(5)),
            ("age", Value::Float(90.0)),
            ("zombies", Value::Int(0)),
        ] {
            assert_eq!(value(&rows, field, "ssh"), Some(expect), "{field}");
        }
    }

    #[test]
    fn a_root_that_is_gone_or_another_process_makes_all_unknown() {
        for (pid, start) in [(Some(200), 999), (Some(4_194_000), 1000), (None, 0)] {
            let mut service = Service::default();
            service.watch(0, b"ssh", pid, start);
            let rows = read(&fixture("big"), &mut service);
            assert_eq!(rows.len(), ALL.len());
            assert!(rows.iter().all(|(_, _, value)| *value == Value::Unknown), "{pid:?} {start}");
        }
    }

    #[test]
    fn a_new_root_is_looked_at_at_once() {
        let mut service = Service::default();
        service.watch(0, b"java", Some(4_194_000), 1);
        service.watch(1, b"ssh", Some(200), 1000);
        read(&fixture("big"), &mut service);
        service.watch(0, b"java", Some(300), 1000);
        service.truncate(1);
        let rows = read(&fixture("big"), &mut service);
        assert_eq!(value(&rows, "threads", "java"), Some(Value::Int(87)));
        assert_eq!(value(&rows, "threads", "ssh"), None);
    }

    #[test]
    fn memory_of_its_own_is_what_is_resident_and_not_shared() {
        let whole = b"10468 1022 872 199 0 355 0\n";
        assert_eq!(parse_statm(whole), Some(150));
        for (text, expect) in
            [(&b"1 2 3\n"[..], Some(0)), (b"\n", None), (b"1 2\n", None), (b"1 -2 3\n", None), (b"1 2 x\n", None)]
        {
            assert_eq!(parse_statm(text), expect, "{}", text.escape_ascii());
        }
        for end in 0..whole.len() {
            assert_eq!(parse_statm(whole.get(..end).unwrap_or_default()), None, "cut at {end}");
        }
    }

    #[test]
    fn a_proportional_size_is_a_whole_line_of_the_kernels() {
        let whole = b"00400000-7ffd2000 ---p 00000000 00:00 0  [rollup]\nRss:       884 kB\nPss:       385 kB\nPss_Dirty: 68 kB\n";
        assert_eq!(parse_pss(whole), Some(385 << 10));
        for text in
            [&b"Pss: 1 MB\n"[..], b"Pss: x kB\n", b"SwapPss: 1 kB\n", b"Pss:\n", b"Pss: 18446744073709551615 kB\n", b""]
        {
            assert_eq!(parse_pss(text), None, "{}", text.escape_ascii());
        }
        for end in 0..whole.len() {
            assert!(matches!(parse_pss(whole.get(..end).unwrap_or_default()), None | Some(394_240)), "cut at {end}");
        }
    }

    #[test]
    fn a_proportional_size_is_at_most_what_is_resident() {
        let mut child =
            std::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn().expect("cat can be run");
        let text = std::fs::read(format!("/proc/{}/stat", child.id())).ok();
        let found = text.and_then(|text| Stat::parse(&text)).expect("it lives");
        let host = Host::open(std::path::Path::new("/")).expect("there is a root");
        let mut buffer = Buffer::default();
        let mut look = Look { host: &host, buffer: &mut buffer, now: Now::default() };
        let size = proportional(&mut look, found.pid, found.start_ticks).expect("it can be asked");
        let resident = found.rss_pages * rustix::param::page_size() as u64;
        assert!(size > 0 && size < resident.max(64 << 10) * 2, "{size} of {resident}");
        assert_eq!(proportional(&mut look, found.pid, found.start_ticks + 1), None, "another process");
        drop(child.stdin.take());
        child.wait().expect("cat ends with its input");
    }

    #[test]
    fn this_very_process_holds_memory_of_its_own() {
        let own = std::fs::read("/proc/self/stat").ok().and_then(|text| Stat::parse(&text)).expect("we exist");
        let host = Host::open(std::path::Path::new("/")).expect("there is a root");
        let mut buffer = Buffer::default();
        let mut look = Look { host: &host, buffer: &mut buffer, now: Now::default() };
        let mut held = || own_memory(&mut look, own.pid, own.start_ticks).expect("it can be read");
        let before = held();
        let more = std::hint::black_box(vec![1_u8; 64 << 20]);
        let after = held();
        assert!(after >= before.saturating_add(48 << 20), "{before} {after} {}", more.len());
        assert_eq!(own_memory(&mut look, own.pid, own.start_ticks + 1), None, "another process");
    }

    #[test]
    fn this_very_process_has_descriptors_and_memory() {
        let own = std::fs::read("/proc/self/stat").ok().and_then(|text| Stat::parse(&text)).expect("we exist");
        let mut service = Service::default();
        service.watch(0, b"us", Some(own.pid), own.start_ticks);
        let rows = read(std::path::Path::new("/"), &mut service);
        for field in ["rss", "threads", "fds", "processes"] {
            assert!(value(&rows, field, "us").and_then(Value::int).is_some_and(|value| value > 0), "{field} {rows:?}");
        }
    }
}
