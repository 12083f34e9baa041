//! The one who edits a file is killed before and after each of its system calls: the file is whole at every moment, and nothing is
//! left behind once somebody has looked again.
//!
//! Alone in its file, because it forks. The child is traced: it stops at each system call, and at the chosen one it is killed.

#![allow(clippy::expect_used, clippy::panic, unsafe_code)]

mod harness;

use std::fs;
use std::path::Path;

use harness::Scratch;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;
use watchd::files::{Memory, Task, beside, keep};
use watchd::model::{Content, Edit, FileWork, Outcome, Tended};
use watchd::sys::fork::split;

const OLD: &str = "one\ntwo\n";
const NEW: &str = "one\ntwo\nthree\n";

fn tend(work: &FileWork, state: &Path) -> Tended {
    let memory = Memory::new(state);
    keep(&Task { id: "x", work, is_dry: false, memory: &memory, render: &|text| Ok(text.to_owned()) })
}

fn trace(request: libc::c_uint, pid: i32) -> bool {
    // SAFETY: no request used here reads or writes memory of ours.
    unsafe { libc::ptrace(request, pid, 0, 0) == 0 }
}

/// Lets the work run until the stop of this number, and kills it there. False when it came to its end before.
fn killed_at(stop: u32, work: &FileWork, state: &Path) -> Option<bool> {
    let child = split(|| {
        if trace(libc::PTRACE_TRACEME, 0) {
            let _ = nix::sys::signal::raise(Signal::SIGSTOP);
            tend(work, state);
        }
    });
    let pid = Pid::from_raw(child.expect("a child can be made"));
    if !matches!(waitpid(pid, None), Ok(WaitStatus::Stopped(..))) {
        return None;
    }
    for _ in 0..stop {
        assert!(trace(libc::PTRACE_SYSCALL, pid.as_raw()), "it is stopped");
        if matches!(waitpid(pid, None), Ok(WaitStatus::Exited(..))) {
            return Some(false);
        }
    }
    nix::sys::signal::kill(pid, Signal::SIGKILL).expect("it lives");
    assert!(matches!(waitpid(pid, None), Ok(WaitStatus::Signaled(..))));
    Some(true)
}

#[test]
fn a_file_is_whole_whenever_its_editor_is_killed() {
    let scratch = Scratch::new("killed");
    let (path, state) = (scratch.path("f"), scratch.path("state"));
    fs::create_dir(&state).expect("a directory can be made");
    let edit = Edit { lines: vec!["three".to_owned()], ..Edit::default() };
    let work = FileWork {
        path: path.to_string_lossy().into_owned(),
        content: Content::Edit(edit),
        backup: true,
        watch: true,
        ..FileWork::default()
    };
    let mut kills = 0;
    for stop in 1.. {
        fs::write(&path, OLD).expect("it can be written");
        let Some(was_killed) = killed_at(stop, &work, &state) else {
            harness::skip("nothing may be traced here");
            return;
        };
        let text = fs::read_to_string(&path).expect("it is always there");
        assert!(text == OLD || text == NEW, "torn at stop {stop}: {text:?}");
        if !was_killed {
            assert_eq!(text, NEW);
            break;
        }
        kills += 1;
        let after = tend(&work, &state);
        assert!(matches!(after.outcome, Outcome::Kept | Outcome::Repaired), "after stop {stop}: {}", after.text);
        assert_eq!(fs::read_to_string(&path).expect("it is there"), NEW, "after stop {stop}");
        for name in [beside("f"), beside("f.watchd-backup")] {
            // The backup is tidied when the next one is made.
            let is_left = scratch.path(&name).exists() && name == beside("f");
            assert!(!is_left, "left behind at stop {stop}");
        }
    }
    assert!(kills > 100, "killed {kills} times");
    eprintln!("killed at {kills} stops");
}
