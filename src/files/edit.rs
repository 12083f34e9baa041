//! What a file is to say, given what it says: no I/O, the same answer every time, and applying it twice changes nothing more.
//!
//! Lines keep their ends: `\n`, `\r\n`, or none for a last line that has none. New lines end as the file's first line does. Bytes that
//! are not UTF-8 are left as they are; a pattern sees a question mark in their place, and a line with such bytes that is to be
//! replaced in part is refused.

use std::borrow::Cow;
use std::fmt;

use regex_lite::Regex;

use crate::model::{Edit, Spot};

/// Why a text is not edited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    Nul,
    /// A replacement that would be made again and again.
    Unsettled,
    /// A part of this line would have to be replaced.
    NotUtf8(usize),
    Pattern(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nul => write!(out, "it has a NUL in it, so it is no text"),
            Self::Unsettled => write!(out, "what was replaced would be replaced again; anchor the pattern"),
            Self::NotUtf8(line) => write!(out, "line {line} is to be replaced in part and is not UTF-8"),
            Self::Pattern(pattern) => write!(out, "`{pattern}` is no regular expression"),
        }
    }
}

/// One line and how it ends.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Line<'a> {
    text: Cow<'a, [u8]>,
    end: &'static [u8],
}

/// An edit with its patterns compiled.
struct Compiled<'a> {
    edit: &'a Edit,
    absent: Vec<Regex>,
    replace: Vec<(Regex, &'a str)>,
    mark: Option<Regex>,
}

/// The new text; the old one when nothing has to change.
pub fn apply(edit: &Edit, old: &[u8]) -> Result<Vec<u8>, Refusal> {
    if old.contains(&0) {
        return Err(Refusal::Nul);
    }
    let compiled = Compiled::new(edit)?;
    let new = compiled.apply(old)?;
    if new != old && compiled.apply(&new)? != new {
        return Err(Refusal::Unsettled);
    }
    Ok(new)
}

impl<'a> Compiled<'a> {
    fn new(edit: &'a Edit) -> Result<Self, Refusal> {
        let compile = |pattern: &str| Regex::new(pattern).map_err(|_| Refusal::Pattern(pattern.to_owned()));
        let absent: Result<_, _> = edit.absent.iter().map(|pattern| compile(pattern)).collect();
        let replace = edit.replace.iter().map(|one| Ok((compile(&one.regex)?, one.with.as_str())));
        let mark = match &edit.spot {
            Spot::After(pattern) | Spot::Before(pattern) => Some(compile(pattern)?),
            Spot::Start | Spot::End => None,
        };
        Ok(Self { edit, absent: absent?, replace: replace.collect::<Result<_, _>>()?, mark })
    }

    fn apply(&self, old: &[u8]) -> Result<Vec<u8>, Refusal> {
        let mut lines = split(old);
        let end = lines.first().map_or(b"\n".as_slice(), |line| line.end);
        let end = if end.is_empty() { b"\n" } else { end };
        lines.retain(|line| !self.absent.iter().any(|regex| regex.is_match(&seen(&line.text))));
        for (number, line) in (1..).zip(&mut lines) {
            self.replace(number, line)?;
        }
        let mut missing = Vec::new();
        for wanted in &self.edit.lines {
            let mut found = false;
            lines.retain(|line| !self.is_same(&line.text, wanted) || !std::mem::replace(&mut found, true));
            if !found {
                missing.push(Line { text: Cow::Borrowed(wanted.as_bytes()), end });
            }
        }
        if !missing.is_empty() {
            let place = self.place(&lines);
            lines.splice(place..place, missing);
        }
        Ok(joined(&lines, end))
    }

    fn replace(&self, number: usize, line: &mut Line<'_>) -> Result<(), Refusal> {
        for (regex, with) in &self.replace {
            let text = seen(&line.text);
            let Cow::Owned(new) = regex.replace_all(&text, *with) else { continue };
            if std::str::from_utf8(&line.text).is_err() {
                return Err(Refusal::NotUtf8(number));
            }
            if new.as_bytes() != line.text.as_ref() {
                line.text = Cow::Owned(new.into_bytes());
            }
        }
        Ok(())
    }

    fn is_same(&self, text: &[u8], wanted: &str) -> bool {
        if self.edit.ignores_blanks { words(text).eq(words(wanted.as_bytes())) } else { text == wanted.as_bytes() }
    }

    /// Where missing lines go.
    fn place(&self, lines: &[Line<'_>]) -> usize {
        let marked = |line: &Line<'_>| self.mark.as_ref().is_some_and(|mark| mark.is_match(&seen(&line.text)));
        match self.edit.spot {
            Spot::Start => 0,
            Spot::End => lines.len(),
            Spot::After(_) => lines.iter().rposition(marked).map_or(lines.len(), |place| place + 1),
            Spot::Before(_) => lines.iter().position(marked).unwrap_or(lines.len()),
        }
    }
}

/// What a pattern sees of a line.
fn seen(text: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(text)
}

fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty())
}

fn split(text: &[u8]) -> Vec<Line<'_>> {
    text.split_inclusive(|byte| *byte == b'\n').map(line).collect()
}

fn line(raw: &[u8]) -> Line<'_> {
    let (text, end): (&[u8], &'static [u8]) = match raw {
        [text @ .., b'\r', b'\n'] => (text, b"\r\n"),
        [text @ .., b'\n'] => (text, b"\n"),
        text => (text, b""),
    };
    Line { text: Cow::Borrowed(text), end }
}

/// Only the last line may be without an end, and only when it was so before.
fn joined(lines: &[Line<'_>], end: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    for (place, line) in lines.iter().enumerate() {
        text.extend_from_slice(&line.text);
        let is_last = place + 1 == lines.len();
        text.extend_from_slice(if line.end.is_empty() && !is_last { end } else { line.end });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Replace;

    fn lines(lines: &[&str]) -> Edit {
        Edit { lines: lines.iter().map(|line| (*line).to_owned()).collect(), ..Edit::default() }
    }

    fn at(spot: Spot) -> Edit {
        Edit { spot, ..lines(&["x"]) }
    }

    fn absent(pattern: &str) -> Edit {
        Edit { absent: vec![pattern.to_owned()], ..Edit::default() }
    }

    fn replace(regex: &str, with: &str) -> Edit {
        Edit { replace: vec![Replace { regex: regex.to_owned(), with: with.to_owned() }], ..Edit::default() }
    }

    #[test]
    fn a_file_says_what_was_promised() {
        let blanks = Edit { ignores_blanks: true, ..lines(&["* * * * * root  keep"]) };
        let (after, before) = (Spot::After("^#".into()), Spot::Before("^b".into()));
        for (edit, old, expect) in [
            (lines(&["x"]), "", "x\n"),
            (lines(&["x"]), "x\n", "x\n"),
            (lines(&["x"]), "x", "x"),
            (lines(&["x"]), "a", "a\nx\n"),
            (lines(&["x"]), "a\r\nb\r\n", "a\r\nb\r\nx\r\n"),
            (lines(&["x"]), "a\r\nb", "a\r\nb\r\nx\r\n"),
            (lines(&["x"]), "x\na\nx\nx", "x\na\n"),
            (lines(&["x"]), "xx\n x\n", "xx\n x\nx\n"),
            (lines(&["x", "y"]), "y\n", "y\nx\n"),
            (lines(&["x", "y"]), "a\n", "a\nx\ny\n"),
            (blanks.clone(), "*  *\t* * * root keep \n", "*  *\t* * * root keep \n"),
            (blanks.clone(), "* * * * * root keep\n* * * * *  root keep\n", "* * * * * root keep\n"),
            (blanks, "*****root keep\n", "*****root keep\n* * * * * root  keep\n"),
            (at(Spot::Start), "a\n", "x\na\n"),
            (at(Spot::Start), "", "x\n"),
            (at(after.clone()), "#1\na\n#2\nb\n", "#1\na\n#2\nx\nb\n"),
            (at(after.clone()), "a\n#2", "a\n#2\nx\n"),
            (at(after), "a\n", "a\nx\n"),
            (at(before.clone()), "a\nb1\nb2\n", "a\nx\nb1\nb2\n"),
            (at(before), "a\n", "a\nx\n"),
            (absent("^9"), "1\n9 a\n19\n9", "1\n19\n"),
            (absent("."), "a\nb\n", ""),
            (absent("a$"), "a\r\nb\r\n", "b\r\n"),
            (replace("^Port .*$", "Port 22"), "# Port 1\nPort 80\r\n", "# Port 1\nPort 22\r\n"),
            (replace(r"(\w+)=(\w+)", "$1:$2"), "a=b c=d", "a:b c:d"),
            (replace("b", ""), "abba\n", "aa\n"),
        ] {
            let new = apply(&edit, old.as_bytes()).map(|new| String::from_utf8(new).expect("it was text"));
            assert_eq!(new.as_deref(), Ok(expect), "{edit:?} on {old:?}");
            let again = apply(&edit, expect.as_bytes()).map(|new| String::from_utf8(new).expect("it was text"));
            assert_eq!(again.as_deref(), Ok(expect), "{edit:?} twice on {old:?}");
        }
    }

    #[test]
    fn what_cannot_be_done_well_is_not_done() {
        let hostile = Edit { replace: replace("^x$", "y").replace, ..lines(&["x"]) };
        for (edit, old, expect) in [
            (lines(&["x"]), b"a\0b".as_slice(), Refusal::Nul),
            (replace("a", "aa"), b"a\n", Refusal::Unsettled),
            (hostile, b"", Refusal::Unsettled),
            (replace("a", "b"), b"1\n\xff a\n", Refusal::NotUtf8(2)),
            (absent("("), b"", Refusal::Pattern("(".into())),
        ] {
            assert_eq!(apply(&edit, old), Err(expect), "{edit:?}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_left_alone() {
        let old = b"caf\xe9\nb\n";
        let edit = Edit { absent: vec!["^b".into()], replace: replace("z", "y").replace, ..lines(&["x"]) };
        assert_eq!(apply(&edit, old).as_deref(), Ok(b"caf\xe9\nx\n".as_slice()));
    }

    #[test]
    fn a_text_cut_anywhere_is_mended_to_the_same_promise() {
        let text = b"# head\r\nx\r\n9 old\r\nPort 80\r\n\r\nlast";
        let edit =
            Edit { absent: vec!["^9 ".into()], replace: replace("^Port .*", "Port 22").replace, ..lines(&["x", "y"]) };
        for end in 0..=text.len() {
            let new = apply(&edit, &text[..end]).expect("it is text");
            let of = |wanted: &[u8]| split(&new).iter().filter(|line| line.text.as_ref() == wanted).count();
            assert_eq!((of(b"x"), of(b"y"), of(b"9 old"), of(b"Port 80")), (1, 1, 0, 0), "cut at {end}");
        }
    }
}
