//! The tables of promises into what the agent needs.

use std::time::Duration;

use super::assemble::Maker;
use super::existence;
use super::services::launch;
use crate::agent::{CommandWork, Names, Promise, Template, Work};
use crate::classes::DiskLevels;
use crate::config::{At, Command, Common, Disk, Document, Expression, Mode, Named, Place, Process, Share, Text};
use crate::model;

const MILLI: Duration = Duration::from_millis(1);
const DAY: Duration = Duration::from_secs(86_400);
/// No time of a promise is longer.
pub const LONGEST: Duration = Duration::from_secs(30 * 86_400);

/// The thresholds of a disk with their defaults: five points of room between full and well again.
pub fn levels(disk: &Disk) -> DiskLevels {
    let value = |share: &Option<At<Share>>, default: f32| share.as_ref().map_or(default, |share| share.value.0);
    let full = value(&disk.full, 90.0);
    let forecast = disk.forecast.as_ref().map(|forecast| forecast.value);
    DiskLevels { full, ok: value(&disk.ok, full - 5.0), inodes: value(&disk.inodes, 90.0), forecast }
}

/// The path of a disk as the kernel writes it, without a slash at the end.
pub fn mount_point(disk: &Disk) -> &str {
    let path = disk.path.as_ref().map_or("", |path| path.value.0.as_str());
    let trimmed = path.trim_end_matches('/');
    if trimmed.is_empty() && !path.is_empty() { "/" } else { trimmed }
}

impl Maker {
    pub fn disk(&mut self, named: &Named<Disk>, number: u16) -> Promise {
        let section = &named.section;
        let key = format!("disk.{}", named.id);
        self.required(section.path.is_some(), (named.place, &key), "path");
        if let Some(path) = &section.path {
            existence::mount(&self.mounts, (mount_point(section), path.place), &key, &mut self.findings);
        }
        let levels = levels(section);
        let place = section.ok.as_ref().or(section.full.as_ref()).map_or(named.place, |share| share.place);
        if levels.ok >= levels.full {
            let what = format!("{}% is not below full = {}%", levels.ok, levels.full);
            self.findings.fault(place, &format!("{key}.ok"), what, "leave some room between them");
        } else if levels.ok <= 0.0 {
            self.findings.fault(place, &format!("{key}.ok"), "nothing is left for it", "write full and ok further up");
        }
        let range = (60 * 60_000 * MILLI, LONGEST);
        self.time(section.forecast.as_ref(), &format!("{key}.forecast"), range);
        let idle = [
            ("limit", section.common.limit.as_ref().map(|at| at.place)),
            ("cooldown", section.common.cooldown.as_ref().map(|at| at.place)),
            ("timeout", section.common.timeout.as_ref().map(|at| at.place)),
        ];
        for (name, place) in idle {
            if let Some(place) = place {
                let what = "is of no use: a disk is only looked at";
                self.findings.fault(place, &format!("{key}.{name}"), what, "take it out");
            }
        }
        self.promise((&named.id, &key), &section.common, Work::Disk(number))
    }

    pub fn process(&mut self, named: &Named<Process>, number: u16) -> Promise {
        let key = format!("process.{}", named.id);
        let promise = self.promise((&named.id, &key), &named.section.common, Work::Process(number));
        // The supervisor counts the starts.
        Promise { limit: None, ..promise }
    }

    pub fn command(&mut self, named: &Named<Command>, document: &Document) -> Promise {
        let section = &named.section;
        let key = format!("command.{}", named.id);
        self.required(section.run.is_some(), (named.place, &key), "run");
        self.surroundings(&section.surroundings, &key);
        self.programs(&key, &section.surroundings, &[("run", &section.run)]);
        let list = |list: &Option<At<Vec<u8>>>| list.as_ref().map(|list| list.value.clone());
        let kept = list(&section.kept).unwrap_or_default();
        let success = if kept.contains(&0) { Vec::new() } else { vec![0] };
        let repaired = list(&section.repaired).unwrap_or(success);
        if let Some(twice) = kept.iter().find(|status| repaired.contains(status)) {
            let place = section.repaired.as_ref().or(section.kept.as_ref()).map_or(named.place, |list| list.place);
            let what = format!("{twice} is among `kept` too");
            self.findings.fault(place, &format!("{key}.repaired"), what, "a status means one thing");
        }
        if section.common.guard.is_none() && section.common.every.is_none() {
            let remedy = "give it `if` or `every`";
            self.findings.warn(named.place, &key, "runs in every cycle", remedy);
        }
        let work = CommandWork {
            launch: stand_in(section.run.as_ref().map(|run| launch(&run.value, &section.surroundings))),
            timeout: self.timeout(&section.common, &key, Duration::from_secs(60)),
            kept,
            repaired,
            classes: section.classes.iter().flat_map(|at| at.value.iter().map(|name| name.0.clone())).collect(),
            is_asked: document
                .measures
                .iter()
                .any(|measure| measure.section.command.as_ref().is_some_and(|command| command.value.0 == named.id)),
            splay: self
                .time(section.splay.as_ref(), &format!("{key}.splay"), (Duration::ZERO, DAY))
                .unwrap_or_default(),
        };
        self.promise((&named.id, &key), &section.common, Work::Command(work))
    }

    pub fn template(&mut self, text: &At<Text>, key: &str, names: &Names<'_>) -> Template {
        match Template::parse(&text.value.0, names) {
            Ok(template) => {
                for class in template.classes() {
                    let class = At { value: Expression(class.to_owned()), place: text.place };
                    self.expression(&class, key);
                }
                return template;
            }
            Err(error) => {
                let column = u32::try_from(error.column).unwrap_or(u32::MAX).saturating_sub(1);
                let place = Place { column: text.place.column.saturating_add(column), ..text.place };
                self.findings.fault(place, key, error.what, error.remedy);
            }
        }
        Template::default()
    }

    /// Permission bits are a file's.
    fn no_bits(&mut self, key: &str, common: &Common) {
        if let Some(mode) = common.mode.as_ref().filter(|mode| mode.value.bits.is_some()) {
            let what = "permission bits belong to a file";
            self.findings.fault(mode.place, &format!("{key}.mode"), what, "write \"fix\", \"warn\" or \"off\"");
        }
    }

    /// What all promises have.
    pub fn promise(&mut self, (id, key): (&str, &str), common: &Common, work: Work) -> Promise {
        let cooldown = self.time(common.cooldown.as_ref(), &format!("{key}.cooldown"), (1_000 * MILLI, LONGEST));
        if let (Some(at), None, false) = (&common.cooldown, &common.limit, matches!(work, Work::Process(_))) {
            let remedy = "give it a `limit`, or write `every`";
            self.findings.fault(at.place, &format!("{key}.cooldown"), "is of no use without `limit`", remedy);
        }
        if !matches!(work, Work::File(_)) {
            self.no_bits(key, common);
        }
        Promise {
            id: id.to_owned(),
            cooldown: cooldown.unwrap_or_default(),
            guard: self.guard(common, key),
            every: self
                .time(common.every.as_ref(), &format!("{key}.every"), (Duration::ZERO, LONGEST))
                .unwrap_or_default(),
            mode: common.mode.as_ref().and_then(|mode| mode.value.mode).unwrap_or(Mode::Fix),
            limit: common.limit.as_ref().map(|limit| limit.value),
            patience: self.timeout(common, key, Duration::from_secs(30)),
            work,
        }
    }

    pub fn timeout(&mut self, common: &Common, key: &str, default: Duration) -> Duration {
        self.time(common.timeout.as_ref(), &format!("{key}.timeout"), (100 * MILLI, DAY)).unwrap_or(default)
    }

    /// A key that has to be there. One that is there but wrong has been reported already.
    pub fn required(&mut self, is_there: bool, (place, table): (Place, &str), key: &str) {
        if !is_there && !self.findings.mentions(&format!("{table}.{key}")) {
            self.findings.fault(place, table, format!("`{key}` is missing"), format!("write {key} = …"));
        }
    }
}

/// In place of a launch that is missing: a fault has been noted, and the policy is never used.
pub fn stand_in(launch: Option<model::Launch>) -> model::Launch {
    launch.unwrap_or_else(|| model::Launch::new(model::Command::Exec(Vec::new())))
}
