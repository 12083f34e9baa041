//! A real munin-node and ours on the same host at the same moment: the same plugins, attribute by attribute, and values that a few
//! seconds can explain. What ours has no plugin for it runs, as the other does.
//!
//! A munin-node that lies elsewhere than in the system's directories is found through `MUNIN_NODE_ROOT`.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use watchd::model::ServiceState;

use crate::harness::{self, Home, binary, is_root, net, skip, until};

/// Links of a directory of plugins; a name with a wildcard stands before what it is linked as.
const LINKS: &[(&str, &str)] = &[
    // Those that we have ourselves.
    ("cpu", "cpu"),
    ("df", "df"),
    ("df_inode", "df_inode"),
    ("diskstats", "diskstats"),
    ("entropy", "entropy"),
    ("forks", "forks"),
    ("fw_packets", "fw_packets"),
    ("interrupts", "interrupts"),
    ("irqstats", "irqstats"),
    ("load", "load"),
    ("memory", "memory"),
    ("open_files", "open_files"),
    ("open_inodes", "open_inodes"),
    ("proc_pri", "proc_pri"),
    ("processes", "processes"),
    ("swap", "swap"),
    ("threads", "threads"),
    ("uptime", "uptime"),
    ("users", "users"),
    ("if_", "if_eth0"),
    ("if_err_", "if_err_eth0"),
    ("netstat", "netstat"),
    ("vmstat", "vmstat"),
    ("cpuspeed", "cpuspeed"),
    // Those that are run: shell and Perl, one or many graphs, with and without settings.
    ("df_abs", "df_abs"),
    ("tcp", "tcp"),
    ("proc", "proc"),
    ("multips", "multips"),
    ("multips_memory", "multips_memory"),
    ("buddyinfo", "buddyinfo"),
    ("ps_", "ps_perl"),
    ("port_", "port_22"),
    ("fw_conntrack", "fw_conntrack"),
    ("fw_forwarded_local", "fw_forwarded_local"),
    ("munin_stats", "munin_stats"),
    ("munin_update", "munin_update"),
    ("acpi", "acpi"),
    ("ps_", "ps_sh"),
    ("port_", "port_4949"),
    ("nfs_client", "nfs_client"),
    ("netstat_multi", "netstat_multi"),
    ("if_", "if_lo.copy"),
    ("diskstat_", "diskstat_iops_vda"),
    ("diskstat_", "diskstat_latency_vda"),
    ("diskstat_", "diskstat_throughput_vda"),
    ("irqstats", "irqstats_0"),
    ("nfsd", "nfsd"),
    ("nfs4_client", "nfs4_client"),
    ("ntp_", "ntp_192.0.2.10"),
    ("ntp_kernel_err", "ntp_kernel_err"),
    ("ntp_kernel_pll_freq", "ntp_kernel_pll_freq"),
    ("ntp_kernel_pll_off", "ntp_kernel_pll_off"),
    ("ntp_offset", "ntp_offset"),
    ("ntp_states", "ntp_states"),
    ("sensors_", "sensors_fan"),
    ("sensors_", "sensors_power"),
    ("sensors_", "sensors_temp"),
    ("sensors_", "sensors_volt"),
];

/// Programs that plugins ask, as far as they are asked.
const PROGRAMS: &[(&str, &str)] = &[
    (
        "sensors",
        "#!/bin/sh\ncat <<'E'\nodd-virtual-0\nAdapter: Virtual device\nVcore:       888.00 mV (min =  +0.00 V, max =  +1.74 V)\n\
         Case Fan:    1268 RPM  (min = 3750 RPM, div = 8)  ALARM\nPackage id 0:  +52.0 C  (high = +82.0 C, crit = +100.0 C)\n\
         Core 0:        -3.0 C\nPPT:          11.20 W  (crit =  45.00 W)\nE\n",
    ),
    (
        "ntpq",
        "#!/bin/sh\ncase \"$*\" in\n*help*) ;;\n*version*) echo 'ntpq 4.2.8p15' ;;\n\
         *kerninfo*) echo 'pll offset:            -0.123456\npll frequency:         12.345678\nestimated error:       0.789' ;;\n\
         *associations*) echo '\nind assid status  conf reach auth condition  last_event cnt\n=====\n\
         \x20 1 40001  961a   yes   yes  none  sys.peer    sys_peer  1' ;;\n\
         *'readvar 40001 srcadr,'*) echo 'srcadr=192.0.2.10, delay=1.234, offset=0.567, jitter=0.089' ;;\n\
         *srcadr*) echo srcadr=192.0.2.10 ;;\n*stratum*) echo stratum=1 ;;\n\
         *) echo 'remote refid st t when poll reach delay offset jitter\n=====\n\
         *192.0.2.10 .GPS. 1 u 12 64 377 1.234 0.567 0.089' ;;\nesac\n",
    ),
];

/// A plugin that tells how it is run, in labels, which are compared to the letter: as whom, with what, where, in whose session. Places are
/// those of this test, and in munin-node's `MUNIN_MKTEMP` is a piece of its makefile.
const TELLS: &str = "#!/bin/sh\n[ \"$1\" = config ] || { echo 'ids.value 1'; exit; }\necho \"ids.label $(id -u) $(id -g) $(id -G)\"\n\
    echo \"names.label\" $(env | grep -Eo '^(MUNIN_[A-Z_]*|FQDN|LC_ALL|LANG|PATH|PYTHONIOENCODING|own)=' | sort)\n\
    echo \"set.label\" $(env | grep -E '^(MUNIN_|FQDN|LC_ALL|LANG|PATH|PYTHONIOENCODING|own)' | \
        grep -Ev '^MUNIN_(CONFDIR|LIBDIR|MKTEMP|PLUGSTATE|STATEFILE)=' | sort)\n\
    echo \"state.label ${MUNIN_STATEFILE#\"$MUNIN_PLUGSTATE\"} ${MUNIN_PLUGSTATE##*/} $(stat -c '%U %a' \"$MUNIN_PLUGSTATE\")\"\n\
    echo \"place.label $(pwd) $(umask) ${0##*/} $#\"\n[ \"$(ps -o sid= -p $$)\" -eq $$ ] && echo 'session.label its own'\nexit 0\n";

/// What it is linked as: see the sections of `CONF`.
const TELLING: &[&str] = &["tells_plain", "tells_root", "tells_daemon", "tells_groups", "tells_own"];

/// Plugins that have to be among those that were compared: run as much as our own.
const COMPARED: &[&str] = &[
    "cpu",
    "irqstats_0",
    "netstat",
    "df_abs",
    "tcp",
    "proc",
    "multips",
    "buddyinfo",
    "port_22",
    "netstat_multi",
    "diskstat_iops_vda",
    "ntp_192.0.2.10",
    "ntp_kernel_err",
    "ntp_offset",
    "sensors_fan",
    "sensors_power",
    "sensors_temp",
    "sensors_volt",
    "tells_plain",
    "tells_root",
    "tells_daemon",
    "tells_groups",
    "tells_own",
];

const CONF: &str = "[df*]\nenv.warning 91\nenv.critical 97\nenv.exclude_re ^/run/user ^/tmp\n[proc]\nenv.procname perl|sh\n\
                    [cpu]\nenv.system_warning 50%\n[multips]\nenv.names perl sh\n[fw_*]\nuser root\n[munin_stats]\nuser munin\n\
                    group munin\n[irqstats]\nenv.iNMI_warning 5\n[port_22]\nenv.count_critical 100\n\
                    [sensors_*]\nenv.sensors @/programs/sensors\n[ntp_*]\nenv.PATH @/programs:/usr/sbin:/usr/bin:/sbin:/bin\n\
                    [tells_root]\nuser root\n[tells_daemon]\nuser daemon\ngroup daemon\n[tells_groups]\ngroup adm, (nosuch), daemon\n\
                    [tells_*]\nenv.own less\n[tells_o*]\nenv.own one two # three\nenv.LANG en_GB.UTF-8\n";

/// A munin-node that ends with the test.
struct Node(Child);

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn root() -> PathBuf {
    std::env::var_os("MUNIN_NODE_ROOT").map_or_else(|| PathBuf::from("/"), PathBuf::from)
}

/// A script of munin-node's package, with another configuration directory than the one it was built with.
fn script(name: &str, conf: &Path, state: &Path) -> Command {
    let mut command = Command::new("perl");
    // As its first line asks for.
    if name == "munin-node" {
        command.arg("-T");
    }
    command.arg(format!("-I{}", root().join("usr/share/perl5").display())).arg("-e").arg(format!(
        "use Munin::Common::Defaults; BEGIN {{ no warnings; $Munin::Common::Defaults::MUNIN_CONFDIR = q({}); \
         $Munin::Common::Defaults::MUNIN_PLUGSTATE = q({}); \
         my $own = q({}); $Munin::Common::Defaults::MUNIN_LIBDIR = $own if -e $own; }} $0 = q({name}); do q({}); die $@ if $@; exit main();",
        conf.display(),
        state.display(),
        conf.join("lib").display(),
        root().join("usr/sbin").join(name).display()
    ));
    command.arg("--");
    command
}

/// A configuration directory for both, and the first of them started.
fn set_up(home: &Home, port: u16) -> Option<Node> {
    let plugins = home.scratch.dir_of("munin/plugins", None);
    for folder in ["munin", "munin/plugins", "munin/plugin-conf.d", "memory", "memory-node"] {
        home.scratch.dir_of(folder, None);
    }
    for (target, name) in LINKS {
        let target = Path::new("/usr/share/munin/plugins").join(target);
        if target.exists() {
            symlink(target, plugins.join(name)).expect("a link can be made");
        }
    }
    let tells = home.scratch.script("tells_", TELLS);
    for name in TELLING {
        symlink(&tells, plugins.join(name)).expect("a link can be made");
    }
    home.scratch.dir_of("programs", None);
    for (name, text) in PROGRAMS {
        home.scratch.script(&format!("programs/{name}"), text);
    }
    home.scratch.write("munin/plugin-conf.d/all", &CONF.replace('@', &home.scratch.dir.to_string_lossy()));
    let conf = format!(
        "log_level 4\nlog_file @/node.log\npid_file @/node.pid\nbackground 0\nsetsid 0\nuser root\ngroup root\n\
         host_name told.example\nhost 127.0.0.1\nport {port}\nallow .*\n"
    );
    home.scratch.write("munin/munin-node.conf", &conf.replace('@', &home.scratch.dir.to_string_lossy()));
    let mut command = script("munin-node", &home.scratch.path("munin"), &home.scratch.path("memory-node"));
    command.arg("--config").arg(home.scratch.path("munin/munin-node.conf"));
    // Plugins inherit what the node was started with.
    command.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()?;
    Some(Node(child))
}

#[test]
fn a_real_munin_node_and_ours_tell_the_same() {
    if !root().join("usr/sbin/munin-node").exists() || !Path::new("/usr/share/munin/plugins").exists() {
        return skip("there is no munin-node (package munin-node)");
    }
    if !is_root() {
        return skip("only root lets plugins become other accounts");
    }
    let (theirs, ours) = (net::free_port(), net::free_port());
    let config = format!(
        "[watchd]\ncycle = \"1s\"\n[munin]\nlisten = [\"127.0.0.1:{ours}\"]\nhost-name = \"told.example\"\n\
         plugins = \"@/munin/plugins\"\nplugin-conf = \"@/munin/plugin-conf.d\"\nplugin-state = \"@/memory\"\n"
    );
    let home = Home::new("node", &config);
    let node = set_up(&home, theirs).expect("munin-node can be started");
    let mut daemon = home.start();
    daemon.wait_for("two cycles", |snapshot| (snapshot.header.cycles > 2).then_some(()));
    let list = "cap multigraph\nlist";
    let listed = until("its list", || Some(net::munin(theirs, list)).filter(|list| list.contains("cpu")));
    let also = net::munin(ours, list);
    let mut faults = Vec::new();
    let (mut values, mut compared) = (0, Vec::new());
    let names: Vec<&str> = listed.lines().nth(1).expect("a list").split_whitespace().collect();
    assert!(names.len() > 20, "{listed}");
    for name in names {
        if !also.split_whitespace().any(|known| known == name) {
            faults.push(format!("{name} is not in {also}"));
            continue;
        }
        let config = format!("cap multigraph\nconfig {name}");
        compare_config(name, &net::munin(theirs, &config), &net::munin(ours, &config), &mut faults);
        let fetch = format!("fetch {name}");
        let [before, between, after] = [theirs, ours, theirs].map(|port| net::munin(port, &fetch));
        let count = compare_values(name, [&before, &between, &after], &mut faults);
        values += count;
        compared.extend((count > 0 || name.starts_with("diskstat")).then(|| name.to_owned()));
    }
    drop(node);
    assert!(faults.is_empty(), "\n{}\n{}", faults.join("\n"), daemon.said());
    assert!(values > 100, "{values} values were compared");
    let is_here = |name: &&&str| {
        LINKS.iter().any(|(file, link)| link == *name && Path::new("/usr/share/munin/plugins").join(file).exists())
    };
    let missing: Vec<_> =
        COMPARED.iter().filter(is_here).filter(|name| !compared.iter().any(|known| known == *name)).collect();
    assert!(missing.is_empty(), "nothing of {missing:?} was compared, but of {compared:?}");
}

/// `graph attribute` and `graph field.attribute`, as a master understands them: of a graph the first counts, of a field the last.
pub fn understood(text: &str) -> BTreeMap<String, String> {
    let (mut graph, mut found) = (String::new(), BTreeMap::new());
    for line in text.lines().filter(|line| !line.starts_with('#') && *line != "." && !line.starts_with("cap ")) {
        let (key, value) = line.split_once(' ').unwrap_or((line, ""));
        match key {
            "multigraph" => value.clone_into(&mut graph),
            "graph_info" => {}
            _ if key.ends_with(".info") || key.ends_with(".extinfo") => {}
            _ if key.contains('.') => drop(found.insert(format!("{graph} {key}"), value.trim().to_owned())),
            _ => drop(found.entry(format!("{graph} {key}")).or_insert_with(|| value.trim().to_owned())),
        }
    }
    found
}

fn compare_config(name: &str, theirs: &str, ours: &str, faults: &mut Vec<String>) {
    let (theirs, ours) = (understood(theirs), understood(ours));
    for key in theirs.keys().chain(ours.keys().filter(|key| !theirs.contains_key(*key))) {
        let (their, our) = (theirs.get(key), ours.get(key));
        if their != our {
            faults.push(format!("config {name}: {key} is {our:?}, not {their:?}"));
        }
    }
}

/// How many values were compared: each lies between two of the other's, or near them.
fn compare_values(name: &str, [before, ours, after]: [&str; 3], faults: &mut Vec<String>) -> usize {
    let number = |text: &BTreeMap<String, String>, key: &str| text.get(key).and_then(|value| value.parse::<f64>().ok());
    let (before, ours, after) = (understood(before), understood(ours), understood(after));
    let mut count = 0;
    for key in before.keys() {
        let (Some(low), Some(high)) = (number(&before, key), number(&after, key)) else { continue };
        let Some(value) = number(&ours, key) else {
            faults.push(format!("fetch {name}: {key} is {:?}, not {low}", ours.get(key)));
            continue;
        };
        count += 1;
        let (low, high) = (low.min(high), low.max(high));
        // A cycle and the three questions are some seconds; a busy host moves memory and processes meanwhile, and the readers of
        // the other node are processes themselves. Rates of disks are those of another span.
        let slack = (high.abs() * 0.15).max(match name {
            "processes" | "proc_pri" | "threads" | "cpu" => 1000.0,
            "memory" => 256.0 * 1024.0 * 1024.0,
            _ => 60.0,
        });
        if !name.starts_with("diskstat") && (value < low - slack || value > high + slack) {
            faults.push(format!("fetch {name}: {key} is {value}, not {low} to {high}"));
        }
    }
    count
}

#[test]
fn munin_node_configure_proposes_the_plugin_of_ours() {
    if !root().join("usr/sbin/munin-node-configure").exists() {
        return skip("there is no munin-node (package munin-node)");
    }
    let home = Home::new("configure", "[watchd]\ncycle = \"1s\"\n[process.web]\nrun = [\"/bin/sleep\", \"1000\"]\n");
    let mut daemon = home.start();
    daemon.wait_state("web", ServiceState::Ready);
    let contrib = Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib/munin");
    let conf = home.scratch.dir_of("conf", None);
    let plugin = home.scratch.dir_of("conf/lib", None).join("plugins/watchd_");
    home.scratch.dir_of("conf/lib/plugins", None);
    harness::copied(contrib.join("watchd_"), &plugin);
    home.scratch.dir_of("conf/plugins", None);
    home.scratch.dir_of("conf/plugin-conf.d", None);
    let user = if is_root() { "root" } else { "nobody" };
    let settings = format!(
        "[watchd_*]\nuser {user}\nenv.watchd {}\nenv.run_dir {}\n",
        crate::harness::binary().display(),
        home.run_dir().display()
    );
    fs::write(conf.join("plugin-conf.d/watchd"), settings).expect("a file can be written");
    fs::write(conf.join("munin-node.conf"), "host_name told.example\n").expect("a file can be written");
    let run = |more: &[&str]| {
        let mut command = script("munin-node-configure", &conf, &home.scratch.dir_of("memory", None));
        command.args(more);
        let output = command.output().expect("it can be run");
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
    };
    let suggested = run(&["--suggest"]);
    let line = suggested.lines().find(|line| line.starts_with("watchd_")).unwrap_or_else(|| panic!("{suggested}"));
    assert!(line.contains("| yes") && line.contains("services") && line.contains("self"), "{suggested}");
    let shell = run(&["--shell"]);
    let link = format!("ln -s '{}' '{}/watchd_services'", plugin.display(), conf.join("plugins").display());
    assert!(shell.contains(&link), "{shell}");
    symlink(&plugin, conf.join("plugins/watchd_services")).expect("a link can be made");
    for (words, expect) in
        [(&["watchd_services", "config"][..], "web.label web\n"), (&["watchd_services"], "web.value 1\n")]
    {
        let mut command = script("munin-run", &conf, &home.scratch.path("memory"));
        command.arg("--ignore-systemd-properties").args(words);
        let output = command.output().expect("it can be run");
        assert!(String::from_utf8_lossy(&output.stdout).contains(expect), "{words:?}: {output:?}");
    }
}

#[test]
fn the_links_that_are_proposed_are_those_of_munin_node_configure() {
    if !root().join("usr/sbin/munin-node-configure").exists() || !Path::new("/usr/share/munin/plugins").exists() {
        return skip("there is no munin-node (package munin-node)");
    }
    let home = Home::new("suggest", "[watchd]\ncycle = \"1s\"\n");
    let mut daemon = home.start();
    daemon.wait_for("two cycles", |snapshot| (snapshot.header.cycles > 2).then_some(()));
    let [conf, links] = ["conf", "conf/plugins"].map(|name| home.scratch.dir_of(name, None));
    home.scratch.dir_of("conf/plugin-conf.d", None);
    fs::write(conf.join("munin-node.conf"), "host_name told.example\n").expect("a file can be written");
    let mut command = script("munin-node-configure", &conf, &home.scratch.dir_of("memory", None));
    let theirs = command.arg("--shell").output().expect("it can be run");
    // A program that knows where the daemon's board is.
    let watchd = home.scratch.script(
        "asked",
        &format!("#!/bin/sh\nexec {} \"$@\" --run-dir {}\n", binary().display(), home.run_dir().display()),
    );
    let suggest = || {
        let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib/munin/suggest"));
        let output =
            command.env("WATCHD", &watchd).arg("/usr/share/munin/plugins").arg(&links).output().expect("it runs");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("it is text")
    };
    let proposed = |text: &str| -> Vec<String> {
        let mut lines: Vec<_> = text.lines().filter(|line| line.starts_with("ln -s ")).map(str::to_owned).collect();
        lines.sort_unstable();
        lines
    };
    let (ours, theirs) = (proposed(&suggest()), proposed(&String::from_utf8_lossy(&theirs.stdout)));
    let listed = crate::harness::until("a list", || {
        let mut asked = Command::new(&watchd);
        let mut child = asked.args(["munin", "--stdio"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().ok()?;
        std::io::Write::write_all(&mut child.stdin.take()?, b"cap multigraph\nlist\nquit\n").ok()?;
        String::from_utf8(child.wait_with_output().ok()?.stdout).ok()?.lines().nth(2).map(str::to_owned)
    });
    let is_ours = |line: &&String| {
        let name = line.trim_end_matches('\'').rsplit('/').next().unwrap_or_default();
        listed.split(' ').any(|listed| listed == name)
    };
    let (built_in, run): (Vec<_>, Vec<_>) = theirs.iter().partition(is_ours);
    assert!(built_in.len() > 15, "{theirs:?}");
    assert_eq!(ours.iter().collect::<Vec<_>>(), run);
    // A link that is there already is not proposed again.
    for line in &ours {
        let mut words = line.split('\'').filter(|word| word.starts_with('/'));
        symlink(words.next().expect("a file"), words.next().expect("a link")).expect("a link can be made");
    }
    assert_eq!(proposed(&suggest()), Vec::<String>::new());
    drop(daemon);
    let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib/munin/suggest"));
    let output = command.env("WATCHD", "/nonexistent").output().expect("it runs");
    assert!(
        output.status.code() == Some(1) && String::from_utf8_lossy(&output.stderr).contains("cannot ask watchd"),
        "{output:?}"
    );
}
