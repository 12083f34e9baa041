//! Standard error, without ever waiting for whoever reads it.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Writes a line of at most a page if it can be taken at once; a pipe or terminal that is full takes nothing.
pub fn write(line: &[u8]) -> io::Result<()> {
    let mut stderr = io::stderr();
    let ready = poll(&mut [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)], PollTimeout::ZERO)?;
    if ready == 0 {
        return Err(io::ErrorKind::WouldBlock.into());
    }
    stderr.write_all(line)
}

/// Sends standard error to this file from now on.
pub fn replace(file: &File) -> io::Result<()> {
    Ok(nix::unistd::dup2_stderr(file)?)
}
