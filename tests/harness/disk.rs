//! A small file system in memory, which only root can mount, so that nothing else of this machine is filled.

use std::ffi::CString;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// One of our own, gone with its owner.
pub struct Small(PathBuf);

impl Small {
    /// None where nothing can be mounted.
    pub fn mount(path: &Path, bytes: u64) -> Option<Self> {
        fs::create_dir_all(path).expect("a directory can be made");
        let options = format!("size={bytes},mode=755");
        let kind = Some("tmpfs");
        let mounted =
            nix::mount::mount(Some("watchd-test"), path, kind, nix::mount::MsFlags::empty(), Some(options.as_str()));
        mounted.is_ok().then(|| Self(path.to_path_buf()))
    }

    pub fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }

    /// Takes every byte there is.
    pub fn fill(&self) {
        let mut file = OpenOptions::new().append(true).create(true).open(self.filler()).expect("a name is free");
        let block = vec![1; 64 << 10];
        while file.write(&block).is_ok_and(|written| written > 0) {}
        while file.write(&[1]).is_ok_and(|written| written > 0) {}
    }

    pub fn free(&self) {
        fs::remove_file(self.filler()).expect("it is ours");
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let path = CString::new(self.0.as_os_str().as_bytes()).expect("no NUL in it");
        let _ = nix::mount::umount2(path.as_c_str(), nix::mount::MntFlags::MNT_DETACH);
    }
}
