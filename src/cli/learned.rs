//! What was learned about a quantity, for `why`.

use crate::model::{Finding, class_prefix};
use crate::store::board::text;
use crate::store::{LearnedRow, Snapshot};

use super::quantity::plain;

/// The quantity that is called so, or whose class is; with what the class says.
pub fn find<'a>(snapshot: &'a Snapshot, name: &str) -> Option<(&'a LearnedRow, Option<Finding>)> {
    snapshot.learned.iter().find_map(|row| {
        let quantity = text(&row.name);
        if quantity == name {
            return Some((row, None));
        }
        let prefix: String = class_prefix(quantity).collect();
        let word = name.strip_prefix(&prefix)?;
        Finding::ALL.iter().find(|finding| finding.word() == word).map(|finding| (row, Some(*finding)))
    })
}

/// What is known of a quantity, in sentences.
pub fn tell((row, finding): (&LearnedRow, Option<Finding>)) -> String {
    let name = plain(text(&row.name));
    let mut page = String::new();
    if let Some(finding) = finding {
        let is = if row.found().contains(finding) { "is true" } else { "is not true" };
        page.push_str(&format!("The learner's class {}{finding} {is}.\n", class_prefix(&name).collect::<String>()));
    }
    if row.value.is_finite() {
        page.push_str(&format!("{name} was {} over the last minute.\n", short(row.value)));
    } else if row.is_ready() {
        page.push_str(&format!("{name} was not measured in the last minute.\n"));
    }
    if !row.is_ready() {
        page.push_str("It is still being learned: nothing but a gap is found yet.\n");
        return page;
    }
    page.push_str(&format!(
        "Expected at this time of the week is {}. Less than one value a week lies outside of {} to {}, and one beyond {} to {} is an anomaly.\n",
        short(row.expected),
        short(row.low),
        short(row.high),
        short(row.least),
        short(row.most)
    ));
    let words: Vec<_> = row.found().iter().map(Finding::word).collect();
    if !words.is_empty() {
        page.push_str(&format!("Found now: {}.\n", words.join(" ")));
    }
    page
}

/// Four digits are more than is known.
fn short(value: f32) -> String {
    if value.abs() >= 1000.0 { format!("{value:.0}") } else { format!("{value:.3}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Findings;
    use crate::store::board::fixed;
    use zerocopy::FromZeros;

    #[test]
    fn a_quantity_is_found_by_its_name_and_by_its_classes() {
        let mut snapshot = Snapshot::default();
        let mut found = Findings::default();
        found.add(Finding::HighAnomaly);
        let row = LearnedRow {
            name: fixed("load.five"),
            value: 9.5,
            expected: 0.5,
            ready: 1,
            found: found.0,
            ..LearnedRow::new_zeroed()
        };
        snapshot.learned.push(row);
        for (name, is) in [
            ("load.five", Some(None)),
            ("load_five_high_anomaly", Some(Some(Finding::HighAnomaly))),
            ("load_five_flat", Some(Some(Finding::Flat))),
            ("load_five_", None),
            ("load_five_high", None),
            ("load.one", None),
        ] {
            assert_eq!(find(&snapshot, name).map(|(_, finding)| finding), is, "{name}");
        }
        let page = find(&snapshot, "load_five_high_anomaly").map(tell).expect("it is told");
        assert!(page.contains("class load_five_high_anomaly is true") && page.contains("was 9.500"), "{page}");
        assert!(page.contains("Expected at this time of the week is 0.500"), "{page}");
    }
}
