//! Children of our own program: a fork that goes on in a function of ours, with a pipe back to the parent.
//!
//! watchd has one thread, so the child may do everything the parent could. It never returns into the parent's code.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;

use nix::fcntl::OFlag;
use nix::unistd::{ForkResult, Pid, fork};

/// A forked child, and the end of the pipe it writes to.
pub struct Helper {
    pub pid: i32,
    /// Non-blocking; end of file when the child is done.
    pub output: File,
}

impl Helper {
    /// Runs `work` in a child; what it writes arrives in `output`. The child ends when `work` does.
    pub fn start(work: impl FnOnce(&mut File)) -> io::Result<Self> {
        let (reader, writer) = nix::unistd::pipe2(OFlag::O_CLOEXEC)?;
        // SAFETY: one thread, so no lock can be held by somebody who is not there in the child.
        match unsafe { fork() }? {
            ForkResult::Parent { child } => {
                drop(writer);
                set_nonblocking(&reader)?;
                Ok(Self { pid: child.as_raw(), output: File::from(reader) })
            }
            ForkResult::Child => {
                drop(reader);
                die_with_parent();
                work(&mut File::from(writer));
                leave(0)
            }
        }
    }
}

/// Runs `work` in a child that ends with it; gives the child's pid.
pub fn split(work: impl FnOnce()) -> io::Result<i32> {
    // SAFETY: as above.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => Ok(child.as_raw()),
        ForkResult::Child => {
            work();
            leave(0)
        }
    }
}

/// Ends this process at once: no destructors, no buffers of the parent's written twice.
pub fn leave(code: i32) -> ! {
    // SAFETY: ends the process.
    unsafe { libc::_exit(code) }
}

/// Makes the kernel end this child when the parent ends, however it ends.
pub fn die_with_parent() {
    let _ = nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL);
}

/// Sends SIGKILL to a child that has not been reaped yet: its pid cannot have been used again.
pub fn kill_child(pid: i32) {
    let _ = nix::sys::signal::kill(Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
}

fn set_nonblocking(fd: &OwnedFd) -> io::Result<()> {
    nix::fcntl::fcntl(fd, nix::fcntl::FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    Ok(())
}
