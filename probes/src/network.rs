//! Network interfaces from /proc/net/dev: `  eth0: 104857 921 0 0 0 0 0 0 88123 702 0 0 0 0 0 0`, and their links from /sys.
//!
//! An old kernel glues the first number to the colon. The `drop` of the file also counts what the card had no room for.
//! Speed, MTU, queue and state of the link change seldom and cost five files per interface: they are read at a pace and
//! repeated in between. Speed is bytes per second; a link that does not tell its speed (wireless, virtual, down) gives no row.

use std::time::Duration;

use crate::metric::metrics;
use crate::path::Path;
use crate::{Cursor, Fault, Fields, Host, Look, MetricId, ObjectId, Pace, Probe, Sink, Source, Value, lines};

metrics! { Network:
    RX_BYTES: "rx_bytes", Bytes, Counter, "node_network_receive_bytes_total", "", "Bytes received.";
    RX_PACKETS: "rx_packets", Count, Counter, "node_network_receive_packets_total", "", "Packets received.";
    RX_ERRS: "rx_errs", Count, Counter, "node_network_receive_errs_total", "", "Packets that could not be received because of an error.";
    RX_DROP: "rx_drop", Count, Counter, "node_network_receive_drop_total", "", "Packets dropped instead of being received.";
    RX_FIFO: "rx_fifo", Count, Counter, "node_network_receive_fifo_total", "", "Packets not received because a queue of the device ran over.";
    RX_FRAME: "rx_frame", Count, Counter, "node_network_receive_frame_total", "", "Packets that came in broken.";
    RX_COMPRESSED: "rx_compressed", Count, Counter, "node_network_receive_compressed_total", "", "Compressed packets received.";
    RX_MULTICAST: "rx_multicast", Count, Counter, "node_network_receive_multicast_total", "", "Multicast packets received.";
    TX_BYTES: "tx_bytes", Bytes, Counter, "node_network_transmit_bytes_total", "", "Bytes sent.";
    TX_PACKETS: "tx_packets", Count, Counter, "node_network_transmit_packets_total", "", "Packets sent.";
    TX_ERRS: "tx_errs", Count, Counter, "node_network_transmit_errs_total", "", "Packets that could not be sent because of an error.";
    TX_DROP: "tx_drop", Count, Counter, "node_network_transmit_drop_total", "", "Packets dropped instead of being sent.";
    TX_FIFO: "tx_fifo", Count, Counter, "node_network_transmit_fifo_total", "", "Packets not sent because a queue of the device ran over.";
    TX_COLLS: "tx_colls", Count, Counter, "node_network_transmit_colls_total", "", "Collisions while sending.";
    TX_CARRIER: "tx_carrier", Count, Counter, "node_network_transmit_carrier_total", "", "Packets not sent because the link was lost.";
    TX_COMPRESSED: "tx_compressed", Count, Counter, "node_network_transmit_compressed_total", "", "Compressed packets sent.";
    SPEED: "speed", Bytes, Gauge, "node_network_speed_bytes", "", "Speed of the link in bytes per second.";
    MTU: "mtu", Bytes, Gauge, "node_network_mtu_bytes", "", "Largest packet the link takes.";
    CARRIER: "carrier", Count, Gauge, "node_network_carrier", "", "1 when a cable is plugged in or a network is joined, 0 when not.";
    QUEUE: "queue", Count, Gauge, "node_network_transmit_queue_length", "", "Packets that may wait to be sent.";
    UP: "up", Count, Gauge, "node_network_up", "", "1 when the link works, 0 when not.";
}
pub const LABELS: &[&str] = &["device"];

const PATH: &str = "proc/net/dev";
/// Two lines of titles.
const TITLES: usize = 2;
/// In the order of the file.
const COLUMNS: [MetricId; 16] = [
    RX_BYTES,
    RX_PACKETS,
    RX_ERRS,
    RX_DROP,
    RX_FIFO,
    RX_FRAME,
    RX_COMPRESSED,
    RX_MULTICAST,
    TX_BYTES,
    TX_PACKETS,
    TX_ERRS,
    TX_DROP,
    TX_FIFO,
    TX_COLLS,
    TX_CARRIER,
    TX_COMPRESSED,
];
/// A cable may be pulled at any time, but traffic tells that sooner.
const RARELY: Duration = Duration::from_secs(30);
/// Megabits in bytes.
const MEGABIT: u64 = 1_000_000 / 8;

pub struct Network {
    source: Source,
    pace: Pace,
    links: Vec<Link>,
}

impl Default for Network {
    fn default() -> Self {
        Self { source: Source::new(PATH), pace: Pace::at_most_every(RARELY), links: Vec::new() }
    }
}

/// What /sys said last about an interface.
#[derive(Clone, Copy)]
struct Link {
    name: [u8; NAME],
    len: usize,
    speed: Option<u64>,
    mtu: Option<u64>,
    queue: Option<u64>,
    carrier: Option<u64>,
    up: Option<u64>,
}

/// The kernel's limit is 15 bytes.
const NAME: usize = 16;

impl Probe for Network {
    fn read(&mut self, look: &mut Look<'_>, out: &mut Sink<'_>) -> Result<(), Fault> {
        let (host, now) = (look.host, look.now);
        let text = self.source.read(look)?;
        let links = &mut self.links;
        self.pace.run(now, || {
            links.clear();
            let names = lines(text).skip(TITLES).filter_map(|(_, line)| split(line));
            links.extend(names.filter_map(|(name, _)| Link::read(host, name)));
        });
        give(text, &self.links, out)
    }
}

fn give(text: &[u8], links: &[Link], out: &mut Sink<'_>) -> Result<(), Fault> {
    for (number, line) in lines(text).skip(TITLES) {
        let malformed = || Fault::malformed(PATH, number, line);
        let (name, numbers) = split(line).ok_or_else(malformed)?;
        let Some(device) = out.object(&[name]) else { continue };
        let mut fields = Fields::new(numbers);
        for metric in COLUMNS {
            out.put(device, metric, Value::Int(fields.number().ok_or_else(malformed)?));
        }
        if let Some(link) = links.iter().find(|link| link.name() == name) {
            link.give(device, out);
        }
    }
    Ok(())
}

/// The name and the numbers; an alias has a colon in its name.
fn split(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = line.iter().rposition(|byte| *byte == b':')?;
    let (name, numbers) = line.split_at_checked(colon)?;
    Some((name.trim_ascii(), numbers.strip_prefix(b":")?))
}

impl Link {
    fn read(host: &Host, name: &[u8]) -> Option<Self> {
        let mut kept = [0; NAME];
        kept.get_mut(..name.len())?.copy_from_slice(name);
        let number = |file: &[u8]| with_file(host, name, file, |text| Cursor::new(text).whole_number());
        Some(Self {
            name: kept,
            len: name.len(),
            // -1 and "Invalid argument" both mean that there is no such thing.
            speed: number(b"/speed").filter(|speed| *speed > 0).and_then(|speed| speed.checked_mul(MEGABIT)),
            mtu: number(b"/mtu"),
            queue: number(b"/tx_queue_len"),
            // An interface that was switched off refuses to tell.
            carrier: number(b"/carrier"),
            // Loopback and tunnels have no carrier to lose and say "unknown".
            up: with_file(host, name, b"/operstate", |state| Some(u64::from(state == b"up"))),
        })
    }

    fn name(&self) -> &[u8] {
        self.name.get(..self.len).unwrap_or_default()
    }

    fn give(&self, device: ObjectId, out: &mut Sink<'_>) {
        for (metric, value) in
            [(SPEED, self.speed), (MTU, self.mtu), (QUEUE, self.queue), (CARRIER, self.carrier), (UP, self.up)]
        {
            if value.is_some() {
                out.put(device, metric, Value::from(value));
            }
        }
    }
}

fn with_file<T>(host: &Host, name: &[u8], file: &[u8], take: impl FnOnce(&[u8]) -> Option<T>) -> Option<T> {
    let path = Path::new("sys/class/net/").text(name).text(file);
    let mut text = [0; 64];
    take(host.read_small(path.bytes(), &mut text).ok()?.strip_suffix(b"\n")?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ProbeId;
    use crate::trial::{read_fixture, readings, survives_every_cut, text_of, value};

    #[test]
    fn all_columns_of_every_interface_are_given() {
        let rows = read_fixture("big", ProbeId::Network, &mut Network::default()).expect("readable");
        for (field, device, expect) in [
            ("rx_bytes", "lo", 987_654_321),
            ("tx_bytes", "eth0", 43_210_987_654_321),
            ("rx_multicast", "eth0", 678),
            ("tx_colls", "eth0", 5),
            ("rx_drop", "enp59s0f1np1", 9_007_199_254_740_993),
            ("rx_bytes", "enp59s0f1np1", u64::MAX),
            ("rx_bytes", "eth0.100", 1_111_111_111),
            ("tx_drop", "wg0", 88),
            ("rx_packets", "veth12ab@x", 1),
        ] {
            assert_eq!(value(&rows, field, device), Some(Value::Int(expect)), "{field} {device}");
        }
    }

    #[test]
    fn the_link_is_told_where_it_tells_itself() {
        let rows = read_fixture("big", ProbeId::Network, &mut Network::default()).expect("readable");
        assert_eq!(value(&rows, "speed", "eth0"), Some(Value::Int(1_000 * MEGABIT)));
        assert_eq!(value(&rows, "speed", "wg0"), None);
        assert_eq!(value(&rows, "mtu", "lo"), Some(Value::Int(65_536)));
        assert_eq!(value(&rows, "queue", "eth0"), Some(Value::Int(1_000)));
        assert_eq!(value(&rows, "carrier", "eth0"), Some(Value::Int(1)));
        assert_eq!(value(&rows, "carrier", "docker0"), Some(Value::Int(0)));
        assert_eq!(value(&rows, "carrier", "wg0"), None);
        assert_eq!(value(&rows, "up", "eth0"), Some(Value::Int(1)));
        assert_eq!(value(&rows, "up", "lo"), Some(Value::Int(0)));
        assert_eq!(value(&rows, "up", "docker0"), Some(Value::Int(0)));
    }

    #[test]
    fn a_number_glued_to_the_colon_is_read() {
        let rows = read_fixture("old", ProbeId::Network, &mut Network::default()).expect("readable");
        assert_eq!(value(&rows, "rx_bytes", "eth0"), Some(Value::Int(4_294_967_295)));
        assert_eq!(value(&rows, "rx_bytes", "eth0.5"), Some(Value::Int(51)));
        assert_eq!(value(&rows, "mtu", "eth0"), None);
    }

    #[test]
    fn a_strange_line_is_refused() {
        for line in ["eth0 1 2 3", "eth0: 1 2 3", "eth0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 x", ""] {
            let text = format!("a\nb\n{line}\n");
            assert!(readings(ProbeId::Network, |out| give(text.as_bytes(), &[], out)).is_err(), "{line}");
        }
    }

    #[test]
    fn no_cut_gives_a_wrong_number() {
        for host in ["big", "old"] {
            survives_every_cut(ProbeId::Network, &text_of(host, "proc/net/dev"), |text, out| give(text, &[], out));
        }
    }
}
