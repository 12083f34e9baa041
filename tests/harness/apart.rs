//! Tests that run in namespaces of their own, so that the host does not notice what they change of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

use super::{is_root, look};

/// Runs another test of this program as the first process of a namespace of pids, with /proc and file systems of its own.
pub fn in_namespace(name: &str) {
    let status = Command::new("unshare")
        .args(["--pid", "--fork", "--kill-child", "--mount", "--mount-proc"])
        .arg(std::env::current_exe().expect("we are a program"))
        .args(["--exact", name, "--ignored", "--nocapture"])
        .status();
    assert!(status.expect("util-linux has unshare").success(), "its words are above");
}

pub fn may_unshare() -> bool {
    is_root()
        && Command::new("unshare")
            .args(["--pid", "--fork", "--mount-proc", "true"])
            .status()
            .is_ok_and(|it| it.success())
}

/// Makes pids few, so that they come again soon, where that is nobody else's affair.
pub fn make_pids_few(count: u32) {
    assert_eq!(std::process::id(), 1, "only for the first process of a namespace");
    // Since Linux 6.14 each namespace has its own; before, this would be everybody's.
    if is_at_least(6, 14) {
        fs::write("/proc/sys/kernel/pid_max", count.to_string()).expect("we are root here");
    }
}

fn is_at_least(major: u32, minor: u32) -> bool {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release.split(['.', '-']).map_while(|number| number.trim().parse::<u32>().ok());
    (numbers.next(), numbers.next()) >= (Some(major), Some(minor))
}

/// The next pid of this namespace, where that can be said.
pub fn let_next_pid_be(pid: i32) {
    let _ = fs::write("/proc/sys/kernel/ns_last_pid", (pid - 1).to_string());
}

/// As the first process of its namespace a test gets the orphans. Takes one that has ended away; whether it is gone.
pub fn reap(pid: i32) -> bool {
    let _ = waitpid(Pid::from_raw(pid), Some(WaitPidFlag::WNOHANG));
    look::stat(pid).is_none()
}

/// Takes all of those away that have ended, but for children that somebody here waits for.
pub fn reap_orphans(awaited: &[i32]) {
    let entries = fs::read_dir("/proc").expect("there is a /proc").flatten();
    for pid in entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()) {
        if !awaited.contains(&pid) && look::stat(pid).is_some_and(|stat| stat.state == 'Z' && stat.parent == 1) {
            reap(pid);
        }
    }
}

/// A small file system, gone afterwards.
pub struct Mounted(pub PathBuf);

impl Mounted {
    pub fn new(point: &Path, options: &str) -> Self {
        mount(Some("small"), point, Some("tmpfs"), MsFlags::empty(), Some(options)).expect("root may");
        Self(point.to_owned())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}
