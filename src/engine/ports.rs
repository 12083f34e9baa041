//! `[measure.ID]` with `metric = "tcp.port.80"`: the connections of a port. Called in a child.
//!
//! Few addresses make `ID_entropy_low`, as many as there are connections `ID_entropy_high`; the bounds are cf-monitord's.

use std::path::Path;

use watchd_probes::Host;
use watchd_probes::connections::{self, Connections, End};

use crate::model::{Mark, Marks, Outcome, Tended};

const LOW: f64 = 0.2;
const HIGH: f64 = 0.9;

pub fn look(root: &Path, port: u16, is_there: bool) -> Tended {
    let end = if is_there { End::There } else { End::Here };
    // The child has none of its parent's descriptors.
    match Host::open(root).and_then(|host| connections::of(&host, port, end)) {
        Ok(found) => told(&found),
        Err(fault) => Tended::new(Outcome::Unknown, fault.to_string()),
    }
}

fn told(found: &Connections) -> Tended {
    let evenness = found.evenness.unwrap_or(f64::NAN);
    let marks = Marks::default().with(Mark::EntropyLow, evenness < LOW).with(Mark::EntropyHigh, evenness > HIGH);
    let top = found.top.map_or_else(String::new, |(address, _)| address.to_string());
    Tended { marks, figures: [f64::from(found.count), f64::NAN], ..Tended::new(Outcome::Kept, top) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_addresses_and_many_are_told_apart() {
        let top = Some(("192.0.2.7".parse().expect("an address"), 9));
        for (count, evenness, low, high) in [
            (0, None, false, false),
            (1, None, false, false),
            (9, Some(0.0), true, false),
            (9, Some(0.19), true, false),
            (9, Some(0.5), false, false),
            (9, Some(0.91), false, true),
        ] {
            let tended = told(&Connections { count, top, evenness });
            let found = (tended.marks.has(Mark::EntropyLow), tended.marks.has(Mark::EntropyHigh));
            assert_eq!((found, tended.figures[0]), ((low, high), f64::from(count)), "{evenness:?}");
            assert_eq!((tended.outcome, tended.text.as_str()), (Outcome::Kept, "192.0.2.7"));
        }
    }
}
