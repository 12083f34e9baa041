//! Reads what may be slow, in a child: chips behind a slow bus, which may hang as well, and the firewall's table of connections, which
//! may be too long to be read in a turn.
//!
//! The child writes a record for each thing it found and one that says that this was all. One that takes too long is told to die,
//! what it had not reached is unknown, and there is no other before the kernel has let go of it. Where it takes long it is seldom; on a
//! host that has none of this there is no child.

use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use watchd_probes::conntrack::{self, Conntrack, Table};
use watchd_probes::sensors::{self, Sensor};
use watchd_probes::{Buffer, Host, Pace, Probes};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

use crate::sys::fork::{Helper, kill_child};
use crate::sys::memory;

/// How long all of it together may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// What took so long is not done again before a hundred times as long has passed.
const SHARE: u32 = 100;
/// More sensors than this are not shown.
const MOST: usize = 500;

/// What the child writes; smaller than what a pipe takes at once, so it is never read in part.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Record {
    stage: u64,
    sensor: Sensor,
    table: Table,
}

const SENSOR: u64 = 1;
const TABLE: u64 = 2;
const END: u64 = 3;

/// The child at work, and one that is stuck.
#[derive(Default)]
pub struct Slow {
    asking: Option<Asking>,
    stuck: Option<i32>,
    next: Duration,
}

struct Asking {
    helper: Helper,
    started: Duration,
    found: Vec<Sensor>,
    table: Option<Table>,
    is_all: bool,
}

impl Slow {
    /// Starts a child when it is time and there is something to read: chips, or a table that is too long for a turn. Gives the descriptor
    /// to wait for.
    pub fn start(&mut self, host: &Host, table: &Conntrack, mono: Duration) -> Option<BorrowedFd<'_>> {
        if mono < self.next || self.asking.is_some() || self.stuck.is_some() {
            return None;
        }
        self.next = mono + Pace::USUAL;
        if !table.is_long() && !sensors::is_present(host) {
            return None;
        }
        let helper = Helper::start(&[host.root()], |output| {
            memory::trim_text();
            let mut say = |stage, sensor: Option<&Sensor>, table: Option<Table>| {
                let sensor = sensor.copied().unwrap_or_else(Sensor::new_zeroed);
                let record = Record { stage, sensor, table: table.unwrap_or_default() };
                // Nobody listens any more, and the next write will tell the same.
                let _ = output.write_all(record.as_bytes());
            };
            // What can hang comes last.
            if let Some(table) = table.is_long().then(|| conntrack::ask(host, &mut Buffer::default())).flatten() {
                say(TABLE, None, Some(table));
            }
            sensors::ask(host, &mut |sensor| say(SENSOR, Some(sensor), None));
            say(END, None, None);
        });
        let asking = Asking { helper: helper.ok()?, started: mono, found: Vec::new(), table: None, is_all: false };
        Some(self.asking.insert(asking).helper.output.as_fd())
    }

    /// Takes what the child has written.
    pub fn advance(&mut self, probes: &mut Probes, mono: Duration) {
        let Some(asking) = &mut self.asking else { return };
        loop {
            let mut record = Record::new_zeroed();
            match asking.helper.output.read(record.as_mut_bytes()) {
                Ok(read) if read == size_of::<Record>() => match record.stage {
                    SENSOR if asking.found.len() < MOST => asking.found.push(record.sensor),
                    TABLE => asking.table = Some(record.table),
                    END => asking.is_all = true,
                    _ => {}
                },
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Ok(_) | Err(_) => break,
            }
        }
        self.end(probes, mono);
    }

    /// Gives what there is to the probes. Closing the pipe takes it out of the poller.
    fn end(&mut self, probes: &mut Probes, mono: Duration) {
        let Some(asking) = self.asking.take() else { return };
        probes.sensors.supply(&asking.found, asking.is_all, asking.started);
        if probes.conntrack.is_long() {
            probes.conntrack.supply(asking.table, asking.started);
        }
        self.next = self.next.max(mono + mono.saturating_sub(asking.started) * SHARE);
    }

    /// When the child has had enough time.
    pub fn deadline(&self) -> Option<Duration> {
        self.asking.as_ref().map(|asking| asking.started + PATIENCE)
    }

    /// Gives a child up that took too long.
    pub fn expire(&mut self, probes: &mut Probes, mono: Duration) {
        if let Some(asking) = self.asking.as_ref().filter(|asking| asking.started + PATIENCE <= mono) {
            kill_child(asking.helper.pid);
            self.stuck = Some(asking.helper.pid);
            self.end(probes, mono);
        }
    }

    /// A child has ended: if it was the one that was stuck, there may be another.
    pub fn on_child(&mut self, pid: i32) {
        self.stuck.take_if(|stuck| *stuck == pid);
    }
}
