//! A state directory of a watchd that has been here for weeks: a history with the rhythm of working days, and what was learned of it.
//!
//! It is written by watchd's own writers with a made-up clock that ends now. Every quantity goes up by day, less so on a weekend.

use std::fs;
use std::path::Path;
use std::time::Duration;

use watchd::learn::Settings;
use watchd::learn::book::{Book, GROUP, Minute, key};
use watchd::model::{Now, Quantities};
use watchd::store::Readings;
use watchd::store::history::History;
use watchd::sys::clock::{self, Civil};
use watchd_probes::{
    MetricId, ObjectId, ProbeId, Sample, Value, cpu, disk, filesystem, load, memory, network, pressure,
};

/// Seconds of a day.
pub const DAY: u64 = 86_400;

/// What is in the history: metric, object, and what it is at the quietest and at the busiest hour.
const SERIES: &[(MetricId, &str, f64, f64)] = &[
    (load::FIVE, "", 0.2, 1.6),
    (cpu::USER, "", 0.1, 0.8),
    (cpu::SYSTEM, "", 0.05, 0.3),
    (cpu::IOWAIT, "", 0.01, 0.2),
    (memory::TOTAL, "", 25.3e9, 25.3e9),
    (memory::AVAILABLE, "", 24.2e9, 19.1e9),
    (pressure::CPU_SOME_TOTAL, "", 0.01, 0.4),
    (pressure::MEMORY_SOME_TOTAL, "", 0.0, 0.02),
    (pressure::IO_SOME_TOTAL, "", 0.0, 0.09),
    (filesystem::AVAIL, "/", 54.0e9, 52.6e9),
    (network::RX_BYTES, "eth0", 2.0e3, 9.0e5),
    (network::TX_BYTES, "eth0", 1.0e3, 2.5e5),
    (disk::READ_BYTES, "vda", 1.0e4, 4.0e6),
    (disk::WRITTEN_BYTES, "vda", 4.0e4, 1.2e6),
];

/// The probes that all of these come from.
const PROBES: &[ProbeId] = &[
    ProbeId::Cpu,
    ProbeId::Load,
    ProbeId::Memory,
    ProbeId::Pressure,
    ProbeId::Filesystem,
    ProbeId::Network,
    ProbeId::Disk,
];

/// How busy it is at a moment: 0 to 1, and a little at random.
fn busy(at: u64) -> f64 {
    let second = f64::from(Civil::week_second_at(at));
    let (day, hour) = ((second / 86_400.0).floor(), second % 86_400.0 / 3600.0);
    let wave = 0.5 - 0.5 * ((hour - 2.0) / 24.0 * std::f64::consts::TAU).cos();
    let random = f64::from(u32::try_from((at / 10).wrapping_mul(2_654_435_761) % 1000).expect("it is small")) / 1000.0;
    wave * wave * if day < 5.0 { 0.85 } else { 0.35 } + random * 0.12
}

/// Fills a state directory with so many days, in steps of five minutes and, for the last six hours, of ten seconds.
pub fn write(state: &Path, days: u64) {
    fs::create_dir_all(state).expect("a directory can be made");
    let end = clock::now().wall.as_secs();
    let (begin, fine) = (end - days * DAY, end - 6 * 3600);
    write_history(&state.join("history"), (begin..fine).step_by(300).chain((fine..end).step_by(10)));
    write_learned(&state.join("learned"), &(begin..end).step_by(900));
}

fn write_history(path: &Path, moments: impl Iterator<Item = u64>) {
    let mut sample = Sample::default();
    let mut history = None;
    for (number, at) in (1..).zip(moments) {
        let now = Now { mono: Duration::from_secs(number * 10), wall: Duration::from_secs(at) };
        let busy = busy(at);
        let mut rates = Vec::new();
        sample.begin();
        for probe in PROBES.iter().copied() {
            let mut sink = sample.sink(probe);
            let mut begun: Option<(&str, ObjectId)> = None;
            for (metric, object, low, high) in SERIES.iter().filter(|(metric, ..)| metric.probe() == probe as usize) {
                let value = low + (high - low) * busy;
                let name = *object;
                let object = match (name, begun) {
                    ("", _) => ObjectId::HOST,
                    (name, Some((last, id))) if name == last => id,
                    (name, _) => sink.object(&[name.as_bytes()]).expect("there is room"),
                };
                begun = Some((name, object));
                sink.put(object, *metric, Value::Float(value));
                rates.push(narrow(value));
            }
            sample.finish(probe, Ok(()), 0);
        }
        let history = history.get_or_insert_with(|| History::open(path, now).expect("it can be made").0);
        let recorded = history.record(Readings { view: sample.view(), rates: &rates }, now);
        assert!(recorded.error.is_none(), "{recorded:?}");
    }
}

fn write_learned(path: &Path, moments: &(impl Iterator<Item = u64> + Clone)) {
    let (mut book, _) = Book::open(path).expect("it can be made");
    let names: Vec<String> = Quantities { usual: true, more: Vec::new() }.iter().map(str::to_owned).collect();
    let keys: Vec<u64> = names.iter().map(|name| key(name)).collect();
    assert_eq!(book.adopt(&keys).expect("there is room").len(), names.len());
    for group in 0..names.len().div_ceil(GROUP) {
        for at in moments.clone() {
            let sample = |column: usize| {
                let name = names.get(group * GROUP + column)?;
                let (metric, object) = name.split_once(':').unwrap_or((name, ""));
                let metric = MetricId::from_name(metric)?;
                let (_, _, low, high) = SERIES.iter().find(|one| one.0 == metric && one.1 == object)?;
                Some(Some(low + (high - low) * busy(at)))
            };
            let signed = i64::try_from(at).expect("it is not so late");
            let minute = Minute { at: signed, week_s: Civil::week_second_at(at), settings: &Settings::default() };
            book.observe(group, minute, &sample, &mut |_, _| {}).expect("it can be written");
        }
    }
}

#[allow(clippy::cast_possible_truncation)]
fn narrow(value: f64) -> f32 {
    value as f32
}
