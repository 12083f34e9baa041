//! What the tests of all probes share: reading a text into rows that can be compared, and cutting it at each byte.

use std::path::PathBuf;

use crate::{Buffer, Fault, Host, Look, Now, Probe, ProbeId, Sample, Sink, Value};

/// A reading in words: field, the object's parts joined by a blank, value.
pub type Reading = (String, String, Value);

/// What `give` puts into a fresh sample.
pub fn readings(probe: ProbeId, give: impl FnOnce(&mut Sink<'_>) -> Result<(), Fault>) -> Result<Vec<Reading>, Fault> {
    let mut sample = Sample::default();
    sample.begin();
    let result = give(&mut sample.sink(probe));
    let fault = result.as_ref().err().cloned();
    sample.finish(probe, result, 0);
    match fault {
        Some(fault) if !fault.is_absence() => Err(fault),
        _ => Ok(in_words(&sample, probe)),
    }
}

pub fn in_words(sample: &Sample, probe: ProbeId) -> Vec<Reading> {
    let view = sample.view();
    view.of(probe)
        .iter()
        .map(|row| {
            let parts: Vec<_> = view.parts(row.object()).map(|part| String::from_utf8_lossy(part)).collect();
            (row.metric().metric().expect("a known metric").field.to_string(), parts.join(" "), row.value())
        })
        .collect()
}

/// One value out of many readings.
pub fn value(readings: &[Reading], field: &str, object: &str) -> Option<Value> {
    readings.iter().find(|(name, of, _)| name == field && of == object).map(|(_, _, value)| *value)
}

/// The text cut at each byte is refused or gives only readings that the whole text gives too.
pub fn survives_every_cut(probe: ProbeId, text: &[u8], give: impl Fn(&[u8], &mut Sink<'_>) -> Result<(), Fault>) {
    let whole = readings(probe, |out| give(text, out)).expect("the whole text is well-formed");
    assert!(!whole.is_empty());
    for cut in 0..text.len() {
        let Ok(part) = readings(probe, |out| give(&text[..cut], out)) else { continue };
        for reading in part {
            assert!(whole.contains(&reading), "cut at {cut}: {reading:?}");
        }
    }
}

/// The root of a fixture.
pub fn fixture(host: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(host)
}

/// A file of a fixture.
pub fn text_of(host: &str, path: &str) -> Vec<u8> {
    std::fs::read(fixture(host).join(path)).expect("the fixture is there")
}

/// What a probe reads from a fixture, the second of two turns: the first may be special, none after it.
pub fn read_fixture<P: Probe>(host: &str, id: ProbeId, probe: &mut P) -> Result<Vec<Reading>, Fault> {
    let host = Host::open(&fixture(host)).expect("the fixture is there");
    let mut buffer = Buffer::default();
    let mut last = Ok(Vec::new());
    for turn in 1..3 {
        let now = Now { mono: std::time::Duration::from_secs(10_000 * turn), ..Now::default() };
        let mut look = Look { host: &host, buffer: &mut buffer, now };
        last = readings(id, |out| probe.read(&mut look, out));
    }
    last
}
