//! All processes with their whole command lines: for those who count them.
//!
//! Kernel threads are left out. Reading a command line takes the lock of that process' memory and may wait as long as whoever
//! holds it, so a survey belongs into a child with a deadline. It costs about 30 µs per process.

use std::os::fd::BorrowedFd;

use rustix::io::Errno;

use super::find::{is_program, is_short_name};
use super::stat::{STAT_ROOM, Stat};
use super::walk::{Step, Walk};
use crate::host::read_small_at;
use crate::path::Path;
use crate::{Fault, Fields, Look, lines};

/// What is read of a command line; the rest of a longer one is not looked at.
const COMMAND: usize = 32 << 10;

/// Always there, and seen by everybody who can see all.
const FIRST: i32 = 1;

/// One process of a survey.
pub struct Seen<'a> {
    pub stat: Stat,
    /// Its arguments, each with a NUL behind it; empty for a zombie.
    pub command: &'a [u8],
    proc: BorrowedFd<'a>,
}

impl Seen<'_> {
    /// Whether its program has this name: the first argument, whole or its last part, or the kernel's short name.
    pub fn is_called(&self, name: &[u8]) -> bool {
        let run = self.command.split(|byte| *byte == 0).next().filter(|run| !run.is_empty());
        is_short_name(self.stat.comm.as_bytes(), name) || run.is_some_and(|run| is_program(run, name))
    }

    /// The account whose rights it has; none when it has gone or cannot be read.
    pub fn uid(&self) -> Option<u32> {
        let mut text = [0; 4096];
        let path = Path::new("").number(self.stat.pid).text(b"/status");
        effective_uid(read_small_at(self.proc, path.bytes(), &mut text).ok()?)
    }
}

/// The second number of `Uid:\t0\t1000\t0\t1000`.
fn effective_uid(text: &[u8]) -> Option<u32> {
    let line = lines(text).find_map(|(_, line)| line.strip_prefix(b"Uid:"))?;
    let mut fields = Fields::new(line);
    fields.number()?;
    u32::try_from(fields.number()?).ok()
}

/// Gives every process but kernel threads. The number of those that exist and cannot be read comes back: with one of them
/// nobody can tell how many processes there are of any kind.
pub fn survey(look: &mut Look<'_>, give: &mut dyn FnMut(&Seen<'_>)) -> Result<u32, Fault> {
    let (mut walk, mut hidden, mut has_first) = (Walk::default(), 0, false);
    let mut room = vec![0; COMMAND + 1];
    let mut visit = |proc: BorrowedFd<'_>, pid: i32| {
        has_first |= pid == FIRST;
        match read(proc, pid, &mut room) {
            Ok(Some((stat, len))) => give(&Seen { stat, command: room.get(..len).unwrap_or_default(), proc }),
            // A thread of the kernel, or gone since the directory was read.
            Ok(None) | Err(Errno::NOENT | Errno::SRCH) => {}
            Err(_) => hidden += 1,
        }
    };
    while walk.step(look.host, &mut visit)? == Step::More {}
    // With hidepid=2 the processes of others are not even listed.
    Ok(hidden + u32::from(!has_first))
}

fn read(proc: BorrowedFd<'_>, pid: i32, room: &mut [u8]) -> Result<Option<(Stat, usize)>, Errno> {
    let mut text = [0; STAT_ROOM];
    let path = Path::new("").number(pid).text(b"/stat");
    let stat = Stat::parse(read_small_at(proc, path.bytes(), &mut text)?).ok_or(Errno::INVAL)?;
    if stat.is_kernel_thread() {
        return Ok(None);
    }
    let path = Path::new("").number(pid).text(b"/cmdline");
    let len = match read_small_at(proc, path.bytes(), room) {
        Ok(command) => command.len(),
        Err(Errno::FBIG) => room.len(),
        // A fixture need not have one, and a zombie has none to read.
        Err(Errno::NOENT) => 0,
        Err(errno) => return Err(errno),
    };
    Ok(Some((stat, len)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trial::fixture;
    use crate::{Buffer, Host, Now};

    fn surveyed(root: &std::path::Path, take: &mut dyn FnMut(&Seen<'_>)) -> u32 {
        let host = Host::open(root).expect("the root is there");
        let mut buffer = Buffer::default();
        survey(&mut Look { host: &host, buffer: &mut buffer, now: Now::default() }, take).expect("readable")
    }

    #[test]
    fn all_are_seen_but_threads_of_the_kernel() {
        let (mut count, mut named) = (0, Vec::new());
        let hidden = surveyed(&fixture("big"), &mut |seen| {
            count += 1;
            assert!(!seen.stat.is_kernel_thread());
            if seen.is_called(b"java") || seen.is_called(b"sshd") {
                named.push(seen.stat.pid);
            }
        });
        named.sort_unstable();
        assert_eq!((count, hidden, named), (26, 0, vec![200, 201, 202, 203, 300]));
    }

    #[test]
    fn what_cannot_be_read_is_counted_and_init_has_to_be_there() {
        use std::os::unix::fs::PermissionsExt;
        let dir = std::env::temp_dir().join(format!("watchd-survey-{}", std::process::id()));
        let proc = dir.join("proc");
        let put = |pid: i32, text: &str| {
            let one = proc.join(pid.to_string());
            std::fs::create_dir_all(&one).expect("a directory can be made");
            std::fs::write(one.join("stat"), text).expect("it can be written");
        };
        let stat = |pid: i32| format!("{pid} (a) S {}\n", "0 ".repeat(49).trim_end());
        put(7, &stat(7));
        assert_eq!(surveyed(&dir, &mut |_| {}), 1, "without init the processes of others are hidden");
        put(1, &stat(1));
        assert_eq!(surveyed(&dir, &mut |_| {}), 0);
        put(8, "8 (a) S cut off");
        assert_eq!(surveyed(&dir, &mut |_| {}), 1, "a text that is no process");
        std::fs::set_permissions(proc.join("7"), std::fs::Permissions::from_mode(0o000)).expect("it is ours");
        let expect = if rustix::process::geteuid().is_root() { 1 } else { 2 };
        assert_eq!(surveyed(&dir, &mut |_| {}), expect);
        std::fs::set_permissions(proc.join("7"), std::fs::Permissions::from_mode(0o755)).expect("it is ours");
        std::fs::remove_dir_all(&dir).expect("it is ours");
    }

    #[test]
    fn the_account_is_the_one_whose_rights_it_has() {
        for (text, expect) in [
            ("Name:\tUid: 5\nUid:\t1000\t0\t0\t0\nGid:\t1\n", Some(0)),
            ("Uid:\t0\t33\t0\t0\n", Some(33)),
            ("Uid:\t0\t", None),
            ("Uid:\t0\t33", None),
            ("", None),
        ] {
            assert_eq!(effective_uid(text.as_bytes()), expect, "{text:?}");
        }
    }
}
