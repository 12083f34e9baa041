//! After its first turns no probe asks for memory, whatever is due: counted by an allocator of our own.

mod counting;

use std::path::Path;
use std::time::Duration;

use counting::ASKED;
use watchd_probes::{Buffer, Host, Look, Now, Probes, Sample};

/// How often memory was asked for in each turn; all paced work is due in each.
fn asked_per_turn(root: &Path, service: (i32, u64)) -> Result<Vec<u64>, watchd_probes::Fault> {
    let host = Host::open(root)?;
    let (mut buffer, mut sample, mut probes) = (Buffer::default(), Sample::default(), Probes::default());
    let mut asked = Vec::with_capacity(12);
    for turn in 1..=12 {
        let now = Now { mono: Duration::from_secs(100_000 * turn), wall: Duration::from_secs(1 << 30) };
        let mut look = Look { host: &host, buffer: &mut buffer, now };
        let before = ASKED.get();
        probes.service.watch(0, b"one", Some(service.0), service.1);
        probes.read_all(&mut look, &mut sample);
        asked.push(ASKED.get() - before);
    }
    Ok(asked)
}

#[test]
fn a_turn_on_a_large_host_asks_for_no_memory() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/big");
    let asked = asked_per_turn(&root, (200, 1000)).expect("the fixture is there");
    assert!(asked[0] > 0, "the counter counts");
    assert!(asked[3..].iter().all(|count| *count == 0), "{asked:?}");
}

#[test]
fn a_turn_on_this_host_asks_for_no_memory() {
    let pid = i32::try_from(std::process::id()).expect("a pid is small");
    let text = std::fs::read("/proc/self/stat").expect("we exist");
    let own = watchd_probes::process::Stat::parse(&text).expect("well-formed");
    let asked = asked_per_turn(Path::new("/"), (pid, own.start_ticks)).expect("the root is there");
    assert!(asked[3..].iter().all(|count| *count == 0), "{asked:?}");
}
