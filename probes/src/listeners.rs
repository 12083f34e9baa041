//! Where a process listens: the sockets among its descriptors, looked up in the tables of its own network namespace.
//!
//! No probe: it is asked once, by a person, and it may allocate. `/proc/PID/fd` has links such as `socket:[8512]`, and
//! `/proc/PID/net/tcp` a line for each socket of the namespace, with that number near its end:
//!
//! ```text
//!    0: 0100007F:1356 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 8512 1 000000009c5d
//! ```
//!
//! The procfs crate reads both formats. Sockets of Unix and raw ones are left out.

use std::fmt;
use std::io::Read;
use std::net::SocketAddr;

use procfs::net::{TcpNetEntries, TcpState, UdpNetEntries, UdpState};
use procfs::process::FDTarget;
use procfs::{ExplicitSystemInfo, FromReadSI};

use crate::{Fault, Host};

const FDS: &str = "proc/PID/fd";

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Transport {
    Tcp,
    Udp,
}

/// An address that takes connections, or datagrams from anybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listener {
    pub transport: Transport,
    pub address: SocketAddr,
}

impl fmt::Display for Listener {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.transport {
            Transport::Tcp => write!(out, "{}", self.address),
            Transport::Udp => write!(out, "{} (UDP)", self.address),
        }
    }
}

/// Where the process listens, each address once and in order. The descriptors of other users' processes are for root only.
pub fn of(host: &Host, pid: u32) -> Result<Vec<Listener>, Fault> {
    let inodes = sockets(host, pid)?;
    let mut found = Vec::new();
    for (name, label, transport) in [
        ("tcp", "proc/PID/net/tcp", Transport::Tcp),
        ("tcp6", "proc/PID/net/tcp6", Transport::Tcp),
        ("udp", "proc/PID/net/udp", Transport::Udp),
        ("udp6", "proc/PID/net/udp6", Transport::Udp),
    ] {
        // A host without IPv6 has no tables for it.
        let Some(text) = crate::fault::if_present(read(host, &format!("proc/{pid}/net/{name}"), label))? else {
            continue;
        };
        let entries = parse(&text, transport).ok_or_else(|| Fault::malformed(label, 0, &text))?;
        let ours = entries.into_iter().filter(|(inode, _)| inodes.contains(inode));
        found.extend(ours.map(|(_, address)| Listener { transport, address }));
    }
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// The numbers of the sockets a process has open.
fn sockets(host: &Host, pid: u32) -> Result<Vec<u64>, Fault> {
    let fault = |errno| Fault::io(FDS, errno);
    let dir = host.open_dir(&format!("proc/{pid}/fd")).map_err(fault)?;
    let mut inodes = Vec::new();
    for entry in rustix::fs::Dir::read_from(&dir).map_err(fault)? {
        let entry = entry.map_err(fault)?;
        // A descriptor that was closed meanwhile is none.
        let Ok(target) = rustix::fs::readlinkat(&dir, entry.file_name(), Vec::new()) else { continue };
        if let Ok(Ok(FDTarget::Socket(inode))) = target.to_str().map(str::parse) {
            inodes.push(inode);
        }
    }
    Ok(inodes)
}

fn read(host: &Host, path: &str, label: &'static str) -> Result<Vec<u8>, Fault> {
    let mut text = Vec::new();
    let file = host.open_file(path).map_err(|errno| Fault::io(label, errno))?;
    match std::fs::File::from(file).read_to_end(&mut text) {
        Ok(_) => Ok(text),
        Err(error) => Err(Fault::Io { path: label, errno: error.raw_os_error().unwrap_or_default() }),
    }
}

/// The listening sockets of one table: number and address. None when the text is not such a table, or was cut.
fn parse(text: &[u8], transport: Transport) -> Option<Vec<(u64, SocketAddr)>> {
    if !text.ends_with(b"\n") {
        return None;
    }
    // Only the order of bytes counts in these tables.
    let system = ExplicitSystemInfo {
        boot_time_secs: 0,
        ticks_per_second: 0,
        page_size: 0,
        is_little_endian: cfg!(target_endian = "little"),
    };
    Some(match transport {
        Transport::Tcp => {
            let entries = TcpNetEntries::from_read(text, &system).ok()?.0;
            let listening = entries.into_iter().filter(|entry| entry.state == TcpState::Listen);
            listening.map(|entry| (entry.inode, entry.local_address)).collect()
        }
        Transport::Udp => {
            let entries = UdpNetEntries::from_read(text, &system).ok()?.0;
            // A socket with a peer takes datagrams from that one only.
            let open = entries.into_iter().filter(|entry| entry.state != UdpState::Established);
            open.map(|entry| (entry.inode, entry.local_address)).collect()
        }
    })
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::path::Path;

    use super::*;

    const TABLE: &str = "  \
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
   0: 0100007F:1356 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 8512 1 0 100 0 0 10 0\n   \
   1: 0100007F:1356 0100007F:8F2C 01 00000000:00000000 00:00000000 00000000     0        0 8513 1 0 20 4 30 10 -1\n";

    #[test]
    fn own_sockets_are_found_where_they_listen() {
        let tcp = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let udp = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
        let address = tcp.local_addr().expect("it is bound");
        let client = TcpStream::connect(address).expect("it listens");
        let host = Host::open(Path::new("/")).expect("there is a root");
        let found = of(&host, std::process::id()).expect("our own descriptors are readable");
        let is_told = |transport, address| found.contains(&Listener { transport, address });
        assert!(is_told(Transport::Tcp, address), "{found:?}");
        assert!(is_told(Transport::Udp, udp.local_addr().expect("it is bound")), "{found:?}");
        assert!(!is_told(Transport::Tcp, client.local_addr().expect("it is bound")), "a client does not listen");
        assert!(of(&host, u32::MAX).is_err_and(|fault| fault.is_absence()), "no such process");
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn only_what_listens_is_told() {
        let address = "127.0.0.1:4950".parse().expect("an address");
        assert_eq!(parse(TABLE.as_bytes(), Transport::Tcp), Some(vec![(8512, address)]));
        let listener = |transport| Listener { transport, address }.to_string();
        assert_eq!(listener(Transport::Tcp), "127.0.0.1:4950");
        assert_eq!(listener(Transport::Udp), "127.0.0.1:4950 (UDP)");
        let closed = TABLE.replace(" 0A ", " 07 ");
        assert_eq!(parse(closed.as_bytes(), Transport::Udp), Some(vec![(8512, address)]));
        assert_eq!(parse(b"header\n", Transport::Tcp), Some(vec![]));
    }

    #[test]
    fn a_table_cut_at_any_byte_gives_no_cut_number() {
        let whole = parse(TABLE.as_bytes(), Transport::Tcp).expect("it is a table");
        for cut in 0..TABLE.len() {
            if let Some(part) = parse(&TABLE.as_bytes()[..cut], Transport::Tcp) {
                assert!(part.iter().all(|socket| whole.contains(socket)), "cut at {cut}: {part:?}");
            }
        }
        for hostile in ["h\n0: 1 2\n", "h\n0: é0000000:0 00000000:0 0A 0:0 0 0 0 0 1\n", "h\n\n", "h\n\u{7f}\0\n"] {
            assert_eq!(parse(hostile.as_bytes(), Transport::Tcp), None, "{hostile}");
        }
    }
}
