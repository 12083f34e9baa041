//! All classes for those who show them: those with an entry whether true or not, the others when they are true.
//!
//! The others are the names of time that hold now, the state of each service and the outcome of each promise: their
//! names are put together when they are asked for, so a policy of a hundred services needs no thousand entries.

use std::fmt::Write;
use std::time::Duration;

use heapless::String as Short;
use serde::{Deserialize, Serialize};

use super::given::Giver;
use super::live::{BOOT, Classes, Timed};
use super::table::{LIMITED, OUTCOMES, Source, States};
use super::time::{Calendar, MONTHS, SHIFTS, WEEKDAYS};
use crate::model::{ClassKind, Finding, Mark, Marks, ServiceState, class_prefix, is_measure};

/// One class for those who show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row<'a> {
    pub name: &'a str,
    pub kind: ClassKind,
    pub on: bool,
    /// When it became what it is, since 1970; zero when it has been so from the start.
    pub since: Duration,
    /// When it ends by itself, since 1970; zero when that is not known.
    pub until: Duration,
    /// Who gave it, where nothing here decides it.
    pub giver: Option<Giver>,
}

/// What stands before the outcome in the name of a class: `disk_` and `root`.
#[derive(Clone, Copy)]
pub struct Prefix<'a> {
    pub kind: &'a str,
    pub id: &'a str,
}

/// Names of time that always hold: year, month, day, weekday, quarter of the day, hour, quarter of the hour, five minutes.
const NAMES: usize = 8;

/// The names of time that hold now, and since when.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Clock {
    names: [Timed<Short<16>>; NAMES],
    /// The time they were made for.
    at: Calendar,
    /// The beginning of that minute, in seconds since 1970.
    minute: u64,
}

impl Default for Clock {
    fn default() -> Self {
        Self { names: [const { Timed::new(Short::new()) }; NAMES], at: Calendar::default(), minute: 0 }
    }
}

impl Clock {
    pub fn tick(&mut self, local: &Calendar, wall: u64) {
        self.minute = wall - wall % 60;
        if self.at == *local {
            return;
        }
        self.at = *local;
        let word = |names: &[&'static str], place: usize| names.get(place).copied().unwrap_or("");
        let (hour, minute) = (local.hour, local.minute);
        let five = minute / 5 * 5;
        let names: [(&str, std::fmt::Arguments<'_>); NAMES] = [
            ("", format_args!("Yr{:04}", local.year)),
            (word(&MONTHS, usize::from(local.month).wrapping_sub(1)), format_args!("")),
            ("", format_args!("Day{:02}", local.day)),
            (word(&WEEKDAYS, local.weekday.into()), format_args!("")),
            (word(&SHIFTS, usize::from(hour / 6)), format_args!("")),
            ("", format_args!("Hr{hour:02}")),
            ("", format_args!("Hr{hour:02}_Q{}", minute / 15 + 1)),
            ("", format_args!("Min{five:02}_{:02}", five + 5)),
        ];
        for (slot, (word, numbers)) in self.names.iter_mut().zip(names) {
            let mut name = Short::new();
            // Sixteen characters hold every one of them.
            let _ = name.push_str(word).is_ok() && name.write_fmt(numbers).is_ok();
            slot.set(name, wall);
        }
    }

    /// When a name that holds now ends: told of hours and what is shorter, since a day has not always 24 hours.
    pub fn until(&self, name: &str) -> Duration {
        let place = self.names.iter().position(|slot| slot.value == name);
        let length: u64 = match place {
            Some(5) => 60,
            Some(6) => 15,
            Some(7) => 5,
            _ => return Duration::ZERO,
        };
        Duration::from_secs(self.minute + (length - u64::from(self.at.minute) % length) * 60)
    }
}

impl Classes {
    /// Gives every class to `show`; `service` and `promise` tell what their names begin with.
    pub fn each<'a>(
        &self,
        service: &dyn Fn(usize) -> Option<&'a str>,
        promise: &dyn Fn(usize) -> Option<Prefix<'a>>,
        show: &mut dyn FnMut(Row<'_>),
    ) {
        for (place, (entry, bit)) in self.table.entries.iter().zip(&self.bits).enumerate() {
            if let Some(kind) = entry.source.kind() {
                let until = if bit.value { self.until(place, kind) } else { Duration::ZERO };
                show(Row { name: self.table.name(place), kind, on: bit.value, since: bit.since(), until, giver: None });
            }
        }
        for given in self.given.iter().filter(|given| self.is_free(&given.name)) {
            let until = given.until.map_or(Duration::ZERO, |until| until.wall);
            let giver = Some(given.giver);
            show(Row { name: &given.name, kind: ClassKind::Set, on: true, since: given.since, until, giver });
        }
        let mut loose = |name: &str, kind, since| {
            if !name.is_empty() && !self.is_mentioned(name) {
                let until = if kind == ClassKind::Time { self.clock.until(name) } else { Duration::ZERO };
                show(Row { name, kind, on: true, since, until, giver: None });
            }
        };
        for slot in &self.clock.names {
            loose(&slot.value, ClassKind::Time, slot.since());
        }
        for (place, timed) in self.states.iter().enumerate() {
            let (Some(id), Some(state)) = (service(place), timed.value) else { continue };
            if state != ServiceState::Down {
                loose(&joined(Prefix { kind: "", id }, state.word()), ClassKind::State, timed.since());
            }
            if States::DOWN.contains(state) {
                loose(&joined(Prefix { kind: "", id }, ServiceState::Down.word()), ClassKind::State, timed.since());
            }
        }
        for (place, timed) in self.marks.iter().enumerate().filter(|(_, timed)| timed.value != Marks::default()) {
            let Some(prefix) = promise(place) else { continue };
            for mark in Mark::ALL.iter().filter(|mark| timed.value.has(**mark)) {
                loose(&joined(prefix, mark.word()), ClassKind::Measured, timed.since());
            }
        }
        for (place, timed) in self.learned.iter().enumerate() {
            let name = self.table.quantities.name(place).unwrap_or_default();
            // That a measure is missing its promise says by the same name.
            let says = |finding: &Finding| !is_measure(name) || *finding != Finding::Missing;
            for finding in timed.value.iter().filter(says) {
                loose(&learned(name, finding), ClassKind::Learned, timed.since());
            }
        }
        for (place, timed) in self.outcomes.iter().enumerate() {
            if let Some(prefix) = promise(place).filter(|_| OUTCOMES.contains(&timed.value)) {
                loose(&joined(prefix, timed.value.word()), ClassKind::Outcome, timed.since());
            }
        }
        for (place, timed) in self.limited.iter().enumerate().filter(|(_, timed)| timed.value) {
            if let Some(prefix) = promise(place) {
                loose(&joined(prefix, LIMITED), ClassKind::Outcome, timed.since());
            }
        }
    }
}

impl Classes {
    /// When a class that is true ends by itself.
    fn until(&self, class: usize, kind: ClassKind) -> Duration {
        let alone = self.held.iter().find(|held| usize::from(held.class) == class && held.is_alone);
        match (alone, kind) {
            (Some(held), _) => self.at.wall.saturating_add(held.until.saturating_sub(self.at.mono)),
            (None, ClassKind::Time) => match self.table.entries.get(class).map(|entry| entry.source) {
                Some(Source::Boot) => self.at.wall.saturating_add(BOOT.saturating_sub(self.at.mono)),
                _ => self.clock.until(self.table.name(class)),
            },
            (None, _) => Duration::ZERO,
        }
    }
}

/// What a class of the learner is called.
fn learned(quantity: &str, finding: Finding) -> Short<64> {
    let mut name = Short::new();
    for letter in class_prefix(quantity).chain(finding.word().chars()) {
        // What is too long is cut, like everywhere else.
        let _ = name.push(letter);
    }
    name
}

/// `KIND` `ID` `_` `WORD`, canonified.
fn joined(prefix: Prefix<'_>, word: &str) -> Short<64> {
    let mut name = Short::new();
    let id = prefix.id.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '_' });
    for letter in prefix.kind.chars().chain(id).chain(std::iter::once('_')).chain(word.chars()) {
        // An id has at most 32 characters, its kind 7 and a word 12: all of it fits.
        let _ = name.push(letter).is_ok();
    }
    name
}

#[cfg(test)]
mod tests {
    use crate::model::Findings;
    use watchd_probes::inventory::Inventory;
    use watchd_probes::{Now, View};

    use super::super::builder::Builder;
    use super::super::live::Scene;
    use super::*;
    use crate::model::{Outcome, ServiceFact};
    use crate::store::Readings;

    #[test]
    fn what_holds_now_is_listed_once() {
        let mut builder = Builder::new(&Inventory::default());
        builder.service("web", 0);
        builder.promise("web", 0);
        builder.promise("disk_root", 1);
        builder.compile("Sunday & web_ready & !nonsense & boot", &mut Vec::new()).expect("an expression");
        let mut classes = Classes::new(builder.finish().expect("a table"), 1, 2);
        let day = Calendar { year: 2026, month: 11, day: 22, weekday: 6, hour: 7, minute: 59 };
        let fact = |_| Some(ServiceFact { state: ServiceState::Ready, starts: 0, failed: false, over: 0, reason: "" });
        let readings = Readings { view: View { rows: &[], objects: &[], text: &[], probes: &[] }, rates: &[] };
        let now = Now { wall: Duration::from_secs(77), ..Now::default() };
        let scene = Scene {
            now,
            local: day,
            utc: day,
            readings,
            services: &fact,
            learned: &|_| Findings::default(),
            is_state_writable: true,
        };
        classes.update(&scene, &[Outcome::Kept, Outcome::Failed], &[false, true]);
        let mut on = Vec::new();
        let prefixes = [Prefix { kind: "", id: "web" }, Prefix { kind: "disk_", id: "root" }];
        classes.each(&|_| Some("web"), &|place| prefixes.get(place).copied(), &mut |row| {
            if row.on {
                on.push(row.name.to_owned());
                assert_eq!(row.since.is_zero(), row.kind == ClassKind::Hard, "{row:?}");
                let end = Duration::from_secs(77 + 600);
                assert!(row.name != "boot" || row.until == end, "{row:?}");
            }
        });
        on.sort();
        let expect = [
            "Day22",
            "Hr07",
            "Hr07_Q4",
            "Min55_60",
            "Morning",
            "November",
            "Sunday",
            "Yr2026",
            "any",
            "boot",
            "disk_root_failed",
            "disk_root_flapping",
            "linux",
            "load_unknown",
            "memory_unknown",
            "pressure_unknown",
            "swap_unknown",
            "web_kept",
            "web_ready",
        ];
        assert_eq!(on, expect);
    }
}
