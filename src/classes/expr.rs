//! Class expressions: `disk_root_full & !(night | maintenance)`.
//!
//! ```text
//! or   := and { ("|" | "||") and }
//! and  := not { ("." | "&" | "&&") not }
//! not  := "!" not | "(" or ")" | name | "true" | "false"
//! name := [A-Za-z0-9_]+
//! ```
//! Blanks may stand between tokens. Anything else is an error, also what is left over after a complete expression.
//! Compiled to postfix over class numbers; the values wait on one 64-bit word, so evaluation takes no memory.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Deeper parentheses are refused: each level keeps at most two values waiting, and there are 64 places.
const DEEPEST: usize = 30;
/// The longest name, as long as one that an id and an aspect can make.
const LONGEST_NAME: usize = 64;
/// The longest expression, in bytes: it is evaluated in every cycle.
const LONGEST: usize = 4096;

/// One step of evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Op {
    Class(u16),
    True,
    False,
    Not,
    And,
    Or,
}

/// Why a text is not an expression. Columns count characters from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    pub column: usize,
    pub reason: Reason,
}

/// What was met where something else should stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The text ended where a name should stand.
    Empty,
    /// This character where a name, `!` or `(` should stand.
    NoOperand(char),
    /// This character where an operator or the end should stand.
    NoOperator(char),
    /// `(` without its `)`.
    Unclosed,
    /// `)` without its `(`.
    Unopened,
    TooDeep,
    NameTooLong,
    TooLong,
}

impl fmt::Display for Reason {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(out, "expected a class name here, found the end"),
            Self::NoOperand(found) => {
                write!(out, "expected a class name, `!` or `(`, found `{}`", found.escape_debug())
            }
            Self::NoOperator(found) => write!(out, "expected `&`, `|` or the end, found `{}`", found.escape_debug()),
            Self::Unclosed => write!(out, "this `(` has no `)`"),
            Self::Unopened => write!(out, "this `)` has no `(`"),
            Self::TooDeep => write!(out, "more than {DEEPEST} parentheses within each other"),
            Self::TooLong => write!(out, "an expression has at most {LONGEST} bytes"),
            Self::NameTooLong => write!(out, "a class name has at most {LONGEST_NAME} characters"),
        }
    }
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "cannot read the expression at column {}: {}", self.column, self.reason)
    }
}

impl std::error::Error for SyntaxError {}

/// Compiles `text`; `name` gives the number of each class as it is met, with its column.
pub fn compile(text: &str, name: &mut dyn FnMut(&str, usize) -> u16) -> Result<Vec<Op>, SyntaxError> {
    if text.len() > LONGEST {
        return Err(SyntaxError { column: 1, reason: Reason::TooLong });
    }
    let mut parser = Parser { text, place: 0, depth: 0, ops: Vec::new(), name };
    parser.either()?;
    match parser.peek() {
        None => Ok(parser.ops),
        Some(')') => Err(parser.error(Reason::Unopened)),
        Some(found) => Err(parser.error(Reason::NoOperator(found))),
    }
}

/// The value of a compiled expression.
pub fn eval(ops: &[Op], mut is_on: impl FnMut(u16) -> bool) -> bool {
    let mut waiting: u64 = 0;
    for op in ops {
        let (top, below) = (waiting & 1, waiting >> 1);
        waiting = match op {
            Op::Class(class) => waiting << 1 | u64::from(is_on(*class)),
            Op::True => waiting << 1 | 1,
            Op::False => waiting << 1,
            Op::Not => waiting ^ 1,
            Op::And => below & (top | !1),
            Op::Or => below | top,
        };
    }
    waiting & 1 == 1
}

struct Parser<'a> {
    text: &'a str,
    /// Byte offset of what comes next.
    place: usize,
    depth: usize,
    ops: Vec<Op>,
    name: &'a mut dyn FnMut(&str, usize) -> u16,
}

impl Parser<'_> {
    fn either(&mut self) -> Result<(), SyntaxError> {
        self.both()?;
        while self.skip('|') {
            self.skip_glued('|');
            self.both()?;
            self.ops.push(Op::Or);
        }
        Ok(())
    }

    fn both(&mut self) -> Result<(), SyntaxError> {
        self.one()?;
        loop {
            if self.skip('&') {
                self.skip_glued('&');
            } else if !self.skip('.') {
                return Ok(());
            }
            self.one()?;
            self.ops.push(Op::And);
        }
    }

    fn one(&mut self) -> Result<(), SyntaxError> {
        let mut negated = false;
        while self.skip('!') {
            negated = !negated;
        }
        match self.peek() {
            None => return Err(self.error(Reason::Empty)),
            Some('(') => self.group()?,
            Some(first) if is_name(first) => self.word()?,
            Some(found) => return Err(self.error(Reason::NoOperand(found))),
        }
        if negated {
            self.ops.push(Op::Not);
        }
        Ok(())
    }

    fn group(&mut self) -> Result<(), SyntaxError> {
        let open = self.error(Reason::Unclosed);
        if self.depth >= DEEPEST {
            return Err(self.error(Reason::TooDeep));
        }
        self.depth += 1;
        self.skip('(');
        self.either()?;
        match self.peek() {
            None => return Err(open),
            Some(')') => self.skip(')'),
            Some(found) => return Err(self.error(Reason::NoOperator(found))),
        };
        self.depth -= 1;
        Ok(())
    }

    fn word(&mut self) -> Result<(), SyntaxError> {
        let rest = self.text.get(self.place..).unwrap_or("");
        let word = rest.split(|letter| !is_name(letter)).next().unwrap_or("");
        let error = self.error(Reason::NameTooLong);
        if word.len() > LONGEST_NAME {
            return Err(error);
        }
        self.place += word.len();
        self.ops.push(match word {
            "true" => Op::True,
            "false" => Op::False,
            word => Op::Class((self.name)(word, error.column)),
        });
        Ok(())
    }

    /// The next character after blanks, which are stepped over.
    fn peek(&mut self) -> Option<char> {
        let rest = self.text.get(self.place..)?;
        self.place = self.text.len() - rest.trim_start().len();
        self.text.get(self.place..)?.chars().next()
    }

    fn skip(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.place += wanted.len_utf8();
        }
        found
    }

    /// The second half of `||` and `&&`, which no blank may part from the first.
    fn skip_glued(&mut self, wanted: char) {
        if self.text.get(self.place..).is_some_and(|rest| rest.starts_with(wanted)) {
            self.place += wanted.len_utf8();
        }
    }

    fn error(&self, reason: Reason) -> SyntaxError {
        let before = self.text.get(..self.place).unwrap_or(self.text);
        SyntaxError { column: before.chars().count() + 1, reason }
    }
}

fn is_name(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Result<bool, SyntaxError> {
        let mut names: Vec<String> = Vec::new();
        let ops = compile(text, &mut |name, _| {
            names.push(name.to_owned());
            u16::try_from(names.len() - 1).expect("few names")
        })?;
        Ok(eval(&ops, |class| matches!(names[usize::from(class)].as_str(), "a" | "b" | "c")))
    }

    #[test]
    fn errors_name_their_column() {
        for (text, column, reason) in [
            ("", 1, Reason::Empty),
            ("  ", 3, Reason::Empty),
            ("!", 2, Reason::Empty),
            ("a &", 4, Reason::Empty),
            (".a", 1, Reason::NoOperand('.')),
            ("a..b", 3, Reason::NoOperand('.')),
            ("a ||| b", 5, Reason::NoOperand('|')),
            ("a | | b", 5, Reason::NoOperand('|')),
            ("a b", 3, Reason::NoOperator('b')),
            ("a-b", 2, Reason::NoOperator('-')),
            ("é", 1, Reason::NoOperand('é')),
            ("a & é", 5, Reason::NoOperand('é')),
            ("(a", 1, Reason::Unclosed),
            ("a & (b | (c)", 5, Reason::Unclosed),
            ("a)", 2, Reason::Unopened),
            ("()", 2, Reason::NoOperand(')')),
            ("(a b)", 4, Reason::NoOperator('b')),
            ("a(b)", 2, Reason::NoOperator('(')),
            ("a!b", 2, Reason::NoOperator('!')),
        ] {
            assert_eq!(value(text), Err(SyntaxError { column, reason }), "{text:?}");
        }
    }

    #[test]
    fn depth_is_bounded_and_negation_is_not() {
        let nested = |depth: usize| format!("{}a{}", "a|b&(".repeat(depth), ")".repeat(depth));
        assert_eq!(value(&nested(DEEPEST)), Ok(true));
        assert_eq!(value(&nested(DEEPEST + 1)).map_err(|error| error.reason), Err(Reason::TooDeep));
        assert_eq!(value(&format!("{}a", "!".repeat(4_001))), Ok(false));
        assert_eq!(value(&" ".repeat(LONGEST + 1)).map_err(|error| error.reason), Err(Reason::TooLong));
        assert_eq!(value(&"a".repeat(LONGEST_NAME + 1)).map_err(|error| error.reason), Err(Reason::NameTooLong));
    }

    #[test]
    fn the_deepest_nesting_keeps_all_its_values() {
        // The outermost `a` decides, after everything inside has been evaluated.
        let text = format!("a & (x | {}x{})", "b & (x | ".repeat(DEEPEST - 2), ")".repeat(DEEPEST - 2));
        assert_eq!(value(&text), Ok(false));
        let text = format!("a & (x | {}c{})", "b & (x | ".repeat(DEEPEST - 2), ")".repeat(DEEPEST - 2));
        assert_eq!(value(&text), Ok(true));
    }
}
