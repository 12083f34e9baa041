//! The table that `watchd status` shows: a pure function from a copy of the board to text of a given width.
//!
//! 24 lines of 80 columns show a small host whole; narrower terminals lose the columns that matter least.

use std::time::Duration;

use super::figures;
use super::grid::{self, Cell, Column, Paint, Side, Tone};
use super::life::{self, Life};
use super::quantity::{age, or_dash, plain, share, since, size};
use crate::model::{ClassKind, Now, PromiseKind, Severity};
use crate::store::board::text;
use crate::store::{ClassRow, PromiseRow, ServiceRow, Snapshot};

/// How many of the newest events are shown.
const EVENTS: usize = 5;

/// What to show, and how.
pub struct View<'a> {
    pub snapshot: &'a Snapshot,
    pub life: Life,
    /// What is wrong with the door.
    pub door: Option<&'static str>,
    pub now: Now,
    pub width: usize,
    pub paint: Paint,
    /// Only these services; empty is everything.
    pub names: &'a [String],
}

/// Whether a promise is told by itself: it came out badly, and no service's row says so already.
pub fn is_told(promise: &PromiseRow, snapshot: &Snapshot) -> bool {
    let is_service = || promise.kind() == Some(PromiseKind::Process) && snapshot.service(text(&promise.id)).is_some();
    promise.outcome().is_broken() && !is_service()
}

/// Draws the whole table.
pub fn draw(view: &View<'_>) -> String {
    let mut page = String::new();
    if view.names.is_empty() {
        page.push_str(&head(view));
        page.push_str(&host(view));
    }
    let mut add = |table: Option<String>| {
        if let Some(table) = table {
            if !page.is_empty() {
                page.push('\n');
            }
            page.push_str(&table);
        }
    };
    add(services(view));
    if view.names.is_empty() {
        add(disks(view));
        add(promises(view));
        add(classes(view));
        add(events(view, EVENTS));
    }
    page
}

pub fn head(view: &View<'_>) -> String {
    let header = &view.snapshot.header;
    let heartbeat = age(life::heartbeat_age(header, view.now));
    let up = view.now.mono.saturating_sub(Duration::from_millis(header.started_mono_ms));
    let name = format!("watchd {} on {}", plain(text(&header.version)), plain(text(&header.host)));
    let state = match view.life {
        Life::Alive => (Tone::Good, format!("up {}", age(up))),
        Life::Hung { .. } => (Tone::Bad, format!("HUNG (pid {})", header.pid)),
        Life::Dead | Life::Absent => (Tone::Bad, format!("DEAD (pid {} is gone)", header.pid)),
    };
    let mut pieces = vec![(Tone::Bold, name), state];
    pieces.extend(view.door.map(|trouble| (Tone::Bad, trouble.to_owned())));
    pieces.push((Tone::Plain, format!("cycle {}", age(Duration::from_millis(header.cycle_ms)))));
    pieces.push((Tone::Plain, format!("heartbeat {heartbeat} ago")));
    let mut page = grid::flow(&pieces, ", ", view.width, view.paint);
    let file = match plain(text(&header.config_file)) {
        file if file.is_empty() => "built in".to_owned(),
        file => file,
    };
    let (tone, how) = match header.config_ok {
        1 => (Tone::Plain, "ok"),
        _ => (Tone::Bad, "REFUSED, the last good one holds"),
    };
    let room = view.width.saturating_sub("config  ".len() + how.len() + 2);
    let mut pieces = vec![(tone, format!("config {} {how}", grid::cut_path(&file, room)))];
    if header.config_ok != 1 {
        pieces.push((Tone::Bad, plain(text(&header.config_error))));
    }
    if header.state_ok != 1 {
        pieces.push((Tone::Bad, "state directory UNWRITABLE".to_owned()));
    }
    match text(&header.listening) {
        "" => pieces.push((Tone::Plain, "no listener".to_owned())),
        listening => pieces.extend(listening.split(", ").map(|address| (Tone::Plain, plain(address)))),
    }
    page.push_str(&grid::flow(&pieces, ", ", view.width, view.paint));
    if let Some(hint) = hint(view.life) {
        let words: Vec<_> = hint.split(' ').map(|word| (Tone::Odd, word.to_owned())).collect();
        page.push_str(&grid::flow(&words, " ", view.width, view.paint));
    }
    page
}

/// What somebody can do who finds it like this.
fn hint(life: Life) -> Option<&'static str> {
    match life {
        Life::Alive => None,
        Life::Hung { .. } => {
            Some("what follows is as old as the heartbeat; `watchd keepalive` ends and starts it, services stay")
        }
        Life::Dead | Life::Absent => {
            Some("what follows is as old as the heartbeat; `watchd keepalive` starts it and takes up what runs")
        }
    }
}

fn host(view: &View<'_>) -> String {
    let host = figures::host(view.snapshot);
    let load = host.load.map(|load| or_dash(load, |load| format!("{load:.2}"))).join(" ");
    let of = |name: &str, used: Option<f64>, total: Option<f64>| {
        let share = share(used, total).map_or_else(String::new, |share| format!(" ({share:.0}%)"));
        format!("{name} {} of {}{share}", or_dash(used, size), or_dash(total, size))
    };
    let mut pieces = vec![
        format!("load {load}"),
        format!("cpu {}", or_dash(host.cpu_pct, |busy| format!("{busy:.0}%"))),
        of("memory", host.memory_used, host.memory_total),
    ];
    if host.swap_total.is_some_and(|total| total > 0.0) {
        pieces.push(of("swap", host.swap_used, host.swap_total));
    }
    let pieces: Vec<_> = pieces.into_iter().map(|piece| (Tone::Plain, piece)).collect();
    grid::flow(&pieces, "   ", view.width, view.paint)
}

fn services(view: &View<'_>) -> Option<String> {
    let ids = view.snapshot.services.iter().map(|row| text(&row.id).to_owned());
    let chosen: Vec<_> = ids.filter(|id| view.names.is_empty() || view.names.contains(id)).collect();
    services_of(view, &chosen).map(|rows| rows.concat())
}

/// The table of these services, in this order: its head, and the rows.
pub fn services_of(view: &View<'_>, ids: &[String]) -> Option<Vec<String>> {
    const COLUMNS: &[Column] = &[
        Column("SERVICE", Side::Left, 0),
        Column("STATE", Side::Left, 0),
        Column("PID", Side::Right, 1),
        Column("FOR", Side::Right, 2),
        Column("RESTARTS", Side::Right, 3),
        Column("CPU", Side::Right, 5),
        Column("RSS", Side::Right, 4),
        Column("WHY", Side::Left, 0),
    ];
    let rows: Vec<_> = ids.iter().filter_map(|id| Some(service(view, view.snapshot.service(id)?))).collect();
    (!rows.is_empty()).then(|| grid::table_rows(COLUMNS, &rows, view.width, view.paint))
}

fn service(view: &View<'_>, row: &ServiceRow) -> Vec<Cell> {
    let id = text(&row.id);
    let uses = figures::service(view.snapshot, id);
    let for_how_long = view.now.mono.saturating_sub(Duration::from_millis(row.since_mono_ms));
    vec![
        Cell(Tone::Bold, plain(id)),
        Cell(row.state().tone().into(), row.state().word().to_owned()),
        Cell::plain(or_dash((row.pid > 0).then_some(row.pid), |pid| pid.to_string())),
        Cell::plain(age(Duration::from_secs(for_how_long.as_secs()))),
        Cell::plain(row.restarts.to_string()),
        Cell::plain(or_dash(uses.cpu_pct, |busy| format!("{busy:.1}%"))),
        Cell::plain(or_dash(uses.rss, size)),
        Cell::plain(plain(text(&row.reason))),
    ]
}

pub fn disks(view: &View<'_>) -> Option<String> {
    const COLUMNS: &[Column] = &[
        Column("DISK", Side::Left, 0),
        Column("USED", Side::Right, 0),
        Column("FREE", Side::Right, 1),
        Column("SIZE", Side::Right, 2),
        Column("INODES", Side::Right, 3),
        Column("", Side::Left, 0),
    ];
    let rows: Vec<_> = figures::disks(view.snapshot)
        .into_iter()
        .map(|disk| {
            let full = disk.used_pct.is_some_and(|used| used >= 90.0);
            let percent = |share: Option<f64>| or_dash(share, |share| format!("{share:.0}%"));
            vec![
                Cell::plain(plain(&disk.mountpoint)),
                Cell(if full { Tone::Bad } else { Tone::Plain }, percent(disk.used_pct)),
                Cell::plain(or_dash(disk.avail, size)),
                Cell::plain(or_dash(disk.size, size)),
                Cell::plain(percent(disk.inodes_pct)),
                Cell(Tone::Odd, disk.trouble.unwrap_or_default().to_owned()),
            ]
        })
        .collect();
    (!rows.is_empty()).then(|| grid::table(COLUMNS, &rows, view.width, view.paint))
}

/// Only what came out badly; the rest is in `--json`.
pub fn promises(view: &View<'_>) -> Option<String> {
    const COLUMNS: &[Column] =
        &[Column("PROMISE", Side::Left, 0), Column("OUTCOME", Side::Left, 0), Column("AGO", Side::Left, 0)];
    let bad = view.snapshot.promises.iter().filter(|row| is_told(row, view.snapshot));
    let rows: Vec<_> = bad
        .map(|row| {
            let ago = (row.at_wall_ms > 0).then(|| age(since(view.now.wall, row.at_wall_ms)));
            let kind = row.kind().map_or("promise", |kind| kind.word());
            let name = format!("{kind} {}", plain(text(&row.id)));
            vec![
                Cell(Tone::Bold, name),
                Cell(row.outcome().tone().into(), row.outcome().word().to_owned()),
                Cell::plain(or_dash(ago, |ago| ago)),
            ]
        })
        .collect();
    (!rows.is_empty()).then(|| grid::table(COLUMNS, &rows, view.width, view.paint))
}

/// Whether a class that is on is worth a glance: what always holds on this host, and what is as it should be, is not.
fn is_notable(class: &ClassRow) -> bool {
    let name = text(&class.name);
    class.is_on()
        && match class.kind() {
            Some(ClassKind::Measured) => !name.ends_with("_ok"),
            Some(ClassKind::State) => !name.ends_with("_ready"),
            Some(ClassKind::Outcome) => !name.ends_with("_kept"),
            Some(ClassKind::Defined | ClassKind::Set) => true,
            Some(ClassKind::Learned) => !name.contains("_dev"),
            Some(ClassKind::Hard | ClassKind::Time) | None => false,
        }
}

pub fn classes(view: &View<'_>) -> Option<String> {
    let notable = view.snapshot.classes.iter().filter(|class| is_notable(class));
    let mut pieces: Vec<_> = notable.map(|class| (Tone::Odd, plain(text(&class.name)))).collect();
    if pieces.is_empty() {
        return None;
    }
    pieces.insert(0, (Tone::Dim, "CLASSES".to_owned()));
    Some(grid::flow(&pieces, "  ", view.width, view.paint))
}

/// The newest events, so many.
pub fn events(view: &View<'_>, count: usize) -> Option<String> {
    const COLUMNS: &[Column] =
        &[Column("AGO", Side::Right, 0), Column("EVENT", Side::Left, 1), Column("WHAT HAPPENED LAST", Side::Left, 0)];
    let events = &view.snapshot.events;
    let rows: Vec<_> = events
        .iter()
        .skip(events.len().saturating_sub(count))
        .map(|event| {
            let tone = match event.severity() {
                Severity::Error => Tone::Bad,
                Severity::Warning => Tone::Odd,
                Severity::Notice | Severity::Info => Tone::Plain,
            };
            let (subject, what) = (plain(text(&event.subject)), plain(text(&event.text)));
            let kind = event.kind().word();
            let what = match (subject.as_str(), what.as_str()) {
                ("", "") => kind.to_owned(),
                (some, "") | ("", some) => some.to_owned(),
                (subject, what) => format!("{subject}: {what}"),
            };
            let ago = age(Duration::from_secs(since(view.now.wall, event.wall_ms).as_secs()));
            vec![Cell::plain(ago), Cell(tone, kind.to_owned()), Cell::plain(what)]
        })
        .collect();
    (!rows.is_empty()).then(|| grid::table(COLUMNS, &rows, view.width, view.paint))
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::cli::status::Look;
    use crate::model::{EventKind, Outcome, ServiceState};
    use crate::scratch::Scratch;
    use crate::store::board::{Page, fixed};
    use crate::store::{Board, EventRow, Header, Reader, Readings};
    use watchd_probes::{ObjectId, ProbeId, Sample, Value, cpu, filesystem, load, memory, service};
    use zerocopy::FromZeros;

    const SECOND: u64 = 1_000;
    const HOUR: u64 = 3_600 * SECOND;
    const NOW_MONO: u64 = 10 * HOUR;
    const NOW_WALL: u64 = 1_700_000_000 * SECOND;

    fn sample() -> Sample {
        let mut sample = Sample::default();
        sample.begin();
        let mut sink = sample.sink(ProbeId::Cpu);
        for (metric, seconds) in [(cpu::USER, 1.0), (cpu::SYSTEM, 0.5), (cpu::IDLE, 6.0), (cpu::IOWAIT, 0.5)] {
            sink.put(ObjectId::HOST, metric, Value::Float(seconds));
        }
        sample.finish(ProbeId::Cpu, Ok(()), 1);
        let mut sink = sample.sink(ProbeId::Load);
        for (metric, value) in [(load::ONE, 0.2), (load::FIVE, 1.25), (load::FIFTEEN, 12.0)] {
            sink.put(ObjectId::HOST, metric, Value::Float(value));
        }
        sample.finish(ProbeId::Load, Ok(()), 1);
        let mut sink = sample.sink(ProbeId::Memory);
        for (metric, mib) in
            [(memory::TOTAL, 2048), (memory::AVAILABLE, 1536), (memory::SWAP_TOTAL, 1024), (memory::SWAP_FREE, 1024)]
        {
            sink.host(metric, mib << 20);
        }
        sample.finish(ProbeId::Memory, Ok(()), 1);
        let mut sink = sample.sink(ProbeId::Filesystem);
        for (name, used, read_only) in [
            ("/", 43, 0),
            ("/srv/a\x1b[31m", 95, 1),
            ("/dev", 0, 0),
            ("/dev/shm", 60, 0),
            ("/sys/fs/cgroup", 0, 1),
            ("/device", 1, 0),
        ] {
            let Some(disk) = sink.object(&[name.as_bytes(), b"/dev/vda1", b"ext4"]) else { continue };
            for (metric, value) in [
                (filesystem::SIZE, 100 << 30),
                (filesystem::FREE, (100 - used) << 30),
                (filesystem::AVAIL, (100 - used) << 30),
                (filesystem::FILES, 1000),
                (filesystem::FILES_FREE, 970),
                (filesystem::READ_ONLY, read_only),
            ] {
                sink.put(disk, metric, Value::Int(value));
            }
        }
        sample.finish(ProbeId::Filesystem, Ok(()), 1);
        let mut sink = sample.sink(ProbeId::Service);
        if let Some(web) = sink.object(&[b"web"]) {
            sink.put(web, service::CPU, Value::Float(0.0));
            sink.put(web, service::RSS, Value::Int(12 << 20));
        }
        sample.finish(ProbeId::Service, Ok(()), 1);
        sample
    }

    fn service(id: &str, state: ServiceState, pid: i32, reason: &str) -> ServiceRow {
        ServiceRow {
            id: fixed(id),
            state: state.byte(),
            pid,
            since_mono_ms: NOW_MONO - HOUR,
            since_wall_ms: NOW_WALL - HOUR,
            restarts: u32::from(pid == 0) * 3,
            budget_left: 2,
            budget_full: 5,
            guard: 1,
            reason: fixed(reason),
            ..ServiceRow::new_zeroed()
        }
    }

    fn class(name: &str, kind: ClassKind) -> ClassRow {
        ClassRow {
            name: fixed(name),
            kind: kind.byte(),
            on: 1,
            since_s: u32::try_from((NOW_WALL - HOUR) / 1000).expect("before 2106"),
            ..ClassRow::new_zeroed()
        }
    }

    fn event(ago: u64, kind: EventKind, subject: &str, what: &str) -> EventRow {
        let wall_ms = NOW_WALL - ago * SECOND;
        EventRow { wall_ms, kind: kind.byte(), subject: fixed(subject), text: fixed(what), ..EventRow::new_zeroed() }
    }

    /// A fixed look at a small host, as it goes through a real board.
    pub fn look(life: Life) -> Look {
        let dir = Scratch::new();
        let sample = sample();
        // Counters stand for their rates here.
        #[allow(clippy::cast_possible_truncation)]
        let rates: Vec<f32> = sample.view().rows.iter().map(|row| row.value().number().unwrap_or(0.0) as f32).collect();
        let header = Header {
            pid: 99,
            version: fixed("0.1.0"),
            host: fixed("alpha"),
            started_mono_ms: NOW_MONO - 3 * HOUR,
            cycle_ms: 10 * SECOND,
            config_ok: 1,
            state_ok: 1,
            config_file: fixed("/etc/watchd/watchd.toml"),
            listening: fixed("munin 127.0.0.1:4949, http 127.0.0.1:4950"),
            ..Header::default()
        };
        let mut board = Board::create(&dir.join("board")).expect("a board can be made");
        board.beat(NOW_MONO - 2 * SECOND);
        board.publish(&Page {
            header: &header,
            readings: Readings { view: sample.view(), rates: &rates },
            services: &[
                service("web", ServiceState::Ready, 1234, ""),
                service("database", ServiceState::Backoff, 0, "exit status 1 after 0.2 s"),
            ],
            classes: &[
                class("linux", ClassKind::Hard),
                class("Hr07", ClassKind::Time),
                class("load_high", ClassKind::Measured),
                class("web_ready", ClassKind::State),
                class("database_backoff", ClassKind::State),
            ],
            promises: &[PromiseRow {
                id: fixed("tidy"),
                kind: PromiseKind::Command.byte(),
                outcome: Outcome::Failed.byte(),
                at_wall_ms: NOW_WALL - 90 * SECOND,
                ..PromiseRow::new_zeroed()
            }],
            learned: &[],
            events: &[
                event(7200, EventKind::DaemonStarted, "", ""),
                event(65, EventKind::ServiceDied, "database", "exit status 1 after 0.2 s"),
            ],
        });
        let mut snapshot = Snapshot::default();
        Reader::open(&dir.join("board")).and_then(|reader| reader.read(&mut snapshot)).expect("the board is read");
        Look {
            snapshot,
            life,
            door: None,
            now: Now { mono: Duration::from_millis(NOW_MONO), wall: Duration::from_millis(NOW_WALL) },
        }
    }

    fn screen(look: &Look, width: usize, names: &[String]) -> String {
        draw(&View {
            snapshot: &look.snapshot,
            life: look.life,
            door: look.door,
            now: look.now,
            width,
            paint: Paint::None,
            names,
        })
    }

    #[test]
    fn eighty_columns_show_everything() {
        let look = look(Life::Alive);
        assert_eq!(screen(&look, 80, &[]), include_str!("../../tests/fixtures/status/80.txt"));
    }

    #[test]
    fn forty_columns_lose_what_matters_least() {
        let look = look(Life::Alive);
        assert_eq!(screen(&look, 40, &[]), include_str!("../../tests/fixtures/status/40.txt"));
    }

    #[test]
    fn nothing_is_wider_than_the_terminal() {
        let look = look(Life::Hung { age: Duration::from_secs(70) });
        for width in 30..200 {
            let page = screen(&look, width, &[]);
            let widest = page.lines().map(|line| line.chars().count()).max();
            assert!(widest <= Some(width), "{width}:\n{page}");
        }
    }

    #[test]
    fn a_dead_daemon_is_said_to_be_dead() {
        let page = screen(&look(Life::Dead), 80, &[]);
        assert!(page.starts_with("watchd 0.1.0 on alpha, DEAD (pid 99 is gone)"), "{page}");
    }

    #[test]
    fn only_what_is_named_is_shown() {
        let page = screen(&look(Life::Alive), 80, &["web".to_owned()]);
        assert_eq!(page.lines().count(), 2, "{page}");
    }
}
