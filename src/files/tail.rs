//! `[measure.ID]` with `file`: what the new lines of a growing log say.
//!
//! Remembered are which file it was and how far it was read. A log that was renamed is finished under its new name when that lies in
//! the same directory and begins with the old one, then the new one is read from its beginning; one that was cut is read anew, and one that
//! was not there at the look before from its beginning. A last
//! line without its end waits for the next look. At most `CHUNK` bytes are read in one look. The first look counts nothing: what a log
//! said before is not news.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;

use regex_lite::Regex;
use serde::{Deserialize, Serialize};

use super::fault::Fault;
use super::memory::Memory;
use crate::model::{LogKind, Outcome, Tended};
use crate::sys::tree::{self, Dir, Kind};

/// What one look reads; the rest waits.
const CHUNK: u64 = 4 << 20;
/// A line without an end that is longer than this is passed over.
const LONGEST: u64 = 256 << 10;

/// How far a log was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Place {
    device: u64,
    inode: u64,
    offset: u64,
    /// Sum of the last bytes before that place, by which a log that was cut and grew again is known.
    sum: u32,
    /// Lines that matched, ever.
    total: u64,
    /// The last number of a gauge.
    last: Option<f64>,
}

pub fn tail(id: &str, memory: &Memory, (path, pattern, kind): (&str, &str, LogKind)) -> Tended {
    let name = format!("{id}.place");
    match look(&name, memory, (path, pattern, kind)) {
        Ok(value) => Tended { figures: [value, f64::NAN], ..Tended::new(Outcome::Kept, "") },
        Err(fault) => Tended::new(fault.outcome(), fault.to_string()),
    }
}

fn look(row: &str, memory: &Memory, (path, pattern, kind): (&str, &str, LogKind)) -> Result<f64, Fault> {
    let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
    let dir = Dir::open(if parent.is_empty() { "/" } else { parent })
        .map_err(Fault::system("open the directory of", path))?;
    let refused = |why| Fault::Refused { path: path.to_owned(), why };
    let regex = Regex::new(pattern).map_err(|_| refused("its pattern is no regular expression"))?;
    // A counter that a line tells is read like a gauge.
    let tells = regex.capture_names().flatten().any(|name| name == "value");
    let kind = if kind == LogKind::Counter && tells { LogKind::Gauge } else { kind };
    let facts = dir.facts(name);
    if facts.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::NotFound) && memory.load::<Place>(row).is_none()
    {
        // When it comes, all of it is news.
        save(memory, row, &Place::default())?;
    }
    let facts = facts.map_err(Fault::system("look at", path))?;
    if facts.kind != Kind::File {
        return Err(refused("it is no regular file; write the path it leads to"));
    }
    let file = dir.read(name).map_err(Fault::system("open", path))?;
    let facts = tree::facts(&file).map_err(Fault::system("look at", path))?;
    let here = Place { device: facts.device, inode: facts.inode, ..Place::default() };
    let Some(before) = memory.load::<Place>(row) else {
        let sum = sum(&file, facts.size).map_err(Fault::system("read", path))?;
        let place = Place { offset: facts.size, sum, ..here };
        save(memory, row, &place)?;
        return Ok(value(kind, &place, 0));
    };
    let mut place = before;
    let mut count = 0;
    let mut room = CHUNK;
    let system = |error| Fault::System { verb: "read", path: path.to_owned(), error };
    if (before.device, before.inode) != (facts.device, facts.inode) {
        if let Some(old) = renamed(&dir, name, &before) {
            count += read(&old, &regex, (&mut place, &mut room)).map_err(system)?;
            if room == 0 {
                // The rest of the old one is read before the new one is begun.
                place.sum = sum(&old, place.offset).map_err(system)?;
                save(memory, row, &place)?;
                return Ok(value(kind, &place, count));
            }
        }
        place = Place { total: place.total, last: place.last, ..here };
    } else if facts.size < before.offset || sum(&file, before.offset).is_ok_and(|sum| sum != before.sum) {
        place.offset = 0;
    }
    count += read(&file, &regex, (&mut place, &mut room)).map_err(system)?;
    place.sum = sum(&file, place.offset).map_err(system)?;
    if place != before {
        save(memory, row, &place)?;
    }
    Ok(value(kind, &place, count))
}

fn save(memory: &Memory, row: &str, place: &Place) -> Result<(), Fault> {
    let path = memory.path(row).to_string_lossy().into_owned();
    memory.save(row, place).map_err(Fault::system("remember in", &path))
}

#[allow(clippy::cast_precision_loss, reason = "nobody counts so many lines")]
fn value(kind: LogKind, place: &Place, count: u64) -> f64 {
    match kind {
        LogKind::Lines => count as f64,
        LogKind::Counter => place.total as f64,
        LogKind::Gauge => place.last.unwrap_or(f64::NAN),
    }
}

/// The log as it is called now, when it has only been renamed.
fn renamed(dir: &Dir, name: &str, before: &Place) -> Option<File> {
    let mut found = None;
    let _ = dir.each(&mut |other| {
        let is_it = other != name
            && other.starts_with(name)
            && dir.facts(other).is_ok_and(|facts| (facts.device, facts.inode) == (before.device, before.inode));
        if is_it {
            found = dir.read(other).ok();
        }
        !is_it
    });
    found.filter(|file| tree::facts(file).is_ok_and(|facts| facts.inode == before.inode && facts.size >= before.offset))
}

/// The sum of up to 64 bytes before a place.
fn sum(file: &File, offset: u64) -> io::Result<u32> {
    let mut bytes = [0; 64];
    let start = offset.saturating_sub(64);
    let length = usize::try_from(offset - start).unwrap_or(0);
    let window = bytes.get_mut(..length).unwrap_or_default();
    file.read_exact_at(window, start)?;
    Ok(crc32fast::hash(window))
}

/// Reads whole lines from where we were; gives how many matched.
fn read(mut file: &File, regex: &Regex, (place, room): (&mut Place, &mut u64)) -> io::Result<u64> {
    file.seek(SeekFrom::Start(place.offset))?;
    let mut text = Vec::new();
    file.take(*room).read_to_end(&mut text)?;
    let end = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
    let whole = text.get(..end).unwrap_or_default();
    let mut count = 0;
    for line in whole.split(|byte| *byte == b'\n') {
        if line.is_empty() {
            continue;
        }
        let line = String::from_utf8_lossy(line);
        let Some(found) = regex.captures(&line) else { continue };
        count += 1;
        let number = found.name("value").and_then(|value| value.as_str().trim().parse::<f64>().ok());
        place.last = number.filter(|number| number.is_finite()).or(place.last);
    }
    let rest = (text.len() - end) as u64;
    let is_endless = rest > LONGEST;
    place.offset += end as u64 + if is_endless { rest } else { 0 };
    place.total += count;
    *room -= (text.len() as u64).min(*room);
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;
    use std::fs;
    use std::io::Write;

    fn add(scratch: &Scratch, name: &str, text: &str) {
        let mut file = File::options().create(true).append(true).open(scratch.join(name)).expect("it opens");
        file.write_all(text.as_bytes()).expect("it can be written");
    }

    #[test]
    fn each_line_counts_once_whatever_happens_to_the_log() {
        let scratch = Scratch::new();
        let memory = Memory::new(&scratch.join("state"));
        fs::create_dir(scratch.join("state")).expect("a directory can be made");
        let log = scratch.join("log").to_string_lossy().into_owned();
        let look = |kind| {
            let tended = tail("x", &memory, (&log, "ERROR|took (?<value>[0-9.]+) ms", kind));
            (tended.outcome, tended.figures[0])
        };
        add(&scratch, "log", "ERROR before\n");
        assert_eq!(look(LogKind::Lines), (Outcome::Kept, 0.0));
        add(&scratch, "log", "ERROR 1\nfine\nERROR 2\nERR");
        assert_eq!(look(LogKind::Lines).1, 2.0);
        assert_eq!(look(LogKind::Lines).1, 0.0, "half a line is none");
        add(&scratch, "log", "OR 3\n");
        assert_eq!(look(LogKind::Lines).1, 1.0);
        assert!(look(LogKind::Gauge).1.is_nan());
        add(&scratch, "log", "took 7.5 ms\ntook x ms\n");
        assert_eq!(look(LogKind::Gauge).1, 7.5);
        let count = |kind| tail("x", &memory, (&log, "ERROR|took [0-9.]+ ms", kind)).figures[0];
        assert_eq!(
            (count(LogKind::Counter), look(LogKind::Counter).1),
            (4.0, 7.5),
            "a number that lines tell is the counter"
        );
        add(&scratch, "log", "ERROR at the end\n");
        fs::rename(scratch.join("log"), scratch.join("log.1")).expect("it is ours");
        add(&scratch, "log", "ERROR in the new\n");
        assert_eq!(look(LogKind::Lines).1, 2.0, "the old one is finished, the new one begun");
        fs::write(scratch.join("log"), "ERROR\n").expect("it is ours");
        assert_eq!(look(LogKind::Lines).1, 1.0, "it was cut");
        fs::write(scratch.join("log"), "fine\nERROR\n").expect("it is ours");
        assert_eq!(look(LogKind::Lines).1, 1.0, "it was cut and has grown again");
        fs::remove_file(scratch.join("log")).expect("it is ours");
        assert!(look(LogKind::Lines).1.is_nan(), "missing is not zero");
        add(&scratch, "log", "ERROR and more\n");
        assert_eq!(count(LogKind::Counter), 9.0);
    }

    #[test]
    fn a_log_that_comes_later_is_read_from_its_beginning() {
        let scratch = Scratch::new();
        let memory = Memory::new(&scratch.join("state"));
        fs::create_dir(scratch.join("state")).expect("a directory can be made");
        let log = scratch.join("log").to_string_lossy().into_owned();
        let look = || tail("x", &memory, (&log, "ERROR", LogKind::Lines));
        for _ in 0..2 {
            assert_eq!(look().outcome, Outcome::Failed, "there is none");
        }
        add(&scratch, "log", "ERROR 1\nERROR 2\n");
        assert_eq!([look().figures[0], look().figures[0]], [2.0, 0.0]);
    }

    #[test]
    fn a_flood_is_read_in_parts() {
        let scratch = Scratch::new();
        let memory = Memory::new(&scratch.join("state"));
        fs::create_dir(scratch.join("state")).expect("a directory can be made");
        let log = scratch.join("log").to_string_lossy().into_owned();
        let look = || tail("x", &memory, (&log, "E", LogKind::Lines)).figures[0];
        add(&scratch, "log", "");
        look();
        add(&scratch, "log", &"E 34567\n".repeat(1 << 20));
        assert_eq!([look(), look(), look()], [524_288.0, 524_288.0, 0.0]);
        add(&scratch, "log", &"E 34567\n".repeat(1 << 20));
        fs::rename(scratch.join("log"), scratch.join("log.1")).expect("it is ours");
        add(&scratch, "log", "E\n");
        assert_eq!([look(), look(), look(), look()], [524_288.0, 524_288.0, 1.0, 0.0], "none is lost by a rotation");
        add(&scratch, "log", &"E".repeat(1 << 20));
        add(&scratch, "log", "\nE\n");
        assert_eq!([look(), look()], [2.0, 0.0]);
    }
}
