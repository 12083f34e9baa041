//! A real Munin master polls the node, judges, draws and writes its pages, and has nothing to complain about.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::unistd::{Gid, Uid, chown};
use watchd::model::Now;
use watchd::store::Readings;
use watchd::store::history::History;
use watchd_probes::{ObjectId, ProbeId, Sample, Value, load};

use super::{Told, find, net};
use crate::harness::{is_root, skip, until};

pub const HOST: &str = "told.example";

/// Plugins that every host has, and one field of each.
pub const EXPECTED: &[(&str, &str)] = &[
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

/// What a service that never ran has used of the processor.
const NEVER: &[&str] = &["told.example-proc_cpu-broken-"];

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
        few_graphs(&place.join("db/graphs"));
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
    let fields: Vec<String> =
        names.flat_map(|name| fields(told.munin, name)).filter(|name| !NEVER.contains(&name.as_str())).collect();
    let missing: Vec<&String> = fields.iter().filter(|field| !is_filled(&databases, field)).collect();
    assert!(fields.len() > 50 && missing.is_empty(), "of {} fields there are no values of {missing:?}", fields.len());
    for name in ["/index.html"].iter().chain(DRAWN) {
        let size = fs::metadata(place.join(format!("html/example/{HOST}{name}"))).map_or(0, |found| found.len());
        assert!(size > 1000, "{name} has {size} bytes");
    }
}

#[test]
fn a_munin_master_takes_what_it_missed() {
    let (Some(update), Some(tool)) = (find("munin-update"), find("rrdtool")) else {
        return skip("there is no Munin master (packages munin, rrdtool)");
    };
    let told = Told::new("missed");
    let text = fs::read_to_string(told.home.scratch.path("watchd.toml")).expect("it was written");
    told.home.configure(&text.replace("[munin]\n", "[munin]\nspool = true\n"));
    let now = second();
    remember(&told.home.scratch.dir_of("state", None).join("history"), now - 3600, now - 20);
    let mut daemon = told.start();
    let place = told.home.scratch.dir_of("master", None);
    let config = configure(&place, told.munin);
    run(&update, &config);
    // The next answer begins where the last one ended.
    daemon.wait_for("the next slot", |snapshot| (snapshot.header.sample_wall_ms / 1000 > now + 12).then_some(()));
    run(&update, &config);
    let complaints = complaints(&place.join("log"));
    assert!(complaints.is_empty(), "{}\n{}", complaints.join("\n"), daemon.said());
    let database = place.join(format!("db/example/{HOST}-load-load-g.rrd"));
    let start = format!("{}", now - 3600);
    let output = Command::new(tool).arg("fetch").arg(&database).args(["AVERAGE", "-s", &start]).output();
    let text = String::from_utf8(output.expect("rrdtool can be run").stdout).expect("it is text");
    let known = text.lines().filter_map(|line| line.split_once(": ")?.1.trim().parse::<f64>().ok());
    let known: Vec<f64> = known.filter(|value| value.is_finite()).collect();
    assert!(known.len() >= 10 && known.iter().filter(|value| (**value - 3.25).abs() < 0.01).count() >= 9, "{text}");
    let listed = net::munin(told.munin, "cap multigraph\nlist");
    let databases = databases(&place);
    let names = listed.lines().nth(1).expect("a list").split_whitespace();
    let fields: Vec<String> =
        names.flat_map(|name| fields(told.munin, name)).filter(|name| !NEVER.contains(&name.as_str())).collect();
    let missing: Vec<&String> = fields.iter().filter(|field| !is_filled(&databases, field)).collect();
    assert!(fields.len() > 50 && missing.is_empty(), "of {} fields there are no values of {missing:?}", fields.len());
}

/// Writes a history in which the load was 3.25 all the time.
fn remember(path: &Path, from: u64, to: u64) {
    let time = |wall| Now { mono: Duration::from_secs(wall), wall: Duration::from_secs(wall) };
    let (mut history, _) = History::open(path, time(from)).expect("it opens");
    let mut sample = Sample::default();
    sample.begin();
    sample.sink(ProbeId::Load).put(ObjectId::HOST, load::FIVE, Value::Float(3.25));
    sample.finish(ProbeId::Load, Ok(()), 0);
    for wall in (from..to).step_by(10) {
        let readings = Readings { view: sample.view(), rates: &[f32::NAN] };
        assert!(history.record(readings, time(wall)).error.is_none());
    }
}

/// Polls again and again with a clock of its own, each time as a program that was just started.
const POLLS: &str = r"
    our $now;
    BEGIN { $now = CORE::time; no warnings; *CORE::GLOBAL::time = sub () { $main::now }; }
    use Munin::Master::Update; use Munin::Master::Logger; use Munin::Master::Config; use Munin::Master::Utils;
    my ($conf, $start, $step, $polls) = @ARGV;
    for my $poll (0 .. $polls - 1) {
        $now = $start + $poll * $step;
        defined(my $pid = fork) or die;
        if (!$pid) {
            my $config = Munin::Master::Config->instance()->{config};
            $config->parse_config_from_file($conf);
            $config->set({ limit_hosts => {}, limit_services => {}, timeout => 180, fork => 0 });
            logger_open($config->{logdir});
            Munin::Master::Update->new()->run();
            exit 0;
        }
        waitpid $pid, 0;
        die qq(poll $poll: $?\n) if $?;
    }";

/// Two days, and as long between two polls as its databases wait.
const STEP: u64 = 600;
const DAYS: u64 = 2 * 86_400 / STEP;

#[test]
fn a_munin_master_polls_for_days_without_a_complaint() {
    let (Some(tool), Some(graph), Some(faketime)) = (find("rrdtool"), find("munin-graph"), find("faketime")) else {
        return skip("there is no Munin master or no other clock for it (packages munin, rrdtool, faketime)");
    };
    let told = Told::new("days");
    let place = told.home.scratch.dir_of("master", None);
    let config = configure(&place, told.munin);
    // A new database begins with the real clock, so these days are the next ones. In their middle watchd is started anew.
    let start = second() + STEP;
    let polls = |from: u64, count: u64| {
        let words = [start + from * STEP, STEP, count].map(|number| number.to_string());
        let mut command = Command::new("perl");
        command.arg("-e").arg(POLLS).arg(&config).args(words);
        finish(command, "munin-update");
    };
    let daemon = told.start();
    polls(0, DAYS / 2);
    drop(daemon);
    let daemon = told.start();
    polls(DAYS / 2, DAYS - DAYS / 2);
    let end = start + (DAYS - 1) * STEP;
    for program in PAGES {
        let mut command = Command::new(&faketime);
        command.arg(format!("@{end}")).arg("perl").arg(find(program).expect("it comes with the master"));
        if *program == "munin-graph" {
            few_graphs(&place.join("db/graphs"));
            assert_eq!(find(program).as_ref(), Some(&graph));
        }
        finish_with(command, &config, program);
    }
    let complaints = complaints(&place.join("log"));
    assert!(complaints.is_empty(), "{}\n{}", complaints.join("\n"), daemon.said());
    let listed = net::munin(told.munin, "cap multigraph\nlist");
    let databases = databases(&place);
    let names = listed.lines().nth(1).expect("a list").split_whitespace();
    let fields: Vec<String> =
        names.flat_map(|name| fields(told.munin, name)).filter(|name| !NEVER.contains(&name.as_str())).collect();
    let mut faults = Vec::new();
    for field in &fields {
        let Some((name, path)) = databases.iter().find(|(name, _)| name.starts_with(field.as_str())) else {
            faults.push(format!("{field}: no database"));
            continue;
        };
        let (from, to) = ((start + STEP).to_string(), end.to_string());
        let output = Command::new(&tool).arg("fetch").arg(path).args(["AVERAGE", "-s", &from, "-e", &to]).output();
        let text = String::from_utf8(output.expect("rrdtool can be run").stdout).expect("it is text");
        let values = text.lines().filter_map(|line| line.split_once(": ")?.1.trim().parse::<f64>().ok());
        let (known, all) =
            values.fold((0, 0_u64), |(known, all), value| (known + u64::from(value.is_finite()), all + 1));
        // watchd's second look has the first rates, and a counter that begins anew has none.
        if known + 8 < all || all < DAYS {
            faults.push(format!("{name}: {known} of {all}"));
        }
    }
    assert!(fields.len() > 50 && faults.is_empty(), "{} fields: {faults:?}", fields.len());
    for name in ["/index.html"].iter().chain(DRAWN) {
        let size = fs::metadata(place.join(format!("html/example/{HOST}{name}"))).map_or(0, |found| found.len());
        assert!(size > 1000, "{name} has {size} bytes");
    }
}

/// Leaves in the list of what is to be drawn what a test has the time for.
fn few_graphs(list: &Path) {
    if let Ok(text) = fs::read_to_string(list) {
        let few = text.lines().filter(|line| DRAWN.iter().any(|name| line.ends_with(name)));
        fs::write(list, few.map(|line| format!("{line}\n")).collect::<String>()).expect("a file can be written");
    }
}

/// One program of the master, under its own account.
pub fn run(program: &str, config: &Path) {
    let mut command = Command::new("perl");
    command.arg(program);
    finish_with(command, config, program);
}

fn finish_with(mut command: Command, config: &Path, program: &str) {
    command.arg("--config").arg(config);
    finish(command, program);
}

fn finish(mut command: Command, program: &str) {
    command.current_dir("/");
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
pub fn is_filled(databases: &[(String, PathBuf)], start: &str) -> bool {
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
pub fn complaints(logs: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(logs).expect("the master keeps logs") {
        let text = fs::read_to_string(entry.expect("it is there").path()).expect("a log can be read");
        found.extend(text.lines().filter(|line| is_complaint(line)).map(str::to_owned));
    }
    found
}

/// All databases by their names, which end in the type's letter.
pub fn databases(place: &Path) -> Vec<(String, PathBuf)> {
    let entries = fs::read_dir(place.join("db/example")).expect("the master made databases");
    let paths = entries.map(|entry| entry.expect("it is there").path());
    paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "rrd"))
        .map(|path| (path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(), path))
        .collect()
}

/// The account the master runs as: it refuses to be root.
pub fn master() -> Option<(u32, u32)> {
    if !is_root() {
        return None;
    }
    let accounts = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let line = accounts.lines().find(|line| line.starts_with("munin:")).unwrap_or("nobody:x:65534:65534");
    let fields: Vec<&str> = line.split(':').collect();
    Some((fields[2].parse().expect("a uid is a number"), fields[3].parse().expect("a gid is a number")))
}

fn configure(place: &Path, port: u16) -> PathBuf {
    configure_with(place, "", &format!("address 127.0.0.1\n  port {port}"))
}

/// A configuration of the master, with settings of its own and how the node is reached.
pub fn configure_with(place: &Path, settings: &str, node: &str) -> PathBuf {
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
    text += &format!("tmpldir /etc/munin/templates\n{settings}[{HOST}]\n  {node}\n  use_node_name yes\n");
    let file = place.join("munin.conf");
    fs::write(&file, text).expect("a file can be written");
    file
}
