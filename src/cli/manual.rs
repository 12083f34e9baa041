//! `watchd man`: the manual page, made from the table of commands; `watchd man | man -l -` shows it.

use std::process::ExitCode;

use super::given::{EVERYWHERE, Flag, Given};
use super::{COMMANDS, Command};
use crate::model::Places;

const BEFORE: &str = r#".SH NAME
watchd \- watches one Linux host, restarts what died, keeps promises and tells
.SH SYNOPSIS
.B watchd
.RI [ COMMAND ]
.RI [ OPTION ...]
.SH DESCRIPTION
.B watchd
samples a host once per cycle, restarts services that died, judges the promises of its policy, and tells Munin masters,
Prometheus and people.
Without a command it is the daemon, in the foreground.
A configuration is not needed; without one it only looks.
.SH COMMANDS
"#;

const AFTER: &str = r#".SH SIGNALS
.TP
.B SIGTERM\fR, \fBSIGINT
The daemon ends on purpose; services go on unless their policy says otherwise.
A second one does not wait for them.
.TP
.B SIGHUP
The policy is read again, which also happens by itself when its file changes.
.TP
.B SIGUSR2
The installed program takes over, as with
.BR "watchd upgrade" .
.SH ENVIRONMENT
.TP
.B NO_COLOR
When it is set and not empty, nothing is coloured.
.TP
.B NOTIFY_SOCKET\fR, \fBWATCHDOG_USEC
How a service manager is told that the daemon is ready and lives.
.SH FILES
.TP
.I /etc/watchd/watchd.toml
The policy; for others than root
.IR ~/.config/watchd/watchd.toml .
.TP
.I /run/watchd
The board, with everything the daemon knows now, and its control socket.
.TP
.I /var/lib/watchd
What survives a boot: services, history and the journal of events.
.SH EXAMPLES
.TP
.B watchd status \-\-watch
How everything is, as it changes.
.TP
.B watchd why web
What led to the state of a service, and how it is kept.
.TP
.B watchd restart @front
All services of the group
.IR front ,
in the order of their needs.
.SH SEE ALSO
.BR systemd (1),
.BR crontab (5)
"#;

pub fn run(_: &Places, given: &Given) -> ExitCode {
    if let Some(word) = given.words.first() {
        return super::wrong(&format!("cannot understand `{}`: man takes no name", word.escape_debug()));
    }
    super::say(&page());
    ExitCode::SUCCESS
}

fn page() -> String {
    let mut page =
        format!(".TH WATCHD 8 \"\" \"watchd {0}\" \"System administration\"\n{BEFORE}", env!("CARGO_PKG_VERSION"));
    for command in COMMANDS {
        page.push_str(&tell(command));
    }
    page.push_str(".SH OPTIONS\nEvery command takes these.\n");
    for flag in EVERYWHERE {
        page.push_str(&option(flag));
    }
    page.push_str(AFTER);
    page
}

fn tell(command: &Command) -> String {
    let words = if command.words.is_empty() { String::new() } else { format!(" \\fI{}\\fR", plain(command.words)) };
    let mut page = format!(".SS \\fBwatchd {}\\fR{words}\n{}.\n", plain(command.name), sentence(command.help));
    for flag in command.flags {
        page.push_str(&option(flag));
    }
    if !command.exits.is_empty() {
        let exits: Vec<_> = command.exits.iter().map(|(code, meaning)| format!("{code} {}", plain(meaning))).collect();
        page.push_str(&format!(".PP\nExit status: {}.\n", exits.join("; ")));
    }
    page
}

fn option(flag: &Flag) -> String {
    let value = flag.value.map_or_else(String::new, |value| format!(" \\fI{}\\fR", plain(value)));
    format!(".TP\n\\fB\\-\\-{}\\fR{value}\n{}.\n", plain(flag.name), sentence(flag.help))
}

/// With a capital, as the first word of a line: nothing that could be taken for a request.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let capital: String = letters.next().map(|letter| letter.to_uppercase().to_string()).unwrap_or_default();
    let text = plain(&format!("{capital}{}", letters.as_str()));
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}

/// A text that means nothing to the formatter.
fn plain(text: &str) -> String {
    let mut page = String::new();
    for letter in text.chars() {
        match letter {
            '\\' => page.push_str("\\e"),
            '-' => page.push_str("\\-"),
            '…' => page.push_str("..."),
            letter => page.push(letter),
        }
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_and_option_is_there() {
        let page = page();
        for command in COMMANDS {
            assert!(page.contains(&format!("\\fBwatchd {}\\fR", plain(command.name))), "{}", command.name);
            for flag in command.flags {
                assert!(page.contains(&format!("\\fB\\-\\-{}\\fR", plain(flag.name))), "{}", flag.name);
            }
        }
        assert!(EVERYWHERE.iter().all(|flag| page.contains(&plain(flag.name))));
        assert!(page.is_ascii(), "an old terminal shows it");
    }

    #[test]
    fn a_text_is_never_a_request() {
        assert_eq!(sentence(".so /etc/passwd"), "\\&.so /etc/passwd");
        assert_eq!(plain("a\\b-c…"), "a\\eb\\-c...");
    }
}
