//! `spoolfetch SINCE`: all plugins at once, with every value since then and the time each was measured at.
//!
//! ```text
//! > spoolfetch 1767222300
//! < multigraph load
//! < graph_title Load average …
//! < load.value 1767222310:0.42     from the history's rings, one for each ten seconds
//! < load.value 1767222600:0.4      from the board
//! ```
//!
//! The rings hold levels and rates. A master wants counters as counters, so those are computed backwards from the newest reading,
//! which is exact, as far as there is no gap; the sum over the stretch is exact then, and each part as good as the rings (0.05 %).
//! What wraps when it seems to go down (`COUNTER`) gets its newest reading alone, like all that has no history.

use watchd_probes::disk::{IO_TIME, READ_BYTES, READS, WRITES, WRITTEN_BYTES};
use watchd_probes::{MetricId, ObjectId, ProbeId, cpu, load, memory, network, paging, process, sockets, uptime};

use super::cpu::scale as cpu_scale;
use super::facts::{Clean, Facts};
use super::{Ask, answer, disk, host_of, names, own};
use crate::export::Page;
use crate::export::history::Short;
use crate::store::board::{PromiseRow, text};
use crate::store::history::{HistoryReader, Place, Point, Span, key, key_of_measure, key_of_name};

/// Values of one field in one answer, and how far back they go: a day, for a master that was away or is new.
const POINTS: u64 = 360;
const REACH: u64 = 86_400;

/// Counters are told as far back as the ring reaches in which no gap is hidden.
const FINE_REACH: u64 = 6 * 3600 - 60;

/// Seconds between two values; the databases of a master have five minutes.
const STEPS: [u64; 3] = [10, 60, 300];

/// What a field is of the series it is made of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The level or the rate itself.
    Level,
    /// The counter whose rate it is.
    Total,
}

/// A field, and the series that has its past, times a factor.
struct Series {
    plugin: &'static str,
    field: &'static str,
    metric: MetricId,
    factor: f64,
    kind: Kind,
}

const fn level(plugin: &'static str, field: &'static str, metric: MetricId) -> Series {
    Series { plugin, field, metric, factor: 1.0, kind: Kind::Level }
}

const fn total(plugin: &'static str, field: &'static str, metric: MetricId, factor: f64) -> Series {
    Series { plugin, field, metric, factor, kind: Kind::Total }
}

/// Fields of plugins of the host, and of those whose name ends in an object's.
const SERIES: &[Series] = &[
    total("cpu", "system", cpu::SYSTEM, 100.0),
    total("cpu", "user", cpu::USER, 100.0),
    total("cpu", "nice", cpu::NICE, 100.0),
    total("cpu", "idle", cpu::IDLE, 100.0),
    total("cpu", "iowait", cpu::IOWAIT, 100.0),
    total("cpu", "irq", cpu::IRQ, 100.0),
    total("cpu", "softirq", cpu::SOFTIRQ, 100.0),
    total("cpu", "steal", cpu::STEAL, 100.0),
    total("forks", "forks", cpu::FORKS, 1.0),
    total("interrupts", "ctx", cpu::CONTEXT_SWITCHES, 1.0),
    level("load", "load", load::FIVE),
    level("memory", "free", memory::FREE),
    level("memory", "buffers", memory::BUFFERS),
    level("memory", "shmem", memory::SHMEM),
    level("memory", "slab", memory::SLAB),
    level("memory", "committed", memory::COMMITTED),
    level("netstat", "established", sockets::TCP_ESTABLISHED),
    level("processes", "processes", process::TOTAL),
    level("processes", "zombie", process::ZOMBIE),
    total("swap", "swap_in", paging::PSWPIN, 1.0),
    total("swap", "swap_out", paging::PSWPOUT, 1.0),
    level("threads", "threads", process::THREADS),
    Series { factor: 1.0 / 86_400.0, ..level("uptime", "uptime", uptime::UP) },
    level("vmstat", "wait", cpu::PROCS_RUNNING),
    level("vmstat", "sleep", cpu::PROCS_BLOCKED),
    total("if_", "down", network::RX_BYTES, 1.0),
    total("if_", "up", network::TX_BYTES, 1.0),
];

/// Fields of `diskstats`, in graphs of one device; in those of all the device's name stands before the field's.
const DISKS: &[Series] = &[
    level("diskstats_iops", "rdio", READS),
    level("diskstats_iops", "wrio", WRITES),
    level("diskstats_throughput", "rdbytes", READ_BYTES),
    level("diskstats_throughput", "wrbytes", WRITTEN_BYTES),
    Series { factor: 100.0, ..level("diskstats_utilization", "util", IO_TIME) },
];

/// What follows `spoolfetch`: since when; none when it is no time.
pub fn since(rest: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(rest.strip_prefix(b" ")?.trim_ascii()).ok()?;
    text.parse().ok()
}

/// Whether a master may be offered this: it was switched on, and no plugin belongs to a virtual host, of which a spool cannot tell.
pub fn is_offered(facts: &Facts<'_>, host: &str) -> bool {
    let is_own = |there: Option<&str>| there.is_none_or(|there| there.eq_ignore_ascii_case(host));
    if !facts.snapshot.header.has_spool() || !facts.guests.iter().all(|guest| is_own(guest.host.as_deref())) {
        return false;
    }
    let mut is_offered = true;
    names(facts, true, &mut |plugin, instance| is_offered &= is_own(host_of(facts, plugin, instance)));
    is_offered
}

/// Writes what one of our own plugins has to say since then; false when there is none in this place.
pub fn write(facts: &Facts<'_>, past: Option<&HistoryReader>, since: u64, place: usize, page: &mut Page) -> bool {
    let (mut name, mut count) = (Vec::new(), 0);
    names(facts, true, &mut |plugin, instance| {
        if count == place {
            name = [plugin.as_bytes(), instance].concat();
        }
        count += 1;
    });
    if place >= count || !facts.snapshot.header.is_fresh(facts.now) {
        return false;
    }
    let mut text = Page::new(Page::LIMIT);
    answer(&Facts { has_past: past.is_some(), ..*facts }, Ask::Dirty, &name, &mut text);
    begin(&name, text.bytes(), page);
    let newest = facts.snapshot.header.sample_wall_ms / 1000;
    let rings = past.and_then(|history| Rings::of(history, facts, since, newest));
    stamp(text.bytes(), page, &mut |graph, field, value, page| {
        let series = rings.as_ref().and_then(|rings| Some((rings, find(facts, &name, graph, field)?)));
        if let Some((rings, found)) = series {
            rings.write(&found, field, value, page);
        }
        write_value(field, newest, value, page);
    });
    true
}

/// Names the graph that the following lines are about, as a master would have made it of the plugin's name.
pub fn begin(name: &[u8], text: &[u8], page: &mut Page) {
    if !text.starts_with(b"multigraph ") {
        page.text("multigraph ");
        for byte in name {
            page.push(&[if byte.is_ascii_alphanumeric() { *byte } else { b'_' }]);
        }
        page.text("\n");
    }
}

/// Whether an answer has values.
pub fn has_values(text: &[u8]) -> bool {
    let key = |line: &[u8]| line.split(|byte| *byte == b' ').next().is_some_and(|key| key.ends_with(b".value"));
    text.split(|byte| *byte == b'\n').any(key)
}

/// Writes an answer again, each value with the time it was measured at.
pub fn with_times(facts: &Facts<'_>, text: &[u8], page: &mut Page) {
    let newest = facts.snapshot.header.sample_wall_ms / 1000;
    stamp(text, page, &mut |_, field, value, page| write_value(field, newest, value, page));
}

fn write_value(field: &[u8], at: u64, value: &[u8], page: &mut Page) {
    page.push(field);
    page.put(format_args!(".value {at}:"));
    page.push(value);
    page.text("\n");
}

/// Takes a value: graph (empty before the first `multigraph`), field, value.
type Give<'a> = dyn FnMut(&[u8], &[u8], &[u8], &mut Page) + 'a;

/// Copies the lines of an answer, but lets `give` write those with values.
fn stamp(text: &[u8], page: &mut Page, give: &mut Give<'_>) {
    let mut graph = &b""[..];
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let bare = line.strip_suffix(b"\n").unwrap_or(line);
        let space = bare.iter().position(|byte| *byte == b' ').unwrap_or(bare.len());
        let (key, value) = bare.split_at_checked(space).unwrap_or((bare, b""));
        let value = value.trim_ascii();
        if key == b"multigraph" {
            graph = value;
        }
        match key.strip_suffix(b".value") {
            Some(field) => give(graph, field, value, page),
            None => page.push(line),
        }
    }
}

/// The series of a field, by its fingerprint.
struct Found {
    key: u64,
    factor: f64,
    kind: Kind,
}

fn find(facts: &Facts<'_>, plugin: &[u8], graph: &[u8], field: &[u8]) -> Option<Found> {
    let view = facts.readings.view;
    let found = |series: &Series, object| {
        let object = if object == ObjectId::HOST { &b""[..] } else { view.part(object, 0) };
        Found { key: key(series.metric, object), factor: series.factor, kind: series.kind }
    };
    if plugin == own::MEASURES.name.as_bytes() {
        let is_it = |row: &&PromiseRow| Clean(text(&row.id).as_bytes()).to_string().as_bytes() == field;
        let row = own::measures(facts).find(is_it)?;
        return Some(Found { key: key_of_measure(text(&row.id)), factor: 1.0, kind: Kind::Level });
    }
    if plugin == b"diskstats" {
        let mut parts = graph.splitn(2, |byte| *byte == b'.');
        let (kind, device) = (parts.next().unwrap_or_default(), parts.next());
        return view.objects(ProbeId::Disk).find_map(|object| {
            let name = Clean(disk::called(facts, object)).to_string();
            let bare = match device {
                Some(device) => (device == name.as_bytes()).then_some(field)?,
                None => field.strip_prefix(name.as_bytes())?.strip_prefix(b"_")?,
            };
            let is_it = |series: &&Series| series.plugin.as_bytes() == kind && series.field.as_bytes() == bare;
            DISKS.iter().find(is_it).map(|series| found(series, object))
        });
    }
    SERIES.iter().filter(|series| series.field.as_bytes() == field).find_map(|series| {
        let instance = plugin.strip_prefix(series.plugin.as_bytes())?;
        if series.plugin.ends_with('_') {
            let object = view.find(ProbeId::Network, instance)?;
            return Some(found(series, object));
        }
        let scale = if plugin == b"cpu" { cpu_scale(&Facts { plugin: b"cpu", ..*facts }) } else { 1.0 };
        let found = found(series, ObjectId::HOST);
        instance.is_empty().then_some(Found { factor: found.factor * scale, ..found })
    })
}

/// The history as far as one answer wants it.
struct Rings<'a> {
    history: &'a HistoryReader,
    places: Vec<(u64, Place)>,
    /// The last moment the master knows, and that of the board's readings.
    since: u64,
    newest: u64,
    step: u64,
    cycle: u64,
}

/// A series over a stretch: the mean of each step by when it was measured last, from old to new.
type Points = Vec<(u64, f64)>;

impl<'a> Rings<'a> {
    /// None when there is nothing between the two moments.
    fn of(history: &'a HistoryReader, facts: &Facts<'_>, since: u64, newest: u64) -> Option<Self> {
        let since = since.max(newest.saturating_sub(REACH));
        let cycle = facts.snapshot.header.cycle_ms.div_ceil(1000).max(1);
        let back = newest.checked_sub(since).filter(|back| *back > cycle)?;
        let step = STEPS.into_iter().find(|step| *step >= cycle && back / step <= POINTS)?;
        let mut places = Vec::new();
        let all = history.each(&mut |name, place| {
            places.push((key_of_name(name.bytes()), place));
            true
        });
        all.ok().map(|()| Self { history, places, since, newest, step, cycle })
    }

    /// Writes the values of a field that lie between the two moments.
    fn write(&self, found: &Found, field: &[u8], value: &[u8], page: &mut Page) {
        let Some((_, place)) = self.places.iter().find(|(other, _)| *other == found.key) else { return };
        let is_new = |(at, _): &&(u64, f64)| *at > self.since && *at < self.newest;
        match found.kind {
            Kind::Level => {
                for (at, mean) in self.points(*place, self.step, self.since).iter().filter(is_new) {
                    let value = Short(narrow(mean * found.factor));
                    page.push(field);
                    page.put(format_args!(".value {at}:{value}\n"));
                }
            }
            Kind::Total => {
                let Some(now) = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok()) else { return };
                let points = self.points(*place, self.fine(), self.since.max(self.newest.saturating_sub(FINE_REACH)));
                for (at, count) in self.backwards(&points, now, found.factor).iter().rev().filter(is_new) {
                    page.push(field);
                    page.put(format_args!(".value {at}:{count:.0}\n"));
                }
            }
        }
    }

    /// The shortest step of which each has a reading.
    fn fine(&self) -> u64 {
        STEPS.into_iter().find(|step| *step >= self.cycle).unwrap_or(self.step)
    }

    /// The counter at the beginning of each step, from new to old, until there is a gap.
    fn backwards(&self, points: &Points, now: f64, factor: f64) -> Points {
        let (mut found, mut count, mut at, fine) = (Points::new(), now, self.newest, self.fine());
        for (place, (end, rate)) in (0_u64..).zip(points.iter().rev()) {
            let start = end.saturating_sub(fine);
            // The newest step may be under way.
            if start >= at || (place > 0 && *end != at) {
                break;
            }
            count -= rate * factor * seconds(at - start);
            if count < -0.5 {
                return found;
            }
            (at, count) = (start, count.max(0.0));
            if ((place + 1) * fine).is_multiple_of(self.step) {
                found.push((at, count));
            }
        }
        // A step of several readings may have been measured from its middle on.
        if self.cycle < fine && found.last().is_some_and(|(last, _)| *last == at) {
            found.pop();
        }
        found
    }

    /// The means of a series by when each step was measured last, from old to new. Slots stand for a cycle that may lie a little
    /// before or behind them; the newest one is that of the board's readings, so each of the others was measured as many steps before.
    fn points(&self, place: Place, step: u64, from: u64) -> Points {
        let newest = self.read(place, self.newest.saturating_sub(60), STEPS[0]).last().map(|point| point.at);
        let Some(slot) = newest else { return Points::new() };
        let (early, late) = (slot.saturating_sub(self.newest), self.newest.saturating_sub(slot));
        if early > 10 || late > self.cycle.max(10) * 2 {
            return Points::new();
        }
        let end = |at: u64| match self.cycle {
            // The last of several readings.
            short @ ..10 => Some(at + step - short),
            _ => (at + step - STEPS[0] + self.newest).checked_sub(slot),
        };
        let read = self.read(place, from.saturating_sub(step), step);
        read.iter().filter_map(|point| Some((end(point.at)?, f64::from(point.mean)))).collect()
    }

    /// All points of a stretch up to now with a step of this width; none when they cannot be had.
    fn read(&self, place: Place, from: u64, step: u64) -> Vec<Point> {
        // The newest slot may be ahead of the clock.
        let to = self.newest + STEPS[0];
        let count = (to / step - from / step).saturating_add(1);
        let span = Span { from, to, points: u32::try_from(count).unwrap_or(2) };
        let mut points = Vec::new();
        let width = self.history.read(place, span, to, &mut |point| points.push(point));
        if width.is_ok_and(|width| width == step) { points } else { Vec::new() }
    }
}

/// Seconds of at most a day, which an f64 holds exactly.
#[allow(clippy::cast_precision_loss)]
fn seconds(seconds: u64) -> f64 {
    seconds as f64
}

#[allow(clippy::cast_possible_truncation)]
fn narrow(value: f64) -> f32 {
    value as f32
}
