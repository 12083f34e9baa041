//! Ended children: how they ended, and away with them.
//!
//! watchd is the subreaper of what it starts: daemons that fork twice come back to it instead of to process 1. Each ended child is
//! shown to its owner *before* it is taken away, while its pid and its group cannot belong to anybody else.

use std::io;

use crate::model::Ending;

/// How many children one call takes away at most, so that a fork bomb of short lives cannot hold the turn.
const BATCH: usize = 256;

/// Makes orphans below us our children.
pub fn become_subreaper() -> io::Result<()> {
    Ok(nix::sys::prctl::set_child_subreaper(true)?)
}

/// Shows every ended child to `owner`, then takes it away. Gives whether there may be more.
pub fn drain(owner: &mut dyn FnMut(i32, Ending)) -> bool {
    for _ in 0..BATCH {
        let Ok(Some((pid, ending))) = wait(libc::P_ALL, 0, libc::WNOWAIT) else { return false };
        owner(pid, ending);
        let Ok(id) = libc::id_t::try_from(pid) else { return false };
        // The owner may have reaped it through its pidfd and started another: what runs is not touched by this.
        let _ = wait(libc::P_PID, id, 0);
    }
    true
}

/// One `waitid` for ended children that never blocks; none when none has ended, an error when there is none.
pub(super) fn wait(kind: libc::idtype_t, id: libc::id_t, flags: i32) -> io::Result<Option<(i32, Ending)>> {
    // SAFETY: siginfo_t is plain data for which zeros are valid.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    // SAFETY: `info` is a siginfo_t of ours that outlives the call.
    if unsafe { libc::waitid(kind, id, &raw mut info, libc::WEXITED | libc::WNOHANG | flags) } == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: waitid fills in the fields of SIGCHLD, or leaves the zeros when nothing has ended.
    let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
    if pid == 0 {
        return Ok(None);
    }
    let ending = if info.si_code == libc::CLD_EXITED { Ending::Exit(status) } else { Ending::Signal(status) };
    Ok(Some((pid, ending)))
}
