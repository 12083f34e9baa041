//! The mount table: `26 1 9:0 / /srv/data\0401 rw,relatime shared:26 - ext4 /dev/md0 rw,errors=remount-ro`.
//!
//! Words are separated by single blanks; blanks, tabs, newlines and backslashes inside them stand as octal escapes.
//! Of several mounts on one directory only the last can be seen. Of several mounts of one file system only one is kept, and
//! it is the one `df` would show. Mounts without space are left out. Everything lies in two buffers that are used again.

use std::ffi::CStr;
use std::ops::Range;

use super::kinds::Kind;
use crate::{Cursor, Fault};

pub(crate) const PATH: &str = "proc/self/mountinfo";

/// One mount that is shown.
#[derive(Clone, Debug)]
pub(crate) struct Mount {
    /// The kernel's number, used again after an unmount.
    pub id: u64,
    pub major: u64,
    pub minor: u64,
    pub kind: Kind,
    pub read_only: bool,
    /// Only this mount may not be written, the file system may; after [`Mounts::widen`]: and only in our view, as systemd gives it to
    /// units that it shuts in.
    pub is_narrowed: bool,
    root_len: usize,
    point: Range<usize>,
    device: Range<usize>,
    fstype: Range<usize>,
    is_shown: bool,
}

/// All mounts, in the order of the kernel.
#[derive(Default)]
pub(crate) struct Mounts {
    list: Vec<Mount>,
    text: Vec<u8>,
}

impl Mounts {
    pub const fn new() -> Self {
        Self { list: Vec::new(), text: Vec::new() }
    }

    pub fn clear(&mut self) {
        self.list.clear();
        self.text.clear();
    }

    /// Takes one line of the table.
    pub fn take(&mut self, number: u32, line: &[u8]) -> Result<(), Fault> {
        self.parse(line).ok_or_else(|| Fault::malformed(PATH, number, line))
    }

    fn parse(&mut self, line: &[u8]) -> Option<()> {
        let mut words = line.split(|byte| *byte == b' ');
        let mut number = || Cursor::new(words.next()?).whole_number();
        let (id, _parent) = (number()?, number()?);
        let mut device = Cursor::new(words.next()?);
        let major = device.number()?;
        device.skip(b":")?;
        let minor = device.whole_number()?;
        let (root, point, options) = (words.next()?, words.next()?, words.next()?);
        // Any number of optional words, then a dash.
        words.find(|word| *word == b"-")?;
        let (fstype, source, super_options) = (words.next()?, words.next()?, words.next()?);
        if !point.starts_with(b"/") || fstype.is_empty() {
            return None;
        }
        // A leading dot and a NUL behind make the point a path below the host's root.
        self.text.push(b'.');
        let mount = Mount {
            id,
            major,
            minor,
            kind: Kind::of(fstype),
            read_only: is_read_only(options) || is_read_only(super_options),
            is_narrowed: is_read_only(options) && !is_read_only(super_options),
            root_len: root.len(),
            point: self.keep(point),
            device: self.keep(source),
            fstype: self.keep(fstype),
            is_shown: true,
        };
        self.list.push(mount);
        Some(())
    }

    fn keep(&mut self, word: &[u8]) -> Range<usize> {
        let start = self.text.len();
        let mut rest = word;
        while let Some((byte, after)) = rest.split_first() {
            let (byte, after) = unescape(rest).unwrap_or((*byte, after));
            self.text.push(byte);
            rest = after;
        }
        let end = self.text.len();
        self.text.push(0);
        start..end
    }

    /// Chooses what is shown, once all lines are taken, and which local mount lies below something that may hang.
    pub fn choose(&mut self) {
        for place in 0..self.list.len() {
            if let Some((earlier, later)) = self.list.split_at_mut_checked(place)
                && let Some(mount) = later.first_mut()
            {
                Self::compare(&self.text, earlier, mount);
            }
        }
        let mut place = 0;
        while let Some(mount) = self.list.get(place) {
            let is_below = |other: &Mount| {
                matches!(other.kind, Kind::Foreign | Kind::Automount)
                    && lies_below(self.point(mount), self.point(other))
            };
            let hangs = mount.kind == Kind::Local && self.list.iter().any(is_below);
            if let (true, Some(mount)) = (hangs, self.list.get_mut(place)) {
                mount.kind = Kind::Foreign;
            }
            place += 1;
        }
    }

    /// Whether a mount that is shown may not be written though its file system may.
    pub fn is_narrowed(&self) -> bool {
        self.shown().any(|mount| mount.is_narrowed)
    }

    /// Tells what may be written nowhere from what may not be written in our view alone, by the host's own table.
    pub fn widen(&mut self, host: &Self) {
        let Self { list, text } = self;
        for mount in list.iter_mut().filter(|mount| mount.is_narrowed) {
            let point = text.get(mount.point.clone()).unwrap_or_default();
            let is_same =
                |other: &&Mount| (other.major, other.minor) == (mount.major, mount.minor) && host.point(other) == point;
            mount.is_narrowed = host.list.iter().rfind(is_same).is_some_and(|other| !other.read_only);
            mount.read_only &= !mount.is_narrowed;
        }
    }

    /// Settles which of the earlier mounts and this one is shown.
    fn compare(text: &[u8], earlier: &mut [Mount], mount: &mut Mount) {
        let of = |range: &Range<usize>| text.get(range.clone()).unwrap_or_default();
        let is_path = |mount: &Mount| of(&mount.device).contains(&b'/');
        for seen in earlier.iter_mut().filter(|seen| seen.is_shown) {
            if of(&seen.point) == of(&mount.point) {
                seen.is_shown = false;
            }
        }
        mount.is_shown = !matches!(mount.kind, Kind::Pseudo | Kind::Automount);
        if !mount.is_shown {
            return;
        }
        let same = |seen: &&mut Mount| seen.is_shown && (seen.major, seen.minor) == (mount.major, mount.minor);
        let Some(seen) = earlier.iter_mut().find(same) else { return };
        let both_foreign = seen.kind == Kind::Foreign && mount.kind == Kind::Foreign;
        if both_foreign && of(&seen.device) != of(&mount.device) {
            return;
        }
        let is_nearer = mount.point.len() < seen.point.len() && seen.root_len >= mount.root_len;
        let wins = (is_path(mount) && !is_path(seen)) || is_nearer;
        seen.is_shown = !wins;
        mount.is_shown = wins;
    }

    /// The mounts to show.
    pub fn shown(&self) -> impl Iterator<Item = &Mount> {
        self.list.iter().filter(|mount| mount.is_shown)
    }

    pub fn point(&self, mount: &Mount) -> &[u8] {
        self.part(&mount.point)
    }

    pub fn device(&self, mount: &Mount) -> &[u8] {
        self.part(&mount.device)
    }

    pub fn fstype(&self, mount: &Mount) -> &[u8] {
        self.part(&mount.fstype)
    }

    /// The point as a path below the host's root: `./srv`.
    pub fn path(&self, mount: &Mount) -> Option<&CStr> {
        let start = mount.point.start.checked_sub(1)?;
        CStr::from_bytes_with_nul(self.text.get(start..=mount.point.end)?).ok()
    }

    fn part(&self, range: &Range<usize>) -> &[u8] {
        self.text.get(range.clone()).unwrap_or_default()
    }
}

/// The byte that `\040` stands for, and what follows it.
fn unescape(text: &[u8]) -> Option<(u8, &[u8])> {
    let (digits, after) = text.strip_prefix(b"\\")?.split_at_checked(3)?;
    let value = digits.iter().try_fold(0_u16, |value, digit| match digit {
        b'0'..=b'7' => Some(value * 8 + u16::from(digit - b'0')),
        _ => None,
    })?;
    Some((u8::try_from(value).ok()?, after))
}

fn is_read_only(options: &[u8]) -> bool {
    options.split(|byte| *byte == b',').any(|option| option == b"ro")
}

/// Whether a path leads through a directory; not when it is that directory.
fn lies_below(path: &[u8], dir: &[u8]) -> bool {
    let dir = dir.strip_suffix(b"/").unwrap_or(dir);
    path.strip_prefix(dir).is_some_and(|rest| rest.len() > 1 && rest.starts_with(b"/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lines;
    use crate::trial::text_of;

    fn table(text: &[u8]) -> Result<Mounts, Fault> {
        let mut mounts = Mounts::default();
        lines(text).try_for_each(|(number, line)| mounts.take(number, line))?;
        mounts.choose();
        Ok(mounts)
    }

    fn points(text: &str) -> Vec<String> {
        let mounts = table(text.as_bytes()).expect("well-formed");
        mounts.shown().map(|mount| String::from_utf8_lossy(mounts.point(mount)).into_owned()).collect()
    }

    #[test]
    fn escapes_are_decoded_and_paths_are_below_the_root() {
        let mounts =
            table(b"26 1 9:0 / /srv/data\\0401\\134x\\9 rw shared:26 - ext4 /dev/a\\011b rw\n").expect("well-formed");
        let mount = mounts.shown().next().expect("one mount");
        assert_eq!(mounts.point(mount), b"/srv/data 1\\x\\9");
        assert_eq!(mounts.device(mount), b"/dev/a\tb");
        assert_eq!(mounts.path(mount), Some(c"./srv/data 1\\x\\9"));
    }

    #[test]
    fn an_empty_source_and_no_optional_words_are_fine() {
        let mounts = table(b"26 1 0:9 / /x ro - tmpfs  rw\n").expect("well-formed");
        let mount = mounts.shown().next().expect("one mount");
        assert_eq!((mounts.device(mount), mounts.fstype(mount), mount.read_only), (&b""[..], &b"tmpfs"[..], true));
    }

    #[test]
    fn what_may_not_be_written_in_our_view_alone_is_not_read_only() {
        let own = "44 1 8:1 / / ro - ext4 /dev/a rw\n45 44 8:2 / /ro ro - ext4 /dev/b ro\n\
            46 44 8:3 / /bound ro - ext4 /dev/c rw\n47 44 8:4 / /ours ro - ext4 /dev/d rw\n";
        let host = "27 1 8:1 / / rw - ext4 /dev/a rw\n28 27 8:2 / /ro ro - ext4 /dev/b ro\n\
            29 27 8:3 / /bound ro - ext4 /dev/c rw\n";
        for (host, expect) in [(host, [false, true, true, true]), ("", [true; 4])] {
            let (mut own, host) =
                (table(own.as_bytes()).expect("well-formed"), table(host.as_bytes()).expect("well-formed"));
            assert!(own.is_narrowed());
            own.widen(&host);
            assert_eq!(own.shown().map(|mount| mount.read_only).collect::<Vec<_>>(), expect);
            assert_eq!(own.is_narrowed(), !expect[0]);
        }
    }

    #[test]
    fn of_mounts_on_one_directory_the_last_is_seen() {
        let text = "1 0 0:1 / / rw - rootfs rootfs rw\n2 1 8:1 / / rw - ext4 /dev/sda1 rw\n\
            3 2 0:30 / /boot rw - autofs systemd-1 rw\n4 3 8:2 / /boot rw - vfat /dev/sda2 rw\n\
            5 2 8:3 / /p rw - ext4 /dev/sda3 rw\n6 5 0:4 / /p rw - proc proc rw\n";
        assert_eq!(points(text), ["/", "/boot"]);
    }

    #[test]
    fn of_one_file_system_the_mount_nearest_to_the_root_is_shown() {
        for (text, expect) in [
            ("1 0 8:1 / /mnt/long rw - ext4 /dev/a rw\n2 0 8:1 / /m rw - ext4 /dev/a rw\n", "/m"),
            ("1 0 8:1 / /m rw - ext4 /dev/a rw\n2 0 8:1 / /mnt/long rw - ext4 /dev/a rw\n", "/m"),
            ("1 0 8:1 / /mnt/long rw - ext4 /dev/a rw\n2 0 8:1 /sub /m rw - ext4 /dev/a rw\n", "/mnt/long"),
            ("1 0 8:1 / /m rw - ext4 root rw\n2 0 8:1 / /mnt/long rw - ext4 /dev/a rw\n", "/mnt/long"),
        ] {
            assert_eq!(points(text), [expect], "{text}");
        }
    }

    #[test]
    fn two_exports_of_one_server_are_both_shown() {
        let text =
            "1 0 0:50 / /a rw - nfs4 s:/a rw\n2 0 0:50 / /b rw - nfs4 s:/b rw\n3 0 0:50 / /bb rw - nfs4 s:/b rw\n";
        assert_eq!(points(text)[..2], ["/a", "/b"]);
    }

    #[test]
    fn what_lies_below_a_foreign_mount_is_foreign() {
        let mounts = table(&text_of("nopsi", "proc/1/mountinfo")).expect("well-formed");
        let kinds: Vec<_> = mounts
            .shown()
            .map(|mount| (String::from_utf8_lossy(mounts.point(mount)).into_owned(), mount.kind, mount.read_only))
            .collect();
        let expect = [
            ("/", Kind::Local, false),
            ("/dev", Kind::Local, false),
            ("/dev/shm", Kind::Local, false),
            ("/etc/hostname", Kind::Local, false),
            ("/data", Kind::Foreign, false),
            ("/data/cache", Kind::Foreign, false),
            ("/net", Kind::Foreign, true),
        ];
        let given: Vec<_> = kinds.iter().map(|(point, kind, read_only)| (point.as_str(), *kind, *read_only)).collect();
        assert_eq!(given, expect);
    }

    #[test]
    fn a_path_lies_below_a_directory_only_at_a_slash() {
        for (path, dir, expect) in [
            ("/data/x", "/data", true),
            ("/data", "/data", false),
            ("/database", "/data", false),
            ("/x", "/", true),
            ("/", "/", false),
        ] {
            assert_eq!(lies_below(path.as_bytes(), dir.as_bytes()), expect, "{path} {dir}");
        }
    }

    #[test]
    fn strange_lines_are_refused() {
        for line in [
            "",
            "x 1 8:1 / / rw - ext4 a rw",
            "1 1 81 / / rw - ext4 a rw",
            "1 1 8:1 / / rw ext4 a rw",
            "1 1 8:1 / / rw - ext4 a",
            "1 1 8:1 / p rw - ext4 a rw",
        ] {
            assert!(table(format!("{line}\n").as_bytes()).is_err(), "{line}");
        }
    }

    #[test]
    fn every_cut_gives_a_beginning_of_the_table() {
        let text = text_of("big", "proc/1/mountinfo");
        for cut in 0..text.len() {
            let part = table(&text[..cut]).expect("whole lines only");
            assert_eq!(part.list.len(), text[..cut].iter().filter(|byte| **byte == b'\n').count(), "cut at {cut}");
        }
    }
}
