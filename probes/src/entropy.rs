//! Entropy of the kernel's random numbers from /proc/sys/kernel/random: entropy_avail, `256`, and poolsize.
//!
//! Since 5.18 both are 256 for ever once the pool was filled; before, a low value made readers of /dev/random wait.

use crate::fault::if_present;
use crate::metric::metrics;
use crate::{Fault, Look, Probe, Sink, Source};

metrics! { Entropy:
    AVAILABLE: "available", Count, Gauge, "node_entropy_available_bits", "", "Bits of entropy in the pool.";
    POOL: "pool", Count, Gauge, "node_entropy_pool_size_bits", "", "Bits of entropy the pool can hold.";
}
pub const LABELS: &[&str] = &[];

pub struct Entropy {
    available: Source,
    pool: Source,
}

impl Default for Entropy {
    fn default() -> Self {
        Self {
            available: Source::new("proc/sys/kernel/random/entropy_avail"),
            pool: Source::new("proc/sys/kernel/random/poolsize"),
        }
    }
}

impl Probe for Entropy {
    fn read(&mut self, look: &mut Look<'_>, out: &mut Sink<'_>) -> Result<(), Fault> {
        out.host(AVAILABLE, self.available.single(look)?);
        if let Some(size) = if_present(self.pool.single(look))? {
            out.host(POOL, size);
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
    fn the_number_is_read() {
        let rows = read_fixture("vm", ProbeId::Entropy, &mut Entropy::default()).expect("readable");
        assert_eq!(value(&rows, "available", ""), Some(Value::Int(256)));
    }

    #[test]
    fn a_host_without_it_is_no_failure() {
        assert_eq!(read_fixture("nopsi", ProbeId::Entropy, &mut Entropy::default()), Ok(vec![]));
    }
}
