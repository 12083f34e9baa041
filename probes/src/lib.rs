//! What one Linux host can say about itself: the ground floor of watchd.
//!
//! One file per source. A probe reads through [`Look`], parses, and gives typed readings to a [`Sink`]; it
//! never allocates after its first turn, never writes, and never calls what may hang. Adding a probe is one new file
//! and one line in the roster below; names, units, help, exports and tests are derived from its table of metrics.

#![forbid(unsafe_code)]

mod fault;
mod host;
mod keys;
mod metric;
mod pace;
mod path;
mod sample;
mod text;
#[cfg(test)]
mod trial;

pub mod connections;
pub mod inventory;
pub mod listeners;
pub mod table;

pub use fault::Fault;
pub use host::{Buffer, Host, Look, Now, Source};
pub use metric::{Kind, Metric, MetricId, Unit};
pub use pace::Pace;
pub use sample::{Object, ObjectId, ProbeState, Row, Sample, Sink, Value, View};
/// How much one sample can hold.
pub mod sample_limits {
    pub use crate::sample::{OBJECTS, PROBE_COUNT, ROWS, TEXT};
}
pub use text::{Cursor, Fields, lines};

/// Declares the probes: module, place in every table, and the struct that owns their state.
macro_rules! roster {
    ($($module:ident: $probe:ident,)*) => {
        $(pub mod $module;)*

        /// The probes, in the order they are read and shown.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum ProbeId { $($probe,)* }

        /// What each probe is and which metrics it gives, indexed by [`ProbeId`].
        pub static PROBES: &[ProbeInfo] = &[$(ProbeInfo {
            id: ProbeId::$probe,
            name: stringify!($module),
            labels: $module::LABELS,
            metrics: $module::METRICS,
        },)*];

        /// Every probe's own state.
        #[derive(Default)]
        pub struct Probes { $(pub $module: $module::$probe,)* }

        impl Probes {
            /// Calls `give` with each probe.
            pub fn each(&mut self, give: &mut dyn FnMut(ProbeId, &mut dyn Probe)) {
                $(give(ProbeId::$probe, &mut self.$module);)*
            }

            /// Reads all probes into a fresh sample. A probe that fails leaves its state in the sample and stops no other.
            pub fn read_all(&mut self, look: &mut Look<'_>, sample: &mut Sample) {
                sample.begin();
                $(run(&mut self.$module, ProbeId::$probe, look, sample);)*
            }
        }
    };
}

roster! {
    cpu: Cpu,
    load: Load,
    memory: Memory,
    paging: Paging,
    pressure: Pressure,
    filesystem: Filesystem,
    disk: Disk,
    network: Network,
    process: Process,
    service: Service,
    interrupts: Interrupts,
    files: Files,
    entropy: Entropy,
    uptime: Uptime,
    users: Users,
    sockets: Sockets,
    cpufreq: Cpufreq,
    sensors: Sensors,
    conntrack: Conntrack,
    firewall: Firewall,
    timex: Timex,
    arp: Arp,
    softnet: Softnet,
    mdadm: Mdadm,
}

/// One probe as the tables see it.
pub struct ProbeInfo {
    pub id: ProbeId,
    pub name: &'static str,
    /// What its objects are told apart by, in the order of [`Object`]'s parts; empty when it speaks of the whole host.
    pub labels: &'static [&'static str],
    pub metrics: &'static [Metric],
}

/// A source of readings.
pub trait Probe {
    /// Reads once. What could not be read is left out or given as [`Value::Unknown`], never as a guess.
    fn read(&mut self, look: &mut Look<'_>, out: &mut Sink<'_>) -> Result<(), Fault>;

    /// How old the readings are that were given last, when they may be of an earlier turn.
    fn age(&self, _now: Now) -> std::time::Duration {
        std::time::Duration::ZERO
    }
}

fn run<P: Probe>(probe: &mut P, id: ProbeId, look: &mut Look<'_>, sample: &mut Sample) {
    let start = pace::stopwatch();
    let result = probe.read(look, &mut sample.sink(id));
    let took = pace::stopwatch().saturating_sub(start);
    sample.finish(id, result, u32::try_from(took.as_micros()).unwrap_or(u32::MAX));
    sample.age(id, probe.age(look.now));
}
