//! How long a scrape takes while a thousand connections mean no good, beside the same scrape in peace; and what watchd needs then.
//!
//!     cargo bench --bench flood

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../tests/harness/mod.rs"]
mod harness;

use std::net::Ipv4Addr;

use harness::crowd::{Crowd, Manner, scrape};
use harness::{Home, look, net, until};

const SCRAPES: usize = 500;
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

fn main() {
    assert!(harness::is_release(), "a debug build says nothing; use `cargo bench`, or name a program in WATCHD_BIN");
    let (http, munin) = (net::free_port(), net::free_port());
    let config = format!(
        "[watchd]\ncycle = \"200ms\"\n[http]\nlisten = [\"127.0.0.1:{http}\"]\n[munin]\nlisten = [\"127.0.0.1:{munin}\"]\n"
    );
    let home = Home::new("flood", &config);
    let mut daemon = home.start();
    until("an answer", || (net::get(http, "/healthz").0 == 200).then_some(()));
    let family = look::family(daemon.pid());

    println!(
        "{MEMBERS} connections            answered  median ms      p99    worst   cycles/s  connects/s  RSS KiB  peak KiB"
    );
    for (name, manners, from) in [("in peace", &[][..], STRANGER)].iter().chain(CROWDS) {
        let crowd = Crowd::start(http, *from, if manners.is_empty() { 0 } else { MEMBERS }, manners);
        until("all of them", || (manners.is_empty() || crowd.made() >= MEMBERS as u64).then_some(()));
        let (cycles, made) = (daemon.wait_for("a page", |page| Some(page.header.cycles)), crowd.made());
        let begun = std::time::Instant::now();
        let mut times = Vec::new();
        let mut answered = 0;
        for _ in 0..SCRAPES {
            let (took, result) = scrape(http, NEIGHBOUR);
            answered += usize::from(result.is_ok());
            times.push(took.as_secs_f64() * 1_000.0);
        }
        let past = begun.elapsed().as_secs_f64();
        let per_second = |count: u64| f64::from(u32::try_from(count).unwrap_or(u32::MAX)) / past;
        let turned = per_second(daemon.wait_for("a page", |page| Some(page.header.cycles)) - cycles);
        let came = per_second(crowd.made() - made);
        times.sort_by(f64::total_cmp);
        let at = |percent: usize| times[(times.len() * percent / 100).min(times.len() - 1)];
        let (now, most) = (look::sum(daemon.pid(), "VmRSS"), look::sum(daemon.pid(), "VmHWM"));
        println!(
            "{name:<24}{answered:>8}/{SCRAPES}{:>9.2}{:>9.2}{:>9.2}{turned:>11.1}{came:>12.0}{now:>9}{most:>10}",
            at(50),
            at(99),
            at(100)
        );
        assert_eq!(look::family(daemon.pid()), family, "nobody may die");
    }
}
