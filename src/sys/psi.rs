//! A trigger for pressure stall information: the kernel's own word, within a window, that work has begun to wait.
//!
//! Written once and held open; `EPOLLPRI` comes at most once a window while the threshold is passed, and nothing has to be
//! read to take it. A window of whole two seconds needs no privilege since Linux 6.5; older kernels ask for CAP_SYS_RESOURCE.
//! ```text
//! some 200000 2000000
//! ```

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::libc;
use nix::sys::statfs::{PROC_SUPER_MAGIC, fstatfs};

/// Some task waited for a tenth of two seconds, in microseconds. Ends in a NUL, as the kernel's own example does.
const SOME: &[u8] = b"some 200000 2000000\0";

/// It fires until it is dropped.
#[derive(Debug)]
pub struct Trigger(File);

impl Trigger {
    /// Refuses what is not a file of the kernel: anything else would be written over.
    pub fn arm(path: &Path) -> io::Result<Self> {
        let mut file = OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(path)?;
        if fstatfs(&file)?.filesystem_type() != PROC_SUPER_MAGIC {
            return Err(io::ErrorKind::Unsupported.into());
        }
        file.write_all(SOME)?;
        Ok(Self(file))
    }
}

impl AsFd for Trigger {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::scratch::Scratch;
    use crate::sys::epoll::{Events, Interest, Poller};

    #[test]
    fn a_file_that_is_not_the_kernels_is_left_as_it_is() {
        let dir = Scratch::new();
        let path = dir.join("memory");
        let sample = "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n";
        std::fs::write(&path, sample).expect("a file can be written");
        let refused = Trigger::arm(&path).expect_err("no kernel listens to a plain file");
        assert_eq!(refused.kind(), io::ErrorKind::Unsupported);
        assert_eq!(std::fs::read_to_string(&path).expect("it is still there"), sample);
        assert!(Trigger::arm(&dir.join("missing")).is_err());
    }

    #[test]
    fn a_trigger_can_be_waited_for() {
        let trigger = match Trigger::arm(Path::new("/proc/pressure/memory")) {
            Ok(trigger) => trigger,
            Err(error) => return eprintln!("SKIPPED: this host takes no trigger: {error}"),
        };
        let poller = Poller::new().expect("epoll works");
        poller.add(&trigger, 5, Interest::Priority).expect("a trigger can be polled");
        let mut events = Events::default();
        poller.wait(&mut events, Some(Duration::ZERO)).expect("waiting works");
        assert!(events.iter().all(|ready| ready.token == 5 && !ready.hangup), "it is armed");
    }
}
