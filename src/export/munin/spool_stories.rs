//! Hours of a host with a made-up clock, polled by a master: what it is told afterwards is what was.

use std::collections::BTreeMap;
use std::time::Duration;

use watchd_probes::{ProbeId, Sample, Value, cpu, load, network};
use zerocopy::FromZeros;

use super::{Facts, spool};
use crate::export::Page;
use crate::model::{Now, PromiseKind};
#[cfg(test)]
use crate::scratch::Scratch;
use crate::store::board::{Page as BoardPage, PromiseRow, fixed};
use crate::store::history::{History, HistoryReader};
use crate::store::{Board, Header, Rates, Reader, Readings, Snapshot};

/// A Sunday, 13:00, and some seconds.
const START: u64 = 1_795_352_403;

struct Host {
    dir: Scratch,
    board: Board,
    history: History,
    sample: Sample,
    before: Option<Sample>,
    cycle: u64,
    now: u64,
    switches: u64,
    bytes: u64,
    /// What was measured when: context switches, bytes, hundredths of load.
    truth: BTreeMap<u64, [u64; 3]>,
}

/// Values of one field as they were told, by their times.
type Told = Vec<(u64, String)>;

impl Host {
    fn new(cycle: u64) -> Self {
        let dir = Scratch::new();
        let board = Board::create(&dir.join("board")).expect("it is made");
        let now = Now { mono: Duration::from_secs(START - 1_795_000_000), wall: Duration::from_secs(START) };
        let history = History::open(&dir.join("history"), now).expect("it opens").0;
        let (sample, truth) = (Sample::default(), BTreeMap::new());
        let (switches, bytes) = (7_000_000, 123_456_789_012);
        Self { dir, board, history, sample, before: None, cycle, now: START, switches, bytes, truth }
    }

    fn time(&self) -> Now {
        Now { mono: Duration::from_secs(self.now - 1_795_000_000), wall: Duration::from_secs(self.now) }
    }

    /// Looks once, records and publishes; then a cycle goes by.
    fn turn(&mut self, switches: u64, bytes: u64, load: u64) {
        self.switches += switches;
        self.bytes += bytes;
        self.sample.begin();
        let mut sink = self.sample.sink(ProbeId::Cpu);
        sink.host(cpu::CONTEXT_SWITCHES, self.switches);
        // As many ticks, of which a second has a hundred.
        sink.put(watchd_probes::ObjectId::HOST, cpu::SYSTEM, Value::Float(self.switches as f64 / 100.0));
        self.sample.finish(ProbeId::Cpu, Ok(()), 0);
        let mut sink = self.sample.sink(ProbeId::Load);
        sink.put(
            watchd_probes::ObjectId::HOST,
            load::FIVE,
            Value::Float(f64::from(u32::try_from(load).expect("small")) / 100.0),
        );
        self.sample.finish(ProbeId::Load, Ok(()), 0);
        let mut sink = self.sample.sink(ProbeId::Network);
        let eth0 = sink.object(&[b"eth0"]).expect("there is room");
        for (metric, value) in
            [(network::RX_BYTES, self.bytes), (network::TX_BYTES, 1), (network::RX_ERRS, self.switches)]
        {
            sink.put(eth0, metric, Value::Int(value));
        }
        self.sample.finish(ProbeId::Network, Ok(()), 0);
        let mut rates = Rates::default();
        if let Some(before) = &self.before {
            rates.update(before, &self.sample, Duration::from_secs(self.cycle));
        }
        let unknown = vec![f32::NAN; self.sample.view().rows.len()];
        let rates = if self.before.is_some() { rates.as_slice() } else { &unknown };
        let readings = Readings { view: self.sample.view(), rates };
        let now = self.time();
        let measured = f64::from(u32::try_from(load).expect("small"));
        let measures = std::iter::once(("mail-queue", measured));
        assert!(self.history.record_with(readings, measures, now).error.is_none());
        let header = Header {
            cycle_ms: self.cycle * 1000,
            munin: Header::SPOOL,
            sample_wall_ms: self.now * 1000,
            heartbeat_ms: u64::try_from(now.mono.as_millis()).expect("small"),
            ..Header::default()
        };
        self.board.publish(&BoardPage {
            header: &header,
            readings,
            services: &[],
            classes: &[],
            promises: &[PromiseRow {
                id: fixed("mail-queue"),
                kind: PromiseKind::Measure.byte(),
                figures: [measured, f64::NAN],
                ..PromiseRow::new_zeroed()
            }],
            events: &[],
            learned: &[],
        });
        self.board.beat(header.heartbeat_ms);
        self.truth.insert(self.now, [self.switches, self.bytes, load]);
        self.before = Some(std::mem::take(&mut self.sample));
        self.now += self.cycle;
    }

    /// Everything since then, as a master gets it just after the newest look.
    fn poll(&self, since: u64) -> BTreeMap<String, Told> {
        let mut snapshot = Snapshot::default();
        Reader::open(&self.dir.join("board")).expect("it opens").read(&mut snapshot).expect("it is whole");
        let now = self.time();
        let now = Now { mono: now.mono - Duration::from_secs(self.cycle), wall: now.wall };
        let facts = Facts::new(&snapshot, now);
        let history = HistoryReader::open(&self.dir.join("history")).expect("it opens");
        let (mut page, mut place) = (Page::new(Page::LIMIT), 0);
        while spool::write(&facts, Some(&history), since, place, &mut page) {
            place += 1;
        }
        let (mut graph, mut told) = (String::new(), BTreeMap::new());
        for line in String::from_utf8_lossy(page.bytes()).lines() {
            let (key, value) = line.split_once(' ').unwrap_or((line, ""));
            if key == "multigraph" {
                value.clone_into(&mut graph);
            } else if let Some(field) = key.strip_suffix(".value") {
                let (at, value) = value.split_once(':').expect("every value has its time");
                let values: &mut Told = told.entry(format!("{graph}.{field}")).or_default();
                values.push((at.parse().expect("seconds"), value.to_owned()));
            }
        }
        for (field, values) in &told {
            assert!(values.windows(2).all(|two| two[0].0 < two[1].0), "{field} goes on: {values:?}");
        }
        told
    }
}

/// A busy and an idle time by turns, with nothing at all now and then.
fn pulse(turn: u64) -> u64 {
    match turn % 17 {
        0..4 => 0,
        4..9 => 12_345 * (turn % 5),
        _ => 3,
    }
}

fn number(text: &str) -> f64 {
    text.parse().expect("a number")
}

#[test]
fn a_master_that_asks_every_five_minutes_gets_every_ten_seconds() {
    let mut host = Host::new(10);
    let mut since = START;
    for poll in 0..40_u64 {
        let first = host.now;
        for turn in 0..30 {
            let turn = poll * 30 + turn;
            host.turn(pulse(turn), pulse(turn + 3) * 1000, turn % 90);
        }
        let told = host.poll(since);
        let expect: Vec<u64> = host.truth.range(since + 1..).map(|(at, _)| *at).collect();
        let start = host.truth.range(..first).next_back().map_or([0; 3], |(_, truth)| *truth);
        for (field, place) in [("interrupts.ctx", 0), ("if_eth0.down", 1), ("cpu.system", 0)] {
            let values = &told[field];
            assert_eq!(values.iter().map(|(at, _)| *at).collect::<Vec<_>>(), expect, "{field} {poll}");
            let mut before = 0.0;
            for (at, value) in values {
                let (value, truth) = (number(value), host.truth[at][place] as f64);
                let grown = (host.truth[&(host.now - 10)][place] - start[place]) as f64;
                assert!((value - truth).abs() <= grown * 0.0006 + 1.0, "{field} {at}: {value} {truth}");
                assert!(value >= before, "{field} never goes down");
                before = value;
            }
            let (at, newest) = values.last().expect("there are some");
            assert_eq!(newest, &host.truth[at][place].to_string(), "the newest is exact");
        }
        for (field, parts) in [("load.load", 100.0), ("watchd_measures.mail_queue", 1.0)] {
            assert_eq!(told[field].len(), expect.len(), "{field}");
            for (at, value) in &told[field] {
                let truth = host.truth[at][2] as f64 / parts;
                assert!((number(value) - truth).abs() <= truth * 0.0006, "{field} {at}: {value} {truth}");
            }
        }
        // What wraps when it goes down is never guessed, and what has no history is told as it is now.
        for field in ["if_err_eth0.rcvd", "watchd_self.longest_turn"] {
            assert_eq!(told[field].len(), 1, "{field}");
        }
        since = told.values().flatten().map(|(at, _)| *at).max().expect("there are some");
    }
}

#[test]
fn a_gap_ends_the_counters_and_nothing_else() {
    let mut host = Host::new(10);
    (0..20).for_each(|turn| host.turn(100, 1000, turn));
    host.now += 200;
    host.before = None;
    (0..10).for_each(|turn| host.turn(100, 1000, turn));
    let told = host.poll(START);
    let after = host.now - 10 - 90;
    assert_eq!(told["load.load"].len(), 29, "{told:?}");
    let times: Vec<u64> = told["interrupts.ctx"].iter().map(|(at, _)| *at).collect();
    assert_eq!(times, (0..10).map(|place| after + place * 10).collect::<Vec<_>>());
    // The kernel began anew: what would be below zero is not told.
    (host.switches, host.before) = (0, None);
    (0..3).for_each(|turn| host.turn(100, 1000, turn));
    let told = host.poll(START);
    let counts: Vec<f64> = told["interrupts.ctx"].iter().map(|(_, value)| number(value)).collect();
    assert_eq!(counts, [100.0, 200.0, 300.0]);
}

#[test]
fn what_a_master_missed_for_long_is_coarse_and_bounded() {
    let mut host = Host::new(10);
    for turn in 0..6 * 360 + 3 * 8640 {
        host.turn(pulse(turn), 1000 + turn % 7, 42);
    }
    for (since, step, most, totals) in
        [(0, 300, 289, 73), (host.now - 7200, 60, 121, 121), (host.now - 3600, 10, 360, 360)]
    {
        let told = host.poll(since);
        for (field, most) in [("interrupts.ctx", totals), ("if_eth0.down", totals), ("load.load", most)] {
            let values = &told[field];
            assert!((most - 3..=most).contains(&values.len()), "{field}: {} since {since}", values.len());
            assert!(values.windows(2).rev().skip(1).all(|two| two[1].0 - two[0].0 == step), "{field}: {values:?}");
            assert!(values[0].0 > since && values[0].0 + 86_400 + 300 > host.now, "{values:?}");
        }
        let values = &told["interrupts.ctx"];
        let first = host.truth.range(..=values[0].0).next_back().expect("it was measured").1[0];
        let (told_first, all) = (number(&values[0].1), host.switches - first);
        assert!((told_first - first as f64).abs() <= all as f64 * 0.0006 + 1.0, "{told_first} {first}");
    }
    // A clock that was set back, and a master that knows it all.
    for since in [host.now + 1000, host.now - 10, u64::MAX] {
        assert!(host.poll(since).values().all(|values| values.len() == 1), "{since}");
    }
}

#[test]
fn nothing_is_told_of_the_time_before_the_first_look() {
    for cycle in [1, 10] {
        let mut host = Host::new(cycle);
        (0..40 / cycle).for_each(|turn| host.turn(100 * cycle, 1000, turn));
        for since in [0, START - 7200, START - 1] {
            for (field, values) in &host.poll(since) {
                assert!(values[0].0 >= START, "{field} each {cycle} s since {since}: {values:?}");
            }
        }
    }
}

#[test]
fn other_cycles_are_told_in_their_own_time() {
    for (cycle, expect) in [(1, 25..=32), (30, 5..=11), (60, 4..=6), (600, 1..=1)] {
        let mut host = Host::new(cycle);
        for turn in 0..1200 / cycle.min(60) {
            host.turn(100 * cycle, 1000 * cycle, 42 + turn % 2);
        }
        let since = host.now - cycle - 300;
        let told = host.poll(since);
        for field in ["interrupts.ctx", "load.load"] {
            assert!(expect.contains(&told[field].len()), "{field} each {cycle} s: {:?}", told[field]);
        }
        for (at, value) in &told["interrupts.ctx"] {
            let truth = host.switches as f64 - 100.0 * (host.now - cycle - at) as f64;
            assert!((number(value) - truth).abs() <= 1100.0, "{at} each {cycle} s: {value} {truth}");
        }
    }
}

#[test]
fn a_moment_is_a_number_of_seconds() {
    for (text, expect) in [
        (" 0", Some(0)),
        (" 1795352400\r", Some(1_795_352_400)),
        ("  7 ", Some(7)),
        ("", None),
        ("7", None),
        (" ", None),
        (" -1", None),
        (" 1.5", None),
        (" 0 0", None),
        (" 99999999999999999999", None),
        (" \0", None),
    ] {
        assert_eq!(spool::since(text.as_bytes()), expect, "{text:?}");
    }
}
