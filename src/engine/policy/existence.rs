//! Warnings about what is named and not there: programs, accounts, mount points. They may still come, so they are no faults.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

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

/// Warns when the account is root by whatever name: what faces the network needs no privileges.
pub fn unprivileged<T: AsRef<str>>(name: &At<T>, key: &str, findings: &mut Findings) {
    if accounts::user(name.value.as_ref()).is_ok_and(|account| account.uid == 0) {
        let what = format!("{} is root, and the process that faces the network would be", name.value.as_ref());
        findings.warn(name.place, key, what, "write an account without privileges, such as nobody");
    }
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

/// Where something is mounted, as the kernel writes it; none when that cannot be told.
pub fn mounts(root: &Path) -> Option<Vec<String>> {
    let text = std::fs::read_to_string(root.join("proc/self/mountinfo")).ok()?;
    Some(text.lines().filter_map(|line| line.split(' ').nth(4)).map(unescaped).collect())
}

/// `\040` and its like are bytes in octal.
fn unescaped(field: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = field.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..3).filter(|_| *first == b'\\').and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { after.get(3..).unwrap_or(&[]) } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Warns when nothing is mounted there now.
pub fn mount(mounts: &Option<Vec<String>>, (path, place): (&str, Place), key: &str, findings: &mut Findings) {
    if mounts.as_ref().is_some_and(|mounts| !mounts.iter().any(|mount| mount == path)) {
        let what = format!("nothing is mounted at {path}");
        findings.warn(
            place,
            &format!("{key}.path"),
            what,
            "write a mount point, as `df` shows them in its last column",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_of_the_kernel_are_undone() {
        for (field, expect) in [
            ("/", "/"),
            ("/a\\040b", "/a b"),
            ("/a\\", "/a\\"),
            ("/\\04", "/\\04"),
            ("/\\999", "/\\999"),
            ("/\\134", "/\\"),
        ] {
            assert_eq!(unescaped(field), expect, "{field}");
        }
    }
}
