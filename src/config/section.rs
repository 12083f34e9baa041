//! From a TOML table to a section: every key on its own, with its position.
//!
//! `section!` declares a section once; the struct, the list of its keys and its decoding follow. A field is
//! `Option<At<T>>`: absent, or a value and where it stands. A key that cannot be decoded is reported and counts as absent.

use toml::de::{DeTable, DeValue};

use super::decode::Decode;
use super::fault::{At, Findings, Place, excerpt};
use super::nearest::nearest;
use super::source::Source;

/// Keys that another version knows.
const LATER: &[&str] = &["background"];

/// A value on its way to its type.
pub struct Node<'a> {
    pub value: &'a DeValue<'a>,
    pub start: usize,
    pub end: usize,
    pub key: String,
    pub source: &'a Source,
}

impl<'a> Node<'a> {
    pub fn place(&self) -> Place {
        self.source.place(self.start)
    }

    /// Where the text of a string begins, when it stands there letter for letter; else where the value begins.
    pub fn text_place(&self, value: &str) -> Place {
        let raw = self.source.text().get(self.start..).unwrap_or("");
        let quotes = ["\"\"\"", "'''", "\"", "'"].into_iter().find(|quotes| raw.starts_with(quotes)).unwrap_or("");
        let inside = raw.get(quotes.len()..).is_some_and(|inside| inside.starts_with(value));
        self.source.place(if inside { self.start + quotes.len() } else { self.start })
    }

    pub fn fault(&self, findings: &mut Findings, what: impl Into<String>, remedy: impl Into<String>) {
        findings.fault(self.place(), &self.key, what, remedy);
    }

    pub fn wrong_type(&self, findings: &mut Findings, expected: &str, form: &str) {
        let (article, found) = match self.value {
            DeValue::String(_) => ("a", "string"),
            DeValue::Integer(_) => ("an", "integer"),
            DeValue::Float(_) => ("a", "float"),
            DeValue::Boolean(_) => ("a", "boolean"),
            DeValue::Datetime(_) => ("a", "date"),
            DeValue::Array(_) => ("a", "list"),
            DeValue::Table(_) => ("a", "table"),
        };
        let found = match self.written() {
            Some(text) => format!("the {found} `{text}`"),
            None => format!("{article} {found}"),
        };
        self.fault(findings, format!("expected {expected}, found {found}"), format!("write {form}"));
    }

    /// The value as it stands behind its key; none for a table that has a line of its own.
    pub fn written(&self) -> Option<String> {
        let text = self.source.text();
        let before = text.get(..self.start)?.trim_end_matches([' ', '\t']);
        let is_header = before.is_empty() || before.ends_with('\n');
        text.get(self.start..self.end).filter(|text| !is_header && !text.is_empty()).map(excerpt)
    }

    /// The value as a table, or a fault.
    pub fn table(&self, findings: &mut Findings, form: &str) -> Option<&'a DeTable<'a>> {
        let table = self.value.as_table();
        if table.is_none() {
            self.wrong_type(findings, "a table", form);
        }
        table
    }

    /// The children of a table in the order of the text.
    pub fn children(&self, table: &'a DeTable<'a>) -> Vec<(&'a str, usize, Node<'a>)> {
        let mut children: Vec<_> = table
            .iter()
            .map(|(name, value)| {
                let key = if self.key.is_empty() {
                    excerpt(name.get_ref())
                } else {
                    format!("{}.{}", self.key, excerpt(name.get_ref()))
                };
                let std::ops::Range { start, end } = value.span();
                let node = Node { value: value.get_ref(), start, end, key, source: self.source };
                (name.get_ref().as_ref(), name.span().start, node)
            })
            .collect();
        children.sort_by_key(|(_, start, _)| *start);
        children
    }

    pub fn items(&self, findings: &mut Findings, form: &str) -> Option<Vec<Node<'a>>> {
        let Some(items) = self.value.as_array() else {
            self.wrong_type(findings, "a list", form);
            return None;
        };
        let node = |(place, item): (usize, &'a toml::Spanned<DeValue<'a>>)| Node {
            value: item.get_ref(),
            start: item.span().start,
            end: item.span().end,
            key: format!("{}[{}]", self.key, place + 1),
            source: self.source,
        };
        Some(items.iter().enumerate().map(node).collect())
    }
}

/// Takes one key out of a section's children.
pub fn take<T: Decode>(children: &[(&str, usize, Node<'_>)], key: &str, findings: &mut Findings) -> Option<At<T>> {
    let (_, _, node) = children.iter().find(|(name, _, _)| *name == key)?;
    T::decode(node, findings).map(|value| At { value, place: T::place(node) })
}

/// Reports the children whose keys no list has.
pub fn refuse_unknown(children: &[(&str, usize, Node<'_>)], known: &[&[&str]], findings: &mut Findings) {
    let known = || known.iter().flat_map(|keys| keys.iter().copied());
    for (name, start, node) in children {
        if findings.is_full() || known().any(|key| key == *name) {
            continue;
        }
        let place = node.source.place(*start);
        if LATER.contains(name) {
            findings.fault(place, &node.key, "is not in this version", "take it out");
        } else if let Some(near) = nearest(name, known()) {
            findings.fault(place, &node.key, "unknown key", format!("the nearest is `{near}`"));
        } else {
            findings.fault(
                place,
                &node.key,
                "unknown key",
                format!("valid are {}", known().collect::<Vec<_>>().join(", ")),
            );
        }
    }
}

/// Declares a section: fields, keys, types; `with` embeds the keys of other sections.
macro_rules! section {
    (
        $(#[$doc:meta])*
        $name:ident $(with $($part:ident: $part_type:ident),+)? {
            $($(#[$field_doc:meta])* $field:ident: $type:ty = $key:literal,)*
        }
    ) => {
        $(#[$doc])*
        #[derive(Debug, Default)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: Option<At<$type>>,)*
            $($(pub $part: $part_type,)+)?
        }

        impl $name {
            pub const KEYS: &'static [&'static str] = &[$($key,)*];

            /// The fields of this section out of the children of a table; other keys are left to the caller.
            fn pick(children: &[(&str, usize, Node<'_>)], findings: &mut Findings) -> Self {
                Self {
                    $($field: take(children, $key, findings),)*
                    $($($part: $part_type::pick(children, findings),)+)?
                }
            }

            /// The whole section; none when the value is no table.
            pub fn decode(node: &Node<'_>, findings: &mut Findings) -> Option<Self> {
                let table = node.table(findings, "it as a table")?;
                let children = node.children(table);
                refuse_unknown(&children, &[Self::KEYS, $($($part_type::KEYS,)+)?], findings);
                Some(Self::pick(&children, findings))
            }
        }
    };
}
pub(super) use section;
