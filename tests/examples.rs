//! Every policy of `contrib/examples` lives: the real daemon keeps it with daemons, disks, mail programs and receivers of our own. What it
//! promises is seen to happen, and afterwards ten cycles go by in which nothing is done.
//!
//! The text is that of the example; only the paths, programs, accounts and times of a cycle are other ones.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

use harness::disk::Small;
use harness::{Daemon, Home, is_root, look, net, skip, until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use watchd::model::{EventKind, Outcome, ServiceState};
use watchd::store::EventRow;
use watchd::store::board::text;

/// The example with these words in the place of those, each of which stands in it just once.
fn example(name: &str, policy: &str, changes: &[(&str, &str)]) -> Home {
    let mut policy = policy.to_owned();
    for (from, to) in changes {
        assert_eq!(policy.matches(from).count(), 1, "{name}: {from}");
        policy = policy.replace(from, to);
    }
    let quick = "[watchd]\ncycle = \"100ms\"\nsendmail = [\"@/sendmail\", \"-t\"]\n";
    let policy = if policy.contains("[watchd]\n") {
        policy.replacen("[watchd]\n", quick, 1)
    } else {
        format!("{quick}{policy}")
    };
    let home = Home::new(&format!("example-{name}"), &policy);
    script(&home, "sendmail", "cat > @/mail.$$ && cat @/mail.$$ >> @/mailed && rm @/mail.$$");
    home
}

fn script(home: &Home, name: &str, lines: &str) {
    home.scratch.script(name, &format!("#!/bin/sh\n{}\n", lines.replace('@', &home.scratch.dir.to_string_lossy())));
}

fn read(home: &Home, name: &str) -> String {
    fs::read_to_string(home.scratch.path(name)).unwrap_or_default()
}

/// Writes a file as old as that and three minutes, for what is younger may still be growing, and the directories above it.
fn put(home: &Home, name: &str, size: usize, days: u64) {
    let path = home.scratch.path(name);
    fs::create_dir_all(path.parent().expect("it has one")).expect("a directory can be made");
    fs::write(&path, vec![b'x'; size]).expect("there is room");
    let file = fs::File::options().write(true).open(path).expect("it is there");
    file.set_modified(SystemTime::now() - Duration::from_secs(days * 86_400 + 180)).expect("it is ours");
}

/// An event of this kind about this subject that says this.
fn told(daemon: &mut Daemon<'_>, kind: EventKind, subject: &str, part: &str) -> String {
    daemon.wait_for(&format!("{kind} of {subject}: {part}"), |page| {
        let is_it = |row: &&EventRow| row.kind() == kind && text(&row.subject) == subject;
        page.events.iter().filter(is_it).map(|row| text(&row.text)).find(|said| said.contains(part)).map(str::to_owned)
    })
}

fn outcome(daemon: &mut Daemon<'_>, id: &str, expect: Outcome) {
    daemon.wait_for(&format!("{id} {expect}"), |page| {
        page.promises.iter().any(|row| text(&row.id) == id && row.outcome() == expect).then_some(())
    });
}

fn class(daemon: &mut Daemon<'_>, name: &str) {
    daemon.wait_for(name, |page| page.classes.iter().any(|row| row.is_on() && text(&row.name) == name).then_some(()));
}

fn mailed(home: &Home, part: &str) {
    until(&format!("a mail with {part}"), || read(home, "mailed").contains(part).then_some(()));
}

/// All files but watchd's own, the processes that run from here, and what was told, but for the moods of the machine.
fn stands(home: &Home, daemon: &Daemon<'_>) -> Option<(Vec<String>, Vec<i32>, Vec<String>)> {
    fn add(dir: &Path, all: &mut Vec<String>) {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            let Ok(facts) = entry.metadata() else { continue };
            if facts.is_dir() {
                add(&entry.path(), all);
            } else {
                let (inode, mode, size) = (facts.ino(), facts.mode(), facts.size());
                all.push(format!("{} {inode} {mode:o} {size} {:?}", entry.path().display(), facts.modified().ok()));
            }
        }
    }
    let mut files = Vec::new();
    add(&home.scratch.dir, &mut files);
    let own = ["run/", "state/", "said", "alive"].map(|name| home.scratch.text(name));
    files.retain(|line| !own.iter().any(|own| line.starts_with(own)));
    files.sort();
    let page = daemon.snapshot()?;
    let is_mood = |row: &EventRow| {
        matches!(
            row.kind(),
            EventKind::ClassSet | EventKind::ClassCleared | EventKind::ProbeFailed | EventKind::ProbeRecovered
        )
    };
    let events = page.events.iter().filter(|row| !is_mood(row));
    let events = events.map(|row| format!("{} {} {}", row.number, row.kind(), text(&row.text))).collect();
    Some((files, look::running_from(&home.scratch.dir), events))
}

/// Waits for ten cycles in a row in which nothing was done, and nothing said.
fn rests(home: &Home, daemon: &mut Daemon<'_>) {
    until("ten cycles without a deed", || {
        let before = stands(home, daemon)?;
        let cycles = daemon.snapshot()?.header.cycles;
        daemon.wait_for("ten cycles", |page| (page.header.cycles >= cycles + 10).then_some(()));
        (stands(home, daemon)? == before).then_some(())
    });
}

/// A start script for daemons that are copies of `sleep`.
fn starter(home: &Home, names: &[&str]) {
    for name in names {
        home.scratch.copied("/bin/sleep", name);
    }
    script(home, "start", "setsid @/$1 1000000 >/dev/null 2>&1 </dev/null &");
}

fn end(pid: i32) {
    kill(Pid::from_raw(pid), Signal::SIGKILL).expect("it lives");
}

#[test]
fn three_daemons_live_again_and_the_table_has_its_line() {
    let home = example(
        "alive",
        include_str!("../contrib/examples/keep-three-alive.toml"),
        &[
            ("match = \"sshd\"", "match = \"@/a_sshd\""),
            ("match = \"cron\"", "match = \"@/a_cron\""),
            ("match = \"ntpd\"", "match = \"@/a_ntpd\""),
            ("[\"/usr/sbin/sshd\"]", "[\"@/start\", \"a_sshd\"]"),
            ("[\"/usr/sbin/cron\"]", "[\"@/start\", \"a_cron\"]\nbackoff = [\"10ms\", \"50ms\"]"),
            ("\"service ntp restart\"", "\"@/start a_ntpd\""),
            ("\"5s\"", "\"1s\""),
            ("/etc/crontab", "@/crontab"),
            ("\"/usr/sbin/sendmail\", \"root\"", "\"@/sendmail\""),
        ],
    );
    starter(&home, &["a_sshd", "a_cron", "a_ntpd"]);
    let (head, line) = ("SHELL=/bin/sh\n", "* * * * * root /usr/local/bin/watchd keepalive\n");
    home.scratch.write("crontab", head);
    let mut daemon = home.start();
    let pids = ["sshd", "cron", "ntpd"].map(|name| daemon.wait_state(name, ServiceState::Ready).pid);
    until("the line", || (read(&home, "crontab") == format!("{head}{line}")).then_some(()));
    rests(&home, &mut daemon);
    end(pids[0]);
    daemon.wait_for("another sshd", |page| {
        page.service("sshd").filter(|row| row.state() == ServiceState::Ready && row.pid != pids[0]).map(|row| row.pid)
    });
    told(&mut daemon, EventKind::Report, "restarts", "mended: sshd");
    told(&mut daemon, EventKind::Report, "restarts", "over: ");
    home.scratch.write("crontab", head);
    until("the line again", || (read(&home, "crontab") == format!("{head}{line}")).then_some(()));
    rests(&home, &mut daemon);
    // Dying again and again is told to a person, once.
    for _ in 0..6 {
        let old = daemon.wait_for("a cron that runs or is given up", |page| {
            let row = page.service("cron")?;
            (row.state() == ServiceState::Flapping || row.state() == ServiceState::Ready).then_some(row.pid)
        });
        if daemon.snapshot().is_some_and(|page| page.service("cron").is_some_and(|row| row.budget_left == 0)) {
            break;
        }
        end(old);
        daemon.wait_for("its death to be seen", |page| (page.service("cron")?.pid != old).then_some(()));
    }
    daemon.kill();
    let before = read(&home, "crontab");
    let (code, said) = home.ask(&["agent", "--once"]);
    assert!(code == 0 && said.contains("kept      file keepalive"), "{said}");
    assert_eq!(read(&home, "crontab"), before);
}

#[test]
fn a_disk_that_gets_full_is_tidied_and_then_cleaned() {
    let home = example(
        "disk",
        include_str!("../contrib/examples/disk-tidy.toml"),
        &[
            ("path = \"/\"", "path = \"@/disk\""),
            ("in = \"/var/log\"", "in = \"@/disk/log\""),
            ("[\"/usr/bin/apt-get\", \"clean\"]", "[\"@/clean\"]"),
        ],
    );
    if !is_root() {
        return skip("only root mounts a file system");
    }
    let Some(disk) = Small::mount(&home.scratch.path("disk"), 16 << 20) else {
        return skip("this machine mounts no tmpfs");
    };
    script(&home, "clean", "echo cleaned >> @/cleaned; rm -f @/disk/filler");
    // 10 of 16 MiB in logs that may go, the oldest last in the order of their names.
    for number in 0..10_u64 {
        put(&home, &format!("disk/log/{number}.gz"), 1 << 20, 10 + number);
    }
    put(&home, "disk/log/new.gz", 1 << 10, 0);
    let left = || fs::read_dir(home.scratch.path("disk/log")).expect("it is there").count();
    let mut daemon = home.start();
    outcome(&mut daemon, "root", Outcome::Kept);
    put(&home, "disk/filler", 5 << 20, 0);
    told(&mut daemon, EventKind::FileTended, "tidy_logs", "deleted 3 files, 3145728 bytes, the oldest ");
    outcome(&mut daemon, "root", Outcome::Kept);
    mailed(&home, "full, will be in ");
    mailed(&home, "; freed 3.0 MiB");
    rests(&home, &mut daemon);
    let is_gone = |number: u32| !home.scratch.path(&format!("disk/log/{number}.gz")).exists();
    assert_eq!((0..10).map(is_gone).collect::<Vec<_>>(), [[false; 7].as_slice(), &[true; 3]].concat(), "the oldest");
    assert!(!home.scratch.path("cleaned").exists(), "that was enough");
    // Nothing is touched while somebody works on the host.
    assert_eq!(home.ask(&["class", "set", "maintenance", "--for", "2h"]).0, 0);
    disk.fill();
    class(&mut daemon, "disk_root_full");
    rests(&home, &mut daemon);
    assert_eq!(left(), 8);
    assert_eq!(home.ask(&["class", "clear", "maintenance"]).0, 0);
    until("four of them to go", || (left() == 4).then_some(()));
    outcome(&mut daemon, "root", Outcome::Kept);
    rests(&home, &mut daemon);
    assert!(!home.scratch.path("cleaned").exists());
    // Nothing is left that may go: it is the turn of the other.
    for number in 0..10 {
        let _ = fs::remove_file(home.scratch.path(&format!("disk/log/{number}.gz")));
    }
    disk.fill();
    until("the program", || (read(&home, "cleaned") == "cleaned\n").then_some(()));
    outcome(&mut daemon, "root", Outcome::Kept);
    rests(&home, &mut daemon);
    disk.fill();
    class(&mut daemon, "clean_cache_flapping");
    rests(&home, &mut daemon);
    assert_eq!(read(&home, "cleaned"), "cleaned\n", "not twice in six hours");
}

/// What has been learned of a measure in five weeks: about two.
fn learned(home: &Home, measure: &str) {
    use watchd::learn::Settings;
    use watchd::learn::book::{Book, Minute, key};
    let state = home.scratch.dir_of("state", None);
    let (mut book, _) = Book::open(&state.join("learned")).expect("it can be made");
    book.adopt(&[key(measure)]).expect("there is room");
    let end = watchd::sys::clock::now().wall.as_secs();
    for at in (end - 35 * 86_400..end).step_by(600) {
        let week_s = watchd::sys::clock::Civil::week_second_at(at);
        let minute = Minute { at: i64::try_from(at).expect("small"), week_s, settings: &Settings::default() };
        let value = 2.0 + f64::from(u32::try_from(at / 600 * 7_919 % 101).expect("small")) / 100.0;
        book.observe(0, minute, &|column| (column == 0).then_some(Some(value)), &mut |_, _| {}).expect("it is written");
    }
}

#[test]
fn a_flood_from_one_address_is_throttled_and_told() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = listener.local_addr().expect("it is bound").port();
    let metric = format!("\"tcp.port.{port}\"");
    let home = example(
        "flood",
        include_str!("../contrib/examples/flood.toml"),
        &[
            ("\"tcp.port.80\"", &metric),
            ("every = \"1m\"", "every = \"100ms\""),
            ("& !(Monday & Hr06)", ""),
            ("\"/usr/local/sbin/throttle\"", "\"@/throttle\""),
            (
                "[\"/usr/bin/curl\", \"-sf\", \"-H\", \"Content-Type: application/json\", \"--data-binary\", \"@-\", \
                 \"https://example.org/hook\"]",
                "[\"@/hook\"]",
            ),
        ],
    );
    learned(&home, "www_in");
    script(&home, "throttle", "echo x >> @/throttled; echo throttled it");
    script(&home, "hook", "cat > @/hook.new && mv @/hook.new @/hooked");
    let clients: Vec<_> =
        (0..40).map(|_| std::net::TcpStream::connect(("127.0.0.1", port)).expect("it listens")).collect();
    let mut daemon = home.start();
    class(&mut daemon, "www_in_high_anomaly");
    class(&mut daemon, "flood");
    let hooked = until("the webhook", || fs::read_to_string(home.scratch.path("hooked")).ok());
    assert!(hooked.contains("40 connections, expected 2") && hooked.contains("most from 127.0.0.1"), "{hooked}");
    until("the throttle", || (read(&home, "throttled").lines().count() == 2).then_some(()));
    rests(&home, &mut daemon);
    assert_eq!(read(&home, "throttled"), "x\nx\n", "twice in an hour at most");
    let (_, why) = home.ask(&["why", "www_in"]);
    assert!(why.contains(" over the last minute") && why.contains("Expected at this time"), "{why}");
    drop(clients);
}

#[test]
fn accounts_are_watched_and_hosts_kept() {
    let home = example(
        "accounts",
        include_str!("../contrib/examples/accounts.toml"),
        &[("path = \"/etc/hosts\"", "path = \"@/hosts\""), ("path = \"/etc/passwd\"", "path = \"@/passwd\"")],
    );
    home.scratch.write("hosts", "127.0.0.1 localhost\n192.0.2.9 old\n192.0.2.11 cache\n");
    home.scratch.write("passwd", "root:x:0:0\n");
    fs::set_permissions(home.scratch.path("passwd"), std::os::unix::fs::PermissionsExt::from_mode(0o666))
        .expect("ours");
    let mut daemon = home.start();
    until("the lines", || {
        (read(&home, "hosts") == "127.0.0.1 localhost\n192.0.2.11 cache\n192.0.2.10 db\n").then_some(())
    });
    let mode = |name: &str| fs::metadata(home.scratch.path(name)).expect("it is there").mode() & 0o7777;
    until("the rights", || (mode("passwd") == 0o644).then_some(()));
    outcome(&mut daemon, "accounts", Outcome::Kept);
    rests(&home, &mut daemon);
    assert!(!home.scratch.path("mailed").exists(), "the first look is no change: {}", read(&home, "mailed"));
    home.scratch.write("passwd", "root:x:0:0\nevil:x:0:0\n");
    mailed(&home, "/etc/passwd changed: ");
    mailed(&home, "+evil:x:0:0");
    rests(&home, &mut daemon);
    let mails = || read(&home, "mailed").matches("To: root").count();
    assert_eq!(mails(), 1);
    assert_eq!(home.ask(&["class", "set", "package_upgrade", "--for", "10m"]).0, 0);
    home.scratch.write("passwd", "root:x:0:0\n");
    told(&mut daemon, EventKind::FileTended, "accounts", "-evil");
    rests(&home, &mut daemon);
    assert_eq!(mails(), 1, "an upgrade is no news");
}

#[test]
fn an_application_has_its_numbers_and_its_mail() {
    let home = example(
        "app",
        include_str!("../contrib/examples/app.toml"),
        &[
            ("/var/spool/postfix/deferred", "@/spool"),
            ("| wc -l\"\nevery = \"1m\"", "| wc -l\"\nevery = \"100ms\""),
            ("high = 500", "high = 5"),
            ("\"/var/log/app.log\"", "\"@/app.log\""),
            ("every = \"5m\"", "every = \"100ms\""),
            ("[\"/usr/local/bin/probe-app\"]\nevery = \"1m\"", "[\"@/probe\"]\nevery = \"100ms\""),
            ("\"/usr/sbin/postqueue\", \"-f\"", "\"@/flush\""),
        ],
    );
    script(&home, "probe", "echo =latency 12.5; test ! -e @/bad || echo +degraded");
    script(&home, "flush", "echo x >> @/flushed; rm -f @/spool/*");
    fs::create_dir(home.scratch.path("spool")).expect("a directory can be made");
    home.scratch.write("app.log", "ERROR of yesterday\n");
    let mut daemon = home.start();
    let figure = |daemon: &mut Daemon<'_>, id: &str, value: f64| {
        daemon.wait_for(&format!("{id} {value}"), |page| {
            page.promises.iter().any(|row| text(&row.id) == id && row.figures[0] == value).then_some(())
        });
    };
    for (id, value) in [("mailq", 0.0), ("errors", 0.0), ("latency", 12.5)] {
        figure(&mut daemon, id, value);
    }
    for number in 0..9 {
        home.scratch.write(&format!("spool/{number}"), "");
    }
    until("the queue to be flushed", || (read(&home, "flushed") == "x\n").then_some(()));
    figure(&mut daemon, "mailq", 0.0);
    assert!(!home.scratch.path("mailed").exists(), "{}", read(&home, "mailed"));
    home.scratch.write("bad", "");
    mailed(&home, "0 errors in 5 min (normal unknown); queue 0");
    mailed(&home, "12.5");
    until("quiet for half an hour", || {
        rests(&home, &mut daemon);
        (read(&home, "mailed").matches("To: root").count() == 1).then_some(())
    });
    let page = daemon.snapshot().expect("it lives");
    let ran = page.events.iter().filter(|row| row.kind() == EventKind::CommandRan && text(&row.subject) == "probe");
    assert!(ran.count() <= 4, "one that finds the same again is no news: {}", daemon.said());
    // What does not answer is missing, not zero.
    fs::remove_dir_all(home.scratch.path("spool")).expect("it is ours");
    script(&home, "probe", "exit 1");
    outcome(&mut daemon, "probe", Outcome::Failed);
}

/// A worker of the account nobody.
struct Worker(Child);

impl Worker {
    fn new(home: &Home) -> Self {
        let mut command = Command::new(home.scratch.path("bin-worker"));
        let child = command.args(["--queue", "extra"]).uid(65_534).gid(65_534).stdin(Stdio::null()).spawn();
        Self(child.expect("it can be started"))
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn workers_are_two_to_four_and_given_up_with_a_mail() {
    if !is_root() {
        return skip("only root starts workers of another account");
    }
    let home = example(
        "workers",
        include_str!("../contrib/examples/workers.toml"),
        &[
            ("cycle = \"30s\"", ""),
            ("splay = \"10s\"", "splay = \"100ms\""),
            ("\"/run/watchd.alive\"", "\"@/alive\""),
            ("'^/opt/app/bin-worker --queue .*'", "'^@/bin-worker --queue .*'\nevery = \"100ms\"\nsettle = \"100ms\""),
            ("user = \"app\"", "user = \"nobody\""),
            ("\"/opt/app/bin/start-workers\"", "\"@/start-workers\""),
            ("\"/etc/cron.d/watchd\"", "\"@/cron.d-watchd\""),
        ],
    );
    let source = home.scratch.write("idle.c", "#include <unistd.h>\nint main(void) { for (;;) pause(); }\n");
    home.scratch.compiled(&source, "bin-worker");
    script(&home, "start-workers", "for name in a b; do @/bin-worker --queue $name >/dev/null 2>&1 & done");
    let workers = || look::running_from(&home.scratch.path("bin-worker"));
    let mut daemon = home.start();
    until("two workers", || (workers().len() == 2).then_some(()));
    for pid in workers() {
        assert_eq!(look::status(pid, "Uid"), Some(65_534), "they run as their account");
    }
    until("the table of cron", || {
        (read(&home, "cron.d-watchd") == "* * * * * root /usr/local/bin/watchd keepalive\n").then_some(())
    });
    outcome(&mut daemon, "worker", Outcome::Kept);
    rests(&home, &mut daemon);
    let touched = || fs::metadata(home.scratch.path("alive")).and_then(|facts| facts.modified()).ok();
    let first = touched().expect("it is touched in each cycle");
    until("another touch", || (touched()? > first).then_some(()));
    // Five are too many: the youngest goes.
    let old = workers();
    harness::pause(Duration::from_millis(50));
    let mut extra: Vec<Worker> = (0..3).map(|_| Worker::new(&home)).collect();
    until("one to go", || {
        let gone = extra.iter_mut().filter_map(|one| one.0.try_wait().ok().flatten()).count();
        (gone == 1).then_some(())
    });
    assert!(old.iter().all(|pid| workers().contains(pid)), "the old ones stay");
    outcome(&mut daemon, "worker", Outcome::Kept);
    drop(extra);
    rests(&home, &mut daemon);
    // Its limit is three an hour: one start, one end, one more start, and then it is given up.
    for round in 0..2 {
        for pid in workers() {
            end(pid);
        }
        if round == 0 {
            until("two new ones", || (workers().len() == 2).then_some(()));
            outcome(&mut daemon, "worker", Outcome::Kept);
        }
    }
    mailed(&home, "stopped repairing for 2 h");
    rests(&home, &mut daemon);
    assert_eq!(workers(), Vec::<i32>::new());
    assert_eq!(read(&home, "mailed").matches("To: root").count(), 1);
}

#[test]
fn a_stale_backup_is_told_and_its_end_too() {
    let home = example(
        "backup",
        include_str!("../contrib/examples/backup.toml"),
        &[
            ("in = \"/backup/daily\"", "in = \"@/daily\""),
            ("\"10M\"", "\"1K\""),
            ("every = \"10m\"", "every = \"100ms\""),
            ("\"/var/lib/replica/last-good\"", "\"@/last-good\""),
        ],
    );
    for days in 2..6 {
        put(&home, &format!("daily/{days}.tar.zst"), 10_000, days);
    }
    put(&home, "last-good", 1, 0);
    let mut daemon = home.start();
    class(&mut daemon, "backup_stale");
    told(&mut daemon, EventKind::Report, "backup", "backup 2.0 d old, ");
    let (_, why) = home.ask(&["why", "backup"]);
    assert!(why.contains("It is 2d old and has 9.8K.") && why.contains("Older than 1d 2h is stale."), "{why}");
    rests(&home, &mut daemon);
    put(&home, "daily/1.tar.zst", 9_000, 0);
    told(&mut daemon, EventKind::Report, "backup", "over: ");
    outcome(&mut daemon, "backup", Outcome::Kept);
    rests(&home, &mut daemon);
    // Fresh, but beside those before it nearly nothing of it is there.
    put(&home, "daily/good.tar.zst", 10_000, 0);
    daemon.wait_for("its size", |page| {
        page.promises.iter().any(|row| text(&row.id) == "backup" && row.figures[1] == 10_000.0).then_some(())
    });
    put(&home, "daily/0.tar.zst", 2_000, 0);
    class(&mut daemon, "backup_small");
    rests(&home, &mut daemon);
    put(&home, "daily/0.tar.zst", 10_000, 0);
    outcome(&mut daemon, "backup", Outcome::Kept);
    put(&home, "last-good", 1, 1);
    class(&mut daemon, "replication_stale");
}

#[test]
fn a_full_disk_is_kept_house_on() {
    if !is_root() {
        return skip("only root mounts a file system");
    }
    let home = example(
        "housekeeping",
        include_str!("../contrib/examples/disk-housekeeping.toml"),
        &[
            ("path = \"/\"", "path = \"@/disk\""),
            ("[disk.var]\npath = \"/var\"", "[disk.var]\npath = \"@/nothing\""),
            ("[\"/usr/bin/apt-get\", \"clean\"]", "[\"@/clean\"]"),
            ("find /var/log", "find @/disk"),
        ],
    );
    let Some(disk) = Small::mount(&home.scratch.path("disk"), 8 << 20) else {
        return skip("this machine mounts no tmpfs");
    };
    script(&home, "clean", "echo x >> @/cleaned");
    put(&home, "disk/a.gz", 4 << 20, 40);
    put(&home, "disk/b.gz", 1 << 10, 2);
    let mut daemon = home.start();
    outcome(&mut daemon, "root", Outcome::Kept);
    class(&mut daemon, "disk_var_unknown");
    rests(&home, &mut daemon);
    disk.fill();
    told(&mut daemon, EventKind::Report, "disk", ": ");
    until("what is old to go", || (!home.scratch.path("disk/a.gz").exists()).then_some(()));
    assert!(home.scratch.path("disk/b.gz").exists());
    outcome(&mut daemon, "root", Outcome::Kept);
    told(&mut daemon, EventKind::Report, "disk", "over: ");
    rests(&home, &mut daemon);
    assert_eq!(read(&home, "cleaned"), "x\n");
}

#[test]
fn files_are_as_they_have_to_be() {
    let home = example(
        "files",
        include_str!("../contrib/examples/files.toml"),
        &[
            ("path = \"/etc/hosts\"", "path = \"@/hosts\""),
            ("path = \"/etc/ssh/sshd_config\"", "path = \"@/sshd_config\""),
            ("path = \"/etc/cron.d/watchd\"", "path = \"@/cron.d\""),
            ("path = \"/etc/motd\"", "path = \"@/motd\""),
            ("path = \"/etc/passwd\"", "path = \"@/passwd\""),
            ("every = \"10m\"", "every = \"1d\""),
        ],
    );
    home.scratch.write("hosts", "192.0.2.9 old\n");
    home.scratch.write("sshd_config", "#PasswordAuthentication yes\n");
    home.scratch.write("passwd", "root\n");
    let mut daemon = home.start();
    until("the lines", || (read(&home, "hosts") == "192.0.2.10 db\n192.0.2.11 cache\n").then_some(()));
    until("the table of cron", || read(&home, "cron.d").contains("keepalive\n").then_some(()));
    until("the message", || read(&home, "motd").contains("accounts changed: false\n").then_some(()));
    assert_eq!(read(&home, "hosts.watchd-backup"), "192.0.2.9 old\n");
    outcome(&mut daemon, "sshd", Outcome::Would);
    rests(&home, &mut daemon);
    assert_eq!(read(&home, "sshd_config"), "#PasswordAuthentication yes\n", "it only says so");
    let (_, why) = home.ask(&["why", "sshd"]);
    assert!(why.contains("-#PasswordAuthentication yes") && why.contains("+PasswordAuthentication no"), "{why}");
    home.scratch.write("passwd", "root\nevil\n");
    told(&mut daemon, EventKind::Report, "changed", "+evil");
    rests(&home, &mut daemon);
}

#[test]
fn a_directory_is_tidied_packed_and_counted() {
    if !is_root() {
        return skip("only root mounts a file system");
    }
    let home = example(
        "tidy",
        include_str!("../contrib/examples/tidy.toml"),
        &[
            ("path = \"/\"", "path = \"@/disk\""),
            ("in = \"/var/log\"\n", "in = \"@/disk/log\"\n"),
            ("in = \"/var/log/app\"", "in = \"@/app\""),
            ("in = \"/srv/dumps\"", "in = \"@/dumps\""),
        ],
    );
    let Some(disk) = Small::mount(&home.scratch.path("disk"), 16 << 20) else {
        return skip("this machine mounts no tmpfs");
    };
    for days in 1..16 {
        put(&home, &format!("disk/log/a/{days}.gz"), 512 << 10, days);
        put(&home, &format!("dumps/{days:02}.sql.gz"), 10, days);
    }
    put(&home, "app/x.log.1", 2 << 20, 0);
    put(&home, "app/x.log.2", 1 << 10, 0);
    let mut daemon = home.start();
    until("the large one to be packed", || home.scratch.path("app/x.log.1.gz").exists().then_some(()));
    until("fourteen dumps", || (!home.scratch.path("dumps/15.sql.gz").exists()).then_some(()));
    outcome(&mut daemon, "root", Outcome::Kept);
    rests(&home, &mut daemon);
    assert!(home.scratch.path("dumps/14.sql.gz").exists() && home.scratch.path("app/x.log.2").exists());
    assert!(!home.scratch.path("app/x.log.1").exists());
    disk.fill();
    told(&mut daemon, EventKind::Report, "disk", "files, ");
    let over = told(&mut daemon, EventKind::Report, "disk", "over: ");
    assert!(over.contains("put away ") && !over.contains("unknown"), "what was done stays known: {over}");
    rests(&home, &mut daemon);
    let left = |days: u32| home.scratch.path(&format!("disk/log/a/{days}.gz")).exists();
    assert!((1..7).all(left) && !left(15), "the old ones went, those of this week stay");
}

#[test]
fn a_site_is_run_and_a_data_base_looked_after() {
    let (munin, http) = (net::free_port(), net::free_port());
    let home = example(
        "site",
        include_str!("../contrib/examples/web-and-db.toml"),
        &[
            ("cycle = \"10s\"", ""),
            ("127.0.0.1:4949", &format!("127.0.0.1:{munin}")),
            ("127.0.0.1:4950", &format!("127.0.0.1:{http}")),
            ("[\"/usr/sbin/nginx\", \"-g\", \"daemon off;\"]", "[\"@/a_web\", \"1000000\"]"),
            ("\"/run/postgresql/17-main.pid\"", "\"@/db.pid\"\nsettle = \"100ms\""),
            ("start = [\"/etc/init.d/postgresql\", \"start\"]", "start = [\"@/db\", \"start\"]"),
            ("stop = [\"/etc/init.d/postgresql\", \"stop\"]", "stop = [\"@/db\", \"stop\"]"),
            ("if = \"!memory_low\"", "if = \"any\""),
            ("name = \"/usr/lib/postfix/sbin/master\"", "name = \"@/a_mailer\""),
        ],
    );
    for name in ["a_web", "a_db", "a_mailer"] {
        home.scratch.copied("/bin/sleep", name);
    }
    script(
        &home,
        "db",
        "case $1 in start) setsid @/a_db 1000000 >/dev/null 2>&1 </dev/null & echo $! > @/db.pid;; stop) kill $(cat @/db.pid);; esac",
    );
    let mut daemon = home.start();
    let web = daemon.wait_state("web", ServiceState::Ready).pid;
    let db = daemon.wait_state("db", ServiceState::Ready).pid;
    outcome(&mut daemon, "mail", Outcome::Would);
    rests(&home, &mut daemon);
    assert!(net::munin(munin, "list").contains("load") && net::get(http, "/healthz").0 == 200);
    for (name, pid) in [("web", web), ("db", db)] {
        end(pid);
        daemon.wait_for("another", |page| {
            page.service(name).filter(|row| row.state() == ServiceState::Ready && row.pid != pid).map(|_| ())
        });
    }
    rests(&home, &mut daemon);
    let pids = ["web", "db"].map(|name| daemon.wait_state(name, ServiceState::Ready).pid);
    let (code, said) = home.ask(&["restart", "@site"]);
    assert_eq!(code, 0, "{said}");
    for (name, pid) in ["web", "db"].into_iter().zip(pids) {
        daemon.wait_for("others, of the whole group", |page| {
            page.service(name).filter(|row| row.state() == ServiceState::Ready && row.pid != pid).map(|_| ())
        });
    }
    rests(&home, &mut daemon);
    assert!(look::running_from(&home.scratch.path("a_mailer")).is_empty(), "it is looked at, never touched");
    home.scratch.end_all_but("a_nothing");
}

#[test]
fn numbers_of_your_own_have_thresholds() {
    let home = example(
        "measure",
        include_str!("../contrib/examples/measure.toml"),
        &[
            ("/var/spool/postfix/deferred", "@/spool"),
            ("every = \"1m\"", "every = \"100ms\""),
            ("high = 500", "high = 5"),
            ("high-ok = 400", "high-ok = 3"),
            ("\"/var/log/app.log\"\nmatch = \"ERROR|FATAL\"", "\"@/app.log\"\nmatch = \"ERROR|FATAL\""),
            ("\"/var/log/app.log\"\nmatch = 'took", "\"@/app.log\"\nmatch = 'took"),
            ("every = \"5m\"", "every = \"1s\""),
            ("every = \"30s\"", "every = \"100ms\""),
            ("\"/run/app/requests\"", "\"@/requests\""),
        ],
    );
    home.scratch.write("requests", "1000");
    fs::create_dir(home.scratch.path("spool")).expect("a directory can be made");
    home.scratch.write("app.log", "");
    let mut daemon = home.start();
    daemon.wait_for("numbers", |page| {
        let is_known = |id: &&str| page.promises.iter().any(|row| text(&row.id) == *id && row.figures[0].is_finite());
        ["mailq", "errors", "five", "requests"].iter().all(is_known).then_some(())
    });
    rests(&home, &mut daemon);
    for number in 0..6 {
        home.scratch.write(&format!("spool/{number}"), "");
    }
    told(&mut daemon, EventKind::Report, "app", "6 mails in the queue");
    let (_, why) = home.ask(&["why", "mailq"]);
    assert!(why.contains("It is 6 mails now. From 5 on it is high, until it is below 3."), "{why}");
    let (_, why) = home.ask(&["why", "five"]);
    assert!(why.contains("It comes from load.five.") && why.contains("From 0.01 on it is low."), "{why}");
    let (_, why) = home.ask(&["why", "app"]);
    assert!(why.contains("It tells the journal, when its `if` begins to hold, and when it ceases to."), "{why}");
    fs::remove_file(home.scratch.path("spool/0")).expect("it is ours");
    rests(&home, &mut daemon);
    for number in 1..4 {
        fs::remove_file(home.scratch.path(&format!("spool/{number}"))).expect("it is ours");
    }
    told(&mut daemon, EventKind::Report, "app", "over: ");
    // The log is rotated between the two.
    let log = home.scratch.path("app.log");
    fs::write(&log, "took 17.5 ms\nERROR\nERROR\nFATAL\n").expect("it is ours");
    fs::rename(&log, home.scratch.path("app.log.1")).expect("it is ours");
    // A look may come at any moment of this.
    fs::write(&log, "ERROR\n".repeat(13)).expect("it is ours");
    class(&mut daemon, "errors_high");
}

#[test]
fn a_report_goes_to_each_of_its_receivers() {
    if !is_root() {
        return skip("only root mounts a file system");
    }
    let home = example(
        "reports",
        include_str!("../contrib/examples/reports.toml"),
        &[
            ("cycle = \"10s\"", ""),
            ("path = \"/\"", "path = \"@/disk\""),
            ("\"log\", \"syslog\", ", "\"log\", "),
            (
                "[\"/usr/bin/curl\", \"-fsS\", \"-m\", \"20\", \"-H\", \"Content-Type: application/json\", \"--data-binary\", \
                 \"@-\", \"https://chat.example.org/hook\"]\nuser = \"nobody\"",
                "[\"@/hook\"]",
            ),
        ],
    );
    let Some(disk) = Small::mount(&home.scratch.path("disk"), 8 << 20) else {
        return skip("this machine mounts no tmpfs");
    };
    script(&home, "hook", "cat >> @/hooked");
    let mut daemon = home.start();
    outcome(&mut daemon, "root", Outcome::Kept);
    rests(&home, &mut daemon);
    disk.fill();
    mailed(&home, "full");
    until("the webhook", || read(&home, "hooked").contains("\"over\":false").then_some(()));
    rests(&home, &mut daemon);
    disk.free();
    mailed(&home, "over: ");
    until("the webhook", || read(&home, "hooked").contains("\"over\":true").then_some(()));
    rests(&home, &mut daemon);
    assert_eq!((read(&home, "mailed").matches("To: root").count(), read(&home, "hooked").lines().count()), (2, 2));
}

#[test]
fn a_service_beyond_its_limits_is_told_and_restarted() {
    let home = example(
        "limits",
        include_str!("../contrib/examples/limits.toml"),
        &[
            ("[\"/usr/local/bin/app\", \"--foreground\"]", "[\"@/a_app\", \"1000000\"]"),
            ("max = 900, for = \"30s\"", "max = 1, for = \"100ms\""),
            ("\"/usr/local/bin/app-dump\"", "\"@/dump\""),
            ("max = \"600M\", for = \"1m\"", "max = \"1K\", for = \"100ms\""),
        ],
    );
    home.scratch.copied("/bin/sleep", "a_app");
    script(&home, "dump", "echo x >> @/dumped");
    let mut daemon = home.start();
    told(&mut daemon, EventKind::Report, "app", "app uses too much");
    until("the dump", || read(&home, "dumped").contains('x').then_some(()));
    daemon.wait_for("restarts within its budget, and then none", |page| {
        let row = page.service("app")?;
        (row.restarts >= 2 && row.budget_left == 0).then_some(())
    });
}

#[test]
fn services_speak_and_one_waits_for_the_other() {
    let home = example(
        "speaking",
        include_str!("../contrib/examples/speaking-service.toml"),
        &[
            ("cycle = \"10s\"", ""),
            ("[\"/usr/local/bin/queue-runner\"]", "[\"@/voice\", \"@/talk\"]"),
            ("watchdog = \"30s\"", "watchdog = \"2s\""),
            ("[\"/usr/local/bin/worker\"]", "[\"@/a_worker\", \"1000000\"]"),
        ],
    );
    if !is_root() {
        return skip("only root starts services of another account");
    }
    home.scratch.compiled("tests/notify/voice.c".as_ref(), "voice");
    home.scratch.copied("/bin/sleep", "a_worker");
    // It takes away what it has said.
    home.scratch.dir_of("talk", Some(65_534));
    let mut daemon = home.spawn();
    daemon.wait_state("queue", ServiceState::Starting);
    daemon.wait_state("worker", ServiceState::Waiting);
    home.scratch.write("talk/say.new", "READY=1\nSTATUS=serves");
    fs::rename(home.scratch.path("talk/say.new"), home.scratch.path("talk/say")).expect("it can be renamed");
    let first = daemon.wait_state("queue", ServiceState::Ready).pid;
    daemon.wait_state("worker", ServiceState::Ready);
    rests(&home, &mut daemon);
    home.scratch.write("talk/mute", "");
    daemon
        .wait_for("a restart", |page| page.service("queue").filter(|row| row.pid != 0 && row.pid != first).map(|_| ()));
}

#[test]
fn a_program_has_the_surroundings_that_it_was_given() {
    if !is_root() {
        return skip("only root starts programs of another account");
    }
    let home = example(
        "surroundings",
        include_str!("../contrib/examples/surroundings.toml"),
        &[
            ("[\"/usr/bin/worker\", \"--foreground\"]", "[\"@/worker\"]"),
            ("\"-/etc/default/worker\"", "\"-@/default\""),
            ("\"/var/log/worker.log\"", "\"@/worker.log\""),
        ],
    );
    home.scratch.write("default", "LANG=de_DE\nFROM_FILE=yes\n");
    home.scratch.copied("/bin/sleep", "a_sleep");
    script(
        &home,
        "worker",
        "echo uid=$(id -u) umask=$(umask) nice=$(nice) LANG=$LANG FROM_FILE=$FROM_FILE cwd=$(pwd) nofile=$(ulimit -n) \
         core=$(ulimit -c) oom=$(cat /proc/self/oom_score_adj)\nexec @/a_sleep 1000000",
    );
    let mut daemon = home.start();
    daemon.wait_state("worker", ServiceState::Ready);
    let expect = "uid=65534 umask=0027 nice=10 LANG=C.UTF-8 FROM_FILE=yes cwd=/var/tmp nofile=4096 core=0 oom=500\n";
    until("its word", || read(&home, "worker.log").ends_with('\n').then_some(()));
    assert_eq!(read(&home, "worker.log"), expect);
    rests(&home, &mut daemon);
}

#[test]
fn what_is_learned_asks_for_nothing() {
    let munin = net::free_port();
    let listen = format!("learn-limits = true\nlisten = [\"127.0.0.1:{munin}\"]");
    let home = example(
        "learned",
        include_str!("../contrib/examples/learned.toml"),
        &[
            ("learn-limits = true", &listen),
            ("\"network.rx_bytes:eth0\"", "\"network.rx_bytes:lo\""),
            ("Hr03 & !busy", "!busy"),
            ("[\"/usr/bin/apt-get\", \"autoclean\"]", "[\"@/autoclean\"]"),
        ],
    );
    script(&home, "autoclean", "echo x >> @/cleaned");
    harness::past::write(&home.scratch.path("state"), 35);
    let mut daemon = home.start();
    until("the work of the night", || (read(&home, "cleaned") == "x\n").then_some(()));
    rests(&home, &mut daemon);
    let page = until("what is usual of the load", || {
        let page = net::munin(munin, "config load");
        page.contains("load.warning ").then_some(page)
    });
    assert!(page.contains("load.critical "), "{page}");
    let (code, why) = home.ask(&["why", "load.five"]);
    assert!(code == 0 && why.contains("Expected at this time"), "{why}");
    assert_eq!(read(&home, "cleaned"), "x\n", "once a day");
}
