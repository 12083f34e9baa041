//! Instructions that the steady work takes, counted by valgrind: a number that neither load nor clock frequency moves.
//!
//!     cargo bench --bench instructions              compares with benches/instructions.txt; fails above +5 %
//!     cargo bench --bench instructions -- --write   writes that file anew
//!
//! Only our own instructions are counted, not the kernel's. Each case prepares itself, does its work once, and then so often that a
//! mean can be taken, with the counting on. What depends on the clock is kept out: looks are at made-up times, and the passes over all
//! processes, which are cut by real time, are counted by `process::find`, which is not. A count belongs to a compiler, a C library and
//! a valgrind; under others the comparison is left out, loudly.

#![allow(clippy::expect_used, clippy::panic, unsafe_code)]

#[path = "../tests/recorded/mod.rs"]
mod recorded;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use recorded::Shown;
use watchd::agent::{Actions, Agent, Pass};
use watchd::classes::{Calendar, Classes, Scene};
use watchd::engine::policy::{Policy, load_text};
use watchd::export::Page as Text;
use watchd::export::munin::{Facts, Session};
use watchd::export::openmetrics::{self, Format};
use watchd::model::{Findings, Now};
use watchd::store::board::{Header, Page};
use watchd::store::history::History;
use watchd::store::{Board, Rates, Reader, Readings, Snapshot};
use watchd_probes::inventory::Inventory;
use watchd_probes::{Buffer, Host, Look, PROBES, ProbeId, Probes, Sample, Value, process};

/// How often the work is done while it is counted.
const TIMES: u64 = 10;
/// More than this over the recorded number is a fault, in per cent.
const MARGIN: u64 = 5;
const RECORD: &str = "benches/instructions.txt";

type Work = Box<dyn FnMut()>;
/// Prepares the case of this name.
type Make = fn(&str) -> Work;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--case", name] => count(name),
        ["--write"] => write(),
        [] => compare(),
        _ => {
            eprintln!("usage: cargo bench --bench instructions [-- --write]");
            ExitCode::from(2)
        }
    }
}

/// The cases by name.
fn cases() -> Vec<(String, Make)> {
    let mut cases: Vec<(String, Make)> = Vec::new();
    // The passes over all processes are cut by the clock.
    for info in PROBES.iter().filter(|info| info.id != ProbeId::Process) {
        cases.push((format!("probe {}", info.name), probe));
    }
    let others: [(&str, Make); 14] = [
        ("find among 100 processes", find),
        ("find among 1000 processes", find),
        ("cycle with 100 processes", cycle),
        ("cycle with 1000 processes", cycle),
        ("board publish", publish),
        ("board read", read),
        ("config small", config),
        ("config large", config),
        ("classes 1000", pass),
        ("promises 498", pass),
        ("munin fetch cpu", munin),
        ("munin config diskstats", munin),
        ("metrics", metrics),
        ("status", status),
    ];
    cases.extend(others.map(|(name, make)| (name.to_owned(), make)));
    cases
}

/// Does one case, with the counting on while it is done.
fn count(name: &str) -> ExitCode {
    let Some((_, make)) = cases().into_iter().find(|(case, _)| case == name) else {
        eprintln!("no such case: {name}");
        return ExitCode::from(2);
    };
    let mut work = make(name);
    work();
    tell_valgrind(START);
    for _ in 0..TIMES {
        work();
    }
    tell_valgrind(STOP);
    ExitCode::SUCCESS
}

/// Requests of callgrind.h: the letters C and T, then a number.
const START: u64 = 0x4354_0004;
const STOP: u64 = 0x4354_0005;

/// Speaks to the valgrind we run in; anywhere else it changes nothing.
#[cfg(target_arch = "x86_64")]
fn tell_valgrind(request: u64) {
    let words = [request, 0, 0, 0, 0, 0_u64];
    // SAFETY: the rotations add up to 128 bits and the exchange is with itself: valgrind knows the pattern, a processor does nothing.
    unsafe {
        std::arch::asm!(
            "rol rdi, 3", "rol rdi, 13", "rol rdi, 61", "rol rdi, 51", "xchg rbx, rbx",
            in("rax") words.as_ptr(), inout("rdx") 0_u64 => _,
        );
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn tell_valgrind(_: u64) {}

/// Instructions of a case, each time it is done.
fn measured(name: &str) -> u64 {
    let program = std::env::current_exe().expect("we run");
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--instr-atstart=no", "--callgrind-out-file=/dev/null"]);
    // Nothing of the caller's may change a count.
    let run = command.arg(program).args(["--case", name]).env_clear().env("PATH", "/usr/bin:/bin").output();
    let run = run.expect("valgrind can be run");
    let said = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{name} failed:\n{said}");
    let collected = said.lines().find_map(|line| line.split_once("Collected :")?.1.trim().parse::<u64>().ok());
    collected.unwrap_or_else(|| panic!("{name} was not counted:\n{said}")) / TIMES
}

/// What the counts depend on besides our code; none without valgrind.
fn tools() -> Option<String> {
    let said = |program: &str, words: &[&str]| {
        let run = Command::new(program).args(words).output().ok().filter(|run| run.status.success())?;
        Some(String::from_utf8_lossy(&run.stdout).trim().to_owned())
    };
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let valgrind = said("valgrind", &["--version"])?;
    let library = said("getconf", &["GNU_LIBC_VERSION"]).unwrap_or_default();
    Some(format!("{}, {}, {library}, {valgrind}", said(&rustc, &["--version"])?, std::env::consts::ARCH))
}

fn record_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(RECORD)
}

fn write() -> ExitCode {
    let Some(tools) = tools() else {
        eprintln!("there is no valgrind here");
        return ExitCode::FAILURE;
    };
    let mut text = format!("{tools}\n");
    for (name, _) in cases() {
        let count = measured(&name);
        println!("{name:<32}{count:>12}");
        let _ = writeln!(text, "{count:>12} {name}");
    }
    fs::write(record_path(), text).expect("the record can be written");
    ExitCode::SUCCESS
}

fn compare() -> ExitCode {
    let text = fs::read_to_string(record_path()).unwrap_or_default();
    let (recorded_with, rows) = text.split_once('\n').unwrap_or(("nothing", ""));
    let here = tools().unwrap_or_else(|| "no valgrind".to_owned());
    if here != recorded_with {
        eprintln!("SKIPPED: instructions were recorded with {recorded_with}; here is {here}");
        return ExitCode::SUCCESS;
    }
    let recorded: BTreeMap<&str, u64> = rows
        .lines()
        .filter_map(|line| line.trim_start().split_once(' '))
        .filter_map(|(count, name)| Some((name, count.parse().ok()?)))
        .collect();
    let mut faults = 0;
    for (name, _) in cases() {
        let count = measured(&name);
        let verdict = match recorded.get(name.as_str()) {
            None => "NOT RECORDED".to_owned(),
            Some(was) if count * 100 > was * (100 + MARGIN) => format!("WORSE: it was {was}"),
            Some(was) if count * (100 + MARGIN) < was * 100 => format!("better: it was {was}"),
            Some(_) => String::new(),
        };
        faults += u32::from(verdict.starts_with(char::is_uppercase));
        println!("{name:<32}{count:>12}  {verdict}");
    }
    if faults == 0 {
        return ExitCode::SUCCESS;
    }
    eprintln!("{faults} of them; where that is meant: cargo bench --bench instructions -- --write");
    ExitCode::FAILURE
}

fn host(root: &Path) -> Host {
    Host::open(root).expect("the root is there")
}

/// One probe over the files of a recorded host, an hour apart, so that nothing is left out for its pace.
fn probe(name: &str) -> Work {
    let wanted = name.strip_prefix("probe ").expect("the name of a case").to_owned();
    let host = host(&recorded::manifest("probes/tests/fixtures/big"));
    let (mut buffer, mut probes, mut sample) = (Buffer::default(), Probes::default(), Sample::default());
    let mut hours = 0;
    Box::new(move || {
        hours += 1;
        let mono = Duration::from_secs(3600 * hours);
        sample.begin();
        let mut look = Look { host: &host, buffer: &mut buffer, now: Now { mono, wall: mono } };
        probes.each(&mut |id, probe| {
            let info = PROBES.iter().find(|info| info.id == id).expect("each has a place");
            if info.name == wanted {
                let result = probe.read(&mut look, &mut sample.sink(id));
                sample.finish(id, result, 0);
            }
        });
        black_box(sample.view().rows.len());
    })
}

/// A host with so many processes, which is gone when its owner is.
struct Crowd(PathBuf);

impl Crowd {
    fn new(name: &str) -> Self {
        let number: i32 = name.split(' ').find_map(|word| word.parse().ok()).expect("the name has a number");
        let root = std::env::temp_dir().join(format!("watchd-crowd-{}", std::process::id()));
        let big = recorded::manifest("probes/tests/fixtures/big/proc");
        copy(&big, &root.join("proc"));
        for pid in 1_000..1_000 + number {
            let dir = root.join(format!("proc/{pid}"));
            fs::create_dir_all(dir.join("task").join(pid.to_string())).expect("a directory can be made");
            let stat = format!(
                "{pid} (worker) S 1 {pid} {pid} 0 -1 4194560 10 20 30 40 31 5 7 11 20 0 3 0 1000 102607872 5050 \
                 18446744073709551615 1 1 0 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n"
            );
            fs::write(dir.join("stat"), stat).expect("a file can be written");
            fs::write(dir.join("cmdline"), "worker\0-x\0").expect("a file can be written");
            fs::write(dir.join(format!("task/{pid}/children")), "").expect("a file can be written");
        }
        Self(root)
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory can be made");
    for entry in fs::read_dir(from).expect("the fixture is there") {
        let entry = entry.expect("readable");
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            copy(&from, &to);
        } else if from.is_file() {
            fs::copy(&from, &to).expect("a file can be copied");
        }
    }
}

fn find(name: &str) -> Work {
    let crowd = Crowd::new(name);
    let host = host(&crowd.0);
    let mut buffer = Buffer::default();
    Box::new(move || {
        let _ = &crowd;
        let mut look = Look { host: &host, buffer: &mut buffer, now: Now::default() };
        let mut found = 0;
        let pattern = process::Pattern { name: b"nobody", uid: None };
        process::find(&mut look, &pattern, &mut |_| found += 1).expect("/proc is readable");
        assert_eq!(found, 0);
    })
}

/// Look, rates, history and board, ten of the processes being watched; what has a pace is not due.
fn cycle(name: &str) -> Work {
    let crowd = Crowd::new(name);
    let host = host(&crowd.0);
    let (mut buffer, mut probes, mut rates) = (Buffer::default(), Probes::default(), Rates::default());
    let (mut newest, mut before) = (Sample::default(), Sample::default());
    for place in 0..10 {
        let pid = 1_000 + i32::try_from(place).expect("it is small");
        probes.service.watch(place, format!("service{place}").as_bytes(), Some(pid), 1000);
    }
    let start = Now { mono: Duration::from_secs(1_000_000), wall: Duration::from_secs(1_767_225_900) };
    let (mut history, _) = History::open(&crowd.0.join("history"), start).expect("a history can be made");
    let mut board = Board::create(&crowd.0.join("board")).expect("a board can be made");
    let mut micros = 0;
    let mut look = move || {
        micros += 1;
        let apart = Duration::from_micros(micros);
        let now = Now { mono: start.mono + apart, wall: start.wall + apart };
        std::mem::swap(&mut newest, &mut before);
        let mut look = Look { host: &host, buffer: &mut buffer, now };
        probes.read_all(&mut look, &mut newest);
        rates.update(&before, &newest, Duration::from_secs(1));
        let readings = Readings { view: newest.view(), rates: rates.as_slice() };
        assert!(history.record(readings, now).error.is_none());
        let header = Header::default();
        let (services, classes, promises, events, learned) = (&[], &[], &[], &[], &[]);
        board.publish(&Page { header: &header, readings, services, classes, promises, events, learned });
        let _ = &crowd;
        // Whether the first pass over all processes is complete.
        !matches!(newest.view().host(process::LOCKED), Value::Unknown)
    };
    while !look() {}
    Box::new(move || {
        look();
    })
}

fn publish(_: &str) -> Work {
    let shown = Shown::new("big", "count-publish");
    let mut snapshot = Snapshot::default();
    Reader::open(&shown.path).expect("it was made").read(&mut snapshot).expect("it is whole");
    let path = shown.path.with_file_name("other");
    let mut board = Board::create(&path).expect("a board can be made");
    Box::new(move || {
        let _ = &shown;
        let Snapshot { header, services, classes, promises, events, learned, .. } = &snapshot;
        let readings = snapshot.readings();
        board.publish(&Page { header, readings, services, classes, promises, events, learned });
    })
}

fn read(_: &str) -> Work {
    let shown = Shown::new("big", "count-read");
    let reader = Reader::open(&shown.path).expect("it was made");
    let mut snapshot = Snapshot::default();
    Box::new(move || {
        let _ = &shown;
        reader.read(black_box(&mut snapshot)).expect("nobody writes");
    })
}

/// So many commands, reports that rest on them, and classes that rest on each other.
fn text(promises: usize, classes: usize) -> String {
    let mut text = String::from("[disk.root]\npath = \"/\"\n");
    for number in 0..classes {
        let before = number.saturating_sub(1);
        let base = if number % 10 == 0 { "load_high".to_owned() } else { format!("c{before}") };
        let _ = writeln!(text, "[class.c{number}]\nwhen = \"({base} | Hr07) & !maintenance\"\nhold = \"1m\"");
    }
    for number in 0..promises / 2 {
        let class = number % classes.max(1);
        let _ = writeln!(
            text,
            "[command.p{number}]\nif = \"c{class} & !p{number}_failed\"\nrun = \"true\"\nevery = \"1h\""
        );
        let _ = writeln!(text, "[report.p{number}]\nif = \"p{number}_failed & disk_root_full\"\ntext = \"p{number}\"");
    }
    text
}

fn load(text: &str) -> Policy {
    match load_text("bench", text, &Inventory { cpus: 2, ..Inventory::default() }) {
        Ok((policy, _)) => policy,
        Err(faults) => panic!("{faults:#?}"),
    }
}

fn config(name: &str) -> Work {
    let text = if name.ends_with("small") { text(10, 10) } else { text(498, 400) };
    Box::new(move || {
        black_box(load(black_box(&text)));
    })
}

/// One pass in which nothing is due.
fn pass(name: &str) -> Work {
    let text = if name.starts_with("classes") { text(2, 1_000) } else { text(498, 400) };
    let policy = load(&text);
    let mut classes = Classes::new(policy.classes, 0, policy.promises.len());
    let mut actions = Actions::new(policy.promises.len());
    let mut agent = Agent::new(policy.promises, "host", Duration::from_secs(10));
    let mut sample = Sample::default();
    sample.begin();
    let mut seconds = 1_000_000;
    Box::new(move || {
        seconds += 10;
        let time = Duration::from_secs(seconds);
        let local = Calendar { year: 2026, month: 11, day: 22, weekday: 6, hour: 12, minute: 4 };
        let scene = Scene {
            now: Now { mono: time, wall: time },
            local,
            utc: local,
            readings: Readings { view: sample.view(), rates: &[] },
            services: &|_| None,
            learned: &|_| Findings::default(),
            is_state_writable: true,
        };
        agent.pass(Pass::Cycle, &mut classes, &scene, &mut actions);
        black_box(actions.as_slice().len());
    })
}

fn munin(name: &str) -> Work {
    let line = name.strip_prefix("munin ").expect("the name of a case").to_owned();
    let (snapshot, mut page) = (recorded::snapshot("big"), Text::new(Text::LIMIT));
    Box::new(move || {
        page.clear();
        let facts = Facts::new(&snapshot, recorded::NOW);
        Session::default().line(line.as_bytes(), "host", &facts, &mut page);
        assert!(page.bytes().len() > 20);
    })
}

fn metrics(_: &str) -> Work {
    let (snapshot, mut page) = (recorded::snapshot("big"), Text::new(Text::LIMIT));
    Box::new(move || {
        page.clear();
        openmetrics::write(&snapshot, recorded::NOW, Format::OpenMetrics, &mut page);
        assert!(page.bytes().len() > 1_000);
    })
}

fn status(_: &str) -> Work {
    let (snapshot, mut page) = (recorded::snapshot("big"), Text::new(Text::LIMIT));
    Box::new(move || {
        page.clear();
        watchd::export::json::status(&snapshot, recorded::NOW, &mut page);
        assert!(page.bytes().len() > 1_000);
    })
}
