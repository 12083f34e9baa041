//! The digest: reports of a day in one message. They wait as lines of the file `digest` in the state directory, 32 KiB at most.
//!
//! When the expression `at` begins to hold a letter is written, which stands for all lines there are when it is sent; it has to arrive
//! before they are taken out, so a message that does not arrive loses nothing, and one that is sent when watchd dies is sent again.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::PathBuf;

use super::core::Core;
use super::notes::Notes;
use super::policy::Digest as Spec;
use super::publish::millis;
use crate::model::{EventKind, Now, Places};
use crate::store::outbox::Letter;
use crate::sys::clock::Civil;
use crate::sys::files::write_private;

/// Bytes of lines that wait.
const MOST: u64 = 32 << 10;
/// Of these, the bytes that are left for saying that there was no room.
const RESERVE: u64 = 128;
const FULL: &str = "watchd: from here on there was no room for more reports";
/// What stands in place of the id of a report in its letter.
pub const REPORT: &str = "";

/// What is told together.
pub struct Digest {
    path: PathBuf,
    pub spec: Option<Spec>,
    /// The moment to send has come and not gone yet.
    is_due: bool,
    /// Bytes of lines in the message that is on its way.
    sent: usize,
    /// Lines there was no room for.
    lost: u32,
    /// Of a pass beside the daemon: what the daemon is to write down.
    held: Vec<(String, String)>,
}

impl Digest {
    pub fn open(places: &Places, spec: Option<Spec>) -> Self {
        Self { path: places.digest(), spec, is_due: false, sent: 0, lost: 0, held: Vec::new() }
    }

    /// Puts a report among those that wait.
    fn add(&mut self, id: &str, text: &str, now: Now, notes: &mut Notes) {
        let when = Civil::local(now.wall);
        let line = format!("{when} {id}: {}\n", text.replace(char::is_control, " "));
        if let Err(error) = append(&self.path, &line, MOST - RESERVE) {
            self.lost += 1;
            if self.lost == 1 {
                let text = format!("cannot keep a report for the digest: {error}");
                notes.add(EventKind::StateUnwritable, "digest", &text);
                // That something is missing outlives us.
                let _ = append(&self.path, &format!("{when} {FULL}\n"), MOST);
            }
        }
    }

    /// What the daemon is to write down; nothing of it is here afterwards.
    pub fn take_held(&mut self) -> Vec<(String, String)> {
        std::mem::take(&mut self.held)
    }

    /// What there is to send; remembers how much of it that is.
    fn take(&mut self) -> String {
        let text = fs::read(&self.path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
        self.sent = text.len();
        if self.lost > 0 {
            return format!("{text}and {} more that there was no room for\n", self.lost);
        }
        text
    }

    /// It has arrived: what came since stays.
    fn arrived(&mut self) -> io::Result<()> {
        let sent = std::mem::take(&mut self.sent);
        self.lost = 0;
        let bytes = fs::read(&self.path)?;
        match bytes.get(sent..).filter(|rest| !rest.is_empty()) {
            None => fs::remove_file(&self.path),
            Some(rest) => {
                let beside = self.path.with_extension("new");
                write_private(&beside, rest)?;
                fs::rename(&beside, &self.path)
            }
        }
    }

    fn lines(&self) -> usize {
        fs::read(&self.path).map_or(0, |bytes| bytes.iter().filter(|byte| **byte == b'\n').count())
    }
}

fn append(path: &std::path::Path, line: &str, most: u64) -> io::Result<()> {
    let flags = libc::O_NOFOLLOW;
    let mut file = OpenOptions::new().append(true).create(true).mode(0o600).custom_flags(flags).open(path)?;
    let size = file.metadata()?.size();
    if size + line.len() as u64 > most {
        return Err(io::Error::other("there is no room for more"));
    }
    let written = file.write_all(line.as_bytes());
    if written.is_err() {
        // Half a line would be told as a whole one.
        let _ = file.set_len(size);
    }
    written
}

impl Core {
    /// A line for the digest; a pass beside the daemon leaves the writing to the daemon.
    pub(super) fn note_for_digest(&mut self, id: &str, text: &str) {
        if self.manner.is_guest() && !self.manner.is_shadow {
            return self.digest.held.push((id.to_owned(), text.to_owned()));
        }
        self.keep_for_digest(id, text);
    }

    pub(super) fn keep_for_digest(&mut self, id: &str, text: &str) {
        self.digest.add(id, text, self.now, &mut self.notes);
    }

    /// Writes the letter when its moment comes.
    pub(super) fn mind_digest(&mut self) {
        if !self.manner.is_daemon() || self.manner.is_shadow {
            return;
        }
        let Some(spec) = &self.digest.spec else { return };
        let holds = self.judgement.classes.eval(spec.at);
        if !std::mem::replace(&mut self.digest.is_due, holds) && holds {
            let count = self.digest.lines();
            if count == 0 || self.post.has(REPORT) {
                return;
            }
            let reports = if count == 1 { "report" } else { "reports" };
            let letter = Letter {
                report: REPORT.to_owned(),
                channel: spec.channel.name.clone(),
                text: format!("{count} {reports}"),
                wall_ms: millis(self.now.wall),
                tries: 0,
                is_over: false,
            };
            self.send_letter(letter);
        }
    }

    /// The lines that go with a letter; none for one that is no digest.
    pub(super) fn lines_of(&mut self, letter: &Letter) -> String {
        if letter.report == REPORT { self.digest.take() } else { String::new() }
    }

    /// A letter has arrived.
    pub(super) fn digest_arrived(&mut self, letter: &Letter) {
        if letter.report != REPORT {
            return;
        }
        if let Err(error) = self.digest.arrived() {
            let text = format!("cannot take out what the digest has told, so it is told again: {error}");
            self.notes.add(EventKind::StateUnwritable, "digest", &text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn what_comes_while_it_is_sent_stays_and_nothing_grows_for_ever() {
        let scratch = Scratch::new();
        let places =
            Places { config: None, run_dir: scratch.join("run"), state_dir: scratch.to_path_buf(), root: "/".into() };
        let mut notes = Notes::passing(Now::default());
        let mut digest = Digest::open(&places, None);
        digest.add("a", "one", Now::default(), &mut notes);
        assert!(digest.take().ends_with(" a: one\n"));
        digest.add("b", "two", Now::default(), &mut notes);
        digest.arrived().expect("it can be written");
        assert!(digest.take().ends_with(" b: two\n") && digest.lines() == 1);
        digest.arrived().expect("it can be written");
        assert_eq!((digest.lines(), digest.take().as_str(), places.digest().exists()), (0, "", false));
        for _ in 0..2_000 {
            digest.add("c", &"x".repeat(100), Now::default(), &mut notes);
        }
        // Killed now, it knows not how many, but that there were more.
        let mut again = Digest::open(&places, None);
        assert!(again.take().ends_with("no room for more reports\n"), "{}", again.take());
        let kept = fs::metadata(places.digest()).expect("it is there").size();
        assert!(kept <= MOST && notes.total() == 1, "told once: {}", notes.total());
        let text = digest.take();
        let count = digest.lines() - 1;
        assert!(text.ends_with(&format!("and {} more that there was no room for\n", 2_000 - count)), "{count}");
        digest.arrived().expect("it can be written");
        digest.add("d", "a\nb\r", Now::default(), &mut notes);
        assert!(digest.take().ends_with(" d: a b \n") && digest.lines() == 1, "one report is one line");
    }
}
