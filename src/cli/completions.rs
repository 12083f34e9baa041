//! `watchd completions bash|zsh|fish`: what a shell has to know to complete our commands, made from the table of commands.
//!
//! Names of services are asked for when they are needed: `watchd status --names` answers from the board, without the daemon.

use std::process::ExitCode;

use super::given::{EVERYWHERE, Flag, Given};
use super::{COMMANDS, Command};
use crate::model::Places;

/// What gives the names of services.
const NAMES: &str = "watchd status --names 2>/dev/null";

pub fn run(_: &Places, given: &Given) -> ExitCode {
    let script = match given.words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["bash"] => bash(),
        ["zsh"] => zsh(),
        ["fish"] => fish(),
        [] => return super::wrong("cannot complete: name a shell, bash, zsh or fish"),
        [shell, ..] => {
            let shell = shell.escape_debug();
            return super::wrong(&format!("cannot complete for `{shell}`: there are bash, zsh and fish"));
        }
    };
    super::say(&script);
    ExitCode::SUCCESS
}

/// The words a command offers by itself: those written in small letters.
fn choices(command: &Command) -> Vec<&'static str> {
    if command.name == "help" {
        return COMMANDS.iter().map(|command| command.name).collect();
    }
    let words = command.words.split([' ', '|', '[', ']']);
    words.filter(|word| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase())).collect()
}

/// Whether its words are services.
fn takes_names(command: &Command) -> bool {
    command.words.trim_start_matches('[').starts_with("NAME")
}

/// Whether its words are files.
fn takes_files(command: &Command) -> bool {
    command.words.contains("FILE") || command.words.contains(".csv")
}

fn is_path(flag: &Flag) -> bool {
    flag.value.is_some_and(|value| value == "FILE" || value == "DIR" || value.ends_with(".csv"))
}

fn all_flags() -> impl Iterator<Item = &'static Flag> {
    EVERYWHERE.iter().chain(COMMANDS.iter().flat_map(|command| command.flags))
}

fn options(flags: &[Flag]) -> String {
    flags.iter().map(|flag| format!("--{}", flag.name)).collect::<Vec<_>>().join(" ")
}

/// The options that take a value, as alternatives of a pattern.
fn valued(wanted: impl Fn(&Flag) -> bool) -> String {
    let mut names: Vec<_> = all_flags()
        .filter(|flag| flag.value.is_some() && wanted(flag))
        .map(|flag| format!("--{}", flag.name))
        .collect();
    names.sort_unstable();
    names.dedup();
    names.join("|")
}

fn bash() -> String {
    let names: Vec<_> = COMMANDS.iter().map(|command| command.name).collect();
    let mut cases = String::new();
    for command in COMMANDS {
        let words = choices(command).join(" ");
        let words = if takes_names(command) { format!("$({NAMES}) {words}") } else { words };
        let files = if takes_files(command) { "; files=1" } else { "" };
        let flags = options(command.flags);
        cases.push_str(&format!("        {}) words=\"{}\"; flags=\"{flags}\"{files} ;;\n", command.name, words.trim()));
    }
    format!(
        r#"# bash completion of watchd; put it into /usr/share/bash-completion/completions/watchd
_watchd() {{
    local cur prev word command='' words='' flags='' files=''
    cur=${{COMP_WORDS[COMP_CWORD]}}
    prev=${{COMP_WORDS[COMP_CWORD-1]}}
    COMPREPLY=()
    case $prev in
        {paths}) mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        {others}) return ;;
    esac
    for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
        case $word in
            {alternatives}) command=$word; break ;;
        esac
    done
    case $command in
        '') words="{names}" ;;
{cases}    esac
    if [[ $cur == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$flags {everywhere}" -- "$cur")
    elif [[ -n $files ]]; then
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
    else
        mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
    fi
}}
complete -F _watchd watchd
"#,
        paths = valued(is_path),
        others = valued(|flag| !is_path(flag)),
        alternatives = names.join("|"),
        names = names.join(" "),
        everywhere = options(EVERYWHERE),
    )
}

/// One option as `_arguments` of zsh wants it.
fn spec(flag: &Flag) -> String {
    let help = flag.help.replace('\'', "'\\''").replace(['[', ']'], "").replace(':', "\\:");
    let value = match flag.value {
        None => String::new(),
        Some(_) if is_path(flag) => ":file:_files".to_owned(),
        Some(value) => format!(":{value}: "),
    };
    format!("'--{}[{help}]{value}'", flag.name)
}

fn zsh() -> String {
    let specs = |flags: &[Flag]| flags.iter().map(spec).collect::<Vec<_>>().join(" ");
    let quoted = |text: &str| text.replace('\'', "'\\''").replace(':', "\\:");
    let mut commands = String::new();
    let mut cases = String::new();
    for command in COMMANDS {
        commands.push_str(&format!("        '{}:{}'\n", command.name, quoted(command.help)));
        let words = match choices(command).join(" ") {
            _ if takes_names(command) => "'*:name:_watchd_names'".to_owned(),
            _ if takes_files(command) => "'*:file:_files'".to_owned(),
            words if words.is_empty() => String::new(),
            words => format!("'*:word:({words})'"),
        };
        let line = format!("{} {words}", specs(command.flags));
        cases.push_str(&format!("        {}) _arguments $everywhere {} ;;\n", command.name, line.trim()));
    }
    format!(
        r#"#compdef watchd
# zsh completion of watchd; put it into a directory of $fpath as _watchd
_watchd_names() {{
    local -a names
    names=(${{(f)"$({NAMES})"}})
    compadd -a names
}}
_watchd() {{
    local -a commands everywhere
    local state line
    everywhere=({everywhere})
    commands=(
{commands}    )
    _arguments -C $everywhere '1:command:->command' '*::word:->word'
    case $state in
        command) _describe command commands; return ;;
    esac
    case $line[1] in
{cases}    esac
}}
_watchd "$@"
"#,
        everywhere = specs(EVERYWHERE),
    )
}

fn fish() -> String {
    let quoted = |text: &str| text.replace('\\', "\\\\").replace('\'', "\\'");
    let mut script = String::from(
        "# fish completion of watchd; put it into /usr/share/fish/vendor_completions.d/watchd.fish\ncomplete -c watchd -f\n",
    );
    let mut add = |when: &str, flag: &Flag| {
        let value = match flag.value {
            None => "",
            Some(_) if is_path(flag) => " -r -F",
            Some(_) => " -x",
        };
        script.push_str(&format!("complete -c watchd{when} -l {}{value} -d '{}'\n", flag.name, quoted(flag.help)));
    };
    for flag in EVERYWHERE {
        add("", flag);
    }
    for command in COMMANDS {
        for flag in command.flags {
            add(&format!(" -n '__fish_seen_subcommand_from {}'", command.name), flag);
        }
    }
    for command in COMMANDS {
        let name = command.name;
        script.push_str(&format!(
            "complete -c watchd -n __fish_use_subcommand -a {name} -d '{}'\n",
            quoted(command.help)
        ));
        let seen = format!("complete -c watchd -n '__fish_seen_subcommand_from {name}'");
        if takes_names(command) {
            script.push_str(&format!("{seen} -a '({NAMES})'\n"));
        } else if takes_files(command) {
            script.push_str(&format!("{seen} -F\n"));
        } else if !choices(command).is_empty() {
            script.push_str(&format!("{seen} -a '{}'\n", choices(command).join(" ")));
        }
    }
    script
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_and_option_is_there_in_every_shell() {
        for script in [bash(), zsh(), fish()] {
            for command in COMMANDS {
                assert!(script.contains(command.name), "{}: {script}", command.name);
            }
            for flag in all_flags() {
                let (long, fish) = (format!("--{}", flag.name), format!("-l {} ", flag.name));
                assert!(script.contains(&long) || script.contains(&fish), "{}: {script}", flag.name);
            }
        }
    }

    #[test]
    fn what_a_command_offers_is_written_in_small_letters() {
        let of = |name: &str| {
            let command = COMMANDS.iter().find(|command| command.name == name).expect("there is such a command");
            (choices(command), takes_names(command), takes_files(command))
        };
        assert_eq!(of("munin").0, ["autoconf", "suggest", "config", "fetch"]);
        assert_eq!(of("status"), (Vec::new(), true, false));
        assert_eq!(of("restart"), (Vec::new(), true, false));
        assert!(of("why").1);
        assert_eq!(of("check"), (Vec::new(), false, true));
        assert!(of("class").0.contains(&"list") && of("help").0.contains(&"status"));
    }
}
