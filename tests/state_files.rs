//! The files of the state directory after a power cut, and after a disk has gone bad.
//!
//! A daemon's story is recorded call by call (strace), and its writes are made again up to each of them in turn, whole and torn at
//! every sector: what a reader finds is always what stood there before, or what was written, and never a damaged file. Then bytes
//! of the files are flipped: what is still told was true once. Files of another version, and ones that are cut or something else,
//! are set aside under another name, with an event, and no service is started a second time.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use harness::{Home, Scratch, skip};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use watchd::learn::book::Book;
use watchd::model::{EventKind, Now, ServiceState};
use watchd::store::board;
use watchd::store::history::{History, HistoryReader, Span};
use watchd::store::journal::{Found, Journal};
use watchd::store::ledger::Ledger;
use watchd::store::locks::{self, Locks};
use watchd::store::marker;
use watchd::store::outbox::Outbox;
use watchd::store::twin::Twin;
use watchd::sys::{clock, daemon};

const POLICY: &str = "[watchd]\ncycle = \"200ms\"\nsendmail = [\"@/mailer\"]\n\
    [process.web]\nrun = [\"@/stamp\", \"@/web\"]\nsettle = \"50ms\"\nbackoff = [\"10ms\", \"50ms\"]\nlimit = \"100/10m\"\n\
    [command.tidy]\nif = \"told\"\nrun = [\"/bin/true\"]\nevery = \"1h\"\nlimit = \"3/1h\"\n\
    [report.r]\nif = \"told\"\nchanges = true\ntext = \"it was told\"\nto = [\"mail:root\"]\n";

/// The files, and what an event calls each of them.
const FILES: [(&str, &str); 7] = [
    ("services", "ledger of services"),
    ("events", "journal"),
    ("history", "history"),
    ("learned", "learned"),
    ("classes", "classes set by hand"),
    ("promises", "promises have done"),
    ("outbox", "reports to be sent"),
];

/// What becomes of the bytes of a file.
type Change<'a> = &'a dyn Fn(&[u8]) -> Vec<u8>;

/// What a call has done to the directory.
#[derive(Debug)]
enum Deed {
    Make(String),
    Grow(String, usize),
    Write(String, usize, Vec<u8>),
    Rename(String, String),
    Remove(String),
}

/// The directory as it is at a moment: names and bytes.
type Disk = BTreeMap<String, Vec<u8>>;

impl Deed {
    /// What a line of strace's has done below `state`; nothing when it failed.
    fn parse(line: &str, state: &str) -> Option<Self> {
        let (name, rest) = line.split_once('(')?;
        let result = rest.rsplit_once(" = ")?.1;
        if result.starts_with('-') {
            return None;
        }
        let texts: Vec<Vec<u8>> = rest.split('"').skip(1).step_by(2).map(bytes_of).collect();
        let below = |path: &[u8]| {
            let path = std::str::from_utf8(path).ok()?.strip_prefix(state)?.strip_prefix('/')?;
            (!path.contains('/')).then(|| path.to_owned())
        };
        let of_fd = || below(&bytes_of(rest.split_once('<')?.1.split_once('>')?.0));
        let numbers: Vec<usize> = rest.rsplit_once(')')?.0.rsplit(", ").map_while(|word| word.parse().ok()).collect();
        Some(match name {
            "openat" if rest.contains("O_CREAT") => Self::Make(below(texts.first()?)?),
            "fallocate" => Self::Grow(of_fd()?, numbers.first()? + numbers.get(1)?),
            "pwrite64" => Self::Write(of_fd()?, *numbers.first()?, texts.into_iter().next()?),
            "write" => Self::Write(of_fd()?, usize::MAX, texts.into_iter().next()?),
            "rename" => Self::Rename(below(&texts[0])?, below(&texts[1])?),
            "unlink" => Self::Remove(below(texts.first()?)?),
            _ => return None,
        })
    }

    fn file(&self) -> &str {
        match self {
            Self::Make(file) | Self::Grow(file, _) | Self::Write(file, ..) | Self::Remove(file) => file,
            Self::Rename(_, file) => file,
        }
    }

    /// Does it again, of a write only the first `cut` bytes.
    fn repeat(&self, disk: &mut Disk, cut: usize) {
        match self {
            Self::Make(file) => drop(disk.entry(file.clone()).or_default()),
            Self::Grow(file, end) => {
                let bytes = disk.entry(file.clone()).or_default();
                bytes.resize(bytes.len().max(*end), 0);
            }
            Self::Write(file, at, written) => {
                let bytes = disk.entry(file.clone()).or_default();
                let at = if *at == usize::MAX { bytes.len() } else { *at };
                let written = &written[..cut.min(written.len())];
                bytes.resize(bytes.len().max(at + written.len()), 0);
                bytes[at..at + written.len()].copy_from_slice(written);
            }
            Self::Rename(from, to) => {
                if let Some(bytes) = disk.remove(from) {
                    disk.insert(to.clone(), bytes);
                }
            }
            Self::Remove(file) => drop(disk.remove(file)),
        }
    }

    /// Where the power may go in the middle of it: between sectors, and, which no disk does, within one.
    fn cuts(&self) -> Vec<usize> {
        let Self::Write(_, at, written) = self else { return Vec::new() };
        let first = if *at == usize::MAX { 512 } else { 512 - at % 512 };
        let mut cuts: Vec<usize> = (first..written.len()).step_by(512).collect();
        cuts.extend([1, written.len() / 2, written.len() - 1]);
        cuts
    }
}

/// `\x41\x42`, or plain text.
fn bytes_of(text: &str) -> Vec<u8> {
    if !text.starts_with("\\x") {
        return text.as_bytes().to_vec();
    }
    text.split("\\x").skip(1).map(|digits| u8::from_str_radix(digits, 16).expect("two digits")).collect()
}

/// What a file tells whoever opens it, in lines; `SET ASIDE` when it was damaged. The file is in `dir`, under its own name.
fn told(dir: &Path, file: &str, bytes: &[u8]) -> Vec<String> {
    let path = dir.join(file);
    let aside = dir.join(format!("{file}.damaged"));
    let _ = fs::remove_file(&aside);
    fs::write(&path, bytes).expect("a file can be written");
    let (boot, now) = (daemon::boot_id().expect("there is one"), clock::now());
    let mut lines = Vec::new();
    let mut mind = |is_aside: bool| {
        if is_aside {
            lines.push("SET ASIDE".to_owned());
        }
    };
    match file {
        "services" => {
            let (mut ledger, damaged) = Ledger::open(&path, boot).expect("it opens");
            mind(damaged.is_some());
            lines.push(format!("{:?}", ledger.recall("web").expect("it is read")));
        }
        "events" => {
            let (journal, found) = Journal::open(&path).expect("it opens");
            mind(found == Found::Damaged);
            lines.extend(journal.last(4096).iter().map(|row| format!("{} {}", row.number, board::text(&row.text))));
        }
        "classes" => {
            let (_, found) = Twin::open(&path, *b"watchd classes 1", 32 * 128).expect("it opens");
            mind(found.aside.is_some());
            lines.push(format!("{:?}", found.block));
        }
        "outbox" => {
            let (_, found) = Outbox::open(&path).expect("it opens");
            mind(found.aside.is_some());
            lines.extend(found.letters.iter().map(|letter| format!("{letter:?}")));
        }
        "promises" => {
            let (locks, damaged) = Locks::open(&path, &boot).expect("it opens");
            mind(damaged.is_some());
            // As of one moment, or its age would differ.
            let acts = locks.read(locks::key("command", "tidy"), Now::default()).expect("it is read");
            lines.push(format!("{acts:?}"));
        }
        "history" => {
            let (_, damage) = History::open(&path, now).expect("it opens");
            mind(damage.is_some());
            lines.extend(points(&path));
        }
        "learned" => {
            let (_, damage) = Book::open(&path).expect("it opens");
            mind(damage.aside.is_some());
            lines.push(format!("{} groups are lost", damage.groups));
        }
        "stopped" => lines.push(marker::is_stopped(&path, &boot).to_string()),
        // What is not in its place yet is nobody's.
        _ => {}
    }
    if lines.first().is_some_and(|line| line == "SET ASIDE") {
        assert_eq!(fs::read(&aside).expect("it is kept"), bytes, "{file}: kept as it was found");
    }
    lines
}

/// The names of all series, and the points of one.
fn points(path: &Path) -> Vec<String> {
    let Ok(reader) = HistoryReader::open(path) else { return Vec::new() };
    let mut lines = Vec::new();
    let mut places = Vec::new();
    let each = reader.each(&mut |name, place| {
        lines.push(format!("{} {:?}", name.metric(), name.object()));
        if name.metric() == "load.one" {
            places.push(place);
        }
        true
    });
    each.expect("it is read");
    let now = clock::now().wall.as_secs();
    for place in places {
        let span = Span { from: now - 600, to: now, points: 600 };
        let read = reader.read(place, span, now, &mut |point| lines.push(format!("{point:?}")));
        read.expect("it is read");
    }
    lines
}

/// What the daemon did to its state directory while a service died, a class was set, a report was not delivered and it ended.
fn recorded(home: &Home) -> Option<Vec<Deed>> {
    let works = Command::new("strace").args(["-D", "-o", "/dev/null", "true"]).output();
    if !works.is_ok_and(|output| output.status.success()) {
        skip("to record system calls takes strace");
        return None;
    }
    home.scratch.program("stamp.c", "stamp");
    home.scratch.script("mailer", "#!/bin/sh\nexit 75\n");
    let plain = home.command(&["run"]);
    let mut command = Command::new("strace");
    command.args([
        "-D",
        "-y",
        "-xx",
        "-s",
        "100000",
        "-e",
        "trace=openat,fallocate,pwrite64,write,rename,unlink",
        "-o",
    ]);
    command.arg(home.scratch.path("trace")).arg(plain.get_program()).args(plain.get_args());
    let mut daemon = home.spawn_as(command);
    let pid = daemon.wait_state("web", ServiceState::Ready).pid;
    kill(Pid::from_raw(pid), Signal::SIGKILL).expect("it lives");
    daemon.wait_for("another process", |snapshot| {
        let row = snapshot.service("web")?;
        (row.state() == ServiceState::Ready && row.pid != pid).then_some(())
    });
    assert_eq!(home.ask(&["class", "set", "told"]).0, 0);
    daemon.wait_for("a report that is kept", |snapshot| {
        snapshot.events.iter().any(|row| row.kind() == EventKind::ReportUndelivered).then_some(())
    });
    let cycles = daemon.wait_for("a cycle", |snapshot| Some(snapshot.header.cycles));
    daemon.wait_for("rows of the history", |snapshot| (snapshot.header.cycles > cycles + 20).then_some(()));
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait_end(), 0);
    let state = home.scratch.text("state");
    let trace = harness::until("the whole record", || {
        let text = fs::read_to_string(home.scratch.path("trace")).ok()?;
        text.contains("+++ exited").then_some(text)
    });
    Some(trace.lines().filter_map(|line| Deed::parse(line, &state)).collect())
}

#[test]
fn a_power_cut_leaves_the_state_before_or_the_state_after() {
    let home = Home::new("power", POLICY);
    let Some(deeds) = recorded(&home) else { return };
    let scratch = Scratch::new("power-replay");
    let (mut disk, mut states) = (Disk::new(), BTreeMap::<String, usize>::new());
    let mut truths = BTreeMap::<String, BTreeSet<String>>::new();
    for deed in &deeds {
        let file = deed.file().to_owned();
        let before = told(&scratch.dir, &file, disk.get(&file).map_or(&[][..], Vec::as_slice));
        let mut done = disk.clone();
        deed.repeat(&mut done, usize::MAX);
        let after = told(&scratch.dir, &file, done.get(&file).map_or(&[][..], Vec::as_slice));
        for cut in deed.cuts() {
            let mut torn = disk.clone();
            deed.repeat(&mut torn, cut);
            let found = told(&scratch.dir, &file, &torn[&file]);
            let is_whole = [&before, &after].into_iter().any(|state| &found == state || is_but_newest(&found, state));
            assert!(is_whole, "{file} cut at {cut} of {deed:?}:\n{found:?}\nbefore {before:?}\nafter {after:?}");
            *states.entry(file.clone()).or_default() += 1;
        }
        assert!(!after.iter().any(|line| line == "SET ASIDE"), "{file} after {deed:?}");
        truths.entry(file.clone()).or_default().extend(after);
        *states.entry(file).or_default() += 1;
        disk = done;
    }
    println!("{} writes, states looked at: {states:?}", deeds.len());
    for (file, _) in FILES {
        assert!(states.get(file).is_some_and(|states| *states > 3), "{file} was written: {states:?}");
        assert_eq!(disk[file], fs::read(home.scratch.path("state").join(file)).expect("it is there"), "{file}");
        flip(&scratch.dir, file, &disk[file], &truths[file]);
    }
}

/// Whether these are all points of a history but the newest: its row is written over and over until its time is up, and one write
/// that is torn loses it. That is the one cycle which a power cut may cost.
fn is_but_newest(found: &[String], state: &[String]) -> bool {
    state.split_last().is_some_and(|(newest, rest)| newest.starts_with("Point ") && found == rest)
}

/// Flips bytes of a file, every one or some: what is told then was true at some time, or is not told.
fn flip(dir: &Path, file: &str, bytes: &[u8], truths: &BTreeSet<String>) {
    let most = if std::env::var("WATCHD_FAULTS").is_ok_and(|wish| wish == "all") { usize::MAX } else { 150 };
    let used: Vec<usize> = (0..bytes.len()).filter(|place| bytes[*place] != 0 || place % 65_536 == 77).collect();
    let step = (used.len() / most).max(1);
    let mut flipped = bytes.to_vec();
    for place in used.iter().copied().step_by(step).chain(0..used.len().min(24)) {
        for mask in [0xff, 1] {
            flipped[place] ^= mask;
            let found = told(dir, file, &flipped);
            for line in found.iter().filter(|line| *line != "SET ASIDE" && !line.ends_with("are lost")) {
                let was_true = truths.contains(line) || ["None", "false"].contains(&line.as_str());
                assert!(was_true, "{file} with byte {place} flipped tells {line}");
            }
            flipped[place] = bytes[place];
        }
    }
    println!("{file}: {} of {} bytes flipped", used.len() / step, bytes.len());
}

#[test]
fn a_file_of_another_version_or_cut_or_foreign_is_set_aside_and_told_and_nothing_runs_twice() {
    let home = Home::new("versions", POLICY);
    let Some(_) = recorded(&home) else { return };
    let state = home.scratch.path("state");
    let mut daemon = home.start();
    let mut pid = daemon.wait_state("web", ServiceState::Ready).pid;
    daemon.kill();
    let other = |bytes: &[u8], by: fn(u8) -> u8| {
        let is_version = |byte: &u8| matches!(byte, b'1' | b'2');
        let place = bytes.iter().position(is_version).expect("the version stands in the head");
        [&bytes[..place], &[by(bytes[place])], &bytes[place + 1..]].concat()
    };
    let newer = |bytes: &[u8]| other(bytes, |version| version + 1);
    let older = |bytes: &[u8]| other(bytes, |version| version - 1);
    let foreign =
        |bytes: &[u8]| b"#!/bin/sh\n# somebody's own file\n".iter().copied().cycle().take(bytes.len()).collect();
    let ways: [(&str, Change<'_>); 3] = [("newer", &newer), ("older", &older), ("foreign", &foreign)];
    for (way, change) in ways {
        let mut put = BTreeMap::new();
        for (file, _) in FILES {
            let bytes = fs::read(state.join(file)).expect("it is there");
            let is_two_copies = matches!(file, "classes" | "outbox");
            // Both copies of a file that is kept twice.
            let half = bytes.len() / 2;
            let changed = if is_two_copies && bytes[half..].iter().any(|byte| *byte != 0) && bytes[..16] != [0; 16] {
                [change(&bytes[..half]), change(&bytes[half..])].concat()
            } else {
                change(&bytes)
            };
            fs::write(state.join(file), &changed).expect("it can be written");
            let _ = fs::remove_file(state.join(format!("{file}.damaged")));
            put.insert(file, changed);
        }
        let mut daemon = home.start();
        let now = daemon.wait_state("web", ServiceState::Ready).pid;
        // Of a ledger that is not ours at all nothing is known, and the service is started once more: that is what is told.
        assert!(now == pid || way == "foreign", "{way}: {now} and not {pid}");
        if now != pid {
            kill(Pid::from_raw(pid), Signal::SIGKILL).expect("it lives");
        }
        pid = now;
        let said = daemon.said();
        for (file, called) in FILES {
            let aside = fs::read(state.join(format!("{file}.damaged")));
            assert!(aside.as_ref().is_ok_and(|aside| *aside == put[file]), "{way}: {file} is kept as it was\n{said}");
            let is_told = said.lines().any(|line| line.contains("state-damaged") && line.contains(called));
            assert!(is_told, "{way}: not a word about {file}:\n{said}");
        }
        // Something stands in each of them again.
        assert_eq!(home.ask(&["class", "set", "told"]).0, 0);
        assert_eq!(home.ask(&["restart", "web"]).0, 0);
        pid = daemon.wait_for("another process", |snapshot| {
            let row = snapshot.service("web")?;
            (row.state() == ServiceState::Ready && row.pid != pid).then_some(row.pid)
        });
        daemon.wait_for("a report that is kept", |snapshot| {
            snapshot.events.iter().any(|row| row.kind() == EventKind::ReportUndelivered).then_some(())
        });
        daemon.kill();
        fs::write(home.scratch.path("said"), "").expect("it is ours");
    }
}
