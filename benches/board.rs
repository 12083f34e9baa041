//! The board: what it costs the daemon to publish a page, and a reader to take a copy.

#![allow(clippy::expect_used, clippy::panic)]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use watchd::model::{Now, Places, ServiceState};
use watchd::store::board::{Page, fixed};
use watchd::store::{Board, ClassRow, Header, Reader, Readings, ServiceRow, Snapshot};
use watchd_probes::{Buffer, Host, Look, Probes, Sample};
use zerocopy::FromZeros;

fn places() -> Places {
    let dir = std::env::temp_dir().join(format!("watchd-bench-board-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a temporary directory can be made");
    Places { config: None, run_dir: dir.clone(), state_dir: dir, root: "/".into() }
}

fn board(bench: &mut Criterion) {
    let places = places();
    let mut board = Board::create(&places.board()).expect("a board can be made");
    let mut sample = Sample::default();
    let host = Host::open(&places.root).expect("there is a root");
    let mut look = Look { host: &host, buffer: &mut Buffer::default(), now: Now::default() };
    Probes::default().read_all(&mut look, &mut sample);

    let header = Header { pid: std::process::id(), sample_mono_ms: 1, ..Header::default() };
    let rates = vec![0.0; sample.view().rows.len()];
    let mut service = ServiceRow::new_zeroed();
    service.id = fixed("service");
    service.state = ServiceState::Ready.byte();
    let services = vec![service; 50];
    let classes = vec![ClassRow::new_zeroed(); 200];
    let readings = Readings { view: sample.view(), rates: &rates };
    let page = Page {
        header: &header,
        readings,
        services: &services,
        classes: &classes,
        promises: &[],
        events: &[],
        learned: &[],
    };

    bench.bench_function("publish a page with 50 services", |bencher| bencher.iter(|| board.publish(black_box(&page))));
    let reader = Reader::open(&places.board()).expect("it was just made");
    let mut snapshot = Snapshot::default();
    bench.bench_function("read a page with 50 services", |bencher| {
        bencher.iter(|| reader.read(black_box(&mut snapshot)).expect("nobody writes now"));
    });
    let _ = std::fs::remove_dir_all(&places.run_dir);
}

criterion_group!(benches, board);
criterion_main!(benches);
