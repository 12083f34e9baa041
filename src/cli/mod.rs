//! What people type: one table of commands, from which dispatch, help and messages about wrong arguments derive.
//!
//! A command gets the places and what was given, and answers with its exit code. 2 means that what was typed is wrong.

mod given;
mod install;
mod keepalive;
mod life;

use std::process::ExitCode;

pub use given::{EVERYWHERE, Flag, Given};

use crate::model::Places;

/// The command when none is named.
pub const DEFAULT: &str = "run";

/// One command.
pub struct Command {
    pub name: &'static str,
    /// Its words, as the help shows them.
    pub words: &'static str,
    pub flags: &'static [Flag],
    pub help: &'static str,
    /// What its exit codes mean.
    pub exits: &'static [(u8, &'static str)],
    run: fn(&Places, &Given) -> ExitCode,
}

const fn flag(name: &'static str, help: &'static str) -> Flag {
    Flag { name, value: None, help }
}

const fn option(name: &'static str, value: &'static str, help: &'static str) -> Flag {
    Flag { name, value: Some(value), help }
}

/// All commands.
pub static COMMANDS: &[Command] = &[
    Command {
        name: "keepalive",
        words: "",
        flags: &[flag("install", "puts the line for cron in place, unless it is there")],
        help: "for cron: silent when the daemon lives, starts it when it is dead or hung",
        exits: &[(0, "it lives, was started, or was stopped on purpose"), (1, "it could not be started")],
        run: keepalive::run,
    },
    Command { name: "help", words: "[COMMAND]", flags: &[], help: "says what a command does", exits: &[], run: help },
];

/// Runs the command that the arguments name.
pub fn main() -> ExitCode {
    let uid = nix::unistd::geteuid().as_raw();
    let mut places = Places::usual(uid, |name| std::env::var_os(name), |path| path.exists());
    match given::read(lexopt::Parser::from_env(), COMMANDS, &mut places) {
        Ok((command, given)) if given.has("help") => {
            print!("{}", help_of(command));
            ExitCode::SUCCESS
        }
        Ok((command, given)) => (command.run)(&places, &given),
        Err(error) => wrong(&format!("{error}; `watchd help` lists what there is")),
    }
}

/// Says what is wrong with what was typed.
fn wrong(message: &str) -> ExitCode {
    eprintln!("watchd: {message}");
    ExitCode::from(2)
}

fn help(_: &Places, given: &Given) -> ExitCode {
    let Some(name) = given.words.first() else {
        print!("{}", help_of_all());
        return ExitCode::SUCCESS;
    };
    match COMMANDS.iter().find(|command| command.name == name) {
        Some(command) => {
            print!("{}", help_of(command));
            ExitCode::SUCCESS
        }
        None => wrong(&format!("cannot explain `{}`: no such command", name.escape_debug())),
    }
}

fn help_of_all() -> String {
    let mut page =
        String::from("watchd watches one Linux host: it looks, remembers, names, judges, acts and tells.\n\n");
    page.push_str("usage: watchd [COMMAND] [OPTION…]; without a command: watchd run\n\n");
    for command in COMMANDS {
        page.push_str(&format!("  {:<10} {}\n", command.name, command.help));
    }
    page.push_str("\nEvery command takes:\n");
    page.push_str(&help_of_flags(EVERYWHERE));
    page
}

fn help_of(command: &Command) -> String {
    let mut usage = format!("watchd {}", command.name);
    for flag in command.flags {
        usage.push_str(&match flag.value {
            Some(value) => format!(" [--{} {value}]", flag.name),
            None => format!(" [--{}]", flag.name),
        });
    }
    if !command.words.is_empty() {
        usage.push_str(&format!(" {}", command.words));
    }
    let mut page = format!("usage: {usage}\n{}\n", command.help);
    if !command.flags.is_empty() {
        page.push_str(&format!("\n{}", help_of_flags(command.flags)));
    }
    if !command.exits.is_empty() {
        page.push_str("\nexit codes:\n");
        for (code, meaning) in command.exits {
            page.push_str(&format!("  {code}  {meaning}\n"));
        }
    }
    page
}

fn help_of_flags(flags: &[Flag]) -> String {
    let name = |flag: &Flag| flag.value.map_or(flag.name.to_owned(), |value| format!("{} {value}", flag.name));
    flags.iter().map(|flag| format!("  --{:<16} {}\n", name(flag), flag.help)).collect()
}

/// The valid name nearest to a wrong one.
fn nearest(word: &str, known: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    known.filter(|known| known.starts_with(word.get(..2).unwrap_or("?"))).max_by_key(|known| known.len())
}
