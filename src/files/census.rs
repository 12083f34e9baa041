//! The files below a directory whose names fit, each with where it is: read through directories that are held open, never across
//! a link or into another file system, and never without end.

use std::io;

use super::fault::Fault;
use super::glob;
use crate::sys::tree::{Dir, Facts, Kind};

/// Names that are looked at in one pass.
const NAMES: usize = 200_000;
/// Files that are kept in mind.
const FILES: usize = 50_000;

/// One file.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The directories between the first and it.
    pub steps: Vec<String>,
    pub name: String,
    pub facts: Facts,
}

impl Entry {
    /// Its path below the first directory.
    pub fn path(&self) -> String {
        self.steps.iter().chain([&self.name]).map(String::as_str).collect::<Vec<_>>().join("/")
    }
}

/// What was found.
pub struct Census {
    pub root: Dir,
    pub files: Vec<Entry>,
    /// There was more than is looked at in one pass.
    pub is_cut: bool,
    seen: usize,
}

impl Census {
    /// Looks at everything down to `depth` levels below `path`.
    pub fn take(path: &str, names: &[String], depth: u8) -> Result<Self, Fault> {
        let root = Dir::open(path).map_err(Fault::system("open", path))?;
        let again = Dir::open(path).map_err(Fault::system("open", path))?;
        let mut census = Self { root, files: Vec::new(), is_cut: false, seen: 0 };
        census.look(&again, names, (&mut Vec::new(), depth)).map_err(Fault::system("read", path))?;
        Ok(census)
    }

    fn look(&mut self, dir: &Dir, names: &[String], (steps, depth): (&mut Vec<String>, u8)) -> io::Result<()> {
        let mut below = Vec::new();
        dir.each(&mut |name| {
            self.seen += 1;
            if self.seen > NAMES || self.files.len() >= FILES {
                self.is_cut = true;
                return false;
            }
            // What has gone meanwhile is passed over.
            let Ok(facts) = dir.facts(name) else { return true };
            match facts.kind {
                Kind::Dir if depth > 0 => below.push(name.to_owned()),
                Kind::File if glob::any(names, name) => {
                    self.files.push(Entry { steps: steps.clone(), name: name.to_owned(), facts });
                }
                _ => {}
            }
            true
        })?;
        for name in below {
            // Another file system, or a directory that has become something else.
            let Ok(child) = dir.child(&name) else { continue };
            steps.push(name);
            let looked = self.look(&child, names, (steps, depth - 1));
            steps.pop();
            // One directory that cannot be read hides no other.
            if looked.is_err() {
                self.is_cut = true;
            }
        }
        Ok(())
    }

    /// Calls `act` with the directory that an entry lies in.
    pub fn within<R>(&self, entry: &Entry, act: impl FnOnce(&Dir) -> R) -> io::Result<R> {
        within(&self.root, &entry.steps, act)
    }
}

fn within<R>(dir: &Dir, steps: &[String], act: impl FnOnce(&Dir) -> R) -> io::Result<R> {
    match steps.split_first() {
        None => Ok(act(dir)),
        Some((first, rest)) => within(&dir.child(first)?, rest, act),
    }
}
