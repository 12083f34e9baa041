//! A real Munin master polls the node, judges, draws and writes its pages, and has nothing to complain about.

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

/// What makes warnings, pages and drawings of the databases. The last reads what there is to draw from a list the one before wrote.
const PAGES: &[&str] = &["munin-limits", "munin-html", "munin-graph"];
/// Drawing all graphs takes longer than a test may.
const DRAWN: &[&str] = &["/load-day.png", "/cpu-day.png", "/memory-day.png", "/df-day.png"];

#[test]
fn a_munin_master_fills_databases_and_draws_without_a_complaint() {
    let Some(update) = find("munin-update") else { return skip("there is no Munin master (package munin)") };
    let told = Told::new("munin");
    let daemon = told.start();
    let place = told.home.scratch.dir_of("master", None);
    let config = configure(&place, told.munin);

    for _ in 0..2 {
        run(&update, &config);
        // Its databases take one value in a second.
        let polled = second();
        until("another second", || (second() > polled + 1).then_some(()));
    }
    for program in PAGES {
        run(&find(program).expect("it comes with the master"), &config);
        let list = place.join("db/graphs");
        if let Ok(text) = fs::read_to_string(&list) {
            let few = text.lines().filter(|line| DRAWN.iter().any(|name| line.ends_with(name)));
            fs::write(&list, few.map(|line| format!("{line}\n")).collect::<String>()).expect("a file can be written");
        }
    }

    let complaints = complaints(&place.join("log"));
    assert!(complaints.is_empty(), "{}\n{}", complaints.join("\n"), daemon.said());

    let listed = net::munin(told.munin, "cap multigraph\nlist");
    let databases = databases(&place);
    for (plugin, field) in EXPECTED {
        assert!(listed.split_whitespace().any(|name| name == *plugin), "{plugin} is listed in {listed}");
        let start = format!("{HOST}-{plugin}-{field}-");
        assert!(databases.iter().any(|(name, _)| name.starts_with(&start)), "{start} is not among {databases:?}");
    }
    let names = listed.lines().nth(1).expect("a list").split_whitespace();
    let fields: Vec<String> = names.flat_map(|name| fields(told.munin, name)).collect();
    let missing: Vec<&String> = fields.iter().filter(|field| !is_filled(&databases, field)).collect();
    assert!(fields.len() > 50 && missing.is_empty(), "of {} fields there are no values of {missing:?}", fields.len());
    for name in ["/index.html"].iter().chain(DRAWN) {
        let size = fs::metadata(place.join(format!("html/example/{HOST}{name}"))).map_or(0, |found| found.len());
        assert!(size > 1000, "{name} has {size} bytes");
    }
}

/// One program of the master, under its own account.
fn run(program: &str, config: &Path) {
    let mut command = Command::new("perl");
    command.arg(program).arg("--config").arg(config).current_dir("/");
    if let Some((uid, gid)) = master() {
        command.uid(uid).gid(gid);
    }
    let output = command.output().expect("the master can be run");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !said.lines().any(is_complaint), "{program}: {said}");
}

/// The graphs of a plugin with their fields, as the names of the databases begin.
fn fields(port: u16, plugin: &str) -> Vec<String> {
    let (config, mut graph) = (net::munin(port, &format!("cap multigraph\nconfig {plugin}")), plugin.to_owned());
    let mut found = Vec::new();
    for line in config.lines() {
        let key = line.split(' ').next().unwrap_or_default();
        if let Some(name) = line.strip_prefix("multigraph ") {
            graph = name.replace('.', "-");
        } else if let Some(field) = key.strip_suffix(".label") {
            found.push(format!("{HOST}-{graph}-{field}-"));
        }
    }
    found
}

/// Whether the last value of a field's database is a number.
fn is_filled(databases: &[(String, PathBuf)], start: &str) -> bool {
    let Some((_, path)) = databases.iter().find(|(name, _)| name.starts_with(start)) else { return false };
    let Some(tool) = find("rrdtool") else { return fs::metadata(path).is_ok_and(|found| found.len() > 1000) };
    let output = Command::new(tool).arg("lastupdate").arg(path).output().expect("rrdtool can be run");
    let text = String::from_utf8_lossy(&output.stdout);
    text.split_whitespace().last().is_some_and(|value| value.parse::<f64>().is_ok_and(f64::is_finite))
}

fn second() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

/// What the master minds is marked, or Perl's own words. It tunes each database once before it has made it, and complains of that
/// about its own node too.
fn is_complaint(line: &str) -> bool {
    let marks = ["[WARN", "ERROR", "[FATAL", "Use of uninitialized", "Failed to", "Unknown", "There is already"];
    !line.contains("[ERROR] Tuning ") && marks.iter().any(|mark| line.contains(mark))
}

/// Lines of any log of the master that it minds.
fn complaints(logs: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(logs).expect("the master keeps logs") {
        let text = fs::read_to_string(entry.expect("it is there").path()).expect("a log can be read");
        found.extend(text.lines().filter(|line| is_complaint(line)).map(str::to_owned));
    }
    found
}

/// All databases by their names, which end in the type's letter.
fn databases(place: &Path) -> Vec<(String, PathBuf)> {
    let entries = fs::read_dir(place.join("db/example")).expect("the master made databases");
    let paths = entries.map(|entry| entry.expect("it is there").path());
    paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "rrd"))
        .map(|path| (path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(), path))
        .collect()
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
