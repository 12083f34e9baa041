//! `watchd agent` and the shadow, with the real program: one pass without a daemon, beside one, and what is only told.

#![allow(clippy::expect_used, clippy::indexing_slicing)]

mod harness;

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use harness::{Home, look, until};
use watchd::model::{EventKind, Now, ServiceState};
use watchd::store::locks::{Locks, Taken, key};

/// A daemon that is found through its pidfile, a command that leaves a trace, a report, and something that fails.
const POLICY: &str = "[watchd]\ncycle = \"100ms\"\n\
    [process.db]\npidfile = \"@/db.pid\"\nsettle = \"100ms\"\nstart = [\"@/start\"]\n\
    [command.tidy]\nevery = \"1h\"\nrun = \"echo x >> @/ran\"\n\
    [report.restarted]\nif = \"db_repaired\"\ntext = \"restarted {repaired}\"\nrun = \"cat >> @/told; echo >> @/told\"\n";

fn home(name: &str, policy: &str) -> Home {
    let home = Home::new(name, policy);
    home.scratch.copied("/bin/sleep", "sleeper");
    let dir = home.scratch.dir.display();
    home.scratch.script(
        "start",
        &format!("#!/bin/sh\nsetsid {dir}/sleeper 1000000 >/dev/null 2>&1 </dev/null &\necho $! > {dir}/db.pid\n"),
    );
    home
}

fn lines(path: &Path) -> usize {
    fs::read_to_string(path).map_or(0, |text| text.lines().count())
}

#[test]
fn a_pass_without_a_daemon_mends_what_is_broken_and_the_next_does_nothing() {
    let home = home("pass-alone", POLICY);
    let (ran, told) = (home.scratch.path("ran"), home.scratch.path("told"));
    let (code, said) = home.ask(&["agent", "--once"]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("repaired  process db") && said.contains("repaired  command tidy"), "{said}");
    let pids = || look::running_from(&home.scratch.dir);
    let first = pids();
    assert_eq!((first.len(), lines(&ran), lines(&told)), (1, 1, 1), "{said}");
    let (code, said) = home.ask(&["agent", "--once"]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("kept      process db"), "{said}");
    assert_eq!((pids(), lines(&ran), lines(&told)), (first.clone(), 1, 1), "{said}");
    home.scratch.end_all();
    let (code, said) = home.ask(&["agent"]);
    assert!(code == 0 && said.contains("repaired  process db"), "{said}");
    assert!(pids() != first && lines(&ran) == 1, "the interval of the command has not passed");
    assert!(!home.board().exists(), "nothing is left in the run directory");
}

#[test]
fn what_a_daemon_finds_dead_and_starts_is_repaired_and_what_it_finds_alive_is_kept() {
    let home = home("pass-found", POLICY);
    let repairs = || home.ask(&["events", "--last", "1000"]).1.matches("process db: repaired").count();
    // Ready as another process than before, and judged so.
    let settled = |daemon: &mut harness::Daemon<'_>, old: i32| {
        let pid = daemon.wait_for("it to run", |page| {
            page.service("db").filter(|row| row.state() == ServiceState::Ready && row.pid != old).map(|row| row.pid)
        });
        let cycles = daemon.wait_for("a cycle", |page| Some(page.header.cycles));
        daemon.wait_for("two cycles", |page| (page.header.cycles > cycles + 2).then_some(()));
        pid
    };
    // The first start of all, and one of a service that died with the daemon.
    for expect in [1, 2] {
        let mut daemon = home.start();
        settled(&mut daemon, 0);
        assert_eq!(repairs(), expect, "it was dead");
        daemon.kill();
        let mut daemon = home.start();
        let pid = settled(&mut daemon, 0);
        assert_eq!(home.ask(&["restart", "db"]).0, 0);
        settled(&mut daemon, pid);
        assert_eq!(repairs(), expect, "it was there, and then somebody asked for it");
        daemon.kill();
        home.scratch.end_all();
    }
}

#[test]
fn a_pass_says_what_failed_and_refuses_a_bad_config() {
    let home = home("pass-failed", "[command.bad]\nevery = \"1h\"\nrun = \"echo no room; exit 3\"\n");
    let (code, said) = home.ask(&["agent", "--once"]);
    assert_eq!((code, said.as_str()), (1, "failed    command bad: exit status 3: no room\n"));
    home.configure("[command.bad]\nrun = 3\n");
    assert_eq!(home.watchd(&["agent", "--once"]).status.code(), Some(2));
    assert_eq!(home.watchd(&["agent", "twice"]).status.code(), Some(2));
}

#[test]
fn a_dry_run_tells_and_touches_nothing() {
    let home = home("pass-dry", POLICY);
    let (code, said) = home.ask(&["agent", "--once", "--dry-run"]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("would     process db: process db #1: would start it"), "{said}");
    assert!(said.contains("would     command tidy: command tidy #1: would run echo x"), "{said}");
    assert!(!home.scratch.path("ran").exists() && !home.scratch.path("state").exists() && !home.run_dir().exists());
    assert!(look::running_from(&home.scratch.dir).is_empty());
}

#[test]
fn a_pass_beside_a_daemon_does_nothing_twice() {
    let home = home("pass-beside", POLICY);
    let ran = home.scratch.path("ran");
    let mut daemon = home.start();
    daemon.wait_state("db", ServiceState::Ready);
    until("the command of the daemon", || (lines(&ran) == 1).then_some(()));
    for _ in 0..3 {
        let output = home.watchd(&["agent", "--once"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{said}");
        assert!(said.contains("a daemon runs"), "{said}");
    }
    assert_eq!((lines(&ran), look::running_from(&home.scratch.dir).len()), (1, 1));
    // A command that runs is not started a second time.
    home.configure(
        &POLICY
            .replace("echo x >> @/ran", "echo x >> @/ran; while [ ! -e @/go ]; do read x < @/wait; done")
            .replace("tidy", "slow"),
    );
    let pipe = home.scratch.path("wait");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::from_bits_truncate(0o600)).expect("a pipe can be made");
    daemon.signal(nix::sys::signal::Signal::SIGHUP);
    until("the second command", || (lines(&ran) == 2).then_some(()));
    assert_eq!(home.watchd(&["agent", "--once"]).status.code(), Some(0));
    assert_eq!(lines(&ran), 2);
    home.scratch.write("go", "");
    fs::write(&pipe, "go\n").expect("the command reads");
    daemon.wait_for("the end of the command", |page| {
        page.promises.iter().any(|row| row.outcome() == watchd::model::Outcome::Repaired).then_some(())
    });
}

#[test]
fn an_interval_outlives_the_daemon() {
    let home = home("pass-interval", POLICY);
    let ran = home.scratch.path("ran");
    let daemon = home.start();
    until("the command", || (lines(&ran) == 1).then_some(()));
    daemon.kill();
    let mut again = home.start();
    again.wait_for("some cycles", |page| (page.header.cycles > 5).then_some(()));
    assert_eq!(lines(&ran), 1);
}

#[test]
fn in_the_shadow_everything_is_judged_and_nothing_done() {
    let home = home("pass-shadow", POLICY);
    let mut daemon = home.spawn_as(home.command(&["run", "--shadow"]));
    daemon.wait_for("what would be done", |page| {
        let would = page.events.iter().filter(|row| row.kind() == EventKind::PromiseWould).count();
        (would == 2 && page.header.cycles > 5).then_some(())
    });
    assert!(look::running_from(&home.scratch.dir).is_empty() && !home.scratch.path("ran").exists());
    home.configure(&format!("{POLICY}[command.other]\nrun = \"touch @/other\"\n"));
    daemon.signal(nix::sys::signal::Signal::SIGHUP);
    daemon.wait_for("the same after a reload", |page| {
        (page.events.iter().filter(|row| row.kind() == EventKind::PromiseWould).count() == 3).then_some(())
    });
    assert!(!home.scratch.path("other").exists());
    let (code, said) = home.ask(&["shadow"]);
    assert!(code == 0 && said.starts_with("1 restarts\n") && said.contains("2 commands\n"), "{said}");
    assert_eq!(home.ask(&["shadow", "--since", "soon"]).0, 2);
    daemon.kill();
    assert!(home.ask(&["shadow", "--since", "1h"]).1.contains("process db"));
}

#[test]
fn a_pass_waits_for_the_files_it_looks_after() {
    let home = home("pass-file", "[file.line]\npath = \"@/table\"\ncreate = true\nline = \"once\"\n");
    let table = home.scratch.path("table");
    let (_, said) = home.ask(&["agent", "--dry-run"]);
    assert!(said.contains("would") && !table.exists(), "{said}");
    for word in ["repaired", "kept"] {
        let (code, said) = home.ask(&["agent", "--once"]);
        assert!(code == 0 && said.starts_with(word), "{said}");
        assert_eq!(fs::read_to_string(&table).expect("it was made"), "once\n");
    }
}

/// Everything that a pass might touch: an edit, a text that is to be made, old files, a watch, ages, and a number from a program.
const FILES: &str = "[watchd]\ncycle = \"100ms\"\n\
    [file.line]\npath = \"@/table\"\nline = \"new\"\nabsent = \"^old\"\nmode = \"0600\"\nbackup = true\n\
    [file.made]\npath = \"@/made\"\ncreate = true\ntemplate = \"{host}\\n\"\n\
    [file.logs]\nin = \"@/logs\"\nnames = [\"*.log\"]\nolder = \"1h\"\ndelete = true\n\
    [file.seen]\npath = \"@/table\"\nwatch = \"sha256\"\n\
    [freshness.backup]\nin = \"@/logs\"\nnames = [\"*\"]\nnewest = \"1h\"\n\
    [measure.mails]\nrun = \"echo x >> @/ran; echo 5\"\n";

fn with_files(name: &str) -> Home {
    let home = Home::new(name, FILES);
    home.scratch.write("table", "head\nold 1\n");
    fs::create_dir(home.scratch.path("logs")).expect("a directory can be made");
    let old = home.scratch.write("logs/a.log", "what was said");
    let file = fs::File::options().write(true).open(old).expect("it is there");
    file.set_modified(SystemTime::now() - Duration::from_secs(7_200)).expect("it is ours");
    home
}

/// Every file there is but watchd's own, with its text, rights and time.
fn all(home: &Home) -> Vec<String> {
    fn add(dir: &Path, all: &mut Vec<String>) {
        for entry in fs::read_dir(dir).expect("it can be read").flatten() {
            let (path, facts) = (entry.path(), entry.metadata().expect("it is there"));
            if facts.is_dir() {
                add(&path, all);
            } else {
                let mode = std::os::unix::fs::PermissionsExt::mode(&facts.permissions());
                let text = fs::read_to_string(&path).unwrap_or_default();
                all.push(format!("{} {mode:o} {:?} {text}", path.display(), facts.modified()));
            }
        }
    }
    let mut found = Vec::new();
    add(&home.scratch.dir, &mut found);
    let own = [home.scratch.path("run"), home.scratch.path("state"), home.scratch.path("said")];
    found.retain(|line| !own.iter().any(|own| line.starts_with(&*own.to_string_lossy())));
    found.sort();
    found
}

#[test]
fn a_dry_run_shows_what_it_would_do_to_files_and_does_nothing() {
    let home = with_files("pass-dry-files");
    let before = all(&home);
    let (code, said) = home.ask(&["agent", "--once", "--dry-run"]);
    for part in [
        "would     file line: file line #1: would change ",
        "\n           head\n          -old 1\n          +new\n",
        "would     file made: ",
        "would     file logs: file logs #1: would delete 1 file, ",
        "kept      file seen\n",
        "failed    freshness backup: ",
        "would     measure mails: measure mails #1: would measure, not run: echo x",
    ] {
        assert!(said.contains(part), "{part:?} in {said}");
    }
    assert_eq!(code, 1, "data is stale: {said}");
    assert_eq!(all(&home), before);
    assert!(!home.scratch.path("state").exists() && !home.run_dir().exists());
}

#[test]
fn the_shadow_counts_what_it_would_do_to_files_and_does_nothing() {
    let home = with_files("pass-shadow-files");
    let before = all(&home);
    let mut daemon = home.spawn_as(home.command(&["run", "--shadow"]));
    let would = |id: &str, page: &watchd::store::Snapshot| {
        let is = |row: &&watchd::store::EventRow| {
            row.kind() == EventKind::PromiseWould && watchd::store::board::text(&row.subject) == id
        };
        page.events.iter().filter(is).count()
    };
    daemon.wait_for("what would be done", |page| {
        let all = ["line", "made", "logs", "mails"].iter().all(|id| would(id, page) > 0);
        (all && page.header.cycles > 5).then_some(())
    });
    assert_eq!(all(&home), before);
    let (code, said) = home.ask(&["shadow"]);
    assert!(code == 0 && said.contains("3 edits\n") && said.contains("programs that measure\n"), "{said}");
    daemon.kill();
}

#[test]
fn files_are_changed_by_one_run_at_a_time() {
    let home = with_files("pass-file-lock");
    fs::create_dir(home.scratch.path("state")).expect("a directory can be made");
    let (locks, _) = Locks::open(&home.scratch.path("state/promises"), &[0; 40]).expect("it can be made");
    let now = Now::default();
    for id in ["line", "logs"] {
        assert_eq!(locks.take(key("file", id), now).expect("it works"), Taken::Ours(None));
    }
    let (table, log) = (home.scratch.path("table"), home.scratch.path("logs/a.log"));
    let (_, said) = home.ask(&["agent", "--once"]);
    assert!(said.contains("repaired  file made"), "{said}");
    assert_eq!(fs::read_to_string(&table).expect("it is there"), "head\nold 1\n", "{said}");
    assert!(log.exists(), "{said}");
    drop(locks);
    let (_, said) = home.ask(&["agent", "--once"]);
    assert!(said.contains("repaired  file line") && said.contains("repaired  file logs"), "{said}");
    assert_eq!(fs::read_to_string(&table).expect("it is there"), "head\nnew\n", "{said}");
    assert!(!log.exists(), "{said}");
}

#[test]
fn the_interval_and_the_limit_of_a_file_hold_over_runs() {
    for (bound, said_at_last) in [("every = \"1h\"", ""), ("limit = \"1/1h\"", "not done: its limit is spent")] {
        let home = Home::new("pass-file-every", &format!("[file.f]\npath = \"@/f\"\nline = \"x\"\n{bound}\n"));
        let path = home.scratch.write("f", "");
        let (_, said) = home.ask(&["agent", "--once"]);
        assert!(said.starts_with("repaired  file f"), "{bound}: {said}");
        home.scratch.write("f", "spoilt\n");
        let (code, said) = home.ask(&["agent", "--once"]);
        assert_eq!(fs::read_to_string(&path).expect("it is there"), "spoilt\n", "{bound}: {said}");
        assert!(code == 0 && said.contains(said_at_last), "{bound}: {said}");
    }
}

/// The example with daemons, a table and a mail program of our own.
fn three(crontab: &str) -> Home {
    let mut text = include_str!("../contrib/examples/keep-three-alive.toml").to_owned();
    for (from, to) in [
        ("match = \"sshd\"", "match = \"@/three_sshd\""),
        ("match = \"cron\"", "match = \"@/three_cron\""),
        ("match = \"ntpd\"", "match = \"@/three_ntpd\""),
        ("[\"/usr/sbin/sshd\"]", "[\"@/start\", \"sshd\"]"),
        ("[\"/usr/sbin/cron\"]", "[\"@/start\", \"cron\"]"),
        ("\"service ntp restart\"", "\"@/start ntpd\""),
        ("\"5s\"", "\"1s\""),
        ("/etc/crontab", "@/crontab"),
        ("/usr/sbin/sendmail", "@/mail"),
    ] {
        assert_eq!(text.matches(from).count(), 1, "{from}");
        text = text.replace(from, to);
    }
    let home = Home::new("pass-three", &text);
    let dir = home.scratch.dir.display();
    let start = format!("#!/bin/sh\nsetsid {dir}/three_$1 1000000 >/dev/null 2>&1 </dev/null &\n");
    for (name, script) in [("start", start), ("mail", format!("#!/bin/sh\ncat >> {dir}/mailed\n"))] {
        home.scratch.script(name, &script);
    }
    for name in ["sshd", "cron", "ntpd"] {
        home.scratch.copied("/bin/sleep", &format!("three_{name}"));
    }
    home.scratch.write("crontab", crontab);
    home
}

#[test]
fn three_daemons_are_kept_alive_and_the_second_run_does_nothing() {
    let head = "SHELL=/bin/sh\n17 * * * * root cd / && run-parts /etc/cron.hourly\n";
    let there = "*  *\t* * *   root /usr/local/bin/watchd  keepalive \n";
    let line = "* * * * * root /usr/local/bin/watchd keepalive\n";
    for (before, after) in
        [(head.to_owned(), format!("{head}{line}")), (format!("{there}{head}"), format!("{there}{head}"))]
    {
        let home = three(&before);
        let crontab = || (fs::read_to_string(home.scratch.path("crontab")).expect("it is there"), inode(&home));
        let (code, said) = home.ask(&["agent", "--once"]);
        assert_eq!(code, 0, "{said}");
        for name in ["sshd", "cron", "ntpd"] {
            assert!(said.contains(&format!("repaired  process {name}")), "{said}");
        }
        assert!(
            said.contains(if before == after { "kept      file keepalive" } else { "repaired  file keepalive" }),
            "{said}"
        );
        assert_eq!(crontab().0, after);
        assert!(said.contains("report restarts: ") && said.contains(": mended: "), "{said}");
        let (pids, table) = (look::running_from(&home.scratch.dir), crontab());
        assert_eq!(pids.len(), 3, "{said}");
        let (code, said) = home.ask(&["agent", "--once"]);
        assert!(code == 0 && !said.contains("repaired") && said.contains("kept      file keepalive"), "{said}");
        assert_eq!((look::running_from(&home.scratch.dir), crontab()), (pids, table), "{said}");
        assert!(!home.scratch.path("mailed").exists(), "nothing flapped");
    }
}

/// By which a table that was written anew is known, even with the same text.
fn inode(home: &Home) -> u64 {
    let facts = fs::metadata(home.scratch.path("crontab")).expect("it is there");
    std::os::unix::fs::MetadataExt::ino(&facts)
}
