//! Finds running processes by name: the daemons that are watched without a pidfile.
//!
//! A name matches what was run: the first argument, whole or its last path component, or the kernel's short name (15
//! bytes at most), which a daemon that rewrites its arguments keeps. Kernel threads, zombies and this very process
//! never match, whatever they are called. One pass costs about 20 µs per process: not for every turn.

use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{AtFlags, Mode, OFlags};

use super::stat::Stat;
use super::walk::{Step, Walk};
use crate::path::Path;
use crate::{Fault, Look};

/// What to look for.
#[derive(Clone, Copy, Debug)]
pub struct Pattern<'a> {
    /// `sshd` or `/usr/sbin/sshd`.
    pub name: &'a [u8],
    /// Only processes that run as this user.
    pub uid: Option<u32>,
}

/// How much of a command line is read: a longer first argument is not matched by path.
const COMMAND: usize = 512;

/// The kernel cuts short names to this length.
const SHORT_NAME: usize = 15;

/// Gives every process that matches, in the order of /proc.
pub fn find(look: &mut Look<'_>, pattern: &Pattern<'_>, give: &mut dyn FnMut(Stat)) -> Result<(), Fault> {
    let own = i32::try_from(std::process::id()).ok();
    let mut walk = Walk::default();
    let mut visit = |proc: BorrowedFd<'_>, pid: i32| {
        if Some(pid) == own {
            return;
        }
        if let Some(stat) = Stat::read_at(proc, pid).filter(|stat| matches(proc, stat, pattern)) {
            give(stat);
        }
    };
    while walk.step(look.host, &mut visit)? == Step::More {}
    Ok(())
}

fn matches(proc: BorrowedFd<'_>, stat: &Stat, pattern: &Pattern<'_>) -> bool {
    !stat.is_kernel_thread()
        && !stat.is_zombie()
        && !pattern.name.is_empty()
        && (is_short_name(stat.comm.as_bytes(), pattern.name) || is_command(proc, stat.pid, pattern.name))
        && pattern.uid.is_none_or(|uid| uid_of(proc, stat.pid) == Some(uid))
}

pub(super) fn is_short_name(comm: &[u8], name: &[u8]) -> bool {
    comm == name || (comm.len() == SHORT_NAME && name.get(..SHORT_NAME) == Some(comm) && !name.contains(&b'/'))
}

fn is_command(proc: BorrowedFd<'_>, pid: i32, name: &[u8]) -> bool {
    let mut text = [0; COMMAND];
    let path = Path::new("").number(pid).text(b"/cmdline");
    first_argument(proc, path.bytes(), &mut text).is_some_and(|run| is_program(run, name))
}

/// Whether what was run has this name, with or without its directory.
pub(super) fn is_program(run: &[u8], name: &[u8]) -> bool {
    run == name || run.rsplit(|byte| *byte == b'/').next() == Some(name)
}

/// The text before the first NUL; none when it is empty or longer than the room for it.
fn first_argument<'t>(proc: BorrowedFd<'_>, path: &[u8], text: &'t mut [u8]) -> Option<&'t [u8]> {
    let file = rustix::fs::openat(proc, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let read = rustix::io::retry_on_intr(|| rustix::io::read(&file, &mut *text)).ok()?;
    let text = text.get(..read)?;
    let end = text.iter().position(|byte| *byte == 0)?;
    text.get(..end).filter(|argument| !argument.is_empty())
}

/// The user a process runs as: the owner of its directory.
fn uid_of(proc: impl AsFd, pid: i32) -> Option<u32> {
    let path = Path::new("").number(pid);
    rustix::fs::statat(proc, path.bytes(), AtFlags::SYMLINK_NOFOLLOW).ok().map(|stat| stat.st_uid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trial::fixture;
    use crate::{Buffer, Host, Now};

    fn found(root: &std::path::Path, name: &str, uid: Option<u32>) -> Vec<i32> {
        let host = Host::open(root).expect("the root is there");
        let mut buffer = Buffer::default();
        let mut look = Look { host: &host, buffer: &mut buffer, now: Now::default() };
        let mut pids = Vec::new();
        let pattern = Pattern { name: name.as_bytes(), uid };
        find(&mut look, &pattern, &mut |stat| pids.push(stat.pid)).expect("readable");
        pids.sort_unstable();
        pids
    }

    #[test]
    fn a_process_is_found_by_what_was_run() {
        let root = fixture("big");
        for (name, expect) in [
            ("sshd", vec![200, 201, 202, 203]),
            ("java", vec![300]),
            ("/usr/bin/java", vec![300]),
            ("backup job", vec![301]),
            ("x (y) z)", vec![306]),
            ("ssh", vec![]),
            ("", vec![]),
            ("bin/java", vec![]),
        ] {
            assert_eq!(found(&root, name, None), expect, "{name}");
        }
    }

    #[test]
    fn kernel_threads_and_zombies_never_match() {
        for name in ["kthreadd", "rcu_gp", "defunct"] {
            assert_eq!(found(&fixture("big"), name, None), [], "{name}");
        }
    }

    #[test]
    fn the_short_name_stands_for_a_longer_one_it_was_cut_from() {
        for (comm, name, expect) in [
            ("systemd-resolve", "systemd-resolved", true),
            ("systemd-resolve", "systemd-resolve", true),
            ("systemd-resolve", "systemd-resolxed", false),
            ("sshd", "sshd-session", false),
        ] {
            assert_eq!(is_short_name(comm.as_bytes(), name.as_bytes()), expect, "{comm} {name}");
        }
    }

    #[test]
    fn a_child_is_found_by_user_and_we_ourselves_are_not() {
        let mut child =
            std::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn().expect("cat can be run");
        let pid = i32::try_from(child.id()).expect("a pid is small");
        let root = std::path::Path::new("/");
        let own = rustix::fs::stat("/proc/self").expect("we exist").st_uid;
        assert!(found(root, "cat", Some(own)).contains(&pid));
        assert!(!found(root, "cat", Some(own + 1)).contains(&pid));
        let us = std::fs::read_to_string("/proc/self/comm").expect("we have a name");
        let our_pid = i32::try_from(std::process::id()).expect("a pid is small");
        assert!(!found(root, us.trim_end(), None).contains(&our_pid));
        drop(child.stdin.take());
        child.wait().expect("cat ends with its input");
    }
}
