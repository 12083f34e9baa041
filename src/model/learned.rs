//! What the learner follows, and what it can find: the words that its classes end in.

use serde::{Deserialize, Serialize};

super::words! {
    /// What was found about a quantity; a level includes those below it.
    Finding {
        HighDev1 = "high_dev1",
        HighDev2 = "high_dev2",
        HighAnomaly = "high_anomaly",
        LowDev1 = "low_dev1",
        LowDev2 = "low_dev2",
        LowAnomaly = "low_anomaly",
        ShiftHigh = "shift_high",
        ShiftLow = "shift_low",
        LeakUp = "leak_up",
        LeakDown = "leak_down",
        NoiseHigh = "noise_high",
        NoiseLow = "noise_low",
        Missing = "missing",
        Flat = "flat",
    }
}

/// Findings of one quantity, a bit for each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Findings(pub u16);

impl Findings {
    pub fn add(&mut self, finding: Finding) {
        self.0 |= 1 << finding.byte();
    }

    pub fn contains(self, finding: Finding) -> bool {
        self.0 & 1 << finding.byte() != 0
    }

    pub fn iter(self) -> impl Iterator<Item = Finding> {
        Finding::ALL.iter().copied().filter(move |finding| self.contains(*finding))
    }
}

impl Finding {
    /// Rare enough to be told: the lower levels are for those who ask.
    pub fn is_news(self) -> bool {
        !matches!(self, Self::HighDev1 | Self::HighDev2 | Self::LowDev1 | Self::LowDev2)
    }
}

/// What is learned when nothing else is asked for. A metric of disks or interfaces without an object is the sum of all of them.
pub const USUAL: &[&str] = &[
    "load.one",
    "load.five",
    "cpu.user",
    "cpu.system",
    "cpu.iowait",
    "cpu.softirq",
    "cpu.steal",
    "cpu.context_switches",
    "cpu.forks",
    "memory.available",
    "memory.cached",
    "memory.dirty",
    "memory.slab",
    "memory.anon_pages",
    "memory.swap_free",
    "paging.pgmajfault",
    "paging.pswpout",
    "pressure.cpu_some_total",
    "pressure.memory_some_total",
    "pressure.io_some_total",
    "process.total",
    "process.zombie",
    "files.allocated",
    "users.total",
    "sockets.tcp_established",
    "sockets.tcp_time_wait",
    "sockets.tcp_retransmitted",
    "disk.read_bytes",
    "disk.written_bytes",
    "disk.io_time",
    "network.rx_bytes",
    "network.tx_bytes",
    "filesystem.avail:/",
];

/// The most quantities that are followed.
pub const QUANTITIES: usize = 64;

/// The quantities of a policy: `probe.field`, `probe.field:object`, or the id of a measure, which has no dot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quantities {
    /// The usual ones come first.
    pub usual: bool,
    pub more: Vec<String>,
}

impl Quantities {
    pub fn len(&self) -> usize {
        self.begun() + self.more.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn name(&self, place: usize) -> Option<&str> {
        match place.checked_sub(self.begun()) {
            None => USUAL.get(place).copied(),
            Some(place) => self.more.get(place).map(String::as_str),
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).filter_map(|place| self.name(place))
    }

    fn begun(&self) -> usize {
        if self.usual { USUAL.len() } else { 0 }
    }
}

/// Whether a quantity is a measure of the policy.
pub fn is_measure(name: &str) -> bool {
    !name.contains('.')
}

/// What the classes of a quantity begin with, letter by letter: `load_five_`, `filesystem_avail_srv_`.
pub fn class_prefix(name: &str) -> impl Iterator<Item = char> {
    let mut before = 'x';
    name.chars().chain(std::iter::once('_')).filter_map(move |letter| {
        let letter = if letter.is_ascii_alphanumeric() { letter } else { '_' };
        let twice = letter == '_' && before == '_';
        before = letter;
        (!twice).then_some(letter)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantity_makes_a_plain_prefix() {
        for (name, prefix) in [
            ("load.five", "load_five_"),
            ("filesystem.avail:/", "filesystem_avail_"),
            ("filesystem.avail:/srv/data", "filesystem_avail_srv_data_"),
            ("network.rx_bytes:eth0", "network_rx_bytes_eth0_"),
        ] {
            assert_eq!(class_prefix(name).collect::<String>(), prefix);
        }
    }

    #[test]
    fn the_usual_quantities_are_measured() {
        assert!(USUAL.len() <= QUANTITIES);
        for name in USUAL {
            let metric = name.split(':').next().unwrap_or_default();
            assert!(watchd_probes::MetricId::from_name(metric).is_some(), "{name}");
        }
    }

    #[test]
    fn quantities_are_counted_through() {
        let more = vec!["disk.reads:sda".to_owned()];
        let all = Quantities { usual: true, more: more.clone() };
        assert_eq!(
            (all.len(), all.name(0), all.name(USUAL.len())),
            (USUAL.len() + 1, Some("load.one"), Some("disk.reads:sda"))
        );
        let own = Quantities { usual: false, more };
        assert_eq!(own.iter().collect::<Vec<_>>(), ["disk.reads:sda"]);
        assert_eq!(own.name(1), None);
    }
}
