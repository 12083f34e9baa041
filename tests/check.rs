//! What `watchd check` refuses: each bad policy with the place and the remedy it has to name.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};

use watchd::engine::policy::{Loaded, load, load_text};
use watchd::model::Places;
use watchd_probes::inventory::Inventory;

fn inventory() -> Inventory {
    Inventory { distribution: "debian".into(), release: "12".into(), cpus: 2, ..Inventory::default() }
}

fn read(text: &str) -> Loaded {
    load_text("t", text, &inventory())
}

/// Text, `line:column: key` of a fault, and a part of what it says.
type Bad = (&'static str, &'static str, &'static str);

/// The TOML itself and the tables.
const TABLES: &[Bad] = &[
    ("cycle = \"1s\"", "1:1: cycle", "move it below [watchd]"),
    ("nonsense = 1", "1:1: nonsense", "valid are watchd, munin"),
    ("[proces.web]", "1:2: proces", "the nearest is `process`"),
    ("[Watchd]", "1:2: Watchd", "the nearest is `watchd`"),
    ("[watchd", "1:8: toml", "correct the TOML here"),
    ("[watchd]\ncycle = 10s", "2:9: toml", ": `10s`; correct the TOML here"),
    ("[watchd]\ncycle = \"10s", "2:13: toml", "correct the TOML here"),
    ("[watchd]\ncycle = \"1s\"\ncycle = \"2s\"", "3:1: toml", "keep one of the two"),
    ("[watchd]\n[watchd]", "2:2: toml", "keep one of the two"),
    ("[process.web]\nrun = [\"/a\"\n[http]\nx = {", "3:1: toml", "correct the TOML here"),
    ("watchd = 3", "1:10: watchd", "expected a table, found the integer `3`; "),
    ("process = \"x\"", "1:11: process", "write [process.NAME]"),
    ("[process]\nrun = [\"/bin/true\"]", "2:7: process.run", "write [process.NAME]"),
    ("[[process.web]]\nrun = [\"/bin/true\"]", "1:1: process.web", "expected a table, found a list"),
    ("[munin]\nlisten = []", "2:10: munin.listen", "put something into it"),
    ("[learn]\nquantities = [\"load.fife\"]", "2:14: learn.quantities", "the nearest is `load.five`"),
    ("[learn]\nquantities = [\"filesystem.avail\"]", "2:14: learn.quantities", "`filesystem.avail:/`"),
    ("[learn]\nquantities = [\"load.one:x\"]", "2:14: learn.quantities", "write `load.one`"),
    ("[learn]\nquantities = [\"usual\", \"load.one\"]", "2:14: learn.quantities", "take it out"),
    ("[learn]\nquantities = \"load.one\"", "2:14: learn.quantities", "in square brackets"),
    ("[learn]\nafter = \"1h\"", "2:9: learn.after", "from 1d to 90d"),
    ("[watchd]\nlearn = false\n[learn]\nafter = \"7d\"", "3:2: learn", "take one of them out"),
    ("[watchd]\nlearn = \"no\"", "2:9: watchd.learn", "true or false"),
    ("[munin]\nlearn-limits = 1", "2:16: munin.learn-limits", "true or false"),
    ("[munin]\nspool = \"yes\"", "2:9: munin.spool", "true or false"),
    ("[munin]\nport = 4949", "2:1: munin.port", "unknown key"),
    ("[munin]\nplugins = \"plugins\"", "2:11: munin.plugins", "`plugins` is not an absolute path"),
    ("[munin]\nplugin-conf = \"/tmp\"", "2:15: munin.plugin-conf", "can write to /tmp; chown it to root"),
    ("[munin]\nsocket = \"x\"", "2:10: munin.socket", "`x` is not an absolute path"),
    ("[munin]\nallow = ['^(']", "2:10: munin.allow[1]", "a network"),
    ("[munin]\nplugin-state = 7", "2:16: munin.plugin-state", "found the integer"),
    ("[munin]\nlisten = \"127.0.0.1:4949\"", "2:10: munin.listen", "in square brackets"),
    ("[munin]\nlisten = [\"localhost:4949\"]", "2:11: munin.listen[1]", "write it in numbers"),
    ("[munin]\nlisten = [\"127.0.0.1\"]", "2:11: munin.listen[1]", "an address with a port"),
    ("[munin]\nlisten = [\"127.0.0.1:99999\"]", "2:11: munin.listen[1]", "an address with a port"),
    ("[munin]\nlisten = [\"127.0.0.1:0\"]", "2:10: munin.listen", "a port from 1 to 65535"),
    ("[munin]\nlisten = [\"0.0.0.0:1\", 7]", "2:24: munin.listen[2]", "found the integer"),
    ("[munin]\nallow = [\"10.0.0.0/33\"]", "2:10: munin.allow[1]", "a network"),
    ("[munin]\nallow = [\"10.1.2.3/8\"]", "2:10: munin.allow[1]", "nothing set behind its length"),
    ("[munin]\nallow = [\"example.org\"]", "2:10: munin.allow[1]", "write it in numbers"),
    ("[munin]\nhost-name = \"a b\"", "2:13: munin.host-name", "letters, digits"),
    ("[munin]\nhost_name = \"a\"", "2:1: munin.host_name", "the nearest is `host-name`"),
    ("[http]\nlisten = [\"127.0.0.1:80\", \"127.0.0.1:80\"]", "2:10: http.listen", "give each listener its own"),
    ("[munin]\n[http]\nlisten = [\"127.0.0.1:4949\"]", "3:10: http.listen", "127.0.0.1:4949 is taken twice"),
    ("[http]\nallow = [\"::1\"]", "2:1: http.allow", "valid are listen"),
    ("[watchd]\ncycle = 10", "2:9: watchd.cycle", "found the integer `10`; write a number and ms, s, m, h or d"),
    ("[watchd]\ncycle = \"10\"", "2:9: watchd.cycle", "`10` is not a time"),
    ("[watchd]\ncycle = \"1.5s\"", "2:9: watchd.cycle", "`1.5s` is not a time"),
    ("[watchd]\ncycle = \"5ms\"", "2:9: watchd.cycle", "write a time from 10ms to 1h"),
    ("[watchd]\ncycle = \"2h\"", "2:9: watchd.cycle", "write a time from 10ms to 1h"),
    ("[watchd]\ncycle = true", "2:9: watchd.cycle", "found the boolean `true`; "),
    ("[watchd]\ncycle = 2026-01-01", "2:9: watchd.cycle", "found the date `2026-01-01`; "),
    ("[watchd]\ncycle = 1.5", "2:9: watchd.cycle", "found the float `1.5`; "),
    ("[watchd]\nmemory = \"lock\"", "2:10: watchd.memory", "\"lock\" is not in this version"),
    ("[watchd]\ncgroup = \"no\"", "2:10: watchd.cgroup", "true or false"),
    ("[watchd]\nuser = \"\"", "2:8: watchd.user", "an account or group name"),
    ("[watchd]\nuser = 0", "2:8: watchd.user", "found the integer"),
    (
        "[watchd]\ncontrol-group = \"no-such-group\"",
        "2:17: watchd.control-group",
        "cannot find group 'no-such-group' in /etc/group; make the group",
    ),
    ("[watchd]\ncontrol-group = 7", "2:17: watchd.control-group", "found the integer"),
    ("[watchd]\nwatchdog-device = \"watchdog\"", "2:19: watchd.watchdog-device", "`watchdog` is not an absolute path"),
    ("[watchd]\ncapabilities = \"none\"", "2:16: watchd.capabilities", "\"auto\" or \"all\""),
    ("[watchd]\ncycel = \"1s\"", "2:1: watchd.cycel", "the nearest is `cycle`"),
    ("[watchd]\ninclude = [\"a\"]", "2:11: watchd.include", "found the list `[\"a\"]`; "),
    ("é = \"1\"", "1:1: toml", "correct the TOML here"),
];

/// Processes.
const PROCESSES: &[Bad] = &[
    ("[process.web]", "1:10: process.web", "has none of `run`, `pidfile` and `match`"),
    ("[process.web]\nrun = [\"/a\"]\npidfile = \"/b\"", "3:11: process.web.pidfile", "stands beside `run`"),
    ("[process.web]\npidfile = \"/b\"\nmatch = \"c\"", "3:9: process.web.match", "keep one of run, pidfile and match"),
    ("[process.web]\nrun = [\"/a\"]\numask = 22", "3:9: process.web.umask", "write it in octal"),
    ("[process.web]\nrun = [\"/a\"]\numask = \"99\"", "3:9: process.web.umask", "`99` is not a umask"),
    ("[process.web]\nrun = [\"/a\"]\nnice = 20", "3:8: process.web.nice", "write a number from -20 to 19"),
    ("[process.web]\nrun = [\"/a\"]\nnice = \"5\"", "3:8: process.web.nice", "found the string `\"5\"`; "),
    ("[process.web]\nrun = [\"/a\"]\nionice = \"fast\"", "3:10: process.web.ionice", "best-effort:4"),
    ("[process.web]\nrun = [\"/a\"]\noom-score-adj = -1001", "3:17: process.web.oom-score-adj", "from -1000 to 1000"),
    ("[process.web]\nrun = [\"/a\"]\nchroot = \"jail\"", "3:10: process.web.chroot", "absolute path"),
    ("[process.web]\nrun = [\"/a\"]\nenv-file = \"x\"", "3:12: process.web.env-file", "with - before it"),
    (
        "[process.web]\nrun = [\"/a\"]\nrlimits = { nofiles = 1 }",
        "3:23: process.web.rlimits.nofiles",
        "nearest is `nofile`",
    ),
    (
        "[process.web]\nrun = [\"/a\"]\nrlimits = { as = \"1X\" }",
        "3:18: process.web.rlimits.as",
        "`1X` is not an amount",
    ),
    ("[process.web]\nrun = [\"/a\"]\nrlimits = { core = -1 }", "3:20: process.web.rlimits.core", "-1 is out of range"),
    ("[process.web]\nrun = [\"/a\"]\nrlimits = 3", "3:11: process.web.rlimits", "write it like { nofile = 4096"),
    ("[process.web]\nrun = [\"/a\"]\noutput = \"syslogd\"", "3:10: process.web.output", "`syslogd` is no output"),
    ("[process.web]\nrun = [\"/a\"]\noutput = 1", "3:10: process.web.output", "write \"null\", \"inherit\""),
    ("[process.web]\nrun = [\"/a\"]\noutput = { max = \"1M\" }", "3:10: process.web.output", "`file` is missing"),
    ("[process.web]\nrun = [\"/a\"]\noutput = { file = \"x\" }", "3:19: process.web.output.file", "absolute path"),
    (
        "[process.web]\nrun = [\"/a\"]\noutput = { file = \"/x\", max = \"1K\" }",
        "3:31: process.web.output.max",
        "from \"64K\"",
    ),
    (
        "[process.web]\nrun = [\"/a\"]\noutput = { file = \"/x\", keep = 100 }",
        "3:32: process.web.output.keep",
        "from 0 to 99",
    ),
    ("[process.web]\npidfile = \"/b\"\noutput = \"null\"", "3:10: process.web.output", "of no use without `run`"),
    ("[process.web]\npidfile = \"/b\"\nnice = 3", "3:8: process.web.nice", "nothing is started"),
    ("[process.web]\nrun = [\"/a\"]\nstart = [\"/b\"]", "3:9: process.web.start", "take one of them out"),
    ("[process.web]\nrun = []", "2:7: process.web.run", "the list is empty"),
    ("[process.web]\nrun = [\"nginx\"]", "2:8: process.web.run[1]", "write the whole path of the program"),
    ("[process.web]\nrun = [\"./nginx\"]", "2:8: process.web.run[1]", "`./nginx` is not an absolute path"),
    ("[process.web]\nrun = [\"\"]", "2:8: process.web.run[1]", "is not an absolute path"),
    ("[process.web]\nrun = [\"/a\", 7]", "2:14: process.web.run[2]", "expected an argument, found the integer"),
    ("[process.web]\nrun = [[\"/a\"]]", "2:8: process.web.run[1]", "found the list `[\"/a\"]`; "),
    ("[process.web]\nrun = [\"/a\\u0000\"]", "2:8: process.web.run[1]", "has a NUL in it"),
    ("[process.web]\nrun = [\"/a\", \"b\\u0000\"]", "2:14: process.web.run[2]", "has a NUL in it"),
    ("[process.web]\nrun = \"\"", "2:7: process.web.run", "with something in it"),
    ("[process.web]\nrun = \"  \"", "2:7: process.web.run", "with something in it"),
    ("[process.web]\nrun = 7", "2:7: process.web.run", "a list of the program and its arguments"),
    ("[process.web]\nrun = { a = 1 }", "2:7: process.web.run", "found the table `{ a = 1 }`; "),
    ("[process.web]\nrnu = [\"/a\"]", "2:1: process.web.rnu", "the nearest is `run`"),
    ("[process.web]\npidfile = \"run/x.pid\"", "2:11: process.web.pidfile", "the whole path, beginning with /"),
    ("[process.web]\nmatch = 3", "2:9: process.web.match", "expected a program name"),
    ("[process.web]\nmatch = \"\"", "2:9: process.web.match", "with something in it"),
    ("[process.web]\nmatch = { user = \"root\" }", "2:9: process.web.match", "`name` is missing"),
    ("[process.web]\nmatch = { name = \"x\", usr = \"root\" }", "2:23: process.web.match.usr", "the nearest is `user`"),
    ("[process.w]\nregex = '('", "2:9: process.w.regex", "every ( and [ closed"),
    ("[process.w]\nmatch = { regex = 7 }", "2:19: process.w.match.regex", "found the integer"),
    ("[process.w]\nregex = 'x'\nmatch = \"y\"", "2:9: process.w.regex", "stands beside `match`"),
    ("[process.w]\ncount = 2", "1:10: process.w", "does not say which processes"),
    ("[process.w]\nmatch = \"x\"\ncount = \"8..2\"", "3:9: process.w.count", "`8..2` is not how many"),
    ("[process.w]\nmatch = \"x\"\ncount = \"0..\"", "3:9: process.w.count", "the least and the most"),
    ("[process.w]\nmatch = \"x\"\ncount = -1", "3:9: process.w.count", "\"2..8\""),
    ("[process.w]\nmatch = \"x\"\ncount = [1]", "3:9: process.w.count", "found the list `[1]`; "),
    ("[process.w]\nmatch = \"x\"\ncount = 1\nrun = [\"/a\"]", "4:7: process.w.run", "processes are counted"),
    ("[process.w]\nregex = 'x'\nneeds = [\"db\"]", "3:9: process.w.needs", "belongs to one service, and with `regex`"),
    ("[process.w]\nmatch = \"x\"\ncount = 0\nstart = [\"/a\"]", "4:9: process.w.start", "there may be none"),
    (
        "[process.w]\nmatch = \"x\"\ncount = \"1..\"\nsignals = [\"kill\"]",
        "4:11: process.w.signals",
        "there may be any number",
    ),
    ("[process.w]\nmatch = \"x\"\ncount = 1\nrss = \"6M\"", "4:7: process.w", "write signals = "),
    ("[process.w]\nmatch = \"x\"\ncount = 1\ncpu = \"90%\"", "4:7: process.w", "write signals = "),
    ("[process.w]\nmatch = \"x\"\ncount = 1\nfds = 90", "4:7: process.w.fds", "take one of the two out"),
    (
        "[process.w]\nmatch = \"x\"\ncount = 1\nage = { max = \"1d\", do = { run = \"x\" } }",
        "4:7: process.w.age",
        "w_age_high",
    ),
    ("[process.w]\nmatch = \"x\"\ncount = 1\ncwd = \"/\"", "4:7: process.w.cwd", "nothing is started"),
    ("[process.w]\nmatch = { name = \"x\", state = \"Q\" }", "2:31: process.w.match.state", "letters as `ps`"),
    ("[process.w]\nmatch = { name = \"x\", tty = \"pts\" }", "2:29: process.w.match.tty", "\"pts/3\""),
    ("[process.w]\nmatch = { user = \"root\" }\ncount = 0", "2:9: process.w.match", "`name` is missing"),
    ("[process.web]\nmatch = \"bin/x\"", "2:9: process.web.match", "the name alone or the whole path"),
    ("[process.web]\nmatch = \"x\"\nuser = \"root\"", "3:8: process.web.user", "nothing is started"),
    ("[process.web]\nmatch = \"x\"\nenv = { A = \"1\" }", "3:7: process.web.env", "nothing is started"),
    ("[process.web]\nrun = [\"/a\"]\ncwd = \"tmp\"", "3:7: process.web.cwd", "`tmp` is not an absolute path"),
    ("[process.web]\nrun = [\"/a\"]\nuser = \"a b\"", "3:8: process.web.user", "an account or group name"),
    ("[process.web]\nrun = [\"/a\"]\ngroup = \"a b\"", "3:9: process.web.group", "an account or group name"),
    (
        "[process.web]\nrun = [\"/a\"]\ngroup = \"a.b\"",
        "3:9: process.web.group",
        "`a.b` is no name that `@` could call; write letters",
    ),
    ("[process.web]\nrun = [\"/a\"]\ngroup = [\"a\"]", "3:9: process.web.group", "found the list"),
    ("[process.web]\nrun = [\"/a\"]\nenv = [\"A=1\"]", "3:7: process.web.env", "write it like { LANG"),
    ("[process.web]\nrun = [\"/a\"]\nenv = { A = 1 }", "3:13: process.web.env.A", "found the integer"),
    (
        "[process.web]\nrun = [\"/a\"]\nenv = { \"A=B\" = \"1\" }",
        "3:17: process.web.env.A=B",
        "is not a name of a variable",
    ),
    ("[process.web]\nrun = [\"/a\"]\nenv = { A = \"\\u0000\" }", "3:13: process.web.env.A", "has a NUL in it"),
    ("[process.web]\nrun = [\"/a\"]\nsignals = [\"10s\"]", "3:11: process.web.signals", "has no signal"),
    ("[process.web]\nrun = [\"/a\"]\nsignals = [\"stop\"]", "3:12: process.web.signals[1]", "term, int, quit"),
    ("[process.web]\nrun = [\"/a\"]\nsignals = \"term\"", "3:11: process.web.signals", "in square brackets"),
    ("[process.web]\nrun = [\"/a\"]\nsignals = [\"term\", \"1d\"]", "3:20: process.web.signals[2]", "at most 10m"),
    ("[process.web]\nrun = [\"/a\"]\nbackoff = [\"1s\"]", "3:11: process.web.backoff", "expected two times, found 1"),
    (
        "[process.web]\nrun = [\"/a\"]\nbackoff = [\"1m\", \"1s\"]",
        "3:11: process.web.backoff",
        "write the shortest first",
    ),
    ("[process.web]\nrun = [\"/a\"]\nbackoff = [\"1ms\", \"1s\"]", "3:11: process.web.backoff", "from 10ms to 1d"),
    ("[process.web]\nrun = [\"/a\"]\nlimit = \"5\"", "3:9: process.web.limit", "how many in which time"),
    ("[process.web]\nrun = [\"/a\"]\nlimit = \"0/10m\"", "3:9: process.web.limit", "`0/10m` is not a limit"),
    ("[process.web]\nrun = [\"/a\"]\nlimit = 5", "3:9: process.web.limit", "found the integer"),
    ("[process.web]\nrun = [\"/a\"]\nsettle = \"2h\"", "3:10: process.web.settle", "out of range"),
    ("[process.web]\nrun = [\"/a\"]\ntimeout = \"1ms\"", "3:11: process.web.timeout", "out of range"),
    ("[process.web]\nrun = [\"/a\"]\non-exit = \"restart\"", "3:11: process.web.on-exit", "\"leave\" or \"stop\""),
    ("[process.web]\nrun = [\"/a\"]\non-remove = \"kill\"", "3:13: process.web.on-remove", "\"leave\" or \"stop\""),
    ("[process.web]\nrun = [\"/a\"]\nmode = \"dry\"", "3:8: process.web.mode", "\"fix\", \"warn\" or \"off\""),
    ("[process.web]\nrun = [\"/a\"]\nneeds = [\"db\"]", "3:9: process.web.needs", "no process `db`; valid are web"),
    (
        "[process.web]\nrun = [\"/a\"]\nneeds = [\"databse\"]\n[process.database]\nrun = [\"/a\"]",
        "3:9: process.web.needs",
        "no process `databse`; the nearest is `database`",
    ),
    ("[process.web]\nrun = [\"/a\"]\nneeds = \"db\"", "3:9: process.web.needs", "expected a list"),
    ("[process.web]\nrun = [\"/a\"]\nafter = [\"a b\"]", "3:10: process.web.after[1]", "`a b` is not an id"),
    ("[process.web]\nrun = [\"/a\"]\nneeds = [\"web\"]", "1:10: process.web", "waits for itself: web -> web"),
    (
        "[process.web]\nrun = [\"/a\"]\nready = { notify = 1 }",
        "3:20: process.web.ready.notify",
        "expected true or false",
    ),
    ("[process.web]\nrun = [\"/a\"]\nready = { notify = false }", "3:20: process.web.ready.notify", "asks nothing"),
    (
        "[process.web]\nrun = [\"/a\"]\nready = { notify = true, unix = \"/s\" }",
        "3:20: process.web.ready.notify",
        "stands beside a question; keep one of them",
    ),
    ("[process.web]\nmatch = \"x\"\nready = { notify = true }", "3:20: process.web.ready.notify", "nothing is started"),
    ("[process.web]\nrun = [\"/a\"]\nwait-for-host = 1", "3:17: process.web.wait-for-host", "expected true or false"),
    (
        "[process.web]\nrun = [\"/a\"]\non-pressure = \"stop\"",
        "3:15: process.web.on-pressure",
        "`stop` is not an answer to a stall for memory; write \"leave\" or \"restart\"",
    ),
    (
        "[process.web]\nmatch = \"x\"\non-pressure = \"restart\"",
        "3:15: process.web.on-pressure",
        "nothing says how to start it again",
    ),
    ("[process.web]\nrun = [\"/a\"]\nrss = 600", "3:7: process.web.rss", "write a size: \"600M\""),
    ("[process.web]\nrun = [\"/a\"]\nrss = \"600m\"", "3:7: process.web.rss", "write a size: \"600M\""),
    ("[process.web]\nrun = [\"/a\"]\nrss = \"lots\"", "3:7: process.web.rss", "`lots` is not an amount"),
    ("[process.web]\nrun = [\"/a\"]\nrss = true", "3:7: process.web.rss", "expected an amount, found the boolean"),
    ("[process.web]\nrun = [\"/a\"]\nrss = { for = \"1m\" }", "3:7: process.web.rss", "needs `max`"),
    ("[process.web]\nrun = [\"/a\"]\nrss = { max = \"0M\" }", "3:15: process.web.rss", "nothing can be kept within 0"),
    ("[process.web]\nrun = [\"/a\"]\ncpu = 90", "3:7: process.web.cpu", "a share of one processor"),
    ("[process.web]\nrun = [\"/a\"]\nfds = \"500\"", "3:7: process.web.fds", "`500` is not an amount"),
    ("[process.web]\nrun = [\"/a\"]\nfds = -5", "3:7: process.web.fds", "-5 is not an amount"),
    (
        "[process.web]\nrun = [\"/a\"]\nage = { max = \"7d\", mx = 1 }",
        "3:21: process.web.age.mx",
        "the nearest is `max`",
    ),
    ("[process.web]\nrun = [\"/a\"]\nfds = { max = 5, for = \"2d\" }", "3:24: process.web.fds.for", "out of range"),
    (
        "[process.web]\nrun = [\"/a\"]\nfds = { max = 5, do = \"kill\" }",
        "3:23: process.web.fds.do",
        "`kill` is not known",
    ),
    ("[process.web]\nrun = [\"/a\"]\nfds = { max = 5, do = {} }", "3:23: process.web.fds.do", "`run` is missing"),
    ("[process.web]\nrun = [\"/a\"]\nfds = { max = 5, do = 3 }", "3:23: process.web.fds.do", "found the integer"),
    ("[process.web]\nmatch = \"x\"\nfds = 5", "3:7: process.web.fds", "write do = \"report\""),
    ("[process.web]\nrun = [\"/a\"]\nwatchdog = \"1ms\"", "3:12: process.web.watchdog", "out of range"),
    ("[process.web]\nmatch = \"x\"\nwatchdog = \"1m\"", "3:12: process.web.watchdog", "nothing is started"),
    ("[process.web]\nrun = [\"/a\"]\ncheck = [{ notify = true }]", "3:12: process.web.check[1].notify", "unknown key"),
    (
        "[process.a]\nrun = [\"/a\"]\nneeds = [\"b\"]\n[process.b]\nrun = [\"/a\"]\nafter = [\"c\"]\n[process.c]\nrun = [\"/a\"]\nneeds = [\"a\"]",
        "1:10: process.a",
        "waits for itself: a -> b -> c -> a",
    ),
    ("[process.web]\nrun = [\"/a\"]\ncheck = []", "3:9: process.web.check", "the list is empty"),
    ("[process.web]\nrun = [\"/a\"]\ncheck = [{}]", "3:9: process.web.check[1]", "asks nothing; say what is asked"),
    (
        "[process.web]\nrun = [\"/a\"]\ncheck = { tcp = \"1.2.3.4:5\" }",
        "3:9: process.web.check",
        "found the table `{ tcp = ",
    ),
    (
        "[process.web]\nrun = [\"/a\"]\ncheck = [{ tcp = \"localhost:80\" }]",
        "3:18: process.web.check[1].tcp",
        "`localhost:80` is not an address with a port; write it in numbers",
    ),
    (
        "[process.web]\nrun = [\"/a\"]\ncheck = [{ tcp = \"127.0.0.1:0\" }]",
        "3:18: process.web.check[1].tcp",
        "has no port",
    ),
    (
        "[process.web]\nrun = [\"/a\"]\ncheck = [{ http = \"http://localhost/\" }]",
        "3:19: process.web.check[1].http",
        "is not a page at a numeric address",
    ),
    (
        "[process.web]\nrun = [\"/a\"]\ncheck = [{ http = \"https://127.0.0.1/\" }]",
        "3:19: process.web.check[1].http",
        "for https take `exec`",
    ),
    (
        "[process.web]\nrun = [\"/a\"]\ncheck = [{ tcp = \"1.2.3.4:5\", unix = \"/s\" }]",
        "3:38: process.web.check[1].unix",
        "stands beside `tcp`",
    ),
    (
        "[process.web]\nrun = [\"/a\"]\ncheck = [{ tcp = \"1.2.3.4:5\", status = 200 }]",
        "3:40: process.web.check[1].status",
        "is about an answer of `http`",
    ),
    (
        "[process.web]\nrun = [\"/a\"]\ncheck = [{ http = \"http://127.0.0.1/\", status = \"300-200\" }]",
        "3:49: process.web.check[1].status",
        "`300-200` is not a status of HTTP",
    ),
    (
        "[process.web]\nrun = [\"/a\"]\ncheck = [{ http = \"http://127.0.0.1/\", header = \"x\" }]",
        "3:49: process.web.check[1].header",
        "`x` is not a header",
    ),
    (
        "[process.web]\nrun = [\"/a\"]\ncheck = [{ unix = \"s\" }]",
        "3:19: process.web.check[1].unix",
        "`s` is not an absolute path",
    ),
    (
        "[process.web]\nrun = [\"/a\"]\ncheck = [{ fresh = { path = \"/f\" } }]",
        "3:20: process.web.check[1].fresh",
        "needs `path` and `within`",
    ),
    (
        "[process.web]\nrun = [\"/a\"]\ncheck = [{ unix = \"/s\", fails = 0 }]",
        "3:33: process.web.check[1].fails",
        "write a number from 1 to 100",
    ),
    (
        "[process.web]\nrun = [\"/a\"]\ncheck = [{ unix = \"/s\", every = \"1ms\" }]",
        "3:33: process.web.check[1].every",
        "out of range",
    ),
    (
        "[process.web]\nrun = [\"/a\"]\nready = { unix = \"/s\", every = \"1s\" }",
        "3:24: process.web.ready.every",
        "unknown key",
    ),
    ("[process.web]\nrun = [\"/a\"]\nready = { within = \"1s\" }", "3:9: process.web.ready", "asks nothing"),
    ("[process.web]\nrun = [\"/a\"]\nif = \"a b\"", "3:9: process.web.if", "expected `&`, `|` or the end, found `b`"),
    ("[process.web]\nrun = [\"/a\"]\nif = \"\"", "3:7: process.web.if", "found the end"),
    ("[process.web]\nrun = [\"/a\"]\nif = 'x & (any'", "3:11: process.web.if", "this `(` has no `)`"),
    ("[process.web]\nrun = [\"/a\"]\nif = true", "3:6: process.web.if", "found the boolean"),
    ("[process.Web]\nrun = [\"/a\"]", "1:10: process.Web", "write a small letter"),
    ("[process.1web]\nrun = [\"/a\"]", "1:10: process.1web", "write a small letter"),
    ("[process.\"a.b\"]\nrun = [\"/a\"]", "1:10: process.a.b", "write a small letter"),
    ("[process.\"\"]\nrun = [\"/a\"]", "1:10: process.", "write a small letter"),
    ("[process.a23456789012345678901234567890123]\nrun = [\"/a\"]", "1:10: process.a2", "up to 31"),
    (
        "[process.a-b]\nrun = [\"/a\"]\n[process.a_b]\nrun = [\"/a\"]",
        "3:10: process.a_b",
        "same class names as process.a-b in ",
    ),
];

/// The other promises, classes and texts.
const OTHERS: &[Bad] = &[
    ("[disk.root]", "1:7: disk.root", "`path` is missing"),
    ("[disk.root]\npath = \"root\"", "2:8: disk.root.path", "`root` is not an absolute path"),
    ("[disk.root]\npath = \"/\"\nful = \"90%\"", "3:1: disk.root.ful", "the nearest is `full`"),
    ("[disk.root]\npath = \"/\"\nfull = \"90\"", "3:8: disk.root.full", "write a number above 0 and up to 100 with %"),
    ("[disk.root]\npath = \"/\"\nfull = 90", "3:8: disk.root.full", "found the integer"),
    ("[disk.root]\npath = \"/\"\nfull = \"110%\"", "3:8: disk.root.full", "`110%` is not a share"),
    ("[disk.root]\npath = \"/\"\nfull = \"0%\"", "3:8: disk.root.full", "above 0"),
    ("[disk.root]\npath = \"/\"\nok = \"95%\"", "3:6: disk.root.ok", "leave some room between them"),
    ("[disk.root]\npath = \"/\"\nfull = \"80%\"\nok = \"80%\"", "4:6: disk.root.ok", "80% is not below full = 80%"),
    ("[disk.root]\npath = \"/\"\nfull = \"4%\"", "3:8: disk.root.ok", "further up"),
    ("[disk.root]\npath = \"/\"\nforecast = \"1m\"", "3:12: disk.root.forecast", "write a time from 1h to 30d"),
    ("[disk.root]\npath = \"/\"\nforecast = 24", "3:12: disk.root.forecast", "expected a time"),
    ("[disk.root]\npath = \"/\"\nlimit = \"1/1h\"", "3:9: disk.root.limit", "a disk is only looked at"),
    ("[command.x]", "1:10: command.x", "`run` is missing"),
    ("[command.x]\nrun = [\"true\"]\nevery = \"1h\"", "2:8: command.x.run[1]", "whole path"),
    ("[command.x]\nrun = \"true\"\nevery = \"31d\"", "3:9: command.x.every", "write a time from 0s to 30d"),
    ("[command.x]\nrun = \"true\"\nkept = [256]", "3:9: command.x.kept[1]", "a number from 0 to 255"),
    ("[command.x]\nrun = \"true\"\nkept = [-1]", "3:9: command.x.kept[1]", "-1 is not an exit status"),
    ("[command.x]\nrun = \"true\"\nkept = 0", "3:8: command.x.kept", "in square brackets"),
    (
        "[command.x]\nrun = \"true\"\nkept = [\"0\"]",
        "3:9: command.x.kept[1]",
        "expected an exit status, found the string",
    ),
    ("[command.x]\nrun = \"true\"\nkept = [3]\nrepaired = [3]", "4:12: command.x.repaired", "3 is among `kept` too"),
    ("[command.x]\nrun = \"true\"\nstart = \"x\"", "3:1: command.x.start", "unknown key"),
    (
        "[command.web]\nrun = \"true\"\n[process.web]\nrun = [\"/a\"]",
        "1:10: command.web",
        "same class names as process.web",
    ),
    ("[command.disk_a]\nrun = \"true\"\n[disk.a]\npath = \"/\"", "1:10: command.disk_a", "same class names as disk.a"),
    ("[report.r]", "1:9: report.r", "`text` is missing"),
    ("[report.r]\ntext = \"\"", "2:8: report.r.text", "with something in it"),
    ("[report.r]\ntext = \"a {hots}\"", "2:11: report.r.text", "the nearest is `{host}`"),
    ("[report.r]\ntext = \"a {host\"", "2:11: report.r.text", "this `{` has no `}`"),
    ("[report.r]\ntext = \"{disk_root.used}\"", "2:9: report.r.text", "`{disk_root.used}` is nothing that can be told"),
    ("[report.r]\ntext = \"{load.oen}\"", "2:9: report.r.text", "the nearest is `{load.one}`"),
    ("[report.r]\ntext = \"x\"\nto = 7", "3:6: report.r.to", "expected a receiver"),
    ("[report.r]\ntext = \"x\"\nremind = \"6h\"", "3:10: report.r.remind", "is of no use without `changes`"),
    ("[report.r]\ntext = \"x\"\nchanges = true\nremind = \"6\"", "4:10: report.r.remind", "`6` is not a time"),
    ("[report.r]\ntext = \"x\"\ndiffers = 1", "3:11: report.r.differs", "write it without quotes"),
    ("[report.r]\ntext = \"x\"\ndigest = true", "3:10: report.r.digest", "there is no digest"),
    ("[command.c]\nrun = \"x\"\n[report.r]\ntext = \"{c.repair}\"", "4:9: report.r.text", "`{c.repairs}`"),
    ("[watchd]\ndigest = { to = \"mail:root\" }", "2:10: watchd.digest", "`at` is missing"),
    ("[watchd]\ndigest = { to = \"log\", at = \"Hr07\" }", "2:17: watchd.digest.to", "the log has all of it"),
    ("[watchd]\ndigest = { to = \"webhook:x\", at = \"Hr07\" }", "2:17: watchd.digest.to", "no [webhook.x]"),
    (
        "[watchd]\ndigest = { to = \"mail:root\", at = \"Hr07 &\" }",
        "2:42: watchd.digest.at",
        "join names of classes by",
    ),
    ("[watchd]\ndigest = \"mail:root\"", "2:10: watchd.digest", "found the string"),
    ("[command.c]\nrun = \"x\"\nclasses = [\"c_kept\"]", "3:11: command.c.classes", "decided by watchd (outcome)"),
    ("[command.c]\nrun = \"x\"\nclasses = []", "3:11: command.c.classes", "put something into it"),
    ("[measure.m]\ncommand = \"c\"", "2:11: measure.m.command", "there is no [command.c]"),
    ("[measure.m]\ncommand = \"c\"\nmetric = \"load.one\"", "2:11: measure.m.command", "stands beside `metric`"),
    (
        "[command.c]\nrun = \"x\"\n[measure.m]\ncommand = \"c\"\nevery = \"1m\"",
        "5:9: measure.m.every",
        "whenever the command has run",
    ),
    ("[watchd]\nlearn = false\n[measure.m]\nmetric = \"load.one\"\nlearn = true", "5:9: measure.m.learn", "of no use"),
    ("[watchd]\nswitches = \"x\"", "2:12: watchd.switches", "in square brackets"),
    ("[watchd]\nswitches = [\"a-b\"]", "2:13: watchd.switches[1]", "letters, digits and `_`"),
    ("[watchd]\nswitches = [\"Monday\"]", "2:12: watchd.switches", "decided by watchd (time)"),
    ("[watchd]\nswitches = [\"linux\"]", "2:12: watchd.switches", "decided by watchd (hard)"),
    ("[watchd]\nalive = \"run/alive\"", "2:9: watchd.alive", "the whole path"),
    ("[watchd]\nsplay = \"2h\"", "2:9: watchd.splay", "from 0s to 1h"),
    ("[command.c]\nrun = \"x\"\nsplay = \"2d\"", "3:9: command.c.splay", "from 0s to 1d"),
    ("[report.r]\ntext = \"x\"\nto = [\"mail\"]", "3:7: report.r.to[1]", "give a program in `run`"),
    ("[report.r]\ntext = \"x\"\nto = [\"mail:-oQ/tmp\"]", "3:7: report.r.to[1]", "\"mail:ADDRESS\""),
    ("[report.r]\ntext = \"x\"\nto = [\"mail:a@b, c@d\"]", "3:7: report.r.to[1]", "\"mail:ADDRESS\""),
    ("[report.r]\ntext = \"x\"\nto = [\"mail:a\\nBcc: b\"]", "3:7: report.r.to[1]", "\"mail:ADDRESS\""),
    ("[report.r]\ntext = \"x\"\nto = [\"syslog\", \"syslog\"]", "3:17: report.r.to[2]", "is there twice"),
    ("[report.r]\ntext = \"x\"\nto = [\"webhook:chat\"]", "3:7: report.r.to[1]", "there is no [webhook.chat]"),
    (
        "[webhook.chat]\nrun = \"x\"\n[report.r]\ntext = \"x\"\nto = [\"webhook:chatt\"]",
        "5:7: report.r.to[1]",
        "the nearest is `webhook:chat`",
    ),
    ("[webhook.chat]", "1:10: webhook.chat", "`run` is missing"),
    ("[webhook.chat]\nrun = \"x\"\nurl = \"http://x\"", "3:1: webhook.chat.url", "unknown key"),
    ("[watchd]\nsendmail = 3", "2:12: watchd.sendmail", "expected"),
    ("[report.r]\ntext = \"x\"\nchanges = \"yes\"", "3:11: report.r.changes", "write it without quotes"),
    ("[report.r]\ntext = \"x\"\nchanges = true\nquiet = \"1h\"", "4:9: report.r.quiet", "is of no use with `changes`"),
    ("[report.r]\ntext = \"x\"\nuser = \"root\"", "3:8: report.r.user", "nothing is started"),
    ("[class.x]", "1:8: class.x", "has none of `when`, `any` and `all`"),
    ("[class.x]\nany = [\"any\", \"a &\"]", "2:19: class.x.any[2]", "found the end"),
    ("[class.x]\nall = [\"é\"]", "2:9: class.x.all[1]", "found `é`"),
    ("[class.x]\nall = []", "2:7: class.x.all", "the list is empty"),
    ("[class.x]\nany = \"a\"", "2:7: class.x.any", "in square brackets"),
    ("[class.x]\nwhen = \"any\"\nhold = \"100ms\"", "3:8: class.x.hold", "write a time from 1s to 30d"),
    ("[class.x]\nall = [\"y\"]\n[class.y]\nany = [\"!x\"]", "1:8: class.x", "needs itself: x -> y -> x"),
    ("[command.a]\nrun = \"true\"\ncooldown = \"1h\"", "3:12: command.a.cooldown", "of no use without `limit`"),
    ("[command.a]\nrun = \"true\"\nlimit = \"1/1h\"\ncooldown = \"1ms\"", "4:12: command.a.cooldown", "from 1s to 30d"),
    ("[disk.a]\npath = \"/\"\ncooldown = \"1h\"", "3:12: disk.a.cooldown", "only looked at"),
    ("[disk.a]\npath = \"/\"\nhold = \"x\"", "3:8: disk.a.hold", "is not a time"),
    ("[class.x]\nwhen = \"a &\"", "2:12: class.x.when", "found the end"),
    ("[class.x]\nwhen = \"é\"", "2:9: class.x.when", "found `é`"),
    ("[class.x]\nwhen = \"a-b\"", "2:10: class.x.when", "found `-`"),
    ("[class.x]\nwhen = \"a)\"", "2:10: class.x.when", "this `)` has no `(`"),
    ("[class.x]\nif = \"a\"", "2:1: class.x.if", "unknown key"),
    ("[class.x]\nwhen = \"y\"\n[class.y]\nwhen = \"!x\"", "1:8: class.x", "needs itself: x -> y -> x"),
    ("[class.x]\nwhen = \"x\"", "1:8: class.x", "needs itself: x -> x"),
    ("[class.linux]\nwhen = \"any\"", "1:8: class.linux", "there is a hard class of this name"),
    ("[class.load_high]\nwhen = \"any\"", "1:8: class.load_high", "there is a measured class of this name"),
    (
        "[class.web_ready]\nwhen = \"any\"\n[process.web]\nmatch = \"x\"",
        "1:8: class.web_ready",
        "there is a state class of this name",
    ),
    ("[class.true]\nwhen = \"any\"", "1:8: class.true", "is a word of the language"),
];

#[test]
fn each_bad_policy_is_refused_with_its_place_and_remedy() {
    let all: Vec<&Bad> = TABLES.iter().chain(PROCESSES).chain(OTHERS).collect();
    assert!(all.len() >= 110, "{} rows", all.len());
    let mut missed = Vec::new();
    for (text, place, part) in all {
        match read(text) {
            Ok(_) => missed.push(format!("accepted: {text:?}")),
            Err(faults) => {
                let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
                let place = format!("t:{place}");
                let named = |line: &&String| line.starts_with(&place) && line.contains(part) && line.contains("; ");
                if lines.iter().find(named).is_none() {
                    missed.push(format!("{text:?}\n  wanted {place} … {part}\n  found  {}", lines.join("\n         ")));
                }
            }
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

#[test]
fn all_faults_of_a_file_are_named_in_its_order() {
    let text = "[watchd]\ncycle = 1\n[process.web]\nrun = [\"x\", 3]\nsettel = \"1s\"\nif = \"a b\"\n[disk.d]\nfull = 9\n[nope]\n";
    let faults = read(text).expect_err("it is bad in many ways");
    let places: Vec<String> =
        faults.iter().map(|fault| format!("{}:{} {}", fault.line, fault.column, fault.key)).collect();
    let expect = [
        "2:9 watchd.cycle",
        "4:13 process.web.run[2]",
        "5:1 process.web.settel",
        "6:9 process.web.if",
        "7:7 disk.d",
        "8:8 disk.d.full",
        "9:2 nope",
    ];
    assert_eq!(places, expect);
}

#[test]
fn what_is_probably_not_meant_is_a_warning() {
    for (text, place, part) in [
        (
            "[class.x]\nwhen = \"disk_rot_full\"\n[disk.root]\npath = \"/\"",
            "t:2:9: class.x.when",
            "the nearest is `disk_root_full`",
        ),
        ("[class.x]\nwhen = \"any & Mondey\"", "t:2:15: class.x.when", "the nearest is `Monday`"),
        ("[class.x]\nwhen = \"!maintenance\"", "t:2:10: class.x.when", "false until somebody sets it"),
        ("[process.web]\nrun = [\"/nonexistent/x\"]", "t:2:7: process.web.run", "cannot find /nonexistent/x"),
        ("[process.web]\nrun = [\"/\"]", "t:2:7: process.web.run", "/ is not a file"),
        ("[process.web]\nrun = [\"/etc/passwd\"]", "t:2:7: process.web.run", "is not executable"),
        ("[process.web]\nrun = \"x\"\nuser = \"no-such-user\"", "t:3:8: process.web.user", "cannot find user"),
        (
            "[process.web]\nrun = \"x\"\ngroup = \"no-such-group\"\nuser = \"root\"",
            "t:3:9: process.web.group",
            "cannot find group",
        ),
        ("[command.x]\nrun = \"true\"", "t:1:10: command.x", "give it `if` or `every`"),
        ("[report.r]\ntext = \"x\"", "t:1:9: report.r", "has no condition"),
        (
            "[measure.load]\nmetric = \"load.five\"\nhigh = 3",
            "t:1:10: measure.load",
            "its class `load_high`, which is watchd's",
        ),
    ] {
        let (_, warnings) = read(text).expect(text);
        let lines: Vec<String> = warnings.iter().map(ToString::to_string).collect();
        assert!(lines.iter().any(|line| line.starts_with(place) && line.contains(part)), "{text:?}: {lines:?}");
    }
}

#[test]
fn more_than_there_is_room_for_is_refused() {
    let many = |count: usize, table: &dyn Fn(usize) -> String| (0..count).map(table).collect::<String>();
    let processes = |count| many(count, &|place| format!("[process.p{place}]\nmatch = \"p{place}\"\n"));
    let commands = |count| many(count, &|place| format!("[command.c{place}]\nrun = \"x\"\nevery = \"1h\"\n"));
    let classes = |count| many(count, &|place| format!("[class.c{place}]\nwhen = \"any\"\n"));
    for (text, good, part) in [
        (processes(128), true, ""),
        (processes(129), false, "129 processes are too many; there is room for 128"),
        (commands(512), true, ""),
        (commands(513), false, "513 promises are too many; there is room for 512"),
        (classes(900), true, ""),
        (classes(1024), false, "classes are too many; there is room for 1024"),
    ] {
        match read(&text) {
            Ok(_) => assert!(good, "accepted"),
            Err(faults) => assert!(!good && faults.iter().any(|fault| fault.to_string().contains(part)), "{faults:?}"),
        }
    }
}

const GOOD: &str = r#"# A policy with one of everything.
[watchd]
cycle = "5s"
user = "nobody"
memory = "keep"

[munin]
listen = ["127.0.0.1:4949", "[::1]:4949"]
allow = ["10.0.0.0/8", "::1"]
host-name = "web.example.org"

[http]

[process.web]
run = ["/bin/sh", "-c", "exec sleep 1"]
user = "root"
group = "root"
cwd = "/"
env = { LANG = "C", EMPTY = "" }
backoff = ["100ms", "1m"]
limit = "5/10m"
settle = "1s"
timeout = "30s"
signals = ["term", "10s", "kill"]
on-exit = "stop"
if = "!night"
comment = """
Several lines,
with """

[process.db]
pidfile = '/run/db.pid'
start = ["/bin/true"]
stop = "kill $(cat /run/db.pid)"

[process.cron]
match = { name = "cron", user = "root" }
mode = "warn"

[disk.root]
path = "/"
full = "90%"
ok = "80%"
inodes = "95.5%"

[class.night]
when = "Hr22_06 | (GMT_Night && Sunday)"

[command.clean]
if = "disk_root_full & web_ready . !clean_failed"
run = ["/bin/true"]
kept = [0, 3]
repaired = [1]
every = "1h"

[report.disk]
if = "disk_root_full"
text = "{host}: / is {disk_root.used} full {{"
to = ["log"]
run = ["/bin/cat"]
changes = true
"#;

#[test]
fn a_good_policy_is_read_without_a_word() {
    let (policy, warnings) = read(GOOD).expect("it is good");
    assert_eq!(warnings, []);
    assert_eq!((policy.services.len(), policy.promises.len(), policy.classes.disks()), (3, 6, &["/".to_owned()][..]));
    let crlf = GOOD.replace('\n', "\r\n");
    assert_eq!(read(&crlf).expect("it is good with the other line ends").0.promises, policy.promises);
}

#[test]
fn a_cut_policy_neither_panics_nor_hangs() {
    for cut in 0..GOOD.len() {
        let _ = read(&GOOD[..cut]);
    }
}

#[test]
fn a_policy_with_a_broken_byte_neither_panics_nor_hangs() {
    for place in (0..GOOD.len()).step_by(3) {
        for letter in ["\0", "\"", "[", "=", "\n", "\u{fffd}", "\\", "{"] {
            let _ = read(&format!("{}{letter}{}", &GOOD[..place], &GOOD[place + 1..]));
        }
    }
}

/// A directory of this test's own.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        // A number of a process comes back; the time does not, and what another run has left is not ours to take away.
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |time| time.as_nanos());
        let name = format!("check-{name}-{}-{now}", std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&path).expect("a directory of our own");
        Self(path)
    }

    fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().expect("it has a parent")).expect("a directory of our own");
        fs::write(&path, bytes).expect("a file of our own");
        path
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn read_file(path: &Path) -> Loaded {
    let places = Places { config: Some(path.into()), run_dir: "/".into(), state_dir: "/".into(), root: "/".into() };
    load(&places, &inventory())
}

#[test]
fn files_that_are_no_policy_are_refused() {
    let directory = Directory::new("files");
    let fifo = directory.0.join("fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0)
        .expect("a pipe of our own");
    for (path, place, part) in [
        (directory.file("latin", b"# caf\xe9\n[watchd]\n"), "latin:1:6: file", "save the file as UTF-8"),
        (directory.file("late", b"[watchd]\n\n  \xff"), "late:3:3: file", "this byte is not UTF-8"),
        (directory.file("long", vec![b'#'; 10 << 20]), "long:1:1: file", "longer than 1048576 bytes"),
        (directory.file("zero", [0]), "zero:1:1: toml", "correct the TOML"),
        (directory.0.clone(), ":1:1: file", "it is a directory"),
        (fifo, "fifo:1:1: file", "not a regular file"),
        (directory.0.join("none"), "none:1:1: file", "give the path of a file that exists"),
        ("/dev/zero".into(), "zero:1:1: file", "not a regular file"),
    ] {
        let faults = read_file(&path).expect_err("it is no policy");
        let line = faults[0].to_string();
        assert!(line.contains(place) && line.contains(part), "{line}");
    }
}

#[test]
fn included_files_are_read_in_their_order() {
    let directory = Directory::new("include");
    let main = directory.file("watchd.toml", "[watchd]\ninclude = \"conf.d/*.toml\"\n[disk.root]\npath = \"/\"\n");
    directory.file("conf.d/20.toml", "[process.b]\nmatch = \"b\"\n");
    directory.file("conf.d/10.toml", "[process.a]\nmatch = \"a\"\n[http]\n");
    directory.file("conf.d/.hidden.toml", "rubbish");
    directory.file("conf.d/backup.toml~", "rubbish");
    let (policy, _) = read_file(&main).expect("it is good");
    assert_eq!(policy.services.iter().map(|service| service.id.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(policy.included.len(), 2);
    assert!(policy.http.is_some() && policy.munin.is_none());
}

#[test]
fn bad_inclusions_are_refused() {
    for (include, other, place, part) in [
        ("missing.toml", "", "watchd.toml:2:11: watchd.include", "missing.toml"),
        ("no/such/*.toml", "", "watchd.toml:2:11: watchd.include", "cannot list"),
        ("*/a.toml", "", "watchd.toml:2:11: watchd.include", "in the last part only"),
        ("conf.d/", "", "watchd.toml:2:11: watchd.include", "in the last part only"),
        ("watchd.toml", "", "watchd.toml:2:11: watchd.include", "includes itself"),
        ("*.toml", "", "watchd.toml:2:11: watchd.include", "includes itself"),
        ("conf.d", "", "watchd.toml:2:11: watchd.include", "it is a directory"),
        ("conf.d/a.toml", "[watchd]\ninclude = \"b.toml\"", "a.toml:1:2: watchd", "watchd.toml:1; keep one of the two"),
        ("conf.d/a.toml", "[watchd]\ncycle = \"3s\"", "a.toml:1:2: watchd", "watchd.toml:1; keep one of the two"),
        ("conf.d/a.toml", "[disk.root]\npath = \"/\"", "a.toml:1:7: disk.root", "same class names as disk.root in"),
        ("conf.d/a.toml", "[disk.other]\npath = 1", "a.toml:2:8: disk.other.path", "found the integer"),
        ("conf.d/a.toml", "\u{0}", "a.toml:1:1: toml", "correct the TOML"),
    ] {
        let directory = Directory::new("bad-include");
        directory.file("conf.d/a.toml", other);
        let text = format!("[watchd]\ninclude = \"{include}\"\n[disk.root]\npath = \"/\"\n");
        let faults = read_file(&directory.file("watchd.toml", text)).expect_err(include);
        let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert!(lines.iter().any(|line| line.contains(place) && line.contains(part)), "{include}: {lines:?}");
    }
}

#[test]
fn the_examples_are_good() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib/examples");
    let mut count = 0;
    for entry in fs::read_dir(examples).expect("there are examples").flatten() {
        let read = read_file(&entry.path());
        let (_, warnings) = read.unwrap_or_else(|faults| panic!("{faults:#?}"));
        // The programs and disks of an example need not be here.
        let usual = |line: &String| {
            ["cannot find /", "cannot find user", "nothing is mounted at"].iter().any(|part| line.contains(part))
        };
        let lines: Vec<String> = warnings.iter().map(ToString::to_string).collect();
        let other: Vec<&String> = lines.iter().filter(|line| !usual(line)).collect();
        assert!(other.is_empty(), "{other:#?}");
        count += 1;
    }
    assert!(count >= 3, "{count} examples");
}

/// Runs the real binary; gives its exit code, standard output and standard error.
/// Exit code, output and errors. That somebody ended it from outside is told apart: its code says nothing then.
fn watchd(arguments: &[&str]) -> (Option<i32>, String, String) {
    let run =
        std::process::Command::new(env!("CARGO_BIN_EXE_watchd")).args(arguments).output().expect("watchd can be run");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let signal = std::os::unix::process::ExitStatusExt::signal(&run.status);
    assert_eq!(signal, None, "somebody ended watchd {arguments:?} by a signal: {}", text(&run.stderr));
    (run.status.code(), text(&run.stdout), text(&run.stderr))
}

#[test]
fn the_command_refuses_bad_policies_with_exit_2() {
    let directory = Directory::new("command");
    for (text, place, part) in
        TABLES.iter().step_by(8).chain(PROCESSES.iter().step_by(12)).chain(OTHERS.iter().step_by(12))
    {
        let file = directory.file("watchd.toml", text);
        let (code, out, err) = watchd(&["check", &file.to_string_lossy()]);
        assert_eq!((code, out.as_str()), (Some(2), ""), "{text:?}: {err}");
        let line = err.lines().find(|line| line.contains(place) && line.contains(part));
        assert!(line.is_some_and(|line| line.starts_with(&*file.to_string_lossy())), "{text:?}: {err}");
    }
}

#[test]
fn the_command_sums_up_a_good_policy() {
    let directory = Directory::new("good");
    let file = directory.file("watchd.toml", GOOD);
    let (code, out, err) = watchd(&["check", &file.to_string_lossy()]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(out.contains("watchd.toml: ok: 3 services, 1 disk, 1 command, 1 report, "), "{out}");
    let lines: Vec<&str> = out.lines().collect();
    assert!(lines[0].ends_with(" classes") && lines.len() == 3, "{out}");
    let kept = "dac_override dac_read_search";
    assert!(
        lines[1].starts_with("capabilities of the daemon itself, where it is root: ") && lines[1].contains(kept),
        "{out}"
    );
    assert!(lines[2].starts_with("history: ") && lines[2].ends_with("never more than 52.3 MB"), "{out}");
}

#[test]
fn the_command_evaluates_expressions() {
    for (with, text, code, part) in [
        ("a,b", "a & b", 0, "true"),
        ("a", "a & b", 1, "false"),
        ("a", "a &", 2, "column 4"),
        ("a b", "a", 2, "cannot set class"),
    ] {
        let (found, out, err) = watchd(&["class", "eval", "--with", with, text]);
        assert_eq!(found, Some(code), "{text}");
        assert!(out.contains(part) || err.contains(part), "{text}: {out}{err}");
    }
    let (_, _, err) = watchd(&["class", "eval", "a & é"]);
    assert!(err.ends_with("\n  a & é\n      ^\n"), "{err:?}");
}

#[test]
fn a_disk_is_looked_for_among_the_mounts() {
    let directory = Directory::new("mounts");
    directory.file(
        "proc/self/mountinfo",
        "22 1 254:0 / / rw - ext4 /dev/vda rw\n23 22 0:5 / /my\\040data rw - ext4 /dev/vdb rw\n",
    );
    let file =
        directory.file("t.toml", "[disk.a]\npath = \"/\"\n[disk.b]\npath = \"/my data/\"\n[disk.c]\npath = \"/var\"\n");
    let places = Places { config: Some(file), run_dir: "/".into(), state_dir: "/".into(), root: directory.0.clone() };
    let (policy, warnings) = load(&places, &inventory()).expect("it is good");
    assert_eq!(policy.classes.disks(), ["/", "/my data", "/var"]);
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(
        warnings[0].to_string().contains("t.toml:6:8: disk.c.path: nothing is mounted at /var; "),
        "{}",
        warnings[0]
    );
}

#[test]
fn what_is_to_speak_from_behind_another_root_has_to_reach_us() {
    let directory = Directory::new("roots");
    let jail = directory.0.join("jail");
    let jailed = format!("[process.web]\nrun = [\"/x\"]\nchroot = \"{}\"\n", jail.display());
    let said = |run_dir: &Path, keys: &str| {
        let file = directory.file("t.toml", format!("{jailed}{keys}\n"));
        let places =
            Places { config: Some(file), run_dir: run_dir.into(), state_dir: "/".into(), root: directory.0.clone() };
        let (_, warnings) = load(&places, &inventory()).expect("it is good");
        warnings.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let run_dir = directory.0.join("run");
    for (keys, place) in [
        ("ready = { notify = true }", "4:20: process.web.ready.notify"),
        ("watchdog = \"10s\"", "4:12: process.web.watchdog"),
    ] {
        let warnings = said(&run_dir, keys);
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        let inside = format!("{}{}/notify", jail.display(), run_dir.display());
        assert!(warnings[0].contains(&format!("t.toml:{place}: behind its chroot")), "{warnings:?}");
        assert!(warnings[0].contains(&format!("mount that at {inside} (mount --bind)")), "{warnings:?}");
    }
    assert_eq!(said(&run_dir, "ready = { tcp = \"127.0.0.1:80\" }"), NOTHING);
    assert_eq!(said(&jail.join("run"), "watchdog = \"10s\""), NOTHING, "what is inside is reached");
    fs::create_dir_all(jail.join(run_dir.strip_prefix("/").expect("it is whole")).join("notify")).expect("made");
    assert_eq!(said(&run_dir, "watchdog = \"10s\""), NOTHING, "somebody has mounted it");
}

const NOTHING: [&str; 0] = [];

#[test]
fn a_megabyte_of_rubbish_is_refused_in_reasonable_work() {
    let fill = |part: &str| part.repeat((1 << 20) / part.len() - 20);
    let keys = (0..60_000).map(|place| format!("x{place}=1\n")).collect::<String>();
    for text in [
        format!("[process.web]\n{keys}"),
        fill("[[[["),
        fill("a.b."),
        fill("\"\n"),
        fill("[a]\n"),
        format!("[class.x]\nwhen = \"{}x\"", fill("abcdefgh|")),
        (0..5_000).map(|place| format!("[class.c{place}]\nwhen = \"n{place} | m{place}\"\n")).collect(),
    ] {
        assert!(read(&text).is_err());
    }
}
