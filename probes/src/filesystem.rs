//! Space and inodes of the mounted file systems, from the mount table and statvfs.
//!
//! statvfs may wait for ever on a dead server or FUSE daemon, and a process that waits so cannot even be killed. So only mounts
//! of local types with nothing foreign above them are asked here, at a pace; the others are listed by [`Filesystem::foreign`]
//! and answered from outside with [`Filesystem::supply`]. What was not answered is unknown. The mount table is read again when
//! the kernel says that it changed.

mod kinds;
mod mounts;
mod space;

pub use kinds::is_remote;
pub use space::{Space, ask};

use std::time::Duration;

use crate::metric::metrics;
use crate::{Fault, Host, Look, Now, ObjectId, Pace, Probe, Sink, Source, Value};
use kinds::Kind;
use mounts::Mounts;

metrics! { Filesystem:
    SIZE: "size", Bytes, Gauge, "node_filesystem_size_bytes", "", "Size of the file system.";
    FREE: "free", Bytes, Gauge, "node_filesystem_free_bytes", "", "Space nobody uses, root's reserve included.";
    AVAIL: "avail", Bytes, Gauge, "node_filesystem_avail_bytes", "", "Space that users without privileges can still fill; below 0 in root's reserve.";
    FILES: "files", Count, Gauge, "node_filesystem_files", "", "Inodes of the file system.";
    FILES_FREE: "files_free", Count, Gauge, "node_filesystem_files_free", "", "Inodes nobody uses.";
    READ_ONLY: "read_only", Count, Gauge, "node_filesystem_readonly", "", "1 when nothing can be written, by choice or because of errors.";
    DEVICE_ERROR: "device_error", Count, Gauge, "node_filesystem_device_error", "", "1 when the file system refused to tell its space.";
    HUNG: "hung", Count, Gauge, "watchd_filesystem_hung", "", "1 when the file system did not answer in time.";
}
pub const LABELS: &[&str] = &["mountpoint", "device", "fstype"];

/// Asks for the space of a mount point.
pub type Ask = fn(&Host, point: &[u8]) -> Result<Space, rustix::io::Errno>;

/// Names one mount for as long as it stays mounted; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MountKey(u32);

/// What came of asking a mount.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Answer {
    Space(Space),
    /// It refused.
    Failed,
    /// It did not answer in time.
    Hung,
}

impl Answer {
    fn is_read_only(self) -> bool {
        matches!(self, Self::Space(space) if space.read_only != 0)
    }
}

/// A table that cannot be read.
static NONE: Mounts = Mounts::new();

/// What is remembered of a mount that is shown; in the order of [`Mounts::shown`].
#[derive(Clone, Copy)]
struct State {
    key: MountKey,
    answer: Option<Answer>,
    /// The path leads to another file system: something is mounted over it, or this is not the tree of the mount table.
    is_covered: bool,
}

pub struct Filesystem {
    /// Our own view of the mounts, and that of the first process: for a root that is not ours, and for what may not be written in our view.
    own: Source,
    init: Source,
    pace: Pace,
    /// When the table is read again though it seems the same.
    again: Pace,
    mounts: Mounts,
    states: Vec<State>,
    /// The table before, to find what stayed.
    old_mounts: Mounts,
    old_states: Vec<State>,
    next_key: u32,
    ask: Option<Ask>,
}

impl Default for Filesystem {
    fn default() -> Self {
        Self {
            own: Source::new(mounts::PATH),
            init: Source::new("proc/1/mountinfo"),
            pace: Pace::default(),
            again: Pace::at_most_every(Duration::from_secs(60)),
            mounts: Mounts::default(),
            states: Vec::new(),
            old_mounts: Mounts::default(),
            old_states: Vec::new(),
            next_key: 0,
            ask: None,
        }
    }
}

impl Filesystem {
    /// Asks for space in another way; for trees that hold a mount table but no mounts.
    pub fn with_statvfs(ask: Ask) -> Self {
        Self { ask: Some(ask), ..Self::default() }
    }

    /// The mounts that must not be asked in the turn, with their mount points.
    pub fn foreign(&self) -> impl Iterator<Item = (MountKey, &[u8])> {
        self.mounts
            .shown()
            .zip(&self.states)
            .filter(|(mount, _)| mount.kind == Kind::Foreign)
            .map(|(mount, state)| (state.key, self.mounts.point(mount)))
    }

    /// Gives the answer of a foreign mount; it stands until the next. A mount that is gone by now is passed over.
    pub fn supply(&mut self, key: MountKey, answer: Answer) {
        if let Some(state) = self.states.iter_mut().find(|state| state.key == key) {
            state.answer = Some(answer);
        }
    }

    /// The next look asks for space again, whatever the last one cost: files were made or removed.
    pub fn hurry(&mut self) {
        self.pace.hurry();
    }

    fn read_table(&mut self, look: &mut Look<'_>) -> Result<(), Fault> {
        std::mem::swap(&mut self.mounts, &mut self.old_mounts);
        std::mem::swap(&mut self.states, &mut self.old_states);
        self.mounts.clear();
        self.states.clear();
        let mounts = &mut self.mounts;
        let mut take = |number: u32, line: &[u8]| mounts.take(number, line);
        let source = if look.host.is_native() { &mut self.own } else { &mut self.init };
        match source.each_line(look, &mut take) {
            Err(fault) if fault.is_absence() && !look.host.is_native() => self.own.each_line(look, &mut take)?,
            result => result?,
        }
        self.mounts.choose();
        self.again.took(look.now, Duration::ZERO);
        if look.host.is_native() && self.mounts.is_narrowed() {
            let mut theirs = Mounts::default();
            let known = self.init.each_line(look, &mut |number, line| theirs.take(number, line));
            self.mounts.widen(if known.is_ok() { &theirs } else { &NONE });
        }
        for mount in self.mounts.shown() {
            let mut old = self.old_mounts.shown().zip(&self.old_states);
            let stayed = old.find(|(other, _)| {
                (other.id, other.major, other.minor) == (mount.id, mount.major, mount.minor)
                    && self.old_mounts.point(other) == self.mounts.point(mount)
            });
            let state = stayed.map_or_else(
                || {
                    self.next_key = self.next_key.wrapping_add(1);
                    State { key: MountKey(self.next_key), answer: None, is_covered: false }
                },
                |(_, state)| *state,
            );
            self.states.push(state);
        }
        Ok(())
    }

    fn is_table_old(&self, host: &Host, now: Now) -> bool {
        let source = if host.is_native() || !self.init.is_open() { &self.own } else { &self.init };
        // A file system that can be written no more after an error says so to those who may write.
        let is_blind = self.mounts.is_narrowed() && self.again.is_due(now);
        is_blind || !source.is_open() || source.has_news()
    }

    fn ask_local(&mut self, host: &Host) {
        for (mount, state) in self.mounts.shown().zip(&mut self.states) {
            if mount.kind != Kind::Local {
                continue;
            }
            let answer = match self.ask {
                Some(ask) => ask(host, self.mounts.point(mount)),
                None => space::ask_mount(host, &self.mounts, mount),
            };
            state.is_covered = answer == Err(space::COVERED);
            state.answer = Some(answer.map_or(Answer::Failed, Answer::Space));
        }
    }

    fn give(&self, out: &mut Sink<'_>) {
        for (mount, state) in self.mounts.shown().zip(&self.states) {
            // A file system of size 0 is none, whatever its type says.
            if state.is_covered || matches!(state.answer, Some(Answer::Space(space)) if space.size == 0) {
                continue;
            }
            let parts = [self.mounts.point(mount), self.mounts.device(mount), self.mounts.fstype(mount)];
            if let Some(object) = out.object(&parts) {
                let says_so = state.answer.is_some_and(Answer::is_read_only) && !mount.is_narrowed;
                give_answer(state.answer, mount.read_only || says_so, object, out);
            }
        }
    }
}

impl Probe for Filesystem {
    fn read(&mut self, look: &mut Look<'_>, out: &mut Sink<'_>) -> Result<(), Fault> {
        let is_new = self.is_table_old(look.host, look.now);
        if is_new && let Err(fault) = self.read_table(look) {
            let ask = self.ask;
            *self = Self { next_key: self.next_key, ask, ..Self::default() };
            return Err(fault);
        }
        if is_new || self.pace.is_due(look.now) {
            let start = crate::pace::stopwatch();
            self.ask_local(look.host);
            self.pace.took(look.now, crate::pace::stopwatch().saturating_sub(start));
        }
        self.give(out);
        Ok(())
    }

    fn age(&self, now: Now) -> Duration {
        self.pace.age(now)
    }
}

fn give_answer(answer: Option<Answer>, read_only: bool, object: ObjectId, out: &mut Sink<'_>) {
    let space = match answer {
        Some(Answer::Space(space)) => Some(space),
        _ => None,
    };
    let int = |take: fn(&Space) -> u64| Value::from(space.as_ref().map(take));
    out.put(object, SIZE, int(|space| space.size));
    out.put(object, FREE, int(|space| space.free));
    out.put(object, AVAIL, space.map_or(Value::Unknown, |space| space.avail_value()));
    out.put(object, FILES, int(|space| space.files));
    out.put(object, FILES_FREE, int(|space| space.files_free));
    out.put(object, READ_ONLY, Value::Int(u64::from(read_only)));
    out.put(object, DEVICE_ERROR, Value::from(answer.map(|answer| u64::from(answer == Answer::Failed))));
    out.put(object, HUNG, Value::from(answer.map(|answer| u64::from(answer == Answer::Hung))));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trial::{Reading, fixture, read_fixture, readings, value};
    use crate::{Buffer, Now, ProbeId};
    use rustix::io::Errno;

    /// Answers from `statfs.tsv` beside the fixture's mount table.
    fn recorded(host: &Host, point: &[u8]) -> Result<Space, Errno> {
        let mut text = [0; 4096];
        let text = host.read_small(b"statfs.tsv", &mut text)?;
        for (_, line) in crate::lines(text) {
            let mut words = line.split(|byte| *byte == b'\t');
            if words.next() == Some(point) {
                let mut number = || crate::Cursor::new(words.next()?).whole_number().or(Some(0));
                let [Some(fragment), Some(a), Some(b), Some(c), Some(d), Some(e)] = [(); 6].map(|()| number()) else {
                    return Err(Errno::INVAL);
                };
                return Ok(Space::new(fragment, [a, b, c], [d, e], false));
            }
        }
        Err(Errno::NOENT)
    }

    fn with_look<T>(root: &std::path::Path, secs: u64, work: impl FnOnce(&mut Look<'_>) -> T) -> T {
        let host = Host::open(root).expect("the root is there");
        let mut buffer = Buffer::default();
        let now = Now { mono: std::time::Duration::from_secs(secs), ..Now::default() };
        work(&mut Look { host: &host, buffer: &mut buffer, now })
    }

    fn read(root: &std::path::Path, probe: &mut Filesystem, secs: u64) -> Vec<Reading> {
        with_look(root, secs, |look| readings(ProbeId::Filesystem, |out| probe.read(look, out))).expect("readable")
    }

    /// What `df` shows as used, in percent, from our readings.
    fn used_pct(rows: &[Reading], object: &str) -> f64 {
        let number = |field| value(rows, field, object).and_then(Value::number).expect("known");
        let kib = |bytes: f64| (bytes / 1024.0).ceil();
        let (used, avail) = (kib(number("size") - number("free")), kib(number("avail")));
        100.0 * used / (used + avail)
    }

    #[test]
    fn the_readings_give_what_df_shows() {
        let rows = read_fixture("big", ProbeId::Filesystem, &mut Filesystem::with_statvfs(recorded)).expect("readable");
        for (object, expect) in [
            ("/ /dev/mapper/vg0-root ext4", 30.517_578_125),
            ("/boot/efi /dev/sda2 vfat", 6.103_515_625),
            ("/var /dev/nvme0n1p1 btrfs", 91.552_734_375),
            ("/srv/data 1 /dev/md0 ext4", 50.0),
            ("/srv/umlaut-ä /dev/sdb1 ext4", 12.5),
            ("/run/lock none tmpfs", 0.0),
            ("/mnt/reserved /dev/sdc1 ext4", 21.703_751_710_232_6),
            ("/m /dev/sdd1 ext4", 2.441_406_25),
        ] {
            assert!((used_pct(&rows, object) - expect).abs() < 1e-9, "{object}");
        }
        assert_eq!(value(&rows, "files", "/m /dev/sdd1 ext4"), Some(Value::Int(100)));
        assert_eq!(value(&rows, "files_free", "/m /dev/sdd1 ext4"), Some(Value::Int(96)));
        let shown = |point: &str| rows.iter().any(|(_, object, _)| object.starts_with(&format!("{point} ")));
        for (point, expect) in [("/home", true), ("/home/bind", false), ("/mnt/long/path", false), ("/proc", false)] {
            assert_eq!(shown(point), expect, "{point}");
        }
    }

    #[test]
    fn space_that_is_slow_to_tell_is_old_until_somebody_hurries() {
        use std::sync::atomic::{AtomicU64, Ordering};
        static FREE: AtomicU64 = AtomicU64::new(50);
        let root = fixture("nopsi");
        let mut probe =
            Filesystem::with_statvfs(|_, _| Ok(Space::new(1, [100, FREE.load(Ordering::Relaxed), 40], [10, 5], false)));
        let free = |probe: &mut Filesystem, secs| value(&read(&root, probe, secs), "free", "/ overlay overlay");
        assert_eq!(free(&mut probe, 10), Some(Value::Int(50)));
        probe.pace.took(
            Now { mono: std::time::Duration::from_secs(10), ..Now::default() },
            std::time::Duration::from_secs(1),
        );
        FREE.store(60, Ordering::Relaxed);
        assert_eq!(free(&mut probe, 20), Some(Value::Int(50)), "it cost too much to ask again so soon");
        probe.hurry();
        assert_eq!(free(&mut probe, 20), Some(Value::Int(60)));
    }

    #[test]
    fn a_foreign_mount_is_unknown_until_somebody_answers_for_it() {
        let root = fixture("nopsi");
        let mut probe = Filesystem::with_statvfs(|_, point| match point {
            b"/data" | b"/data/cache" | b"/net" => panic!("a foreign mount was asked"),
            _ => Ok(Space::new(1, [100, 50, 40], [10, 5], false)),
        });
        let net = "/net server:/export nfs4";
        let rows = read(&root, &mut probe, 10);
        assert_eq!(value(&rows, "size", "/ overlay overlay"), Some(Value::Int(100)));
        assert_eq!(value(&rows, "size", net), Some(Value::Unknown));
        assert_eq!(value(&rows, "hung", net), Some(Value::Unknown));
        assert_eq!(value(&rows, "read_only", net), Some(Value::Int(1)));

        let foreign: Vec<_> = probe.foreign().map(|(key, point)| (key, point.to_vec())).collect();
        let points: Vec<_> = foreign.iter().map(|(_, point)| point.as_slice()).collect();
        assert_eq!(points, [&b"/data"[..], b"/data/cache", b"/net"]);
        let (key, _) = foreign[2];
        for (answer, size, error, hung) in [
            (Answer::Space(Space::new(1, [7, 6, 5], [0, 0], false)), Value::Int(7), 0, 0),
            (Answer::Hung, Value::Unknown, 0, 1),
            (Answer::Failed, Value::Unknown, 1, 0),
        ] {
            probe.supply(key, answer);
            let rows = read(&root, &mut probe, 20);
            assert_eq!(value(&rows, "size", net), Some(size), "{answer:?}");
            assert_eq!(value(&rows, "device_error", net), Some(Value::Int(error)), "{answer:?}");
            assert_eq!(value(&rows, "hung", net), Some(Value::Int(hung)), "{answer:?}");
        }
    }

    #[test]
    fn a_mount_that_stays_keeps_its_key_and_its_answer() {
        let mut probe = Filesystem::with_statvfs(recorded);
        read(&fixture("nopsi"), &mut probe, 10);
        let before: Vec<_> = probe.foreign().map(|(key, _)| key).collect();
        probe.supply(before[0], Answer::Hung);
        with_look(&fixture("nopsi"), 20, |look| probe.read_table(look)).expect("readable");
        assert!(probe.foreign().map(|(key, _)| key).eq(before.iter().copied()));
        assert_eq!(probe.states.iter().filter(|state| state.answer == Some(Answer::Hung)).count(), 1);
        with_look(&fixture("big"), 30, |look| {
            probe.init = Source::new("proc/1/mountinfo");
            probe.read_table(look)
        })
        .expect("readable");
        assert!(probe.foreign().all(|(key, _)| !before.contains(&key)));
    }

    #[test]
    fn another_tree_than_that_of_the_table_gives_no_numbers() {
        let rows = read_fixture("vm", ProbeId::Filesystem, &mut Filesystem::default()).expect("readable");
        assert_eq!(rows, vec![]);
    }

    #[test]
    fn a_refusal_is_an_error_and_an_empty_file_system_is_none() {
        let mut probe = Filesystem::with_statvfs(|_, point| match point {
            b"/" => Err(Errno::IO),
            b"/dev" => Ok(Space::default()),
            _ => Ok(Space::new(1, [100, 50, 40], [10, 5], true)),
        });
        let rows = read(&fixture("vm"), &mut probe, 10);
        assert_eq!(value(&rows, "device_error", "/ /dev/vda ext4"), Some(Value::Int(1)));
        assert_eq!(value(&rows, "size", "/ /dev/vda ext4"), Some(Value::Unknown));
        assert_eq!(value(&rows, "size", "/dev devtmpfs devtmpfs"), None);
        assert_eq!(value(&rows, "read_only", "/dev/shm tmpfs tmpfs"), Some(Value::Int(1)));
    }

    #[test]
    fn available_space_may_be_below_zero() {
        let space = Space::new(4096, [10, 1, 0_u64.wrapping_sub(2)], [0, 0], false);
        assert_eq!(space.avail_value(), Value::Float(-8192.0));
    }

    #[test]
    fn this_host_tells_the_space_of_its_root() {
        let rows = read(std::path::Path::new("/"), &mut Filesystem::default(), 10);
        let root = rows.iter().find(|(field, object, _)| field == "size" && object.starts_with("/ "));
        assert!(root.is_some_and(|(_, _, value)| value.int() > Some(0)), "{rows:?}");
        let space = with_look(std::path::Path::new("/"), 1, |look| ask(look.host, b"/"));
        assert!(space.is_ok_and(|space| space.size > 0));
    }
}
