//! Where a class comes from: `service web`, `disk root`, `load.five`, `[class.night]`, `by hand, uid 1000`, `command probe`.
//!
//! Said by name alone, from what stands on the board; what cannot be told is named by its kind.

use std::fmt::{self, Display, Formatter};

use serde::Serialize;

use crate::model::{ClassKind, Finding, PromiseKind, class_prefix};
use crate::store::board::{By, text};
use crate::store::{ClassRow, PromiseRow, Snapshot, locks};

/// The origin of one class, written when it is shown.
#[derive(Clone, Copy)]
pub struct Origin<'a> {
    row: &'a ClassRow,
    snapshot: &'a Snapshot,
}

impl<'a> Origin<'a> {
    pub const fn new(row: &'a ClassRow, snapshot: &'a Snapshot) -> Self {
        Self { row, snapshot }
    }

    /// The promise whose name it begins with; of several the one with the longest name.
    fn promise(&self) -> Option<&'a PromiseRow> {
        let name = text(&self.row.name);
        let whose = |promise: &&PromiseRow| {
            let rest = match promise.kind() {
                Some(PromiseKind::Disk) => name.strip_prefix("disk_"),
                Some(PromiseKind::Report) => name.strip_prefix("report_"),
                _ => Some(name),
            };
            rest.and_then(|rest| after(rest, text(&promise.id))).is_some_and(|rest| rest.starts_with('_'))
        };
        self.snapshot.promises.iter().filter(whose).max_by_key(|promise| text(&promise.id).len())
    }

    fn service(&self) -> Option<&'a str> {
        let name = text(&self.row.name);
        let ids = self.snapshot.services.iter().map(|service| text(&service.id));
        ids.filter(|id| after(name, id).is_some_and(|rest| rest.starts_with('_'))).max_by_key(|id| id.len())
    }

    fn quantity(&self) -> Option<&'a str> {
        let name = text(&self.row.name);
        let is_of = |quantity: &&str| {
            let whole = |finding: &Finding| class_prefix(quantity).chain(finding.word().chars()).eq(name.chars());
            Finding::ALL.iter().any(whole)
        };
        self.snapshot.learned.iter().map(|row| text(&row.name)).find(is_of)
    }

    /// The command that gives it.
    fn command(&self, hash: u32) -> Option<&'a str> {
        let commands = self.snapshot.promises.iter().filter(|promise| promise.kind() == Some(PromiseKind::Command));
        commands.map(|promise| text(&promise.id)).find(|id| locks::short(locks::key("command", id)) == hash)
    }
}

impl Display for Origin<'_> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let name = text(&self.row.name);
        let promise = |out: &mut Formatter<'_>, other: &str| match self.promise() {
            Some(row) => write!(out, "{} {}", row.kind().map_or("promise", |kind| kind.word()), text(&row.id)),
            None => out.write_str(other),
        };
        match self.row.kind() {
            Some(ClassKind::Hard) => out.write_str("this host"),
            Some(ClassKind::Time) => out.write_str("the clock"),
            Some(ClassKind::Measured) => promise(out, "a reading"),
            Some(ClassKind::Outcome) => promise(out, "a promise"),
            Some(ClassKind::Learned) => out.write_str(self.quantity().unwrap_or("the learner")),
            Some(ClassKind::State) => match self.service() {
                Some(id) => write!(out, "service {id}"),
                None => out.write_str("a service"),
            },
            Some(ClassKind::Defined) => write!(out, "[class.{name}]"),
            Some(ClassKind::Set) => match self.row.given_by() {
                By::Hand(uid) => write!(out, "by hand, uid {uid}"),
                By::Command(hash) => match self.command(hash) {
                    Some(id) => write!(out, "command {id}"),
                    None => out.write_str("a command"),
                },
                By::Unknown => out.write_str("by hand"),
            },
            None => Ok(()),
        }
    }
}

impl Serialize for Origin<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What follows an id at the beginning of a class's name, where every sign but letters and digits is `_`.
fn after<'a>(name: &'a str, id: &str) -> Option<&'a str> {
    let canon = id.bytes().map(|byte| if byte.is_ascii_alphanumeric() { byte } else { b'_' });
    let is_same = id.len() <= name.len() && canon.eq(name.bytes().take(id.len()));
    name.get(id.len()..).filter(|_| is_same)
}

#[cfg(test)]
mod tests {
    use zerocopy::FromZeros;

    use super::*;
    use crate::store::board::fixed;
    use crate::store::{LearnedRow, ServiceRow};

    fn promise(id: &str, kind: PromiseKind) -> PromiseRow {
        PromiseRow { id: fixed(id), kind: kind.byte(), ..PromiseRow::new_zeroed() }
    }

    #[test]
    fn every_kind_says_what_it_comes_from() {
        let mut snapshot = Snapshot::default();
        snapshot.promises.extend([
            promise("web", PromiseKind::Process),
            promise("web-app", PromiseKind::File),
            promise("root", PromiseKind::Disk),
            promise("probe", PromiseKind::Command),
        ]);
        snapshot.services.push(ServiceRow { id: fixed("web"), ..ServiceRow::new_zeroed() });
        snapshot.learned.push(LearnedRow { name: fixed("filesystem.avail:/srv"), ..LearnedRow::new_zeroed() });
        let hand = By::Hand(1000);
        let probe = By::Command(locks::short(locks::key("command", "probe")));
        for (name, kind, by, expect) in [
            ("linux", ClassKind::Hard, By::Unknown, "this host"),
            ("Hr07", ClassKind::Time, By::Unknown, "the clock"),
            ("disk_root_full", ClassKind::Measured, By::Unknown, "disk root"),
            ("web_app_changed", ClassKind::Measured, By::Unknown, "file web-app"),
            ("load_high", ClassKind::Measured, By::Unknown, "a reading"),
            ("filesystem_avail_srv_leak_down", ClassKind::Learned, By::Unknown, "filesystem.avail:/srv"),
            ("load_five_flat", ClassKind::Learned, By::Unknown, "the learner"),
            ("web_kept", ClassKind::Outcome, By::Unknown, "process web"),
            ("web_app_kept", ClassKind::Outcome, By::Unknown, "file web-app"),
            ("webber_kept", ClassKind::Outcome, By::Unknown, "a promise"),
            ("web_ready", ClassKind::State, By::Unknown, "service web"),
            ("night", ClassKind::Defined, By::Unknown, "[class.night]"),
            ("maintenance", ClassKind::Set, hand, "by hand, uid 1000"),
            ("maintenance", ClassKind::Set, By::Unknown, "by hand"),
            ("degraded", ClassKind::Set, probe, "command probe"),
            ("degraded", ClassKind::Set, By::Command(7), "a command"),
        ] {
            let (by, giver) = by.fields();
            let row = ClassRow { name: fixed(name), kind: kind.byte(), by, giver, ..ClassRow::new_zeroed() };
            assert_eq!(Origin::new(&row, &snapshot).to_string(), expect, "{name}");
        }
    }
}
