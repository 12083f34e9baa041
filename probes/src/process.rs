//! All processes at once: how many there are in which state, their threads, their priorities.
//!
//! Every process costs a file (10 µs), and a second one for what it has locked in memory. So the whole table is gone through at
//! a pace, every 5 s at the most (locked memory: every minute), in slices of a few milliseconds per turn, and what the last complete
//! pass counted is repeated in between. Before the first complete pass nothing is known. Counts are of processes; kernel threads are
//! contained in all of them.

mod find;
mod marked;
mod stat;
mod survey;
mod walk;

use std::os::fd::BorrowedFd;
use std::time::Duration;

pub use find::{Pattern, find};
pub use marked::marked;
pub use stat::{Comm, Stat, stat};
pub use survey::{Seen, survey};
pub(crate) use walk::pid_of;
use walk::{Step, Walk};

use crate::host::read_small_at;
use crate::metric::metrics;
use crate::pace::stopwatch;
use crate::path::Path;
use crate::{Fault, Fields, Look, MetricId, Now, Pace, Probe, Sink, lines};

metrics! { Process:
    TOTAL: "total", Count, Gauge, "node_processes_pids", "", "Processes, kernel threads included.";
    RUNNABLE: "runnable", Count, Gauge, "node_processes_state", "state=\"R\"", "Processes that run or could run.";
    SLEEPING: "sleeping", Count, Gauge, "node_processes_state", "state=\"S\"", "Processes that sleep until something happens.";
    UNINTERRUPTIBLE: "uninterruptible", Count, Gauge, "node_processes_state", "state=\"D\"", "Processes that wait for a disk and cannot be woken.";
    IDLE: "idle", Count, Gauge, "node_processes_state", "state=\"I\"", "Processes that are idle kernel threads.";
    STOPPED: "stopped", Count, Gauge, "node_processes_state", "state=\"T\"", "Processes that were stopped by a signal.";
    TRACED: "traced", Count, Gauge, "node_processes_state", "state=\"t\"", "Processes that were stopped by a debugger.";
    ZOMBIE: "zombie", Count, Gauge, "node_processes_state", "state=\"Z\"", "Processes that have ended and wait for their parent to notice.";
    DEAD: "dead", Count, Gauge, "node_processes_state", "state=\"X\"", "Processes that are just vanishing.";
    PAGING: "paging", Count, Gauge, "node_processes_state", "state=\"W\"", "Processes that are being paged (kernels before 2.6).";
    THREADS: "threads", Count, Gauge, "watchd_processes_threads", "", "Threads of all processes.";
    KERNEL_THREADS: "kernel_threads", Count, Gauge, "watchd_processes_kernel_threads", "", "Kernel threads.";
    HIGH_PRIORITY: "high_priority", Count, Gauge, "watchd_processes_priority", "priority=\"high\"", "Processes with a nice value below 0.";
    LOW_PRIORITY: "low_priority", Count, Gauge, "watchd_processes_priority", "priority=\"low\"", "Processes with a nice value above 0.";
    MOST_PROCESSES: "most", Count, Gauge, "node_processes_max_processes", "", "How many numbers for processes there are.";
    MOST_THREADS: "most_threads", Count, Gauge, "node_processes_max_threads", "", "How many tasks there may be.";
    LOCKED: "locked", Count, Gauge, "watchd_processes_locked", "", "Processes that have locked memory.";
}
pub const LABELS: &[&str] = &[];

/// How long a turn may be kept by one pass; the first is let run longer so that there is something to show.
const SLICE: Duration = Duration::from_millis(4);
const FIRST_SLICE: Duration = Duration::from_millis(40);

/// The states and their letters.
const STATES: [(u8, MetricId); 9] = [
    (b'R', RUNNABLE),
    (b'S', SLEEPING),
    (b'D', UNINTERRUPTIBLE),
    (b'I', IDLE),
    (b'T', STOPPED),
    (b't', TRACED),
    (b'Z', ZOMBIE),
    (b'X', DEAD),
    (b'W', PAGING),
];

/// What an administrator changes, and then once.
const LIMITS: [(&str, MetricId); 2] =
    [("proc/sys/kernel/pid_max", MOST_PROCESSES), ("proc/sys/kernel/threads-max", MOST_THREADS)];
const LIMITS_EVERY: Duration = Duration::from_secs(60);

pub struct Process {
    counts: Pass<Counts>,
    locked: Pass<Locked>,
    limits: [Option<u64>; LIMITS.len()],
    limits_pace: Pace,
}

impl Default for Process {
    fn default() -> Self {
        let (counts, locked) = (Pass::default(), Pass::default());
        Self { counts, locked, limits: [None; LIMITS.len()], limits_pace: Pace::at_most_every(LIMITS_EVERY) }
    }
}

impl Probe for Process {
    fn read(&mut self, look: &mut Look<'_>, out: &mut Sink<'_>) -> Result<(), Fault> {
        if let Some(counts) = self.counts.advance(look)? {
            counts.give(out);
        }
        if let Some(Locked(number)) = self.locked.advance(look)? {
            out.host(LOCKED, *number);
        }
        let limits = &mut self.limits;
        // A kernel that does not tell them takes nothing from the rest.
        self.limits_pace.run(look.now, || {
            *limits = LIMITS.map(|(path, _)| look.host.read_number(path).ok().flatten());
        });
        for ((_, metric), limit) in LIMITS.into_iter().zip(self.limits) {
            if let Some(limit) = limit {
                out.host(metric, limit);
            }
        }
        Ok(())
    }

    fn age(&self, now: Now) -> Duration {
        self.counts.pace.age(now)
    }
}

/// What a pass adds up.
trait Tally: Default + Copy {
    /// However short the turns are, a pass begins no more often than this.
    const EVERY: Duration;

    fn take(&mut self, proc: BorrowedFd<'_>, pid: i32);
}

/// A walk over all processes that is spread over turns and repeated at a pace.
struct Pass<T> {
    walk: Walk,
    pace: Pace,
    /// Counted so far, and how long that took.
    running: T,
    spent: Duration,
    last: Option<T>,
}

impl<T: Tally> Default for Pass<T> {
    fn default() -> Self {
        let (running, spent) = (T::default(), Duration::ZERO);
        Self { walk: Walk::default(), pace: Pace::at_most_every(T::EVERY), running, spent, last: None }
    }
}

impl<T: Tally> Pass<T> {
    /// Goes on for a slice, if it is time, and gives the last complete result.
    fn advance(&mut self, look: &mut Look<'_>) -> Result<Option<&T>, Fault> {
        if self.pace.is_due(look.now) {
            let slice = if self.last.is_some() { SLICE } else { FIRST_SLICE };
            let start = stopwatch();
            loop {
                let running = &mut self.running;
                let step = self.walk.step(look.host, &mut |proc, pid| running.take(proc, pid));
                let passed = stopwatch().saturating_sub(start);
                match step {
                    Ok(Step::More) if passed < slice => {}
                    Ok(Step::More) => {
                        self.spent += passed;
                        break;
                    }
                    Ok(Step::End) => {
                        self.last = Some(std::mem::take(&mut self.running));
                        self.pace.took(look.now, std::mem::take(&mut self.spent) + passed);
                        break;
                    }
                    Err(fault) => {
                        *self = Self::default();
                        return Err(fault);
                    }
                }
            }
        }
        Ok(self.last.as_ref())
    }
}

#[derive(Clone, Copy, Default)]
struct Counts {
    total: u64,
    states: [u64; STATES.len()],
    threads: u64,
    kernel_threads: u64,
    high: u64,
    low: u64,
}

impl Tally for Counts {
    const EVERY: Duration = Duration::from_secs(5);

    fn take(&mut self, proc: BorrowedFd<'_>, pid: i32) {
        // One that ended since the directory was read is not counted.
        let Some(stat) = Stat::read_at(proc, pid) else { return };
        self.total += 1;
        self.threads += stat.threads;
        self.kernel_threads += u64::from(stat.is_kernel_thread());
        self.high += u64::from(stat.nice < 0);
        self.low += u64::from(stat.nice > 0);
        for (count, (letter, _)) in self.states.iter_mut().zip(STATES) {
            *count += u64::from(letter == stat.state);
        }
    }
}

impl Counts {
    fn give(&self, out: &mut Sink<'_>) {
        out.host(TOTAL, self.total);
        for (count, (_, metric)) in self.states.iter().zip(STATES) {
            out.host(metric, *count);
        }
        out.host(THREADS, self.threads);
        out.host(KERNEL_THREADS, self.kernel_threads);
        out.host(HIGH_PRIORITY, self.high);
        out.host(LOW_PRIORITY, self.low);
    }
}

#[derive(Clone, Copy, Default)]
struct Locked(u64);

impl Tally for Locked {
    // Nothing but a graph shows it, and no graph is drawn more often.
    const EVERY: Duration = Duration::from_secs(60);

    fn take(&mut self, proc: BorrowedFd<'_>, pid: i32) {
        let mut text = [0; 4096];
        let path = Path::new("").number(pid).text(b"/status");
        if let Ok(text) = read_small_at(proc, path.bytes(), &mut text) {
            self.0 += u64::from(has_locked(text));
        }
    }
}

/// Whether `VmLck:` of /proc/PID/status is above 0; kernel threads have no such line.
fn has_locked(text: &[u8]) -> bool {
    lines(text)
        .find_map(|(_, line)| Fields::new(line.strip_prefix(b"VmLck:")?).number())
        .is_some_and(|locked_kib| locked_kib > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trial::{read_fixture, value};
    use crate::{ProbeId, Value};

    #[test]
    fn a_whole_table_is_counted() {
        let rows = read_fixture("big", ProbeId::Process, &mut Process::default()).expect("readable");
        for (field, expect) in [
            ("total", 32),
            ("uninterruptible", 1),
            ("runnable", 2),
            ("sleeping", 21),
            ("idle", 4),
            ("stopped", 1),
            ("traced", 1),
            ("zombie", 2),
            ("dead", 0),
            ("threads", 122),
            ("kernel_threads", 6),
            ("high_priority", 3),
            ("low_priority", 2),
            ("locked", 2),
            ("most", 4_194_304),
            ("most_threads", 2_061_553),
        ] {
            assert_eq!(value(&rows, field, ""), Some(Value::Int(expect)), "{field}");
        }
    }

    #[test]
    fn locked_memory_is_told_by_its_line_alone() {
        for (text, expect) in [
            ("Name:\tVmLck: 5\nVmLck:\t       0 kB\n", false),
            ("VmPin:\t 9 kB\nVmLck:\t     132 kB\n", true),
            ("VmLck:\t     13", false),
            ("", false),
        ] {
            assert_eq!(has_locked(text.as_bytes()), expect, "{text}");
        }
    }
}
