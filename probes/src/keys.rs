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
    /// Marks of all keys: most lines of a long file are nobody's and should cost no search.
    marks: [u64; 4],
}

impl Finder {
    pub fn new(keys: &'static Keys) -> Self {
        let mut marks = [0; 4];
        for (key, _) in keys {
            let (word, bit) = mark(key.as_bytes());
            if let Some(word) = marks.get_mut(word) {
                *word |= bit;
            }
        }
        Self { keys, next: 0, marks }
    }

    /// The metric of a key; none for a key that nobody asked for.
    pub fn find(&mut self, name: &[u8]) -> Option<MetricId> {
        let (word, bit) = mark(name);
        if self.marks.get(word)? & bit == 0 {
            return None;
        }
        let (before, after) = self.keys.split_at_checked(self.next).unwrap_or((self.keys, &[]));
        let after = (self.next..).zip(after);
        let (place, (_, metric)) = after.chain((0..).zip(before)).find(|(_, (key, _))| key.as_bytes() == name)?;
        self.next = place + 1;
        Some(*metric)
    }
}

/// A place among 256 bits, from the length and the last byte: those differ most between the kernel's names.
fn mark(name: &[u8]) -> (usize, u64) {
    let last = usize::from(name.last().copied().unwrap_or(0));
    let hash = name.len().wrapping_mul(37).wrapping_add(last);
    (hash / 64 % 4, 1 << (hash % 64))
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
