//! The plugins sensors_temp, sensors_fan, sensors_volt, sensors_power and acpi.
//!
//! Munin's own read what the program `sensors` prints, and number its lines; so these number the sensors in the same order and print
//! as it does. It takes names and corrections from a file of its own, so who has a link to Munin's plugin keeps that.
//! Two deviations: a sensor that falls silent keeps its number, and a fan gets no limits from its greatest speed.

use watchd_probes::{ObjectId, ProbeId, sensors};

use super::Ask;
use super::facts::{Amount, Facts};
use super::graph::{Plugin, Shape};
use crate::export::{General, Page};

macro_rules! plugin {
    ($id:ident, $name:literal, $about:literal, $kind:expr) => {
        pub const $id: Plugin = Plugin {
            name: $name,
            about: $about,
            shape: Shape::Own {
                is_multigraph: false,
                is_present: |facts| is_present(facts, $name, $kind),
                write: |facts, ask, page| write(facts, $kind, ask, page),
            },
        };
    };
}

plugin!(FAN, "sensors_fan", "How fast the fans turn.", &KINDS[0]);
plugin!(POWER, "sensors_power", "What the parts use that measure it.", &KINDS[1]);
plugin!(TEMPERATURE, "sensors_temp", "Temperatures that chips measure.", &KINDS[2]);
plugin!(VOLTAGE, "sensors_volt", "Voltages that chips measure.", &KINDS[3]);

fn is_present(facts: &Facts<'_>, name: &str, kind: &Kind) -> bool {
    !facts.guests.iter().any(|guest| guest.name == name) && kind.all(facts).next().is_some()
}

/// One of the plugins.
struct Kind {
    /// Fields are called so, with a number.
    field: &'static str,
    head: &'static str,
    /// How the kernel's names of its sensors begin.
    stems: [&'static [u8]; 2],
    metric: watchd_probes::MetricId,
    limits: fn(&Facts<'_>, &str, [Option<f64>; 2], &mut Page),
}

static KINDS: [Kind; 4] = [
    Kind {
        field: "fan",
        head: "graph_title Fans\ngraph_vlabel RPM\ngraph_args --base 1000 -l 0\n",
        stems: [b"fan"; 2],
        metric: sensors::FAN,
        limits: |facts, name, [low, _], page| {
            let Some(low) = low else { return };
            let warning = (low * (100.0 + percent(facts, "fan_warn_percent", 5.0)) / 100.0).trunc();
            page.put(format_args!("{name}.warning {warning:.0}:\n{name}.critical {low:.0}:\n"));
        },
    },
    Kind {
        field: "power",
        head: "graph_title Power\ngraph_vlabel Watts\ngraph_args --base 1000 --logarithmic\n",
        stems: [b"power"; 2],
        metric: sensors::POWER,
        limits: |facts, name, [_, high], page| {
            let Some(high) = high else { return };
            let warning = high * (100.0 - percent(facts, "watt_warn_percent", 20.0)) / 100.0;
            page.put(format_args!("{name}.warning :{warning:.2}\n{name}.critical :{high:.2}\n"));
        },
    },
    Kind {
        field: "temp",
        head: "graph_title Temperatures\ngraph_vlabel degrees Celsius\ngraph_args --base 1000 -l 0\n",
        stems: [b"temp"; 2],
        metric: sensors::TEMPERATURE,
        limits: |_, name, limits, page| {
            for (word, limit) in ["warning", "critical"].iter().zip(limits) {
                if let Some(limit) = limit {
                    page.put(format_args!("{name}.{word} {limit:.1}\n"));
                }
            }
        },
    },
    Kind {
        field: "volt",
        head: "graph_title Voltages\ngraph_vlabel Volt\ngraph_args --base 1000 --logarithmic\n",
        stems: [b"in", b"cpu"],
        metric: sensors::VOLTAGE,
        limits: |facts, name, limits, page| {
            let [Some(low), Some(high)] = limits.map(|limit| limit.map(hundredths)) else { return };
            let distance = (high - low) * percent(facts, "volt_warn_percent", 20.0) / 100.0;
            page.put(format_args!("{name}.warning {:.2}:{:.2}\n", low + distance, high - distance));
            page.put(format_args!("{name}.critical {low:.2}:{high:.2}\n"));
        },
    },
];

impl Kind {
    fn all<'a>(&self, facts: &Facts<'a>) -> impl Iterator<Item = ObjectId> + use<'a> {
        let (view, stems) = (facts.readings.view, self.stems);
        view.objects(ProbeId::Sensors).filter(move |object| {
            let name = view.part(*object, 1);
            let has =
                |stem: &[u8]| name.strip_prefix(stem).is_some_and(|rest| rest.first().is_some_and(u8::is_ascii_digit));
            stems.into_iter().any(has)
        })
    }
}

/// A share that the settings may change.
fn percent(facts: &Facts<'_>, variable: &str, usual: f64) -> f64 {
    facts
        .setting(variable)
        .and_then(|value| value.trim().parse().ok())
        .filter(|share: &f64| share.is_finite())
        .unwrap_or(usual)
}

/// A number as it is printed with two decimals.
fn hundredths(value: f64) -> f64 {
    format!("{value:.2}").parse().unwrap_or(value)
}

fn write(facts: &Facts<'_>, kind: &Kind, ask: Ask, page: &mut Page) {
    let view = facts.readings.view;
    if ask.wants_config() {
        page.text(kind.head);
        page.text("graph_category sensors\n");
    }
    for (number, object) in (1..).zip(kind.all(facts)) {
        let name = format!("{}{number}", kind.field);
        if ask.wants_config() {
            page.put(format_args!("{name}.label "));
            page.push(view.part(object, 2));
            page.text("\n");
            let limit = |metric| view.get(metric, object).number();
            (kind.limits)(facts, &name, [limit(sensors::LOW), limit(sensors::HIGH)], page);
            if facts.settings.get(facts.plugin, &format!("ignore_{name}")).is_some() {
                page.put(format_args!("{name}.graph no\n"));
            }
        }
        if ask.wants_values() {
            let value = view.get(kind.metric, object).number();
            match value.map(|value| Shown(kind.field, view.part(object, 1), value)) {
                Some(shown) => page.put(format_args!("{name}.value {shown}\n")),
                None => Amount::Unknown.write(&name, page),
            }
        }
    }
}

/// A value with as many decimals as `sensors` gives it; it tells small voltages in thousandths.
struct Shown<'a>(&'a str, &'a [u8], f64);

impl std::fmt::Display for Shown<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self(field, sensor, value) = *self;
        match field {
            "fan" => write!(out, "{value:.0}"),
            "temp" => write!(out, "{value:.1}"),
            _ if sensor.starts_with(b"cpu") => write!(out, "{value:.3}"),
            "volt" if value != 0.0 && value.abs() <= 1.0 => write!(out, "{}", General(value)),
            _ => write!(out, "{value:.2}"),
        }
    }
}

pub const ACPI: Plugin = Plugin {
    name: "acpi",
    about: "Temperatures of the thermal zones.",
    shape: Shape::Own {
        is_multigraph: false,
        is_present: |facts| zones(facts).next().is_some(),
        write: |facts, ask, page| {
            let view = facts.readings.view;
            if ask.wants_config() {
                page.text("graph_title ACPI Thermal zone temperatures\ngraph_vlabel Celsius\ngraph_category sensors\n");
                page.put(format_args!("graph_info {}\n", ACPI.about));
            }
            for zone in zones(facts) {
                let name = String::from_utf8_lossy(view.part(zone, 1));
                if ask.wants_config() {
                    page.put(format_args!("{name}.label "));
                    page.push(view.part(zone, 2));
                    page.text("\n");
                }
                if ask.wants_values() {
                    Amount::from(view.get(sensors::TEMPERATURE, zone).number()).write(&name, page);
                }
            }
        },
    },
};

fn zones(facts: &Facts<'_>) -> impl Iterator<Item = ObjectId> {
    let view = facts.readings.view;
    view.objects(ProbeId::Sensors).filter(move |object| view.part(*object, 1).starts_with(b"thermal_zone"))
}
