//! Classes that nothing here decides: somebody set them by hand, or the output of a command did.
//!
//! A name is true from when it was given until its time is over or it is taken back. It never takes the place of a class
//! that the policy or watchd itself defines: [`Classes::owner`](super::Classes::owner) tells those. Bounded; a host on which
//! nothing is set holds no memory for it.

use std::time::Duration;

use heapless::String as Short;
use watchd_probes::Now;

/// How many may be given at once, of all givers together.
pub const MOST_GIVEN: usize = 64;
/// The longest name, which is what a row of the board holds.
pub const LONGEST_GIVEN: usize = 54;

/// Who gave a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Giver {
    /// A person, over the control socket; the account, where that was written down.
    Hand(Option<u32>),
    /// A command: the hash of its id, which outlives a new policy.
    Command(u64),
}

impl Giver {
    pub const fn is_hand(self) -> bool {
        matches!(self, Self::Hand(_))
    }
}

/// One class that was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GivenClass {
    pub name: Short<LONGEST_GIVEN>,
    pub giver: Giver,
    /// Since 1970.
    pub since: Duration,
    /// When it ends, on both clocks; none lasts until it is taken back.
    pub until: Option<Now>,
}

/// Why a class is not given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotGiven {
    /// It is not made of letters, digits and `_`, or is too long.
    Name,
    TooMany,
}

/// All of them.
#[derive(Clone, Debug, Default)]
pub struct Given(Vec<GivenClass>);

impl Given {
    pub fn contains(&self, name: &str) -> bool {
        self.0.iter().any(|given| given.name == name)
    }

    pub fn iter(&self) -> impl Iterator<Item = &GivenClass> {
        self.0.iter()
    }

    /// Gives a class, or another end to one that is given already, which keeps its beginning.
    pub fn give(&mut self, name: &str, giver: Giver, until: Option<Now>, now: Now) -> Result<(), NotGiven> {
        let whole = Short::try_from(name).ok().filter(|_| is_class_name(name)).ok_or(NotGiven::Name)?;
        if let Some(known) = self.0.iter_mut().find(|given| given.name == name) {
            (known.giver, known.until) = (giver, until);
            return Ok(());
        }
        self.restore(GivenClass { name: whole, giver, since: now.wall, until })
    }

    /// Takes up one that was remembered.
    pub fn restore(&mut self, given: GivenClass) -> Result<(), NotGiven> {
        if self.0.len() >= MOST_GIVEN {
            return Err(NotGiven::TooMany);
        }
        self.0.push(given);
        Ok(())
    }

    /// Takes a class back; says whether it was given.
    pub fn take_back(&mut self, name: &str) -> bool {
        let before = self.0.len();
        self.0.retain(|given| given.name != name);
        self.0.len() != before
    }

    /// Takes back the first that `chosen` names; gives it. For those who want to tell of each.
    pub fn take_first(&mut self, chosen: impl Fn(&GivenClass) -> bool) -> Option<GivenClass> {
        self.0.iter().position(chosen).map(|place| self.0.remove(place))
    }

    /// When the next one ends, monotonic.
    pub fn deadline(&self) -> Option<Duration> {
        self.0.iter().filter_map(|given| given.until).map(|until| until.mono).min()
    }
}

/// Whether a text can be the name of a class that is given.
pub fn is_class_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    (1..=LONGEST_GIVEN).contains(&text.len()) && text.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Now {
        Now { mono: Duration::from_secs(seconds), wall: Duration::from_secs(1_000_000 + seconds) }
    }

    #[test]
    fn what_is_given_again_keeps_its_beginning_and_gets_the_new_end() {
        let mut given = Given::default();
        assert_eq!(given.give("quiet", Giver::Hand(None), Some(at(60)), at(0)), Ok(()));
        assert_eq!(given.give("quiet", Giver::Hand(None), Some(at(90)), at(30)), Ok(()));
        assert_eq!(given.deadline(), Some(at(90).mono));
        let only = given.iter().next().expect("it is given");
        assert_eq!((only.since, only.until), (at(0).wall, Some(at(90))));
        assert!(given.take_back("quiet") && !given.take_back("quiet"));
        assert_eq!(given.deadline(), None);
    }

    #[test]
    fn names_and_numbers_are_bounded() {
        let mut given = Given::default();
        let long = "x".repeat(LONGEST_GIVEN + 1);
        for bad in ["", "a b", "a-b", "é", "a.b", long.as_str()] {
            assert_eq!(given.give(bad, Giver::Hand(None), None, at(0)), Err(NotGiven::Name), "{bad}");
        }
        for number in 0..MOST_GIVEN {
            assert_eq!(given.give(&format!("c{number}"), Giver::Command(1), None, at(0)), Ok(()));
        }
        assert_eq!(given.give("more", Giver::Hand(None), None, at(0)), Err(NotGiven::TooMany));
        assert_eq!(given.give("c7", Giver::Hand(None), None, at(0)), Ok(()), "one that is there already needs no room");
    }
}
