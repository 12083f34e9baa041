//! A control group for each child of ours: who is in it descends from that child, whatever session or parent it took since, and all
//! of it can be ended by one write.
//!
//! In the hierarchy of version 2; where there is none that we may write to, in that of version 1 for memory, or for pids. Into a group of
//! version 1 the child has to go by itself, which takes the kernel some 10 ms, and it is ended one by one.
//!
//! The groups lie below watchd's own, in a directory that is named after the state directory, so that two installations never
//! meet. Under systemd that tree is systemd's, and is used only where it says so (`Delegate=yes` sets an attribute). No
//! controller is switched on: nothing is limited or counted that was not before. Without any of it everything else works.

use std::ffi::{CStr, CString};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::pidfd::Pidfd;

/// Which hierarchy of groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hierarchy {
    V2,
    /// Version 1, for memory.
    Memory,
    /// Version 1, for pids.
    Pids,
}

impl Hierarchy {
    /// The better ones first.
    pub const ALL: [Self; 3] = [Self::V2, Self::Memory, Self::Pids];

    /// What version 1 calls it.
    fn controller(self) -> Option<&'static str> {
        match self {
            Self::V2 => None,
            Self::Memory => Some("memory"),
            Self::Pids => Some("pids"),
        }
    }
}

/// Where the groups of this watchd are.
#[derive(Debug)]
pub struct Cgroups {
    base: PathBuf,
}

/// The group of one service.
#[derive(Debug)]
pub struct Group {
    pub dir: OwnedFd,
    /// Nobody was ever in it. Into one that `cgroup.kill` was written to no child can be born: Linux (6.18, at least) takes the child for
    /// one that slipped through, and ends it, however much later it comes. Such a child has to go there by itself.
    pub is_new: bool,
}

/// Tells one installation on a host from another, also from one in a container whose processes we see.
pub fn installation(state_dir: &Path) -> u32 {
    let namespace = std::fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    crc32fast::hash(&[state_dir.as_os_str().as_bytes(), namespace.as_os_str().as_bytes()].concat())
}

impl Cgroups {
    /// Finds the place for the groups of an installation; none where there is no hierarchy that we may write to.
    pub fn find(state_dir: &Path) -> Option<Self> {
        Hierarchy::ALL.into_iter().find_map(|hierarchy| Self::find_in(hierarchy, state_dir))
    }

    /// The same in one hierarchy.
    pub fn find_in(hierarchy: Hierarchy, state_dir: &Path) -> Option<Self> {
        let own = own_group(&std::fs::read_to_string("/proc/self/cgroup").ok()?, hierarchy)?.to_owned();
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
        let above = mount_point(&mounts, hierarchy)?.join(own.trim_start_matches('/'));
        if Path::new("/run/systemd/system").exists() && !is_delegated(&above) {
            return None;
        }
        let groups =
            Self { base: above.join(format!("watchd-{:08x}", crc32fast::hash(state_dir.as_os_str().as_bytes()))) };
        groups.may_write(&above).then_some(groups)
    }

    fn may_write(&self, above: &Path) -> bool {
        let Ok(path) = CString::new(above.as_os_str().as_bytes()) else { return false };
        // SAFETY: the path ends with a zero.
        (unsafe { libc::access(path.as_ptr(), libc::W_OK) }) == 0
    }

    /// The group of a service, made anew unless somebody is in it.
    pub fn open(&self, id: &str) -> io::Result<Group> {
        let path = self.base.join(id);
        let _ = std::fs::remove_dir(&path);
        let is_new = !path.exists();
        std::fs::create_dir_all(&path)?;
        let flags = libc::O_DIRECTORY | libc::O_NOFOLLOW;
        Ok(Group { dir: OpenOptions::new().read(true).custom_flags(flags).open(path)?.into(), is_new })
    }

    /// Ends all that is in the group of a service.
    pub fn kill(&self, id: &str) -> io::Result<()> {
        let path = self.base.join(id);
        let killed =
            OpenOptions::new().write(true).open(path.join("cgroup.kill")).and_then(|mut file| file.write_all(b"1"));
        match killed {
            Err(error) if error.kind() == io::ErrorKind::NotFound => each_killed(&path.join("cgroup.procs")),
            other => other,
        }
    }

    /// The memory that the group of a service holds for itself, in bytes: without what files back. None where it is not counted.
    pub fn memory(&self, id: &str) -> Option<u64> {
        let mut text = String::new();
        File::open(self.base.join(id).join("memory.stat")).ok()?.take(1 << 16).read_to_string(&mut text).ok()?;
        own_memory(&text)
    }

    /// Who is in the group of a service.
    pub fn members(&self, id: &str) -> Vec<i32> {
        let listed = File::open(self.base.join(id).join("cgroup.procs"));
        let mut text = String::new();
        let _ = listed.and_then(|file| file.take(1 << 20).read_to_string(&mut text));
        text.lines().filter_map(|line| line.parse().ok()).collect()
    }

    /// Takes an empty group away. False when somebody is in it.
    pub fn remove(&self, id: &str) -> bool {
        let is_gone = |result: io::Result<()>| match result {
            Err(error) => error.kind() == io::ErrorKind::NotFound,
            Ok(()) => true,
        };
        is_gone(std::fs::remove_dir(self.base.join(id)))
    }

    /// Takes all empty groups away, and their place when nothing is left in it.
    pub fn clear(&self) {
        for group in std::fs::read_dir(&self.base).into_iter().flatten().flatten() {
            let _ = std::fs::remove_dir(group.path());
        }
        let _ = std::fs::remove_dir(&self.base);
    }
}

/// Before Linux 5.14: one by one. Whoever is still in the list after it is held is who we mean.
fn each_killed(list: &Path) -> io::Result<()> {
    let read = || -> io::Result<String> {
        let mut text = String::new();
        File::open(list)?.take(1 << 20).read_to_string(&mut text)?;
        Ok(text)
    };
    let text = match read() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    let held: Vec<Pidfd> = text.lines().filter_map(|line| Pidfd::open(line.parse().ok()?).ok()).collect();
    let again = read()?;
    for process in held.iter().filter(|held| again.lines().any(|line| line.parse() == Ok(held.pid()))) {
        let _ = process.send(libc::SIGKILL);
    }
    Ok(())
}

/// `0::/system.slice/watchd.service` is that of version 2, `4:memory:/box` and `6:cpu,cpuacct:/box` are of version 1.
fn own_group(text: &str, hierarchy: Hierarchy) -> Option<&str> {
    let path = text.lines().find_map(|line| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        let is_it = match hierarchy.controller() {
            None => line.starts_with("0::"),
            Some(controller) => controllers.split(',').any(|other| other == controller),
        };
        is_it.then_some(path)
    });
    path.filter(|path| path.starts_with('/') && !path.contains("/.."))
}

/// `35 24 0:30 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw`: the first that shows the whole hierarchy and is writable. Those of
/// version 1 end in what they are for: `- cgroup cgroup rw,memory`.
fn mount_point(text: &str, hierarchy: Hierarchy) -> Option<PathBuf> {
    text.lines().find_map(|line| {
        let (place, kind) = line.split_once(" - ")?;
        let mut fields = place.split(' ').skip(3);
        let (root, point, options) = (fields.next()?, fields.next()?, fields.next()?);
        let is_of_kind = match hierarchy.controller() {
            None => kind.starts_with("cgroup2 "),
            Some(controller) => {
                kind.starts_with("cgroup ") && kind.rsplit(' ').next()?.split(',').any(|option| option == controller)
            }
        };
        let is_ours = root == "/" && is_of_kind && options.split(',').any(|option| option == "rw");
        (is_ours && !point.contains('\\')).then(|| PathBuf::from(point))
    })
}

/// Lines of memory.stat: `anon 123` and `shmem 4` of version 2, `total_rss 123` and `total_shmem 4` of version 1.
fn own_memory(text: &str) -> Option<u64> {
    let whole = text.strip_suffix('\n')?;
    let of = |wanted: &str| whole.lines().find_map(|line| line.split_once(' ').filter(|(name, _)| *name == wanted));
    let value = |name: &str| of(name)?.1.parse::<u64>().ok();
    let (held, shared) = if of("total_rss").is_some() { ("total_rss", "total_shmem") } else { ("anon", "shmem") };
    value(held)?.checked_add(value(shared).unwrap_or(0))
}

fn is_delegated(group: &Path) -> bool {
    let Ok(path) = CString::new(group.as_os_str().as_bytes()) else { return false };
    let says = |name: &CStr| {
        let mut value = 0_u8;
        // SAFETY: names end with a zero; one byte at most is written into a variable of ours.
        let length = unsafe { libc::getxattr(path.as_ptr(), name.as_ptr(), (&raw mut value).cast(), 1) };
        length == 1 && value == b'1'
    };
    says(c"trusted.delegate") || says(c"user.delegate")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_and_writable_hierarchy_counts() {
        let v1 = "36 32 0:33 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory\n";
        let v2 = "35 24 0:30 / /sys/fs/cgroup/unified rw,nosuid shared:4 - cgroup2 cgroup2 rw\n";
        let found = |text: &str| mount_point(text, Hierarchy::V2).map(|path| path.display().to_string());
        for (text, expect) in [
            (format!("{v1}{v2}"), Some("/sys/fs/cgroup/unified")),
            (v1.to_owned(), None),
            (v2.replace("rw,nosuid", "ro,nosuid"), None),
            (v2.replace(" / /sys", " /docker/1 /sys"), None),
            (String::new(), None),
        ] {
            assert_eq!(found(&text).as_deref(), expect, "{text}");
        }
        for cut in 0..v2.len() - 2 {
            assert!(found(&v2[..cut]).is_none_or(|point| point == "/sys/fs/cgroup/unified"), "cut at {cut}");
        }
        let both = format!("{v2}{v1}");
        for (hierarchy, text, expect) in [
            (Hierarchy::Memory, both.as_str(), Some("/sys/fs/cgroup/memory")),
            (Hierarchy::Pids, both.as_str(), None),
            (Hierarchy::Pids, &v1.replace("memory", "cpu,pids"), Some("/sys/fs/cgroup/cpu,pids")),
            (Hierarchy::Memory, &v1.replace("rw,relatime", "ro,relatime"), None),
            (Hierarchy::Memory, v2, None),
        ] {
            let found = mount_point(text, hierarchy).map(|path| path.display().to_string());
            assert_eq!(found.as_deref(), expect, "{hierarchy:?} {text}");
        }
        let groups = "7:name=systemd:/s\n4:memory:/x\n6:cpu,pids:/y\n0::/a/b\n";
        for (hierarchy, expect) in [(Hierarchy::V2, "/a/b"), (Hierarchy::Memory, "/x"), (Hierarchy::Pids, "/y")] {
            assert_eq!(own_group(groups, hierarchy), Some(expect));
            assert_eq!(own_group("7:name=systemd:/s\n3:cpuset:/pids\n", hierarchy), None);
            assert_eq!(own_group(&groups.replace(expect, "/../b"), hierarchy), None, "outside of our namespace");
        }
    }

    #[test]
    fn memory_of_a_group_is_what_no_file_backs() {
        let v2 = "anon 4096\nfile 99\nkernel 5\nshmem 8192\nanon_thp 7\n";
        let v1 = "cache 99\nrss 1\nshmem 1\ntotal_cache 99\ntotal_rss 4096\ntotal_rss_huge 0\ntotal_shmem 8192\n";
        assert_eq!((own_memory(v2), own_memory(v1)), (Some(12_288), Some(12_288)));
        for text in [v1, v2] {
            for cut in 0..text.len() {
                // A line that is missing is memory that is not counted; half a line is never a number.
                assert!(matches!(own_memory(&text[..cut]), None | Some(4096 | 12_288)), "cut at {cut}");
            }
        }
        for text in ["", "anon\n", "anon x\n", "anon -1\n", "anon 18446744073709551615\nshmem 1\n", "file 1\n"] {
            assert_eq!(own_memory(text), None, "{text}");
        }
    }
}
