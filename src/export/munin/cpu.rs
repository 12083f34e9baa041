//! Plugins about processors and tasks: cpu, forks, interrupts, load, vmstat.

use watchd_probes::{MetricId, ObjectId, cpu, load};

use super::facts::{Amount, Facts, ticks};
use super::graph::{Field, Graph, Need, Plugin, Shape};

pub const CPU: Plugin =
    Plugin { name: "cpu", about: "How the time of all processors is spent.", shape: Shape::Host(&CPU_GRAPH) };

static CPU_GRAPH: Graph = Graph {
    head: "graph_title CPU usage\n\
           graph_order system user nice idle iowait irq softirq\n\
           graph_vlabel %\n\
           graph_scale no\n\
           graph_category system\n\
           graph_period second",
    // 100 % for each processor.
    more: |facts, _, page| {
        let cpus = facts.host(cpu::CPUS).unwrap_or(1);
        let limit = if facts.is_set("scaleto100") { 100 } else { cpus.saturating_mul(100) };
        page.put(format_args!("graph_args --base 1000 -r --lower-limit 0 --upper-limit {limit}\n"));
        let is_word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
        let ignored = facts.setting("ignore_fields").unwrap_or_default();
        for field in CPU_GRAPH.fields {
            if field.need == Need::Optional && (field.value)(facts, ObjectId::HOST) == Amount::Unknown {
                continue;
            }
            if ignored.split(|letter| !is_word(letter)).any(|word| word == field.name) {
                page.put(format_args!("{}.graph no\n", field.name));
            }
            if facts.is_set("scaleto100") {
                page.put(format_args!("{0}.cdef {0},{cpus},/\n", field.name));
            }
        }
    },
    fields: &[
        Field {
            name: "system",
            traits: "label system\ndraw AREA\nmin 0\ntype DERIVE",
            need: Need::Always,
            value: |facts, _| time(facts, cpu::SYSTEM),
        },
        Field {
            name: "user",
            traits: "label user\ndraw STACK\nmin 0\ntype DERIVE",
            need: Need::Always,
            value: |facts, _| time(facts, cpu::USER),
        },
        Field {
            name: "nice",
            traits: "label nice\ndraw STACK\nmin 0\ntype DERIVE",
            need: Need::Always,
            value: |facts, _| time(facts, cpu::NICE),
        },
        Field {
            name: "idle",
            traits: "label idle\ndraw STACK\nmin 0\ntype DERIVE",
            need: Need::Always,
            value: |facts, _| time(facts, cpu::IDLE),
        },
        Field {
            name: "iowait",
            traits: "label iowait\ndraw STACK\nmin 0\ntype DERIVE",
            need: Need::Optional,
            value: |facts, _| time(facts, cpu::IOWAIT),
        },
        Field {
            name: "irq",
            traits: "label irq\ndraw STACK\nmin 0\ntype DERIVE",
            need: Need::Optional,
            value: |facts, _| time(facts, cpu::IRQ),
        },
        Field {
            name: "softirq",
            traits: "label softirq\ndraw STACK\nmin 0\ntype DERIVE",
            need: Need::Optional,
            value: |facts, _| time(facts, cpu::SOFTIRQ),
        },
        Field {
            name: "steal",
            traits: "label steal\ndraw STACK\nmin 0\ntype DERIVE",
            need: Need::Optional,
            value: |facts, _| time(facts, cpu::STEAL),
        },
        Field {
            name: "guest",
            traits: "label guest\ndraw STACK\nmin 0\ntype DERIVE",
            need: Need::Optional,
            value: |facts, _| time(facts, cpu::GUEST),
        },
    ],
};

/// Ticks of all processors in one state.
fn time(facts: &Facts<'_>, state: MetricId) -> Amount {
    facts.number(state).map(|seconds| ticks(seconds * scale(facts))).into()
}

/// The setting `HZ` stands for a kernel that counts otherwise than in hundredths of a second.
pub fn scale(facts: &Facts<'_>) -> f64 {
    let told = facts.setting("HZ").and_then(|hertz| hertz.parse::<f64>().ok());
    told.filter(|hertz| hertz.is_finite() && *hertz >= 1.0).map_or(1.0, |hertz| 100.0 / hertz)
}

pub const FORKS: Plugin =
    Plugin { name: "forks", about: "Tasks created per second.", shape: Shape::Host(&FORKS_GRAPH) };

static FORKS_GRAPH: Graph = Graph {
    head: "graph_title Fork rate\n\
           graph_args --base 1000 -l 0\n\
           graph_vlabel forks / ${graph_period}\n\
           graph_category processes",
    more: Graph::NONE,
    fields: &[Field {
        name: "forks",
        traits: "label forks\ntype DERIVE\nmin 0\nmax 100000",
        need: Need::Always,
        value: |facts, _| facts.host(cpu::FORKS).into(),
    }],
};

pub const INTERRUPTS: Plugin = Plugin {
    name: "interrupts",
    about: "Interrupts served and switches from task to task.",
    shape: Shape::Host(&INTERRUPTS_GRAPH),
};

static INTERRUPTS_GRAPH: Graph = Graph {
    head: "graph_title Interrupts and context switches\n\
           graph_args --base 1000 -l 0\n\
           graph_vlabel interrupts & ctx switches / ${graph_period}\n\
           graph_category system",
    more: Graph::NONE,
    fields: &[
        Field {
            name: "intr",
            traits: "label interrupts\ntype DERIVE\nmin 0",
            need: Need::Always,
            value: |facts, _| facts.host(cpu::INTERRUPTS).into(),
        },
        Field {
            name: "ctx",
            traits: "label context switches\ntype DERIVE\nmin 0",
            need: Need::Always,
            value: |facts, _| facts.host(cpu::CONTEXT_SWITCHES).into(),
        },
    ],
};

pub const LOAD: Plugin =
    Plugin { name: "load", about: "The load average over five minutes.", shape: Shape::Host(&LOAD_GRAPH) };

static LOAD_GRAPH: Graph = Graph {
    head: "graph_title Load average\n\
           graph_args --base 1000 -l 0\n\
           graph_vlabel load\n\
           graph_scale no\n\
           graph_category system",
    more: Graph::NONE,
    fields: &[Field {
        name: "load",
        traits: "label load",
        need: Need::Always,
        value: |facts, _| facts.number(load::FIVE).map_or(Amount::Unknown, Amount::Hundredths),
    }],
};

pub const VMSTAT: Plugin = Plugin {
    name: "vmstat",
    about: "Tasks that run or could run, and tasks that wait for a disk.",
    shape: Shape::Host(&VMSTAT_GRAPH),
};

static VMSTAT_GRAPH: Graph = Graph {
    head: "graph_title VMstat\n\
           graph_args --base 1000 -l 0\n\
           graph_vlabel process states\n\
           graph_category processes",
    more: Graph::NONE,
    fields: &[
        Field {
            name: "wait",
            traits: "label running\ntype GAUGE\nmax 500000",
            need: Need::Always,
            value: |facts, _| facts.host(cpu::PROCS_RUNNING).into(),
        },
        Field {
            name: "sleep",
            traits: "label I/O sleep\ntype GAUGE\nmax 500000",
            need: Need::Always,
            value: |facts, _| facts.host(cpu::PROCS_BLOCKED).into(),
        },
    ],
};
