//! How the rarer surroundings of a program are written: `umask`, `nice`, `ionice`, `oom-score-adj`, `rlimits`, `env-file`.

use toml::de::{DeInteger, DeValue};

use super::decode::Decode;
use super::fault::{Findings, excerpt};
use super::nearest::nearest;
use super::scalar::Scalar;
use super::section::Node;
use super::tables::OutputFile;
use crate::model::{EnvFile, Ionice, Output};

/// Bits that new files do not get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Umask(pub u16);

impl Scalar for Umask {
    const NAME: &'static str = "a umask";
    const FORM: &'static str = "it in octal: \"022\", \"077\"";

    fn parse(text: &str) -> Option<Self> {
        let plain = (3..=4).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        u16::from_str_radix(text, 8).ok().filter(|mask| plain && *mask <= 0o777).map(Self)
    }
}

impl Scalar for EnvFile {
    const NAME: &'static str = "a file of variables";
    const FORM: &'static str = "its absolute path, with - before it when it may be missing: \"-/etc/default/web\"";

    fn parse(text: &str) -> Option<Self> {
        let path = text.strip_prefix('-').unwrap_or(text);
        path.starts_with('/').then(|| Self { path: path.to_owned(), optional: path.len() < text.len() })
    }
}

impl Scalar for Ionice {
    const NAME: &'static str = "an I/O priority";
    const FORM: &'static str = "\"idle\", \"best-effort:4\" or \"realtime:2\", with levels from 0 (first) to 7";

    fn parse(text: &str) -> Option<Self> {
        let (class, level) = match text.split_once(':') {
            None if text == "idle" => (3, 0),
            Some(("best-effort", level)) => (2, level.parse().ok()?),
            Some(("realtime", level)) => (1, level.parse().ok()?),
            _ => return None,
        };
        (level <= 7).then_some(Self(class << 13 | level))
    }
}

/// A whole number of `LEAST..=MOST`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Number<const LEAST: i16, const MOST: i16>(pub i16);

impl<const LEAST: i16, const MOST: i16> Decode for Number<LEAST, MOST> {
    fn decode(node: &Node<'_>, findings: &mut Findings) -> Option<Self> {
        let form = format!("a number from {LEAST} to {MOST}");
        let Some(number) = node.value.as_integer() else {
            node.wrong_type(findings, "a number", &form);
            return None;
        };
        let found = i16::from_str_radix(number.as_str(), number.radix()).ok();
        let found = found.filter(|found| (LEAST..=MOST).contains(found));
        if found.is_none() {
            node.fault(findings, format!("{number} is out of range"), format!("write {form}"));
        }
        found.map(Self)
    }
}

/// Without more words a file is cut at this size, and so many older parts stay.
const MAX: u64 = 10 << 20;
const KEEP: u8 = 5;

/// Where output goes; none of the two is /dev/null.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sink(pub Option<Output>);

impl Decode for Sink {
    fn decode(node: &Node<'_>, findings: &mut Findings) -> Option<Self> {
        const FORM: &str =
            "\"null\", \"inherit\", \"syslog\" or { file = \"/var/log/web.log\", max = \"10M\", keep = 5 }";
        match node.value {
            DeValue::String(word) if word == "null" => Some(Self(None)),
            DeValue::String(word) if word == "inherit" => Some(Self(Some(Output::Inherit))),
            DeValue::String(word) if word == "syslog" => Some(Self(Some(Output::Syslog { feed: String::new() }))),
            DeValue::String(word) => {
                node.fault(findings, format!("`{}` is no output", excerpt(word)), format!("write {FORM}"));
                None
            }
            DeValue::Table(_) => {
                let section = OutputFile::decode(node, findings)?;
                let Some(file) = section.file else {
                    if !findings.mentions(&format!("{}.file", node.key)) {
                        node.fault(findings, "`file` is missing", format!("write {FORM}"));
                    }
                    return None;
                };
                let max = section.max.as_ref().map_or(MAX, |max| max.value.0);
                if let Some(at) = section.max.filter(|_| !(LEAST..=MOST).contains(&max)) {
                    let key = format!("{}.max", node.key);
                    let what = format!("{max} bytes are out of range");
                    findings.fault(at.place, &key, what, "write a size from \"64K\" to \"1T\"");
                    return None;
                }
                let keep = section.keep.and_then(|keep| u8::try_from(keep.value.0).ok()).unwrap_or(KEEP);
                Some(Self(Some(Output::File { path: file.value.0, max, keep })))
            }
            _ => {
                node.wrong_type(findings, "where the output goes", FORM);
                None
            }
        }
    }
}

const LEAST: u64 = 64 << 10;
const MOST: u64 = 1 << 40;

/// So much of a resource: a number, a size, or `unlimited`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bytes(pub u64);

impl Scalar for Bytes {
    const NAME: &'static str = "an amount";
    const FORM: &'static str = "a number, a size like \"64K\", \"200M\" or \"1G\", or \"unlimited\"";

    fn parse(text: &str) -> Option<Self> {
        if text == "unlimited" {
            return Some(Self(u64::MAX));
        }
        let (number, unit) = text.split_at(text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len()));
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

/// Names and numbers of the kernel's resources.
const RESOURCES: [(&str, u32); 16] = [
    ("as", libc::RLIMIT_AS),
    ("core", libc::RLIMIT_CORE),
    ("cpu", libc::RLIMIT_CPU),
    ("data", libc::RLIMIT_DATA),
    ("fsize", libc::RLIMIT_FSIZE),
    ("locks", libc::RLIMIT_LOCKS),
    ("memlock", libc::RLIMIT_MEMLOCK),
    ("msgqueue", libc::RLIMIT_MSGQUEUE),
    ("nice", libc::RLIMIT_NICE),
    ("nofile", libc::RLIMIT_NOFILE),
    ("nproc", libc::RLIMIT_NPROC),
    ("rss", libc::RLIMIT_RSS),
    ("rtprio", libc::RLIMIT_RTPRIO),
    ("rttime", libc::RLIMIT_RTTIME),
    ("sigpending", libc::RLIMIT_SIGPENDING),
    ("stack", libc::RLIMIT_STACK),
];

/// Limits of a process, soft and hard alike.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rlimits(pub Vec<(u8, u64)>);

impl Decode for Rlimits {
    fn decode(node: &Node<'_>, findings: &mut Findings) -> Option<Self> {
        let table = node.table(findings, "it like { nofile = 4096, core = 0, as = \"1G\" }")?;
        let mut limits = Self::default();
        for (name, _, child) in node.children(table) {
            let Some((_, resource)) = RESOURCES.iter().find(|(known, _)| *known == name) else {
                let names = || RESOURCES.iter().map(|(known, _)| *known);
                let remedy = match nearest(name, names()) {
                    Some(near) => format!("the nearest is `{near}`"),
                    None => format!("valid are {}", names().collect::<Vec<_>>().join(", ")),
                };
                child.fault(findings, "unknown resource", remedy);
                continue;
            };
            if let (Some(amount), Ok(resource)) = (amount(&child, findings), u8::try_from(*resource)) {
                limits.0.push((resource, amount.0));
            }
        }
        Some(limits)
    }
}

fn amount(node: &Node<'_>, findings: &mut Findings) -> Option<Bytes> {
    let Some(number) = node.value.as_integer() else { return Bytes::decode(node, findings) };
    let found = unsigned(number);
    if found.is_none() {
        node.fault(findings, format!("{} is out of range", excerpt(number.as_str())), format!("write {}", Bytes::FORM));
    }
    found.map(Bytes)
}

fn unsigned(number: &DeInteger<'_>) -> Option<u64> {
    u64::from_str_radix(number.as_str(), number.radix()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_what_the_kernel_takes() {
        for (text, expect) in [
            ("022", Some(0o22)),
            ("0027", Some(0o27)),
            ("777", Some(0o777)),
            ("1777", None),
            ("22", None),
            ("+22", None),
            ("088", None),
        ] {
            assert_eq!(Umask::parse(text).map(|mask| mask.0), expect, "{text}");
        }
        for (text, expect) in [
            ("idle", Some(3 << 13)),
            ("best-effort:4", Some(2 << 13 | 4)),
            ("realtime:0", Some(1 << 13)),
            ("realtime:8", None),
            ("realtime", None),
            ("idle:1", None),
            ("best-effort:-1", None),
        ] {
            assert_eq!(Ionice::parse(text).map(|ionice| ionice.0), expect, "{text}");
        }
        for (text, expect) in [
            ("0", Some(0)),
            ("64K", Some(65_536)),
            ("1G", Some(1 << 30)),
            ("unlimited", Some(u64::MAX)),
            ("1g", None),
            ("-1", None),
            ("G", None),
            ("99999999999T", None),
        ] {
            assert_eq!(Bytes::parse(text).map(|amount| amount.0), expect, "{text}");
        }
        let file = |path: &str, optional| Some(EnvFile { path: path.to_owned(), optional });
        assert_eq!(EnvFile::parse("/a"), file("/a", false));
        assert_eq!(EnvFile::parse("-/a"), file("/a", true));
        assert_eq!(EnvFile::parse("a"), None);
    }
}
