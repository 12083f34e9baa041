//! Work waits for memory: what is marked for it gives its memory back before the kernel picks a victim.
//!
//! The memory that runs short is that of a control group, whichever version of them can be written to here, so that the rest of
//! the machine feels nothing of it. The kernel counts its stalls for the whole host all the same.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use harness::{Daemon, Home, skip, until};
use watchd::model::ServiceState;
use watchd::store::board::text;
use watchd::sys::psi::Trigger;

/// A control group with little memory.
struct Cell {
    path: PathBuf,
}

impl Cell {
    /// None where no hierarchy that limits memory can be written to.
    fn new(name: &str, limit: u64) -> Option<Self> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
        let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
        mounts.lines().find_map(|line| {
            let (place, kind) = line.split_once(" - ")?;
            let mount = Path::new(place.split(' ').nth(4)?);
            let is_v1 = kind.starts_with("cgroup ") && kind.split([' ', ',']).any(|word| word == "memory");
            let own = groups.lines().find(|line| line.split(':').nth(1).is_some_and(|kinds| kinds.contains("memory")));
            let (above, file) = match (is_v1, own) {
                (true, Some(own)) => (own.rsplit(':').next()?.trim_start_matches('/'), "memory.limit_in_bytes"),
                (false, _) if kind.starts_with("cgroup2 ") => ("", "memory.max"),
                _ => return None,
            };
            let cell = Self { path: mount.join(above).join(format!("watchd-test-{name}-{}", std::process::id())) };
            fs::create_dir(&cell.path).ok()?;
            // Dropped, it goes away again.
            fs::write(cell.path.join(file), limit.to_string()).ok().map(|()| cell)
        })
    }

    /// How many processes the kernel has ended here for want of memory.
    fn victims(&self) -> u64 {
        let texts = ["memory.oom_control", "memory.events"].map(|file| fs::read_to_string(self.path.join(file)));
        let counts =
            texts.iter().flatten().flat_map(|text| text.lines()).filter_map(|line| line.strip_prefix("oom_kill "));
        counts.map(|count| count.parse::<u64>().expect("it is a number")).sum()
    }
}

impl Drop for Cell {
    fn drop(&mut self) {
        // What was in it is being ended.
        for _ in 0..400 {
            if fs::remove_dir(&self.path).is_ok() {
                return;
            }
            harness::pause(std::time::Duration::from_millis(5));
        }
    }
}

/// Another who watches the memory.
struct Earlyoom {
    child: Child,
    log: PathBuf,
}

impl Earlyoom {
    fn new() -> Option<Self> {
        let log = std::env::temp_dir().join(format!("watchd-earlyoom-{}", std::process::id()));
        let file = fs::File::create(&log).expect("a file can be made");
        let child = Command::new("earlyoom").args(["--dryrun", "-r", "1"]).stdout(file).stderr(Stdio::null()).spawn();
        child.ok().map(|child| Self { child, log })
    }
}

impl Drop for Earlyoom {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_file(&self.log);
    }
}

const HEAD: &str = "[watchd]\ncycle = \"500ms\"\n";

/// The leaking daemon in its cell, and beside it a small one that is marked as well and a large one that is not.
fn home(name: &str, cell: &Cell, on_pressure: &str) -> Home {
    let (cell, data) = (cell.path.display(), env!("CARGO_TARGET_TMPDIR"));
    let quick = "settle = \"50ms\"\nbackoff = [\"10ms\", \"100ms\"]\nlimit = \"5/10m\"\n";
    let home = Home::new(
        name,
        &format!(
            "{HEAD}[process.leak]\nrun = \"echo $$ > {cell}/cgroup.procs && exec @/leak {data}/{name} @/flag 64 1000000\"\n\
             {quick}on-pressure = \"{on_pressure}\"\n\
             [process.small]\nrun = [\"@/leak\", \"{data}/{name}-small\", \"@\", \"4096\", \"12288\"]\n\
             {quick}on-pressure = \"restart\"\n\
             [process.large]\nrun = [\"@/leak\", \"{data}/{name}-large\", \"@\", \"4096\", \"131072\"]\n{quick}"
        ),
    );
    home.scratch.program("leak.c", "leak");
    home.scratch.write("flag", "");
    home
}

/// Waits until all three run, then until the kernel or watchd has ended the one that leaks.
fn leak(home: &Home, daemon: &mut Daemon<'_>) {
    for id in ["leak", "small", "large"] {
        daemon.wait_for(id, |snapshot| snapshot.service(id).filter(|row| row.pid > 0).copied());
    }
    daemon.wait_for("a restart of what leaks", |snapshot| {
        snapshot.service("leak").filter(|row| row.restarts > 0).copied()
    });
    fs::remove_file(home.scratch.path("flag")).expect("it is there");
}

/// The two ways in one test: what runs at the same time would stall for each other's sake.
#[test]
fn a_stall_for_memory_costs_a_marked_service_before_it_costs_a_victim() {
    if let Err(error) = Trigger::arm(Path::new("/proc/pressure/memory")) {
        return skip(&format!("this host does not tell of stalls for memory: {error}"));
    }
    let Some(cell) = Cell::new("marked", 64 << 20) else {
        return skip("no control group that limits memory can be made here");
    };
    let home_marked = home("pressure-marked", &cell, "restart");
    let mut daemon = home_marked.start();
    leak(&home_marked, &mut daemon);
    assert_eq!(cell.victims(), 0, "the kernel had to end it: {}", daemon.said());
    let (_, told) = home_marked.ask(&["why", "leak"]);
    assert!(told.contains("service-pressed") && told.contains("M back: work on the host waits for memory"), "{told}");
    assert!(told.contains("leak_pressed"), "{told}");
    daemon.wait_for("the class", |snapshot| {
        snapshot.classes.iter().any(|row| text(&row.name) == "leak_pressed" && row.is_on()).then_some(())
    });
    let row = daemon.wait_state("leak", ServiceState::Ready);
    assert_eq!((row.restarts, row.budget_left), (1, 4), "once, and paid from its budget");
    for id in ["small", "large"] {
        assert_eq!(daemon.wait_state(id, ServiceState::Ready).restarts, 0, "{id} is not the one");
    }
    drop(daemon);
    drop(home_marked);
    drop(cell);

    // The same without the mark: the kernel ends it, else this says nothing. So it does beside earlyoom, which looks at the memory
    // of the whole host, of which there is enough; it only says what it would do.
    let earlyoom = Earlyoom::new();
    let cell = Cell::new("left", 64 << 20).expect("there was one");
    let home_left = home("pressure-left", &cell, "leave");
    let mut daemon = home_left.start();
    leak(&home_left, &mut daemon);
    until("the kernel's count", || (cell.victims() > 0).then_some(()));
    let (_, told) = home_left.ask(&["why", "leak"]);
    assert!(
        told.contains("killed by the kernel, which ran out of memory,") && !told.contains("service-pressed"),
        "{told}"
    );
    let Some(earlyoom) = earlyoom else { return skip("earlyoom is not installed") };
    let said = fs::read_to_string(&earlyoom.log).expect("it writes there");
    assert!(said.contains("mem avail") && !said.contains("low memory"), "{said}");
}
