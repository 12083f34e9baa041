//! A process held fast: as long as the descriptor is open, what is done through it cannot hit another process.
//!
//! The descriptor becomes readable when the process has ended. Opening it says nothing about who it is: the caller compares
//! the start time *after* opening, and from then on the identity stands.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::model::Ending;

/// Linux 6.9; older kernels say EINVAL.
const PIDFD_SIGNAL_PROCESS_GROUP: libc::c_uint = 1 << 2;

/// An open pidfd.
#[derive(Debug)]
pub struct Pidfd {
    fd: OwnedFd,
    pid: i32,
}

impl Pidfd {
    /// Takes hold of a process; ESRCH when there is none with this pid.
    pub fn open(pid: i32) -> io::Result<Self> {
        // rustix takes a negative pid for a fault of its caller.
        let target = rustix::process::Pid::from_raw(pid.max(0)).ok_or(io::ErrorKind::InvalidInput)?;
        let fd = rustix::process::pidfd_open(target, rustix::process::PidfdFlags::empty())?;
        Ok(Self { fd, pid })
    }

    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// The process has ended, though nobody may have taken notice yet.
    pub fn has_ended(&self) -> bool {
        let mut fds = [PollFd::new(self.fd.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
    }

    /// Signals this process and no other; ESRCH when it has ended and been reaped.
    pub fn send(&self, signal: i32) -> io::Result<()> {
        self.send_flags(signal, 0)
    }

    /// Signals the process group that this process leads, also when it is a zombie. Only for a group we made.
    pub fn send_group(&self, signal: i32) -> io::Result<()> {
        match self.send_flags(signal, PIDFD_SIGNAL_PROCESS_GROUP) {
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                // A pid that still answers is not anybody else's, and so is the group of that number.
                self.send_flags(0, 0)?;
                // SAFETY: kill takes no pointers.
                check(unsafe { libc::kill(-self.pid, signal) }.into())
            }
            other => other,
        }
    }

    fn send_flags(&self, signal: i32, flags: libc::c_uint) -> io::Result<()> {
        let no_info = std::ptr::null::<libc::siginfo_t>();
        // SAFETY: the descriptor is open; a null siginfo asks for the same as kill gives.
        check(unsafe { libc::syscall(libc::SYS_pidfd_send_signal, self.fd.as_raw_fd(), signal, no_info, flags) })
    }

    /// How it ended, without taking it away; none while it runs and when it is not our child.
    pub fn ending(&self) -> Option<Ending> {
        self.wait(libc::WNOWAIT)
    }

    /// Takes a zombie away if it is one of ours.
    pub fn reap(&self) -> Option<Ending> {
        self.wait(0)
    }

    fn wait(&self, flags: i32) -> Option<Ending> {
        let id = libc::id_t::try_from(self.fd.as_raw_fd()).ok()?;
        super::reap::wait(libc::P_PIDFD, id, flags).ok()?.map(|(_, ending)| ending)
    }
}

impl AsFd for Pidfd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn check(result: libc::c_long) -> io::Result<()> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
