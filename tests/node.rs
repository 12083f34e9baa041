//! The Munin node of a real daemon: every way in, odd conversations over real sockets, and a munin-node's configuration taken over.

// A conversation has two sides: one thread writes while the other reads.
#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]

mod harness;

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv6Addr, Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use harness::{Home, net, until};

const BANNER: &str = "# munin node at node.example\n";
const UNKNOWN: &str = "# Unknown command. Try cap, list, nodes, config, fetch, version or quit\n";
const SERVICE: &str = "# Unknown service\n.\n";
const NODES: &str = "node.example\n.\n";

/// A daemon with these lines in its `[munin]`, and its port.
fn home(name: &str, more: &str) -> (Home, u16) {
    let port = net::free_port();
    let config = format!(
        "[watchd]\ncycle = \"1s\"\n[munin]\nlisten = [\"127.0.0.1:{port}\", \"[::1]:{port}\"]\nhost-name = \"node.example\"\n{more}"
    );
    (Home::new(name, &config), port)
}

fn connect(port: u16) -> TcpStream {
    connect_to(SocketAddr::from(([127, 0, 0, 1], port)))
}

fn connect_to(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("the node listens");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("it can be set");
    stream
}

/// To read from, to write to, and what says that nothing more comes.
type Ends = (Box<dyn Read>, Box<dyn Write + Send>, Box<dyn FnOnce() + Send>);

/// A way to the node.
#[derive(Clone, Debug)]
enum Way {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl Way {
    fn open(&self) -> Ends {
        match self {
            Self::Tcp(address) => {
                let stream = connect_to(*address);
                let (to, end) = (stream.try_clone().expect("it can be cloned"), stream.try_clone().expect("twice"));
                (Box::new(stream), Box::new(to), Box::new(move || drop(end.shutdown(Shutdown::Write))))
            }
            Self::Unix(path) => {
                let stream = UnixStream::connect(path).expect("the node listens");
                stream.set_read_timeout(Some(Duration::from_secs(30))).expect("it can be set");
                let (to, end) = (stream.try_clone().expect("it can be cloned"), stream.try_clone().expect("twice"));
                (Box::new(stream), Box::new(to), Box::new(move || drop(end.shutdown(Shutdown::Write))))
            }
        }
    }

    /// Says all of it, so long after each byte if that is told, then nothing more; gives what was answered.
    fn converse(&self, sent: &[u8], pause: Option<Duration>) -> String {
        let (from, mut to, end) = self.open();
        let sent = sent.to_vec();
        let writing = std::thread::spawn(move || {
            // A node that has closed takes no more.
            match pause {
                None => drop(to.write_all(&sent)),
                Some(pause) => sent.iter().for_each(|byte| {
                    let _ = to.write_all(&[*byte]);
                    std::thread::sleep(pause);
                }),
            }
            end();
        });
        let got = rest(from);
        writing.join().expect("it only writes");
        got
    }
}

/// Everything that comes until the other side closes; a reset ends it too.
fn rest(mut stream: impl Read) -> String {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn every_way_in_leads_to_the_same_node() {
    let (home, port) = home("ways", "socket = \"@/node.sock\"\nallow = ['^127\\.0\\.0\\.\\d$', \"::1\"]\n");
    let daemon = home.start();
    let said = |stream: &mut dyn Write| stream.write_all(b"nodes\nquit\n").expect("it takes a line");
    until("an answer", || (net::munin(port, "nodes") == NODES).then_some(()));
    let mut six = TcpStream::connect(format!("[::1]:{port}")).expect("it listens on IPv6");
    said(&mut six);
    assert_eq!(rest(six), format!("{BANNER}{NODES}"));
    let mut unix = UnixStream::connect(home.scratch.path("node.sock")).expect("it listens there");
    said(&mut unix);
    assert_eq!(rest(unix), format!("{BANNER}{NODES}"));
    // 127.0.0.1 is like the expression; with another one it is not, and ::1 is allowed still.
    let text = fs::read_to_string(home.scratch.path("watchd.toml")).expect("it was written");
    home.configure(&text.replace("^127\\.0\\.0\\.\\d$", "^127\\.0\\.1\\.\\d$"));
    until("the new list", || (!net::munin(port, "nodes").starts_with("node.example")).then_some(()));
    let mut six = TcpStream::connect(format!("[::1]:{port}")).expect("it listens on IPv6");
    said(&mut six);
    assert_eq!(rest(six), format!("{BANNER}{NODES}"), "{}", daemon.said());
    drop(daemon);
}

/// A connection that comes from another address of this host.
fn connect_from(source: [u8; 4], port: u16) -> TcpStream {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, connect, socket};
    use std::os::fd::AsRawFd;
    let socket =
        socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).expect("a socket can be made");
    let [a, b, c, d] = source;
    bind(socket.as_raw_fd(), &SockaddrIn::new(a, b, c, d, 0)).expect("all of 127 is this host");
    connect(socket.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, port)).expect("the node listens");
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("it can be set");
    stream
}

#[test]
fn who_is_not_on_the_list_hears_no_word() {
    let (home, port) = home("list", "allow = ['127.0.0.1', '127.3.0.0/16', '^127\\.9\\.0\\.\\d$']\n");
    let daemon = home.start();
    until("an answer", || (net::munin(port, "nodes") == NODES).then_some(()));
    for (source, is_heard) in [
        ([127, 0, 0, 1], true),
        ([127, 0, 0, 2], false),
        ([127, 3, 0, 1], true),
        ([127, 3, 255, 254], true),
        ([127, 4, 0, 1], false),
        ([127, 9, 0, 7], true),
        ([127, 9, 0, 77], false),
        ([127, 9, 1, 7], false),
        ([127, 190, 0, 7], false),
    ] {
        let mut stream = connect_from(source, port);
        // Who is refused may be gone before he has said anything.
        let _ = stream.write_all(b"nodes\nquit\n");
        let expect = if is_heard { format!("{BANNER}{NODES}") } else { String::new() };
        assert_eq!(rest(stream), expect, "{source:?}\n{}", daemon.said());
    }
    let mut six = TcpStream::connect(format!("[::1]:{port}")).expect("it listens on IPv6");
    let _ = six.write_all(b"nodes\nquit\n");
    assert_eq!(rest(six), "", "::1 is not on the list");
}

/// What is sent, and what the answer ends with.
fn conversations() -> Vec<(Vec<u8>, String)> {
    let rows: &[(&[u8], &str)] = &[
        (b"", ""),
        (b"\n", UNKNOWN),
        (b"\n\n\n", UNKNOWN),
        (b"\r\n", UNKNOWN),
        (b"\0\n", UNKNOWN),
        (b"\0\0\0nodes\n", UNKNOWN),
        (b"nodes", NODES),
        (b"nodes\r\n", NODES),
        (b"NODES\n", NODES),
        (b" nodes\n", UNKNOWN),
        (b"\tnodes\n", UNKNOWN),
        (b"nodes\0\n", NODES),
        (b"help\n", UNKNOWN),
        (b"?\n", UNKNOWN),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", UNKNOWN),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\n", UNKNOWN),
        (b"SSH-2.0-x\r\n", UNKNOWN),
        (b"starttls\n", UNKNOWN),
        (b"\xff\xfe\xfd\n", UNKNOWN),
        (b"fetch\n", SERVICE),
        (b"fetch \n", SERVICE),
        (b"config\n", SERVICE),
        (b"fetch ..\n", SERVICE),
        (b"fetch .\n", SERVICE),
        (b"fetch /\n", SERVICE),
        (b"fetch ../../../../etc/passwd\n", SERVICE),
        (b"config ../load\n", SERVICE),
        (b"fetch load/../load\n", SERVICE),
        (b"fetch load\0.txt\n", SERVICE),
        (b"fetch %2e%2e%2fload\n", SERVICE),
        (b"fetch $(reboot)\n", SERVICE),
        (b"fetch `id`\n", SERVICE),
        (b"fetch load;id\n", SERVICE),
        (b"fetch | id\n", SERVICE),
        (b"config if_\n", SERVICE),
        (b"config if_err_\n", SERVICE),
        (b"config %s%s%n\n", SERVICE),
        (b"list nosuch\n", "\n"),
        (b"list ../..\n", "\n"),
        (b"cap\n", "cap multigraph dirtyconfig\n"),
        (b"cap multigraph multigraph multigraph\n", "cap multigraph dirtyconfig\n"),
        (b"nodes\nnodes\nfetch nosuch\nnodes\n", NODES),
        (b"quit\nnodes\n", BANNER),
        (b".\n", BANNER),
        (b"...\n", BANNER),
        (b"quit\rnodes\n", BANNER),
        (b"nodes\rnodes\n", NODES),
        (b"\rnodes\n", UNKNOWN),
        (b"STARTTLS\n", UNKNOWN),
        (b"spoolfetch 0\n", UNKNOWN),
        (b"cap multigraph\0dirtyconfig\n", "cap multigraph dirtyconfig\n"),
        (b"config load\x1b[2J\n", SERVICE),
        (b"fetch \xe2\x80\xaeload\n", SERVICE),
        (b"fetch \xc0\xafload\n", SERVICE),
        (b"fetch ./load\n", SERVICE),
        (b"fetch //load\n", SERVICE),
        (b"fetch load/\n", SERVICE),
        (b"fetch ~root/load\n", SERVICE),
        (b"fetch C:\\load\n", SERVICE),
        (b"fetch load%00\n", SERVICE),
        (b"fetch *\n", SERVICE),
        (b"fetch -load\n", SERVICE),
        (b"fetch load config\nnodes\n", NODES),
        (b"version\n", concat!("version: watchd ", env!("CARGO_PKG_VERSION"), "\n")),
    ];
    let mut all: Vec<_> = rows.iter().map(|(sent, end)| (sent.to_vec(), (*end).to_owned())).collect();
    all.push((vec![b'x'; 1 << 20], UNKNOWN.to_owned()));
    all.push(([vec![b'a'; 1 << 20], b"\nnodes\n".to_vec()].concat(), NODES.to_owned()));
    all.push(([b"fetch ".to_vec(), vec![b'.'; 100_000], b"\n".to_vec()].concat(), UNKNOWN.to_owned()));
    all.push((b"nodes\n".repeat(5000), NODES.to_owned()));
    all
}

#[test]
fn odd_conversations_get_a_sane_answer_or_a_clean_end() {
    let (home, port) = home("odd", "socket = \"@/node.sock\"\n");
    let mut daemon = home.start();
    until("an answer", || (net::munin(port, "nodes") == NODES).then_some(()));
    let conversations = conversations();
    assert!(conversations.len() > 60);
    let ways = [
        Way::Tcp(SocketAddr::from(([127, 0, 0, 1], port))),
        Way::Tcp(SocketAddr::from((Ipv6Addr::LOCALHOST, port))),
        Way::Unix(home.scratch.path("node.sock")),
    ];
    // A byte a second, beside all the others.
    let slow = ways
        .clone()
        .map(|way| std::thread::spawn(move || (way.converse(b"nodes\nquit\n", Some(Duration::from_secs(1))), way)));
    for (sent, end) in &conversations {
        for way in &ways {
            let got = way.converse(sent, None);
            let what = String::from_utf8_lossy(&sent[..sent.len().min(40)]).into_owned();
            let tail = &got[got.len().saturating_sub(300)..];
            assert!(got.starts_with(BANNER) && got.ends_with(end.as_str()), "{way:?} {what:?}: …{tail:?}");
        }
    }
    for slow in slow {
        let (got, way) = slow.join().expect("it only talks");
        assert_eq!(got, format!("{BANNER}{NODES}"), "{way:?}");
    }
    // Three hundred at once, some of whom say half a line; then who says a byte at a time is still heard.
    let crowd: Vec<_> = (0..300).map(|_| connect(port)).collect();
    for (number, mut stream) in crowd.iter().enumerate() {
        let _ = stream.write_all(if number % 2 == 0 { b"fet" } else { b"fetch nosuch\n" });
    }
    let mut slow = connect(port);
    for byte in b"nodes\nquit\n" {
        slow.write_all(&[*byte]).expect("it is listened to");
    }
    assert_eq!(rest(slow), format!("{BANNER}{NODES}"));
    drop(crowd);
    assert_eq!(net::munin(port, "nodes"), NODES);
    let door = daemon.wait_for("the door", |snapshot| Some(snapshot.header.door_pid).filter(|pid| *pid != 0));
    let status = fs::read_to_string(format!("/proc/{door}/status")).expect("the door is there");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("the kernel tells");
    let kib: u64 = peak.trim().trim_end_matches(" kB").trim().parse().expect("it is a number");
    // The program under test is larger than the one that is shipped, whose peak `tests/budget.rs` looks after.
    assert!(kib < if harness::is_release() { 1800 } else { 40_000 }, "{kib} KiB");
}

/// A plugin that is run: a name, what it says when it is asked for its configuration, and otherwise.
fn plugin(home: &Home, name: &str, config: &str, fetch: &str) {
    let text = format!("#!/bin/sh\n[ \"$1\" = config ] && {{ printf '{config}'; exit; }}\nprintf '{fetch}'\n");
    let path = home.scratch.dir_of("plugins", None).join(name);
    harness::script(&path, &text);
}

#[test]
fn a_master_may_ask_for_all_that_it_missed() {
    let (home, port) = home("spool", "spool = true\nplugins = \"@/plugins\"\n");
    plugin(&home, "dirty.x", "a.label a\\na.value 5\\n", "");
    plugin(&home, "plain", "a.label a\\n", "a.value 6\\n");
    plugin(&home, "many", "multigraph many_one\\na.label a\\n", "multigraph many_one\\na.value 1767222300:7\\n");
    plugin(&home, "mute", "", "");
    plugin(&home, "stuck", "a.label a\\n", "a.value 6\\n\"; kill -9 $$ #");
    let mut daemon = home.start();
    daemon.wait_for("two cycles", |snapshot| (snapshot.header.cycles > 2).then_some(()));
    let cap = "cap multigraph dirtyconfig spool\n";
    assert_eq!(until("an answer", || Some(net::munin(port, "cap")).filter(|said| said == cap)), cap);
    let told = net::munin(port, "cap multigraph dirtyconfig\nspoolfetch 0\nnodes");
    let whole = told.strip_prefix(cap).and_then(|told| told.strip_suffix(&format!(".\n{NODES}")));
    let whole = whole.unwrap_or_else(|| panic!("the answer ends once: {told}"));
    assert!(!whole.lines().any(|line| line == "."), "{whole}");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("it is later").as_secs();
    let graphs: Vec<&str> = whole.split("multigraph ").skip(1).collect();
    let graph = |name: &str| {
        let found = graphs.iter().filter(|graph| graph.lines().next() == Some(name));
        found.copied().collect::<Vec<_>>().concat()
    };
    for (name, lines) in [
        ("dirty_x", &["a.label a", "a.value 5"][..]),
        ("plain", &["a.label a", "a.value 6"]),
        ("many_one", &["a.label a", "a.value 1767222300:7"]),
        ("load", &["graph_title Load average", "load.label load"]),
        ("netstat", &["active.label active"]),
    ] {
        let found = graph(name);
        assert!(
            lines.iter().all(|line| found.lines().any(|found| found == *line)),
            "{name}: {found}\n{}",
            daemon.said()
        );
    }
    assert!(!whole.contains("multigraph mute") && graph("cpu").contains("idle.type DERIVE"), "{whole}");
    let times = |text: &str, start: &str| -> Vec<u64> {
        let values = text.lines().filter_map(|line| line.strip_prefix(start)?.split_once(':'));
        values.map(|(at, _)| at.parse().expect("seconds")).collect()
    };
    for (graph, field) in
        [(graph("load"), "load.value "), (graph("cpu"), "idle.value "), (graph("uptime"), "uptime.value ")]
    {
        let times = times(&graph, field);
        assert!(
            !times.is_empty() && times.is_sorted() && times.iter().all(|at| now - 120 < *at && *at <= now),
            "{graph}"
        );
    }
    // One plugin alone has its time as well, for who takes values with the configuration; others get what munin-node says.
    let told = net::munin(port, "cap dirtyconfig\nconfig load");
    assert_eq!(times(&told, "load.value ").len(), 1, "{told}");
    assert!(!net::munin(port, "fetch load").contains(':'), "a plain value");
    let stdio = |words: &str| {
        let mut command = home.command(&["munin", "--stdio"]);
        command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
        let mut child = command.spawn().expect("it can be run");
        child.stdin.take().expect("it is piped").write_all(words.as_bytes()).expect("it takes lines");
        String::from_utf8(child.wait_with_output().expect("it ends").stdout).expect("it is text")
    };
    let told = stdio("cap\nspoolfetch 0\nquit\n");
    assert!(told.contains(cap) && told.contains("\nmultigraph load\n") && told.ends_with("\n.\n"), "{told}");
    // What is no time is no command; who hangs up meanwhile or does not read disturbs nobody.
    for line in [
        "spoolfetch",
        "spoolfetch x",
        "spoolfetch -1",
        "spoolfetch 1 2",
        "SPOOLFETCH 0",
        "spoolfetch 99999999999999999999",
    ] {
        assert_eq!(net::munin(port, line), UNKNOWN, "{line}");
    }
    let door = |daemon: &mut harness::Daemon<'_>| {
        daemon.wait_for("the door", |snapshot| Some(snapshot.header.door_pid).filter(|pid| *pid != 0))
    };
    let before = door(&mut daemon);
    let crowd: Vec<_> = (0..100)
        .map(|_| {
            let mut stream = connect(port);
            stream.write_all(&b"spoolfetch 0\n".repeat(70)).expect("it takes lines");
            stream
        })
        .collect();
    assert_eq!(net::munin(port, "nodes"), NODES);
    drop(crowd);
    assert_eq!(door(&mut daemon), before, "it turned all the time:\n{}", daemon.said());
    let mut half = connect(port);
    half.write_all(b"spoolfetch 0").expect("it takes a line");
    half.shutdown(Shutdown::Write).expect("it can be closed");
    assert!(rest(half).ends_with("\n.\n"), "a last line without an end is answered");
    assert_eq!(
        net::munin(port, &format!("spoolfetch {}\nnodes", u64::MAX)).lines().filter(|line| *line == ".").count(),
        2
    );
    // A spool has no place for another host's plugins.
    plugin(&home, "moved", "host_name other.example\\na.label a\\n", "");
    daemon.signal(nix::sys::signal::Signal::SIGHUP);
    let cap = "cap multigraph dirtyconfig\n";
    until("the new plugin", || (net::munin(port, "cap") == cap).then_some(()));
    assert_eq!(net::munin(port, "spoolfetch 0"), UNKNOWN);
}

#[test]
fn watched_services_have_the_graphs_of_ps_and_proc() {
    let more = "plugins = \"@/plugins\"\n[process.web]\nrun = [\"/bin/sleep\", \"1000\"]\n[process.db]\nrun = [\"/bin/sleep\", \"1001\"]\n";
    let (home, port) = home("ps", more);
    plugin(&home, "ps_db", "count.label mine\\n", "count.value 77\\n");
    let daemon = home.start();
    until("a count", || (net::munin(port, "fetch ps_web") == "count.value 1\n.\n").then_some(()));
    let told = net::munin(port, "config ps_web");
    for line in [
        "graph_title Number of web processes",
        "graph_args --base 1000 --vertical-label processes -l 0",
        "graph_category processes",
        "count.label web",
    ] {
        assert!(told.lines().any(|told| told == line), "{line} in {told}");
    }
    let told = net::munin(port, "cap multigraph dirtyconfig\nconfig proc");
    for line in [
        "multigraph proc_cpu",
        "web.type DERIVE",
        "multigraph proc_memory",
        "multigraph proc_threads",
        "multigraph proc_processes",
        "db.label db",
        "web.draw LINE2",
        "web.value 1",
    ] {
        assert!(told.lines().any(|told| told == line), "{line} in {told}\n{}", daemon.said());
    }
    // Who has a plugin of that name means his own.
    let listed = net::munin(port, "cap multigraph\nlist");
    for name in ["ps_web", "ps_db", "proc"] {
        assert_eq!(listed.split_whitespace().filter(|listed| *listed == name).count(), 1, "{name} in {listed}");
    }
    assert_eq!(net::munin(port, "fetch ps_db"), "count.value 77\n.\n");
    for name in ["ps_", "ps_nosuch", "ps_web.x", "proc_cpu"] {
        assert_eq!(net::munin(port, &format!("fetch {name}")), SERVICE, "{name}");
    }
}

fn imported(home: &Home, dir: &std::path::Path) -> String {
    let output = home.watchd(&["import", "munin-node", &dir.to_string_lossy()]);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("it is text")
}

#[test]
fn the_configuration_of_a_munin_node_is_taken_over() {
    let home = Home::new("import", "[watchd]\n");
    let dir = home.scratch.dir_of("etc", None);
    for folder in ["etc/plugins", "etc/plugin-conf.d"] {
        home.scratch.dir_of(folder, None);
    }
    for name in ["cpu", "if_eth0", "mine_", "munin_stats"] {
        home.scratch.write(&format!("etc/plugins/{name}"), "#!/bin/sh\n");
    }
    let conf = "host_name web.example\nallow ^127\\.0\\.0\\.1$\nallow ^10\\.\\d+\\.0\\.1$\ncidr_allow 192.0.2.0/24\nhost *\n\
                port 4999\ntls enabled\ndeny ^9\\.\n";
    home.scratch.write("etc/munin-node.conf", conf);
    let output = home.watchd(&["import", "munin-node", &dir.to_string_lossy()]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{output:?}");
    for line in [
        "listen = ['0.0.0.0:4999', '[::]:4999']",
        "host-name = 'web.example'",
        "# allow = ['127.0.0.1', '^10\\.\\d+\\.0\\.1$', '192.0.2.0/24']",
        "# Plugins that watchd has itself: cpu if_eth0",
        "# Plugins that are run from there: mine_ munin_stats",
        "#   line 7: tls enabled: there is no TLS; use ssh or stunnel",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
    }
    assert!(text.contains("#   line 8: deny "), "{text}");
    let written = home.scratch.write("made.toml", &text);
    let (code, _) = home.ask(&["check", &written.to_string_lossy()]);
    assert_eq!(code, 0, "what is written can be used");
    // Without a list of who may not, the list of who may is taken as it is.
    home.scratch.write("etc/munin-node.conf", &conf.replace("deny ^9\\.\n", ""));
    let text = imported(&home, &dir);
    assert!(text.contains("\nallow = ['127.0.0.1', "), "{text}");
    // Nothing that a file or a name says becomes a line of its own, or reaches the terminal as it is.
    let dir = home.scratch.dir_of("od'd\n[http]\nx = '", None);
    home.scratch.dir_of("od'd\n[http]\nx = '/plugins", None);
    fs::write(dir.join("plugins/x\n[http]\nlisten = []\u{1b}[31m"), "#!/bin/sh\n").expect("a file can be written");
    let evil = [
        "allow ^a'\\]\rplugins = '/evil'".to_owned(),
        "allow ^\u{1b}[31m$\nhost_name a'\nhost_name \\\nhost_name ..\0".to_owned(),
        "tls '\u{7}\u{202e}\n[http]\nlisten = ['0.0.0.0:1']\n\0\0\n".to_owned(),
        format!("allow {}\nhost {}\n", "(".repeat(10_000), "9".repeat(100_000)),
        format!("port 99999\nport -1\nport 1e3\ncidr_allow ::/129\ncidr_allow 1.2.3.4/\n{}", "x".repeat(300_000)),
    ];
    fs::write(dir.join("munin-node.conf"), evil.join("\n")).expect("a file can be written");
    let text = imported(&home, &dir);
    assert!(!text.contains(|letter: char| letter != '\n' && letter.is_control()), "{text:?}");
    let keys: Vec<&str> = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    assert_eq!(keys, ["[munin]", "listen = ['0.0.0.0:4949', '[::]:4949']"], "{text}");
    fs::write(dir.join("munin-node.conf"), vec![0xff; 2 << 20]).expect("a file can be written");
    let refused = home.watchd(&["import", "munin-node", &dir.to_string_lossy()]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(1) && said.contains("no file of at most a megabyte"), "{said}");
    for (words, code) in [(&["import", "munin-node", "/nowhere"][..], 1), (&["import"], 2), (&["import", "nagios"], 2)]
    {
        assert_eq!(home.watchd(words).status.code(), Some(code), "{words:?}");
    }
}

/// A root whose processes are this host's, with a chip of its own; gives the daemon's command for it.
fn chip(home: &Home, files: &[(&str, &str)]) -> std::process::Command {
    let chip = home.scratch.dir_of("root/sys/class/hwmon/hwmon3", None);
    fs::create_dir_all(&chip).expect("a directory can be made");
    std::os::unix::fs::symlink("/proc", home.scratch.path("root/proc")).expect("a link can be made");
    for (name, text) in files {
        fs::write(chip.join(name), text).expect("a file can be written");
    }
    home.command(&["run", "--root", &home.scratch.text("root")])
}

#[test]
fn chips_are_read_beside_the_loop_and_who_has_munins_plugin_keeps_it() {
    let (home, port) = home("chips", "plugins = \"@/plugins\"\nplugin-conf = \"@/conf\"\n");
    plugin(&home, "sensors_volt", "volt1.label mine\\n", "volt1.value 77\\n");
    let conf = "[sensors_*]\nenv.ignore_temp2\nenv.fan_warn_percent 50\nenv.warning 3\n";
    fs::write(home.scratch.dir_of("conf", None).join("all"), conf).expect("a file can be written");
    let command = chip(
        &home,
        &[
            ("name", "odd\n"),
            ("temp1_input", "52049\n"),
            ("temp1_label", "Package id 0\n"),
            ("temp1_max", "82000\n"),
            ("temp1_crit", "100000\n"),
            ("temp2_input", "-3000\n"),
            ("temp3_input", "broken\n"),
            ("fan1_input", "900\n"),
            ("fan1_min", "301\n"),
            ("in0_input", "888\n"),
        ],
    );
    let daemon = home.spawn_as(command);
    let ask = |line: &str| net::munin(port, line);
    let told = until("a temperature", || Some(ask("fetch sensors_temp")).filter(|told| told.contains(".value ")));
    assert_eq!(told, "temp1.value 52.0\ntemp2.value -3.0\n.\n", "{}", daemon.said());
    let head =
        "graph_title Temperatures\ngraph_vlabel degrees Celsius\ngraph_args --base 1000 -l 0\ngraph_category sensors\n";
    let fields =
        "temp1.label Package id 0\ntemp1.warning 82.0\ntemp1.critical 100.0\ntemp2.label temp2\ntemp2.graph no\n.\n";
    assert_eq!(ask("config sensors_temp"), format!("{head}{fields}"));
    assert!(ask("config sensors_fan").ends_with("fan1.label fan1\nfan1.warning 451:\nfan1.critical 301:\n.\n"));
    assert_eq!(ask("fetch sensors_fan"), "fan1.value 900\n.\n");
    assert_eq!(ask("fetch sensors_volt"), "volt1.value 77\n.\n");
    let listed = ask("list");
    for (name, count) in
        [("sensors_temp", 1), ("sensors_fan", 1), ("sensors_volt", 1), ("sensors_power", 0), ("acpi", 0)]
    {
        assert_eq!(listed.split_whitespace().filter(|listed| *listed == name).count(), count, "{name} in {listed}");
    }
    for name in ["sensors_", "sensors_temp1", "sensors_power", "sensors_../temp"] {
        assert_eq!(ask(&format!("fetch {name}")), SERVICE, "{name}");
    }
    let has_table = fs::read("/proc/net/nf_conntrack").is_ok();
    assert_eq!(listed.split_whitespace().any(|name| name == "fw_conntrack"), has_table, "{listed}");
    assert_eq!(ask("fetch fw_conntrack").contains("total.value "), has_table);
    if has_table {
        let most = fs::read_to_string("/proc/sys/net/nf_conntrack_max").expect("there is a limit");
        let most: u64 = most.trim().parse().expect("a number");
        assert!(ask("config fw_conntrack").contains(&format!("total.critical {}", most * 9 / 10)));
    }
}
