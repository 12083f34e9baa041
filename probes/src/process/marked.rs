//! Which running processes bear a variable in the environment they were started with, `/proc/PID/environ`:
//! `PATH=/usr/bin\0WATCHD_SERVICE=5f2e31aa.web\0`.
//!
//! What a process hands on to its children stays with them over forks, sessions and new programs. It is a sign, not a proof: a
//! program may write over its environment or be started with a clean one, and not everybody may read it. Then there is none.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};

use super::stat::Stat;
use super::walk::{Step, Walk};
use crate::path::Path;
use crate::{Fault, Look};

/// So much of an environment is held at once; a longer variable is passed over.
const ROOM: usize = 4 << 10;

/// Gives every running process that is wanted, with what stands behind `key` (`NAME=`) in its environment. This very process,
/// zombies and threads of the kernel are nobody's.
pub fn marked(
    look: &mut Look<'_>,
    key: &[u8],
    is_wanted: &dyn Fn(&Stat) -> bool,
    give: &mut dyn FnMut(&Stat, Option<&[u8]>),
) -> Result<(), Fault> {
    let own = i32::try_from(std::process::id()).ok();
    let mut walk = Walk::default();
    let mut visit = |proc: BorrowedFd<'_>, pid: i32| {
        let Some(stat) = Stat::read_at(proc, pid).filter(|_| Some(pid) != own) else { return };
        if stat.is_kernel_thread() || stat.is_zombie() || !is_wanted(&stat) {
            return;
        }
        let mut text = [0; ROOM];
        let found = environment(proc, pid).and_then(|file| variable(&file, key, &mut text));
        give(&stat, found);
    };
    while walk.step(look.host, &mut visit)? == Step::More {}
    Ok(())
}

fn environment(proc: impl AsFd, pid: i32) -> Option<OwnedFd> {
    let path = Path::new("").number(pid).text(b"/environ");
    rustix::fs::openat(proc, path.bytes(), OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY, Mode::empty()).ok()
}

/// What stands behind the key; only of a variable that has its end.
fn variable<'t>(file: &OwnedFd, key: &[u8], text: &'t mut [u8; ROOM]) -> Option<&'t [u8]> {
    let (mut kept, mut offset, mut is_rest) = (0, 0, false);
    loop {
        let read =
            rustix::io::retry_on_intr(|| rustix::io::pread(file, text.get_mut(kept..).unwrap_or_default(), offset));
        let read = read.ok().filter(|read| *read > 0)?;
        offset += read as u64;
        let (filled, mut start) = (kept + read, 0);
        while let Some(len) = text.get(start..filled)?.iter().position(|byte| *byte == 0) {
            let end = start + len;
            if !is_rest && text.get(start..end)?.starts_with(key) {
                return text.get(start + key.len()..end);
            }
            (start, is_rest) = (end + 1, false);
        }
        if start == 0 && filled == ROOM {
            // Longer than all the room: the rest of it follows.
            (kept, is_rest) = (0, true);
        } else {
            text.copy_within(start..filled, 0);
            kept = filled - start;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Buffer, Host, Now};
    use std::io::Write;

    fn found(bytes: &[u8]) -> Option<Vec<u8>> {
        let path =
            std::env::temp_dir().join(format!("environ-{}-{:?}", std::process::id(), std::thread::current().id()));
        let mut file = std::fs::File::create(&path).expect("a file can be made");
        file.write_all(bytes).expect("it can be written");
        let file = std::fs::File::open(&path).expect("it is there");
        std::fs::remove_file(&path).expect("it is ours");
        variable(&file.into(), b"MARK=", &mut [0; ROOM]).map(<[u8]>::to_vec)
    }

    #[test]
    fn a_variable_is_found_wherever_it_stands_and_only_whole() {
        let long = [b'x'; 3 * ROOM];
        for (claim, parts, expect) in [
            ("alone", &[&b"MARK=a.web\0"[..]][..], Some("a.web")),
            ("the last", &[b"A=1\0B=\0MARK=\0"], Some("")),
            ("without its end", &[b"A=1\0MARK=web"], None),
            ("another that ends alike", &[b"NOMARK=web\0"], None),
            ("in the value of another", &[b"A=MARK=web\0"], None),
            ("nothing", &[b""], None),
            ("bytes that are no text", &[b"\xff\xfe\0\0\0MARK=web\0"], Some("web")),
            ("behind one that is longer than the room", &[b"A=", &long, b"\0MARK=web\0"], Some("web")),
            ("in one that is longer than the room", &[&long[..ROOM], b"MARK=web\0B=2\0"], None),
            ("itself too long", &[b"MARK=", &long, b"\0"], None),
            ("over the edge of the room", &[&long[..ROOM - 4], b"\0MARK=web\0"], Some("web")),
        ] {
            assert_eq!(found(&parts.concat()).as_deref(), expect.map(str::as_bytes), "{claim}");
        }
        let whole = b"A=1\0MARK=a.web\0";
        for cut in 0..whole.len() {
            assert_eq!(found(&whole[..cut]), None, "cut at {cut}");
        }
    }

    #[test]
    fn a_child_is_known_by_what_it_was_started_with() {
        let mut child = std::process::Command::new("cat")
            .env("WATCHD_TEST_MARK", "here")
            .stdin(std::process::Stdio::piped())
            .spawn()
            .expect("cat can be run");
        let pid = i32::try_from(child.id()).expect("a pid is small");
        let host = Host::open(std::path::Path::new("/")).expect("there is a root");
        let mut buffer = Buffer::default();
        let mut look = Look { host: &host, buffer: &mut buffer, now: Now::default() };
        let mut seen = Vec::new();
        let is_wanted = |stat: &Stat| stat.pid == pid || stat.pid == 1;
        let mut give = |stat: &Stat, mark: Option<&[u8]>| seen.push((stat.pid, mark == Some(b"here")));
        marked(&mut look, b"WATCHD_TEST_MARK=", &is_wanted, &mut give).expect("readable");
        seen.sort_unstable();
        assert_eq!(seen, [(1, false), (pid, true)]);
        drop(child.stdin.take());
        child.wait().expect("cat ends with its input");
    }
}
