//! `watchd status`: what the board says, as a table, as one line for Nagios, or live; the daemon is not asked.
//!
//! It answers while the daemon hangs or is dead, with the age of what it shows, and tells so by its exit code.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use super::given::Given;
use super::grid::Paint;
use super::life::{self, Life};
use super::live::Live;
use super::{nagios, screen};
use crate::export::{Page, json};
use crate::model::{Now, Places, ServiceState, Tone};
use crate::store::board::text;
use crate::store::{BoardError, Reader, ServiceRow, Snapshot};
use crate::sys::terminal::{self, Key};
use crate::sys::{clock, daemon, stderr};

/// The width where there is no terminal to ask.
const WIDTH: usize = 80;
/// How often the live view looks for a new page.
const LOOK: Duration = Duration::from_millis(250);
/// How often it redraws without one, for the ages.
const REDRAW: Duration = Duration::from_secs(1);

/// How all is, which is the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    Well = 0,
    /// Something that was promised does not hold.
    Unwell = 1,
    NoDaemon = 3,
    /// The daemon hangs, or has no way to see how a service is.
    CannotTell = 4,
}

impl From<Health> for ExitCode {
    fn from(health: Health) -> Self {
        Self::from(health as u8)
    }
}

/// One look at the board and at the process that writes it.
pub struct Look {
    pub snapshot: Snapshot,
    pub life: Life,
    /// What is wrong with the door.
    pub door: Option<&'static str>,
    pub now: Now,
}

impl Look {
    /// Copies the newest page.
    pub fn take(reader: &Reader) -> Result<Self, BoardError> {
        let mut snapshot = Snapshot::default();
        reader.read(&mut snapshot)?;
        let now = clock::now();
        let header = &snapshot.header;
        let boot_id = daemon::boot_id().map_err(BoardError::Io)?;
        let seen = life::writer(header).and_then(|writer| daemon::look(writer.pid));
        let life = Life::judge(header, &boot_id, seen, now, life::patience_of_status(header));
        let door = life::door_trouble(header).filter(|_| life == Life::Alive);
        Ok(Self { snapshot, life, door, now })
    }

    /// Judges everything, or only the services that are named.
    pub fn health(&self, names: &[String]) -> Health {
        match self.life {
            Life::Dead | Life::Absent => return Health::NoDaemon,
            Life::Hung { .. } => return Health::CannotTell,
            Life::Alive => {}
        }
        let chosen = |id: &str| names.is_empty() || names.iter().any(|name| name == id);
        let snapshot = &self.snapshot;
        let host_is_bad = names.is_empty()
            && (snapshot.header.config_ok != 1
                || snapshot.header.state_ok != 1
                || snapshot.promises.iter().any(|promise| promise.outcome().is_broken()));
        let states = || snapshot.services.iter().filter(|row| chosen(text(&row.id))).map(ServiceRow::state);
        match () {
            () if host_is_bad || states().any(|state| state.tone() == Tone::Bad) => Health::Unwell,
            () if states().any(|state| state == ServiceState::Unknown) => Health::CannotTell,
            () => Health::Well,
        }
    }

    /// How many services are in a state.
    pub fn count(&self, state: ServiceState) -> usize {
        self.snapshot.services.iter().filter(|row| row.state() == state).count()
    }
}

/// The health that a board which cannot be read stands for.
pub fn health_without(error: &BoardError) -> Health {
    if matches!(error, BoardError::Absent) { Health::NoDaemon } else { Health::CannotTell }
}

pub fn run(places: &Places, given: &Given) -> ExitCode {
    let reader = match Reader::open(&places.board()) {
        Ok(reader) => reader,
        Err(error) => return without(places, given, &error),
    };
    let look = match Look::take(&reader) {
        Ok(look) => look,
        Err(error) => return without(places, given, &error),
    };
    let names = match super::written::spread(&given.words, places, &look.snapshot.header) {
        Ok(names) => names,
        Err(cause) => return super::wrong(&format!("cannot show that group: {cause}")),
    };
    if given.has("names") {
        let ids = look.snapshot.services.iter().map(|row| text(&row.id));
        let chosen = ids.filter(|id| names.is_empty() || names.iter().any(|name| name == id));
        super::say(&chosen.map(|id| format!("{id}\n")).collect::<String>());
        return look.health(&names).into();
    }
    if let Some(name) = names.iter().find(|name| look.snapshot.service(name).is_none()) {
        return super::wrong(&format!("cannot show `{}`: no such service", name.escape_debug()));
    }
    if given.has("nagios") {
        return nagios::tell(&look);
    }
    if given.has("json") {
        return tell_json(look, &names);
    }
    let can_draw = std::io::stdin().is_terminal() && terminal::size().is_some() && !terminal::is_dumb();
    if given.has("watch") && can_draw {
        return watch(places, &reader, &names);
    }
    super::say(&draw(&look, &names, width(), paint()));
    look.health(&names).into()
}

/// The whole document, of whose services only those named stay.
fn tell_json(mut look: Look, names: &[String]) -> ExitCode {
    look.snapshot.services.retain(|row| names.is_empty() || names.iter().any(|name| name == text(&row.id)));
    let mut page = Page::new(Page::LIMIT);
    json::status(&look.snapshot, look.now, &mut page);
    super::say(&String::from_utf8_lossy(page.bytes()));
    look.health(names).into()
}

/// What there is to say without a board.
fn without(places: &Places, given: &Given, error: &BoardError) -> ExitCode {
    let message = match error {
        BoardError::Absent => format!("no daemon runs with {}", places.run_dir.display()),
        error => error.to_string(),
    };
    if given.has("nagios") {
        return nagios::unknown(&message);
    }
    stderr::say(format_args!("watchd: {message}"));
    health_without(error).into()
}

fn draw(look: &Look, names: &[String], width: usize, paint: Paint) -> String {
    let Look { snapshot, life, door, now } = look;
    screen::draw(&screen::View { snapshot, life: *life, door: *door, now: *now, width, paint, names })
}

fn width() -> usize {
    terminal::size().map_or(WIDTH, |(columns, _)| columns)
}

/// Colours on a terminal that can show them, unless NO_COLOR says otherwise.
pub fn paint() -> Paint {
    let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let unwanted = unwanted || terminal::is_dumb();
    if std::io::stdout().is_terminal() && !unwanted { Paint::Colours } else { Paint::None }
}

/// The live view: on a screen of its own, which is gone when it ends.
fn watch(places: &Places, reader: &Reader, names: &[String]) -> ExitCode {
    match Live::begin() {
        Ok(live) => watch_until_quit(places, reader, names, &live).into(),
        Err(error) => super::failed(&format!("cannot read the keyboard: {error}")),
    }
}

fn watch_until_quit(places: &Places, reader: &Reader, names: &[String], live: &Live) -> Health {
    let mut shown = None;
    let mut health = Health::CannotTell;
    let mut newer = None;
    loop {
        let reader = newer.as_ref().unwrap_or(reader);
        let now = clock::now().mono;
        let size = terminal::size().unwrap_or((WIDTH, 24));
        let state = (reader.generation(), size);
        if shown.is_none_or(|(before, at)| before != state || now.saturating_sub(at) >= REDRAW) {
            if let Ok(look) = Look::take(reader) {
                health = look.health(names);
                live.show(&draw(&look, names, size.0, paint()), "q quits", size);
            }
            shown = Some((state, now));
        }
        match live.key(LOOK) {
            Ok(Key::None) => {}
            Ok(Key::Byte(b'q' | 0x03 | 0x04 | 0x1b)) | Ok(Key::End) | Err(_) => return health,
            Ok(_) => shown = None,
        }
        // A daemon that was started again has a board of its own.
        if health != Health::Well
            && let Ok(fresh) = Reader::open(&places.board())
            && fresh.generation() > 0
        {
            newer = Some(fresh);
        }
    }
}
