//! The text of a report: `/ is {disk_root.used} full`. Compiled when the policy is read; unknown names are refused there.
//!
//! | written | becomes |
//! |---|---|
//! | `{host}` | the host's name |
//! | `{repaired}` `{failed}` | the ids of the promises that came out so |
//! | `{disk_ID.used}` `{disk_ID.inodes}` | `93%` |
//! | `{disk_ID.eta}` | `17 hours` until it is full |
//! | `{ID.state}` `{ID.reason}` | of a service |
//! | `{ID.outcome}` `{disk_ID.outcome}` `{report_ID.outcome}` | of a promise |
//! | `{ID.repairs}` | how often a promise was repaired within the last hour |
//! | `{ID.output}` | the beginning of what a command wrote last |
//! | `{ID.bytes}` `{ID.count}` | what a tidying file promise has put away |
//! | `{ID.age}` `{ID.size}` | of the newest of a freshness |
//! | `{ID.count}` `{ID.rss}` | how many processes there are, and what they have together |
//! | `{ID.value}` `{ID.expected}` | of a measure; what is expected is known of one that is learned |
//! | `{ID.top_peer}` | the address with most connections to a port that is measured |
//! | `{ID.reason}` `{ID.diff}` | what a promise about files or numbers has said |
//! | `{class:NAME}` | `true` or `false` |
//! | `{PROBE.FIELD}` | a reading about the whole host; a counter as its growth per second |
//! | `{{` | `{` |
//!
//! A value that could not be measured is the word `unknown`.

use std::fmt::Write;

use serde::{Deserialize, Serialize};
use watchd_probes::{Kind, MetricId, ObjectId, PROBES, Unit};

use super::promise::{Promise, Work};
use super::repairs::Repairs;
use super::told::Told;
use crate::classes::{Classes, Gauge, Level, Scene};
use crate::config::nearest;
use crate::model::{Mark, MeasureWork, Outcome, Source};

/// A compiled text.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Template(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Piece {
    Text(String),
    Host,
    With(Outcome),
    Disk(Gauge),
    /// How long it will do.
    Left(u16),
    State(u16),
    Reason(u16),
    Outcome(u16),
    /// How often within an hour.
    Repairs(u16),
    Figure(u16, Figure),
    Class(String),
    /// Probe and place in its table.
    Metric(u8, u8),
}

/// What a promise about files or numbers has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Figure {
    Bytes,
    Count,
    Age,
    Size,
    Value,
    /// What is usual at this time of the week.
    Expected,
    /// What it said.
    Words,
    /// What its program wrote.
    Output,
}

impl Figure {
    pub const NONE: &'static [(&'static str, Self)] = &[];
    pub const COMMAND: &'static [(&'static str, Self)] = &[("output", Self::Output)];
    pub const FILE: &'static [(&'static str, Self)] = &[("diff", Self::Words), ("reason", Self::Words)];
    pub const TIDY: &'static [(&'static str, Self)] =
        &[("bytes", Self::Bytes), ("count", Self::Count), ("reason", Self::Words)];
    pub const CROWD: &'static [(&'static str, Self)] =
        &[("count", Self::Count), ("rss", Self::Bytes), ("reason", Self::Words)];
    pub const FRESH: &'static [(&'static str, Self)] =
        &[("age", Self::Age), ("size", Self::Size), ("reason", Self::Words)];
    pub const MEASURE: &'static [(&'static str, Self)] =
        &[("value", Self::Value), ("expected", Self::Expected), ("reason", Self::Words)];
    /// Of a measure of connections.
    pub const PORT: &'static [(&'static str, Self)] =
        &[("value", Self::Value), ("expected", Self::Expected), ("top_peer", Self::Words), ("reason", Self::Words)];

    /// How each kind of work is asked for what it found.
    pub fn of(work: &Work) -> &'static [(&'static str, Self)] {
        match work {
            Work::File(_) => Self::FILE,
            Work::Tidy(_) => Self::TIDY,
            Work::Crowd(_) => Self::CROWD,
            Work::Fresh(_) => Self::FRESH,
            Work::Measure(MeasureWork { source: Source::Port { .. }, .. }) => Self::PORT,
            Work::Measure(_) => Self::MEASURE,
            Work::Command(_) => Self::COMMAND,
            Work::Disk(_) | Work::Process(_) | Work::Report(_) => Self::NONE,
        }
    }

    /// The classes that a look which finds these can make true.
    pub fn marks(figures: &[(&'static str, Self)]) -> &'static [Mark] {
        match figures.first() {
            Some((_, Self::Words)) => &[Mark::Changed],
            Some((_, Self::Count)) => &[Mark::High, Mark::Low, Mark::Down, Mark::RssHigh, Mark::AgeHigh, Mark::CpuHigh],
            Some((_, Self::Age)) => &[Mark::Stale, Mark::Small],
            Some((_, Self::Value)) if figures.len() == Self::PORT.len() => {
                &[Mark::High, Mark::Low, Mark::Missing, Mark::EntropyLow, Mark::EntropyHigh]
            }
            Some((_, Self::Value)) => &[Mark::High, Mark::Low, Mark::Missing],
            _ => &[],
        }
    }

    /// Which of a promise's figures it is.
    fn place(self) -> usize {
        usize::from(matches!(self, Self::Count | Self::Size))
    }
}

/// Why a text is not a template; `column` counts characters from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateError {
    pub column: usize,
    pub what: String,
    pub remedy: String,
}

/// What a template may name, by place in the policy; disks and promises with their prefix.
#[derive(Default)]
pub struct Names<'a> {
    pub disks: Vec<&'a str>,
    pub services: Vec<&'a str>,
    pub promises: Vec<String>,
    /// `ID.field`, the promise, and what it is.
    pub figures: Vec<(String, u16, Figure)>,
}

impl<'a> Names<'a> {
    /// Of a policy that is in force.
    pub fn of(promises: &'a [Promise]) -> Self {
        let mut names = Self::default();
        for (place, promise) in (0..).zip(promises) {
            match promise.work {
                Work::Disk(_) => names.disks.push(&promise.id),
                Work::Process(_) => names.services.push(&promise.id),
                _ => {}
            }
            names.add(promise.prefix().kind, &promise.id, place, Figure::of(&promise.work));
        }
        names
    }

    /// One promise with its place and what it finds.
    pub fn add(&mut self, kind: &str, id: &str, place: u16, figures: &[(&'static str, Figure)]) {
        self.promises.push(format!("{kind}{id}"));
        self.figures.extend(figures.iter().map(|(field, figure)| (format!("{id}.{field}"), place, *figure)));
    }
}

impl Names<'_> {
    fn find(&self, name: &str) -> Option<Piece> {
        let place = |found: Option<usize>| found.and_then(|place| u16::try_from(place).ok());
        let (object, field) = name.split_once('.').unwrap_or((name, ""));
        let service = || place(self.services.iter().position(|id| *id == object));
        let disk = || place(object.strip_prefix("disk_").and_then(|id| self.disks.iter().position(|disk| *disk == id)));
        let piece = match (object, field) {
            ("host", "") => Some(Piece::Host),
            ("repaired", "") => Some(Piece::With(Outcome::Repaired)),
            ("failed", "") => Some(Piece::With(Outcome::Failed)),
            (_, "used") => disk().map(|disk| Piece::Disk(Gauge::DiskUsed(disk))),
            (_, "inodes") => disk().map(|disk| Piece::Disk(Gauge::DiskInodes(disk))),
            (_, "eta") => disk().map(Piece::Left),
            (_, "state") => service().map(Piece::State),
            (_, "reason") => service().map(Piece::Reason),
            (_, "repairs") => place(self.promises.iter().position(|id| id == object)).map(Piece::Repairs),
            (_, "outcome") => place(self.promises.iter().position(|id| id == object)).map(Piece::Outcome),
            _ => None,
        };
        let figure = || self.figures.iter().find(|(known, ..)| known == name);
        let class = || name.strip_prefix("class:").filter(|class| !class.is_empty());
        piece
            .or_else(|| figure().map(|(_, promise, figure)| Piece::Figure(*promise, *figure)))
            .or_else(|| class().map(|class| Piece::Class(class.to_owned())))
            .or_else(|| metric(name))
    }

    /// Everything that could be written between braces.
    fn all(&self) -> Vec<String> {
        let mut all = ["host", "repaired", "failed"].map(str::to_owned).to_vec();
        all.extend(self.disks.iter().flat_map(|id| ["used", "inodes", "eta"].map(|what| format!("disk_{id}.{what}"))));
        all.extend(self.services.iter().flat_map(|id| [format!("{id}.state"), format!("{id}.reason")]));
        all.extend(self.promises.iter().flat_map(|id| [format!("{id}.outcome"), format!("{id}.repairs")]));
        all.extend(self.figures.iter().map(|(name, ..)| name.clone()));
        let hosts = PROBES.iter().filter(|info| info.labels.is_empty());
        all.extend(hosts.flat_map(|info| info.metrics.iter().map(|metric| format!("{}.{}", info.name, metric.field))));
        all
    }
}

/// A metric of the whole host.
fn metric(name: &str) -> Option<Piece> {
    let id = MetricId::from_name(name)?;
    PROBES.get(id.probe()).filter(|info| info.labels.is_empty())?;
    Some(Piece::Metric(u8::try_from(id.probe()).ok()?, u8::try_from(id.place()).ok()?))
}

impl Template {
    /// Compiles a text.
    pub fn parse(text: &str, names: &Names<'_>) -> Result<Self, TemplateError> {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            plain.push_str(before);
            let column = text.chars().count() - after.chars().count();
            if let Some(after) = after.strip_prefix('{') {
                plain.push('{');
                rest = after;
                continue;
            }
            let Some((name, after)) = after.split_once('}') else {
                let what = "this `{` has no `}`".to_owned();
                return Err(TemplateError { column, what, remedy: "close it, or write `{{` for a brace".into() });
            };
            if !plain.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut plain)));
            }
            pieces.push(names.find(name).ok_or_else(|| unknown(name, column, names))?);
            rest = after;
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        Ok(Self(pieces))
    }

    /// The classes it names.
    pub fn classes(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|piece| if let Piece::Class(name) = piece { Some(name.as_str()) } else { None })
    }

    /// The places of the promises whose findings it tells.
    pub fn tells_of(&self) -> impl Iterator<Item = usize> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Figure(promise, _) | Piece::Outcome(promise) => Some(usize::from(*promise)),
            _ => None,
        })
    }

    /// Writes the text as it is now.
    pub(super) fn render(&self, out: &mut impl Write, scene: &Scene<'_>, facts: &Facts<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|piece| piece.render(out, scene, facts))
    }
}

fn unknown(name: &str, column: usize, names: &Names<'_>) -> TemplateError {
    let all = names.all();
    let near = nearest(name, all.iter().map(String::as_str));
    let short: String = name.chars().take(40).collect();
    TemplateError {
        column,
        what: format!("`{{{short}}}` is nothing that can be told"),
        remedy: near.map_or_else(
            || {
                "valid are host, repaired, failed, ID.state, ID.reason, ID.outcome, disk_ID.used, load.one and the like"
                    .into()
            },
            |near| format!("the nearest is `{{{near}}}`"),
        ),
    }
}

/// What a text may need besides the scene.
pub struct Facts<'a> {
    pub host: &'a str,
    pub classes: &'a Classes,
    pub promises: &'a [Promise],
    pub outcomes: &'a [Outcome],
    pub(super) told: &'a Told,
    pub(super) repairs: &'a Repairs,
}

impl Facts<'_> {
    fn figure(&self, out: &mut impl Write, promise: usize, figure: Figure) -> std::fmt::Result {
        if matches!(figure, Figure::Words | Figure::Output) {
            return out.write_str(self.told.words(promise));
        }
        let level = match figure {
            Figure::Expected => self.told.expected(promise),
            _ => self.told.figures(promise).get(figure.place()).copied().unwrap_or(f64::NAN),
        };
        match figure {
            _ if level.is_nan() => out.write_str("unknown"),
            Figure::Bytes | Figure::Size => bytes(out, level),
            Figure::Age if level < 120.0 => write!(out, "{level:.0} s"),
            Figure::Age if level < 7_200.0 => write!(out, "{:.0} min", level / 60.0),
            Figure::Age if level < 172_800.0 => write!(out, "{:.1} h", level / 3_600.0),
            Figure::Age => write!(out, "{:.1} d", level / 86_400.0),
            Figure::Value | Figure::Expected if level.fract() != 0.0 => write!(out, "{level:.2}"),
            Figure::Count | Figure::Value | Figure::Expected | Figure::Words | Figure::Output => {
                write!(out, "{level:.0}")
            }
        }?;
        let unit = match self.promises.get(promise).map(|promise| &promise.work) {
            Some(Work::Measure(measure)) => measure.unit.as_deref().unwrap_or(""),
            _ => "",
        };
        if unit.is_empty() { Ok(()) } else { write!(out, " {unit}") }
    }

    fn holds(&self, class: &str) -> bool {
        let mut holds = self.classes.is_on(class);
        let id = |promise: usize| self.promises.get(promise).map(Promise::prefix);
        let services = self.promises.iter().filter(|promise| matches!(promise.work, Work::Process(_)));
        let service = |place: usize| services.clone().nth(place).map(|promise| promise.id.as_str());
        if !holds {
            self.classes.each(&service, &id, &mut |row| holds |= row.on && row.name == class);
        }
        holds
    }
}

impl Piece {
    fn render(&self, out: &mut impl Write, scene: &Scene<'_>, facts: &Facts<'_>) -> std::fmt::Result {
        let fact = |service: u16| (scene.services)(usize::from(service));
        match self {
            Self::Text(text) => out.write_str(text),
            Self::Host => out.write_str(facts.host),
            Self::With(outcome) => {
                let with = facts.promises.iter().zip(facts.outcomes).filter(|(_, known)| *known == outcome);
                with.enumerate().try_for_each(|(place, (promise, _))| {
                    let prefix = promise.prefix();
                    write!(out, "{}{}{}", if place > 0 { ", " } else { "" }, prefix.kind, prefix.id)
                })
            }
            Self::Disk(gauge) => match gauge.read(&scene.readings, facts.classes.table().disks()) {
                Level::Is(level) => write!(out, "{level:.0}%"),
                Level::Unknown | Level::Absent => out.write_str("unknown"),
            },
            Self::Left(disk) => match facts.classes.disk_left(*disk) {
                Some(left) if left.as_secs() >= 2 * 86_400 => write!(out, "{} days", left.as_secs() / 86_400),
                Some(left) if left.as_secs() >= 2 * 3_600 => write!(out, "{} hours", left.as_secs() / 3_600),
                Some(left) => write!(out, "{} minutes", left.as_secs() / 60),
                None => out.write_str("unknown"),
            },
            Self::State(service) => out.write_str(fact(*service).map_or("unknown", |fact| fact.state.word())),
            Self::Reason(service) => out.write_str(fact(*service).map_or("unknown", |fact| fact.reason)),
            Self::Outcome(promise) => {
                out.write_str(facts.outcomes.get(usize::from(*promise)).map_or("unknown", |outcome| outcome.word()))
            }
            Self::Repairs(promise) => {
                write!(out, "{}", facts.repairs.within_hour(usize::from(*promise), scene.now.mono))
            }
            Self::Figure(promise, figure) => facts.figure(out, usize::from(*promise), *figure),
            Self::Class(name) => out.write_str(if facts.holds(name) { "true" } else { "false" }),
            Self::Metric(probe, place) => reading(out, scene, (*probe, *place)),
        }
    }
}

/// A reading with its unit, as people write it.
fn reading(out: &mut impl Write, scene: &Scene<'_>, (probe, place): (u8, u8)) -> std::fmt::Result {
    let id = PROBES.get(usize::from(probe)).map(|info| MetricId::new(info.id, place));
    let level = id.and_then(|id| scene.readings.level(id, ObjectId::HOST));
    let (Some(level), Some(metric)) = (level, id.and_then(MetricId::metric)) else { return out.write_str("unknown") };
    match metric.unit {
        Unit::Bytes => bytes(out, level)?,
        Unit::Percent => write!(out, "{level:.0}%")?,
        Unit::Seconds => write!(out, "{level:.1} s")?,
        Unit::Count if level.fract() == 0.0 => write!(out, "{level:.0}")?,
        Unit::Count => write!(out, "{level:.2}")?,
    }
    if metric.kind == Kind::Counter { out.write_str("/s") } else { Ok(()) }
}

fn bytes(out: &mut impl Write, level: f64) -> std::fmt::Result {
    let mut level = level;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if level.abs() < 1024.0 {
            let digits = usize::from(unit != "B");
            return write!(out, "{level:.digits$} {unit}");
        }
        level /= 1024.0;
    }
    write!(out, "{level:.1} TiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names<'static> {
        Names {
            disks: vec!["root"],
            services: vec!["web"],
            promises: vec!["disk_root".into(), "web".into(), "clean".into()],
            figures: vec![("logs.bytes".into(), 3, Figure::Bytes)],
        }
    }

    #[test]
    fn a_text_names_only_what_there_is() {
        for good in [
            "plain",
            "{host}: {repaired} {failed}",
            "{disk_root.used} {disk_root.inodes} {disk_root.outcome}",
            "{web.state} {web.reason} {web.outcome} {clean.outcome}",
            "{load.one} {{literally}",
            "{logs.bytes} {class:any}",
        ] {
            assert!(Template::parse(good, &names()).is_ok(), "{good}");
        }
        for (bad, column, remedy) in [
            ("{hots}", 1, "{host}"),
            ("é {web.reson}", 3, "{web.reason}"),
            ("{disk_rot.used}", 1, "{disk_root.used}"),
            ("{clean.state}", 1, "{clean.outcome}"),
            ("{}", 1, "valid are"),
            ("{load.on}", 1, "{load.one}"),
            ("a {host} b {", 12, "{{"),
            ("{zzzzzzzzzzzzzzzz}", 1, "valid are"),
        ] {
            let error = Template::parse(bad, &names()).expect_err(bad);
            assert_eq!(error.column, column, "{bad}");
            assert!(error.remedy.contains(remedy) || remedy == "{clean.outcome}", "{bad}: {}", error.remedy);
        }
    }

    #[test]
    fn bytes_are_told_in_their_size() {
        for (level, expect) in
            [(0.0, "0 B"), (1023.0, "1023 B"), (1536.0, "1.5 KiB"), (3e9, "2.8 GiB"), (5e15, "4547.5 TiB")]
        {
            let mut text = String::new();
            bytes(&mut text, level).expect("a string takes everything");
            assert_eq!(text, expect);
        }
    }
}
