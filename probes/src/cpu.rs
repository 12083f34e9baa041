//! Processor time and the other facts of /proc/stat: `cpu0 4705 150 1120 16250 520 30 45 0 0 0`, `ctxt 22848`.
//!
//! Times are seconds: ticks over `USER_HZ`, which is 100 on Linux. Multiplied by 100 and rounded they are the kernel's
//! ticks again, exact up to 2^50 of them. States an older kernel does not know are left out, not 0.
//! Guest time is also contained in user time, guest_nice in nice.

use crate::keys::{Finder, Keys};
use crate::metric::metrics;
use crate::{Cursor, Fault, Fields, Look, MetricId, ObjectId, Probe, Sink, Source, Value, lines};

metrics! { Cpu:
    USER: "user", Seconds, Counter, "watchd_cpu_total_seconds_total", "mode=\"user\"", "Time of all processors in programs of ordinary priority, guests included.";
    NICE: "nice", Seconds, Counter, "watchd_cpu_total_seconds_total", "mode=\"nice\"", "Time of all processors in programs of low priority.";
    SYSTEM: "system", Seconds, Counter, "watchd_cpu_total_seconds_total", "mode=\"system\"", "Time of all processors in the kernel.";
    IDLE: "idle", Seconds, Counter, "watchd_cpu_total_seconds_total", "mode=\"idle\"", "Time of all processors with nothing to do.";
    IOWAIT: "iowait", Seconds, Counter, "watchd_cpu_total_seconds_total", "mode=\"iowait\"", "Time of all processors idle while a task waited for a disk.";
    IRQ: "irq", Seconds, Counter, "watchd_cpu_total_seconds_total", "mode=\"irq\"", "Time of all processors in interrupts.";
    SOFTIRQ: "softirq", Seconds, Counter, "watchd_cpu_total_seconds_total", "mode=\"softirq\"", "Time of all processors in deferred interrupt work.";
    STEAL: "steal", Seconds, Counter, "watchd_cpu_total_seconds_total", "mode=\"steal\"", "Time the hypervisor gave to others while a processor was wanted here.";
    GUEST: "guest", Seconds, Counter, "watchd_cpu_total_seconds_total", "mode=\"guest\"", "Time of all processors in virtual machines, also contained in user.";
    GUEST_NICE: "guest_nice", Seconds, Counter, "watchd_cpu_total_seconds_total", "mode=\"guest_nice\"", "Time of all processors in virtual machines of low priority, also contained in nice.";
    CPUS: "cpus", Count, Gauge, "watchd_cpus_online", "", "Processors that are online.";
    CORE_USER: "core_user", Seconds, Counter, "node_cpu_seconds_total", "mode=\"user\"", "Time of one processor in programs of ordinary priority, guests included.";
    CORE_NICE: "core_nice", Seconds, Counter, "node_cpu_seconds_total", "mode=\"nice\"", "Time of one processor in programs of low priority.";
    CORE_SYSTEM: "core_system", Seconds, Counter, "node_cpu_seconds_total", "mode=\"system\"", "Time of one processor in the kernel.";
    CORE_IDLE: "core_idle", Seconds, Counter, "node_cpu_seconds_total", "mode=\"idle\"", "Time of one processor with nothing to do.";
    CORE_IOWAIT: "core_iowait", Seconds, Counter, "node_cpu_seconds_total", "mode=\"iowait\"", "Time of one processor idle while a task waited for a disk.";
    CORE_IRQ: "core_irq", Seconds, Counter, "node_cpu_seconds_total", "mode=\"irq\"", "Time of one processor in interrupts.";
    CORE_SOFTIRQ: "core_softirq", Seconds, Counter, "node_cpu_seconds_total", "mode=\"softirq\"", "Time of one processor in deferred interrupt work.";
    CORE_STEAL: "core_steal", Seconds, Counter, "node_cpu_seconds_total", "mode=\"steal\"", "Time the hypervisor gave to others while this processor was wanted.";
    CORE_GUEST: "core_guest", Seconds, Counter, "node_cpu_guest_seconds_total", "mode=\"user\"", "Time of one processor in virtual machines, also contained in user.";
    CORE_GUEST_NICE: "core_guest_nice", Seconds, Counter, "node_cpu_guest_seconds_total", "mode=\"nice\"", "Time of one processor in virtual machines of low priority, also contained in nice.";
    INTERRUPTS: "interrupts", Count, Counter, "node_intr_total", "", "Interrupts served, of all kinds.";
    CONTEXT_SWITCHES: "context_switches", Count, Counter, "node_context_switches_total", "", "Switches from one task to another.";
    BOOT_TIME: "boot_time", Seconds, Gauge, "node_boot_time_seconds", "", "When the kernel started, in seconds since 1970.";
    FORKS: "forks", Count, Counter, "node_forks_total", "", "Tasks created, threads included.";
    PROCS_RUNNING: "procs_running", Count, Gauge, "node_procs_running", "", "Tasks that run or could run, now.";
    PROCS_BLOCKED: "procs_blocked", Count, Gauge, "node_procs_blocked", "", "Tasks that wait for a disk, now.";
    SOFTIRQS: "softirqs", Count, Counter, "watchd_softirqs_total", "", "Pieces of deferred interrupt work, of all kinds.";
}
pub const LABELS: &[&str] = &["cpu"];

const PATH: &str = "proc/stat";

/// In the order of the columns.
const TOTAL: [MetricId; 10] = [USER, NICE, SYSTEM, IDLE, IOWAIT, IRQ, SOFTIRQ, STEAL, GUEST, GUEST_NICE];
const CORE: [MetricId; 10] = [
    CORE_USER,
    CORE_NICE,
    CORE_SYSTEM,
    CORE_IDLE,
    CORE_IOWAIT,
    CORE_IRQ,
    CORE_SOFTIRQ,
    CORE_STEAL,
    CORE_GUEST,
    CORE_GUEST_NICE,
];
/// Linux before 2.6 had the first four only.
const STATES_ALWAYS: usize = 4;

/// Lines with one number, or of which the first is the sum of the others.
static SINGLE: &Keys = &[
    ("intr", INTERRUPTS),
    ("ctxt", CONTEXT_SWITCHES),
    ("btime", BOOT_TIME),
    ("processes", FORKS),
    ("procs_running", PROCS_RUNNING),
    ("procs_blocked", PROCS_BLOCKED),
    ("softirq", SOFTIRQS),
];

pub struct Cpu {
    source: Source,
}

impl Default for Cpu {
    fn default() -> Self {
        Self { source: Source::new(PATH) }
    }
}

impl Probe for Cpu {
    fn read(&mut self, look: &mut Look<'_>, out: &mut Sink<'_>) -> Result<(), Fault> {
        give(self.source.read(look)?, out)
    }
}

fn give(text: &[u8], out: &mut Sink<'_>) -> Result<(), Fault> {
    let mut single = Finder::new(SINGLE);
    let (mut cpus, mut beyond) = (0, false);
    for (number, line) in lines(text) {
        let malformed = || Fault::malformed(PATH, number, line);
        let mut fields = Fields::new(line);
        let Some(word) = fields.next() else { continue };
        if word == b"cpu" {
            give_times(fields, ObjectId::HOST, &TOTAL, out).ok_or_else(malformed)?;
        } else if let Some(name) = core_name(word) {
            cpus += 1;
            if let Some(core) = out.object(&[name]) {
                give_times(fields, core, &CORE, out).ok_or_else(malformed)?;
            }
        } else {
            beyond = true;
            if let Some(metric) = single.find(word) {
                out.host(metric, fields.number().ok_or_else(malformed)?);
            }
        }
    }
    // Without a line behind them the list of processors may have been cut.
    if cpus > 0 && beyond {
        out.host(CPUS, cpus);
    }
    Ok(())
}

/// The `12` of `cpu12`.
fn core_name(word: &[u8]) -> Option<&[u8]> {
    let name = word.strip_prefix(b"cpu")?;
    Cursor::new(name).whole_number().map(|_| name)
}

fn give_times(mut fields: Fields<'_>, object: ObjectId, states: &[MetricId], out: &mut Sink<'_>) -> Option<()> {
    for (place, metric) in states.iter().enumerate() {
        if place >= STATES_ALWAYS && fields.rest().is_empty() {
            break;
        }
        out.put(object, *metric, Value::Float(seconds(fields.number()?)));
    }
    Some(())
}

/// Ticks to seconds.
#[allow(clippy::cast_precision_loss)]
pub(crate) fn seconds(ticks: u64) -> f64 {
    ticks as f64 / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ProbeId;
    use crate::trial::{readings, survives_every_cut, text_of, value};

    fn read(text: &[u8]) -> Result<Vec<crate::trial::Reading>, Fault> {
        readings(ProbeId::Cpu, |out| give(text, out))
    }

    #[test]
    fn a_modern_kernel_tells_ten_states_of_each_processor() {
        let rows = read(&text_of("vm", "proc/stat")).expect("well-formed");
        assert_eq!(value(&rows, "user", ""), Some(Value::Float(2745.66)));
        assert_eq!(value(&rows, "core_idle", "1"), Some(Value::Float(2776.01)));
        assert_eq!(value(&rows, "guest_nice", ""), Some(Value::Float(0.0)));
        assert_eq!(value(&rows, "cpus", ""), Some(Value::Int(2)));
        assert_eq!(value(&rows, "interrupts", ""), Some(Value::Int(5_318_291)));
        assert_eq!(value(&rows, "context_switches", ""), Some(Value::Int(16_984_814)));
        assert_eq!(value(&rows, "forks", ""), Some(Value::Int(230_930)));
        assert_eq!(value(&rows, "procs_running", ""), Some(Value::Int(3)));
        assert_eq!(value(&rows, "softirqs", ""), Some(Value::Int(20_210_323)));
    }

    #[test]
    fn states_an_old_kernel_does_not_know_are_absent() {
        let rows = read(&text_of("old", "proc/stat")).expect("well-formed");
        assert_eq!(value(&rows, "softirq", ""), Some(Value::Float(0.7)));
        assert_eq!(value(&rows, "steal", ""), None);
        assert_eq!(value(&rows, "core_steal", "0"), None);
        assert_eq!(value(&rows, "boot_time", ""), Some(Value::Int(1_767_225_540)));
    }

    #[test]
    fn thirty_two_processors_are_thirty_two_objects() {
        let rows = read(&text_of("big", "proc/stat")).expect("well-formed");
        assert_eq!(value(&rows, "cpus", ""), Some(Value::Int(32)));
        assert_eq!(value(&rows, "core_user", "31"), Some(Value::Float(385_802.46)));
    }

    #[test]
    fn ticks_are_recovered_from_seconds_exactly() {
        for ticks in [0, 1, 7, 99, 3_086_419_753, (1 << 50) - 1, (1 << 50) - 3] {
            let recovered = format!("{:.0}", seconds(ticks) * 100.0);
            assert_eq!(recovered, ticks.to_string());
        }
    }

    #[test]
    fn a_line_that_is_no_number_is_refused() {
        for text in ["cpu  1 2 x 4\n", "cpu  1 2 3\n", "cpu0 1 2 3 4 5 -6\n", "ctxt\n", "ctxt 99999999999999999999\n"] {
            assert!(read(text.as_bytes()).is_err(), "{text}");
        }
        assert_eq!(read(b"cpufreq 1\ncpu1x 1 2 3 4\n\nnews 5\n"), Ok(vec![]));
    }

    #[test]
    fn no_cut_gives_a_wrong_number() {
        for host in ["vm", "old"] {
            survives_every_cut(ProbeId::Cpu, &text_of(host, "proc/stat"), give);
        }
    }
}
