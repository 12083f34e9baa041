//! What does not change while the host is up: distribution, kernel, architecture, name, processors. Asked once.

use std::net::{Ipv4Addr, Ipv6Addr};

use sysinfo::System;

/// The host's fixed facts; an empty text is one that could not be told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inventory {
    /// `debian`
    pub distribution: String,
    /// `12`
    pub release: String,
    /// `6.1.0-18-amd64`
    pub kernel: String,
    /// `x86_64`
    pub architecture: String,
    pub host_name: String,
    pub cpus: usize,
    /// Its own addresses as the kernel writes them, without those of loopback and link: `192.0.2.2`, `2001:db8::2`.
    pub addresses: Vec<String>,
}

impl Inventory {
    /// Asks the running system; allocates and reads files, so not in the turn.
    pub fn take() -> Self {
        Self {
            distribution: System::distribution_id(),
            release: System::os_version().unwrap_or_default(),
            kernel: System::kernel_version().unwrap_or_default(),
            architecture: System::cpu_arch(),
            host_name: System::host_name().unwrap_or_default(),
            cpus: std::thread::available_parallelism().map_or(0, usize::from),
            addresses: addresses(),
        }
    }
}

fn addresses() -> Vec<String> {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let mut all = of_trie(&read("/proc/net/fib_trie"));
    all.extend(of_interfaces(&read("/proc/net/if_inet6")));
    all
}

/// What /proc/net/fib_trie calls local: a line `|-- 192.0.2.2`, and below it `/32 host LOCAL`. Each stands there once a table.
fn of_trie(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut last: Option<Ipv4Addr> = None;
    for line in text.lines() {
        let words = line.trim_start();
        if let Some(leaf) = words.strip_prefix("|-- ") {
            last = leaf.parse().ok();
        } else if words == "/32 host LOCAL"
            && let Some(address) = last.filter(|address| !address.is_loopback() && !address.is_link_local())
            && !found.contains(&address.to_string())
        {
            found.push(address.to_string());
        }
    }
    found
}

/// Lines of /proc/net/if_inet6: `20010db8000000000000000000000002 02 40 00 80 eth0`; the fourth is the scope, 00 is everywhere.
fn of_interfaces(text: &str) -> Vec<String> {
    let address = |line: &str| {
        let mut fields = line.split_ascii_whitespace();
        let (digits, scope) = (fields.next()?, fields.nth(2)?);
        let bits = u128::from_str_radix(digits, 16).ok().filter(|_| digits.len() == 32 && scope == "00")?;
        Some(Ipv6Addr::from(bits).to_string())
    };
    text.lines().filter_map(address).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_one_plain_line() {
        let host = Inventory::take();
        for text in [&host.distribution, &host.release, &host.kernel, &host.architecture, &host.host_name] {
            assert!(!text.contains(['\n', '\0']), "{text:?}");
        }
        assert!(!host.kernel.is_empty() && !host.architecture.is_empty());
        assert!(host.cpus > 0);
    }

    #[test]
    fn the_addresses_are_those_by_which_others_reach_the_host() {
        let trie = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n     +-- 192.0.2.0/24 2 0 2\n        \
            +-- 192.0.2.0/30 2 0 2\n           |-- 192.0.2.0\n              /24 link UNICAST\n           |-- 192.0.2.2\n              \
            /32 host LOCAL\n        |-- 192.0.2.255\n           /32 link BROADCAST\n     |-- 127.0.0.1\n        /32 host LOCAL\n\
            Local:\n     |-- 192.0.2.2\n        /32 host LOCAL\n     |-- 169.254.1.1\n        /32 host LOCAL\n";
        assert_eq!(of_trie(trie), ["192.0.2.2"]);
        for end in 0..trie.len() {
            let cut = of_trie(&trie[..end]);
            assert!(cut.is_empty() || cut == ["192.0.2.2"], "cut at {end}: {cut:?}");
        }
        let interfaces = "20010db8000000000000000000000002 02 40 00 80     eth0\n\
            fe800000000000000000000000000001 02 40 20 80     eth0\n00000000000000000000000000000001 01 80 10 80       lo\n";
        assert_eq!(of_interfaces(interfaces), ["2001:db8::2"]);
        assert_eq!(of_interfaces("20010db8 02 40 00 80 eth0\nx\n"), Vec::<String>::new());
    }
}
