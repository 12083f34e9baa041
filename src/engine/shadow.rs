//! What promises would have done where they may only warn: one event when it begins, and one every few minutes with the
//! number so far, so that a promise that would act in every cycle for days does not push all else out of the journal.

use std::time::Duration;

use super::core::Core;
use crate::agent::{TextId, Work};
use crate::model::{Command, EventKind, MeasureWork, Source};
use crate::store::locks::key;

/// Between two events about the same promise.
const QUIET: Duration = Duration::from_secs(300);

/// How often each promise would have acted.
#[derive(Clone, Default)]
pub struct Shadow(Vec<Would>);

#[derive(Clone, Copy)]
struct Would {
    promise: u64,
    count: u32,
    told: Duration,
}

impl Shadow {
    pub fn inherit(&mut self, old: &Self) {
        self.0.clone_from(&old.0);
    }

    /// Counts one; gives the number when it is to be told.
    fn count(&mut self, promise: u64, mono: Duration) -> Option<u32> {
        let place = match self.0.iter().position(|would| would.promise == promise) {
            Some(place) => place,
            None => {
                self.0.push(Would { promise, count: 0, told: Duration::ZERO });
                self.0.len() - 1
            }
        };
        let would = self.0.get_mut(place)?;
        would.count = would.count.saturating_add(1);
        if would.count > 1 && mono < would.told.saturating_add(QUIET) {
            return None;
        }
        would.told = mono;
        Some(would.count)
    }
}

impl Core {
    /// A promise would act if it might.
    pub(super) fn note_would(&mut self, promise: usize, text: Option<TextId>) {
        let judgement = &mut self.judgement;
        let Some(known) = judgement.agent.promises().get(promise) else { return };
        let kind = known.kind();
        let Some(count) = judgement.shadow.count(key(kind.word(), &known.id), self.now.mono) else { return };
        let what = match (&known.work, text.map(|text| judgement.actions_text(text))) {
            (Work::Process(service), _) => {
                let why = self.services.fact(usize::from(*service), self.now).map_or("", |fact| fact.reason);
                format!("start it: {why}")
            }
            (Work::Crowd(_), _) => judgement.agent.words(promise).to_owned(),
            (Work::Command(command), _) => format!("run {}", said(&command.launch.command)),
            (Work::File(file), _) => format!("change {}: {}", file.path, judgement.agent.words(promise)),
            (Work::Tidy(tidy), _) => {
                let words = judgement.agent.words(promise);
                format!("{} in {}", words.strip_prefix("would ").unwrap_or(words), tidy.dir)
            }
            (Work::Measure(MeasureWork { source: Source::Run(launch), .. }), _) => {
                format!("measure, not run: {}", said(&launch.command))
            }
            (_, text) => format!("tell: {}", text.unwrap_or_default()),
        };
        let text = format!("{kind} {} #{count}: would {what}", known.id).replace(char::is_control, " ");
        let id = known.id.clone();
        self.notes.add(EventKind::PromiseWould, &id, &text);
    }
}

/// What is run, in one line.
fn said(command: &Command) -> String {
    match command {
        Command::Exec(words) => words.join(" "),
        Command::Shell(line) => line.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_promise_that_would_always_act_is_told_now_and_then() {
        let mut shadow = Shadow::default();
        let told: Vec<u32> =
            (0..100).filter_map(|cycle| shadow.count(7, Duration::from_secs(1_000 + cycle * 10))).collect();
        assert_eq!(told, [1, 31, 61, 91]);
        assert_eq!(shadow.count(8, Duration::from_secs(1_500)), Some(1), "another is its own");
        let mut next = Shadow::default();
        next.inherit(&shadow);
        assert_eq!(next.count(7, Duration::from_secs(9_000)), Some(101));
    }
}
