//! A fingerprint of every table in this crate. Two builds that would read each other's samples differently have
//! different fingerprints.

// Evaluated by the compiler: an index out of bounds would not build.
#![allow(clippy::indexing_slicing)]

use crate::PROBES;

/// FNV-1a over the names of all probes and metrics, in order.
pub const FINGERPRINT: u64 = {
    let mut hash = 0xcbf2_9ce4_8422_2325;
    let mut probe = 0;
    while probe < PROBES.len() {
        hash = mix(hash, PROBES[probe].name);
        let mut place = 0;
        while place < PROBES[probe].metrics.len() {
            hash = mix(hash, PROBES[probe].metrics[place].field);
            place += 1;
        }
        probe += 1;
    }
    hash
};

const fn mix(mut hash: u64, text: &str) -> u64 {
    let bytes = text.as_bytes();
    let mut place = 0;
    while place < bytes.len() {
        hash = (hash ^ bytes[place] as u64).wrapping_mul(0x0100_0000_01b3);
        place += 1;
    }
    (hash ^ 0xff).wrapping_mul(0x0100_0000_01b3)
}

#[cfg(test)]
mod tests {
    use crate::{MetricId, PROBES};

    #[test]
    fn every_metric_is_found_by_its_name() {
        for info in PROBES {
            for metric in info.metrics {
                let name = format!("{}.{}", info.name, metric.field);
                let found = MetricId::from_name(&name).and_then(MetricId::metric);
                assert_eq!(found.map(|found| found.family), Some(metric.family), "{name}");
            }
        }
    }

    #[test]
    fn names_are_unique_and_plain() {
        for info in PROBES {
            for (place, metric) in info.metrics.iter().enumerate() {
                let plain = |text: &str| {
                    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
                };
                assert!(plain(metric.field), "{}", metric.field);
                assert!(plain(metric.family), "{}", metric.family);
                assert!(!metric.help.is_empty(), "{}", metric.field);
                assert!(
                    info.metrics.iter().skip(place + 1).all(|other| other.field != metric.field),
                    "{}",
                    metric.field
                );
            }
        }
    }

    #[test]
    fn no_two_metrics_are_exported_as_one() {
        let all: Vec<_> =
            PROBES.iter().flat_map(|info| info.metrics).map(|metric| (metric.family, metric.labels)).collect();
        for (place, series) in all.iter().enumerate() {
            assert!(!all[..place].contains(series), "{series:?}");
        }
    }

    #[test]
    fn a_family_has_one_kind_one_unit_and_the_same_labels() {
        let names = |labels: &str| -> Vec<String> {
            labels.split(',').map(|label| label.split('=').next().unwrap_or_default().to_string()).collect()
        };
        let all: Vec<_> =
            PROBES.iter().flat_map(|info| info.metrics.iter().map(move |metric| (info, metric))).collect();
        for (info, metric) in &all {
            for (other_info, other) in all.iter().filter(|(_, other)| other.family == metric.family) {
                let same = (metric.kind, metric.unit, names(metric.labels), info.labels)
                    == (other.kind, other.unit, names(other.labels), other_info.labels);
                assert!(same, "{}", metric.family);
            }
        }
    }
}
