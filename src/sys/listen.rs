//! Listening sockets: TCP for the door, a Unix socket for control.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixListener;
use std::path::Path;

use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockProtocol, SockType, SockaddrStorage, bind, listen, setsockopt, socket,
    sockopt,
};

/// Connections the kernel keeps for us before they are accepted.
const BACKLOG: i32 = 128;

/// Binds and listens, non-blocking. IPv6 addresses take IPv6 only, so that `0.0.0.0` and `::` can stand side by side.
pub fn tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket(family, SockType::Stream, flags, SockProtocol::Tcp)?;
    setsockopt(&fd, sockopt::ReuseAddr, &true)?;
    if address.is_ipv6() {
        setsockopt(&fd, sockopt::Ipv6V6Only, &true)?;
    }
    bind(fd.as_raw_fd(), &SockaddrStorage::from(address))?;
    listen(&fd, Backlog::new(BACKLOG)?)?;
    Ok(TcpListener::from(fd))
}

/// Bounds what the kernel holds for each connection of a listener, and sends answers without waiting for more; accepted sockets
/// inherit both.
pub fn bound_buffers(listener: &TcpListener) -> io::Result<()> {
    // The kernel doubles both for its own needs. An ordinary page of metrics fits the first, a long head the second.
    setsockopt(listener, sockopt::SndBuf, &(64 << 10))?;
    setsockopt(listener, sockopt::RcvBuf, &(16 << 10))?;
    setsockopt(listener, sockopt::TcpNoDelay, &true)?;
    Ok(())
}

/// Makes the control socket anew, for the owner alone. The caller holds the lock on the directory, so an old socket is a left-over.
pub fn unix(path: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let mask = nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o177));
    let listener = UnixListener::bind(path);
    nix::sys::stat::umask(mask);
    let listener = listener?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// A Unix socket that every account may connect to. A socket that is there already is a left-over; anything else is not ours to
/// take away.
pub fn unix_for_all(path: &Path) -> io::Result<UnixListener> {
    use std::os::unix::fs::{FileTypeExt, PermissionsExt};
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => {}
        Ok(_) => return Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is something else")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let listener = unix(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666))?;
    Ok(listener)
}

/// The account at the other end of a Unix socket.
pub fn peer_uid(stream: &impl AsFd) -> io::Result<u32> {
    Ok(nix::sys::socket::getsockopt(stream, sockopt::PeerCredentials)?.uid())
}
