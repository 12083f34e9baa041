//! What a pass beside the daemon has to tell and could not deliver, or what is for the digest: the daemon takes it into its own queue,
//! for the pass keeps nothing behind. One line over the control socket:
//!
//! ```text
//! post disk mail:root 0 / is 95% full
//! ok it is sent again until it has arrived
//! ```
//! A channel of `-` is the digest. What stands in a word and is no plain letter is written as `%` and two digits.

use std::fmt::{self, Write};
use std::path::Path;

use super::control::{self, LINE, Reply};
use super::core::Core;
use super::publish::millis;
use crate::model::EventKind;
use crate::store::outbox::Letter;

const WORD: &str = "post ";
const DIGEST: &str = "-";
/// The rest of the line is for the text.
const LONGEST: usize = 512;

/// One report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Posted<'a> {
    pub report: String,
    /// None for the digest.
    pub channel: Option<String>,
    pub is_over: bool,
    pub text: &'a str,
}

impl<'a> Posted<'a> {
    /// Whether a line is one of these, well made or not.
    pub fn is_one(line: &[u8]) -> bool {
        line.starts_with(WORD.as_bytes())
    }

    /// A whole line with its newline.
    pub fn parse(line: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(line).ok()?.strip_suffix('\n')?.strip_prefix(WORD)?;
        let mut words = text.splitn(4, ' ');
        let (report, channel) = (decode(words.next()?)?, decode(words.next()?)?);
        let is_over = match words.next()? {
            "0" => false,
            "1" => true,
            _ => return None,
        };
        let text = words.next()?;
        let is_good = control::is_name(&report) && !report.starts_with('@') && !channel.is_empty();
        let is_plain = !text.is_empty() && text.len() <= LONGEST && !text.contains(char::is_control);
        let channel = (channel != DIGEST).then_some(channel);
        (is_good && is_plain).then_some(Self { report, channel, is_over, text })
    }
}

impl fmt::Display for Posted<'_> {
    /// The line without its newline; of a text only what has room.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut head = String::from(WORD);
        encode(&self.report, &mut head)?;
        head.push(' ');
        encode(self.channel.as_deref().unwrap_or(DIGEST), &mut head)?;
        write!(head, " {} ", u8::from(self.is_over))?;
        let room = LINE.saturating_sub(head.len() + 1).min(LONGEST);
        let text = self.text.replace(char::is_control, " ");
        write!(out, "{head}{}", text.get(..text.floor_char_boundary(room)).unwrap_or_default())
    }
}

fn encode(word: &str, out: &mut String) -> fmt::Result {
    for byte in word.bytes() {
        if byte.is_ascii_alphanumeric() || b"_-.:@+/=".contains(&byte) {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02x}")?;
        }
    }
    Ok(())
}

fn decode(word: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(word.len());
    let mut rest = word.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        if *first == b'%' {
            let digits = std::str::from_utf8(after.get(..2)?).ok().filter(|two| !two.starts_with('+'))?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = after.get(2..)?;
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8(bytes).ok()
}

impl Core {
    /// The daemon takes in what a pass hands over.
    pub(super) fn take_posted(&mut self, line: &[u8]) -> (Reply, String) {
        let Some(posted) = Posted::parse(line) else {
            return (Reply::BadRequest, "cannot understand the report that is handed over".to_owned());
        };
        let text = posted.text.to_owned();
        match posted.channel {
            None => {
                self.keep_for_digest(&posted.report, &text);
                (Reply::Ok, "it waits for the digest".to_owned())
            }
            Some(channel) => {
                let wall_ms = millis(self.now.wall);
                let (report, is_over) = (posted.report, posted.is_over);
                self.send_letter(Letter { report, channel, text, wall_ms, tries: 1, is_over });
                self.is_stirred = true;
                (Reply::Ok, "it is sent again until it has arrived".to_owned())
            }
        }
    }

    /// A pass beside the daemon ends: what waits is handed to the daemon behind this socket. What it does not take is told.
    pub(super) fn give_to_daemon(&mut self, socket: &Path) {
        for (report, text) in self.digest.take_held() {
            let posted = Posted { report: report.clone(), channel: None, is_over: false, text: &text };
            if !matches!(control::hand(socket, &posted), Ok((Reply::Ok, _))) {
                // A daemon of an earlier version: it reads the same file.
                self.keep_for_digest(&report, &text);
            }
        }
        for letter in self.post.take_all() {
            let (report, channel) = (letter.report.clone(), Some(letter.channel.clone()));
            let posted = Posted { report, channel, is_over: letter.is_over, text: &letter.text };
            let why = match control::hand(socket, &posted) {
                Ok((Reply::Ok, _)) => continue,
                Ok((_, text)) => text,
                Err(error) => error.to_string(),
            };
            let text =
                format!("{}: dropped undelivered, the daemon does not take it: {why}: {}", letter.channel, letter.text);
            self.notes.add(EventKind::ReportDropped, &letter.report, &text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn posted<'a>(report: &str, channel: Option<&str>, text: &'a str) -> Posted<'a> {
        Posted { report: report.to_owned(), channel: channel.map(str::to_owned), is_over: true, text }
    }

    #[test]
    fn what_is_handed_over_is_understood() {
        for one in [
            posted("disk", Some("mail:root@example.org"), "/ is 95% full"),
            posted("d-1", Some("mail:a b%é"), "größer  as ever "),
            posted("d_1", None, "x"),
        ] {
            let line = format!("{one}\n");
            assert!(Posted::is_one(line.as_bytes()) && line.len() <= LINE);
            assert_eq!(Posted::parse(line.as_bytes()), Some(one), "{line}");
        }
        let long = "é".repeat(400);
        let line = format!("{}\n", posted("r", Some(&"\u{1}".repeat(96)), &long));
        let found = Posted::parse(line.as_bytes()).map(|posted| posted.text.len());
        assert_eq!(found, Some(LONGEST), "cut, and still a line");
        let line = format!("{}\n", posted("r", None, "two\nlines\r"));
        assert_eq!(Posted::parse(line.as_bytes()).map(|posted| posted.text), Some("two lines "));
    }

    #[test]
    fn a_cut_or_bad_line_is_nothing() {
        let line = b"post disk mail:root 0 full\n";
        for cut in 0..line.len() {
            assert_eq!(Posted::parse(&line[..cut]), None, "cut at {cut}");
        }
        for bad in [
            "post disk mail:root 2 x\n",
            "post disk mail:root 0 \n",
            "post  mail:root 0 x\n",
            "post disk  0 x\n",
            "post ../x mail:root 0 x\n",
            "post @x mail:root 0 x\n",
            "post disk %4 0 x\n",
            "post disk %zz 0 x\n",
            "post disk %+1 0 x\n",
            "post disk %ff 0 x\n",
            "post disk mail:root 0 a\tb\n",
            "posts disk mail:root 0 x\n",
        ] {
            assert_eq!(Posted::parse(bad.as_bytes()), None, "{bad}");
        }
    }
}
