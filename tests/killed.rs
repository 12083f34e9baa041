//! Both processes killed at random while hostile connections press on both ports: every service is there once, and every honest question
//! is answered afterwards.
//!
//! What happens is drawn from a seed, which is printed; `WATCHD_SEED` plays it again. `WATCHD_BLOWS` plays more of it.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use harness::{Daemon, Home, is_release, look, net, pause, until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use watchd::model::ServiceState;

const SERVICES: usize = 6;
/// Of each kind, all at a time: fewer than the door has places.
const CROWD: usize = 40;
const BLOWS: usize = 24;
/// 3 MB, as `tests/budget.rs` has it.
const LIMIT_KIB: u64 = 3_000_000 / 1024;

struct Random(u64);

impl Random {
    fn below(&mut self, count: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(count).expect("it is small")).expect("it is small")
    }
}

fn policy(munin: u16, http: u16) -> String {
    let mut text = format!(
        "[watchd]\ncycle = \"1s\"\n[munin]\nlisten = [\"127.0.0.1:{munin}\"]\n[http]\nlisten = [\"127.0.0.1:{http}\"]\n"
    );
    for place in 0..SERVICES {
        text += &format!(
            "[process.s{place}]\nrun = [\"@/stamp\", \"@/s{place}\"]\nsettle = \"50ms\"\nbackoff = [\"10ms\", \"50ms\"]\n\
             limit = \"1000/1d\"\nwait-for-host = false\n"
        );
    }
    text
}

/// Connections of people who mean no good: silent ones, half a head, half a line, an endless head, a flood, and those that reset.
/// They are kept as long as the list is.
fn press(munin: u16, http: u16, crowd: &mut Vec<TcpStream>) {
    crowd.clear();
    for place in 0..6 * CROWD {
        let port = if place % 2 == 0 { munin } else { http };
        let Ok(mut stream) = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port))) else { continue };
        let _ = stream.set_nonblocking(true);
        let bytes: Vec<u8> = match place / CROWD {
            0 => Vec::new(),
            1 => b"GET / HTTP/1.1\r\nA".to_vec(),
            2 => b"fetch loa".to_vec(),
            3 => [b"GET / HTTP/1.1\r\nA: ".to_vec(), vec![b'x'; 64 << 10]].concat(),
            4 => b"GET /metrics HTTP/1.1\r\n\r\nfetch memory\n".repeat(100),
            _ => b"list\nquit\n".to_vec(),
        };
        let _ = stream.write(&bytes);
        if place / CROWD == 5 {
            let linger = libc::linger { l_onoff: 1, l_linger: 0 };
            let _ = nix::sys::socket::setsockopt(&stream, nix::sys::socket::sockopt::Linger, &linger);
            continue;
        }
        crowd.push(stream);
    }
}

fn copies(home: &Home, place: usize) -> Vec<i32> {
    look::with_argument(&home.scratch.path(&format!("s{place}")))
}

/// Waits until each service is ready and there is one of it, and both ports answer.
fn calm(home: &Home, daemon: &mut Daemon<'_>, munin: u16, http: u16) {
    for place in 0..SERVICES {
        daemon.wait_for(&format!("one s{place}"), |snapshot| {
            let row = snapshot.service(&format!("s{place}"))?;
            (row.state() == ServiceState::Ready && copies(home, place) == [row.pid]).then_some(())
        });
    }
    until("an answer to Prometheus", || {
        let (code, page) = net::get(http, "/metrics");
        (code == 200 && page.contains("\nwatchd_up 1\n")).then_some(())
    });
    until("an answer to Munin", || {
        let mut stream = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], munin))).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
        stream.write_all(b"fetch load\nquit\n").ok()?;
        let mut said = String::new();
        stream.read_to_string(&mut said).ok()?;
        said.contains("\nload.value ").then_some(())
    });
}

#[test]
fn whoever_is_killed_under_fire_every_service_is_there_once_and_every_scrape_is_answered() {
    let drawn = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |now| u64::from(now.subsec_nanos()) | 1);
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seed = number("WATCHD_SEED").unwrap_or(drawn);
    let blows = number("WATCHD_BLOWS").and_then(|blows| usize::try_from(blows).ok()).unwrap_or(BLOWS);
    eprintln!("WATCHD_SEED={seed}");
    let mut random = Random(seed);
    let (munin, http) = (net::free_port(), net::free_port());
    let home = Home::new("killed", &policy(munin, http));
    home.scratch.program("stamp.c", "stamp");
    let mut daemon = home.start();
    calm(&home, &mut daemon, munin, http);
    let descriptors = look::descriptors(daemon.pid());
    let (mut crowd, mut deaths, mut most) = (Vec::new(), [0; 3], 0);
    for _ in 0..blows {
        press(munin, http, &mut crowd);
        let blow = random.below(3);
        deaths[blow] += 1;
        match blow {
            0 => {
                daemon.kill();
                daemon = home.start();
            }
            1 => {
                let door = daemon.snapshot().and_then(|snapshot| i32::try_from(snapshot.header.door_pid).ok());
                if let Some(door) = door.filter(|door| *door > 0 && look::family(daemon.pid()).contains(door)) {
                    let _ = kill(Pid::from_raw(door), Signal::SIGKILL);
                }
            }
            _ => {
                for pid in copies(&home, random.below(SERVICES)) {
                    let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
                }
            }
        }
        // The crowd stays while honest clients ask.
        calm(&home, &mut daemon, munin, http);
        most = most.max(look::sum(daemon.pid(), "VmHWM"));
    }
    drop(crowd);
    calm(&home, &mut daemon, munin, http);
    eprintln!(
        "killed: core {}, door {}, services {}; largest sum of VmHWM {most} KiB",
        deaths[0], deaths[1], deaths[2]
    );
    if is_release() {
        assert!(most < LIMIT_KIB, "VmHWM {most} KiB of {LIMIT_KIB}");
    }
    until("as many descriptors as before", || (look::descriptors(daemon.pid()) <= descriptors + 2).then_some(()));
    for place in 0..SERVICES {
        let starts = fs::read_to_string(home.scratch.path(&format!("s{place}"))).map_or(0, |text| text.lines().count());
        assert!(starts <= 1 + deaths[2] + deaths[0], "s{place} was started {starts} times");
    }
}

/// A child of the one that was killed may hold its addresses for a moment longer than it lives. One that still runs shuts nobody out.
#[test]
fn an_address_that_is_let_go_a_moment_later_is_waited_for_after_a_kill() {
    let (munin, http) = (net::free_port(), net::free_port());
    let home = Home::new("let-go", &policy(munin, http));
    home.scratch.program("stamp.c", "stamp");
    let daemon = home.start();
    let address = SocketAddr::from(([127, 0, 0, 1], munin));
    daemon.kill();
    let orphan = until("the address", || TcpListener::bind(address).ok());
    let mut daemon = home.spawn();
    pause(Duration::from_secs(1));
    assert_eq!(daemon.ended(), None, "{}", daemon.said());
    drop(orphan);
    daemon.wait_for("its first cycle", |_| Some(()));

    // After an end in peace nobody is left who could let go: it is said at once.
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait_end(), 0);
    let stranger = until("the address", || TcpListener::bind(address).ok());
    let refused = home.watchd(&["run"]);
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains(&format!("cannot listen on {address} for Munin: Address already in use")), "{said}");
    drop(stranger);
}
