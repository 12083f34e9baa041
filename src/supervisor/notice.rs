//! What a service says of itself over the socket that `NOTIFY_SOCKET` names, as sd_notify(3) has it.
//!
//! One datagram is one text of lines; keys that are not known are for others:
//! ```text
//! READY=1
//! STATUS=Serving 3 clients
//! WATCHDOG=1
//! ```
//! A datagram arrives whole or, cut by the kernel, not at all, so the last line needs no newline.

use super::text::{Text, text};

/// One datagram's worth.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Notice {
    pub is_ready: bool,
    pub is_stopping: bool,
    pub alive: Option<Pulse>,
    pub status: Option<Text>,
    pub main_pid: Option<i32>,
}

/// What `WATCHDOG=` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pulse {
    /// All is well.
    Beat,
    /// It asks to be treated as if it had fallen silent.
    Trigger,
}

/// One thing that a service said, by the time it is known who said it.
#[derive(Clone, Debug, PartialEq)]
pub enum Word {
    Ready,
    Beat,
    Trigger,
    Stopping,
    Status(Text),
}

impl Notice {
    /// Reads a datagram. What is not text says nothing.
    pub fn parse(bytes: &[u8]) -> Self {
        let mut notice = Self::default();
        let Ok(lines) = std::str::from_utf8(bytes) else { return notice };
        for (key, value) in lines.lines().filter_map(|line| line.split_once('=')) {
            match (key, value) {
                ("READY", "1") => notice.is_ready = true,
                ("STOPPING", "1") => notice.is_stopping = true,
                ("WATCHDOG", "1") => notice.alive = Some(Pulse::Beat),
                ("WATCHDOG", "trigger") => notice.alive = Some(Pulse::Trigger),
                ("STATUS", status) => {
                    let mut shown = Text::new();
                    for letter in status.trim().chars() {
                        let letter = if letter.is_control() { '?' } else { letter };
                        if shown.push(letter).is_err() {
                            break;
                        }
                    }
                    notice.status = Some(shown);
                }
                ("MAINPID", pid) if pid.bytes().all(|byte| byte.is_ascii_digit()) => {
                    notice.main_pid = pid.parse().ok().filter(|pid| *pid > 1);
                }
                _ => {}
            }
        }
        notice
    }

    /// What it says, in the order in which it counts: a sign of life that comes at the last moment is still one.
    pub fn words(self) -> impl Iterator<Item = Word> {
        let pulse = self.alive.map(|pulse| match pulse {
            Pulse::Beat => Word::Beat,
            Pulse::Trigger => Word::Trigger,
        });
        let status = self.status.map(|status| Word::Status(text(format_args!("{status}"))));
        let ready = self.is_ready.then_some(Word::Ready);
        let stopping = self.is_stopping.then_some(Word::Stopping);
        [pulse, status, ready, stopping].into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = "READY=1\nSTATUS=Serving 3 clients\nMAINPID=4711\nWATCHDOG=1\nSTOPPING=1\n";

    fn status(words: &str) -> Option<Text> {
        Some(text(format_args!("{words}")))
    }

    #[test]
    fn known_lines_are_taken_and_others_left_alone() {
        let ready = Notice { is_ready: true, ..Notice::default() };
        let beat = |pulse| Notice { alive: Some(pulse), ..Notice::default() };
        let says = |words| Notice { status: status(words), ..Notice::default() };
        for (bytes, expect) in [
            (&b"READY=1"[..], ready.clone()),
            (b"READY=1\n", ready.clone()),
            (b"FDSTORE=1\nREADY=1\nX_VENDOR=\n\n=\nnonsense", ready),
            (b"READY=0\nREADY=yes\nready=1\n READY=1\nREADY=1 ", Notice::default()),
            (b"WATCHDOG=1", beat(Pulse::Beat)),
            (b"WATCHDOG=trigger", beat(Pulse::Trigger)),
            (b"WATCHDOG_USEC=1", Notice::default()),
            (b"STATUS= a=b\x1b[31m\0 ", says("a=b?[31m?")),
            (b"STATUS=", says("")),
            (b"STATUS=\xff\nREADY=1", Notice::default()),
            (b"MAINPID=-1\nMAINPID=1\nMAINPID=\nMAINPID=+7\nMAINPID=99999999999", Notice::default()),
            (b"", Notice::default()),
        ] {
            assert_eq!(Notice::parse(bytes), expect, "{:?}", bytes.escape_ascii().to_string());
        }
        let whole = Notice::parse(WHOLE.as_bytes());
        assert_eq!((whole.main_pid, whole.status.clone()), (Some(4711), status("Serving 3 clients")));
        assert_eq!(whole.words().count(), 4);
    }

    #[test]
    fn a_text_that_is_cut_says_only_what_it_still_has() {
        for end in 0..WHOLE.len() {
            let notice = Notice::parse(WHOLE.get(..end).expect("it is ASCII").as_bytes());
            assert_eq!(notice.is_ready, end >= "READY=1".len(), "{end}");
            assert_eq!(notice.is_stopping, end >= WHOLE.len() - 1, "{end}");
        }
        let long = format!("STATUS={}", "é".repeat(3000));
        assert_eq!(Notice::parse(long.as_bytes()).status.map(|status| status.len()), Some(120));
    }
}
