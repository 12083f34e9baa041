//! The board as its readers see it, with anything written over it.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use watchd::export::munin::{Ask, Facts, answer, names};
use watchd::export::openmetrics::{self, Format};
use watchd::export::{Page, html, json};
use watchd::model::Now;
use watchd::store::board::{self, Header};
use watchd::store::{Board, Rates, Reader, Readings, Snapshot};
use watchd_probes::{Buffer, Host, Look, Probes, Sample};

pub const NOW: Now = Now { mono: Duration::from_secs(1_000_000), wall: Duration::from_secs(1_767_225_900) };

/// A page that shows a recorded host.
fn publish(path: &Path) {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../probes/tests/fixtures/vm");
    let host = Host::open(&fixture).expect("the fixture is there");
    let (mut buffer, mut sample) = (Buffer::default(), Sample::default());
    let look = &mut Look { host: &host, buffer: &mut buffer, now: NOW };
    Probes::default().read_all(look, &mut sample);
    let rates = Rates::default();
    let readings = Readings { view: sample.view(), rates: rates.as_slice() };
    let header = Header { cycle_ms: 10_000, cycles: 7, sample_mono_ms: 999_999_000, ..Header::default() };
    let page = board::Page {
        header: &header,
        readings,
        services: &[],
        classes: &[],
        promises: &[],
        events: &[],
        learned: &[],
    };
    let mut made = Board::create(path).expect("the board is made");
    made.beat(1_000_000_000);
    made.publish(&page);
}

pub fn sound() -> Snapshot {
    let path = crate::room().join("sound");
    publish(&path);
    let mut snapshot = Snapshot::default();
    Reader::open(&path).expect("it opens").read(&mut snapshot).expect("it is whole");
    snapshot
}

/// Edits over a sound board (`patch`); the sequence number stays even, for a torn board is only waited for. Whatever can be read is
/// told in every way there is.
pub fn hostile(input: &[u8]) {
    thread_local! { static SOUND: Vec<u8> = bytes(); }
    let path = crate::room().join("hostile");
    let mut bytes = SOUND.with(Clone::clone);
    let sequence: [u8; 16] = bytes[16..32].try_into().expect("16 bytes");
    crate::patch(&mut bytes, input);
    bytes[16..32].copy_from_slice(&sequence);
    let file = File::options().create(true).truncate(false).read(true).write(true).open(&path).expect("it opens");
    file.write_all_at(&bytes, 0).expect("it can be written");
    let mut snapshot = Snapshot::default();
    let Ok(reader) = Reader::of(file) else { return };
    if reader.read(&mut snapshot).is_err() {
        return;
    }
    let mut page = Page::new(Page::LIMIT);
    json::status(&snapshot, NOW, &mut page);
    page.clear();
    html::write(&snapshot, true, NOW, &mut page);
    for format in [Format::Text, Format::OpenMetrics] {
        page.clear();
        openmetrics::write(&snapshot, NOW, format, &mut page);
    }
    let facts = Facts::new(&snapshot, NOW);
    let mut known = Vec::new();
    names(&facts, true, &mut |plugin, instance| known.push([plugin.as_bytes(), instance].concat()));
    for name in known {
        for ask in [Ask::Config, Ask::Fetch] {
            page.clear();
            let _ = answer(&facts, ask, &name, &mut page);
        }
    }
}

fn bytes() -> Vec<u8> {
    let path = crate::room().join("sound-bytes");
    publish(&path);
    std::fs::read(&path).expect("it can be read")
}
