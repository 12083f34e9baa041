//! `[measure.ID]` into what is looked at, and the levels that mean something.

use std::time::Duration;

use watchd_probes::{MetricId, PROBES};

use super::assemble::Maker;
use super::promises::stand_in;
use super::services::launch;
use crate::agent::{Promise, Work};
use crate::config::{At, Document, Level, Measure, Named, Place, excerpt, nearest};
use crate::model::{LogKind, MeasureWork, Source, Threshold};

/// It goes through all connections there are, so not in every cycle.
const EVERY: Duration = Duration::from_secs(30);

/// The port of `tcp.port.80`, and whether it is the other side's, as of `tcp.to.25`.
pub fn port(metric: &str) -> Option<(u16, bool)> {
    let (side, port) = metric.strip_prefix("tcp.")?.split_once('.')?;
    let is_plain = port.bytes().all(|byte| byte.is_ascii_digit()) && !port.starts_with('0');
    let port = port.parse().ok().filter(|port: &u16| is_plain && *port > 0)?;
    match side {
        "port" => Some((port, false)),
        "to" => Some((port, true)),
        _ => None,
    }
}

impl Maker {
    pub fn measure(&mut self, named: &Named<Measure>, document: &Document) -> Promise {
        let section = &named.section;
        let key = format!("measure.{}", named.id);
        let work = MeasureWork {
            source: self.measured(named, &key, document),
            is_rate: section.kind.as_ref().is_some_and(|kind| kind.value == LogKind::Counter),
            high: self.threshold((&section.high, &section.high_ok), (&key, "high"), |enter, leave| leave <= enter),
            low: self.threshold((&section.low, &section.low_ok), (&key, "low"), |enter, leave| leave >= enter),
            unit: section.unit.as_ref().map(|unit| unit.value.0.clone()),
            learn: section.learn.as_ref().is_some_and(|learn| learn.value),
        };
        if let (Some(high), Some(low), Some(at)) = (work.high, work.low, &section.low)
            && low.enter >= high.enter
        {
            let what = format!("{} is not below `high`", low.enter);
            self.findings.fault(at.place, &format!("{key}.low"), what, "leave some room between them");
        }
        let is_port = matches!(work.source, Source::Port { .. });
        let promise = self.promise((&named.id, &key), &section.common, Work::Measure(work));
        let every = if is_port && section.common.every.is_none() { EVERY } else { promise.every };
        Promise { every, ..promise }
    }

    /// Exactly one of `file`, `run`, `metric` and `command`.
    fn measured(&mut self, named: &Named<Measure>, key: &str, document: &Document) -> Source {
        let section = &named.section;
        let given: Vec<(&str, Place)> = [
            ("file", section.file.as_ref().map(|at| at.place)),
            ("run", section.run.as_ref().map(|at| at.place)),
            ("metric", section.metric.as_ref().map(|at| at.place)),
            ("command", section.command.as_ref().map(|at| at.place)),
        ]
        .into_iter()
        .filter_map(|(name, place)| place.map(|place| (name, place)))
        .collect();
        for (name, place) in given.iter().skip(1) {
            let first = given.first().map_or("", |(first, _)| first);
            let what = format!("stands beside `{first}`");
            self.findings.fault(*place, &format!("{key}.{name}"), what, "keep one of file, run, metric and command");
        }
        if given.is_empty() && !self.findings.mentions(key) {
            let what = "has none of `file`, `run`, `metric` and `command`";
            self.findings.fault(named.place, key, what, "say what is measured");
        }
        self.belongs(section, key);
        self.surroundings(&section.surroundings, key);
        self.programs(key, &section.surroundings, &[("run", &section.run)]);
        match (&section.file, &section.run, &section.metric) {
            (Some(file), ..) => Source::Log {
                path: file.value.0.clone(),
                pattern: section.pattern.as_ref().map_or_else(String::new, |regex| regex.value.0.clone()),
                kind: self.log_kind(named, key),
            },
            (_, Some(run), _) => Source::Run(launch(&run.value, &section.surroundings)),
            (_, _, Some(metric)) => self.metric(metric, key),
            (None, None, None) if section.command.is_some() => self.told(section, key, document),
            _ => Source::Run(stand_in(None)),
        }
    }

    /// A command that tells it.
    fn told(&mut self, section: &Measure, key: &str, document: &Document) -> Source {
        let Some(at) = &section.command else { return Source::Run(stand_in(None)) };
        if !document.commands.iter().any(|command| command.id == at.value.0) {
            let near = nearest(&at.value.0, document.commands.iter().map(|command| command.id.as_str()));
            let remedy = near.map_or_else(|| "write that table".to_owned(), |near| format!("the nearest is `{near}`"));
            let what = format!("there is no [command.{}]", at.value.0);
            self.findings.fault(at.place, &format!("{key}.command"), what, remedy);
        }
        if let Some(every) = &section.common.every {
            let remedy = "take it out: it is told whenever the command has run";
            self.findings.fault(every.place, &format!("{key}.every"), "is of no use with `command`", remedy);
        }
        Source::Told(at.value.0.clone())
    }

    /// Keys that need another one.
    fn belongs(&mut self, section: &Measure, key: &str) {
        if let Some(pattern) = section.pattern.as_ref().filter(|_| section.file.is_none()) {
            self.findings.fault(pattern.place, &format!("{key}.match"), "is of no use without `file`", "take it out");
        }
        if let Some(kind) = section.kind.as_ref().filter(|_| section.file.is_none()) {
            let key = format!("{key}.kind");
            if section.metric.is_some() {
                let what = "is of no use with `metric`, whose kind is known";
                self.findings.fault(kind.place, &key, what, "take it out");
            } else if kind.value == LogKind::Lines {
                let remedy = "write \"counter\" for a number that only grows, \"gauge\" for any other";
                self.findings.fault(kind.place, &key, "`lines` are those of a `file`", remedy);
            }
        }
        if section.run.is_none() {
            self.idle(&section.surroundings, key);
        }
    }

    fn log_kind(&mut self, named: &Named<Measure>, key: &str) -> LogKind {
        let section = &named.section;
        let kind = section.kind.as_ref().map_or(LogKind::Lines, |kind| kind.value);
        let is_named = section
            .pattern
            .as_ref()
            .is_some_and(|regex| regex.value.0.contains("?<value>") || regex.value.0.contains("?P<value>"));
        if section.pattern.is_none() {
            self.required(false, (named.place, key), "match");
        } else if kind == LogKind::Gauge && !is_named {
            let place = section.pattern.as_ref().map_or(named.place, |at| at.place);
            let remedy = "write it like 'took (?<value>[0-9.]+) ms'";
            self.findings.fault(place, &format!("{key}.match"), "has no group called `value`", remedy);
        }
        kind
    }

    fn metric(&mut self, name: &At<String>, key: &str) -> Source {
        if let Some((port, is_there)) = port(&name.value) {
            return Source::Port { port, is_there };
        }
        if name.value.starts_with("tcp.") {
            let remedy = "write tcp.port.80 for those that come to a port, tcp.to.25 for those that went to one";
            let what = format!("`{}` names no port from 1 to 65535", excerpt(&name.value));
            self.findings.fault(name.place, &format!("{key}.metric"), what, remedy);
            return Source::Metric(0, 0);
        }
        let hosts = || PROBES.iter().filter(|info| info.labels.is_empty());
        let found = MetricId::from_name(&name.value)
            .filter(|id| hosts().any(|info| PROBES.get(id.probe()).is_some_and(|probe| probe.name == info.name)));
        let places = found.and_then(|id| u8::try_from(id.probe()).ok().zip(u8::try_from(id.place()).ok()));
        if let Some((probe, place)) = places {
            return Source::Metric(probe, place);
        }
        let all: Vec<String> = hosts()
            .flat_map(|info| info.metrics.iter().map(|metric| format!("{}.{}", info.name, metric.field)))
            .collect();
        let near = nearest(&name.value, all.iter().map(String::as_str));
        let remedy =
            near.map_or_else(|| "write one like load.five".to_owned(), |near| format!("the nearest is `{near}`"));
        let what = format!("`{}` is no metric of the whole host", excerpt(&name.value));
        self.findings.fault(name.place, &format!("{key}.metric"), what, remedy);
        Source::Metric(0, 0)
    }

    fn threshold(
        &mut self,
        (enter, leave): (&Option<At<Level>>, &Option<At<Level>>),
        (key, name): (&str, &str),
        is_inside: fn(f64, f64) -> bool,
    ) -> Option<Threshold> {
        let key = format!("{key}.{name}-ok");
        match (enter, leave) {
            (None, Some(leave)) => {
                self.findings.fault(leave.place, &key, format!("is of no use without `{name}`"), "take it out");
                None
            }
            (Some(enter), Some(leave)) if !is_inside(enter.value.0, leave.value.0) => {
                self.findings.fault(leave.place, &key, format!("lies beyond `{name}`"), "leave some room between them");
                None
            }
            (Some(enter), Some(leave)) => Some(Threshold { enter: enter.value.0, leave: leave.value.0 }),
            (Some(enter), None) => Some(Threshold { enter: enter.value.0, leave: enter.value.0 }),
            (None, None) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_a_number_of_one_side() {
        for (metric, expect) in [
            ("tcp.port.80", Some((80, false))),
            ("tcp.to.65535", Some((65_535, true))),
            ("tcp.port.0", None),
            ("tcp.port.080", None),
            ("tcp.port.65536", None),
            ("tcp.port.", None),
            ("tcp.port.+80", None),
            ("tcp.from.80", None),
            ("tcp.port", None),
            ("udp.port.53", None),
        ] {
            assert_eq!(port(metric), expect, "{metric}");
        }
    }
}
