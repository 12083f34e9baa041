//! `include = "conf.d/*.toml"`: the files it names, sorted.
//!
//! `*` and `?` stand in the last component only and never match a leading dot. Without them the file must exist.

use std::path::{Path, PathBuf};

/// More files than this are a mistake in the pattern.
const MOST: usize = 256;

/// The files that `pattern` names, relative to the directory of `main`; or what is wrong and what to do.
pub fn expand(main: &Path, pattern: &str) -> Result<Vec<PathBuf>, (String, String)> {
    let base = main.parent().unwrap_or(Path::new(""));
    let (directory, last) = match pattern.rsplit_once('/') {
        Some((directory, last)) => (base.join(if directory.is_empty() { "/" } else { directory }), last),
        None => (base.to_path_buf(), pattern),
    };
    if last.is_empty() || has_wildcard(&directory.to_string_lossy()) {
        return Err(("`*` and `?` may stand in the last part only".into(), "write it like \"conf.d/*.toml\"".into()));
    }
    if !has_wildcard(last) {
        return Ok(vec![directory.join(last)]);
    }
    let listed = if directory.as_os_str().is_empty() { Path::new(".") } else { &directory };
    let entries = std::fs::read_dir(listed).map_err(|error| {
        (format!("cannot list {}: {error}", listed.display()), "make the directory, or take the line out".to_owned())
    })?;
    let mut files: Vec<PathBuf> = entries
        .flatten()
        .filter(|entry| matches(last.as_bytes(), entry.file_name().as_encoded_bytes()))
        .map(|entry| directory.join(entry.file_name()))
        .collect();
    if files.len() > MOST {
        return Err((format!("{} files match", files.len()), format!("at most {MOST} files may be included")));
    }
    files.sort();
    Ok(files)
}

fn has_wildcard(text: &str) -> bool {
    text.contains(['*', '?'])
}

/// Whether a file name fits a pattern. Goes back to the last `*` only, so the work is at most length times length.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    if name.first() == Some(&b'.') && pattern.first() != Some(&b'.') {
        return false;
    }
    let (mut at, mut place) = (0, 0);
    let mut star = None;
    while let Some(letter) = name.get(place) {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at + 1, place));
                at += 1;
            }
            Some(wanted) if wanted == letter || *wanted == b'?' => {
                at += 1;
                place += 1;
            }
            _ => {
                let Some((after, taken)) = star else { return false };
                star = Some((after, taken + 1));
                (at, place) = (after, taken + 1);
            }
        }
    }
    pattern.get(at..).unwrap_or(&[]).iter().all(|letter| *letter == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_match_whole_names() {
        for (pattern, name, expect) in [
            ("*.toml", "a.toml", true),
            ("*.toml", "a.toml~", false),
            ("*.toml", ".hidden.toml", false),
            ("*", "", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*a*b", "xaxxab", true),
            ("*a*b", "xaxxa", false),
            ("a", "a", true),
        ] {
            assert_eq!(matches(pattern.as_bytes(), name.as_bytes()), expect, "{pattern} {name}");
        }
    }

    #[test]
    fn many_stars_do_not_take_for_ever() {
        assert!(!matches("*a".repeat(60).as_bytes(), "a".repeat(59).as_bytes()));
    }
}
