//! How long a scrape takes while a thousand connections mean no good, beside the same scrape in peace; how soon a killed service is back;
//! what watchd needs then; how late the cycles of its core are; and how often the kernel had no room for a connection that was not taken yet.
//!
//!     cargo bench --bench flood

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../tests/harness/mod.rs"]
mod harness;

use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use harness::crowd::{Crowd, Manner, scrape};
use harness::{Home, look, net, pause, until};
use nix::sys::signal::{Signal, kill};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;

const SCRAPES: usize = 500;
/// Of the service, in each crowd.
const KILLS: usize = 20;
const CYCLE_MS: u64 = 200;
const MEMBERS: usize = 1_000;
const STRANGER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 66);
const NEIGHBOUR: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 7);

const ALL: &[Manner] = &[Manner::Idle, Manner::Slow, Manner::Deaf, Manner::Flood, Manner::Endless, Manner::Half];

/// A name, what its members do, where they come from, and how many of them go to Munin's port; the others go to the other.
const CROWDS: &[(&str, &[Manner], Ipv4Addr, usize)] = &[
    ("idle", &[Manner::Idle], STRANGER, 0),
    ("a byte at a time", &[Manner::Slow], STRANGER, 0),
    ("asking, not reading", &[Manner::Deaf], STRANGER, 0),
    ("coming and going", &[Manner::Flood], STRANGER, 0),
    ("a head without end", &[Manner::Endless], STRANGER, 0),
    ("half closed", &[Manner::Half], STRANGER, 0),
    ("all of these", ALL, STRANGER, 0),
    ("all, our own address", ALL, NEIGHBOUR, 0),
    ("all, on both ports", ALL, STRANGER, MEMBERS / 2),
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
    let text = fs::read_to_string("/proc/net/netstat").expect("Linux has it");
    let mut lines = text.lines().filter(|line| line.starts_with("TcpExt: "));
    let (names, values) = (lines.next().expect("names"), lines.next().expect("numbers"));
    let mut both = names.split(' ').zip(values.split(' '));
    both.find(|(name, _)| *name == "ListenOverflows").and_then(|(_, value)| value.parse().ok()).expect("a number")
}

fn main() {
    assert!(harness::is_release(), "a debug build says nothing; use `cargo bench`, or name a program in WATCHD_BIN");
    let (http, munin) = (net::free_port(), net::free_port());
    let config = format!(
        "[watchd]\ncycle = \"200ms\"\n[http]\nlisten = [\"127.0.0.1:{http}\"]\n[munin]\nlisten = [\"127.0.0.1:{munin}\"]\n\
         [process.web]\nrun = [\"@/stamp\", \"@/web\"]\nsettle = \"20ms\"\nlimit = \"1000/10m\"\nbackoff = [\"10ms\", \"100ms\"]\n"
    );
    let home = Home::new("flood", &config);
    home.scratch.program("stamp.c", "stamp");
    let daemon = home.start();
    let mut service = Service { stamps: home.scratch.path("web"), starts: 1 };
    until("an answer", || (net::get(http, "/healthz").0 == 200).then_some(()));
    let family = look::family(daemon.pid());

    println!(
        "{MEMBERS} connections            answered  median ms      p99    worst  back, ms    worst   cycles  latest ms  connects/s  no room  RSS KiB  peak KiB"
    );
    for (name, manners, from, to_munin) in [("in peace", &[][..], STRANGER, 0)].iter().chain(CROWDS) {
        let size = if manners.is_empty() { 0 } else { MEMBERS - to_munin };
        let crowds = [Crowd::start(http, *from, size, manners), Crowd::start(munin, *from, *to_munin, manners)];
        let made_by = || crowds.iter().map(Crowd::made).sum::<u64>();
        until("all of them", || (manners.is_empty() || made_by() >= MEMBERS as u64).then_some(()));
        let (made, overflows) = (made_by(), overflows());
        let mut turns = Turns::default();
        let begun = std::time::Instant::now();
        let mut times = Vec::new();
        let mut answered = 0;
        let mut back = Vec::new();
        for number in 0..SCRAPES {
            if number % (SCRAPES / KILLS) == 0 {
                back.push(service.kill());
            }
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
        let came = per_second(made_by() - made);
        times.sort_by(f64::total_cmp);
        back.sort_by(f64::total_cmp);
        let at = |percent: usize| times[(times.len() * percent / 100).min(times.len() - 1)];
        let (now, most) = (look::sum(daemon.pid(), "VmRSS"), look::sum(daemon.pid(), "VmHWM"));
        println!(
            "{name:<24}{answered:>8}/{SCRAPES}{:>9.2}{:>9.2}{:>9.2}{:>10.2}{:>9.2}{:>9}{:>11}{came:>12.0}{:>9}{now:>9}{most:>10}",
            at(50),
            at(99),
            at(100),
            back[KILLS / 2],
            back[KILLS - 1],
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

/// The service, which writes down each of its starts.
struct Service {
    stamps: PathBuf,
    starts: usize,
}

impl Service {
    /// Kills it and waits until there is another: milliseconds between the two.
    fn kill(&mut self) -> f64 {
        let (_, pid) = self.last();
        // It has to live for a while, or it is held back.
        pause(Duration::from_millis(50));
        let killed = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("there is a clock");
        kill(Pid::from_raw(pid), Signal::SIGKILL).expect("it lives");
        self.starts += 1;
        let (began, _) = self.last();
        began.saturating_sub(Duration::from(killed)).as_secs_f64() * 1_000.0
    }

    /// When the last start that is known of began, and its pid.
    fn last(&self) -> (Duration, i32) {
        until("a start", || {
            let text = fs::read_to_string(&self.stamps).ok()?;
            let mut fields = text.lines().nth(self.starts - 1)?.split(' ');
            let began = fields.next()?.parse().ok()?;
            Some((Duration::from_nanos(began), fields.nth(1)?.parse().ok()?))
        })
    }
}
