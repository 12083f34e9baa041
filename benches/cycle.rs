//! A look at the host, hot: all probes, against a loop that only opens, reads and closes the files that the probes hold open; all probes
//! beside many processes that sleep; and each probe alone, an hour apart, so that nothing is left out for its pace.
//!
//! A hot loop flatters both sides by about two; `benches/cpu.rs` measures the daemon at its real period.

#![allow(clippy::expect_used, clippy::panic)]

#[path = "../tests/harness/mod.rs"]
mod harness;

use std::fs::File;
use std::hint::black_box;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use harness::Scratch;
use watchd_probes::{Buffer, Host, Look, Now, PROBES, Probes, Sample};

/// Takes one look each time it is called, at the pace of the clock.
fn looking() -> impl FnMut() {
    let host = Host::open(Path::new("/")).expect("there is a root");
    let (mut buffer, mut probes, mut sample) = (Buffer::default(), Probes::default(), Sample::default());
    let start = Instant::now();
    move || {
        let mono = start.elapsed() + Duration::from_secs(1);
        let mut look = Look { host: &host, buffer: &mut buffer, now: Now { mono, wall: mono } };
        probes.read_all(&mut look, black_box(&mut sample));
    }
}

fn cycle(bench: &mut Criterion) {
    let mut pass = looking();
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

fn crowds(bench: &mut Criterion) {
    let scratch = Scratch::new("cycle");
    let program = scratch.program("crowd.c", "crowd");
    let mut group = bench.benchmark_group("cycle beside");
    for count in [100, 1_000, 10_000] {
        let mut command = Command::new(&program);
        let mut crowd = command.arg(count.to_string()).stdout(Stdio::piped()).spawn().expect("it can be started");
        let mut ready = [0; 6];
        crowd.stdout.take().expect("it is piped").read_exact(&mut ready).expect("the crowd says when it is there");
        let mut pass = looking();
        group.bench_function(format!("{count} processes"), |bencher| bencher.iter(&mut pass));
        let _ = crowd.kill();
        let _ = crowd.wait();
    }
    group.finish();
}

fn alone(bench: &mut Criterion) {
    let host = Host::open(Path::new("/")).expect("there is a root");
    let (mut buffer, mut probes, mut sample) = (Buffer::default(), Probes::default(), Sample::default());
    let mut group = bench.benchmark_group("probe");
    let mut hours = 0;
    for info in PROBES {
        group.bench_function(info.name, |bencher| {
            bencher.iter(|| {
                hours += 1;
                let mono = Duration::from_secs(3600 * hours);
                let mut look = Look { host: &host, buffer: &mut buffer, now: Now { mono, wall: mono } };
                sample.begin();
                probes.each(&mut |id, probe| {
                    if id == info.id {
                        let result = probe.read(&mut look, &mut sample.sink(id));
                        sample.finish(id, result, 0);
                    }
                });
            });
        });
    }
    group.finish();
}

criterion_group!(benches, cycle, crowds, alone);
criterion_main!(benches);
