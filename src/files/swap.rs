//! A new text in place of an old one, in one step: written beside it, given its owner, rights and attributes, brought to the disk,
//! and renamed.
//!
//! What others do meanwhile is not lost. The old file is leased: a program that opens it for writing waits, and we see that. Old
//! and new change places in one step, then the old one is looked at once more; had it changed, they change back. A kernel or file
//! system without these steps gets a look just before the rename.
//!
//! The file beside has a fixed name and a lock. One without a lock was left by somebody who was killed, and is removed.

use std::fs::File;
use std::io::{self, Write};

use super::fault::Fault;
use super::target::{Found, Target};
use crate::sys::lease::Lease;
use crate::sys::tree::{self, Facts};

/// What the new file is given; what is none is kept, or the default of a new file.
#[derive(Clone, Copy, Default)]
pub struct Rights<'a> {
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    pub bits: Option<u32>,
    /// Whose access lists and attributes it gets; those of the one that it replaces otherwise.
    pub like: Option<&'a File>,
}

/// Rights of a file that was not there.
const NEW: u32 = 0o644;

/// The name under which a new text is written.
pub fn beside(name: &str) -> String {
    format!(".{name}.watchd-new")
}

/// Removes what a killed predecessor left beside the file. Says whether there was something.
pub fn sweep(target: &Target) -> Result<bool, Fault> {
    let name = beside(&target.name);
    let Ok(facts) = target.dir.facts(&name) else { return Ok(false) };
    let busy = || Fault::Raced { path: target.path.clone() };
    if facts.kind == tree::Kind::File && facts.uid == nix::unistd::geteuid().as_raw() {
        let left = target.dir.read(&name).map_err(Fault::system("look beside", &target.path))?;
        left.try_lock().map_err(|_| busy())?;
        target.dir.remove(&name).map_err(Fault::system("tidy up beside", &target.path))?;
        return Ok(true);
    }
    Err(Fault::Refused { path: target.path.clone(), why: "somebody else's .NAME.watchd-new lies beside it" })
}

/// Puts `text` in the place of what was found there, or where nothing was.
pub fn swap(target: &Target, old: Option<&Found>, text: &[u8], rights: Rights<'_>) -> Result<(), Fault> {
    sweep(target)?;
    let system = |verb| Fault::system(verb, &target.path);
    let lease = old.map(|old| Lease::take(&old.file));
    if matches!(lease, Some(Lease::Busy)) {
        return Err(Fault::Refused { path: target.path.clone(), why: "another program has it open for writing" });
    }
    let name = beside(&target.name);
    let file = target.dir.create(&name).map_err(system("write beside"))?;
    let draft = Draft { target, name: &name, is_done: false };
    file.try_lock().map_err(|_| Fault::Raced { path: target.path.clone() })?;
    (&file).write_all(text).map_err(system("write beside"))?;
    dress(target, &file, old, rights)?;
    file.sync_all().map_err(system("bring to the disk what is beside"))?;
    let new = tree::facts(&file).map_err(system("look beside"))?;
    draft.place(old, &new, lease.as_ref())?;
    target.dir.sync().map_err(system("bring to the disk the name of"))?;
    let seen = target.dir.facts(&target.name).map_err(system("look again at"))?;
    if seen.is_same_file(&new) { Ok(()) } else { Err(Fault::Raced { path: target.path.clone() }) }
}

/// Owner, attributes and rights. The owner first: changing it takes bits away.
fn dress(target: &Target, file: &File, old: Option<&Found>, rights: Rights<'_>) -> Result<(), Fault> {
    let uid = rights.uid.or(old.map(|old| old.facts.uid));
    let gid = rights.gid.or(old.map(|old| old.facts.gid));
    let fresh = tree::facts(file).map_err(Fault::system("look beside", &target.path))?;
    if uid.is_some_and(|uid| uid != fresh.uid) || gid.is_some_and(|gid| gid != fresh.gid) {
        tree::own(file, uid, gid).map_err(Fault::system("keep the owner of", &target.path))?;
    }
    if let Some(like) = rights.like.or(old.map(|old| &old.file)) {
        tree::copy_attributes(like, file).map_err(Fault::system("keep the attributes of", &target.path))?;
    }
    // What somebody wrote must not run as somebody else.
    let is_other = |old: &Found| uid != Some(old.facts.uid) || gid != Some(old.facts.gid);
    let as_before = |old: &Found| old.facts.mode & if is_other(old) { !tree::SET_ID } else { !0 };
    let bits = rights.bits.or(old.map(as_before)).unwrap_or(NEW);
    tree::permit(file, bits).map_err(Fault::system("set the rights of", &target.path))
}

/// The file beside; removed unless it came to its place.
struct Draft<'a> {
    target: &'a Target,
    name: &'a str,
    is_done: bool,
}

impl Draft<'_> {
    fn place(mut self, old: Option<&Found>, new: &Facts, lease: Option<&Lease<'_>>) -> Result<(), Fault> {
        let (dir, path) = (&self.target.dir, &self.target.path);
        let raced = || Fault::Raced { path: path.clone() };
        let system = |error| Fault::System { verb: "put a new text in the place of", path: path.clone(), error };
        if !dir.facts(self.name).is_ok_and(|seen| seen.is_same_file(new)) {
            self.is_done = true;
            return Err(raced());
        }
        let Some(old) = old else {
            match dir.rename_new(self.name, &self.target.name) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(raced()),
                Err(error) if is_unknown(&error) && dir.facts(&self.target.name).is_err() => {
                    dir.rename(self.name, &self.target.name).map_err(system)?;
                }
                other => other.map_err(system)?,
            }
            self.is_done = true;
            return Ok(());
        };
        let is_wanted = || lease.is_some_and(Lease::is_wanted);
        let is_as_read = |name: &str| dir.facts(name).is_ok_and(|seen| seen.is_same_state(&old.facts));
        if !is_as_read(&self.target.name) || is_wanted() {
            return Err(raced());
        }
        match dir.exchange(self.name, &self.target.name) {
            Err(error) if is_unknown(&error) => {
                dir.rename(self.name, &self.target.name).map_err(system)?;
                self.is_done = true;
                return Ok(());
            }
            other => other.map_err(system)?,
        }
        // What now lies beside is the old one.
        if !is_as_read(self.name) || is_wanted() {
            dir.exchange(self.name, &self.target.name).map_err(system)?;
            return Err(raced());
        }
        Ok(())
    }
}

impl Drop for Draft<'_> {
    fn drop(&mut self) {
        if !self.is_done {
            let _ = self.target.dir.remove(self.name);
        }
    }
}

/// Whether the system does not know how to do that.
fn is_unknown(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOSYS | libc::EOPNOTSUPP))
}
