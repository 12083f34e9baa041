//! A control group (version 2) for each child of ours: who is in it descends from that child, whatever session or parent it
//! took since, and all of it can be ended by one write.
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

/// Where the groups of this watchd are.
#[derive(Debug)]
pub struct Cgroups {
    base: PathBuf,
}

impl Cgroups {
    /// Finds the place for the groups of an installation; none where there is no hierarchy that we may write to.
    pub fn find(state_dir: &Path) -> Option<Self> {
        let own = own_group(&std::fs::read_to_string("/proc/self/cgroup").ok()?)?.to_owned();
        let above =
            mount_point(&std::fs::read_to_string("/proc/self/mountinfo").ok()?)?.join(own.trim_start_matches('/'));
        if Path::new("/run/systemd/system").exists() && !is_delegated(&above) {
            return None;
        }
        let mark = crc32fast::hash(state_dir.as_os_str().as_bytes());
        let groups = Self { base: above.join(format!("watchd-{mark:08x}")) };
        groups.may_write(&above).then_some(groups)
    }

    fn may_write(&self, above: &Path) -> bool {
        let Ok(path) = CString::new(above.as_os_str().as_bytes()) else { return false };
        // SAFETY: the path ends with a zero.
        (unsafe { libc::access(path.as_ptr(), libc::W_OK) }) == 0
    }

    /// The group of a service, made when it is missing.
    pub fn open(&self, id: &str) -> io::Result<OwnedFd> {
        let path = self.base.join(id);
        std::fs::create_dir_all(&path)?;
        let flags = libc::O_DIRECTORY | libc::O_NOFOLLOW;
        Ok(OpenOptions::new().read(true).custom_flags(flags).open(path)?.into())
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

/// `0::/system.slice/watchd.service` among lines of version 1.
fn own_group(text: &str) -> Option<&str> {
    text.lines().find_map(|line| line.strip_prefix("0::")).filter(|path| path.starts_with('/') && !path.contains("/.."))
}

/// `35 24 0:30 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw`: the first that shows the whole hierarchy and is writable.
fn mount_point(text: &str) -> Option<PathBuf> {
    text.lines().find_map(|line| {
        let (place, kind) = line.split_once(" - ")?;
        let mut fields = place.split(' ').skip(3);
        let (root, point, options) = (fields.next()?, fields.next()?, fields.next()?);
        let is_ours = root == "/" && kind.starts_with("cgroup2 ") && options.split(',').any(|option| option == "rw");
        (is_ours && !point.contains('\\')).then(|| PathBuf::from(point))
    })
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
    fn only_a_whole_and_writable_hierarchy_of_version_2_counts() {
        let v1 = "36 32 0:33 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory\n";
        let v2 = "35 24 0:30 / /sys/fs/cgroup/unified rw,nosuid shared:4 - cgroup2 cgroup2 rw\n";
        let found = |text: &str| mount_point(text).map(|path| path.display().to_string());
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
        assert_eq!(own_group("4:memory:/x\n0::/a/b\n"), Some("/a/b"));
        assert_eq!(own_group("0::/../b\n"), None, "outside of our namespace");
        assert_eq!(own_group("4:memory:/x\n"), None);
    }
}
