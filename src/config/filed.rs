//! Values about files and numbers: lines, patterns, places among lines, sizes, permission bits.
//!
//! `mode` says two things in a `[file.ID]`: what a promise may do (`fix`, `warn`, `off`) and which permission bits the file has
//! (`"0644"`); a list says both.

use toml::de::DeValue;

use super::decode::Decode;
use super::fault::{Findings, excerpt};
use super::scalar::{Mode, Scalar};
use super::section::Node;
use crate::model::{LogKind, Spot};

/// One line of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line(pub String);

impl Scalar for Line {
    const NAME: &'static str = "one line";
    const FORM: &'static str = "it without a line end and at most 4000 letters";

    fn parse(text: &str) -> Option<Self> {
        (!text.contains(['\n', '\r']) && text.len() <= 4000).then(|| Self(text.to_owned()))
    }
}

/// A regular expression, as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Regex(pub String);

impl Scalar for Regex {
    const NAME: &'static str = "a regular expression";
    const FORM: &'static str = "it in single quotes, like '^Port \\d+$', with every ( and [ closed";

    fn parse(text: &str) -> Option<Self> {
        let fits = !text.is_empty() && text.len() <= 1000 && crate::model::Regex::new(text).is_ok();
        fits.then(|| Self(text.to_owned()))
    }
}

/// A pattern of names: `*.gz`, `app.log.[0-9]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob(pub String);

impl Scalar for Glob {
    const NAME: &'static str = "a pattern of names";
    const FORM: &'static str = "it with * ? and [a-z], without /: \"*.gz\"";

    fn parse(text: &str) -> Option<Self> {
        let closed = text.matches('[').count() <= text.matches(']').count();
        let fits = !text.is_empty() && text.len() <= 255 && !text.contains('/') && closed;
        fits.then(|| Self(text.to_owned()))
    }
}

/// Bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub u64);

impl Scalar for Size {
    const NAME: &'static str = "a size";
    const FORM: &'static str = "a number and K, M, G or T: \"200M\"";

    fn parse(text: &str) -> Option<Self> {
        let end = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(end);
        let shift = match unit {
            "" => 0,
            "K" => 10,
            "M" => 20,
            "G" => 30,
            "T" => 40,
            _ => return None,
        };
        number.parse::<u64>().ok()?.checked_mul(1 << shift).map(Self)
    }
}

/// How lines are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blanks;

impl Scalar for Blanks {
    const NAME: &'static str = "a way with blanks";
    const FORM: &'static str = "\"ignore\", or take the key out";

    fn parse(text: &str) -> Option<Self> {
        (text == "ignore").then_some(Self)
    }
}

/// How a change is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashName;

impl Scalar for HashName {
    const NAME: &'static str = "a way to watch";
    const FORM: &'static str = "\"sha256\"";

    fn parse(text: &str) -> Option<Self> {
        (text == "sha256").then_some(Self)
    }
}

impl Scalar for Spot {
    const NAME: &'static str = "a place among lines";
    const FORM: &'static str = "\"end\", \"start\", \"after: REGEX\" or \"before: REGEX\"";

    fn parse(text: &str) -> Option<Self> {
        let pattern = |text: &str| Regex::parse(text.trim()).map(|regex| regex.0);
        match text.split_once(':') {
            None if text == "end" => Some(Self::End),
            None if text == "start" => Some(Self::Start),
            Some(("after", rest)) => pattern(rest).map(Self::After),
            Some(("before", rest)) => pattern(rest).map(Self::Before),
            _ => None,
        }
    }
}

impl Scalar for LogKind {
    const NAME: &'static str = "a kind of measurement";
    const FORM: &'static str = "\"lines\", \"counter\" or \"gauge\"";

    fn parse(text: &str) -> Option<Self> {
        match text {
            "lines" => Some(Self::Lines),
            "counter" => Some(Self::Counter),
            "gauge" => Some(Self::Gauge),
            _ => None,
        }
    }
}

/// A number to compare with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Level(pub f64);

impl Decode for Level {
    fn decode(node: &Node<'_>, findings: &mut Findings) -> Option<Self> {
        let number = match node.value {
            DeValue::Integer(number) if number.radix() == 10 => number.as_str().parse().ok(),
            DeValue::Float(number) => number.as_str().parse().ok(),
            _ => {
                node.wrong_type(findings, "a number", "it without quotes");
                return None;
            }
        };
        let number = number.filter(|number: &f64| number.is_finite());
        if number.is_none() {
            node.fault(findings, "is no number to compare with", "write a plain number, such as 500 or 0.5");
        }
        number.map(Self)
    }
}

/// `mode`: what a promise may do, and the permission bits of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Manner {
    pub mode: Option<Mode>,
    pub bits: Option<u32>,
}

impl Decode for Manner {
    fn decode(node: &Node<'_>, findings: &mut Findings) -> Option<Self> {
        let Some(items) = node.value.as_array() else { return Self::default().with(node, findings) };
        if items.len() != 2 {
            let what = format!("expected two, found {} in {}", items.len(), node.written().unwrap_or_default());
            node.fault(findings, what, "write it like [\"0644\", \"warn\"]");
            return None;
        }
        node.items(findings, "")?.iter().try_fold(Self::default(), |manner, item| manner.with(item, findings))
    }
}

impl Manner {
    /// Takes one word or number.
    fn with(self, node: &Node<'_>, findings: &mut Findings) -> Option<Self> {
        let Some(text) = node.value.as_str() else {
            node.wrong_type(findings, Mode::NAME, Mode::FORM);
            return None;
        };
        let octal = (3..=5).contains(&text.len()) && text.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
        let bits = u32::from_str_radix(text, 8).ok().filter(|bits| octal && *bits <= 0o7777);
        let taken = match (Mode::parse(text), bits) {
            (Some(mode), _) if self.mode.is_none() => Some(Self { mode: Some(mode), ..self }),
            (_, Some(bits)) if self.bits.is_none() => Some(Self { bits: Some(bits), ..self }),
            _ => None,
        };
        if taken.is_none() {
            let what = format!("`{}` is not {}", excerpt(text), Mode::NAME);
            node.fault(findings, what, format!("write {}; for a file also its rights: \"0644\"", Mode::FORM));
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_places_are_written_in_one_way() {
        for (text, expect) in [
            ("0", Some(0)),
            ("10K", Some(10 << 10)),
            ("200M", Some(200 << 20)),
            ("3T", Some(3 << 40)),
            ("", None),
            ("M", None),
            ("1.5G", None),
            ("-1K", None),
            ("1k", None),
            ("1KB", None),
            ("99999999999T", None),
        ] {
            assert_eq!(Size::parse(text), expect.map(Size), "{text:?}");
        }
        for (text, expect) in [
            ("end", Some(Spot::End)),
            ("start", Some(Spot::Start)),
            ("after: ^#", Some(Spot::After("^#".into()))),
            ("before:x", Some(Spot::Before("x".into()))),
            ("after:", None),
            ("after: (", None),
            ("behind: x", None),
            ("", None),
        ] {
            assert_eq!(Spot::parse(text), expect, "{text:?}");
        }
    }
}
