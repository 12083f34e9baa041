//! Values about how many processes there are to be, and which ones are meant: `"2..8"`, `"ZD"`, `"pts/3"`.

use super::decode::Decode;
use super::fault::{Findings, excerpt};
use super::scalar::Scalar;
use super::section::Node;
use crate::model::Terminal;

/// How many there are to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    pub least: u32,
    /// None for any number.
    pub most: Option<u32>,
}

/// More processes than a host has.
const MOST: u32 = 4_000_000;
const FORM: &str = "a number, or the least and the most: 0, \"1..\", \"2..8\"";

impl Range {
    fn parse(text: &str) -> Option<Self> {
        let number = |text: &str| {
            let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse().ok().filter(|number| is_plain && *number <= MOST)
        };
        let Some((least, most)) = text.split_once("..") else {
            let only = number(text)?;
            return Some(Self { least: only, most: Some(only) });
        };
        let range = Self {
            least: if least.is_empty() { 0 } else { number(least)? },
            most: if most.is_empty() { None } else { Some(number(most)?) },
        };
        // What any number keeps is no promise.
        let says_something = range.least > 0 || range.most.is_some();
        (says_something && range.most.is_none_or(|most| range.least <= most)).then_some(range)
    }
}

impl Decode for Range {
    fn decode(node: &Node<'_>, findings: &mut Findings) -> Option<Self> {
        let number = node.value.as_integer().map(|number| number.as_str());
        let Some(text) = number.or(node.value.as_str()) else {
            node.wrong_type(findings, "how many there are to be", FORM);
            return None;
        };
        let range = Self::parse(text);
        if range.is_none() {
            node.fault(findings, format!("`{}` is not how many", excerpt(text)), format!("write {FORM}"));
        }
        range
    }
}

/// Letters of the kernel for what a process does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct States(pub String);

impl Scalar for States {
    const NAME: &'static str = "states of processes";
    const FORM: &'static str =
        "letters as `ps` shows them: R runs, S sleeps, D waits for a disk, T stopped, Z zombie, I idle";

    fn parse(text: &str) -> Option<Self> {
        let is_state = |byte: u8| b"RSDTtZI".contains(&byte);
        (!text.is_empty() && text.bytes().all(is_state)).then(|| Self(text.to_owned()))
    }
}

impl Scalar for Terminal {
    const NAME: &'static str = "a terminal";
    const FORM: &'static str = "\"none\", \"any\", or one by its name: \"pts/3\", \"tty1\", \"ttyS0\"";

    fn parse(text: &str) -> Option<Self> {
        /// The major numbers of admin-guide/devices.txt, and the minor of the first serial line.
        const CONSOLES: u32 = 4;
        const SERIAL: u32 = 64;
        const PTS: u32 = 136;
        // As `new_encode_dev` of include/linux/kdev_t.h.
        let device = |major: u32, minor: u32| Self::Is((minor & 0xff) | major << 8 | (minor & !0xff) << 12);
        let number = |text: &str, most: u32| {
            let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse::<u32>().ok().filter(|number| is_plain && *number <= most)
        };
        match text {
            "none" => return Some(Self::None),
            "any" => return Some(Self::Any),
            _ => {}
        }
        if let Some(rest) = text.strip_prefix("pts/") {
            return number(rest, 0xf_ffff).map(|minor| device(PTS, minor));
        }
        if let Some(rest) = text.strip_prefix("ttyS") {
            return number(rest, 191).map(|minor| device(CONSOLES, SERIAL + minor));
        }
        number(text.strip_prefix("tty")?, 63).map(|minor| device(CONSOLES, minor))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_says_how_many() {
        let range = |least, most| Some(Range { least, most });
        for (text, expect) in [
            ("0", range(0, Some(0))),
            ("3", range(3, Some(3))),
            ("1..", range(1, None)),
            ("2..8", range(2, Some(8))),
            ("..8", range(0, Some(8))),
            ("0..8", range(0, Some(8))),
            ("8..2", None),
            ("0..", None),
            ("..", None),
            ("", None),
            ("-1", None),
            ("+1..2", None),
            ("1...2", None),
            ("1..2..3", None),
            ("1.. 2", None),
            ("1.5", None),
            ("99999999999", None),
        ] {
            assert_eq!(Range::parse(text), expect, "{text:?}");
        }
    }

    #[test]
    fn a_terminal_is_the_device_that_the_kernel_shows() {
        for (text, expect) in [
            ("none", Some(Terminal::None)),
            ("any", Some(Terminal::Any)),
            ("pts/0", Some(Terminal::Is(34_816))),
            ("pts/3", Some(Terminal::Is(34_819))),
            ("pts/256", Some(Terminal::Is(0x10_8800))),
            ("tty1", Some(Terminal::Is(1_025))),
            ("ttyS0", Some(Terminal::Is(1_088))),
            ("tty64", None),
            ("pts/", None),
            ("pts/x", None),
            ("/dev/tty1", None),
            ("", None),
        ] {
            assert_eq!(Terminal::parse(text), expect, "{text:?}");
        }
    }
}
