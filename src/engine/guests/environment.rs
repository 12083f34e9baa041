//! What a plugin finds in its environment: what munin-node gives, then the owner's own variables, which have the last word.

use super::Kitchen;
use crate::model::{Call, GuestAsk, GuestSpec};

/// The same for every plugin: the places of a Debian munin-node, on which shell and Perl plugins rely.
const FIXED: &[(&str, &str)] = &[
    ("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
    ("LC_ALL", "C"),
    ("LANG", "C"),
    ("PYTHONIOENCODING", "utf8:replace"),
    ("MUNIN_CAP_MULTIGRAPH", "1"),
    ("MUNIN_DEBUG", "0"),
    ("MUNIN_PREFIX", "/usr"),
    ("MUNIN_CONFDIR", "/etc/munin"),
    ("MUNIN_BINDIR", "/usr/bin"),
    ("MUNIN_SBINDIR", "/usr/sbin"),
    ("MUNIN_DOCDIR", "/usr/doc"),
    ("MUNIN_LIBDIR", "/usr/share/munin"),
    ("MUNIN_HTMLDIR", "/var/cache/munin/www"),
    ("MUNIN_CGIDIR", "/usr/lib/munin/cgi"),
    ("MUNIN_CGITMPDIR", ""),
    ("MUNIN_DBDIR", "/var/lib/munin"),
    ("MUNIN_SPOOLDIR", "/var/lib/munin-async"),
    ("MUNIN_MANDIR", "/usr/share/man"),
    ("MUNIN_LOGDIR", "/var/log/munin"),
    ("MUNIN_STATEDIR", "/var/run/munin"),
    ("MUNIN_USER", "munin"),
    ("MUNIN_GROUP", "munin"),
    ("MUNIN_PLUGINUSER", "nobody"),
    ("MUNIN_VERSION", "2.0.73"),
    ("MUNIN_PERL", "/usr/bin/perl"),
    ("MUNIN_PERLLIB", "/usr/share/perl5"),
    ("MUNIN_GOODSH", "/bin/sh"),
    ("MUNIN_BASH", "/bin/bash"),
    ("MUNIN_PYTHON", "/usr/bin/env python3"),
    ("MUNIN_RUBY", "/usr/bin/env ruby"),
    ("MUNIN_OSTYPE", "linux"),
    ("MUNIN_HOSTNAME", "localhost.localdomain"),
    ("MUNIN_MKTEMP", "mktemp -p /tmp/"),
    ("MUNIN_HASSETR", "1"),
];

/// The whole environment of one run; of two equal names the later counts.
pub fn of(spec: &GuestSpec, kitchen: &Kitchen, call: Call) -> Vec<(String, String)> {
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let mut table: Vec<(String, String)> = FIXED.iter().map(own).collect();
    let master =
        call.peer.filter(|peer| !peer.is_unspecified()).map(|peer| peer.to_canonical().to_string()).unwrap_or_default();
    let state = match &spec.account {
        Some((user, ..)) => format!("{}/{user}", kitchen.state),
        None => kitchen.state.clone(),
    };
    table.push(("MUNIN_STATEFILE".to_owned(), format!("{state}/{}-{master}", spec.name)));
    table.push(("MUNIN_PLUGSTATE".to_owned(), state));
    table.push(("MUNIN_MASTER_IP".to_owned(), master));
    table.push(("FQDN".to_owned(), kitchen.host.clone()));
    if call.ask == GuestAsk::Dirty {
        table.push(("MUNIN_CAP_DIRTYCONFIG".to_owned(), "1".to_owned()));
    }
    table.extend(spec.variables.iter().cloned());
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_owner_has_the_last_word() {
        let spec = GuestSpec {
            name: "foo".to_owned(),
            words: Vec::new(),
            path: String::new(),
            account: Some(("nobody".to_owned(), 65534, vec![1])),
            variables: vec![("PATH".to_owned(), "/x".to_owned())],
            timeout: Duration::ZERO,
            host_name: None,
        };
        let kitchen = Kitchen { specs: Vec::new(), state: "/s".to_owned(), host: "h.example".to_owned() };
        let call = Call { ticket: 0, guest: 0, ask: GuestAsk::Dirty, peer: "::ffff:192.0.2.1".parse().ok() };
        let table = of(&spec, &kitchen, call);
        let last = |name: &str| table.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        assert_eq!(last("PATH"), Some("/x"));
        assert_eq!(last("MUNIN_STATEFILE"), Some("/s/nobody/foo-192.0.2.1"));
        assert_eq!(last("MUNIN_CAP_DIRTYCONFIG"), Some("1"));
        assert_eq!(last("FQDN"), Some("h.example"));
        assert_eq!(last("HOME"), None);
        let call = Call { ask: GuestAsk::Fetch, peer: None, ..call };
        let table = of(&spec, &kitchen, call);
        assert!(table.contains(&("MUNIN_STATEFILE".to_owned(), "/s/nobody/foo-".to_owned())));
        assert!(!table.iter().any(|(name, _)| name == "MUNIN_CAP_DIRTYCONFIG"));
    }
}
