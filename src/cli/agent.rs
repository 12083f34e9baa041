//! `watchd agent`: one pass over the promises, and how each came out.
//!
//! A promise that does not apply now is not mentioned. What nobody is to read can go: the exit code says the same.

use std::process::ExitCode;

use super::given::Given;
use super::quantity::plain;
use crate::engine;
use crate::engine::once::{self, Came};
use crate::model::{Outcome, Places};
use crate::sys::stderr;

pub fn run(places: &Places, given: &Given) -> ExitCode {
    if let Some(word) = given.words.first() {
        return super::wrong(&format!("cannot understand `{}`: agent takes no name", word.escape_debug()));
    }
    match once::run(places, given.has("dry-run")) {
        Ok(passed) => {
            if passed.is_guest {
                stderr::say(format_args!(
                    "watchd: a daemon runs and looks after the services; this pass keeps the other promises"
                ));
            }
            let page: String = passed.came.iter().filter(|came| came.outcome != Outcome::Skipped).map(line).collect();
            super::say(&page);
            let failed = |came: &Came| matches!(came.outcome, Outcome::Failed | Outcome::Timeout | Outcome::Denied);
            if passed.came.iter().any(failed) { ExitCode::FAILURE } else { ExitCode::SUCCESS }
        }
        Err(engine::Failure::Config(faults)) => {
            for fault in faults {
                stderr::say(format_args!("{fault}"));
            }
            ExitCode::from(2)
        }
        Err(engine::Failure::System(cause)) => super::failed(&cause),
    }
}

fn line(came: &Came) -> String {
    let why = plain(&came.why);
    let colon = if why.is_empty() { "" } else { ": " };
    let diff: String =
        came.diff.lines().map(|line| format!("          {}\n", plain(&line.replace('\t', "    ")))).collect();
    format!("{:<8}  {} {}{colon}{why}\n{diff}", came.outcome, came.kind, plain(&came.id))
}
