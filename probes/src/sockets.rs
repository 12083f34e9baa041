//! Sockets and the counters of the network protocols, from sockstat, snmp and netstat below /proc/net.
//!
//! Three forms: names and numbers in turn, `TCP: inuse 9 orphan 0`; a line of names above a line of numbers, `Tcp: RtoMin …`
//! and `Tcp: 200 …`; one of each, `Ip6InReceives   12`. They are totals: the tables of single connections, /proc/net/tcp and
//! the like, take milliseconds on a busy host and are never read. A host without IPv6 has no files for it.

use crate::fault::if_present;
use crate::keys::{Finder, Keys};
use crate::metric::metrics;
use crate::{Cursor, Fault, Fields, Look, MetricId, Probe, Sink, Source, lines};

metrics! { Sockets:
    USED: "used", Count, Gauge, "node_sockstat_sockets_used", "", "Sockets of all kinds.";
    TCP_INUSE: "tcp_inuse", Count, Gauge, "node_sockstat_TCP_inuse", "", "TCP sockets in use.";
    TCP_ORPHAN: "tcp_orphan", Count, Gauge, "node_sockstat_TCP_orphan", "", "TCP sockets that no process holds.";
    TCP_TIME_WAIT: "tcp_time_wait", Count, Gauge, "node_sockstat_TCP_tw", "", "TCP sockets that wait after closing.";
    TCP_ALLOC: "tcp_alloc", Count, Gauge, "node_sockstat_TCP_alloc", "", "TCP sockets allocated.";
    TCP_MEM: "tcp_mem", Count, Gauge, "node_sockstat_TCP_mem", "", "Pages in TCP buffers.";
    UDP_INUSE: "udp_inuse", Count, Gauge, "node_sockstat_UDP_inuse", "", "UDP sockets in use.";
    UDP_MEM: "udp_mem", Count, Gauge, "node_sockstat_UDP_mem", "", "Pages in UDP buffers.";
    UDPLITE_INUSE: "udplite_inuse", Count, Gauge, "node_sockstat_UDPLITE_inuse", "", "UDP-Lite sockets in use.";
    RAW_INUSE: "raw_inuse", Count, Gauge, "node_sockstat_RAW_inuse", "", "Raw sockets in use.";
    FRAG_INUSE: "frag_inuse", Count, Gauge, "node_sockstat_FRAG_inuse", "", "Packets being put together from fragments.";
    FRAG_MEMORY: "frag_memory", Bytes, Gauge, "node_sockstat_FRAG_memory", "", "Bytes in fragments.";
    TCP6_INUSE: "tcp6_inuse", Count, Gauge, "node_sockstat_TCP6_inuse", "", "TCP sockets over IPv6 in use.";
    UDP6_INUSE: "udp6_inuse", Count, Gauge, "node_sockstat_UDP6_inuse", "", "UDP sockets over IPv6 in use.";
    RAW6_INUSE: "raw6_inuse", Count, Gauge, "node_sockstat_RAW6_inuse", "", "Raw sockets over IPv6 in use.";
    FRAG6_INUSE: "frag6_inuse", Count, Gauge, "node_sockstat_FRAG6_inuse", "", "IPv6 packets being put together from fragments.";
    FRAG6_MEMORY: "frag6_memory", Bytes, Gauge, "node_sockstat_FRAG6_memory", "", "Bytes in fragments of IPv6 packets.";
    UDPLITE6_INUSE: "udplite6_inuse", Count, Gauge, "node_sockstat_UDPLITE6_inuse", "", "UDP-Lite sockets over IPv6 in use.";
    TCP_MEM_BYTES: "tcp_mem_bytes", Bytes, Gauge, "node_sockstat_TCP_mem_bytes", "", "Bytes in TCP buffers, counted in whole pages.";
    UDP_MEM_BYTES: "udp_mem_bytes", Bytes, Gauge, "node_sockstat_UDP_mem_bytes", "", "Bytes in UDP buffers, counted in whole pages.";
    FORWARDING: "forwarding", Count, Gauge, "node_netstat_Ip_Forwarding", "", "1 when packets of others are forwarded, 2 when not.";
    UDPLITE_ERRORS: "udplite_errors", Count, Counter, "node_netstat_UdpLite_InErrors", "", "UDP-Lite packets received but lost.";
    IP_RECEIVED: "ip_received", Count, Counter, "node_netstat_Ip_InReceives", "", "IP packets received.";
    IP_FORWARDED: "ip_forwarded", Count, Counter, "node_netstat_Ip_ForwDatagrams", "", "IP packets forwarded.";
    ICMP_RECEIVED: "icmp_received", Count, Counter, "node_netstat_Icmp_InMsgs", "", "ICMP messages received.";
    ICMP_ERRORS: "icmp_errors", Count, Counter, "node_netstat_Icmp_InErrors", "", "ICMP messages received broken.";
    ICMP_SENT: "icmp_sent", Count, Counter, "node_netstat_Icmp_OutMsgs", "", "ICMP messages sent.";
    TCP_ACTIVE_OPENS: "tcp_active_opens", Count, Counter, "node_netstat_Tcp_ActiveOpens", "", "TCP connections opened from here.";
    TCP_PASSIVE_OPENS: "tcp_passive_opens", Count, Counter, "node_netstat_Tcp_PassiveOpens", "", "TCP connections accepted.";
    TCP_ATTEMPT_FAILS: "tcp_attempt_fails", Count, Counter, "node_netstat_Tcp_AttemptFails", "", "TCP connections that could not be opened.";
    TCP_ESTABLISHED_RESETS: "tcp_established_resets", Count, Counter, "node_netstat_Tcp_EstabResets", "", "Established TCP connections that were reset.";
    TCP_ESTABLISHED: "tcp_established", Count, Gauge, "node_netstat_Tcp_CurrEstab", "", "Established TCP connections.";
    TCP_RECEIVED: "tcp_received", Count, Counter, "node_netstat_Tcp_InSegs", "", "TCP segments received.";
    TCP_SENT: "tcp_sent", Count, Counter, "node_netstat_Tcp_OutSegs", "", "TCP segments sent.";
    TCP_RETRANSMITTED: "tcp_retransmitted", Count, Counter, "node_netstat_Tcp_RetransSegs", "", "TCP segments sent again.";
    TCP_ERRORS: "tcp_errors", Count, Counter, "node_netstat_Tcp_InErrs", "", "TCP segments received broken.";
    TCP_RESETS_SENT: "tcp_resets_sent", Count, Counter, "node_netstat_Tcp_OutRsts", "", "TCP resets sent.";
    UDP_RECEIVED: "udp_received", Count, Counter, "node_netstat_Udp_InDatagrams", "", "UDP packets received.";
    UDP_NO_PORT: "udp_no_port", Count, Counter, "node_netstat_Udp_NoPorts", "", "UDP packets nobody listened for.";
    UDP_ERRORS: "udp_errors", Count, Counter, "node_netstat_Udp_InErrors", "", "UDP packets received but lost.";
    UDP_SENT: "udp_sent", Count, Counter, "node_netstat_Udp_OutDatagrams", "", "UDP packets sent.";
    UDP_RECEIVE_BUFFER_FULL: "udp_receive_buffer_full", Count, Counter, "node_netstat_Udp_RcvbufErrors", "", "UDP packets lost because a receive buffer was full.";
    UDP_SEND_BUFFER_FULL: "udp_send_buffer_full", Count, Counter, "node_netstat_Udp_SndbufErrors", "", "UDP packets lost because a send buffer was full.";
    SYNCOOKIES_SENT: "syncookies_sent", Count, Counter, "node_netstat_TcpExt_SyncookiesSent", "", "SYN cookies sent.";
    SYNCOOKIES_RECEIVED: "syncookies_received", Count, Counter, "node_netstat_TcpExt_SyncookiesRecv", "", "Valid SYN cookies received.";
    SYNCOOKIES_FAILED: "syncookies_failed", Count, Counter, "node_netstat_TcpExt_SyncookiesFailed", "", "Wrong SYN cookies received.";
    LISTEN_OVERFLOWS: "listen_overflows", Count, Counter, "node_netstat_TcpExt_ListenOverflows", "", "Connections lost because a listener's queue was full.";
    LISTEN_DROPS: "listen_drops", Count, Counter, "node_netstat_TcpExt_ListenDrops", "", "Connections a listener lost, for any reason.";
    TCP_TIMEOUTS: "tcp_timeouts", Count, Counter, "node_netstat_TcpExt_TCPTimeouts", "", "TCP retransmission timers that ran out.";
    TCP_SYN_RETRANSMITTED: "tcp_syn_retransmitted", Count, Counter, "node_netstat_TcpExt_TCPSynRetrans", "", "TCP connection requests sent again.";
    IP_RECEIVED_BYTES: "ip_received_bytes", Bytes, Counter, "node_netstat_IpExt_InOctets", "", "Bytes of IP packets received.";
    IP_SENT_BYTES: "ip_sent_bytes", Bytes, Counter, "node_netstat_IpExt_OutOctets", "", "Bytes of IP packets sent.";
    IP6_RECEIVED: "ip6_received", Count, Counter, "node_netstat_Ip6_InReceives", "", "IPv6 packets received.";
    IP6_FORWARDED: "ip6_forwarded", Count, Counter, "node_netstat_Ip6_OutForwDatagrams", "", "IPv6 packets forwarded.";
    IP6_RECEIVED_BYTES: "ip6_received_bytes", Bytes, Counter, "node_netstat_Ip6_InOctets", "", "Bytes of IPv6 packets received.";
    IP6_SENT_BYTES: "ip6_sent_bytes", Bytes, Counter, "node_netstat_Ip6_OutOctets", "", "Bytes of IPv6 packets sent.";
    ICMP6_ERRORS: "icmp6_errors", Count, Counter, "node_netstat_Icmp6_InErrors", "", "ICMPv6 messages received broken.";
    ICMP6_RECEIVED: "icmp6_received", Count, Counter, "node_netstat_Icmp6_InMsgs", "", "ICMPv6 messages received.";
    ICMP6_SENT: "icmp6_sent", Count, Counter, "node_netstat_Icmp6_OutMsgs", "", "ICMPv6 messages sent.";
    UDP6_NO_PORT: "udp6_no_port", Count, Counter, "node_netstat_Udp6_NoPorts", "", "UDP packets over IPv6 nobody listened for.";
    UDP6_RECEIVE_BUFFER_FULL: "udp6_receive_buffer_full", Count, Counter, "node_netstat_Udp6_RcvbufErrors", "", "UDP packets over IPv6 lost because a receive buffer was full.";
    UDP6_SEND_BUFFER_FULL: "udp6_send_buffer_full", Count, Counter, "node_netstat_Udp6_SndbufErrors", "", "UDP packets over IPv6 lost because a send buffer was full.";
    UDPLITE6_ERRORS: "udplite6_errors", Count, Counter, "node_netstat_UdpLite6_InErrors", "", "UDP-Lite packets over IPv6 received but lost.";
    UDP6_RECEIVED: "udp6_received", Count, Counter, "node_netstat_Udp6_InDatagrams", "", "UDP packets received over IPv6.";
    UDP6_ERRORS: "udp6_errors", Count, Counter, "node_netstat_Udp6_InErrors", "", "UDP packets received over IPv6 but lost.";
    UDP6_SENT: "udp6_sent", Count, Counter, "node_netstat_Udp6_OutDatagrams", "", "UDP packets sent over IPv6.";
}
pub const LABELS: &[&str] = &[];

/// Keys by the first word of their line.
type Groups = [(&'static str, &'static Keys)];

static SOCKSTAT: &Groups = &[
    ("sockets:", &[("used", USED)]),
    (
        "TCP:",
        &[("inuse", TCP_INUSE), ("orphan", TCP_ORPHAN), ("tw", TCP_TIME_WAIT), ("alloc", TCP_ALLOC), ("mem", TCP_MEM)],
    ),
    ("UDP:", &[("inuse", UDP_INUSE), ("mem", UDP_MEM)]),
    ("UDPLITE:", &[("inuse", UDPLITE_INUSE)]),
    ("RAW:", &[("inuse", RAW_INUSE)]),
    ("FRAG:", &[("inuse", FRAG_INUSE), ("memory", FRAG_MEMORY)]),
    ("TCP6:", &[("inuse", TCP6_INUSE)]),
    ("UDP6:", &[("inuse", UDP6_INUSE)]),
    ("UDPLITE6:", &[("inuse", UDPLITE6_INUSE)]),
    ("RAW6:", &[("inuse", RAW6_INUSE)]),
    ("FRAG6:", &[("inuse", FRAG6_INUSE), ("memory", FRAG6_MEMORY)]),
];

static COUNTERS: &Groups = &[
    ("Ip:", &[("Forwarding", FORWARDING), ("InReceives", IP_RECEIVED), ("ForwDatagrams", IP_FORWARDED)]),
    ("Icmp:", &[("InMsgs", ICMP_RECEIVED), ("InErrors", ICMP_ERRORS), ("OutMsgs", ICMP_SENT)]),
    (
        "Tcp:",
        &[
            ("ActiveOpens", TCP_ACTIVE_OPENS),
            ("PassiveOpens", TCP_PASSIVE_OPENS),
            ("AttemptFails", TCP_ATTEMPT_FAILS),
            ("EstabResets", TCP_ESTABLISHED_RESETS),
            ("CurrEstab", TCP_ESTABLISHED),
            ("InSegs", TCP_RECEIVED),
            ("OutSegs", TCP_SENT),
            ("RetransSegs", TCP_RETRANSMITTED),
            ("InErrs", TCP_ERRORS),
            ("OutRsts", TCP_RESETS_SENT),
        ],
    ),
    (
        "Udp:",
        &[
            ("InDatagrams", UDP_RECEIVED),
            ("NoPorts", UDP_NO_PORT),
            ("InErrors", UDP_ERRORS),
            ("OutDatagrams", UDP_SENT),
            ("RcvbufErrors", UDP_RECEIVE_BUFFER_FULL),
            ("SndbufErrors", UDP_SEND_BUFFER_FULL),
        ],
    ),
    ("UdpLite:", &[("InErrors", UDPLITE_ERRORS)]),
    (
        "TcpExt:",
        &[
            ("SyncookiesSent", SYNCOOKIES_SENT),
            ("SyncookiesRecv", SYNCOOKIES_RECEIVED),
            ("SyncookiesFailed", SYNCOOKIES_FAILED),
            ("ListenOverflows", LISTEN_OVERFLOWS),
            ("ListenDrops", LISTEN_DROPS),
            ("TCPTimeouts", TCP_TIMEOUTS),
            ("TCPSynRetrans", TCP_SYN_RETRANSMITTED),
        ],
    ),
    ("IpExt:", &[("InOctets", IP_RECEIVED_BYTES), ("OutOctets", IP_SENT_BYTES)]),
];

static SINGLE: &Keys = &[
    ("Ip6InReceives", IP6_RECEIVED),
    ("Ip6OutForwDatagrams", IP6_FORWARDED),
    ("Ip6InOctets", IP6_RECEIVED_BYTES),
    ("Ip6OutOctets", IP6_SENT_BYTES),
    ("Icmp6InMsgs", ICMP6_RECEIVED),
    ("Icmp6InErrors", ICMP6_ERRORS),
    ("Icmp6OutMsgs", ICMP6_SENT),
    ("Udp6InDatagrams", UDP6_RECEIVED),
    ("Udp6NoPorts", UDP6_NO_PORT),
    ("Udp6InErrors", UDP6_ERRORS),
    ("Udp6OutDatagrams", UDP6_SENT),
    ("Udp6RcvbufErrors", UDP6_RECEIVE_BUFFER_FULL),
    ("Udp6SndbufErrors", UDP6_SEND_BUFFER_FULL),
    ("UdpLite6InErrors", UDPLITE6_ERRORS),
];

/// How the numbers of a file are laid out.
type Form = fn(&[u8], &mut Sink<'_>) -> Result<(), u32>;

pub struct Sockets {
    sources: [(Source, Form); 5],
}

impl Default for Sockets {
    fn default() -> Self {
        Self {
            sources: [
                (Source::new("proc/net/sockstat"), give_pairs),
                (Source::new("proc/net/sockstat6"), give_pairs),
                (Source::new("proc/net/snmp"), give_columns),
                (Source::new("proc/net/netstat"), give_columns),
                (Source::new("proc/net/snmp6"), give_single),
            ],
        }
    }
}

impl Probe for Sockets {
    fn read(&mut self, look: &mut Look<'_>, out: &mut Sink<'_>) -> Result<(), Fault> {
        for (source, form) in &mut self.sources {
            let path = source.path();
            if let Some(text) = if_present(source.read(look))? {
                form(text, out).map_err(|number| malformed(path, number, text))?;
            }
        }
        Ok(())
    }
}

fn malformed(path: &'static str, number: u32, text: &[u8]) -> Fault {
    let line = lines(text).find(|(place, _)| *place == number).map_or(text, |(_, line)| line);
    Fault::malformed(path, number, line)
}

fn group(groups: &'static Groups, word: Option<&[u8]>) -> Option<&'static Keys> {
    let (_, keys) = groups.iter().find(|(name, _)| Some(name.as_bytes()) == word)?;
    Some(keys)
}

/// `TCP: inuse 9 orphan 0`. The error is the number of the line that cannot be understood.
fn give_pairs(text: &[u8], out: &mut Sink<'_>) -> Result<(), u32> {
    for (number, line) in lines(text) {
        let mut fields = Fields::new(line);
        let Some(keys) = group(SOCKSTAT, fields.next()) else { continue };
        let mut keys = Finder::new(keys);
        while let Some(name) = fields.next() {
            let value = fields.next().ok_or(number)?;
            let Some(metric) = keys.find(name) else { continue };
            let value = Cursor::new(value).whole_number().ok_or(number)?;
            out.host(metric, value);
            if let Some((_, bytes)) = PAGES.iter().find(|(pages, _)| *pages == metric) {
                out.host(*bytes, value.checked_mul(rustix::param::page_size() as u64).ok_or(number)?);
            }
        }
    }
    Ok(())
}

/// What is told in pages, and the same in bytes.
const PAGES: [(MetricId, MetricId); 2] = [(TCP_MEM, TCP_MEM_BYTES), (UDP_MEM, UDP_MEM_BYTES)];

/// A line of names above a line of as many numbers, some of which may be negative.
fn give_columns(text: &[u8], out: &mut Sink<'_>) -> Result<(), u32> {
    let mut rows = lines(text);
    while let (Some((_, names)), Some((number, values))) = (rows.next(), rows.next()) {
        let (mut names, mut values) = (Fields::new(names), Fields::new(values));
        let word = names.next();
        if word != values.next() {
            return Err(number);
        }
        let Some(keys) = group(COUNTERS, word) else { continue };
        let mut keys = Finder::new(keys);
        for name in names {
            let value = values.next().ok_or(number)?;
            if let Some(metric) = keys.find(name) {
                out.host(metric, Cursor::new(value).whole_number().ok_or(number)?);
            }
        }
        if values.next().is_some() {
            return Err(number);
        }
    }
    Ok(())
}

/// `Ip6InReceives                   12`.
fn give_single(text: &[u8], out: &mut Sink<'_>) -> Result<(), u32> {
    let mut keys = Finder::new(SINGLE);
    for (number, line) in lines(text) {
        let mut fields = Fields::new(line);
        if let Some(metric) = fields.next().and_then(|name| keys.find(name)) {
            out.host(metric, fields.number().ok_or(number)?);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trial::{read_fixture, readings, survives_every_cut, text_of, value};
    use crate::{ProbeId, Value};

    const PATH: &str = "proc/net/snmp";

    #[test]
    fn all_three_forms_are_read() {
        let rows = read_fixture("big", ProbeId::Sockets, &mut Sockets::default()).expect("readable");
        for (field, expect) in [
            ("tcp_active_opens", 5_000_000_001),
            ("tcp_passive_opens", 7_000_000_002),
            ("tcp_attempt_fails", 123_456),
            ("tcp_established_resets", 654_321),
            ("tcp_established", 873),
            ("tcp_inuse", 9),
            ("tcp_time_wait", 12),
            ("tcp6_inuse", 4),
            ("ip6_received", 12),
            ("forwarding", 1),
            ("tcp_mem", 23),
            ("tcp_mem_bytes", 23 * rustix::param::page_size() as u64),
        ] {
            assert_eq!(value(&rows, field, ""), Some(Value::Int(expect)), "{field}");
        }
    }

    #[test]
    fn an_old_kernel_gives_what_it_has() {
        let rows = read_fixture("old", ProbeId::Sockets, &mut Sockets::default()).expect("readable");
        assert_eq!(value(&rows, "tcp_established", ""), Some(Value::Int(1)));
        assert_eq!(value(&rows, "tcp6_inuse", ""), None);
    }

    #[test]
    fn columns_that_do_not_match_are_refused() {
        for text in [
            "Tcp: ActiveOpens CurrEstab\nTcp: 1\n",
            "Tcp: ActiveOpens CurrEstab\nTcp: 1 2 3\n",
            "Tcp: ActiveOpens\nUdp: 1\n",
            "Tcp: ActiveOpens\nTcp: -1\n",
        ] {
            assert!(
                give_columns(text.as_bytes(), &mut crate::Sample::default().sink(ProbeId::Sockets)).is_err(),
                "{text}"
            );
        }
        let odd = readings(ProbeId::Sockets, |out| {
            give_pairs(b"TCP: inuse\n", out).map_err(|number| malformed(PATH, number, b"TCP: inuse\n"))
        });
        assert_eq!(odd, Err(Fault::malformed(PATH, 1, b"TCP: inuse")));
    }

    #[test]
    fn no_cut_gives_a_wrong_number() {
        let forms: [(&str, Form); 4] = [
            (PATH, give_columns),
            ("proc/net/netstat", give_columns),
            ("proc/net/sockstat", give_pairs),
            ("proc/net/snmp6", give_single),
        ];
        for (path, form) in forms {
            survives_every_cut(ProbeId::Sockets, &text_of("big", path), |text, out| {
                form(text, out).map_err(|number| malformed(PATH, number, text))
            });
        }
    }
}
