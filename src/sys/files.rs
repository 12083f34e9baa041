//! Files and directories of watchd's own: private to the account that runs it, never through a link somebody else put there.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

/// Makes a file that must not exist yet, readable by all and writable by us.
pub fn create_new(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create_new(true).mode(0o644).open(path)
}

/// Opens the same file again, for reading only, whatever its name is by now.
pub fn reopen_for_reading(file: &File) -> io::Result<File> {
    File::open(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// Makes sure of a directory that is ours alone to write: made when it is missing, refused when it is a link, belongs to
/// somebody else, or can be written by others.
pub fn own_dir(path: &Path) -> io::Result<()> {
    match DirBuilder::new().recursive(false).mode(0o755).create(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            DirBuilder::new().recursive(true).mode(0o755).create(path)?;
        }
        Err(error) => return Err(error),
    }
    let found = std::fs::symlink_metadata(path)?;
    let uid = nix::unistd::geteuid().as_raw();
    let refuse = |why: &str| Err(io::Error::new(io::ErrorKind::PermissionDenied, why.to_owned()));
    if !found.is_dir() {
        return refuse("it is not a directory");
    }
    if found.uid() != uid {
        return refuse("it belongs to another account");
    }
    if found.mode() & 0o022 != 0 {
        return refuse("other accounts can write to it; chmod go-w it");
    }
    Ok(())
}
