//! An expression as people write it, made again from the steps of its evaluation: the compiled policy keeps no text.

use std::time::Duration;

use super::expr::Op;
use super::gauge::Gauge;
use super::table::{ExprId, Side, Source, Table, Threshold};

/// How tightly a part holds together: names, then what is joined by `&`, then by `|`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Bond {
    Any,
    All,
    Word,
}

impl Table {
    /// The text of an expression, with no more parentheses than it needs.
    pub fn written(&self, id: ExprId) -> String {
        let mut parts: Vec<(Bond, String)> = Vec::new();
        for op in self.expr(id) {
            let mut take = |least: Bond| {
                let (bond, text) = parts.pop().unwrap_or((Bond::Word, String::new()));
                if bond < least { format!("({text})") } else { text }
            };
            let part = match op {
                Op::Class(class) => (Bond::Word, self.name(usize::from(*class)).to_owned()),
                Op::True => (Bond::Word, "true".to_owned()),
                Op::False => (Bond::Word, "false".to_owned()),
                Op::Not => (Bond::Word, format!("!{}", take(Bond::Word))),
                Op::And => {
                    let right = take(Bond::All);
                    (Bond::All, format!("{} & {right}", take(Bond::All)))
                }
                Op::Or => {
                    let right = take(Bond::Any);
                    (Bond::Any, format!("{} | {right}", take(Bond::Any)))
                }
            };
            parts.push(part);
        }
        parts.pop().map_or_else(String::new, |(_, text)| text)
    }

    /// The classes that an expression names, each once.
    pub fn named(&self, id: ExprId) -> Vec<&str> {
        let mut names = Vec::new();
        for op in self.expr(id) {
            if let Op::Class(class) = op
                && let name = self.name(usize::from(*class))
                && !names.contains(&name)
            {
                names.push(name);
            }
        }
        names
    }

    /// From where on a disk is full, and below what it no longer is, in percent.
    pub fn full(&self, disk: u16) -> Option<[f32; 2]> {
        self.entries.iter().find_map(|entry| match entry.source {
            Source::Measured(Threshold { gauge: Gauge::DiskUsed(of), side: Side::Above, enter, leave }) => {
                (of == disk).then_some([enter, leave])
            }
            _ => None,
        })
    }

    /// What a class of the policy is made of, and how long it stays true afterwards.
    pub fn definition(&self, name: &str) -> Option<(ExprId, Duration)> {
        let place = (0..self.entries.len()).find(|place| self.name(*place) == name)?;
        let Source::Defined(id) = self.entries.get(place)?.source else { return None };
        let hold = self.holds.iter().find(|(class, _)| usize::from(*class) == place);
        Some((id, hold.map_or(Duration::ZERO, |(_, hold)| *hold)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Builder;
    use watchd_probes::inventory::Inventory;

    #[test]
    fn an_expression_is_written_with_the_parentheses_it_needs() {
        for (text, expect) in [
            ("a", "a"),
            ("!a", "!a"),
            ("!!a", "a"),
            ("a.b||c", "a & b | c"),
            ("a&(b|c)", "a & (b | c)"),
            ("(a|b)&(c|!d)", "(a | b) & (c | !d)"),
            ("((a))", "a"),
            ("!(a & b) | true", "!(a & b) | true"),
            ("a & b & c | false", "a & b & c | false"),
            ("a & (b & c)", "a & b & c"),
        ] {
            let mut builder = Builder::new(&Inventory::default());
            let ids = [text, expect].map(|text| builder.compile(text, &mut Vec::new()).expect("an expression"));
            let table = builder.finish().expect("few classes");
            assert_eq!(ids.map(|id| table.written(id)), [expect, expect], "{text}");
        }
    }
}
