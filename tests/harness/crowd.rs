//! A thousand connections that mean no good, on loopback alone: idle ones, slow ones, deaf ones, those that come and go, those with a head
//! that never ends, and those that are half closed.
//!
//! One thread holds them all and connects again whoever was thrown out, until it is told to stop or has connected so often as it may.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, connect, setsockopt, socket, sockopt};

/// What a member of the crowd does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Says nothing.
    Idle,
    /// Sends the head of a request, a byte in each round.
    Slow,
    /// Asks for something long and does not read it.
    Deaf,
    /// Asks and is gone.
    Flood,
    /// Sends a head that never ends, a piece in each round.
    Endless,
    /// Says half of a line and that this was all, and stays.
    Half,
}

/// What was sent by the members.
const LONG: &[u8] = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";

/// The most connections that one crowd makes.
const MOST: u64 = 200_000;

/// A running crowd.
pub struct Crowd {
    stop: Arc<AtomicBool>,
    made: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Crowd {
    /// So many members, whose manners take turns, from an address of their own.
    // That watchd has one thread does not bind its enemies.
    #[allow(clippy::disallowed_methods)]
    pub fn start(port: u16, from: Ipv4Addr, size: usize, manners: &'static [Manner]) -> Self {
        allow_descriptors();
        let (stop, made) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&made));
        let thread = std::thread::spawn(move || {
            let mut members: Vec<Member> =
                manners.iter().cycle().take(size).map(|manner| Member::new(*manner)).collect();
            while !stopped.load(Ordering::Acquire) {
                for member in &mut members {
                    if stopped.load(Ordering::Acquire) {
                        return;
                    }
                    if member.turn(port, from) {
                        counted.fetch_add(1, Ordering::AcqRel);
                    }
                }
                if counted.load(Ordering::Acquire) >= MOST {
                    return;
                }
            }
        });
        Self { stop, made, thread: Some(thread) }
    }

    /// Connections made so far.
    pub fn made(&self) -> u64 {
        self.made.load(Ordering::Acquire)
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Member {
    manner: Manner,
    stream: Option<TcpStream>,
    sent: usize,
}

impl Member {
    fn new(manner: Manner) -> Self {
        Self { manner, stream: None, sent: 0 }
    }

    /// Does its part of a round; true when it connected anew.
    fn turn(&mut self, port: u16, from: Ipv4Addr) -> bool {
        let Some(stream) = &mut self.stream else {
            self.stream = connect_from(port, from);
            self.sent = 0;
            if let Some(stream) = &mut self.stream {
                let _ = match self.manner {
                    Manner::Deaf | Manner::Flood => stream.write(LONG),
                    Manner::Half => stream.write(b"GET /met").and_then(|sent| {
                        stream.shutdown(std::net::Shutdown::Write)?;
                        Ok(sent)
                    }),
                    Manner::Endless => stream.write(b"GET /metrics HTTP/1.1\r\nX: "),
                    Manner::Idle | Manner::Slow => Ok(0),
                };
            }
            return self.stream.is_some();
        };
        let is_over = match self.manner {
            Manner::Flood => true,
            Manner::Slow => {
                let byte = [LONG.get(self.sent).copied().unwrap_or(b'a')];
                // Never the end of the head.
                self.sent = (self.sent + 1).min(LONG.len() - 4);
                stream.write(&byte).is_err_and(|error| error.kind() != ErrorKind::WouldBlock)
            }
            Manner::Idle | Manner::Half => is_closed(stream),
            Manner::Endless => stream.write(&[b'x'; 1024]).is_err_and(|error| error.kind() != ErrorKind::WouldBlock),
            Manner::Deaf => stream.write(LONG).is_err_and(|error| error.kind() != ErrorKind::WouldBlock),
        };
        if is_over {
            self.stream = None;
        }
        false
    }
}

fn is_closed(stream: &mut TcpStream) -> bool {
    let mut byte = [0];
    match stream.read(&mut byte) {
        Ok(0) => true,
        Ok(_) => false,
        Err(error) => error.kind() != ErrorKind::WouldBlock,
    }
}

/// A connection from one of the many addresses of loopback, which takes nothing in that it has not asked for.
fn connect_from(port: u16, from: Ipv4Addr) -> Option<TcpStream> {
    let stream = stream_from(port, from)?;
    stream.set_nonblocking(true).ok()?;
    Some(stream)
}

/// The same, that waits for what it reads.
pub fn stream_from(port: u16, from: Ipv4Addr) -> Option<TcpStream> {
    let socket = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).ok()?;
    setsockopt(&socket, sockopt::RcvBuf, &4096).ok()?;
    bind(raw(&socket), &SockaddrIn::from(std::net::SocketAddrV4::new(from, 0))).ok()?;
    let there = SockaddrIn::from(std::net::SocketAddrV4::new(Ipv4Addr::LOCALHOST, port));
    connect(raw(&socket), &there).ok()?;
    Some(TcpStream::from(socket))
}

fn raw(socket: &OwnedFd) -> i32 {
    std::os::fd::AsRawFd::as_raw_fd(&socket.as_fd())
}

/// Scrapes `/metrics` once over a new connection, as Prometheus does: how long it took, and whether all of it came.
pub fn scrape(port: u16, from: Ipv4Addr) -> (Duration, Result<(), String>) {
    let begun = Instant::now();
    let result = try_scrape(port, from);
    (begun.elapsed(), result)
}

fn try_scrape(port: u16, from: Ipv4Addr) -> Result<(), String> {
    let said = |error: std::io::Error| error.to_string();
    let mut stream = stream_from(port, from).ok_or("cannot connect")?;
    stream.set_read_timeout(Some(Duration::from_secs(20))).map_err(said)?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").map_err(said)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(said)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("no head")?;
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")?.trim().parse().ok());
    let is_whole = head.starts_with("HTTP/1.1 200 ") && length == Some(body.len()) && body.contains("\nwatchd_up 1\n");
    if is_whole { Ok(()) } else { Err(format!("{} of {length:?} bytes: {head}", body.len())) }
}

/// As many descriptors as the system lets us have.
fn allow_descriptors() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < hard
    {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard.min(16_384).max(soft), hard);
    }
}
