//! Where clients come in and what they come through: TCP, or a Unix socket on this host.
//!
//! Who comes through the Unix socket has no address and counts as one place, `::`; what its permissions are decides who may.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv6Addr, Shutdown, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};

use crate::sys::listen;

/// Where clients come in.
pub enum Entry {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// What one client comes through.
pub enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Entry {
    pub fn accept(&self) -> io::Result<(Stream, IpAddr)> {
        match self {
            Self::Tcp(listener) => listener.accept().map(|(stream, peer)| (Stream::Tcp(stream), peer.ip())),
            Self::Unix(listener) => {
                listener.accept().map(|(stream, _)| (Stream::Unix(stream), Ipv6Addr::UNSPECIFIED.into()))
            }
        }
    }

    /// Bounds what the kernel holds for each of its clients.
    pub fn bound_buffers(&self) -> io::Result<()> {
        match self {
            Self::Tcp(listener) => listen::bound_buffers(listener),
            Self::Unix(_) => Ok(()),
        }
    }
}

impl Stream {
    pub fn set_nonblocking(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.set_nonblocking(true),
            Self::Unix(stream) => stream.set_nonblocking(true),
        }
    }

    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.shutdown(how),
            Self::Unix(stream) => stream.shutdown(how),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(bytes),
            Self::Unix(stream) => stream.read(bytes),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsFd for Entry {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(listener) => listener.as_fd(),
            Self::Unix(listener) => listener.as_fd(),
        }
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
        }
    }
}
