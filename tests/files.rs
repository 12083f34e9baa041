//! Promises about files, kept by the real daemon.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use harness::{Daemon, Home, until};
use nix::sys::signal::Signal;
use watchd::files::{Memory, Task, keep};
use watchd::model::{Content, Edit, FileWork, Outcome};
use watchd::store::board::text;
use watchd::store::{Reader, Snapshot};

const HEAD: &str = "[watchd]\ncycle = \"100ms\"\n";

fn reads(path: &Path, expect: &str) -> Option<()> {
    (fs::read_to_string(path).ok()? == expect).then_some(())
}

fn stop(daemon: Daemon<'_>) {
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait_end(), 0);
}

fn snapshot(home: &Home) -> Option<Snapshot> {
    let mut snapshot = Snapshot::default();
    Reader::open(&home.board()).ok()?.read(&mut snapshot).ok()?;
    Some(snapshot)
}

/// How a promise stands on the board.
fn outcome(home: &Home, id: &str) -> Option<Outcome> {
    let snapshot = snapshot(home)?;
    snapshot.promises.iter().find(|row| text(&row.id) == id).map(|row| row.outcome())
}

fn is_on(home: &Home, class: &str) -> Option<()> {
    snapshot(home)?.classes.iter().any(|row| row.is_on() && text(&row.name) == class).then_some(())
}

/// Whether an event about this subject says this.
fn was_told(home: &Home, subject: &str, part: &str) -> Option<()> {
    let snapshot = snapshot(home)?;
    let told = |row: &watchd::store::EventRow| text(&row.subject) == subject && text(&row.text).contains(part);
    snapshot.events.iter().any(told).then_some(())
}

#[test]
fn lines_come_once_and_what_is_not_to_be_there_goes() {
    let config = format!(
        "{HEAD}[file.hosts]\npath = \"@/hosts\"\nlines = [\"192.0.2.10 db\", \"192.0.2.11 cache\"]\n\
         absent = '^192\\.0\\.2\\.9\\s'\nmode = \"0600\"\n\
         [file.cron]\npath = \"@/cron\"\ncreate = true\nline = \"* * * * * root keep\"\nblanks = \"ignore\"\n\
         [file.look]\npath = \"@/look\"\nline = \"x\"\nmode = \"warn\"\n\
         [file.text]\npath = \"@/text\"\ncreate = true\ntemplate = \"{{hosts.outcome}} {{class:any}} {{class:hosts_failed}}\\n\"\n\
         [report.mended]\nif = \"hosts_repaired\"\ntext = \"hosts: {{hosts.diff}}\"\n"
    );
    let home = Home::new("files", &config);
    home.scratch.write("hosts", "192.0.2.9 old\n127.0.0.1 localhost\n");
    home.scratch.write("look", "a\n");
    let daemon = home.start();
    let hosts = home.scratch.path("hosts");
    until("the lines", || reads(&hosts, "127.0.0.1 localhost\n192.0.2.10 db\n192.0.2.11 cache\n"));
    until("the file that was missing", || reads(&home.scratch.path("cron"), "* * * * * root keep\n"));
    until("the template", || reads(&home.scratch.path("text"), "kept true false\n"));
    until("rest", || (outcome(&home, "hosts")? == Outcome::Kept).then_some(()));
    assert_eq!(fs::metadata(&hosts).expect("it is there").permissions().mode() & 0o7777, 0o600);
    until("what would be", || (outcome(&home, "look")? == Outcome::Would).then_some(()));
    until("the difference", || was_told(&home, "look", "/look: 1 lines more, 0 less; +x"));
    until("the report", || was_told(&home, "mended", "hosts: 2 lines more, 1 less (not all may read it)"));
    assert_eq!(fs::read_to_string(home.scratch.path("look")).expect("it is there"), "a\n");
    let why = home.watchd(&["why", "look"]);
    assert!(String::from_utf8_lossy(&why.stdout).contains("+x"), "{why:?}");
    stop(daemon);
}

#[test]
fn what_changes_is_a_class_also_after_a_restart() {
    let config = format!(
        "{HEAD}[file.accounts]\npath = \"@/passwd\"\nwatch = \"sha256\"\n[class.seen]\nwhen = \"accounts_changed\"\n"
    );
    let home = Home::new("files", &config);
    home.scratch.write("passwd", "root\n");
    let daemon = home.start();
    until("a first look", || (outcome(&home, "accounts")? == Outcome::Kept).then_some(()));
    stop(daemon);
    home.scratch.write("passwd", "root\nevil\n");
    let daemon = home.start();
    until("the change", || was_told(&home, "accounts", "the text changed, 1 lines more, 0 less; +evil"));
    until("the class", || was_told(&home, "seen", ""));
    until("the end of the class", || is_on(&home, "accounts_changed").is_none().then_some(()));
    stop(daemon);
}

#[test]
fn a_directory_is_tidied_and_a_backup_is_missed() {
    let config = format!(
        "{HEAD}[file.logs]\nin = \"@/logs\"\nnames = [\"*.gz\"]\nkeep = 1\ndelete = true\n\
         [freshness.backup]\nin = \"@/backup\"\nnewest = \"1h\"\nsize = {{ min = \"1K\" }}\n\
         [report.freed]\nif = \"logs_repaired\"\ntext = \"{{logs.count}} files\"\n\
         [class.alarm]\nwhen = \"backup_stale\"\n"
    );
    let home = Home::new("files", &config);
    for name in ["logs/a.gz", "logs/b.gz", "logs/c.txt", "backup/.keep"] {
        let path = home.scratch.path(name);
        fs::create_dir_all(path.parent().expect("it has one")).expect("a directory can be made");
        fs::write(path, "x").expect("it can be written");
    }
    fs::remove_file(home.scratch.path("backup/.keep")).expect("it is ours");
    let daemon = home.start();
    until("one of them to go", || {
        let left = fs::read_dir(home.scratch.path("logs")).ok()?.count();
        (left == 2).then_some(())
    });
    assert!(home.scratch.path("logs/c.txt").exists());
    until("the report", || was_told(&home, "freed", "1 files"));
    until("the missing backup", || is_on(&home, "backup_stale"));
    assert_eq!(outcome(&home, "backup"), Some(Outcome::Failed));
    home.scratch.write("backup/today", "new");
    until("the fresh one", || (outcome(&home, "backup")? == Outcome::Kept).then_some(()));
    until("its end", || is_on(&home, "backup_stale").is_none().then_some(()));
    stop(daemon);
}

#[test]
fn numbers_come_from_logs_programs_and_the_host() {
    let config = format!(
        "{HEAD}[measure.errors]\nfile = \"@/log\"\nmatch = \"ERROR\"\nkind = \"counter\"\nhigh = 3\n\
         [measure.mailq]\nrun = \"cat @/number\"\nhigh = 500\nhigh-ok = 100\nunit = \"mails\"\n\
         [measure.five]\nmetric = \"load.five\"\nlow = -1\n\
         [report.queue]\nif = \"mailq_high\"\ntext = \"{{mailq.value}} wait\"\n"
    );
    let home = Home::new("files", &config);
    home.scratch.write("log", "ERROR before\n");
    home.scratch.write("number", "600\n");
    let daemon = home.start();
    until("a full queue", || is_on(&home, "mailq_high"));
    until("the report", || was_told(&home, "queue", "600 mails wait"));
    home.scratch.write("number", "200\n");
    until("the new number", || (value(&home, "mailq")? == 200.0).then_some(()));
    assert!(is_on(&home, "mailq_high").is_some(), "it is over below 100");
    home.scratch.write("number", "many\n");
    until("no number", || is_on(&home, "mailq_missing"));
    assert!(value(&home, "mailq").is_none_or(f64::is_nan), "missing is not zero");
    until("the first look", || (value(&home, "errors")? == 0.0).then_some(()));
    let mut log = fs::File::options().append(true).open(home.scratch.path("log")).expect("it opens");
    log.write_all(b"ERROR 1\nERROR 2\nERROR 3\n").expect("it can be written");
    until("the errors", || is_on(&home, "errors_high"));
    until("the load", || value(&home, "five").filter(|load| *load >= 0.0));
    let page = home.watchd(&["metrics"]);
    let page = String::from_utf8_lossy(&page.stdout).into_owned();
    assert!(page.contains("watchd_measure{id=\"errors\"} "), "{page}");
    assert!(!page.contains("watchd_measure{id=\"mailq\"}"), "{page}");
    stop(daemon);
}

#[test]
fn the_connections_of_a_port_are_a_number_and_have_a_spread() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = listener.local_addr().expect("it is bound").port();
    let config = format!(
        "{HEAD}[measure.www_in]\nmetric = \"tcp.port.{port}\"\nevery = \"100ms\"\nhigh = 3\n\
         [measure.www_out]\nmetric = \"tcp.to.{port}\"\nevery = \"100ms\"\n\
         [class.flood]\nwhen = \"www_in_high & www_in_entropy_low & !www_in_entropy_high\"\n\
         [report.flood]\nif = \"flood\"\ntext = \"{{www_in.value}} connections, most from {{www_in.top_peer}}\"\nchanges = true\n"
    );
    let home = Home::new("files-port", &config);
    let daemon = home.start();
    until("nobody", || (value(&home, "www_in")? == 0.0).then_some(()));
    let clients: Vec<_> =
        (0..3).map(|_| std::net::TcpStream::connect(("127.0.0.1", port)).expect("it listens")).collect();
    until("the flood", || is_on(&home, "flood"));
    until("the report", || was_told(&home, "flood", "3 connections, most from 127.0.0.1"));
    until("the other side", || (value(&home, "www_out")? == 3.0).then_some(()));
    drop(clients);
    drop(listener);
    until("the end", || is_on(&home, "flood").is_none().then_some(()));
    assert!(was_told(&home, "www_in", "127.0.0.1").is_none(), "who it is is no event of its own");
    stop(daemon);
}

fn value(home: &Home, id: &str) -> Option<f64> {
    let snapshot = snapshot(home)?;
    snapshot.promises.iter().find(|row| text(&row.id) == id).map(|row| row.figures[0])
}

#[test]
fn nothing_is_lost_while_another_program_edits_the_file() {
    let scratch = harness::Scratch::new("files-raced");
    let path = scratch.write("f", "");
    let state = scratch.path("state");
    fs::create_dir(&state).expect("a directory can be made");
    let edit = Edit { lines: vec!["ours".to_owned()], absent: vec!["^theirs 0$".to_owned()], ..Edit::default() };
    let work =
        FileWork { path: path.to_string_lossy().into_owned(), content: Content::Edit(edit), ..FileWork::default() };
    let memory = Memory::new(&state);
    let theirs = path.clone();
    #[allow(clippy::disallowed_methods, reason = "two programs at once")]
    let other = std::thread::spawn(move || {
        for number in 1..=400 {
            // As a shell does it with >>, and now and then something that we take out again.
            let mut file = fs::File::options().append(true).open(&theirs).expect("it is always there");
            writeln!(file, "theirs {number}\ntheirs 0").expect("it can be written");
        }
    });
    let mut outcomes = [0; 3];
    while !other.is_finished() {
        let tended =
            keep(&Task { id: "x", work: &work, is_dry: false, memory: &memory, render: &|_| Ok(String::new()) });
        match tended.outcome {
            Outcome::Kept => outcomes[0] += 1,
            Outcome::Repaired => outcomes[1] += 1,
            _ => outcomes[2] += 1,
        }
    }
    other.join().expect("it does not panic");
    keep(&Task { id: "x", work: &work, is_dry: false, memory: &memory, render: &|_| Ok(String::new()) });
    let left = fs::read_to_string(&path).expect("it is there");
    let lost: Vec<u32> = (1..=400)
        .filter(|number| left.lines().filter(|line| *line == format!("theirs {number}")).count() != 1)
        .collect();
    eprintln!("kept, repaired, given up: {outcomes:?}; lost {lost:?}");
    assert!(lost.is_empty(), "{lost:?}");
    assert_eq!(left.lines().filter(|line| *line == "ours").count(), 1);
    assert!(!left.contains("theirs 0\n"));
}
