//! Faults and where they are: `file:line:column: key: what; remedy`.
//!
//! A [`Findings`] gathers faults (the policy is refused) and warnings (it is not). At most `MOST` faults are kept; a file of
//! rubbish has no use for more.

use std::fmt;

/// Faults kept in one findings.
const MOST: usize = 100;
/// How much of an offending text a message repeats, in characters.
const EXCERPT: usize = 80;

/// A place in one of the files that were read. Lines and columns count from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub file: u16,
    pub line: u32,
    pub column: u32,
}

/// A value and where it is written.
#[derive(Clone, Debug)]
pub struct At<T> {
    pub value: T,
    pub place: Place,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub file: String,
    pub line: u32,
    pub column: u32,
    /// The key or table it is about: `process.web.run`.
    pub key: String,
    pub what: String,
    /// What the reader can do about it.
    pub remedy: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, column, key, what, remedy } = self;
        write!(out, "{file}:{line}:{column}: {key}: {what}; {remedy}")
    }
}

/// Everything that was noticed while a policy was read.
#[derive(Debug, Default)]
pub struct Findings {
    files: Vec<String>,
    faults: Vec<(Place, Fault)>,
    warnings: Vec<(Place, Fault)>,
}

impl Findings {
    /// Makes a file known; its number goes into the places of its values.
    pub fn file(&mut self, name: String) -> u16 {
        self.files.push(name);
        u16::try_from(self.files.len() - 1).unwrap_or(u16::MAX)
    }

    /// The name of a file that was made known.
    pub fn name(&self, file: u16) -> &str {
        self.files.get(usize::from(file)).map_or("?", String::as_str)
    }

    /// `file:line` for a message that names a second place.
    pub fn cite(&self, place: Place) -> String {
        format!("{}:{}", self.name(place.file), place.line)
    }

    /// Notes what makes the policy unusable.
    pub fn fault(&mut self, place: Place, key: &str, what: impl Into<String>, remedy: impl Into<String>) {
        if !self.is_full() {
            let fault = self.note(place, key, &what.into(), &remedy.into());
            self.faults.push((place, fault));
        }
    }

    /// Notes what is probably not meant.
    pub fn warn(&mut self, place: Place, key: &str, what: impl Into<String>, remedy: impl Into<String>) {
        if self.warnings.len() < MOST {
            let warning = self.note(place, key, &what.into(), &remedy.into());
            self.warnings.push((place, warning));
        }
    }

    fn note(&self, place: Place, key: &str, what: &str, remedy: &str) -> Fault {
        Fault {
            file: printable(self.name(place.file)),
            line: place.line,
            column: place.column,
            key: excerpt(key),
            what: printable(what),
            remedy: printable(remedy),
        }
    }

    /// Whether a fault about this key, or a part of it, has been noted.
    pub fn mentions(&self, key: &str) -> bool {
        self.faults.iter().any(|(_, fault)| {
            fault.key.strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        })
    }

    /// Whether further faults would be dropped.
    pub fn is_full(&self) -> bool {
        self.faults.len() >= MOST
    }

    pub fn is_clean(&self) -> bool {
        self.faults.is_empty()
    }

    /// The files that were read, the main one first.
    pub fn files(&self) -> &[String] {
        &self.files
    }

    /// The faults and the warnings, each in the order of the text.
    pub fn finish(self) -> (Vec<Fault>, Vec<Fault>) {
        let sorted = |mut notes: Vec<(Place, Fault)>| {
            notes.sort_by_key(|(place, _)| *place);
            notes.into_iter().map(|(_, fault)| fault).collect()
        };
        (sorted(self.faults), sorted(self.warnings))
    }
}

/// A message is one line, whatever the text it repeats.
fn printable(text: &str) -> String {
    text.chars().flat_map(escaped).collect()
}

fn escaped(letter: char) -> impl Iterator<Item = char> {
    let (plain, escape) =
        if letter.is_control() { (None, Some(letter.escape_default())) } else { (Some(letter), None) };
    plain.into_iter().chain(escape.into_iter().flatten())
}

/// The beginning of an offending text, in one line.
pub fn excerpt(text: &str) -> String {
    let mut short = printable(&text.chars().take(EXCERPT).collect::<String>());
    if text.chars().nth(EXCERPT).is_some() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_one_line_whatever_it_repeats() {
        let mut findings = Findings::default();
        let file = findings.file("a\nb.toml".into());
        let place = Place { file, line: 3, column: 9 };
        findings.fault(place, "disk.root.full", format!("`{}` is not a share", excerpt("9\n\u{7}0")), "write 90%");
        let (faults, _) = findings.finish();
        assert_eq!(faults[0].to_string(), "a\\nb.toml:3:9: disk.root.full: `9\\n\\u{7}0` is not a share; write 90%");
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(excerpt(&"é".repeat(200)).chars().count(), EXCERPT + 1);
    }

    #[test]
    fn faults_come_in_the_order_of_the_text_and_not_without_end() {
        let mut findings = Findings::default();
        let file = findings.file("x".into());
        for line in (1..=200).rev() {
            findings.fault(Place { file, line, column: 1 }, "k", "w", "r");
        }
        let (faults, _) = findings.finish();
        assert_eq!(faults.len(), MOST);
        assert!(faults.is_sorted_by_key(|fault| fault.line));
    }
}
