//! `rss`, `cpu`, `fds`, `threads`, `children` and `age` of a service into limits.

use std::time::Duration;

use super::assemble::Maker;
use super::existence;
use super::services::launch;
use crate::config::{Amount, At, Limited, Process, Then};
use crate::model::{Bound, Deed, Quantity};

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

impl Maker {
    pub fn bounds(&mut self, section: &Process, key: &str) -> Vec<Bound> {
        section
            .limits()
            .filter_map(|(what, limited)| self.bound(what, limited, section, &format!("{key}.{}", what.word())))
            .collect()
    }

    fn bound(&mut self, what: Quantity, limited: &At<Limited>, section: &Process, key: &str) -> Option<Bound> {
        let lasts = self.time(limited.value.lasts.as_ref(), &format!("{key}.for"), (Duration::ZERO, DAY));
        let deed = self.deed(limited, section, key);
        let Some(max) = &limited.value.max else {
            if !self.findings.mentions(key) {
                self.findings.fault(limited.place, key, "needs `max`", format!("write max = {}", form(what)));
            }
            return None;
        };
        let amount = match (what, max.value) {
            (Quantity::Rss, Amount::Bytes(amount))
            | (Quantity::Cpu, Amount::Percent(amount))
            | (Quantity::Age, Amount::Millis(amount))
            | (Quantity::Fds | Quantity::Threads | Quantity::Children, Amount::Count(amount)) => amount,
            (_, Amount::Bytes(other) | Amount::Percent(other) | Amount::Millis(other) | Amount::Count(other)) => {
                let found = format!("{other} is no measure of it");
                self.findings.fault(max.place, key, found, format!("write {}", form(what)));
                return None;
            }
        };
        if amount == 0 && what != Quantity::Children {
            self.findings.fault(max.place, key, "nothing can be kept within 0", format!("write {}", form(what)));
        }
        let usual = if what == Quantity::Age { Duration::ZERO } else { MINUTE };
        Some(Bound { what, max: amount, lasts: lasts.unwrap_or(usual), deed })
    }

    fn deed(&mut self, limited: &At<Limited>, section: &Process, key: &str) -> Deed {
        let deed = match limited.value.then.as_ref().map(|then| (then.place, &then.value)) {
            None => Deed::Restart,
            Some((_, Then::Restart)) => Deed::Restart,
            Some((_, Then::Report)) => Deed::Report,
            Some((place, Then::Run(command))) => {
                existence::program(command, place, &format!("{key}.do.run"), &mut self.findings);
                Deed::Run(launch(command, &section.surroundings))
            }
        };
        // Among many, those that are gone are made up for by `count`.
        if deed == Deed::Restart && !section.is_crowd() && section.run.is_none() && section.start.is_none() {
            let place = limited.value.then.as_ref().map_or(limited.place, |then| then.place);
            let remedy = "write do = \"report\", or say with `start` how it is started";
            self.findings.fault(place, key, "nothing says how to start it again", remedy);
        }
        deed
    }
}

/// How an amount of it is written.
fn form(what: Quantity) -> &'static str {
    match what {
        Quantity::Rss => "a size: \"600M\"",
        Quantity::Cpu => "a share of one processor: \"90%\", \"150%\"",
        Quantity::Age => "a time: \"7d\"",
        Quantity::Fds | Quantity::Threads | Quantity::Children => "a number without quotes: 500",
    }
}
