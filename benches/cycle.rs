//! A look at the host, hot: all probes, against a loop that only opens, reads and closes the files that the probes hold open.
//!
//! A hot loop flatters both sides by about two; `benches/cpu.rs` measures the daemon at its real period.

#![allow(clippy::expect_used, clippy::panic)]

use std::fs::File;
use std::hint::black_box;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use watchd_probes::{Buffer, Host, Look, Now, Probes, Sample};

fn cycle(bench: &mut Criterion) {
    let host = Host::open(Path::new("/")).expect("there is a root");
    let (mut buffer, mut probes, mut sample) = (Buffer::default(), Probes::default(), Sample::default());
    let start = Instant::now();
    let mut pass = || {
        let mono = start.elapsed() + Duration::from_secs(1);
        let mut look = Look { host: &host, buffer: &mut buffer, now: Now { mono, wall: mono } };
        probes.read_all(&mut look, black_box(&mut sample));
    };
    pass();
    let files = held();
    assert!(files.len() > 5, "the probes hold their files open: {files:?}");

    let mut group = bench.benchmark_group("cycle");
    group.bench_function("all probes", |bencher| bencher.iter(&mut pass));
    let mut text = vec![0; 1 << 20];
    group.bench_function("open, read, close of the same files", |bencher| {
        bencher.iter(|| files.iter().map(|file| drain(file, &mut text)).sum::<usize>());
    });
    group.finish();
}

/// The files below /proc and /sys that this process has open.
fn held() -> Vec<PathBuf> {
    let entries = std::fs::read_dir("/proc/self/fd").expect("there is a /proc");
    let targets = entries.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    targets.filter(|path| (path.starts_with("/proc") || path.starts_with("/sys")) && path.is_file()).collect()
}

fn drain(path: &Path, text: &mut [u8]) -> usize {
    let Ok(mut file) = File::open(path) else { return 0 };
    let mut total = 0;
    while let Ok(read @ 1..) = file.read(text) {
        total += read;
    }
    total
}

criterion_group!(benches, cycle);
criterion_main!(benches);
