//! Plugins about the connections that the firewall follows: fw_conntrack and fw_forwarded_local.

use watchd_probes::conntrack;

use super::graph::{Field, Graph, Need, Plugin, Shape};
use crate::export::General;

pub const FW_CONNTRACK: Plugin = Plugin {
    name: "fw_conntrack",
    about: "Connections that the firewall follows.",
    shape: Shape::Host(&FW_CONNTRACK_GRAPH),
};

static FW_CONNTRACK_GRAPH: Graph = Graph {
    head: "graph_title Connections through firewall\n\
           graph_vlabel Connections\n\
           graph_category network\n\
           graph_args -l 0",
    more: |facts, _, page| {
        if let Some(most) = facts.number(conntrack::LIMIT) {
            let [warning, critical] = [8.0, 9.0].map(|tenths| General(most * tenths / 10.0));
            page.put(format_args!("total.warning {warning}\ntotal.critical {critical}\n"));
        }
    },
    fields: &[
        Field {
            name: "established",
            traits: "label Established\ntype GAUGE\ndraw AREA",
            need: Need::Always,
            value: |facts, _| facts.host(conntrack::ESTABLISHED).into(),
        },
        Field {
            name: "fin_wait",
            traits: "label FIN_WAIT\ntype GAUGE\ndraw STACK",
            need: Need::Always,
            value: |facts, _| facts.host(conntrack::FIN_WAIT).into(),
        },
        Field {
            name: "time_wait",
            traits: "label TIME_WAIT\ntype GAUGE\ndraw STACK",
            need: Need::Always,
            value: |facts, _| facts.host(conntrack::TIME_WAIT).into(),
        },
        Field {
            name: "syn_sent",
            traits: "label SYN_SENT\ntype GAUGE\ndraw STACK",
            need: Need::Always,
            value: |facts, _| facts.host(conntrack::SYN_SENT).into(),
        },
        Field {
            name: "udp",
            traits: "label UDP connections\ntype GAUGE\ndraw STACK",
            need: Need::Always,
            value: |facts, _| facts.host(conntrack::UDP).into(),
        },
        Field {
            name: "assured",
            traits: "label Assured\ntype GAUGE\ndraw LINE2",
            need: Need::Always,
            value: |facts, _| facts.host(conntrack::ASSURED).into(),
        },
        Field {
            name: "nated",
            traits: "label NATed\ntype GAUGE\ndraw LINE1",
            need: Need::Always,
            value: |facts, _| facts.host(conntrack::TRANSLATED).into(),
        },
        Field {
            name: "total",
            traits: "label Total\ntype GAUGE\ngraph no",
            need: Need::Always,
            value: |facts, _| facts.host(conntrack::ALL).into(),
        },
    ],
};

pub const FW_FORWARDED_LOCAL: Plugin = Plugin {
    name: "fw_forwarded_local",
    about: "Established connections that the firewall passes on, and those of this host.",
    shape: Shape::Host(&FW_FORWARDED_LOCAL_GRAPH),
};

static FW_FORWARDED_LOCAL_GRAPH: Graph = Graph {
    head: "graph_title ipconntrack\n\
           graph_args -l 0 --base 1000\n\
           graph_vlabel established connections\n\
           graph_category network",
    more: Graph::NONE,
    fields: &[
        Field {
            name: "forward",
            traits: "label forward\ntype GAUGE",
            need: Need::Always,
            value: |facts, _| facts.host(conntrack::FORWARDED).into(),
        },
        Field {
            name: "local",
            traits: "label local\ntype GAUGE",
            need: Need::Always,
            value: |facts, _| facts.host(conntrack::LOCAL).into(),
        },
    ],
};
