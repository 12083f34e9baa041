//! Landlock: the kernel's own wall around what a process may do with files, ports, sockets and signals, whoever it is.
//!
//! A second wall behind the list of system calls (`seccomp`): it holds what goes on inside calls that are allowed, and would hold
//! if a call were forgotten there. Nothing is allowed, so there are no rules; descriptors that are open go on to work. Each kernel
//! knows a version of it, from 5.13 on, and is asked for all that its version can refuse. Where there is none, the caller is told.

use std::io;

/// From the kernel's `linux/landlock.h`: the struct in the form of version 6, of which older kernels take the beginning.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Refused {
    files: u64,
    ports: u64,
    scopes: u64,
}

/// Asks for the version instead of making a set of rules.
const ASK_VERSION: libc::c_uint = 1;

/// Everything that this version can refuse, and how much of the struct it knows.
fn all_of(version: i64) -> (Refused, usize) {
    let bits = |count: u32| (1_u64 << count) - 1;
    let files = match version {
        ..=1 => bits(13),
        // REFER: links and renames between directories.
        2 => bits(14),
        // TRUNCATE.
        3 | 4 => bits(15),
        // IOCTL_DEV.
        _ => bits(16),
    };
    // BIND_TCP and CONNECT_TCP.
    let ports = if version >= 4 { bits(2) } else { 0 };
    // Abstract Unix sockets and signals that lead out.
    let scopes = if version >= 6 { bits(2) } else { 0 };
    let size = match version {
        ..=3 => 8,
        4 | 5 => 16,
        _ => 24,
    };
    (Refused { files, ports, scopes }, size)
}

/// The version that the kernel offers; none where it has no Landlock, or it was not switched on at boot.
pub fn version() -> Option<i64> {
    // SAFETY: asks for a number; no memory is read.
    let version =
        unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<Refused>(), 0_usize, ASK_VERSION) };
    (version > 0).then_some(version)
}

/// Takes everything from this process, and from what it starts, that the kernel's version can take. `no_new_privs` must be set.
/// Gives the version; none where there is no Landlock.
pub fn confine() -> io::Result<Option<i64>> {
    let Some(version) = version() else { return Ok(None) };
    let (refused, size) = all_of(version);
    // SAFETY: the kernel reads `size` bytes of a struct that has as many.
    let rules = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, &raw const refused, size, 0_u32) };
    let rules = i32::try_from(rules).ok().filter(|fd| *fd >= 0).ok_or_else(io::Error::last_os_error)?;
    // SAFETY: takes a descriptor that we have just been given.
    let result = unsafe { libc::syscall(libc::SYS_landlock_restrict_self, rules, 0_u32) };
    let result = if result == 0 { Ok(Some(version)) } else { Err(io::Error::last_os_error()) };
    // SAFETY: it is ours, and nobody else knows of it.
    unsafe { libc::close(rules) };
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;
    use crate::sys::fork;
    use nix::sys::wait::{WaitStatus, waitpid};
    use nix::unistd::Pid;
    use std::fs::File;
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn a_kernel_is_asked_for_what_it_knows_and_no_more() {
        for (version, files, ports, scopes, size) in [
            (1, 0x1fff, 0, 0, 8),
            (2, 0x3fff, 0, 0, 8),
            (3, 0x7fff, 0, 0, 8),
            (4, 0x7fff, 3, 0, 16),
            (5, 0xffff, 3, 0, 16),
            (6, 0xffff, 3, 3, 24),
            (99, 0xffff, 3, 3, 24),
        ] {
            assert_eq!(all_of(version), (Refused { files, ports, scopes }, size), "version {version}");
        }
    }

    /// Whether a confined child got its way.
    fn succeeds(work: impl FnOnce() -> bool) -> bool {
        let pid = fork::split(move || {
            let confined = nix::sys::prctl::set_no_new_privs().is_ok() && confine().is_ok();
            fork::leave(if !confined {
                9
            } else if work() {
                0
            } else {
                1
            })
        });
        let pid = pid.expect("a child can be made");
        match waitpid(Pid::from_raw(pid), None).expect("it was our child") {
            WaitStatus::Exited(_, 9) => panic!("it could not be confined"),
            WaitStatus::Exited(_, code) => code == 0,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn alone_it_refuses_files_ports_and_signals() {
        let Some(version) = version() else {
            eprintln!("SKIPPED: this kernel has no Landlock");
            return;
        };
        let base = Scratch::new();
        let (file, listener) = (base.join("file"), TcpListener::bind("127.0.0.1:0").expect("there is a port"));
        std::fs::write(&file, "text").expect("it can be written");
        let address = listener.local_addr().expect("it is bound");
        let mut open = File::options().append(true).open(&file).expect("it opens");
        assert!(succeeds(|| open.write_all(b"x").is_ok()), "what is open goes on to work");
        assert!(!succeeds(|| File::open(&file).is_ok()), "read a file");
        assert!(!succeeds(|| std::fs::write(base.join("new"), "x").is_ok()), "make a file");
        assert!(!succeeds(|| std::fs::remove_file(&file).is_ok()), "remove a file");
        assert!(!succeeds(|| std::fs::read_dir("/").is_ok()), "list a directory");
        assert!(!succeeds(|| std::process::Command::new("/bin/true").status().is_ok()), "run a program");
        if version >= 4 {
            assert!(!succeeds(|| TcpListener::bind("127.0.0.1:0").is_ok()), "listen");
            assert!(!succeeds(|| TcpStream::connect(address).is_ok()), "connect");
        }
        if version >= 6 {
            let parent = nix::unistd::getpid();
            assert!(!succeeds(|| nix::sys::signal::kill(parent, None).is_ok()), "signal its parent");
        }
        assert!(file.exists());
    }
}
