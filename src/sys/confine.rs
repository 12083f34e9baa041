//! Gives up everything a process does not need: descriptors, file system, account, capabilities, room to grow.
//!
//! For the door, which strangers talk to. What is given up here cannot be had back, not even by code that
//! somebody else has put into the process.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::Path;

use nix::sys::resource::{Resource, setrlimit};
use nix::unistd::{Gid, Uid, chdir, chroot, setgroups, setresgid, setresuid};

/// What a confined process keeps.
pub struct Cell<'a> {
    /// Descriptors besides standard error.
    pub keep: &'a [BorrowedFd<'a>],
    /// The account to become; only root can, so none when we are not.
    pub account: Option<(u32, u32)>,
    /// An empty directory that becomes the whole file system; only root can do that.
    pub root: Option<&'a Path>,
    /// How many descriptors it may have open.
    pub descriptors: u64,
}

/// Enters the cell. After an error the process must end: it may have given up only some of it.
pub fn enter(cell: &Cell<'_>) -> io::Result<()> {
    // The owner's wish that core is spared by the out-of-memory killer is not for the door. Fails where it was not set either.
    let _ = std::fs::write("/proc/self/oom_score_adj", "0");
    close_all_but(cell.keep);
    if let Some(root) = cell.root {
        chroot(root)?;
        chdir("/")?;
    }
    if let Some((uid, gid)) = cell.account {
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
        setgroups(&[])?;
        setresgid(gid, gid, gid)?;
        setresuid(uid, uid, uid)?;
    }
    nix::sys::prctl::set_no_new_privs()?;
    nix::sys::prctl::set_dumpable(false)?;
    setrlimit(Resource::RLIMIT_NOFILE, cell.descriptors, cell.descriptors)?;
    for none in [Resource::RLIMIT_NPROC, Resource::RLIMIT_FSIZE, Resource::RLIMIT_CORE] {
        setrlimit(none, 0, 0)?;
    }
    Ok(())
}

/// Closes every descriptor above standard error that is not on the list.
fn close_all_but(keep: &[BorrowedFd<'_>]) {
    let mut kept: heapless::Vec<libc::c_uint, 64> = heapless::Vec::new();
    let _ = kept.push(2);
    for fd in keep {
        let _ = kept.push(libc::c_uint::try_from(fd.as_raw_fd()).unwrap_or(0));
    }
    kept.sort_unstable();
    let mut first = 0;
    for fd in kept {
        if fd > first {
            close_range(first, fd - 1);
        }
        first = fd + 1;
    }
    close_range(first, libc::c_uint::MAX);
}

fn close_range(first: libc::c_uint, last: libc::c_uint) {
    // SAFETY: the caller is a child that never runs the destructors of the values that own these descriptors.
    if unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) } == 0 {
        return;
    }
    // Linux before 5.9.
    let (_, limit) = nix::sys::resource::getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((0, 1024));
    let last = last.min(libc::c_uint::try_from(limit.min(1 << 16)).unwrap_or(1024));
    for fd in first..=last {
        // SAFETY: as above.
        unsafe { libc::close(libc::c_int::try_from(fd).unwrap_or(-1)) };
    }
}
