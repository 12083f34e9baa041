//! One line for Nagios and its kin: `CRITICAL - web is backoff (exit status 1) | services=2 ready=1 …`.
//!
//! Exit codes are theirs: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.

use std::process::ExitCode;

use super::figures;
use super::life::{self, Life};
use super::quantity::{age, plain, share};
use super::screen;
use super::status::Look;
use crate::model::{ServiceState, Tone};
use crate::store::board::text;

/// How bad it is, as Nagios counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Ok = 0,
    Warning = 1,
    Critical = 2,
    Unknown = 3,
}

impl Level {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Warning => "WARNING",
            Self::Critical => "CRITICAL",
            Self::Unknown => "UNKNOWN",
        }
    }
}

pub fn tell(look: &Look) -> ExitCode {
    let (level, line) = judge(look);
    super::say(&format!("{} - {line}\n", level.word()));
    ExitCode::from(level as u8)
}

pub fn unknown(message: &str) -> ExitCode {
    super::say(&format!("{} - {}\n", Level::Unknown.word(), message.replace('|', "/")));
    ExitCode::from(Level::Unknown as u8)
}

fn judge(look: &Look) -> (Level, String) {
    let mut findings: Vec<(Level, String)> = Vec::new();
    let header = &look.snapshot.header;
    match look.life {
        Life::Alive => {}
        Life::Dead | Life::Absent => findings.push((Level::Critical, "watchd is dead".to_owned())),
        Life::Hung { age: since } => findings.push((Level::Unknown, format!("watchd hangs for {}", age(since)))),
    }
    for row in &look.snapshot.services {
        let level = match row.state().tone() {
            Tone::Soft | Tone::Good => continue,
            Tone::Warn => Level::Warning,
            Tone::Bad => Level::Critical,
        };
        let reason = plain(text(&row.reason));
        let reason = if reason.is_empty() { reason } else { format!(" ({reason})") };
        findings.push((level, format!("{} is {}{reason}", plain(text(&row.id)), row.state().word())));
    }
    for promise in look.snapshot.promises.iter().filter(|promise| screen::is_told(promise, &look.snapshot)) {
        findings.push((Level::Warning, format!("{}: {}", plain(text(&promise.id)), promise.outcome().word())));
    }
    if header.config_ok != 1 {
        findings.push((Level::Warning, "config refused".to_owned()));
    }
    if header.state_ok != 1 {
        findings.push((Level::Warning, "state directory unwritable".to_owned()));
    }
    findings.sort_by_key(|(level, _)| std::cmp::Reverse(*level));
    let level = findings.first().map_or(Level::Ok, |(level, _)| *level);
    let ready = look.count(ServiceState::Ready);
    let words: Vec<_> = findings.into_iter().map(|(_, words)| words).collect();
    let words = if words.is_empty() { format!("{ready} services ready") } else { words.join(", ") };
    (level, format!("{} |{}", words.replace('|', "/"), performance(look)))
}

/// What Nagios graphs: `'label'=value[unit];warn;crit;min;max`.
fn performance(look: &Look) -> String {
    let host = figures::host(&look.snapshot);
    let restarts: u64 = look.snapshot.services.iter().map(|row| u64::from(row.restarts)).sum();
    let mut page = format!(
        " services={};;;0 ready={};;;0 restarts={restarts}c heartbeat_age={:.1}s;;;0",
        look.snapshot.services.len(),
        look.count(ServiceState::Ready),
        life::heartbeat_age(&look.snapshot.header, look.now).as_secs_f64(),
    );
    for (name, value, unit) in [
        ("load1", host.load.first().copied().flatten(), ";;;0"),
        ("cpu", host.cpu_pct, "%;;;0;100"),
        ("memory", share(host.memory_used, host.memory_total), "%;;;0;100"),
    ] {
        if let Some(value) = value {
            page.push_str(&format!(" {name}={value:.2}{unit}"));
        }
    }
    page
}
