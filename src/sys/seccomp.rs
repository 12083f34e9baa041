//! A list of the system calls that remain; any other ends the process at once (SIGSYS).
//!
//! For a process that only waits for, accepts, reads, writes and closes sockets, and manages memory of its own. It cannot open a
//! file, start a process, send a signal, or make memory executable. The list is short enough to be read; what the C library needs beside
//! our own calls is marked. Kernels without filters, and machines whose numbers are not known here, go without.

use std::io;

/// Calls that are allowed whatever their arguments.
const PLAIN: &[libc::c_long] = &[
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_epoll_wait,
    libc::SYS_accept4,
    libc::SYS_read,
    // Of the history, which was opened before.
    libc::SYS_pread64,
    libc::SYS_recvfrom,
    // Pipes with the output of plugins come this way.
    libc::SYS_recvmsg,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_sendto,
    libc::SYS_shutdown,
    libc::SYS_close,
    libc::SYS_clock_gettime,
    libc::SYS_sched_yield,
    // The allocator.
    libc::SYS_brk,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    // How many pages have come in since memory was given back.
    libc::SYS_getrusage,
    // Hash maps, which regular expressions are compiled with.
    libc::SYS_getrandom,
    // Locks of the C library, and its way to end a process.
    libc::SYS_futex,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_restart_syscall,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: Option<u32> = Some(0xc000_003e);
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: Option<u32> = Some(0xc000_00b7);
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const ARCHITECTURE: Option<u32> = None;

/// Offsets into what the kernel shows to the filter; arguments are 64 bits wide, of which the low half is looked at.
const NUMBER: u32 = 0;
const MACHINE: u32 = 4;
const LOW_HALF: u32 = if cfg!(target_endian = "big") { 4 } else { 0 };
const FIRST_ARGUMENT: u32 = 16 + LOW_HALF;
const SECOND_ARGUMENT: u32 = 24 + LOW_HALF;
const THIRD_ARGUMENT: u32 = 32 + LOW_HALF;

const LOAD: u16 = 0x20;
const JUMP_IF_EQUAL: u16 = 0x15;
const JUMP_IF_ANY_BIT: u16 = 0x45;
const RETURN: u16 = 0x06;

fn step(code: u16, k: u32, (if_true, if_false): (u8, u8)) -> libc::sock_filter {
    libc::sock_filter { code, jt: if_true, jf: if_false, k }
}

fn number(call: libc::c_long) -> u32 {
    u32::try_from(call).unwrap_or(u32::MAX)
}

fn word(value: libc::c_int) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

/// Makes a socket non-blocking.
#[allow(clippy::cast_possible_wrap, clippy::useless_conversion)]
const NON_BLOCKING: libc::c_long = libc::FIONBIO as libc::c_long;

/// The filter as the kernel runs it: from top to bottom, each test falling through to the next. `pid` is our own.
fn program(architecture: u32, pid: u32) -> Vec<libc::sock_filter> {
    let kill = || step(RETURN, libc::SECCOMP_RET_KILL_PROCESS, (0, 0));
    let allow = || step(RETURN, libc::SECCOMP_RET_ALLOW, (0, 0));
    let refuse = || step(RETURN, libc::SECCOMP_RET_ERRNO | word(libc::EACCES), (0, 0));
    let mut steps = vec![
        step(LOAD, MACHINE, (0, 0)),
        step(JUMP_IF_EQUAL, architecture, (1, 0)),
        kill(),
        step(LOAD, NUMBER, (0, 0)),
    ];
    for call in PLAIN {
        steps.extend([step(JUMP_IF_EQUAL, number(*call), (0, 1)), allow()]);
    }
    // The C library looks for a setting of the kernel before it gives memory back; it takes a refusal.
    steps.extend([step(JUMP_IF_EQUAL, number(libc::SYS_openat), (0, 1)), refuse()]);
    // Memory, but none that can be run.
    for call in [libc::SYS_mmap, libc::SYS_mprotect] {
        steps.extend([
            step(JUMP_IF_EQUAL, number(call), (0, 4)),
            step(LOAD, THIRD_ARGUMENT, (0, 0)),
            step(JUMP_IF_ANY_BIT, word(libc::PROT_EXEC), (0, 1)),
            kill(),
            allow(),
        ]);
    }
    // How the C library aborts: a signal to ourselves. To others of the same account, the daemon perhaps, there is none.
    steps.extend([
        step(JUMP_IF_EQUAL, number(libc::SYS_tgkill), (0, 4)),
        step(LOAD, FIRST_ARGUMENT, (0, 0)),
        step(JUMP_IF_EQUAL, pid, (0, 1)),
        allow(),
        kill(),
    ]);
    // Non-blocking sockets; and builds with assertions ask whether what they close is open.
    for (call, argument) in [(libc::SYS_ioctl, number(NON_BLOCKING)), (libc::SYS_fcntl, word(libc::F_GETFD))] {
        steps.extend([
            step(JUMP_IF_EQUAL, number(call), (0, 4)),
            step(LOAD, SECOND_ARGUMENT, (0, 0)),
            step(JUMP_IF_EQUAL, argument, (0, 1)),
            allow(),
            kill(),
        ]);
    }
    steps.push(kill());
    steps
}

/// Puts the filter in place for the rest of this process. `no_new_privs` must be set. False where there can be none.
pub fn confine() -> io::Result<bool> {
    let Some(architecture) = ARCHITECTURE else { return Ok(false) };
    let mut steps = program(architecture, std::process::id());
    let len = u16::try_from(steps.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let program = libc::sock_fprog { len, filter: steps.as_mut_ptr() };
    // SAFETY: the kernel copies the program, which lives until the call returns.
    let result = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) };
    match (result, io::Error::last_os_error()) {
        (0, _) => Ok(true),
        // A kernel without filters.
        (_, error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(false),
        (_, error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fork;
    use nix::sys::signal::Signal;
    use nix::sys::wait::{WaitStatus, waitpid};
    use nix::unistd::Pid;

    /// How a child ends that is confined and then does something.
    fn end_of(work: fn()) -> WaitStatus {
        let pid = fork::split(move || {
            let ready = nix::sys::prctl::set_no_new_privs().is_ok() && confine().is_ok();
            if !ready {
                fork::leave(9);
            }
            work();
        })
        .expect("a child can be made");
        waitpid(Pid::from_raw(pid), None).expect("it was our child")
    }

    #[test]
    fn what_is_not_on_the_list_ends_the_process() {
        let deeds: [(&str, fn()); 6] = [
            ("signal a thread of another process", || {
                // SAFETY: takes no pointers; signal 0 does nothing.
                let _ = unsafe { libc::syscall(libc::SYS_tgkill, 1, 1, 0) };
            }),
            ("make a socket", || drop(std::net::UdpSocket::bind("127.0.0.1:0"))),
            ("start a process", || drop(fork::split(|| {}))),
            ("signal a process", || fork::kill_child(std::process::id().cast_signed())),
            ("become another account", || {
                let _ = nix::unistd::setuid(nix::unistd::Uid::from_raw(1));
            }),
            ("make memory executable", || {
                // SAFETY: maps fresh memory that nothing uses; the filter ends the process before.
                let _ = unsafe {
                    nix::sys::mman::mmap_anonymous(
                        None,
                        std::num::NonZeroUsize::MIN,
                        nix::sys::mman::ProtFlags::PROT_EXEC,
                        nix::sys::mman::MapFlags::MAP_PRIVATE,
                    )
                };
            }),
        ];
        for (what, deed) in deeds {
            let end = end_of(deed);
            assert!(matches!(end, WaitStatus::Signaled(_, Signal::SIGSYS, _)), "{what}: {end:?}");
        }
    }

    #[test]
    fn no_other_call_is_left_whatever_its_number() {
        // Answered by arguments, or not at all.
        let looked_at = [libc::SYS_openat, libc::SYS_mmap, libc::SYS_mprotect];
        // The second thousand is how x86-64 numbers the calls of its 32-bit pointers.
        for number in (0..600).chain(0x4000_0000..0x4000_0258) {
            if PLAIN.contains(&number) || looked_at.contains(&number) {
                continue;
            }
            let pid = fork::split(move || {
                // What is not refused must not hold up the test.
                // SAFETY: sets a timer.
                unsafe { libc::alarm(60) };
                if nix::sys::prctl::set_no_new_privs().is_err() || !confine().is_ok_and(|is_there| is_there) {
                    fork::leave(9);
                }
                // SAFETY: never comes to pass; with zeros no call does harm.
                let result = unsafe { libc::syscall(number, 0, 0, 0, 0, 0, 0) };
                fork::leave(if result < 0 { 0 } else { 1 })
            });
            let end = waitpid(Pid::from_raw(pid.expect("a child can be made")), None).expect("it was our child");
            // Two that the kernel itself puts into programs it probes, on x86-64: every filter lets them pass, and made from
            // anywhere else the first ends the process and the second fails.
            let is_probe = matches!(
                (number, end),
                (335, WaitStatus::Signaled(_, Signal::SIGILL, _)) | (336, WaitStatus::Exited(_, 0))
            );
            let is_refused = matches!(end, WaitStatus::Signaled(_, Signal::SIGSYS, _));
            assert!(is_refused || is_probe, "call {number}: {end:?}");
        }
    }

    #[test]
    fn it_can_abort() {
        let end = end_of(|| std::process::abort());
        assert!(matches!(end, WaitStatus::Signaled(_, Signal::SIGABRT, _)), "{end:?}");
    }

    #[test]
    fn no_file_can_be_opened() {
        let end = end_of(|| {
            if std::fs::File::open("/").is_ok() {
                fork::leave(1);
            }
        });
        assert!(matches!(end, WaitStatus::Exited(_, 0)), "{end:?}");
    }

    #[test]
    fn memory_stays_manageable() {
        let end = end_of(|| {
            let large = vec![1_u8; 8 << 20];
            crate::sys::memory::trim_heap();
            crate::sys::memory::trim_text();
            drop(large);
        });
        assert!(matches!(end, WaitStatus::Exited(_, 0)), "{end:?}");
    }
}
