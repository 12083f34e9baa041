//! What to wait for: descriptors with a token of the caller's, and one deadline.
//!
//! Tokens carry whatever the caller needs to tell a live event from one that outlived its owner; a descriptor number never does.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

/// How many events one wait gives at most; the rest comes with the next.
const BATCH: usize = 64;

/// A set of descriptors to wait for.
pub struct Poller {
    epoll: Epoll,
}

/// What to be told about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// Hang-up and error only.
    Nothing,
    Read,
    Write,
    ReadWrite,
    /// Exceptional conditions: PSI triggers, changed mount tables.
    Priority,
}

/// Something happened to the descriptor of this token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ready {
    pub token: u64,
    pub read: bool,
    pub write: bool,
    /// The other side is gone, or the descriptor failed; reading tells which.
    pub hangup: bool,
}

/// The events of one wait.
pub struct Events {
    raw: [EpollEvent; BATCH],
    len: usize,
}

impl Default for Events {
    fn default() -> Self {
        Self { raw: [EpollEvent::empty(); BATCH], len: 0 }
    }
}

impl Events {
    pub fn iter(&self) -> impl Iterator<Item = Ready> + '_ {
        self.raw.iter().take(self.len).map(|event| {
            let flags = event.events();
            Ready {
                token: event.data(),
                read: flags.intersects(EpollFlags::EPOLLIN | EpollFlags::EPOLLPRI | EpollFlags::EPOLLRDHUP),
                write: flags.contains(EpollFlags::EPOLLOUT),
                hangup: flags.intersects(EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR),
            }
        })
    }
}

impl Poller {
    pub fn new() -> io::Result<Self> {
        Ok(Self { epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)? })
    }

    pub fn add(&self, fd: impl AsFd, token: u64, interest: Interest) -> io::Result<()> {
        Ok(self.epoll.add(fd, EpollEvent::new(flags(interest), token))?)
    }

    pub fn modify(&self, fd: impl AsFd, token: u64, interest: Interest) -> io::Result<()> {
        Ok(self.epoll.modify(fd, &mut EpollEvent::new(flags(interest), token))?)
    }

    /// Forgets a descriptor; one that is not known is forgotten already.
    pub fn remove(&self, fd: impl AsFd) {
        let _ = self.epoll.delete(fd);
    }

    /// Waits until something happens or the time is over. Being interrupted is like an early time-out.
    pub fn wait(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        events.len = 0;
        match self.epoll.wait(&mut events.raw, timeout.map_or(EpollTimeout::NONE, rounded_up)) {
            Ok(len) => events.len = len,
            Err(nix::errno::Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        Ok(())
    }
}

impl AsFd for Poller {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.0.as_fd()
    }
}

/// Whole milliseconds, rounded up: a wait that ends just before its deadline would turn for nothing.
fn rounded_up(timeout: Duration) -> EpollTimeout {
    let millis = timeout.as_nanos().div_ceil(1_000_000);
    EpollTimeout::from(u16::try_from(millis).unwrap_or(u16::MAX))
}

fn flags(interest: Interest) -> EpollFlags {
    match interest {
        Interest::Nothing => EpollFlags::empty(),
        Interest::Read => EpollFlags::EPOLLIN | EpollFlags::EPOLLRDHUP,
        Interest::Write => EpollFlags::EPOLLOUT,
        Interest::ReadWrite => EpollFlags::EPOLLIN | EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLOUT,
        Interest::Priority => EpollFlags::EPOLLPRI | EpollFlags::EPOLLERR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_comes_with_its_token() {
        let (reader, writer) = nix::unistd::pipe().expect("a pipe can be made");
        let poller = Poller::new().expect("epoll works");
        let mut events = Events::default();
        poller.add(&reader, 77, Interest::Read).expect("a pipe can be polled");
        poller.wait(&mut events, Some(Duration::ZERO)).expect("waiting works");
        assert_eq!(events.iter().count(), 0);
        nix::unistd::write(&writer, b"x").expect("a pipe takes a byte");
        poller.wait(&mut events, None).expect("waiting works");
        let ready: Vec<_> = events.iter().collect();
        assert_eq!(ready, [Ready { token: 77, read: true, write: false, hangup: false }]);
        drop(writer);
        poller.wait(&mut events, None).expect("waiting works");
        assert!(events.iter().all(|ready| ready.hangup));
    }

    #[test]
    fn a_wait_never_ends_before_its_deadline() {
        assert_eq!(rounded_up(Duration::from_micros(1)), EpollTimeout::from(1u16));
        assert_eq!(rounded_up(Duration::from_millis(7)), EpollTimeout::from(7u16));
        assert_eq!(
            rounded_up(Duration::from_secs(1000)),
            EpollTimeout::from(u16::MAX),
            "long waits end early, once a minute"
        );
    }
}
