//! Classes that people set: carried out for the control socket, remembered in the file `classes` of the state directory.
//!
//! Within a boot the end of a class is counted on the clock that nobody sets; after a boot on the calendar, but a class never
//! lasts longer than it was set for, whatever the calendar says. What cannot be written counts all the same and is tried
//! again each cycle.

use std::io;
use std::time::Duration;

use watchd_probes::Now;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::control::{Reply, Request, Verb};
use super::core::Core;
use super::notes::Notes;
use super::policy::spoken;
use crate::classes::{Given, GivenClass, Giver, NotGiven, canonify};
use crate::model::{EventKind, Places};
use crate::store::board::{fixed, text};
use crate::store::twin::Twin;
use crate::sys::files;

const KIND: [u8; 16] = *b"watchd classes 1";
/// How many people may set at once.
const ROWS: usize = 32;

/// One class as it is remembered; times in milliseconds.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Row {
    name: [u8; 56],
    /// The account of who set it, and one; 0 when that is not known, as in files of earlier versions.
    by: u32,
    _spare: u32,
    since_wall: u64,
    /// Both 0 when it lasts until it is cleared.
    until_wall: u64,
    until_mono: u64,
    boot: [u8; 40],
}

/// The file, and whether it holds what is set.
pub struct ByHand {
    places: Places,
    boot: [u8; 40],
    twin: Option<Twin>,
    is_written: bool,
    /// That it cannot be written was told.
    is_told: bool,
}

impl ByHand {
    /// Opens the file and gives what was set before; a guest makes none.
    pub fn open(places: &Places, (boot, is_guest): ([u8; 40], bool), now: Now, notes: &mut Notes) -> (Self, Given) {
        let mut own = Self { places: places.clone(), boot, twin: None, is_written: true, is_told: false };
        let mut given = Given::default();
        if is_guest && !places.classes().exists() {
            return (own, given);
        }
        match own.try_open(notes) {
            Ok(Some(block)) => {
                for row in block.chunks_exact(size_of::<Row>()).filter_map(|bytes| Row::read_from_bytes(bytes).ok()) {
                    if let Some(class) = row.recall(&boot, now) {
                        // A file has fewer rows than there is room for.
                        let _ = given.restore(class);
                    }
                }
            }
            Ok(None) => {}
            Err(error) => own.lose(&error, notes),
        }
        (own, given)
    }

    pub fn is_writable(&self) -> bool {
        self.is_written
    }

    fn try_open(&mut self, notes: &mut Notes) -> io::Result<Option<Vec<u8>>> {
        let (twin, found) = Twin::open(&self.places.classes(), KIND, ROWS * size_of::<Row>())?;
        self.twin = Some(twin);
        if let Some(aside) = found.aside {
            let text = format!("the classes set by hand were damaged; they are kept as {}", aside.display());
            notes.add(EventKind::StateDamaged, "classes", &text);
        }
        Ok(found.block)
    }

    /// Writes down what is set by hand now.
    fn save(&mut self, given: &Given, notes: &mut Notes) {
        let mut block = vec![0; ROWS * size_of::<Row>()];
        let by_hand = given.iter().filter(|class| class.giver.is_hand());
        for (bytes, class) in block.chunks_exact_mut(size_of::<Row>()).zip(by_hand) {
            bytes.copy_from_slice(Row::of(class, self.boot).as_bytes());
        }
        if self.twin.is_none()
            && let Err(error) = self.try_open(notes)
        {
            return self.lose(&error, notes);
        }
        match self.twin.as_mut().map(|twin| twin.write(&block)) {
            Some(Err(error)) => self.lose(&error, notes),
            _ if self.is_told => {
                (self.is_written, self.is_told) = (true, false);
                notes.add(EventKind::StateWritable, "classes", "the classes set by hand are written again");
            }
            _ => self.is_written = true,
        }
    }

    fn lose(&mut self, error: &io::Error, notes: &mut Notes) {
        self.is_written = false;
        if !std::mem::replace(&mut self.is_told, true) {
            let text = format!("cannot write down the classes set by hand: {error}");
            notes.add(EventKind::StateUnwritable, "classes", &text);
        }
    }
}

impl Row {
    fn of(class: &GivenClass, boot: [u8; 40]) -> Self {
        let (mono, wall) = class.until.map_or((0, 0), |until| (millis(until.mono), millis(until.wall)));
        let since_wall = millis(class.since);
        let by = match class.giver {
            Giver::Hand(Some(uid)) => uid.wrapping_add(1),
            _ => 0,
        };
        Self { name: fixed(&class.name), by, _spare: 0, since_wall, until_wall: wall, until_mono: mono, boot }
    }

    /// The class, unless its time is over or the row is free.
    fn recall(&self, boot: &[u8; 40], now: Now) -> Option<GivenClass> {
        let name = heapless::String::try_from(text(&self.name)).ok().filter(|name| !name.is_empty())?;
        let since = Duration::from_millis(self.since_wall);
        let giver = Giver::Hand(self.by.checked_sub(1));
        let class = |until| GivenClass { name, giver, since, until };
        if self.until_wall == 0 {
            return Some(class(None));
        }
        let wall = Duration::from_millis(self.until_wall);
        let left = if self.boot == *boot {
            Duration::from_millis(self.until_mono).checked_sub(now.mono)?
        } else {
            wall.checked_sub(now.wall)?.min(wall.saturating_sub(since))
        };
        (!left.is_zero()).then(|| class(Some(later(now, left))))
    }
}

/// By whom, for people.
fn whose_hand(uid: Option<u32>) -> String {
    uid.map_or_else(|| "by hand".to_owned(), |uid| format!("by hand, uid {uid}"))
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn later(now: Now, by: Duration) -> Now {
    Now { mono: now.mono.saturating_add(by), wall: now.wall.saturating_add(by) }
}

impl Core {
    /// `class-set` and `class-clear`.
    pub(super) fn order_class(&mut self, request: &Request<'_>, uid: Option<u32>) -> (Reply, String) {
        let name = canonify(request.name);
        if request.verb == Verb::ClassClear {
            let taken = self.judgement.classes.given.take_back(&name);
            if !taken {
                return (Reply::NoSuchName, format!("cannot clear {name}: nobody has set it"));
            }
            self.changed_classes();
            self.notes.add(EventKind::ClassCleared, &name, &whose_hand(uid));
            return (Reply::Ok, format!("{name} is cleared"));
        }
        if let Some(kind) = self.owner_of(&name) {
            return (Reply::Failed, format!("cannot set {name}: it is a {kind} class, which watchd itself decides"));
        }
        let is_known = self.judgement.classes.given.contains(&name);
        let by_hand = self.judgement.classes.given.iter().filter(|class| class.giver.is_hand()).count();
        let until = request.lasts.map(|lasts| later(self.now, lasts));
        let given = if by_hand >= ROWS && !is_known {
            Err(NotGiven::TooMany)
        } else {
            self.judgement.classes.given.give(&name, Giver::Hand(uid), until, self.now)
        };
        match given {
            Err(NotGiven::Name) => (Reply::BadRequest, format!("cannot set {name}: it is no name of a class")),
            Err(NotGiven::TooMany) => {
                (Reply::Failed, format!("cannot set {name}: {ROWS} are set already; clear one of them"))
            }
            Ok(()) => {
                let lasts = request.lasts.map(|time| format!("for {}", spoken(time)));
                let lasts = lasts.unwrap_or_else(|| "until it is cleared".to_owned());
                self.notes.add(EventKind::ClassSet, &name, &format!("{}, {lasts}", whose_hand(uid)));
                self.changed_classes();
                let lost = if self.by_hand.is_writable() {
                    ""
                } else {
                    "; it cannot be written down, so a restart forgets it"
                };
                let unasked = match self.judgement.classes.asked(&name) {
                    Ok(()) => String::new(),
                    Err(None) => "; no condition of the policy asks for it".to_owned(),
                    Err(Some(near)) => format!("; no condition of the policy asks for it, the nearest is `{near}`"),
                };
                (Reply::Ok, format!("{name} is set {lasts}{lost}{unasked}"))
            }
        }
    }

    /// What decides a class of this name, if anything here does.
    fn owner_of(&self, name: &str) -> Option<crate::model::ClassKind> {
        let (services, agent, now) = (&self.services, &self.judgement.agent, self.now);
        self.judgement.classes.owner(name, &|service| services.fact(service, now).map(|fact| fact.id), &|promise| {
            agent.promises().get(promise).map(crate::agent::Promise::prefix)
        })
    }

    fn changed_classes(&mut self) {
        self.by_hand.save(&self.judgement.classes.given, &mut self.notes);
        self.is_stirred = true;
    }

    /// Ends the classes whose time is over.
    pub(super) fn expire_classes(&mut self) {
        if self.manner.is_guest() {
            return;
        }
        let mono = self.now.mono;
        let is_over = |class: &GivenClass| class.until.is_some_and(|until| until.mono <= mono);
        let mut by_hand = false;
        while let Some(class) = self.judgement.classes.given.take_first(is_over) {
            by_hand |= class.giver.is_hand();
            self.is_stirred = true;
            self.notes.add(EventKind::ClassCleared, &class.name, "its time is over");
        }
        if by_hand {
            self.changed_classes();
        }
    }

    /// Writes what could not be written before.
    pub(super) fn retry_classes(&mut self) {
        if self.by_hand.twin.as_ref().is_some_and(Twin::is_removed) {
            self.by_hand.twin = None;
            self.by_hand.lose(&files::removed(), &mut self.notes);
        }
        if !self.by_hand.is_writable() {
            self.by_hand.save(&self.judgement.classes.given, &mut self.notes);
        }
    }
}

#[cfg(test)]
mod tests {
    use zerocopy::FromZeros;

    use super::*;

    fn at(mono: u64, wall: u64) -> Now {
        Now { mono: Duration::from_secs(mono), wall: Duration::from_secs(wall) }
    }

    #[test]
    fn an_end_is_counted_on_the_clock_that_can_be_trusted() {
        let mut given = Given::default();
        given.give("quiet", Giver::Hand(Some(1000)), Some(at(1_600, 10_600)), at(1_000, 10_000)).expect("a name");
        let row = Row::of(given.iter().next().expect("it is given"), [1; 40]);
        for (claim, boot, now, left) in [
            ("a while later", 1, at(1_200, 10_200), Some(400)),
            ("the calendar was set back", 1, at(1_200, 5), Some(400)),
            ("the calendar was set forward", 1, at(1_200, 99_999), Some(400)),
            ("its time is over", 1, at(1_600, 10_600), None),
            ("after a boot", 2, at(7, 10_200), Some(400)),
            ("after a long boot", 2, at(7, 10_601), None),
            ("after a boot without a clock", 2, at(7, 5), Some(600)),
        ] {
            let class = row.recall(&[boot; 40], now);
            let giver = class.as_ref().map(|class| class.giver);
            assert!(giver.is_none_or(|giver| giver == Giver::Hand(Some(1000))), "{claim}: {giver:?}");
            let until = class.map(|class| class.until.expect("it has an end"));
            assert_eq!(until.map(|until| until.mono - now.mono), left.map(Duration::from_secs), "{claim}");
        }
        assert!(Row::new_zeroed().recall(&[0; 40], at(0, 0)).is_none(), "a free row");
        let old = Row { name: fixed("quiet"), ..Row::new_zeroed() };
        assert_eq!(old.recall(&[0; 40], at(0, 0)).map(|class| class.giver), Some(Giver::Hand(None)), "of version 1");
        assert_eq!(size_of::<Row>(), 128);
    }
}
