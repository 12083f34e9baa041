//! Lines out, on standard error: what happened and how much it matters.
//!
//! The loop never waits for a reader: what cannot be written at once is counted, and the count is told with the next line that can.
//! A daemon that `keepalive` started writes to the file named by `WATCHD_LOG`, and begins it anew beside the old one
//! when it has grown to `FILE_MAX`: twice that is all it ever takes.

use std::fmt::Write;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::Duration;

use crate::model::{EventKind, Severity};
use crate::sys::clock::Civil;
use crate::sys::stderr;

/// The variable that names the file behind standard error.
pub const FILE: &str = "WATCHD_LOG";
/// How long such a file may become.
pub const FILE_MAX: u64 = 256 << 10;

/// The longest line; subject and text of an event fit.
const LINE: usize = 512;

/// Where lines go.
pub struct Log {
    file: Option<PathBuf>,
    written: u64,
    held_back: u32,
    is_quiet: bool,
}

impl Log {
    /// Standard error, and the file behind it if the environment names one. A file that is named and is not behind it is
    /// somebody else's, and never touched.
    pub fn from_environment() -> Self {
        let file = std::env::var_os(FILE).map(PathBuf::from).filter(|file| file.is_absolute() && stderr::is(file));
        let written = file.as_ref().and_then(|file| file.metadata().ok()).map_or(0, |found| found.len());
        Self { file, written, held_back: 0, is_quiet: false }
    }

    /// Writes nothing from now on.
    pub fn be_quiet(&mut self) {
        self.is_quiet = true;
    }

    /// Writes one event.
    pub fn event(&mut self, wall: Duration, kind: EventKind, subject: &str, text: &str) {
        if self.is_quiet {
            return;
        }
        if self.held_back > 0 {
            let held_back = self.held_back;
            let mut note = heapless::String::<64>::new();
            let _ = write!(note, "{held_back} lines could not be written");
            if !self.write(&line(wall, EventKind::Trouble, "log", &note)) {
                self.held_back = self.held_back.saturating_add(1);
                return;
            }
            self.held_back = 0;
        }
        if !self.write(&line(wall, kind, subject, text)) {
            self.held_back = 1;
        }
    }

    fn write(&mut self, line: &[u8]) -> bool {
        if stderr::write(line).is_err() {
            return false;
        }
        self.written = self.written.saturating_add(line.len() as u64);
        if self.written > FILE_MAX {
            self.begin_anew();
        }
        true
    }

    /// Moves the file aside. Where that fails the old one is gone on with for as long again.
    fn begin_anew(&mut self) {
        self.written = 0;
        let Some(path) = &self.file else { return };
        let mut options = OpenOptions::new();
        let options = options.append(true).create_new(true).mode(0o640);
        if std::fs::rename(path, path.with_extension("old")).is_ok()
            && let Ok(file) = options.open(path)
        {
            let _ = stderr::replace(&file);
        }
    }
}

/// `2026-11-22T15:02:08Z warning service-died web: killed by signal 9`, with nothing inside that ends a line or steers a terminal.
fn line(wall: Duration, kind: EventKind, subject: &str, text: &str) -> heapless::Vec<u8, LINE> {
    let mut page = heapless::String::<{ LINE - 1 }>::new();
    let colon = if subject.is_empty() || text.is_empty() { "" } else { ": " };
    let severity: Severity = kind.severity();
    let _ = write!(page, "{}Z {severity:<7} {kind} ", Civil::utc(wall));
    for letter in subject.chars().chain(colon.chars()).chain(text.chars()) {
        let _ = page.push(if letter.is_control() { '?' } else { letter });
    }
    let mut line = heapless::Vec::new();
    let _ = line.extend_from_slice(page.trim_end().as_bytes());
    let _ = line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line() {
        let at = Duration::from_secs(951_827_696);
        let line = |subject: &str, text: &str| {
            String::from_utf8(line(at, EventKind::ServiceDied, subject, text).to_vec()).expect("a line is text")
        };
        assert_eq!(line("web", "no\nluck\x1b[31m"), "2000-02-29T12:34:56Z warning service-died web: no?luck?[31m\n");
        assert_eq!(line("", ""), "2000-02-29T12:34:56Z warning service-died\n");
        assert_eq!(line("", "alone"), "2000-02-29T12:34:56Z warning service-died alone\n");
        let long = line("ä", &"ö".repeat(400));
        assert!(long.len() <= LINE && long.ends_with("ö\n"), "{long}");
    }
}
