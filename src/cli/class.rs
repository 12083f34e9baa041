//! `watchd class eval [--with NAME,NAME…] 'EXPR'`: the value of a class expression, without a daemon.
//!
//! True are the names given and `any`; every other name is false. A fault is shown under the text it is in.

use std::io::{self, Write};
use std::process::ExitCode;

use crate::classes::{compile, eval};

/// The expression is false, or it is none.
const FALSE: u8 = 1;
const BAD: u8 = 2;

/// Evaluates; 0 true, 1 false, 2 not an expression.
pub fn run_eval(with: &[String], text: &str) -> ExitCode {
    match value(with, text) {
        Ok(value) => {
            // A closed standard output is the reader's wish; the exit code says the same.
            let _ = writeln!(io::stdout(), "{value}");
            if value { ExitCode::SUCCESS } else { ExitCode::from(FALSE) }
        }
        Err(message) => {
            let _ = writeln!(io::stderr(), "{message}");
            ExitCode::from(BAD)
        }
    }
}

/// The value, or a message of three lines: what is wrong, the text, and a mark under the place.
fn value(with: &[String], text: &str) -> Result<bool, String> {
    let is_name =
        |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if let Some(bad) = with.iter().find(|name| !is_name(name)) {
        return Err(format!("cannot set class '{}': write letters, digits and `_`", bad.escape_debug()));
    }
    let mut truths = Vec::new();
    let name = &mut |name: &str, _| {
        truths.push(name == "any" || with.iter().any(|given| given == name));
        u16::try_from(truths.len() - 1).unwrap_or(u16::MAX)
    };
    match compile(text, name) {
        Ok(ops) => Ok(eval(&ops, |class| truths.get(usize::from(class)).copied().unwrap_or(false))),
        Err(error) => {
            let shown: String =
                text.chars().take(200).map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
            Err(format!("{error}\n  {shown}\n  {:>column$}", "^", column = error.column))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_shown_under_its_text() {
        let message = value(&[], "a\t& é").expect_err("é is no name");
        assert_eq!(
            message,
            "cannot read the expression at column 5: expected a class name, `!` or `(`, found `é`\n  a & é\n      ^"
        );
    }

    #[test]
    fn only_given_names_and_any_are_true() {
        let with = ["a".to_owned(), "b".to_owned()];
        for (text, expect) in [("a & b", true), ("a & c", false), ("any", true), ("linux", false), ("!c", true)] {
            assert_eq!(value(&with, text), Ok(expect), "{text}");
        }
        assert!(value(&["a b".to_owned()], "a").is_err());
    }
}
