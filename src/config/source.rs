//! One file as text: read without blocking, bounded, checked to be UTF-8, and able to say which line an offset is in.

use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::fault::{Findings, Place};
use crate::sys::trust;

/// The largest file that is read; a policy with every limit reached is a quarter of it.
pub const LARGEST: u64 = 1 << 20;

/// The text of a file and where its lines begin.
pub struct Source {
    file: u16,
    text: String,
    starts: Vec<usize>,
}

impl Source {
    /// Reads a file; what is wrong with it is reported under `key`, at `place`, or in the file itself where there is none.
    pub fn open(path: &Path, place: Option<Place>, findings: &mut Findings) -> Option<Self> {
        let file = findings.file(path.to_string_lossy().into_owned());
        let start = Place { file, line: 1, column: 1 };
        let bytes = match load(path) {
            Ok(bytes) => bytes,
            Err((what, remedy)) => {
                let key = if place.is_some() { "watchd.include" } else { "file" };
                let what = if place.is_some() { format!("cannot read {}: {what}", path.display()) } else { what };
                findings.fault(place.unwrap_or(start), key, what, remedy);
                return None;
            }
        };
        match String::from_utf8(bytes) {
            Ok(text) => Some(Self::new(file, text)),
            Err(error) => {
                let valid = error.utf8_error().valid_up_to();
                let head = String::from_utf8_lossy(error.as_bytes().get(..valid).unwrap_or(&[])).into_owned();
                let place = Self::new(file, head).place(valid);
                findings.fault(place, "file", "this byte is not UTF-8", "save the file as UTF-8");
                None
            }
        }
    }

    pub fn new(file: u16, text: String) -> Self {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(place, _)| place + 1)).collect();
        Self { file, text, starts }
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// What stands from an offset to the end of its line; the whole line where that is nothing.
    pub fn line_from(&self, offset: usize) -> &str {
        let (before, after) = self.text.split_at_checked(offset).unwrap_or((&self.text, ""));
        let rest = after.lines().next().unwrap_or_default().trim();
        if rest.is_empty() { before.rsplit('\n').next().unwrap_or_default().trim() } else { rest }
    }

    /// Line and column of a byte offset.
    pub fn place(&self, offset: usize) -> Place {
        let line = self.starts.partition_point(|start| *start <= offset);
        let start = self.starts.get(line.wrapping_sub(1)).copied().unwrap_or(0);
        let column = self.text.get(start..offset).map_or(offset.saturating_sub(start), |text| text.chars().count());
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        Place { file: self.file, line: number(line), column: number(column + 1) }
    }
}

/// The bytes of a regular file, or what is wrong with it and what to do.
fn load(path: &Path) -> Result<Vec<u8>, (String, &'static str)> {
    let refused = |error: std::io::Error| {
        let remedy = match error.kind() {
            std::io::ErrorKind::NotFound => "give the path of a file that exists",
            std::io::ErrorKind::PermissionDenied => "run watchd as a user who may read it",
            _ => "give the path of a readable file",
        };
        (error.to_string(), remedy)
    };
    let file =
        OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path).map_err(refused)?;
    let facts = file.metadata().map_err(refused)?;
    if facts.is_dir() {
        return Err(("it is a directory".into(), "give the path of a file"));
    }
    if !facts.is_file() {
        return Err(("it is not a regular file".into(), "give the path of a regular file"));
    }
    // Whoever can write what root obeys is root.
    if nix::unistd::geteuid().is_root()
        && let Some(exposure) = trust::exposure(path).map_err(refused)?
    {
        return Err((format!("{exposure}, and so to what root runs"), exposure.remedy()));
    }
    let mut bytes = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(refused)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > LARGEST) {
        return Err((format!("it is longer than {LARGEST} bytes"), "split it with include, or give the right file"));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn what_others_can_write_is_not_obeyed_by_root() {
        use std::os::unix::fs::{PermissionsExt, chown};
        let base = Scratch::new();
        let file = base.join("watchd.toml");
        std::fs::write(&file, "").expect("a file can be written");
        let is_root = nix::unistd::geteuid().is_root();
        for (directory, mode, owner, trusted) in [
            (0o755, 0o644, (0, 0), true),
            (0o755, 0o664, (0, 0), true),
            (0o755, 0o644, (7, 7), false),
            (0o755, 0o664, (0, 7), false),
            (0o755, 0o646, (0, 0), false),
            (0o777, 0o644, (0, 0), false),
            (0o1777, 0o644, (0, 0), true),
            (0o1777, 0o644, (7, 7), false),
        ] {
            let set = |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode));
            set(&base, directory).and_then(|()| set(&file, mode)).expect("they are ours");
            if chown(&file, Some(owner.0), Some(owner.1)).is_ok() && is_root {
                assert_eq!(load(&file).is_ok(), trusted, "{directory:o} {mode:o} {owner:?}");
            }
        }
    }

    #[test]
    fn every_directory_above_counts() {
        use std::os::unix::fs::PermissionsExt;
        let base = Scratch::new();
        base.write("etc/watchd/watchd.toml", "");
        let file = base.join("etc/watchd/watchd.toml");
        assert!(load(&file).is_ok());
        let above = base.join("etc");
        std::fs::set_permissions(&above, std::fs::Permissions::from_mode(0o777)).expect("it is ours");
        if nix::unistd::geteuid().is_root() {
            let (what, remedy) = load(&file).expect_err("whoever can rename its directory can write it");
            assert!(what.starts_with("other accounts can write to the directory "), "{what}");
            assert!(what.contains(&above.display().to_string()) && remedy.contains("/etc/watchd"), "{what}; {remedy}");
        }
    }

    #[test]
    fn a_line_is_shown_from_where_it_is_wrong() {
        let source = Source::new(0, "a = 1\nb = \"x\n\né".into());
        for (offset, shown) in
            [(0, "a = 1"), (4, "1"), (5, "a = 1"), (12, "b = \"x"), (13, ""), (15, "é"), (16, "é"), (99, "é")]
        {
            assert_eq!(source.line_from(offset), shown, "offset {offset}");
        }
    }

    #[test]
    fn columns_count_characters() {
        let source = Source::new(0, "é = 1\nab\n".into());
        for (offset, line, column) in [(0, 1, 1), (2, 1, 2), (6, 1, 6), (7, 2, 1), (9, 2, 3), (10, 3, 1), (99, 3, 90)] {
            let place = source.place(offset);
            assert_eq!((place.line, place.column), (line, column), "offset {offset}");
        }
    }
}
