//! All sections of a policy: the main file and the files it includes.

use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::fault::{Findings, Place, excerpt};
use super::include;
use super::nearest::nearest;
use super::section::Node;
use super::source::Source;
use super::tables::{
    Class, Command, Disk, File, Freshness, Http, Learn, Measure, Munin, Process, Report, Watchd, Webhook,
};

/// Faults of the TOML itself that are shown for one file: the parser goes on after the first, and stumbles over the rest of it.
const SYNTAX_FAULTS: usize = 10;
/// Tables that another version knows.
const LATER: &[&str] = &["notify"];

/// A table with an id of its own: `[process.web]`.
#[derive(Debug)]
pub struct Named<T> {
    pub id: String,
    pub place: Place,
    pub section: T,
}

/// A table that is there once: `[munin]`.
pub type Single<T> = Option<(Place, T)>;

/// Everything that the files say, in the order they say it.
#[derive(Debug, Default)]
pub struct Document {
    pub watchd: Single<Watchd>,
    pub munin: Single<Munin>,
    pub http: Single<Http>,
    pub learn: Single<Learn>,
    /// The services.
    pub processes: Vec<Named<Process>>,
    /// Those that are counted.
    pub crowds: Vec<Named<Process>>,
    pub disks: Vec<Named<Disk>>,
    pub files: Vec<Named<File>>,
    pub freshnesses: Vec<Named<Freshness>>,
    pub measures: Vec<Named<Measure>>,
    pub commands: Vec<Named<Command>>,
    pub reports: Vec<Named<Report>>,
    pub webhooks: Vec<Named<Webhook>>,
    pub classes: Vec<Named<Class>>,
}

/// Reads a file and what it includes.
pub fn read(path: &Path, findings: &mut Findings) -> Document {
    let mut document = Document::default();
    let Some(source) = Source::open(path, None, findings) else { return document };
    document.absorb(&source, findings);
    let pattern = document.watchd.as_ref().and_then(|(_, watchd)| watchd.include.clone());
    let Some(pattern) = pattern else { return document };
    match include::expand(path, &pattern.value) {
        Ok(files) => files.iter().for_each(|file| document.include(file, path, pattern.place, findings)),
        Err((what, remedy)) => findings.fault(pattern.place, "watchd.include", what, remedy),
    }
    document
}

/// Reads a text; nothing is included.
pub fn read_text(name: &str, text: &str, findings: &mut Findings) -> Document {
    let mut document = Document::default();
    let file = findings.file(name.to_owned());
    document.absorb(&Source::new(file, text.to_owned()), findings);
    document
}

impl Document {
    fn include(&mut self, file: &Path, main: &Path, place: Place, findings: &mut Findings) {
        let same = |one: &Path, other: &Path| {
            one.canonicalize().ok().zip(other.canonicalize().ok()).is_some_and(|(a, b)| a == b)
        };
        if same(file, main) {
            findings.fault(
                place,
                "watchd.include",
                "the file includes itself",
                "put the other files into a directory of their own",
            );
            return;
        }
        let Some(source) = Source::open(file, Some(place), findings) else { return };
        // An included file cannot include: the main file has [watchd] already, and twice is a fault.
        self.absorb(&source, findings);
    }

    /// Adds the sections of one file.
    fn absorb(&mut self, source: &Source, findings: &mut Findings) {
        let (tree, errors) = DeTable::parse_recoverable(source.text());
        for error in errors.iter().take(SYNTAX_FAULTS) {
            let start = error.span().map_or(source.text().len(), |span| span.start);
            let place = source.place(start);
            let duplicate = error.message().contains("duplicate");
            let remedy = if duplicate { "keep one of the two" } else { "correct the TOML here" };
            let at = excerpt(source.line_from(start));
            let at = if at.is_empty() { at } else { format!(": `{at}`") };
            findings.fault(place, "toml", format!("{}{at}", error.message()), remedy);
        }
        if !errors.is_empty() {
            return;
        }
        let root = DeValue::Table(tree.into_inner());
        let root = Node { value: &root, start: 0, end: 0, key: String::new(), source };
        let Some(table) = root.value.as_table() else { return };
        for (name, start, node) in root.children(table) {
            self.table(name, source.place(start), &node, findings);
        }
    }

    fn table(&mut self, name: &str, place: Place, node: &Node<'_>, findings: &mut Findings) {
        match name {
            "watchd" => once(&mut self.watchd, place, Watchd::decode(node, findings), ("watchd", findings)),
            "munin" => once(&mut self.munin, place, Munin::decode(node, findings), ("munin", findings)),
            "http" => once(&mut self.http, place, Http::decode(node, findings), ("http", findings)),
            "learn" => once(&mut self.learn, place, Learn::decode(node, findings), ("learn", findings)),
            "process" => {
                each(&mut self.processes, node, Process::decode, findings);
                let is_crowd = |named: &mut Named<Process>| named.section.is_crowd();
                self.crowds.extend(self.processes.extract_if(.., is_crowd));
            }
            "disk" => each(&mut self.disks, node, Disk::decode, findings),
            "file" => each(&mut self.files, node, File::decode, findings),
            "freshness" => each(&mut self.freshnesses, node, Freshness::decode, findings),
            "measure" => each(&mut self.measures, node, Measure::decode, findings),
            "command" => each(&mut self.commands, node, Command::decode, findings),
            "report" => each(&mut self.reports, node, Report::decode, findings),
            "webhook" => each(&mut self.webhooks, node, Webhook::decode, findings),
            "class" => each(&mut self.classes, node, Class::decode, findings),
            _ => unknown(name, place, node, findings),
        }
    }
}

const TABLES: &[&str] = &[
    "watchd",
    "munin",
    "http",
    "learn",
    "process",
    "disk",
    "file",
    "freshness",
    "measure",
    "command",
    "report",
    "webhook",
    "class",
];

fn unknown(name: &str, place: Place, node: &Node<'_>, findings: &mut Findings) {
    let owner = [("watchd", Watchd::KEYS), ("munin", Munin::KEYS)].into_iter().find(|(_, keys)| keys.contains(&name));
    if LATER.contains(&name) {
        findings.fault(place, &node.key, "is not in this version", "take it out");
    } else if let Some((table, _)) = owner.filter(|_| !node.value.is_table()) {
        findings.fault(place, &node.key, "stands outside of any table", format!("move it below [{table}]"));
    } else if let Some(near) = nearest(name, TABLES.iter().copied()) {
        findings.fault(place, &node.key, "unknown table", format!("the nearest is `{near}`"));
    } else {
        findings.fault(place, &node.key, "unknown table", format!("valid are {}", TABLES.join(", ")));
    }
}

fn once<T>(slot: &mut Single<T>, place: Place, section: Option<T>, (name, findings): (&str, &mut Findings)) {
    let Some(section) = section else { return };
    match slot {
        None => *slot = Some((place, section)),
        Some((first, _)) => {
            let cited = findings.cite(*first);
            findings.fault(place, name, format!("is also in {cited}"), "keep one of the two");
        }
    }
}

fn each<T>(
    list: &mut Vec<Named<T>>,
    node: &Node<'_>,
    decode: fn(&Node<'_>, &mut Findings) -> Option<T>,
    findings: &mut Findings,
) {
    let form = format!("[{}.NAME]", node.key);
    let Some(table) = node.table(findings, &form) else { return };
    for (id, start, child) in node.children(table) {
        let place = node.source.place(start);
        if !child.value.is_table() {
            child.wrong_type(findings, "a table", &form);
        } else if !is_id(id) {
            let remedy = "write a small letter, then up to 31 small letters, digits, `_` or `-`";
            findings.fault(place, &child.key, "is not a valid name", remedy);
        } else if let Some(section) = decode(&child, findings) {
            list.push(Named { id: id.to_owned(), place, section });
        }
    }
}

fn is_id(id: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_' || byte == b'-';
    id.len() <= 32 && id.bytes().next().is_some_and(|first| first.is_ascii_lowercase()) && id.bytes().all(plain)
}
