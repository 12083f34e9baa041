//! `watchd top`: the host, its services and what happened to them, live on the whole terminal; over the board and the history, so
//! that it costs the daemon nothing.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use super::dashboard::{self, Order, POINTS, Past, SECONDS, Shown};
use super::given::Given;
use super::live::Live;
use super::screen::View;
use super::spark;
use super::status::{Health, Look, health_without, paint};
use super::why;
use crate::model::Places;
use crate::store::Reader;
use crate::store::history::HistoryReader;
use crate::sys::terminal::{self, Key};
use crate::sys::{clock, stderr};

/// How often it looks for a new page, and how often it draws without one.
const LOOK: Duration = Duration::from_millis(250);
const REDRAW: Duration = Duration::from_secs(1);

/// What is on the screen.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Page {
    Table,
    Why,
    Help,
}

/// What the keys have chosen.
struct Choice {
    page: Page,
    order: Order,
    /// The service that is selected, by its id: rows move.
    id: Option<String>,
    /// The first line of a page that is longer than the screen.
    first: usize,
}

pub fn run(places: &Places, given: &Given) -> ExitCode {
    if let Some(word) = given.words.first() {
        return super::wrong(&format!("cannot understand `{}`: top takes no name", word.escape_debug()));
    }
    if !std::io::stdin().is_terminal() || terminal::size().is_none() {
        return super::failed("cannot draw: this is no terminal; `watchd status` says the same once");
    }
    if terminal::is_dumb() {
        return super::failed("cannot draw: the terminal is dumb, as TERM says; `watchd status` says the same once");
    }
    let reader = match Reader::open(&places.board()) {
        Ok(reader) => reader,
        Err(error) => {
            stderr::say(format_args!("watchd: {error}"));
            return health_without(&error).into();
        }
    };
    let live = match Live::begin() {
        Ok(live) => live,
        Err(error) => return super::failed(&format!("cannot read the keyboard: {error}")),
    };
    turn_until_quit(places, reader, &live);
    ExitCode::SUCCESS
}

fn turn_until_quit(places: &Places, mut reader: Reader, live: &Live) {
    // What is not well is seen without looking for it; the others stay as they are in the policy.
    let mut choice = Choice { page: Page::Table, order: Order::Worst, id: None, first: 0 };
    let mut shown = None;
    let mut ids = Vec::new();
    loop {
        let now = clock::now().mono;
        let size = terminal::size().unwrap_or((80, 24));
        let state = (reader.generation(), size);
        if shown.is_none_or(|(before, at)| before != state || now.saturating_sub(at) >= REDRAW) {
            if let Ok(look) = Look::take(&reader) {
                ids = show(places, &look, &mut choice, (live, size));
                // A daemon that was started again has a board of its own.
                if look.health(&[]) != Health::Well
                    && let Ok(fresh) = Reader::open(&places.board())
                    && fresh.generation() > 0
                {
                    reader = fresh;
                }
            }
            shown = Some(((reader.generation(), size), now));
        }
        match live.key(LOOK) {
            Ok(Key::None) => {}
            Ok(Key::End) | Err(_) => return,
            Ok(key) => {
                if !choice.obey(key, &ids) {
                    return;
                }
                shown = None;
            }
        }
    }
}

/// Draws once; gives the services in their order.
fn show(
    places: &Places,
    look: &Look,
    choice: &mut Choice,
    (live, (width, height)): (&Live, (usize, usize)),
) -> Vec<String> {
    let view = View {
        snapshot: &look.snapshot,
        life: look.life,
        door: look.door,
        now: look.now,
        width,
        paint: paint(),
        names: &[],
    };
    let ids = dashboard::ordered(&view, choice.order);
    let selected = choice.id.as_ref().and_then(|id| ids.iter().position(|known| known == id)).unwrap_or(0);
    choice.id = ids.get(selected).cloned();
    let room = height.saturating_sub(1);
    match choice.page {
        Page::Table => {
            let past = past(places, look.now.wall.as_secs());
            let page = dashboard::draw(&Shown { view, past: &past, height: room, ids: &ids, selected });
            let footer = format!("q quits  j k select  enter why  s order: {}  ? help", choice.order.word());
            live.show(&page, &super::grid::cut(&footer, width), (width, height));
        }
        Page::Why | Page::Help => {
            let page = match (choice.page, &choice.id) {
                (Page::Why, Some(id)) => why::page(places, look, id, width).unwrap_or_default(),
                _ => dashboard::help(),
            };
            choice.first = choice.first.min(page.lines().count().saturating_sub(room));
            let lines: Vec<_> = page.lines().skip(choice.first).collect();
            live.show(&lines.join("\n"), &super::grid::cut("q goes back  j k scroll", width), (width, height));
        }
    }
    ids
}

/// The last minutes; what has no history is drawn as nothing.
fn past(places: &Places, now_s: u64) -> Past {
    let Ok(history) = HistoryReader::open(&places.history()) else { return Past::default() };
    let series = |metric: &str| spark::past(&history, metric, (POINTS, SECONDS), now_s);
    let work = ["cpu.user", "cpu.nice", "cpu.system", "cpu.irq", "cpu.softirq", "cpu.steal"].map(series);
    let rest = ["cpu.idle", "cpu.iowait"].map(series);
    let (total, available) = (series("memory.total"), series("memory.available"));
    let used = total.iter().filter_map(|(at, total)| {
        let (_, available) = available.iter().find(|(moment, _)| moment == at)?;
        (*total > 0.0).then(|| (*at, (total - available) / total * 100.0))
    });
    Past { cpu: spark::share(&work, &rest), memory: used.collect(), load: series("load.one") }
}

impl Choice {
    /// Does what a key means; false when it ends everything.
    fn obey(&mut self, key: Key, ids: &[String]) -> bool {
        let is_table = self.page == Page::Table;
        match key {
            Key::Byte(0x03 | 0x04) => return false,
            Key::Byte(b'q' | 0x1b) if is_table => return false,
            Key::Byte(b'q' | 0x1b) => (self.page, self.first) = (Page::Table, 0),
            Key::Byte(b'\r' | b'\n') if is_table && self.id.is_some() => (self.page, self.first) = (Page::Why, 0),
            Key::Byte(b'\r' | b'\n') => (self.page, self.first) = (Page::Table, 0),
            Key::Byte(b'?' | b'h') => (self.page, self.first) = (Page::Help, 0),
            Key::Byte(b's') if is_table => self.order = self.order.next(),
            Key::Down | Key::Byte(b'j') if is_table => self.select(ids, 1),
            Key::Up | Key::Byte(b'k') if is_table => self.select(ids, -1),
            Key::Down | Key::Byte(b'j' | b' ') => self.first = self.first.saturating_add(1),
            Key::Up | Key::Byte(b'k') => self.first = self.first.saturating_sub(1),
            _ => {}
        }
        true
    }

    fn select(&mut self, ids: &[String], step: isize) {
        let place = self.id.as_ref().and_then(|id| ids.iter().position(|known| known == id)).unwrap_or(0);
        let place = place.saturating_add_signed(step).min(ids.len().saturating_sub(1));
        self.id = ids.get(place).cloned();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_move_within_the_services_and_leave_one_page_at_a_time() {
        let ids = ["a", "b", "c"].map(str::to_owned);
        let mut choice = Choice { page: Page::Table, order: Order::Policy, id: Some("a".to_owned()), first: 0 };
        let press = |choice: &mut Choice, key: Key, expect: &str| {
            assert!(choice.obey(key, &ids));
            assert_eq!(choice.id.as_deref(), Some(expect));
        };
        press(&mut choice, Key::Up, "a");
        press(&mut choice, Key::Down, "b");
        press(&mut choice, Key::Byte(b'j'), "c");
        press(&mut choice, Key::Down, "c");
        press(&mut choice, Key::Byte(b'k'), "b");
        press(&mut choice, Key::Byte(b'\n'), "b");
        assert!(choice.page == Page::Why);
        press(&mut choice, Key::Down, "b");
        assert_eq!(choice.first, 1);
        press(&mut choice, Key::Byte(b'q'), "b");
        assert!(choice.page == Page::Table);
        press(&mut choice, Key::Byte(b's'), "b");
        assert!(choice.order == Order::Worst && !choice.obey(Key::Byte(0x03), &ids));
        assert!(!choice.obey(Key::Byte(b'q'), &ids));
        let mut none = Choice { page: Page::Table, order: Order::Policy, id: None, first: 0 };
        assert!(none.obey(Key::Down, &[]) && none.id.is_none() && none.obey(Key::Byte(b'\n'), &[]));
    }
}
