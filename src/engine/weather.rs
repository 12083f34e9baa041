//! What of the host stands in the way of starting a service: a heavy stall for memory, or no room where it writes first.
//!
//! Only what was measured counts: without pressure stall information, or for a file system that does not answer, nothing does.

use watchd_probes::{ProbeId, filesystem, pressure};

use crate::model::{Form, ServiceSpec};
use crate::store::Readings;
use crate::supervisor::{Text, text};

use super::core::Core;

/// All tasks waited for memory for this share of the last ten seconds: the host does next to nothing else.
const STALL: f64 = 40.0;
/// A file system with less room than this, and less than a thousandth of it, is full.
const ROOM: f64 = 16_777_216.0;

impl Core {
    /// Once a cycle, after the look: tells each service what has changed for it.
    pub(super) fn tell_weather(&mut self) {
        for number in 0..self.services.len() {
            let Some((spec, known)) = self.services.weather(number) else { continue };
            let obstacle = obstacle(&self.sight.readings(), spec);
            if obstacle.as_ref() != known {
                self.with_services(|services, turn| services.on_weather(number, obstacle, turn));
            }
        }
    }
}

fn obstacle(readings: &Readings<'_>, spec: &ServiceSpec) -> Option<Text> {
    if readings.view.host(pressure::MEMORY_FULL_10).number().is_some_and(|share| share >= STALL) {
        return Some(text(format_args!("waits until the host stalls less for memory")));
    }
    let path = match &spec.form {
        Form::Run(launch) => launch.cwd.as_deref(),
        Form::Pidfile(path) => Some(path.as_str()),
        Form::Match(_) => None,
    }?;
    let mount = full_mount(readings, path.as_bytes())?;
    Some(text(format_args!("waits for room on {}, which is full", mount.escape_ascii())))
}

/// The file system of a path, when it is full. One that cannot be written to at all is not: it is always full.
fn full_mount<'a>(readings: &Readings<'a>, path: &[u8]) -> Option<&'a [u8]> {
    let is_above = |mount: &[u8]| {
        path.strip_prefix(mount).is_some_and(|rest| mount == b"/" || rest.is_empty() || rest.first() == Some(&b'/'))
    };
    let mounts = readings.view.objects(ProbeId::Filesystem).map(|object| (object, readings.view.part(object, 0)));
    let (object, mount) = mounts.filter(|(_, mount)| is_above(mount)).max_by_key(|(_, mount)| mount.len())?;
    let get = |metric| readings.view.get(metric, object).number();
    let (size, avail) = (get(filesystem::SIZE)?, get(filesystem::AVAIL)?);
    let is_full = avail < ROOM && avail * 1000.0 < size && get(filesystem::READ_ONLY) == Some(0.0);
    is_full.then_some(mount)
}

#[cfg(test)]
mod tests {
    use watchd_probes::{Sample, Value};

    use super::*;

    #[test]
    fn the_nearest_file_system_counts_and_only_when_it_is_full() {
        let mut sample = Sample::default();
        sample.begin();
        let mut sink = sample.sink(ProbeId::Filesystem);
        for (mount, size, avail, read_only) in
            [(&b"/"[..], 1e9, 5e8, 0), (b"/run", 1e7, 0.0, 0), (b"/run/big", 1e12, 1e9, 0), (b"/rom", 1e9, 0.0, 1)]
        {
            let object = sink.object(&[mount, b"tmpfs", b"tmpfs"]).expect("room for it");
            sink.put(object, filesystem::SIZE, Value::Float(size));
            sink.put(object, filesystem::AVAIL, Value::Float(avail));
            sink.put(object, filesystem::READ_ONLY, Value::Int(read_only));
        }
        sample.finish(ProbeId::Filesystem, Ok(()), 0);
        let readings = Readings { view: sample.view(), rates: &[] };
        for (path, expect) in [
            ("/run/web.pid", Some(&b"/run"[..])),
            ("/run", Some(b"/run")),
            ("/running/web.pid", None),
            ("/run/big/web.pid", None),
            ("/rom/x", None),
            ("/var/web.pid", None),
        ] {
            assert_eq!(full_mount(&readings, path.as_bytes()), expect, "{path}");
        }
    }
}
