//! `watchd discover`: proposes a config for the daemons found running here. It only looks; nothing is written or started.
//!
//! A daemon of the table below is proposed when a process of its name runs: through its pidfile when that names such a process, else
//! through `argv[0]` when that still is its program's name. How to start it comes from systemd's units or /etc/init.d, else
//! it is only watched. Where it listens is told in a comment. The text passes `watchd check`.

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

use watchd_probes::Host;
use watchd_probes::listeners::{self, Listener};

use super::given::Given;
use crate::model::Places;

/// How many addresses of one daemon are told; a name server listens on each that the host has.
const ADDRESSES: usize = 6;

/// A daemon that is known by name.
struct Known {
    /// Its id in the config, and what its unit or script is called, if it is called the same.
    id: &'static str,
    /// The name of its program.
    program: &'static str,
    pidfiles: &'static [&'static str],
    /// What its unit or script may be called.
    services: &'static [&'static str],
}

const fn known(
    id: &'static str,
    program: &'static str,
    pidfiles: &'static [&'static str],
    services: &'static [&'static str],
) -> Known {
    Known { id, program, pidfiles, services }
}

/// Pidfiles and services as Debian, Fedora and Alpine call them.
const KNOWN: &[Known] = &[
    known("sshd", "sshd", &["run/sshd.pid"], &["ssh", "sshd"]),
    known("cron", "cron", &["run/crond.pid"], &["cron"]),
    known("crond", "crond", &["run/crond.pid"], &["crond"]),
    known("rsyslogd", "rsyslogd", &["run/rsyslogd.pid"], &["rsyslog", "rsyslogd"]),
    known("chronyd", "chronyd", &["run/chrony/chronyd.pid"], &["chrony", "chronyd"]),
    known("nginx", "nginx", &["run/nginx.pid", "run/nginx/nginx.pid"], &["nginx"]),
    known("apache2", "apache2", &["run/apache2/apache2.pid"], &["apache2"]),
    known("httpd", "httpd", &["run/httpd/httpd.pid", "run/apache2/httpd.pid"], &["httpd", "apache2"]),
    known("haproxy", "haproxy", &["run/haproxy.pid"], &["haproxy"]),
    known("postgresql", "postgres", &["var/lib/postgresql/data/postmaster.pid"], &["postgresql"]),
    known("mysqld", "mysqld", &["run/mysqld/mysqld.pid"], &["mysql", "mysqld"]),
    known("mariadb", "mariadbd", &["run/mysqld/mysqld.pid", "run/mariadb/mariadb.pid"], &["mariadb"]),
    known("redis", "redis-server", &["run/redis/redis-server.pid"], &["redis-server", "redis"]),
    known("memcached", "memcached", &["run/memcached/memcached.pid"], &["memcached"]),
    known("exim4", "exim4", &["run/exim4/exim.pid"], &["exim4"]),
    known("postfix", "master", &["var/spool/postfix/pid/master.pid"], &["postfix"]),
    known("dovecot", "dovecot", &["run/dovecot/master.pid"], &["dovecot"]),
    known("named", "named", &["run/named/named.pid"], &["named", "bind9"]),
    known("unbound", "unbound", &["run/unbound.pid"], &["unbound"]),
    known("dnsmasq", "dnsmasq", &["run/dnsmasq/dnsmasq.pid"], &["dnsmasq"]),
    known("smbd", "smbd", &["run/samba/smbd.pid"], &["smbd", "smb"]),
    known("dockerd", "dockerd", &["run/docker.pid"], &["docker"]),
    known("containerd", "containerd", &[], &["containerd"]),
    known("prometheus", "prometheus", &["run/prometheus/prometheus.pid"], &["prometheus"]),
];

const HEAD: &str = "\
# A config for watchd, proposed by `watchd discover` from what runs here now.
# Read it, take out what somebody else keeps alive already, then: watchd check FILE

[munin]

[http]

[disk.root]
path = \"/\"
full = \"90%\"
ok = \"80%\"
";

/// A running process.
struct Running {
    pid: u32,
    name: String,
    /// `argv[0]`, as long as the process left it alone.
    argument: String,
}

pub fn run(places: &Places, given: &Given) -> ExitCode {
    if let Some(word) = given.words.first() {
        return super::wrong(&format!("cannot understand `{}`: discover takes no name", word.escape_debug()));
    }
    match running(&places.root) {
        Ok(running) => {
            let host = Host::open(&places.root).ok();
            // Another user's descriptors are not for us to see; the comment is then left out.
            let listeners = |pid| host.as_ref().and_then(|host| listeners::of(host, pid).ok()).unwrap_or_default();
            super::say(&propose(&places.root, &running, &listeners));
            ExitCode::SUCCESS
        }
        Err(error) => super::failed(&format!("cannot list the processes: {error}")),
    }
}

fn running(root: &Path) -> std::io::Result<Vec<Running>> {
    let processes = root.join("proc");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(&processes)? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let dir = processes.join(format!("{pid}"));
        // A process that ends meanwhile is none.
        let Ok(name) = std::fs::read_to_string(dir.join("comm")) else { continue };
        let line = std::fs::read(dir.join("cmdline")).unwrap_or_default();
        let argument = line.split(|byte| *byte == 0).next().unwrap_or_default();
        let argument = String::from_utf8_lossy(argument).into_owned();
        found.push(Running { pid, name: name.trim_end().to_owned(), argument });
    }
    found.sort_by_key(|process| process.pid);
    Ok(found)
}

fn propose(root: &Path, running: &[Running], listeners: &dyn Fn(u32) -> Vec<Listener>) -> String {
    let mut page = HEAD.to_owned();
    for daemon in KNOWN {
        // The kernel cuts names to 15 bytes.
        let comm = daemon.program.get(..15).unwrap_or(daemon.program);
        let processes: Vec<_> = running.iter().filter(|process| process.name == comm).collect();
        let Some(first) = processes.first() else { continue };
        let Some((pid, way)) = way_to_find(root, daemon, &processes) else {
            let (program, pid) = (daemon.program, first.pid);
            let _ = writeln!(page, "\n# {program} runs (pid {pid}), but no pidfile and no program name lead to it.");
            continue;
        };
        let _ = write!(page, "\n{}[process.{}]\n{way}", addresses(&listeners(pid)), daemon.id);
        match way_to_start(root, daemon) {
            Some(way) => page.push_str(&way),
            None => page
                .push_str("# Nothing found that starts it, so it is only watched: start = [\"/path\", \"argument\"]\n"),
        }
    }
    page
}

/// A comment that says where a daemon listens, if it does.
fn addresses(listeners: &[Listener]) -> String {
    if listeners.is_empty() {
        return String::new();
    }
    let told: Vec<_> = listeners.iter().take(ADDRESSES).map(Listener::to_string).collect();
    let rest = match listeners.len().saturating_sub(ADDRESSES) {
        0 => String::new(),
        rest => format!(" and {rest} more"),
    };
    format!("# listens on {}{rest}\n", told.join(", "))
}

/// The process that leads to the others, and the line that finds it.
fn way_to_find(root: &Path, daemon: &Known, processes: &[&Running]) -> Option<(u32, String)> {
    for pidfile in daemon.pidfiles {
        let text = std::fs::read_to_string(root.join(pidfile)).unwrap_or_default();
        let pid: Option<u32> = text.lines().next().and_then(|line| line.trim().parse().ok());
        if let Some(process) = processes.iter().find(|process| Some(process.pid) == pid) {
            return Some((process.pid, format!("pidfile = \"/{pidfile}\"\n")));
        }
    }
    let is_program = |process: &&&Running| process.argument.rsplit('/').next() == Some(daemon.program);
    processes.iter().find(is_program).map(|process| (process.pid, format!("match = \"{}\"\n", daemon.program)))
}

fn way_to_start(root: &Path, daemon: &Known) -> Option<String> {
    let is_there = |path: &str| root.join(path).exists();
    let lines = |program: &str, before: &str, after: &str| {
        let line = |verb: &str| {
            let words = [program, before.replace("VERB", verb).as_str(), after.replace("VERB", verb).as_str()]
                .iter()
                .filter(|word| !word.is_empty())
                .map(|word| format!("\"{word}\""))
                .collect::<Vec<_>>();
            words.join(", ")
        };
        format!("start = [{}]\nstop = [{}]\n", line("start"), line("stop"))
    };
    if is_there("run/systemd/system") {
        let dirs = ["etc/systemd/system", "lib/systemd/system", "usr/lib/systemd/system"];
        let unit = |service: &&&str| dirs.iter().any(|dir| is_there(&format!("{dir}/{service}.service")));
        let systemctl = ["usr/bin/systemctl", "bin/systemctl"].iter().find(|path| is_there(path));
        if let (Some(service), Some(systemctl)) = (daemon.services.iter().find(unit), systemctl) {
            return Some(lines(&format!("/{systemctl}"), "VERB", &format!("{service}.service")));
        }
    }
    let script = daemon.services.iter().map(|service| format!("etc/init.d/{service}")).find(|path| is_there(path))?;
    Some(lines(&format!("/{script}"), "VERB", ""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;
    use watchd_probes::listeners::Transport;

    fn process(pid: u32, name: &str, argument: &str) -> Running {
        Running { pid, name: name.to_owned(), argument: argument.to_owned() }
    }

    fn listeners(count: usize) -> Vec<Listener> {
        let ports = (80..).take(count);
        ports.map(|port| Listener { transport: Transport::Tcp, address: ([0, 0, 0, 0], port).into() }).collect()
    }

    fn root(files: &[(&str, &str)]) -> Scratch {
        let root = Scratch::new();
        for (path, text) in files {
            root.write(path, text);
        }
        root
    }

    #[test]
    fn a_daemon_is_found_by_the_surest_way() {
        let root = root(&[
            ("run/nginx.pid", "10\n"),
            ("run/sshd.pid", "99\n"),
            ("etc/init.d/nginx", ""),
            ("etc/init.d/cron", ""),
        ]);
        let running = [
            process(10, "nginx", "nginx: master process /usr/sbin/nginx"),
            process(11, "cron", "/usr/sbin/cron"),
            process(12, "sshd", "sshd: /usr/sbin/sshd -D [listener]"),
            process(13, "kworker/0:1", ""),
        ];
        let listens = |pid| if pid == 10 { listeners(2) } else { Vec::new() };
        let page = propose(&root, &running, &listens);
        let nginx = "\n\n# listens on 0.0.0.0:80, 0.0.0.0:81\n[process.nginx]\npidfile = \"/run/nginx.pid\"\nstart = [\"/etc/init.d/nginx\", \"start\"]\n";
        assert!(page.contains(nginx), "{page}");
        assert!(
            page.contains("[process.cron]\nmatch = \"cron\"\nstart = [\"/etc/init.d/cron\", \"start\"]\n"),
            "{page}"
        );
        assert!(page.contains("# sshd runs (pid 12), but"), "a stale pidfile leads nowhere:\n{page}");
        assert!(!page.contains("kworker"));
    }

    #[test]
    fn a_long_list_of_addresses_is_cut() {
        assert_eq!(addresses(&[]), "");
        let page = addresses(&listeners(ADDRESSES + 3));
        assert!(page.starts_with("# listens on 0.0.0.0:80, ") && page.ends_with(":85 and 3 more\n"), "{page}");
    }

    #[test]
    fn units_come_before_scripts_where_systemd_runs() {
        let files = [
            ("run/systemd/system/x", ""),
            ("usr/bin/systemctl", ""),
            ("usr/lib/systemd/system/cron.service", ""),
            ("etc/init.d/cron", ""),
        ];
        let root = root(&files);
        let page = propose(&root, &[process(1, "cron", "/usr/sbin/cron")], &|_| Vec::new());
        assert!(page.contains("start = [\"/usr/bin/systemctl\", \"start\", \"cron.service\"]\n"), "{page}");
        assert!(page.contains("stop = [\"/usr/bin/systemctl\", \"stop\", \"cron.service\"]\n"), "{page}");
    }
}
