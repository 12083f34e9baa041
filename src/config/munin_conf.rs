//! A munin-node.conf, and what of it a `[munin]` table can say.
//!
//! ```text
//! host_name web.example
//! allow ^127\.0\.0\.1$
//! cidr_allow 192.0.2.0/24
//! ```
//!
//! Every line is either carried over, or has no meaning for us, or is reported with its number.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::plugin_conf::uncommented;
use crate::model::{Network, Regex};

/// What was understood.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct MuninConf {
    pub host_name: Option<String>,
    pub listen: Vec<SocketAddr>,
    /// Networks, and expressions that begin with `^`.
    pub allow: Vec<String>,
    /// Some of them may not all the same, which cannot be said.
    pub has_deny: bool,
    /// Line, its text, and why it is not carried over.
    pub left: Vec<(u32, String, &'static str)>,
}

/// Keys about how munin-node itself runs, which say nothing about us.
const OURS: &[&str] = &[
    "log_level",
    "log_file",
    "pid_file",
    "background",
    "setsid",
    "user",
    "group",
    "max_servers",
    "reverse_lookups",
    "paranoia",
];

/// Files beside plugins that nobody runs, as Debian's munin-node.conf has them.
const IGNORED: &[&str] =
    &["[\\#~]$", "DEADJOE$", "\\.bak$", "%$", "\\.dpkg-(tmp|new|old|dist)$", "\\.rpm(save|new)$", "\\.pod$"];

/// What munin-node does without a line that says otherwise.
const PORT: u16 = 4949;

pub fn read_munin_conf(text: &str) -> MuninConf {
    let (mut conf, mut hosts, mut port, mut has_lists) = (MuninConf::default(), Vec::new(), PORT, false);
    let mut known = BTreeSet::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = uncommented(line);
        let (key, value) = halves(line.trim());
        let mut leave = |why| conf.left.push((number, line.trim().chars().take(80).collect(), why));
        match key {
            "" => {}
            _ if OURS.contains(&key) => {}
            "host_name" | "hostname" if is_host(value) => conf.host_name = Some(value.to_owned()),
            "port" => match value.parse() {
                Ok(number) if number != 0 => port = number,
                _ => leave("it is no port"),
            },
            "host" => match value {
                "*" => hosts.extend([IpAddr::from(Ipv4Addr::UNSPECIFIED), Ipv6Addr::UNSPECIFIED.into()]),
                _ => match value.parse() {
                    Ok(address) => hosts.push(address),
                    Err(_) => leave("write its address in numbers into `listen`"),
                },
            },
            "allow" | "cidr_allow" => {
                has_lists = true;
                match if key == "allow" { expression(value) } else { network(value) } {
                    Some(allowed) if known.contains(&allowed) => {}
                    Some(allowed) => {
                        known.insert(allowed.clone());
                        conf.allow.push(allowed);
                    }
                    None => leave("it cannot be understood; write the network into `allow`"),
                }
            }
            "deny" | "cidr_deny" => {
                (has_lists, conf.has_deny) = (true, true);
                leave("there is no list of who may not; leave them out of `allow`");
            }
            "ignore_file" if IGNORED.contains(&value) => {}
            "ignore_file" => leave("such files are run when they can be; move them elsewhere"),
            "timeout" => leave("a plugin has 60 s; say otherwise with `timeout` in plugin-conf.d"),
            "global_timeout" => leave("a connection has 900 s"),
            "default_plugin_user" | "default_plugin_group" => leave("say it in plugin-conf.d, below [*]"),
            "spooldir" => leave("there is no spool"),
            _ if key.starts_with("tls") => leave("there is no TLS; use ssh or stunnel"),
            _ => leave("it is not known"),
        }
    }
    if hosts.is_empty() {
        hosts = vec![Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()];
    }
    let any = |is_ipv4: bool| hosts.iter().any(|host| host.is_unspecified() && host.is_ipv4() == is_ipv4);
    let (any_four, any_six) = (any(true), any(false));
    let mut listening = BTreeSet::new();
    for host in hosts {
        let is_covered = !host.is_unspecified() && if host.is_ipv4() { any_four } else { any_six };
        if !is_covered && listening.insert(host) {
            conf.listen.push(SocketAddr::new(host, port));
        }
    }
    if !has_lists {
        // Without a list munin-node lets everybody in.
        conf.allow = vec!["0.0.0.0/0".to_owned(), "::/0".to_owned()];
    }
    conf
}

/// Key and value, between them white space, or `=` or `:` as Net::Server takes them.
fn halves(line: &str) -> (&str, &str) {
    let is_key = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let (key, rest) = line.split_at(line.find(|letter| !is_key(letter)).unwrap_or(line.len()));
    let value = rest.trim_start();
    match value.strip_prefix('=').or_else(|| rest.strip_prefix(':')) {
        Some(value) if !key.is_empty() => (key, value.trim()),
        _ if key.is_empty() || rest.starts_with(|letter: char| !letter.is_whitespace()) => (line, ""),
        _ => (key, value.trim()),
    }
}

fn is_host(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
}

/// An expression of munin-node, which stands for the whole address; one that can only mean one address becomes that.
fn expression(text: &str) -> Option<String> {
    let bare = text.strip_prefix('^').unwrap_or(text);
    let bare = bare.strip_suffix('$').unwrap_or(bare);
    let plain = bare.replace("\\.", ".");
    if let Ok(address) = plain.parse::<IpAddr>().map(|address| address.to_string()) {
        return Some(address);
    }
    let whole = format!("^{bare}$");
    // A quote would end the TOML string it is written in, which takes no control characters either.
    let fits = |letter: char| letter != '\'' && !letter.is_control();
    Regex::whole(&whole).ok().filter(|_| whole.chars().all(fits)).map(|_| whole)
}

fn network(text: &str) -> Option<String> {
    match text.parse::<Network>() {
        Ok(network) => Some(network.to_string()),
        // munin-node ignores the bits behind the length as well.
        Err(crate::model::NetworkError::HostBits(meant)) => Some(meant.to_string()),
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = "# Debian\nlog_level 4\nhost_name web.example\nallow ^127\\.0\\.0\\.1$\nallow ^::1$\n\
                          allow ^10\\.0\\.\\d+\\.7$\ncidr_allow 192.0.2.9/24\nhost *\nport 4950\n";

    #[test]
    fn what_can_be_said_is_carried_over() {
        let conf = read_munin_conf(SAMPLE);
        assert_eq!(conf.host_name.as_deref(), Some("web.example"));
        assert_eq!(conf.allow, ["127.0.0.1", "::1", "^10\\.0\\.\\d+\\.7$", "192.0.2.0/24"]);
        let listen: Vec<String> = conf.listen.iter().map(ToString::to_string).collect();
        assert_eq!((listen.as_slice(), conf.left.len()), (&["0.0.0.0:4950".to_owned(), "[::]:4950".to_owned()][..], 0));
    }

    #[test]
    fn lines_are_read_as_munin_node_reads_them() {
        for (line, expect) in [
            ("host 127.0.0.1 # local", "127.0.0.1:4949"),
            ("host=127.0.0.1#local", "127.0.0.1:4949"),
            ("host = 127.0.0.1", "127.0.0.1:4949"),
            ("host: 127.0.0.1", "127.0.0.1:4949"),
            ("host ::1", "[::1]:4949"),
            ("  host\t127.0.0.1  ", "127.0.0.1:4949"),
            ("host 127.0.0.1\nport 4950 # mine\n# port 1", "127.0.0.1:4950"),
        ] {
            let conf = read_munin_conf(line);
            let listen: Vec<String> = conf.listen.iter().map(ToString::to_string).collect();
            assert_eq!((listen, conf.left), (vec![expect.to_owned()], vec![]), "{line}");
        }
        assert_eq!(read_munin_conf("host_name web.example # of ours").host_name.as_deref(), Some("web.example"));
    }

    #[test]
    fn what_cannot_be_said_is_reported() {
        for (line, why) in [
            ("deny ^10\\.", "leave them out"),
            ("cidr_deny 10.0.0.0/8", "leave them out"),
            ("allow (", "cannot be understood"),
            ("allow it's", "cannot be understood"),
            ("cidr_allow 10.0.0.0/99", "cannot be understood"),
            ("port 0", "no port"),
            ("port x", "no port"),
            ("host example.org", "in numbers"),
            ("host_name a b", "not known"),
            ("host_name", "not known"),
            ("timeout 10", "60 s"),
            ("tls enabled", "no TLS"),
            ("tls_private_key /x", "no TLS"),
            ("nonsense 7", "not known"),
            ("host-name x", "not known"),
            ("= 7", "not known"),
            ("host", "in numbers"),
            ("port: x", "no port"),
            ("ignore_file mine$", "move them elsewhere"),
            ("allow a\tb", "cannot be understood"),
            ("allow ^\u{7}$", "cannot be understood"),
            ("\u{1b}[31m", "not known"),
        ] {
            let conf = read_munin_conf(&format!("\n{line}\n"));
            assert!(matches!(conf.left.as_slice(), [(2, _, found)] if found.contains(why)), "{line}: {conf:?}");
        }
    }

    #[test]
    fn without_a_list_everybody_may_and_with_one_only_who_is_on_it() {
        assert_eq!(read_munin_conf("").allow, ["0.0.0.0/0", "::/0"]);
        assert!(read_munin_conf("deny ^10\\.").allow.is_empty());
        for (text, expect) in
            [("127", "^127$"), (".*", "^.*$"), ("^192\\.0\\.2\\.1$", "192.0.2.1"), ("fe80::1", "fe80::1")]
        {
            assert_eq!(expression(text).as_deref(), Some(expect), "{text}");
        }
    }

    #[test]
    fn addresses_are_listened_to_once() {
        for (hosts, expect) in [
            (&["*", "*", "::"][..], &["0.0.0.0:4949", "[::]:4949"][..]),
            (&["127.0.0.1", "*"], &["0.0.0.0:4949", "[::]:4949"]),
            (&["127.0.0.1", "::1", "127.0.0.1"], &["127.0.0.1:4949", "[::1]:4949"]),
            (&["::", "192.0.2.1"], &["[::]:4949", "192.0.2.1:4949"]),
        ] {
            let text: String = hosts.iter().map(|host| format!("host {host}\n")).collect();
            let listen: Vec<String> = read_munin_conf(&text).listen.iter().map(ToString::to_string).collect();
            assert_eq!(listen, expect, "{hosts:?}");
        }
    }

    #[test]
    fn a_cut_file_is_no_panic() {
        for end in 0..SAMPLE.len() {
            let _ = read_munin_conf(&SAMPLE[..end]);
        }
    }
}
