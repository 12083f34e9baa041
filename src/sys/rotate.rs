//! Cutting a file that somebody else goes on writing to: its older part moves to `NAME.1`, that to `NAME.2`, and so on.
//!
//! The writer appends (O_APPEND) and never learns of it. On ext4 and XFS whole blocks are taken out of the front of the file
//! (FALLOC_FL_COLLAPSE_RANGE), so that nothing is lost, however fast it is written to. Elsewhere the file is cut to nothing as
//! soon as all of it is copied; what is written between these two calls is lost. Reads and writes a user's disk: for a child.
//!
//! The directory may be the writer's, so it is held open, no name on the way to it is a link, and a file with a second name is
//! left alone: what is cut and renamed is never somebody else's.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::fcntl::{FallocateFlags, fallocate};

use super::tree::{self, Dir, Kind};

/// Cuts the file when it is larger than `max`; `keep` older parts stay. Says whether it did. A copy that cannot be written,
/// on a full disk, is done without: that the file stays bounded counts more.
pub fn rotate(path: &Path, max: u64, keep: u8) -> io::Result<bool> {
    let text = path.to_str().and_then(|path| path.rsplit_once('/'));
    let (above, name) = text.ok_or(io::ErrorKind::InvalidInput)?;
    let is_missing = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
    let dir = match Dir::open(if above.is_empty() { "/" } else { above }) {
        Err(error) if is_missing(&error) => return Ok(false),
        opened => opened?,
    };
    let mut file = match dir.write(name) {
        Err(error) if is_missing(&error) => return Ok(false),
        opened => opened?,
    };
    let facts = tree::facts(&file)?;
    if facts.kind != Kind::File || facts.size <= max {
        return Ok(false);
    }
    if facts.links > 1 {
        return Err(io::Error::other("it has more than one name (hard links)"));
    }
    let block = file.metadata()?.blksize().max(1);
    // The range may not reach to the end.
    let whole = (facts.size - 1) / block * block;
    let copied = if keep > 0 { keep_copy(&mut file, (&dir, name), keep, whole) } else { Ok(None) };
    if !collapse(&file, whole) {
        if let Ok(Some(copy)) = &copied {
            // What stands behind the whole blocks, and what has come since.
            let _ = io::copy(&mut file, &mut &*copy);
        }
        file.set_len(0)?;
    }
    copied.map(|_| true)
}

fn collapse(file: &File, whole: u64) -> bool {
    let Ok(length) = libc::off_t::try_from(whole) else { return false };
    length > 0 && fallocate(file, FallocateFlags::FALLOC_FL_COLLAPSE_RANGE, 0, length).is_ok()
}

/// Moves the older parts on and copies so much of the file as the newest, with the same owner and rights; leaves the file
/// standing behind that.
fn keep_copy(file: &mut File, (dir, name): (&Dir, &str), keep: u8, whole: u64) -> io::Result<Option<File>> {
    let part = |number: &str| format!("{name}.{number}");
    let beside = part("new");
    let _ = dir.remove(&beside);
    let mut copy = dir.create(&beside)?;
    file.seek(SeekFrom::Start(0))?;
    let copied = io::copy(&mut file.by_ref().take(whole), &mut copy).and_then(|_| dress(file, &copy));
    if let Err(error) = copied {
        let _ = dir.remove(&beside);
        return Err(error);
    }
    for number in (1..keep).rev() {
        match dir.rename(&part(&number.to_string()), &part(&(number + 1).to_string())) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    dir.rename(&beside, &part("1"))?;
    Ok(Some(copy))
}

/// Whoever could read the file can read its older parts, and nobody else.
fn dress(file: &File, copy: &File) -> io::Result<()> {
    let (old, new) = (tree::facts(file)?, tree::facts(copy)?);
    if (old.uid, old.gid) != (new.uid, new.gid) {
        tree::own(copy, Some(old.uid), Some(old.gid))?;
    }
    tree::permit(copy, old.mode & 0o777)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;
    use std::fs::OpenOptions;
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;

    fn text(path: &Path) -> String {
        std::fs::read_to_string(path).unwrap_or_default()
    }

    #[test]
    fn a_writer_goes_on_and_nothing_of_it_is_lost_or_written_twice() {
        let dir = Scratch::new();
        let path = dir.join("log");
        let mut writer = OpenOptions::new().append(true).create(true).open(&path).expect("a file can be made");
        let mut number = 0;
        for _ in 0..3 {
            for _ in 0..3_000 {
                writeln!(writer, "line {number}").expect("it can be written");
                number += 1;
            }
            assert!(rotate(&path, 20_000, 9).expect("it can be cut"));
            assert!(std::fs::metadata(&path).expect("it is there").len() < 5_000);
            assert!(!rotate(&path, 20_000, 9).expect("it is small"));
        }
        let parts = ["log.3", "log.2", "log.1", "log"].map(|name| text(&dir.join(name)));
        let expect: String = (0..number).map(|number| format!("line {number}\n")).collect();
        assert!(parts.concat() == expect, "{:?}", parts.map(|part| part.len()));
    }

    #[test]
    fn no_more_parts_stay_than_are_wanted() {
        let dir = Scratch::new();
        let path = dir.join("log");
        for round in 0..5 {
            std::fs::write(&path, format!("{round}").repeat(10_000)).expect("a file can be written");
            assert!(rotate(&path, 100, 2).expect("it can be cut"));
        }
        assert!(text(&dir.join("log.1")).starts_with('4') && text(&dir.join("log.2")).starts_with('3'));
        assert!(!dir.join("log.3").exists() && !dir.join("log.new").exists());
        std::fs::write(&path, "x".repeat(10_000)).expect("a file can be written");
        assert!(rotate(&path, 100, 0).expect("it can be cut"));
        assert!(text(&dir.join("log.1")).starts_with('4'), "without a copy nothing moves");
    }

    #[test]
    fn what_is_no_plain_file_is_left_alone() {
        let dir = Scratch::new();
        assert!(!rotate(&dir.join("missing"), 0, 1).expect("that is no fault"));
        let (target, link) = (dir.join("target"), dir.join("link"));
        std::fs::write(&target, "x".repeat(100)).expect("a file can be written");
        std::os::unix::fs::symlink(&target, &link).expect("a link can be made");
        assert!(rotate(&link, 1, 1).is_err());
        assert_eq!(text(&target).len(), 100);
        assert!(!rotate(Path::new("/dev/null"), 0, 1).expect("it is not touched"));
        std::fs::hard_link(&target, dir.join("second")).expect("a name can be given");
        assert!(rotate(&target, 1, 1).is_err());
        std::fs::remove_file(dir.join("second")).expect("it is ours");
        std::os::unix::fs::symlink(&*dir, dir.join("way")).expect("a link can be made");
        assert!(rotate(&dir.join("way/target"), 1, 1).is_err());
        assert_eq!(text(&target).len(), 100);
        assert!(!dir.join("target.1").exists());
        assert!(rotate(&target, 1, 1).expect("it can be cut"));
    }

    #[test]
    fn older_parts_belong_to_the_owner_of_the_file() {
        let dir = Scratch::new();
        let path = dir.join("log");
        std::fs::write(&path, "x".repeat(10_000)).expect("a file can be written");
        let own = nix::unistd::geteuid().as_raw();
        let owner = if own == 0 { 65534 } else { own };
        std::os::unix::fs::chown(&path, Some(owner), None).expect("root may, others change nothing");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o620)).expect("it is ours");
        assert!(rotate(&path, 100, 1).expect("it can be cut"));
        let facts = std::fs::metadata(dir.join("log.1")).expect("it is there");
        assert_eq!((facts.uid(), facts.mode() & 0o7777), (owner, 0o620));
    }
}
