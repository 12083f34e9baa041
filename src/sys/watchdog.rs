//! The kernel's watchdog device: the machine is reset when nobody has written to it for its time-out.
//!
//! ```text
//! write "\0"   it is fed          write "V", then close   it is switched off, by drivers that know the sign
//! ```
//! Closed without the sign, as the kernel does when we die, it goes on counting: that is what it is there for.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

nix::ioctl_read!(
    /// Seconds until the reset.
    get_timeout, b'W', 7, libc::c_int
);

/// What most drivers begin with; taken for one that does not tell.
const USUAL: Duration = Duration::from_secs(60);

/// An armed watchdog.
#[derive(Debug)]
pub struct Device {
    file: File,
    timeout: Duration,
}

impl Device {
    /// Opens it, which arms it. What is no device, and no pipe that stands for one, is refused: it would grow for ever.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().write(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)?;
        let kind = file.metadata()?.file_type();
        if kind.is_file() || kind.is_dir() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no device"));
        }
        let mut seconds = 0;
        // SAFETY: the call writes one int, and there is one; what is no watchdog refuses.
        let asked = unsafe { get_timeout(file.as_raw_fd(), &raw mut seconds) };
        let timeout = u64::try_from(seconds).ok().filter(|seconds| asked.is_ok() && *seconds > 0);
        Ok(Self { file, timeout: timeout.map_or(USUAL, Duration::from_secs) })
    }

    pub fn feed(&mut self) -> io::Result<()> {
        self.file.write_all(b"\0")
    }

    /// The machine is reset so long after it was fed last.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Switches it off.
    pub fn disarm(mut self) -> io::Result<()> {
        self.file.write_all(b"V")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;
    use std::io::Read;

    #[test]
    fn it_is_fed_and_switched_off_by_its_signs() {
        let base = Scratch::new();
        let path = base.join("watchdog");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).expect("a pipe can be made");
        assert!(Device::open(&path).is_err(), "nobody is at its other end");
        let mut other = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&path).expect("it opens");
        let mut device = Device::open(&path).expect("somebody is there now");
        assert_eq!(device.timeout(), USUAL);
        device.feed().and_then(|()| device.feed()).expect("it is fed");
        device.disarm().expect("it is switched off");
        let mut bytes = Vec::new();
        other.read_to_end(&mut bytes).expect("its end was closed");
        assert_eq!(bytes, b"\0\0V");
    }

    #[test]
    fn what_would_grow_is_no_watchdog() {
        let base = Scratch::new();
        base.write("file", "");
        assert_eq!(Device::open(&base.join("file")).err().map(|error| error.kind()), Some(io::ErrorKind::InvalidInput));
    }
}
