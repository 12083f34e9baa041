//! The reader's side of the board: a private copy of one published page.
//!
//! A reader copies the sections, looks at the sequence number before and after, and tries again when it moved. It never stores, never
//! locks, and costs the daemon nothing. Buffers are kept between reads.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::time::Duration;

use watchd_probes::sample_limits::{OBJECTS, PROBE_COUNT, ROWS, TEXT};
use watchd_probes::{Object, ProbeState, Row, View};
use zerocopy::{FromBytes, FromZeros, IntoBytes};

use super::board::{
    self, BoardError, ClassRow, EVENTS, EventRow, HEADER, Header, LAYOUT_ID, LearnedRow, MAGIC, PromiseRow, SECTIONS,
    ServiceRow,
};
use crate::model::{CLASSES, PROMISES, QUANTITIES, SERVICES};
use crate::store::Readings;
use crate::sys::clock;
use crate::sys::shared::Mapping;

/// A page takes microseconds to write, but its writer may lose the processor in the middle of it. One that takes this long is
/// stopped or gone.
const PATIENCE: Duration = Duration::from_millis(250);

/// A board opened for reading.
pub struct Reader {
    file: File,
    header: Mapping,
}

impl Reader {
    pub fn open(path: &Path) -> Result<Self, BoardError> {
        let file = File::open(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => BoardError::Absent,
            _ => BoardError::Io(error),
        })?;
        Self::of(file)
    }

    /// Reads from an already open board.
    pub fn of(file: File) -> Result<Self, BoardError> {
        if file.metadata().map_err(BoardError::Io)?.len() != (SECTIONS.end * 8) as u64 {
            return Err(BoardError::Foreign);
        }
        let header = Mapping::open(&file, HEADER).map_err(BoardError::Io)?;
        Ok(Self { file, header })
    }

    /// What is read from, for a process that closes everything else.
    pub fn source(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Changes with every published page.
    pub fn generation(&self) -> u64 {
        board::sequence(self.header.words())
    }

    /// Monotonic time of the daemon's last turn, which moves without a new page.
    pub fn heartbeat_ms(&self) -> u64 {
        board::heartbeat(self.header.words())
    }

    /// Copies the newest page.
    pub fn read(&self, snapshot: &mut Snapshot) -> Result<(), BoardError> {
        let words = self.header.words();
        let start = clock::now().mono;
        loop {
            let before = board::sequence(words);
            if before == 0 {
                return Err(BoardError::Absent);
            }
            if before.is_multiple_of(2) {
                if !board::is_ours(words) {
                    return Err(BoardError::Foreign);
                }
                snapshot.copy(words, &self.file).map_err(BoardError::Io)?;
                fence(Ordering::Acquire);
                if board::sequence(words) == before {
                    return Ok(());
                }
            }
            if clock::now().mono.saturating_sub(start) > PATIENCE {
                return Err(BoardError::Torn);
            }
            clock::give_way();
        }
    }
}

/// Reads the head alone, by one plain read: what names the writer does not change while it lives, and the heartbeat is one word.
pub fn read_header(path: &Path) -> Result<Header, BoardError> {
    let file = File::open(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => BoardError::Absent,
        _ => BoardError::Io(error),
    })?;
    let mut header = Header::default();
    file.read_exact_at(header.as_mut_bytes(), 0).map_err(|_| BoardError::Foreign)?;
    match header.sequence {
        0 => Err(BoardError::Absent),
        _ if header.magic != MAGIC || header.layout != LAYOUT_ID => Err(BoardError::Foreign),
        _ => Ok(header),
    }
}

/// A private copy of one page.
#[derive(Default)]
pub struct Snapshot {
    pub header: Header,
    rows: Vec<Row>,
    rates: Vec<f32>,
    objects: Vec<Object>,
    text: Vec<u8>,
    probes: Vec<ProbeState>,
    pub services: Vec<ServiceRow>,
    pub classes: Vec<ClassRow>,
    pub promises: Vec<PromiseRow>,
    /// Oldest first.
    pub events: Vec<EventRow>,
    pub learned: Vec<LearnedRow>,
}

impl Snapshot {
    pub fn readings(&self) -> Readings<'_> {
        let view = View { rows: &self.rows, objects: &self.objects, text: &self.text, probes: &self.probes };
        Readings { view, rates: &self.rates }
    }

    pub fn service(&self, id: &str) -> Option<&ServiceRow> {
        self.services.iter().find(|row| board::text(&row.id) == id)
    }

    fn copy(&mut self, words: &[AtomicU64], file: &File) -> io::Result<()> {
        load(words, self.header.as_mut_bytes());
        let header = self.header;
        section(file, SECTIONS.rows, &mut self.rows, header.rows, ROWS)?;
        section(file, SECTIONS.rates, &mut self.rates, header.rows, ROWS)?;
        section(file, SECTIONS.objects, &mut self.objects, header.objects, OBJECTS)?;
        section(file, SECTIONS.text, &mut self.text, header.text, TEXT)?;
        section(file, SECTIONS.probes, &mut self.probes, u32::try_from(PROBE_COUNT).unwrap_or(0), PROBE_COUNT)?;
        section(file, SECTIONS.services, &mut self.services, header.services, SERVICES)?;
        section(file, SECTIONS.classes, &mut self.classes, header.classes, CLASSES)?;
        section(file, SECTIONS.promises, &mut self.promises, header.promises, PROMISES)?;
        section(file, SECTIONS.events, &mut self.events, header.events, EVENTS)?;
        section(file, SECTIONS.learned, &mut self.learned, header.learned, QUANTITIES)
    }
}

fn section<T: FromBytes + IntoBytes + FromZeros + Clone>(
    file: &File,
    start: usize,
    rows: &mut Vec<T>,
    count: u32,
    capacity: usize,
) -> io::Result<()> {
    rows.resize(usize::try_from(count).unwrap_or(0).min(capacity), T::new_zeroed());
    file.read_exact_at(rows.as_mut_slice().as_mut_bytes(), start as u64 * 8)
}

fn load(words: &[AtomicU64], bytes: &mut [u8]) {
    for (word, chunk) in words.iter().zip(bytes.chunks_mut(8)) {
        let value = word.load(Ordering::Relaxed).to_ne_bytes();
        for (slot, byte) in chunk.iter_mut().zip(value) {
            *slot = byte;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;
    use crate::store::board::{Board, Page, fixed, text};
    use watchd_probes::{ProbeId, Sample, load};

    fn page<'a>(header: &'a Header, sample: &'a Sample, rates: &'a [f32], services: &'a [ServiceRow]) -> Page<'a> {
        let readings = Readings { view: sample.view(), rates };
        Page { header, readings, services, classes: &[], promises: &[], events: &[], learned: &[] }
    }

    #[test]
    fn what_is_published_is_read() {
        let scratch = Scratch::new();
        let path = scratch.join("board");
        let mut board = Board::create(&path).expect("the board is made");
        let mut sample = Sample::default();
        sample.begin();
        sample.sink(ProbeId::Load).host(load::TASKS, 42);
        sample.finish(ProbeId::Load, Ok(()), 5);
        let service = ServiceRow { id: fixed("web"), ..ServiceRow::new_zeroed() };
        let header = Header { cycles: 7, host: fixed("näme"), ..Header::default() };
        board.beat(99);
        board.publish(&page(&header, &sample, &[f32::NAN], &[service]));

        let reader = Reader::open(&path).expect("the board opens");
        let mut snapshot = Snapshot::default();
        reader.read(&mut snapshot).expect("the page is whole");
        assert_eq!((snapshot.header.cycles, text(&snapshot.header.host)), (7, "näme"));
        assert_eq!(snapshot.header.heartbeat_ms, 99, "the heartbeat is not overwritten by a page");
        assert_eq!(snapshot.readings().view.host(load::TASKS).int(), Some(42));
        assert!(snapshot.service("web").is_some());
    }

    #[test]
    fn a_page_that_is_never_finished_is_torn() {
        let scratch = Scratch::new();
        let path = scratch.join("board");
        let mut board = Board::create(&path).expect("the board is made");
        let mut sample = Sample::default();
        sample.begin();
        board.publish(&page(&Header::default(), &sample, &[], &[]));
        let file = std::fs::OpenOptions::new().write(true).open(&path).expect("it can be opened");
        file.write_all_at(&7_u64.to_ne_bytes(), 16).expect("it can be written");
        let reader = Reader::open(&path).expect("the board opens");
        assert!(matches!(reader.read(&mut Snapshot::default()), Err(BoardError::Torn)));
    }

    #[test]
    fn a_board_of_another_layout_is_refused() {
        let scratch = Scratch::new();
        let path = scratch.join("board");
        let board = Board::create(&path).expect("the board is made");
        let reader = Reader::open(&path).expect("the board opens");
        assert!(matches!(reader.read(&mut Snapshot::default()), Err(BoardError::Absent)), "nothing published yet");
        drop(board);
        std::fs::write(&path, vec![2; SECTIONS.end * 8]).expect("the file can be written");
        let reader = Reader::open(&path).expect("the board opens");
        assert!(matches!(reader.read(&mut Snapshot::default()), Err(BoardError::Foreign)));
        std::fs::write(&path, b"short").expect("the file can be written");
        assert!(matches!(Reader::open(&path), Err(BoardError::Foreign)));
    }

    #[test]
    fn a_text_is_cut_at_a_character() {
        assert_eq!(text(&fixed::<4>("aäöü")), "aä");
        assert_eq!(text(b"ab\xff\0"), "ab");
    }
}
