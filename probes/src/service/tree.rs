//! The processes below one: /proc/PID/task/TID/children of every thread, `201 202 `, followed down.
//!
//! A kernel without that file (CONFIG_PROC_CHILDREN) leaves the root alone. Children that were adopted by another
//! process, as daemons that fork twice are, are not below the root any more.

use std::mem::MaybeUninit;

use rustix::fs::{Mode, OFlags, RawDir};

use crate::path::Path;
use crate::process::{Stat, pid_of, stat};
use crate::{Fields, Host, Look};

/// A process, told from a later one with the same pid by when it started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub pid: i32,
    pub start_ticks: u64,
}

impl Member {
    pub fn is(&self, stat: &Stat) -> bool {
        self.pid == stat.pid && self.start_ticks == stat.start_ticks
    }
}

/// The largest tree that is followed.
const MEMBERS: usize = 4096;

/// Finds the root and all below it, the root first. The list is empty when the root is not the process it was.
pub(crate) fn gather(look: &mut Look<'_>, root: Member, members: &mut Vec<Member>) {
    members.clear();
    let Some(first) = stat(look, root.pid).ok().filter(|stat| root.is(stat)) else { return };
    members.push(root);
    let mut threads = first.threads;
    let mut next = 0;
    while let Some(parent) = members.get(next).copied() {
        let known = members.len();
        each_child(look.host, parent.pid, threads, &mut |pid| {
            if members.len() < MEMBERS {
                members.push(Member { pid, start_ticks: 0 });
            }
        });
        // A child's start time is taken when it is found; a child that is gone by then is dropped.
        let mut place = known;
        while let Some(child) = members.get_mut(place) {
            match stat(look, child.pid) {
                Ok(found) if found.ppid == parent.pid => {
                    child.start_ticks = found.start_ticks;
                    place += 1;
                }
                _ => {
                    members.swap_remove(place);
                }
            }
        }
        next += 1;
        threads = members
            .get(next)
            .and_then(|member| stat(look, member.pid).ok().filter(|stat| member.is(stat)))
            .map_or(0, |stat| stat.threads);
    }
}

fn each_child(host: &Host, pid: i32, threads: u64, give: &mut dyn FnMut(i32)) {
    match threads {
        0 => {}
        1 => each_child_of_thread(host, pid, pid, give),
        _ => each_thread(host, pid, &mut |thread| each_child_of_thread(host, pid, thread, give)),
    }
}

fn each_thread(host: &Host, pid: i32, give: &mut dyn FnMut(i32)) {
    let path = Path::new("proc/").number(pid).text(b"/task");
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let Ok(dir) = rustix::fs::openat(host.root(), path.bytes(), flags, Mode::empty()) else { return };
    let mut chunk = [MaybeUninit::uninit(); 2048];
    let mut entries = RawDir::new(&dir, &mut chunk);
    while let Some(Ok(entry)) = entries.next() {
        if let Some(thread) = pid_of(entry.file_name().to_bytes()) {
            give(thread);
        }
    }
}

/// The list may be long (hundreds of workers), so it is read in pieces; a pid that lies across two is put together.
fn each_child_of_thread(host: &Host, pid: i32, thread: i32, give: &mut dyn FnMut(i32)) {
    let path = Path::new("proc/").number(pid).text(b"/task/").number(thread).text(b"/children");
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let Ok(file) = rustix::fs::openat(host.root(), path.bytes(), flags, Mode::empty()) else { return };
    let mut text = [0; 1024];
    let mut kept = 0;
    while let Some(free) = text.get_mut(kept..).filter(|free| !free.is_empty()) {
        let read = match rustix::io::read(&file, free) {
            Ok(0) | Err(_) => return,
            Ok(read) => kept + read,
        };
        let whole = text.get(..read).unwrap_or_default();
        // Every pid is followed by a blank; what stands behind the last blank may be half a pid.
        let end = whole.iter().rposition(|byte| *byte == b' ').map_or(0, |place| place + 1);
        let (pids, _) = whole.split_at(end);
        Fields::new(pids).filter_map(pid_of).for_each(&mut *give);
        text.copy_within(end..read, 0);
        kept = read - end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trial::fixture;

    #[test]
    fn children_are_those_of_all_threads() {
        let host = Host::open(&fixture("big")).expect("the fixture is there");
        for (pid, threads, expect) in
            [(200, 1, vec![201]), (201, 2, vec![202, 203]), (201, 1, vec![202]), (300, 1, vec![])]
        {
            let mut children = Vec::new();
            each_child(&host, pid, threads, &mut |child| children.push(child));
            children.sort_unstable();
            assert_eq!(children, expect, "{pid} with {threads} threads");
        }
    }

    #[test]
    fn a_long_list_is_read_whole_and_a_cut_pid_is_left_out() {
        let root = std::env::temp_dir().join(format!("watchd-children-{}", std::process::id()));
        let dir = root.join("proc/7/task/7");
        std::fs::create_dir_all(&dir).expect("a directory can be made");
        let list: String = (1_000..2_000).map(|pid| format!("{pid} ")).collect();
        std::fs::write(dir.join("children"), list + "30").expect("a file can be written");
        let host = Host::open(&root).expect("the root is there");
        let mut children = Vec::new();
        each_child(&host, 7, 1, &mut |child| children.push(child));
        std::fs::remove_dir_all(&root).expect("the directory can be removed");
        assert!(children.iter().copied().eq(1_000..2_000), "{children:?}");
    }
}
