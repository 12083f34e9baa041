//! A socket on which one service tells how it is: datagrams that come with the pid the kernel vouches for.
//!
//! Only the account of the service can write to it. A datagram that is too long or comes without a pid counts as none; descriptors
//! that come along are closed by the kernel, because there is no room for them.

use std::fs::Permissions;
use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use nix::sys::socket::{setsockopt, sockopt::PassCred};

/// A bound socket; its name goes with it.
#[derive(Debug)]
pub struct Ear {
    socket: UnixDatagram,
    path: PathBuf,
}

/// Room for one control message with credentials.
#[repr(C, align(8))]
struct Control([u8; 64]);

/// What came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    pub len: usize,
    /// The sender, as the kernel has it; none when nobody is named or the text was cut.
    pub pid: Option<i32>,
}

impl Ear {
    /// Takes the place of whatever has this name. Without an account it stays our own's.
    pub fn open(path: &Path, account: Option<(u32, u32)>) -> io::Result<Self> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let socket = UnixDatagram::bind(path)?;
        Self::tune(socket, path, account)
    }

    /// Goes on with one that was left to us, and with what is in its queue; none when its name is not this one or not there any more.
    pub fn keep(socket: UnixDatagram, path: &Path, account: Option<(u32, u32)>) -> Option<Self> {
        let is_named = socket.local_addr().is_ok_and(|name| name.as_pathname() == Some(path));
        let is_there = std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
        if is_named && is_there { Self::tune(socket, path, account).ok() } else { None }
    }

    fn tune(socket: UnixDatagram, path: &Path, account: Option<(u32, u32)>) -> io::Result<Self> {
        let ear = Self { socket, path: path.to_owned() };
        ear.socket.set_nonblocking(true)?;
        setsockopt(&ear.socket, PassCred, &true)?;
        if let Some((uid, gid)) = account {
            std::os::unix::fs::chown(path, Some(uid), Some(gid))?;
        }
        std::fs::set_permissions(path, Permissions::from_mode(0o600))?;
        Ok(ear)
    }

    /// The next datagram; none when there is none.
    pub fn hear(&self, buffer: &mut [u8]) -> Option<Heard> {
        let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
        let mut control = Control([0; 64]);
        // SAFETY: msghdr is plain data for which zeros are valid.
        let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
        (message.msg_iov, message.msg_iovlen) = (&raw mut part, 1);
        message.msg_control = (&raw mut control).cast();
        // Not a byte more: a descriptor that is sent along finds no room and is closed.
        // SAFETY: only computes a size.
        message.msg_controllen = unsafe { libc::CMSG_SPACE(u32::try_from(size_of::<libc::ucred>()).ok()?) } as _;
        let flags = libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
        // SAFETY: `message` points at a buffer and a control space of ours that outlive the call.
        let len = unsafe { libc::recvmsg(self.socket.as_raw_fd(), &raw mut message, flags) };
        let len = usize::try_from(len).ok()?;
        let pid = (message.msg_flags & libc::MSG_TRUNC == 0).then(|| sender(&message)).flatten();
        Some(Heard { len, pid })
    }
}

/// The pid in the control message.
fn sender(message: &libc::msghdr) -> Option<i32> {
    // SAFETY: recvmsg has filled in the control space that `message` points at; the kernel writes whole messages only.
    let header = unsafe { libc::CMSG_FIRSTHDR(message).as_ref() }?;
    if header.cmsg_level != libc::SOL_SOCKET || header.cmsg_type != libc::SCM_CREDENTIALS {
        return None;
    }
    // SAFETY: a message of this type holds one ucred, which need not be aligned.
    let credentials = unsafe { std::ptr::read_unaligned(libc::CMSG_DATA(header).cast::<libc::ucred>()) };
    (credentials.pid > 0).then_some(credentials.pid)
}

impl AsFd for Ear {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;
    use nix::sys::socket::{ControlMessage, MsgFlags, UnixAddr, sendmsg};
    use std::io::IoSlice;

    #[test]
    fn a_datagram_comes_with_its_sender_and_nothing_else() {
        let scratch = Scratch::new();
        let path = scratch.join("ear");
        std::fs::write(&path, "left over").expect("a file can be written");
        let ear = Ear::open(&path, None).expect("a socket can be made");
        let mut buffer = [0; 32];
        assert_eq!(ear.hear(&mut buffer), None);
        let voice = UnixDatagram::unbound().expect("a socket can be made");
        voice.send_to(b"READY=1", &path).expect("it takes a datagram");
        let own = i32::try_from(std::process::id()).expect("pids are small");
        assert_eq!(ear.hear(&mut buffer), Some(Heard { len: 7, pid: Some(own) }));
        voice.send_to(&[b'x'; 33], &path).expect("it takes a datagram");
        assert_eq!(ear.hear(&mut buffer), Some(Heard { len: 32, pid: None }), "cut");
        let (before, lent) = (open_fds(), [voice.as_raw_fd(); 20]);
        let to = UnixAddr::new(&path).expect("a path");
        let fds = [ControlMessage::ScmRights(&lent)];
        sendmsg(voice.as_raw_fd(), &[IoSlice::new(b"FDSTORE=1")], &fds, MsgFlags::empty(), Some(&to)).expect("sent");
        assert_eq!(ear.hear(&mut buffer), Some(Heard { len: 9, pid: Some(own) }));
        assert!(open_fds() <= before + 8, "other tests of this process open some, but not twenty");
        // Another takes it up, with what waits in it, under its own name only.
        voice.send_to(b"STATUS=late", &path).expect("it takes a datagram");
        assert!(Ear::keep(lent_of(&ear), &scratch.join("other"), None).is_none() && path.exists());
        let kept = Ear::keep(lent_of(&ear), &path, None).expect("it is the same");
        assert_eq!(kept.hear(&mut buffer), Some(Heard { len: 11, pid: Some(own) }));
        drop(ear);
        assert!(!path.exists());
        assert!(Ear::keep(lent_of(&kept), &path, None).is_none(), "nobody could reach it");
    }

    fn lent_of(ear: &Ear) -> UnixDatagram {
        ear.socket.try_clone().expect("it can be cloned")
    }

    fn open_fds() -> usize {
        std::fs::read_dir("/proc/self/fd").expect("/proc is there").count()
    }
}
