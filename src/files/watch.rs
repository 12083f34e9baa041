//! `watch = "sha256"`: whether a file is what it was at the last look, and what is different.
//!
//! What is remembered: hash, rights, owner, and of a text up to 64 KiB a copy, so that the difference can be shown. A file that
//! carries the same times, size and number as before is not read again.

use std::io::Read;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::diff;
use super::fault::Fault;
use super::memory::Memory;
use super::target::{Found, Target};
use crate::sys::tree::Facts;

/// Texts up to this size are kept.
const COPY: u64 = 64 << 10;
/// Larger files are watched by size and times alone: reading them in each cycle would hurt the host.
const HASHED: u64 = 64 << 20;

/// What a file was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    hash: Option<[u8; 32]>,
    mode: u32,
    owner: (u32, u32),
    /// Number, size and times, by which an untouched file is known.
    stamp: (u64, u64, u128, u128),
}

impl Seen {
    /// Whether every account may read it, as far as the file itself goes.
    pub fn is_public(&self) -> bool {
        is_public(self.mode)
    }
}

/// Whether every account may read a file with these rights.
pub fn is_public(mode: u32) -> bool {
    mode & 0o004 != 0
}

/// The state of a file now; `known` saves reading it.
pub fn look(target: &Target, found: &Found, known: Option<&Seen>) -> Result<Seen, Fault> {
    let facts = &found.facts;
    let stamp = stamp(facts);
    let same = known.filter(|known| known.stamp == stamp);
    let hash = match same {
        Some(known) => known.hash,
        None if facts.size > HASHED => None,
        None => Some(hash(&found.file).map_err(Fault::system("read", &target.path))?),
    };
    Ok(Seen { hash, mode: facts.mode, owner: (facts.uid, facts.gid), stamp })
}

fn stamp(facts: &Facts) -> (u64, u64, u128, u128) {
    (facts.inode, facts.size, facts.modified.as_nanos(), facts.changed.as_nanos())
}

fn hash(file: &std::fs::File) -> std::io::Result<[u8; 32]> {
    let mut file = target_start(file)?;
    let mut hash = Sha256::new();
    let mut chunk = [0; 16 << 10];
    loop {
        match file.read(&mut chunk) {
            Ok(0) => return Ok(hash.finalize().into()),
            Ok(read) => hash.update(chunk.get(..read).unwrap_or_default()),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn target_start(mut file: &std::fs::File) -> std::io::Result<&std::fs::File> {
    std::io::Seek::rewind(&mut file)?;
    Ok(file)
}

/// What is different, in words; empty when nothing is.
pub fn compare(old: &Seen, new: &Seen) -> Vec<String> {
    let mut told = Vec::new();
    let is_large = old.hash.is_none() || new.hash.is_none();
    if is_large && old.stamp != new.stamp {
        told.push("size or time changed (larger than 64 MiB, not read)".to_owned());
    } else if old.hash != new.hash {
        told.push("the text changed".to_owned());
    }
    if old.mode != new.mode {
        told.push(format!("rights {:04o}, were {:04o}", new.mode, old.mode));
    }
    if old.owner != new.owner {
        told.push(format!("owner {}:{}, was {}:{}", new.owner.0, new.owner.1, old.owner.0, old.owner.1));
    }
    told
}

/// The difference to the copy, and a new copy.
pub fn difference(memory: &Memory, name: &str, (target, found): (&Target, &Found), room: usize) -> String {
    let old = memory.read(name);
    if found.facts.size > COPY {
        memory.forget(name);
        return "(larger than 64 KiB: no copy is kept, so the lines cannot be shown)\n".to_owned();
    }
    let text = target_start(&found.file).ok().and_then(|_| target.read(found).ok());
    let Some(text) = text.filter(|text| !text.contains(&0)) else {
        memory.forget(name);
        return "(no text: the lines cannot be shown)\n".to_owned();
    };
    let shown = match old {
        Ok(old) => diff::unified(&old, &text, room),
        Err(_) => String::new(),
    };
    // Without a copy the next change is told without its lines.
    let _ = memory.write(name, &text);
    shown
}
