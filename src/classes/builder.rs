//! Makes the table of classes while a policy is read: first everything that can be true is declared, then the expressions
//! are compiled.
//!
//! A name is looked for among the declared classes, then taken as a name of time, then as `ID_STATE` of a service or
//! `ID_OUTCOME` of a promise. Whatever is left cannot become true; it is given back as unknown, with the nearest name.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use watchd_probes::inventory::Inventory;

use super::expr::{self, SyntaxError};
use super::gauge::Gauge;
use super::table::{Entry, ExprId, LIMITED, OUTCOMES, Side, Source, States, Table, Threshold};
use super::time::{self, TimeTest};
use super::{canonify, hard};
use crate::config::nearest;
use crate::model::{
    CLASSES, ClassKind, Finding, Mark, Outcome, PRESSED, Quantities, Quantity, ServiceState, class_prefix,
};

/// True for the first ten minutes after a boot.
const BOOT: &str = "boot";
/// How often the nearest name is looked for: it takes a look at every name there is.
const SUGGESTIONS: usize = 20;

/// A name that nothing can make true.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownName {
    pub name: String,
    /// In the expression, in characters from 1.
    pub column: usize,
    /// What was probably meant.
    pub nearest: Option<String>,
}

/// Why the classes make no table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TableError {
    /// Defined classes that need each other: `a -> b -> a`.
    Cycle(Vec<String>),
    /// More classes than the board has room for.
    TooMany(usize),
}

/// Thresholds of a disk, in percent of its space and of its inodes.
pub struct DiskLevels {
    pub full: f32,
    pub ok: f32,
    pub inodes: f32,
    /// Full within this time is full soon.
    pub forecast: Option<Duration>,
}

/// How expressions are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joint {
    All,
    Any,
}

/// A table in the making.
pub struct Builder {
    table: Table,
    numbers: HashMap<String, u16>,
    /// Prefixes of state classes.
    services: HashMap<String, u16>,
    /// Prefixes of outcome classes.
    promises: HashMap<String, u16>,
    /// How long the outcome classes of a promise stay.
    holds: HashMap<u16, Duration>,
    /// Prefixes of what looks find.
    marks: HashMap<String, (u16, &'static [Mark])>,
    /// Prefixes of what the learner finds, with the `_` at their end.
    quantities: HashMap<String, u16>,
    defined: Vec<u16>,
    /// Networks that the host is in.
    networks: Vec<String>,
    /// Names that people set.
    switches: HashSet<String>,
    /// How often the nearest name was looked for.
    suggested: usize,
}

impl Builder {
    /// Begins with what the host is and what can be measured on it.
    pub fn new(inventory: &Inventory) -> Self {
        let mut builder = Self {
            table: Table::default(),
            numbers: HashMap::new(),
            services: HashMap::new(),
            promises: HashMap::new(),
            holds: HashMap::new(),
            marks: HashMap::new(),
            quantities: HashMap::new(),
            defined: Vec::new(),
            networks: hard::networks(inventory),
            switches: HashSet::new(),
            suggested: 0,
        };
        for name in hard::names(inventory) {
            builder.intern(&name, Source::Hard);
        }
        let cpus = f32::from(u16::try_from(inventory.cpus.max(1)).unwrap_or(u16::MAX));
        builder.above("load_high", Gauge::Load, (2.0 * cpus, 1.5 * cpus));
        let low = Threshold { gauge: Gauge::Memory, side: Side::Below, enter: 10.0, leave: 15.0 };
        builder.intern("memory_low", Source::Measured(low));
        builder.above("swap_high", Gauge::Swap, (80.0, 70.0));
        // Shares of time in which somebody waited: a busy processor is no trouble, a tenth of the time lost to memory is felt.
        builder.above("pressure_cpu", Gauge::CpuPressure, (60.0, 40.0));
        builder.above("pressure_memory", Gauge::MemoryPressure, (10.0, 5.0));
        builder.above("pressure_io", Gauge::IoPressure, (40.0, 20.0));
        for (name, gauge) in [
            ("load_unknown", Gauge::Load),
            ("memory_unknown", Gauge::Memory),
            ("swap_unknown", Gauge::Swap),
            ("pressure_unknown", Gauge::CpuPressure),
        ] {
            builder.intern(name, Source::Unread(gauge));
        }
        builder.intern("state_unwritable", Source::StateUnwritable);
        builder
    }

    /// Declares the classes of a disk and gives its number.
    pub fn disk(&mut self, id: &str, path: &str, levels: &DiskLevels) -> u16 {
        let disk = u16::try_from(self.table.disks.len()).unwrap_or(u16::MAX);
        self.table.disks.push(path.to_owned());
        let name = |aspect: &str| format!("disk_{}_{aspect}", canonify(id));
        self.above(&name("full"), Gauge::DiskUsed(disk), (levels.full, levels.ok));
        let ok = Threshold { gauge: Gauge::DiskUsed(disk), side: Side::Below, enter: levels.ok, leave: levels.ok };
        self.intern(&name("ok"), Source::Measured(ok));
        // Inodes come back in small numbers: two points keep the class from flickering.
        self.above(&name("inodes_full"), Gauge::DiskInodes(disk), (levels.inodes, levels.inodes - 2.0));
        self.above(&name("read_only"), Gauge::DiskReadOnly(disk), (1.0, 1.0));
        self.intern(&name("unknown"), Source::Unread(Gauge::DiskUsed(disk)));
        self.above(&name("hung"), Gauge::DiskHung(disk), (1.0, 1.0));
        if let Some(ahead) = levels.forecast {
            let hours = ahead.as_secs_f32() / 3_600.0;
            // A forecast sways: it has to get half as far again to be taken back.
            let soon = Threshold { gauge: Gauge::DiskLeft(disk), side: Side::Below, enter: hours, leave: 1.5 * hours };
            self.intern(&name("full_soon"), Source::Measured(soon));
            self.table.forecasts.push((disk, ahead));
        }
        disk
    }

    /// Declares `ID_ready`, `ID_down` and so on.
    pub fn service(&mut self, id: &str, number: u16) {
        self.services.insert(canonify(id), number);
    }

    /// Declares `ID_rss_high` and so on, for a limit of a service.
    pub fn limit(&mut self, id: &str, number: u16, what: Quantity) {
        let name = format!("{}_{}_high", canonify(id), what.word());
        self.intern(&name, Source::Over { service: number, bit: 1 << what.byte() });
    }

    /// Declares `ID_pressed`, for a service that gives its memory back.
    pub fn gives_way(&mut self, id: &str, number: u16) {
        self.intern(&format!("{}_pressed", canonify(id)), Source::Over { service: number, bit: PRESSED });
    }

    /// Declares `PREFIX_kept`, `PREFIX_repaired` and so on.
    pub fn promise(&mut self, prefix: &str, number: u16) {
        self.promises.insert(canonify(prefix), number);
    }

    /// Lets the classes of what a promise had to do, or could not do, stay true so long after they last held.
    pub fn hold_outcomes(&mut self, number: u16, hold: Duration) {
        self.holds.insert(number, hold);
    }

    /// Lets a declared class stay true so long after it last held.
    pub fn hold(&mut self, class: u16, hold: Duration) {
        self.table.holds.push((class, hold));
    }

    /// Declares `ID_changed`, `ID_high` and so on; gives one whose name is that of another class, if there is one.
    pub fn marks(&mut self, id: &str, number: u16, marks: &'static [Mark]) -> Option<String> {
        // A report may share its id with what it tells about.
        if !marks.is_empty() {
            self.marks.insert(canonify(id), (number, marks));
        }
        let names = marks.iter().map(|mark| format!("{}_{}", canonify(id), mark.word()));
        names.into_iter().find(|name| self.numbers.contains_key(name))
    }

    /// Declares a name that somebody sets, or a command gives; the kind of the class that has it already, if one has.
    pub fn switch(&mut self, name: &str) -> Result<(), ClassKind> {
        let taken = self.numbers.get(name).copied().and_then(|class| self.source(class)?.kind());
        let moving = || TimeTest::parse(name).map(|_| ClassKind::Time);
        let derived = || self.derived(name).and_then(|source| source.kind());
        if let Some(kind) = taken.or_else(moving).or_else(derived) {
            return Err(kind);
        }
        self.switches.insert(name.to_owned());
        Ok(())
    }

    /// Declares `load_five_high_anomaly` and so on. The places of those whose classes another has already are given back.
    pub fn quantities(&mut self, quantities: Quantities) -> Vec<usize> {
        let mut twice = Vec::new();
        for (place, name) in quantities.iter().enumerate() {
            let number = u16::try_from(place).unwrap_or(u16::MAX);
            if self.quantities.insert(class_prefix(name).collect(), number).is_some() {
                twice.push(place);
            }
        }
        self.table.quantities = quantities;
        twice
    }

    /// Declares a class that an expression will define; the kind of the class that has the name already, if one has.
    pub fn declare(&mut self, id: &str) -> Result<u16, ClassKind> {
        let name = canonify(id);
        let taken = self.numbers.get(&name).copied().and_then(|class| self.source(class)?.kind());
        let derived = self.derived(&name).and_then(|source| source.kind());
        match taken.or(derived) {
            Some(kind) => Err(kind),
            None => Ok(self.intern(&name, Source::Defined(ExprId(u16::MAX)))),
        }
    }

    /// Says what a declared class is made of.
    pub fn define(&mut self, class: u16, expr: ExprId) {
        if let Some(entry) = self.table.entries.get_mut(usize::from(class)) {
            entry.source = Source::Defined(expr);
        }
        self.defined.push(class);
    }

    /// Compiles an expression. Names that nothing can make true are not errors: they are false, and pushed to `unknown`.
    pub fn compile(&mut self, text: &str, unknown: &mut Vec<UnknownName>) -> Result<ExprId, SyntaxError> {
        let ops = expr::compile(text, &mut |name, column| self.resolve(name, column, unknown))?;
        self.table.ops.extend(ops);
        Ok(self.end_expr())
    }

    /// Joins expressions that were compiled one after the other, and nothing after them, into one.
    pub fn join(&mut self, parts: usize, joint: Joint) -> Option<ExprId> {
        let first = self.table.ends.len().checked_sub(parts.max(1))?;
        let start = first.checked_sub(1).and_then(|before| self.table.ends.get(before)).copied().unwrap_or(0);
        let ends = self.table.ends.split_off(first);
        let ops = self.table.ops.split_off(usize::try_from(start).ok()?);
        let mut from = 0;
        for (place, end) in ends.iter().enumerate() {
            let end = usize::try_from(end - start).ok()?;
            self.table.ops.extend(ops.get(from..end)?);
            if place > 0 {
                self.table.ops.push(match joint {
                    Joint::All => expr::Op::And,
                    Joint::Any => expr::Op::Or,
                });
            }
            from = end;
        }
        Some(self.end_expr())
    }

    fn end_expr(&mut self) -> ExprId {
        self.table.ends.push(u32::try_from(self.table.ops.len()).unwrap_or(u32::MAX));
        ExprId(u16::try_from(self.table.ends.len() - 1).unwrap_or(u16::MAX))
    }

    /// Puts the defined classes into their order.
    pub fn finish(mut self) -> Result<Table, TableError> {
        if self.table.entries.len() > CLASSES {
            return Err(TableError::TooMany(self.table.entries.len()));
        }
        let mut done = vec![false; self.table.entries.len()];
        for class in std::mem::take(&mut self.defined) {
            self.order(class, &mut done, &mut Vec::new())?;
        }
        self.table.holds.sort_unstable_by_key(|(class, _)| *class);
        Ok(self.table)
    }

    /// Puts a defined class behind those it is made of. `path` is what needs it.
    fn order(&mut self, class: u16, done: &mut [bool], path: &mut Vec<u16>) -> Result<(), TableError> {
        let Some(Source::Defined(expr)) = self.source(class) else { return Ok(()) };
        if done.get(usize::from(class)).copied().unwrap_or(true) {
            return Ok(());
        }
        let first = path.iter().position(|other| *other == class);
        path.push(class);
        if let Some(first) = first {
            let names = path.iter().skip(first).map(|class| self.table.name(usize::from(*class)).to_owned()).collect();
            return Err(TableError::Cycle(names));
        }
        for op in self.table.expr(expr).to_vec() {
            if let expr::Op::Class(other) = op {
                self.order(other, done, path)?;
            }
        }
        path.pop();
        if let Some(done) = done.get_mut(usize::from(class)) {
            *done = true;
        }
        self.table.order.push(class);
        Ok(())
    }

    fn resolve(&mut self, name: &str, column: usize, unknown: &mut Vec<UnknownName>) -> u16 {
        if let Some(class) = self.numbers.get(name).copied() {
            if self.source(class) == Some(Source::Nothing) && !self.switches.contains(name) {
                unknown.push(self.unknown(name, column));
            }
            return class;
        }
        if let Some(test) = TimeTest::parse(name) {
            return self.intern(name, Source::Time(test));
        }
        if name == BOOT {
            return self.intern(name, Source::Boot);
        }
        if self.networks.iter().any(|network| network == name) {
            return self.intern(name, Source::Hard);
        }
        if let Some(source) = self.derived(name) {
            let class = self.intern(name, source);
            if let Source::Outcome { promise, outcome } = source
                && !matches!(outcome, Outcome::Kept | Outcome::Unknown)
                && let Some(hold) = self.holds.get(&promise)
            {
                self.table.holds.push((class, *hold));
            }
            return class;
        }
        if !self.switches.contains(name) {
            unknown.push(self.unknown(name, column));
        }
        self.intern(name, Source::Nothing)
    }

    /// What makes `ID_WORD` true. A state goes before an outcome of the same word.
    fn derived(&self, name: &str) -> Option<Source> {
        let (prefix, word) = name.rsplit_once('_')?;
        let state = ServiceState::ALL.iter().find(|state| state.word() == word);
        if let (Some(service), Some(state)) = (self.services.get(prefix), state) {
            return Some(Source::State { service: *service, states: States::one(*state) });
        }
        // The word of a mark may have a `_` in it.
        let marked = Mark::ALL.iter().find_map(|mark| {
            let prefix = name.strip_suffix(mark.word())?.strip_suffix('_')?;
            let (promise, marks) = self.marks.get(prefix)?;
            marks.contains(mark).then_some(Source::Mark { promise: *promise, mark: *mark })
        });
        if marked.is_some() {
            return marked;
        }
        if let Some(promise) = self.promises.get(prefix) {
            if word == LIMITED {
                return Some(Source::Limited { promise: *promise });
            }
            if let Some(outcome) = OUTCOMES.iter().find(|outcome| outcome.word() == word) {
                return Some(Source::Outcome { promise: *promise, outcome: *outcome });
            }
        }
        Finding::ALL.iter().find_map(|finding| {
            let quantity = self.quantities.get(name.strip_suffix(finding.word())?)?;
            Some(Source::Learned { quantity: *quantity, finding: *finding })
        })
    }

    fn unknown(&mut self, name: &str, column: usize) -> UnknownName {
        self.suggested += 1;
        let nearest = if self.suggested > SUGGESTIONS { None } else { self.nearest(name) };
        UnknownName { name: name.to_owned(), column, nearest }
    }

    fn nearest(&self, name: &str) -> Option<String> {
        let known = |class: u16| self.source(class).is_some_and(|source| source != Source::Nothing);
        let words = |prefixes: &HashMap<String, u16>, words: Vec<&str>| -> Vec<String> {
            prefixes.keys().flat_map(|prefix| words.iter().map(move |word| format!("{prefix}_{word}"))).collect()
        };
        let mut all: Vec<String> =
            self.numbers.iter().filter(|(_, class)| known(**class)).map(|(name, _)| name.clone()).collect();
        all.extend(words(&self.services, ServiceState::ALL.iter().map(|state| state.word()).collect()));
        all.extend(words(&self.promises, OUTCOMES.iter().map(|outcome| outcome.word()).chain([LIMITED]).collect()));
        let marked = |(prefix, (_, marks)): (&String, &(u16, &'static [Mark]))| {
            let prefix = prefix.clone();
            marks.iter().map(move |mark| format!("{prefix}_{mark}")).collect::<Vec<_>>()
        };
        all.extend(self.marks.iter().flat_map(marked));
        let found = self.quantities.keys();
        all.extend(found.flat_map(|prefix| Finding::ALL.iter().map(move |finding| format!("{prefix}{finding}"))));
        all.extend(self.switches.iter().cloned());
        all.extend(time::examples().chain([BOOT]).map(str::to_owned));
        all.sort();
        nearest(name, all.iter().map(String::as_str)).map(str::to_owned)
    }

    fn source(&self, class: u16) -> Option<Source> {
        self.table.entries.get(usize::from(class)).map(|entry| entry.source)
    }

    fn above(&mut self, name: &str, gauge: Gauge, (enter, leave): (f32, f32)) {
        self.intern(name, Source::Measured(Threshold { gauge, side: Side::Above, enter, leave }));
    }

    fn intern(&mut self, name: &str, source: Source) -> u16 {
        if let Some(class) = self.numbers.get(name) {
            return *class;
        }
        let class = u16::try_from(self.table.entries.len()).unwrap_or(u16::MAX);
        self.table.text.push_str(name);
        self.table.entries.push(Entry { end: u32::try_from(self.table.text.len()).unwrap_or(u32::MAX), source });
        self.numbers.insert(name.to_owned(), class);
        class
    }
}
