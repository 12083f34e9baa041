//! Variables out of a file, read at each start so that a changed one counts from the next.
//!
//! ```text
//! # comment
//! LISTEN=127.0.0.1:8080
//! NAME="two words"
//! ```
//! A value is all that follows the first `=`; one pair of quotes around it is taken off, nothing in it is replaced.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;

use crate::model::EnvFile;

/// Larger files are no files of variables.
const LARGEST: u64 = 64 << 10;

/// Why the variables of a file are not known.
#[derive(Debug)]
pub enum Fault {
    Unreadable {
        path: String,
        error: io::Error,
    },
    /// No plain file, or a very large one.
    Unfit(String),
    Line {
        path: String,
        number: usize,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { path, error } => write!(out, "cannot read env-file {path}: {error}"),
            Self::Unfit(path) => write!(out, "cannot read env-file {path}: it is no plain file of at most 64 KiB"),
            Self::Line { path, number } => write!(out, "cannot understand {path}:{number}: a line is KEY=VALUE"),
        }
    }
}

/// Reads the file; nothing from an optional one that is not there.
pub(super) fn read(file: &EnvFile) -> Result<Vec<(String, String)>, Fault> {
    let unreadable = |error| Fault::Unreadable { path: file.path.clone(), error };
    match open(&file.path) {
        Err(error) if file.optional && error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(unreadable(error)),
        Ok(opened) => {
            let facts = opened.metadata().map_err(unreadable)?;
            if !facts.is_file() || facts.len() > LARGEST {
                return Err(Fault::Unfit(file.path.clone()));
            }
            let mut text = String::new();
            opened.take(LARGEST).read_to_string(&mut text).map_err(unreadable)?;
            parse(&text).map_err(|number| Fault::Line { path: file.path.clone(), number })
        }
    }
}

/// Never waits: what is no plain file is refused before it is read.
fn open(path: &str) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)
}

/// The variables, or the number of the first line that is none.
fn parse(text: &str) -> Result<Vec<(String, String)>, usize> {
    let mut table = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (key, value) = line.split_once('=').ok_or(number)?;
        let key = key.strip_prefix("export ").unwrap_or(key).trim();
        if key.is_empty() || key.contains(char::is_whitespace) || line.contains('\0') {
            return Err(number);
        }
        let value = value.trim();
        let bare = ['"', '\''].iter().find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
        table.push((key.to_owned(), bare.unwrap_or(value).to_owned()));
    }
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_a_variable_or_named() {
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let text = "# c\n\nA=1\n B = two words \nC=\"x y\"\nD='$A'\nexport E=e=f\nF=\n";
        let expect = [
            pair("A", "1"),
            pair("B", "two words"),
            pair("C", "x y"),
            pair("D", "$A"),
            pair("E", "e=f"),
            pair("F", ""),
        ];
        assert_eq!(parse(text).as_deref(), Ok(&expect[..]));
        for (text, number) in [("A=1\nnonsense\n", 2), ("=x", 1), ("A B=c", 1), ("A=\0", 1)] {
            assert_eq!(parse(text), Err(number), "{text:?}");
        }
        for cut in 0..text.len() {
            let _ = parse(&text[..cut]);
        }
    }

    #[test]
    fn a_missing_file_is_a_fault_unless_it_may_be_missing() {
        let file = |path: &str, optional| EnvFile { path: path.to_owned(), optional };
        let fault = read(&file("/no/such/file", false)).expect_err("it is not there");
        assert!(fault.to_string().starts_with("cannot read env-file /no/such/file: No such file"), "{fault}");
        assert_eq!(read(&file("/no/such/file", true)).expect("it may be missing"), []);
        assert!(matches!(read(&file("/dev/zero", true)), Err(Fault::Unfit(_))));
    }
}
