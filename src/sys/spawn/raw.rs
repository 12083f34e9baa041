//! System calls that touch nothing but their registers: a child that shares our memory shares `errno` as well, and must not
//! write there while we go on.
//!
//! Results are the kernel's own: a negative one is an error number. Where no instruction is known here, the C library's call
//! is taken, and only the number of an error may be wrong.

use std::ffi::c_long;

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
