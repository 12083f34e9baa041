//! The state of everything as one JSON document: `/api/status` and `watchd status --json`, schema 1.
//!
//! Times are UTC as RFC 3339 writes it, shares are percent, memory is KiB, space is bytes; what is not known is null. Fields are added
//! without a new schema number, never renamed or taken away.

use serde::{Serialize, Serializer};
use watchd_probes::{MetricId, ObjectId, ProbeId, cpu, filesystem, load, memory, service, uptime};

use super::disk::{self, Space};
use super::{Page, Stamp, verdict};
use crate::model::{ClassKind, EventKind, Now, Outcome, PromiseKind, ServiceState, Severity};
use crate::store::board::text;
use crate::store::{ClassRow, EventRow, Header, PromiseRow, Readings, ServiceRow, Snapshot};

/// Writes the document and a newline.
pub fn status(snapshot: &Snapshot, now: Now, page: &mut Page) {
    status_after(snapshot, 0, now, page);
}

/// The same for somebody who knows the events up to a number: they are left out.
pub fn status_after(snapshot: &Snapshot, after: u64, now: Now, page: &mut Page) {
    let readings = snapshot.readings();
    let verdict = verdict::of(snapshot, now);
    let document = Status {
        schema: 1,
        verdict: Judged { tone: verdict.tone.word(), text: &verdict.text },
        daemon: Daemon::new(&snapshot.header, now),
        host: Host::new(&snapshot.header, readings),
        processes: Rows(|| snapshot.services.iter().map(move |row| Process::new(row, readings))),
        disks: Rows(|| {
            let disks = (0..).zip(readings.view.objects(ProbeId::Filesystem));
            disks.map(move |(place, object)| Disk::new(object, readings, foreseen(&snapshot.promises, place)))
        }),
        classes: Rows(|| snapshot.classes.iter().filter(|class| class.is_on()).map(Class::new)),
        learned: Rows(|| {
            snapshot.learned.iter().map(|row| Learned {
                metric: text(&row.name),
                ready: row.is_ready(),
                value: row.value,
                expected: row.expected,
                low: row.low,
                high: row.high,
                found: Rows(|| row.found().iter()),
            })
        }),
        promises: Rows(|| snapshot.promises.iter().map(Promise::new)),
        events: Rows(|| snapshot.events.iter().filter(|event| event.number > after).map(Event::new)),
    };
    write(&document, page);
}

/// Writes a document and a newline. Writing fails only when the page is full, and the page remembers that.
pub(super) fn write(document: &impl Serialize, page: &mut Page) {
    let _ = serde_json::to_writer(&mut *page, document);
    page.text("\n");
}

#[derive(Serialize)]
struct Status<'a, P: Serialize, D: Serialize, C: Serialize, L: Serialize, M: Serialize, E: Serialize> {
    schema: u32,
    verdict: Judged<'a>,
    daemon: Daemon<'a>,
    host: Host<'a>,
    processes: P,
    disks: D,
    classes: C,
    learned: L,
    promises: M,
    events: E,
}

/// All in one sentence.
#[derive(Serialize)]
struct Judged<'a> {
    tone: &'static str,
    text: &'a str,
}

/// One quantity of the learner: the mean of a minute, what is usual, and the words of what was found.
#[derive(Serialize)]
struct Learned<'a, F: Serialize> {
    metric: &'a str,
    ready: bool,
    value: f32,
    expected: f32,
    low: f32,
    high: f32,
    found: F,
}

/// A list that is made while it is written.
pub(super) struct Rows<F>(pub F);

impl<F: Fn() -> I, I: Iterator<Item: Serialize>> Serialize for Rows<F> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_seq((self.0)())
    }
}

/// Milliseconds since 1970; 0 is "never".
pub(super) struct Time(pub u64);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        if self.0 == 0 { out.serialize_none() } else { out.collect_str(&Stamp(self.0)) }
    }
}

/// Kernel text, of which only UTF-8 can stand in a document.
struct Text<'a>(&'a [u8]);

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(&String::from_utf8_lossy(self.0))
    }
}

#[derive(Serialize)]
struct Daemon<'a> {
    version: &'a str,
    pid: u32,
    door_pid: Option<u32>,
    started: Time,
    heartbeat_age_s: f64,
    cycle_s: f64,
    cycles: u64,
    longest_turn_ms: f64,
    rss_kib: Option<u32>,
    door_rss_kib: Option<u32>,
    listening: &'a str,
    state_ok: bool,
    config: Config<'a>,
}

#[derive(Serialize)]
struct Config<'a> {
    /// Null for the embedded default.
    file: Option<&'a str>,
    ok: bool,
    error: Option<&'a str>,
    loaded: Time,
}

impl<'a> Daemon<'a> {
    fn new(header: &'a Header, now: Now) -> Self {
        Self {
            version: text(&header.version),
            pid: header.pid,
            door_pid: some(header.door_pid),
            started: Time(header.started_wall_ms),
            heartbeat_age_s: whole_turns(header, now),
            cycle_s: thousandths(header.cycle_ms),
            cycles: header.cycles,
            longest_turn_ms: thousandths(header.longest_turn_us),
            rss_kib: some(header.rss_kib),
            door_rss_kib: some(header.door_rss_kib),
            listening: text(&header.listening),
            state_ok: header.state_ok == 1,
            config: Config {
                file: filled(text(&header.config_file)),
                ok: header.config_ok == 1,
                error: filled(text(&header.config_error)),
                loaded: Time(header.config_loaded_wall_ms),
            },
        }
    }
}

/// The age of the heartbeat in whole cycles, of a second at least: so the document changes with what is so and not with each
/// look at it, and who has it already need not be sent it again.
fn whole_turns(header: &Header, now: Now) -> f64 {
    let turn = header.cycle_ms.max(1000);
    let age = u64::try_from(header.age(now).as_millis()).unwrap_or(u64::MAX);
    thousandths(age - age % turn)
}

/// 0 stands for "none" on the board.
fn some(value: u32) -> Option<u32> {
    (value > 0).then_some(value)
}

fn filled(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

#[allow(clippy::cast_precision_loss)]
fn thousandths(value: u64) -> f64 {
    value as f64 / 1000.0
}

#[derive(Serialize)]
struct Host<'a> {
    name: &'a str,
    sampled: Time,
    uptime_s: Option<f64>,
    load: [Option<f64>; 3],
    cpus: Option<u64>,
    cpu_pct: Option<f64>,
    memory: Memory,
    swap: Swap,
}

#[derive(Serialize)]
struct Memory {
    total: Option<u64>,
    available: Option<u64>,
    used_pct: Option<f64>,
}

#[derive(Serialize)]
struct Swap {
    total: Option<u64>,
    free: Option<u64>,
    used_pct: Option<f64>,
}

impl<'a> Host<'a> {
    fn new(header: &'a Header, readings: Readings<'_>) -> Self {
        let number = |metric: MetricId| readings.view.host(metric).number();
        let count = |metric: MetricId| readings.view.host(metric).int();
        let (total, available) = (count(memory::TOTAL), count(memory::AVAILABLE));
        let (swap, swap_free) = (count(memory::SWAP_TOTAL), count(memory::SWAP_FREE));
        Self {
            name: text(&header.host),
            sampled: Time(header.sample_wall_ms),
            uptime_s: number(uptime::UP),
            load: [load::ONE, load::FIVE, load::FIFTEEN].map(number),
            cpus: count(cpu::CPUS),
            cpu_pct: processor_share(readings).map(rounded),
            memory: Memory { total, available, used_pct: used_share(total, available).map(rounded) },
            swap: Swap { total: swap, free: swap_free, used_pct: used_share(swap, swap_free).map(rounded) },
        }
    }
}

/// Share of the time of all processors that was not idle, in percent.
pub fn processor_share(readings: Readings<'_>) -> Option<f64> {
    let rate = |metric| readings.rate(metric, ObjectId::HOST);
    let idle = rate(cpu::IDLE)? + rate(cpu::IOWAIT).unwrap_or(0.0);
    let busy: f64 = [cpu::USER, cpu::NICE, cpu::SYSTEM, cpu::IRQ, cpu::SOFTIRQ, cpu::STEAL]
        .iter()
        .filter_map(|state| rate(*state))
        .sum();
    (idle + busy > 0.0).then(|| 100.0 * busy / (idle + busy))
}

/// How much of a whole is not left, in percent; none of nothing.
#[allow(clippy::cast_precision_loss)]
pub fn used_share(whole: Option<u64>, left: Option<u64>) -> Option<f64> {
    let (whole, left) = (whole.filter(|whole| *whole > 0)?, left?);
    Some(100.0 * whole.saturating_sub(left) as f64 / whole as f64)
}

fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

#[derive(Serialize)]
pub(super) struct Process<'a> {
    id: &'a str,
    state: ServiceState,
    pid: Option<i32>,
    since: Time,
    restarts: u32,
    budget_left: u32,
    budget_full: u32,
    reason: &'a str,
    cpu_pct: Option<f64>,
    rss_kib: Option<u64>,
}

impl<'a> Process<'a> {
    pub fn new(row: &'a ServiceRow, readings: Readings<'_>) -> Self {
        let usage = Usage::of(row, readings);
        Self {
            id: text(&row.id),
            state: row.state(),
            pid: (row.pid > 0).then_some(row.pid),
            since: Time(row.since_wall_ms),
            restarts: row.restarts,
            budget_left: row.budget_left,
            budget_full: row.budget_full,
            reason: text(&row.reason),
            cpu_pct: usage.cpu_pct.map(rounded),
            rss_kib: usage.rss_kib,
        }
    }
}

/// What a service uses, where it was measured.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// Of one processor.
    pub cpu_pct: Option<f64>,
    pub rss_kib: Option<u64>,
}

impl Usage {
    pub fn of(row: &ServiceRow, readings: Readings<'_>) -> Self {
        let Some(object) = readings.view.find(ProbeId::Service, text(&row.id).as_bytes()) else {
            return Self::default();
        };
        Self {
            cpu_pct: readings.rate(service::CPU, object).map(|share| share * 100.0),
            rss_kib: readings.view.get(service::RSS, object).int().map(|bytes| bytes / 1024),
        }
    }
}

#[derive(Serialize)]
struct Disk<'a> {
    mountpoint: Text<'a>,
    device: Text<'a>,
    fstype: Text<'a>,
    size: Option<u64>,
    avail: Option<u64>,
    used_pct: Option<f64>,
    inodes_used_pct: Option<f64>,
    read_only: Option<bool>,
    hung: bool,
    /// The file system refused to tell its space.
    refused: bool,
    /// Whether people look after it.
    notable: bool,
    /// Only where the policy asks for a forecast; null while it does not fill up.
    #[serde(skip_serializing_if = "Option::is_none")]
    full_in_s: Option<Option<f64>>,
}

/// The forecast of the file system at a place, of the promise that asks for one.
fn foreseen(promises: &[PromiseRow], place: u32) -> Option<Option<f64>> {
    let is_here =
        |row: &&PromiseRow| row.figure(PromiseKind::Disk, 1).is_some_and(|here| (here - f64::from(place)).abs() < 0.5);
    promises.iter().find(is_here).map(|row| row.figure(PromiseKind::Disk, 0))
}

impl<'a> Disk<'a> {
    fn new(object: ObjectId, readings: Readings<'a>, full_in_s: Option<Option<f64>>) -> Self {
        let view = readings.view;
        let space = Space::of(object, readings);
        let read_only = view.get(filesystem::READ_ONLY, object).int().map(|flag| flag == 1);
        let is = |flag| disk::is(flag, object, readings);
        let (hung, refused) = (is(filesystem::HUNG), is(filesystem::DEVICE_ERROR));
        Self {
            mountpoint: Text(view.part(object, 0)),
            device: Text(view.part(object, 1)),
            fstype: Text(view.part(object, 2)),
            size: space.size,
            avail: space.avail,
            used_pct: space.used_pct.map(rounded),
            inodes_used_pct: space.inodes_used_pct.map(rounded),
            read_only,
            hung,
            refused,
            notable: hung || refused || disk::is_worth_it(object, (space, read_only == Some(true)), readings),
            full_in_s,
        }
    }
}

#[derive(Serialize)]
pub(super) struct Class<'a> {
    name: &'a str,
    kind: Option<ClassKind>,
    since: Time,
    /// When it ends by itself, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<Time>,
}

impl<'a> Class<'a> {
    pub fn new(row: &'a ClassRow) -> Self {
        Self {
            name: text(&row.name),
            kind: row.kind(),
            since: Time(row.since_wall_ms()),
            until: (row.until_s > 0).then(|| Time(row.until_wall_ms())),
        }
    }
}

#[derive(Serialize)]
pub(super) struct Promise<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    kind: Option<PromiseKind>,
    outcome: Outcome,
    at: Time,
    /// Of a measure.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<f64>,
    /// Of what is to be fresh.
    #[serde(skip_serializing_if = "Option::is_none")]
    age_s: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size_bytes: Option<f64>,
}

impl<'a> Promise<'a> {
    pub fn new(row: &'a PromiseRow) -> Self {
        Self {
            id: text(&row.id),
            kind: row.kind(),
            outcome: row.outcome(),
            at: Time(row.at_wall_ms),
            value: row.figure(PromiseKind::Measure, 0),
            age_s: row.figure(PromiseKind::Freshness, 0),
            size_bytes: row.figure(PromiseKind::Freshness, 1),
        }
    }
}

#[derive(Serialize)]
pub(super) struct Event<'a> {
    number: u64,
    at: Time,
    kind: EventKind,
    severity: Severity,
    subject: &'a str,
    text: &'a str,
}

impl<'a> Event<'a> {
    pub fn new(row: &'a EventRow) -> Self {
        Self {
            number: row.number,
            at: Time(row.wall_ms),
            kind: row.kind(),
            severity: row.severity(),
            subject: text(&row.subject),
            text: text(&row.text),
        }
    }
}
