//! A promise as the policy hands it over: decoded, checked, without positions.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::template::Template;
use crate::classes::{ExprId, Prefix};
use crate::config::Mode;
use crate::model::{
    Channel, Content, CrowdWork, FileWork, FreshPlace, FreshWork, Launch, Limit, MeasureWork, PromiseKind, Source,
    TidyWork,
};

/// One promise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Promise {
    pub id: String,
    /// It counts only while this holds.
    pub guard: Option<ExprId>,
    /// Not judged again before; zero means every cycle.
    pub every: Duration,
    pub mode: Mode,
    /// How often it may act. The limit of a process is its service's.
    pub limit: Option<Limit>,
    /// How long it leaves things alone once its limit is spent.
    pub cooldown: Duration,
    /// What a look at files may take.
    pub patience: Duration,
    pub work: Work,
}

/// What is promised.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Work {
    /// There is room: the place among the disks.
    Disk(u16),
    /// It runs: the place among the services.
    Process(u16),
    /// So many of them run: neither more nor fewer.
    Crowd(Box<CrowdWork>),
    Command(CommandWork),
    Report(ReportWork),
    /// What is done to files or read from them; all in a child.
    File(FileWork),
    Tidy(TidyWork),
    Fresh(FreshWork),
    Measure(MeasureWork),
}

/// A program that is run when its guard holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CommandWork {
    pub launch: Launch,
    /// It is ended, with its whole group, when it takes longer.
    pub timeout: Duration,
    /// Exit statuses that mean: nothing was to be done.
    pub kept: Vec<u8>,
    /// Exit statuses that mean: done.
    pub repaired: Vec<u8>,
    /// Classes that its output may give.
    pub classes: Vec<String>,
    /// A measure waits for what its output tells.
    pub is_asked: bool,
    /// It begins so long after its condition at the latest, each host at its own time.
    pub splay: Duration,
}

/// Something that is told when its guard holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReportWork {
    pub text: Template,
    /// Into the log and the journal.
    pub log: bool,
    /// Everything else that it is handed to.
    pub channels: Vec<Channel>,
    pub timeout: Duration,
    /// Only when the guard begins to hold, and when it ceases to.
    pub changes: bool,
    /// Not again within this time, whatever the numbers in the text.
    pub quiet: Duration,
    /// Nobody has asked for this `quiet`: what happens anew within it is told if it is something else.
    pub is_lightly_quiet: bool,
    /// With `changes`: again so often while it lasts; zero for never.
    pub remind: Duration,
    /// Only when its text is not what was told last.
    pub differs: bool,
    /// It goes into the next digest as well.
    pub digest: bool,
}

impl Promise {
    pub fn kind(&self) -> PromiseKind {
        match self.work {
            Work::Disk(_) => PromiseKind::Disk,
            Work::Process(_) | Work::Crowd(_) => PromiseKind::Process,
            Work::Command(_) => PromiseKind::Command,
            Work::Report(_) => PromiseKind::Report,
            Work::File(_) | Work::Tidy(_) => PromiseKind::File,
            Work::Fresh(_) => PromiseKind::Freshness,
            Work::Measure(_) => PromiseKind::Measure,
        }
    }

    /// What its outcome classes begin with: a disk or a report may share its id with a process or a command.
    pub fn prefix(&self) -> Prefix<'_> {
        let kind = match self.work {
            Work::Disk(_) => "disk_",
            Work::Report(_) => "report_",
            _ => "",
        };
        Prefix { kind, id: &self.id }
    }

    /// Whether it looks first and acts only on what it finds; nothing but a repair counts in its limit.
    pub fn is_look(&self) -> bool {
        matches!(self.work, Work::Crowd(_) | Work::File(_) | Work::Tidy(_) | Work::Fresh(_) | Work::Measure(_))
    }

    /// Whether its looks may change something, which one run does at a time.
    pub fn may_change(&self) -> bool {
        self.mode == Mode::Fix && matches!(self.work, Work::Crowd(_) | Work::File(_) | Work::Tidy(_))
    }

    /// The program that the action of this promise runs.
    pub fn launch(&self) -> Option<&Launch> {
        match &self.work {
            Work::Command(command) => Some(&command.launch),
            Work::Measure(MeasureWork { source: Source::Run(launch), .. }) => Some(launch),
            _ => None,
        }
    }

    /// Whether its end is told by a program, its own or one that carries it.
    pub fn runs_program(&self) -> bool {
        matches!(&self.work, Work::Report(report) if report.runs_program()) || self.launch().is_some()
    }

    /// How long that program may take.
    pub fn timeout(&self) -> Option<Duration> {
        match &self.work {
            Work::Command(command) => Some(command.timeout),
            Work::Report(report) => Some(report.timeout),
            _ => Some(self.patience),
        }
    }
}

impl Work {
    /// Where a look goes, as far as files and directories are named.
    pub fn paths(&self) -> [Option<&str>; 2] {
        match self {
            Self::File(file) => [
                Some(&file.path),
                match &file.content {
                    Content::TemplateFile(path) => Some(path),
                    _ => None,
                },
            ],
            Self::Tidy(tidy) => [Some(&tidy.dir), tidy.until.as_ref().map(|until| until.path.as_str())],
            Self::Fresh(fresh) => [
                match &fresh.place {
                    FreshPlace::Dir(path) | FreshPlace::File(path) => Some(path),
                    FreshPlace::Nowhere => None,
                },
                fresh.marker.as_deref(),
            ],
            Self::Measure(MeasureWork { source: Source::Log { path, .. }, .. }) => [Some(path), None],
            _ => [None; 2],
        }
    }
}

impl CommandWork {
    /// Whether its output is read for what it tells.
    pub fn is_heard(&self) -> bool {
        self.is_asked || !self.classes.is_empty()
    }
}

impl ReportWork {
    /// Whether a program carries it.
    pub fn runs_program(&self) -> bool {
        self.channels.iter().any(|channel| channel.launch().is_some())
    }
}
