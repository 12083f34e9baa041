//! How each type is made of a TOML value: scalars of strings, and the few that have another form.

use std::time::Duration;

use toml::de::DeValue;

use super::fault::{At, Findings, Place, excerpt};
use super::scalar::{Scalar, Statuses};
use super::section::Node;
use super::tables::{Check, Digest, Fresh, Match, Ready, Replace, SizeLimit};
use crate::model::{Command, Selection};

/// A type that a value can have.
pub trait Decode: Sized {
    /// None when it was reported as wrong.
    fn decode(node: &Node<'_>, findings: &mut Findings) -> Option<Self>;

    /// Where a message about a part of the value counts from.
    fn place(node: &Node<'_>) -> Place {
        node.place()
    }
}

impl<T: Scalar> Decode for T {
    fn decode(node: &Node<'_>, findings: &mut Findings) -> Option<Self> {
        let Some(text) = node.value.as_str() else {
            node.wrong_type(findings, T::NAME, T::FORM);
            return None;
        };
        let value = if text.contains('\0') { None } else { T::parse(text) };
        if value.is_none() {
            let what = if text.contains('\0') {
                "has a NUL in it".into()
            } else {
                format!("`{}` is not {}", excerpt(text), T::NAME)
            };
            node.fault(findings, what, format!("write {}", T::FORM));
        }
        value
    }

    fn place(node: &Node<'_>) -> Place {
        node.value.as_str().filter(|_| T::COUNTED).map_or_else(|| node.place(), |text| node.text_place(text))
    }
}

impl Decode for bool {
    fn decode(node: &Node<'_>, findings: &mut Findings) -> Option<Self> {
        let value = node.value.as_bool();
        if value.is_none() {
            node.wrong_type(findings, "true or false", "it without quotes");
        }
        value
    }
}

/// An exit status.
impl Decode for u8 {
    fn decode(node: &Node<'_>, findings: &mut Findings) -> Option<Self> {
        let Some(number) = node.value.as_integer() else {
            node.wrong_type(findings, "an exit status", "a number from 0 to 255");
            return None;
        };
        let status = Self::from_str_radix(number.as_str(), number.radix()).ok();
        if status.is_none() {
            node.fault(findings, format!("{number} is not an exit status"), "write a number from 0 to 255");
        }
        status
    }
}

/// How many in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count(pub u8);

impl Decode for Count {
    fn decode(node: &Node<'_>, findings: &mut Findings) -> Option<Self> {
        let Some(number) = node.value.as_integer() else {
            node.wrong_type(findings, "a count", "a number from 1 to 100");
            return None;
        };
        let count = u8::from_str_radix(number.as_str(), number.radix()).ok().filter(|count| (1..=100).contains(count));
        if count.is_none() {
            node.fault(findings, format!("{number} is out of range"), "write a number from 1 to 100");
        }
        count.map(Self)
    }
}

/// One status, or the lowest and the highest that pass.
impl Decode for Statuses {
    fn decode(node: &Node<'_>, findings: &mut Findings) -> Option<Self> {
        let text = node.value.as_integer().map(|number| number.as_str()).or(node.value.as_str());
        let Some(text) = text else {
            node.wrong_type(findings, Self::NAME, Self::FORM);
            return None;
        };
        let statuses = Self::parse(text);
        if statuses.is_none() {
            let what = format!("`{}` is not {}", excerpt(text), Self::NAME);
            node.fault(findings, what, format!("write {}", Self::FORM));
        }
        statuses
    }
}

/// Tables within values: what `section!` made of them.
macro_rules! decode_tables {
    ($($section:ty,)*) => {
        $(impl Decode for $section {
            fn decode(node: &Node<'_>, findings: &mut Findings) -> Option<Self> {
                <$section>::decode(node, findings)
            }
        })*
    };
}
decode_tables! { Check, Digest, Ready, Fresh, Replace, SizeLimit, }

/// A value that keeps its place within a list.
impl<T: Decode> Decode for At<T> {
    fn decode(node: &Node<'_>, findings: &mut Findings) -> Option<Self> {
        T::decode(node, findings).map(|value| Self { value, place: T::place(node) })
    }
}

/// A list with something in it.
impl<T: Decode> Decode for Vec<T> {
    fn decode(node: &Node<'_>, findings: &mut Findings) -> Option<Self> {
        let items = node.items(findings, "it in square brackets")?;
        if items.is_empty() {
            node.fault(findings, "the list is empty", "put something into it, or take the key out");
            return None;
        }
        // Each item is decoded before the first failure counts, so that all faults are seen.
        let values: Vec<Option<T>> = items.iter().map(|item| T::decode(item, findings)).collect();
        values.into_iter().collect()
    }
}

/// A list, or its only item without the brackets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OneOrMore<T>(pub Vec<T>);

impl<T: Decode> Decode for OneOrMore<T> {
    fn decode(node: &Node<'_>, findings: &mut Findings) -> Option<Self> {
        if node.value.is_array() {
            return Vec::decode(node, findings).map(Self);
        }
        T::decode(node, findings).map(|value| Self(vec![value]))
    }
}

/// The shortest and the longest waiting time.
impl Decode for (Duration, Duration) {
    fn decode(node: &Node<'_>, findings: &mut Findings) -> Option<Self> {
        let times = Vec::<Duration>::decode(node, findings)?;
        if let [least, most] = times.as_slice() {
            return Some((*least, *most));
        }
        let what = format!("expected two times, found {} in {}", times.len(), node.written().unwrap_or_default());
        node.fault(findings, what, "write it like [\"100ms\", \"1m\"]");
        None
    }
}

impl Decode for Command {
    fn decode(node: &Node<'_>, findings: &mut Findings) -> Option<Self> {
        if node.value.is_str() {
            return String::decode(node, findings).map(Self::Shell);
        }
        if !node.value.is_array() {
            node.wrong_type(
                findings,
                "a command",
                "a list of the program and its arguments, or a string for the shell",
            );
            return None;
        }
        let words: Vec<Argument> = Vec::decode(node, findings)?;
        let words: Vec<String> = words.into_iter().map(|word| word.0).collect();
        let program = words.first().map_or("", String::as_str);
        if !program.starts_with('/') {
            let item = node.items(findings, "")?.into_iter().next()?;
            item.fault(
                findings,
                format!("`{}` is not an absolute path", excerpt(program)),
                "write the whole path of the program, or a string for the shell",
            );
            return None;
        }
        Some(Self::Exec(words))
    }
}

/// One argument of a program; it may be empty.
struct Argument(String);

impl Scalar for Argument {
    const NAME: &'static str = "an argument";
    const FORM: &'static str = "each argument in quotes";

    fn parse(text: &str) -> Option<Self> {
        Some(Self(text.to_owned()))
    }
}

impl Decode for Selection {
    fn decode(node: &Node<'_>, findings: &mut Findings) -> Option<Self> {
        let form = "the name of its program: \"postgres\" or { name = \"postgres\", user = \"postgres\" }";
        let selection = match node.value {
            DeValue::String(_) => Self { name: Some(String::decode(node, findings)?), ..Self::default() },
            DeValue::Table(_) => {
                let section = Match::decode(node, findings)?;
                if section.name.is_none() && section.regex.is_none() {
                    if !["name", "regex"].iter().any(|key| findings.mentions(&format!("{}.{key}", node.key))) {
                        node.fault(findings, "`name` is missing", format!("write {form}"));
                    }
                    return None;
                }
                Self {
                    name: section.name.map(|at| at.value),
                    regex: section.regex.map(|at| at.value.0),
                    user: section.user.map(|at| at.value.0),
                    states: section.state.map(|at| at.value.0),
                    terminal: section.tty.map(|at| at.value),
                    older: section.older.map(|at| at.value),
                    larger: section.larger.map(|at| at.value.0),
                }
            }
            _ => {
                node.wrong_type(findings, "a program name", form);
                return None;
            }
        };
        let name = selection.name.as_deref().unwrap_or_default();
        if name.contains('/') && !name.starts_with('/') {
            node.fault(
                findings,
                format!("`{}` has a directory but no /", excerpt(name)),
                "write the name alone or the whole path",
            );
            return None;
        }
        Some(selection)
    }
}

/// Variables of an environment.
impl Decode for Vec<(String, String)> {
    fn decode(node: &Node<'_>, findings: &mut Findings) -> Option<Self> {
        let table = node.table(findings, "it like { LANG = \"C\" }")?;
        let mut variables = Self::new();
        for (name, _, child) in node.children(table) {
            if name.is_empty() || name.contains(['=', '\0']) {
                child.fault(findings, "is not a name of a variable", "take `=` and NUL out of the name");
            } else if let Some(value) = Argument::decode(&child, findings) {
                variables.push((name.to_owned(), value.0));
            }
        }
        Some(variables)
    }
}
