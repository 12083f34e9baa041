//! `watchd why NAME`: the state of a service, promise or class in sentences, and what led to it.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use super::class_list;
use super::events;
use super::given::Given;
use super::grid::{self, Paint, Tone};
use super::kept;
use super::learned;
use super::life::Life;
use super::quantity::{age, plain, since, stamp};
use super::status::{Look, paint};
use crate::agent::Promise;
use crate::engine::policy::Policy;
use crate::model::{ClassKind, Places, ServiceState};
use crate::store::board::text;
use crate::store::journal::JournalReader;
use crate::store::{BoardError, ClassRow, EventRow, PromiseRow, Reader, ServiceRow};
use crate::sys::{stderr, terminal};

/// How many events are told.
const EVENTS: usize = 10;

pub fn run(places: &Places, given: &Given) -> ExitCode {
    let [name] = given.words.as_slice() else {
        return super::wrong("cannot explain: name one service, promise, class or quantity that is learned");
    };
    let look = match Reader::open(&places.board()).and_then(|reader| Look::take(&reader)) {
        Ok(look) => look,
        Err(error) => {
            stderr::say(format_args!("watchd: {error}"));
            return ExitCode::from(if matches!(error, BoardError::Absent) { 3 } else { 4 });
        }
    };
    match page(places, &look, name, terminal::size().map_or(usize::MAX, |(columns, _)| columns)) {
        Some(page) => {
            super::say(&page);
            if matches!(look.life, Life::Dead | Life::Absent) { ExitCode::from(3) } else { ExitCode::SUCCESS }
        }
        None => {
            let name = name.escape_debug();
            super::wrong(&format!("cannot explain `{name}`: no service, promise or class is called that"))
        }
    }
}

/// All there is to say about a name, in lines of this width; none when nothing is called that.
pub fn page(places: &Places, look: &Look, name: &str, width: usize) -> Option<String> {
    // The journal goes further back than the board; without one the board must do.
    let journal = JournalReader::open(&places.events()).map(|journal| journal.last(u64::MAX)).unwrap_or_default();
    let rows = if journal.is_empty() { &look.snapshot.events } else { &journal };
    let policy = super::written::policy(places, &look.snapshot.header);
    explain(look, (rows, &policy), (name, &places.state_dir.join("files")), paint()).map(|page| wrap(&page, width))
}

/// All there is to say about a name; none when nothing is called that.
fn explain(
    look: &Look,
    (journal, policy): (&[EventRow], &Result<Policy, String>),
    (name, files): (&str, &Path),
    paint: Paint,
) -> Option<String> {
    let snapshot = &look.snapshot;
    let service = snapshot.service(name);
    let promise = snapshot.promises.iter().filter(|row| text(&row.id) == name);
    let class = snapshot.classes.iter().find(|row| text(&row.name) == name);
    let mut page = String::new();
    match look.life {
        Life::Alive => {}
        Life::Hung { age: silent } => {
            page.push_str(&format!("watchd hangs for {}; this was so before.\n", age(silent)));
        }
        Life::Dead | Life::Absent => page.push_str("watchd is dead; this was so when it died.\n"),
    }
    let before = page.len();
    if let Some(row) = service {
        page.push_str(&tell_service(look, row));
        page.push_str(&match policy {
            Ok(policy) => {
                let spec = policy.services.iter().find(|spec| spec.id == name);
                spec.map_or_else(String::new, |spec| kept::service(spec, policy, snapshot))
            }
            Err(cause) => format!("How it is kept cannot be told: {}.\n", plain(cause)),
        });
    }
    for row in promise {
        page.push_str(&tell_promise(look, row));
        if let Ok(policy) = policy {
            let same = |known: &&Promise| known.id == name && Some(known.kind()) == row.kind();
            let known = policy.promises.iter().find(same);
            page.push_str(&known.map_or_else(String::new, |known| kept::promise(known, policy, snapshot)));
        }
        page.push_str(&difference(files, name));
    }
    if let Some(row) = class {
        page.push_str(&tell_class(look, row));
        page.push_str(&policy.as_ref().map_or_else(|_| String::new(), |policy| kept::class(name, policy, snapshot)));
    }
    if let Some((row, finding)) = learned::find(snapshot, name) {
        page.push_str(&learned::tell((row, finding.filter(|_| class.is_none()))));
    }
    if page.len() == before {
        return None;
    }
    if class.is_none() {
        page.push_str(&tell_classes(&snapshot.classes, name));
    }
    let mut told: Vec<_> = journal.iter().rev().filter(|row| text(&row.subject) == name).take(EVENTS).collect();
    told.reverse();
    page.push_str(if told.is_empty() {
        "Nothing happened to it that is remembered.\n"
    } else {
        "What happened last:\n"
    });
    for row in told {
        page.push_str(&format!("  {}\n", events::line(row, paint)));
    }
    Some(page)
}

fn tell_service(look: &Look, row: &ServiceRow) -> String {
    let id = plain(text(&row.id));
    let pid = if row.pid > 0 { format!(" (pid {})", row.pid) } else { String::new() };
    let held = age(look.now.mono.saturating_sub(Duration::from_millis(row.since_mono_ms)));
    let (state, since) = (row.state().word(), stamp(row.since_wall_ms));
    let mut page = format!("{id} is {state}{pid} for {held}, since {since}{}.\n", meaning(row.state()));
    let reason = plain(text(&row.reason));
    if !reason.is_empty() {
        page.push_str(&format!("The last reason: {reason}.\n"));
    }
    let times = if row.restarts == 1 { "once".to_owned() } else { format!("{} times", row.restarts) };
    page.push_str(&format!("It was restarted {times}; "));
    page.push_str(&match (row.budget_left, row.budget_full) {
        (0, full) => format!("its budget of {full} restarts is spent and refills with time.\n"),
        (left, full) => format!("{left} of {full} restarts are left in its budget.\n"),
    });
    if row.guard != 1 {
        page.push_str("Its guard (`if`) does not hold now: it is watched, but neither started nor stopped.\n");
    }
    page
}

/// What follows from a state that does not speak for itself.
fn meaning(state: ServiceState) -> &'static str {
    match state {
        ServiceState::Stopped => ": it was asked to be",
        ServiceState::Starting | ServiceState::Ready | ServiceState::Stopping => "",
        ServiceState::Backoff => ": it died early and waits for its next start",
        ServiceState::Flapping => ": it died too often and is tried again slowly",
        ServiceState::Paused => ": it is left alone on request",
        ServiceState::Unknown => ": nothing can be told about it, so nothing is done",
        ServiceState::Down => ": nothing says how to start it",
        ServiceState::Unhealthy => ": it lives, but it does not pass its checks",
        ServiceState::Fight => ": somebody else has a hand in it, and watchd stands down",
        ServiceState::Waiting => ": it comes back by itself when what it needs is ready",
    }
}

fn tell_promise(look: &Look, row: &PromiseRow) -> String {
    let kind = row.kind().map_or("", |kind| kind.word());
    let when = match row.at_wall_ms {
        0 => "was not judged yet".to_owned(),
        at => format!("came out as {}, {} ago", row.outcome().word(), age(since(look.now.wall, at))),
    };
    format!("The {kind} promise {} {when}.\n", plain(text(&row.id)))
}

/// The last change of a file, as it was kept.
fn difference(files: &Path, name: &str) -> String {
    let is_id = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    let kept = if is_id { std::fs::read_to_string(files.join(format!("{name}.diff"))).ok() } else { None };
    kept.map_or_else(String::new, |text| {
        let lines: String = text.lines().map(|line| format!("  {}\n", plain(line))).collect();
        format!("The last difference:\n{lines}")
    })
}

fn tell_class(look: &Look, row: &ClassRow) -> String {
    let kind = row.kind().map_or("", |kind| kind.word());
    let is = if row.is_on() { "is true" } else { "is not true" };
    let held = match row.since_wall_ms() {
        0 => String::new(),
        at => format!(" for {}", age(since(look.now.wall, at))),
    };
    let name = plain(text(&row.name));
    let source = match row.kind() {
        Some(ClassKind::Hard) => "It is a fact about this host, found at the start.",
        Some(ClassKind::Time) => "It follows the clock.",
        Some(ClassKind::Measured) => "It follows what was measured in this cycle.",
        Some(ClassKind::Learned) => "It follows what is usual here at this time of the week.",
        Some(ClassKind::Outcome) => "It follows how a promise came out.",
        Some(ClassKind::State) => "It follows the state of a service.",
        Some(ClassKind::Defined) => "",
        Some(ClassKind::Set) => "`watchd class clear NAME` takes it back.",
        None => "",
    };
    let from = format!(" It comes from {}.", class_list::from(row, look));
    let from = if row.kind().is_none() { "" } else { &from };
    let space = if source.is_empty() { "" } else { " " };
    format!("The {kind} class {name} {is}{held}.{from}{space}{}\n", source.replace("NAME", &name))
}

/// Sentences in lines of this width; what is indented is a line of its own and stays one.
fn wrap(page: &str, width: usize) -> String {
    let mut wrapped = String::new();
    for line in page.lines() {
        if line.starts_with(' ') {
            wrapped.push_str(line);
            wrapped.push('\n');
            continue;
        }
        let words: Vec<_> = line.split(' ').map(|word| (Tone::Plain, word.to_owned())).collect();
        wrapped.push_str(&grid::flow(&words, " ", width, Paint::None));
    }
    wrapped
}

/// The classes that a service or promise makes, as far as they are true.
fn tell_classes(classes: &[ClassRow], name: &str) -> String {
    let prefix: String = name.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '_' }).collect();
    let own = |class: &&ClassRow| {
        let name = text(&class.name);
        class.is_on()
            && name
                .strip_prefix(&prefix)
                .or_else(|| name.strip_prefix("disk_")?.strip_prefix(&prefix))
                .is_some_and(|rest| rest.starts_with('_'))
    };
    let names: Vec<_> = classes.iter().filter(own).map(|class| plain(text(&class.name))).collect();
    if names.is_empty() { String::new() } else { format!("Its classes that are true: {}.\n", names.join(" ")) }
}
