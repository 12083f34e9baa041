//! How long a scrape takes while a thousand connections mean no good, beside the same scrape in peace; what watchd needs then; how
//! late the cycles of its core are; and how often the kernel had no room for a connection that was not taken yet.
//!
//!     cargo bench --bench flood

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../tests/harness/mod.rs"]
mod harness;

use std::net::Ipv4Addr;

use harness::crowd::{Crowd, Manner, scrape};
use harness::{Home, look, net, until};

const SCRAPES: usize = 500;
const CYCLE_MS: u64 = 200;
const MEMBERS: usize = 1_000;
const STRANGER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 66);
const NEIGHBOUR: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 7);

const CROWDS: &[(&str, &[Manner], Ipv4Addr)] = &[
    ("idle", &[Manner::Idle], STRANGER),
    ("a byte at a time", &[Manner::Slow], STRANGER),
    ("asking, not reading", &[Manner::Deaf], STRANGER),
    ("coming and going", &[Manner::Flood], STRANGER),
    ("all of these", &[Manner::Idle, Manner::Slow, Manner::Deaf, Manner::Flood], STRANGER),
    ("all, our own address", &[Manner::Idle, Manner::Slow, Manner::Deaf, Manner::Flood], NEIGHBOUR),
];

/// The cycles of the core while scrapes are taken.
#[derive(Default)]
struct Turns {
    seen: u64,
    last: Option<(u64, u64)>,
    /// How much later than it should the latest cycle came that was looked at. One that was late makes none after it late.
    latest_ms: u64,
}

impl Turns {
    fn look(&mut self, daemon: &harness::Daemon<'_>) {
        let Some(page) = daemon.snapshot() else { return };
        let (number, at) = (page.header.cycles, page.header.sample_mono_ms);
        if let Some((before, then)) = self.last.filter(|(before, _)| *before < number) {
            let cycles = number - before;
            self.seen += cycles;
            self.latest_ms = self.latest_ms.max((at - then).saturating_sub(cycles * CYCLE_MS));
        }
        self.last = Some((number, at));
    }
}

/// Connections on the whole host for which there was no room behind a listener.
fn overflows() -> u64 {
    let text = std::fs::read_to_string("/proc/net/netstat").expect("Linux has it");
    let mut lines = text.lines().filter(|line| line.starts_with("TcpExt: "));
    let (names, values) = (lines.next().expect("names"), lines.next().expect("numbers"));
    let mut both = names.split(' ').zip(values.split(' '));
    both.find(|(name, _)| *name == "ListenOverflows").and_then(|(_, value)| value.parse().ok()).expect("a number")
}

fn main() {
    assert!(harness::is_release(), "a debug build says nothing; use `cargo bench`, or name a program in WATCHD_BIN");
    let (http, munin) = (net::free_port(), net::free_port());
    let config = format!(
        "[watchd]\ncycle = \"200ms\"\n[http]\nlisten = [\"127.0.0.1:{http}\"]\n[munin]\nlisten = [\"127.0.0.1:{munin}\"]\n"
    );
    let home = Home::new("flood", &config);
    let daemon = home.start();
    until("an answer", || (net::get(http, "/healthz").0 == 200).then_some(()));
    let family = look::family(daemon.pid());

    println!(
        "{MEMBERS} connections            answered  median ms      p99    worst   cycles  latest ms  connects/s  no room  RSS KiB  peak KiB"
    );
    for (name, manners, from) in [("in peace", &[][..], STRANGER)].iter().chain(CROWDS) {
        let crowd = Crowd::start(http, *from, if manners.is_empty() { 0 } else { MEMBERS }, manners);
        until("all of them", || (manners.is_empty() || crowd.made() >= MEMBERS as u64).then_some(()));
        let (made, overflows) = (crowd.made(), overflows());
        let mut turns = Turns::default();
        let begun = std::time::Instant::now();
        let mut times = Vec::new();
        let mut answered = 0;
        for _ in 0..SCRAPES {
            let (took, result) = scrape(http, NEIGHBOUR);
            answered += usize::from(result.is_ok());
            times.push(took.as_secs_f64() * 1_000.0);
            turns.look(&daemon);
        }
        let past = begun.elapsed().as_secs_f64();
        let per_second = |count: u64| f64::from(u32::try_from(count).unwrap_or(u32::MAX)) / past;
        // What is measured here has to last some cycles.
        until("ten cycles", || {
            turns.look(&daemon);
            (turns.seen > 10).then_some(())
        });
        let came = per_second(crowd.made() - made);
        times.sort_by(f64::total_cmp);
        let at = |percent: usize| times[(times.len() * percent / 100).min(times.len() - 1)];
        let (now, most) = (look::sum(daemon.pid(), "VmRSS"), look::sum(daemon.pid(), "VmHWM"));
        println!(
            "{name:<24}{answered:>8}/{SCRAPES}{:>9.2}{:>9.2}{:>9.2}{:>9}{:>11}{came:>12.0}{:>9}{now:>9}{most:>10}",
            at(50),
            at(99),
            at(100),
            turns.seen,
            turns.latest_ms,
            self::overflows() - overflows
        );
        assert_eq!(answered, SCRAPES, "{name}: everybody is answered");
        assert!(at(99) < 200.0, "{name}: 99 of 100 scrapes take less than 200 ms");
        assert!(turns.latest_ms < CYCLE_MS / 2, "{name}: the core turns in time");
        assert_eq!(look::family(daemon.pid()), family, "nobody may die");
    }
}
