//! Recorded hosts as a reader of the board sees them: the real probes over `probes/tests/fixtures`, published and read back.

// Each test crate uses its own part of this.
#![allow(dead_code, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
// Available blocks may be below 0, which statvfs tells as a very large number.
#![allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]

use std::path::{Path, PathBuf};
use std::time::Duration;

use watchd::model::{ClassKind, EventKind, Now, Outcome, PromiseKind, ServiceState};
use watchd::store::board::{ClassRow, EventRow, Header, Page, PromiseRow, ServiceRow, fixed};
use watchd::store::{Board, Rates, Reader, Readings, Snapshot};
use watchd_probes::filesystem::{Filesystem, Space};
use watchd_probes::{Buffer, Host, Look, Probes, Sample, Value, process, sensors};
use zerocopy::FromZeros;

pub const NOW: Now = Now { mono: Duration::from_secs(1_000_000), wall: Duration::from_secs(1_767_225_900) };
const APART: Duration = Duration::from_secs(300);

pub fn manifest(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// What the probes read below a root.
fn sample(root: &Path) -> Sample {
    let host = Host::open(root).expect("the fixture is there");
    let (mut buffer, mut sample) = (Buffer::default(), Sample::default());
    let mut probes = Probes { filesystem: Filesystem::with_statvfs(recorded_space), ..Probes::default() };
    let mut found = Vec::new();
    sensors::ask(&host, &mut |sensor| found.push(*sensor));
    probes.sensors.supply(&found, true, std::time::Duration::ZERO);
    // A pass over all processes is cut by real time; on a busy machine one look may not be enough.
    for _ in 0..50 {
        probes.read_all(&mut Look { host: &host, buffer: &mut buffer, now: NOW }, &mut sample);
        if sample.view().host(process::TOTAL) != Value::Unknown {
            break;
        }
    }
    sample
}

/// The numbers of statvfs that were recorded with the mount table.
fn recorded_space(host: &Host, point: &[u8]) -> Result<Space, rustix::io::Errno> {
    let file = std::fs::File::from(host.open_file("statfs.tsv")?);
    let text = std::io::read_to_string(file).map_err(|_| rustix::io::Errno::IO)?;
    let point = std::str::from_utf8(point).map_err(|_| rustix::io::Errno::ILSEQ)?;
    let line =
        text.lines().find_map(|line| line.strip_prefix(point)?.strip_prefix('\t')).ok_or(rustix::io::Errno::NOENT)?;
    let numbers: Vec<u64> =
        line.split('\t').map(|word| word.trim().parse::<i128>().expect("a number") as u64).collect();
    Ok(Space::new(numbers[0], [numbers[1], numbers[2], numbers[3]], [numbers[4], numbers[5]], false))
}

/// A board that shows a recorded host, in a directory of its own which goes with it.
pub struct Shown {
    pub board: Board,
    pub path: PathBuf,
}

impl Shown {
    /// `name` keeps the boards of tests apart that run at the same time.
    pub fn new(host: &str, name: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("watchd-shown-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&directory).expect("a directory can be made");
        let path = directory.join("board");
        let mut shown = Self { board: Board::create(&path).expect("the board is made"), path };
        shown.beat(NOW);
        shown.publish(host);
        shown
    }

    pub fn beat(&self, now: Now) {
        self.board.beat(u64::try_from(now.mono.as_millis()).expect("it is small"));
    }

    fn publish(&mut self, host: &str) {
        let before = sample(&manifest(&format!("tests/fixtures/munin/{host}/t0")));
        let after = sample(&manifest(&format!("probes/tests/fixtures/{host}")));
        let mut rates = Rates::default();
        rates.update(&before, &after, APART);
        let readings = Readings { view: after.view(), rates: rates.as_slice() };
        let (services, classes, promises, events) = (services(), classes(), promises(), events());
        self.board.publish(&Page {
            header: &header(),
            readings,
            services: &services,
            classes: &classes,
            promises: &promises,
            events: &events,
            learned: &[],
        });
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(self.path.parent().expect("it has a directory"));
    }
}

/// A copy of a board that shows a recorded host.
pub fn snapshot(host: &str) -> Snapshot {
    static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let shown = Shown::new(host, &format!("copy-{}", COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed)));
    let mut snapshot = Snapshot::default();
    Reader::open(&shown.path).expect("the board opens").read(&mut snapshot).expect("the page is whole");
    snapshot
}

const fn wall(ago: u64) -> u64 {
    NOW.wall.as_millis() as u64 - ago * 1000
}

fn header() -> Header {
    Header {
        pid: 4711,
        door_pid: 4712,
        cycle_ms: 10_000,
        cycles: 360,
        config_ok: 1,
        state_ok: 1,
        rss_kib: 880,
        door_rss_kib: 560,
        started_wall_ms: wall(3600),
        sample_wall_ms: wall(1),
        started_mono_ms: 996_400_000,
        sample_mono_ms: 999_999_000,
        longest_turn_us: 4321,
        events_total: 3,
        version: fixed("0.1.0"),
        host: fixed("golden.example"),
        listening: fixed("munin 127.0.0.1:4949, http 127.0.0.1:4950"),
        config_file: fixed("/etc/watchd/watchd.toml"),
        ..Header::default()
    }
}

fn services() -> Vec<ServiceRow> {
    let row = |id, state: ServiceState, pid, reason| ServiceRow {
        id: fixed(id),
        state: state.byte(),
        pid,
        restarts: 2,
        budget_left: 3,
        budget_full: 5,
        since_wall_ms: wall(725),
        since_mono_ms: 999_275_000,
        reason: fixed(reason),
        ..ServiceRow::new_zeroed()
    };
    vec![
        row("web", ServiceState::Ready, 100, "adopted: pid 100 from /run/web.pid"),
        row("db", ServiceState::Flapping, 0, "died 5 times in 10 minutes; <b>\"core dumped\"</b> & 'gone'"),
        row("mail", ServiceState::Unknown, 0, ""),
    ]
}

fn classes() -> Vec<ClassRow> {
    let since_s = u32::try_from(wall(60) / 1000).unwrap_or(u32::MAX);
    let row = |name, kind: ClassKind, on| ClassRow {
        name: fixed(name),
        kind: kind.byte(),
        on,
        since_s,
        ..ClassRow::new_zeroed()
    };
    vec![
        row("linux", ClassKind::Hard, 1),
        row("web_ready", ClassKind::State, 1),
        row("load_high", ClassKind::Measured, 0),
        row("db_flapping", ClassKind::State, 1),
    ]
}

fn promises() -> Vec<PromiseRow> {
    let row = |id, kind: PromiseKind, outcome: Outcome, at| PromiseRow {
        id: fixed(id),
        kind: kind.byte(),
        outcome: outcome.byte(),
        at_wall_ms: at,
        figures: [f64::NAN; 2],
        ..PromiseRow::new_zeroed()
    };
    vec![
        row("web", PromiseKind::Process, Outcome::Repaired, wall(725)),
        row("root", PromiseKind::Disk, Outcome::Kept, wall(10)),
        row("clean", PromiseKind::Command, Outcome::Skipped, 0),
    ]
}

fn events() -> Vec<EventRow> {
    let row = |number, kind: EventKind, subject, text| EventRow {
        number,
        wall_ms: wall(1000 - number),
        kind: kind.byte(),
        subject: fixed(subject),
        text: fixed(text),
        ..EventRow::new_zeroed()
    };
    vec![
        row(1, EventKind::DaemonStarted, "", "watchd looks after this host"),
        row(2, EventKind::ServiceDied, "db", "signal 11 <script>alert(1)</script>"),
        row(3, EventKind::ServiceFlapping, "db", "5 starts in 10 minutes"),
    ]
}
