//! What accidents and ill will do to a running watchd, played for real: dead file servers, storms of signals, odd files, full disks.
//!
//! Nothing here depends on how long a thing takes. What needs root or FUSE says so loudly where it is missing.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use harness::{Home, is_root, look, skip, until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use watchd::model::ServiceState;
use watchd::store::{Snapshot, board};

/// A daemon's command line below that of another program.
fn below(program: &Path, args: &[&Path], home: &Home) -> Command {
    let daemon = home.command(&["run"]);
    let mut command = Command::new(program);
    command.args(args).arg(daemon.get_program()).args(daemon.get_args());
    command
}

/// A policy with one service; `more` goes into its table.
fn one_service(more: &str) -> String {
    format!("[watchd]\ncycle = \"1s\"\n[process.web]\nrun = [\"@/stamp\", \"@/web\"]\n{more}\n")
}

#[test]
fn a_file_server_that_never_answers_holds_neither_the_loop_nor_the_next_watchd() {
    if !is_root() || !Path::new("/dev/fuse").exists() {
        return skip("a dead file server takes root and /dev/fuse");
    }
    let home = Home::new("mute", &one_service("settle = \"100ms\"\n[disk.share]\npath = \"@/mounted\""));
    home.scratch.program("stamp.c", "stamp");
    let mute = home.scratch.compiled(Path::new("tests/attack/mute.c"), "mute");
    let point = home.scratch.dir_of("mounted", None);
    let mut daemon = home.spawn_as(below(&mute, &[&point], &home));
    daemon.wait_state("web", ServiceState::Ready);
    let first = daemon.wait_for("a cycle", |snapshot| Some(snapshot.header.cycles));
    // The helper that asks it has its two seconds, and is given up.
    let stuck = until("a helper that hangs", || {
        let children =
            look::pids().into_iter().filter(|pid| look::stat(*pid).is_some_and(|stat| stat.parent == daemon.pid()));
        children.rev().find(|pid| look::stat(*pid).is_some_and(|stat| stat.state == 'D'))
    });
    daemon.wait_for("the class of a disk that hangs", |snapshot| {
        let on = |name| snapshot.classes.iter().any(|row| row.is_on() && board::text(&row.name) == name);
        (on("disk_share_hung") && on("disk_share_unknown") && !on("disk_share_full")).then_some(())
    });
    let longest = daemon.wait_for("five more cycles", |snapshot| {
        (snapshot.header.cycles > first + 5).then_some(snapshot.header.longest_turn_us)
    });
    assert!(longest < 1_000_000, "the loop was never held: {longest} µs");
    daemon.kill();
    assert!(look::stat(stuck).is_some_and(|stat| stat.state == 'D'), "nothing ends a helper that the kernel holds");
    let mut daemon = home.start();
    daemon.wait_state("web", ServiceState::Ready);
    drop(daemon);
    for pid in look::running_from(&home.scratch.dir) {
        if look::program(pid).as_deref() == Some(mute.as_path()) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
    until("the end of the helper", || look::stat(stuck).is_none().then_some(()));
    let _ = fs::remove_dir(&point);
}

#[test]
fn a_chip_that_never_answers_holds_neither_the_loop_nor_what_was_read_before_it() {
    if !is_root() || !Path::new("/dev/fuse").exists() {
        return skip("a file that hangs takes root and /dev/fuse");
    }
    let port = harness::net::free_port();
    let home = Home::new("chip", &format!("[watchd]\ncycle = \"200ms\"\n[munin]\nlisten = [\"127.0.0.1:{port}\"]\n"));
    let mute = home.scratch.compiled(Path::new("tests/attack/mute.c"), "mute");
    let (point, chip) = (home.scratch.dir_of("mounted", None), home.scratch.path("root/sys/class/hwmon/hwmon0"));
    fs::create_dir_all(&chip).expect("a directory can be made");
    for (name, text) in [("name", "odd\n"), ("temp1_input", "52000\n"), ("temp3_input", "1000\n")] {
        fs::write(chip.join(name), text).expect("a file can be written");
    }
    std::os::unix::fs::symlink("/proc", home.scratch.path("root/proc")).expect("a link can be made");
    std::os::unix::fs::symlink(point.join("x"), chip.join("temp2_input")).expect("a link can be made");
    let mut command = below(&mute, &[&point], &home);
    command.args(["--root", &home.scratch.text("root")]);
    let mut daemon = home.spawn_as(command);
    let stuck = until("a child that hangs", || {
        let is_stuck =
            |pid: &i32| look::stat(*pid).is_some_and(|stat| stat.parent == daemon.pid() && stat.state == 'D');
        look::pids().into_iter().rev().find(is_stuck)
    });
    let ask = || harness::net::munin(port, "fetch sensors_temp");
    let first = until("the temperature", || Some(ask()).filter(|told| told.contains("value")));
    assert_eq!(first, "temp1.value 52.0\n.\n", "what it did not reach is not told");
    let longest = daemon.wait_for("that the loop turned", |snapshot| {
        (snapshot.header.cycles > 10).then_some(snapshot.header.longest_turn_us)
    });
    assert!(longest < 1_000_000, "the loop was never held: {longest} µs");
    assert!(look::stat(stuck).is_some_and(|stat| stat.state == 'D'), "nothing ends a child that the kernel holds");
    drop(daemon);
    for pid in look::running_from(&home.scratch.dir) {
        if look::program(pid).as_deref() == Some(mute.as_path()) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
    until("the end of the child", || look::stat(stuck).is_none().then_some(()));
    let _ = fs::remove_dir(&point);
}

/// Whether a class is true.
fn is_on(snapshot: &Snapshot, class: &str) -> bool {
    snapshot.classes.iter().any(|row| board::text(&row.name) == class && row.is_on())
}

fn status(mut command: Command) -> Option<i32> {
    command.status().ok()?.code()
}

fn has_namespaces() -> bool {
    let mut command = Command::new("unshare");
    command.args(["-m", "true"]);
    status(command) == Some(0)
}

#[test]
fn a_read_only_state_directory_is_a_class_and_stops_nothing_else() {
    if !is_root() || !has_namespaces() {
        return skip("a mount takes root and unshare");
    }
    let home = Home::new("readonly", &one_service("settle = \"100ms\""));
    home.scratch.program("stamp.c", "stamp");
    let state = home.scratch.path("state");
    let mut daemon = home.start();
    let pid = daemon.wait_state("web", ServiceState::Ready).pid;
    daemon.kill();

    let script = "mount --bind $0 $0 && mount -o remount,ro,bind $0 && exec \"$@\"";
    let args = [Path::new("-m"), Path::new("sh"), Path::new("-c"), Path::new(script), &state];
    let mut daemon = home.spawn_as(below(Path::new("unshare"), &args, &home));
    daemon.wait_for("the class", |snapshot| {
        (is_on(snapshot, "state_unwritable") && snapshot.header.state_ok == 0).then_some(())
    });
    assert_eq!(daemon.wait_state("web", ServiceState::Ready).pid, pid, "what ran is remembered and adopted");
    kill(Pid::from_raw(pid), Signal::SIGKILL).expect("it lives");
    daemon.wait_for("another process", |snapshot| {
        let row = snapshot.service("web")?;
        (row.state() == ServiceState::Ready && row.pid != pid).then_some(())
    });

    let pid = daemon.pid().to_string();
    let mut remount = Command::new("nsenter");
    remount.args(["-t", &pid, "-m", "mount", "-o", "remount,rw,bind"]).arg(&state);
    assert_eq!(status(remount), Some(0));
    daemon.wait_for("the end of the class", |snapshot| {
        (!is_on(snapshot, "state_unwritable") && snapshot.header.state_ok == 1).then_some(())
    });
    let (code, events) = home.ask(&["events"]);
    assert!(code == 0 && events.contains("service-died"), "what happened meanwhile was written late:\n{events}");
}

#[test]
fn a_state_directory_that_is_taken_away_is_made_again_and_nothing_runs_twice() {
    let home = Home::new("taken", &one_service("settle = \"100ms\"").replace("1s", "100ms"));
    home.scratch.program("stamp.c", "stamp");
    let state = home.scratch.path("state");
    let mut daemon = home.start();
    let pid = daemon.wait_state("web", ServiceState::Ready).pid;
    assert_eq!(home.ask(&["class", "set", "by_hand"]).0, 0);
    daemon.wait_for("the class", |snapshot| is_on(snapshot, "by_hand").then_some(()));
    fs::remove_dir_all(&state).expect("it is ours");
    let has = |name: &str| state.join(name).exists();
    let files = ["services", "events", "history", "learned", "promises", "classes"];
    until("the files", || files.into_iter().all(has).then_some(()));
    daemon.wait_for("the end of the class", |snapshot| {
        (!is_on(snapshot, "state_unwritable") && snapshot.header.state_ok == 1).then_some(())
    });
    let (_, events) = home.ask(&["events"]);
    assert!(events.contains("state-unwritable") && events.contains("somebody removed the file"), "{events}");
    assert!(events.contains("service-ready"), "what happened before is told in the new journal, too:\n{events}");
    daemon.kill();
    let mut daemon = home.start();
    assert_eq!(daemon.wait_state("web", ServiceState::Ready).pid, pid, "it is known again");
    daemon.wait_for("the class", |snapshot| is_on(snapshot, "by_hand").then_some(()));
}

#[test]
fn an_order_is_heard_where_no_descriptor_is_left_and_waiting_clients_turn_no_loop() {
    let home = Home::new("short", &one_service("settle = \"100ms\""));
    home.scratch.program("stamp.c", "stamp");
    let mut daemon = home.start();
    daemon.wait_state("web", ServiceState::Ready);
    // Below the first number that is free nothing more can be opened.
    let pid = daemon.pid().to_string();
    let limit = |most: usize| {
        let mut prlimit = Command::new("prlimit");
        prlimit.args(["--pid", &pid, &format!("--nofile={most}:1024")]);
        assert_eq!(status(prlimit), Some(0));
    };
    let is_open = |number: &usize| Path::new(&format!("/proc/{pid}/fd/{number}")).exists();
    limit((0..1024).find(|number| !is_open(number)).expect("some are free"));
    let socket = home.scratch.path("run/control.sock");
    let connect = || std::os::unix::net::UnixStream::connect(&socket).expect("the kernel takes them");
    let waiting: Vec<_> = (0..3).map(|_| connect()).collect();
    daemon.wait_for("a word about it", |snapshot| {
        let said = |row: &watchd::store::EventRow| board::text(&row.text).starts_with("cannot hear orders");
        (snapshot.events.iter().filter(|row| said(row)).count() == 1).then_some(())
    });
    drop(waiting);
    until("an order", || (home.ask(&["class", "set", "by_hand"]).0 == 0).then_some(()));
    daemon.wait_for("the class", |snapshot| is_on(snapshot, "by_hand").then_some(()));
    limit(1024);
}

#[test]
fn a_logger_that_reads_nothing_holds_up_neither_the_start_nor_the_loop() {
    use std::os::unix::fs::OpenOptionsExt;
    let home = Home::new("logger", &one_service("settle = \"100ms\"").replace("1s", "100ms"));
    home.scratch.program("stamp.c", "stamp");
    let pipe = home.scratch.path("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).expect("a pipe can be made");
    let flags = nix::libc::O_NONBLOCK;
    let logger = fs::File::options().read(true).write(true).custom_flags(flags).open(&pipe).expect("it opens");
    while nix::unistd::write(&logger, &[b'x'; 4096]).is_ok() {}
    let args = [Path::new("-c"), Path::new("exec \"$@\" >$0 2>&1"), &pipe];
    let mut daemon = home.spawn_as(below(Path::new("sh"), &args, &home));
    let pid = daemon.wait_state("web", ServiceState::Ready).pid;
    kill(Pid::from_raw(pid), Signal::SIGKILL).expect("it lives");
    daemon.wait_for("another process", |snapshot| {
        let row = snapshot.service("web")?;
        (row.state() == ServiceState::Ready && row.pid != pid).then_some(())
    });
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait_end(), 0);
}

#[test]
fn the_last_of_many_changes_counts() {
    let home = Home::new("changes", &one_service("settle = \"100ms\""));
    home.scratch.program("stamp.c", "stamp");
    let mut daemon = home.start();
    let pid = daemon.wait_state("web", ServiceState::Ready).pid;
    for round in 0..60 {
        home.configure(&one_service(&format!("settle = \"{}ms\"", 100 + round)).replace("1s", "2s"));
        daemon.signal(Signal::SIGHUP);
    }
    home.configure(&one_service("settle = \"100ms\"").replace("1s", "3s"));
    daemon.signal(Signal::SIGHUP);
    daemon.wait_for("the last config", |snapshot| (snapshot.header.cycle_ms == 3000).then_some(()));
    fs::remove_file(home.scratch.path("watchd.toml")).expect("it is there");
    daemon.wait_for("the refusal", |snapshot| (snapshot.header.config_ok == 0).then_some(()));
    assert_eq!(daemon.wait_state("web", ServiceState::Ready).pid, pid, "the old policy goes on");
}

#[test]
fn root_refuses_a_config_that_others_can_write() {
    if !is_root() {
        return skip("only root has to be careful");
    }
    let home = Home::new("trust", &one_service(""));
    let path = home.scratch.path("watchd.toml");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).expect("it is ours");
    let refused = home.watchd(&["run"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("watchd.toml:1:1: file: other accounts can write to it"), "{said}");
    assert!(said.contains("chmod go-w"), "{said}");
}

#[test]
fn an_unread_log_variable_moves_nobodys_file() {
    let home = Home::new("foreign-log", &one_service(""));
    let mine = home.scratch.write("mine", &"x".repeat(300 << 10));
    home.scratch.program("stamp.c", "stamp");
    let mut command = home.command(&["run"]);
    command.env("WATCHD_LOG", &mine);
    let mut daemon = home.spawn_as(command);
    daemon.wait_state("web", ServiceState::Ready);
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait_end(), 0);
    assert_eq!(fs::metadata(&mine).expect("it is where it was").len(), 300 << 10);
}

#[test]
fn a_daemon_deaf_to_everything_but_sigkill_ends_with_watchd() {
    let deaf = "#!/bin/sh\ntrap '' TERM INT HUP\nwhile :; do /bin/sleep 1; done\n";
    let more = "on-exit = \"stop\"\nsignals = [\"term\", \"200ms\"]\n";
    let home = Home::new("deaf", &one_service(more).replace("@/stamp", "/bin/sh"));
    home.scratch.write("web", deaf);
    let mut daemon = home.start();
    let pid = daemon.wait_state("web", ServiceState::Ready).pid;
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait_end(), 0);
    assert!(look::stat(pid).is_none_or(|stat| stat.state == 'Z'), "it is gone");
    assert!(!home.run_dir().exists(), "nothing is left behind");
}

#[test]
fn a_host_that_slept_costs_no_daemon_its_life() {
    let home = Home::new("slept", &one_service("").replace("1s", "3s"));
    home.scratch.program("stamp.c", "stamp");
    let mut daemon = home.start();
    daemon.wait_state("web", ServiceState::Ready);
    // After a sleep the heartbeat is as old as the sleep was long, until the loop turns again.
    let file = fs::File::options().write(true).open(home.board()).expect("root and the owner may write it");
    std::os::unix::fs::FileExt::write_all_at(&file, &1_u64.to_ne_bytes(), 24).expect("a word is written");
    assert_eq!(home.ask(&["keepalive"]), (0, String::new()));
    daemon.wait_for("that it lives on", |_| Some(()));
}

/// Whether these bytes stand anywhere in the memory of a process; only root may look.
fn has_in_memory(pid: i32, wanted: &[u8]) -> bool {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).expect("we may look");
    let memory = fs::File::open(format!("/proc/{pid}/mem")).expect("we may look");
    let ranges = maps.lines().filter(|line| !line.contains("[vvar") && !line.contains("[vsyscall]"));
    ranges.filter_map(|line| line.split(' ').next()?.split_once('-')).any(|(start, end)| {
        let number = |text| u64::from_str_radix(text, 16).expect("an address");
        let mut bytes = vec![0; usize::try_from(number(end) - number(start)).expect("it fits")];
        let is_read = std::os::unix::fs::FileExt::read_exact_at(&memory, &mut bytes, number(start)).is_ok();
        is_read && bytes.windows(wanted.len()).any(|window| window == wanted)
    })
}

#[test]
fn the_door_has_nothing_of_the_memory_of_core() {
    if !is_root() {
        return skip("only root may look into other processes");
    }
    let port = harness::net::free_port();
    let secret = format!("env = {{ TOKEN = \"hush-{}-hush\" }}\nsettle = \"100ms\"", std::process::id());
    let policy = format!("[http]\nlisten = [\"127.0.0.1:{port}\"]\n{}", one_service(&secret));
    let home = Home::new("secret", &policy).env("ALSO", &format!("loud-{}-loud", std::process::id()));
    home.scratch.program("stamp.c", "stamp");
    let mut daemon = home.start();
    daemon.wait_state("web", ServiceState::Ready);
    until("an answer", || (harness::net::get(port, "/healthz").0 == 200).then_some(()));
    let door =
        daemon.wait_for("a door", |snapshot| i32::try_from(snapshot.header.door_pid).ok().filter(|pid| *pid > 0));
    let (secret, loud) = (format!("hush-{}-hush", std::process::id()), format!("loud-{}-loud", std::process::id()));
    for text in [&secret, &loud] {
        assert!(has_in_memory(daemon.pid(), text.as_bytes()), "core has it, so it can be found: {text}");
        assert!(!has_in_memory(door, text.as_bytes()), "{text}");
    }
    assert_eq!(fs::read(format!("/proc/{door}/environ")).expect("we may look"), b"", "no variable of ours");
    let maps = fs::read_to_string(format!("/proc/{door}/maps")).expect("we may look");
    assert!(maps.contains(" r--s ") && !maps.contains(" rw-s "), "the board is there for reading alone: {maps}");
    assert_eq!(look::stat(door).map(|stat| stat.comm).as_deref(), Some("watchd-door"), "what `ps` and `top` show");
}

/// All that can hang without the kernel's help, at once: whoever takes the mail, a webhook, a check (as one that asks a resolver), a command, the
/// start of another service, a plugin, and a service that is stopped.
const HANGING: &str = "[watchd]\ncycle = \"100ms\"\nsendmail = [\"@/hangs\", \"-t\"]\nswitches = [\"bell\"]\n\
    [munin]\nlisten = [\"127.0.0.1:PORT\"]\nplugins = \"@/plugins\"\n\
    [webhook.chat]\nrun = [\"@/hangs\"]\n\
    [report.r]\nif = \"bell\"\ntext = \"the bell rings\"\ntimeout = \"1s\"\nto = [\"mail:root\", \"webhook:chat\"]\n\
    [command.c]\nrun = [\"@/hangs\"]\nevery = \"300ms\"\ntimeout = \"1s\"\n\
    [measure.m]\nrun = [\"@/hangs\"]\nevery = \"300ms\"\ntimeout = \"1s\"\n\
    [process.late]\npidfile = \"@/late.pid\"\nstart = [\"@/hangs\"]\ntimeout = \"1s\"\n\
    [process.stopped]\nrun = [\"@/stamp\", \"@/stopped\"]\nsettle = \"50ms\"\n\
    [process.web]\nrun = [\"@/stamp\", \"@/web\"]\nsettle = \"50ms\"\nbackoff = [\"10ms\", \"50ms\"]\nlimit = \"1000/1m\"\n\
    check = [{ exec = [\"@/hangs\"], every = \"300ms\", timeout = \"200ms\", fails = 100 }]\n";

#[test]
fn a_world_in_which_everything_hangs_holds_up_neither_cycle_nor_restart_and_loses_no_report() {
    let port = harness::net::free_port();
    let home = Home::new("hangs", &HANGING.replace("PORT", &port.to_string()));
    home.scratch.program("stamp.c", "stamp");
    let hangs = home.scratch.script("hangs", "#!/bin/sh\ntrap '' TERM\ncat >/dev/null\nwhile :; do sleep 1; done\n");
    home.scratch.dir_of("plugins", None);
    home.scratch.script("plugins/hangs", "#!/bin/sh\nwhile :; do sleep 1; done\n");
    let mut daemon = home.start();
    let stopped = daemon.wait_state("stopped", ServiceState::Ready).pid;
    kill(Pid::from_raw(stopped), Signal::SIGSTOP).expect("it lives");
    assert_eq!(home.ask(&["class", "set", "bell"]).0, 0);
    let mut pid = daemon.wait_state("web", ServiceState::Ready).pid;
    for _ in 0..20 {
        let begin = daemon.wait_for("a cycle", |snapshot| Some(snapshot.header.cycles));
        kill(Pid::from_raw(pid), Signal::SIGKILL).expect("it lives");
        pid = daemon.wait_for("another process", |snapshot| {
            let row = snapshot.service("web")?;
            (row.state() == ServiceState::Ready && row.pid > 0 && row.pid != pid).then_some(row.pid)
        });
        daemon.wait_for("more cycles", |snapshot| (snapshot.header.cycles > begin + 2).then_some(()));
    }
    let longest = daemon.wait_for("a page", |snapshot| Some(snapshot.header.longest_turn_us));
    assert!(longest < 1_000_000, "the loop was never held: {longest} µs");
    // Nothing has arrived, and nothing is lost: whoever takes it next time gets it.
    let (_, said) = home.ask(&["events", "--json"]);
    assert!(said.contains("bell"), "{said}");
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait_end(), 0);
    fs::remove_file(&hangs).expect("it is there");
    home.scratch.script("hangs", &format!("#!/bin/sh\ncat >>{}\n", home.scratch.text("taken")));
    let mut daemon = home.start();
    daemon.wait_for("both to be taken", |_| {
        let taken = fs::read_to_string(home.scratch.path("taken")).unwrap_or_default();
        (taken.matches("the bell rings").count() >= 2).then_some(())
    });
}
