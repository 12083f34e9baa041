//! Software RAID from /proc/mdstat: an array in a line without indent, its size and disks below, and what it is being mended with.
//!
//! ```text
//! md6 : active raid1 sdb2[2](F) sdc[1](S) sda2[0]
//!       195310144 blocks [2/1] [U_]
//!       [=>...................]  recovery =  8.5% (16775552/195310144) finish=17.0min speed=259783K/sec
//! ```
//!
//! `[2/1]` is how many disks it should have and has; stripes (raid0, linear) do not tell, and cannot do without one. Read once a minute
//! and repeated in between: an array that is being mended takes hours.

use std::time::Duration;

use crate::metric::metrics;
use crate::{Cursor, Fault, Fields, Look, MetricId, Pace, Probe, Sink, Source, Value};

metrics! { Mdadm:
    ACTIVE: "disks_active", Count, Gauge, "node_md_disks", "state=\"active\"", "Disks of the array that work.";
    FAILED: "disks_failed", Count, Gauge, "node_md_disks", "state=\"failed\"", "Disks of the array that failed.";
    SPARE: "disks_spare", Count, Gauge, "node_md_disks", "state=\"spare\"", "Disks of the array that wait to take the place of another.";
    REQUIRED: "disks_required", Count, Gauge, "node_md_disks_required", "", "Disks the array should have.";
    IS_ACTIVE: "active", Count, Gauge, "node_md_state", "state=\"active\"", "1 when the array is in use and nothing is done to it.";
    IS_INACTIVE: "inactive", Count, Gauge, "node_md_state", "state=\"inactive\"", "1 when the array cannot be used.";
    IS_RECOVERING: "recovering", Count, Gauge, "node_md_state", "state=\"recovering\"", "1 while a disk of the array is filled again.";
    IS_RESYNCING: "resyncing", Count, Gauge, "node_md_state", "state=\"resync\"", "1 while the disks of the array are made equal.";
    IS_CHECKING: "checking", Count, Gauge, "node_md_state", "state=\"check\"", "1 while the disks of the array are compared.";
    BLOCKS: "blocks", Count, Gauge, "node_md_blocks", "", "Blocks of 1 KiB of the array.";
    SYNCED: "blocks_synced", Count, Gauge, "node_md_blocks_synced", "", "Blocks of the array that are done, while something is done to it.";
}
pub const LABELS: &[&str] = &["device"];

const PATH: &str = "proc/mdstat";
const RARELY: Duration = Duration::from_secs(60);
const STATES: [MetricId; 5] = [IS_ACTIVE, IS_INACTIVE, IS_RECOVERING, IS_RESYNCING, IS_CHECKING];
/// What is done to an array, as its line names it.
const WORKS: [(&[u8], MetricId); 3] =
    [(b"recovery", IS_RECOVERING), (b"resync", IS_RESYNCING), (b"check", IS_CHECKING)];
/// The kernel's limit is 31 bytes.
const NAME: usize = 32;
/// More arrays than this are not looked at.
const MOST: usize = 128;

pub struct Mdadm {
    pace: Pace,
    last: Vec<Array>,
}

impl Default for Mdadm {
    fn default() -> Self {
        Self { pace: Pace::at_most_every(RARELY), last: Vec::new() }
    }
}

#[derive(Clone, Copy)]
struct Array {
    name: [u8; NAME],
    len: usize,
    state: MetricId,
    is_striped: bool,
    /// All that are named, failed ones and spares included.
    named: u64,
    failed: u64,
    spare: u64,
    active: Option<u64>,
    required: Option<u64>,
    blocks: Option<u64>,
    synced: Option<u64>,
}

impl Probe for Mdadm {
    fn read(&mut self, look: &mut Look<'_>, out: &mut Sink<'_>) -> Result<(), Fault> {
        let now = look.now;
        if self.pace.is_due(now) {
            let last = &mut self.last;
            last.clear();
            let result =
                self.pace.run(now, || Source::new(PATH).each_line(look, &mut |number, line| take(number, line, last)));
            if let Some(Err(fault)) = result {
                self.last.clear();
                return Err(fault);
            }
        }
        self.last.iter().for_each(|array| array.give(out));
        Ok(())
    }
}

impl Array {
    /// From its line: `md6 : active raid1 sdb2[2](F) sda2[0]`.
    fn new(line: &[u8]) -> Option<Self> {
        let mut fields = Fields::new(line);
        let name = fields.next().filter(|name| name.len() < NAME)?;
        let mut kept = [0; NAME];
        kept.iter_mut().zip(name).for_each(|(to, from)| *to = *from);
        if fields.next() != Some(b":") {
            return None;
        }
        let state = match fields.next()? {
            b"active" => IS_ACTIVE,
            b"inactive" => IS_INACTIVE,
            _ => return None,
        };
        let count = |mark: &[u8]| fields.clone().filter(|field| field.ends_with(mark)).count() as u64;
        Some(Self {
            name: kept,
            len: name.len(),
            state,
            is_striped: fields.clone().any(|field| field == b"raid0" || field == b"linear"),
            named: fields.clone().filter(|field| field.contains(&b'[')).count() as u64,
            failed: count(b"(F)"),
            spare: count(b"(S)"),
            active: None,
            required: None,
            blocks: None,
            synced: None,
        })
    }

    /// One of the lines below its own; none when it cannot be understood.
    fn add(&mut self, line: &[u8]) -> Option<()> {
        let mut fields = Fields::new(line);
        if self.blocks.is_none() {
            self.blocks = Some(fields.number()?);
            self.synced = self.blocks;
            (self.required, self.active) = match self.state {
                IS_INACTIVE if !self.is_striped => (Some(0), Some(0)),
                _ if self.is_striped => (Some(self.named), Some(self.named)),
                _ => fields.find_map(|field| pair(field, (b"[", b"]"))).unzip(),
            };
            return Some(());
        }
        for field in fields.clone() {
            // `resync=DELAYED` is one word.
            let word = field.split(|byte| *byte == b'=').next().unwrap_or_default();
            if let Some((_, state)) = WORKS.iter().find(|(name, _)| *name == word) {
                self.state = *state;
                self.synced = Some(fields.find_map(|field| pair(field, (b"(", b")"))).map_or(0, |(done, _)| done));
                break;
            }
        }
        Some(())
    }

    fn give(&self, out: &mut Sink<'_>) {
        let Some(device) = out.object(&[self.name.get(..self.len).unwrap_or_default()]) else { return };
        for (metric, value) in [
            (ACTIVE, self.active),
            (FAILED, Some(self.failed)),
            (SPARE, Some(self.spare)),
            (REQUIRED, self.required),
            (BLOCKS, self.blocks),
            (SYNCED, self.synced),
        ] {
            if value.is_some() {
                out.put(device, metric, Value::from(value));
            }
        }
        for metric in STATES {
            out.put(device, metric, Value::Int(u64::from(metric == self.state)));
        }
    }
}

/// `[2/1]`: both numbers.
fn pair(field: &[u8], (open, close): (&[u8], &[u8])) -> Option<(u64, u64)> {
    let mut halves = field.strip_prefix(open)?.strip_suffix(close)?.splitn(2, |byte| *byte == b'/');
    let mut number = || Cursor::new(halves.next()?).whole_number();
    Some((number()?, number()?))
}

fn take(number: u32, line: &[u8], arrays: &mut Vec<Array>) -> Result<(), Fault> {
    let malformed = || Fault::malformed(PATH, number, line);
    let is_general = [&b"Personalities"[..], b"unused", b"read_ahead"].iter().any(|word| line.starts_with(word));
    if line.trim_ascii().is_empty() || is_general {
        return Ok(());
    }
    if line.first().is_some_and(|byte| matches!(byte, b' ' | b'\t')) {
        return arrays.last_mut().map_or(Ok(()), |array| array.add(line).ok_or_else(malformed));
    }
    let array = Array::new(line).ok_or_else(malformed)?;
    if arrays.len() < MOST {
        arrays.push(array);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ProbeId;
    use crate::trial::{read_fixture, readings, survives_every_cut, text_of, value};

    fn give(text: &[u8], out: &mut Sink<'_>) -> Result<(), Fault> {
        let mut arrays = Vec::new();
        for (number, line) in crate::lines(text) {
            take(number, line, &mut arrays)?;
        }
        arrays.iter().for_each(|array| array.give(out));
        Ok(())
    }

    #[test]
    fn arrays_that_are_well_broken_striped_and_being_mended_are_told_apart() {
        let rows = read_fixture("big", ProbeId::Mdadm, &mut Mdadm::default()).expect("readable");
        for (array, required, active, failed, spare, state, blocks, synced) in [
            ("md0", 2, 2, 0, 0, "active", 248_896, 248_896),
            ("md3", 8, 8, 0, 2, "active", 5_853_468_288, 5_853_468_288),
            ("md4", 0, 0, 1, 1, "inactive", 4_883_648, 4_883_648),
            ("md6", 2, 1, 1, 1, "recovering", 195_310_144, 16_775_552),
            ("md7", 4, 3, 1, 0, "active", 7_813_735_424, 7_813_735_424),
            ("md8", 2, 2, 0, 2, "resyncing", 195_310_144, 16_775_552),
            ("md9", 4, 4, 2, 1, "resyncing", 523_968, 0),
            ("md10", 2, 2, 0, 0, "active", 314_159_265, 314_159_265),
            ("md12", 2, 2, 0, 0, "active", 3_886_394_368, 3_886_394_368),
            ("md201", 2, 2, 0, 0, "checking", 1_993_728, 114_176),
            ("md219", 0, 0, 0, 3, "inactive", 7932, 7932),
        ] {
            for (field, expect) in [
                ("disks_required", required),
                ("disks_active", active),
                ("disks_failed", failed),
                ("disks_spare", spare),
                ("blocks", blocks),
                ("blocks_synced", synced),
                (state, 1),
            ] {
                assert_eq!(value(&rows, field, array), Some(Value::Int(expect)), "{array} {field}");
            }
            let states = ["active", "inactive", "recovering", "resyncing", "checking"];
            let is = states.iter().filter(|state| value(&rows, state, array) == Some(Value::Int(1))).count();
            assert_eq!(is, 1, "{array}");
        }
        assert_eq!(read_fixture("nopsi", ProbeId::Mdadm, &mut Mdadm::default()), Ok(vec![]));
        let none = b"Personalities : [raid1]\nunused devices: <none>\n";
        assert_eq!(readings(ProbeId::Mdadm, |out| give(none, out)), Ok(vec![]));
    }

    #[test]
    fn what_is_no_array_is_refused_and_what_it_does_not_tell_is_unknown() {
        for text in [
            "md0\n",
            "md0 : \n",
            "md0 : strange raid1 sda[0]\n",
            "md0 active raid1 sda[0]\n",
            "a-name-that-is-longer-than-any-of-the-kernel : active raid1\n",
            "md0 : active raid1 sda[0]\n      many blocks [2/1]\n",
            "md0 : active raid1 sda[0]\n      -1 blocks [2/1]\n",
        ] {
            assert!(readings(ProbeId::Mdadm, |out| give(text.as_bytes(), out)).is_err(), "{text:?}");
        }
        let faulty = b"md5 : active faulty sda[0]\n      100 blocks nfaults=0\n";
        let rows = readings(ProbeId::Mdadm, |out| give(faulty, out)).expect("it is an array");
        assert_eq!(value(&rows, "disks_required", "md5"), None);
        assert_eq!(value(&rows, "disks_failed", "md5"), Some(Value::Int(0)));
        let mut many = Vec::new();
        for number in 0..1000 {
            take(1, format!("md{number} : active raid1 sda[0]").as_bytes(), &mut many).expect("it is an array");
        }
        assert_eq!(many.len(), MOST);
    }

    #[test]
    fn no_cut_gives_a_wrong_number() {
        // A cut after a whole line is a table with fewer lines: only of an array with all its lines is everything told.
        let text = text_of("big", PATH);
        let first: Vec<u8> = text.split_inclusive(|byte| *byte == b'\n').take(3).flatten().copied().collect();
        survives_every_cut(ProbeId::Mdadm, &first, give);
    }
}
