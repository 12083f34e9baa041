//! What is promised about files: plain data between the policy, the judge and the hand that does it.
//!
//! Regular expressions and glob patterns stand here as text; they were tried when the policy was read, and are compiled where they
//! are used, in a short-lived child.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Launch;

/// `[file.ID]` with `path`: what one file is to be like.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FileWork {
    pub path: String,
    pub content: Content,
    /// Make it when it is missing.
    pub create: bool,
    /// Name or number.
    pub owner: Option<String>,
    pub group: Option<String>,
    /// Permission bits.
    pub bits: Option<u32>,
    /// Keep what was there as `PATH.watchd-backup`.
    pub backup: bool,
    /// Tell when it changes.
    pub watch: bool,
}

/// What is to stand in a file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum Content {
    /// Whatever does.
    #[default]
    Any,
    Edit(Edit),
    /// The whole text, with names in braces.
    Template(String),
    /// The same, read from a file each time.
    TemplateFile(String),
}

/// Lines that are to be there and lines that are not.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Edit {
    /// Each stands there exactly once.
    pub lines: Vec<String>,
    /// No line matches any of these.
    pub absent: Vec<String>,
    /// What matches is replaced, in each line.
    pub replace: Vec<Replace>,
    /// Where a missing line goes.
    pub spot: Spot,
    /// Runs of blanks count as one when lines are compared.
    pub ignores_blanks: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Replace {
    pub regex: String,
    /// `$1` or `${name}` stands for a group.
    pub with: String,
}

/// A place among the lines of a file. A line that is not there means the end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Spot {
    Start,
    #[default]
    End,
    /// Behind the last line that matches.
    After(String),
    /// Before the first line that matches.
    Before(String),
}

/// `[file.ID]` with `in`: files that are put out of the way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TidyWork {
    pub dir: String,
    /// Glob patterns of names.
    pub names: Vec<String>,
    /// Last written at least so long ago.
    pub older: Option<Duration>,
    /// Larger than so many bytes.
    pub larger: Option<u64>,
    /// The newest of them stay.
    pub keep: u32,
    pub until: Option<Until>,
    pub way: Tidying,
    /// Levels of directories below.
    pub depth: u8,
}

/// Where tidying stops.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Until {
    /// The mount point of the disk that is looked at.
    pub path: String,
    /// In percent.
    pub below: f32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Tidying {
    /// Nothing is done: what would be is said.
    Nothing,
    Delete,
    Compress,
}

/// `[freshness.ID]`: data that has to be current.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FreshWork {
    pub place: FreshPlace,
    /// Glob patterns of names; none means all.
    pub names: Vec<String>,
    pub depth: u8,
    /// The newest may be so old.
    pub newest: Option<Duration>,
    /// It has at least so many bytes.
    pub least: Option<u64>,
    /// It may be smaller than the median of those before by so many percent.
    pub shrink: Option<f32>,
    /// A file that says by its time when all was well.
    pub marker: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum FreshPlace {
    Dir(String),
    File(String),
    /// Only the marker counts.
    Nowhere,
}

/// `[measure.ID]`: a number of the owner's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MeasureWork {
    pub source: Source,
    /// What the source tells only grows: the measure is how much it grows in a second.
    pub is_rate: bool,
    pub high: Option<Threshold>,
    pub low: Option<Threshold>,
    pub unit: Option<String>,
    /// Its normal is learned.
    pub learn: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Source {
    Log {
        path: String,
        pattern: String,
        kind: LogKind,
    },
    Run(Launch),
    /// Probe and place in its table.
    Metric(u8, u8),
    /// The TCP connections of a port: those that come to it, or those that went to it.
    Port {
        port: u16,
        is_there: bool,
    },
    /// What this command says of it.
    Told(String),
}

/// What is made of the lines that match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogKind {
    /// How many since the last look.
    Lines,
    /// How many ever, or the number in the group `value` of the last one, where there is such a group.
    Counter,
    /// The number in the group `value` of the last one.
    Gauge,
}

/// A level where something begins, and one where it is over.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Threshold {
    pub enter: f64,
    pub leave: f64,
}

impl MeasureWork {
    /// What a value makes true; `before` is what the one before did. Not a number is missing, not zero.
    pub fn marks(&self, value: f64, before: Marks) -> Marks {
        let holds = |threshold: Option<Threshold>, mark, is_beyond: fn(f64, f64) -> bool| {
            threshold.is_some_and(|it| is_beyond(value, if before.has(mark) { it.leave } else { it.enter }))
        };
        let high = holds(self.high, Mark::High, |value, level| value >= level);
        let low = holds(self.low, Mark::Low, |value, level| value <= level);
        Marks::default().with(Mark::High, high).with(Mark::Low, low).with(Mark::Missing, value.is_nan())
    }
}

super::words! {
    /// What a look at files, numbers or processes makes true besides an outcome: `ID_changed` and the like.
    Mark {
        /// It is not what it was at the last look; for one cycle.
        Changed = "changed",
        /// The newest is too old.
        Stale = "stale",
        /// The newest is too small.
        Small = "small",
        /// The value is above its threshold.
        High = "high",
        /// The value is below its threshold.
        Low = "low",
        /// There is no value.
        Missing = "missing",
        /// None of those runs that should.
        Down = "down",
        /// One of them has more memory than it may.
        RssHigh = "rss_high",
        /// One of them is older than it may be.
        AgeHigh = "age_high",
        /// One of them uses more of a processor than it may.
        CpuHigh = "cpu_high",
        /// Connections come from few addresses.
        EntropyLow = "entropy_low",
        /// Connections come from as many addresses as there are connections, nearly.
        EntropyHigh = "entropy_high",
    }
}

/// A set of marks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marks(pub u16);

impl Marks {
    pub fn with(self, mark: Mark, is: bool) -> Self {
        let bit = 1_u16 << mark.byte();
        Self(if is { self.0 | bit } else { self.0 & !bit })
    }

    /// What both say.
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub fn has(self, mark: Mark) -> bool {
        self.0 & 1_u16 << mark.byte() != 0
    }
}

/// How one look came out.
#[derive(Clone, Debug, PartialEq)]
pub struct Tended {
    pub outcome: super::Outcome,
    pub marks: Marks,
    /// What texts can name, by place; not a number when it is not known.
    pub figures: [f64; 2],
    /// What was done, or why not; empty when there is nothing to say.
    pub text: String,
    /// Of a look at processes: those that may have to go.
    pub members: Vec<super::Member>,
}

impl Tended {
    /// An outcome with a reason and nothing measured.
    pub fn new(outcome: super::Outcome, text: impl Into<String>) -> Self {
        Self { outcome, marks: Marks::default(), figures: [f64::NAN; 2], text: text.into(), members: Vec::new() }
    }
}
