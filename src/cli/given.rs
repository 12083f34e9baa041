//! Arguments into what was given: the command, its words and options, and the places.
//!
//! What may be given stands in the table of commands; anything else is an error that names the nearest thing there is.

use std::fmt;
use std::path::PathBuf;

use lexopt::Arg;

use super::Command;
use crate::config::nearest;
use crate::model::Places;

/// An option of a command.
pub struct Flag {
    pub name: &'static str,
    /// What stands for its value in the help; none when it takes none.
    pub value: Option<&'static str>,
    pub help: &'static str,
}

/// The options every command takes.
pub const EVERYWHERE: &[Flag] = &[
    Flag { name: "config", value: Some("FILE"), help: "the policy, instead of the usual place" },
    Flag { name: "run-dir", value: Some("DIR"), help: "where the board and the control socket are" },
    Flag { name: "state-dir", value: Some("DIR"), help: "what survives a boot" },
    Flag { name: "root", value: Some("DIR"), help: "where /proc and /sys are looked for" },
    Flag { name: "help", value: None, help: "says what the command does" },
    Flag { name: "version", value: None, help: "says which watchd this is" },
];

/// What was given after the name of a command.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Given {
    pub words: Vec<String>,
    flags: Vec<(&'static str, String)>,
}

impl Given {
    pub fn has(&self, flag: &str) -> bool {
        self.flags.iter().any(|(name, _)| *name == flag)
    }

    /// The value of an option; the last one counts.
    pub fn value(&self, flag: &str) -> Option<&str> {
        self.flags.iter().rev().find(|(name, _)| *name == flag).map(|(_, value)| value.as_str())
    }
}

/// Why the arguments make no sense.
#[derive(Debug, PartialEq, Eq)]
pub enum UsageError {
    UnknownCommand { name: String, nearest: Option<&'static str> },
    UnknownOption { name: String, command: &'static str, nearest: Option<&'static str> },
    MissingValue(&'static str),
    UnwantedValue(&'static str),
    NotText(String),
}

impl fmt::Display for UsageError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let near =
            |nearest: &Option<&str>| nearest.map_or_else(String::new, |near| format!("; the nearest is `{near}`"));
        match self {
            Self::UnknownCommand { name, nearest } => {
                write!(out, "cannot run `{}`: no such command{}", name.escape_debug(), near(nearest))
            }
            Self::UnknownOption { name, command, nearest } => {
                let name = name.escape_debug();
                write!(out, "cannot understand `{name}`: no such option of `watchd {command}`{}", near(nearest))
            }
            Self::MissingValue(name) => write!(out, "cannot understand `--{name}`: its value is missing"),
            Self::UnwantedValue(name) => write!(out, "cannot understand `--{name}=…`: it takes no value"),
            Self::NotText(text) => write!(out, "cannot understand `{text}`: it is not UTF-8"),
        }
    }
}

impl std::error::Error for UsageError {}

/// Reads the arguments: options of all commands and of the one that is named may stand anywhere after it, those of all
/// commands before it as well.
pub fn read(
    mut parser: lexopt::Parser,
    commands: &'static [Command],
    places: &mut Places,
) -> Result<(&'static Command, Given), UsageError> {
    let mut command: Option<&'static Command> = None;
    let mut given = Given::default();
    let not_text = |error: lexopt::Error| UsageError::NotText(error.to_string());
    while let Some(arg) = parser.next().map_err(not_text)? {
        match arg {
            Arg::Value(word) => {
                let word =
                    word.into_string().map_err(|word| UsageError::NotText(word.to_string_lossy().into_owned()))?;
                if command.is_none() {
                    command = Some(named(&word, commands)?);
                } else {
                    given.words.push(word);
                }
            }
            Arg::Short('h') => given.flags.push(("help", String::new())),
            Arg::Short(letter) => return Err(unknown_option(format!("-{letter}"), command)),
            Arg::Long(name) => {
                let own = command.map_or(&[][..], |command| command.flags);
                let Some(flag) = EVERYWHERE.iter().chain(own).find(|flag| flag.name == name) else {
                    return Err(unknown_option(format!("--{name}"), command));
                };
                let value = value(&mut parser, flag)?;
                match flag.name {
                    "config" => places.config = Some(absolute(&value)),
                    "run-dir" => places.run_dir = absolute(&value),
                    "state-dir" => places.state_dir = absolute(&value),
                    "root" => places.root = absolute(&value),
                    name => given.flags.push((name, value)),
                }
            }
        }
    }
    let command = command.map_or_else(|| named(super::DEFAULT, commands), Ok)?;
    Ok((command, given))
}

fn value(parser: &mut lexopt::Parser, flag: &Flag) -> Result<String, UsageError> {
    if flag.value.is_some() {
        let value = parser.value().map_err(|_| UsageError::MissingValue(flag.name))?;
        return value.into_string().map_err(|value| UsageError::NotText(value.to_string_lossy().into_owned()));
    }
    if parser.optional_value().is_some() { Err(UsageError::UnwantedValue(flag.name)) } else { Ok(String::new()) }
}

/// The daemon works in `/`, so a path is made whole where it was typed.
fn absolute(path: &str) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| PathBuf::from(path))
}

fn named(name: &str, commands: &'static [Command]) -> Result<&'static Command, UsageError> {
    commands.iter().find(|command| command.name == name).ok_or_else(|| UsageError::UnknownCommand {
        name: name.to_owned(),
        nearest: nearest(name, commands.iter().map(|command| command.name)),
    })
}

fn unknown_option(name: String, command: Option<&'static Command>) -> UsageError {
    let own = command.map_or(&[][..], |command| command.flags);
    let known = EVERYWHERE.iter().chain(own).map(|flag| flag.name);
    let nearest = nearest(name.trim_start_matches('-'), known);
    UsageError::UnknownOption { name, command: command.map_or(super::DEFAULT, |command| command.name), nearest }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::COMMANDS;

    fn try_read(args: &[&str]) -> Result<(&'static str, Given, Places), String> {
        let mut places = Places::usual(0, |_| None, |_| false);
        let (command, given) =
            read(lexopt::Parser::from_args(args), COMMANDS, &mut places).map_err(|error| error.to_string())?;
        Ok((command.name, given, places))
    }

    #[test]
    fn options_stand_before_and_after() {
        let (name, given, places) =
            try_read(&["--run-dir", "/r", "pause", "web", "--for=1h", "db", "--state-dir=/s"]).expect("it makes sense");
        assert_eq!((name, given.words.join(" ").as_str(), given.value("for")), ("pause", "web db", Some("1h")));
        assert_eq!((places.run_dir, places.state_dir), (PathBuf::from("/r"), PathBuf::from("/s")));
        let (_, given, _) = try_read(&["status", "--json", "--", "--odd"]).expect("it makes sense");
        assert!(given.has("json") && given.words == ["--odd"]);
    }

    #[test]
    fn what_is_not_there_is_refused_with_the_nearest_name() {
        let cases: &[(&[&str], &str)] = &[
            (&["statsu"], "no such command; the nearest is `status`"),
            (&["xyzzyxyzzy"], "cannot run `xyzzyxyzzy`: no such command"),
            (&["status", "--jsno"], "no such option of `watchd status`; the nearest is `json`"),
            (&["status", "--for", "1h"], "no such option of `watchd status`"),
            (&["status", "-x"], "cannot understand `-x`"),
            (&["pause", "--for"], "its value is missing"),
            (&["status", "--json=1"], "it takes no value"),
            (&["--json", "status"], "no such option of `watchd run`"),
        ];
        for (args, expected) in cases {
            let said = try_read(args).expect_err("it makes no sense");
            assert!(said.contains(expected), "{args:?}: {said}");
        }
    }
}
