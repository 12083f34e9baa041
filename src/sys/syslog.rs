//! Datagrams to the local system log. Never waits: a log that is full or gone is an error.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

/// Hands over one message.
pub fn send(socket: &Path, message: &[u8]) -> io::Result<()> {
    Voice::new()?.send(socket, message)
}

/// For more than one message.
pub struct Voice(UnixDatagram);

impl Voice {
    pub fn new() -> io::Result<Self> {
        let own = UnixDatagram::unbound()?;
        own.set_nonblocking(true)?;
        Ok(Self(own))
    }

    pub fn send(&self, socket: &Path, message: &[u8]) -> io::Result<()> {
        let sent = self.0.send_to(message, socket)?;
        if sent == message.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn a_log_that_is_full_or_gone_is_an_error_and_no_wait() {
        let scratch = Scratch::new();
        let path = scratch.join("log");
        assert!(send(&path, b"x").is_err(), "nobody is there");
        let log = UnixDatagram::bind(&path).expect("a socket can be bound");
        send(&path, b"<28>hello").expect("there is room");
        let mut message = [0; 64];
        assert_eq!(log.recv(&mut message).ok().and_then(|size| message.get(..size)), Some(&b"<28>hello"[..]));
        let fits = (0..100_000).take_while(|_| send(&path, &[b'x'; 512]).is_ok()).count();
        assert!(fits < 100_000, "a log that nobody reads fills up");
        drop(log);
        assert!(send(&path, b"x").is_err(), "nobody listens any more");
    }
}
