//! Children of our own program: a fork that goes on in a function of ours, with a pipe back to the parent.
//!
//! watchd has one thread, so the child may do everything the parent could. It never returns into the parent's code, not even by a
//! panic that unwinds.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::fcntl::OFlag;
use nix::unistd::{ForkResult, Pid, fork};

use super::drop::{close_others, forget_signals};

/// A forked child, and the end of the pipe it writes to.
pub struct Helper {
    pub pid: i32,
    /// Non-blocking; end of file when the child is done.
    pub output: File,
}

impl Helper {
    /// Runs `work` in a child; what it writes arrives in `output`. The child ends when `work` does. It has no descriptor of ours but
    /// those of `keep`: a child that a dead file server holds for days must not hold our lock, our sockets or our clients as well.
    pub fn start(keep: &[BorrowedFd<'_>], work: impl FnOnce(&mut File)) -> io::Result<Self> {
        let (reader, writer) = nix::unistd::pipe2(OFlag::O_CLOEXEC)?;
        // SAFETY: one thread, so no lock can be held by somebody who is not there in the child.
        match unsafe { fork() }? {
            ForkResult::Parent { child } => {
                drop(writer);
                set_nonblocking(&reader)?;
                Ok(Self { pid: child.as_raw(), output: File::from(reader) })
            }
            ForkResult::Child => {
                let _end = NoReturn;
                die_with_parent();
                let kept: Vec<_> = keep.iter().copied().chain([writer.as_fd()]).collect();
                if forget_signals().and_then(|()| close_others(&kept)).is_ok() {
                    std::mem::forget(reader);
                    work(&mut File::from(writer));
                }
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
            let _end = NoReturn;
            work();
            leave(0)
        }
    }
}

/// Ends the child where a panic would unwind into what belongs to the parent: its locks, its files, its services.
struct NoReturn;

impl Drop for NoReturn {
    fn drop(&mut self) {
        leave(70)
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

/// The same, and waits until it is gone: for a child that is done with everything that could hold it in the kernel.
pub fn end_child(pid: i32) {
    kill_child(pid);
    let _ = nix::sys::wait::waitpid(Pid::from_raw(pid), None);
}

fn set_nonblocking(fd: &OwnedFd) -> io::Result<()> {
    nix::fcntl::fcntl(fd, nix::fcntl::FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::fd::AsRawFd;

    /// What a helper says, once it has ended.
    fn said(helper: Helper) -> String {
        nix::sys::wait::waitpid(Pid::from_raw(helper.pid), None).expect("it was our child");
        let (mut output, mut text) = (helper.output, String::new());
        output.read_to_string(&mut text).expect("it is text");
        text
    }

    #[test]
    fn a_helper_has_no_descriptor_of_ours_but_those_it_is_lent() {
        use std::io::Write;
        let lock = File::open("/").expect("it opens");
        let lent = File::open("/dev/null").expect("it opens");
        let open = |fd: i32| std::fs::read_link(format!("/proc/self/fd/{fd}")).is_ok();
        let numbers = (lock.as_raw_fd(), lent.as_raw_fd());
        let helper = Helper::start(&[lent.as_fd()], |output| {
            let _ = write!(output, "{} {}", open(numbers.0), open(numbers.1));
        });
        assert_eq!(said(helper.expect("it starts")), "false true");
    }

    #[test]
    fn a_panic_in_a_child_ends_the_child_alone() {
        let pid = split(|| std::panic::resume_unwind(Box::new(()))).expect("it starts");
        let end = nix::sys::wait::waitpid(Pid::from_raw(pid), None).expect("it was our child");
        assert_eq!(end, nix::sys::wait::WaitStatus::Exited(Pid::from_raw(pid), 70));
    }
}
