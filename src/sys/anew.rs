//! Becoming the same program anew: nothing that stood in memory or in the environment goes along, only descriptors and a letter.
//!
//! What a fork inherits cannot be wiped one by one: texts were moved, cut and freed. An exec leaves all of it behind. The program
//! is the one that runs, whatever stands under its name by now. The letter is a piece of memory with a descriptor, whose number is the
//! only argument.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};

use super::drop::{close_others, forget_signals};

/// No letter is longer.
const LARGEST: u64 = 1 << 20;

/// Goes on as `name` with the letter and what is kept, under the same numbers; all other descriptors are closed. Comes back only
/// when that failed, and then the caller must end.
pub fn begin(name: &CStr, letter: &[u8], keep: &[BorrowedFd<'_>]) -> io::Error {
    match try_begin(name, letter, keep) {
        Ok(never) => match never {},
        Err(error) => error,
    }
}

fn try_begin(name: &CStr, letter: &[u8], keep: &[BorrowedFd<'_>]) -> io::Result<std::convert::Infallible> {
    // A host may be told to allow no memory that could be run; kernels before 6.3 do not know the word.
    let memory = memfd_create(c"letter", MFdFlags::from_bits_retain(libc::MFD_NOEXEC_SEAL));
    let mut memory = File::from(memory.or_else(|_| memfd_create(c"letter", MFdFlags::empty()))?);
    memory.write_all(letter)?;
    memory.rewind()?;
    let kept: Vec<_> = keep.iter().copied().chain([memory.as_fd()]).collect();
    forget_signals()?;
    close_others(&kept)?;
    for fd in &kept {
        fcntl(fd, FcntlArg::F_SETFD(FdFlag::empty()))?;
    }
    let number = CString::new(memory.as_raw_fd().to_string())?;
    let environment: [&CStr; 0] = [];
    Ok(nix::unistd::execve(c"/proc/self/exe", &[name, number.as_c_str()], &environment)?)
}

/// The letter of the one before, by the argument that names it. To be called before any descriptor is opened.
pub fn letter(number: &str) -> io::Result<Vec<u8>> {
    let memory = number.parse().ok().and_then(take).ok_or(io::ErrorKind::NotFound)?;
    let mut bytes = Vec::new();
    File::from(memory).take(LARGEST).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Takes a descriptor that the letter names. To be called before any other is opened.
pub fn take(fd: i32) -> Option<OwnedFd> {
    if fd <= libc::STDERR_FILENO { None } else { super::handover::own(fd) }
}
