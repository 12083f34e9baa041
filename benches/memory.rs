//! What each part of watchd's memory costs, at rest and at the largest moment that was seen while 10,000 requests were answered.
//!
//! Fifty services, every probe, both listeners. Parts are what /proc/PID/smaps says is resident, in KiB. A second thread looks as often
//! as it can, so it may miss a peak that is shorter than a look; VmHWM misses none, but the kernel counts it in batches of 32 pages per
//! processor and kind, so it may be wrong by 128 KiB and more in either direction.
//!
//!     cargo bench --bench memory

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../tests/harness/mod.rs"]
mod harness;

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use harness::{Home, look, net, pause, until};
use watchd::model::ServiceState;

const SERVICES: usize = 50;
const REQUESTS: usize = 10_000;

const PARTS: [&str; 7] =
    ["text and constants", "relocated data", "heap", "anonymous mappings", "stack", "board", "kernel's own pages"];
const PAGES: [&str; 8] = [
    "/",
    "/metrics",
    "/api/status?after=3",
    "/healthz",
    "/api/events?last=300",
    "/api/why?name=service7",
    "/page.js",
    "/uplot.js",
];
const PLUGINS: [&str; 5] = ["cpu", "load", "memory", "df", "processes"];

type Parts = [u64; PARTS.len()];

fn main() {
    assert!(harness::is_release(), "a debug build says nothing; use `cargo bench`, or name a program in WATCHD_BIN");
    let (munin, http) = (net::free_port(), net::free_port());
    let home = Home::new("memory", &config(munin, http));
    home.scratch.program("stamp.c", "stamp");
    let mut daemon = home.start();
    for place in 0..SERVICES {
        daemon.wait_state(&format!("service{place}"), ServiceState::Ready);
    }
    until("an answer", || (net::get(http, "/healthz").0 == 200).then_some(()));
    // The door gives back what it has after a second without a client.
    pause(Duration::from_secs(4));
    let family = look::family(daemon.pid());
    let rest: Vec<Parts> = family.iter().map(|pid| parts(*pid)).collect();
    let largest = watch(&family, || (0..REQUESTS).for_each(|number| request(number, munin, http)));

    println!(
        "{:<24}{:>12}{:>12}{:>14}{:>14}",
        "KiB resident", "core, rest", "door, rest", "core, largest", "door, largest"
    );
    let columns: Vec<&Parts> = rest.iter().chain(&largest).collect();
    for (place, name) in PARTS.iter().enumerate() {
        line(name, &columns.iter().map(|parts| parts[place]).collect::<Vec<_>>());
    }
    line("sum", &columns.iter().map(|parts| parts.iter().sum()).collect::<Vec<_>>());
    let each = |name: &str| family.iter().filter_map(|pid| look::status(*pid, name)).collect::<Vec<u64>>();
    println!(
        "at the end, core and door: VmHWM {:?}, and page tables, which are in no sum: {:?}",
        each("VmHWM"),
        each("VmPTE")
    );
}

fn line(name: &str, numbers: &[u64]) {
    let numbers: Vec<String> = numbers.iter().map(|number| format!("{number:>13}")).collect();
    println!("{name:<24}{}", numbers.concat());
}

fn config(munin: u16, http: u16) -> String {
    let mut text = String::from("[watchd]\ncycle = \"1s\"\n");
    text += &format!("[munin]\nlisten = [\"127.0.0.1:{munin}\"]\n[http]\nlisten = [\"127.0.0.1:{http}\"]\n");
    text += "[disk.root]\npath = \"/\"\n";
    for place in 0..SERVICES {
        text += &format!("[process.service{place}]\nrun = [\"@/stamp\", \"@/service{place}\"]\n");
    }
    text
}

fn request(number: usize, munin: u16, http: u16) {
    if number.is_multiple_of(2) {
        let packing = if number.is_multiple_of(4) { "Accept-Encoding: gzip\r\n" } else { "" };
        let head = format!("GET {} HTTP/1.0\r\n{packing}\r\n", PAGES[number / 2 % PAGES.len()]);
        assert!(net::converse(http, &head).is_ok_and(|answer| answer.starts_with("HTTP/1.1 200 ")), "{head}");
    } else {
        let plugin = PLUGINS[number / 2 % PLUGINS.len()];
        assert!(net::munin(munin, &format!("fetch {plugin}")).contains(".value "), "{plugin}");
    }
}

/// Each process at its largest while something is done.
fn watch(family: &[i32], work: impl FnOnce()) -> Vec<Parts> {
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut largest = vec![Parts::default(); family.len()];
            while !is_over.load(Ordering::Relaxed) {
                for (pid, largest) in family.iter().zip(&mut largest) {
                    let now = parts(*pid);
                    if now.iter().sum::<u64>() > largest.iter().sum() {
                        *largest = now;
                    }
                }
            }
            largest
        });
        work();
        is_over.store(true, Ordering::Relaxed);
        watcher.join().expect("it only looks")
    })
}

/// What is resident of a process, by part.
fn parts(pid: i32) -> Parts {
    let program = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
    let program = program.to_string_lossy();
    let mut parts = Parts::default();
    let mut part = 0;
    for line in fs::read_to_string(format!("/proc/{pid}/smaps")).unwrap_or_default().lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["Rss:", kib, _] => parts[part] += kib.parse::<u64>().expect("a number"),
            [range, access, _, _, _, ref name @ ..] if range.contains('-') => {
                part = part_of(name.first().copied().unwrap_or(""), access, &program);
            }
            // What was written to is no longer the file's.
            ["Anonymous:", kib, _] if part == 0 => {
                let own = kib.parse::<u64>().expect("a number");
                parts[0] -= own;
                parts[1] += own;
            }
            _ => {}
        }
    }
    parts
}

fn part_of(name: &str, access: &str, program: &str) -> usize {
    match name {
        "[heap]" => 2,
        "" => 3,
        "[stack]" => 4,
        _ if name == program => usize::from(access.contains('w')),
        _ if name.ends_with("/board") => 5,
        _ => 6,
    }
}
