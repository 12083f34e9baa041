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

/// Connections the kernel keeps for us before they are accepted. Who finds no place is asked by the kernel to come again after 0.2 or
/// 1 s; with more places a scraper would wait in every scrape for all those in front of him that ask for a page, a millisecond each.
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

/// Lets the members of a group connect to a socket of ours as well, or nobody but us.
pub fn open_to_group(path: &Path, group: Option<u32>) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown};
    let found = std::fs::symlink_metadata(path)?;
    let gid = group.unwrap_or_else(|| nix::unistd::getegid().as_raw());
    let mode = if group.is_some() { 0o660 } else { 0o600 };
    if found.gid() != gid {
        // For nobody in between: the group it had must not get what the new one may.
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        lchown(path, None, Some(gid))?;
    }
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
}

/// Whether the process at the other end of a Unix socket was in this group when it connected; false when that cannot be told.
pub fn peer_is_in(stream: &impl AsFd, group: u32) -> bool {
    let main = nix::sys::socket::getsockopt(stream, sockopt::PeerCredentials).map(|peer| peer.gid());
    main == Ok(group) || peer_groups(stream).is_ok_and(|groups| groups.contains(&group))
}

/// The kernel allows an account no more groups than this.
const GROUPS: usize = 65_536;

fn peer_groups(stream: &impl AsFd) -> io::Result<Vec<u32>> {
    let mut groups = vec![0_u32; 64];
    loop {
        let mut bytes = libc::socklen_t::try_from(size_of_val(groups.as_slice())).map_err(io::Error::other)?;
        let fd = stream.as_fd().as_raw_fd();
        let place = groups.as_mut_ptr().cast();
        // SAFETY: the kernel writes at most `bytes` bytes, which there is room for, and says how many it has.
        let result = unsafe { libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_PEERGROUPS, place, &raw mut bytes) };
        let count = usize::try_from(bytes).unwrap_or(0) / size_of::<u32>();
        match (result, io::Error::last_os_error()) {
            (0, _) => {
                groups.truncate(count);
                return Ok(groups);
            }
            (_, error) if error.raw_os_error() == Some(libc::ERANGE) && count > groups.len() && count <= GROUPS => {
                groups.resize(count, 0);
            }
            (_, error) => return Err(error),
        }
    }
}

/// The account at the other end of a Unix socket.
pub fn peer_uid(stream: &impl AsFd) -> io::Result<u32> {
    Ok(nix::sys::socket::getsockopt(stream, sockopt::PeerCredentials)?.uid())
}
