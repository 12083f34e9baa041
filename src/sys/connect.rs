//! Connecting without waiting: the outcome is asked for when the descriptor becomes writable.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::Path;

use nix::errno::Errno;
use nix::sys::socket::{self, AddressFamily, SockFlag, SockProtocol, SockType, SockaddrStorage, UnixAddr};

const FLAGS: SockFlag = SockFlag::SOCK_CLOEXEC.union(SockFlag::SOCK_NONBLOCK);

/// Begins to connect.
pub fn tcp(address: SocketAddr) -> io::Result<TcpStream> {
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let fd = socket::socket(family, SockType::Stream, FLAGS, SockProtocol::Tcp)?;
    match socket::connect(fd.as_raw_fd(), &SockaddrStorage::from(address)) {
        Ok(()) | Err(Errno::EINPROGRESS) => Ok(fd.into()),
        Err(errno) => Err(errno.into()),
    }
}

/// Connects to a Unix socket, which is done at once or not at all: a full queue is `WouldBlock`.
pub fn unix(path: &Path) -> io::Result<UnixStream> {
    let fd = socket::socket(AddressFamily::Unix, SockType::Stream, FLAGS, None)?;
    socket::connect(fd.as_raw_fd(), &UnixAddr::new(path)?)?;
    Ok(fd.into())
}

/// How connecting came out, once the stream is writable. On this host a port that nobody listens on can be connected to
/// itself, when the kernel happens to choose it for our side as well: that is nobody.
pub fn outcome(stream: &TcpStream) -> io::Result<()> {
    if let Some(error) = stream.take_error()? {
        return Err(error);
    }
    let peer = stream.peer_addr()?;
    if stream.local_addr()? == peer { Err(Errno::ECONNREFUSED.into()) } else { Ok(()) }
}
