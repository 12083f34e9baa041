//! A private line between two processes of ours: whole messages in both directions, each with a descriptor if need be.
//!
//! Neither end ever waits: what does not fit is refused, what is not there is `WouldBlock`.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, recv, recvmsg, send, sendmsg,
    socketpair,
};

/// One end.
#[derive(Debug)]
pub struct Line(OwnedFd);

impl Line {
    /// Both ends.
    pub fn pair() -> io::Result<(Self, Self)> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let (one, other) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?;
        Ok((Self(one), Self(other)))
    }

    pub fn say(&self, message: &[u8]) -> io::Result<()> {
        send(self.0.as_raw_fd(), message, MsgFlags::MSG_NOSIGNAL)?;
        Ok(())
    }

    /// Says something and hands over a descriptor.
    pub fn hand_over(&self, message: &[u8], fd: BorrowedFd<'_>) -> io::Result<()> {
        let fds = [fd.as_raw_fd()];
        let control = [ControlMessage::ScmRights(&fds)];
        sendmsg::<()>(self.0.as_raw_fd(), &[IoSlice::new(message)], &control, MsgFlags::MSG_NOSIGNAL, None)?;
        Ok(())
    }

    /// Takes the next message alone: the kernel closes descriptors that come along, for which there is no room. For a line to
    /// whom we do not trust.
    pub fn hear_words(&self, message: &mut [u8]) -> io::Result<usize> {
        Ok(recv(self.0.as_raw_fd(), message, MsgFlags::empty())?)
    }

    /// Takes the next message and what came with it. No bytes mean that the other end is gone.
    pub fn hear(&self, message: &mut [u8]) -> io::Result<(usize, Option<OwnedFd>)> {
        let mut space = nix::cmsg_space!([RawFd; 1]);
        let mut pieces = [IoSliceMut::new(message)];
        let heard = recvmsg::<()>(self.0.as_raw_fd(), &mut pieces, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC)?;
        let mut got = None;
        for control in heard.cmsgs().into_iter().flatten() {
            if let ControlMessageOwned::ScmRights(fds) = control {
                for fd in fds {
                    // SAFETY: the kernel has just made this descriptor for us; nobody else knows of it.
                    got = Some(unsafe { OwnedFd::from_raw_fd(fd) });
                }
            }
        }
        Ok((heard.bytes, got))
    }
}

impl From<OwnedFd> for Line {
    fn from(fd: OwnedFd) -> Self {
        Self(fd)
    }
}

impl AsFd for Line {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn descriptors_that_nobody_asked_for_are_closed() {
        let (one, other) = Line::pair().expect("a pair can be made");
        let fds = || std::fs::read_dir("/proc/self/fd").expect("/proc is there").count();
        let before = fds();
        let lent = [other.0.as_raw_fd(); 3];
        for _ in 0..50 {
            let control = [ControlMessage::ScmRights(&lent)];
            let sent =
                sendmsg::<()>(other.0.as_raw_fd(), &[IoSlice::new(b"x")], &control, MsgFlags::MSG_NOSIGNAL, None);
            assert_eq!(sent, Ok(1));
            assert_eq!(one.hear_words(&mut [0; 8]).ok(), Some(1));
        }
        assert!(fds() <= before + 20, "other tests of this process open some, but not a hundred");
    }

    #[test]
    fn messages_arrive_whole_and_with_their_descriptors() {
        let (one, other) = Line::pair().expect("a pair can be made");
        let mut bytes = [0; 8];
        assert_eq!(one.hear(&mut bytes).err().map(|error| error.kind()), Some(io::ErrorKind::WouldBlock));
        other.say(b"first").and_then(|()| other.say(b"second")).expect("there is room");
        assert_eq!(one.hear(&mut bytes).map(|(len, fd)| (len, fd.is_some())).ok(), Some((5, false)));
        assert_eq!(one.hear(&mut bytes).map(|(len, _)| len).ok(), Some(6));
        let (reader, writer) = nix::unistd::pipe().expect("a pipe can be made");
        one.hand_over(b"x", reader.as_fd()).expect("there is room");
        drop(reader);
        let (_, got) = other.hear(&mut bytes).expect("it has come");
        nix::unistd::write(&writer, b"words").expect("a pipe takes it");
        drop(writer);
        let mut text = String::new();
        std::fs::File::from(got.expect("a descriptor came")).read_to_string(&mut text).expect("it is text");
        assert_eq!(text, "words");
        drop(one);
        assert_eq!(other.hear(&mut bytes).map(|(len, _)| len).ok(), Some(0));
    }
}
