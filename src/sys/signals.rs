//! Signals as bytes in a pipe: one pipe for each signal that means something to us, so that none is mistaken for another.
//!
//! signal-hook's handlers are registered once and never taken back.

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

/// The signals watchd answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGCHLD: some child ended.
    Child,
    /// SIGHUP: read the config again.
    Reload,
    /// SIGTERM or SIGINT: end.
    Stop,
    /// SIGUSR2: go on as the program that is installed now.
    Upgrade,
}

/// One pipe for each kind.
pub struct Signals {
    pipes: [(Signal, UnixStream); 4],
}

impl Signals {
    /// Registers the handlers. SIGPIPE is ignored by the Rust runtime already.
    pub fn register() -> io::Result<Self> {
        Ok(Self {
            pipes: [
                (Signal::Child, pipe(&[libc::SIGCHLD])?),
                (Signal::Reload, pipe(&[libc::SIGHUP])?),
                (Signal::Stop, pipe(&[libc::SIGTERM, libc::SIGINT])?),
                (Signal::Upgrade, pipe(&[libc::SIGUSR2])?),
            ],
        })
    }

    /// The descriptors to wait for.
    pub fn sources(&self) -> impl Iterator<Item = (Signal, BorrowedFd<'_>)> {
        self.pipes.iter().map(|(signal, pipe)| (*signal, pipe.as_fd()))
    }

    /// Empties the pipe of one kind, so that it can wake us again.
    pub fn drain(&mut self, signal: Signal) {
        let mut bytes = [0; 64];
        for (kind, pipe) in &mut self.pipes {
            while *kind == signal && matches!(pipe.read(&mut bytes), Ok(read) if read == bytes.len()) {}
        }
    }
}

fn pipe(numbers: &[i32]) -> io::Result<UnixStream> {
    let (reader, writer) = UnixStream::pair()?;
    reader.set_nonblocking(true)?;
    writer.set_nonblocking(true)?;
    for number in numbers {
        signal_hook::low_level::pipe::register(*number, writer.try_clone()?)?;
    }
    Ok(reader)
}
