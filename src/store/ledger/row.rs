//! One row of the ledger: what is remembered of a service as 256 bytes of plain numbers, in this machine's byte order.

use std::time::Duration;

use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

use crate::model::{Ailment, Errand, Identity, Pause, Record, Wish};

use super::{BootId, ROW};

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct Row {
    pub crc: u32,
    pub sequence: u32,
    /// Hash of the service's id; 0 is a free row.
    pub key: u64,
    pub boot: BootId,
    start_ticks: u64,
    command_ticks: u64,
    until: u64,
    attempt: u64,
    pause_mono: u64,
    pause_wall: u64,
    budget: u64,
    wait: u64,
    flags: u32,
    restarts: u32,
    pid: i32,
    command_pid: i32,
    level: u8,
    strikes: u8,
    spare: [u8; 6],
    comm: [u8; 16],
    /// The beginning of the id, for people with a hex viewer.
    name: [u8; 48],
    pressed: u64,
    rest: [u8; 40],
}

const _: () = assert!(size_of::<Row>() == ROW);

const STOPPED: u32 = 1;
const HALTING: u32 = 1 << 1;
const STARTED: u32 = 1 << 2;
const OWN: u32 = 1 << 3;
const SEEKING: u32 = 1 << 4;
const COMMAND_STOPS: u32 = 1 << 5;
const PAUSED: u32 = 1 << 6;
const NOT_READY: u32 = 1 << 7;
const UNHEALTHY: u32 = 1 << 8;
const HEARD: u32 = 1 << 9;

pub(super) fn checksum(row: &Row) -> u32 {
    crc32fast::hash(row.as_bytes().get(4..).unwrap_or_default())
}

/// FNV-1a; never 0.
pub(super) fn key(id: &str) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in id.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash.max(1)
}

/// Nanoseconds; `MAX` for what lies beyond 500 years.
fn nanos(moment: Duration) -> u64 {
    u64::try_from(moment.as_nanos()).unwrap_or(u64::MAX)
}

fn moment(nanos: u64) -> Duration {
    if nanos == u64::MAX { Duration::MAX } else { Duration::from_nanos(nanos) }
}

impl Row {
    pub fn new(id: &str, record: &Record, boot: BootId) -> Self {
        let mut row = Self::new_zeroed();
        let flags = [
            (record.wish == Wish::Stopped, STOPPED),
            (record.halting, HALTING),
            (record.started, STARTED),
            (record.own, OWN),
            (record.seeking, SEEKING),
            (record.command.is_some_and(|(errand, _)| errand == Errand::Stop), COMMAND_STOPS),
            (record.pause.is_some(), PAUSED),
            (record.ailment == Some(Ailment::NotReady), NOT_READY),
            (record.ailment == Some(Ailment::Unhealthy), UNHEALTHY),
            (record.heard, HEARD),
        ];
        row.flags = flags.iter().filter(|(set, _)| *set).map(|(_, flag)| flag).sum();
        (row.key, row.boot) = (key(id), boot);
        if let Some(identity) = record.identity {
            (row.pid, row.start_ticks) = (identity.pid, identity.start_ticks);
        }
        if let Some((_, command)) = record.command {
            (row.command_pid, row.command_ticks) = (command.pid, command.start_ticks);
        }
        if let Some(pause) = record.pause {
            (row.pause_mono, row.pause_wall) = (nanos(pause.mono), nanos(pause.wall));
        }
        (row.until, row.attempt) = (nanos(record.until), nanos(record.attempt));
        (row.budget, row.wait) = (nanos(record.budget), nanos(record.wait));
        (row.level, row.strikes, row.restarts) = (record.level, record.strikes, record.restarts);
        row.comm = record.comm;
        row.pressed = record.pressed.map_or(0, nanos);
        for (to, from) in row.name.iter_mut().zip(id.bytes()) {
            *to = from;
        }
        row
    }

    pub fn record(&self) -> Record {
        let has = |flag| self.flags & flag != 0;
        let identity = |pid, start_ticks| (pid > 0).then_some(Identity { pid, start_ticks });
        let errand = if has(COMMAND_STOPS) { Errand::Stop } else { Errand::Start };
        Record {
            wish: if has(STOPPED) { Wish::Stopped } else { Wish::Up },
            halting: has(HALTING),
            ailment: match (has(NOT_READY), has(UNHEALTHY)) {
                (true, _) => Some(Ailment::NotReady),
                (false, true) => Some(Ailment::Unhealthy),
                (false, false) => None,
            },
            started: has(STARTED),
            own: has(OWN),
            seeking: has(SEEKING),
            identity: identity(self.pid, self.start_ticks),
            command: identity(self.command_pid, self.command_ticks).map(|command| (errand, command)),
            until: moment(self.until),
            attempt: moment(self.attempt),
            pause: has(PAUSED).then(|| Pause { mono: moment(self.pause_mono), wall: moment(self.pause_wall) }),
            budget: moment(self.budget),
            wait: moment(self.wait),
            level: self.level,
            strikes: self.strikes,
            restarts: self.restarts,
            heard: has(HEARD),
            pressed: (self.pressed > 0).then(|| moment(self.pressed)),
            comm: self.comm,
        }
    }
}
