//! Hostile input for every parser and every wire, led by coverage (libFuzzer).
//!
//! One program; `WATCHD_FUZZ` names the target. A target takes any bytes and may refuse them, but it must not panic, and what it
//! takes must make sense. `tests/fuzz/run` builds it, lays out the seeds and bounds the time.

#![no_main]
#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod board;
mod config;
mod files;
mod probes;
mod wires;

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;

/// What is done with one input.
type Target = fn(&[u8]);

/// Every target; its seeds are in `run`.
const TARGETS: &[(&str, Target)] = &[
    ("probes", probes::turn),
    ("config", config::policy),
    ("expression", config::expression),
    ("template", config::template),
    ("arguments", config::arguments),
    ("munin", wires::munin),
    ("http", wires::http),
    ("query", wires::query),
    ("control", wires::control),
    ("reply", wires::reply),
    ("pidfile", wires::pidfile),
    ("board", board::hostile),
    ("ledger", files::ledger),
    ("journal", files::journal),
    ("history", files::history),
    ("replay", files::replay),
];

fn chosen() -> Target {
    static CHOSEN: OnceLock<Target> = OnceLock::new();
    *CHOSEN.get_or_init(|| {
        let name = std::env::var("WATCHD_FUZZ").unwrap_or_default();
        let known = TARGETS.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(" ");
        let found = TARGETS.iter().find(|(target, _)| *target == name);
        found.unwrap_or_else(|| panic!("WATCHD_FUZZ has to be one of: {known}")).1
    })
}

fuzz_target!(|input: &[u8]| chosen()(input));

/// A directory of this process in memory; it goes with `run`, which knows where it is.
fn room() -> &'static std::path::Path {
    static ROOM: OnceLock<std::path::PathBuf> = OnceLock::new();
    ROOM.get_or_init(|| {
        let room = std::env::var_os("WATCHD_FUZZ_ROOM").expect("WATCHD_FUZZ_ROOM names a directory");
        let room = std::path::PathBuf::from(room).join(std::process::id().to_string());
        std::fs::create_dir_all(&room).expect("a directory can be made");
        room
    })
}

/// Lays edits over some bytes: each is a place (3 bytes, little-endian, taken modulo the length), a length (1 byte) and so many bytes.
fn patch(bytes: &mut [u8], mut edits: &[u8]) {
    while let Some(([low, middle, high, len], rest)) = edits.split_first_chunk::<4>() {
        let place = u32::from_le_bytes([*low, *middle, *high, 0]) as usize % bytes.len().max(1);
        let (new, rest) = rest.split_at(usize::from(*len).min(rest.len()));
        for (old, new) in bytes[place..].iter_mut().zip(new) {
            *old = *new;
        }
        edits = rest;
    }
}
