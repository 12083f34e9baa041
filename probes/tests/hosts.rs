//! All probes together: on the machine that runs the test, and on recorded hosts.

use std::path::Path;
use std::time::Duration;

use watchd_probes::{Buffer, Fault, Host, Look, Now, PROBES, ProbeId, Probes, Sample, Value, load};

/// A sample of the second turn.
fn sample_of(root: &Path) -> Result<Sample, Fault> {
    let host = Host::open(root)?;
    let (mut buffer, mut sample, mut probes) = (Buffer::default(), Sample::default(), Probes::default());
    for turn in 1..3 {
        let now = Now { mono: Duration::from_secs(100_000 * turn), wall: Duration::from_secs(1 << 30) };
        probes.read_all(&mut Look { host: &host, buffer: &mut buffer, now }, &mut sample);
    }
    Ok(sample)
}

fn fixture(host: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(host)
}

#[test]
fn on_this_host_every_probe_is_up_or_absent() {
    let sample = sample_of(Path::new("/")).expect("there is a root");
    let view = sample.view();
    for info in PROBES {
        assert!(view.state(info.id).is_up(), "{}: {:?}", info.name, sample.fault(info.id));
        assert_eq!(view.state(info.id).dropped(), 0, "{}", info.name);
    }
    for id in [ProbeId::Cpu, ProbeId::Load, ProbeId::Memory, ProbeId::Paging, ProbeId::Process, ProbeId::Uptime] {
        assert!(!view.of(id).is_empty(), "{id:?}: {:?}", sample.fault(id));
    }
}

#[test]
fn on_every_recorded_host_every_probe_is_up_or_absent() {
    for host in ["big", "old", "vm", "nopsi"] {
        let sample = sample_of(&fixture(host)).expect("the fixture is there");
        for info in PROBES {
            assert!(sample.view().state(info.id).is_up(), "{host} {}: {:?}", info.name, sample.fault(info.id));
        }
    }
}

#[test]
fn a_source_that_is_missing_is_told() {
    let sample = sample_of(&fixture("nopsi")).expect("the fixture is there");
    let fault = sample.fault(ProbeId::Pressure).expect("a fault");
    assert!(fault.is_absence());
    assert_eq!(fault.to_string(), "cannot find /proc/pressure/io on this host");
    assert!(sample.view().of(ProbeId::Pressure).is_empty());
}

#[test]
fn a_broken_source_stops_no_other_probe() {
    let root = std::env::temp_dir().join(format!("watchd-broken-{}", std::process::id()));
    std::fs::create_dir_all(root.join("proc")).expect("a directory can be made");
    std::fs::write(root.join("proc/loadavg"), "0.20 0.18 0.12 1/80 11206\n").expect("a file can be written");
    std::fs::write(root.join("proc/meminfo"), "MemTotal: 12").expect("a file can be written");
    let sample = sample_of(&root);
    std::fs::remove_dir_all(&root).expect("the directory can be removed");
    let sample = sample.expect("the root was there");
    assert!(!sample.view().state(ProbeId::Memory).is_up());
    assert!(sample.view().of(ProbeId::Memory).is_empty());
    assert_eq!(sample.view().host(load::ONE), Value::Float(0.20));
}
