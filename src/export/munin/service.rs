//! Plugins about what the watched services use, in the manner of Munin's own: ps_NAME and proc.
//!
//! Munin's look for processes by name; these count the service and all below it. Somebody's own plugin of the same name is left to him.

use watchd_probes::{MetricId, ObjectId, ProbeId, service};

use super::Ask;
use super::facts::{Amount, Clean, Facts, ticks};
use super::graph::{Field, Graph, Need, Plugin, Shape, write_traits};
use crate::export::Page;
use crate::model::ServiceState;
use crate::store::board::text;

pub const PS: Plugin = Plugin {
    name: "ps_",
    about: "Processes of a watched service.",
    shape: Shape::Each { probe: ProbeId::Service, graph: &PS_GRAPH, is_listed: |_| true },
};

static PS_GRAPH: Graph = Graph {
    head: "graph_args --base 1000 --vertical-label processes -l 0\n\
           graph_category processes",
    more: |facts, object, page| {
        page.text("graph_title Number of ");
        page.push(facts.name(object));
        page.text(" processes\ncount.label ");
        page.push(facts.name(object));
        page.text("\n");
    },
    fields: &[Field {
        name: "count",
        traits: "",
        need: Need::Always,
        value: |facts, object| used(facts, service::PROCESSES, object),
    }],
};

pub const PROC: Plugin = Plugin {
    name: "proc",
    about: "What each watched service uses, with all its processes.",
    shape: Shape::Own {
        is_multigraph: true,
        is_present: |facts| {
            let is_taken = facts.guests.iter().any(|guest| guest.name == PROC.name);
            !is_taken && facts.readings.view.objects(ProbeId::Service).next().is_some()
        },
        write,
    },
};

/// One of the graphs: its name and head, the type of its fields, and what they show.
struct Aspect {
    name: &'static str,
    head: &'static str,
    kind: &'static str,
    value: fn(&Facts<'_>, ObjectId) -> Amount,
}

static ASPECTS: [Aspect; 4] = [
    Aspect {
        name: "cpu",
        head: "graph_title CPU Usage\ngraph_vlabel %\ngraph_args -l 0\n",
        kind: "DERIVE",
        value: |facts, object| facts.readings.view.get(service::CPU, object).number().map(ticks).into(),
    },
    Aspect {
        name: "memory",
        head: "graph_title Memory usage\ngraph_vlabel bytes\ngraph_args -l 0\n",
        kind: "GAUGE",
        value: |facts, object| used(facts, service::RSS, object),
    },
    Aspect {
        name: "threads",
        head: "graph_title Thread count\ngraph_vlabel count\n",
        kind: "GAUGE",
        value: |facts, object| used(facts, service::THREADS, object),
    },
    Aspect {
        name: "processes",
        head: "graph_title Process count\ngraph_vlabel count\n",
        kind: "GAUGE",
        value: |facts, object| used(facts, service::PROCESSES, object),
    },
];

/// What a service uses; nothing when it is known not to run.
fn used(facts: &Facts<'_>, metric: MetricId, object: ObjectId) -> Amount {
    let name = facts.name(object);
    let row = facts.snapshot.services.iter().find(|row| text(&row.id).as_bytes() == name);
    let is_down = row.is_some_and(|row| row.pid == 0 && row.state() != ServiceState::Unknown);
    facts.int(metric, object).or(is_down.then_some(0)).into()
}

fn write(facts: &Facts<'_>, ask: Ask, page: &mut Page) {
    for aspect in &ASPECTS {
        page.put(format_args!("multigraph proc_{}\n", aspect.name));
        if ask.wants_config() {
            page.put(format_args!("graph_category Process info\n{}graph_info {}\n", aspect.head, PROC.about));
        }
        for object in facts.readings.view.objects(ProbeId::Service) {
            let name = Clean(facts.name(object));
            if ask.wants_config() {
                page.put(format_args!("{name}.label "));
                page.push(facts.name(object));
                page.put(format_args!("\n{name}.type {}\n", aspect.kind));
                write_traits(name, "min 0\ndraw LINE2", page);
            }
            if ask.wants_values() {
                (aspect.value)(facts, object).write(name, page);
            }
        }
    }
}
