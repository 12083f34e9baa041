//! `[file.ID]` and `[freshness.ID]` into what the hand that looks after files needs.

use std::time::Duration;

use super::assemble::Maker;
use super::existence;
use super::promises::{LONGEST, mount_point};
use crate::agent::{Names, Promise, Work};
use crate::config::{At, Disk, File, Freshness, Named, OneOrMore, Place, Regex, Scalar, Share, excerpt};
use crate::model::{Content, Edit, FileWork, FreshPlace, FreshWork, Replace, TidyWork, Tidying, Until};

/// Where nothing is ever deleted, and what lies below neither.
const SACRED: &[&str] =
    &["/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/proc", "/run/systemd", "/sbin", "/sys", "/usr"];
/// Where nothing is deleted, but below.
const GREAT: &[&str] =
    &["/", "/home", "/mnt", "/media", "/opt", "/root", "/run", "/srv", "/var", "/var/lib", "/var/spool"];

impl Maker {
    pub fn file(&mut self, named: &Named<File>, disks: &[Named<Disk>], names: &Names<'_>) -> Promise {
        let section = &named.section;
        let key = format!("file.{}", named.id);
        let work = match (&section.path, &section.dir) {
            (_, Some(dir)) => {
                self.alone(section, &key, false);
                Work::Tidy(self.tidy(named, dir, disks))
            }
            (Some(path), None) => {
                self.alone(section, &key, true);
                Work::File(self.one_file(named, path.value.0.clone(), names))
            }
            (None, None) => {
                self.required(self.findings.mentions(&format!("{key}.in")), (named.place, &key), "path");
                Work::File(FileWork::default())
            }
        };
        self.promise((&named.id, &key), &section.common, work)
    }

    /// Refuses the keys of the other kind of file promise.
    fn alone(&mut self, section: &File, key: &str, is_one: bool) {
        let place = |is_there: Option<Place>| is_there;
        let of_one = [
            ("path", section.path.as_ref().map(|at| at.place)),
            ("line", section.line.as_ref().map(|at| at.place)),
            ("lines", section.lines.as_ref().map(|at| at.place)),
            ("absent", section.absent.as_ref().map(|at| at.place)),
            ("replace", section.replace.as_ref().map(|at| at.place)),
            ("where", section.spot.as_ref().map(|at| at.place)),
            ("blanks", section.blanks.as_ref().map(|at| at.place)),
            ("create", section.create.as_ref().map(|at| at.place)),
            ("owner", section.owner.as_ref().map(|at| at.place)),
            ("group", section.group.as_ref().map(|at| at.place)),
            ("backup", section.backup.as_ref().map(|at| at.place)),
            ("watch", section.watch.as_ref().map(|at| at.place)),
            ("template", section.template.as_ref().map(|at| at.place)),
            ("template-file", section.template_file.as_ref().map(|at| at.place)),
        ];
        let of_many = [
            ("names", section.names.as_ref().map(|at| at.place)),
            ("older", section.older.as_ref().map(|at| at.place)),
            ("larger", section.larger.as_ref().map(|at| at.place)),
            ("keep", section.keep.as_ref().map(|at| at.place)),
            ("until", section.until.as_ref().map(|at| at.place)),
            ("delete", section.delete.as_ref().map(|at| at.place)),
            ("compress", section.compress.as_ref().map(|at| at.place)),
            ("depth", section.depth.as_ref().map(|at| at.place)),
        ];
        let (wrong, with) = if is_one { (of_many.as_slice(), "path") } else { (of_one.as_slice(), "in") };
        for (name, at) in wrong {
            if let Some(at) = place(*at) {
                let what = format!("is of no use with `{with}`");
                self.findings.fault(at, &format!("{key}.{name}"), what, "make two promises of it");
            }
        }
        if let Some(mode) = section.common.mode.as_ref().filter(|mode| !is_one && mode.value.bits.is_some()) {
            self.findings.fault(
                mode.place,
                &format!("{key}.mode"),
                "is of no use with `in`",
                "make two promises of it",
            );
        }
    }

    fn one_file(&mut self, named: &Named<File>, path: String, names: &Names<'_>) -> FileWork {
        let section = &named.section;
        let key = format!("file.{}", named.id);
        if let Some(at) = section.path.as_ref().filter(|_| !is_plain(&path) || path.ends_with('/')) {
            let remedy = "write it without //, /./ and /../, and without / at its end";
            self.findings.fault(at.place, &format!("{key}.path"), "is not the plain path of a file", remedy);
        }
        if let Some(owner) = &section.owner {
            existence::user(owner, &format!("{key}.owner"), &mut self.findings);
        }
        if let Some(group) = &section.group {
            existence::group(group, &format!("{key}.group"), &mut self.findings);
        }
        let is = |flag: &Option<At<bool>>| flag.as_ref().is_some_and(|flag| flag.value);
        let work = FileWork {
            path,
            content: self.content(section, &key, names),
            create: is(&section.create),
            owner: section.owner.as_ref().map(|owner| owner.value.0.clone()),
            group: section.group.as_ref().map(|group| group.value.0.clone()),
            bits: section.common.mode.as_ref().and_then(|mode| mode.value.bits),
            backup: is(&section.backup),
            watch: section.watch.is_some(),
        };
        let promises_nothing = matches!(work.content, Content::Any)
            && work.owner.is_none()
            && work.group.is_none()
            && work.bits.is_none()
            && !work.create
            && !work.watch;
        if promises_nothing && !self.findings.mentions(&key) {
            let remedy = "write line, lines, absent, replace, template, mode, owner, create or watch";
            self.findings.fault(named.place, &key, "promises nothing about its file", remedy);
        }
        work
    }

    /// What is to stand in it: lines or a template.
    fn content(&mut self, section: &File, key: &str, names: &Names<'_>) -> Content {
        let edit = self.edit(section, key);
        let given: Vec<(&str, Place)> = [
            ("template", section.template.as_ref().map(|at| at.place)),
            ("template-file", section.template_file.as_ref().map(|at| at.place)),
            ("line", section.line.as_ref().map(|at| at.place)),
            ("lines", section.lines.as_ref().map(|at| at.place)),
            ("absent", section.absent.as_ref().map(|at| at.place)),
            ("replace", section.replace.as_ref().map(|at| at.place)),
        ]
        .into_iter()
        .filter_map(|(name, place)| place.map(|place| (name, place)))
        .collect();
        let has_template = given.first().is_some_and(|(name, _)| name.starts_with("template"));
        for (name, place) in given.iter().skip(1).filter(|_| has_template) {
            let what = "stands beside a template, which is the whole text";
            self.findings.fault(*place, &format!("{key}.{name}"), what, "keep one of them");
        }
        match (&section.template, &section.template_file) {
            (Some(text), _) => {
                self.template(text, &format!("{key}.template"), names);
                Content::Template(text.value.0.clone())
            }
            (None, Some(path)) => Content::TemplateFile(path.value.0.clone()),
            (None, None) if edit == Edit::default() => Content::Any,
            (None, None) => Content::Edit(edit),
        }
    }

    fn edit(&mut self, section: &File, key: &str) -> Edit {
        if let (Some(_), Some(lines)) = (&section.line, &section.lines) {
            self.findings.fault(lines.place, &format!("{key}.lines"), "stands beside `line`", "keep one of them");
        }
        let lines: Vec<(String, Place)> = match (&section.line, &section.lines) {
            (Some(line), _) => vec![(line.value.0.clone(), line.place)],
            (None, Some(lines)) => lines.value.iter().map(|line| (line.0.clone(), lines.place)).collect(),
            (None, None) => Vec::new(),
        };
        if let Some(spot) = section.spot.as_ref().filter(|_| lines.is_empty()) {
            let remedy = "take it out, or write the line that goes there";
            self.findings.fault(spot.place, &format!("{key}.where"), "is of no use: there is no `line`", remedy);
        }
        let patterns = |list: &Option<At<OneOrMore<Regex>>>| -> Vec<String> {
            list.iter().flat_map(|list| list.value.0.iter().map(|regex| regex.0.clone())).collect()
        };
        let absent = patterns(&section.absent);
        for (line, place) in &lines {
            let is_against = |pattern: &String| regex_lite::Regex::new(pattern).is_ok_and(|regex| regex.is_match(line));
            if absent.iter().any(is_against) {
                let what = "is what `absent` takes out";
                self.findings.fault(*place, &format!("{key}.line"), what, "one of the two cannot be kept");
            }
        }
        let mut replace = Vec::new();
        for one in section.replace.iter().flat_map(|list| list.value.0.iter().map(move |one| (one, list.place))) {
            match one {
                (crate::config::Replace { regex: Some(regex), with: Some(with) }, _) => {
                    replace.push(Replace { regex: regex.value.0.clone(), with: with.value.0.clone() });
                }
                (_, place) => {
                    let key = format!("{key}.replace");
                    if !self.findings.mentions(&key) {
                        let remedy = "write it like { regex = '^Port .*', with = 'Port 22' }";
                        self.findings.fault(place, &key, "needs `regex` and `with`", remedy);
                    }
                }
            }
        }
        Edit {
            lines: lines.into_iter().map(|(line, _)| line).collect(),
            absent,
            replace,
            spot: section.spot.as_ref().map(|spot| spot.value.clone()).unwrap_or_default(),
            ignores_blanks: section.blanks.is_some(),
        }
    }

    fn tidy(&mut self, named: &Named<File>, dir: &At<crate::config::Absolute>, disks: &[Named<Disk>]) -> TidyWork {
        let section = &named.section;
        let key = format!("file.{}", named.id);
        let is = |flag: &Option<At<bool>>| flag.as_ref().is_some_and(|flag| flag.value);
        let way = match (is(&section.delete), is(&section.compress)) {
            (true, true) => {
                let place = section.compress.as_ref().map_or(named.place, |at| at.place);
                self.findings.fault(place, &format!("{key}.compress"), "stands beside `delete`", "keep one of them");
                Tidying::Nothing
            }
            (true, false) => Tidying::Delete,
            (false, true) => Tidying::Compress,
            (false, false) => Tidying::Nothing,
        };
        let path = dir.value.0.trim_end_matches('/');
        let path = if path.is_empty() { "/" } else { path };
        let is_below =
            |root: &str| path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        if !is_plain(path) || GREAT.contains(&path) || SACRED.iter().any(|root| is_below(root)) {
            let what = format!("nothing is tidied in {path}");
            let remedy = "write the whole, plain path of a directory that holds data, such as /var/log";
            self.findings.fault(dir.place, &format!("{key}.in"), what, remedy);
        }
        if section.names.is_none() && !self.findings.mentions(&format!("{key}.names")) {
            let remedy = "write names = [\"*.gz\"], or [\"*\"] when every file is meant";
            self.findings.fault(named.place, &key, "`names` is missing", remedy);
        }
        let is_bounded =
            section.older.is_some() || section.larger.is_some() || section.keep.is_some() || section.until.is_some();
        if !is_bounded && !self.findings.mentions(&key) {
            let remedy = "write older, larger, keep or until";
            self.findings.fault(named.place, &key, "does not say which of them go", remedy);
        }
        TidyWork {
            dir: path.to_owned(),
            names: section.names.iter().flat_map(|names| names.value.iter().map(|glob| glob.0.clone())).collect(),
            older: self.time(section.older.as_ref(), &format!("{key}.older"), (Duration::from_secs(60), YEARS)),
            larger: section.larger.as_ref().map(|size| size.value.0),
            keep: section.keep.as_ref().map_or(0, |keep| u32::from(keep.value.0)),
            until: section.until.as_ref().and_then(|until| self.until(until, &key, disks)),
            way,
            depth: section.depth.as_ref().map_or(0, |depth| depth.value.0.min(16)),
        }
    }

    /// `disk_root < 80%`
    fn until(&mut self, text: &At<String>, key: &str, disks: &[Named<Disk>]) -> Option<Until> {
        let parsed = text.value.split_once('<').and_then(|(name, share)| {
            let id = name.trim().strip_prefix("disk_")?;
            let disk = disks.iter().find(|disk| disk.id == id)?;
            Some(Until { path: mount_point(&disk.section).to_owned(), below: Share::parse(share.trim())?.0 })
        });
        if parsed.is_none() {
            let remedy = "write it like \"disk_root < 80%\", with a [disk.root] of this policy";
            let what = format!("`{}` does not name a disk and a share of it", excerpt(&text.value));
            self.findings.fault(text.place, &format!("{key}.until"), what, remedy);
        }
        parsed
    }

    pub fn freshness(&mut self, named: &Named<Freshness>) -> Promise {
        let section = &named.section;
        let key = format!("freshness.{}", named.id);
        if let (Some(path), Some(_)) = (&section.path, &section.dir) {
            self.findings.fault(path.place, &format!("{key}.path"), "stands beside `in`", "keep one of them");
        }
        let place = match (&section.dir, &section.path) {
            (Some(dir), _) => FreshPlace::Dir(dir.value.0.clone()),
            (None, Some(path)) => FreshPlace::File(path.value.0.clone()),
            (None, None) => FreshPlace::Nowhere,
        };
        if place == FreshPlace::Nowhere && section.marker.is_none() && !self.findings.mentions(&key) {
            self.findings.fault(named.place, &key, "has none of `in`, `path` and `marker`", "say what is to be fresh");
        }
        let size = section.size.as_ref().map(|size| &size.value);
        let says_nothing = section.newest.is_none() && size.is_none();
        if says_nothing && !self.findings.mentions(&key) {
            self.findings.fault(
                named.place,
                &key,
                "says neither how new nor how large",
                "write newest = \"26h\" or size",
            );
        }
        let work = FreshWork {
            place,
            names: section.names.iter().flat_map(|names| names.value.iter().map(|glob| glob.0.clone())).collect(),
            depth: section.depth.as_ref().map_or(0, |depth| depth.value.0.min(16)),
            newest: self.time(section.newest.as_ref(), &format!("{key}.newest"), (Duration::from_secs(1), YEARS)),
            least: size.and_then(|size| size.min.as_ref()).map(|size| size.value.0),
            shrink: size.and_then(|size| size.shrink.as_ref()).map(|share| share.value.0),
            marker: section.marker.as_ref().map(|marker| marker.value.0.clone()),
        };
        self.promise((&named.id, &key), &section.common, Work::Fresh(work))
    }
}

/// The longest age of a file that can be promised.
const YEARS: Duration = Duration::from_secs(LONGEST.as_secs() * 120);

/// Whether a path has no step that leads elsewhere.
fn is_plain(path: &str) -> bool {
    path == "/" || path.split('/').skip(1).all(|step| !matches!(step, "" | "." | ".."))
}
