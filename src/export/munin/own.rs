//! Plugins about watchd itself and what Munin has no plugin for: watchd_services, watchd_restarts, watchd_classes,
//! watchd_measures, watchd_pressure, watchd_self.

use watchd_probes::pressure;

use super::Ask;
use super::facts::{Amount, Clean, Facts};
use super::graph::{Field, Graph, Need, Plugin, Shape, write_traits};
use super::{learned, limits};
use crate::export::Page;
use crate::model::{ClassKind, PromiseKind, ServiceState};
use crate::store::board::ClassRow;
use crate::store::board::text;
use crate::store::{PromiseRow, ServiceRow};

pub const SERVICES: Plugin = Plugin {
    name: "watchd_services",
    about: "Which of the watched services are ready; 0 is anything else.",
    shape: Shape::Own {
        is_multigraph: false,
        is_present: |facts| !facts.snapshot.services.is_empty(),
        write: |facts, ask, page| {
            let head = "graph_title Watched services\ngraph_args --base 1000 -l 0\n\
                        graph_vlabel services that are ready\ngraph_scale no\n";
            write_services(facts, ask, (head, SERVICES.about), page);
        },
    },
};

pub const RESTARTS: Plugin = Plugin {
    name: "watchd_restarts",
    about: "How often the watched services are started again.",
    shape: Shape::Own {
        is_multigraph: false,
        is_present: |facts| !facts.snapshot.services.is_empty(),
        write: |facts, ask, page| {
            let head = "graph_title Restarts of services\ngraph_args --base 1000 -l 0\n\
                        graph_vlabel restarts / ${graph_period}\ngraph_period hour\n";
            write_services(facts, ask, (head, RESTARTS.about), page);
        },
    },
};

pub const MEASURES: Plugin = Plugin {
    name: "watchd_measures",
    about: "What the measures of the policy show.",
    shape: Shape::Own {
        is_multigraph: false,
        is_present: |facts| measures(facts).next().is_some(),
        write: |facts, ask, page| {
            if ask.wants_config() {
                page.text("graph_title Measures\ngraph_args --base 1000\ngraph_vlabel see legend\n");
                page.put(format_args!("graph_category watchd\ngraph_info {}\n", MEASURES.about));
            }
            for row in measures(facts) {
                let name = Clean(text(&row.id).as_bytes());
                if ask.wants_config() {
                    page.put(format_args!("{name}.label {}\n", text(&row.id)));
                    learned::measure(facts, text(&row.id), &name, page);
                    limits::write(facts, &name, page);
                }
                if ask.wants_values() {
                    Amount::from(row.figure(PromiseKind::Measure, 0)).write(name, page);
                }
            }
        },
    },
};

pub fn measures<'a>(facts: &'a Facts<'_>) -> impl Iterator<Item = &'a PromiseRow> {
    facts.snapshot.promises.iter().filter(|row| row.kind() == Some(PromiseKind::Measure))
}

fn write_services(facts: &Facts<'_>, ask: Ask, (head, about): (&str, &str), page: &mut Page) {
    let is_restarts = about == RESTARTS.about;
    if ask.wants_config() {
        page.text(head);
        page.put(format_args!("graph_category watchd\ngraph_info {about}\n"));
    }
    for service in &facts.snapshot.services {
        let name = Clean(text(&service.id).as_bytes());
        if ask.wants_config() {
            page.put(format_args!("{name}.label {}\n", text(&service.id)));
            write_traits(
                name,
                if is_restarts { "type DERIVE\nmin 0" } else { "min 0\nmax 1\ndraw AREASTACK\ncritical 1:" },
                page,
            );
            limits::write(facts, &name, page);
        }
        if ask.wants_values() {
            let value = if is_restarts { Amount::Int(service.restarts.into()) } else { readiness(service) };
            value.write(name, page);
        }
    }
}

/// 1 when it is ready; unknown when nobody can tell, or when it is left alone on request.
fn readiness(service: &ServiceRow) -> Amount {
    match service.state() {
        ServiceState::Ready => Amount::Int(1),
        ServiceState::Unknown | ServiceState::Paused => Amount::Unknown,
        _ => Amount::Int(0),
    }
}

pub const CLASSES: Plugin = Plugin {
    name: "watchd_classes",
    about: "Which classes are true: those that readings make true, and those that the policy defines.",
    shape: Shape::Own {
        is_multigraph: false,
        is_present: |facts| facts.snapshot.classes.iter().any(is_told),
        write: write_classes,
    },
};

/// Fixed facts, the time of day and what other plugins tell are left out.
fn is_told(class: &ClassRow) -> bool {
    matches!(class.kind(), Some(ClassKind::Measured | ClassKind::Defined))
}

fn write_classes(facts: &Facts<'_>, ask: Ask, page: &mut Page) {
    if ask.wants_config() {
        page.text("graph_title Classes\ngraph_args --base 1000 -l 0\n");
        page.text("graph_vlabel classes that are true\ngraph_scale no\ngraph_category watchd\n");
        page.put(format_args!("graph_info {}\n", CLASSES.about));
    }
    for class in facts.snapshot.classes.iter().filter(|class| is_told(class)) {
        let name = Clean(text(&class.name).as_bytes());
        if ask.wants_config() {
            page.put(format_args!("{name}.label {}\n", text(&class.name)));
            // One on the other: lines that are all at 1 would hide each other.
            write_traits(name, "min 0\nmax 1\ndraw AREASTACK", page);
            limits::write(facts, &name, page);
        }
        if ask.wants_values() {
            Amount::Int(class.is_on().into()).write(name, page);
        }
    }
}

pub const PRESSURE: Plugin = Plugin {
    name: "watchd_pressure",
    about: "Share of time in which work waited for processors, memory or disks, over five minutes; full means that nothing ran.",
    shape: Shape::Host(&PRESSURE_GRAPH),
};

static PRESSURE_GRAPH: Graph = Graph {
    head: "graph_title Pressure\n\
           graph_args --base 1000 -l 0\n\
           graph_vlabel % of time\n\
           graph_scale no\n\
           graph_category system",
    more: Graph::NONE,
    fields: &[
        Field {
            name: "cpu_some",
            traits: "label cpu some\nmin 0\nmax 100",
            need: Need::Optional,
            value: |facts, _| facts.number(pressure::CPU_SOME_300).into(),
        },
        Field {
            name: "memory_some",
            traits: "label memory some\nmin 0\nmax 100",
            need: Need::Optional,
            value: |facts, _| facts.number(pressure::MEMORY_SOME_300).into(),
        },
        Field {
            name: "memory_full",
            traits: "label memory full\nmin 0\nmax 100",
            need: Need::Optional,
            value: |facts, _| facts.number(pressure::MEMORY_FULL_300).into(),
        },
        Field {
            name: "io_some",
            traits: "label io some\nmin 0\nmax 100",
            need: Need::Optional,
            value: |facts, _| facts.number(pressure::IO_SOME_300).into(),
        },
        Field {
            name: "io_full",
            traits: "label io full\nmin 0\nmax 100",
            need: Need::Optional,
            value: |facts, _| facts.number(pressure::IO_FULL_300).into(),
        },
    ],
};

pub const SELF: Plugin = Plugin {
    name: "watchd_self",
    about: "What watchd needs, and how long its loop was busy at the longest.",
    shape: Shape::Host(&SELF_GRAPH),
};

static SELF_GRAPH: Graph = Graph {
    head: "graph_title watchd\n\
           graph_args --base 1000 -l 0\n\
           graph_vlabel see legend\n\
           graph_category watchd",
    more: Graph::NONE,
    fields: &[
        Field {
            name: "heartbeat_age",
            traits: "label heartbeat age (s)\nmin 0",
            need: Need::Always,
            value: |facts, _| Amount::Float(facts.snapshot.header.age(facts.now).as_secs_f64()),
        },
        Field {
            name: "longest_turn",
            // Told in milliseconds, drawn as what fits beside the others.
            traits: "label longest turn (s)\nmin 0\ncdef longest_turn,1000,/",
            need: Need::Always,
            value: |facts, _| Amount::from(milliseconds(facts.snapshot.header.longest_turn_us)),
        },
        Field {
            name: "resident",
            traits: "label resident (MiB)\nmin 0",
            need: Need::Optional,
            value: |facts, _| mebibytes(facts.snapshot.header.rss_kib),
        },
        Field {
            name: "resident_door",
            traits: "label resident, door (MiB)\nmin 0",
            need: Need::Optional,
            value: |facts, _| mebibytes(facts.snapshot.header.door_rss_kib),
        },
    ],
};

/// Thousandths, rounded down to a microsecond.
#[allow(clippy::cast_precision_loss)]
fn milliseconds(micros: u64) -> Option<f64> {
    Some(micros as f64 / 1000.0)
}

/// None when the daemon could not tell.
fn mebibytes(kib: u32) -> Amount {
    if kib == 0 { Amount::Unknown } else { Amount::Float(f64::from(kib) / 1024.0) }
}
