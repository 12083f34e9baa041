//! What people type: one table of commands, from which dispatch, help and messages about wrong arguments derive.
//!
//! A command gets the places and what was given, and answers with its exit code. 2 means that what was typed is wrong.

mod agent;
mod check;
mod class;
mod class_list;
mod completions;
mod dashboard;
mod demo;
mod discover;
mod events;
mod figures;
mod given;
mod grid;
mod history;
mod import;
mod install;
mod keepalive;
mod kept;
mod learn;
mod learned;
mod life;
mod live;
mod manual;
mod metrics;
mod munin;
mod nagios;
mod orders;
mod plot;
mod quantity;
mod screen;
mod shadow;
mod spark;
mod status;
mod top;
mod why;
mod written;

use std::io::Write;
use std::process::ExitCode;

pub use given::{EVERYWHERE, Flag, Given};

use crate::door;
use crate::engine;
use crate::model::Places;
use crate::sys::{memory, stderr};

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

const ORDERED: &[(u8, &str)] = &[(0, "done"), (1, "failed"), (2, "no such name"), (3, "no daemon")];

const fn order(name: &'static str, help: &'static str, run: fn(&Places, &Given) -> ExitCode) -> Command {
    Command { name, words: "NAME…|@TAG…", flags: &[], help, exits: ORDERED, run }
}

/// All commands.
pub static COMMANDS: &[Command] = &[
    Command {
        name: "run",
        words: "",
        flags: &[flag(
            "shadow",
            "judges everything and acts on nothing; `watchd shadow` tells what it would have done",
        )],
        help: "the daemon, in the foreground; what runs when no command is named",
        exits: &[(0, "it was asked to stop"), (1, "the system refused"), (2, "the config is refused")],
        run: daemon,
    },
    Command {
        name: "status",
        words: "[NAME…|@TAG…]",
        flags: &[
            flag("json", "for programs: one JSON document, of everything"),
            flag("watch", "goes on showing; q quits"),
            flag("nagios", "one line and the exit codes of Nagios"),
            flag("names", "only the names of the services, one in each line"),
        ],
        help: "shows how everything is, also when the daemon hangs or is dead",
        exits: &[(0, "all is well"), (1, "something is not"), (3, "no daemon"), (4, "cannot tell")],
        run: status::run,
    },
    Command {
        name: "top",
        words: "",
        flags: &[],
        help: "shows the host, its services and what happened, live on the whole terminal",
        exits: &[(0, "it was asked to end"), (1, "this is no terminal"), (3, "no daemon"), (4, "cannot tell")],
        run: top::run,
    },
    Command {
        name: "why",
        words: "NAME",
        flags: &[],
        help: "tells what led to the state of a service, promise or class",
        exits: &[(0, "told"), (2, "nothing is called that"), (3, "no daemon"), (4, "cannot tell")],
        run: why::run,
    },
    Command {
        name: "events",
        words: "",
        flags: &[
            flag("follow", "goes on with what happens next"),
            flag("json", "one JSON object in each line"),
            option("last", "N", "how many to begin with; 50 when not given"),
        ],
        help: "shows what happened",
        exits: &[(0, "shown"), (1, "the journal cannot be read")],
        run: events::run,
    },
    Command {
        name: "history",
        words: "[METRIC]",
        flags: &[
            option("object", "NAME", "which disk, interface, file system or service"),
            option("since", "TIME", "how far back: 90s, 30m, 6h, 7d, 5w or 2y; 6h when not given"),
            flag("csv", "lines of ts,mean,min,max, as fine as they are there"),
            flag("json", "one JSON document, as /api/history gives it"),
        ],
        help: "shows what a number was; without a metric, which there are",
        exits: &[
            (0, "shown"),
            (1, "the history cannot be read"),
            (2, "nothing is called that"),
            (3, "nothing was written yet"),
        ],
        run: history::run,
    },
    Command {
        name: "class",
        words: "list | set NAME… | clear NAME… | eval EXPRESSION",
        flags: &[
            flag("all", "list: shows those that are not true as well"),
            option("for", "TIME", "set: ends by itself after 90s, 30m, 2h or 7d"),
            option("with", "NAME,NAME…", "eval: what is true besides `any`"),
        ],
        help: "shows the classes that are true; sets and clears them by hand; evaluates an expression",
        exits: &[
            (0, "shown, done; true"),
            (1, "failed; false"),
            (2, "wrong arguments; not an expression"),
            (3, "no daemon"),
        ],
        run: class,
    },
    Command {
        name: "check",
        words: "[FILE]",
        flags: &[],
        help: "reads a config as the daemon would, and says all that is wrong with it",
        exits: &[(0, "it can be used"), (2, "it cannot")],
        run: check,
    },
    order("start", "starts a service", orders::start),
    order("stop", "stops a service until it is started by hand", orders::stop),
    order("restart", "stops and starts a service", orders::restart),
    order("reset", "forgets early deaths and refills the budget of a service", orders::reset),
    Command {
        flags: &[option("for", "TIME", "resumes by itself after 90s, 30m, 2h or 7d")],
        ..order("pause", "leaves a service alone", orders::pause)
    },
    order("resume", "minds a paused service again", orders::resume),
    Command { words: "", ..order("shutdown", "ends the daemon on purpose; services stay", orders::shutdown) },
    Command {
        words: "",
        flags: &[flag("test", "says whether this program could take over, and changes nothing")],
        exits: &[(0, "done"), (1, "failed; the one before goes on"), (2, "the config is refused"), (3, "no daemon")],
        ..order("upgrade", "goes on as the program that is installed now; services and sockets stay", orders::upgrade)
    },
    Command {
        name: "agent",
        words: "",
        flags: &[
            flag("once", "one pass, which is what it does anyway"),
            flag("dry-run", "acts on nothing and tells what it would do"),
        ],
        help: "makes one pass over the promises without a daemon, as cron would",
        exits: &[
            (0, "all kept or repaired"),
            (1, "something failed; the system refused"),
            (2, "the config is refused"),
        ],
        run: agent::run,
    },
    Command {
        name: "shadow",
        words: "",
        flags: &[option("since", "TIME", "how far back: 30m, 6h or 7d; 7d when not given")],
        help: "tells what promises would have done that may only warn",
        exits: &[(0, "told"), (1, "the journal cannot be read"), (2, "wrong arguments")],
        run: shadow::run,
    },
    Command {
        name: "keepalive",
        words: "",
        flags: &[flag("install", "puts the line for cron in place, unless it is there")],
        help: "for cron: silent when the daemon lives, starts it when it is dead or hung",
        exits: &[(0, "it lives, was started, or was stopped on purpose"), (1, "it could not be started")],
        run: keepalive::run,
    },
    Command {
        name: "demo",
        words: "",
        flags: &[],
        help: "a short tour in a temporary directory; nothing of it stays",
        exits: &[(0, "shown"), (1, "something did not work")],
        run: demo::run,
    },
    Command {
        name: "discover",
        words: "",
        flags: &[],
        help: "proposes a config for the daemons found running here",
        exits: &[(0, "proposed"), (1, "the processes cannot be listed")],
        run: discover::run,
    },
    Command {
        name: "learn",
        words: "OUT.csv",
        flags: &[
            option("replay", "IN.csv", "the series: ts,value or ts,value,series; an empty value was not measured"),
            option("tz", "ZONE", "whose clock the week follows, as Europe/Paris; this host's when not given"),
            option("learning", "DAYS", "how long nothing but a gap is an alarm; 28 when not given"),
        ],
        help: "runs the learner over a recorded series and writes what is unusual in it",
        exits: &[
            (0, "replayed"),
            (1, "a file cannot be read or written"),
            (2, "wrong arguments; some rows are no use"),
        ],
        run: learn::run,
    },
    Command {
        name: "import",
        words: "munin-node [DIR]",
        flags: &[],
        help: "turns a munin-node's configuration into a [munin] table",
        exits: &[(0, "written"), (1, "it cannot be read"), (2, "nothing else can be imported")],
        run: import::run,
    },
    Command {
        name: "munin",
        words: "[autoconf|suggest|config|fetch] [NAME]",
        flags: &[flag("stdio", "the whole node on standard input and output, for ssh and inetd")],
        help: "answers as a Munin plugin does",
        exits: &[(0, "answered"), (1, "no daemon"), (2, "no such plugin")],
        run: munin::run,
    },
    Command {
        name: "metrics",
        words: "",
        flags: &[flag("text", "Prometheus' older format instead of OpenMetrics")],
        help: "writes one page of metrics",
        exits: &[(0, "written"), (3, "no daemon")],
        run: metrics::run,
    },
    Command {
        name: "completions",
        words: "bash|zsh|fish",
        flags: &[],
        help: "writes what a shell needs to complete commands and names of services",
        exits: &[(0, "written"), (2, "no such shell")],
        run: completions::run,
    },
    Command {
        name: "man",
        words: "",
        flags: &[],
        help: "writes the manual page; `watchd man | man -l -` shows it",
        exits: &[(0, "written"), (2, "wrong arguments")],
        run: manual::run,
    },
    Command { name: "help", words: "[COMMAND]", flags: &[], help: "says what a command does", exits: &[], run: help },
];

/// Runs the command that the arguments name.
pub fn main() -> ExitCode {
    let mut words = std::env::args_os();
    if words.next().is_some_and(|called| called.as_encoded_bytes() == door::NAME.to_bytes()) {
        memory::stay_small();
        door::run_anew(words.next().as_deref().and_then(std::ffi::OsStr::to_str).unwrap_or_default());
    }
    // The daemon's peak counts from its first page. Cron calls keepalive every minute, which is over before this would pay.
    if std::env::args_os().nth(1).is_none_or(|word| word != "keepalive") {
        memory::stay_small();
    }
    let uid = nix::unistd::geteuid().as_raw();
    let mut places = Places::usual(uid, |name| std::env::var_os(name), |path| path.exists());
    match understand(lexopt::Parser::from_env(), &mut places) {
        Ok((command, given)) if given.has("help") => {
            say(&help_of(command));
            ExitCode::SUCCESS
        }
        Ok((_, given)) if given.has("version") => {
            say(concat!("watchd ", env!("CARGO_PKG_VERSION"), "\n"));
            ExitCode::SUCCESS
        }
        Ok((command, given)) => (command.run)(&places, &given),
        Err(error) => wrong(&format!("{error}; `watchd help` lists what there is")),
    }
}

/// Finds the command that the arguments name, and what it is given.
pub fn understand(
    arguments: lexopt::Parser,
    places: &mut Places,
) -> Result<(&'static Command, given::Given), given::UsageError> {
    given::read(arguments, COMMANDS, places)
}

/// Writes to standard output; false when nobody reads it any more, which ends a command quietly.
fn say(text: &str) -> bool {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_ok()
}

/// Says what is wrong with what was typed.
fn wrong(message: &str) -> ExitCode {
    stderr::say(format_args!("watchd: {message}"));
    ExitCode::from(2)
}

/// Says why the system refused.
fn failed(message: &str) -> ExitCode {
    stderr::say(format_args!("watchd: {message}"));
    ExitCode::FAILURE
}

fn daemon(places: &Places, given: &Given) -> ExitCode {
    if let Some(word) = given.words.first() {
        return wrong(&format!("cannot understand `{}`: run takes no name", word.escape_debug()));
    }
    match engine::run(places, given.has("shadow")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(engine::Failure::Config(faults)) => {
            for fault in faults {
                stderr::say(format_args!("{fault}"));
            }
            ExitCode::from(2)
        }
        Err(engine::Failure::System(cause)) => failed(&cause),
    }
}

fn class(places: &Places, given: &Given) -> ExitCode {
    match given.words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] | ["list"] => class_list::run(places, given),
        ["set", names @ ..] => orders::class(places, given, (engine::control::Verb::ClassSet, "set"), names),
        ["clear", names @ ..] => orders::class(places, given, (engine::control::Verb::ClassClear, "clear"), names),
        ["eval", expression] => {
            let with = given.value("with").unwrap_or_default();
            let with: Vec<_> = with.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
            class::run_eval(&with, expression)
        }
        ["eval", ..] => wrong("cannot evaluate: give one expression, in quotes"),
        [word, ..] => {
            wrong(&format!("cannot do `class {}`: there are `list`, `set`, `clear` and `eval`", word.escape_debug()))
        }
    }
}

fn check(places: &Places, given: &Given) -> ExitCode {
    match given.words.as_slice() {
        [] => check::run(places),
        [file] => check::run(&Places { config: Some(file.into()), ..places.clone() }),
        [_, word, ..] => wrong(&format!("cannot check `{}` as well: one file at a time", word.escape_debug())),
    }
}

fn help(_: &Places, given: &Given) -> ExitCode {
    let Some(name) = given.words.first() else {
        say(&help_of_all());
        return ExitCode::SUCCESS;
    };
    match COMMANDS.iter().find(|command| command.name == name) {
        Some(command) => {
            say(&help_of(command));
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
        page.push_str(&format!("  {:<11} {}\n", command.name, command.help));
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
