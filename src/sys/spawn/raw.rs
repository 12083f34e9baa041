//! System calls that touch nothing but their registers: a child that shares our memory shares `errno` as well, and must not
//! write there while we go on.
//!
//! Results are the kernel's own: a negative one is an error number. Where no instruction is known here, the C library's call
//! is taken, and only the number of an error may be wrong.

use std::ffi::{c_int, c_long, c_void};

/// # Safety
/// What the call does with its arguments has to be sound.
#[cfg(target_arch = "x86_64")]
pub unsafe fn call(number: c_long, args: [usize; 5]) -> isize {
    let [a, b, c, d, e] = args;
    let result;
    // SAFETY: the kernel's calling convention: number and result in rax, rcx and r11 are lost, nothing on the stack.
    unsafe {
        std::arch::asm!(
            "syscall",
            inlateout("rax") number => result,
            in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e,
            lateout("rcx") _, lateout("r11") _,
            options(nostack),
        );
    }
    result
}

/// # Safety
/// What the call does with its arguments has to be sound.
#[cfg(target_arch = "aarch64")]
pub unsafe fn call(number: c_long, args: [usize; 5]) -> isize {
    let [a, b, c, d, e] = args;
    let result;
    // SAFETY: the kernel's calling convention: number in x8, result in x0, nothing on the stack.
    unsafe {
        std::arch::asm!(
            "svc 0",
            in("x8") number,
            inlateout("x0") a => result, in("x1") b, in("x2") c, in("x3") d, in("x4") e,
            options(nostack),
        );
    }
    result
}

/// # Safety
/// What the call does with its arguments has to be sound.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub unsafe fn call(number: c_long, args: [usize; 5]) -> isize {
    let [a, b, c, d, e] = args;
    // SAFETY: the caller's.
    let result = unsafe { libc::syscall(number, a, b, c, d, e) };
    if result == -1 {
        // SAFETY: the address of this thread's errno is always valid.
        return -(unsafe { *libc::__errno_location() } as isize);
    }
    result as isize
}

/// What a process made by `clone_into` does; it never comes back.
pub type Life = extern "C" fn(*mut c_void) -> c_int;

/// Makes a process that shares our memory, in a control group, as a child of our parent. It begins with `life` on a stack of
/// its own, which ends at `top`. Gives its pid, or a negative number where that is not possible (before Linux 5.7).
///
/// # Safety
/// The stack and what `life` works with have to last as long as the process does.
#[cfg(target_arch = "x86_64")]
pub unsafe fn clone_into(group: c_int, life: Life, top: *mut c_void, given: *mut c_void) -> c_int {
    const CLONE_INTO_CGROUP: u64 = 1 << 33;
    /// How much of a stack the kernel is told of; it takes the address of the lowest byte and a size.
    const SIZE: u64 = 4096;
    let flags = libc::CLONE_VM.unsigned_abs() | libc::CLONE_PARENT.unsigned_abs();
    // struct clone_args: flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size,
    // cgroup. The exit signal is that of the process that asks, as always with CLONE_PARENT.
    let lowest = top.addr() as u64 - SIZE;
    let args = [u64::from(flags) | CLONE_INTO_CGROUP, 0, 0, 0, 0, lowest, SIZE, 0, 0, 0, group.unsigned_abs().into()];
    let result: isize;
    // SAFETY: the new process leaves this frame at once for its own stack and never returns; for us it is a system call.
    unsafe {
        std::arch::asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, r12",
            "call r13",
            "ud2",
            "2:",
            inlateout("rax") libc::SYS_clone3 => result,
            in("rdi") args.as_ptr(), in("rsi") size_of_val(&args),
            in("r12") given, in("r13") life,
            lateout("rcx") _, lateout("r11") _,
            options(nostack),
        );
    }
    c_int::try_from(result).unwrap_or(-1)
}

/// Not known for this processor: the child goes into its group by itself.
///
/// # Safety
/// None is needed.
#[cfg(not(target_arch = "x86_64"))]
pub unsafe fn clone_into(_: c_int, _: Life, _: *mut c_void, _: *mut c_void) -> c_int {
    -1
}
