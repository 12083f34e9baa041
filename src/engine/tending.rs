//! Joins the promises about files and numbers with those who look: the child for files, the programs for numbers.

use std::time::Duration;

use watchd_probes::{ObjectId, ProbeId, Row, View, filesystem};

use super::core::Core;
use super::crowds;
use super::errands::Done;
use super::judgement::calendar;
use super::ports;
use super::tokens::Token;
use super::upkeep::{Found, Step};
use crate::agent::{CommandEnd, Promise, Report, Work};
use crate::classes::Scene;
use crate::config::Mode;
use crate::files::{self, Memory, Task};
use crate::model::{EventKind, Mark, Marks, MeasureWork, Outcome, PromiseKind, Source, Tended};
use crate::sys::clock::Civil;
use crate::sys::epoll::Interest;
use crate::sys::memory;

impl Core {
    /// Starts a child for the promises about files that are due.
    pub(super) fn start_upkeep(&mut self) {
        let mut upkeep = std::mem::take(&mut self.upkeep);
        let rows = self.sight.readings().view.of(ProbeId::Filesystem);
        let is_hung = |row: &Row| row.metric() == filesystem::HUNG && row.value().number() == Some(1.0);
        // Nearly always all of them answer, and nobody has to look at paths.
        let is_any_dead = upkeep.is_any_stuck() || rows.iter().any(is_hung);
        let is_dead = |promise: usize, stuck: &[(i32, usize)]| is_any_dead && self.is_dead(promise, stuck);
        let mut held = Vec::new();
        while let Some(found) = upkeep.take_stuck(is_dead) {
            held.push(found);
        }
        self.upkeep = upkeep;
        for (promise, found) in held {
            self.on_tended(promise, &found);
        }
        if !self.upkeep.is_due() {
            return;
        }
        let mut upkeep = std::mem::take(&mut self.upkeep);
        let begun = (self.now.mono, Duration::from_secs(30));
        let started = upkeep.start(&[], begun, |promise| {
            let tended = self.tend(promise);
            memory::trim_text();
            tended
        });
        let watched = started.and_then(|source| self.poller.add(source, Token::Upkeep.pack(), Interest::Read));
        self.upkeep = upkeep;
        if let Err(error) = watched {
            self.notes.add(EventKind::Trouble, "", &format!("cannot start a child to look after files: {error}"));
        }
    }

    pub(super) fn on_upkeep(&mut self) {
        loop {
            let agent = &self.judgement.agent;
            let patience = |promise: usize| {
                agent.promises().get(promise).and_then(|promise| promise.timeout()).unwrap_or(Duration::from_secs(30))
            };
            match self.upkeep.advance(self.now.mono, patience) {
                Step::Done(promise, found) => self.on_tended(promise, &found),
                Step::Later => break,
                Step::Over => {
                    // What became due meanwhile begins at once.
                    self.is_stirred |= self.upkeep.is_due();
                    break;
                }
            }
        }
    }

    pub(super) fn expire_upkeep(&mut self) {
        if let Step::Done(promise, found) = self.upkeep.expire(self.now.mono) {
            self.on_tended(promise, &found);
        }
    }

    /// Whether a promise lies on a foreign file system that is known not to answer, or on one for which another look waits.
    fn is_dead(&self, promise: usize, stuck: &[(i32, usize)]) -> bool {
        let view = self.sight.readings().view;
        let mounts = |place: usize| {
            let paths = self.judgement.agent.promises().get(place).map(|promise| promise.work.paths());
            paths.into_iter().flatten().flatten().filter_map(move |path| foreign(view, path))
        };
        let is_hung = |mount| view.get(filesystem::HUNG, mount).number() == Some(1.0);
        mounts(promise).any(is_hung)
            || stuck.iter().any(|(_, stuck)| mounts(*stuck).any(|mount| mounts(promise).any(|other| other == mount)))
    }

    /// What came of a look at files.
    fn on_tended(&mut self, promise: usize, found: &Found) {
        if self.is_crowd(promise) {
            return self.on_counted(promise, found);
        }
        let Found { outcome, marks, figures, .. } = *found;
        let is_deed = outcome == Outcome::Repaired;
        self.tell(promise, &Report { outcome, marks, figures, text: found.text(), is_deed });
    }

    /// What came of a look: told when it is news.
    pub(super) fn tell(&mut self, place: usize, report: &Report<'_>) {
        let agent = &mut self.judgement.agent;
        let before = agent.outcomes().get(place).copied();
        let is_news = !report.text.is_empty() && report.text != agent.words(place);
        // Who has most connections changes by the minute.
        let is_news = is_news && !(report.outcome == Outcome::Kept && agent.promises().get(place).is_some_and(is_port));
        let is_act = report.outcome == Outcome::Repaired || report.marks.has(Mark::Changed);
        if report.is_deed {
            // Who looks at the disk next must not see it as it was before.
            self.sight.probes.filesystem.hurry();
        }
        agent.tended(place, report, self.now);
        self.turns.looked(place, agent, (self.now, report.is_deed), &mut self.notes);
        self.is_stirred = true;
        let Some(promise) = agent.promises().get(place) else { return };
        if report.outcome == Outcome::Would && promise.mode == Mode::Warn {
            // Once for what would be one act, however often it is looked at meanwhile.
            if is_news || before != Some(Outcome::Would) {
                self.note_would(place, None);
            }
            return;
        }
        if is_news || (is_act && !report.text.is_empty() && !is_port(promise)) {
            let text = format!("{}: {}", report.outcome, report.text);
            let kind =
                if promise.kind() == PromiseKind::Process { EventKind::ProcessTended } else { EventKind::FileTended };
            self.notes.add(kind, &promise.id, &text);
        }
    }

    /// The program of a measure has ended: its output is a number, or there is none. False when it was no measure's.
    pub(super) fn on_measured(&mut self, place: usize, done: &Done) -> bool {
        let Some(promise) = self.judgement.agent.promises().get(place) else { return false };
        if !matches!(promise.work, Work::Measure(_)) {
            return false;
        }
        self.turns.done(promise);
        let output = done.text.trim();
        let number = number(output).filter(|_| done.end == CommandEnd::Exit(0));
        let outcome = match done.end {
            _ if number.is_some() => Outcome::Kept,
            CommandEnd::Timeout => Outcome::Timeout,
            CommandEnd::Denied => Outcome::Denied,
            _ => Outcome::Failed,
        };
        let text = match (number, done.end) {
            (Some(_), _) => String::new(),
            (None, CommandEnd::Exit(0)) => format!("its output is not one number: {}", output.escape_debug()),
            (None, end) => format!("it gave no number: {end:?} {}", output.escape_debug()),
        };
        let figures = [number.unwrap_or(f64::NAN), f64::NAN];
        self.tell(place, &Report { outcome, marks: Marks::default(), figures, text: &text, is_deed: false });
        true
    }

    /// Looks after the files of one promise; called in a child.
    fn tend(&self, place: usize) -> Tended {
        let agent = &self.judgement.agent;
        let Some(promise) = agent.promises().get(place) else { return Tended::new(Outcome::Unknown, "") };
        let (memory, is_dry) = (self.memory(), agent.only_looks(place));
        let now = self.now;
        let mut tended = match &promise.work {
            Work::File(work) => {
                let render = |text: &str| self.render(text);
                files::keep(&Task { id: &promise.id, work, is_dry, memory: &memory, render: &render })
            }
            Work::Tidy(work) => files::tidy(work, &memory, (now, is_dry)),
            Work::Fresh(work) => files::fresh(&promise.id, work, &memory, now),
            Work::Measure(measure) => match &measure.source {
                Source::Log { path, pattern, kind } => files::tail(&promise.id, &memory, (path, pattern, *kind)),
                Source::Port { port, is_there } => ports::look(&self.places.root, *port, *is_there),
                Source::Run(_) | Source::Metric(..) | Source::Told(_) => Tended::new(Outcome::Unknown, ""),
            },
            Work::Crowd(work) => crowds::look(work, &self.places.root, now),
            Work::Disk(_) | Work::Process(_) | Work::Command(_) | Work::Report(_) => Tended::new(Outcome::Unknown, ""),
        };
        if is_dry && promise.mode == Mode::Fix && tended.outcome == Outcome::Would {
            tended.text.push_str("; not done: its limit is spent");
        }
        tended
    }

    /// What is remembered of files. A guest knows what the daemon knows, and takes no news away from it.
    fn memory(&self) -> Memory {
        let own = Memory::new(&self.places.state_dir);
        if self.manner.is_guest() { own.over(&self.manner.shared(&self.places).state_dir) } else { own }
    }

    /// A template's text as everything is now; states of services are those of the last pass.
    fn render(&self, text: &str) -> Result<String, String> {
        let scene = Scene {
            now: self.now,
            local: calendar(Civil::local(self.now.wall)),
            utc: calendar(Civil::utc(self.now.wall)),
            readings: self.sight.readings(),
            is_state_writable: self.is_state_writable(),
            learned: &|quantity| self.learning.found(quantity),
            services: &|place| {
                let fact = self.services.fact(place, self.now)?;
                Some(crate::model::ServiceFact {
                    state: fact.state,
                    starts: 0,
                    failed: false,
                    over: fact.over,
                    reason: fact.reason,
                })
            },
        };
        self.judgement.agent.render(text, &self.judgement.classes, &scene)
    }
}

/// The mount that a path lies on, when it is one that may hang. No name on the way to a promised file is a link, so the text tells.
fn foreign(view: View<'_>, path: &str) -> Option<ObjectId> {
    let is_on = |point: &[u8]| {
        let rest = path.as_bytes().strip_prefix(point);
        rest.is_some_and(|rest| point.ends_with(b"/") || rest.is_empty() || rest.starts_with(b"/"))
    };
    let mounts = view.objects(ProbeId::Filesystem).filter(|mount| is_on(view.part(*mount, 0)));
    let mount = mounts.max_by_key(|mount| view.part(*mount, 0).len())?;
    // A local one is not asked whether it hangs.
    let is_asked = |row: &Row| row.metric() == filesystem::HUNG && row.object() == mount;
    view.of(ProbeId::Filesystem).iter().any(is_asked).then_some(mount)
}

fn is_port(promise: &Promise) -> bool {
    matches!(&promise.work, Work::Measure(MeasureWork { source: Source::Port { .. }, .. }))
}

/// One number and nothing else, as programs print it.
pub(super) fn number(text: &str) -> Option<f64> {
    let plain = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'+' | b'e' | b'E');
    text.parse().ok().filter(|number: &f64| number.is_finite() && text.bytes().all(plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_a_number_or_nothing() {
        for (text, expect) in [
            ("12", Some(12.0)),
            ("-0.5", Some(-0.5)),
            ("1e3", Some(1000.0)),
            ("", None),
            ("12 mails", None),
            ("1\n2", None),
            ("nan", None),
            ("inf", None),
            ("1e999", None),
            ("0x10", None),
            ("1,5", None),
        ] {
            assert_eq!(number(text), expect, "{text:?}");
        }
    }
}
