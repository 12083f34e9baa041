//! A recorded cycle asks for no memory, whichever slots end with it: counted by an allocator of our own.

#![allow(clippy::expect_used, clippy::panic)]

#[path = "../probes/tests/counting/mod.rs"]
mod counting;

use std::time::Duration;

use counting::{ASKED, HELD};
use watchd::model::Now;
use watchd::store::Readings;
use watchd::store::history::History;
use watchd_probes::{ProbeId, Sample, Value, load, service};

/// What 151 series may hold.
const MOST: usize = 20 << 10;

#[test]
fn a_cycle_asks_for_no_memory() {
    let dir = std::env::temp_dir().join(format!("watchd-history-memory-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a temporary directory can be made");
    let start = Now { mono: Duration::from_secs(1000), wall: Duration::from_secs(1_767_225_600) };
    let mut sample = Sample::default();
    sample.begin();
    sample.sink(ProbeId::Load).host(load::ONE, 7);
    sample.finish(ProbeId::Load, Ok(()), 0);
    let mut sink = sample.sink(ProbeId::Service);
    for name in 0..50_u64 {
        let object = sink.object(&[name.to_string().as_bytes()]).expect("there is room");
        for metric in [service::CPU, service::RSS, service::FDS] {
            sink.put(object, metric, Value::Int(name));
        }
    }
    sample.finish(ProbeId::Service, Ok(()), 0);
    let rates = vec![0.5; sample.view().rows.len()];

    let before = HELD.get();
    let (mut history, _) = History::open(&dir.join("history"), start).expect("it opens");
    let mut record = |cycle: u32| {
        let past = Duration::from_secs(10) * cycle;
        let now = Now { mono: start.mono + past, wall: start.wall + past };
        let recorded = history.record(Readings { view: sample.view(), rates: &rates }, now);
        assert!(recorded.error.is_none() && recorded.without_room == 0, "{recorded:?}");
    };
    record(0);
    let (asked, held) = (ASKED.get(), HELD.get() - before);
    assert!(held > 0 && held < MOST, "{held} bytes");
    // Two hours: slots of every ring end.
    (1..800).for_each(&mut record);
    assert_eq!(ASKED.get(), asked);
    std::fs::remove_dir_all(&dir).expect("it was ours");
}
