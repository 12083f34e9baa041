//! A real Munin master polls the node twice, and has nothing to complain about.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use nix::unistd::{Gid, Uid, chown};

use super::{Told, find, net};
use crate::harness::{is_root, skip, until};

const HOST: &str = "told.example";

/// Plugins that every host has, and one field of each.
const EXPECTED: &[(&str, &str)] = &[
    ("cpu", "user"),
    ("cpu", "idle"),
    ("load", "load"),
    ("memory", "free"),
    ("memory", "apps"),
    ("swap", "swap_in"),
    ("processes", "processes"),
    ("forks", "forks"),
    ("interrupts", "intr"),
    ("interrupts", "ctx"),
    ("uptime", "uptime"),
    ("open_files", "used"),
    ("vmstat", "wait"),
];

#[test]
fn a_munin_master_fills_its_databases_without_a_complaint() {
    let Some(update) = find("munin-update") else { return skip("there is no Munin master (package munin)") };
    let told = Told::new("munin");
    let daemon = told.start();
    let place = told.home.scratch.dir_of("master", None);
    let config = configure(&place, told.munin);

    for _ in 0..2 {
        let mut command = Command::new("perl");
        command.arg(&update).arg("--config").arg(&config).arg("--debug").current_dir("/");
        if let Some((uid, gid)) = master() {
            command.uid(uid).gid(gid);
        }
        let output = command.output().expect("the master can be run");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        // Its databases take one value in a second.
        let polled = second();
        until("another second", || (second() > polled + 1).then_some(()));
    }

    let log = fs::read_to_string(place.join("log/munin-update.log")).expect("the master keeps a log");
    let complaints: Vec<&str> = log.lines().filter(|line| is_complaint(line)).collect();
    assert!(complaints.is_empty(), "{}\n{}", complaints.join("\n"), daemon.said());

    let listed = net::munin(told.munin, "list");
    for (plugin, field) in EXPECTED {
        assert!(listed.split_whitespace().any(|name| name == *plugin), "{plugin} is listed in {listed}");
        let file =
            database(&place, plugin, field).unwrap_or_else(|| panic!("there is a database of {plugin}.{field}\n{log}"));
        assert!(fs::metadata(&file).expect("it was found").len() > 1000, "{}", file.display());
    }
    for plugin in listed.split_whitespace().filter(|name| ["df", "df_inode"].contains(name) || name.starts_with("if_"))
    {
        assert!(database(&place, plugin, "").is_some(), "there is a database of {plugin}");
    }
}

fn second() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

/// What the master minds is marked, or Perl's own words. It tunes each database once before it has made it, and complains of that
/// about its own node too.
fn is_complaint(line: &str) -> bool {
    let marks = ["[WARN", "[ERROR", "[FATAL", "Use of uninitialized", "Failed to", "Unknown", "There is already"];
    !line.contains("[ERROR] Tuning ") && marks.iter().any(|mark| line.contains(mark))
}

/// The database of a field, or of any field when it is empty. The master puts the type's letter at the end.
fn database(place: &Path, plugin: &str, field: &str) -> Option<PathBuf> {
    let start = format!("{HOST}-{plugin}-{field}");
    let entries = fs::read_dir(place.join("db/example")).ok()?;
    entries.filter_map(|entry| Some(entry.ok()?.path())).find(|path| {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        name.starts_with(&start) && name.ends_with(".rrd")
    })
}

/// The account the master runs as: it refuses to be root.
fn master() -> Option<(u32, u32)> {
    if !is_root() {
        return None;
    }
    let accounts = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let line = accounts.lines().find(|line| line.starts_with("munin:")).unwrap_or("nobody:x:65534:65534");
    let fields: Vec<&str> = line.split(':').collect();
    Some((fields[2].parse().expect("a uid is a number"), fields[3].parse().expect("a gid is a number")))
}

fn configure(place: &Path, port: u16) -> PathBuf {
    let path = |name: &str| place.join(name).display().to_string();
    for name in ["db", "html", "log", "run", "none"] {
        fs::create_dir_all(place.join(name)).expect("a directory can be made");
        if let Some((uid, gid)) = master() {
            chown(&place.join(name), Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid))).expect("root may");
        }
    }
    let mut text = String::new();
    for (key, name) in
        [("dbdir", "db"), ("htmldir", "html"), ("logdir", "log"), ("rundir", "run"), ("includedir", "none")]
    {
        text += &format!("{key} {}\n", path(name));
    }
    text +=
        &format!("tmpldir /etc/munin/templates\n[{HOST}]\n  address 127.0.0.1\n  port {port}\n  use_node_name yes\n");
    let file = place.join("munin.conf");
    fs::write(&file, text).expect("a file can be written");
    file
}
