//! Too many, too few or too large processes: counted in a child, ended and started here, and counted again.
//!
//! ```text
//! look (child) -> signals, as far as they are needed -> settle -> look -> start -> settle -> look -> told
//! ```
//! A signal goes to a process that is held by a pidfd and has, just before, the start time and the name it was counted with.
//! Whoever cannot be told apart is left alone, and where processes are hidden nothing is done at all. Those that are told to
//! end wake us when they do; the next signal goes only to those that are left.

mod look;

use std::time::Duration;

use watchd_probes::process::stat;
use watchd_probes::{Buffer, Host, Look};

use super::core::Core;
use super::errands::{Done, Order, Owner};
use super::judgement::told;
use super::tokens::Token;
use super::upgrade::Upgrade;
use super::upkeep::Found;
use crate::agent::{CommandEnd, Report, Tally, Work, named, tally};
use crate::model::{CrowdWork, Identity, Member, Now, Outcome, Quantity, StopStep};
use crate::sys::epoll::{Interest, Poller};
use crate::sys::pidfd::Pidfd;

pub use look::look;

/// After the last signal, when no time is said.
const GRACE: Duration = Duration::from_secs(2);

/// What is being done about promises of processes.
#[derive(Default)]
pub struct Crowds {
    under_way: Vec<Campaign>,
    /// Those that use too much of something, and since when.
    late: Vec<Late>,
}

struct Late {
    promise: usize,
    identity: Identity,
    /// The bit of what it uses too much.
    bit: u8,
    since: Duration,
}

/// All that is done for one promise until it is told how that came out.
struct Campaign {
    promise: usize,
    stage: Stage,
    has_ended: bool,
    started: u32,
    /// How many there were before the last start.
    before: u32,
    /// What was done, for people.
    deeds: String,
    trouble: Option<Outcome>,
}

enum Stage {
    /// `step` is the next one of the signals, at `due`; past the last it is given up.
    Ending {
        victims: Vec<Victim>,
        step: usize,
        due: Duration,
    },
    /// Its start command runs.
    Starting,
    Settling {
        until: Duration,
    },
    /// A child counts.
    Looking,
}

struct Victim {
    pidfd: Pidfd,
    member: Member,
}

impl Campaign {
    fn new(promise: usize) -> Self {
        let (deeds, trouble) = (String::new(), None);
        Self { promise, stage: Stage::Looking, has_ended: false, started: 0, before: 0, deeds, trouble }
    }

    fn say(&mut self, words: &str) {
        self.deeds.push_str(if self.deeds.is_empty() { "" } else { "; " });
        self.deeds.push_str(words);
    }
}

impl Crowds {
    pub fn is_busy(&self) -> bool {
        !self.under_way.is_empty()
    }

    /// When something is due.
    pub fn deadline(&self) -> Option<Duration> {
        let due = |campaign: &Campaign| match campaign.stage {
            Stage::Ending { due, .. } => Some(due),
            Stage::Settling { until } => Some(until),
            Stage::Starting | Stage::Looking => None,
        };
        self.under_way.iter().filter_map(due).min()
    }

    /// Another policy: what is under way is begun anew if it is still wanted.
    pub fn drop_all(&mut self, poller: &Poller) {
        for campaign in std::mem::take(&mut self.under_way) {
            campaign.let_go(poller);
        }
        self.late = Vec::new();
    }

    fn find(&mut self, promise: usize) -> Option<&mut Campaign> {
        self.under_way.iter_mut().find(|campaign| campaign.promise == promise)
    }

    /// Takes in who uses too much now.
    fn note_late(&mut self, promise: usize, members: &[Member], mono: Duration) {
        let is_over =
            |late: &Late| members.iter().any(|member| member.over & late.bit != 0 && member.identity == late.identity);
        self.late.retain(|late| late.promise != promise || is_over(late));
        for (member, what) in members.iter().flat_map(|member| Quantity::ALL.iter().map(move |what| (member, what))) {
            let (identity, bit) = (member.identity, member.over & 1 << what.byte());
            let is_known = |late: &Late| late.promise == promise && late.identity == identity && late.bit == bit;
            if bit != 0 && !self.late.iter().any(is_known) {
                self.late.push(Late { promise, identity, bit, since: mono });
            }
        }
        if self.late.is_empty() {
            // It is rare: nothing of it stays.
            self.late = Vec::new();
        }
    }

    fn late_for(&self, promise: usize, identity: Identity, what: Quantity, mono: Duration) -> Duration {
        let bit = 1 << what.byte();
        let mut late = self.late.iter();
        let found = late.find(|late| late.promise == promise && late.identity == identity && late.bit == bit);
        found.map_or(Duration::ZERO, |late| mono.saturating_sub(late.since))
    }
}

impl Campaign {
    fn let_go(self, poller: &Poller) {
        if let Stage::Ending { victims, .. } = self.stage {
            victims.iter().for_each(|victim| poller.remove(&victim.pidfd));
        }
    }
}

/// What follows from a count.
enum Next {
    Told(Outcome, String),
    End(Vec<Member>),
    Start,
}

impl Core {
    fn crowd(&self, promise: usize) -> Option<&CrowdWork> {
        match &self.judgement.agent.promises().get(promise)?.work {
            Work::Crowd(work) => Some(work.as_ref()),
            _ => None,
        }
    }

    pub(super) fn is_crowd(&self, promise: usize) -> bool {
        self.crowd(promise).is_some()
    }

    /// They were counted.
    pub(super) fn on_counted(&mut self, promise: usize, found: &Found) {
        let figures = found.figures;
        if !matches!(found.outcome, Outcome::Kept | Outcome::Would) {
            // The child could not tell, or did not come back: that is no reason to do anything.
            return self.end_campaign(promise, Outcome::Unknown, found.text(), (Tally::default(), figures));
        }
        let members: Vec<Member> = found.members().collect();
        let mono = self.now.mono;
        self.crowds.note_late(promise, &members, mono);
        let Some(work) = self.crowd(promise) else { return };
        let lasts = |member: &Member, bound: &crate::model::Bound| {
            self.crowds.late_for(promise, member.identity, bound.what, mono) >= bound.lasts
        };
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it was made of a count of processes"
        )]
        let count = figures[1] as u32;
        let tally = tally(work, count, &members, &lasts);
        match self.next(promise, work, count, (&tally, &members)) {
            Next::Told(outcome, text) => self.end_campaign(promise, outcome, &text, (tally, figures)),
            Next::End(those) => self.begin_end(promise, &those),
            Next::Start => self.begin_start(promise, count),
        }
    }

    /// Decides; nothing is done here.
    fn next(&self, promise: usize, work: &CrowdWork, count: u32, (tally, members): (&Tally, &[Member])) -> Next {
        let campaign = self.crowds.under_way.iter().find(|campaign| campaign.promise == promise);
        let deeds = campaign.map_or("", |campaign| campaign.deeds.as_str());
        if tally.go.is_empty() && !tally.is_short {
            return match campaign {
                Some(_) => Next::Told(Outcome::Repaired, format!("{deeds}; now {count} run")),
                // A class without a deed, such as a size that is only told.
                None => Next::Told(Outcome::Kept, tally.text.clone()),
            };
        }
        let has_ended = campaign.is_some_and(|campaign| campaign.has_ended);
        let ends = !tally.go.is_empty() && work.signals.is_some() && !has_ended;
        let helps = campaign
            .is_none_or(|campaign| campaign.started == 0 || (count > campaign.before && campaign.started < work.least));
        let starts = !ends && tally.is_short && work.start.is_some() && helps;
        let those = || tally.go.iter().filter_map(|place| members.get(*place)).copied().collect::<Vec<_>>();
        if campaign.is_none() && (ends || starts) && !self.may_begin(promise) {
            let deed = if ends { format!("end {}", named(members, &tally.go)) } else { "run its start command".into() };
            let is_spent = self.judgement.agent.promises().get(promise).is_some_and(|it| it.may_change());
            let why = if is_spent { "; not done: its limit is spent" } else { "" };
            return Next::Told(Outcome::Would, format!("{deed}: {}{why}", tally.text));
        }
        match (ends, starts) {
            (true, _) => Next::End(those()),
            (false, true) => Next::Start,
            (false, false) => {
                let colon = if deeds.is_empty() { "" } else { "; still " };
                let outcome = campaign.and_then(|campaign| campaign.trouble).unwrap_or(Outcome::Failed);
                Next::Told(outcome, format!("{deeds}{colon}{}", tally.text))
            }
        }
    }

    fn may_begin(&self, promise: usize) -> bool {
        !self.judgement.agent.only_looks(promise)
            && !self.manner.is_shadow
            && !self.is_stopping()
            && !matches!(self.upgrade, Upgrade::Waiting { .. })
    }

    fn campaign(&mut self, promise: usize) -> &mut Campaign {
        let list = &mut self.crowds.under_way;
        let place = list.iter().position(|campaign| campaign.promise == promise).unwrap_or_else(|| {
            list.push(Campaign::new(promise));
            list.len() - 1
        });
        #[allow(clippy::indexing_slicing, reason = "it was found or pushed just now")]
        &mut list[place]
    }

    fn begin_end(&mut self, promise: usize, those: &[Member]) {
        let mut victims = Vec::new();
        for member in those {
            // Held first, compared then: what is signalled is what was compared.
            let Ok(pidfd) = Pidfd::open(member.identity.pid) else { continue };
            if is_same(&self.sight.host, &mut self.sight.buffer, member, self.now)
                && self.poller.add(&pidfd, Token::Crowd.pack(), Interest::Read).is_ok()
            {
                victims.push(Victim { pidfd, member: *member });
            }
        }
        let held: Vec<Member> = victims.iter().map(|victim| victim.member).collect();
        let due = self.now.mono;
        let campaign = self.campaign(promise);
        campaign.has_ended = true;
        if !held.is_empty() {
            campaign.say(&format!("ended {}", named(&held, &(0..held.len()).collect::<Vec<_>>())));
        }
        campaign.stage = Stage::Ending { victims, step: 0, due };
        self.advance_crowds();
    }

    fn begin_start(&mut self, promise: usize, count: u32) {
        let campaign = self.campaign(promise);
        campaign.started += 1;
        campaign.before = count;
        campaign.stage = Stage::Starting;
        let known = self.judgement.agent.promises().get(promise);
        let timeout = known.and_then(|known| known.timeout()).unwrap_or(GRACE);
        let Some(Work::Crowd(work)) = known.map(|known| &known.work) else { return };
        let Some(launch) = &work.start else { return };
        let order = Order { owner: Owner::Crowd(promise), launch, timeout, input: None, is_heard: false };
        if let Some(done) = self.errands.start(&order, &self.poller, self.now.mono) {
            self.on_done(&done);
        }
    }

    /// Its start command has ended.
    pub(super) fn on_crowd_started(&mut self, promise: usize, done: &Done) {
        let until = self.now.mono + self.crowd(promise).map_or(GRACE, |work| work.settle);
        let Some(campaign) = self.crowds.find(promise) else { return };
        match done.end {
            CommandEnd::Exit(0) if campaign.started == 1 => campaign.say("ran its start command"),
            CommandEnd::Exit(0) => {}
            end => {
                campaign.trouble = Some(match end {
                    CommandEnd::Timeout => Outcome::Timeout,
                    CommandEnd::Denied => Outcome::Denied,
                    _ => Outcome::Failed,
                });
                campaign.say(&format!("its start command: {}", told(done)));
            }
        }
        campaign.stage = Stage::Settling { until };
    }

    /// Does what is due, and notices who has ended.
    pub(super) fn advance_crowds(&mut self) {
        let mut place = 0;
        while let Some(mut campaign) =
            (place < self.crowds.under_way.len()).then(|| self.crowds.under_way.remove(place))
        {
            let promise = campaign.promise;
            self.advance(&mut campaign);
            debug_assert_eq!(promise, campaign.promise);
            self.crowds.under_way.insert(place, campaign);
            place += 1;
        }
    }

    fn advance(&mut self, campaign: &mut Campaign) {
        let (mono, promise) = (self.now.mono, campaign.promise);
        let settle = self.crowd(promise).map_or(GRACE, |work| work.settle);
        match &mut campaign.stage {
            Stage::Starting | Stage::Looking => {}
            Stage::Settling { until } if *until > mono => {}
            Stage::Settling { .. } => {
                campaign.stage = Stage::Looking;
                self.upkeep.push(promise);
                self.is_stirred = true;
            }
            Stage::Ending { victims, step, due } => {
                victims.retain(|victim| {
                    let is_there = !victim.pidfd.has_ended();
                    if !is_there {
                        self.poller.remove(&victim.pidfd);
                    }
                    is_there
                });
                let steps = match self.judgement.agent.promises().get(promise).map(|known| &known.work) {
                    Some(Work::Crowd(work)) => work.signals.as_deref().unwrap_or_default(),
                    _ => &[],
                };
                let is_over = *due <= mono && *step > steps.len();
                while !is_over && !victims.is_empty() && *due <= mono {
                    match steps.get(*step) {
                        Some(StopStep::Signal(signal)) => {
                            for victim in victims.iter() {
                                if is_same(&self.sight.host, &mut self.sight.buffer, &victim.member, self.now) {
                                    // One that has just ended needs no signal; who refuses it is still there at the end.
                                    let _ = victim.pidfd.send(*signal);
                                }
                            }
                        }
                        Some(StopStep::Wait(time)) => *due = mono + *time,
                        None => *due = mono + GRACE,
                    }
                    *step += 1;
                }
                if is_over || victims.is_empty() {
                    victims.iter().for_each(|victim| self.poller.remove(&victim.pidfd));
                    campaign.stage = Stage::Settling { until: mono + settle };
                }
            }
        }
    }

    /// Tells how it came out.
    fn end_campaign(&mut self, promise: usize, outcome: Outcome, text: &str, (tally, figures): (Tally, [f64; 2])) {
        let place = self.crowds.under_way.iter().position(|campaign| campaign.promise == promise);
        let is_deed = place.is_some();
        if let Some(place) = place {
            self.crowds.under_way.remove(place).let_go(&self.poller);
        }
        if self.crowds.under_way.is_empty() {
            self.crowds.under_way = Vec::new();
        }
        self.tell(promise, &Report { outcome, marks: tally.marks, figures, text, is_deed });
    }
}

/// Whether this is still the process that was counted, under the same name: one that has executed another program is not.
fn is_same(host: &Host, buffer: &mut Buffer, member: &Member, now: Now) -> bool {
    stat(&mut Look { host, buffer, now }, member.identity.pid).is_ok_and(|found| {
        let name = found.comm.as_bytes();
        found.start_ticks == member.identity.start_ticks
            && !found.is_kernel_thread()
            && look::short(name) == member.comm
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_long_one_uses_too_much_is_counted_from_look_to_look() {
        let at = Duration::from_secs;
        let member = |pid, over| Member { identity: Identity { pid, start_ticks: 7 }, comm: look::short(b"w"), over };
        let mut crowds = Crowds::default();
        crowds.note_late(0, &[member(1, 1), member(2, 0)], at(100));
        crowds.note_late(1, &[member(1, 1)], at(110));
        crowds.note_late(0, &[member(1, 1), member(2, 1)], at(130));
        let late = |crowds: &Crowds, promise, pid| {
            crowds.late_for(promise, Identity { pid, start_ticks: 7 }, Quantity::Rss, at(160)).as_secs()
        };
        assert_eq!((late(&crowds, 0, 1), late(&crowds, 0, 2), late(&crowds, 1, 1)), (60, 30, 50));
        // One that was within its limit meanwhile begins anew, and so does another process of that pid.
        crowds.note_late(0, &[member(2, 1)], at(140));
        crowds.note_late(0, &[member(1, 1), member(2, 1)], at(150));
        assert_eq!((late(&crowds, 0, 1), late(&crowds, 0, 2)), (10, 30));
        assert_eq!(crowds.late_for(0, Identity { pid: 2, start_ticks: 8 }, Quantity::Rss, at(160)), Duration::ZERO);
        // Each thing it uses too much of has its own beginning: one that is old for long was not large for long.
        let age = 1 << Quantity::Age.byte();
        crowds.note_late(0, &[member(3, age)], at(100));
        crowds.note_late(0, &[member(3, age | 1)], at(150));
        let of = |what| crowds.late_for(0, Identity { pid: 3, start_ticks: 7 }, what, at(160)).as_secs();
        assert_eq!((of(Quantity::Age), of(Quantity::Rss), of(Quantity::Cpu)), (60, 10, 0));
        crowds.note_late(0, &[], at(160));
        crowds.note_late(1, &[], at(160));
        assert_eq!(crowds.late.capacity(), 0, "nothing of it stays");
    }

    #[test]
    fn only_the_process_that_was_counted_under_its_name_is_the_same() {
        let mut child = std::process::Command::new("/bin/sleep").arg("1000").spawn().expect("it can be started");
        let pid = i32::try_from(child.id()).expect("pids are small");
        let (host, mut buffer) = (Host::open(std::path::Path::new("/")).expect("it is there"), Buffer::default());
        let now = Now::default();
        let look = || stat(&mut Look { host: &host, buffer: &mut Buffer::default(), now }, pid);
        // Until its exec it has our name.
        let found = loop {
            let found = look().expect("it runs");
            if found.comm.as_bytes() == b"sleep" {
                break found;
            }
        };
        let identity = Identity { pid, start_ticks: found.start_ticks };
        let member = |identity, name: &[u8]| Member { identity, comm: look::short(name), over: 0 };
        let older = Identity { start_ticks: identity.start_ticks - 1, ..identity };
        for (claim, member, expect) in [
            ("itself", member(identity, b"sleep"), true),
            ("its pid, used again", member(older, b"sleep"), false),
            ("another program by now", member(identity, b"worker"), false),
            ("nobody", member(Identity { pid: i32::MAX, ..identity }, b"sleep"), false),
        ] {
            assert_eq!(is_same(&host, &mut buffer, &member, now), expect, "{claim}");
        }
        child.kill().expect("it is our child");
        child.wait().expect("it is our child");
        assert!(!is_same(&host, &mut buffer, &member(identity, b"sleep"), now), "it has gone");
    }
}
