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

/// Linux 6.15: asks what is kept of a process, also when it was not our child. Older kernels say ENOTTY or leave the bit out.
const PIDFD_GET_INFO: libc::c_ulong = 0xc040_ff0b;
const PIDFD_INFO_EXIT: u64 = 1 << 3;

/// The first version of the kernel's `struct pidfd_info`.
#[repr(C)]
#[derive(Default)]
struct Info {
    mask: u64,
    cgroup: u64,
    /// Pid, thread group, parent, eight accounts.
    numbers: [u32; 11],
    exit_code: i32,
}

const _: () = assert!(size_of::<Info>() == 64);

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

    /// How it ended, without taking it away; none while it runs. Of a process that is not our child it is known once its
    /// parent has taken notice, on Linux 6.15 and newer; before that, none.
    pub fn ending(&self) -> Option<Ending> {
        self.wait(libc::WNOWAIT).or_else(|| self.obituary())
    }

    fn obituary(&self) -> Option<Ending> {
        let mut info = Info { mask: PIDFD_INFO_EXIT, ..Info::default() };
        // SAFETY: the number names the size of `info`, which is what the kernel writes at most.
        check(unsafe { libc::ioctl(self.fd.as_raw_fd(), PIDFD_GET_INFO as _, &raw mut info) }.into()).ok()?;
        (info.mask & PIDFD_INFO_EXIT != 0).then(|| ending_of(info.exit_code))
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

/// A wait status as the kernel keeps it.
fn ending_of(status: i32) -> Ending {
    if libc::WIFSIGNALED(status) {
        Ending::Signal(libc::WTERMSIG(status))
    } else {
        Ending::Exit(libc::WEXITSTATUS(status))
    }
}

fn check(result: libc::c_long) -> io::Result<()> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    #[test]
    fn a_wait_status_is_told_as_people_say_it() {
        for (status, expect) in
            [(0, Ending::Exit(0)), (0x700, Ending::Exit(7)), (9, Ending::Signal(9)), (0x8b, Ending::Signal(11))]
        {
            assert_eq!(ending_of(status), expect);
        }
    }

    /// The kernel keeps what became of a process that somebody else waited for.
    #[test]
    fn how_a_stranger_ended_is_known_once_its_parent_knows() {
        let mut shell = Command::new("sh")
            .args(["-c", "sleep 1000 & echo $!; wait"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell can be started");
        let mut line = String::new();
        BufReader::new(shell.stdout.take().expect("it is piped")).read_line(&mut line).expect("it says a pid");
        let stranger = Pidfd::open(line.trim().parse().expect("a number")).expect("it runs");
        assert_eq!(stranger.ending(), None);
        stranger.send(libc::SIGKILL).expect("it runs");
        shell.wait().expect("it is our child");
        let end = Instant::now() + Duration::from_secs(5);
        while stranger.ending().is_none() && Instant::now() < end {
            let mut fds = [PollFd::new(stranger.as_fd(), PollFlags::POLLIN)];
            let _ = poll(&mut fds, PollTimeout::from(5u8));
        }
        match stranger.ending() {
            None => eprintln!("SKIPPED: this kernel is older than 6.15"),
            ending => assert_eq!(ending, Some(Ending::Signal(libc::SIGKILL))),
        }
    }
}
