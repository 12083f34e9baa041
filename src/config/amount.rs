//! Amounts of what a service may use, and what follows from more: `"600M"`, `"90%"`, `"7d"`, 500; `"restart"`, `{ run = […] }`.

use std::time::Duration;

use super::decode::Decode;
use super::fault::{At, Findings, excerpt};
use super::scalar::Scalar;
use super::section::Node;
use super::tables::{Deed, Limited};
use crate::model::Command;

/// An amount in the unit it was written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    Bytes(u64),
    /// Of one processor; may be more than 100.
    Percent(u64),
    Millis(u64),
    Count(u64),
}

const FORM: &str = "a size \"600M\", a share \"90%\", a time \"7d\" or a number";

impl Amount {
    fn parse(text: &str) -> Option<Self> {
        let end = text.find(|letter: char| !letter.is_ascii_digit())?;
        let (number, unit) = text.split_at(end);
        let number: u64 = number.parse().ok()?;
        let bytes = |shift: u32| number.checked_mul(1 << shift).map(Self::Bytes);
        match unit {
            "K" => bytes(10),
            "M" => bytes(20),
            "G" => bytes(30),
            "T" => bytes(40),
            "%" => Some(Self::Percent(number)),
            _ => u64::try_from(Duration::parse(text)?.as_millis()).ok().map(Self::Millis),
        }
    }
}

impl Decode for Amount {
    fn decode(node: &Node<'_>, findings: &mut Findings) -> Option<Self> {
        if let Some(number) = node.value.as_integer() {
            let count = u64::from_str_radix(number.as_str(), number.radix()).ok();
            if count.is_none() {
                node.fault(findings, format!("{number} is not an amount"), format!("write {FORM}"));
            }
            return count.map(Self::Count);
        }
        let Some(text) = node.value.as_str() else {
            node.wrong_type(findings, "an amount", FORM);
            return None;
        };
        let amount = Self::parse(text);
        if amount.is_none() {
            node.fault(findings, format!("`{}` is not an amount", excerpt(text)), format!("write {FORM}"));
        }
        amount
    }
}

impl Decode for Limited {
    fn decode(node: &Node<'_>, findings: &mut Findings) -> Option<Self> {
        if node.value.is_table() {
            return Self::decode(node, findings);
        }
        let max = Amount::decode(node, findings)?;
        Some(Self { max: Some(At { value: max, place: node.place() }), ..Self::default() })
    }
}

/// What follows when a limit is exceeded.
#[derive(Debug)]
pub enum Then {
    Restart,
    Report,
    Run(Command),
}

impl Decode for Then {
    fn decode(node: &Node<'_>, findings: &mut Findings) -> Option<Self> {
        const FORM: &str = "\"restart\", \"report\" or { run = [\"/path/of/program\"] }";
        match node.value.as_str() {
            Some("restart") => return Some(Self::Restart),
            Some("report") => return Some(Self::Report),
            Some(other) => {
                node.fault(findings, format!("`{}` is not known", excerpt(other)), format!("write {FORM}"));
                return None;
            }
            None => {}
        }
        if !node.value.is_table() {
            node.wrong_type(findings, "what to do", FORM);
            return None;
        }
        let Some(run) = Deed::decode(node, findings)?.run else {
            if !findings.mentions(&node.key) {
                node.fault(findings, "`run` is missing", format!("write {FORM}"));
            }
            return None;
        };
        Some(Self::Run(run.value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_has_the_unit_it_was_written_in() {
        for (text, expect) in [
            ("600M", Some(Amount::Bytes(600 << 20))),
            ("1G", Some(Amount::Bytes(1 << 30))),
            ("4K", Some(Amount::Bytes(4096))),
            ("150%", Some(Amount::Percent(150))),
            ("5m", Some(Amount::Millis(300_000))),
            ("7d", Some(Amount::Millis(604_800_000))),
            ("600", None),
            ("600 M", None),
            ("M", None),
            ("-1M", None),
            ("1.5G", None),
            ("99999999999T", None),
            ("", None),
        ] {
            assert_eq!(Amount::parse(text), expect, "{text:?}");
        }
    }
}
