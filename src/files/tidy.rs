//! `[file.ID]` with `in`: files that are old, large or too many are deleted or compressed, the oldest first, until there is room.
//!
//! Nothing is deleted without `delete`. Each file is looked at once more just before; what has changed since, or is open anywhere,
//! stays. Nothing outside of the directory is ever named: every step is taken from a directory that is held open.

use std::fs::File;
use std::io;

use super::census::{Census, Entry};
use super::fault::Fault;
use super::memory::Memory;
use super::sober::is_sober;
use super::swap::beside;
use crate::model::{Now, Outcome, Tended, TidyWork, Tidying};
use crate::sys::filter::filter;
use crate::sys::lease::Lease;
use crate::sys::tree::{self, Dir};

/// Files that are put away in one pass.
const MOST: u32 = 1_000;
/// Programs that compress.
const GZIP: &[&str] = &["/bin/gzip", "/usr/bin/gzip"];

/// What was done so far.
#[derive(Default)]
struct Sum {
    count: u32,
    bytes: u64,
    in_use: u32,
    /// It was not enough.
    is_short: bool,
    trouble: Option<Fault>,
    first: Option<String>,
}

pub fn tidy(work: &TidyWork, memory: &Memory, (now, is_dry): (Now, bool)) -> Tended {
    match attempt(work, memory, (now, is_dry)) {
        Ok(tended) => tended,
        Err(fault) => Tended::new(fault.outcome(), fault.to_string()),
    }
}

fn attempt(work: &TidyWork, memory: &Memory, (now, is_dry): (Now, bool)) -> Result<Tended, Fault> {
    if work.older.is_some() && !is_sober(memory, now) {
        let text = "the clock has jumped: nothing counts as old until it has run steadily for an hour";
        return Ok(Tended::new(Outcome::Unknown, text));
    }
    let mut sum = Sum::default();
    if !wants_room(work)? {
        return Ok(told(work, &sum, Outcome::Kept));
    }
    let census = Census::take(&work.dir, &work.names, work.depth)?;
    let chosen = choose(work, census.files.clone(), now);
    if is_dry || work.way == Tidying::Nothing {
        for entry in &chosen {
            sum.add(entry);
        }
        let outcome = if chosen.is_empty() { Outcome::Kept } else { Outcome::Would };
        return Ok(told(work, &sum, outcome));
    }
    let mut has_room = work.until.is_none();
    for entry in &chosen {
        if sum.count >= MOST {
            break;
        }
        if !wants_room(work)? {
            has_room = true;
            break;
        }
        match census.within(entry, |dir| put_away(work.way, dir, entry)) {
            Ok(Ok(Put::Done)) => sum.add(entry),
            Ok(Ok(Put::InUse)) => sum.in_use += 1,
            Ok(Ok(Put::Gone)) | Err(_) => {}
            Ok(Err(error)) => sum.trouble = Some(Fault::System { verb: "put away", path: entry.path(), error }),
        }
    }
    let has_room = has_room || !wants_room(work)?;
    sum.is_short = !has_room && sum.count < MOST;
    let outcome = match (&sum.trouble, sum.count + sum.in_use) {
        (Some(fault), _) => fault.outcome(),
        // Nothing is there that may go: this is as tidy as it gets, and the turn of whatever else makes room.
        (None, 0) => Outcome::Kept,
        _ if sum.is_short => Outcome::Failed,
        _ if sum.count == 0 => Outcome::Kept,
        _ => Outcome::Repaired,
    };
    Ok(told(work, &sum, outcome))
}

/// Whether there is less room than there should be; always, when nothing is said about it.
fn wants_room(work: &TidyWork) -> Result<bool, Fault> {
    let Some(until) = &work.until else { return Ok(true) };
    let used = tree::used_pct(&until.path).map_err(Fault::system("measure", &until.path))?;
    Ok(used >= f64::from(until.below))
}

/// Which of the files go, the oldest first. Pure.
fn choose(work: &TidyWork, mut files: Vec<Entry>, now: Now) -> Vec<Entry> {
    files.sort_by(|one, other| one.facts.modified.cmp(&other.facts.modified).then(one.name.cmp(&other.name)));
    let stay = usize::try_from(work.keep).unwrap_or(usize::MAX);
    files.truncate(files.len().saturating_sub(stay));
    files.retain(|entry| {
        let is_old = |age| now.wall.checked_sub(entry.facts.modified).is_some_and(|passed| passed >= age);
        let is_done = work.way == Tidying::Compress && entry.name.ends_with(".gz");
        work.older.is_none_or(is_old)
            && work.larger.is_none_or(|size| entry.facts.size > size)
            && !is_done
            && !entry.name.ends_with(".watchd-new")
    });
    files
}

enum Put {
    Done,
    /// Somebody has it open.
    InUse,
    /// It is not what it was.
    Gone,
}

fn put_away(way: Tidying, dir: &Dir, entry: &Entry) -> io::Result<Put> {
    let Ok(file) = dir.read(&entry.name) else { return Ok(Put::Gone) };
    if !tree::facts(&file)?.is_same_state(&entry.facts) || !dir.facts(&entry.name)?.is_same_state(&entry.facts) {
        return Ok(Put::Gone);
    }
    let lease = Lease::take_alone(&file);
    if matches!(lease, Lease::Busy) {
        return Ok(Put::InUse);
    }
    if way == Tidying::Compress {
        drop(lease);
        return compress(dir, entry, &file);
    }
    if lease.is_wanted() {
        return Ok(Put::InUse);
    }
    dir.remove(&entry.name)?;
    Ok(Put::Done)
}

/// Writes `NAME.gz` beside, with the same owner, rights and time, and removes the file when that is safely there.
fn compress(dir: &Dir, entry: &Entry, file: &File) -> io::Result<Put> {
    let packed = format!("{}.gz", entry.name);
    let draft = beside(&packed);
    if dir.facts(&packed).is_ok() {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("{packed} is there already")));
    }
    if let Ok(left) = dir.read(&draft) {
        left.try_lock().map_err(io::Error::from)?;
        dir.remove(&draft)?;
    }
    let output = dir.create(&draft)?;
    let result = pack(dir, entry, (file, &output)).and_then(|()| {
        dir.rename_new(&draft, &packed)?;
        dir.sync()?;
        // It may have been written to while it was read.
        if dir.facts(&entry.name)?.is_same_state(&entry.facts) {
            dir.remove(&entry.name)?;
            return Ok(Put::Done);
        }
        dir.remove(&packed)?;
        Ok(Put::Gone)
    });
    if result.is_err() {
        let _ = dir.remove(&draft);
    }
    result
}

fn pack(dir: &Dir, entry: &Entry, (file, output): (&File, &File)) -> io::Result<()> {
    output.try_lock().map_err(io::Error::from)?;
    let missing = || io::Error::new(io::ErrorKind::NotFound, "there is no gzip in /bin or /usr/bin");
    let program = GZIP.iter().find(|path| std::path::Path::new(path).exists()).ok_or_else(missing)?;
    if !filter(program, file.try_clone()?, output.try_clone()?)? {
        return Err(io::Error::other("gzip failed"));
    }
    let facts = &entry.facts;
    let fresh = tree::facts(output)?;
    if (fresh.uid, fresh.gid) != (facts.uid, facts.gid) {
        tree::own(output, Some(facts.uid), Some(facts.gid))?;
    }
    tree::copy_attributes(file, output)?;
    tree::permit(output, facts.mode)?;
    tree::date(output, facts.modified)?;
    output.sync_all()?;
    if !dir.facts(&entry.name)?.is_same_state(facts) {
        return Err(io::ErrorKind::ResourceBusy.into());
    }
    Ok(())
}

impl Sum {
    fn add(&mut self, entry: &Entry) {
        self.count += 1;
        // A file with another name frees nothing.
        self.bytes += if entry.facts.links > 1 { 0 } else { entry.facts.bytes };
        self.first.get_or_insert_with(|| entry.path());
    }
}

fn told(work: &TidyWork, sum: &Sum, outcome: Outcome) -> Tended {
    let verb = match (outcome, work.way) {
        (Outcome::Would, Tidying::Compress) => "would compress",
        (Outcome::Would, Tidying::Delete) => "would delete",
        (Outcome::Would, Tidying::Nothing) => "would delete (there is no `delete = true`)",
        (_, Tidying::Compress) => "compressed",
        (..) => "deleted",
    };
    let mut text = String::new();
    if sum.count > 0 {
        let (files, first) = (if sum.count == 1 { "file" } else { "files" }, sum.first.as_deref().unwrap_or(""));
        text = format!("{verb} {} {files}, {} bytes, the oldest {first}", sum.count, sum.bytes);
    }
    let mut add = |more: &str| {
        text.push_str(if text.is_empty() { "" } else { "; " });
        text.push_str(more);
    };
    if sum.in_use > 0 {
        add(&format!("{} are open and stay", sum.in_use));
    }
    match (&sum.trouble, &work.until) {
        (Some(fault), _) => add(&fault.to_string()),
        (None, Some(until)) if sum.is_short => {
            add(&format!("{} is still not below {}%, and nothing more may go", until.path, until.below));
        }
        _ => {}
    }
    #[allow(clippy::cast_precision_loss, reason = "a petabyte more or less a byte")]
    let figures = [sum.bytes as f64, f64::from(sum.count)];
    Tended { figures, ..Tended::new(outcome, text) }
}

#[cfg(test)]
#[path = "tidy_stories.rs"]
mod stories;
