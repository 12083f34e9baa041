//! The steady loop of the real daemon, counted: once everything is found and told, a cycle allocates nothing.
//!
//! The daemon turns in a thread of this test; an allocator counts what that thread asks for, while the test looks at the board
//! as any other reader does. Alone in its file, because the daemon catches signals and reaps children of the whole process.

#![allow(clippy::expect_used, unsafe_code)]

mod harness;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

use harness::{Scratch, until};
use nix::sys::signal::{Signal, kill};
use watchd::engine;
use watchd::model::Places;
use watchd::store::{Reader, Snapshot};

thread_local! {
    static IS_LOOP: Cell<bool> = const { Cell::new(false) };
}
static COUNT: AtomicU64 = AtomicU64::new(0);

/// Counts what the loop's thread asks for.
struct Counting;

fn count() {
    if IS_LOOP.try_with(Cell::get).unwrap_or(false) {
        COUNT.fetch_add(1, Ordering::Relaxed);
    }
}

// SAFETY: everything is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as the caller promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as the caller promised.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const CONFIG: &str = r#"
[watchd]
cycle = "10ms"
[disk.root]
path = "/"
full = "99.9%"
[process.own]
run = ["/bin/sleep", "1000"]
on-exit = "stop"
[process.guarded]
run = ["/bin/sleep", "1000"]
if = "!never & any"
on-exit = "stop"
[process.down]
pidfile = "@/none.pid"
[process.found]
match = "no-such-program-anywhere"
[class.never]
when = "!any"
[command.clean]
if = "never"
run = "true"
[file.line]
path = "@/line"
create = true
line = "x"
[measure.load]
metric = "load.five"
high = 100000
[report.full]
if = "disk_root_full & own_ready"
text = "/ is {disk_root.used} full"
"#;

/// How many cycles are looked at; `WATCHD_CYCLES` names another number.
const CYCLES: u64 = 2_000;
/// They are looked at by so many.
const BATCH: u64 = 20;

/// What the board says: how often it turned, and all that makes a cycle another than the one before.
fn look(places: &Places) -> Option<(u64, [u64; 3])> {
    let mut snapshot = Snapshot::default();
    Reader::open(&places.board()).ok()?.read(&mut snapshot).ok()?;
    let header = &snapshot.header;
    Some((header.cycles, [header.events_total, header.objects.into(), header.text.into()]))
}

#[test]
fn a_steady_cycle_allocates_nothing() {
    let scratch = Scratch::new("noalloc");
    scratch.dir_of("etc", None);
    let config = scratch.write("etc/watchd.toml", &CONFIG.replace('@', &scratch.dir.to_string_lossy()));
    let places = Places {
        config: Some(config),
        run_dir: scratch.path("run"),
        state_dir: scratch.path("state"),
        root: "/".into(),
    };
    let for_loop = places.clone();
    #[allow(clippy::disallowed_methods, reason = "the loop is turned beside the one who looks at it")]
    let daemon = std::thread::spawn(move || {
        IS_LOOP.with(|is_loop| is_loop.set(true));
        engine::run(&for_loop, false).map_err(|failure| format!("{failure:?}"))
    });
    let asked = std::env::var("WATCHD_CYCLES").ok().and_then(|text| text.parse().ok()).unwrap_or(CYCLES);
    let (mut quiet, mut last, mut seen) = (0, 0, Vec::new());
    while last < asked {
        assert!(!daemon.is_finished(), "the daemon ended");
        let (begin, then) = until("a cycle", || look(&places));
        let before = COUNT.load(Ordering::Relaxed);
        let (end, _) = until("more cycles", || look(&places).filter(|(cycles, _)| *cycles >= begin + BATCH));
        let grown = COUNT.load(Ordering::Relaxed) - before;
        // A turn that is not published yet may have counted already.
        let (_, now) = until("one more", || look(&places).filter(|(cycles, _)| *cycles > end + 1));
        // What happens is told, and a disk that appears is a new row: both are over with the cycle. A start has more of it.
        if then == now && begin > 100 {
            quiet += end - begin;
            if grown > 0 {
                seen.push((begin, grown));
            }
        }
        last = end;
    }
    eprintln!("{quiet} of {last} cycles were quiet");
    assert!(seen.is_empty(), "(cycle, allocations until {BATCH} later): {seen:?}");
    assert!(quiet > asked / 4, "it was never quiet for long");
    kill(nix::unistd::getpid(), Signal::SIGTERM).expect("we live");
    assert_eq!(daemon.join().expect("the loop does not panic"), Ok(()));
    assert!(!places.run_dir.exists(), "nothing is left behind");
}
