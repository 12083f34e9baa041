//! The child between fork and exec: system calls only, on memory that was made ready before the fork.
//!
//! Nothing here allocates, locks, formats or returns. What goes wrong goes as five bytes (step, error number) into the
//! report pipe, which a successful exec closes.

use std::ffi::{CStr, CString};
use std::os::fd::RawFd;
use std::ptr;

use super::{Ids, Plan, Step};

/// Where the child keeps its two pipes while it clears its descriptors.
const REPORT: RawFd = 3;
const GATE: RawFd = 4;

/// What the child needs in the form that the kernel takes.
pub(super) struct Table {
    words: Vec<*const libc::c_char>,
    environment: Vec<*const libc::c_char>,
    /// Gate, report, output, input; −1 for none.
    pipes: [RawFd; 4],
}

impl Table {
    pub(super) fn new(plan: &Plan, pipes: [RawFd; 4]) -> Self {
        Self { words: pointers(&plan.words), environment: pointers(&plan.environment), pipes }
    }
}

fn pointers(texts: &[CString]) -> Vec<*const libc::c_char> {
    texts.iter().map(|text| text.as_ptr()).chain([ptr::null()]).collect()
}

/// The child's whole life until it is its program.
///
/// # Safety
/// Only in a fresh child, whose memory is a copy nobody else uses.
pub(super) unsafe fn become_program(plan: &Plan, table: &Table) -> ! {
    // SAFETY: system calls on our own memory and descriptors; every pointer is to a CString or a null-ended list that
    // lives in `plan` or `table` until exec or _exit.
    unsafe {
        clear_signals();
        libc::prctl(libc::PR_SET_THP_DISABLE, 0, 0, 0, 0);
        libc::umask(0o022);
        if arrange(table.pipes) == -1 {
            let [_, report, ..] = table.pipes;
            fail(report, Step::Descriptors);
        }
        check(libc::setsid(), Step::Session);
        unprotect();
        let mut go = 0_u8;
        while libc::read(GATE, (&raw mut go).cast(), 1) == -1 && errno() == libc::EINTR {}
        if go == 0 {
            libc::_exit(0);
        }
        libc::close(GATE);
        if let Some(Ids { user, group, groups }) = &plan.ids {
            check(libc::setgroups(groups.len(), groups.as_ptr()), Step::Groups);
            check(libc::setgid(*group), Step::Group);
            if let Some(user) = user {
                check(libc::setuid(*user), Step::User);
            }
        }
        check(libc::chdir(plan.directory.as_ptr()), Step::Directory);
        execute(plan, table)
    }
}

/// # Safety
/// As `become_program`.
unsafe fn execute(plan: &Plan, table: &Table) -> ! {
    let mut worst = libc::ENOENT;
    for program in &plan.programs {
        // SAFETY: as in `become_program`.
        unsafe { libc::execve(program.as_ptr(), table.words.as_ptr(), table.environment.as_ptr()) };
        match errno() {
            libc::ENOENT | libc::ENOTDIR => {}
            // A later directory may still have one that can be executed.
            other => worst = other,
        }
    }
    // SAFETY: as in `become_program`.
    unsafe {
        *libc::__errno_location() = worst;
        fail(REPORT, Step::Execute)
    }
}

/// Gives every signal its default action and lets all of them through.
///
/// # Safety
/// As `become_program`.
unsafe fn clear_signals() {
    // The call itself, because the C library keeps two signals to itself that may have come to us ignored. Zeros are the
    // default action without flags in the kernel's structure, whose largest form has fewer bytes than this.
    let default = [0_u64; 8];
    // SAFETY: the kernel reads `default` and writes nothing; `none` is a set of ours.
    unsafe {
        for signal in 1..=64 {
            libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), ptr::null_mut::<u64>(), 8_usize);
        }
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut());
    }
}

/// Puts /dev/null or what the plan has for them on 0 to 2 and our pipes on 3 and 4, and closes all others. −1 when something
/// failed.
///
/// # Safety
/// As `become_program`.
unsafe fn arrange([gate, report, output, input]: [RawFd; 4]) -> i32 {
    const NULL: &CStr = c"/dev/null";
    // SAFETY: descriptor calls; out of the way of 0 to 4 first, so that none is overwritten before it is copied.
    unsafe {
        let null = libc::open(NULL.as_ptr(), libc::O_RDWR);
        let aside = |fd| libc::fcntl(fd, libc::F_DUPFD, GATE + 1);
        let (null, gate, report) = (aside(null), aside(gate), aside(report));
        let or_null = |fd| if fd == -1 { null } else { aside(fd) };
        let (output, input) = (or_null(output), or_null(input));
        for (from, to) in [(input, 0), (output, 1), (output, 2), (report, REPORT), (gate, GATE)] {
            if libc::dup2(from, to) == -1 {
                return -1;
            }
        }
        libc::fcntl(REPORT, libc::F_SETFD, libc::FD_CLOEXEC);
        if libc::syscall(libc::SYS_close_range, GATE + 1, libc::c_uint::MAX, 0) == -1 {
            // Before Linux 5.9: one by one, as far as a process of ours could ever have opened.
            for fd in GATE + 1..65_536 {
                libc::close(fd);
            }
        }
        0
    }
}

/// Takes back the protection from the OOM killer that watchd may have given itself. A positive value stays.
///
/// # Safety
/// As `become_program`.
unsafe fn unprotect() {
    const SCORE: &CStr = c"/proc/self/oom_score_adj";
    // SAFETY: system calls on a buffer of ours.
    unsafe {
        let file = libc::open(SCORE.as_ptr(), libc::O_RDWR | libc::O_CLOEXEC);
        let mut first = 0_u8;
        if libc::read(file, (&raw mut first).cast(), 1) == 1 && first == b'-' {
            libc::pwrite(file, c"0".as_ptr().cast(), 1, 0);
        }
        libc::close(file);
    }
}

fn errno() -> i32 {
    // SAFETY: the address of this thread's errno is always valid.
    unsafe { *libc::__errno_location() }
}

/// # Safety
/// As `become_program`, with the report in its place.
unsafe fn check(result: i32, step: Step) {
    if result == -1 {
        // SAFETY: passed on.
        unsafe { fail(REPORT, step) }
    }
}

/// Says what went wrong and ends the child.
///
/// # Safety
/// As `become_program`.
unsafe fn fail(report: RawFd, step: Step) -> ! {
    let [a, b, c, d] = errno().to_le_bytes();
    let message = [step as u8, a, b, c, d];
    // SAFETY: writes our own bytes, ends the process.
    unsafe {
        libc::write(report, message.as_ptr().cast(), message.len());
        libc::_exit(127)
    }
}
