//! Is the process that a pidfile names the service? Decided from evidence that others gathered.
//!
//! A pidfile may be stale, empty, garbage, or name a pid that is somebody else's by now. In this order:
//! 1. the process known from before (pid and start time) is ours, whatever the clocks say;
//! 2. one born after our start command began, named in a file written since, and not known to be another service's, is that
//!    command's work;
//! 3. one with another program name than the service last had is a stranger;
//! 4. one born after the file was written has a recycled pid and is a stranger, unless its program name is the
//!    service's own: a wall clock that was set forward looks the same, and a second copy would be worse.
//!
//! The text of a pidfile (postmaster.pid has more lines, the first counts; the newline may be missing):
//! ```text
//! 1234
//! ```

use std::time::Duration;

use crate::model::{Identity, Now};

use super::Sighting;
use super::text::{Text, text};

/// The largest pid Linux gives (PID_MAX_LIMIT of a 64-bit kernel).
const PID_MAX: i32 = 4 << 20;

/// How much later than its pidfile a process may seem to be born: two clocks, and ticks of 10 ms.
const SLACK: Duration = Duration::from_secs(2);

/// How much older than our start a pidfile that is its work may seem: the kernel's clock for files is that coarse. Where a file system
/// keeps whole seconds, it is `SLACK`.
const COARSE: Duration = Duration::from_millis(100);

/// A tick of the kernel's start times, which are rounded down: what was born in the tick of a start may be its work.
const TICK: Duration = Duration::from_millis(10);

/// What stands in a pidfile.
#[derive(Clone, Debug, PartialEq)]
pub enum Pidfile {
    /// `written` is the wall-clock time of its last change.
    Names {
        pid: i32,
        written: Duration,
    },
    Missing,
    Empty,
    /// Its first bytes, escaped.
    Garbage(Text),
    /// The system's error number.
    Unreadable(i32),
}

/// Reads the pid out of a pidfile.
pub fn parse_pidfile(bytes: &[u8], written: Duration) -> Pidfile {
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default().trim_ascii();
    if bytes.trim_ascii().is_empty() {
        return Pidfile::Empty;
    }
    let digits = line.iter().all(u8::is_ascii_digit).then(|| std::str::from_utf8(line).ok()).flatten();
    match digits.and_then(|digits| digits.parse().ok()).filter(|pid| (2..=PID_MAX).contains(pid)) {
        Some(pid) => Pidfile::Names { pid, written },
        None => Pidfile::Garbage(text(format_args!("{}", line.get(..40).unwrap_or(line).escape_ascii()))),
    }
}

/// A process in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process {
    pub identity: Identity,
    pub comm: [u8; 16],
    /// It has ended and waits for its parent to notice.
    pub is_zombie: bool,
    /// It is a thread of the kernel: nobody's service, and deaf to signals.
    pub is_kernel: bool,
}

/// What is known of the service from before.
#[derive(Clone, Copy, Debug, Default)]
pub struct Known {
    pub last: Option<Identity>,
    /// Zeros when none was seen.
    pub comm: [u8; 16],
    /// From our start command on, and until when, what is born is its work, while that is being looked for; none for what is
    /// another service's.
    pub attempt: Option<(Duration, Duration)>,
}

/// Whose work a process says to be, in the environment that it was started with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    Ours,
    /// Of another service.
    Others,
    /// It says nothing, or nobody may read it.
    None,
}

/// A look through the whole process table for what a start may have left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Search {
    /// Between which moments it was born.
    pub born: (Duration, Duration),
    /// That nothing is found says nothing when it is not even known by its name.
    pub is_vain: bool,
}

impl Search {
    /// Born in time.
    pub fn is_timely(&self, identity: Identity) -> bool {
        identity.born() + TICK > self.born.0 && identity.born() <= self.born.1
    }

    /// Whether this could be the service: by the name of its program where that is known, else by what it says itself.
    pub fn could_be(&self, process: &Process, mark: Mark, comm: [u8; 16]) -> bool {
        let looks_alike =
            if comm == [0; 16] { mark == Mark::Ours } else { comm == process.comm && mark != Mark::Others };
        looks_alike && self.is_timely(process.identity) && !process.is_zombie && !process.is_kernel
    }

    /// What a look says that saw nothing of it, after this search.
    pub fn judge(&self, path: &str, seen: Sighting, found: Option<&Process>, comm: [u8; 16]) -> Sighting {
        match (found, &seen) {
            (Some(process), _) => {
                let (pid, name) = (process.identity.pid, comm_text(&process.comm));
                Sighting::CannotTell(text(format_args!(
                    "process {pid} '{name}' may be it, but {path} does not name it"
                )))
            }
            (None, Sighting::NotFound(why)) if self.is_vain && comm == [0; 16] => Sighting::CannotTell(text(
                format_args!("cannot tell whether it runs: {why}; write the pid into it, or remove it"),
            )),
            (None, _) => seen,
        }
    }
}

/// Judges the process that a pidfile names. `process` is none when there is none.
pub fn judge_pidfile(
    path: &str,
    file: (i32, Duration),
    process: Option<&Process>,
    known: &Known,
    now: Now,
) -> Sighting {
    let (pid, written) = file;
    let Some(process) = process.filter(|process| !process.is_zombie) else {
        return Sighting::NotFound(text(format_args!("pidfile {path} names pid {pid}, which does not run")));
    };
    if process.is_kernel {
        return Sighting::Stranger(text(format_args!(
            "pidfile {path} names pid {pid}, which is a thread of the kernel"
        )));
    }
    let identity = process.identity;
    let born = identity.born();
    let found = Sighting::Found { identity, born, rival: None };
    let on_the_wall = |moment: Duration| now.wall.saturating_sub(now.mono.saturating_sub(moment));
    let coarse = if written.subsec_nanos() == 0 { SLACK } else { COARSE };
    let is_since =
        |(from, until)| born + TICK > from && born <= until && written.saturating_add(coarse) >= on_the_wall(from);
    if known.last == Some(identity) || known.attempt.is_some_and(is_since) {
        return found;
    }
    let name = comm_text(&process.comm);
    if known.comm != [0; 16] {
        if known.comm == process.comm {
            return found;
        }
        return Sighting::Stranger(text(format_args!(
            "pidfile {path} names pid {pid}, which is '{name}', not this daemon ('{}')",
            comm_text(&known.comm)
        )));
    }
    if on_the_wall(born) > written.saturating_add(SLACK) {
        return Sighting::Stranger(text(format_args!(
            "pidfile {path} names pid {pid}, which is '{name}', born after the file was written"
        )));
    }
    found
}

fn comm_text(comm: &[u8; 16]) -> impl std::fmt::Display + '_ {
    let end = comm.iter().position(|byte| *byte == 0).unwrap_or(comm.len());
    comm.get(..end).unwrap_or_default().escape_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Now = Now { mono: Duration::from_secs(10_000), wall: Duration::from_secs(1_000_000) };

    fn process(born: u64, comm: &str) -> Process {
        let mut name = [0; 16];
        name[..comm.len()].copy_from_slice(comm.as_bytes());
        Process {
            identity: Identity { pid: 123, start_ticks: born * 100 },
            comm: name,
            is_zombie: false,
            is_kernel: false,
        }
    }

    #[test]
    fn a_pidfile_is_a_pid_or_says_what_it_is() {
        let at = Duration::from_secs(5);
        for (bytes, pid) in [
            (&b"1234\n"[..], Some(1234)),
            (b"1234", Some(1234)),
            (b"  1234 \nmore\n", Some(1234)),
            (b"1", None),
            (b"0\n", None),
            (b"-5\n", None),
            (b"+5\n", None),
            (b"4194305\n", None),
            (b"99999999999999999999\n", None),
            (b"12 34\n", None),
            (b"abc\n", None),
            (b"\n12\n", None),
            (b"\0\0\0", None),
            (b"\xff\xfe", None),
        ] {
            match parse_pidfile(bytes, at) {
                Pidfile::Names { pid: found, .. } => assert_eq!(Some(found), pid, "{bytes:?}"),
                Pidfile::Garbage(_) => assert_eq!(pid, None, "{bytes:?}"),
                other => panic!("{bytes:?}: {other:?}"),
            }
        }
        for blank in [&b""[..], b"\n", b" \n \n"] {
            assert_eq!(parse_pidfile(blank, at), Pidfile::Empty, "{blank:?}");
        }
    }

    #[test]
    fn a_stranger_is_told_from_the_daemon() {
        let daemon = process(500, "served");
        let known = |last: Option<Identity>, comm: &str, attempt: Option<u64>| Known {
            last,
            comm: process(0, comm).comm,
            attempt: attempt.map(|from| (Duration::from_secs(from), Duration::from_secs(530))),
        };
        let before = Duration::from_secs(990_000);
        let after = Duration::from_secs(990_600);
        for (claim, file_written, seen, known, ours) in [
            ("nothing known, file written after its birth", after, daemon, known(None, "", None), true),
            ("nothing known, file written before its birth", before, daemon, known(None, "", None), false),
            ("the known process, the clock was set", before, daemon, known(Some(daemon.identity), "", None), true),
            ("the known process changed its name", after, daemon, known(Some(daemon.identity), "x", None), true),
            ("another program", after, process(500, "bash"), known(None, "served", None), false),
            ("the same program, the clock was set forward", before, daemon, known(None, "served", None), true),
            ("another program, born by our start", after, process(500, "new"), known(None, "served", Some(499)), true),
            (
                "another program, born while we start, with the pid in a file from before",
                Duration::from_millis(990_498_500),
                process(500, "bash"),
                known(None, "served", Some(499)),
                false,
            ),
            (
                "the same, where files have whole seconds",
                Duration::from_secs(990_498),
                process(500, "new"),
                known(None, "served", Some(499)),
                true,
            ),
            (
                "another program, born when our start was long over",
                after,
                process(531, "bash"),
                known(None, "served", Some(499)),
                false,
            ),
            (
                "another program, older than our start",
                after,
                process(400, "bash"),
                known(None, "served", Some(499)),
                false,
            ),
        ] {
            let judged = judge_pidfile("/p", (123, file_written), Some(&seen), &known, NOW);
            assert_eq!(matches!(judged, Sighting::Found { .. }), ours, "{claim}: {judged:?}");
        }
    }

    #[test]
    fn what_a_start_may_have_left_is_known_by_name_or_by_mark_and_by_its_birth() {
        let search = |from, to| Search { born: (Duration::from_secs(from), Duration::from_secs(to)), is_vain: false };
        let named = |name| process(0, name).comm;
        for (claim, born, name, mark, known, expect) in [
            ("the same program", 500, "served", Mark::None, "served", true),
            ("the same program of another service", 500, "served", Mark::Others, "served", false),
            ("another program of ours", 500, "helper", Mark::Ours, "served", false),
            ("born before the start", 498, "served", Mark::Ours, "served", false),
            ("born after it was over", 531, "served", Mark::Ours, "served", false),
            ("its name is not known, its mark is", 500, "served", Mark::Ours, "", true),
            ("nothing is known of it", 500, "served", Mark::None, "", false),
        ] {
            let found = search(499, 530).could_be(&process(born, name), mark, named(known));
            assert_eq!(found, expect, "{claim}");
        }
        let dead = Process { is_zombie: true, ..process(500, "served") };
        assert!(!search(0, 1000).could_be(&dead, Mark::Ours, named("served")));
        let thread = Process { is_kernel: true, ..process(500, "served") };
        assert!(!search(0, 1000).could_be(&thread, Mark::Ours, named("served")));
    }

    #[test]
    fn a_search_that_finds_nothing_says_something_only_of_what_it_would_know() {
        let absent = || Sighting::NotFound(text(format_args!("pidfile /p is empty")));
        let search = |is_vain| Search { born: (Duration::ZERO, Duration::MAX), is_vain };
        let served = process(500, "served");
        for (claim, is_vain, found, comm, expect) in [
            (
                "something is there",
                false,
                Some(&served),
                [0; 16],
                "process 123 'served' may be it, but /p does not name it",
            ),
            ("nothing of that name", true, None, served.comm, "pidfile /p is empty"),
            (
                "nobody knows what to look for",
                true,
                None,
                [0; 16],
                "cannot tell whether it runs: pidfile /p is empty; write the pid into it, or remove it",
            ),
            ("its pidfile says that it does not run", false, None, [0; 16], "pidfile /p is empty"),
        ] {
            let (Sighting::NotFound(why) | Sighting::CannotTell(why)) =
                search(is_vain).judge("/p", absent(), found, comm)
            else {
                panic!("{claim}");
            };
            assert_eq!(why, expect, "{claim}");
        }
    }

    #[test]
    fn a_thread_of_the_kernel_is_never_the_service() {
        let thread = Process { is_kernel: true, ..process(0, "kthreadd") };
        let known = Known { last: Some(thread.identity), ..Known::default() };
        for known in [known, Known::default()] {
            let judged = judge_pidfile("/p", (123, NOW.wall), Some(&thread), &known, NOW);
            assert!(matches!(judged, Sighting::Stranger(_)), "{judged:?}");
        }
    }

    #[test]
    fn a_zombie_or_no_process_is_not_running() {
        let zombie = Process { is_zombie: true, ..process(500, "served") };
        for seen in [Some(&zombie), None] {
            let judged = judge_pidfile("/run/x.pid", (123, NOW.wall), seen, &Known::default(), NOW);
            let expect = "pidfile /run/x.pid names pid 123, which does not run";
            assert_eq!(judged, Sighting::NotFound(text(format_args!("{expect}"))));
        }
    }
}
