//! Why something was not done to a file.

use std::fmt;
use std::io;

use super::edit::Refusal;
use crate::model::Outcome;

#[derive(Debug)]
pub enum Fault {
    /// The system refused: what was tried, on which path.
    System {
        verb: &'static str,
        path: String,
        error: io::Error,
    },
    /// We refused.
    Refused {
        path: String,
        why: &'static str,
    },
    /// The text cannot be what was promised.
    Text {
        path: String,
        refusal: Refusal,
    },
    /// Somebody else changed it while we did.
    Raced {
        path: String,
    },
    /// A template that cannot be filled in.
    Template {
        path: String,
        why: String,
    },
    Account(crate::sys::accounts::Fault),
}

impl Fault {
    pub fn system(verb: &'static str, path: &str) -> impl Fn(io::Error) -> Self {
        move |error| Self::System { verb, path: path.to_owned(), error }
    }

    /// What it means for the promise.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::System { error, .. } if error.kind() == io::ErrorKind::PermissionDenied => Outcome::Denied,
            _ => Outcome::Failed,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System { verb, path, error } if error.raw_os_error() == Some(libc::ELOOP) => {
                write!(out, "cannot {verb} {path}: there is a symbolic link in it; write the path it leads to")
            }
            Self::System { verb, path, error } => write!(out, "cannot {verb} {path}: {error}"),
            Self::Refused { path, why } => write!(out, "cannot take care of {path}: {why}"),
            Self::Text { path, refusal } => write!(out, "cannot edit {path}: {refusal}"),
            Self::Raced { path } => {
                write!(out, "cannot change {path}: another program is changing it; it is tried again in the next pass")
            }
            Self::Template { path, why } => write!(out, "cannot fill in the text of {path}: {why}"),
            Self::Account(fault) => fault.fmt(out),
        }
    }
}

impl std::error::Error for Fault {}
