//! What an HTTP server answers, read as it comes and never kept: a status, a header, a text in the body.
//!
//! ```text
//! HTTP/1.1 200 OK
//! X-State: good
//!
//! all is well
//! ```
//! The question is HTTP/1.0, so the body comes in one piece. At most `MOST` bytes of an answer are looked at.

use crate::model::Http;
use crate::supervisor::{Text, Verdict, text};

/// Longer answers are not read to their end.
const MOST: usize = 1 << 20;
/// What is remembered of a line, or of the body's end; what is looked for is at most 100 bytes long.
const MEMORY: usize = 128;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Status,
    Headers,
    Body,
}

/// An answer on its way.
#[derive(Debug)]
pub struct Reply {
    stage: Stage,
    /// The line so far, or the end of the body so far.
    memory: heapless::Vec<u8, MEMORY>,
    has_header: bool,
    read: usize,
}

impl Default for Reply {
    fn default() -> Self {
        Self { stage: Stage::Status, memory: heapless::Vec::new(), has_header: false, read: 0 }
    }
}

/// The question. `room` has room for it: a path has at most 256 bytes.
pub fn question(http: &Http, room: &mut heapless::String<512>) -> std::fmt::Result {
    use std::fmt::Write;
    let (path, address) = (&http.path, http.address);
    write!(
        room,
        "GET {path} HTTP/1.0\r\nHost: {address}\r\nUser-Agent: watchd\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    )
}

impl Reply {
    /// Takes what has come; gives a verdict as soon as there can be only one.
    pub fn take(&mut self, bytes: &[u8], http: &Http) -> Option<Verdict> {
        self.read = self.read.saturating_add(bytes.len());
        let mut rest = bytes;
        while self.stage != Stage::Body {
            let (line, after) = match rest.iter().position(|byte| *byte == b'\n') {
                Some(end) => (rest.get(..end)?, rest.get(end + 1..)?),
                None => {
                    self.remember(rest);
                    return self.is_too_long().then(|| failed("its head does not end"));
                }
            };
            self.remember(line);
            rest = after;
            if let Some(verdict) = self.end_line(http) {
                return Some(verdict);
            }
        }
        let text = http.contains.as_deref()?;
        if self.find(rest, text.as_bytes()) {
            return Some(Verdict::Passed);
        }
        self.is_too_long().then(|| failed("the text is not in the first 1 MiB"))
    }

    /// The server has said all it will.
    pub fn end(&self, http: &Http) -> Verdict {
        match self.stage {
            Stage::Status if self.read == 0 => failed("it closed without an answer"),
            Stage::Status => failed("its answer is cut"),
            Stage::Headers => failed("its head is cut"),
            Stage::Body => match &http.contains {
                Some(words) => Verdict::Failed(text(format_args!("no `{words:.40}` in its body"))),
                None => Verdict::Passed,
            },
        }
    }

    fn is_too_long(&self) -> bool {
        self.read > MOST
    }

    /// As much of a line as fits.
    fn remember(&mut self, bytes: &[u8]) {
        let room = self.memory.capacity() - self.memory.len();
        let _ = self.memory.extend_from_slice(bytes.get(..bytes.len().min(room)).unwrap_or_default());
    }

    fn end_line(&mut self, http: &Http) -> Option<Verdict> {
        let line = std::mem::take(&mut self.memory);
        let line = line.strip_suffix(b"\r").unwrap_or(&line);
        match self.stage {
            Stage::Status => {
                let Some(status) = status(line) else { return Some(failed("its answer is not HTTP")) };
                let (least, most) = http.status;
                if !(least..=most).contains(&status) {
                    return Some(Verdict::Failed(text(format_args!("status {status}"))));
                }
                self.stage = Stage::Headers;
                (http.header.is_none() && http.contains.is_none()).then_some(Verdict::Passed)
            }
            Stage::Headers if line.is_empty() => {
                self.stage = Stage::Body;
                match &http.header {
                    Some((name, value)) if !self.has_header => {
                        Some(Verdict::Failed(text(format_args!("no header {name:.40}: {value:.40}"))))
                    }
                    _ => http.contains.is_none().then_some(Verdict::Passed),
                }
            }
            Stage::Headers => {
                let wanted = http.header.as_ref();
                self.has_header |= wanted.is_some_and(|(name, value)| is_header(line, name, value));
                None
            }
            Stage::Body => None,
        }
    }

    /// Whether the body so far has the text, also across two pieces.
    fn find(&mut self, bytes: &[u8], text: &[u8]) -> bool {
        let keep = text.len().saturating_sub(1).min(MEMORY / 2);
        // What was kept and the beginning of the new piece: a text that lies across both is in here.
        let mut seam = self.memory.clone();
        let _ = seam.extend_from_slice(bytes.get(..bytes.len().min(keep.min(MEMORY - seam.len()))).unwrap_or_default());
        if has(&seam, text) || has(bytes, text) {
            return true;
        }
        if bytes.len() < keep {
            let drop = (self.memory.len() + bytes.len()).saturating_sub(keep);
            let kept: heapless::Vec<u8, MEMORY> = self.memory.iter().skip(drop).copied().collect();
            self.memory = kept;
            let _ = self.memory.extend_from_slice(bytes);
        } else {
            self.memory.clear();
            let _ = self.memory.extend_from_slice(bytes.get(bytes.len() - keep..).unwrap_or_default());
        }
        false
    }
}

fn failed(why: &str) -> Verdict {
    let why: Text = text(format_args!("{why}"));
    Verdict::Failed(why)
}

fn has(bytes: &[u8], text: &[u8]) -> bool {
    !text.is_empty() && bytes.windows(text.len()).any(|window| window == text)
}

/// `HTTP/1.1 200 OK` is 200.
fn status(line: &[u8]) -> Option<u16> {
    let rest = line.strip_prefix(b"HTTP/1.")?;
    let digits = rest.get(2..5).filter(|_| rest.get(1) == Some(&b' '))?;
    let is_alone = rest.get(5).is_none_or(|byte| *byte == b' ');
    std::str::from_utf8(digits).ok()?.parse().ok().filter(|status| is_alone && (100..=599).contains(status))
}

fn is_header(line: &[u8], name: &str, value: &str) -> bool {
    let Some(colon) = line.iter().position(|byte| *byte == b':') else { return false };
    let (found, rest) = line.split_at(colon);
    found.eq_ignore_ascii_case(name.as_bytes())
        && rest.get(1..).is_some_and(|rest| rest.trim_ascii() == value.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(header: Option<(&str, &str)>, contains: Option<&str>) -> Http {
        Http {
            address: "127.0.0.1:80".parse().expect("an address"),
            path: "/health".to_owned(),
            status: (200, 299),
            header: header.map(|(name, value)| (name.to_owned(), value.to_owned())),
            contains: contains.map(str::to_owned),
        }
    }

    /// Fed in pieces of this size.
    fn judge(answer: &[u8], http: &Http, piece: usize) -> Verdict {
        let mut reply = Reply::default();
        answer.chunks(piece).find_map(|bytes| reply.take(bytes, http)).unwrap_or_else(|| reply.end(http))
    }

    const GOOD: &[u8] = b"HTTP/1.1 200 OK\r\nX-State:  good \r\nx-long: aaaa\r\n\r\nwell, all is well\n";

    #[test]
    fn an_answer_is_judged_alike_in_pieces_of_any_size() {
        let long = format!("HTTP/1.0 200 OK\r\nX-Pad: {}\r\n\r\n{}end", "a".repeat(5000), "en".repeat(4000));
        let rows: &[(&[u8], Http, Option<&str>)] = &[
            (GOOD, page(None, None), None),
            (GOOD, page(Some(("x-state", "good")), Some("all is")), None),
            (GOOD, page(None, Some("is well\n")), None),
            (GOOD, page(None, Some("good")), Some("no `good` in its body")),
            (GOOD, page(Some(("X-State", "bad")), None), Some("no header X-State: bad")),
            (long.as_bytes(), page(None, Some("nend")), None),
            (b"HTTP/1.1 204\r\n\r\n", page(None, None), None),
            (b"HTTP/1.1 500 no\r\n\r\n", page(None, None), Some("status 500")),
            (b"HTTP/1.1 301 no\n\n", page(None, None), Some("status 301")),
            (b"", page(None, None), Some("it closed without an answer")),
            (b"HTTP/1.1 2000 OK\r\n\r\n", page(None, None), Some("its answer is not HTTP")),
            (b"SSH-2.0-x\r\n", page(None, None), Some("its answer is not HTTP")),
            (b"HTTP/1.1 +20 OK\r\n\r\n", page(None, None), Some("its answer is not HTTP")),
            (b"\xff\xfe\n", page(None, None), Some("its answer is not HTTP")),
        ];
        for (answer, http, expect) in rows {
            let expect = expect.map_or(Verdict::Passed, failed);
            for piece in [1, 2, 3, 7, 64, 1000, 100_000] {
                assert_eq!(judge(answer, http, piece), expect, "{} by {piece}", answer.escape_ascii());
            }
        }
    }

    #[test]
    fn a_cut_answer_never_passes() {
        let whole = page(Some(("X-State", "good")), Some("well\n"));
        for cut in 0..GOOD.len() {
            assert_ne!(judge(&GOOD[..cut], &whole, 5), Verdict::Passed, "cut at {cut}");
        }
        for cut in 0..b"HTTP/1.1 200 OK\r".len() {
            assert_ne!(judge(&GOOD[..cut], &page(None, None), 5), Verdict::Passed, "cut at {cut}");
        }
    }

    #[test]
    fn an_answer_without_end_is_left() {
        let mut reply = Reply::default();
        let http = page(None, Some("never"));
        assert_eq!(reply.take(b"HTTP/1.1 200 OK\r\n\r\n", &http), None);
        let piece = [b'x'; 4096];
        let verdict = (0..1000).find_map(|_| reply.take(&piece, &http));
        assert_eq!(verdict, Some(failed("the text is not in the first 1 MiB")));
        let mut reply = Reply::default();
        let verdict = (0..1000).find_map(|_| reply.take(&piece, &http));
        assert_eq!(verdict, Some(failed("its head does not end")));
    }

    #[test]
    fn the_longest_question_fits() {
        let mut room = heapless::String::new();
        let address = "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535".parse().expect("an address");
        let http = Http { address, path: "/".repeat(256), ..page(None, None) };
        question(&http, &mut room).expect("it fits");
        assert!(room.ends_with("\r\n\r\n"));
    }
}
