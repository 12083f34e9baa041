//! Who is connected to a port: how many TCP connections there are, which address has most of them, and how evenly they are spread.
//!
//! No probe: it is asked in a child, by a measure. Read are `/proc/net/tcp` and `tcp6`, line by line, whatever their length:
//!
//! ```text
//!    1: 0100007F:1356 0100007F:8F2C 01 00000000:00000000 00:00000000 00000000     0        0 8513 1 0 20 4 30 10 -1
//! ```
//!
//! Listeners and connections that are over (`TIME_WAIT`) do not count. Of addresses at most `PEERS` are told apart, so a flood from
//! everywhere costs no more memory than a crowd; those beyond count as one connection each.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::fault::if_present;
use crate::{Fault, Host};

const PEERS: usize = 2_048;
/// No line of these tables is longer: they are padded to 150 and 200 letters.
const LONGEST: u64 = 512;
/// Names of the states that are no connection, as the kernel numbers them (`include/net/tcp_states.h`).
const TIME_WAIT: u8 = 6;
const LISTEN: u8 = 10;

/// Which end of a connection has the port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Others come to it.
    Here,
    /// We went to it.
    There,
}

/// What was found.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Connections {
    pub count: u32,
    /// The address with most of them, and how many those are.
    pub top: Option<(IpAddr, u32)>,
    /// From 0, all from one address, to 1, each from another; none of fewer than two connections.
    pub evenness: Option<f64>,
}

/// Counts the connections of one port.
pub fn of(host: &Host, port: u16, end: End) -> Result<Connections, Fault> {
    let mut crowd = Crowd::default();
    for (path, label) in [("proc/net/tcp", "proc/net/tcp"), ("proc/net/tcp6", "proc/net/tcp6")] {
        let file = host.open_file(path).map_err(|errno| Fault::io(label, errno));
        // A host without IPv6 has no table for it.
        let Some(file) = (if path.ends_with('6') { if_present(file)? } else { Some(file?) }) else { continue };
        crowd.read(BufReader::with_capacity(16 << 10, File::from(file)), (port, end), label)?;
    }
    Ok(crowd.sum())
}

#[derive(Default)]
struct Crowd {
    count: u32,
    /// In the order of the addresses.
    peers: Vec<(IpAddr, u32)>,
    /// Connections of addresses that there was no room for.
    others: u32,
}

impl Crowd {
    fn read(&mut self, mut table: impl BufRead, (port, end): (u16, End), label: &'static str) -> Result<(), Fault> {
        let mut line = Vec::with_capacity(256);
        let mut number = 0;
        loop {
            line.clear();
            let read = (&mut table).take(LONGEST).read_until(b'\n', &mut line);
            let read =
                read.map_err(|error| Fault::Io { path: label, errno: error.raw_os_error().unwrap_or_default() })?;
            if read == 0 {
                return Ok(());
            }
            // The first line has the names of the columns.
            match Socket::parse(&line) {
                Some(socket) if number > 0 => self.take(&socket, port, end),
                _ if number == 0 && line.ends_with(b"\n") => {}
                _ => return Err(Fault::malformed(label, number, &line)),
            }
            number += 1;
        }
    }

    fn take(&mut self, socket: &Socket, port: u16, end: End) {
        let own = match end {
            End::Here => socket.local,
            End::There => socket.remote.1,
        };
        if own != port || matches!(socket.state, LISTEN | TIME_WAIT) {
            return;
        }
        self.count = self.count.saturating_add(1);
        match self.peers.binary_search_by_key(&socket.remote.0, |(address, _)| *address) {
            Ok(place) => {
                if let Some((_, count)) = self.peers.get_mut(place) {
                    *count = count.saturating_add(1);
                }
            }
            Err(place) if self.peers.len() < PEERS => self.peers.insert(place, (socket.remote.0, 1)),
            Err(_) => self.others = self.others.saturating_add(1),
        }
    }

    fn sum(&self) -> Connections {
        // The address decides between equals, so that the answer is the same at each look.
        let top = self.peers.iter().map(|(address, count)| (*count, *address)).max();
        let total = f64::from(self.count);
        let known = u32::try_from(self.peers.len()).unwrap_or(u32::MAX);
        let kinds = f64::from(known) + f64::from(self.others);
        let part = |count: u32| f64::from(count) / total * (f64::from(count) / total).ln();
        let spread = -self.peers.iter().map(|(_, count)| part(*count)).sum::<f64>() - part(1) * f64::from(self.others);
        let evenness = if kinds < 2.0 { 0.0 } else { (spread / kinds.ln()).clamp(0.0, 1.0) };
        Connections {
            count: self.count,
            top: top.map(|(count, address)| (address, count)),
            evenness: (self.count >= 2).then_some(evenness),
        }
    }
}

struct Socket {
    local: u16,
    remote: (IpAddr, u16),
    state: u8,
}

impl Socket {
    /// One whole line.
    fn parse(line: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(line).ok().filter(|text| text.ends_with('\n'))?;
        let mut words = text.split_ascii_whitespace().skip(1);
        let (local, remote, state) = (words.next()?, words.next()?, words.next()?);
        // A line that was cut before its end would still have these.
        words.next()?;
        Some(Self { local: end(local)?.1, remote: end(remote)?, state: number(state, 2)?.try_into().ok()? })
    }
}

/// `0100007F:1356`: an address in words of the machine's order, and a port.
fn end(text: &str) -> Option<(IpAddr, u16)> {
    let (address, port) = text.split_once(':')?;
    let port = u16::try_from(number(port, 4)?).ok()?;
    let word = |place: usize| number(address.get(place * 8..place * 8 + 8)?, 8).map(u32::to_ne_bytes);
    let address = match address.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let mut bytes = [0; 16];
            for (place, four) in bytes.chunks_exact_mut(4).enumerate() {
                four.copy_from_slice(&word(place)?);
            }
            Ipv6Addr::from(bytes).to_canonical()
        }
        _ => return None,
    };
    Some((address, port))
}

fn number(text: &str, digits: usize) -> Option<u32> {
    let is_plain = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    u32::from_str_radix(text, 16).ok().filter(|_| is_plain)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::path::Path;

    use super::*;

    const HEAD: &str =
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";

    fn table(sockets: &[(&str, &str, &str)]) -> String {
        let lines = sockets.iter().map(|(local, remote, state)| {
            format!("   1: {local} {remote} {state} 00000000:00000000 00:00000000 00000000     0        0 1 1 0 20 4 30 10 -1\n")
        });
        HEAD.to_owned() + &lines.collect::<String>()
    }

    fn read(text: &str, port: u16, end: End) -> Result<Connections, Fault> {
        let mut crowd = Crowd::default();
        crowd.read(text.as_bytes(), (port, end), "t").map(|()| crowd.sum())
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn connections_are_counted_by_port_and_address() {
        let text = table(&[
            ("00000000:0050", "00000000:0000", "0A"),
            ("0100007F:0050", "0701A8C0:9C40", "01"),
            ("0100007F:0050", "0701A8C0:9C41", "03"),
            ("0100007F:0050", "0801A8C0:9C42", "01"),
            ("0100007F:0050", "0901A8C0:9C43", "06"),
            ("0100007F:9C44", "0901A8C0:0050", "01"),
            ("0000000000000000FFFF00000100007F:0050", "0000000000000000FFFF00000701A8C0:9C45", "01"),
        ]);
        let here = read(&text, 80, End::Here).expect("it is a table");
        assert_eq!((here.count, here.top), (4, Some(("192.168.1.7".parse().expect("an address"), 3))));
        assert!(here.evenness.is_some_and(|evenness| (evenness - 0.811).abs() < 0.001), "{here:?}");
        let there = read(&text, 80, End::There).expect("it is a table");
        assert_eq!((there.count, there.evenness), (1, None));
        assert_eq!(read(&text, 81, End::Here).expect("it is a table"), Connections::default());
        assert_eq!(read(HEAD, 80, End::Here).expect("it is a table"), Connections::default());
    }

    #[test]
    fn a_single_address_and_many_are_the_two_ends() {
        let from = |address: u32| (format!("{address:08X}:1000"), "01");
        let made = |addresses: &mut dyn Iterator<Item = u32>| {
            let sockets: Vec<(String, &str)> = addresses.map(from).collect();
            table(&sockets.iter().map(|(remote, state)| ("0100007F:0050", remote.as_str(), *state)).collect::<Vec<_>>())
        };
        let one = read(&made(&mut (0..50).map(|_| 7)), 80, End::Here).expect("it is a table");
        assert_eq!((one.count, one.evenness), (50, Some(0.0)));
        let all = read(&made(&mut (1..=5_000)), 80, End::Here).expect("it is a table");
        assert!(all.count == 5_000 && all.evenness.is_some_and(|evenness| evenness > 0.999), "{all:?}");
    }

    #[test]
    fn a_table_cut_at_any_byte_gives_no_cut_number() {
        let text = table(&[("0100007F:0050", "0701A8C0:9C40", "01"), ("0100007F:0050", "0801A8C0:9C40", "01")]);
        let ends: Vec<usize> = text.match_indices('\n').map(|(place, _)| place + 1).collect();
        for cut in 0..text.len() {
            let part = read(&text[..cut], 80, End::Here);
            let is_whole = cut == 0 || ends.contains(&cut);
            assert_eq!(part.is_ok(), is_whole, "cut at {cut}");
        }
        for hostile in ["0: 1 2\n", "0: é0000000:0 00000000:0 0A 0\n", "\n", "0: 0100007F:50 0:0 01 0\n", "\u{7f}\0\n"]
        {
            assert!(read(&format!("{HEAD}{hostile}"), 80, End::Here).is_err(), "{hostile}");
        }
        assert!(read(&format!("{HEAD}{}\n", "1".repeat(9_999)), 80, End::Here).is_err());
    }

    #[test]
    fn a_real_connection_counts_on_both_ends() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let port = listener.local_addr().expect("it is bound").port();
        let host = Host::open(Path::new("/")).expect("there is a root");
        assert_eq!(of(&host, port, End::Here).expect("the table is readable").count, 0, "a listener is no connection");
        let _client = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
        let _server = listener.accept().expect("it comes");
        for end in [End::Here, End::There] {
            let found = of(&host, port, end).expect("the table is readable");
            assert_eq!((found.count, found.top), (1, Some((IpAddr::V4(Ipv4Addr::LOCALHOST), 1))), "{end:?}");
        }
    }
}
