//! One file as text: read without blocking, bounded, checked to be UTF-8, and able to say which line an offset is in.

use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::fault::{Findings, Place};

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

    #[test]
    fn columns_count_characters() {
        let source = Source::new(0, "é = 1\nab\n".into());
        for (offset, line, column) in [(0, 1, 1), (2, 1, 2), (6, 1, 6), (7, 2, 1), (9, 2, 3), (10, 3, 1), (99, 3, 90)] {
            let place = source.place(offset);
            assert_eq!((place.line, place.column), (line, column), "offset {offset}");
        }
    }
}
