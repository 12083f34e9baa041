//! `learn-limits = true`: warning and critical of some fields from what was learned, as they are usual at this time of the week.
//!
//! ```text
//! load.warning 0.08:1.4        rarer than one a week
//! load.critical :2.9           an anomaly
//! ```
//!
//! Only fields whose number is that of one quantity, times a factor, and that have no limits of their own.

use super::Facts;
use crate::export::{General, Page};
use crate::store::LearnedRow;
use crate::store::board::text;

/// A field of a plugin, the quantity it shows, and its value for one of that.
struct Limit {
    plugin: &'static str,
    field: &'static str,
    quantity: &'static str,
    factor: f64,
}

const fn limit(plugin: &'static str, field: &'static str, quantity: &'static str, factor: f64) -> Limit {
    Limit { plugin, field, quantity, factor }
}

const LIMITS: &[Limit] = &[
    limit("load", "load", "load.five", 1.0),
    // Of one processor in percent, as the graph has it.
    limit("cpu", "user", "cpu.user", 100.0),
    limit("cpu", "system", "cpu.system", 100.0),
    limit("cpu", "iowait", "cpu.iowait", 100.0),
    limit("cpu", "softirq", "cpu.softirq", 100.0),
    limit("cpu", "steal", "cpu.steal", 100.0),
    limit("forks", "forks", "cpu.forks", 1.0),
    limit("memory", "cached", "memory.cached", 1.0),
    limit("processes", "processes", "process.total", 1.0),
    limit("processes", "zombie", "process.zombie", 1.0),
    limit("netstat", "established", "sockets.tcp_established", 1.0),
];

/// Writes the limits of a plugin below its configuration.
pub fn write(facts: &Facts<'_>, plugin: &[u8], page: &mut Page) {
    if !facts.snapshot.header.has_learned_limits() {
        return;
    }
    let known = |name: &str| facts.snapshot.learned.iter().find(|row| row.is_ready() && text(&row.name) == name);
    for limit in LIMITS.iter().filter(|limit| limit.plugin.as_bytes() == plugin) {
        if let Some(LearnedRow { low, high, least, most, .. }) = known(limit.quantity) {
            range(page, (&limit.field, limit.factor, "warning"), *low, *high);
            range(page, (&limit.field, limit.factor, "critical"), *least, *most);
        }
    }
}

/// The limits of a measure that is learned.
pub fn measure(facts: &Facts<'_>, id: &str, field: &dyn std::fmt::Display, page: &mut Page) {
    let known = facts.snapshot.learned.iter().find(|row| row.is_ready() && text(&row.name) == id);
    let Some(row) = known.filter(|_| facts.snapshot.header.has_learned_limits()) else { return };
    range(page, (field, 1.0, "warning"), row.low, row.high);
    range(page, (field, 1.0, "critical"), row.least, row.most);
}

/// `MIN:MAX`; what is of the host is never below 0, and its limit there is none.
fn range(page: &mut Page, (field, factor, word): (&dyn std::fmt::Display, f64, &str), from: f32, to: f32) {
    if !from.is_finite() || !to.is_finite() {
        return;
    }
    let (from, to) = (f64::from(from) * factor, f64::from(to) * factor);
    page.put(format_args!("{field}.{word} "));
    if from != 0.0 {
        page.put(format_args!("{}", General(from)));
    }
    page.put(format_args!(":{}\n", General(to)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Now;
    use crate::store::Snapshot;
    use crate::store::board::fixed;
    use zerocopy::FromZeros;

    fn limits(munin: u32, ready: u8) -> String {
        let mut snapshot = Snapshot::default();
        snapshot.header.munin = munin;
        let row = LearnedRow {
            name: fixed("cpu.user"),
            ready,
            low: 0.0,
            high: 0.5,
            least: 0.125,
            most: 1.25,
            ..LearnedRow::new_zeroed()
        };
        snapshot.learned.push(row);
        let mut page = Page::new(Page::LIMIT);
        write(&Facts::new(&snapshot, Now::default()), b"cpu", &mut page);
        String::from_utf8_lossy(page.bytes()).into_owned()
    }

    #[test]
    fn limits_are_told_when_they_are_wanted_and_known() {
        assert_eq!(limits(1, 1), "user.warning :50\nuser.critical 12.5:125\n");
        assert_eq!((limits(0, 1), limits(1, 0)), (String::new(), String::new()));
    }

    #[test]
    fn a_measure_below_zero_has_both_limits() {
        let mut page = Page::new(Page::LIMIT);
        range(&mut page, (&"chamber", 1.0, "warning"), -20.5, -15.0);
        assert_eq!(String::from_utf8_lossy(page.bytes()), "chamber.warning -20.5:-15\n");
    }

    #[test]
    fn every_limit_is_of_a_plugin_and_a_quantity_that_is_learned() {
        for limit in LIMITS {
            assert!(super::super::PLUGINS.iter().any(|plugin| plugin.name == limit.plugin), "{}", limit.plugin);
            assert!(crate::model::USUAL.contains(&limit.quantity), "{}", limit.quantity);
        }
    }
}
