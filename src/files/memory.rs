//! What is remembered from look to look: one small file for each promise in a directory of the state, checked by a sum.
//!
//! Among it are copies of files that not everybody may read, so nobody but us looks into that directory. Written beside and
//! renamed, so that it is never half. A damaged one is set aside as `NAME.damaged` and begun anew.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::sys::files::{private_dir, write_private};

/// The directory of it all.
pub struct Memory {
    dir: PathBuf,
    /// Where to read what is not there; never written.
    below: Option<PathBuf>,
}

impl Memory {
    /// Below the state directory.
    pub fn new(state_dir: &Path) -> Self {
        Self { dir: state_dir.join("files"), below: None }
    }

    /// The same with the knowledge of another run, whose files stay as they are.
    pub fn over(self, other: &Path) -> Self {
        Self { below: Some(other.join("files")), ..self }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// What was remembered; none when nothing was, or it was damaged.
    pub fn load<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        let path = self.path(name);
        let bytes = self.read(name).ok()?;
        let value = bytes.split_first_chunk::<4>().and_then(|(sum, rest)| {
            let is_whole = crc32fast::hash(rest) == u32::from_le_bytes(*sum);
            is_whole.then(|| postcard::from_bytes(rest).ok())?
        });
        if value.is_none() {
            let _ = fs::rename(&path, self.path(&format!("{name}.damaged")));
        }
        value
    }

    /// The bytes of what was remembered.
    pub fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        match (fs::read(self.path(name)), &self.below) {
            (Err(error), Some(below)) if error.kind() == io::ErrorKind::NotFound => fs::read(below.join(name)),
            (read, _) => read,
        }
    }

    pub fn save<T: Serialize>(&self, name: &str, value: &T) -> io::Result<()> {
        let rest = postcard::to_stdvec(value).map_err(io::Error::other)?;
        let bytes = [crc32fast::hash(&rest).to_le_bytes().as_slice(), &rest].concat();
        self.write(name, &bytes)
    }

    /// Writes a text as it is; the same text is not written again.
    pub fn write(&self, name: &str, text: &[u8]) -> io::Result<()> {
        let path = self.path(name);
        if fs::read(&path).is_ok_and(|known| known == text) {
            return Ok(());
        }
        private_dir(&self.dir)?;
        let new = self.path(&format!("{name}.{}.new", std::process::id()));
        let written = write_private(&new, text).and_then(|()| fs::rename(&new, &path));
        if written.is_err() {
            let _ = fs::remove_file(&new);
        }
        written
    }

    pub fn forget(&self, name: &str) {
        let _ = fs::remove_file(self.path(name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn nobody_else_reads_what_is_remembered() {
        let scratch = Scratch::new();
        let memory = Memory::new(&scratch);
        scratch.write("files/old", "made by an older version");
        memory.write("a.copy", b"root:$6$").expect("it can be written");
        let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o7777;
        assert_eq!((mode(&scratch.join("files")), mode(&memory.path("a.copy"))), (0o700, 0o600));
    }

    #[test]
    fn what_is_damaged_is_set_aside() {
        let scratch = Scratch::new();
        let memory = Memory::new(&scratch);
        assert_eq!(memory.load::<Vec<u64>>("a"), None);
        memory.save("a", &vec![1_u64, 300]).expect("it can be written");
        assert_eq!(memory.load("a"), Some(vec![1_u64, 300]));
        let whole = fs::read(memory.path("a")).expect("it is there");
        for end in 0..whole.len() {
            fs::write(memory.path("a"), &whole[..end]).expect("it can be written");
            assert_eq!(memory.load::<Vec<u64>>("a"), None, "cut at {end}");
            assert!(memory.path("a.damaged").exists() && !memory.path("a").exists());
        }
    }
}
