//! Hosts that are not as one expects: a /proc that hides processes, one with holes in it as containers have, and one of a giant.
//!
//! What cannot be read is missing, never 0; nothing is started because something cannot be seen; and the loop goes on.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use harness::{Daemon, Home, is_root, look, net, skip, until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use watchd::model::ServiceState;
use watchd::store::board;

/// The daemon's command line in a mount namespace of its own, after `script`, which ends in `exec "$@"`.
fn in_namespace<'a>(home: &'a Home, script: &str) -> Daemon<'a> {
    let daemon = home.command(&["run"]);
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", &format!("set -e; {script}; exec \"$@\""), "sh"]);
    command.arg(daemon.get_program()).args(daemon.get_args());
    home.spawn_as(command)
}

fn has_namespaces() -> bool {
    is_root() && Command::new("unshare").args(["-m", "true"]).status().is_ok_and(|status| status.success())
}

#[test]
fn a_process_that_proc_hides_is_not_started_a_second_time() {
    if !has_namespaces() || Command::new("setpriv").arg("--version").output().is_err() {
        return skip("a hidden /proc takes root, unshare and setpriv");
    }
    let config = "[watchd]\ncycle = \"100ms\"\n[process.theirs]\npidfile = \"@/theirs.pid\"\n\
        start = [\"@/stamp\", \"@/started\", \"@/theirs.pid\"]\nsettle = \"50ms\"\nbackoff = [\"10ms\", \"10ms\"]\n";
    let home = Home::new("hidden", config);
    let stamp = home.scratch.program("stamp.c", "stamp");
    for dir in ["run", "state"] {
        home.scratch.dir_of(dir, Some(65_534));
    }
    std::os::unix::fs::chown(&home.scratch.dir, Some(65_534), None).expect("we are root");
    std::os::unix::fs::chown(home.scratch.path("watchd.toml"), Some(65_534), None).expect("we are root");
    home.scratch.copied(harness::binary(), "watchd");
    // A daemon of root's, whose pid stands in its file.
    let started = Command::new(&stamp).arg(home.scratch.path("theirs")).arg(home.scratch.path("theirs.pid")).status();
    assert!(started.is_ok_and(|status| status.success()));
    until("its pid", || home.scratch.path("theirs.pid").exists().then_some(()));
    let daemon = home.command(&["run"]);
    let mut command = Command::new("unshare");
    let script =
        "set -e; mount -t proc -o hidepid=2 proc /proc; exec setpriv --reuid 65534 --regid 65534 --clear-groups \"$@\"";
    command.args(["-m", "sh", "-c", script, "sh"]).arg(home.scratch.path("watchd")).args(daemon.get_args());
    let mut daemon = home.spawn_as(command);
    let row = daemon.wait_for("that it cannot tell", |snapshot| {
        snapshot.service("theirs").filter(|row| row.state() == ServiceState::Unknown).copied()
    });
    let why = board::text(&row.reason).to_owned();
    assert!(why.contains("which exists: /proc is hidden or not mounted"), "{why}");
    let cycles = daemon.wait_for("a cycle", |snapshot| Some(snapshot.header.cycles));
    daemon.wait_for("twenty cycles", |snapshot| (snapshot.header.cycles > cycles + 20).then_some(()));
    assert!(!home.scratch.path("started").exists(), "nobody started another");
}

#[test]
fn a_proc_with_holes_gives_no_numbers_and_services_are_looked_after() {
    if !has_namespaces() {
        return skip("a /proc with holes takes root and unshare");
    }
    let port = net::free_port();
    let config = format!(
        "[watchd]\ncycle = \"100ms\"\n[http]\nlisten = [\"127.0.0.1:{port}\"]\n[process.web]\n\
         run = [\"@/stamp\", \"@/web\"]\nsettle = \"50ms\"\nbackoff = [\"10ms\", \"10ms\"]\n"
    );
    let home = Home::new("holes", &config);
    home.scratch.program("stamp.c", "stamp");
    home.scratch.dir_of("nothing", None);
    let masked = ["stat", "meminfo", "diskstats", "interrupts", "vmstat", "loadavg"];
    let mut script = String::new();
    for name in masked {
        let _ = write!(script, "mount --bind /dev/null /proc/{name}; ");
    }
    let nothing = home.scratch.text("nothing");
    let _ = write!(
        script,
        "mount --bind {nothing} /sys/class; if [ -e /proc/pressure ]; then mount --bind {nothing} /proc/pressure; fi"
    );
    let mut daemon = in_namespace(&home, &script);
    let pid = daemon.wait_state("web", ServiceState::Ready).pid;
    kill(Pid::from_raw(pid), Signal::SIGKILL).expect("it lives");
    daemon.wait_for("another process", |snapshot| {
        let row = snapshot.service("web")?;
        (row.state() == ServiceState::Ready && row.pid != pid).then_some(())
    });
    let page = until("a page", || Some(net::get(port, "/metrics")).filter(|page| page.0 == 200)).1;
    for family in
        ["node_memory_MemTotal_bytes", "node_cpu_seconds_total", "node_load1", "node_disk_reads_completed_total"]
    {
        let is_told = page.lines().any(|line| line.starts_with(family));
        assert!(!is_told, "{family} was not measured:\n{page}");
    }
    assert!(page.contains("node_filesystem_size_bytes{"), "what is there is told:\n{page}");
    let json = net::get(port, "/api/status").1;
    assert!(json.contains("\"memory\":{\"total\":null") && json.contains("\"cpus\":null"), "{json}");
    assert_eq!(daemon.snapshot().map(|snapshot| snapshot.header.state_ok), Some(1));
}

#[test]
fn a_giant_is_looked_at_as_far_as_there_is_room_and_costs_no_more_memory() {
    const PROCESSES: usize = 10_000;
    const MOUNTS: usize = 2_000;
    const PROCESSORS: usize = 300;
    let port = net::free_port();
    let home = Home::new("giant", &format!("[watchd]\ncycle = \"500ms\"\n[http]\nlisten = [\"127.0.0.1:{port}\"]\n"));
    giant(&home.scratch.path("root"), (PROCESSES, MOUNTS, PROCESSORS));
    let mut command = home.command(&["run"]);
    command.arg("--root").arg(home.scratch.path("root"));
    let mut daemon = home.spawn_as(command);
    daemon.wait_for("five cycles", |snapshot| (snapshot.header.cycles > 5).then_some(()));
    let page = until("a page", || Some(net::get(port, "/metrics")).filter(|page| page.0 == 200)).1;
    let count = |family: &str| page.lines().filter(|line| line.starts_with(family)).count();
    assert!(page.lines().any(|line| line.starts_with("node_memory_MemTotal_bytes ")), "{page}");
    assert_eq!(count("node_cpu_seconds_total{cpu=\"299\",mode=\"user\"}"), 1, "every processor is there");
    let told: Vec<&str> = page.lines().filter(|line| line.contains("processes") && !line.starts_with('#')).collect();
    assert!(
        told.iter().any(|line| line.ends_with(" 10000") || line.ends_with(" 10000.0")),
        "all are counted: {told:?}"
    );
    if harness::is_release() {
        assert!(look::sum(daemon.pid(), "VmHWM") < 3_000_000 / 1024, "{} KiB", look::sum(daemon.pid(), "VmHWM"));
    }
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait_end(), 0);
}

/// The files of a host below `root`.
fn giant(root: &Path, (processes, mounts, processors): (usize, usize, usize)) {
    let put = |name: &str, text: &str| {
        let path = root.join(name);
        fs::create_dir_all(path.parent().expect("it has one")).expect("a directory can be made");
        fs::write(path, text).expect("a file can be written");
    };
    let mut stat = String::from("cpu  30000 0 30000 300000 0 0 0 0 0 0\n");
    for number in 0..processors {
        let _ = writeln!(stat, "cpu{number} 100 0 100 1000 0 0 0 0 0 0");
    }
    stat += "intr 5000 0 0\nctxt 100000\nbtime 1700000000\nprocesses 20000\nprocs_running 3\nprocs_blocked 0\n";
    put("proc/stat", &stat);
    put("proc/loadavg", "1.00 2.00 3.00 3/10000 20000\n");
    put("proc/uptime", "5000.00 100.00\n");
    put(
        "proc/meminfo",
        "MemTotal:       16000000 kB\nMemFree:         8000000 kB\nMemAvailable:    9000000 kB\nBuffers:          100000 kB\nCached:          1000000 kB\nSwapTotal:             0 kB\nSwapFree:              0 kB\n",
    );
    let mut table = String::from("1 0 8:1 / / rw - ext4 /dev/sda1 rw\n");
    for number in 0..mounts {
        let _ = writeln!(
            table,
            "{} 1 0:{} / /mnt/of-a-container-with-a-long-name-{number} rw - tmpfs tmpfs rw",
            number + 2,
            number + 50
        );
    }
    for number in 1..=processes {
        let line = format!(
            "{number} (worker {number}) S 1 {number} {number} 0 -1 4194560 5 6 7 8 9 10 11 12 20 0 1 0 4242 8192 100 \
             18446744073709551615 0 0 0 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n"
        );
        put(&format!("proc/{number}/stat"), &line);
    }
    put("proc/1/mountinfo", &table);
    put("proc/self/mountinfo", &table);
}

#[test]
fn what_may_not_be_written_here_is_not_read_only_on_the_host() {
    if !has_namespaces() {
        return skip("a view of its own takes root and unshare");
    }
    let home = Home::new("shut-in", "[watchd]\ncycle = \"100ms\"\n[disk.root]\npath = \"/\"\n");
    home.scratch.dir_of("ro", None);
    // What systemd's ProtectSystem=strict does, but for our own place; and what is read-only for all.
    let (dir, ro) = (home.scratch.text(""), home.scratch.text("ro"));
    let script = format!("mount --rbind {dir} {dir}; mount -o remount,bind,ro /");
    let mounted = Command::new("sh")
        .args(["-c", &format!("mount -t tmpfs -o ro,size=2m watchd-test {ro}")])
        .status()
        .expect("every host has mount");
    assert!(mounted.success());
    let seen = {
        let mut daemon = in_namespace(&home, &script);
        daemon.wait_for("a few cycles", |snapshot| (snapshot.header.cycles > 3).then_some(()));
        home.ask(&["status", "--json"]).1
    };
    assert!(Command::new("umount").arg(&ro).status().is_ok_and(|status| status.success()));
    let disks: serde_json::Value = serde_json::from_str(&seen).expect("it is JSON");
    let is_read_only = |path: &str| {
        let disks = disks["disks"].as_array().expect("there are some");
        disks.iter().find(|disk| disk["mountpoint"] == path).unwrap_or_else(|| panic!("{path}: {seen}"))["read_only"]
            .clone()
    };
    assert_eq!(is_read_only("/"), false, "{seen}");
    assert_eq!(is_read_only(&ro), true, "{seen}");
}
