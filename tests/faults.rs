//! Every system call that core makes can fail: a story with starts, deaths, a reload, orders, an edit, a report and an end is
//! recorded, then told again with one call made to fail at one place (strace does it, so the program is the one that is shipped).
//!
//! Whatever fails, the story comes to its end: no second copy of a service, no start that nobody asked for, no descriptor and no
//! child left over, no number on the board that was not measured, and a word about it where something was lost.
//!
//! Some places are tried, chosen by a seed that is printed; `WATCHD_FAULTS=all` tries every one, `WATCHD_FAULTS=openat` those of one
//! call, and `WATCHD_SEED` chooses others.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
// Threads tell several stories at a time; watchd itself has none.
#![allow(clippy::disallowed_methods)]

mod harness;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::fs;
use std::net::TcpListener;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use harness::{Daemon, Home, binary, is_root, look, net, skip, until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use watchd::model::ServiceState;
use watchd::store::Snapshot;
use watchd_probes::{Kind, MetricId, Unit};

/// What a call can fail with. The first ones are what a host in trouble gives.
const FAULTS: &[(&str, &[&str])] = &[
    ("accept4", &["EMFILE", "ENFILE", "ECONNABORTED", "EINTR", "ENOMEM"]),
    ("bind", &["EADDRINUSE", "EACCES"]),
    ("clone", &["EAGAIN", "ENOMEM"]),
    ("clone3", &["EAGAIN", "ENOMEM"]),
    ("connect", &["EAGAIN", "ECONNREFUSED", "EACCES"]),
    ("epoll_create1", &["EMFILE", "ENOMEM"]),
    ("epoll_ctl", &["ENOMEM", "ENOSPC"]),
    ("epoll_wait", &["EINTR"]),
    ("fallocate", &["ENOSPC", "EIO", "EROFS", "EINTR"]),
    ("fchmod", &["EPERM", "EIO", "EROFS"]),
    ("fcntl", &["EAGAIN", "ENOLCK", "EMFILE"]),
    ("flock", &["EINTR", "ENOLCK"]),
    ("fstat", &["EIO", "ENOMEM"]),
    ("fstatfs", &["EIO", "EINTR"]),
    ("getdents64", &["EIO", "ENOMEM", "ENOENT"]),
    ("inotify_add_watch", &["ENOSPC", "ENOMEM"]),
    ("inotify_init1", &["EMFILE", "ENOMEM"]),
    ("ioctl", &["EPERM"]),
    ("kill", &["EPERM"]),
    ("listen", &["EADDRINUSE"]),
    ("lseek", &["EIO"]),
    ("madvise", &["EAGAIN", "EINVAL"]),
    ("mkdir", &["EROFS", "ENOSPC", "EPERM", "EIO"]),
    ("mmap", &["ENOMEM"]),
    ("munmap", &["ENOMEM"]),
    ("newfstatat", &["EIO", "EACCES", "ENOMEM"]),
    ("openat", &["EMFILE", "ENFILE", "EIO", "EACCES", "ENOMEM", "EINTR"]),
    ("pidfd_open", &["EMFILE", "ENFILE", "ENOMEM"]),
    ("pidfd_send_signal", &["EPERM"]),
    ("pipe2", &["EMFILE", "ENFILE"]),
    ("poll", &["EINTR", "ENOMEM"]),
    ("ppoll", &["EINTR", "ENOMEM"]),
    ("prctl", &["EPERM", "EINVAL"]),
    ("pread64", &["EIO", "EINTR", "ENOMEM"]),
    ("pwrite64", &["ENOSPC", "EIO", "EROFS", "EINTR"]),
    ("read", &["EIO", "EINTR", "EAGAIN"]),
    ("readlink", &["EIO", "EACCES"]),
    ("recvfrom", &["EINTR", "EAGAIN"]),
    ("recvmsg", &["EINTR", "EAGAIN"]),
    ("rename", &["ENOSPC", "EIO", "EROFS", "EPERM"]),
    ("rmdir", &["EBUSY", "EPERM"]),
    ("sendto", &["EAGAIN", "ENOBUFS", "EPIPE"]),
    ("setsockopt", &["EPERM"]),
    ("socket", &["EMFILE", "ENFILE", "ENOMEM"]),
    ("socketpair", &["EMFILE", "ENFILE"]),
    ("statx", &["EIO", "EACCES", "ENOMEM"]),
    ("unlink", &["EROFS", "EIO", "EPERM"]),
    ("wait4", &["EINTR"]),
    ("waitid", &["EINTR"]),
    ("write", &["ENOSPC", "EIO", "EINTR", "EAGAIN"]),
];

/// Where memory for the heap comes from: a program without any ends, and what it looks after lives on. (`brk` has no errors that
/// could be played: what it gives is where the heap ends.)
const HEAP: &[&str] = &["mmap"];

/// Tried without being asked for more.
const SAMPLE: usize = 16;
/// Of calls that are alike, so many are tried: the first ones and the last.
const ALIKE: usize = 3;

/// One call as strace wrote it.
struct Call {
    name: String,
    /// What it is about, the same in every run: `@/state/events`, `/proc/N/stat`, `socket`.
    target: String,
    line: String,
}

impl Call {
    fn parse(line: &str, dir: &Path) -> Option<Self> {
        let (name, rest) = line.split_once('(')?;
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            return None;
        }
        let quoted = rest.split('"').nth(1).filter(|text| text.starts_with('/') && rest.starts_with(['"', 'A']));
        let of_fd = rest.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map(|(path, _)| path);
        let relative = rest.split('"').nth(1).filter(|_| name == "openat").map(|path| format!("/{path}"));
        let target = quoted.map(str::to_owned).or(relative).or_else(|| of_fd.map(str::to_owned)).unwrap_or_default();
        let target = target.replace(&*dir.to_string_lossy(), "@");
        let mut plain = String::new();
        for part in target.split('/') {
            let numbered = part.bytes().any(|byte| byte.is_ascii_digit()) && !part.starts_with('@');
            let part: String = part.chars().filter(|letter| !letter.is_ascii_digit()).collect();
            plain += if plain.is_empty() { "" } else { "/" };
            plain += if numbered && part.is_empty() { "N" } else { &part };
        }
        Some(Self { name: name.to_owned(), target: plain, line: line.to_owned() })
    }
}

/// One call that is made to fail.
#[derive(Clone)]
struct Shot {
    name: String,
    /// Which of the calls of this name, from 1.
    number: usize,
    error: &'static str,
    target: String,
}

impl fmt::Display for Shot {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} number {} ({}) with {}", self.name, self.number, self.target, self.error)
    }
}

/// What a story without a fault came to.
#[derive(Default)]
struct Measure {
    calls: Vec<Call>,
    descriptors: Vec<String>,
    /// What cannot go down or change: metric, object, value.
    numbers: Numbers,
}

type Numbers = BTreeMap<(MetricId, Vec<u8>), f64>;

const SERVICE: &str = "settle = \"50ms\"\nbackoff = [\"10ms\", \"50ms\"]\nlimit = \"100/10m\"\non-exit = \"stop\"\n";

fn policy(cycle: &str, port: u16) -> String {
    format!(
        "[watchd]\ncycle = \"{cycle}\"\nsendmail = [\"@/mailer\"]\n[http]\nlisten = [\"127.0.0.1:{port}\"]\n\
         [process.web]\nrun = [\"@/once\", \"@/web\"]\n{SERVICE}\
         check = [{{ exec = \"test -e @/good\", every = \"200ms\", fails = 3 }}]\n\
         [process.own]\npidfile = \"@/own.pid\"\nstart = [\"@/once\", \"@/own\", \"@/own.pid\"]\n{SERVICE}\
         [measure.count]\nrun = \"echo 5\"\nevery = \"500ms\"\n\
         [file.note]\npath = \"@/edited\"\ncreate = true\nline = \"a line of watchd\"\n\
         [command.tidy]\nif = \"told\"\nrun = [\"/bin/true\"]\nevery = \"1h\"\n\
         [report.r]\nif = \"told\"\nchanges = true\ntext = \"it was told\"\nto = [\"log\", \"mail:root\"]\n"
    )
}

fn home(once: &Path, port: u16) -> Home {
    let home = Home::new("faults", &policy("150ms", port));
    home.scratch.copied(once, "once");
    home.scratch.write("good", "");
    home.scratch.script("mailer", &format!("#!/bin/sh\ncat > {}\n", home.scratch.text("mailed")));
    home
}

/// The daemon's command line below strace, which is nobody's parent.
fn traced(home: &Home, shot: Option<&Shot>) -> Command {
    let daemon = home.command(&["run"]);
    let mut command = Command::new("strace");
    command.args(["-D", "-y", "-s", "300", "-o"]).arg(home.scratch.path("trace"));
    if let Some(shot) = shot {
        let inject = format!("inject={}:error={}:when={}", shot.name, shot.error, shot.number);
        command.args(["-e", &format!("trace={}", shot.name), "-e", &inject]);
    }
    command.arg(daemon.get_program()).args(daemon.get_args());
    command
}

fn calls(home: &Home) -> Vec<Call> {
    let text = fs::read(home.scratch.path("trace")).unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    text.lines().filter_map(|line| Call::parse(line, &home.scratch.dir)).collect()
}

/// What cannot go down or change while this test runs.
fn numbers(snapshot: &Snapshot) -> Numbers {
    let view = snapshot.readings().view;
    let mut found = Numbers::new();
    for row in view.rows {
        let Some(metric) = row.metric().metric() else { continue };
        let is_size = metric.unit == Unit::Bytes && matches!(metric.field, "total" | "size");
        if let Some(value) =
            row.value().number().filter(|value| *value > 0.0 && (is_size || metric.kind == Kind::Counter))
        {
            found.insert((row.metric(), view.part(row.object(), 0).to_vec()), value);
        }
    }
    found
}

/// Holds a page against what is known.
fn judge(snapshot: &Snapshot, known: &Numbers) {
    let view = snapshot.readings().view;
    for row in view.rows {
        let key = (row.metric(), view.part(row.object(), 0).to_vec());
        let (Some(value), Some(known), Some(metric)) = (row.value().number(), known.get(&key), row.metric().metric())
        else {
            continue;
        };
        let is_wrong = if metric.kind == Kind::Counter { value < known / 2.0 } else { (value - known).abs() > 0.5 };
        let object = String::from_utf8_lossy(&key.1).into_owned();
        assert!(!is_wrong, "{} of {object:?} is {value}, and was {known}", metric.field);
    }
}

/// Tells the story. `known` is what one without a fault came to.
fn tell(home: &Home, port: u16, shot: Option<&Shot>, known: &Measure) -> Measure {
    let mut daemon = home.spawn_as(traced(home, shot));
    let mut measure = Measure::default();
    // A start that the system refuses is told, leaves nothing half done, and may be tried again.
    if let Some(code) = ends_before_ready(&mut daemon) {
        let said = daemon.said();
        let heap = shot.is_some_and(|shot| HEAP.contains(&shot.name.as_str()));
        assert!(code == 1 || heap, "it ended with {code} at its start:\n{said}");
        assert!(heap || said.contains("cannot"), "it ended without a word:\n{said}");
        assert!(shot.is_none_or(|shot| shot.error != "EINTR"), "to be interrupted is not an error:\n{said}");
        drop(daemon);
        daemon = home.spawn();
    }
    let mut asked = 0;
    let web = ready(&mut daemon, "web", 0, known);
    let own = ready(&mut daemon, "own", 0, known);
    until("the edit", || home.scratch.path("edited").exists().then_some(()));
    let first = daemon.wait_for("numbers", |snapshot| Some(numbers(snapshot)));
    kill(Pid::from_raw(web), Signal::SIGKILL).expect("it lives");
    let web = ready(&mut daemon, "web", web, known);
    kill(Pid::from_raw(own), Signal::SIGKILL).expect("it lives");
    ready(&mut daemon, "own", own, known);
    home.configure(&policy("100ms", port));
    // A change that went unseen is what SIGHUP is for.
    daemon.signal(Signal::SIGHUP);
    daemon.wait_for("the other config", |snapshot| {
        judge(snapshot, &known.numbers);
        (snapshot.header.cycle_ms == 100).then_some(())
    });
    until("an order", || {
        asked += 1;
        (home.ask(&["restart", "web"]).0 == 0).then_some(())
    });
    ready(&mut daemon, "web", web, known);
    until("an order", || (home.ask(&["class", "set", "told"]).0 == 0).then_some(()));
    until("the mail", || home.scratch.path("mailed").exists().then_some(()));
    until("the page", || (net::get(port, "/healthz").0 == 200).then_some(()));
    let cycles = daemon.wait_for("a cycle", |snapshot| Some(snapshot.header.cycles));
    let last = daemon.wait_for("ten cycles", |snapshot| {
        judge(snapshot, &known.numbers);
        (snapshot.header.cycles > cycles + 10).then(|| numbers(snapshot))
    });
    measure.numbers = first.into_iter().filter(|(key, _)| last.contains_key(key)).collect();
    measure.descriptors = settled(daemon.pid(), &known.descriptors);
    daemon.signal(Signal::SIGTERM);
    let said = daemon.said();
    assert_eq!(daemon.wait_end(), 0, "{said}");
    until("the end of the services", || {
        let left = look::running_from(&home.scratch.dir);
        left.iter().all(|pid| look::program(*pid) != Some(home.scratch.path("once"))).then_some(())
    });
    for (name, most) in [("web", 2 + asked), ("own", 2)] {
        let log = fs::read_to_string(home.scratch.path(&format!("{name}.log"))).expect("it ran");
        assert!(!log.contains("twice"), "two of {name} at a time:\n{log}{said}");
        assert!(log.lines().count() <= most, "{name} was started without a reason:\n{log}{said}");
    }
    let state = fs::read_dir(home.scratch.path("state")).expect("it is there").filter_map(Result::ok);
    let aside: Vec<_> =
        state.map(|entry| entry.file_name()).filter(|name| name.to_string_lossy().contains("damaged")).collect();
    assert!(aside.is_empty(), "what was whole is set aside: {aside:?}\n{said}");
    measure.calls = calls(home);
    if let Some(shot) = shot {
        let hit = measure.calls.iter().find(|call| call.line.contains("(INJECTED)"));
        let is_lost = hit.is_some_and(|hit| {
            let writes = ["pwrite64", "fallocate", "rename", "mkdir"].contains(&hit.name.as_str())
                || hit.line.contains("O_CREAT");
            writes && hit.target.starts_with("@/state") && shot.error != "EINTR"
        });
        let said = fs::read_to_string(home.scratch.path("said")).unwrap_or_default();
        assert!(!is_lost || said.contains("cannot"), "not a word about {}:\n{said}", hit.map_or("", |hit| &hit.line));
    }
    measure
}

/// The exit status of a daemon that ends before its services run.
fn ends_before_ready(daemon: &mut Daemon<'_>) -> Option<i32> {
    until("its services, or its end", || match daemon.ended() {
        Some(code) => Some(Some(code)),
        None => {
            let snapshot = daemon.snapshot()?;
            let all = snapshot.services.iter().all(|row| row.state() == ServiceState::Ready);
            (all && !snapshot.services.is_empty()).then_some(None)
        }
    })
}

/// Waits for another process of the service than `before`.
fn ready(daemon: &mut Daemon<'_>, id: &str, before: i32, known: &Measure) -> i32 {
    daemon.wait_for(&format!("{id} after {before}"), |snapshot| {
        judge(snapshot, &known.numbers);
        let row = snapshot.service(id)?;
        (row.state() == ServiceState::Ready && row.pid != before).then_some(row.pid)
    })
}

/// The descriptors that core has when it is at rest; not more than there may be.
fn settled(pid: i32, most: &[String]) -> Vec<String> {
    let open = || {
        let found = fs::read_dir(format!("/proc/{pid}/fd")).expect("it lives").filter_map(|entry| {
            let to = fs::read_link(entry.ok()?.path()).ok()?;
            Some(to.to_string_lossy().replace(|letter: char| letter.is_ascii_digit(), ""))
        });
        let mut found: Vec<String> = found.collect();
        found.sort();
        found
    };
    let (mut least, mut looks) = (open(), 0);
    let end = Instant::now() + Duration::from_secs(20);
    while looks < 60 || (!most.is_empty() && least.len() > most.len()) {
        assert!(Instant::now() < end, "descriptors are left open: {least:?} and not {most:?}");
        harness::pause(Duration::from_millis(5));
        let found = open();
        looks += 1;
        if found.len() < least.len() {
            least = found;
        }
    }
    least
}

/// A port below those that the kernel gives to connections, of which several stories are told at a time.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let base = 20_000 + u16::try_from(std::process::id() % 100).expect("it is small") * 100;
    until("a port", || {
        let port = base + NEXT.fetch_add(1, Ordering::Relaxed) % 100;
        TcpListener::bind(("127.0.0.1", port)).is_ok().then_some(port)
    })
}

/// One call of each kind at each place, and the errors it is tried with.
fn shots(calls: &[Call]) -> Vec<Shot> {
    let mut numbers: HashMap<&str, usize> = HashMap::new();
    let mut places: HashMap<(&str, &str), Vec<usize>> = HashMap::new();
    let mut order = Vec::new();
    for call in calls {
        let number = numbers.entry(&call.name).or_default();
        *number += 1;
        let key = (call.name.as_str(), call.target.as_str());
        if !places.contains_key(&key) {
            order.push(key);
        }
        places.entry(key).or_default().push(*number);
    }
    let mut shots = Vec::new();
    for (name, target) in order {
        let Some((_, errors)) = FAULTS.iter().find(|(known, _)| *known == name) else { continue };
        let found = &places[&(name, target)];
        let mut chosen: Vec<usize> = found.iter().copied().take(ALIKE - 1).chain(found.last().copied()).collect();
        chosen.dedup();
        for number in chosen {
            let shot = |error: &&'static str| Shot { name: name.to_owned(), number, target: target.to_owned(), error };
            shots.extend(errors.iter().map(shot));
        }
    }
    shots
}

/// Which of them are tried, by what the environment says.
fn chosen(mut shots: Vec<Shot>) -> Vec<Shot> {
    let wish = std::env::var("WATCHD_FAULTS").unwrap_or_default();
    if wish == "all" {
        return shots;
    }
    if !wish.is_empty() {
        shots.retain(|shot| wish.split(',').any(|name| shot.name == name));
        return shots;
    }
    let clock = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_secs());
    let seed = std::env::var("WATCHD_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(clock);
    println!("WATCHD_SEED={seed}");
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut picked = Vec::new();
    while picked.len() < SAMPLE && !shots.is_empty() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let place = usize::try_from(state % shots.len() as u64).expect("it is smaller");
        picked.push(shots.swap_remove(place));
    }
    picked
}

#[test]
fn whatever_call_fails_the_story_comes_to_its_end() {
    let works = Command::new("strace").args(["-D", "-o", "/dev/null", "-e", "inject=chdir:error=EIO", "true"]).output();
    if !is_root() || !works.is_ok_and(|output| output.status.success()) {
        return skip("to make system calls fail takes root and strace");
    }
    let place = harness::Scratch::new("once");
    let once = place.compiled(Path::new("tests/attack/once.c"), "once");
    let port = free_port();
    let known = tell(&home(&once, port), port, None, &Measure::default());
    let all = shots(&known.calls);
    let total = all.len();
    let chosen = chosen(all);
    println!("{} of {total} faults, of {} calls of {}", chosen.len(), known.calls.len(), binary().display());
    let queue = Mutex::new(chosen.into_iter());
    let failures = Mutex::new(Vec::new());
    let workers = std::env::var("WATCHD_WORKERS").ok().and_then(|text| text.parse().ok()).unwrap_or(2);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let Some(shot) = queue.lock().expect("nobody panics with it").next() else { return };
                    let port = free_port();
                    let told = catch_unwind(AssertUnwindSafe(|| {
                        tell(&home(&once, port), port, Some(&shot), &known);
                    }));
                    if let Err(cause) = told {
                        let text = cause.downcast_ref::<String>().cloned().unwrap_or_default();
                        println!("FAILED {shot}");
                        failures.lock().expect("nobody panics with it").push(format!("{shot}: {text}"));
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().expect("nobody panics with it");
    assert!(failures.is_empty(), "{} stories went wrong:\n{}", failures.len(), failures.join("\n"));
}
