//! The terminal: is there one, how wide is it, and which key was pressed; and always left as it was found.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::termios::{self, LocalFlags, SetArg, Termios};

/// Whether it says of itself that nothing can be drawn on it: an editor's shell, a log of a build.
pub fn is_dumb() -> bool {
    std::env::var_os("TERM").is_some_and(|kind| kind == "dumb")
}

/// Columns and lines of the terminal on standard output; none when it is none.
pub fn size() -> Option<(usize, usize)> {
    nix::ioctl_read_bad!(window_size, libc::TIOCGWINSZ, libc::winsize);
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: TIOCGWINSZ writes one winsize, and nothing where there is no terminal.
    unsafe { window_size(libc::STDOUT_FILENO, &raw mut size) }.ok()?;
    (size.ws_col > 0 && size.ws_row > 0).then(|| (usize::from(size.ws_col), usize::from(size.ws_row)))
}

/// What came from the keyboard within a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    None,
    Byte(u8),
    Up,
    Down,
    /// Nobody is at the keyboard any more.
    End,
}

/// Whether somebody asked this command to end; for one that has something to put back first.
pub struct Ended(Arc<AtomicBool>);

impl Ended {
    /// From now on SIGINT, SIGTERM and SIGHUP only set the flag.
    pub fn register() -> io::Result<Self> {
        let flag = Arc::new(AtomicBool::new(false));
        for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
            signal_hook::flag::register(signal, Arc::clone(&flag))?;
        }
        Ok(Self(flag))
    }

    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The keyboard without line editing and echo, until dropped. Ctrl-C comes as a key and a signal to end as `Key::End`, so that
/// nobody leaves by a back door.
pub struct Keyboard {
    before: Termios,
    ended: Ended,
}

impl Keyboard {
    pub fn take() -> io::Result<Self> {
        let ended = Ended::register()?;
        let before = termios::tcgetattr(io::stdin())?;
        let mut raw = before.clone();
        raw.local_flags.remove(LocalFlags::ICANON | LocalFlags::ECHO | LocalFlags::ISIG);
        termios::tcsetattr(io::stdin(), SetArg::TCSANOW, &raw)?;
        Ok(Self { before, ended })
    }

    /// Waits for a key, no longer than told.
    pub fn wait(&self, within: Duration) -> io::Result<Key> {
        let stdin = io::stdin();
        let timeout = PollTimeout::try_from(within).unwrap_or(PollTimeout::MAX);
        let ready = poll(&mut [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)], timeout);
        if self.ended.is_set() {
            return Ok(Key::End);
        }
        match ready {
            Ok(0) | Err(nix::errno::Errno::EINTR) => return Ok(Key::None),
            Ok(_) => {}
            Err(errno) => return Err(errno.into()),
        }
        match byte()? {
            None => Ok(Key::End),
            Some(0x1b) if is_more()? => {
                Ok(sequence(&mut || if is_more().unwrap_or(false) { byte().ok().flatten() } else { None }))
            }
            Some(byte) => Ok(Key::Byte(byte)),
        }
    }
}

/// One byte of the keyboard; nothing in between keeps the next ones from `poll`.
fn byte() -> io::Result<Option<u8>> {
    let mut byte = [0];
    match nix::unistd::read(io::stdin(), &mut byte)? {
        0 => Ok(None),
        _ => Ok(byte.first().copied()),
    }
}

fn is_more() -> io::Result<bool> {
    Ok(poll(&mut [PollFd::new(io::stdin().as_fd(), PollFlags::POLLIN)], PollTimeout::ZERO)? > 0)
}

/// What terminals send for the arrows after an escape, in both of their modes. Other keys of more than one byte are nothing, and
/// taken whole.
fn sequence(next: &mut dyn FnMut() -> Option<u8>) -> Key {
    let Some(b'[' | b'O') = next() else { return Key::None };
    loop {
        match next() {
            Some(b'A') => return Key::Up,
            Some(b'B') => return Key::Down,
            Some(b'0'..=b'9' | b';') => {}
            _ => return Key::None,
        }
    }
}

impl Drop for Keyboard {
    fn drop(&mut self) {
        let _ = termios::tcsetattr(io::stdin(), SetArg::TCSANOW, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrows_are_told_from_other_keys_and_nothing_behind_them_is_lost() {
        let cases: &[(&[u8], Key, usize)] = &[
            (b"[Aj", Key::Up, 1),
            (b"OBq", Key::Down, 1),
            (b"[5~q", Key::None, 1),
            (b"[1;5Bq", Key::Down, 1),
            (b"[", Key::None, 0),
            (b"x", Key::None, 0),
            (b"", Key::None, 0),
        ];
        for (sent, expected, left) in cases {
            let mut bytes = sent.iter().copied();
            assert_eq!(sequence(&mut || bytes.next()), *expected, "{}", sent.escape_ascii());
            assert_eq!(bytes.len(), *left, "{}", sent.escape_ascii());
        }
    }
}
