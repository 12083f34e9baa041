//! The post: reports on their way to the system log, to mail, to programs. Each is written down before it is sent and taken out
//! when it has arrived; one that does not arrive is sent again after 30 s, then after twice as long, at last every hour.
//!
//! What goes through one channel of one report keeps its order, and the first that fails holds back what is behind it, so a
//! receiver that is gone costs one attempt at a time. There is room for 32; the oldest leaves for the newest, and the journal says so.

use std::path::PathBuf;
use std::time::Duration;

use super::core::Core;
use super::digest::REPORT;
use super::errands::{Order, Owner};
use super::letter;
use super::notes::Notes;
use super::publish::millis;
use super::upgrade::Upgrade;
use crate::agent::{CommandEnd, Work};
use crate::model::{Channel, EventKind, Places, PromiseKind, Way};
use crate::store::outbox::{LETTERS, Letter, Outbox};
use crate::sys::clock::Civil;
use crate::sys::{files, syslog};

/// How many are on their way at once.
const OUT: usize = 4;
/// Before the second attempt.
const FIRST_PAUSE: Duration = Duration::from_secs(30);
const LONGEST_PAUSE: Duration = Duration::from_secs(3_600);
/// What handing on a digest may take.
const DIGEST: Duration = Duration::from_secs(30);

/// Everything that has not arrived yet.
pub struct Post {
    path: PathBuf,
    outbox: Option<Outbox>,
    held: Vec<Held>,
    next_number: u64,
    dropped: u64,
    /// It could not be written down, and that was said.
    is_told: bool,
}

struct Held {
    number: u64,
    letter: Letter,
    /// Not before; monotonic.
    next: Duration,
    is_out: bool,
}

impl Held {
    fn is_behind(&self, other: &Self) -> bool {
        self.letter.report == other.letter.report && self.letter.channel == other.letter.channel
    }
}

impl Post {
    /// Takes up what did not arrive before. Without such a file none is made; in the shadow nothing is looked for.
    pub fn open(places: &Places, is_shadow: bool, notes: &mut Notes) -> Self {
        let (path, held) = (places.outbox(), Vec::new());
        let mut post = Self { path, outbox: None, held, next_number: 0, dropped: 0, is_told: false };
        if !is_shadow && post.path.exists() {
            match post.unlock(notes) {
                Ok(letters) => letters.into_iter().for_each(|letter| post.hold(letter)),
                Err(error) => post.lose(&error, notes),
            }
        }
        post
    }

    pub fn is_writable(&self) -> bool {
        !self.is_told
    }

    fn unlock(&mut self, notes: &mut Notes) -> std::io::Result<Vec<Letter>> {
        let (outbox, found) = Outbox::open(&self.path)?;
        self.outbox = Some(outbox);
        if let Some(aside) = found.aside {
            let text = format!("the reports to be sent were damaged; they are kept as {}", aside.display());
            notes.add(EventKind::StateDamaged, "outbox", &text);
        }
        Ok(found.letters)
    }

    fn hold(&mut self, letter: Letter) {
        self.next_number += 1;
        self.held.push(Held { number: self.next_number, letter, next: Duration::ZERO, is_out: false });
    }

    /// Takes a letter in; gives the one that had to leave for it.
    fn add(&mut self, letter: Letter) -> Option<Letter> {
        let is_full = self.held.len() >= LETTERS;
        let oldest = self.held.iter().position(|held| !held.is_out).filter(|_| is_full);
        let left = oldest.map(|place| self.held.remove(place).letter);
        self.dropped += u64::from(left.is_some());
        self.hold(letter);
        left
    }

    /// Tries again to write down what could not be.
    pub fn retry(&mut self, notes: &mut Notes) {
        if self.outbox.as_ref().is_some_and(Outbox::is_removed) {
            self.outbox = None;
            self.lose(&files::removed(), notes);
        }
        if self.is_told {
            self.save(notes);
        }
    }

    fn save(&mut self, notes: &mut Notes) {
        if self.outbox.is_none() {
            match self.unlock(notes) {
                // A file that could not be opened before may have something in it.
                Ok(letters) => letters.into_iter().for_each(|letter| self.hold(letter)),
                Err(error) => return self.lose(&error, notes),
            }
        }
        let letters = self.held.iter().map(|held| &held.letter);
        match self.outbox.as_mut().map(|outbox| outbox.save(letters)) {
            Some(Err(error)) => self.lose(&error, notes),
            _ if std::mem::take(&mut self.is_told) => {
                notes.add(EventKind::StateWritable, "outbox", "the reports to be sent are written down again");
            }
            _ => {}
        }
        if self.held.is_empty() {
            // Reports are rare: nothing of them stays.
            self.held = Vec::new();
        }
    }

    fn lose(&mut self, error: &std::io::Error, notes: &mut Notes) {
        if !std::mem::replace(&mut self.is_told, true) {
            let text = format!("cannot write down the reports to be sent: {error}");
            notes.add(EventKind::StateUnwritable, "outbox", &text);
        }
    }

    /// Those that could be sent next: the first of each channel, unless too many are on their way.
    fn heads(&self) -> impl Iterator<Item = (usize, &Held)> {
        let may = self.held.iter().filter(|held| held.is_out).count() < OUT;
        let is_first = |place: usize, held: &Held| !self.held.iter().take(place).any(|earlier| held.is_behind(earlier));
        self.held.iter().enumerate().filter(move |(place, held)| may && !held.is_out && is_first(*place, held))
    }

    fn deadline(&self) -> Option<Duration> {
        self.heads().map(|(_, held)| held.next).min()
    }

    /// Gives out one that is due.
    fn next(&mut self, mono: Duration) -> Option<(u64, Letter)> {
        let (place, _) = self.heads().find(|(_, held)| held.next <= mono)?;
        let held = self.held.get_mut(place)?;
        held.is_out = true;
        Some((held.number, held.letter.clone()))
    }

    /// One has arrived, or leaves without.
    fn remove(&mut self, number: u64) -> Option<Letter> {
        let place = self.held.iter().position(|held| held.number == number)?;
        Some(self.held.remove(place).letter)
    }

    /// One has not arrived; gives how often that was so, and how long it waits now.
    fn keep(&mut self, number: u64, mono: Duration) -> Option<(Letter, Duration)> {
        let held = self.held.iter_mut().find(|held| held.number == number)?;
        held.letter.tries = held.letter.tries.saturating_add(1);
        let pause = pause(held.letter.tries);
        (held.is_out, held.next) = (false, mono + pause);
        Some((held.letter.clone(), pause))
    }

    /// All that has not arrived, oldest first; nothing of it is here afterwards.
    pub fn take_all(&mut self) -> Vec<Letter> {
        std::mem::take(&mut self.held).into_iter().map(|held| held.letter).collect()
    }

    /// Whether a report has a letter that has not arrived.
    pub fn has(&self, report: &str) -> bool {
        self.held.iter().any(|held| held.letter.report == report)
    }

    /// Whether a report has letters that were not sent even once, and whether it has some that failed.
    fn standing(&self, report: &str) -> (bool, bool) {
        let of_it = || self.held.iter().map(|held| &held.letter).filter(|letter| letter.report == report);
        (of_it().any(|letter| letter.tries == 0), of_it().any(|letter| letter.tries > 0))
    }
}

/// How long a letter waits after so many failures.
fn pause(tries: u32) -> Duration {
    FIRST_PAUSE.saturating_mul(1 << tries.saturating_sub(1).min(8)).min(LONGEST_PAUSE)
}

impl Core {
    /// Hands a report to all of its channels.
    pub(super) fn post(&mut self, promise: usize, text: &str, is_over: bool) {
        let Some(known) = self.judgement.agent.promises().get(promise) else { return };
        let Work::Report(report) = &known.work else { return };
        if report.channels.is_empty() {
            return self.turns.done(known);
        }
        let mut letters = Vec::new();
        for channel in &report.channels {
            let (report, channel, text) = (known.id.clone(), channel.name.clone(), text.to_owned());
            let wall_ms = millis(self.now.wall);
            letters.push(Letter { report, channel, text, wall_ms, tries: 0, is_over });
        }
        self.send_letters(letters);
    }

    pub(super) fn send_letter(&mut self, letter: Letter) {
        self.send_letters(vec![letter]);
    }

    fn send_letters(&mut self, letters: Vec<Letter>) {
        let left: Vec<Letter> = letters.into_iter().filter_map(|letter| self.post.add(letter)).collect();
        self.post.save(&mut self.notes);
        for letter in left {
            let why = format!("there is room for {LETTERS} only, {} had to leave so far", self.post.dropped);
            self.drop_letter(&letter, &why);
        }
    }

    /// Sends what is due.
    pub(super) fn carry_letters(&mut self) {
        while self.may_carry()
            && let Some((number, letter)) = self.post.next(self.now.mono)
        {
            self.carry_letter(number, &letter);
        }
    }

    /// When the next one is due.
    pub(super) fn letter_deadline(&self) -> Option<Duration> {
        if self.may_carry() { self.post.deadline() } else { None }
    }

    /// What would begin before an upgrade would only hold it up.
    fn may_carry(&self) -> bool {
        !self.manner.is_shadow && !matches!(self.upgrade, Upgrade::Waiting { .. })
    }

    fn carry_letter(&mut self, number: u64, letter: &Letter) {
        let lines = self.lines_of(letter);
        let agent = &self.judgement.agent;
        if letter.report == REPORT {
            return self.carry_digest(number, letter, &lines);
        }
        let promise = agent.find(PromiseKind::Report, &letter.report).and_then(|place| agent.promises().get(place));
        let channels = promise.map(|promise| match &promise.work {
            Work::Report(report) => report.channels.as_slice(),
            _ => &[],
        });
        let channel = channels.unwrap_or_default().iter().find(|channel| channel.name == letter.channel);
        let (Some(channel), Some(timeout)) = (channel, promise.and_then(|promise| promise.timeout())) else {
            self.post.remove(number);
            self.post.save(&mut self.notes);
            return self.drop_letter(letter, "the policy does not send it there any more");
        };
        let input = worded(letter, channel, agent.host(), "");
        let Some(launch) = channel.launch() else {
            let sent = syslog::send(&self.places.root.join("dev/log"), input.as_bytes());
            let end = if sent.is_ok() { CommandEnd::Exit(0) } else { CommandEnd::NotStarted };
            let how = sent.err().map(|error| format!("cannot hand it to the system log: {error}"));
            return self.on_carried(number, end, &how.unwrap_or_default());
        };
        let order = Order { owner: Owner::Letter(number), launch, timeout, input: Some(&input), is_heard: false };
        if let Some(done) = self.errands.start(&order, &self.poller, self.now.mono) {
            self.on_done(&done);
        }
    }

    fn carry_digest(&mut self, number: u64, letter: &Letter, lines: &str) {
        let channel = self.digest.spec.as_ref().map(|spec| &spec.channel).filter(|it| it.name == letter.channel);
        let Some(channel) = channel else {
            self.post.remove(number);
            self.post.save(&mut self.notes);
            return self.drop_letter(letter, "the policy does not send it there any more");
        };
        let input = worded(letter, channel, self.judgement.agent.host(), lines);
        let Some(launch) = channel.launch() else {
            let sent = syslog::send(&self.places.root.join("dev/log"), input.as_bytes());
            let end = if sent.is_ok() { CommandEnd::Exit(0) } else { CommandEnd::NotStarted };
            return self.on_carried(number, end, "cannot hand it to the system log");
        };
        let order =
            Order { owner: Owner::Letter(number), launch, timeout: DIGEST, input: Some(&input), is_heard: false };
        if let Some(done) = self.errands.start(&order, &self.poller, self.now.mono) {
            self.on_done(&done);
        }
    }

    /// An attempt is over.
    pub(super) fn on_carried(&mut self, number: u64, end: CommandEnd, how: &str) {
        let mono = self.now.mono;
        let letter = if end == CommandEnd::Exit(0) {
            let Some(letter) = self.post.remove(number) else { return };
            self.digest_arrived(&letter);
            if letter.tries > 0 {
                let text =
                    format!("{}: arrived after {} failed attempts: {}", letter.channel, letter.tries, letter.text);
                self.notes.add(EventKind::ReportDelivered, &letter.report, &text);
            } else if !how.is_empty() {
                self.notes.add(EventKind::CommandRan, &letter.report, how);
            }
            letter
        } else {
            let Some((letter, pause)) = self.post.keep(number, mono) else { return };
            // Once is enough; what has arrived late is told again.
            if letter.tries == 1 {
                let then = if self.manner.is_guest() {
                    "the daemon tries again".to_owned()
                } else {
                    format!("tried again in {} s", pause.as_secs())
                };
                let text = format!("{}: {how}; {then}: {}", letter.channel, letter.text);
                self.notes.add(EventKind::ReportUndelivered, &letter.report, &text);
            }
            letter
        };
        self.post.save(&mut self.notes);
        self.settle_report(&letter.report, end);
    }

    fn drop_letter(&mut self, letter: &Letter, why: &str) {
        let text = format!("{}: dropped undelivered, {why}: {}", letter.channel, letter.text);
        self.notes.add(EventKind::ReportDropped, &letter.report, &text);
        self.settle_report(&letter.report, CommandEnd::NotStarted);
    }

    /// Tells a report what came of it, once each of its channels was tried: it is kept when nothing of it waits.
    fn settle_report(&mut self, report: &str, end: CommandEnd) {
        self.is_stirred = true;
        let (is_untried, has_failed) = self.post.standing(report);
        let Some(place) = self.judgement.agent.find(PromiseKind::Report, report).filter(|_| !is_untried) else {
            return;
        };
        let is_hidden = has_failed && end == CommandEnd::Exit(0);
        self.judgement.agent.command_done(place, if is_hidden { CommandEnd::Exit(1) } else { end }, self.now);
        if let Some(promise) = self.judgement.agent.promises().get(place) {
            self.turns.done(promise);
        }
    }
}

/// A letter as its channel wants it.
fn worded(letter: &Letter, channel: &Channel, host: &str, lines: &str) -> String {
    let when = Duration::from_millis(letter.wall_ms);
    match &channel.way {
        Way::Syslog => letter::line(letter, std::process::id(), Civil::local(when)),
        Way::Mail { to, .. } => letter::mail((letter, lines), to, host, Civil::utc(when)),
        Way::Plain(_) if lines.is_empty() => letter.text.clone(),
        Way::Plain(_) => format!("{}\n\n{lines}", letter.text),
        Way::Json(_) => letter::json((letter, lines), host, Civil::utc(when)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn post() -> Post {
        let held = Vec::new();
        Post { path: PathBuf::new(), outbox: None, held, next_number: 0, dropped: 0, is_told: false }
    }

    fn letter(report: &str, channel: &str, number: usize) -> Letter {
        let (report, channel, text) = (report.to_owned(), channel.to_owned(), number.to_string());
        Letter { report, channel, text, wall_ms: 1, tries: 0, is_over: false }
    }

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_order_of_a_channel_is_kept_and_others_go_on() {
        let mut post = post();
        for (number, channel) in ["mail", "mail", "syslog"].into_iter().enumerate() {
            assert!(post.add(letter("r", channel, number)).is_none());
        }
        let (first, sent) = post.next(at(0)).expect("one is due");
        assert_eq!(sent.text, "0");
        let (second, sent) = post.next(at(0)).expect("the other channel goes on");
        assert_eq!(sent.text, "2");
        assert!(post.next(at(0)).is_none() && post.deadline().is_none(), "the second mail waits for the first");
        assert!(post.remove(second).is_some());
        assert_eq!(post.keep(first, at(100)).map(|(letter, pause)| (letter.tries, pause)), Some((1, at(30))));
        assert_eq!(post.standing("r"), (true, true));
        assert_eq!((post.next(at(129)), post.deadline()), (None, Some(at(130))));
        assert_eq!(post.next(at(130)).map(|(_, letter)| letter.text), Some("0".to_owned()));
        post.remove(first);
        assert_eq!(post.next(at(130)).map(|(_, letter)| letter.text), Some("1".to_owned()));
    }

    #[test]
    fn the_pause_grows_up_to_an_hour() {
        for (tries, expect) in [(1, 30), (2, 60), (3, 120), (7, 1920), (8, 3600), (9, 3600), (u32::MAX, 3600)] {
            assert_eq!(pause(tries), at(expect), "{tries}");
        }
    }

    #[test]
    fn the_oldest_leaves_for_the_newest_and_few_are_out_at_once() {
        let mut post = post();
        let channels: Vec<String> = (0..LETTERS).map(|number| format!("c{number}")).collect();
        for (number, channel) in channels.iter().enumerate() {
            assert!(post.add(letter("r", channel, number)).is_none());
        }
        let out: Vec<u64> = std::iter::from_fn(|| post.next(at(0))).map(|(number, _)| number).collect();
        assert_eq!(out, [1, 2, 3, 4]);
        assert_eq!(post.deadline(), None, "an end wakes us");
        let left = post.add(letter("r", "new", 99)).map(|letter| letter.text);
        assert_eq!((left.as_deref(), post.dropped, post.held.len()), (Some("4"), 1, LETTERS), "what is out stays");
    }
}
