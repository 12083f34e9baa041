//! Recorded answers of a real munin-node are the judge: from the same kernel files, every plugin has to give the same configuration and
//! the same values. Compared is what a master makes of them: order of labels, attributes by name (of a graph the first counts, of
//! a field the last), values by field; free text is not.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::time::Duration;

use watchd::config::{PluginSection, read_plugin_conf};
use watchd::export::Page;
use watchd::export::munin::{Ask, Facts, Next, Session, answer, names};
use watchd::model::{Now, PluginSetting, Settings};
use watchd::store::board::{Header, Page as BoardPage};
use watchd::store::{Board, Reader, Readings, Snapshot};
use watchd_probes::{Buffer, Host, Look, Probes, Sample};

mod recorded;

use recorded::{NOW, manifest, snapshot};

/// A graph as a master understands it.
#[derive(Debug, Default, PartialEq)]
struct Graph {
    attributes: BTreeMap<String, String>,
    labels: Vec<String>,
    fields: BTreeMap<String, BTreeMap<String, String>>,
}

fn understood(text: &str) -> BTreeMap<String, Graph> {
    let mut graphs = BTreeMap::new();
    let mut name = String::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (key, value) = line.split_once(' ').unwrap_or((line, ""));
        let value = value.trim().to_owned();
        if key == "multigraph" {
            name = value;
            continue;
        }
        let graph: &mut Graph = graphs.entry(name.clone()).or_default();
        match key.split_once('.') {
            None if key == "graph_info" => {}
            None => {
                graph.attributes.entry(key.to_owned()).or_insert(value);
            }
            Some((_, "info")) => {}
            Some((field, attribute)) => {
                if attribute == "label" {
                    graph.labels.push(field.to_owned());
                }
                graph.fields.entry(field.to_owned()).or_default().insert(attribute.to_owned(), value);
            }
        }
    }
    graphs
}

fn ours(facts: &Facts<'_>, ask: Ask, name: &str) -> String {
    let mut page = Page::new(Page::LIMIT);
    assert!(answer(facts, ask, name.as_bytes(), &mut page), "{name} is answered");
    String::from_utf8(page.bytes().to_vec()).expect("answers are text")
}

/// What differs on purpose, and why.
const DIFFERENT: &[(&str, &str, &str)] = &[
    ("old", "diskstats", "it was started anew between the polls: a counter that went down gives no rate"),
    ("big", "threads", "one process of the fixture was given a second thread"),
];

/// Values that are unknown on purpose: what the other guessed of a counter that went down.
const UNKNOWN: &[(&str, &str)] = &[("big fetch diskstats", "cciss_c0d0")];

fn compare(host: &str) {
    let snapshot = snapshot(host);
    let facts = Facts::new(&snapshot, NOW);
    let recorded = manifest(&format!("tests/fixtures/munin/{host}"));
    let mut faults = Vec::new();
    for entry in std::fs::read_dir(recorded.join("config")).expect("the fixture is there") {
        let name = entry.expect("readable").file_name().into_string().expect("names are text");
        if DIFFERENT.iter().any(|(other, plugin, _)| (*other, *plugin) == (host, name.as_str())) {
            continue;
        }
        for (ask, folder) in [(Ask::Config, "config"), (Ask::Fetch, "fetch")] {
            let theirs = std::fs::read_to_string(recorded.join(folder).join(&name)).expect("recorded");
            difference(&format!("{host} {folder} {name}"), &theirs, &ours(&facts, ask, &name), &mut faults);
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

fn difference(what: &str, theirs: &str, ours: &str, faults: &mut Vec<String>) {
    let (theirs, ours) = (understood(theirs), understood(ours));
    let none = Graph::default();
    for name in theirs.keys().chain(ours.keys().filter(|name| !theirs.contains_key(*name))) {
        let (their, our) = (theirs.get(name).unwrap_or(&none), ours.get(name).unwrap_or(&none));
        if their.attributes != our.attributes {
            faults.push(format!("{what} {name}: {:?} is not {:?}", our.attributes, their.attributes));
        }
        if their.labels != our.labels {
            faults.push(format!("{what} {name}: labels {:?} are not {:?}", our.labels, their.labels));
        }
        for field in their.fields.keys().chain(our.fields.keys().filter(|field| !their.fields.contains_key(*field))) {
            let (expect, got) = (their.fields.get(field), our.fields.get(field));
            let is_unknown = got.and_then(|got| got.get("value")).is_some_and(|value| value == "U")
                && UNKNOWN.iter().any(|(of, device)| what == *of && (name.contains(device) || field.contains(device)));
            if expect != got && !is_close(expect, got) && !is_unknown {
                faults.push(format!("{what} {name}.{field}: {got:?} is not {expect:?}"));
            }
        }
    }
}

/// Rates are kept with seven digits.
fn is_close(one: Option<&BTreeMap<String, String>>, other: Option<&BTreeMap<String, String>>) -> bool {
    let number = |field: Option<&BTreeMap<String, String>>| field?.get("value")?.parse::<f64>().ok();
    let is_whole = |field: Option<&BTreeMap<String, String>>| field.is_some_and(|field| !field["value"].contains('.'));
    match (number(one), number(other)) {
        (Some(one_value), Some(other_value)) if !is_whole(one) || !is_whole(other) => {
            (one_value - other_value).abs() <= 1e-6 * one_value.abs().max(other_value.abs())
        }
        _ => false,
    }
}

#[test]
fn a_large_host_is_told_as_munin_node_tells_it() {
    compare("big");
}

#[test]
fn an_old_host_is_told_as_munin_node_tells_it() {
    compare("old");
}

#[test]
fn a_virtual_machine_is_told_as_munin_node_tells_it() {
    compare("vm");
}

#[test]
fn chips_are_told_as_munins_plugin_reads_them_from_the_program_sensors() {
    compare("chips");
}

/// What the probes themselves know of the time since the first reading, without any rate of a cycle.
fn with_past(host: &str) -> Snapshot {
    let dir = std::env::temp_dir().join(format!("watchd-past-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(dir.join("proc")).expect("a directory can be made");
    let now = manifest(&format!("probes/tests/fixtures/{host}"));
    for name in ["sys", "dev"] {
        std::os::unix::fs::symlink(now.join(name), dir.join(name)).expect("a link can be made");
    }
    let texts = [manifest(&format!("tests/fixtures/munin/{host}/t0")), now]
        .map(|root| std::fs::read(root.join("proc/diskstats")).expect("it was recorded"));
    let (mut buffer, mut sample, mut probes) = (Buffer::default(), Sample::default(), Probes::default());
    let root = Host::open(&dir).expect("it is there");
    for (text, ago) in texts.iter().zip([300, 0]) {
        std::fs::write(dir.join("proc/diskstats"), text).expect("a file can be written");
        let now = Now { mono: NOW.mono.saturating_sub(Duration::from_secs(ago)), ..NOW };
        probes.read_all(&mut Look { host: &root, buffer: &mut buffer, now }, &mut sample);
    }
    let rates = vec![f32::NAN; sample.view().rows.len()];
    let path = dir.join("board");
    let mut board = Board::create(&path).expect("the board is made");
    board.beat(1);
    let readings = Readings { view: sample.view(), rates: &rates };
    let header = Header::default();
    board.publish(&BoardPage {
        header: &header,
        readings,
        services: &[],
        classes: &[],
        promises: &[],
        events: &[],
        learned: &[],
    });
    let mut snapshot = Snapshot::default();
    Reader::open(&path).expect("the board opens").read(&mut snapshot).expect("the page is whole");
    std::fs::remove_dir_all(&dir).expect("it is ours");
    snapshot
}

#[test]
fn disks_are_told_by_the_mean_of_five_minutes_as_munins_plugin_does() {
    let snapshot = with_past("big");
    let theirs = std::fs::read_to_string(manifest("tests/fixtures/munin/big/fetch/diskstats")).expect("recorded");
    let facts = Facts::new(&snapshot, NOW);
    let mut faults = Vec::new();
    difference("big fetch diskstats", &theirs, &ours(&facts, Ask::Fetch, "diskstats"), &mut faults);
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
    // Where the cycles before are told as well, each has its own.
    let told = ours(&Facts { has_past: true, ..facts }, Ask::Fetch, "diskstats");
    assert!(
        told.contains("sda_rdio.value U")
            && told.lines().filter(|line| line.contains(".value")).all(|line| line.ends_with('U'))
    );
}

/// Recorded answers under settings of plugin-conf.d, and the plugin that gave them.
const SETTINGS: &[(&str, &str)] = &[
    ("cpu_scaled", "cpu"),
    ("cpuspeed_scaled", "cpuspeed"),
    ("cpu_thresholds", "cpu"),
    ("memory_thresholds", "memory"),
    ("load_thresholds", "load"),
    ("df_filtered", "df"),
    ("df_excl", "df"),
    ("df_inode_filtered", "df_inode"),
    ("open_files_thresholds", "open_files"),
    ("uptime_thresholds", "uptime"),
    ("users_thresholds", "users"),
    ("if_bond0", "if_bond0"),
];

/// Sections of plugin-conf.d as the door gets them.
fn settings(sections: Vec<PluginSection>) -> Settings {
    let setting = |section: PluginSection| PluginSetting {
        section: section.name,
        variables: section.variables,
        host_name: section.host_name,
    };
    Settings::new(sections.into_iter().map(setting).collect())
}

#[test]
fn settings_change_what_they_change_in_munins_plugins() {
    let folder = manifest("tests/fixtures/munin/big/settings");
    let text = std::fs::read_to_string(folder.join("plugin-conf")).expect("recorded");
    let mut sections = Vec::new();
    assert_eq!(read_plugin_conf(&text, &mut sections), None);
    let snapshot = snapshot("big");
    let mut faults = Vec::new();
    for (recorded, plugin) in SETTINGS {
        let mut own = sections.clone();
        own.retain(|section| section.name == *recorded);
        own.iter_mut().for_each(|section| section.name = (*plugin).to_owned());
        let settings = settings(own);
        let facts = Facts::new(&snapshot, NOW).with(&settings, &[]);
        let theirs = std::fs::read_to_string(folder.join(recorded)).expect("recorded");
        difference(recorded, &theirs, &ours(&facts, Ask::Config, plugin), &mut faults);
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn disks_are_chosen_by_parts_of_their_names() {
    let snapshot = snapshot("big");
    for (variable, value, has_sda, has_nvme) in [
        ("include_only", "sda, /dev/md", true, false),
        ("exclude", "sda,", false, true),
        ("exclude", "", true, true),
        ("include_only", "nosuch", false, false),
    ] {
        let mut sections = Vec::new();
        read_plugin_conf(&format!("[diskstats]\nenv.{variable} {value}\n"), &mut sections);
        let settings = settings(sections);
        let mut page = Page::new(Page::LIMIT);
        let facts = Facts::new(&snapshot, NOW).with(&settings, &[]);
        assert!(answer(&facts, Ask::Config, b"diskstats", &mut page), "without a device it is a plugin still");
        let text = String::from_utf8(page.bytes().to_vec()).expect("answers are text");
        assert_eq!(
            (text.contains("sda_util"), text.contains("nvme0n1_util")),
            (has_sda, has_nvme),
            "{variable} {value}"
        );
    }
}

#[test]
fn values_come_with_the_configuration_for_who_takes_them() {
    let snapshot = snapshot("big");
    let facts = Facts::new(&snapshot, NOW);
    let mut count = 0;
    names(&facts, true, &mut |plugin, instance| {
        let name = format!("{plugin}{}", String::from_utf8_lossy(instance));
        let (mut config, fetch) = (understood(&ours(&facts, Ask::Config, &name)), ours(&facts, Ask::Fetch, &name));
        for (graph, values) in understood(&fetch) {
            let fields = &mut config.get_mut(&graph).expect("it is configured").fields;
            for (field, value) in values.fields {
                fields.get_mut(&field).expect("it is configured").extend(value);
            }
        }
        let dirty = ours(&facts, Ask::Dirty, &name);
        assert_eq!(understood(&dirty), config, "{name}");
        let mut graphs: Vec<_> = dirty.lines().filter(|line| line.starts_with("multigraph ")).collect();
        graphs.sort_unstable();
        assert!(graphs.windows(2).all(|pair| pair[0] != pair[1]), "{name}: a graph is begun once");
        count += 1;
    });
    assert!(count > 25, "{count}");
    let (text, _) = say(&mut Session::default(), &facts, b"cap dirtyconfig\ncap multigraph\nconfig load");
    assert!(text.contains("load.label load\nload.value "), "{text}");
    let (text, _) = say(&mut Session::default(), &facts, b"cap multigraph\nconfig load");
    assert!(!text.contains(".value"), "{text}");
    let later = Now { mono: NOW.mono + Duration::from_secs(31), ..NOW };
    let (text, _) = say(&mut Session::default(), &Facts::new(&snapshot, later), b"cap dirtyconfig\nconfig load");
    assert!(text.contains("load.label") && !text.contains(".value"), "{text}");
}

/// Says lines to a session and gives what it answered.
fn say(session: &mut Session, facts: &Facts<'_>, text: &[u8]) -> (String, Next) {
    let mut page = Page::new(Page::LIMIT);
    let mut next = Next::More;
    for line in text.strip_suffix(b"\n").unwrap_or(text).split(|byte| *byte == b'\n') {
        if next == Next::More {
            next = session.line(line, "golden.example", facts, &mut page);
        }
    }
    (String::from_utf8_lossy(page.bytes()).into_owned(), next)
}

#[test]
fn recorded_conversations_go_the_same_way() {
    let text = std::fs::read_to_string(manifest("tests/fixtures/munin/protocol/sessions.json")).expect("recorded");
    let recorded: serde_json::Value = serde_json::from_str(&text).expect("well-formed");
    let (snapshot, mut compared) = (snapshot("vm"), 0);
    let facts = Facts::new(&snapshot, NOW);
    for conversation in recorded["sessions"].as_array().expect("a list") {
        let mut session = Session::default();
        for exchange in conversation["exchange"].as_array().expect("a list") {
            // The plugins of the recording that are there to misbehave are not ours.
            let Some(send) = exchange["send"].as_str().filter(|send| !send.contains("tp_") && !send.is_empty()) else {
                continue;
            };
            let bytes: Vec<u8> = send.chars().map(|letter| u8::try_from(u32::from(letter)).expect("latin-1")).collect();
            let (got, next) = say(&mut session, &facts, &bytes);
            let expect = exchange["recv"].as_str().expect("a text");
            assert!(is_same(send, expect, &got), "{send:?}: {got:?} is not {expect:?}");
            let closes = conversation["closed_by_node"] == true && conversation["half_close"] == false;
            let is_last = conversation["exchange"].as_array().and_then(|all| all.last()) == Some(exchange);
            assert_eq!(next == Next::Close, closes && is_last, "{send:?}");
            compared += 1;
        }
    }
    assert!(compared > 30, "{compared} exchanges were compared");
}

/// Names of plugins, the version and the load are those of another host; the recorded node has a virtual host.
fn is_same(send: &str, expect: &str, got: &str) -> bool {
    let is_load = |line: &str| line.starts_with("load.value ");
    let plain = |text: &str| -> Vec<String> {
        text.lines()
            .filter(|line| !line.contains("_info ") && !line.contains(".info ") && *line != "virtual.example")
            .map(|line| match line.split_once(" version: ") {
                Some((node, _)) => node.to_owned(),
                None if is_load(line) => "load.value".to_owned(),
                None => line.to_owned(),
            })
            .collect()
    };
    if send.to_ascii_lowercase().starts_with("list") {
        return got.lines().count() == 1 && got.ends_with('\n') && (got.len() > 1) == expect.contains("load");
    }
    // Those that ask for it get values with the configuration, which is up to a plugin.
    let mut got = plain(got);
    got.retain(|line| !send.starts_with("config") || line != "load.value");
    plain(expect) == got
}

#[test]
fn plugins_are_listed_as_the_client_understands_them() {
    let snapshot = snapshot("big");
    let facts = Facts::new(&snapshot, NOW);
    let mut session = Session::default();
    let (plain, _) = say(&mut session, &facts, b"list");
    assert!(!plain.contains("diskstats") && !plain.contains("netstat"), "{plain}");
    for name in ["cpu", "df", "load", "memory", "if_eth0", "if_err_eth0", "uptime", "watchd_self"] {
        assert!(plain.trim_end().split(' ').any(|listed| listed == name), "{name} in {plain}");
    }
    for name in ["if_lo", "if_eth0.100", "if_sit0"] {
        assert!(!plain.trim_end().split(' ').any(|listed| listed == name), "{name} in {plain}");
    }
    let (all, _) = say(&mut session, &facts, b"cap multigraph\nlist");
    assert!(all.contains(" diskstats ") && all.contains(" netstat "), "{all}");
    let mut counted = 0;
    names(&facts, true, &mut |plugin, instance| {
        let name = format!("{plugin}{}", String::from_utf8_lossy(instance));
        for ask in [Ask::Config, Ask::Fetch] {
            assert!(!ours(&facts, ask, &name).is_empty(), "{name} {ask:?}");
        }
        counted += 1;
    });
    assert_eq!(counted, all.lines().last().expect("a line").split(' ').count());
}

#[test]
fn odd_lines_get_a_sane_answer() {
    let snapshot = snapshot("vm");
    let facts = Facts::new(&snapshot, NOW);
    let unknown = "# Unknown command. Try cap, list, nodes, config, fetch, version or quit\n";
    let service = "# Unknown service\n.\n";
    let long = vec![b'a'; 1 << 20];
    let rows: &[(&[u8], &str)] = &[
        (b"", unknown),
        (b"\r", unknown),
        (b" fetch load", unknown),
        (b"\0", unknown),
        (b"fetc", unknown),
        (b"\xff\xfe", unknown),
        (b"GET / HTTP/1.1", unknown),
        (b"starttls", unknown),
        (b"spoolfetch 0", unknown),
        (&long, unknown),
        (b"fetch", service),
        (b"fetch  load", service),
        (b"fetch LOAD", service),
        (b"fetch load\0", service),
        (b"fetch ../load", service),
        (b"fetch /etc/passwd", service),
        (b"fetch ../../../../etc/passwd", service),
        (b"config if_", service),
        (b"config if_../eth0", service),
        (b"config if_nosuch", service),
        (b"config cpux", service),
        (b"config \xff", service),
        (b"fetch %s%n", service),
        (b"fetch load; reboot", service),
        (b"fetchload", "load.value"),
        (b"FETCH\tload x", "load.value"),
        (b"nodesfoo", "golden.example\n.\n"),
        (b"list nosuch.example", "\n"),
        (b"list golden.example/../x", "cpu "),
        (b"listGolden.Example", "cpu "),
        (b"cap", "cap multigraph dirtyconfig\n"),
        (b"cap \0 MULTIGRAPH,x", "cap multigraph dirtyconfig\n"),
        (b"versionxyz", "munins node on golden.example version: "),
    ];
    for (line, expect) in rows {
        let (got, next) = say(&mut Session::default(), &facts, line);
        assert!(got.starts_with(expect), "{:?}: {got:?}", String::from_utf8_lossy(&line[..line.len().min(40)]));
        assert_eq!(next, Next::More);
    }
    for line in [&b"quit"[..], b"QUIT now", b"quitting", b".", b"...", b".x"] {
        assert_eq!(say(&mut Session::default(), &facts, line), (String::new(), Next::Close));
    }
}

#[test]
fn old_readings_are_not_told_as_new_ones() {
    let snapshot = snapshot("vm");
    let later = Now { mono: NOW.mono + Duration::from_secs(31), ..NOW };
    let (got, _) = say(&mut Session::default(), &Facts::new(&snapshot, later), b"fetch load");
    assert_eq!(got, "# Timed out\n.\n");
    let (got, _) = say(&mut Session::default(), &Facts::new(&snapshot, later), b"config load");
    assert!(got.starts_with("graph_title"), "{got}");
}
