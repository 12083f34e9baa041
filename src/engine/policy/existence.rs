//! Warnings about what is named and not there: programs and accounts. They may still come, so they are no faults.

use std::os::unix::fs::PermissionsExt;

use crate::config::{At, Findings, Place};
use crate::model::Command;
use crate::sys::accounts::{self, Fault};

/// Warns when a program cannot be found or run. A text for the shell is not looked into.
pub fn program(command: &Command, place: Place, key: &str, findings: &mut Findings) {
    let Command::Exec(words) = command else { return };
    let Some(path) = words.first() else { return };
    let what = match std::fs::metadata(path) {
        Err(error) => format!("cannot find {path}: {error}"),
        Ok(facts) if !facts.is_file() => format!("{path} is not a file"),
        Ok(facts) if facts.permissions().mode() & 0o111 == 0 => format!("{path} is not executable"),
        Ok(_) => return,
    };
    findings.warn(place, key, what, "install it, or write another path");
}

/// Warns when there is no such account.
pub fn user<T: AsRef<str>>(name: &At<T>, key: &str, findings: &mut Findings) {
    warn(accounts::user(name.value.as_ref()).err(), name.place, key, findings);
}

/// Warns when there is no such group.
pub fn group<T: AsRef<str>>(name: &At<T>, key: &str, findings: &mut Findings) {
    warn(accounts::group(name.value.as_ref()).err(), name.place, key, findings);
}

fn warn(fault: Option<Fault>, place: Place, key: &str, findings: &mut Findings) {
    if let Some(fault @ (Fault::UnknownUser(_) | Fault::UnknownGroup(_))) = fault {
        findings.warn(place, key, fault.to_string(), "make the account, or write another name");
    }
}
