//! The plugin cpuspeed: how fast each processor ran, from the time spent at each frequency, or the frequency of now where no times are kept.

use watchd_probes::{ObjectId, ProbeId, cpufreq};

use super::Ask;
use super::facts::{Amount, Facts};
use super::graph::{Plugin, Shape};
use super::limits;
use crate::export::Page;

pub const CPUSPEED: Plugin = Plugin {
    name: "cpuspeed",
    about: "How fast each processor runs.",
    shape: Shape::Own { is_multigraph: false, is_present: |facts| cpus(facts).next().is_some(), write },
};

fn cpus(facts: &Facts<'_>) -> impl Iterator<Item = ObjectId> {
    facts.readings.view.objects(ProbeId::Cpufreq)
}

fn write(facts: &Facts<'_>, ask: Ask, page: &mut Page) {
    let is_counted = cpus(facts).next().is_some_and(|first| facts.int(cpufreq::CYCLES, first).is_some());
    let kilohertz = |metric, cpu| facts.int(metric, cpu).map(|hertz| hertz / 1000);
    if ask.wants_config() {
        page.text("graph_title CPU frequency scaling\ngraph_args --base 1000\ngraph_category system\n");
        page.text(if facts.is_set("scaleto100") { "graph_vlabel %\ngraph_scale no\n" } else { "graph_vlabel Hz\n" });
        page.put(format_args!("graph_info {}\n", CPUSPEED.about));
    }
    for cpu in cpus(facts) {
        let number = String::from_utf8_lossy(facts.name(cpu));
        let name = format!("cpu{number}");
        if ask.wants_config() {
            // A tenth above what is told: some drivers do not count the fastest of all.
            let most = kilohertz(cpufreq::HIGHEST, cpu).map(|khz| khz.saturating_mul(11) / 10);
            if let Some(most) = most {
                page.put(format_args!("{name}.cdef {name},1000,*"));
                if facts.is_set("scaleto100") {
                    page.put(format_args!(",{most},/"));
                }
                page.text("\n");
            }
            page.put(format_args!("{name}.label CPU {number}\n"));
            if let Some(most) = most {
                page.put(format_args!("{name}.max {most}\n"));
            }
            if let Some(least) = kilohertz(cpufreq::LOWEST, cpu) {
                page.put(format_args!("{name}.min {least}\n"));
            }
            page.put(format_args!("{name}.type {}\n", if is_counted { "DERIVE" } else { "GAUGE" }));
            limits::write(facts, &name, page);
        }
        if ask.wants_values() {
            let metric = if is_counted { cpufreq::CYCLES } else { cpufreq::CURRENT };
            Amount::from(kilohertz(metric, cpu)).write(&name, page);
        }
    }
}
