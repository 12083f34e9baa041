//! The clocks, and local time.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use crate::model::Now;

/// Reads both clocks. Monotonic time is CLOCK_BOOTTIME: a suspended host has not been watched, and deadlines know it.
pub fn now() -> Now {
    let read = |clock| clock_gettime(clock).map(Duration::from).unwrap_or_default();
    Now { mono: read(ClockId::CLOCK_BOOTTIME), wall: read(ClockId::CLOCK_REALTIME) }
}

/// Lets another process run.
pub fn give_way() {
    let _ = nix::sched::sched_yield();
}
