//! Sections into a policy: names first, then expressions, then what the promises are made of.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use watchd_probes::inventory::Inventory;

use super::{Daemon, HTTP_PORT, Http, Loaded, MUNIN_PORT, Munin, Policy, loopback};
use super::{existence, groups, powers, run_as};
use crate::agent::{Figure, Names};
use crate::classes::{Builder, ExprId, Joint, Table, TableError, UnknownName, canonify};
use crate::config::{
    Account, At, Class, Common, Document, Expression, Findings, Memory, Named, Place, Watchd, excerpt,
};
use crate::model::{OnPressure, PROMISES, SERVICES};
use crate::sys::accounts;

/// Classes that one command may give.
const GIFTS: usize = 16;
/// How long a class may outlast what makes it true.
const HOLDS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30 * 86_400));

/// The host that a policy is for.
pub struct Host<'a> {
    pub inventory: &'a Inventory,
    /// Where its `proc` is; none when it is not to be looked at.
    pub root: Option<&'a Path>,
    /// Where services are to speak; none when that is not to be looked at.
    pub notify: Option<PathBuf>,
}

/// A policy in the making.
pub struct Maker {
    pub findings: Findings,
    pub builder: Builder,
    /// Where something is mounted, when that is known.
    pub mounts: Option<Vec<String>>,
    /// Where services are to speak, when that is known.
    pub notify: Option<PathBuf>,
}

/// Joins everything; all faults are found before any is given back.
pub fn assemble(document: &mut Document, host: &Host<'_>, mut findings: Findings) -> Loaded {
    groups::sort(document, &mut findings);
    let document = &*document;
    let builder = Builder::new(host.inventory);
    let (mounts, notify) = (host.root.and_then(existence::mounts), host.notify.clone());
    let mut maker = Maker { findings, builder, mounts, notify };
    let mut daemon = maker.daemon(document.watchd.as_ref().map(|(_, section)| section));
    let (munin, http) = maker.listeners(document);
    daemon.run_as = run_as::account(document, munin.as_ref(), http.as_ref(), &mut maker.findings);
    daemon.powers = powers::needed(document, munin.as_ref(), http.as_ref());
    let learn_after = maker.learning(document);
    maker.names(document);
    maker.classes(document);
    let services: Vec<_> = document.processes.iter().map(|process| maker.service(process)).collect();
    maker.bonds(document, &services);
    let mut promises = Vec::new();
    let names = template_names(document);
    promises.extend(document.measures.iter().map(|measure| maker.measure(measure, document)));
    for (place, disk) in (0..).zip(&document.disks) {
        promises.push(maker.disk(disk, place));
    }
    for (place, process) in (0..).zip(&document.processes) {
        promises.push(maker.process(process, place));
    }
    promises.extend(document.crowds.iter().map(|crowd| maker.crowd(crowd)));
    promises.extend(document.files.iter().map(|file| maker.file(file, &document.disks, &names)));
    promises.extend(document.freshnesses.iter().map(|fresh| maker.freshness(fresh)));
    promises.extend(document.commands.iter().map(|command| maker.command(command, document)));
    promises.extend(document.reports.iter().map(|report| maker.report(report, &names, document)));
    maker.carriers(document);
    let daemon = Daemon { digest: maker.digest(document), ..daemon };
    let Maker { mut findings, builder, .. } = maker;
    let classes = table(builder, document, &mut findings);
    let included = findings.files().iter().skip(1).cloned().collect();
    let clean = findings.is_clean();
    let (faults, warnings) = findings.finish();
    match (clean, classes) {
        (true, Some(classes)) => {
            let file = None;
            Ok((Policy { file, included, daemon, munin, http, learn_after, services, promises, classes }, warnings))
        }
        _ => Err(faults),
    }
}

/// Finishes the table of classes.
fn table(builder: Builder, document: &Document, findings: &mut Findings) -> Option<Table> {
    let start = Place { file: 0, line: 1, column: 1 };
    match builder.finish() {
        Ok(table) => return Some(table),
        Err(TableError::Cycle(path)) => {
            let first = document.classes.iter().find(|class| path.first() == Some(&canonify(&class.id)));
            let (place, key) =
                first.map_or((start, "class".to_owned()), |class| (class.place, format!("class.{}", class.id)));
            findings.fault(place, &key, format!("needs itself: {}", path.join(" -> ")), "take one of these steps out");
        }
        Err(TableError::TooMany(count)) => {
            let most = crate::model::CLASSES;
            findings.fault(
                start,
                "class",
                format!("{count} classes are too many"),
                format!("there is room for {most}"),
            );
        }
    }
    None
}

/// What the texts of reports may name.
fn template_names(document: &Document) -> Names<'_> {
    let disks: Vec<&str> = document.disks.iter().map(|disk| disk.id.as_str()).collect();
    let services: Vec<&str> = document.processes.iter().map(|process| process.id.as_str()).collect();
    let mut names = Names::default();
    for (place, it) in (0..).zip(promised(document)) {
        names.add(it.prefix, it.id, place, it.figures);
    }
    Names { disks, services, ..names }
}

/// A promise before it is made.
struct Promised<'a> {
    table: &'static str,
    /// What its classes begin with.
    prefix: &'static str,
    id: &'a str,
    place: Place,
    common: &'a Common,
    /// What its look finds.
    figures: &'static [(&'static str, Figure)],
}

/// All promises in their order.
fn promised(document: &Document) -> Vec<Promised<'_>> {
    let mut all = Vec::new();
    let plain = Figure::NONE;
    let of = |table, prefix, id, place, (common, figures)| Promised { table, prefix, id, place, common, figures };
    all.extend(document.measures.iter().map(|it| {
        let port = it.section.metric.as_ref().and_then(|metric| super::measures::port(&metric.value));
        let figures = if port.is_some() { Figure::PORT } else { Figure::MEASURE };
        of("measure", "", &it.id, it.place, (&it.section.common, figures))
    }));
    all.extend(document.disks.iter().map(|it| of("disk", "disk_", &it.id, it.place, (&it.section.common, plain))));
    all.extend(document.processes.iter().map(|it| of("process", "", &it.id, it.place, (&it.section.common, plain))));
    all.extend(
        document.crowds.iter().map(|it| of("process", "", &it.id, it.place, (&it.section.common, Figure::CROWD))),
    );
    all.extend(document.files.iter().map(|it| {
        let figures = if it.section.dir.is_some() { Figure::TIDY } else { Figure::FILE };
        of("file", "", &it.id, it.place, (&it.section.common, figures))
    }));
    all.extend(
        document
            .freshnesses
            .iter()
            .map(|it| of("freshness", "", &it.id, it.place, (&it.section.common, Figure::FRESH))),
    );
    all.extend(
        document.commands.iter().map(|it| of("command", "", &it.id, it.place, (&it.section.common, Figure::COMMAND))),
    );
    all.extend(
        document.reports.iter().map(|it| of("report", "report_", &it.id, it.place, (&it.section.common, plain))),
    );
    all
}

impl Maker {
    fn daemon(&mut self, section: Option<&Watchd>) -> Daemon {
        let default = Watchd::default();
        let section = section.unwrap_or(&default);
        let range = (Duration::from_millis(10), Duration::from_secs(3600));
        if let Some(cycle) = section.cycle.as_ref().filter(|cycle| cycle.value < Duration::from_secs(1)) {
            let what = format!("{} is for trials: each look costs the host something", spoken(cycle.value));
            self.findings.warn(cycle.place, "watchd.cycle", what, "1s is short, 10s is enough");
        }
        let user = section.user.as_ref().map_or("nobody", |user| user.value.0.as_str());
        if let Some(user) = &section.user {
            existence::user(user, "watchd.user", &mut self.findings);
            existence::unprivileged(user, "watchd.user", &mut self.findings);
        }
        Daemon {
            cycle: self.time(section.cycle.as_ref(), "watchd.cycle", range).unwrap_or(Duration::from_secs(10)),
            user: user.to_owned(),
            run_as: None,
            memory: section.memory.as_ref().map_or(Memory::Trim, |memory| memory.value),
            cgroup: section.cgroup.as_ref().is_none_or(|cgroup| cgroup.value),
            digest: None,
            alive: section.alive.as_ref().map(|alive| alive.value.0.clone()),
            splay: self
                .time(section.splay.as_ref(), "watchd.splay", (Duration::ZERO, Duration::from_secs(3600)))
                .unwrap_or_default(),
            control_group: section.control_group.as_ref().and_then(|group| self.control_group(group)),
            watchdog_device: section.watchdog_device.as_ref().map(|path| path.value.0.clone()),
            powers: None,
        }
    }

    fn control_group(&mut self, group: &At<Account>) -> Option<u32> {
        match accounts::group(&group.value.0) {
            Ok(gid) => Some(gid),
            Err(fault) => {
                let remedy = "make the group, or write another name";
                self.findings.fault(group.place, "watchd.control-group", fault.to_string(), remedy);
                None
            }
        }
    }

    fn listeners(&mut self, document: &Document) -> (Option<Munin>, Option<Http>) {
        let mut taken = Vec::new();
        let munin = document.munin.as_ref().map(|(place, section)| {
            let node = self.node(section);
            Munin {
                listen: self.listen(section.listen.as_ref(), (*place, "munin.listen", MUNIN_PORT), &mut taken),
                allow: node.allow,
                patterns: node.patterns,
                socket: section.socket.as_ref().map(|path| path.value.0.clone()),
                host_name: section.host_name.as_ref().map(|name| name.value.0.clone()),
                learn_limits: section.learn_limits.as_ref().is_some_and(|limits| limits.value),
                spool: section.spool.as_ref().is_some_and(|spool| spool.value),
                guests: node.guests,
                settings: node.settings,
                plugin_state: node.state,
            }
        });
        let http = document.http.as_ref().map(|(place, section)| Http {
            listen: self.listen(section.listen.as_ref(), (*place, "http.listen", HTTP_PORT), &mut taken),
        });
        (munin, http)
    }

    fn listen(
        &mut self,
        listen: Option<&At<Vec<SocketAddr>>>,
        (table, key, port): (Place, &str, u16),
        taken: &mut Vec<SocketAddr>,
    ) -> Vec<SocketAddr> {
        let addresses = listen.map_or_else(|| loopback(port), |listen| listen.value.clone());
        let place = listen.map_or(table, |listen| listen.place);
        for address in &addresses {
            if address.port() == 0 {
                self.findings.fault(place, key, format!("{address} has no port"), "write a port from 1 to 65535");
            }
            if taken.contains(address) {
                self.findings.fault(place, key, format!("{address} is taken twice"), "give each listener its own");
            }
            taken.push(*address);
        }
        if addresses.len() > 8 {
            self.findings.fault(
                place,
                key,
                format!("{} addresses are too many", addresses.len()),
                "listen on at most 8",
            );
        }
        addresses
    }

    /// Declares what each id makes true; ids that would make the same names are faults.
    fn names(&mut self, document: &Document) {
        let mut seen: HashMap<String, (Place, String)> = HashMap::new();
        for (number, it) in (0_u16..).zip(promised(document)) {
            self.claim(&mut seen, (it.table, it.id), it.place);
            self.builder.promise(&format!("{}{}", it.prefix, it.id), number);
            if let Some(name) = self.builder.marks(it.id, number, Figure::marks(it.figures)) {
                let what = format!("does not make its class `{name}`, which is watchd's own");
                self.findings.warn(it.place, &format!("{}.{}", it.table, it.id), what, "give it another id");
            }
            self.hold_outcomes(it.common, &format!("{}.{}", it.table, it.id), number);
        }
        for disk in &document.disks {
            let levels = super::promises::levels(&disk.section);
            self.builder.disk(&disk.id, super::promises::mount_point(&disk.section), &levels);
        }
        for (place, process) in (0..).zip(&document.processes) {
            self.builder.service(&process.id, place);
            for (what, _) in process.section.limits() {
                self.builder.limit(&process.id, place, what);
            }
            if process.section.on_pressure.as_ref().is_some_and(|at| at.value == OnPressure::Restart) {
                self.builder.gives_way(&process.id, place);
            }
        }
        self.switches(document);
        self.gifts(document);
        for class in &document.classes {
            self.claim(&mut seen, ("class", &class.id), class.place);
        }
        if let Some(process) = document.processes.get(SERVICES) {
            let what = format!("{} processes are too many", document.processes.len());
            self.findings.fault(process.place, "process", what, format!("there is room for {SERVICES}"));
        }
        let number = promised(document).len();
        if number > PROMISES {
            let place = Place { file: 0, line: 1, column: 1 };
            let what = format!("{number} promises are too many");
            self.findings.fault(place, "policy", what, format!("there is room for {PROMISES}"));
        }
    }

    /// Declares what commands give.
    fn gifts(&mut self, document: &Document) {
        for command in &document.commands {
            let Some(classes) = &command.section.classes else { continue };
            let key = format!("command.{}.classes", command.id);
            if let Some(extra) = classes.value.get(GIFTS) {
                let what = format!("{} classes are too many", classes.value.len());
                self.findings.fault(classes.place, &key, what, format!("write at most {GIFTS}, without `{}`", extra.0));
            }
            for name in &classes.value {
                if let Err(kind) = self.builder.switch(&name.0) {
                    let what = format!("`{}` is decided by watchd ({kind})", name.0);
                    self.findings.fault(classes.place, &key, what, "take it out");
                }
            }
        }
    }

    /// Declares what people set.
    fn switches(&mut self, document: &Document) {
        let Some((_, watchd)) = &document.watchd else { return };
        let Some(switches) = &watchd.switches else { return };
        for name in &switches.value {
            if let Err(kind) = self.builder.switch(&name.0) {
                let what = format!("`{}` is decided by watchd ({kind})", name.0);
                self.findings.fault(switches.place, "watchd.switches", what, "take it out");
            }
        }
    }

    fn hold_outcomes(&mut self, common: &Common, key: &str, number: u16) {
        if let Some(hold) = self.time(common.hold.as_ref(), &format!("{key}.hold"), HOLDS) {
            self.builder.hold_outcomes(number, hold);
        }
    }

    fn claim(&mut self, seen: &mut HashMap<String, (Place, String)>, (kind, id): (&str, &str), place: Place) {
        let key = format!("{kind}.{id}");
        let prefix = match kind {
            "disk" | "report" => canonify(&format!("{kind}_{id}")),
            // A class and a promise of one name do not meet: `flood` is not `flood_kept`.
            "class" => format!("class {}", canonify(id)),
            _ => canonify(id),
        };
        if let Some((first, other)) = seen.get(&prefix) {
            let what = format!("makes the same class names as {other} in {}", self.findings.cite(*first));
            self.findings.fault(place, &key, what, "give one of them another name");
        } else {
            seen.insert(prefix, (place, key));
        }
    }

    /// Declares the defined classes, then compiles what they are made of: they may name each other in any order.
    fn classes(&mut self, document: &Document) {
        let declared: Vec<_> = document.classes.iter().map(|class| self.builder.declare(&class.id)).collect();
        for (class, declared) in document.classes.iter().zip(declared) {
            let key = format!("class.{}", class.id);
            if class.id == "true" || class.id == "false" {
                self.findings.fault(class.place, &key, "is a word of the language", "give it another name");
            }
            let hold = self.time(class.section.hold.as_ref(), &format!("{key}.hold"), HOLDS);
            let expr = self.conditions(class, &key);
            match (declared, expr) {
                (Ok(number), Some(expr)) => {
                    self.builder.define(number, expr);
                    if let Some(hold) = hold {
                        self.builder.hold(number, hold);
                    }
                }
                (Err(kind), _) => {
                    let what = format!("there is a {kind} class of this name already");
                    self.findings.fault(class.place, &key, what, "give it another name");
                }
                (Ok(_), None) => {}
            }
        }
    }

    /// What a class is made of: `when`, and one of `any`, and all of `all`.
    fn conditions(&mut self, class: &Named<Class>, key: &str) -> Option<ExprId> {
        let Class { when, any, all, .. } = &class.section;
        if when.is_none() && any.is_none() && all.is_none() {
            if !["when", "any", "all"].iter().any(|name| self.findings.mentions(&format!("{key}.{name}"))) {
                let remedy = "write when = \"EXPRESSION\"";
                self.findings.fault(class.place, key, "has none of `when`, `any` and `all`", remedy);
            }
            return None;
        }
        let (mut parts, mut is_whole) = (0, true);
        if let Some(when) = when {
            is_whole &= self.expression(when, &format!("{key}.when")).is_some();
            parts += 1;
        }
        for (name, list, joint) in [("any", any, Joint::Any), ("all", all, Joint::All)] {
            let Some(list) = list else { continue };
            for (place, item) in list.value.iter().enumerate() {
                is_whole &= self.expression(item, &format!("{key}.{name}[{}]", place + 1)).is_some();
            }
            // What did not compile has left nothing to join.
            is_whole = is_whole && self.builder.join(list.value.len(), joint).is_some();
            parts += 1;
        }
        if is_whole { self.builder.join(parts, Joint::All) } else { None }
    }

    /// Compiles an expression; names that nothing makes true are warnings.
    pub fn expression(&mut self, text: &At<Expression>, key: &str) -> Option<ExprId> {
        let at = |column: usize| {
            let column = u32::try_from(column).unwrap_or(u32::MAX).saturating_sub(1);
            Place { column: text.place.column.saturating_add(column), ..text.place }
        };
        let mut unknown = Vec::new();
        let compiled = self.builder.compile(&text.value.0, &mut unknown);
        for UnknownName { name, column, nearest } in unknown {
            let remedy = nearest.map_or_else(
                || "it is false until somebody sets it; if that is meant, list it in watchd.switches".to_owned(),
                |near| format!("it is false until somebody sets it by hand; the nearest is `{near}`"),
            );
            self.findings.warn(at(column), key, format!("nothing makes the class `{name}` true"), remedy);
        }
        compiled
            .map_err(|error| {
                self.findings.fault(
                    at(error.column),
                    key,
                    format!("{} in `{}`", error.reason, excerpt(&text.value.0)),
                    "join names of classes by `&` and `|`, with `!` and brackets",
                );
            })
            .ok()
    }

    pub fn guard(&mut self, common: &Common, key: &str) -> Option<ExprId> {
        common.guard.as_ref().and_then(|guard| self.expression(guard, &format!("{key}.if")))
    }

    /// A time within its range; none when there is none.
    pub fn time(
        &mut self,
        time: Option<&At<Duration>>,
        key: &str,
        (least, most): (Duration, Duration),
    ) -> Option<Duration> {
        let time = time?;
        if time.value < least || time.value > most {
            let what = format!("{} is out of range", spoken(time.value));
            self.findings.fault(
                time.place,
                key,
                what,
                format!("write a time from {} to {}", spoken(least), spoken(most)),
            );
        }
        Some(time.value)
    }
}

/// A time as a policy writes it.
pub fn spoken(time: Duration) -> String {
    let millis = time.as_millis();
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    match units.into_iter().find(|(unit, _)| millis >= *unit && millis.is_multiple_of(*unit)) {
        Some((unit, name)) => format!("{}{name}", millis / unit),
        None if millis == 0 => "0s".to_owned(),
        None => format!("{millis}ms"),
    }
}
