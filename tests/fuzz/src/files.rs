//! What watchd finds in its own state directory, and series that people give it.

use std::path::Path;
use std::time::Duration;

use watchd::learn::Settings;
use watchd::learn::replay::Replay;
use watchd::model::Now;
use watchd::store::history::{History, HistoryReader, Span};
use watchd::store::journal::{Journal, JournalReader};
use watchd::store::ledger::Ledger;

const NOW: Now = Now { mono: Duration::from_secs(500), wall: Duration::from_secs(1_767_225_900) };

/// A file of this shape: what `make` leaves, with edits over it, or cut when the first byte is odd.
fn damaged(name: &str, input: &[u8], make: impl FnOnce(&Path)) -> std::path::PathBuf {
    let sound = crate::room().join(format!("{name}-sound"));
    if !sound.exists() {
        make(&sound);
    }
    let path = crate::room().join(name);
    let mut bytes = std::fs::read(&sound).expect("it can be read");
    if let Some((first, edits)) = input.split_first() {
        crate::patch(&mut bytes, edits);
        if first % 2 == 1 {
            bytes.truncate(bytes.len() * usize::from(*first) / 256);
        }
    }
    std::fs::write(&path, bytes).expect("it can be written");
    path
}

/// A damaged ledger opens, or is set aside and begun anew; either way it remembers and can be written.
pub fn ledger(input: &[u8]) {
    let boot = [b'b'; 40];
    let path = damaged("services", input, |path| drop(Ledger::open(path, boot).expect("it is made")));
    let (mut ledger, _) = Ledger::open(&path, boot).expect("any file makes room for a ledger");
    let _ = ledger.recall("web").expect("a row is sound or is not there");
    let _ = std::fs::remove_file(path.with_extension("damaged"));
}

pub fn journal(input: &[u8]) {
    let path = damaged("events", input, |path| drop(Journal::open(path).expect("it is made")));
    if let Ok(reader) = JournalReader::open(&path) {
        let newest = reader.newest();
        for event in reader.last(100) {
            assert!(event.number <= newest);
            let _ = (event.kind(), event.severity());
        }
    }
    let (journal, _) = Journal::open(&path).expect("any file makes room for a journal");
    let _ = journal.last(16);
    let _ = std::fs::remove_file(path.with_extension("damaged"));
}

pub fn history(input: &[u8]) {
    let path = damaged("history", input, |path| drop(History::open(path, NOW).expect("it is made")));
    if let Ok(reader) = HistoryReader::open(&path) {
        let mut places = Vec::new();
        let _ = reader.each(&mut |name, place| {
            let _ = (name.metric(), name.object());
            places.push(place);
            places.len() < 8
        });
        for place in places {
            let span = Span { from: 1_767_220_000, to: 1_767_225_900, points: 100 };
            let _ = reader.read(place, span, 1_767_225_900, &mut |point| assert!(!point.mean.is_nan()));
        }
    }
    let (_, damage) = History::open(&path, NOW).expect("any file makes room for a history");
    if let Some(damage) = damage {
        let _ = std::fs::remove_file(damage.aside);
    }
}

/// Rows of any kind: what is no use is said, the rest is judged.
pub fn replay(input: &[u8]) {
    let mut said = 0_u64;
    let week = |at: i64| u32::try_from(at.rem_euclid(604_800)).unwrap_or(0);
    let replay = Replay::new("fuzz", Settings::default(), &week);
    let tally = replay.run(input, std::io::sink(), |_, bad| {
        said += 1;
        assert!(!bad.to_string().is_empty());
    });
    let tally = tally.expect("nothing here can fail");
    assert!(tally.bad <= said);
}
