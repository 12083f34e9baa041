//! The file itself: where panels, names and rows stand, and how they are read and written, each by one positioned call.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

use super::kept::MEASURE;
use super::level::Scale;
use super::{TIERS, Tier};
use crate::model::is_begun;

/// Series side by side in one panel.
pub const COLUMNS: usize = 32;

/// The most panels; what finds no room has no history.
pub const PANELS: usize = 8;

/// Values of one row, in the order of the columns.
pub type Levels = [u16; COLUMNS * 3];

const MAGIC: &[u8; 18] = b"watchd history 1\n\0";
const HEAD: u64 = 256;
const NAME: u64 = size_of::<NameRow>() as u64;
/// CRC32 and number of the slot.
const ROW_HEAD: usize = 8;
const ROW_MAX: usize = ROW_HEAD + COLUMNS * 3 * 2;
/// What is read at a time.
pub const PIECE: usize = 8 << 10;
const PAGE: u64 = 4096;

const fn row_bytes(tier: Tier) -> usize {
    ROW_HEAD + COLUMNS * tier.values * 2
}

/// Where the rows of each tier begin in a panel, and where the panel ends.
// Evaluated by the compiler: an index out of bounds would not build.
#[allow(clippy::indexing_slicing)]
const STARTS: [u64; TIERS.len() + 1] = {
    let mut starts = [HEAD + NAME * COLUMNS as u64; TIERS.len() + 1];
    let mut tier = 0;
    while tier < TIERS.len() {
        starts[tier + 1] = starts[tier] + row_bytes(TIERS[tier]) as u64 * TIERS[tier].slots as u64;
        tier += 1;
    }
    starts[TIERS.len()] = starts[TIERS.len()].div_ceil(PAGE) * PAGE;
    starts
};

/// What one panel takes on the disk.
pub const PANEL_BYTES: u64 = {
    let [.., end] = STARTS;
    end
};

/// The name of a series: `probe.field`, NUL, object; and since when the column is its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct NameRow {
    crc: u32,
    since: u32,
    len: u32,
    text: [u8; 244],
}

/// The same for everybody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name(NameRow);

impl Name {
    /// None when it is longer than there is room for.
    pub fn new(metric: (&str, &str), object: &[u8], since: u32) -> Option<Self> {
        let mut row = NameRow { since, ..NameRow::new_zeroed() };
        let mut room = row.text.iter_mut();
        let mut len = 0;
        for part in [metric.0.as_bytes(), b".", metric.1.as_bytes(), b"\0", object] {
            for byte in part {
                *room.next()? = *byte;
                len += 1;
            }
        }
        row.len = len;
        Some(Self(row).sealed())
    }

    /// The same name, of a column that is its own since another moment.
    pub fn since_then(self, since: u32) -> Self {
        Self(NameRow { since, ..self.0 }).sealed()
    }

    fn sealed(mut self) -> Self {
        self.0.crc = self.checksum();
        self
    }

    fn checksum(&self) -> u32 {
        crc32fast::hash(self.0.as_bytes().get(4..).unwrap_or_default())
    }

    /// Seconds since 1970.
    pub fn since(&self) -> u32 {
        self.0.since
    }

    /// Both parts, as they stand in the file.
    pub fn bytes(&self) -> &[u8] {
        usize::try_from(self.0.len).ok().and_then(|len| self.0.text.get(..len)).unwrap_or_default()
    }

    /// `probe.field`.
    pub fn metric(&self) -> &str {
        let end = self.bytes().iter().position(|byte| *byte == 0).unwrap_or(0);
        self.bytes().get(..end).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default()
    }

    /// Which values the series can have: those of the policy's measures may have a sign.
    pub fn scale(&self) -> Scale {
        if self.metric().split_once('.') == Some(MEASURE) { Scale::Both } else { Scale::Up }
    }

    /// The object's name; empty for the host.
    pub fn object(&self) -> &[u8] {
        self.bytes().splitn(2, |byte| *byte == 0).nth(1).unwrap_or_default()
    }
}

/// What was found in place of a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Where it was put.
    pub aside: PathBuf,
}

/// The open file.
pub struct Rings {
    file: File,
}

impl Rings {
    pub fn new(file: File) -> Self {
        Self { file }
    }

    pub fn file(&self) -> &File {
        &self.file
    }

    /// Opens the file for writing, or makes it; what is no history is set aside.
    pub fn open(path: &Path) -> io::Result<(Self, Option<Damage>)> {
        let rings = Self { file: open_or_make(path)? };
        // Nothing, or the beginning of a head: reserved, and the power lost before the first head was written.
        if rings.file.metadata()?.len() == 0 || rings.head(0)?.is_none_or(|head| is_begun(&head, MAGIC)) {
            // A file that was cut, or copied with holes, is made whole.
            (0..rings.panels()?).try_for_each(|panel| rings.reserve(panel))?;
            return Ok((rings, None));
        }
        let aside = PathBuf::from(format!("{}.damaged", path.display()));
        std::fs::rename(path, &aside)?;
        Ok((Self { file: open_or_make(path)? }, Some(Damage { aside })))
    }

    fn head(&self, panel: usize) -> io::Result<Option<[u8; 18]>> {
        let mut head = [0; MAGIC.len()];
        match self.file.read_exact_at(&mut head, panel_start(panel)) {
            Ok(()) => Ok(Some(head)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// How many whole panels there are.
    pub fn panels(&self) -> io::Result<usize> {
        for panel in 0..PANELS {
            if self.head(panel)? != Some(*MAGIC) {
                return Ok(panel);
            }
        }
        Ok(PANELS)
    }

    /// Reserves one more panel; what was begun and not finished is taken up.
    pub fn add_panel(&self, panel: usize) -> io::Result<()> {
        self.reserve(panel)?;
        self.file.write_all_at(MAGIC, panel_start(panel))
    }

    /// The disk's room for a panel, so that no later write can find it full.
    fn reserve(&self, panel: usize) -> io::Result<()> {
        crate::sys::files::reserve(&self.file, panel_start(panel), PANEL_BYTES)
    }

    /// The name of a column; none while it is free, or when its name is damaged.
    pub fn name(&self, panel: usize, column: usize) -> io::Result<Option<Name>> {
        let mut row = NameRow::new_zeroed();
        self.file.read_exact_at(row.as_mut_bytes(), name_start(panel, column))?;
        let name = Name(row);
        Ok((row.len > 0 && name.checksum() == row.crc).then_some(name))
    }

    pub fn write_name(&self, panel: usize, column: usize, name: &Name) -> io::Result<()> {
        self.file.write_all_at(name.0.as_bytes(), name_start(panel, column))
    }

    /// Writes one row: as many of the levels as the tier has.
    pub fn write_row(&self, panel: usize, tier: usize, slot: u32, levels: &Levels) -> io::Result<()> {
        let Some(&shape) = TIERS.get(tier) else { return Ok(()) };
        let mut row = [0; ROW_MAX];
        let Some(row) = row.get_mut(..row_bytes(shape)) else { return Ok(()) };
        put(row, 4, &slot.to_le_bytes());
        for (place, level) in levels.iter().take(COLUMNS * shape.values).enumerate() {
            put(row, ROW_HEAD + 2 * place, &level.to_le_bytes());
        }
        let crc = crc32fast::hash(row.get(4..).unwrap_or_default());
        put(row, 0, &crc.to_le_bytes());
        self.file.write_all_at(row, row_start(panel, tier, slot))
    }

    /// Gives the whole rows of slots `first` to `last`, in that order. `piece` is what is read at a time, at least one row.
    pub fn rows(
        &self,
        (panel, tier): (usize, usize),
        (first, last): (u32, u32),
        piece: &mut [u8],
        give: &mut dyn FnMut(u32, Row<'_>),
    ) -> io::Result<()> {
        let Some(&shape) = TIERS.get(tier) else { return Ok(()) };
        let bytes = row_bytes(shape);
        let most = u32::try_from(piece.len() / bytes).unwrap_or(u32::MAX).max(1);
        let mut next = first.max(last.saturating_sub(shape.slots - 1));
        while next <= last {
            // Neither over the end of the ring nor over that of the buffer.
            let count = (last - next + 1).min(most).min(shape.slots - next % shape.slots);
            let Some(part) = piece.get_mut(..bytes * usize::try_from(count).unwrap_or(1)) else { return Ok(()) };
            self.file.read_exact_at(part, row_start(panel, tier, next))?;
            for (slot, row) in (next..).zip(part.chunks_exact(bytes)) {
                if is_whole(row, slot) {
                    give(slot, Row { bytes: row.get(ROW_HEAD..).unwrap_or_default(), values: shape.values });
                }
            }
            next = next.saturating_add(count);
        }
        Ok(())
    }

    /// The newest slot of the finest tier that is not after `now`, of whichever lap.
    pub fn newest(&self, panel: usize, now: u32, piece: &mut [u8]) -> io::Result<Option<u32>> {
        let [shape, ..] = TIERS;
        let bytes = row_bytes(shape);
        let most = u32::try_from(piece.len() / bytes).unwrap_or(u32::MAX).max(1);
        let (mut newest, mut next) = (None, 0);
        while next < shape.slots {
            let count = most.min(shape.slots - next);
            let Some(part) = piece.get_mut(..bytes * usize::try_from(count).unwrap_or(1)) else { break };
            self.file.read_exact_at(part, row_start(panel, 0, next))?;
            for (place, row) in (next..).zip(part.chunks_exact(bytes)) {
                let slot = word(row, 4).filter(|slot| slot % shape.slots == place && *slot <= now);
                newest = newest.max(slot.filter(|slot| *slot > 0 && is_whole(row, *slot)));
            }
            next += count;
        }
        Ok(newest)
    }
}

/// The values of one slot.
#[derive(Clone, Copy)]
pub struct Row<'a> {
    bytes: &'a [u8],
    values: usize,
}

impl Row<'_> {
    /// Min, mean and max of a column with this scale; none where nothing was measured.
    pub fn of(&self, column: usize, scale: Scale) -> Option<[f32; 3]> {
        let value = |place: usize| {
            let at = 2 * (column * self.values + place);
            let [low, high] = self.bytes.get(at..at + 2)? else { return None };
            scale.decode(u16::from_le_bytes([*low, *high]))
        };
        if self.values == 1 { value(0).map(|mean| [mean; 3]) } else { Some([value(0)?, value(1)?, value(2)?]) }
    }
}

fn open_or_make(path: &Path) -> io::Result<File> {
    // Readable by all, as the board is.
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o644)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a file"));
    }
    Ok(file)
}

fn put(row: &mut [u8], at: usize, bytes: &[u8]) {
    for (to, from) in row.iter_mut().skip(at).zip(bytes) {
        *to = *from;
    }
}

fn is_whole(row: &[u8], slot: u32) -> bool {
    word(row, 4) == Some(slot) && word(row, 0) == Some(crc32fast::hash(row.get(4..).unwrap_or_default()))
}

fn word(row: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(row.get(at..at + 4)?.try_into().ok()?))
}

fn panel_start(panel: usize) -> u64 {
    panel as u64 * PANEL_BYTES
}

fn name_start(panel: usize, column: usize) -> u64 {
    panel_start(panel) + HEAD + NAME * column as u64
}

fn row_start(panel: usize, tier: usize, slot: u32) -> u64 {
    let (Some(&shape), Some(start)) = (TIERS.get(tier), STARTS.get(tier)) else { return u64::MAX };
    panel_start(panel) + start + u64::from(slot % shape.slots) * row_bytes(shape) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    /// Open, with one panel; its name is gone.
    fn rings() -> Rings {
        let (rings, damage) = Rings::open(&Scratch::new().join("history")).expect("it opens");
        assert_eq!((damage, rings.panels().expect("it is read")), (None, 0));
        rings.add_panel(0).expect("it is reserved");
        rings
    }

    fn slots(rings: &Rings, tier: usize, span: (u32, u32)) -> Vec<(u32, Option<[f32; 3]>)> {
        let mut found = Vec::new();
        let mut piece = [0; 1000];
        rings
            .rows((0, tier), span, &mut piece, &mut |slot, row| found.push((slot, row.of(31, Scale::Up))))
            .expect("it is read");
        found
    }

    #[test]
    fn a_panel_has_the_size_that_is_told() {
        assert_eq!(PANEL_BYTES, 6_549_504);
        let rings = rings();
        rings.add_panel(1).expect("it is reserved");
        assert_eq!(rings.file.metadata().expect("it is there").len(), 2 * PANEL_BYTES);
        assert_eq!(rings.panels().expect("it is read"), 2);
    }

    #[test]
    fn rows_come_back_in_order_over_the_end_of_the_ring() {
        let rings = rings();
        let mut levels = [super::super::level::NONE; COLUMNS * 3];
        levels[31] = 7;
        levels[93] = Scale::Up.encode(1.0);
        levels[94] = Scale::Up.encode(2.0);
        levels[95] = Scale::Up.encode(3.0);
        for (tier, shape) in TIERS.into_iter().enumerate() {
            let lap = shape.slots;
            for slot in [5, lap - 1, lap, lap + 1, lap + 3] {
                rings.write_row(0, tier, slot, &levels).expect("it is written");
            }
            let mean = Scale::Up.decode(7).map(|mean| [mean; 3]);
            let expect = if tier == 0 { mean } else { Some([1.0, 2.0, 3.0]) };
            let found = slots(&rings, tier, (1, lap + 5));
            assert_eq!(found, [lap - 1, lap, lap + 1, lap + 3].map(|slot| (slot, expect)), "5 is of the lap before");
            assert_eq!(slots(&rings, tier, (lap, lap)), [(lap, expect)]);
            assert_eq!(slots(&rings, tier, (lap + 2, lap + 2)), []);
            assert_eq!(slots(&rings, tier, (9, 8)), []);
        }
        let mut piece = [0; PIECE];
        assert_eq!(rings.newest(0, 2160, &mut piece).expect("it is read"), Some(2160));
        assert_eq!(rings.newest(0, 2162, &mut piece).expect("it is read"), Some(2161));
    }

    #[test]
    fn a_row_torn_at_any_byte_is_no_data() {
        let rings = rings();
        let levels: Levels = std::array::from_fn(|place| u16::try_from(place * 37 + 300).expect("it is small"));
        for tier in [0, 3] {
            let (slot, old) = (TIERS[tier].slots + 9, 9);
            let bytes = row_bytes(TIERS[tier]);
            rings.write_row(0, tier, old, &levels.map(|level| level ^ 0x0101)).expect("it is written");
            let (mut before, mut after) = (vec![0; bytes], vec![0; bytes]);
            rings.file.read_exact_at(&mut before, row_start(0, tier, old)).expect("it is read");
            rings.write_row(0, tier, slot, &levels).expect("it is written");
            rings.file.read_exact_at(&mut after, row_start(0, tier, slot)).expect("it is read");
            for cut in 0..bytes {
                let torn: Vec<u8> = after[..cut].iter().chain(&before[cut..]).copied().collect();
                rings.file.write_all_at(&torn, row_start(0, tier, slot)).expect("it is written");
                assert_eq!(slots(&rings, tier, (slot, slot)), [], "cut at {cut}");
                assert_eq!(slots(&rings, tier, (old, old)).len(), usize::from(cut == 0), "cut at {cut}");
            }
        }
    }

    #[test]
    fn names_are_whole_or_none() {
        let rings = rings();
        let name = Name::new(("filesystem", "avail"), b"/srv", 77).expect("it is short");
        assert_eq!((name.metric(), name.object(), name.since()), ("filesystem.avail", &b"/srv"[..], 77));
        assert_eq!(rings.name(0, 3).expect("it is read"), None);
        rings.write_name(0, 3, &name).expect("it is written");
        assert_eq!(rings.name(0, 3).expect("it is read"), Some(name));
        let bytes = name.0.as_bytes();
        for cut in 0..4 + 4 + 4 + name.bytes().len() {
            let mut torn = vec![0; bytes.len()];
            torn[..cut].copy_from_slice(&bytes[..cut]);
            rings.file.write_all_at(&torn, name_start(0, 3)).expect("it is written");
            assert_eq!(rings.name(0, 3).expect("it is read"), None, "cut at {cut}");
        }
        assert_eq!(Name::new(("filesystem", "avail"), &[b'x'; 244], 0), None);
    }

    #[test]
    fn what_is_no_history_is_set_aside() {
        let scratch = Scratch::new();
        let path = scratch.join("history");
        for junk in [&b"some text that is no history"[..], &[0xff; 9000]] {
            std::fs::write(&path, junk).expect("it can be written");
            let (rings, damage) = Rings::open(&path).expect("it opens");
            let damage = damage.expect("it is damage");
            assert_eq!(std::fs::read(&damage.aside).expect("it is kept"), junk);
            assert_eq!(rings.panels().expect("it is read"), 0);
        }
        // Reserved in part, and killed: taken up.
        std::fs::write(&path, [0; 9000]).expect("it can be written");
        let (rings, damage) = Rings::open(&path).expect("it opens");
        assert_eq!((damage, rings.panels().expect("it is read")), (None, 0));
        rings.add_panel(0).expect("it is reserved");
        drop(rings);
        let (rings, damage) = Rings::open(&path).expect("it opens");
        assert_eq!((damage, rings.panels().expect("it is read")), (None, 1));
    }
}
