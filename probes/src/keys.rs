//! Files of `key value` lines (meminfo, vmstat, sockstat): which key is which metric.
//!
//! The kernel keeps the order of its keys, so each search starts behind the last hit and a whole file costs about one
//! comparison per line.

use crate::MetricId;

/// Keys in the kernel's order.
pub(crate) type Keys = [(&'static str, MetricId)];

/// A search through a table of keys.
pub(crate) struct Finder {
    keys: &'static Keys,
    next: usize,
}

impl Finder {
    pub fn new(keys: &'static Keys) -> Self {
        Self { keys, next: 0 }
    }

    /// The metric of a key; none for a key that nobody asked for.
    pub fn find(&mut self, name: &[u8]) -> Option<MetricId> {
        let (before, after) = self.keys.split_at_checked(self.next).unwrap_or((self.keys, &[]));
        let after = (self.next..).zip(after);
        let (place, (_, metric)) = after.chain((0..).zip(before)).find(|(_, (key, _))| key.as_bytes() == name)?;
        self.next = place + 1;
        Some(*metric)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load;

    #[test]
    fn keys_are_found_in_any_order() {
        static KEYS: &Keys = &[("a", load::ONE), ("b", load::FIVE), ("c", load::FIFTEEN)];
        let mut finder = Finder::new(KEYS);
        let found: Vec<_> = ["b", "c", "x", "a", "b", "a"].map(|name| finder.find(name.as_bytes())).into();
        assert_eq!(
            found,
            [Some(load::FIVE), Some(load::FIFTEEN), None, Some(load::ONE), Some(load::FIVE), Some(load::ONE)]
        );
    }
}
