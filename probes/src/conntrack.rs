//! Connections that the firewall follows, from /proc/net/nf_conntrack (ip_conntrack before 2.6.20, without the first two columns):
//!
//! ```text
//! ipv4     2 tcp      6 431999 ESTABLISHED src=10.0.0.5 dst=198.51.100.8 sport=40001 dport=443 src=198.51.100.8 dst=203.0.113.9 … [ASSURED] …
//! ```
//!
//! It is read twice a minute while it is short, which most are. That of a busy firewall has some hundred thousand lines: there [`ask`] runs
//! in a child, and [`Conntrack::supply`] takes the counts. Only root may read it; a host without it has none of these.

use std::time::Duration;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::metric::metrics;
use crate::{Buffer, Cursor, Fault, Fields, Host, Look, MetricId, Now, Pace, Probe, Sink};

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

/// How many there are; not on the oldest kernels.
const COUNT: &str = "proc/sys/net/netfilter/nf_conntrack_count";
/// As many lines take about a millisecond.
const SHORT: u64 = 500;

/// States of TCP that are counted.
static STATES: [(&[u8], MetricId); 4] =
    [(b"ESTABLISHED", ESTABLISHED), (b"FIN_WAIT", FIN_WAIT), (b"TIME_WAIT", TIME_WAIT), (b"SYN_SENT", SYN_SENT)];

/// A count for each metric, in their order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Table([u64; METRICS.len()]);

pub struct Conntrack {
    last: Option<Table>,
    /// When it was counted.
    at: Duration,
    pace: Pace,
    is_long: bool,
}

impl Default for Conntrack {
    fn default() -> Self {
        Self { last: None, at: Duration::ZERO, pace: Pace::at_most_every(Pace::USUAL), is_long: false }
    }
}

impl Conntrack {
    /// Whether the table is too long to be read in a turn, so that a child has to.
    pub fn is_long(&self) -> bool {
        self.is_long
    }

    /// Takes what the child counted, and when it was asked to; none when it could not.
    pub fn supply(&mut self, table: Option<Table>, at: Duration) {
        (self.last, self.at) = (table, at);
    }
}

impl Probe for Conntrack {
    fn read(&mut self, look: &mut Look<'_>, out: &mut Sink<'_>) -> Result<(), Fault> {
        let (host, now) = (look.host, look.now);
        self.pace.run(now, || {
            let count = number(host, COUNT);
            self.is_long = count.map_or_else(|| is_present(host), |count| count > SHORT);
            if !self.is_long {
                (self.last, self.at) = (ask(host, look.buffer), now.mono);
            }
        });
        for (place, count) in self.last.iter().flat_map(|table| table.0.iter().enumerate()) {
            let metric = MetricId::new(crate::ProbeId::Conntrack, u8::try_from(place).unwrap_or(0));
            if metric != LIMIT || *count > 0 {
                out.host(metric, *count);
            }
        }
        Ok(())
    }

    fn age(&self, now: Now) -> Duration {
        now.mono.saturating_sub(self.at)
    }
}

/// Whether there is a table that we may read.
fn is_present(host: &Host) -> bool {
    TABLES.iter().any(|path| host.open_file(path).is_ok())
}

/// Counts all connections, however many there are.
pub fn ask(host: &Host, buffer: &mut Buffer) -> Option<Table> {
    let (path, file) = TABLES.iter().find_map(|path| Some((*path, host.open_file(path).ok()?)))?;
    let mut table = Table::default();
    let mut take = |_, line: &[u8]| {
        table.take(line);
        Ok(())
    };
    buffer.each_line(&file, path, &mut take).ok()?;
    let limit = LIMITS.iter().find_map(|path| number(host, path));
    table.add(LIMIT, limit.unwrap_or(0));
    Some(table)
}

/// The number that a file holds.
fn number(host: &Host, path: &str) -> Option<u64> {
    let mut text = [0; 32];
    Cursor::new(host.read_small(path.as_bytes(), &mut text).ok()?.strip_suffix(b"\n")?).whole_number()
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
    use crate::trial::{read_fixture, value};
    use crate::{ProbeId, Value};

    fn count(lines: &[&str]) -> Table {
        let mut table = Table::default();
        lines.iter().for_each(|line| table.take(line.as_bytes()));
        table
    }

    #[test]
    fn connections_are_counted_by_kind() {
        let mut probe = Conntrack::default();
        let rows = read_fixture("big", ProbeId::Conntrack, &mut probe).expect("readable");
        assert!(!probe.is_long(), "ten lines are read in the turn");
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
        assert_eq!(read_fixture("nopsi", ProbeId::Conntrack, &mut Conntrack::default()), Ok(vec![]));
    }

    #[test]
    fn a_long_table_is_left_to_a_child() {
        let dir = std::env::temp_dir().join(format!("watchd-conntrack-{}", std::process::id()));
        for (path, text) in [(TABLES[0], "ipv4 2 udp 17 1 src=1\n".repeat(700)), (COUNT, "700\n".to_owned())] {
            let path = dir.join(path);
            std::fs::create_dir_all(path.parent().expect("it has one")).expect("a directory can be made");
            std::fs::write(path, text).expect("a file can be written");
        }
        let (host, mut buffer, mut probe) =
            (Host::open(&dir).expect("it is there"), Buffer::default(), Conntrack::default());
        let mut read = |probe: &mut Conntrack, secs| {
            let now = crate::Now { mono: Duration::from_secs(secs), ..crate::Now::default() };
            let mut look = Look { host: &host, buffer: &mut buffer, now };
            crate::trial::readings(ProbeId::Conntrack, |out| probe.read(&mut look, out)).expect("readable")
        };
        assert!(read(&mut probe, 100).is_empty() && probe.is_long());
        probe.supply(ask(&host, &mut Buffer::default()), Duration::ZERO);
        let rows = read(&mut probe, 110);
        assert_eq!((value(&rows, "all", ""), value(&rows, "udp", "")), (Some(Value::Int(700)), Some(Value::Int(700))));
        assert_eq!(value(&rows, "limit", ""), None, "there is no such file");
        probe.supply(None, Duration::ZERO);
        assert!(read(&mut probe, 120).is_empty(), "what a child could not count is not told");
        // Without a count it may be as long as it likes; cut, it has no counts.
        std::fs::remove_file(dir.join(COUNT)).expect("it is ours");
        assert!(read(&mut probe, 200).is_empty() && probe.is_long());
        std::fs::write(dir.join(COUNT), "3\n").expect("a file can be written");
        std::fs::write(dir.join(TABLES[0]), "ipv4 2 udp 17 1 src=1\nipv4 2 ud").expect("a file can be written");
        assert!(read(&mut probe, 300).is_empty() && !probe.is_long());
        std::fs::remove_dir_all(&dir).expect("it is ours");
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
