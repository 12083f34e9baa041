//! A thousand idle, slow, deaf, endless, half closed and flooding connections, and somebody who only wants a page: every scrape is answered whole, nobody
//! dies, the core turns on, and memory stays where it may be.
//!
//! How long a scrape takes meanwhile is measured by `cargo bench --bench flood`; here only counts count.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use std::net::Ipv4Addr;

use harness::crowd::{Crowd, Manner, scrape};
use harness::{Home, is_release, look, net, until};

const LIMIT_KIB: u64 = 3_000_000 / 1024;
const MEMBERS: usize = 1_000;
const SCRAPES: usize = 60;
/// Cycles that have to go by under attack.
const CYCLES: u64 = 10;

const ALL: &[Manner] = &[Manner::Idle, Manner::Slow, Manner::Deaf, Manner::Flood, Manner::Endless, Manner::Half];

/// Plays one crowd; gives what was not answered.
fn play(manners: &'static [Manner], from: Ipv4Addr) {
    let (http, munin) = (net::free_port(), net::free_port());
    let config = format!(
        "[watchd]\ncycle = \"200ms\"\n[http]\nlisten = [\"127.0.0.1:{http}\"]\n[munin]\nlisten = [\"127.0.0.1:{munin}\"]\n\
         [process.web]\nrun = [\"@/stamp\", \"@/web\"]\n"
    );
    let home = Home::new("flood", &config);
    home.scratch.program("stamp.c", "stamp");
    let mut daemon = home.start();
    until("an answer", || (net::get(http, "/healthz").0 == 200).then_some(()));
    let family = look::family(daemon.pid());
    let before = daemon.wait_state("web", watchd::model::ServiceState::Ready);

    let crowd = Crowd::start(http, from, MEMBERS, manners);
    until("a thousand of them", || (crowd.made() >= MEMBERS as u64).then_some(()));
    let first = daemon.wait_for("a page", |page| Some(page.header.cycles));
    let unanswered: Vec<String> =
        (0..SCRAPES).filter_map(|_| scrape(http, Ipv4Addr::new(127, 0, 0, 7)).1.err()).collect();
    assert!(unanswered.is_empty(), "{manners:?}: {} of {SCRAPES} were not answered: {unanswered:?}", unanswered.len());
    daemon.wait_for("cycles that go on", |page| (page.header.cycles >= first + CYCLES).then_some(()));
    assert!(crowd.made() > MEMBERS as u64, "who was thrown out came again");
    drop(crowd);

    assert_eq!(look::family(daemon.pid()), family, "nobody died");
    assert_eq!(daemon.wait_state("web", watchd::model::ServiceState::Ready).pid, before.pid, "nor did a service");
    let most = look::sum(daemon.pid(), "VmHWM");
    eprintln!("{manners:?}: VmHWM {most} KiB");
    assert!(!is_release() || most < LIMIT_KIB, "{manners:?}: VmHWM {most} KiB of {LIMIT_KIB}");
}

#[test]
fn a_thousand_of_all_manners_shut_nobody_out() {
    play(ALL, Ipv4Addr::new(127, 0, 0, 66));
}

#[test]
fn a_thousand_that_come_and_go_shut_nobody_out() {
    play(&[Manner::Flood], Ipv4Addr::new(127, 0, 0, 66));
}

#[test]
fn a_thousand_that_do_not_read_shut_nobody_out() {
    play(&[Manner::Deaf], Ipv4Addr::new(127, 0, 0, 66));
}

#[test]
fn a_crowd_from_the_same_address_shuts_nobody_out() {
    play(ALL, Ipv4Addr::new(127, 0, 0, 7));
}
