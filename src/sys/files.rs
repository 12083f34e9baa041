//! Files and directories of watchd's own: private to the account that runs it, never through a link somebody else put there.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use super::trust;

/// Makes a file that must not exist yet, readable by all and writable by us.
pub fn create_new(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create_new(true).mode(0o644).open(path)
}

/// Opens a file that we made, to write to it as it is.
pub fn open_own(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).write(true).custom_flags(libc::O_NOFOLLOW).open(path)?;
    let found = file.metadata()?;
    let is_ours = found.is_file() && found.uid() == nix::unistd::geteuid().as_raw() && found.mode() & 0o022 == 0;
    if is_ours { Ok(file) } else { Err(io::ErrorKind::PermissionDenied.into()) }
}

/// Opens the same file again, for reading only, whatever its name is by now.
pub fn reopen_for_reading(file: &File) -> io::Result<File> {
    File::open(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// Reserves the disk's room for a part of a file, so that no later write can find it full. A signal meanwhile is no failure.
pub fn reserve(file: &File, start: u64, length: u64) -> io::Result<()> {
    let signed = |bytes: u64| i64::try_from(bytes).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput));
    let (start, length) = (signed(start)?, signed(length)?);
    loop {
        match nix::fcntl::posix_fallocate(file, start, length) {
            Err(nix::errno::Errno::EINTR) => {}
            other => return Ok(other?),
        }
    }
}

/// One read, which a signal does not end.
pub fn read(file: &mut File, bytes: &mut [u8]) -> io::Result<usize> {
    loop {
        match file.read(bytes) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

/// Whether an open file has lost its last name: what is written there is gone when we are.
pub fn is_removed(file: &File) -> bool {
    file.metadata().is_ok_and(|found| found.nlink() == 0)
}

/// What to say of such a file.
pub fn removed() -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, "somebody removed the file")
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
    // Whoever can write to a directory above can put another in its place.
    if let Some(exposure) = trust::exposure_above(path)? {
        return refuse(&exposure.to_string());
    }
    Ok(())
}

/// The same, and nobody else can look into it.
pub fn private_dir(path: &Path) -> io::Result<()> {
    own_dir(path)?;
    if std::fs::symlink_metadata(path)?.mode() & 0o077 != 0 {
        std::fs::set_permissions(path, Permissions::from_mode(0o700))?;
    }
    Ok(())
}

/// Writes a file that only we can read; what had this name is emptied first.
pub fn write_private(path: &Path, text: &[u8]) -> io::Result<()> {
    let flags = libc::O_NOFOLLOW;
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).custom_flags(flags).open(path)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.write_all(text)
}

/// Makes sure of a directory for an account below another one, which is made as well where it is missing. What is there stays as it is.
pub fn dir_for(above: &Path, name: &str, uid: u32) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o755).create(above)?;
    let path = above.join(name);
    match DirBuilder::new().recursive(false).mode(0o755).create(&path) {
        // The name may be another directory's by now, or a link; a link would be changed itself.
        Ok(()) if nix::unistd::geteuid().is_root() => std::os::unix::fs::lchown(&path, Some(uid), None),
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// Gives a directory of ours, with what of ours is in it, to an account. What is somebody else's stays theirs, with what is in it; no
/// link is followed.
pub fn give(dir: &Path, uid: u32, gid: u32) -> io::Result<()> {
    let own = nix::unistd::geteuid().as_raw();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let found = entry.metadata()?;
        if found.uid() == own && found.is_dir() {
            give(&entry.path(), uid, gid)?;
        } else if found.uid() == own {
            std::os::unix::fs::lchown(entry.path(), Some(uid), Some(gid))?;
        }
    }
    std::os::unix::fs::lchown(dir, Some(uid), Some(gid))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn a_directory_that_others_can_swap_or_write_is_not_ours() {
        let base = Scratch::new();
        let dir = base.join("run");
        std::fs::create_dir_all(&dir).expect("a directory can be made");
        let set = |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode));
        for (above, own, good) in
            [(0o755, 0o755, true), (0o777, 0o755, false), (0o1777, 0o755, true), (0o755, 0o777, false)]
        {
            set(&base, above).and_then(|()| set(&dir, own)).expect("they are ours");
            assert_eq!(own_dir(&dir).is_ok(), good, "{above:o} {own:o}");
        }
        set(&base, 0o755).and_then(|()| set(&dir, 0o755)).expect("they are ours");
        let link = base.join("link");
        std::os::unix::fs::symlink(&dir, &link).expect("a link can be made");
        assert!(own_dir(&link).is_err(), "a link");
        assert!(own_dir(&base.join("new/deep")).is_ok(), "made when it is missing");
        set(&base.join("new"), 0o777).expect("it is ours");
        std::fs::create_dir(base.join("new/deep/er")).expect("a directory can be made");
        let said = own_dir(&base.join("new/deep/er")).expect_err("further above counts as well").to_string();
        assert!(
            said.contains("other accounts can write to the directory ") && said.ends_with("/new above it"),
            "{said}"
        );
    }
}
