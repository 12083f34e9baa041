//! Asks foreign file systems (network, FUSE) for their space, in a child: a server that is gone makes statvfs wait for ever.
//!
//! One child asks all mounts in turn and writes a record before and after each. When it has not finished in time, the mount it is
//! stuck on is called hung, the child is told to die, and that mount is left alone until the kernel lets go of the child. At
//! most `STUCK_MAX` children are ever stuck.

use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use watchd_probes::Host;
use watchd_probes::filesystem::{Answer, Filesystem, MountKey, Space, ask};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

use crate::sys::fork::{Helper, kill_child};
use crate::sys::memory;

/// How long all mounts together may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// Children that may be stuck at once; each holds about 0.2 MB.
const STUCK_MAX: usize = 3;

/// What the child writes.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Record {
    place: u32,
    stage: u32,
    space: Space,
}

const BEGUN: u32 = 0;
const ANSWERED: u32 = 1;
const REFUSED: u32 = 2;

/// The child at work, and those that are stuck.
#[derive(Default)]
pub struct Mounts {
    asking: Option<Asking>,
    stuck: heapless::Vec<(i32, MountKey), STUCK_MAX>,
}

struct Asking {
    helper: Helper,
    keys: Vec<MountKey>,
    deadline: Duration,
    /// The mount being asked.
    current: Option<MountKey>,
}

impl Mounts {
    /// Starts a round when there is something to ask and nobody asks; gives the descriptor to wait for.
    pub fn start(&mut self, host: &Host, probe: &Filesystem, mono: Duration) -> Option<BorrowedFd<'_>> {
        if self.asking.is_some() || self.stuck.is_full() {
            return None;
        }
        let is_stuck = |key: &MountKey| self.stuck.iter().any(|(_, stuck)| stuck == key);
        let keys: Vec<_> = probe.foreign().map(|(key, _)| key).filter(|key| !is_stuck(key)).collect();
        if keys.is_empty() {
            return None;
        }
        let helper = Helper::start(&[host.root()], |output| {
            memory::trim_text();
            for (place, key) in keys.iter().enumerate() {
                let Some((_, point)) = probe.foreign().find(|(other, _)| other == key) else { continue };
                let mut record = Record { place: u32::try_from(place).unwrap_or(u32::MAX), ..Record::new_zeroed() };
                let begun = output.write_all(record.as_bytes());
                match ask(host, point) {
                    Ok(space) => (record.stage, record.space) = (ANSWERED, space),
                    Err(_) => record.stage = REFUSED,
                }
                if begun.and_then(|()| output.write_all(record.as_bytes())).is_err() {
                    return;
                }
            }
        });
        let asking = Asking { helper: helper.ok()?, keys, deadline: mono + PATIENCE, current: None };
        Some(self.asking.insert(asking).helper.output.as_fd())
    }

    /// Takes what the child has written. True when the round is over and its descriptor with it.
    pub fn advance(&mut self, probe: &mut Filesystem) -> bool {
        let Some(asking) = &mut self.asking else { return true };
        loop {
            let mut record = Record::new_zeroed();
            // A record is smaller than what a pipe writes at once, so it is never read in part.
            match asking.helper.output.read(record.as_mut_bytes()) {
                Ok(read) if read == size_of::<Record>() => asking.take(&record, probe),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return false,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Ok(_) | Err(_) => break,
            }
        }
        self.asking = None;
        true
    }

    /// When the child has had enough time.
    pub fn deadline(&self) -> Option<Duration> {
        self.asking.as_ref().map(|asking| asking.deadline)
    }

    /// Gives a child up that took too long. True when the round is over and its descriptor with it.
    pub fn expire(&mut self, probe: &mut Filesystem, mono: Duration) -> bool {
        let Some(asking) = self.asking.take_if(|asking| asking.deadline <= mono) else { return false };
        kill_child(asking.helper.pid);
        if let Some(key) = asking.current {
            probe.supply(key, Answer::Hung);
            let _ = self.stuck.push((asking.helper.pid, key));
        }
        true
    }

    /// A child has ended: the mount it was stuck on may be asked again.
    pub fn on_child(&mut self, pid: i32) {
        self.stuck.retain(|(stuck, _)| *stuck != pid);
    }
}

impl Asking {
    fn take(&mut self, record: &Record, probe: &mut Filesystem) {
        let place = usize::try_from(record.place).unwrap_or(usize::MAX);
        let Some(key) = self.keys.get(place).copied() else { return };
        self.current = (record.stage == BEGUN).then_some(key);
        match record.stage {
            ANSWERED => probe.supply(key, Answer::Space(record.space)),
            REFUSED => probe.supply(key, Answer::Failed),
            _ => {}
        }
    }
}
