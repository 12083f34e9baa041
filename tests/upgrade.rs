//! `watchd upgrade` and the door's line, with the real program put in place of itself, and with things that are no watchd.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use harness::{Daemon, Home, binary, look, net, until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use watchd::model::ServiceState;
use watchd::store::{Reader, board};

/// A host with a service, a budget of it that is spent a little, and a paused one.
fn home(name: &str, http: SocketAddr) -> Home {
    let home = Home::new(
        name,
        &format!(
            "[watchd]\ncycle = \"1s\"\n[http]\nlisten = [\"{http}\"]\n\
             [process.web]\nrun = [\"@/sleep\", \"100000\"]\nbackoff = [\"10ms\", \"1s\"]\nlimit = \"5/1h\"\nsettle = \"50ms\"\n\
             [process.rest]\nrun = [\"@/sleep\", \"100000\"]\nsettle = \"50ms\"\n"
        ),
    );
    install(&home, &binary());
    home.scratch.copied("/bin/sleep", "sleep");
    home
}

/// Puts a program where the daemon comes from, as a package does: beside it, then in its place.
fn install(home: &Home, program: &std::path::Path) {
    let beside = home.scratch.copied(program, "installed.new");
    fs::rename(beside, home.scratch.path("installed")).expect("it can be renamed");
}

fn script(home: &Home, text: &str) {
    let path = home.scratch.write("script", text);
    install(home, &path);
}

/// Starts the installed program.
fn start(home: &Home) -> Daemon<'_> {
    let usual = home.command(&["run"]);
    let mut command = Command::new(home.scratch.path("installed"));
    command.args(usual.get_args());
    let mut daemon = home.spawn_as(command);
    for id in ["web", "rest"] {
        daemon.wait_state(id, ServiceState::Ready);
    }
    daemon
}

/// A page, asked for over a connection of its own; none when it was refused or cut short.
fn page(address: SocketAddr) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    text.starts_with("HTTP/1.1 200").then_some(text)
}

fn door(daemon: &mut Daemon<'_>, not: u32) -> u32 {
    daemon.wait_for("a door", |snapshot| Some(snapshot.header.door_pid).filter(|pid| *pid != 0 && *pid != not))
}

#[test]
fn everything_goes_on_under_the_new_program_and_no_connection_is_lost() {
    let http = SocketAddr::from(([127, 0, 0, 1], net::free_port()));
    let home = home("upgrade", http);
    let mut daemon = start(&home);
    let first = daemon.wait_state("web", ServiceState::Ready).pid;
    kill(Pid::from_raw(first), Signal::SIGKILL).expect("it lives");
    let before = daemon.wait_for("another web", |snapshot| {
        snapshot.service("web").filter(|row| row.pid != first && row.state() == ServiceState::Ready).copied()
    });
    assert_eq!((before.restarts, before.budget_left), (1, 4));
    assert_eq!(home.ask(&["pause", "rest"]).0, 0);
    let rest = daemon.wait_state("rest", ServiceState::Paused).pid;
    let mut old_door = door(&mut daemon, 0);
    until("the page", || page(http));
    // Who has the board open does not notice.
    let reader = Reader::open(&home.board()).expect("it is there");

    let (is_over, asked) = (AtomicBool::new(false), AtomicU32::new(0));
    let lost = std::thread::scope(|scope| {
        let client = scope.spawn(|| {
            let mut lost = 0;
            while !is_over.load(Ordering::Acquire) {
                lost += u32::from(page(http).is_none());
                asked.fetch_add(1, Ordering::Relaxed);
            }
            lost
        });
        for _ in 0..3 {
            install(&home, &binary());
            let (code, said) = home.ask(&["upgrade"]);
            assert!(code == 0 && said.contains("goes on where"), "{code} {said}");
            old_door = door(&mut daemon, old_door);
            let enough = asked.load(Ordering::Relaxed) + 5;
            until("more pages", || (asked.load(Ordering::Relaxed) > enough).then_some(()));
        }
        is_over.store(true, Ordering::Release);
        client.join().expect("it does not panic")
    });
    assert_eq!(lost, 0, "of {} requests", asked.load(Ordering::Relaxed));

    // The same process, the same children, and what was counted.
    let after = daemon.wait_state("web", ServiceState::Ready);
    assert_eq!((after.pid, after.restarts, after.budget_left), (before.pid, 1, 4));
    assert_eq!(daemon.wait_state("rest", ServiceState::Paused).pid, rest);
    let mut snapshot = watchd::store::Snapshot::default();
    let generation = reader.generation();
    until("a newer page on the old board", || (reader.generation() > generation).then_some(()));
    reader.read(&mut snapshot).expect("it is whole");
    assert_eq!(snapshot.header.pid, u32::try_from(daemon.pid()).expect("pids are small"));
    let doors = || look::family(daemon.pid()).len() - 1;
    until("one door", || (doors() == 1).then_some(()));
    assert_eq!(look::stat(after.pid).map(|stat| stat.parent), Some(daemon.pid()));

    // Its death is still seen through a pidfd and answered, and the lock still keeps others out.
    kill(Pid::from_raw(after.pid), Signal::SIGKILL).expect("it lives");
    let again = daemon.wait_for("another web", |snapshot| {
        snapshot.service("web").filter(|row| row.pid != after.pid && row.state() == ServiceState::Ready).copied()
    });
    assert_eq!((again.restarts, again.budget_left), (2, 3));
    assert_eq!(home.ask(&["run"]).0, 1, "there is one already");
    let descriptors = look::descriptors(daemon.pid());
    assert_eq!(home.ask(&["upgrade"]).0, 0);
    door(&mut daemon, old_door);
    until("no descriptor more than before", || (look::descriptors(daemon.pid()) <= descriptors).then_some(()));
    assert_eq!(home.ask(&["shutdown"]).0, 0);
    assert_eq!(daemon.wait_end(), 0);
}

/// Two looks of the program that is there now.
fn two_looks(daemon: &mut Daemon<'_>) {
    for _ in 0..2 {
        let before = daemon.wait_for("a look", |snapshot| Some(snapshot.header.sample_mono_ms));
        daemon.wait_for("another look", |snapshot| (snapshot.header.sample_mono_ms > before).then_some(()));
    }
}

#[test]
fn what_was_counted_of_services_goes_on() {
    let common = "settle = \"50ms\"\nbackoff = [\"10ms\", \"1s\"]\nlimit = \"1/1h\"\n";
    let home = Home::new(
        "counted",
        &format!(
            "[watchd]\ncycle = \"200ms\"\n\
             [process.big]\nrun = [\"@/sleep\", \"100000\"]\nrss = {{ max = \"4K\", for = \"5s\", do = \"report\" }}\n{common}\
             [process.busy]\nrun = [\"@/sh\", \"-c\", \"while :; do @/sh -c :; done\"]\ncpu = {{ max = \"1%\", for = \"5s\", do = \"report\" }}\n{common}\
             [process.sick]\nrun = [\"@/sleep\", \"100000\"]\n{common}\
             check = [{{ exec = \"test ! -e @/sick\", every = \"1s\", fails = 2, passes = 100 }}]\n\
             [process.voice]\nrun = [\"@/voice\", \"@/own\"]\nready = {{ notify = true, within = \"1h\" }}\n{common}\
             [process.after]\nrun = [\"@/sleep\", \"100000\"]\nneeds = [\"voice\"]\n{common}\
             [class.lately]\nwhen = \"storm\"\nhold = \"1h\"\n\
             [measure.mails]\nrun = \"echo x >>@/asked; echo 7\"\nevery = \"1h\"\nhigh = 5\n"
        ),
    );
    install(&home, &binary());
    home.scratch.copied("/bin/sleep", "sleep");
    home.scratch.copied("/bin/sh", "sh");
    home.scratch.compiled("tests/notify/voice.c".as_ref(), "voice");
    home.scratch.dir_of("own", None);
    let say = |text: &str| {
        home.scratch.write("own/said", text);
        fs::rename(home.scratch.path("own/said"), home.scratch.path("own/say")).expect("it can be renamed");
        until("the service has spoken", || (!home.scratch.path("own/say").exists()).then_some(()));
    };
    let usual = home.command(&["run"]);
    let mut command = Command::new(home.scratch.path("installed"));
    command.args(usual.get_args());
    let mut daemon = home.spawn_as(command);

    // What it can be started with is spent, so nothing is done about it while it is ill.
    let first = daemon.wait_state("sick", ServiceState::Ready).pid;
    kill(Pid::from_raw(first), Signal::SIGKILL).expect("it lives");
    daemon.wait_for("another", |snapshot| {
        snapshot.service("sick").filter(|row| row.pid != first && row.state() == ServiceState::Ready).map(|_| ())
    });
    home.scratch.write("sick", "");
    let sick = daemon.wait_state("sick", ServiceState::Unhealthy);
    fs::remove_file(home.scratch.path("sick")).expect("it is there");
    let ear = home.run_dir().join("notify/voice");
    let voice = daemon.wait_state("voice", ServiceState::Starting);
    say("STATUS=loads 3 of 4");
    let socket = || {
        let all = fs::read_to_string("/proc/net/unix").expect("there is a /proc");
        let line = all.lines().find(|line| line.ends_with(&*ear.to_string_lossy())).expect("it listens");
        line.split_whitespace().nth(6).expect("its number").to_owned()
    };
    let number = socket();
    let before = daemon.wait_state("big", ServiceState::Ready);
    let is_all = |snapshot: &watchd::store::Snapshot, names: &[&str]| {
        let is_on = |name| snapshot.classes.iter().any(|row| board::text(&row.name) == name && row.is_on());
        names.iter().all(|name| is_on(*name)).then_some(())
    };
    daemon.wait_for("a number that is too high", |snapshot| is_all(snapshot, &["mails_high"]));
    assert_eq!(home.ask(&["class", "set", "storm"]).0, 0);
    daemon.wait_for("the class that holds", |snapshot| is_all(snapshot, &["lately"]));
    assert_eq!(home.ask(&["class", "clear", "storm"]).0, 0);

    let is_on = |snapshot: &watchd::store::Snapshot, name: &str| {
        snapshot.classes.iter().any(|row| board::text(&row.name) == name && row.is_on())
    };
    // No program is here for as long as a limit may last.
    let mut upgrades = 0;
    loop {
        assert_eq!(home.ask(&["upgrade"]).0, 0);
        two_looks(&mut daemon);
        upgrades += 1;
        let snapshot = daemon.snapshot().expect("it is there");
        let row = |id: &str| snapshot.service(id).copied().expect("it is in the policy");
        let (now, still) = (row("sick"), row("voice"));
        assert_eq!((now.state(), now.since_mono_ms), (ServiceState::Unhealthy, sick.since_mono_ms), "{upgrades}");
        assert_eq!((still.state(), still.since_mono_ms), (ServiceState::Starting, voice.since_mono_ms), "{upgrades}");
        assert!(board::text(&still.reason).ends_with("loads 3 of 4"), "{}", board::text(&still.reason));
        assert_eq!(row("after").state(), ServiceState::Waiting, "it needs one that is not ready");
        assert_eq!((row("big").pid, row("big").since_mono_ms), (before.pid, before.since_mono_ms));
        assert!(is_all(&snapshot, &["lately", "mails_high"]).is_some(), "classes go on, too, {upgrades}");
        assert_eq!(fs::read_to_string(home.scratch.path("asked")).expect("it was asked"), "x\n");
        if is_on(&snapshot, "big_rss_high") && is_on(&snapshot, "busy_cpu_high") {
            break;
        }
        assert!(upgrades < 40, "what a limit may last begins anew with each program");
    }
    assert_eq!(home.ask(&["upgrade"]).0, 0);
    let (_, told) = home.ask(&["events", "--last", "1000"]);
    for id in ["big", "busy"] {
        let is_about = |line: &&str| line.contains("service-excess") && line.contains(&format!(" {id}: "));
        assert_eq!(told.lines().filter(is_about).count(), 1, "said once: {told}");
    }
    assert_eq!(socket(), number, "the same socket, with what waits in it");
    say("READY=1");
    assert_eq!(daemon.wait_state("voice", ServiceState::Ready).pid, voice.pid);
    daemon.wait_state("after", ServiceState::Ready);
}

#[test]
fn what_cannot_take_over_changes_nothing() {
    let http = SocketAddr::from(([127, 0, 0, 1], net::free_port()));
    let home = home("refused", http);
    let mut daemon = start(&home);
    let before = daemon.wait_state("web", ServiceState::Ready).pid;
    let (_, events) = home.ask(&["events"]);
    let starts = events.matches("daemon-started").count();
    let cases = [
        ("#!/bin/sh\nexit 0\n", "does not say that it can take over"),
        ("#!/bin/sh\necho watchd 9.9.9\n", "the new program says: watchd 9.9.9"),
        ("#!/bin/sh\necho 'watchd.toml:1:1: x: unknown key'\nexit 2\n", "the new program says: watchd.toml:1:1"),
        ("#!/bin/sh\nkill -9 $$\n", "does not say that it can take over"),
        ("no program at all\n", "cannot execute"),
        // It promises, and then it is none: exec fails.
        (
            "#!/bin/sh\necho 'watchd 0 can take over (handover 1)'\nprintf 'no program' > \"$0.x\"\nchmod 755 \"$0.x\"\nmv \"$0.x\" \"$0\"\n",
            "cannot execute",
        ),
    ];
    for (text, why) in cases {
        script(&home, text);
        let output = home.watchd(&["upgrade"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{text:?} {said}");
        assert!(said.contains(why) && said.contains("the one before goes on"), "{text:?}: {said}");
    }
    fs::remove_file(home.scratch.path("installed")).expect("it is there");
    assert_eq!(home.ask(&["upgrade"]).0, 1, "there is no program at all");
    // By signal there is nobody to tell; the journal is.
    let refusals = || home.ask(&["events", "--last", "1000"]).1.matches("upgrade-refused").count();
    let known = refusals();
    daemon.signal(Signal::SIGUSR2);
    until("one refusal more", || (refusals() > known).then_some(()));
    install(&home, &binary());
    home.configure("[watchd]\ncycle = 3\n");
    daemon.wait_for("the bad config", |snapshot| (snapshot.header.config_ok == 0).then_some(()));
    assert_eq!(home.ask(&["upgrade"]).0, 1, "it would not start");
    assert_eq!(daemon.wait_state("web", ServiceState::Ready).pid, before);
    assert!(page(http).is_some());
    assert_eq!(home.ask(&["events", "--last", "1000"]).1.matches("daemon-started").count(), starts);
}

#[test]
fn a_running_command_is_waited_for() {
    let home = Home::new(
        "busy",
        "[watchd]\ncycle = \"100ms\"\n[command.long]\nrun = \"echo begun >> @/ran; while [ ! -e @/go ]; do sleep 0.1; done; echo ended >> @/ran\"\nevery = \"1h\"\ntimeout = \"10m\"\n",
    );
    install(&home, &binary());
    let usual = home.command(&["run"]);
    let mut command = Command::new(home.scratch.path("installed"));
    command.args(usual.get_args());
    let daemon = home.spawn_as(command);
    let ran = || fs::read_to_string(home.scratch.path("ran")).unwrap_or_default();
    until("the command", || ran().contains("begun").then_some(()));
    let mut asked = home.command(&["upgrade"]).spawn().expect("watchd can be started");
    // It is tried at once, and cannot go on yet.
    harness::pause(std::time::Duration::from_millis(500));
    assert!(asked.try_wait().expect("it is our child").is_none());
    home.scratch.write("go", "");
    assert!(asked.wait().expect("it is our child").success());
    assert!(ran().starts_with("begun\nended\n"), "{}", ran());
    daemon.kill();
}

#[test]
fn a_door_that_does_not_turn_is_replaced() {
    let http = SocketAddr::from(([127, 0, 0, 1], net::free_port()));
    let home = home("stuck", http);
    let mut daemon = start(&home);
    let stuck = door(&mut daemon, 0);
    until("the page", || page(http));
    kill(Pid::from_raw(i32::try_from(stuck).expect("pids are small")), Signal::SIGSTOP).expect("it lives");
    until("the status to tell", || home.ask(&["status"]).1.contains("STOPPED").then_some(()));
    let fresh = door(&mut daemon, stuck);
    assert_ne!(fresh, stuck);
    until("the page", || page(http));
    assert!(home.ask(&["events"]).1.contains("gave no answer"));
}
