//! A directory for one unit test. Its name is nobody else's, and it is gone with all that is in it when the test ends, also
//! when it ends badly. Integration tests have the harness's, which also ends the processes that were started there.

#![allow(clippy::expect_used)]

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("watchd-unit-{}-{number}", std::process::id()));
        // Left behind by a run that was killed and had our process id.
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir(&path).expect("a temporary directory can be made");
        Self(path)
    }

    /// Writes a file, and the directories it lies in.
    pub fn write(&self, name: &str, text: &str) {
        let path = self.join(name);
        let parent = path.parent().expect("it is below the directory");
        std::fs::create_dir_all(parent).expect("a directory can be made");
        std::fs::write(path, text).expect("a file can be written");
    }
}

impl Deref for Scratch {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
