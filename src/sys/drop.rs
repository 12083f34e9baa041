//! Giving up what a process of ours does not need: descriptors, privileges, the file system, and the means to get them back.
//!
//! For a child that faces the network. Steps that an ordinary user cannot take (groups, accounts, chroot) are taken when we are root
//! and skipped when not; everything else must succeed.

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::Path;

use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::unistd::{Gid, Uid};

/// Standard input, output and error stay: a panic has to go somewhere.
const STANDARD: i32 = 2;

/// Closes every descriptor but those of `keep` and the standard ones. What the parent's objects in this process own is closed
/// behind their backs: the caller must never return to code that uses or drops them.
pub fn close_others(keep: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut keep: Vec<i32> = keep.iter().map(AsRawFd::as_raw_fd).filter(|fd| *fd > STANDARD).collect();
    keep.sort_unstable();
    let mut first = STANDARD + 1;
    for fd in keep {
        close_range(first, fd - 1)?;
        first = fd + 1;
    }
    close_range(first, i32::MAX)
}

fn close_range(first: i32, last: i32) -> io::Result<()> {
    if first > last {
        return Ok(());
    }
    // SAFETY: only closes descriptors; the caller has promised that nothing of ours uses them any more.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Signals do what they do by themselves again; those of the terminal and of reloading are the parent's business and ignored.
/// Handlers left from the parent would write into descriptors that mean something else by now.
pub fn forget_signals() -> io::Result<()> {
    let action = |handler| SigAction::new(handler, SaFlags::empty(), SigSet::empty());
    for (signal, handler) in [
        (Signal::SIGTERM, SigHandler::SigDfl),
        (Signal::SIGCHLD, SigHandler::SigDfl),
        (Signal::SIGHUP, SigHandler::SigIgn),
        (Signal::SIGINT, SigHandler::SigIgn),
        (Signal::SIGUSR2, SigHandler::SigIgn),
        (Signal::SIGPIPE, SigHandler::SigIgn),
    ] {
        // SAFETY: neither handler is code of ours.
        unsafe { sigaction(signal, &action(handler)) }?;
    }
    SigSet::all().thread_unblock()?;
    Ok(())
}

/// Root becomes an account for good, with the groups it has.
pub fn become_account(uid: u32, gid: u32, groups: &[u32]) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    let groups: Vec<Gid> = groups.iter().copied().map(Gid::from_raw).collect();
    nix::unistd::setgroups(&groups)?;
    nix::unistd::setresgid(gid, gid, gid)?;
    nix::unistd::setresuid(uid, uid, uid)?;
    super::capabilities::drop_all()?;
    // The change took /proc/self from us, by which a file is opened once more and this program begins anew.
    prctl::set_dumpable(true)?;
    Ok(())
}

/// Whether a file was opened for reading alone: what is mapped from any other can be made writable again.
pub fn is_read_only(file: &File) -> io::Result<bool> {
    let flags = nix::fcntl::fcntl(file, nix::fcntl::FcntlArg::F_GETFL)?;
    Ok(flags & libc::O_ACCMODE == libc::O_RDONLY)
}

/// What stays allowed.
#[derive(Clone, Copy, Debug)]
pub struct Bounds<'a> {
    /// What the process is called from now on.
    pub name: &'a CStr,
    /// The account to become, when we are root.
    pub user: Option<(u32, u32)>,
    /// An empty directory to be shut in, when we are root.
    pub root: Option<&'a Path>,
    /// Open descriptors.
    pub files: u64,
    /// Bytes of memory of its own.
    pub memory: u64,
}

/// Gives everything else up. From here on this process cannot open a file of the host, write one, start a process, or become
/// somebody else; and it ends with `parent`.
pub fn privileges(bounds: Bounds<'_>, parent: i32) -> io::Result<()> {
    // Ours to give: the daemon is exempt from the kernel's choice of victims, its child is not. Absent in some containers.
    let _ = std::fs::write("/proc/self/oom_score_adj", "0");
    if Uid::effective().is_root() {
        if let Some(root) = bounds.root {
            nix::unistd::chroot(root)?;
            nix::unistd::chdir("/")?;
        }
        if let Some((uid, gid)) = bounds.user {
            let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
            nix::unistd::setgroups(&[])?;
            nix::unistd::setresgid(gid, gid, gid)?;
            nix::unistd::setresuid(uid, uid, uid)?;
        }
    }
    // An account that is root by whatever name would keep them.
    super::capabilities::drop_all()?;
    // After the change of account, which clears it.
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    if nix::unistd::getppid().as_raw() != parent {
        return Err(io::Error::other("the parent has ended"));
    }
    // So that `ps` and `top` tell the two apart.
    prctl::set_name(bounds.name)?;
    prctl::set_no_new_privs()?;
    prctl::set_dumpable(false)?;
    setrlimit(Resource::RLIMIT_NOFILE, bounds.files, bounds.files)?;
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    setrlimit(Resource::RLIMIT_FSIZE, 0, 0)?;
    setrlimit(Resource::RLIMIT_NPROC, 0, 0)?;
    setrlimit(Resource::RLIMIT_DATA, bounds.memory, bounds.memory)?;
    Ok(())
}
