//! What /proc says about processes, read without any of watchd's own code.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// All processes that are not zombies.
pub fn pids() -> Vec<i32> {
    let entries = fs::read_dir("/proc").expect("there is a /proc");
    let numbers = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    numbers.filter(|pid| stat(*pid).is_some_and(|stat| stat.state != 'Z')).collect()
}

/// The program a process runs; none when it is gone or not ours to ask.
pub fn program(pid: i32) -> Option<PathBuf> {
    let path = fs::read_link(format!("/proc/{pid}/exe")).ok()?;
    let text = path.to_str()?;
    Some(PathBuf::from(text.strip_suffix(" (deleted)").unwrap_or(text)))
}

/// Living processes whose program lies below `dir`.
pub fn running_from(dir: &Path) -> Vec<i32> {
    pids().into_iter().filter(|pid| program(*pid).is_some_and(|program| program.starts_with(dir))).collect()
}

/// Living processes whose first argument is `argument`.
pub fn with_argument(argument: &Path) -> Vec<i32> {
    let has = |pid: &i32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0).nth(1) == Some(argument.as_os_str().as_bytes())
    };
    pids().into_iter().filter(has).collect()
}

/// The fields of /proc/PID/stat that tests need.
pub struct Stat {
    pub comm: String,
    pub state: char,
    pub parent: i32,
    /// Page faults that needed no disk.
    pub faults: u64,
    /// User and system time of children that were waited for, in clock ticks.
    pub children_ticks: u64,
}

pub fn stat(pid: i32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (head, tail) = text.rsplit_once(") ")?;
    let comm = head.split_once('(')?.1.to_owned();
    let fields: Vec<&str> = tail.split(' ').collect();
    let number = |place: usize| fields.get(place).and_then(|field| field.parse::<u64>().ok());
    Some(Stat {
        comm,
        state: fields.first()?.chars().next()?,
        parent: fields.get(1)?.parse().ok()?,
        faults: number(7)?,
        children_ticks: number(13)? + number(14)?,
    })
}

/// A process and those of its descendants that are watchd too.
pub fn family(pid: i32) -> Vec<i32> {
    let all: Vec<(i32, Stat)> = pids().into_iter().filter_map(|pid| Some((pid, stat(pid)?))).collect();
    let mut family = vec![pid];
    let mut next = 0;
    while let Some(parent) = family.get(next).copied() {
        let children = all.iter().filter(|(_, stat)| stat.parent == parent && stat.comm.starts_with("watchd"));
        family.extend(children.map(|(pid, _)| *pid));
        next += 1;
    }
    family
}

/// A line of /proc/PID/status, in its own unit.
pub fn status(pid: i32, name: &str) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The sum over all of watchd's own processes.
pub fn sum(pid: i32, name: &str) -> u64 {
    family(pid).into_iter().filter_map(|pid| status(pid, name)).sum()
}

pub fn descriptors(pid: i32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}
