//! What people write: policies, expressions, templates, arguments.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use watchd::agent::{Names, Template};
use watchd::classes;
use watchd::cli;
use watchd::engine::policy;
use watchd::model::Places;
use watchd_probes::inventory::Inventory;

/// A config as a whole. Every fault says where, what and what to do, without line breaks.
pub fn policy(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let lines = text.lines().count() + 1;
    let told = match policy::load_text("fuzz.toml", text, &Inventory::default()) {
        Ok((_, warnings)) => warnings,
        Err(faults) => {
            assert!(!faults.is_empty(), "refused without a word");
            faults
        }
    };
    for fault in told {
        assert!(!fault.what.is_empty() && !fault.remedy.is_empty(), "{fault}");
        assert!(fault.line >= 1 && fault.line as usize <= lines, "{fault}");
        let line = fault.to_string();
        assert!(!line.contains(char::is_control), "{line:?}");
    }
}

/// An expression either compiles, and then has a value, or says in which column it is wrong.
pub fn expression(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let mut count = 0;
    match classes::compile(text, &mut |_, _| {
        count += 1;
        count
    }) {
        Ok(ops) => {
            let _ = classes::eval(&ops, |name| name % 2 == 0);
            let _ = classes::eval(&ops, |_| true);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

pub fn template(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let names = Names {
        disks: vec!["root"],
        services: vec!["web"],
        promises: vec!["disk_root".to_owned()],
        ..Names::default()
    };
    if let Err(error) = Template::parse(text, &names) {
        assert!(error.column >= 1 && error.column <= text.chars().count() + 1, "column {}", error.column);
        assert!(!error.remedy.is_empty());
    }
}

/// Arguments are told apart by NULs.
pub fn arguments(input: &[u8]) {
    let words = input.split(|byte| *byte == 0).map(OsStr::from_bytes);
    let mut places = Places { config: None, run_dir: "/r".into(), state_dir: "/s".into(), root: "/".into() };
    if let Err(error) = cli::understand(lexopt::Parser::from_args(words), &mut places) {
        assert!(!error.to_string().is_empty());
    }
}
