//! Plugins of others: asked of core over a private line, heard through pipes, kept for a cycle.
//!
//! What a client wants is an [`Order`]. It is answered from what is kept, or by a run that is under way, or by a new one; until there is an
//! answer the client waits, and nobody else does. So many runs at a time, so much output each, so much kept in all. At
//! the start every plugin is asked for its configuration once, which tells what it is.

use std::fs::File;
use std::io::{self, Read};
use std::net::IpAddr;
use std::time::Duration;

use crate::export::Page;
use crate::export::munin::{Ask, Guest};
use crate::model::{Call, Fortune, GuestAsk, Word};
use crate::sys::epoll::{Interest, Poller};
use crate::sys::line::Line;

/// Runs at a time, and of them those that only want to know what there is.
pub const RUNS: usize = 16;
const SURVEYS: usize = 4;

/// Output of one run, and of all runs and all that is kept.
const OUTPUT: usize = 64 << 10;
const STORE: usize = 256 << 10;

/// How long a list waits for plugins that have not been asked yet.
const SURVEY_WITHIN: Duration = Duration::from_secs(10);

/// How long we go on reading after a plugin has ended: something it started may hold its output open for ever.
const LINGER: Duration = Duration::from_secs(2);

/// What a client wants of a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    pub guest: usize,
    pub ask: Ask,
    /// None when we want to know ourselves.
    pub peer: Option<IpAddr>,
}

/// A plugin under way.
struct Run {
    ticket: u32,
    order: Order,
    output: Vec<u8>,
    pipe: Option<File>,
    /// How it ended, once it has.
    end: Option<Fortune>,
    /// When we stop waiting for more of its output.
    give_up: Option<Duration>,
}

/// An answer that is kept.
struct Kept {
    order: Order,
    text: Vec<u8>,
    until: Duration,
}

/// Everything about the plugins of others.
#[derive(Default)]
pub struct Guests {
    pub cards: Vec<Guest>,
    line: Option<Line>,
    runs: Vec<Run>,
    kept: Vec<Kept>,
    next_ticket: u32,
    /// The next plugin to be asked what it is, how many have answered, and until when lists wait for that.
    next_survey: usize,
    surveyed: usize,
    survey_until: Duration,
}

impl Guests {
    pub fn new(cards: Vec<Guest>, line: Option<Line>, mono: Duration) -> Self {
        let cards = if line.is_some() { cards } else { Vec::new() };
        Self { cards, line, survey_until: mono + SURVEY_WITHIN, ..Self::default() }
    }

    pub fn line(&self) -> Option<&Line> {
        self.line.as_ref()
    }

    /// Whether lists are worth giving: what there is is known, or took too long.
    pub fn is_surveyed(&self, mono: Duration) -> bool {
        self.surveyed >= self.cards.len() || self.survey_until <= mono
    }

    /// Writes the answer to an order, final dot and all; false when it has to be waited for.
    pub fn serve(&mut self, order: Order, mono: Duration, page: &mut Page) -> bool {
        if let Some(kept) = self.kept.iter().find(|kept| kept.order == order && kept.until > mono) {
            page.push(&kept.text);
            page.text(".\n");
            return true;
        }
        if !self.is_under_way(order) && self.runs.len() < RUNS && !self.start(order) {
            page.text("# Bad exit\n.\n");
            return true;
        }
        false
    }

    /// Starts a run that will be asked for, if there is room for it now.
    pub fn hurry(&mut self, order: Order, mono: Duration) {
        if self.runs.len() < RUNS && !self.is_under_way(order) && !self.is_kept(order, mono) {
            self.start(order);
        }
    }

    /// Whether there is nothing to wait for: an answer is kept, or no run is under way.
    pub fn is_answered(&self, order: Order, mono: Duration) -> bool {
        self.is_kept(order, mono) || (self.runs.len() < RUNS && !self.is_under_way(order))
    }

    fn is_kept(&self, order: Order, mono: Duration) -> bool {
        self.kept.iter().any(|kept| kept.order == order && kept.until > mono)
    }

    fn is_under_way(&self, order: Order) -> bool {
        self.runs.iter().any(|run| run.order == order)
    }

    /// Asks core for a run; false when that is not possible.
    fn start(&mut self, order: Order) -> bool {
        let ask = match order.ask {
            Ask::Config => GuestAsk::Config,
            Ask::Dirty => GuestAsk::Dirty,
            Ask::Fetch => GuestAsk::Fetch,
        };
        let Ok(guest) = u16::try_from(order.guest) else { return false };
        let ticket = self.next_ticket;
        let call = Call { ticket, guest, ask, peer: order.peer };
        if self.line.as_ref().is_none_or(|line| line.say(&call.to_bytes()).is_err()) {
            return false;
        }
        self.next_ticket = ticket.wrapping_add(1);
        self.runs.push(Run { ticket, order, output: Vec::new(), pipe: None, end: None, give_up: None });
        true
    }

    /// Asks plugins what they are, a few at a time.
    pub fn survey(&mut self) {
        while self.next_survey < self.cards.len()
            && self.runs.iter().filter(|run| run.order.peer.is_none()).count() < SURVEYS
            && self.runs.len() < RUNS
        {
            let order = Order { guest: self.next_survey, ask: Ask::Config, peer: None };
            if !self.start(order) {
                return;
            }
            self.next_survey += 1;
        }
    }

    /// Hears what core has to say. New pipes are waited for under `token` and the tickets behind it.
    pub fn on_line(
        &mut self,
        poller: &Poller,
        token: impl Fn(u32) -> u64,
        now: (Duration, Duration),
    ) -> io::Result<()> {
        for _ in 0..2 * RUNS {
            let Some(line) = &self.line else { return Ok(()) };
            let mut bytes = [0; Word::LEN + 1];
            match line.hear(&mut bytes) {
                Ok((0, _)) => {
                    // There is another door by now; who waits here gets what there is.
                    self.line = None;
                    self.runs
                        .iter_mut()
                        .filter(|run| run.end.is_none())
                        .for_each(|run| run.end = Some(Fortune::Failed));
                    return Ok(());
                }
                Ok((len, pipe)) => {
                    if let Some(word) = bytes.get(..len).and_then(Word::from_bytes) {
                        self.on_word(word, pipe.map(File::from), (poller, &token), now);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn on_word(
        &mut self,
        word: Word,
        pipe: Option<File>,
        (poller, token): (&Poller, &dyn Fn(u32) -> u64),
        (mono, keep): (Duration, Duration),
    ) {
        let Some(run) = self.runs.iter_mut().find(|run| run.ticket == word.ticket) else { return };
        if word.fortune == Fortune::Started {
            run.pipe = pipe.filter(|pipe| poller.add(pipe, token(word.ticket), Interest::Read).is_ok());
            return;
        }
        run.end = Some(word.fortune);
        run.give_up = Some(mono + LINGER);
        // What it wrote last may be in the pipe still.
        self.read(word.ticket, (mono, keep));
    }

    /// Takes output of a run, and completes it when there will be no more.
    pub fn read(&mut self, ticket: u32, now: (Duration, Duration)) {
        let Some(run) = self.runs.iter_mut().find(|run| run.ticket == ticket) else { return };
        let mut chunk = [0; 4096];
        while let Some(pipe) = &mut run.pipe {
            match pipe.read(&mut chunk) {
                Ok(read) if read > 0 && run.output.len() + read <= OUTPUT => {
                    run.output.extend_from_slice(chunk.get(..read).unwrap_or_default());
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // The end, or too much. Closing takes it out of the poller.
                Ok(read) => {
                    if read > 0 {
                        run.output = Vec::new();
                        run.end = Some(Fortune::Failed);
                    }
                    run.pipe = None;
                }
                Err(_) => run.pipe = None,
            }
        }
        self.complete(now);
        self.relieve();
    }

    /// Turns runs that are over into answers, which are kept for a cycle.
    pub fn complete(&mut self, (mono, keep): (Duration, Duration)) {
        while let Some(place) = self.runs.iter().position(|run| run.is_over(mono)) {
            let run = self.runs.swap_remove(place);
            let text = match run.end {
                Some(Fortune::Ended) => clean(run.output),
                Some(Fortune::TimedOut) => b"# Timed out\n".to_vec(),
                _ => b"# Bad exit\n".to_vec(),
            };
            if run.order.peer.is_none() {
                let card = self.cards.get_mut(run.order.guest);
                // One that fails may recover; one that takes too long would hold up every round.
                if let Some(card) = card.filter(|_| matches!(run.end, Some(Fortune::Ended | Fortune::TimedOut))) {
                    card.learn(if run.end == Some(Fortune::Ended) { &text } else { b"" });
                }
                self.surveyed += 1;
            } else {
                self.kept.retain(|kept| kept.order != run.order);
                self.kept.push(Kept { order: run.order, text, until: mono + keep });
            }
        }
    }

    /// Keeps within the store: what was kept first goes first, then the largest run is cut.
    fn relieve(&mut self) {
        let in_runs: usize = self.runs.iter().map(|run| run.output.capacity()).sum();
        let in_kept = |kept: &[Kept]| kept.iter().map(|kept| kept.text.capacity()).sum::<usize>();
        while in_runs + in_kept(&self.kept) > STORE && self.kept.len() > RUNS {
            self.kept.remove(0);
        }
        if in_runs > STORE
            && let Some(run) = self.runs.iter_mut().max_by_key(|run| run.output.capacity())
        {
            (run.output, run.pipe, run.end) = (Vec::new(), None, Some(Fortune::Failed));
        }
    }

    /// When something here is due.
    pub fn deadline(&self, mono: Duration) -> Option<Duration> {
        let survey = Some(self.survey_until).filter(|until| self.surveyed < self.cards.len() && *until > mono);
        let runs = self.runs.iter().filter_map(|run| run.give_up);
        runs.chain(self.kept.iter().map(|kept| kept.until)).chain(survey).min()
    }

    /// Completes what lingers and forgets what is old.
    pub fn expire(&mut self, now: (Duration, Duration)) {
        self.complete(now);
        self.kept.retain(|kept| kept.until > now.0);
    }

    pub fn is_idle(&self) -> bool {
        self.runs.is_empty() && self.kept.is_empty()
    }
}

impl Run {
    fn is_over(&self, mono: Duration) -> bool {
        match self.end {
            None | Some(Fortune::Started) => false,
            Some(Fortune::Ended) => self.pipe.is_none() || self.give_up.is_some_and(|at| at <= mono),
            Some(_) => true,
        }
    }
}

/// Lines as the node sends them: split at any run of line ends, none empty, none a lone dot, which would end the answer.
fn clean(mut bytes: Vec<u8>) -> Vec<u8> {
    let (mut from, mut to) = (0, 0);
    while from < bytes.len() {
        let rest = bytes.get(from..).unwrap_or_default();
        let len = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n')).unwrap_or(rest.len());
        let is_said = len > 0 && rest.get(..len) != Some(b".");
        if is_said && from + len == bytes.len() {
            bytes.push(b'\n');
        }
        if is_said {
            bytes.copy_within(from..from + len, to);
            to += len;
            if let Some(end) = bytes.get_mut(to) {
                *end = b'\n';
            }
            to += 1;
        }
        from += len + 1;
    }
    bytes.truncate(to);
    bytes.shrink_to_fit();
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_sent_as_munin_node_sends_them() {
        for (output, expect) in [
            ("", ""),
            ("a", "a\n"),
            ("a\nb\n", "a\nb\n"),
            ("a\r\n\r\n\nb", "a\nb\n"),
            ("\n\n", ""),
            (".\na\n.\n", "a\n"),
            (".", ""),
            ("a\n..\n. \n", "a\n..\n. \n"),
            ("\ra\r", "a\n"),
        ] {
            assert_eq!(clean(output.as_bytes().to_vec()), expect.as_bytes(), "{output:?}");
        }
    }
}
