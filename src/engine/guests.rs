//! Runs the Munin plugins of others for the door, which has no file system, no privileges and no way to start anything.
//!
//! The door says which plugin of the list, what it is asked and for whom; nothing it says becomes a path or a word of a command but
//! a number and an address. The plugin's output goes into a pipe whose end the door gets, so that core reads none of it. So
//! many run at a time, so many are started in a time, and each has a deadline for its whole process group and
//! a limit of memory.

use std::os::fd::AsFd;
use std::time::Duration;

use crate::model::{Call, Command, Ending, Fortune, GuestAsk, GuestSpec, Launch, Setting, Word};
use crate::sys::epoll::{Interest, Poller};
use crate::sys::files;
use crate::sys::line::Line;
use crate::sys::pidfd::Pidfd;
use crate::sys::spawn::{self, Fault, Output, Plan, Report};

use super::tokens::Token;

mod environment;

/// Plugins that run at a time.
pub const RUNNING: usize = 16;
/// Starts that may come at once, and one more for each such time. Beside those, so many of every plugin: a round of a master asks each for
/// its configuration and its values, masters come together, and quick plugins are many in a second.
const BURST: u32 = 100;
const EACH: u32 = 8;
const REFILL: Duration = Duration::from_millis(50);
/// As munin-node has it: what plugins of one group write, each of them may write.
const UMASK: u16 = 0o002;
/// What one process of a plugin may have of memory: far more than any needs, far less than would make the host worse.
const MEMORY: u64 = 1 << 30;
/// Between asking a plugin to end and ending it.
const GRACE: Duration = Duration::from_secs(2);
/// Messages heard in one turn, and in one second: more than masters ever cause. A door that says more is not listened to until
/// the second is over, so that one which somebody has taken over cannot keep core busy.
const BATCH: usize = 32;
const WORDS: u32 = 1000;
const WHILE: Duration = Duration::from_secs(1);

/// What the owner wants of the plugins of others.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Kitchen {
    pub specs: Vec<GuestSpec>,
    /// Where plugins keep what they remember, a directory for each account.
    pub state: String,
    /// The node's name.
    pub host: String,
}

/// The line to the door and what runs.
#[derive(Default)]
pub struct Guests {
    line: Option<Line>,
    running: Vec<Running>,
    /// Starts that are left, and how many may be.
    starts: u32,
    burst: u32,
    refilled: Duration,
    /// Messages heard since then.
    heard: (u32, Duration),
    deaf_until: Option<Duration>,
}

struct Running {
    ticket: u32,
    /// Which plugin of the list; of the list of the door before, none.
    guest: Option<u16>,
    process: Pidfd,
    report: Option<Report>,
    deadline: Duration,
    /// The door has been told that it took too long, or there is a new door.
    is_late: bool,
}

impl Guests {
    /// Makes the line for a new door and gives its end; what ran for the last one is ended.
    pub fn open(&mut self, kitchen: &Kitchen, poller: &Poller, mono: Duration) -> std::io::Result<Option<Line>> {
        self.close(poller);
        if kitchen.specs.is_empty() {
            return Ok(None);
        }
        let (ours, theirs) = Line::pair()?;
        poller.add(&ours, Token::Guests.pack(), Interest::Read)?;
        self.burst = u32::try_from(kitchen.specs.len()).unwrap_or(0).saturating_mul(EACH).saturating_add(BURST);
        (self.line, self.starts, self.refilled) = (Some(ours), self.burst, mono);
        (self.heard, self.deaf_until) = ((0, mono), None);
        for (name, uid, _) in kitchen.specs.iter().filter_map(|spec| spec.account.as_ref()) {
            // A plugin whose directory cannot be made says so itself, when it needs it.
            let _ = files::dir_for(std::path::Path::new(&kitchen.state), name, *uid);
        }
        Ok(Some(theirs))
    }

    /// Ends everything that runs, at once.
    pub fn close(&mut self, poller: &Poller) {
        if let Some(line) = self.line.take() {
            poller.remove(&line);
        }
        for running in &mut self.running {
            let _ = running.process.send_group(libc::SIGKILL);
            (running.is_late, running.guest) = (true, None);
        }
    }

    /// Hears what the door wants.
    pub fn on_ready(&mut self, kitchen: &Kitchen, poller: &Poller, mono: Duration) {
        for _ in 0..BATCH {
            let mut bytes = [0; Call::LEN + 1];
            let Some(line) = &self.line else { return };
            if !may_hear(&mut self.heard, mono) {
                poller.remove(line);
                self.deaf_until = Some(self.heard.1 + WHILE);
                return;
            }
            match line.hear_words(&mut bytes) {
                Ok(0) => return self.close(poller),
                Ok(len) => {
                    if let Some(call) = bytes.get(..len).and_then(Call::from_bytes) {
                        self.answer(call, kitchen, mono);
                    }
                }
                Err(_) => return,
            }
        }
    }

    fn answer(&mut self, call: Call, kitchen: &Kitchen, mono: Duration) {
        let running = self.running.iter().map(|running| (running.guest, running.is_late));
        let has_room = has_room(running, call.guest);
        let spec = kitchen.specs.get(usize::from(call.guest)).filter(|_| has_room && self.may_start(mono));
        let is_started = spec.is_some_and(|spec| self.start(call, spec, kitchen, mono).is_ok());
        if !is_started {
            self.say(call.ticket, Fortune::Refused);
        }
    }

    /// Takes one start out of the allowance.
    fn may_start(&mut self, mono: Duration) -> bool {
        while self.refilled + REFILL <= mono && self.starts < self.burst {
            self.refilled += REFILL;
            self.starts += 1;
        }
        if self.starts == self.burst {
            self.refilled = mono;
        }
        let may = self.starts > 0;
        self.starts -= u32::from(may);
        may
    }

    fn start(&mut self, call: Call, spec: &GuestSpec, kitchen: &Kitchen, mono: Duration) -> Result<(), Fault> {
        let system = |what| move |error| Fault::System { what, error };
        let launch = Launch {
            env: environment::of(spec, kitchen, call),
            setting: Some(Box::new(Setting {
                umask: Some(UMASK),
                rlimits: vec![spawn::memory_limit(MEMORY)],
                ..Setting::default()
            })),
            ..Launch::new(Command::Exec(words(spec, call.ask)))
        };
        let mut plan = Plan::prepare(&launch, Output::Answer)?;
        if let Some((_, uid, groups)) = &spec.account {
            plan.set_ids(*uid, groups);
        }
        let held = spawn::hold(plan)?;
        let process = Pidfd::open(held.pid()).map_err(system("watch the plugin"))?;
        let running = held.release().map_err(system("let the plugin go"))?;
        let handed = self.line.as_ref().zip(running.output.as_ref()).map(|(line, output)| {
            line.hand_over(&Word { ticket: call.ticket, fortune: Fortune::Started }.to_bytes(), output.as_fd())
        });
        if !matches!(handed, Some(Ok(()))) {
            let _ = process.send_group(libc::SIGKILL);
        }
        let deadline = mono + spec.timeout;
        self.running.push(Running {
            ticket: call.ticket,
            guest: Some(call.guest),
            process,
            report: Some(running.report),
            deadline,
            is_late: false,
        });
        Ok(())
    }

    fn say(&self, ticket: u32, fortune: Fortune) {
        // A door that does not listen is as good as dead; its successor asks again.
        let _ = self.line.as_ref().map(|line| line.say(&Word { ticket, fortune }.to_bytes()));
    }

    /// A child has ended. True when it was one of ours.
    pub fn on_child(&mut self, pid: i32, ending: Ending) -> bool {
        let Some(place) = self.running.iter().position(|running| running.process.pid() == pid) else { return false };
        let mut running = self.running.swap_remove(place);
        if !running.is_late {
            let is_program = running.report.take().and_then(Report::read).is_none();
            let is_well = is_program && ending == Ending::Exit(0);
            self.say(running.ticket, if is_well { Fortune::Ended } else { Fortune::Failed });
        }
        true
    }

    /// When the next plugin has had enough time, or the door is listened to again.
    pub fn deadline(&self) -> Option<Duration> {
        self.running.iter().map(|running| running.deadline).chain(self.deaf_until).min()
    }

    /// Ends plugins that take too long: asks first, then does not ask. The door is told at once.
    pub fn expire(&mut self, mono: Duration, poller: &Poller) {
        if self.deaf_until.take_if(|until| *until <= mono).is_some()
            && let Some(line) = &self.line
        {
            let _ = poller.add(line, Token::Guests.pack(), Interest::Read);
        }
        let mut late = heapless::Vec::<u32, RUNNING>::new();
        for running in self.running.iter_mut().filter(|running| running.deadline <= mono) {
            let signal = if running.is_late { libc::SIGKILL } else { libc::SIGHUP };
            let _ = running.process.send_group(signal);
            if !std::mem::replace(&mut running.is_late, true) {
                let _ = late.push(running.ticket);
            }
            running.deadline = mono + GRACE;
        }
        late.iter().for_each(|ticket| self.say(*ticket, Fortune::TimedOut));
    }
}

/// Whether one more may run. Those that took too long and cannot be ended (a file server hangs) are in nobody's way, but their plugins are not
/// started once more.
fn has_room(running: impl Iterator<Item = (Option<u16>, bool)>, guest: u16) -> bool {
    let mut on_time = 0;
    for (other, is_late) in running {
        if is_late && other == Some(guest) {
            return false;
        }
        on_time += usize::from(!is_late);
    }
    on_time < RUNNING
}

/// Takes one message out of what may be heard in a while.
fn may_hear((heard, since): &mut (u32, Duration), mono: Duration) -> bool {
    if *since + WHILE <= mono {
        (*heard, *since) = (0, mono);
    }
    *heard += 1;
    *heard <= WORDS
}

/// The words of the command.
fn words(spec: &GuestSpec, ask: GuestAsk) -> Vec<String> {
    let argument = if ask == GuestAsk::Fetch { None } else { Some("config") };
    let mut words = Vec::new();
    for word in &spec.words {
        if word == "%c" {
            words.extend([spec.path.as_str()].into_iter().chain(argument).map(str::to_owned));
        } else {
            words.push(word.clone());
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::epoll::Events;

    pub fn spec(words: &[&str]) -> GuestSpec {
        GuestSpec {
            name: "foo_bar".to_owned(),
            words: words.iter().map(|word| (*word).to_owned()).collect(),
            path: "/p/foo_bar".to_owned(),
            account: None,
            variables: vec![("PATH".to_owned(), "/x".to_owned()), ("a".to_owned(), "1".to_owned())],
            timeout: Duration::from_secs(60),
            host_name: None,
        }
    }

    #[test]
    fn a_plugin_is_asked_by_its_argument() {
        for (given, ask, expect) in [
            (&["%c"][..], GuestAsk::Fetch, "/p/foo_bar"),
            (&["%c"], GuestAsk::Config, "/p/foo_bar config"),
            (&["/bin/sh", "%c"], GuestAsk::Dirty, "/bin/sh /p/foo_bar config"),
            (&["nice", "-n", "5", "%c", "x"], GuestAsk::Fetch, "nice -n 5 /p/foo_bar x"),
        ] {
            assert_eq!(words(&spec(given), ask).join(" "), expect);
        }
    }

    #[test]
    fn a_door_that_says_too_much_is_not_listened_to_for_a_while() {
        let kitchen = Kitchen { specs: vec![spec(&["/nonexistent"])], ..Kitchen::default() };
        let (poller, mut events, mut guests) = (Poller::new().expect("an epoll"), Events::default(), Guests::default());
        let mut mono = Duration::from_secs(100);
        let door = guests.open(&kitchen, &poller, mono).expect("a line can be made").expect("there is a plugin");
        let wakes = |guests: &mut Guests, events: &mut Events, mono| {
            let mut turns = 0;
            loop {
                // Garbage, plugins that are not there, words cut short: as much as the line takes.
                for round in 0.. {
                    let call = Call { ticket: 1, guest: u16::MAX, ask: GuestAsk::Fetch, peer: None }.to_bytes();
                    let words: [&[u8]; 4] = [&call, &[0xff; 24], &[0; 200], &call[..7]];
                    if door.say(words[round % words.len()]).is_err() {
                        break;
                    }
                }
                // What it is told it does not read, as a hostile door would not.
                poller.wait(events, Some(Duration::ZERO)).expect("it waits");
                if events.iter().count() == 0 || turns > 10 * WORDS {
                    return turns;
                }
                guests.on_ready(&kitchen, &poller, mono);
                turns += 1;
            }
        };
        for _ in 0..3 {
            let turns = wakes(&mut guests, &mut events, mono);
            assert!((1..=WORDS).contains(&turns), "{turns} turns in a second");
            assert_eq!(guests.deadline(), Some(mono + WHILE));
            mono += WHILE;
            guests.expire(mono, &poller);
        }
        drop(door);
        poller.wait(&mut events, Some(Duration::ZERO)).expect("it waits");
        assert_eq!(events.iter().count(), 1, "it is listened to again, and its end is heard");
    }

    #[test]
    fn plugins_that_cannot_be_ended_are_in_nobodys_way() {
        let full = || (0..16).map(|guest| (Some(guest), false));
        let stuck = || (0..40).map(|guest| (Some(guest), true));
        assert!(!has_room(full(), 50) && has_room(full().skip(1), 50));
        assert!(has_room(stuck(), 50) && has_room(stuck().chain(full().skip(1)), 50));
        assert!(!has_room(stuck(), 7) && !has_room(stuck().chain(full()), 50));
        assert!(has_room(stuck().map(|(_, is_late)| (None, is_late)), 7), "those of the last door are forgotten");
    }

    #[test]
    fn starts_are_rationed() {
        let mut guests = Guests { starts: BURST, burst: BURST, ..Guests::default() };
        let start = Duration::from_secs(100);
        let count = |guests: &mut Guests, mono| (0..1000).filter(|_| guests.may_start(mono)).count();
        assert_eq!(count(&mut guests, start), 100);
        assert_eq!(count(&mut guests, start + Duration::from_secs(1)), 20);
        assert_eq!(count(&mut guests, start + Duration::from_secs(3600)), 100);
    }
}
