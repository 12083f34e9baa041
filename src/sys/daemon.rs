//! The daemon as another process meets it: is it there, end it, start one that outlives us.
//!
//! A process is named by pid and start time (field 22 of its stat file): `123 (a) Z 1) S 1 …`. Between the look and the signal
//! stands a pidfd, so that what is killed is what was looked at.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::process::{Pid, PidfdFlags, Signal};

use crate::model::Identity;

/// What the process table says about one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// `R S D T t Z X I`
    pub state: u8,
    pub start_ticks: u64,
}

impl Seen {
    /// Ended, and only waiting to be collected.
    pub fn is_over(self) -> bool {
        matches!(self.state, b'Z' | b'X')
    }

    /// Stopped by a signal: it neither works nor ends.
    pub fn is_stopped(self) -> bool {
        self.state == b'T'
    }
}

/// Looks a process up; none when there is no such process, or nothing that can be understood.
pub fn look(pid: i32) -> Option<Seen> {
    let mut text = [0; 1024];
    let mut file = File::open(format!("/proc/{pid}/stat")).ok()?;
    let read = super::files::read(&mut file, &mut text).ok()?;
    parse(text.get(..read)?)
}

/// Reads state and start time. The name may hold anything, so fields count from its last parenthesis.
fn parse(stat: &[u8]) -> Option<Seen> {
    let stat = std::str::from_utf8(stat.get(stat.iter().rposition(|byte| *byte == b')')? + 1..)?).ok()?;
    let mut fields = stat.strip_suffix('\n')?.split_ascii_whitespace();
    let state = *fields.next()?.as_bytes().first()?;
    Some(Seen { state, start_ticks: fields.nth(18)?.parse().ok()? })
}

/// What the kernel says of itself under a name: `osrelease`, `hostname`; empty when it does not.
pub fn kernel_fact(name: &str) -> String {
    let text = std::fs::read_to_string(format!("/proc/sys/kernel/{name}")).unwrap_or_default();
    text.trim_end().to_owned()
}

/// The running boot, as it stands in the header of the board.
pub fn boot_id() -> io::Result<[u8; 40]> {
    let mut id = [0; 40];
    let read = super::files::read(&mut File::open("/proc/sys/kernel/random/boot_id")?, &mut id)?;
    match id.get_mut(read.saturating_sub(1)) {
        Some(last) if *last == b'\n' && read == 37 => *last = 0,
        _ => return Err(io::ErrorKind::InvalidData.into()),
    }
    Ok(id)
}

/// Our own identity.
pub fn own_identity() -> Option<Identity> {
    let pid = i32::try_from(std::process::id()).ok()?;
    Some(Identity { pid, start_ticks: look(pid)?.start_ticks })
}

/// Kills exactly this process and waits for its end. False when it was gone already.
pub fn kill(identity: Identity, within: Duration) -> io::Result<bool> {
    let Some(pidfd) = open(identity.pid)? else { return Ok(false) };
    if look(identity.pid).is_none_or(|seen| seen.start_ticks != identity.start_ticks || seen.is_over()) {
        return Ok(false);
    }
    rustix::process::pidfd_send_signal(&pidfd, Signal::KILL)?;
    if has_ended(&pidfd, within)? { Ok(true) } else { Err(io::ErrorKind::TimedOut.into()) }
}

/// Waits for the end of a process, no longer than told.
pub fn has_ended(pidfd: &OwnedFd, within: Duration) -> io::Result<bool> {
    let timeout = PollTimeout::try_from(within).unwrap_or(PollTimeout::MAX);
    match poll(&mut [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)], timeout) {
        Ok(ready) => Ok(ready > 0),
        Err(nix::errno::Errno::EINTR) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

/// A descriptor for our own process.
pub fn open_self() -> io::Result<OwnedFd> {
    Ok(rustix::process::pidfd_open(rustix::process::getpid(), PidfdFlags::empty())?)
}

/// A descriptor for a process; none when there is no such process.
pub fn open(pid: i32) -> io::Result<Option<OwnedFd>> {
    let Some(pid) = Pid::from_raw(pid) else { return Ok(None) };
    match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
        Ok(pidfd) => Ok(Some(pidfd)),
        Err(rustix::io::Errno::SRCH) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// Starts a program in a session of its own, with nothing of ours but its arguments: it is no child of ours, has no terminal
/// and cannot get one, and writes its messages to `log` or nowhere. `env` is one variable more. Gives its pid.
pub fn start<S: AsRef<OsStr>>(program: &Path, args: &[S], env: (&str, &Path), log: Option<File>) -> io::Result<i32> {
    let (reader, writer) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)?;
    let mut command = Command::new(program);
    command.args(args).env(env.0, env.1).stdin(Stdio::null()).stdout(Stdio::null()).current_dir("/");
    command.stderr(log.map_or_else(Stdio::null, Stdio::from));
    let leave = move || {
        nix::unistd::setsid()?;
        // SAFETY: this is the child of a fork already; both sides go on with async-signal-safe calls only.
        match unsafe { nix::unistd::fork() }? {
            nix::unistd::ForkResult::Child => Ok(()),
            nix::unistd::ForkResult::Parent { child } => {
                let _ = nix::unistd::write(&writer, &child.as_raw().to_ne_bytes());
                // SAFETY: ends this process without running anything of its parent's.
                unsafe { libc::_exit(0) }
            }
        }
    };
    // SAFETY: `leave` calls setsid, fork, write and _exit, all async-signal-safe, and touches no lock and no heap.
    unsafe { command.pre_exec(leave) };
    let mut between = command.spawn()?;
    between.wait()?;
    drop(command);
    let mut pid = [0; 4];
    File::from(reader).read_exact(&mut pid)?;
    Ok(i32::from_ne_bytes(pid))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &[u8] =
        b"123 (a) Z 1) S 1 2 3 0 -1 4194560 5 6 7 8 9 10 11 12 20 0 1 0 4242 8192 100 18446744073709551615\n";

    #[test]
    fn a_name_full_of_parentheses_hides_nothing() {
        assert_eq!(parse(STAT), Some(Seen { state: b'S', start_ticks: 4242 }));
    }

    #[test]
    fn a_cut_stat_gives_no_identity() {
        for cut in 0..STAT.len() {
            assert_eq!(parse(&STAT[..cut]), None, "cut at {cut}");
        }
    }

    #[test]
    fn we_find_ourselves_and_nobody_behind_a_pid_that_cannot_be() {
        let own = own_identity().expect("we run");
        assert_eq!(look(own.pid).map(|seen| seen.start_ticks), Some(own.start_ticks));
        assert_eq!(look(i32::MAX), None);
        assert_eq!(boot_id().expect("there is a boot id")[36], 0);
    }

    #[test]
    fn a_stranger_with_the_same_pid_is_not_killed() {
        let mut child = Command::new("/bin/sleep").arg("60").spawn().expect("sleep starts");
        let pid = i32::try_from(child.id()).expect("a pid");
        let start_ticks = look(pid).expect("it runs").start_ticks;
        let within = Duration::from_secs(5);
        assert!(!kill(Identity { pid, start_ticks: start_ticks + 1 }, within).expect("nothing is done"));
        assert!(child.try_wait().expect("it can be asked").is_none(), "it still runs");
        assert!(kill(Identity { pid, start_ticks }, within).expect("it is killed"));
        child.wait().expect("it can be collected");
    }

    #[test]
    fn what_is_started_is_no_child_and_leads_no_session() {
        let env = ("A", Path::new("/b"));
        let pid = start(Path::new("/bin/sleep"), &["60"], env, None).expect("sleep starts");
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
        let parents: Vec<i32> =
            stat.rsplit_once(") ").expect("a stat").1.split(' ').skip(1).take(3).map(|n| n.parse().unwrap()).collect();
        assert_ne!(parents[0], i32::try_from(std::process::id()).unwrap(), "not our child");
        assert_ne!(parents[2], pid, "not the leader of its session, so it cannot get a terminal");
        let start_ticks = look(pid).expect("it runs").start_ticks;
        assert!(kill(Identity { pid, start_ticks }, Duration::from_secs(5)).expect("it is killed"));
        assert!(start(Path::new("/nonexistent/program"), &["x"], env, None).is_err());
    }
}
