//! Alive is not healthy: counts what checks say about one service, and says when which check is due.
//!
//! Failures in a row make a service unhealthy, passes in a row mend it. An answer that says nothing (no answer in time
//! while the whole host stalls, no descriptor left to ask with) counts as neither. Each question has a round: an answer to an
//! older one is dropped, and one that never comes is asked again. Room is made when a policy comes, not while it runs.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::{Check, ServiceSpec, Target};

use super::text::{Span, Text, text};

/// How long one question about readiness may take.
pub const READY_TIMEOUT: Duration = Duration::from_secs(2);
/// The first wait between two questions about readiness, and the longest.
const READY_GAP: Duration = Duration::from_millis(20);
const LONGEST_READY_GAP: Duration = Duration::from_millis(500);
/// How much later than its timeout an answer may come: a command is asked to end before it is killed.
const GRACE: Duration = Duration::from_secs(10);

/// Whether the host stalls for want of processors, memory or disks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strain {
    Light,
    Heavy,
}

/// What a check said.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    Passed,
    Failed(Text),
    /// No answer in time.
    Late(Strain),
    /// It could not be asked.
    Unknown(Text),
}

/// Which check is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    Ready,
    /// The place in the policy's list.
    Check(u8),
}

/// One question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    pub which: Which,
    pub round: u32,
}

impl Asked {
    /// What is asked, and how long the answer may take.
    pub fn target<'a>(&self, spec: &'a ServiceSpec) -> Option<(&'a Target, Duration)> {
        match self.which {
            Which::Ready => spec.care.ready.as_ref().map(|ready| (&ready.target, ready.within.min(READY_TIMEOUT))),
            Which::Check(place) => spec.care.checks.get(usize::from(place)).map(|check| (&check.target, check.timeout)),
        }
    }
}

/// What an answer changes.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Change {
    Nothing,
    /// Something to say that changes nothing yet.
    Said(Text),
    /// All is well again that was not quite.
    Cleared,
    Ready,
    Fell(Text),
    Mended(Text),
}

/// One check on its way.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Trial {
    next: Duration,
    /// The question that is out, and until when it is waited for.
    asked: Option<(u32, Duration)>,
    fails: u8,
    passes: u8,
    is_bad: bool,
}

impl Trial {
    fn due(&self) -> Duration {
        self.asked.map_or(self.next, |(_, until)| until)
    }

    fn take(&mut self, round: u32) -> bool {
        self.asked.take_if(|(asked, _)| *asked == round).is_some()
    }

    fn judge(&mut self, verdict: &Verdict, check: &Check) -> Change {
        let (name, why) = (text(format_args!("{}", check.target)), why(verdict, check.timeout));
        match verdict {
            Verdict::Passed => {
                let news = self.fails > 0;
                self.fails = 0;
                self.passes = self.passes.saturating_add(1);
                if self.is_bad && self.passes >= check.passes {
                    self.is_bad = false;
                    return Change::Mended(text(format_args!("passes again: {name}")));
                }
                if news && !self.is_bad { Change::Cleared } else { Change::Nothing }
            }
            Verdict::Unknown(_) | Verdict::Late(Strain::Heavy) => {
                Change::Said(text(format_args!("{name:.60}: {why}; not counted")))
            }
            Verdict::Failed(_) | Verdict::Late(Strain::Light) => {
                (self.passes, self.fails) = (0, self.fails.saturating_add(1));
                if !self.is_bad && self.fails >= check.fails {
                    self.is_bad = true;
                    return Change::Fell(match self.fails {
                        1 => text(format_args!("{name:.60}: {why}")),
                        fails => text(format_args!("{fails} times in a row {name:.60}: {why}")),
                    });
                }
                let (fails, of) = (self.fails, check.fails);
                if self.is_bad {
                    Change::Said(text(format_args!("{name:.60}: {why}")))
                } else {
                    Change::Said(text(format_args!("{fails} of {of} times {name:.60}: {why}")))
                }
            }
        }
    }
}

fn why(verdict: &Verdict, timeout: Duration) -> Text {
    match verdict {
        Verdict::Passed => Text::new(),
        Verdict::Failed(why) | Verdict::Unknown(why) => why.clone(),
        Verdict::Late(Strain::Light) => text(format_args!("no answer within {}", Span(timeout))),
        Verdict::Late(Strain::Heavy) => text(format_args!("no answer within {} under pressure", Span(timeout))),
    }
}

/// The health of one process.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Health {
    trials: Vec<Trial>,
    ready: Trial,
    /// Nothing has to pass any more before it counts as ready.
    is_ready: bool,
    /// It says by itself that it is ready; nobody asks.
    is_teller: bool,
    /// When the next sign of life has to be there, if one is promised.
    silent_from: Option<Duration>,
    is_silent: bool,
    /// When it has to be ready.
    until: Duration,
    gap: Duration,
    round: u32,
    /// The reason people are shown is ours.
    pub has_spoken: bool,
}

impl Health {
    /// Rounds begin anywhere, so that no answer is taken for another service's.
    pub fn new(seed: u64) -> Self {
        Self { round: u32::try_from(seed >> 33).unwrap_or(1), ..Self::default() }
    }

    /// Another process, of which nothing is known yet.
    pub fn begin(&mut self, now: Duration, spec: &ServiceSpec) {
        self.trials.clear();
        self.trials.resize(spec.care.checks.len(), Trial::default());
        self.ready = Trial { next: now.saturating_add(READY_GAP), ..Trial::default() };
        (self.is_ready, self.gap, self.has_spoken) = (spec.care.ready.is_none(), READY_GAP, false);
        self.is_teller = spec.care.ready.as_ref().is_some_and(|ready| ready.target == Target::Notify);
        (self.silent_from, self.is_silent) = (None, false);
        self.until = spec.care.ready.as_ref().map_or(Duration::MAX, |ready| now.saturating_add(ready.within));
    }

    /// The checks begin, or begin anew after a pause. They do not all fall on one moment: `random` spreads them.
    pub fn rest(&mut self, now: Duration, spec: &ServiceSpec, random: u64) {
        let share = u32::try_from(random % 64).unwrap_or(0);
        for (trial, check) in self.trials.iter_mut().zip(&spec.care.checks) {
            let wait = check.every.saturating_sub(check.every / 256 * share);
            *trial = Trial { next: now.saturating_add(wait), is_bad: trial.is_bad, ..Trial::default() };
        }
        if self.silent_from.is_some() {
            self.wait_for_word(now, spec);
        }
        if let Some(ready) = spec.care.ready.as_ref().filter(|_| !self.is_ready) {
            self.ready = Trial { next: now, is_bad: self.ready.is_bad, ..Trial::default() };
            self.until = now.saturating_add(ready.within);
        }
    }

    /// The policy has changed; what is ready stays so.
    pub fn refit(&mut self, now: Duration, spec: &ServiceSpec, random: u64) {
        let (was_ready, was_awaited) = (self.is_ready, self.silent_from.is_some() || self.is_silent);
        self.begin(now, spec);
        if was_awaited {
            self.wait_for_word(now, spec);
        }
        self.is_ready |= was_ready;
        self.rest(now, spec, random);
    }

    /// Takes up what another program has counted of this very process: what checks of the same words said, whether it is ready, and until
    /// when it has to be. What was asked before is asked again; a sign of life gets its whole time anew.
    pub fn inherit(&mut self, left: &Self, checks: &[String], now: Duration, spec: &ServiceSpec) {
        for (trial, check) in self.trials.iter_mut().zip(&spec.care.checks) {
            let name = check.target.to_string();
            let same = checks.iter().zip(&left.trials).find(|(other, _)| **other == name);
            if let Some((_, other)) = same {
                *trial = Trial { next: other.asked.map_or(other.next, |_| now), asked: None, ..*other };
            }
        }
        if spec.care.ready.is_some() {
            (self.is_ready, self.until) = (left.is_ready, left.until);
            self.ready.is_bad = left.ready.is_bad;
        }
        if left.silent_from.is_some() {
            self.wait_for_word(now, spec);
        }
        self.is_silent = left.is_silent && spec.care.watchdog.is_some();
        self.has_spoken = left.has_spoken;
    }

    pub fn is_ready(&self) -> bool {
        self.is_ready
    }

    pub fn is_bad(&self) -> bool {
        self.ready.is_bad || self.is_silent || self.trials.iter().any(|trial| trial.is_bad)
    }

    /// It said that it is ready, or may have said so before we listened.
    pub fn is_told_ready(&mut self) -> Change {
        if !self.is_teller || self.is_ready {
            return Change::Nothing;
        }
        (self.is_ready, self.ready.is_bad) = (true, false);
        Change::Ready
    }

    /// A sign of life.
    pub fn beat(&mut self, now: Duration, spec: &ServiceSpec) -> Change {
        self.wait_for_word(now, spec);
        if std::mem::take(&mut self.is_silent) {
            Change::Mended(text(format_args!("it gives signs of life again")))
        } else {
            Change::Nothing
        }
    }

    /// From now on the next sign of life is waited for, where the policy asks for them.
    pub fn wait_for_word(&mut self, now: Duration, spec: &ServiceSpec) {
        self.silent_from = spec.care.watchdog.map(|period| now.saturating_add(period));
    }

    /// No sign of life is waited for any more.
    pub fn expect_nothing(&mut self) {
        self.silent_from = None;
    }

    /// When the sign of life was due that did not come.
    pub fn silence(&self, now: Duration) -> Option<Duration> {
        self.silent_from.filter(|due| *due <= now)
    }

    /// It is silent; whether that is news.
    pub fn fall_silent(&mut self) -> bool {
        self.silent_from = None;
        !std::mem::replace(&mut self.is_silent, true)
    }

    /// When `ask` or `is_overdue` has something to say.
    pub fn due(&self, has_settled: bool) -> Option<Duration> {
        if has_settled {
            return self.trials.iter().map(Trial::due).chain(self.silent_from).min();
        }
        if self.is_ready {
            return None;
        }
        let until = if self.ready.is_bad { Duration::MAX } else { self.until };
        let asks = if self.is_teller { Duration::MAX } else { self.ready.due() };
        Some(asks.min(until))
    }

    /// It should have been ready by now; said once.
    pub fn is_overdue(&mut self, now: Duration) -> bool {
        let is_news = !self.is_ready && !self.ready.is_bad && self.until <= now;
        self.ready.is_bad |= is_news;
        is_news
    }

    /// The next question that is due; once asked, it is not due.
    pub fn ask(&mut self, now: Duration, has_settled: bool, spec: &ServiceSpec) -> Option<Asked> {
        self.round = self.round.wrapping_add(1);
        let round = self.round;
        if !has_settled {
            let ready =
                spec.care.ready.as_ref().filter(|_| !self.is_ready && !self.is_teller && self.ready.due() <= now)?;
            let until = now.saturating_add(ready.within.min(READY_TIMEOUT)).saturating_add(GRACE);
            self.ready.asked = Some((round, until));
            return Some(Asked { which: Which::Ready, round });
        }
        let due = self.trials.iter_mut().zip(&spec.care.checks).enumerate().find(|(_, (trial, _))| trial.due() <= now);
        let (place, (trial, check)) = due?;
        trial.asked = Some((round, now.saturating_add(check.timeout).saturating_add(GRACE)));
        trial.next = now.saturating_add(check.every);
        Some(Asked { which: Which::Check(u8::try_from(place).ok()?), round })
    }

    /// Takes an answer.
    pub fn hear(&mut self, asked: Asked, verdict: &Verdict, now: Duration, spec: &ServiceSpec) -> Change {
        match asked.which {
            Which::Ready => match spec.care.ready.as_ref().filter(|_| self.ready.take(asked.round)) {
                Some(_) if *verdict == Verdict::Passed => {
                    (self.is_ready, self.ready.is_bad) = (true, false);
                    Change::Ready
                }
                Some(ready) => {
                    self.ready.next = now.saturating_add(self.gap);
                    self.gap = (self.gap * 2).min(LONGEST_READY_GAP);
                    let (name, why) = (text(format_args!("{}", ready.target)), why(verdict, READY_TIMEOUT));
                    Change::Said(text(format_args!("not ready: {name:.60}: {why}")))
                }
                None => Change::Nothing,
            },
            Which::Check(place) => {
                let place = usize::from(place);
                let (Some(trial), Some(check)) = (self.trials.get_mut(place), spec.care.checks.get(place)) else {
                    return Change::Nothing;
                };
                if trial.take(asked.round) { trial.judge(verdict, check) } else { Change::Nothing }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check() -> Check {
        let target = Target::Unix("/run/web".to_owned());
        let every = Duration::from_secs(10);
        Check { target, every, timeout: Duration::from_secs(2), fails: 3, passes: 2 }
    }

    /// `p` passes, `f` fails, `l` is late, `h` is late on a stalled host, `u` could not be asked.
    fn verdict(letter: char) -> Verdict {
        match letter {
            'p' => Verdict::Passed,
            'f' => Verdict::Failed(text(format_args!("status 500"))),
            'l' => Verdict::Late(Strain::Light),
            'h' => Verdict::Late(Strain::Heavy),
            _ => Verdict::Unknown(text(format_args!("no descriptor"))),
        }
    }

    #[test]
    fn only_failures_in_a_row_make_unhealthy_and_only_passes_in_a_row_mend() {
        for (answers, expect) in [
            ("", false),
            ("ff", false),
            ("fff", true),
            ("ffpff", false),
            ("ffpfff", true),
            ("flf", true),
            ("ffhhhhuuu", false),
            ("ffhuf", true),
            ("fffp", true),
            ("fffpp", false),
            ("fffpfp", true),
            ("fffphp", false),
            ("uuuuhhhh", false),
        ] {
            let mut trial = Trial::default();
            for letter in answers.chars() {
                trial.judge(&verdict(letter), &check());
            }
            assert_eq!(trial.is_bad, expect, "{answers}");
        }
    }

    #[test]
    fn an_answer_says_what_it_counts_for() {
        let mut trial = Trial::default();
        let said = [
            ('h', Change::Said(text(format_args!("unix /run/web: no answer within 2 s under pressure; not counted")))),
            ('f', Change::Said(text(format_args!("1 of 3 times unix /run/web: status 500")))),
            ('p', Change::Cleared),
            ('p', Change::Nothing),
            ('f', Change::Said(text(format_args!("1 of 3 times unix /run/web: status 500")))),
            ('f', Change::Said(text(format_args!("2 of 3 times unix /run/web: status 500")))),
            ('l', Change::Fell(text(format_args!("3 times in a row unix /run/web: no answer within 2 s")))),
            ('f', Change::Said(text(format_args!("unix /run/web: status 500")))),
            ('p', Change::Nothing),
            ('p', Change::Mended(text(format_args!("passes again: unix /run/web")))),
        ];
        for (letter, change) in said {
            assert_eq!(trial.judge(&verdict(letter), &check()), change);
        }
    }
}
