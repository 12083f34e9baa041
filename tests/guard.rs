//! Who guards the guard, and who may give it orders: the service manager, the machine's watchdog, the only one of a hundred, the
//! control socket, the directories, and what the daemon keeps of root's powers. The real daemon each time, looked at from outside.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use std::fs::{self, OpenOptions, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, chown, symlink};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use harness::{Home, is_root, look, net, skip, until};
use nix::sys::signal::Signal;
use watchd::model::ServiceState;

const QUIET: &str = "[watchd]\ncycle = \"1s\"\n";

fn one_service(more: &str) -> String {
    format!("{QUIET}{more}\n[process.web]\nrun = [\"@/stamp\", \"@/web\"]\nsettle = \"100ms\"\n")
}

// ---- the service manager ----

/// Everything a service manager was told, until it was told this.
fn told_until(socket: &UnixDatagram, word: &str) -> Vec<String> {
    let mut told = Vec::new();
    until(&format!("{word} for the service manager"), || {
        let mut bytes = [0; 512];
        while let Ok(length) = socket.recv(&mut bytes) {
            told.push(String::from_utf8_lossy(&bytes[..length]).into_owned());
        }
        told.iter().any(|text| text == word).then_some(())
    });
    told
}

#[test]
fn a_service_manager_is_told_when_it_is_ready_that_it_lives_and_when_it_ends() {
    let home = Home::new("manager", QUIET);
    let path = home.scratch.path("notify");
    let socket = UnixDatagram::bind(&path).expect("a socket can be bound");
    socket.set_nonblocking(true).expect("it can be set");
    let mut command = home.command(&["run"]);
    // As the unit has it: a sign each 100 ms is asked for.
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "200000");
    let daemon = home.spawn_as(command);
    let told = told_until(&socket, "READY=1");
    assert_eq!(told[0], "READY=1", "nothing is said before it is ready");
    for _ in 0..3 {
        told_until(&socket, "WATCHDOG=1");
    }
    // A loop that stands still gives no sign: all that was sent before is taken out, and no more comes.
    daemon.signal(Signal::SIGSTOP);
    until("that it stands", || look::stat(daemon.pid()).filter(|stat| stat.state == 'T'));
    while socket.recv(&mut [0; 64]).is_ok() {}
    harness::pause(Duration::from_millis(600));
    assert!(socket.recv(&mut [0; 64]).is_err(), "a loop that stands still says nothing");
    daemon.signal(Signal::SIGCONT);
    told_until(&socket, "WATCHDOG=1");
    daemon.signal(Signal::SIGTERM);
    told_until(&socket, "STOPPING=1");
    assert_eq!(daemon.wait_end(), 0);
}

fn unit(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib/systemd").join(name);
    fs::read_to_string(path).expect("the unit is there")
}

#[test]
fn the_unit_asks_for_what_the_daemon_gives() {
    let text = unit("watchd.service");
    let has = |line: &str| text.lines().any(|found| found == line);
    for line in ["Type=notify", "NotifyAccess=main", "KillMode=process", "Delegate=yes", "RuntimeDirectoryPreserve=yes"]
    {
        assert!(has(line), "{line}\n{text}");
    }
    assert!(text.lines().any(|line| line.starts_with("WatchdogSec=")), "{text}");
    // What it takes away from the daemon is taken away from every service below it.
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        for word in
            ["ProtectSystem", "PrivateTmp", "NoNewPrivileges", "CapabilityBoundingSet", "MemoryDenyWriteExecute"]
        {
            assert!(!line.starts_with(word), "{line} would bind the services as well");
        }
    }
}

#[test]
fn the_units_are_good_for_systemd() {
    let runs = Command::new("systemd-analyze").arg("--version").stdout(Stdio::null()).status();
    if !runs.is_ok_and(|status| status.success()) {
        return skip("there is no systemd-analyze");
    }
    let home = Home::new("unit", QUIET);
    let program = home.scratch.copied(harness::binary(), "watchd");
    let place = |text: &str| text.replace("/usr/local/bin/watchd", &program.to_string_lossy());
    let dropin = home.scratch.path("watchd.service.d");
    fs::create_dir(&dropin).expect("a directory can be made");
    let main = home.scratch.write("watchd.service", &place(&unit("watchd.service")));
    let analyze = |words: &[&str]| {
        let output = Command::new("systemd-analyze").args(words).arg(&main).stdin(Stdio::null()).output();
        let output = output.expect("systemd-analyze can be run");
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&said).into_owned())
    };
    let (is_good, said) = analyze(&["verify", "--man=no", "--recursive-errors=no"]);
    assert!(is_good && !said.contains("watchd.service"), "{said}");
    // The drop-in for hosts where it only looks takes nearly everything away.
    fs::write(dropin.join("look-only.conf"), unit("look-only.conf")).expect("it can be written");
    let (is_good, said) = analyze(&["verify", "--man=no", "--recursive-errors=no"]);
    assert!(is_good && !said.contains("watchd.service"), "{said}");
}

// ---- the machine's watchdog ----

#[test]
fn the_machines_watchdog_is_fed_by_the_loop_and_switched_off_on_purpose_only() {
    let wanted = "watchdog-device = \"@/dog\"\n";
    let home = Home::new("dog", &format!("{QUIET}{wanted}"));
    let path = home.scratch.path("dog");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).expect("a pipe can be made");
    let mut dog = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&path).expect("it opens");
    let mut eaten = |what: &str, enough: &dyn Fn(&[u8]) -> bool| {
        let mut bytes = Vec::new();
        until(what, || {
            let mut chunk = [0; 64];
            while let Some(read) = dog.read(&mut chunk).ok().filter(|read| *read > 0) {
                bytes.extend_from_slice(&chunk[..read]);
            }
            enough(&bytes).then_some(())
        });
        bytes
    };
    let mut daemon = home.start();
    assert_eq!(eaten("a meal", &|bytes| !bytes.is_empty())[0], 0);
    let has_it_open = |pid: i32| {
        let entries = fs::read_dir(format!("/proc/{pid}/fd")).expect("we may look").flatten();
        entries.filter_map(|entry| fs::read_link(entry.path()).ok()).any(|target| target == path)
    };
    assert!(has_it_open(daemon.pid()));
    // Taken out of the policy: switched off, and closed.
    home.configure(QUIET);
    daemon.signal(Signal::SIGHUP);
    assert!(eaten("the sign to switch off", &|bytes| bytes.contains(&b'V')).ends_with(b"V"));
    until("that it is closed", || (!has_it_open(daemon.pid())).then_some(()));
    home.configure(&format!("{QUIET}{wanted}"));
    daemon.signal(Signal::SIGHUP);
    eaten("a meal", &|bytes| bytes.contains(&0));
    // A death is what it is there for.
    daemon.kill();
    assert!(!eaten("what is left", &|_| true).contains(&b'V'), "who is killed does not switch it off");
    daemon = home.start();
    eaten("a meal of the next", &|bytes| bytes.contains(&0));
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait_end(), 0);
    assert!(eaten("the sign to switch off", &|bytes| bytes.contains(&b'V')).ends_with(b"V"));
}

#[test]
fn a_watchdog_that_is_none_stops_nothing() {
    let home = Home::new("nodog", &one_service("watchdog-device = \"@/dog\""));
    home.scratch.program("stamp.c", "stamp");
    home.scratch.write("dog", "a file");
    let mut daemon = home.start();
    daemon.wait_state("web", ServiceState::Ready);
    let cycles = daemon.wait_for("a cycle", |snapshot| Some(snapshot.header.cycles));
    daemon.wait_for("three more", |snapshot| (snapshot.header.cycles > cycles + 3).then_some(()));
    let said = daemon.said();
    assert_eq!(said.matches("cannot use the watchdog").count(), 1, "it is said once: {said}");
    assert!(said.contains("it is no device"), "{said}");
    assert_eq!(fs::read_to_string(home.scratch.path("dog")).expect("it is there"), "a file");
}

// ---- the only one ----

#[test]
fn of_a_hundred_that_start_at_once_one_runs() {
    let home = Home::new("hundred", &one_service(""));
    home.scratch.program("stamp.c", "stamp");
    let start = |_| {
        let mut command = home.command(&["run"]);
        command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it can be started")
    };
    let mut all: Vec<_> = (0..100).map(start).collect();
    until("the end of all but one", || {
        let alive =
            all.iter_mut().filter_map(|child| child.try_wait().expect("it is our child").is_none().then_some(()));
        (alive.count() <= 1).then_some(())
    });
    let (mut running, mut words) = (Vec::new(), Vec::new());
    for mut child in all {
        match child.try_wait().expect("it is our child") {
            None => running.push(child),
            Some(status) => {
                let mut said = String::new();
                child.stderr.take().expect("it is piped").read_to_string(&mut said).expect("it is text");
                assert_eq!(status.code(), Some(1), "{said}");
                words.push(said);
            }
        }
    }
    let one = &mut running[0];
    let pid = one.id();
    let board = until("its page", || watchd::store::read_header(&home.board()).ok().filter(|header| header.pid == pid));
    assert_eq!(board.pid, pid);
    assert!(words.iter().all(|said| said.contains("a watchd runs with") || said.contains("try again")), "{words:?}");
    until("one service", || (look::with_argument(&home.scratch.path("web")).len() == 1).then_some(()));
    let starts = fs::read_to_string(home.scratch.path("web")).expect("it wrote that it began");
    assert_eq!(starts.lines().count(), 1, "it was started once");
    one.kill().and_then(|()| one.wait()).expect("it is our child");
}

// ---- orders ----

/// What the control socket says to these bytes.
fn say(home: &Home, bytes: &[u8]) -> String {
    let mut stream = UnixStream::connect(home.run_dir().join("control.sock")).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("it can be set");
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn garbage_and_crowds_at_the_control_socket_stop_no_order() {
    let home = Home::new("crowd", &one_service(""));
    home.scratch.program("stamp.c", "stamp");
    let mut daemon = home.start();
    let pid = daemon.wait_state("web", ServiceState::Ready).pid;
    for bytes in [
        &b"\n"[..],
        b"\0\0\0\0\n",
        b"restart web; shutdown\n",
        b"restart ../web\n",
        b"shutdown now\n",
        b"pause web for=-1\n",
        b"\xff\xfe\n",
        &[b'x'; 100_000],
    ] {
        assert!(say(&home, bytes).starts_with("bad-request "), "{}", bytes[..bytes.len().min(30)].escape_ascii());
    }
    // More who say nothing than there are places, and one who says half.
    let path = home.run_dir().join("control.sock");
    let crowd: Vec<_> = (0..60).filter_map(|_| UnixStream::connect(&path).ok()).collect();
    let mut half = UnixStream::connect(&path).expect("it listens");
    half.write_all(b"shutdow").expect("it takes bytes");
    drop(half);
    // An order in pieces is one order.
    let mut slow = UnixStream::connect(&path).expect("it listens");
    for byte in b"restart web\n" {
        slow.write_all(&[*byte]).expect("it takes a byte");
        harness::pause(Duration::from_millis(1));
    }
    let mut answer = String::new();
    slow.read_to_string(&mut answer).expect("it answers");
    assert!(answer.starts_with("ok "), "{answer}");
    drop(crowd);
    daemon.wait_for("another process", |snapshot| {
        let row = snapshot.service("web")?;
        (row.state() == ServiceState::Ready && row.pid != pid).then_some(())
    });
    assert!(look::descriptors(daemon.pid()) < 120, "nobody is kept");
}

/// What `watchd pause web` of this account says; the groups are beside its own.
fn order_as(home: &Home, uid: u32, gid: u32, groups: &'static [u32]) -> (Option<i32>, String) {
    let program = home.scratch.path("anyones");
    if !program.exists() {
        harness::copied(harness::binary(), &program);
    }
    let mut command = Command::new(&program);
    command.args(["pause", "web", "--run-dir"]).arg(home.run_dir()).current_dir("/");
    // SAFETY: between fork and exec only system calls are made.
    unsafe {
        command.pre_exec(move || {
            let groups: Vec<_> = groups.iter().map(|group| nix::unistd::Gid::from_raw(*group)).collect();
            nix::unistd::setgroups(&groups)?;
            nix::unistd::setgid(nix::unistd::Gid::from_raw(gid))?;
            Ok(nix::unistd::setuid(nix::unistd::Uid::from_raw(uid))?)
        });
    }
    let output = command.stdin(Stdio::null()).output().expect("it can be run");
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn orders_are_taken_from_root_and_from_the_group_that_the_policy_names() {
    if !is_root() {
        return skip("only root plays other accounts");
    }
    // Numbers are groups too: these have no line of their own.
    const GROUP: u32 = 40_123;
    let home = Home::new("group", &one_service(""));
    home.scratch.program("stamp.c", "stamp");
    let mut daemon = home.start();
    daemon.wait_state("web", ServiceState::Ready);
    let socket = home.run_dir().join("control.sock");
    let rights = || fs::metadata(&socket).map(|found| (found.mode() & 0o777, found.gid())).expect("it is there");
    assert_eq!(rights(), (0o600, 0));
    let (code, said) = order_as(&home, 65_534, GROUP, &[]);
    assert!(code == Some(1) && said.contains("Permission denied"), "{code:?} {said}");

    home.configure(&one_service(&format!("control-group = \"{GROUP}\"")));
    daemon.signal(Signal::SIGHUP);
    until("the group's rights", || (rights() == (0o660, GROUP)).then_some(()));
    for (gid, groups) in [(GROUP, &[][..]), (65_534, &[1, GROUP][..])] {
        let (code, said) = order_as(&home, 65_534, gid, groups);
        assert_eq!(code, Some(0), "{gid} {groups:?}: {said}");
    }
    let (code, said) = order_as(&home, 65_534, 65_534, &[1, 2]);
    assert!(code == Some(1) && said.contains("Permission denied"), "{code:?} {said}");
    // Who gets past the rights of the file is still asked who he is.
    fs::set_permissions(&socket, Permissions::from_mode(0o666)).expect("it is ours");
    let (code, said) = order_as(&home, 65_534, 65_534, &[1, 2]);
    assert!(code == Some(1) && said.contains("members of its control-group may ask"), "{code:?} {said}");

    home.configure(&one_service(""));
    daemon.signal(Signal::SIGHUP);
    until("nobody's rights", || (rights() == (0o600, 0)).then_some(()));
    let (code, said) = order_as(&home, 65_534, GROUP, &[]);
    assert!(code == Some(1) && said.contains("Permission denied"), "{code:?} {said}");
}

// ---- directories and files ----

#[test]
fn directories_and_files_that_others_could_put_in_place_are_refused() {
    let home = Home::new("paths", QUIET);
    let base = home.scratch.dir_of("base", None);
    let open = home.scratch.dir_of("open", None);
    fs::create_dir_all(open.join("deep/dir")).expect("a directory can be made");
    fs::set_permissions(&open, Permissions::from_mode(0o777)).expect("it is ours");
    fs::create_dir(base.join("real")).expect("a directory can be made");
    symlink(base.join("real"), base.join("link")).expect("a link can be made");
    fs::write(base.join("file"), "").expect("it can be written");
    fs::create_dir(base.join("loose")).expect("a directory can be made");
    fs::set_permissions(base.join("loose"), Permissions::from_mode(0o775)).expect("it is ours");
    let mut rows = vec![
        (base.join("link"), "it is not a directory"),
        (base.join("file"), "it is not a directory"),
        (base.join("loose"), "other accounts can write to it; chmod go-w it"),
        (open.join("deep/dir"), "other accounts can write to the directory "),
    ];
    if is_root() {
        let foreign = home.scratch.dir_of("foreign", Some(65_534));
        fs::create_dir(foreign.join("below")).expect("a directory can be made");
        chown(foreign.join("below"), Some(0), Some(0)).expect("it is ours");
        rows.push((foreign.join("below"), "belongs to account 65534, which can put another in its place"));
        rows.push((foreign, "it belongs to another account"));
    }
    for (path, why) in rows {
        for what in ["run", "state"] {
            let mut command = Command::new(harness::binary());
            command.arg("run").arg("--config").arg(home.scratch.path("watchd.toml"));
            for each in ["run", "state"] {
                let good = home.scratch.path(each);
                command.arg(format!("--{each}-dir")).arg(if each == what { &path } else { &good });
            }
            let output = command.stdin(Stdio::null()).output().expect("it can be run");
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(1), "{what} {}: {said}", path.display());
            if what == "state" && path.ends_with("foreign") {
                // Root may give its state away, but then the policy has to say so.
                assert!(said.contains(" was given to ") && said.contains("chown -R root it"), "{said}");
                continue;
            }
            assert!(said.contains(&format!("as the {what} directory: ")) && said.contains(why), "{said}");
            assert!(said.contains(&format!("choose another with --{what}-dir")), "{said}");
        }
    }
    assert_eq!(fs::read_dir(base.join("real")).expect("it is there").count(), 0, "nothing was put through the link");
}

#[test]
fn a_policy_that_others_could_change_is_refused_with_all_that_it_includes() {
    if !is_root() {
        return skip("only root has to be careful");
    }
    let home = Home::new("policy", "[watchd]\ninclude = \"@/parts/deep/*.toml\"\n");
    fs::create_dir_all(home.scratch.path("parts/deep")).expect("a directory can be made");
    let part = home.scratch.write("parts/deep/web.toml", "[process.web]\nrun = [\"/bin/sleep\", \"9\"]\n");
    let refused = |what: &str, why: &str| {
        let output = home.watchd(&["run"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{what}: {said}");
        assert!(said.contains(why), "{what}: {said}");
    };
    let set = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).expect("it is ours");
    let main = home.scratch.path("watchd.toml");
    chown(&main, Some(65_534), None).expect("root may");
    refused("the file of another account", "it belongs to account 65534, which can change it");
    chown(&main, Some(0), None).expect("root may");
    set(&part, 0o646);
    refused("a part of it", "other accounts can write to it");
    set(&part, 0o644);
    let above = home.scratch.path("parts");
    set(&above, 0o777);
    refused("a directory two above a part", &format!("other accounts can write to the directory {}", above.display()));
    set(&above, 0o755);
    let mut daemon = home.start();
    daemon.wait_for("the service of the part", |snapshot| snapshot.service("web").map(|_| ()));
}

#[test]
fn a_plugin_below_a_directory_of_others_is_not_run() {
    if !is_root() {
        return skip("only root has to be careful");
    }
    let port = net::free_port();
    let policy = format!("{QUIET}[munin]\nlisten = [\"127.0.0.1:{port}\"]\nplugins = \"@/plugins\"\n");
    let home = Home::new("plugin", &policy);
    fs::create_dir_all(home.scratch.path("plugins")).expect("a directory can be made");
    fs::create_dir_all(home.scratch.path("share/munin/deep")).expect("a directory can be made");
    for name in ["good", "bad"] {
        home.scratch.script(&format!("share/munin/deep/{name}"), "#!/bin/sh\necho 'a.label a'\n");
    }
    let target = home.scratch.path("share/munin/deep");
    symlink(target.join("good"), home.scratch.path("plugins/good")).expect("a link can be made");
    let check = || {
        let output = home.watchd(&["check"]);
        [String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)].concat()
    };
    assert!(!check().contains("can change"), "{}", check());
    let above = home.scratch.path("share");
    fs::set_permissions(&above, Permissions::from_mode(0o777)).expect("it is ours");
    let said = check();
    assert!(said.contains("cannot run good") && said.contains(&format!("can change {}", above.display())), "{said}");
}

// ---- powers ----

/// A set of capabilities of a process.
fn powers(pid: i32, name: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).expect("we may look");
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).expect("it is told");
    u64::from_str_radix(line.trim(), 16).expect("a set")
}

#[test]
fn the_daemon_keeps_the_powers_its_policy_needs_and_its_services_have_roots() {
    let own = i32::try_from(std::process::id()).expect("pids are small");
    if !is_root() || powers(own, "CapEff") & (1 << 21) == 0 {
        return skip("only root has powers to give up");
    }
    const SETUID: u64 = 1 << 7;
    const NEVER: &[(u64, &str)] =
        &[(12, "net_admin"), (16, "sys_module"), (17, "sys_rawio"), (22, "sys_boot"), (25, "sys_time"), (39, "bpf")];
    let home = Home::new("powers", &one_service(""));
    home.scratch.program("stamp.c", "stamp");
    home.scratch.dir_of("theirs", Some(65_534));
    let mut daemon = home.start();
    let web = daemon.wait_state("web", ServiceState::Ready).pid;
    for (bit, name) in NEVER {
        assert_eq!(powers(daemon.pid(), "CapPrm") & (1 << bit), 0, "{name} is given up for good");
    }
    assert_eq!(powers(daemon.pid(), "CapEff") & SETUID, 0, "nothing of this policy becomes another account");
    for set in ["CapPrm", "CapEff", "CapBnd", "CapInh", "CapAmb"] {
        assert_eq!(powers(web, set), powers(own, set), "{set} of a service is what root starts programs with");
    }
    // A policy that needs more gets more, in the same process, and so does the next door.
    let port = net::free_port();
    let other = format!(
        "[http]\nlisten = [\"127.0.0.1:{port}\"]\n[process.mail]\nrun = [\"@/stamp\", \"@/theirs/mail\"]\nuser = \"65534\"\n"
    );
    home.configure(&format!("{}{other}", one_service("")));
    daemon.signal(Signal::SIGHUP);
    let mail = daemon.wait_for("a service of another account", |snapshot| {
        let row = snapshot.service("mail")?;
        (row.pid > 0 && look::program(row.pid).is_some()).then_some(row.pid)
    });
    until("that it has become it", || (look::status(mail, "Uid") == Some(65_534)).then_some(()));
    assert_eq!((powers(mail, "CapPrm"), powers(mail, "CapBnd")), (0, powers(own, "CapBnd")));
    assert_eq!(powers(daemon.pid(), "CapEff") & SETUID, SETUID);
    until("a door", || (net::get(port, "/healthz").0 == 200).then_some(()));
    // And gives it up again.
    home.configure(&one_service(""));
    daemon.signal(Signal::SIGHUP);
    until("less", || (powers(daemon.pid(), "CapEff") & SETUID == 0).then_some(()));
    home.configure(&one_service("capabilities = \"all\""));
    daemon.kill();
    let daemon = home.start();
    assert_eq!(powers(daemon.pid(), "CapEff"), powers(own, "CapEff"), "all, when that is wanted");
}
