//! Plugins of others as munin-node runs them: real programs, started by core for the door.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, Instant};

use harness::{Home, is_root, net, until};

/// Name, and what the plugin does.
const PLUGINS: &[(&str, &str)] = &[
    (
        "plain",
        "#!/bin/sh\n[ \"$1\" = config ] && { echo 'graph_title Plain'; echo 'a.label a'; exit; }\necho 'a.value 1'\necho noise >&2\n",
    ),
    (
        "env",
        "#!/bin/sh\n[ \"$1\" = config ] && { echo 'x.label x'; exit; }\nenv | grep -E '^(MUNIN_|FQDN|LC_ALL|PATH|tag|HOME)'\necho \"id $(id -u) $(id -G)\"\necho \"memory $(ulimit -d)\"\necho \"in $(cat | wc -c)\"\n",
    ),
    ("any_", "#!/bin/sh\n[ \"$1\" = config ] && { echo 'x.label x'; exit; }\necho \"x.extinfo ${0##*/} $#\"\n"),
    (
        "stuck",
        "#!/bin/sh\n[ \"$1\" = config ] && { echo 'x.label x'; exit; }\necho run >>\"$MUNIN_PLUGSTATE/stuck\"\nsleep 100 & wait\n",
    ),
    ("fails", "#!/bin/sh\necho 'a.label a'\nexit 3\n"),
    ("silent", "#!/bin/sh\nexit 0\n"),
    ("many", "#!/bin/sh\necho 'multigraph many_one'\necho 'a.label a'\n"),
    ("dirty", "#!/bin/sh\necho 'a.label a'\necho 'a.value 5'\n"),
    ("asked", "#!/bin/sh\necho 'a.label a'\n[ \"$MUNIN_CAP_DIRTYCONFIG\" = 1 ] && echo 'a.value 6'\nexit 0\n"),
    ("odd", "#!/bin/sh\nprintf '\\r\\n.\\na.value 1\\r\\n\\n\\n. \\nlast.value 2'\n"),
    (
        "flood",
        "#!/bin/sh\n[ \"$1\" = config ] && { echo 'x.label x'; exit; }\nwhile echo aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa; do :; done\n",
    ),
    ("bare", "[ \"$1\" = config ] && { echo 'x.label x'; exit; }\necho 'x.value 7'\n"),
    (
        "guest",
        "#!/bin/sh\n[ \"$1\" = config ] && { echo 'host_name Other.example'; echo 'x.label x'; exit; }\necho 'x.value 8'\n",
    ),
    ("moved", "#!/bin/sh\necho 'x.label x'\n"),
    ("wrapped", "#!/bin/sh\necho \"x.extinfo $WRAPPED $1\"\n"),
    ("load", "#!/bin/sh\necho 'load.value 4711'\n"),
    (
        "counted",
        "#!/bin/sh\n[ \"$1\" = config ] && { echo 'x.label x'; exit; }\necho x >>\"$MUNIN_PLUGSTATE/count\"\necho \"x.value $(wc -l <\"$MUNIN_PLUGSTATE/count\")\"\n",
    ),
    ("left~", "#!/bin/sh\necho no\n"),
    ("left.bak", "#!/bin/sh\necho no\n"),
    ("left.conf", "#!/bin/sh\necho no\n"),
    ("plain2.note", "no program\n"),
];

const CONF: &str = "[env]\nenv.tag one two # three\nuser root\n[stuck]\ntimeout 1\n[moved]\nhost_name third.example\n\
                    [wrapped]\ncommand env WRAPPED=yes %c\n[e*]\nenv.tag less\nenv.HOME /nowhere\n[load]\nenv.warning 9\n[fork*]\nhost_name third.Example\n";

fn set_up(name: &str) -> (Home, u16) {
    let port = net::free_port();
    let config = format!(
        "[watchd]\ncycle = \"2s\"\n[munin]\nlisten = [\"127.0.0.1:{port}\"]\nhost-name = \"Node.example\"\nplugins = \"@/plugins\"\n\
         plugin-conf = \"@/conf\"\nplugin-state = \"@/memory\"\n"
    );
    let home = Home::new(name, &config);
    let plugins = home.scratch.dir_of("plugins", None);
    for (name, text) in PLUGINS {
        let mode = if name.ends_with(".note") { 0o644 } else { 0o755 };
        put(&plugins.join(name), text, mode);
    }
    symlink(plugins.join("any_"), plugins.join("any_thing")).expect("a link can be made");
    symlink(plugins.join("nowhere"), plugins.join("broken")).expect("a link can be made");
    put(&plugins.join("open"), "#!/bin/sh\necho 'x.value 1'\n", 0o777);
    put(&home.scratch.dir_of("conf", None).join("all"), CONF, 0o644);
    (home, port)
}

fn put(path: &Path, text: &str, mode: u32) {
    harness::script(path, text);
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is ours");
}

#[test]
fn plugins_of_others_are_run_as_munin_node_runs_them() {
    let (home, port) = set_up("guests");
    let daemon = home.start();
    let ask = |lines: &str| net::munin(port, lines);
    let listed = until("the first list", || Some(ask("list")).filter(|list| list.contains("plain")));
    let has = |list: &str, name: &str| list.split_whitespace().any(|listed| listed == name);
    for (name, expect) in [
        ("plain", true),
        ("any_thing", true),
        ("fails", true),
        ("bare", true),
        ("load", true),
        ("silent", false),
        ("many", false),
        ("dirty", false),
        ("guest", false),
        ("moved", false),
        ("forks", false),
        ("interrupts", true),
        ("broken", false),
        ("open", false),
        ("left~", false),
        ("left.bak", false),
        ("left.conf", false),
        ("plain2.note", false),
    ] {
        assert_eq!(has(&listed, name), expect, "{name} in {listed}\n{}", daemon.said());
    }
    let all = ask("cap multigraph dirtyconfig\nlist");
    assert!(has(&all, "many") && has(&all, "dirty"), "{all}");
    assert_eq!(ask("nodes"), "node.example\nother.example\nthird.example\n.\n");
    assert_eq!(ask("list OTHER.example\nlist third.example\nlist nosuch"), "guest\nforks moved\n\n");
    for (lines, expect) in [
        ("config plain", "graph_title Plain\na.label a\n.\n"),
        ("fetch plain", "a.value 1\n.\n"),
        ("fetch any_thing", "x.extinfo any_thing 0\n.\n"),
        ("fetch fails", "# Bad exit\n.\n"),
        ("fetch silent", ".\n"),
        ("config odd", "a.value 1\n. \nlast.value 2\n.\n"),
        ("fetch flood", "# Bad exit\n.\n"),
        ("fetch bare", "x.value 7\n.\n"),
        ("config wrapped", "x.extinfo yes config\n.\n"),
        (
            "config asked\ncap dirtyconfig\nconfig asked",
            "a.label a\n.\ncap multigraph dirtyconfig\na.label a\na.value 6\n.\n",
        ),
        ("fetch open", "# Unknown service\n.\n"),
        ("fetch ../plugins/plain", "# Unknown service\n.\n"),
        ("fetch stuck\nfetch plain", "# Timed out\n.\na.value 1\n.\n"),
    ] {
        assert_eq!(ask(lines), expect, "{lines}\n{}", daemon.said());
    }
    assert!(!ask("fetch load").contains("4711"), "our own plugin of that name answers");
    assert!(ask("config load").contains("load.warning 9\n"));
    assert!(ask("fetch forks").starts_with("forks.value "), "it is told whatever the host");
    let found = ask("fetch env");
    let user = if is_root() { "/root" } else { "" };
    for line in [
        "MUNIN_CAP_MULTIGRAPH=1".to_owned(),
        "MUNIN_LIBDIR=/usr/share/munin".to_owned(),
        "MUNIN_MASTER_IP=127.0.0.1".to_owned(),
        format!("MUNIN_PLUGSTATE={}{user}", home.scratch.text("memory")),
        format!("MUNIN_STATEFILE={}{user}/env-127.0.0.1", home.scratch.text("memory")),
        "FQDN=Node.example".to_owned(),
        "LC_ALL=C".to_owned(),
        "PATH=/usr/sbin:/usr/bin:/sbin:/bin".to_owned(),
        "tag=one two".to_owned(),
        "HOME=/nowhere".to_owned(),
        "memory 1048576".to_owned(),
        "in 0".to_owned(),
    ] {
        assert!(found.lines().any(|found| found == line), "{line} in {found}");
    }
    assert!(!found.contains("MUNIN_CAP_DIRTYCONFIG"), "{found}");
    if is_root() {
        assert!(found.contains("\nid 0 "), "{found}");
    }
}

#[test]
fn what_a_plugin_said_is_told_for_a_cycle() {
    let (home, port) = set_up("guests-kept");
    let _daemon = home.start();
    let ask = || net::munin(port, "fetch counted");
    let first = until("an answer", || Some(ask()).filter(|answer| answer == "x.value 1\n.\n"));
    let next = until("another cycle", || Some(ask()).filter(|answer| *answer != first));
    assert_eq!(next, "x.value 2\n.\n", "it was run once in a cycle");
}

#[test]
fn a_stuck_plugin_holds_up_nobody_else() {
    let (home, port) = set_up("guests-stuck");
    put(&home.scratch.path("conf/stuck"), "[stuck]\ntimeout 600\n", 0o644);
    let daemon = home.start();
    let connect = || {
        let stream = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port))).expect("the door is open");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("it can be set");
        stream
    };
    let mut waiting: Vec<_> = (0..40).map(|_| connect()).collect();
    for stream in &mut waiting {
        stream.write_all(b"fetch stuck\nfetch load\n").expect("it takes a line");
    }
    let start = Instant::now();
    let mut asked = 0;
    while asked < 20 {
        assert_eq!(net::munin(port, "fetch plain"), "a.value 1\n.\n");
        assert!(net::munin(port, "fetch load").starts_with("load.value"));
        asked += 1;
    }
    assert!(start.elapsed() < Duration::from_secs(100), "nobody waited for the stuck plugin");
    let told = home.scratch.path(if is_root() { "memory/nobody/stuck" } else { "memory/stuck" });
    assert_eq!(fs::read_to_string(told).expect("it was run"), "run\n", "all of them wait for one run");
    drop(waiting);
    assert!(net::munin(port, "fetch load").starts_with("load.value"));
    let mut stream = connect();
    stream.write_all(b"fetch stuck\n").expect("it takes a line");
    drop(daemon);
    let mut lines = BufReader::new(stream).lines();
    assert!(lines.next().is_some_and(|line| line.is_ok_and(|line| line.starts_with("# munin node"))));
    // It may be told why there is no answer before the door has gone as well.
    let is_farewell = |line: std::io::Result<String>| line.map_or(true, |line| line == "# Bad exit" || line == ".");
    assert!(lines.all(is_farewell), "the connection ends with the daemon");
}

#[test]
fn who_cannot_be_what_plugin_conf_says_is_not_run() {
    if !is_root() {
        return harness::skip("only root lets plugins become other accounts");
    }
    let (home, port) = set_up("guests-who");
    let who = "#!/bin/sh\n[ \"$1\" = config ] && { echo 'x.label x'; exit; }\necho \"x.extinfo $(id -un) $(id -Gn)\"\n";
    for name in ["who_plain", "who_user", "who_group", "who_perhaps"] {
        put(&home.scratch.path("plugins").join(name), who, 0o755);
    }
    let conf = "[who_user]\nuser nosuch\n[who_group]\ngroup nosuch\n[who_perhaps]\nuser daemon\ngroup (nosuch), adm\n";
    put(&home.scratch.path("conf/who"), conf, 0o644);
    let daemon = home.start();
    let ask = |name: &str| net::munin(port, &format!("fetch {name}"));
    let plain = until("an answer", || Some(ask("who_plain")).filter(|told| told.starts_with("x.extinfo ")));
    assert!(plain.starts_with("x.extinfo nobody "), "{plain}");
    for (name, expect) in [
        ("who_user", "# Unknown service\n.\n"),
        ("who_group", "# Unknown service\n.\n"),
        ("who_perhaps", "x.extinfo daemon adm\n.\n"),
    ] {
        assert_eq!(ask(name), expect, "{name}\n{}", daemon.said());
        assert_eq!(
            daemon.said().contains(&format!("cannot run {name}: ")),
            expect.contains("Unknown"),
            "{}",
            daemon.said()
        );
    }
}

#[test]
fn many_at_once_are_run_a_few_at_a_time_and_all_are_answered() {
    let (home, port) = set_up("guests-many");
    // Each says that it has begun, waits for as long as the test wants, and says how many had begun by then.
    let text = "#!/bin/sh\n[ \"$1\" = config ] && { echo 'x.label x'; exit; }\n: >\"@/begun/${0##*/}\"\n\
                until [ -e @/open ]; do sleep 0.05; done\necho 'x.value 1'\n";
    let begun = home.scratch.dir_of("begun", None);
    fs::set_permissions(&begun, fs::Permissions::from_mode(0o777)).expect("it is ours");
    let names: Vec<String> = (0..40).map(|n| format!("slow{n}")).collect();
    for name in &names {
        put(&home.scratch.path("plugins").join(name), &text.replace('@', &home.scratch.dir.to_string_lossy()), 0o755);
    }
    let daemon = home.start();
    until("a list", || net::munin(port, "list").contains("slow39").then_some(()));
    let mut waiting: Vec<_> = names
        .iter()
        .map(|name| {
            let mut stream = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port))).expect("the door is open");
            stream.set_read_timeout(Some(Duration::from_secs(30))).expect("it can be set");
            stream.write_all(format!("fetch {name}\n").as_bytes()).expect("it takes a line");
            // Who has said his last word is answered all the same.
            stream.shutdown(std::net::Shutdown::Write).expect("it can be closed");
            stream
        })
        .collect();
    let running = || fs::read_dir(&begun).expect("it is there").count();
    until("sixteen that run", || (running() == 16).then_some(()));
    assert!(net::munin(port, "fetch load").starts_with("load.value"), "others are answered");
    // One more would have begun by now: the daemon has turned meanwhile, and more than once.
    assert!(net::munin(port, "nodes").starts_with("node.example"));
    assert_eq!(running(), 16);
    home.scratch.write("open", "");
    for (stream, name) in waiting.iter_mut().zip(&names) {
        let mut told = String::new();
        std::io::Read::read_to_string(stream, &mut told).expect("it ends");
        assert!(told.ends_with("\nx.value 1\n.\n"), "{name}: {told}\n{}", daemon.said());
    }
}

#[test]
fn a_round_over_a_great_many_quick_plugins_leaves_none_out() {
    let (home, port) = set_up("guests-round");
    let quick = "#!/bin/sh\n[ \"$1\" = config ] && { echo 'x.label x'; exit; }\necho 'x.value 1'\n";
    let plugin = home.scratch.script("quick_", quick);
    let names: Vec<String> = (0..200).map(|n| format!("quick_{n}")).collect();
    for name in &names {
        symlink(&plugin, home.scratch.path("plugins").join(name)).expect("a link can be made");
    }
    let daemon = home.start();
    until("a list", || net::munin(port, "list").contains("quick_199").then_some(()));
    let lines: Vec<String> = names.iter().map(|name| format!("config {name}\nfetch {name}")).collect();
    let told = net::munin(port, &lines.join("\n"));
    assert_eq!(told.matches("x.label x\n.\nx.value 1\n.\n").count(), names.len(), "{told}\n{}", daemon.said());
}

#[test]
fn what_others_can_write_to_is_refused() {
    let (home, _) = set_up("guests-open");
    for (folder, key) in [("plugins", "munin.plugins"), ("conf", "munin.plugin-conf")] {
        let path = home.scratch.path(folder);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).expect("it is ours");
        let output = home.watchd(&["check", &home.scratch.text("watchd.toml")]);
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && said.contains(key) && said.contains("chmod go-w"), "{said}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it is ours");
    }
    let output = home.watchd(&["check", &home.scratch.text("watchd.toml")]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("cannot run open:"), "{said}");
}
