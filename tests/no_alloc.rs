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
cycle = "100ms"
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

/// How often the board says it turned.
fn cycles(places: &Places) -> Option<u64> {
    let mut snapshot = Snapshot::default();
    Reader::open(&places.board()).ok()?.read(&mut snapshot).ok()?;
    Some(snapshot.header.cycles)
}

#[test]
fn a_steady_cycle_allocates_nothing() {
    let scratch = Scratch::new("noalloc");
    let config = scratch.write("watchd.toml", &CONFIG.replace('@', &scratch.dir.to_string_lossy()));
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
    // What is steady is found out by looking: a class that changes, or a disk that appears, is told once and then over.
    until("twenty cycles in a row without an allocation", || {
        assert!(!daemon.is_finished(), "the daemon ended");
        let begin = cycles(&places)?;
        let before = COUNT.load(Ordering::Relaxed);
        until("twenty cycles", || (cycles(&places)? >= begin + 20).then_some(()));
        let grown = COUNT.load(Ordering::Relaxed) - before;
        eprintln!("{grown} allocations in twenty cycles");
        (grown == 0).then_some(())
    });
    kill(nix::unistd::getpid(), Signal::SIGTERM).expect("we live");
    assert_eq!(daemon.join().expect("the loop does not panic"), Ok(()));
    assert!(!places.run_dir.exists(), "nothing is left behind");
}
