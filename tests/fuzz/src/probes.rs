//! The probes: a recorded host of which one file holds the input.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::time::Duration;

use watchd_probes::{Buffer, Host, Look, Now, Probes, Sample, Value};

/// What the probes read each cycle.
const FILES: &[&str] = &[
    "proc/stat",
    "proc/loadavg",
    "proc/meminfo",
    "proc/vmstat",
    "proc/pressure/memory",
    "proc/1/mountinfo",
    "proc/diskstats",
    "proc/net/dev",
    "proc/net/netstat",
    "proc/net/snmp",
    "proc/net/sockstat",
    "proc/interrupts",
    "proc/sys/fs/file-nr",
    "proc/sys/fs/inode-nr",
    "proc/sys/kernel/random/entropy_avail",
    "proc/uptime",
    "run/utmp",
    "proc/1/stat",
];

struct Recorded {
    root: PathBuf,
    host: Host,
    buffer: Buffer,
    sample: Sample,
}

thread_local! {
    static RECORDED: RefCell<Recorded> = RefCell::new(recorded());
}

fn recorded() -> Recorded {
    let root = crate::room().join("host");
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../probes/tests/fixtures/vm");
    copy(&fixture, &root);
    let host = Host::open(&root).expect("the fixture is there");
    Recorded { root, host, buffer: Buffer::default(), sample: Sample::default() }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a directory can be made");
    for entry in std::fs::read_dir(from).expect("the fixture can be listed").flatten() {
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() { copy(&from, &to) } else { drop(std::fs::copy(&from, &to)) }
    }
}

/// The first byte says which file, the rest is its text. It is read twice: the second turn has something to compare with.
pub fn turn(input: &[u8]) {
    let Some((which, text)) = input.split_first() else { return };
    let file = FILES[usize::from(*which) % FILES.len()];
    RECORDED.with_borrow_mut(|recorded| {
        let path = recorded.root.join(file);
        let before = std::fs::read(&path).ok();
        std::fs::create_dir_all(path.parent().expect("it has a directory")).expect("a directory can be made");
        std::fs::write(&path, text).expect("the file can be written");
        let mut probes = Probes::default();
        for turn in 1..3 {
            let now = Now { mono: Duration::from_secs(10_000 * turn), ..Now::default() };
            let Recorded { host, buffer, sample, .. } = recorded;
            probes.read_all(&mut Look { host, buffer, now }, sample);
            let view = sample.view();
            for row in view.rows {
                assert!(row.metric().metric().is_some(), "a reading of a metric that is not there");
                assert!(view.parts(row.object()).count() < 16);
                if let Value::Float(level) = row.value() {
                    assert!(level.is_finite(), "{level} is told as measured");
                }
            }
        }
        match before {
            Some(before) => std::fs::write(&path, before).expect("the file can be written"),
            None => std::fs::remove_file(&path).expect("the file goes"),
        }
    });
}
