//! How full the firewall's table of connections is, from nf_conntrack_count and nf_conntrack_max below /proc/sys/net/netfilter.
//!
//! ```text
//! 1532       nf_conntrack_count
//! 262144     nf_conntrack_max: beyond it new connections are dropped
//! ```
//!
//! What stands in the table is `conntrack.rs`'s business. There is neither file before the firewall needs them. Both are read twice a minute and repeated in between.

use std::time::Duration;

use crate::metric::metrics;
use crate::{Fault, Look, MetricId, Pace, Probe, Sink};

metrics! { Firewall:
    ENTRIES: "entries", Count, Gauge, "node_nf_conntrack_entries", "", "Connections that the firewall follows.";
    LIMIT: "limit", Count, Gauge, "node_nf_conntrack_entries_limit", "", "How many connections the firewall can follow.";
}
pub const LABELS: &[&str] = &[];

const FILES: [(&str, MetricId); 2] =
    [("proc/sys/net/netfilter/nf_conntrack_count", ENTRIES), ("proc/sys/net/netfilter/nf_conntrack_max", LIMIT)];
const RARELY: Duration = Duration::from_secs(30);

pub struct Firewall {
    pace: Pace,
    last: [Option<u64>; FILES.len()],
}

impl Default for Firewall {
    fn default() -> Self {
        Self { pace: Pace::at_most_every(RARELY), last: [None; FILES.len()] }
    }
}

impl Probe for Firewall {
    fn read(&mut self, look: &mut Look<'_>, out: &mut Sink<'_>) -> Result<(), Fault> {
        let (host, now) = (look.host, look.now);
        if self.pace.is_due(now) {
            // What was known before a failure is not repeated after it.
            self.last = [None; FILES.len()];
            let last = &mut self.last;
            self.pace
                .run(now, || {
                    last.iter_mut()
                        .zip(FILES)
                        .try_for_each(|(last, (path, _))| host.read_number(path).map(|told| *last = told))
                })
                .unwrap_or(Ok(()))?;
        }
        for ((_, metric), value) in FILES.into_iter().zip(self.last) {
            if let Some(value) = value {
                out.host(metric, value);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trial::{read_fixture, value};
    use crate::{ProbeId, Value};

    #[test]
    fn both_numbers_are_read_where_there_is_a_firewall() {
        let rows = read_fixture("big", ProbeId::Firewall, &mut Firewall::default()).expect("readable");
        assert_eq!(value(&rows, "entries", ""), Some(Value::Int(9)));
        assert_eq!(value(&rows, "limit", ""), Some(Value::Int(262_144)));
        assert_eq!(read_fixture("old", ProbeId::Firewall, &mut Firewall::default()), Ok(vec![]));
    }
}
