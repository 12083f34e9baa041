//! The board: one file in the run directory, mapped shared, with everything watchd knows now. One writer, any reader.
//!
//! Layout: a header of `HEADER` bytes, then one section for each kind of row, each as long as its capacity; the
//! header says how many rows of each are valid. All of it is plain data in native byte order. A sequence number that is odd while
//! the writer works lets readers notice and retry (`snapshot.rs`). The heartbeat is a word of its own, stored every turn.
//! Size: about 340 KiB reserved, of which a small host touches 40.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::time::Duration;

use watchd_probes::sample_limits::{OBJECTS, PROBE_COUNT, ROWS, TEXT};
use watchd_probes::{Object, ProbeState, Row, table};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

use crate::model::{
    CLASSES, ClassKind, EventKind, Findings, Now, Outcome, PROMISES, PromiseKind, QUANTITIES, SERVICES, ServiceState,
    Severity,
};
use crate::store::Readings;
use crate::sys::shared::Mapping;

/// Raised when a row or the header changes its meaning; changed tables of metrics are noticed by themselves.
const LAYOUT: u64 = 3;
pub(crate) const MAGIC: [u8; 8] = *b"watchd\x1a\n";

/// How many of the newest events the board shows; the journal keeps more.
pub const EVENTS: usize = 64;

/// The header alone is mapped; the sections behind it are read and written by calls.
pub(crate) const HEADER: usize = 2048;
/// Word of the header that holds the sequence number, and the one with the heartbeat.
const SEQUENCE_WORD: usize = 2;
const HEARTBEAT_WORD: usize = 3;

/// What identifies a layout: another build with other tables or rows has another number.
pub const LAYOUT_ID: u64 = {
    let sizes = [
        size_of::<Header>(),
        size_of::<Row>(),
        size_of::<Object>(),
        size_of::<ProbeState>(),
        size_of::<ServiceRow>(),
        size_of::<ClassRow>(),
        size_of::<PromiseRow>(),
        size_of::<EventRow>(),
        size_of::<LearnedRow>(),
        ROWS,
        OBJECTS,
        TEXT,
        SERVICES,
        CLASSES,
        PROMISES,
        EVENTS,
        QUANTITIES,
    ];
    let mut hash = table::FINGERPRINT ^ LAYOUT;
    let mut rest: &[usize] = &sizes;
    while let [size, tail @ ..] = rest {
        hash = hash.wrapping_mul(0x0100_0000_01b3) ^ *size as u64;
        rest = tail;
    }
    hash
};

/// The head of the board. Texts are NUL-padded; times are milliseconds.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Header {
    pub magic: [u8; 8],
    pub layout: u64,
    pub sequence: u64,
    /// Monotonic time of the last turn of the loop.
    pub heartbeat_ms: u64,
    pub pid: u32,
    /// 0 when there is no listener.
    pub door_pid: u32,
    pub boot_id: [u8; 40],
    /// Start time of `pid`, field 22 of its stat file: pid, boot and start together are the writer beyond doubt.
    pub start_ticks: u64,
    pub started_wall_ms: u64,
    pub started_mono_ms: u64,
    /// When the readings were taken.
    pub sample_wall_ms: u64,
    pub sample_mono_ms: u64,
    pub cycle_ms: u64,
    pub cycles: u64,
    /// The longest turn of the loop since the start.
    pub longest_turn_us: u64,
    /// Events since the journal began; the newest `EVENTS` of them stand on the board.
    pub events_total: u64,
    pub config_loaded_wall_ms: u64,
    pub config_ok: u32,
    pub state_ok: u32,
    pub rows: u32,
    pub objects: u32,
    pub text: u32,
    pub services: u32,
    pub classes: u32,
    pub promises: u32,
    pub events: u32,
    pub class_passes: u32,
    pub learned: u32,
    /// What Munin gets beyond munin-node's: bits of `LEARN_LIMITS` and `SPOOL`.
    pub munin: u32,
    /// Resident memory of the daemon and of its door; 0 when it could not be told.
    pub rss_kib: u32,
    pub door_rss_kib: u32,
    pub version: [u8; 16],
    pub host: [u8; 64],
    /// The kernel: its release, when it was built, and what it calls the host.
    pub kernel_release: [u8; 64],
    pub kernel_version: [u8; 96],
    pub node_name: [u8; 64],
    pub domain_name: [u8; 64],
    /// Addresses the door listens on, for people: `munin 127.0.0.1:4949, http 127.0.0.1:4950`.
    pub listening: [u8; 256],
    pub config_file: [u8; 256],
    /// Why the newest config was refused; empty when it was not.
    pub config_error: [u8; 512],
}

impl Header {
    /// Warning and critical from what was learned.
    pub const LEARN_LIMITS: u32 = 1;
    /// Values with their time, and those a master has missed.
    pub const SPOOL: u32 = 2;

    pub fn has_learned_limits(&self) -> bool {
        self.munin & Self::LEARN_LIMITS != 0
    }

    pub fn has_spool(&self) -> bool {
        self.munin & Self::SPOOL != 0
    }

    /// How long ago the loop turned last.
    pub fn age(&self, now: Now) -> Duration {
        now.mono.saturating_sub(Duration::from_millis(self.heartbeat_ms))
    }

    /// Whether it turned within the last three cycles. Cycles shorter than a second count as one: a busy host may keep any process
    /// waiting for as long.
    pub fn is_fresh(&self, now: Now) -> bool {
        self.age(now) < Duration::from_millis(self.cycle_ms.max(1000).saturating_mul(3))
    }
}

/// One service.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ServiceRow {
    pub id: [u8; 32],
    pub since_wall_ms: u64,
    pub since_mono_ms: u64,
    pub start_ticks: u64,
    /// 0 when there is none.
    pub pid: i32,
    pub restarts: u32,
    pub budget_left: u32,
    pub budget_full: u32,
    pub state: u8,
    /// 1 when its guard holds.
    pub guard: u8,
    pub form: u8,
    pub _spare: [u8; 5],
    pub reason: [u8; 160],
}

impl ServiceRow {
    pub fn state(&self) -> ServiceState {
        ServiceState::from_byte(self.state).unwrap_or(ServiceState::Unknown)
    }
}

/// One class, true or not.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ClassRow {
    /// When it became what it is, in seconds since 1970; 0 when it has been so from the start.
    pub since_s: u32,
    /// When it ends by itself; 0 when that is not known.
    pub until_s: u32,
    /// Who gave it, as `giver` says: an account, or the short key of a command.
    pub by: u32,
    pub name: [u8; 54],
    pub kind: u8,
    pub on: u8,
    pub giver: u8,
    pub _spare: [u8; 3],
}

/// Who gave a class of the kind `Set`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    Unknown,
    /// A person, by the number of the account.
    Hand(u32),
    /// A command, by the short key of its id.
    Command(u32),
}

impl By {
    /// The fields `by` and `giver` of a row.
    pub const fn fields(self) -> (u32, u8) {
        match self {
            Self::Unknown => (0, 0),
            Self::Hand(uid) => (uid, 1),
            Self::Command(key) => (key, 2),
        }
    }
}

impl ClassRow {
    pub fn since_wall_ms(&self) -> u64 {
        u64::from(self.since_s) * 1000
    }

    pub fn until_wall_ms(&self) -> u64 {
        u64::from(self.until_s) * 1000
    }

    pub fn kind(&self) -> Option<ClassKind> {
        ClassKind::from_byte(self.kind)
    }

    pub fn given_by(&self) -> By {
        match self.giver {
            1 => By::Hand(self.by),
            2 => By::Command(self.by),
            _ => By::Unknown,
        }
    }

    pub fn is_on(&self) -> bool {
        self.on == 1
    }
}

/// One promise and how it came out last.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct PromiseRow {
    pub id: [u8; 32],
    /// When the outcome was reached; 0 when there is none yet.
    pub at_wall_ms: u64,
    /// What a look at files or numbers has found; not a number when it is not known. Of a disk whose filling is foreseen: the seconds
    /// until it is full, and its place among the file systems.
    pub figures: [f64; 2],
    pub kind: u8,
    pub outcome: u8,
    pub _spare: [u8; 6],
}

impl PromiseRow {
    /// One of its figures, when it is known and of this kind of promise.
    pub fn figure(&self, kind: PromiseKind, place: usize) -> Option<f64> {
        self.figures.get(place).copied().filter(|figure| self.kind() == Some(kind) && figure.is_finite())
    }

    pub fn kind(&self) -> Option<PromiseKind> {
        PromiseKind::from_byte(self.kind)
    }

    pub fn outcome(&self) -> Outcome {
        Outcome::from_byte(self.outcome).unwrap_or(Outcome::Unknown)
    }
}

/// One quantity of the learner. Numbers that are not known are NaN.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct LearnedRow {
    /// `probe.field` or `probe.field:object`.
    pub name: [u8; 40],
    /// The mean of the last minute that was judged.
    pub value: f32,
    pub expected: f32,
    /// Beyond these a value is rarer than one a week.
    pub low: f32,
    pub high: f32,
    /// Beyond these it is an anomaly.
    pub least: f32,
    pub most: f32,
    /// A bit for each [`Finding`](crate::model::Finding).
    pub found: u16,
    /// 1 when it has learned long enough to judge.
    pub ready: u8,
    pub _spare: [u8; 5],
}

impl LearnedRow {
    pub fn found(&self) -> Findings {
        Findings(self.found)
    }

    pub fn is_ready(&self) -> bool {
        self.ready == 1
    }
}

/// One event; the same row stands in the journal.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct EventRow {
    /// Counts from 1 and never repeats within a state directory.
    pub number: u64,
    pub wall_ms: u64,
    pub mono_ms: u64,
    pub kind: u8,
    pub _spare: [u8; 3],
    /// Of everything else in the row; only the journal uses it.
    pub checksum: u32,
    /// What it is about: the id of a service or promise, the name of a class, or empty.
    pub subject: [u8; 48],
    pub text: [u8; 176],
}

impl EventRow {
    pub fn kind(&self) -> EventKind {
        EventKind::from_byte(self.kind).unwrap_or(EventKind::Trouble)
    }

    pub fn severity(&self) -> Severity {
        self.kind().severity()
    }
}

/// A text as it stands in a row: cut at a character boundary, padded with NULs.
pub fn fixed<const N: usize>(text: &str) -> [u8; N] {
    let mut row = [0; N];
    let cut = text.floor_char_boundary(N);
    for (slot, byte) in row.iter_mut().zip(text.as_bytes().iter().take(cut)) {
        *slot = *byte;
    }
    row
}

/// Back from the row; what is not UTF-8 is left out.
pub fn text(row: &[u8]) -> &str {
    let end = row.iter().position(|byte| *byte == 0).unwrap_or(row.len());
    match std::str::from_utf8(row.get(..end).unwrap_or_default()) {
        Ok(text) => text,
        Err(error) => row.get(..error.valid_up_to()).and_then(|row| std::str::from_utf8(row).ok()).unwrap_or_default(),
    }
}

/// Where the sections begin, in words.
pub(crate) struct Sections {
    pub rows: usize,
    pub rates: usize,
    pub objects: usize,
    pub text: usize,
    pub probes: usize,
    pub services: usize,
    pub classes: usize,
    pub promises: usize,
    pub events: usize,
    pub learned: usize,
    pub end: usize,
}

const fn after(start: usize, bytes: usize) -> usize {
    start + bytes.div_ceil(8)
}

pub(crate) const SECTIONS: Sections = {
    let rows = HEADER / 8;
    let rates = after(rows, ROWS * size_of::<Row>());
    let objects = after(rates, ROWS * 4);
    let text = after(objects, OBJECTS * size_of::<Object>());
    let probes = after(text, TEXT);
    let services = after(probes, PROBE_COUNT * size_of::<ProbeState>());
    let classes = after(services, SERVICES * size_of::<ServiceRow>());
    let promises = after(classes, CLASSES * size_of::<ClassRow>());
    let events = after(promises, PROMISES * size_of::<PromiseRow>());
    let learned = after(events, EVENTS * size_of::<EventRow>());
    let end = after(learned, QUANTITIES * size_of::<LearnedRow>());
    Sections { rows, rates, objects, text, probes, services, classes, promises, events, learned, end }
};

const _: () = assert!(size_of::<Header>() <= HEADER && size_of::<Header>().is_multiple_of(8));
const _: () = assert!(
    size_of::<EventRow>() == 256
        && size_of::<LearnedRow>() == 72
        && size_of::<ServiceRow>() == 240
        && size_of::<ClassRow>() == 72
);

/// Everything that is published at once.
#[derive(Clone, Copy)]
pub struct Page<'a> {
    pub header: &'a Header,
    pub readings: Readings<'a>,
    pub services: &'a [ServiceRow],
    pub classes: &'a [ClassRow],
    pub promises: &'a [PromiseRow],
    pub events: &'a [EventRow],
    pub learned: &'a [LearnedRow],
}

/// The writer's side.
pub struct Board {
    file: File,
    mapping: Mapping,
    sequence: u64,
}

impl Board {
    /// Makes a new board beside the old one and puts it in its place, so that no reader ever sees half of one.
    pub fn create(path: &Path) -> io::Result<Self> {
        let new = path.with_extension("new");
        let _ = std::fs::remove_file(&new);
        let file = crate::sys::files::create_new(&new)?;
        let mapping = Mapping::create(&file, SECTIONS.end * 8, HEADER)?;
        std::fs::rename(&new, path)?;
        Ok(Self { file, mapping, sequence: 0 })
    }

    /// Goes on with the board of the program before us, so that who reads it notices nothing; none when it is laid out otherwise.
    pub fn take_over(path: &Path) -> Option<Self> {
        let file = crate::sys::files::open_own(path).ok()?;
        let bytes = SECTIONS.end * 8;
        if file.metadata().ok()?.len() != u64::try_from(bytes).ok()? {
            return None;
        }
        let mapping = Mapping::create(&file, bytes, HEADER).ok()?;
        let sequence = self::sequence(mapping.words());
        (is_ours(mapping.words()) && sequence.is_multiple_of(2)).then_some(Self { file, mapping, sequence })
    }

    /// The file opened anew, for reading only: what a child gets that must not write.
    pub fn reopen(&self) -> io::Result<File> {
        crate::sys::files::reopen_for_reading(&self.file)
    }

    /// Says that the loop turns.
    pub fn beat(&self, mono_ms: u64) {
        if let Some(word) = self.mapping.words().get(HEARTBEAT_WORD) {
            word.store(mono_ms, Ordering::Relaxed);
        }
    }

    /// Shows a page. Sections longer than their capacity are cut; the tables that fill them are bounded the same way. A page that
    /// cannot be written stays unfinished for its readers until the next one.
    pub fn publish(&mut self, page: &Page<'_>) {
        let mut header = *page.header;
        header.magic = MAGIC;
        header.layout = LAYOUT_ID;
        header.rows = count(page.readings.view.rows, ROWS);
        header.objects = count(page.readings.view.objects, OBJECTS);
        header.text = count(page.readings.view.text, TEXT);
        header.services = count(page.services, SERVICES);
        header.classes = count(page.classes, CLASSES);
        header.promises = count(page.promises, PROMISES);
        header.events = count(page.events, EVENTS);
        header.learned = count(page.learned, QUANTITIES);

        let words = self.mapping.words();
        let Some(sequence) = words.get(SEQUENCE_WORD) else { return };
        sequence.store(self.sequence + 1, Ordering::Relaxed);
        fence(Ordering::Release);
        let bytes = header.as_bytes();
        store(words, 0, bytes.get(..SEQUENCE_WORD * 8).unwrap_or_default());
        store(words, HEARTBEAT_WORD + 1, bytes.get((HEARTBEAT_WORD + 1) * 8..).unwrap_or_default());
        if self.write_sections(page).is_err() {
            return;
        }
        self.sequence += 2;
        if let Some(sequence) = self.mapping.words().get(SEQUENCE_WORD) {
            sequence.store(self.sequence, Ordering::Release);
        }
    }

    fn write_sections(&self, page: &Page<'_>) -> io::Result<()> {
        let write = |start: usize, bytes: &[u8]| self.file.write_all_at(bytes, start as u64 * 8);
        let view = page.readings.view;
        write(SECTIONS.rows, cut(view.rows, ROWS).as_bytes())?;
        write(SECTIONS.rates, cut(page.readings.rates, ROWS).as_bytes())?;
        write(SECTIONS.objects, cut(view.objects, OBJECTS).as_bytes())?;
        write(SECTIONS.text, cut(view.text, TEXT))?;
        write(SECTIONS.probes, cut(view.probes, PROBE_COUNT).as_bytes())?;
        write(SECTIONS.services, cut(page.services, SERVICES).as_bytes())?;
        write(SECTIONS.classes, cut(page.classes, CLASSES).as_bytes())?;
        write(SECTIONS.promises, cut(page.promises, PROMISES).as_bytes())?;
        write(SECTIONS.events, cut(page.events, EVENTS).as_bytes())?;
        write(SECTIONS.learned, cut(page.learned, QUANTITIES).as_bytes())
    }
}

fn cut<T>(rows: &[T], capacity: usize) -> &[T] {
    rows.get(..capacity).unwrap_or(rows)
}

fn count<T>(rows: &[T], capacity: usize) -> u32 {
    u32::try_from(rows.len().min(capacity)).unwrap_or(0)
}

fn store(words: &[AtomicU64], start: usize, bytes: &[u8]) {
    let Some(section) = words.get(start..) else { return };
    for (word, chunk) in section.iter().zip(bytes.chunks(8)) {
        let mut value = [0; 8];
        for (slot, byte) in value.iter_mut().zip(chunk) {
            *slot = *byte;
        }
        word.store(u64::from_ne_bytes(value), Ordering::Relaxed);
    }
}

/// Why a board cannot be read.
#[derive(Debug)]
pub enum BoardError {
    /// There is none: no daemon runs with this run directory.
    Absent,
    Io(io::Error),
    /// It was written by another version, or is not a board at all.
    Foreign,
    /// The writer ended in the middle of a page, or never stops writing.
    Torn,
}

impl std::fmt::Display for BoardError {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Absent => write!(out, "cannot find the board: no daemon has run here"),
            Self::Io(error) => write!(out, "cannot read the board: {error}"),
            Self::Foreign => {
                write!(out, "cannot understand the board: it belongs to another version; restart the daemon")
            }
            Self::Torn => write!(out, "cannot read the board: the daemon ended while it wrote"),
        }
    }
}

impl std::error::Error for BoardError {}

/// Whether these words are a board of this build.
pub(crate) fn is_ours(words: &[AtomicU64]) -> bool {
    let word = |place: usize| words.get(place).map(|word| word.load(Ordering::Relaxed));
    words.len() >= HEADER / 8 && word(0) == Some(u64::from_ne_bytes(MAGIC)) && word(1) == Some(LAYOUT_ID)
}

/// The sequence number; odd while the writer works.
pub(crate) fn sequence(words: &[AtomicU64]) -> u64 {
    words.get(SEQUENCE_WORD).map_or(1, |word| word.load(Ordering::Acquire))
}

/// Monotonic time of the last turn of the writer's loop.
pub(crate) fn heartbeat(words: &[AtomicU64]) -> u64 {
    words.get(HEARTBEAT_WORD).map_or(0, |word| word.load(Ordering::Relaxed))
}

impl Default for Header {
    fn default() -> Self {
        Self::new_zeroed()
    }
}
