//! Connections that the firewall follows, from /proc/net/nf_conntrack (ip_conntrack before 2.6.20, without the first two columns):
//!
//! ```text
//! ipv4     2 tcp      6 431999 ESTABLISHED src=10.0.0.5 dst=198.51.100.8 sport=40001 dport=443 src=198.51.100.8 dst=203.0.113.9 … [ASSURED] …
//! ```
//!
//! The table of a busy firewall has some hundred thousand lines, so nothing is read in a turn: [`ask`] runs in a child, line by line, and
//! [`Conntrack::supply`] takes the counts. Only root may read it; a host without it has none of these.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::metric::metrics;
use crate::{Buffer, Cursor, Fault, Fields, Host, Look, MetricId, Probe, Sink};

metrics! { Conntrack:
    ALL: "all", Count, Gauge, "watchd_conntrack_entries", "kind=\"all\"", "Connections the firewall follows, by kind.";
    LIMIT: "limit", Count, Gauge, "watchd_conntrack_limit", "", "Connections the firewall can follow at most.";
    ESTABLISHED: "established", Count, Gauge, "watchd_conntrack_entries", "kind=\"established\"", "Connections the firewall follows, by kind.";
    FIN_WAIT: "fin_wait", Count, Gauge, "watchd_conntrack_entries", "kind=\"fin_wait\"", "Connections the firewall follows, by kind.";
    TIME_WAIT: "time_wait", Count, Gauge, "watchd_conntrack_entries", "kind=\"time_wait\"", "Connections the firewall follows, by kind.";
    SYN_SENT: "syn_sent", Count, Gauge, "watchd_conntrack_entries", "kind=\"syn_sent\"", "Connections the firewall follows, by kind.";
    UDP: "udp", Count, Gauge, "watchd_conntrack_entries", "kind=\"udp\"", "Connections the firewall follows, by kind.";
    ASSURED: "assured", Count, Gauge, "watchd_conntrack_entries", "kind=\"assured\"", "Connections the firewall follows, by kind.";
    TRANSLATED: "translated", Count, Gauge, "watchd_conntrack_entries", "kind=\"translated\"", "Connections the firewall follows, by kind.";
    FORWARDED: "forwarded", Count, Gauge, "watchd_conntrack_entries", "kind=\"forwarded\"", "Connections the firewall follows, by kind.";
    LOCAL: "local", Count, Gauge, "watchd_conntrack_entries", "kind=\"local\"", "Connections the firewall follows, by kind.";
}
pub const LABELS: &[&str] = &[];

const TABLES: [&str; 2] = ["proc/net/nf_conntrack", "proc/net/ip_conntrack"];
const LIMITS: [&str; 4] = [
    "proc/sys/net/nf_conntrack_max",
    "proc/sys/net/netfilter/nf_conntrack_max",
    "proc/sys/net/ipv4/ip_conntrack_max",
    "proc/sys/net/ipv4/netfilter/ip_conntrack_max",
];

/// States of TCP that are counted.
static STATES: [(&[u8], MetricId); 4] =
    [(b"ESTABLISHED", ESTABLISHED), (b"FIN_WAIT", FIN_WAIT), (b"TIME_WAIT", TIME_WAIT), (b"SYN_SENT", SYN_SENT)];

/// A count for each metric, in their order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Table([u64; METRICS.len()]);

#[derive(Default)]
pub struct Conntrack {
    last: Option<Table>,
}

impl Conntrack {
    /// Takes what the child counted; none when it could not.
    pub fn supply(&mut self, table: Option<Table>) {
        self.last = table;
    }
}

impl Probe for Conntrack {
    fn read(&mut self, _: &mut Look<'_>, out: &mut Sink<'_>) -> Result<(), Fault> {
        for (place, count) in self.last.iter().flat_map(|table| table.0.iter().enumerate()) {
            let metric = MetricId::new(crate::ProbeId::Conntrack, u8::try_from(place).unwrap_or(0));
            if metric != LIMIT || *count > 0 {
                out.host(metric, *count);
            }
        }
        Ok(())
    }
}

/// Whether there is a table that we may read.
pub fn is_present(host: &Host) -> bool {
    TABLES.iter().any(|path| host.open_file(path).is_ok())
}

/// Counts all connections, however many there are.
pub fn ask(host: &Host) -> Option<Table> {
    let (path, file) = TABLES.iter().find_map(|path| Some((*path, host.open_file(path).ok()?)))?;
    let mut table = Table::default();
    let mut take = |_, line: &[u8]| {
        table.take(line);
        Ok(())
    };
    Buffer::default().each_line(&file, path, &mut take).ok()?;
    let mut text = [0; 32];
    let limit = LIMITS.iter().find_map(|path| {
        let line = host.read_small(path.as_bytes(), &mut text).ok()?.strip_suffix(b"\n")?;
        Cursor::new(line).whole_number()
    });
    table.add(LIMIT, limit.unwrap_or(0));
    Some(table)
}

impl Table {
    fn add(&mut self, metric: MetricId, count: u64) {
        if let Some(sum) = self.0.get_mut(metric.place()) {
            *sum += count;
        }
    }

    /// Counts one line, as Munin's plugins understand it.
    fn take(&mut self, line: &[u8]) {
        self.add(ALL, 1);
        let has = |part: &[u8]| line.windows(part.len()).any(|piece| piece == part);
        self.add(UDP, has(b"udp ").into());
        self.add(ASSURED, has(b"ASSURED").into());
        let (mut words, mut is_established) = (Fields::new(line), false);
        if words.by_ref().any(|word| word == b"tcp") && words.number().and(words.number()).is_some() {
            let word = words.next();
            if let Some((_, metric)) = STATES.iter().find(|(state, _)| word == Some(state)) {
                self.add(*metric, 1);
                is_established = *metric == ESTABLISHED;
            }
        }
        let Some([(from, to), (back_from, back_to)]) = ends(line) else { return };
        self.add(TRANSLATED, u64::from(from != back_to || to != back_from));
        if is_established {
            self.add(if from == back_to { LOCAL } else { FORWARDED }, 1);
        }
    }
}

/// Source and destination of the way there, which has ports, and of the way back.
fn ends(line: &[u8]) -> Option<[(&[u8], &[u8]); 2]> {
    let (mut first, mut last) = (None, None);
    let mut words = Fields::new(line);
    while let Some(word) = words.next() {
        let Some(from) = word.strip_prefix(b"src=") else { continue };
        let mut ahead = words.clone();
        let Some(to) = ahead.next().and_then(|word| word.strip_prefix(b"dst=")) else { continue };
        match first {
            None if ahead.next().is_some_and(|word| word.starts_with(b"sport")) => first = Some((from, to)),
            None => {}
            Some(_) => last = Some((from, to)),
        }
    }
    Some([first?, last?])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trial::{fixture, read_fixture, value};
    use crate::{ProbeId, Value};

    fn count(lines: &[&str]) -> Table {
        let mut table = Table::default();
        lines.iter().for_each(|line| table.take(line.as_bytes()));
        table
    }

    #[test]
    fn connections_are_counted_by_kind() {
        let host = Host::open(&fixture("big")).expect("the fixture is there");
        assert!(is_present(&host));
        let mut probe = Conntrack::default();
        assert_eq!(read_fixture("big", ProbeId::Conntrack, &mut probe), Ok(vec![]), "nobody has counted yet");
        probe.supply(ask(&host));
        let rows = read_fixture("big", ProbeId::Conntrack, &mut probe).expect("readable");
        for (field, expect) in [
            ("all", 10),
            ("limit", 262_144),
            ("established", 3),
            ("fin_wait", 1),
            ("time_wait", 1),
            ("syn_sent", 1),
            ("udp", 2),
            ("assured", 6),
            ("translated", 2),
            ("forwarded", 1),
            ("local", 2),
        ] {
            assert_eq!(value(&rows, field, ""), Some(Value::Int(expect)), "{field}");
        }
        probe.supply(None);
        assert_eq!(read_fixture("big", ProbeId::Conntrack, &mut probe), Ok(vec![]));
        let host = Host::open(&fixture("nopsi")).expect("the fixture is there");
        assert!(!is_present(&host) && ask(&host).is_none());
    }

    #[test]
    fn odd_lines_are_connections_of_no_kind() {
        let old = "tcp      6 117 SYN_SENT src=1.1.1.1 dst=2.2.2.2 sport=1 dport=2 [UNREPLIED] src=2.2.2.2 dst=1.1.1.1 sport=2 dport=1 use=1";
        assert_eq!((count(&[old]).0[SYN_SENT.place()], count(&[old]).0[TRANSLATED.place()]), (1, 0));
        // The way back begins elsewhere: what was asked for was somebody else's address.
        let there = "ipv4 2 tcp 6 9 ESTABLISHED src=1.1.1.1 dst=9.9.9.9 sport=1 dport=80 src=10.0.0.5 dst=1.1.1.1 sport=80 dport=1";
        let found = count(&[there]).0;
        assert_eq!((found[TRANSLATED.place()], found[LOCAL.place()], found[FORWARDED.place()]), (1, 1, 0));
        for line in [
            "",
            "tcp",
            "tipc 6 1 ESTABLISHED",
            "tcp 6",
            "tcp x 1 ESTABLISHED",
            "tcp 6 1 ESTABLISHEDX src=1 dst=2 sport=1",
            "ipv4 2 icmp 1 29 src=1 dst=2 type=8 src=2 dst=3 type=0",
            "src= dst=",
            "src=1 sport=2 dst=3 src=4 dst=5",
            "src=1 dst=2 sport=1 src=2",
            "\u{0}\u{ff} tcp\t6\t99999999999999999999\tESTABLISHED",
        ] {
            let Table(counts) = count(&[line]);
            assert_eq!((counts[0], counts.iter().sum::<u64>()), (1, 1), "{line}");
        }
        // Cut anywhere, a line is still one connection, and never of more kinds than the whole.
        let line =
            "ipv4 2 tcp 6 431999 ESTABLISHED src=1 dst=2 sport=1 dport=2 src=2 dst=9 sport=2 dport=1 [ASSURED] use=2";
        let whole = count(&[line]);
        for cut in 0..line.len() {
            let part = count(&[&line[..cut]]);
            assert!(part.0.iter().zip(whole.0).all(|(part, whole)| *part <= whole || cut > 80), "{cut}: {part:?}");
        }
    }
}
