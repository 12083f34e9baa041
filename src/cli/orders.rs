//! `start stop restart reset pause resume upgrade shutdown`: what the daemon is told to do, one request for each name.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::process::ExitCode;
use std::time::Duration;

use watchd_probes::inventory::Inventory;

use super::given::Given;
use crate::classes::{LONGEST_GIVEN, canonify};
use crate::config::Scalar;
use crate::engine::control::{self, AskError, Reply, Request, Verb};
use crate::engine::{policy, upgrade};
use crate::model::Places;
use crate::sys::stderr;

/// How an order came out; the worst of several names counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Done {
    Well = 0,
    Failed = 1,
    NoSuchName = 2,
    NoDaemon = 3,
}

pub fn start(places: &Places, given: &Given) -> ExitCode {
    each(places, given, Verb::Start)
}

pub fn stop(places: &Places, given: &Given) -> ExitCode {
    each(places, given, Verb::Stop)
}

pub fn restart(places: &Places, given: &Given) -> ExitCode {
    each(places, given, Verb::Restart)
}

pub fn reset(places: &Places, given: &Given) -> ExitCode {
    each(places, given, Verb::Reset)
}

pub fn pause(places: &Places, given: &Given) -> ExitCode {
    each(places, given, Verb::Pause)
}

pub fn resume(places: &Places, given: &Given) -> ExitCode {
    each(places, given, Verb::Resume)
}

pub fn shutdown(places: &Places, given: &Given) -> ExitCode {
    if let Some(word) = given.words.first() {
        return super::wrong(&format!("cannot understand `{}`: shutdown takes no name", word.escape_debug()));
    }
    ExitCode::from(order(places, &Request { verb: Verb::Shutdown, name: "", lasts: None }) as u8)
}

/// With `--test`, says whether this program can take over from a daemon with these places.
pub fn upgrade(places: &Places, given: &Given) -> ExitCode {
    if let Some(word) = given.words.first() {
        return super::wrong(&format!("cannot understand `{}`: upgrade takes no name", word.escape_debug()));
    }
    if !given.has("test") {
        return ExitCode::from(order(places, &Request { verb: Verb::Upgrade, name: "", lasts: None }) as u8);
    }
    match policy::load(places, &Inventory::take()) {
        Ok(_) => {
            super::say(&format!("{}\n", upgrade::promise()));
            ExitCode::SUCCESS
        }
        Err(faults) => {
            // The daemon that asks reads this line.
            super::say(&faults.iter().map(|fault| format!("{fault}\n")).collect::<String>());
            ExitCode::from(2)
        }
    }
}

/// `class set NAME…` and `class clear NAME…`.
pub fn class(places: &Places, given: &Given, (verb, word): (Verb, &str), names: &[&str]) -> ExitCode {
    let lasts = match lasts(given) {
        Ok(lasts) => lasts,
        Err(code) => return code,
    };
    if lasts.is_some() && verb == Verb::ClassClear {
        return super::wrong("cannot clear for a time: `--for` goes with `class set`");
    }
    if names.is_empty() {
        return super::wrong(&format!("cannot {word}: name a class"));
    }
    let is_good = |name: &&str| (1..=LONGEST_GIVEN).contains(&name.len()) && !name.contains(char::is_whitespace);
    if let Some(name) = names.iter().find(|name| !is_good(name)) {
        let name = name.escape_debug();
        return super::wrong(&format!(
            "cannot {word} `{name}`: a class has letters, digits and `_`, at most {LONGEST_GIVEN}"
        ));
    }
    let mut worst = Done::Well;
    for name in names {
        worst = worst.max(order(places, &Request { verb, name: &canonify(name), lasts }));
    }
    ExitCode::from(worst.max(secure(places)) as u8)
}

fn lasts(given: &Given) -> Result<Option<Duration>, ExitCode> {
    given.value("for").map(|text| duration(text).ok_or(text)).transpose().map_err(|text| {
        super::wrong(&format!("cannot understand `--for {}`: write 90s, 30m, 2h or 7d", text.escape_debug()))
    })
}

fn each(places: &Places, given: &Given, verb: Verb) -> ExitCode {
    let lasts = match lasts(given) {
        Ok(lasts) => lasts,
        Err(code) => return code,
    };
    if given.words.is_empty() {
        return super::wrong(&format!("cannot {verb}: name a service; `watchd status` lists them"));
    }
    if let Some(name) = given.words.iter().find(|name| !control::is_name(name)) {
        return super::wrong(&format!("cannot {verb} `{}`: no service can be called that", name.escape_debug()));
    }
    let mut worst = Done::Well;
    for name in &given.words {
        worst = worst.max(order(places, &Request { verb, name, lasts }));
        if worst == Done::NoDaemon {
            break;
        }
    }
    ExitCode::from(worst.max(secure(places)) as u8)
}

/// Brings what the daemon has written about orders to the disk, so that they outlive a power failure. Done here, where a slow or hung disk holds
/// up nobody else.
fn secure(places: &Places) -> Done {
    for path in [places.services(), places.classes(), places.state_dir.clone()] {
        if let Err(error) = File::open(&path).and_then(|file| file.sync_all())
            && !is_beyond_us(&error)
        {
            let path = path.display();
            stderr::say(format_args!("watchd: it is done, but may not outlive a power failure: {path}: {error}"));
            return Done::Failed;
        }
    }
    Done::Well
}

/// It is not there, as without a daemon; or not ours to read, or on no disk: then the kernel brings it there within half a minute, or nobody can.
fn is_beyond_us(error: &io::Error) -> bool {
    use ErrorKind::{InvalidInput, NotFound, PermissionDenied, ReadOnlyFilesystem, Unsupported};
    matches!(error.kind(), NotFound | PermissionDenied | ReadOnlyFilesystem | InvalidInput | Unsupported)
}

fn order(places: &Places, request: &Request<'_>) -> Done {
    let (reply, text) = match control::ask(&places.control(), request) {
        Ok(answer) => answer,
        Err(error) => {
            stderr::say(format_args!("watchd: {error}"));
            return if matches!(error, AskError::NoDaemon) { Done::NoDaemon } else { Done::Failed };
        }
    };
    let text = super::quantity::plain(&text);
    match reply {
        Reply::Ok => {
            if !text.is_empty() {
                super::say(&format!("{text}\n"));
            }
            Done::Well
        }
        Reply::NoSuchName => {
            stderr::say(format_args!("watchd: {text}"));
            Done::NoSuchName
        }
        Reply::Failed | Reply::Denied | Reply::BadRequest => {
            stderr::say(format_args!("watchd: {text}"));
            Done::Failed
        }
    }
}

/// A time as it is written in a policy, of whole seconds.
fn duration(text: &str) -> Option<Duration> {
    let time = <Duration as Scalar>::parse(text)?;
    (time.subsec_nanos() == 0 && (1..=control::LONGEST).contains(&time.as_secs())).then_some(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_with_their_unit() {
        let cases = [
            ("90s", Some(90)),
            ("2h", Some(7200)),
            ("7d", Some(604_800)),
            ("0s", None),
            ("1500ms", None),
            ("90", None),
            ("h", None),
            ("", None),
            ("1.5h", None),
            ("-1h", None),
            ("9999d", None),
            ("99999999999999999999s", None),
        ];
        for (text, expected) in cases {
            assert_eq!(duration(text), expected.map(Duration::from_secs), "{text}");
        }
    }

    #[test]
    fn the_worst_of_several_names_counts() {
        assert!(Done::NoSuchName > Done::Failed && Done::Failed > Done::Well);
    }
}
