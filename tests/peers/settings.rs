//! Settings of plugin-conf.d, one after the other, in Munin's own plugins and in ours: the same host, the same attributes.

use std::collections::BTreeMap;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use watchd::config::{PluginSection, read_plugin_conf};
use watchd::export::Page;
use watchd::export::munin::{Ask, Facts, answer};
use watchd::model::{PluginSetting, Settings};
use watchd::store::Snapshot;
use watchd::sys::clock;

use super::node::understood;
use crate::harness::{Home, skip};

/// A plugin, what it is linked as, its fields that may have thresholds or may not, and settings that it alone has.
type Row = (&'static str, &'static str, &'static [&'static str], &'static [&'static str]);

const ROWS: &[Row] = &[
    (
        "cpu",
        "cpu",
        &["system", "user", "idle", "iowait", "steal", "guest"],
        &[
            "env.scaleto100 yes",
            "env.scaleto100 1",
            "env.scaleto100 YES",
            "env.scaleto100 yes\nenv.warning 80%\nenv.critical 10%:90%",
            "env.ignore_fields idle steal",
            "env.ignore_fields idle,guest",
            "env.ignore_fields idles",
            "env.HZ 250",
            "env.system_warning 12.5%",
            "env.system_warning :50%",
            "env.system_warning 5%:",
        ],
    ),
    ("load", "load", &["load"], &[]),
    (
        "memory",
        "memory",
        &["apps", "swap", "free", "committed", "ksm_sharing"],
        &["env.apps_warning 50%", "env.free_critical 10%:", "env.committed_warning 10%:90%"],
    ),
    ("swap", "swap", &["swap_in", "swap_out"], &[]),
    ("vmstat", "vmstat", &["wait", "sleep"], &[]),
    (
        "df",
        "df",
        &["_dev_root", "_dev_vda", "_dev_vda1", "_run"],
        &[
            "env.exclude tmpfs",
            "env.exclude tmpfs ext4",
            "env.exclude 0",
            "env.exclude",
            "env.exclude_re ^/run",
            "env.exclude_re .",
            "env.exclude_re .\nenv.include_re ^/run ^/dev",
            "env.include_re ^/",
        ],
    ),
    (
        "df_inode",
        "df_inode",
        &["_dev_root", "_dev_vda", "_dev_vda1", "_run"],
        &["env.exclude tmpfs", "env.exclude_re ^/run ^/dev", "env.exclude_re /\nenv.include_re shm$"],
    ),
    ("processes", "processes", &["sleeping", "zombie", "processes", "uninterruptible"], &[]),
    ("proc_pri", "proc_pri", &["high", "low", "locked"], &[]),
    ("threads", "threads", &["threads"], &[]),
    ("forks", "forks", &["forks"], &[]),
    ("interrupts", "interrupts", &["intr", "ctx"], &[]),
    ("irqstats", "irqstats", &["iNMI", "i0"], &[]),
    ("open_files", "open_files", &["used"], &[]),
    ("open_inodes", "open_inodes", &["used", "max"], &[]),
    ("uptime", "uptime", &["uptime"], &[]),
    ("users", "users", &["tty", "pts", "X", "other"], &[]),
    ("entropy", "entropy", &["entropy"], &[]),
    ("fw_packets", "fw_packets", &["received"], &[]),
    ("fw_conntrack", "fw_conntrack", &["total", "udp"], &[]),
    ("fw_forwarded_local", "fw_forwarded_local", &["local"], &[]),
    ("acpi", "acpi", &["thermal_zone0"], &[]),
    ("if_", "if_lo", &["down", "up"], &["env.speed 100", "env.speed 40000", "env.speed U", "env.speed 0", "env.speed"]),
    ("if_err_", "if_err_lo", &["rcvd", "trans", "rxdrop", "collisions"], &[]),
    (
        "diskstats",
        "diskstats",
        &[],
        &[
            "env.graph_width 600",
            "env.graph_width 0",
            "env.graph_width 380",
            "env.trim_labels yes",
            "env.trim_labels 0",
            "env.trim_labels yes\nenv.graph_width 440",
            "env.include_only vd",
            "env.include_only /dev/vda , loop",
            "env.exclude loop,/dev/vda",
            "env.exclude 0",
            "env.exclude",
        ],
    ),
    ("netstat", "netstat", &["active", "established", "resets"], &[]),
    ("cpuspeed", "cpuspeed", &["cpu0"], &["env.scaleto100 yes", "env.scaleto100 1"]),
];

/// Settings that every plugin is tried with; `FIELD` is each of its fields.
const ALL: &[&str] = &[
    "env.warning 5",
    "env.critical 7:9",
    "env.warning 0\nenv.critical 0",
    "env.warning\nenv.critical",
    "env.FIELD_warning 3",
    "env.FIELD_critical 4:\nenv.warning 1",
    "env.FIELD_warning 0\nenv.warning 8",
    "env.FIELD_warning\nenv.warning 8",
    "env.warning 20%",
];

/// What a section says, as our plugins get it.
fn settings(plugin: &str, lines: &str) -> Settings {
    let mut sections = Vec::new();
    assert_eq!(read_plugin_conf(&format!("[{plugin}]\n{lines}\n"), &mut sections), None, "{lines}");
    let setting = |section: PluginSection| PluginSetting {
        section: section.name,
        variables: section.variables,
        host_name: section.host_name,
    };
    Settings::new(sections.into_iter().map(setting).collect())
}

fn ours(snapshot: &Snapshot, plugin: &str, lines: &str, ask: Ask) -> BTreeMap<String, String> {
    let (settings, mut page) = (settings(plugin, lines), Page::new(Page::LIMIT));
    let facts = Facts::new(snapshot, clock::now()).with(&settings, &[]);
    assert!(answer(&facts, ask, plugin.as_bytes(), &mut page), "{plugin} is answered");
    understood(&String::from_utf8_lossy(page.bytes()))
}

fn theirs(home: &Home, plugin: &str, lines: &str, words: &[&str]) -> BTreeMap<String, String> {
    let mut command = Command::new(home.scratch.path("links").join(plugin));
    command.args(words).env_clear().envs([
        ("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
        ("LC_ALL", "C"),
        ("MUNIN_LIBDIR", "/usr/share/munin"),
        ("MUNIN_CAP_MULTIGRAPH", "1"),
        ("MUNIN_PLUGSTATE", &home.scratch.text("memory")),
        ("MUNIN_STATEFILE", &home.scratch.text("memory/state")),
    ]);
    for line in lines.lines() {
        let (key, value) = line.split_once(' ').unwrap_or((line, ""));
        command.env(key.strip_prefix("env.").expect("a variable"), value);
    }
    let output = command.output().expect("it can be run");
    assert!(output.status.success(), "{plugin} {lines}: {output:?}");
    // A node sends no empty lines.
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let told =
        understood(&text.lines().filter(|line| !line.is_empty()).map(|line| format!("{line}\n")).collect::<String>());
    // Thresholds of fields that it does not have are an error to a master.
    let is_field =
        |key: &String| match key.rsplit_once(' ').and_then(|(graph, rest)| Some((graph, rest.split_once('.')?))) {
            Some((graph, (field, word))) => word == "value" || told.contains_key(&format!("{graph} {field}.label")),
            None => true,
        };
    told.clone().into_iter().filter(|(key, _)| is_field(key)).collect()
}

#[test]
fn settings_change_what_they_change_in_munins_own_plugins_here() {
    if !Path::new("/usr/share/munin/plugins/cpu").exists() {
        return skip("there are no plugins of Munin (package munin-plugins-core)");
    }
    let home = Home::new("settings", "[watchd]\ncycle = \"1s\"\n");
    for name in ["links", "memory"] {
        home.scratch.dir_of(name, None);
    }
    let mut daemon = home.start();
    daemon.wait_for("three cycles", |snapshot| (snapshot.header.cycles > 3).then_some(()));
    let snapshot = daemon.snapshot().expect("there is a board");
    let (mut faults, mut compared) = (Vec::new(), 0);
    for (file, link, fields, own) in ROWS {
        symlink(format!("/usr/share/munin/plugins/{file}"), home.scratch.path("links").join(link)).expect("a link");
        let mut page = Page::new(Page::LIMIT);
        let facts = Facts::new(&snapshot, clock::now());
        if !watchd::export::munin::is_ours(&facts, link.as_bytes())
            || !answer(&facts, Ask::Config, link.as_bytes(), &mut page)
        {
            continue;
        }
        let all = ALL.iter().flat_map(|lines| {
            let count = if lines.contains("FIELD") { fields.len() } else { 1 };
            (0..count).map(|place| lines.replace("FIELD", fields.get(place).unwrap_or(&"x")))
        });
        for lines in all.chain(own.iter().map(|lines| (*lines).to_owned())).chain([String::new()]) {
            let (theirs, ours) = (theirs(&home, link, &lines, &["config"]), ours(&snapshot, link, &lines, Ask::Config));
            for key in theirs.keys().chain(ours.keys().filter(|key| !theirs.contains_key(*key))) {
                if theirs.get(key) != ours.get(key) {
                    faults.push(format!("{link} {lines:?}: {key} is {:?}, not {:?}", ours.get(key), theirs.get(key)));
                }
            }
            compared += 1;
        }
    }
    // What the setting does to the values.
    for (lines, factor) in [("", 1.0), ("env.HZ 250", 0.4), ("env.HZ 50", 2.0), ("env.HZ", 1.0)] {
        let number = |text: &BTreeMap<String, String>| text[" idle.value"].parse::<f64>().expect("a number");
        let (theirs, ours) =
            (number(&theirs(&home, "cpu", lines, &[])), number(&ours(&snapshot, "cpu", lines, Ask::Fetch)));
        let plain = number(&self::ours(&snapshot, "cpu", "", Ask::Fetch));
        assert!((ours - plain * factor).abs() <= 1.0, "{lines}: {ours} of {plain}");
        assert!(theirs >= ours && theirs - ours < 100.0 * 120.0 * factor, "{lines}: {ours} of {theirs}");
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
    assert!(compared > 250, "{compared} settings were compared");
}
