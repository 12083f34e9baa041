//! Plugins about processes: processes, proc_pri, threads.

use watchd_probes::process;

use super::graph::{Field, Graph, Need, Plugin, Shape};

pub const PROCESSES: Plugin = Plugin {
    name: "processes",
    about: "How many processes there are in each state.",
    shape: Shape::Host(&PROCESSES_GRAPH),
};

static PROCESSES_GRAPH: Graph = Graph {
    head: "graph_title Processes\n\
           graph_category processes\n\
           graph_args --base 1000 -l 0\n\
           graph_vlabel Number of processes\n\
           graph_order sleeping idle stopped zombie dead paging uninterruptible runnable processes",
    more: Graph::NONE,
    fields: &[
        Field {
            name: "dead",
            traits: "label dead\ndraw STACK\ncolour ff0000",
            need: Need::Always,
            value: |facts, _| facts.host(process::DEAD).into(),
        },
        Field {
            name: "paging",
            traits: "label paging\ndraw STACK\ncolour 00aaaa",
            need: Need::Always,
            value: |facts, _| facts.host(process::PAGING).into(),
        },
        Field {
            name: "idle",
            traits: "label idle\ndraw STACK\ncolour 4169e1",
            need: Need::Always,
            value: |facts, _| facts.host(process::IDLE).into(),
        },
        Field {
            name: "sleeping",
            traits: "label sleeping\ndraw AREA\ncolour 0022ff",
            need: Need::Always,
            value: |facts, _| facts.host(process::SLEEPING).into(),
        },
        Field {
            name: "uninterruptible",
            traits: "label uninterruptible\ndraw STACK\ncolour ffa500",
            need: Need::Always,
            value: |facts, _| facts.host(process::UNINTERRUPTIBLE).into(),
        },
        Field {
            name: "stopped",
            traits: "label stopped\ndraw STACK\ncolour cc0000",
            need: Need::Always,
            value: |facts, _| facts.host(process::STOPPED).into(),
        },
        Field {
            name: "runnable",
            traits: "label runnable\ndraw STACK\ncolour 22ff22",
            need: Need::Always,
            value: |facts, _| facts.host(process::RUNNABLE).into(),
        },
        Field {
            name: "zombie",
            traits: "label zombie\ndraw STACK\ncolour 990000",
            need: Need::Always,
            value: |facts, _| facts.host(process::ZOMBIE).into(),
        },
        Field {
            name: "processes",
            traits: "label total\ndraw LINE1\ncolour c0c0c0",
            need: Need::Always,
            value: |facts, _| facts.host(process::TOTAL).into(),
        },
    ],
};

pub const PROC_PRI: Plugin = Plugin {
    name: "proc_pri",
    about: "Processes of high and low priority, and those that have locked memory.",
    shape: Shape::Host(&PROC_PRI_GRAPH),
};

static PROC_PRI_GRAPH: Graph = Graph {
    head: "graph_title Processes priority\n\
           graph_order low high locked\n\
           graph_category processes\n\
           graph_args --base 1000 -l 0\n\
           graph_vlabel Number of processes",
    more: Graph::NONE,
    fields: &[
        Field {
            name: "high",
            traits: "label high priority\ndraw STACK",
            need: Need::Always,
            value: |facts, _| facts.host(process::HIGH_PRIORITY).into(),
        },
        Field {
            name: "low",
            traits: "label low priority\ndraw AREA",
            need: Need::Always,
            value: |facts, _| facts.host(process::LOW_PRIORITY).into(),
        },
        Field {
            name: "locked",
            traits: "label locked in memory\ndraw STACK",
            need: Need::Always,
            value: |facts, _| facts.host(process::LOCKED).into(),
        },
    ],
};

pub const THREADS: Plugin =
    Plugin { name: "threads", about: "Threads of all processes.", shape: Shape::Host(&THREADS_GRAPH) };

static THREADS_GRAPH: Graph = Graph {
    head: "graph_title Number of threads\n\
           graph_vlabel number of threads\n\
           graph_category processes",
    more: Graph::NONE,
    fields: &[Field {
        name: "threads",
        traits: "label threads",
        need: Need::Always,
        value: |facts, _| facts.host(process::THREADS).into(),
    }],
};
