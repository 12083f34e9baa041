//! Who else could change what stands under a path: the file, any directory on the way to it, or a link in between.
//!
//! Whoever can write to a directory can put something else under each name in it, so the way counts as much as its end. In a sticky
//! directory, as /tmp is, only the owner of an entry can. Root and the account we run as are no others, and an account's own group
//! has nobody else in it.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fmt;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

/// Links that are followed, as the kernel does.
const LINKS: usize = 40;

/// What others could change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exposure {
    /// The file itself, or what lies on the way to it.
    pub at: PathBuf,
    pub why: Why,
    /// It is on the way.
    pub is_above: bool,
}

/// Who could.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It belongs to this account, which is neither root nor ours.
    Owner(u32),
    /// Its mode lets others write.
    Mode,
}

impl fmt::Display for Exposure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.at.display();
        match (self.is_above, self.why) {
            (false, Why::Mode) => write!(out, "other accounts can write to it"),
            (false, Why::Owner(uid)) => write!(out, "it belongs to account {uid}, which can change it"),
            (true, Why::Mode) => write!(out, "other accounts can write to the directory {at} above it"),
            (true, Why::Owner(uid)) => {
                write!(out, "the directory {at} above it belongs to account {uid}, which can put another in its place")
            }
        }
    }
}

impl Exposure {
    /// What its owner can do about it.
    pub fn remedy(&self) -> &'static str {
        match (self.is_above, self.why) {
            (false, Why::Mode) => "chmod go-w it",
            (false, Why::Owner(_)) => "chown it to root",
            (true, _) => "keep it where only root can write, such as /etc/watchd",
        }
    }
}

/// Whether accounts other than its owner and root can write to it.
pub fn is_open(mode: u32, uid: u32, gid: u32) -> bool {
    let by_group = mode & 0o020 != 0 && gid != 0 && gid != uid;
    by_group || mode & 0o002 != 0
}

/// The first thing on the way to `path`, or at its end, that others could change; none when there is no such thing. What does
/// not exist is an error.
pub fn exposure(path: &Path) -> io::Result<Option<Exposure>> {
    let judge = Judge::ours();
    match judge.follow(path)? {
        Way::Exposed(exposure) => Ok(Some(exposure)),
        Way::Safe(at) => {
            let why = judge.why(&at.symlink_metadata()?);
            Ok(why.map(|why| Exposure { at, why, is_above: false }))
        }
    }
}

/// The same of the directories above alone, for what is ours. An ordinary user cannot choose who owns the places that homes lie in.
pub fn exposure_above(path: &Path) -> io::Result<Option<Exposure>> {
    let judge = Judge::ours();
    match (Judge { minds_owners: judge.own == 0, ..judge }).follow(path)? {
        Way::Exposed(exposure) => Ok(Some(exposure)),
        Way::Safe(_) => Ok(None),
    }
}

/// Whom we trust.
struct Judge {
    own: u32,
    /// Owners that this user namespace does not know are shown as this account; nobody in it can act for them.
    unmapped: Option<u32>,
    /// Directories above count by their owners too.
    minds_owners: bool,
}

/// Where a path leads.
enum Way {
    Safe(PathBuf),
    Exposed(Exposure),
}

impl Judge {
    fn ours() -> Self {
        let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
        let is_whole = map.split_ascii_whitespace().eq(["0", "0", "4294967295"]);
        Self {
            own: nix::unistd::geteuid().as_raw(),
            unmapped: (!is_whole && !map.is_empty()).then_some(65_534),
            minds_owners: true,
        }
    }

    fn is_trusted(&self, uid: u32) -> bool {
        uid == 0 || uid == self.own || Some(uid) == self.unmapped
    }

    fn why(&self, found: &Metadata) -> Option<Why> {
        if !self.is_trusted(found.uid()) {
            Some(Why::Owner(found.uid()))
        } else if is_open(found.mode(), found.uid(), found.gid()) {
            Some(Why::Mode)
        } else {
            None
        }
    }

    /// Whether others could put something else in the place of an entry of this directory.
    fn why_of_entry(&self, above: &Metadata, entry: &Metadata) -> Option<Why> {
        if self.minds_owners && !self.is_trusted(above.uid()) {
            return Some(Why::Owner(above.uid()));
        }
        let is_sticky = above.mode() & 0o1000 != 0;
        let is_held = is_sticky && self.is_trusted(entry.uid());
        (is_open(above.mode(), above.uid(), above.gid()) && !is_held).then_some(Why::Mode)
    }

    /// Follows the path as the kernel does, one name after the other.
    fn follow(&self, path: &Path) -> io::Result<Way> {
        let mut left: VecDeque<OsString> = steps(&std::path::absolute(path)?);
        let mut at = PathBuf::from("/");
        let mut links = 0;
        while let Some(name) = left.pop_front() {
            if name == ".." {
                at.pop();
                continue;
            }
            let above = at.symlink_metadata()?;
            at.push(&name);
            let found = at.symlink_metadata()?;
            if let Some(why) = self.why_of_entry(&above, &found) {
                at.pop();
                return Ok(Way::Exposed(Exposure { at, why, is_above: true }));
            }
            if found.is_symlink() {
                links += 1;
                if links > LINKS {
                    return Err(io::Error::from_raw_os_error(libc::ELOOP));
                }
                let target = at.read_link()?;
                at.pop();
                if target.is_absolute() {
                    at = PathBuf::from("/");
                }
                for step in steps(&target).into_iter().rev() {
                    left.push_front(step);
                }
            }
        }
        Ok(Way::Safe(at))
    }
}

fn steps(path: &Path) -> VecDeque<OsString> {
    let names = path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    });
    names.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;
    use std::os::unix::fs::{PermissionsExt, chown, symlink};

    #[test]
    fn whoever_can_write_on_the_way_can_change_the_end() {
        let base = Scratch::new();
        base.write("a/b/file", "");
        let set = |name: &str, mode| {
            std::fs::set_permissions(base.join(name), std::fs::Permissions::from_mode(mode)).expect("it is ours");
        };
        let found = |name: &str| exposure(&base.join(name)).expect("it is there");
        assert_eq!(found("a/b/file"), None);
        for (name, mode, expect) in [
            ("a/b/file", 0o646, Some(("a/b/file", false))),
            ("a/b", 0o757, Some(("a/b", true))),
            ("a", 0o777, Some(("a", true))),
            ("a", 0o1777, None),
        ] {
            let before = base.join(name).metadata().expect("it is there").permissions();
            set(name, mode);
            let expect = expect.map(|(at, is_above)| Exposure { at: base.join(at), why: Why::Mode, is_above });
            assert_eq!(found("a/b/file"), expect, "{name} {mode:o}");
            std::fs::set_permissions(base.join(name), before).expect("it is ours");
        }
        // A link is as good as the way to it and the way it points to.
        base.write("open/x", "");
        set("open", 0o777);
        symlink(base.join("a/b"), base.join("open/link")).expect("a link can be made");
        symlink("../open/x", base.join("a/up")).expect("a link can be made");
        symlink("b/../b", base.join("a/good")).expect("a link can be made");
        let open = Some(Exposure { at: base.join("open"), why: Why::Mode, is_above: true });
        assert_eq!(found("open/link/file"), open, "a link in a place of others");
        assert_eq!(found("a/up"), open, "a link into a place of others");
        assert_eq!(found("a/good/file"), None);
        symlink("turn", base.join("a/turn")).expect("a link can be made");
        assert_eq!(exposure(&base.join("a/turn")).err().and_then(|error| error.raw_os_error()), Some(libc::ELOOP));
        assert!(exposure(&base.join("a/none")).is_err());
    }

    #[test]
    fn other_owners_are_others() {
        let base = Scratch::new();
        base.write("a/file", "");
        let (dir, file) = (base.join("a"), base.join("a/file"));
        let foreign = Why::Owner(7);
        if chown(&file, Some(7), Some(7)).is_err() {
            return;
        }
        let exposed = |at: &PathBuf, is_above| Some(Exposure { at: at.clone(), why: foreign, is_above });
        assert_eq!(exposure(&file).ok(), Some(exposed(&file, false)));
        assert_eq!(exposure_above(&file).ok(), Some(None), "the end is not looked at");
        std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o1777)).expect("it is ours");
        let open = Some(Exposure { at: dir.clone(), why: Why::Mode, is_above: true });
        assert_eq!(exposure(&file).ok(), Some(open), "in a sticky directory the owner of the entry can change it");
        chown(&file, Some(0), Some(0)).and_then(|()| chown(&dir, Some(7), Some(7))).expect("root may");
        assert_eq!(exposure(&file).ok(), Some(exposed(&dir, true)));
        let judge = Judge { own: 5, unmapped: Some(7), minds_owners: true };
        assert!(matches!(judge.follow(&file), Ok(Way::Safe(_))), "nobody here can act for an unknown owner");
    }
}
