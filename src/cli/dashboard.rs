//! What `watchd top` shows: a pure function from a copy of the board, the past and what is selected to lines of a given size.
//!
//! From top to bottom: the daemon, the host with the last ten minutes as sparklines, services, disks, broken promises, classes,
//! events. The services get what the others leave; each of the others gives way when there is little room.

use std::cmp::Reverse;

use super::figures;
use super::grid::{Paint, Tone, cut, visible};
use super::quantity::{or_dash, share, size};
use super::screen::{self, View};
use super::spark::{self, Series};
use crate::store::ServiceRow;
use crate::store::board::text;

/// How far back the sparklines go.
pub const SECONDS: u64 = 600;
/// The widest a sparkline is: as many points as the finest history has in that time.
pub const POINTS: usize = 60;
/// Lines of each at most.
const DISKS: usize = 5;
const PROMISES: usize = 3;
const CLASSES: usize = 2;
const EVENTS: usize = 6;
/// Lines that services have before others have more than one.
const SERVICES: usize = 6;

/// What was, for the sparklines.
#[derive(Default)]
pub struct Past {
    pub cpu: Series,
    pub memory: Series,
    pub load: Series,
}

/// The order of services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    Policy,
    Worst,
    Cpu,
    Memory,
    Name,
}

impl Order {
    pub fn next(self) -> Self {
        match self {
            Self::Policy => Self::Worst,
            Self::Worst => Self::Cpu,
            Self::Cpu => Self::Memory,
            Self::Memory => Self::Name,
            Self::Name => Self::Policy,
        }
    }

    pub fn word(self) -> &'static str {
        match self {
            Self::Policy => "policy",
            Self::Worst => "state",
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Name => "name",
        }
    }
}

/// The ids of the services in this order; equals stay as they are in the policy.
pub fn ordered(view: &View<'_>, order: Order) -> Vec<String> {
    let mut rows: Vec<&ServiceRow> = view.snapshot.services.iter().collect();
    let uses = |row: &ServiceRow| figures::service(view.snapshot, text(&row.id));
    let high = |one: Option<f64>, other: Option<f64>| other.unwrap_or(-1.0).total_cmp(&one.unwrap_or(-1.0));
    match order {
        Order::Policy => {}
        Order::Worst => rows.sort_by_key(|row| Reverse(row.state().tone())),
        Order::Cpu => rows.sort_by(|one, other| high(uses(one).cpu_pct, uses(other).cpu_pct)),
        Order::Memory => rows.sort_by(|one, other| high(uses(one).rss, uses(other).rss)),
        Order::Name => rows.sort_by(|one, other| text(&one.id).cmp(text(&other.id))),
    }
    rows.iter().map(|row| text(&row.id).to_owned()).collect()
}

/// What is shown of all that could be.
pub struct Shown<'a> {
    pub view: View<'a>,
    pub past: &'a Past,
    pub height: usize,
    /// The services in their order, and which of them is selected.
    pub ids: &'a [String],
    pub selected: usize,
}

/// Draws everything, in no more lines than there are.
pub fn draw(shown: &Shown<'_>) -> String {
    let view = &shown.view;
    // The whole head where there is room: faults of the configuration and addresses stand behind a path of any length.
    let head = (shown.height / 4).max(2);
    let mut top: Vec<String> = screen::head(view).lines().take(head).map(str::to_owned).collect();
    top.extend(host(shown));
    let disks = lines(screen::disks(view));
    let promises = lines(screen::promises(view));
    let classes = lines(screen::classes(view));
    let events = lines(screen::events(view, EVENTS));
    let services = services(shown);
    // What everybody has for sure, then who gets the rest.
    let free = shown.height.saturating_sub(top.len());
    let tall = services.iter().map(|row| row.lines().count()).sum::<usize>().max(1);
    let wanted = tall.min(SERVICES + 1);
    let mut rest = free.saturating_sub(wanted + 1);
    let mut give = |block: &[String], least: usize, most: usize| {
        let lines = block.len().min(most).min(rest.saturating_sub(1));
        let lines = if lines < least { 0 } else { lines };
        rest -= if lines == 0 { 0 } else { lines + 1 };
        lines
    };
    // The head of a table without a line below it says nothing.
    let (disk, promise) = (give(&disks, 2, DISKS + 1), give(&promises, 2, PROMISES + 1));
    let (class, event) = (give(&classes, 1, CLASSES), give(&events, 2, EVENTS + 1));
    let room = wanted + rest;
    let mut page = top;
    for block in [
        window(&services, (room, view.width), shown.selected),
        first(&disks, disk),
        first(&promises, promise),
        first(&classes, class),
        newest(&events, event),
    ] {
        if !block.is_empty() {
            page.push(String::new());
            page.extend(block);
        }
    }
    page.truncate(shown.height);
    page.join("\n")
}

fn lines(block: Option<String>) -> Vec<String> {
    block.unwrap_or_default().lines().map(str::to_owned).collect()
}

/// The first lines; one that is not the last ends with `…`.
fn first(block: &[String], count: usize) -> Vec<String> {
    let mut lines: Vec<String> = block.iter().take(count).cloned().collect();
    if let Some(last) = lines.last_mut().filter(|_| count < block.len()) {
        last.push_str(" …");
    }
    lines
}

/// The head, and the last lines below it.
fn newest(block: &[String], count: usize) -> Vec<String> {
    let Some((head, rows)) = block.split_first().filter(|_| count > 1) else { return Vec::new() };
    std::iter::once(head).chain(rows.iter().skip(rows.len().saturating_sub(count - 1))).cloned().collect()
}

/// The head, and as many rows around the selected one as there is room for; which they are, where that is not all.
fn window(rows: &[String], (room, width): (usize, usize), selected: usize) -> Vec<String> {
    let Some((head, rows)) = rows.split_first() else { return vec!["no services in the policy".to_owned()] };
    let room = room.saturating_sub(1).max(1);
    let height = |place: usize| rows.get(place).map_or(0, |row| row.lines().count());
    let (mut first, mut used) = (selected, height(selected));
    while first > 0 && used + height(first - 1) <= room {
        first -= 1;
        used += height(first);
    }
    let (mut shown, mut end): (Vec<String>, usize) = (Vec::new(), first);
    for row in rows.iter().skip(first) {
        if end > first && shown.len() + height(end) > room {
            break;
        }
        shown.extend(row.lines().map(str::to_owned));
        end += 1;
    }
    shown.truncate(room);
    let mut head = head.trim_end().to_owned();
    let which = format!("  {}-{end} of {}", first + 1, rows.len());
    if end - first < rows.len() && visible(&head) + which.len() <= width {
        head.push_str(&which);
    }
    shown.insert(0, head);
    shown
}

/// One line each: how many services are how, and what the host is doing.
fn host(shown: &Shown<'_>) -> Vec<String> {
    let view = &shown.view;
    let host = figures::host(view.snapshot);
    let memory = share(host.memory_used, host.memory_total);
    let wide = view.width.saturating_sub(36).min(POINTS);
    let line = |name: &str, number: String, (series, full): (&Series, f64), beside: String| {
        let drawn = spark::draw(series, wide, SECONDS, (view.now.wall.as_secs(), full));
        let drawn = view.paint.paint(Tone::Good, &drawn);
        let text = cut(&format!("{name:<7}{number:>6}  "), view.width);
        let beside = cut(&beside, view.width.saturating_sub(15 + wide + 2));
        format!("{text}{drawn}  {beside}").trim_end().to_owned()
    };
    let percent = |share: Option<f64>| or_dash(share, |share| format!("{share:.0}%"));
    let of = format!("{} of {}", or_dash(host.memory_used, size), or_dash(host.memory_total, size));
    let [one, five, fifteen] = host.load.map(|load| or_dash(load, |load| format!("{load:.2}")));
    let processors = f64::from(u32::try_from(figures::processors(view.snapshot)).unwrap_or(1));
    vec![
        line("cpu", percent(host.cpu_pct), (&shown.past.cpu, 100.0), "last 10 minutes".to_owned()),
        line("memory", percent(memory), (&shown.past.memory, 100.0), of),
        line("load", one, (&shown.past.load, processors), format!("{five} {fifteen}")),
    ]
}

/// The table of services in its order, with a mark at the selected one.
fn services(shown: &Shown<'_>) -> Vec<String> {
    let view = &shown.view;
    let table = View { width: view.width.saturating_sub(2), names: &[], ..*view };
    let drawn = screen::services_of(&table, shown.ids).unwrap_or_default();
    let is_selected = |number: usize| number.checked_sub(1) == Some(shown.selected);
    let mark = |number: usize| match view.paint {
        _ if !is_selected(number) => "  ",
        Paint::Colours => "\x1b[7m>\x1b[0m ",
        Paint::None => "> ",
    };
    // A row may have a second line, for its reason.
    let with = |(number, row): (usize, &String)| format!("{}{}", mark(number), row.trim_end().replace('\n', "\n  "));
    drawn.iter().enumerate().map(with).collect()
}

/// What the keys do.
pub fn help() -> String {
    let keys = [
        ("j, down", "the next service"),
        ("k, up", "the one before"),
        ("enter", "why it is as it is, and what happened to it"),
        ("s", "another order of services: policy, state, cpu, memory, name"),
        ("^L", "draws the screen anew when something else has written on it"),
        ("?", "this"),
        ("q, ^C", "ends this, and nothing else: the daemon does not notice"),
    ];
    let mut page = String::from("watchd top\n\n");
    for (key, does) in keys {
        page.push_str(&format!("  {key:<10}{does}\n"));
    }
    page.push_str("\nNothing can be changed from here; `watchd restart NAME` and its like do that.\n");
    page
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::life::Life;
    use crate::cli::screen::tests::look;
    use crate::cli::status::Look;
    use crate::store::ClassRow;
    use crate::store::board::fixed;

    fn page(width: usize, height: usize, selected: usize) -> String {
        drawn(&look(Life::Alive), (width, height), selected)
    }

    fn drawn(look: &Look, (width, height): (usize, usize), selected: usize) -> String {
        let view = View {
            snapshot: &look.snapshot,
            life: look.life,
            door: None,
            now: look.now,
            width,
            paint: Paint::None,
            names: &[],
        };
        let past = Past { cpu: vec![(look.now.wall.as_secs() - 5, 50.0)], ..Past::default() };
        let ids = ordered(&view, Order::Worst);
        draw(&Shown { view, past: &past, height, ids: &ids, selected })
    }

    #[test]
    fn a_usual_terminal_shows_everything() {
        let page = page(80, 23, 0);
        for part in [
            "watchd 0.1.0 on alpha",
            "cpu       19%",
            "▅",
            "> database",
            "  web",
            "DISK",
            "command tidy  failed",
            "load_high",
            "1m 5s",
        ] {
            assert!(page.contains(part), "{part}:\n{page}");
        }
        assert!(page.find("database") < page.find("web"), "what is bad comes first:\n{page}");
    }

    #[test]
    fn where_it_listens_and_what_was_refused_is_told_beside_any_path() {
        let mut look = look(Life::Alive);
        let header = &mut look.snapshot.header;
        header.config_file = fixed(&format!("/etc/{}/watchd.toml", "long/".repeat(20)));
        for part in ["/watchd.toml ok\n", "http 127.0.0.1:4950"] {
            assert!(drawn(&look, (80, 23), 0).contains(part), "{part}:\n{}", drawn(&look, (80, 23), 0));
        }
        let header = &mut look.snapshot.header;
        (header.config_ok, header.config_error) = (0, fixed("line 7: no such key"));
        for part in [
            "/watchd.toml REFUSED, the last good one holds\n",
            "line 7: no such key",
            "http 127.0.0.1:4950",
            "> database",
        ] {
            assert!(drawn(&look, (80, 23), 0).contains(part), "{part}:\n{}", drawn(&look, (80, 23), 0));
        }
    }

    #[test]
    fn no_size_is_too_small_or_too_large() {
        for width in [20, 40, 60, 80, 200] {
            for height in [1, 5, 10, 23, 24, 60] {
                for selected in [0, 1, 7] {
                    let page = page(width, height, selected);
                    assert!(page.lines().count() <= height, "{width}x{height}:\n{page}");
                    let widest = page.lines().map(|line| line.chars().count()).max().unwrap_or(0);
                    assert!(widest <= width.max(38), "{width}x{height}: {widest}\n{page}");
                }
            }
        }
    }

    #[test]
    fn the_selected_service_is_always_in_sight() {
        for lines in [1, 2] {
            let row = |n: usize| if lines == 2 { format!("row {n}\n  why") } else { format!("row {n}") };
            let block: Vec<String> = std::iter::once("HEAD".to_owned()).chain((0..50).map(row)).collect();
            let fit = 6 / lines;
            for selected in 0..50_usize {
                let shown = window(&block, (7, 80), selected);
                assert!(shown.len() == 7 && shown.contains(&format!("row {selected}")), "{selected}: {shown:?}");
                let first = (selected + 1).saturating_sub(fit);
                assert_eq!(shown[0], format!("HEAD  {}-{} of 50", first + 1, first + fit));
                assert_eq!(shown[1], format!("row {first}"));
            }
            assert_eq!(window(&block, (1, 80), 7).len(), 2, "a head and what fits of it");
            assert_eq!(window(&block[..4], (7, 80), 0)[0], "HEAD");
            assert_eq!(window(&block, (7, 12), 0)[0], "HEAD", "there is no room to say it");
        }
    }

    #[test]
    fn the_mark_stands_at_the_selected_service_however_narrow_it_is() {
        let look = look(Life::Alive);
        for (selected, name) in [(0, "> database"), (1, "> web")] {
            let page = drawn(&look, (30, 30), selected);
            assert!(page.contains(name) && page.matches("> ").count() == 1, "{page}");
            assert!(page.contains("\n    exit status 1 after"), "{page}");
        }
    }

    #[test]
    fn classes_that_need_several_lines_are_not_hidden() {
        let mut look = look(Life::Alive);
        let row = *look.snapshot.classes.last().expect("there is one");
        look.snapshot
            .classes
            .extend((0..30).map(|n| ClassRow { name: fixed(&format!("service_number_{n}_down")), ..row }));
        let page = drawn(&look, (80, 40), 0);
        assert!(
            page.contains("CLASSES  load_high") && page.contains("service_number_2_down") && page.contains(" …\n"),
            "{page}"
        );
    }

    #[test]
    fn a_table_is_cut_where_it_does_not_fit() {
        let block: Vec<String> = ["HEAD", "a", "b"].map(str::to_owned).into();
        assert_eq!(first(&block, 2), ["HEAD", "a …"]);
        assert_eq!(first(&block, 3), ["HEAD", "a", "b"]);
        assert!(first(&block, 0).is_empty());
    }
}
