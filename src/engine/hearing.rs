//! What commands tell by their output: `+NAME` gives a class, `-NAME` takes it, `=MEASURE NUMBER` tells a measure.
//!
//! ```text
//! +backlog
//! =queue 1200
//! everything else is for people
//! ```
//! A run says all of it: what it does not give is not so, and a run that fails gives nothing. Only classes that the policy lists for
//! this command and measures that name it are taken; all of it ends by itself when the command is not run any more.

use std::time::Duration;

use super::core::Core;
use super::errands::{Done, HEARD};
use crate::agent::{CommandEnd, Promise, Report, Work};
use crate::classes::{GivenClass, Giver};
use crate::model::{EventKind, Marks, MeasureWork, Now, Outcome, Source};
use crate::store::locks::key;

/// What a command has told lasts for so many of its intervals, and not less than this.
const INTERVALS: u32 = 3;
const LEAST: Duration = Duration::from_secs(600);

/// What is in an output.
#[derive(Debug, Default, PartialEq)]
struct Heard<'a> {
    classes: Vec<&'a str>,
    numbers: Vec<(&'a str, f64)>,
    /// Lines that begin like these and are none, or name what this command may not give.
    odd: Vec<&'a str>,
}

/// Reads an output. Pure.
fn parse<'a>(output: &'a str, may_give: &dyn Fn(&str) -> bool, may_tell: &dyn Fn(&str) -> bool) -> Heard<'a> {
    let mut heard = Heard::default();
    // A last line that was cut by the bound must not be taken for a whole one.
    let whole = output.rsplit_once('\n').map_or("", |(whole, _)| whole);
    for line in whole.lines().map(str::trim_end) {
        let Some((sign, rest)) = line.split_at_checked(1) else { continue };
        match sign {
            "+" if may_give(rest) && !heard.classes.contains(&rest) => heard.classes.push(rest),
            "+" if may_give(rest) => {}
            "-" if may_give(rest) => heard.classes.retain(|given| *given != rest),
            "=" => {
                match rest.split_once([' ', '=']).map(|(name, number)| (name, super::tending::number(number.trim()))) {
                    Some((name, Some(number))) if may_tell(name) => {
                        heard.numbers.retain(|(known, _)| *known != name);
                        heard.numbers.push((name, number));
                    }
                    _ => heard.odd.push(line),
                }
            }
            "+" | "-" if is_name(rest) => heard.odd.push(line),
            _ => {}
        }
    }
    heard
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

impl Core {
    /// Takes what the program of a command has told.
    pub(super) fn hear(&mut self, place: usize, done: &Done) {
        let agent = &self.judgement.agent;
        let Some(promise) = agent.promises().get(place) else { return };
        let Work::Command(command) = &promise.work else { return };
        if !command.is_heard() {
            return;
        }
        let is_asked = |(_, measure): &(usize, &Promise)| matches!(&measure.work, Work::Measure(MeasureWork { source: Source::Told(by), .. }) if *by == promise.id);
        let measures: Vec<(usize, String)> =
            agent.promises().iter().enumerate().filter(is_asked).map(|(at, it)| (at, it.id.clone())).collect();
        let has_worked = match done.end {
            CommandEnd::Exit(status) => {
                command.kept.iter().chain(&command.repaired).any(|known| i32::from(*known) == status)
            }
            _ => false,
        };
        let output = String::from_utf8_lossy(if has_worked { &done.output } else { &[] }).into_owned();
        let may_give = |name: &str| command.classes.iter().any(|class| class == name);
        let may_tell = |name: &str| measures.iter().any(|(_, id)| id == name);
        let heard = parse(&output, &may_give, &may_tell);
        let (id, lasts) = (promise.id.clone(), (promise.every * INTERVALS).max(LEAST));
        let until = Now { mono: self.now.mono + lasts, wall: self.now.wall + lasts };
        // The same output again is no news.
        let is_news = agent.words(place) != done.text.trim();
        if let Some(odd) = heard.odd.first().filter(|_| is_news) {
            let text = format!("its output says `{odd}`, which it may not, or which is no such line");
            self.notes.add(EventKind::Trouble, &id, &text);
        }
        if output.len() >= HEARD && is_news {
            let text = format!("its output is longer than {HEARD} bytes; what comes after them is not heard");
            self.notes.add(EventKind::Trouble, &id, &text);
        }
        self.give_classes(&id, &heard.classes, until);
        for (measure, name) in measures {
            let number = heard.numbers.iter().find(|(known, _)| *known == name).map(|(_, number)| *number);
            let outcome = if number.is_some() { Outcome::Kept } else { Outcome::Unknown };
            let figures = [number.unwrap_or(f64::NAN), f64::NAN];
            self.judgement.agent.told_until(measure, until.mono);
            self.tell(measure, &Report { outcome, marks: Marks::default(), figures, text: "", is_deed: false });
        }
    }

    /// What this command gives now, and nothing else of what it gave before.
    fn give_classes(&mut self, id: &str, names: &[&str], until: Now) {
        let giver = Giver::Command(key("command", id));
        let given = &mut self.judgement.classes.given;
        let is_over = |class: &GivenClass| class.giver == giver && !names.contains(&class.name.as_str());
        while let Some(class) = given.take_first(is_over) {
            self.notes.add(EventKind::ClassCleared, &class.name, &format!("command {id} does not give it any more"));
        }
        for name in names {
            // What a person has set is the person's.
            if given.iter().any(|class| class.name == *name && class.giver != giver) {
                continue;
            }
            let is_new = !given.contains(name);
            match given.give(name, giver, Some(until), self.now) {
                Ok(()) if is_new => self.notes.add(EventKind::ClassSet, name, &format!("by command {id}")),
                Ok(()) => {}
                Err(why) => {
                    let text = format!("cannot take class {name}: {why:?}");
                    self.notes.add(EventKind::Trouble, id, &text);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(output: &str) -> Heard<'_> {
        parse(output, &|name| ["full", "late"].contains(&name), &|name| ["queue", "age"].contains(&name))
    }

    #[test]
    fn lines_that_tell_something_are_taken_and_others_are_for_people() {
        let found = heard("+full\n+late\n-late\n=queue 12\n=age=0.5\n=queue 13\nfull\n -x\n--- report ---\n");
        assert_eq!(found, Heard { classes: vec!["full"], numbers: vec![("age", 0.5), ("queue", 13.0)], odd: vec![] });
    }

    #[test]
    fn what_it_may_not_say_is_odd_and_taken_by_nobody() {
        let lines = "+root\n-maintenance\n=load 3\n=queue\n=queue x\n=queue nan\n=queue 1e999\n+\n=\n";
        let found = heard(lines);
        assert_eq!((found.classes.len(), found.numbers.len()), (0, 0));
        assert_eq!(
            found.odd,
            ["+root", "-maintenance", "=load 3", "=queue", "=queue x", "=queue nan", "=queue 1e999", "="]
        );
    }

    #[test]
    fn a_cut_line_is_none() {
        let whole = "+full\n=queue 1200\n";
        for end in 0..whole.len() {
            let found = heard(&whole[..end]);
            assert!(found.numbers.is_empty(), "cut at {end}: {found:?}");
            assert_eq!(found.classes.is_empty(), end < 6, "cut at {end}");
        }
    }
}
