//! Plugins about the network: if_NAME, if_err_NAME, netstat, fw_packets.

use watchd_probes::{MetricId, ObjectId, ProbeId, network, sockets};

use super::Ask;
use super::facts::{Amount, Facts};
use super::graph::{Field, Graph, Need, Plugin, Shape, write_traits};
use super::limits;
use crate::export::Page;

pub const IF: Plugin = Plugin {
    name: "if_",
    about: "Bits received and sent.",
    shape: Shape::Each { probe: ProbeId::Network, graph: &IF_GRAPH, is_listed },
};

static IF_GRAPH: Graph = Graph {
    head: "graph_order down up\n\
           graph_args --base 1000\n\
           graph_vlabel bits in (-) / out (+) per ${graph_period}\n\
           graph_category network",
    more: |facts, object, page| {
        title(facts, object, "traffic", page);
        // The bound is in bits although the values are bytes: that is what the files of a master have.
        let bits = match facts.setting("speed") {
            Some(megabits) => megabits.parse::<u64>().ok().and_then(|megabits| megabits.checked_mul(1_000_000)),
            None => facts.int(network::SPEED, object).map(|bytes| bytes * 8),
        };
        if let Some(bits) = bits {
            page.put(format_args!("down.max {bits}\nup.max {bits}\n"));
        }
    },
    fields: &[
        Field {
            name: "down",
            traits: "label received\ntype DERIVE\ngraph no\ncdef down,8,*\nmin 0",
            need: Need::Always,
            value: |facts, object| facts.int(network::RX_BYTES, object).into(),
        },
        Field {
            name: "up",
            traits: "label bps\ntype DERIVE\nnegative down\ncdef up,8,*\nmin 0",
            need: Need::Always,
            value: |facts, object| facts.int(network::TX_BYTES, object).into(),
        },
    ],
};

pub const IF_ERR: Plugin = Plugin {
    name: "if_err_",
    about: "Packets lost to errors, drops and collisions.",
    shape: Shape::Each { probe: ProbeId::Network, graph: &IF_ERR_GRAPH, is_listed },
};

static IF_ERR_GRAPH: Graph = Graph {
    head: "graph_order rcvd trans\n\
           graph_args --base 1000\n\
           graph_vlabel packets in (-) / out (+) per ${graph_period}\n\
           graph_category network",
    more: |facts, object, page| title(facts, object, "errors", page),
    fields: &[
        Field {
            name: "rcvd",
            traits: "label errors\ntype COUNTER\ngraph no\nwarning 1",
            need: Need::Always,
            value: |facts, object| facts.int(network::RX_ERRS, object).into(),
        },
        Field {
            name: "trans",
            traits: "label errors\ntype COUNTER\nnegative rcvd\nwarning 1",
            need: Need::Always,
            value: |facts, object| facts.int(network::TX_ERRS, object).into(),
        },
        Field {
            name: "rxdrop",
            traits: "label drops\ntype COUNTER\ngraph no",
            need: Need::Always,
            value: |facts, object| facts.int(network::RX_DROP, object).into(),
        },
        Field {
            name: "txdrop",
            traits: "label drops\ntype COUNTER\nnegative rxdrop",
            need: Need::Always,
            value: |facts, object| facts.int(network::TX_DROP, object).into(),
        },
        Field {
            name: "collisions",
            traits: "label collisions\ntype COUNTER",
            need: Need::Always,
            value: |facts, object| facts.int(network::TX_COLLS, object).into(),
        },
    ],
};

fn title(facts: &Facts<'_>, object: ObjectId, what: &str, page: &mut Page) {
    page.text("graph_title ");
    page.push(facts.name(object));
    page.put(format_args!(" {what}\n"));
}

/// Whether Munin would propose the interface: not the loopback, tunnels of the kernel's own, nor VLANs (`eth0.7`).
fn is_listed(name: &[u8]) -> bool {
    let numbered = |prefix: &[u8]| {
        name.strip_prefix(prefix).is_some_and(|rest| !rest.is_empty() && rest.iter().all(u8::is_ascii_digit))
    };
    let is_vlan = name
        .rsplit(|byte| *byte == b'.')
        .next()
        .is_some_and(|tag| tag.len() < name.len() && !tag.is_empty() && tag.iter().all(u8::is_ascii_digit));
    name != b"lo" && !numbered(b"gre") && !numbered(b"sit") && !is_vlan
}

pub const FW_PACKETS: Plugin =
    Plugin { name: "fw_packets", about: "IP packets received and forwarded.", shape: Shape::Host(&FW_PACKETS_GRAPH) };

static FW_PACKETS_GRAPH: Graph = Graph {
    head: "graph_title Firewall Throughput\n\
           graph_args --base 1000 -l 0\n\
           graph_vlabel Packets/${graph_period}\n\
           graph_category network",
    more: Graph::NONE,
    fields: &[
        Field {
            name: "received",
            traits: "label Received\ndraw AREA\ntype DERIVE\nmin 0",
            need: Need::Always,
            value: |facts, _| facts.host(sockets::IP_RECEIVED).into(),
        },
        Field {
            name: "forwarded",
            traits: "label Forwarded\ndraw LINE2\ntype DERIVE\nmin 0",
            need: Need::Always,
            value: |facts, _| facts.host(sockets::IP_FORWARDED).into(),
        },
    ],
};

pub const NETSTAT: Plugin = Plugin {
    name: "netstat",
    about: "TCP connections opened, refused, reset and established.",
    shape: Shape::Own {
        is_multigraph: true,
        is_present: |facts| facts.host(sockets::TCP_ESTABLISHED).is_some(),
        write: write_netstat,
    },
};

/// Counters of the combined graph.
const OPENINGS: &[(&str, MetricId)] = &[
    ("active", sockets::TCP_ACTIVE_OPENS),
    ("passive", sockets::TCP_PASSIVE_OPENS),
    ("failed", sockets::TCP_ATTEMPT_FAILS),
    ("resets", sockets::TCP_ESTABLISHED_RESETS),
];

fn write_netstat(facts: &Facts<'_>, ask: Ask, page: &mut Page) {
    page.text("multigraph netstat\n");
    if ask.wants_config() {
        page.text("graph_title Netstat, combined\ngraph_args --units=si -l 1 --base 1000 --logarithmic\n");
        write_common(page);
    }
    for (name, metric) in OPENINGS {
        if ask.wants_config() {
            page.put(format_args!("{name}.label {name}\n"));
            write_traits(name, "type DERIVE\nmin 0\nmax 50000", page);
            limits::write(facts, name, page);
        }
        if ask.wants_values() {
            Amount::from(facts.host(*metric)).write(name, page);
        }
    }
    write_established(facts, ask, page);
    page.text("multigraph netstat_established\n");
    if ask.wants_config() {
        page.text("graph_title Netstat, established only\ngraph_args --lower-limit 0\n");
        write_common(page);
    }
    write_established(facts, ask, page);
}

fn write_common(page: &mut Page) {
    page.text("graph_vlabel TCP connections\ngraph_category network\ngraph_period second\n");
    page.put(format_args!("graph_info {}\n", NETSTAT.about));
}

fn write_established(facts: &Facts<'_>, ask: Ask, page: &mut Page) {
    if ask.wants_config() {
        write_traits("established", "label established\ntype GAUGE", page);
        limits::write(facts, &"established", page);
    }
    if ask.wants_values() {
        Amount::from(facts.host(sockets::TCP_ESTABLISHED)).write("established", page);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_munin_would_not_propose_are_not_listed() {
        for (name, expect) in [
            ("eth0", true),
            ("lo", false),
            ("lo1", true),
            ("gre0", false),
            ("gretap0", true),
            ("sit0", false),
            ("eth0.100", false),
            ("eth0.x", true),
            ("7", true),
            ("wg0", true),
        ] {
            assert_eq!(is_listed(name.as_bytes()), expect, "{name}");
        }
    }
}
