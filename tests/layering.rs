//! Who may import whom. Every `crate::` path in `src/ROOM/` is compared with the table below; the crate `watchd_probes` stands
//! below everything, and the compiler keeps that wall. Tests inside a file may look anywhere: reading stops at `#[cfg(test)]`.

#![allow(clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};

/// A room and what it may name: whole rooms, or one module of a room.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("log", &["model", "sys"]),
    ("sys", &["model"]),
    // Who else could write to a file is asked in `sys`.
    ("config", &["model", "sys"]),
    // The board is shared memory; mapping and file calls are made in `sys`.
    ("store", &["model", "sys"]),
    ("classes", &["model", "config", "store"]),
    ("learn", &["model"]),
    // What is done to files; the engine has it done in a child.
    ("files", &["model", "sys"]),
    ("agent", &["model", "config", "store", "classes"]),
    ("supervisor", &["model", "config", "sys"]),
    ("export", &["model", "config", "store", "classes", "agent", "supervisor", "learn"]),
    ("door", &["model", "sys", "store", "export", "learn"]),
    (
        "engine",
        &[
            "model",
            "log",
            "sys",
            "config",
            "store",
            "classes",
            "agent",
            "supervisor",
            "export",
            "door",
            "files",
            "learn",
        ],
    ),
    (
        "cli",
        &[
            "model",
            "log",
            "sys",
            "config",
            "store",
            "classes",
            "agent",
            "supervisor",
            "export",
            "door",
            "engine",
            "learn",
            "files",
        ],
    ),
    // The map of the rooms, and the program that starts one of them.
    ("lib", &[]),
    // Directories for unit tests; no room, so that nothing else can name it.
    ("scratch", &[]),
    ("main", &[]),
];

#[test]
fn every_room_imports_only_what_lies_left_of_it() {
    let mut faults = Vec::new();
    for file in rust_files(Path::new(env!("CARGO_MANIFEST_DIR")).join("src").as_path()) {
        let text = fs::read_to_string(&file).expect("a source file is text");
        let inside = file.strip_prefix(env!("CARGO_MANIFEST_DIR")).expect("it was found there").to_path_buf();
        check(&inside, &text, &mut faults);
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn the_table_has_no_room_that_is_imported_both_ways() {
    for (room, may) in MAY_IMPORT {
        for other in *may {
            let back =
                MAY_IMPORT.iter().find(|(name, _)| name == other).expect("an imported room has a row of its own").1;
            assert!(!back.contains(room), "{room} and {other} import each other");
        }
    }
}

#[test]
fn a_wall_that_is_climbed_is_noticed() {
    let rows: &[(&str, &str, &[&str])] = &[
        ("src/model/a.rs", "use crate::store::Board;\n", &["src/model/a.rs:1: model may not import store"]),
        ("src/model/a.rs", "//! see crate::store\n/* crate::cli */\n", &[]),
        ("src/model/a.rs", "let a = \"crate::store\";\n", &[]),
        ("src/store/b.rs", "use crate::{model::A, cli};\n", &["src/store/b.rs:1: store may not import cli"]),
        (
            "src/store/b.rs",
            "use crate::{\n    model::{A, B},\n    door::C,\n};\n",
            &["src/store/b.rs:1: store may not import door"],
        ),
        ("src/store/b.rs", "\nfn f() { crate::engine::run() }\n", &["src/store/b.rs:2: store may not import engine"]),
        (
            "src/store/b/c.rs",
            "use super::super::model;\nuse super::super::super::cli::x;\n",
            &["src/store/b/c.rs:2: store may not import cli"],
        ),
        ("src/store/b.rs", "#[cfg(test)]\nmod tests { use crate::cli; }\n", &[]),
        ("src/cli/mod.rs", "use crate::engine;\nuse super::cli;\n", &[]),
        ("src/model/mod.rs", "use super::sys::a;\n", &["src/model/mod.rs:1: model may not import sys"]),
        ("src/util/mod.rs", "use std::fs;\n", &["src/util/mod.rs:1: util is not in the table of rooms"]),
    ];
    for (file, text, expected) in rows {
        let mut faults = Vec::new();
        check(Path::new(file), text, &mut faults);
        assert_eq!(faults, *expected, "{file}: {text}");
    }
}

#[test]
fn every_file_says_first_what_it_is() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut faults = Vec::new();
    for folder in ["src", "probes/src", "tests", "benches"] {
        for file in rust_files(&root.join(folder)) {
            let text = fs::read_to_string(&file).expect("a source file is text");
            if !text.starts_with("//!") {
                faults.push(format!("{}:1: no header that says what the file is", file.display()));
            }
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

/// Adds a line for each wall that the text of `file` climbs.
fn check(file: &Path, text: &str, faults: &mut Vec<String>) {
    let module = module_of(file);
    let room = module.first().map_or("", String::as_str);
    let Some((_, may)) = MAY_IMPORT.iter().find(|(name, _)| *name == room) else {
        faults.push(format!("{}:1: {room} is not in the table of rooms", file.display()));
        return;
    };
    let end = text.find("#[cfg(test)]").unwrap_or(text.len());
    let code = without_comments(&text[..end]);
    for (place, other) in imported(&code, module.len()) {
        // A macro or item at the root of the crate is nobody's room.
        let is_room = MAY_IMPORT.iter().any(|(name, _)| *name == other);
        if is_room && other != room && room != "main" && room != "lib" && !may.contains(&other.as_str()) {
            let line = code[..place].matches('\n').count() + 1;
            faults.push(format!("{}:{line}: {room} may not import {other}", file.display()));
        }
    }
}

/// `src/store/board.rs` is the module `store::board`.
fn module_of(file: &Path) -> Vec<String> {
    let inside = file.strip_prefix("src").unwrap_or(file).with_extension("");
    let mut module: Vec<String> = inside.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    if module.last().is_some_and(|last| last == "mod") {
        module.pop();
    }
    module
}

/// The code with comments and texts blanked; lines stay where they were.
fn without_comments(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let blank = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if rest.starts_with('"') && !code.ends_with('\'') {
            end_of_text(rest)
        } else {
            code.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        };
        code.extend(rest[..blank].chars().map(|char| if char == '\n' { '\n' } else { ' ' }));
        rest = &rest[blank..];
    }
    code
}

/// One past the closing quote.
fn end_of_text(rest: &str) -> usize {
    let mut escaped = false;
    for (place, char) in rest.char_indices().skip(1) {
        match char {
            '\\' if !escaped => escaped = true,
            '"' if !escaped => return place + 1,
            _ => escaped = false,
        }
    }
    rest.len()
}

/// First component, below the crate, of every path that names it: by `crate::`, or by `super::` often enough.
fn imported(code: &str, depth: usize) -> Vec<(usize, String)> {
    let climb = "super::".repeat(depth);
    let mut found = Vec::new();
    for root in ["crate::", climb.as_str()] {
        for (place, _) in code.match_indices(root) {
            let before = code[..place].chars().next_back();
            if before.is_some_and(|char| char.is_alphanumeric() || char == '_' || char == ':') {
                continue;
            }
            let after = &code[place + root.len()..];
            if after.starts_with('{') {
                found.extend(group(after).into_iter().map(|name| (place, name)));
            } else {
                found.push((place, word(after)));
            }
        }
    }
    found
}

/// The first component of each path in `{a::b, c::{d, e}}`.
fn group(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut depth = 0_u32;
    for (place, char) in text.char_indices() {
        match char {
            '{' => depth += 1,
            '}' if depth == 1 => break,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 1 && matches!(char, '{' | ',') {
            names.push(word(text[place + 1..].trim_start()));
        }
    }
    names
}

fn word(text: &str) -> String {
    text.chars().take_while(|char| char.is_alphanumeric() || *char == '_').collect()
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries {
            let path = entry.expect("a directory can be listed").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}
