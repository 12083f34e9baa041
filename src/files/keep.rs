//! `[file.ID]`: one file as it was promised. Looks, decides, acts when it may, and looks again.

use std::path::Path;

use super::diff;
use super::edit;
use super::fault::Fault;
use super::memory::Memory;
use super::swap::{self, Rights};
use super::target::{Found, Target};
use super::watch::{self, Seen};
use crate::model::{Content, FileWork, Mark, Marks, Outcome, Tended};
use crate::sys::{accounts, tree, trust};

/// A difference is kept up to this size.
const DIFF: usize = 4 << 10;
/// How often a race is run in one pass.
const TRIES: usize = 3;

/// One promise and what it needs.
pub struct Task<'a> {
    pub id: &'a str,
    pub work: &'a FileWork,
    /// Nothing is changed, only said.
    pub is_dry: bool,
    pub memory: &'a Memory,
    /// Fills in the names of a template.
    pub render: &'a dyn Fn(&str) -> Result<String, String>,
}

/// What was found wrong, and done about it.
#[derive(Default)]
struct Done {
    acted: bool,
    told: Vec<String>,
    diff: String,
}

/// The text there is, and the text there is to be.
#[derive(Default)]
struct Texts {
    old: Vec<u8>,
    new: Vec<u8>,
}

/// Keeps the promise as far as it can be kept.
pub fn keep(task: &Task<'_>) -> Tended {
    let changed = if task.work.watch { watched(task) } else { Ok((false, String::new())) };
    let mut tries = 0;
    let done = loop {
        tries += 1;
        match task.attempt() {
            Err(Fault::Raced { .. }) if tries < TRIES => {}
            other => break other,
        }
    };
    let (is_changed, seen) = match changed {
        Ok(changed) => changed,
        Err(fault) => return Tended::new(fault.outcome(), fault.to_string()),
    };
    let mut tended = match done {
        Err(fault) => Tended::new(fault.outcome(), fault.to_string()),
        Ok(done) => {
            let outcome = match (done.told.is_empty(), done.acted) {
                (true, _) => Outcome::Kept,
                (false, true) => Outcome::Repaired,
                (false, false) => Outcome::Would,
            };
            if !done.diff.is_empty() {
                let _ = task.memory.write(&format!("{}.diff", task.id), done.diff.as_bytes());
            }
            Tended::new(outcome, done.told.join(", "))
        }
    };
    if task.work.watch && tended.outcome == Outcome::Repaired {
        // What we did ourselves is no news at the next look.
        let _ = watched(task);
    }
    tended.marks = Marks::default().with(Mark::Changed, is_changed);
    if is_changed {
        let gap = if tended.text.is_empty() { "" } else { "; " };
        tended.text = format!("{seen}{gap}{}", tended.text);
    }
    tended
}

/// Compares the file with what it was, and remembers what it is. Says whether it changed, and how.
fn watched(task: &Task<'_>) -> Result<(bool, String), Fault> {
    let (row, copy) = (format!("{}.seen", task.id), format!("{}.copy", task.id));
    let known: Option<Option<Seen>> = task.memory.load(&row);
    let target = Target::open(&task.work.path)?;
    let found = target.find()?;
    let before = known.as_ref().and_then(Option::as_ref);
    let now = found.as_ref().map(|found| watch::look(&target, found, before)).transpose()?;
    if known.as_ref() == Some(&now) {
        return Ok((false, String::new()));
    }
    let mut told = match (before, &now) {
        (Some(before), Some(now)) => watch::compare(before, now),
        (Some(_), None) => vec!["it is gone".to_owned()],
        (None, Some(_)) if known.is_some() => vec!["it is there".to_owned()],
        (None, _) => Vec::new(),
    };
    let is_new_text = known.is_none() || !told.is_empty();
    if let (Some(found), true) = (&found, is_new_text) {
        let diff = watch::difference(task.memory, &copy, (&target, found), DIFF);
        if !told.is_empty() && !diff.is_empty() {
            let is_public = |seen: Option<&Seen>| seen.is_some_and(Seen::is_public);
            let is_shown = is_public(before) && is_public(now.as_ref()) && target.is_in_the_open();
            told.push(if diff.starts_with('(') { diff.trim().to_owned() } else { in_short(&diff, is_shown) });
            let _ = task.memory.write(&format!("{}.diff", task.id), diff.as_bytes());
        }
    }
    let path = task.memory.path(&row).to_string_lossy().into_owned();
    task.memory.save(&row, &now).map_err(Fault::system("remember in", &path))?;
    Ok((!told.is_empty(), told.join(", ")))
}

/// A difference in one line. Events are read by everybody: of a file that not everybody may read they tell no line.
fn in_short(diff: &str, is_shown: bool) -> String {
    if is_shown { diff::brief(diff) } else { format!("{} (not all may read it)", diff::count(diff)) }
}

impl Task<'_> {
    fn attempt(&self) -> Result<Done, Fault> {
        let target = Target::open(&self.work.path)?;
        if !self.is_dry {
            swap::sweep(&target)?;
        }
        let found = target.find()?;
        let rights = self.rights()?;
        self.mind_set_id(found.as_ref(), rights)?;
        let mut done = Done::default();
        if let Some(Texts { old, new }) = self.texts(&target, found.as_ref())? {
            self.change(&target, (found.as_ref(), rights), (&old, &new), &mut done)?;
        }
        let found = if done.acted { target.find()? } else { found };
        match found {
            Some(found) => self.adjust(&target, &found, rights, &mut done)?,
            None if !done.told.is_empty() => {}
            None => {
                return Err(Fault::Refused {
                    path: target.path,
                    why: "there is no such file; `create = true` makes it",
                });
            }
        }
        Ok(done)
    }

    /// A set-id bit has what somebody wrote run as another: nobody else may have written it, or be able to put something else in its
    /// place.
    fn mind_set_id(&self, found: Option<&Found>, rights: Rights<'_>) -> Result<(), Fault> {
        let is_given = rights.bits.is_some_and(|bits| bits & tree::SET_ID != 0);
        if !is_given || !nix::unistd::geteuid().is_root() {
            return Ok(());
        }
        let path = self.work.path.as_str();
        let refuse = |why| Err(Fault::Refused { path: path.to_owned(), why });
        let above = Path::new(path).parent().map(trust::exposure).transpose();
        if above.map_err(Fault::system("look at the way to", path))?.flatten().is_some() {
            return refuse("others could put their own program there, and it is to have a set-id bit");
        }
        let is_foreign = |found: &Found| found.facts.uid != 0 && rights.uid.is_some_and(|uid| uid != found.facts.uid);
        if found.is_some_and(is_foreign) {
            return refuse("another account wrote it, and it is to have a set-id bit; make it anew");
        }
        Ok(())
    }

    fn rights(&self) -> Result<Rights<'_>, Fault> {
        let user = self.work.owner.as_ref().map(|name| accounts::user(name)).transpose().map_err(Fault::Account)?;
        let group = self.work.group.as_ref().map(|name| accounts::group(name)).transpose().map_err(Fault::Account)?;
        Ok(Rights { uid: user.map(|user| user.uid), gid: group, bits: self.work.bits, like: None })
    }

    /// The text there is and the text there is to be, when they differ.
    fn texts(&self, target: &Target, found: Option<&Found>) -> Result<Option<Texts>, Fault> {
        let is_new = found.is_none();
        if is_new && !self.work.create {
            return Ok(None);
        }
        if matches!(self.work.content, Content::Any) {
            return Ok(is_new.then(Texts::default));
        }
        let old = found.map(|found| target.read(found)).transpose()?.unwrap_or_default();
        let new = match &self.work.content {
            Content::Any => return Ok(None),
            Content::Edit(edit) => {
                edit::apply(edit, &old).map_err(|refusal| Fault::Text { path: target.path.clone(), refusal })?
            }
            Content::Template(text) => self.filled(text)?,
            Content::TemplateFile(path) => {
                let source = Target::open(path)?;
                let found = source.find()?;
                let missing = || Fault::Refused { path: path.clone(), why: "there is no such template" };
                let text = source.read(&found.ok_or_else(missing)?)?;
                self.filled(&String::from_utf8_lossy(&text))?
            }
        };
        Ok((is_new || old != new).then_some(Texts { old, new }))
    }

    fn filled(&self, text: &str) -> Result<Vec<u8>, Fault> {
        let filled = (self.render)(text).map_err(|why| Fault::Template { path: self.work.path.clone(), why })?;
        Ok(filled.into_bytes())
    }

    fn change(
        &self,
        target: &Target,
        (found, rights): (Option<&Found>, Rights<'_>),
        (old, new): (&[u8], &[u8]),
        done: &mut Done,
    ) -> Result<(), Fault> {
        done.diff = diff::unified(old, new, DIFF);
        let before = found.map(|found| found.facts.mode);
        let modes = [before, rights.bits.or(before)];
        let is_shown = modes.into_iter().flatten().all(watch::is_public) && target.is_in_the_open();
        let what = match done.diff.is_empty() {
            true => "it was empty or missing".to_owned(),
            false => in_short(&done.diff, is_shown),
        };
        if !self.is_dry {
            if let (Some(found), true) = (found, self.work.backup) {
                self.back_up(target, found, old)?;
            }
            swap::swap(target, found, new, rights)?;
            done.acted = true;
        }
        done.told.push(what);
        Ok(())
    }

    /// What was there stays beside it, with the same owner, rights and access list.
    fn back_up(&self, target: &Target, found: &Found, old: &[u8]) -> Result<(), Fault> {
        let copy = Target::open(&format!("{}.watchd-backup", target.path))?;
        let before = copy.find()?;
        let facts = &found.facts;
        let rights =
            Rights { uid: Some(facts.uid), gid: Some(facts.gid), bits: Some(facts.mode), like: Some(&found.file) };
        swap::swap(&copy, before.as_ref(), old, rights)
    }

    /// Owner and permission bits of a file that is there.
    fn adjust(&self, target: &Target, found: &Found, rights: Rights<'_>, done: &mut Done) -> Result<(), Fault> {
        let facts = &found.facts;
        let (uid, gid) = (rights.uid.unwrap_or(facts.uid), rights.gid.unwrap_or(facts.gid));
        let mut told = Vec::new();
        if (uid, gid) != (facts.uid, facts.gid) {
            told.push(format!("owner {}:{} to {uid}:{gid}", facts.uid, facts.gid));
            if !self.is_dry {
                tree::own(&found.file, Some(uid), Some(gid))
                    .map_err(Fault::system("change the owner of", &target.path))?;
            }
        }
        // A change of owner takes bits away: what somebody wrote must not run as somebody else.
        let as_before = if (uid, gid) == (facts.uid, facts.gid) { facts.mode } else { facts.mode & !tree::SET_ID };
        let now = tree::facts(&found.file).map_err(Fault::system("look at", &target.path))?.mode;
        let bits = rights.bits.unwrap_or(as_before);
        if bits != now || bits != facts.mode {
            told.push(format!("rights {:04o} to {bits:04o}", facts.mode));
            if !self.is_dry {
                tree::permit(&found.file, bits).map_err(Fault::system("change the rights of", &target.path))?;
            }
        }
        if told.is_empty() {
            return Ok(());
        }
        done.told.append(&mut told);
        if !self.is_dry {
            done.acted = true;
            let seen = target.dir.facts(&target.name).map_err(Fault::system("look again at", &target.path))?;
            if (seen.uid, seen.gid, seen.mode) != (uid, gid, bits) {
                return Err(Fault::Raced { path: target.path.clone() });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "keep_stories.rs"]
mod stories;
