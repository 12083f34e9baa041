//! One file: its directory held open, found without following a link, read within bounds.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::fault::Fault;
use crate::sys::tree::{self, Dir, Facts, Kind};

/// A file that is edited may be so large.
pub const LARGEST: u64 = 4 << 20;

/// The place of a file, whether it is there or not.
pub struct Target {
    pub dir: Dir,
    pub name: String,
    pub path: String,
}

/// A file that is there.
pub struct Found {
    pub file: File,
    pub facts: Facts,
}

impl Target {
    pub fn open(path: &str) -> Result<Self, Fault> {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        let refuse = |why| Fault::Refused { path: path.to_owned(), why };
        if matches!(name, "" | "." | "..") {
            return Err(refuse("the path names no file"));
        }
        let parent = if parent.is_empty() { "/" } else { parent };
        let dir = Dir::open(parent).map_err(Fault::system("open the directory of", path))?;
        Ok(Self { dir, name: name.to_owned(), path: path.to_owned() })
    }

    /// Looks whether it is there. Anything but a regular file with one name is refused before it is opened.
    pub fn find(&self) -> Result<Option<Found>, Fault> {
        let seen = match self.dir.facts(&self.name) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(Fault::system("look at", &self.path))?,
        };
        self.approve(&seen)?;
        let file = self.dir.read(&self.name).map_err(Fault::system("open", &self.path))?;
        let facts = tree::facts(&file).map_err(Fault::system("look at", &self.path))?;
        if !facts.is_same_file(&seen) {
            return Err(Fault::Raced { path: self.path.clone() });
        }
        self.approve(&facts)?;
        Ok(Some(Found { file, facts }))
    }

    fn approve(&self, facts: &Facts) -> Result<(), Fault> {
        let why = match facts.kind {
            Kind::File if facts.links > 1 => "it has more than one name (hard links)",
            Kind::File => return Ok(()),
            Kind::Link => "it is a symbolic link; write the path it leads to",
            Kind::Dir => "it is a directory",
            Kind::Other => "it is no regular file",
        };
        Err(Fault::Refused { path: self.path.clone(), why })
    }

    /// Whether every account can come to where it lies.
    pub fn is_in_the_open(&self) -> bool {
        let is_open = |dir: &Path| std::fs::metadata(dir).is_ok_and(|found| found.mode() & 0o001 != 0);
        Path::new(&self.path).ancestors().skip(1).all(is_open)
    }

    /// The whole text of a file that was found.
    pub fn read(&self, found: &Found) -> Result<Vec<u8>, Fault> {
        let too_large = || Fault::Refused { path: self.path.clone(), why: "it is larger than 4 MiB" };
        if found.facts.size > LARGEST {
            return Err(too_large());
        }
        let mut text = Vec::new();
        (&found.file).take(LARGEST + 1).read_to_end(&mut text).map_err(Fault::system("read", &self.path))?;
        if text.len() as u64 > LARGEST {
            return Err(too_large());
        }
        Ok(text)
    }
}
