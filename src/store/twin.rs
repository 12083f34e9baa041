//! A small file that is always whole: two copies of one block of fixed size, the newer one counts.
//!
//! A change goes to the older copy, with a checksum and the next number, so a write that is cut leaves the copy before it.
//! Nothing is mapped, nothing grows, nothing is renamed. A file that holds something else is set aside as `NAME.damaged`
//! and begun anew. Writes are not flushed: they survive the death of watchd, which is what they are for.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::model::is_begun;

/// What a copy begins with: the kind of file, the checksum of what follows, the number of the write.
const HEAD: usize = 24;

/// The open file.
pub struct Twin {
    file: File,
    kind: [u8; 16],
    size: usize,
    sequence: u32,
    newer: u8,
}

/// What was found in a file that was opened.
pub struct Found {
    /// The newest whole block; none in a new file.
    pub block: Option<Vec<u8>>,
    /// Where a damaged file was put.
    pub aside: Option<PathBuf>,
}

impl Twin {
    /// Opens or makes a file of blocks of `size` bytes.
    pub fn open(path: &Path, kind: [u8; 16], size: usize) -> io::Result<(Self, Found)> {
        let mut twin = Self { file: make(path, size)?, kind, size, sequence: 0, newer: 1 };
        if let Ok(block) = twin.newest()? {
            return Ok((twin, Found { block, aside: None }));
        }
        let aside = PathBuf::from(format!("{}.damaged", path.display()));
        std::fs::rename(path, &aside)?;
        twin.file = make(path, size)?;
        Ok((twin, Found { block: None, aside: Some(aside) }))
    }

    /// Writes a block. When this fails, the one before still stands.
    pub fn write(&mut self, block: &[u8]) -> io::Result<()> {
        if block.len() != self.size {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let (sequence, place) = (self.sequence.wrapping_add(1).max(1), 1 - self.newer.min(1));
        let mut bytes = Vec::with_capacity(HEAD + self.size);
        bytes.extend_from_slice(&self.kind);
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&sequence.to_le_bytes());
        bytes.extend_from_slice(block);
        let crc = checksum(&bytes).to_le_bytes();
        for (to, from) in bytes.iter_mut().skip(16).zip(crc) {
            *to = from;
        }
        self.file.write_all_at(&bytes, self.offset(place))?;
        (self.sequence, self.newer) = (sequence, place);
        Ok(())
    }

    /// Whether somebody has taken the file away.
    pub fn is_removed(&self) -> bool {
        crate::sys::files::is_removed(&self.file)
    }

    fn offset(&self, place: u8) -> u64 {
        (usize::from(place) * (HEAD + self.size)) as u64
    }

    /// The newer whole copy, and sets where to go on.
    fn newest(&mut self) -> io::Result<Result<Option<Vec<u8>>, Damaged>> {
        let (first, second) = (self.copy(0)?, self.copy(1)?);
        let (place, sequence, block) = match (first, second) {
            // Numbers wrap; of two neighbours the one just after the other is newer.
            (Copy::Sound(first, one), Copy::Sound(second, two)) => {
                if second.wrapping_sub(first) < u32::MAX / 2 {
                    (1, second, two)
                } else {
                    (0, first, one)
                }
            }
            (Copy::Sound(sequence, block), _) => (0, sequence, block),
            (_, Copy::Sound(sequence, block)) => (1, sequence, block),
            (Copy::Empty, _) => return Ok(Ok(None)),
            // A first write that was cut leaves nothing, a second one the first; anything else is not ours.
            (Copy::Cut, Copy::Empty) => return Ok(Ok(None)),
            (Copy::Cut | Copy::Foreign, _) => return Ok(Err(Damaged)),
        };
        (self.newer, self.sequence) = (place, sequence);
        Ok(Ok(Some(block)))
    }

    fn copy(&self, place: u8) -> io::Result<Copy> {
        let mut bytes = vec![0; HEAD + self.size];
        self.file.read_exact_at(&mut bytes, self.offset(place))?;
        if bytes.iter().all(|byte| *byte == 0) {
            return Ok(Copy::Empty);
        }
        let word = |at: usize| bytes.get(at..at + 4).and_then(|word| word.try_into().ok()).map(u32::from_le_bytes);
        if !bytes.starts_with(&self.kind) {
            return Ok(if is_begun(&bytes, &self.kind) { Copy::Cut } else { Copy::Foreign });
        }
        match (word(16), word(20)) {
            (Some(crc), Some(sequence)) if crc == checksum(&bytes) => Ok(Copy::Sound(sequence, bytes.split_off(HEAD))),
            _ => Ok(Copy::Cut),
        }
    }
}

/// Neither copy is whole, and not because a first write was cut.
struct Damaged;

enum Copy {
    Empty,
    Sound(u32, Vec<u8>),
    /// Begins like ours, and is not whole.
    Cut,
    Foreign,
}

fn checksum(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes.get(20..).unwrap_or_default())
}

fn make(path: &Path, size: usize) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let file = options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a file"));
    }
    // Reserved now, so that a full disk refuses here and not when something has to be written.
    crate::sys::files::reserve(&file, 0, 2 * (HEAD + size) as u64)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    const KIND: [u8; 16] = *b"watchd trials 1\n";

    fn found(path: &Path) -> (Twin, Found) {
        Twin::open(path, KIND, 5).expect("it can be opened")
    }

    #[test]
    fn the_newest_block_is_found_again() {
        let scratch = Scratch::new();
        let path = scratch.join("trial");
        let (mut twin, first) = found(&path);
        assert!(first.block.is_none() && first.aside.is_none());
        for block in [b"one--", b"two--", b"three"] {
            twin.write(block).expect("it can be written");
            assert_eq!(found(&path).1.block.as_deref(), Some(&block[..]));
        }
        assert!(twin.write(b"long block").is_err(), "a block has its size");
        assert_eq!(std::fs::metadata(&path).expect("it is there").len(), 2 * (24 + 5));
    }

    #[test]
    fn a_write_cut_at_any_byte_leaves_the_one_before() {
        for cut in 0..HEAD + 5 {
            for before in [0, 1, 2] {
                let scratch = Scratch::new();
                let path = scratch.join("trial");
                let (mut twin, _) = found(&path);
                for number in 0..before {
                    twin.write(format!("was-{number}").as_bytes()).expect("it can be written");
                }
                let (at, mut old) = (twin.offset(1 - twin.newer), vec![0; HEAD + 5]);
                twin.file.read_exact_at(&mut old, at).expect("it can be read");
                twin.write(b"newer").expect("it can be written");
                let mut new = vec![0; HEAD + 5];
                twin.file.read_exact_at(&mut new, at).expect("it can be read");
                old[..cut].copy_from_slice(&new[..cut]);
                twin.file.write_all_at(&old, at).expect("it can be written");
                let (_, found) = found(&path);
                assert!(found.aside.is_none(), "cut at {cut} after {before}");
                let expect = (before > 0).then(|| format!("was-{}", before - 1).into_bytes());
                // The last bytes may have been there already.
                let whole = old == new;
                assert_eq!(found.block, if whole { Some(b"newer".to_vec()) } else { expect }, "cut at {cut}");
            }
        }
    }

    #[test]
    fn what_is_something_else_is_set_aside() {
        let scratch = Scratch::new();
        let path = scratch.join("trial");
        std::fs::write(&path, "somebody's text, long enough for two copies of a block of ours and more").expect("ours");
        let (mut twin, first) = found(&path);
        assert!(first.block.is_none() && first.aside.is_some_and(|aside| aside.ends_with("trial.damaged")));
        twin.write(b"fresh").expect("it can be written");
        assert_eq!(found(&path).1.block.as_deref(), Some(&b"fresh"[..]));
        let link = scratch.join("link");
        std::os::unix::fs::symlink(&path, &link).expect("a link can be made");
        assert!(Twin::open(&link, KIND, 5).is_err(), "a link is not ours");
    }
}
