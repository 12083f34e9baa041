//! The beginning of a file mapped shared, seen as atomic words: what one process stores, another loads, and no load is ever torn
//! within a word. What follows it is read and written by calls, so that it never counts as anybody's resident memory.
//!
//! Space is reserved before the first store: a full tmpfs refuses here and never becomes a SIGBUS later.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags, madvise, mmap, munmap};

/// A shared mapping of the beginning of a file.
pub struct Mapping {
    start: NonNull<AtomicU64>,
    words: usize,
}

impl Mapping {
    /// Reserves `whole` bytes for a new file and maps the first `bytes` of it (a multiple of 8) for writing.
    pub fn create(file: &File, whole: usize, bytes: usize) -> io::Result<Self> {
        super::files::reserve(file, 0, whole as u64)?;
        let mapping = Self::map(file, bytes, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE)?;
        // There is one writer: a forked child must not have the pages, least of all one that faces the network.
        // SAFETY: the range is the mapping just made; children do without it, and none of them is handed the mapping.
        unsafe { madvise(mapping.start.cast(), mapping.words * 8, MmapAdvise::MADV_DONTFORK) }?;
        Ok(mapping)
    }

    /// Maps the first `bytes` of an existing file for reading; it must have them.
    pub fn open(file: &File, bytes: usize) -> io::Result<Self> {
        Self::map(file, bytes, ProtFlags::PROT_READ)
    }

    fn map(file: &File, bytes: usize, protection: ProtFlags) -> io::Result<Self> {
        let length = std::num::NonZeroUsize::new(bytes & !7).ok_or(io::ErrorKind::InvalidData)?;
        // SAFETY: a fresh mapping at an address of the kernel's choice; nothing else in this process knows it.
        let start = unsafe { mmap(None, length, protection, MapFlags::MAP_SHARED, file.as_fd(), 0) }?;
        Ok(Self { start: start.cast(), words: length.get() / 8 })
    }

    /// The mapped words. Storing into a mapping made by `open` is a fault of the caller that the processor stops.
    pub fn words(&self) -> &[AtomicU64] {
        // SAFETY: the mapping is page-aligned, `words` × 8 bytes long and lives as long as self. Other processes may
        // store at the same time: that is what atomic words are for. The file is never made shorter by the writer.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.words) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: exactly what `map` got; the borrow checker has ended every slice from `words`.
        let _ = unsafe { munmap(self.start.cast(), self.words * 8) };
    }
}

// SAFETY: the words are atomic, and the mapping is not tied to a thread.
unsafe impl Send for Mapping {}
