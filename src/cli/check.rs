//! `watchd check [FILE]`: reads a policy as `run` would, and says everything that is wrong with it.
//!
//! Faults and warnings go to the standard error, one line each; the summary of a good policy to the standard output.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use watchd_probes::inventory::Inventory;

use crate::config::Fault;
use crate::engine::policy::{Policy, load};
use crate::engine::sight::Sight;
use crate::model::{Places, PromiseKind};
use crate::store::history::{COLUMNS, PANEL_BYTES, PANELS, expected};
use crate::sys::clock;

/// What was given is wrong.
const BAD: u8 = 2;

/// Checks the policy of these places: 0 when it can be used, 2 when it cannot.
pub fn run(places: &Places) -> ExitCode {
    let name = places.config.as_ref().map_or_else(|| "embedded default".into(), |file| file.to_string_lossy());
    match load(places, &Inventory::take()) {
        Ok((policy, warnings)) => {
            tell(&warnings, "warning: ");
            // A closed standard output is the reader's wish.
            let _ = writeln!(io::stdout(), "{}", summary(&name, &policy, warnings.len()));
            let _ = writeln!(io::stdout(), "{}", powers(&policy));
            // What this host has to tell depends on what can be seen of it now.
            if let Ok(mut sight) = Sight::open(places) {
                sight.look(clock::now());
                let series = expected(sight.readings().view, policy.services.len());
                let measures = count(&policy, PromiseKind::Measure);
                let _ = writeln!(io::stdout(), "{}", room(series + measures, &places.history()));
            }
            ExitCode::SUCCESS
        }
        Err(faults) => {
            tell(&faults, "");
            ExitCode::from(BAD)
        }
    }
}

fn tell(faults: &[Fault], kind: &str) {
    let mut out = io::stderr().lock();
    for fault in faults {
        let Fault { file, line, column, key, what, remedy } = fault;
        let _ = writeln!(out, "{file}:{line}:{column}: {kind}{key}: {what}; {remedy}");
    }
}

fn summary(name: &str, policy: &Policy, warnings: usize) -> String {
    let count = |kind| count(policy, kind);
    let parts = [
        (policy.services.len(), "service", "services"),
        (count(PromiseKind::Process) - policy.services.len(), "number of processes", "numbers of processes"),
        (count(PromiseKind::Disk), "disk", "disks"),
        (count(PromiseKind::File), "file", "files"),
        (count(PromiseKind::Measure), "measure", "measures"),
        (count(PromiseKind::Freshness), "check of freshness", "checks of freshness"),
        (count(PromiseKind::Command), "command", "commands"),
        (count(PromiseKind::Report), "report", "reports"),
        (warnings, "warning", "warnings"),
    ];
    let mut text = format!("{name}: ok");
    let mut mark = ": ";
    for (count, one, many) in parts.into_iter().filter(|(count, ..)| *count > 0) {
        text.push_str(&format!("{mark}{count} {}", if count == 1 { one } else { many }));
        mark = ", ";
    }
    text.push_str(&format!("{mark}{} classes", policy.classes.len()));
    text
}

fn count(policy: &Policy, kind: PromiseKind) -> usize {
    policy.promises.iter().filter(|promise| promise.kind() == kind).count()
}

/// What a daemon that is root keeps for itself.
fn powers(policy: &Policy) -> String {
    match policy.daemon.powers {
        Some(powers) => format!("capabilities of the daemon itself, where it is root: {powers}"),
        None => "capabilities of the daemon itself: all that it was started with".to_owned(),
    }
}

/// What the history takes on the disk.
fn room(series: usize, path: &Path) -> String {
    let panels = series.div_ceil(COLUMNS).min(PANELS);
    let size = |panels: usize| {
        let tenths = panels as u64 * PANEL_BYTES / 100_000;
        format!("{}.{} MB", tenths / 10, tenths % 10)
    };
    let most = PANELS * COLUMNS;
    let kept = if series > most { format!(", of which {most} are kept") } else { String::new() };
    format!(
        "history: {series} series{kept}, {} in {}; for each {COLUMNS} more {}, never more than {}",
        size(panels),
        path.display(),
        size(1),
        size(PANELS)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_room_of_a_history_is_known_in_advance() {
        let path = Path::new("/s/history");
        assert_eq!(
            room(63, path),
            "history: 63 series, 13.0 MB in /s/history; for each 32 more 6.5 MB, never more than 52.3 MB"
        );
        assert!(room(9999, path).contains("9999 series, of which 256 are kept, 52.3 MB in"));
    }
    use crate::engine::policy::load_text;

    #[test]
    fn a_summary_counts_what_there_is() {
        let text = "[process.a]\nmatch = \"a\"\n[process.b]\nmatch = \"b\"\n[disk.root]\npath = \"/\"\n";
        let (policy, warnings) = load_text("t", text, &Inventory::default()).expect("a good policy");
        // How many there are without any policy grows with what is looked at.
        let classes = policy.classes.len();
        assert!(classes >= 18);
        let expect = format!("t: ok: 2 services, 1 disk, {classes} classes");
        assert_eq!(summary("t", &policy, warnings.len()), expect);
    }
}
